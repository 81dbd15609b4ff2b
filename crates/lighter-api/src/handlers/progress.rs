//! Answers that tell how a long operation gets on: one JSON line after the other, the last one perhaps an error.
//!
//! The answer begins with the first line. What fails before that is a status, as clients expect it.

use crate::body::stream;
use crate::call::{Answer, Call};
use axum::body::Body;
use bytes::Bytes;
use lighter_domain::Result;
use lighter_engine::Progress;
use lighter_wire::human;
use lighter_wire::image::{ErrorDetail, ProgressDetail, ProgressLine, PushResult};
use serde::Serialize;
use std::convert::Infallible;
use std::pin::Pin;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

/// Lines that wait for a slow client.
pub const LINES: usize = 16;

type Work = Pin<Box<dyn Future<Output = Result<Option<Bytes>>> + Send>>;

/// An operation under way.
pub struct Transfer<L> {
    /// What it tells.
    pub told: mpsc::Receiver<Progress>,
    /// How that is written; `None` where it is not.
    pub line: L,
    /// Whether it ends when nobody reads any more. Else it goes on in silence.
    pub leaves_with_client: bool,
}

impl<L: Fn(&Progress) -> Option<Bytes> + Send + 'static> Transfer<L> {
    /// Runs `work`, which gives the last line if there is to be one.
    pub async fn answer(mut self, call: &Call, work: impl Future<Output = Result<Option<Bytes>>> + Send + 'static) -> Answer {
        let mut work: Work = Box::pin(work);
        let first = tokio::select! {
            biased;
            Some(first) = self.told.recv() => first,
            done = &mut work => match self.told.try_recv() {
                // It told something and ended in one breath.
                Ok(first) => {
                    work = Box::pin(std::future::ready(done));
                    first
                }
                Err(_) => return Ok(stream("application/json", Body::from(done?.unwrap_or_default()))),
            },
        };
        let record = call.ticket.take();
        let (lines, answer) = mpsc::channel::<Result<Bytes, Infallible>>(LINES);
        tokio::spawn(async move {
            let error = self.tell(first, work, lines).await;
            if let Some(record) = record {
                record.close(200, error.as_deref(), true).await;
            }
        });
        Ok(stream("application/json", Body::from_stream(ReceiverStream::new(answer).fuse())))
    }

    /// Passes everything on until the end; the error if that is one.
    async fn tell(mut self, first: Progress, mut work: Work, lines: mpsc::Sender<Result<Bytes, Infallible>>) -> Option<String> {
        let mut pending = Some(first);
        loop {
            if let Some(bytes) = pending.take().and_then(|progress| (self.line)(&progress))
                && lines.send(Ok(bytes)).await.is_err()
                && self.leaves_with_client
            {
                self.told.close();
            }
            tokio::select! {
                biased;
                next = self.told.recv(), if !self.told.is_closed() || !self.told.is_empty() => pending = next,
                () = lines.closed(), if self.leaves_with_client && !self.told.is_closed() => self.told.close(),
                done = &mut work => {
                    let (last, error) = match done {
                        Ok(last) => (last, None),
                        Err(e) => (Some(error_line(e.message())), Some(e.to_string())),
                    };
                    // What it told with its last breath comes before the end.
                    let rest = std::iter::from_fn(|| self.told.try_recv().ok()).filter_map(|progress| (self.line)(&progress)).chain(last);
                    for bytes in rest.collect::<Vec<_>>() {
                        let _ = lines.send(Ok(bytes)).await;
                    }
                    return error;
                }
            }
        }
    }
}

/// A line of a pull or push. `bars`: with the bar as text.
pub fn progress_line(progress: &Progress, bars: bool) -> Option<Bytes> {
    let empty = ProgressLine::default();
    Some(match progress {
        Progress::Status(text) => line(&ProgressLine { status: Some(text), ..empty }),
        Progress::Note { id, status } => line(&ProgressLine { status: Some(status), id: Some(id), ..empty }),
        Progress::Layer { id, status, amount } => {
            let detail = amount.map_or_else(ProgressDetail::default, |(current, total)| ProgressDetail {
                current: Some(current),
                total: (total > 0).then_some(total),
            });
            let progress = amount.filter(|_| bars).map(|(current, total)| human::bar(current, total));
            line(&ProgressLine { status: Some(status), progress_detail: Some(detail), progress, id: Some(id), ..empty })
        }
        Progress::Pushed { tag, digest, size } => {
            let aux = Some(PushResult { tag, digest, size: *size });
            line(&ProgressLine { progress_detail: Some(ProgressDetail::default()), aux, ..empty })
        }
    })
}

pub fn stream_line(text: &str) -> Bytes {
    line(&ProgressLine { stream: Some(text), ..ProgressLine::default() })
}

fn error_line(message: &str) -> Bytes {
    line(&ProgressLine { error_detail: Some(ErrorDetail { message }), error: Some(message), ..ProgressLine::default() })
}

pub fn line(value: &impl Serialize) -> Bytes {
    let mut bytes = serde_json::to_vec(value).unwrap_or_default();
    bytes.extend_from_slice(b"\r\n");
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn written(
        work: impl Future<Output = Result<Option<Bytes>>> + Send + 'static,
        told: mpsc::Receiver<Progress>,
    ) -> Vec<Bytes> {
        let (lines, mut answer) = mpsc::channel(LINES);
        let transfer = Transfer { told, line: |p: &Progress| progress_line(p, false), leaves_with_client: true };
        let first = Progress::Status("first".to_owned());
        let telling = tokio::spawn(transfer.tell(first, Box::pin(work), lines));
        let mut written = Vec::new();
        while let Some(Ok(bytes)) = answer.recv().await {
            written.push(bytes);
        }
        telling.await.unwrap();
        written
    }

    #[tokio::test]
    async fn what_is_told_in_the_moment_of_ending_is_written() {
        for error in [false, true] {
            let (progress, told) = mpsc::channel(LINES);
            let work = async move {
                // The first line is written, and nothing else waits, when these come with the end.
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                for text in ["second", "third"] {
                    progress.send(Progress::Status(text.to_owned())).await.unwrap();
                }
                if error { Err(lighter_domain::Error::internal("fourth")) } else { Ok(Some(stream_line("fourth"))) }
            };
            let written = written(work, told).await;
            assert_eq!(written.len(), 4, "{written:?}");
            for (line, word) in written.iter().zip(["first", "second", "third", "fourth"]) {
                assert!(String::from_utf8_lossy(line).contains(word), "{written:?}");
            }
        }
    }
}
