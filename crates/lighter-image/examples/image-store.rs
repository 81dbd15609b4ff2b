//! Drives an image store by hand, with times: what the engine does, without the engine.
//!
//! `cargo run --release -p lighter-image --example image-store -- <root> load < archive.tar`; also `list`, `rm <name>`,
//! `save <name>...`, `dirs <name>`.

#![expect(clippy::print_stdout, reason = "a command line tool")]

use std::io::{stdin, stdout};
use std::path::Path;
use std::time::Instant;

use lighter_image::{ImageStore, RemoveOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [root, command, names @ ..] = &words[..] else { return Err("root and command, please".into()) };
    let begin = Instant::now();
    let store = ImageStore::open(Path::new(root))?;
    let opened = begin.elapsed();
    match *command {
        "load" => {
            for image in store.load(stdin().lock(), &mut |_| {})? {
                println!("{} {}", image.id, image.names.join(" "));
            }
        }
        "save" => store.save(names, stdout().lock())?,
        "list" => {
            for image in store.list() {
                println!("{} {} {}", image.id, image.size, image.repo_tags.join(" "));
            }
        }
        "rm" => println!("{:?}", store.remove(names.first().ok_or("name?")?, RemoveOptions::default(), &|_| None)?),
        "dirs" => {
            for dir in store.layer_dirs(&store.get(names.first().ok_or("name?")?)?.id)? {
                println!("{}", dir.display());
            }
        }
        other => return Err(format!("unknown command {other}").into()),
    }
    let done = begin.elapsed();
    store.flush()?;
    eprintln!("opened {opened:?}, {command} done {done:?}, on disk {:?}", begin.elapsed());
    Ok(())
}
