//! The supervisor's own messages, in `supervisor.log` of the run directory. The file is made with the first message, so a
//! container without trouble costs nothing.

use crate::clock;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

static PATH: OnceLock<PathBuf> = OnceLock::new();
/// No more messages than this in a life.
const MAX_NOTES: u32 = 1000;

/// Sets where messages go; before that they are dropped.
pub fn open(path: PathBuf) {
    let _ = PATH.set(path);
}

/// Writes one message.
pub fn note(message: &str) {
    static NOTES: AtomicU32 = AtomicU32::new(0);
    let Some(path) = PATH.get() else { return };
    if NOTES.fetch_add(1, Ordering::Relaxed) >= MAX_NOTES {
        return;
    }
    let mut line = Vec::new();
    clock::Formatter::default().append(clock::now(), &mut line);
    line.push(b' ');
    line.extend_from_slice(message.as_bytes());
    line.push(b'\n');
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) {
        let _ = file.write_all(&line);
    }
}
