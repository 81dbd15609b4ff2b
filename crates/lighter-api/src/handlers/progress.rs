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
                    if let Some(last) = last {
                        let _ = lines.send(Ok(last)).await;
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
