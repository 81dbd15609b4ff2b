//! What commands print with. Everything that came from elsewhere goes through [`text::inert`] on its way to a terminal.

pub mod table;
pub mod text;

use serde::Serialize;
use std::io::Write as _;

/// One value a line, for programs.
pub fn json<T: Serialize>(values: impl IntoIterator<Item = T>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for value in values {
        serde_json::to_writer(&mut out, &value)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// A line for people.
pub fn line(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")
}
