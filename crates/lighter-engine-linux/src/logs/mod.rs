//! What containers printed: reading the json-file logs that their supervisors write, whole, from the end, or as they grow.
//!
//! A reader is a task that reads a bounded piece on a blocking thread, formats it, and hands it on through a short channel:
//! a client that stops reading holds neither a thread nor memory, and one that goes away ends its task.

mod format;
pub(crate) mod options;
mod reader;
mod record;
pub(crate) mod remote;
mod tag;
#[cfg(test)]
mod tests;
mod watch;

pub(crate) use watch::Watcher;

use crate::engine::Inner;
use crate::fail::Context as _;
use crate::run::RunState;
use bytes::Bytes;
use format::Format;
use lighter_domain::{Container, ContainerId, Error, Exit, Result};
use lighter_engine::{ByteStream, LogExtent, LogQuery};
use reader::{Reader, Step};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;

/// A piece is handed on when it has grown to this.
const ENOUGH: usize = 256 << 10;
/// Should a change go unnoticed, it is found after this.
const SAFETY_NET: Duration = Duration::from_secs(2);

impl Inner {
    pub(crate) async fn logs(self: &Arc<Self>, container: &Container, mut query: LogQuery) -> Result<ByteStream> {
        if options::of(container)?.is_none() {
            return Err(Error::not_implemented("configured logging driver does not support reading"));
        }
        let id = container.id.clone();
        let path = self.layout.log(&id);
        let running = self.runs.known(&id).is_some_and(|s| matches!(s.state(), RunState::Running { .. }));
        if !(query.follow && running) {
            // What is printed from now on is not asked for: a reader slower than the container would never come to an end.
            query.until.get_or_insert_with(OffsetDateTime::now_utc);
        }
        let format = Format::new(container.config.tty, &query);
        let source = Source { format, path: path.clone(), tail: query.tail };
        let follow = match (query.follow && running, path.parent()) {
            (true, Some(dir)) => {
                let this = Arc::clone(self);
                Some(Follow {
                    watch: self.watcher.watch(dir).at("cannot watch", dir)?,
                    end: Box::pin(async move { this.wait(&id).await }),
                    until: query.until,
                })
            }
            _ => None,
        };
        Ok(stream(source, follow))
    }

    /// By the file that is being written; one that is not there yet has nothing in it.
    pub(crate) fn log_extent(&self, id: &ContainerId) -> Option<LogExtent> {
        match std::fs::metadata(self.layout.log(id)) {
            Ok(meta) => Some(LogExtent { file: meta.ino(), bytes: meta.len() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(LogExtent::default()),
            Err(_) => None,
        }
    }
}

/// Which log, from where on, and how.
struct Source {
    path: PathBuf,
    format: Format,
    tail: Option<u64>,
}

/// What is needed to go on when the end is reached.
struct Follow {
    watch: Arc<watch::Watch>,
    /// The end of the container.
    end: Pin<Box<dyn Future<Output = Result<Exit>> + Send>>,
    until: Option<OffsetDateTime>,
}

fn stream(source: Source, follow: Option<Follow>) -> ByteStream {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(2);
    tokio::spawn(async move {
        let gone = sender.clone();
        let outcome = tokio::select! {
            outcome = produce(source, follow, &sender) => outcome,
            () = gone.closed() => return,
        };
        if let Err(e) = outcome {
            let _ = sender.send(Err(e)).await;
        }
    });
    let pieces = futures::stream::unfold(receiver, |mut r| async move { r.recv().await.map(|piece| (piece, r)) });
    Box::pin(StreamReader::new(Box::pin(pieces)))
}

async fn produce(source: Source, mut follow: Option<Follow>, to: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let mut changes = follow.as_ref().map(|f| f.watch.subscribe());
    let mut over = false;
    let Source { path, format, tail } = source;
    let mut reader = tokio::task::spawn_blocking(move || Reader::open(&path, format, tail)).await.map_err(io::Error::other)??;
    loop {
        if let Some(changes) = &mut changes {
            changes.borrow_and_update();
        }
        let (back, piece, step) = tokio::task::spawn_blocking(move || fill(reader)).await.map_err(io::Error::other)??;
        reader = back;
        if !piece.is_empty() && to.send(Ok(piece)).await.is_err() {
            return Ok(());
        }
        let (Some(follow), Some(changes)) = (&mut follow, &mut changes) else {
            if step == Step::More {
                continue;
            }
            return Ok(());
        };
        match step {
            Step::More => continue,
            Step::Over => return Ok(()),
            Step::CaughtUp if over => return Ok(()),
            Step::CaughtUp => reader.rest(),
        }
        tokio::select! {
            changed = changes.changed() => over = changed.is_err(),
            // Its answer comes when everything is written; one more look finds it.
            _ = &mut follow.end => over = true,
            () = deadline(follow.until) => over = true,
            () = tokio::time::sleep(SAFETY_NET) => {}
        }
    }
}

async fn deadline(until: Option<OffsetDateTime>) {
    match until {
        None => std::future::pending().await,
        Some(until) => {
            let left = until - OffsetDateTime::now_utc();
            tokio::time::sleep(left.try_into().unwrap_or(Duration::ZERO)).await;
        }
    }
}

/// Reads until there is enough to hand on, or nothing more.
fn fill(mut reader: Reader) -> io::Result<(Reader, Bytes, Step)> {
    let mut out = Vec::new();
    loop {
        let step = reader.step(&mut out)?;
        if step != Step::More || out.len() >= ENOUGH {
            return Ok((reader, Bytes::from(out), step));
        }
    }
}
