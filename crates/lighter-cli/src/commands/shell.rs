//! Completions and man pages, from the command line's own definition.

use crate::args::Args;
use clap::CommandFactory as _;
use clap_complete::Shell;
use std::path::Path;

pub fn completions(shell: Shell) -> std::io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "lighter", &mut script);
    std::io::Write::write_all(&mut std::io::stdout(), &script)
}

pub fn man(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Args::command(), directory)
}
