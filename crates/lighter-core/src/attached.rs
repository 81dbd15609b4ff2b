//! Who is attached to a container, as far as those who wait for its end must know: as in dockerd, what a container printed is
//! on its way to its clients before any of them hears that it has ended. Clients rely on it: dockerode's `run` looks at what
//! came when its wait is answered.

use crate::registry::Entry;
use lighter_engine::{ByteStream, Session};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};

/// A client that does not read keeps nobody waiting for longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// One attachment whose output has not ended.
struct Place(Arc<Entry>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.attached.send_modify(|count| *count -= 1);
    }
}

/// Output whose reader counts as attached until its end. Whoever reads on has passed on what came before.
struct Counted {
    output: ByteStream,
    place: Option<Place>,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.remaining();
        let read = ready!(self.output.as_mut().poll_read(cx, buffer));
        if read.is_err() || (before > 0 && buffer.remaining() == before) {
            self.place = None;
        }
        Poll::Ready(read)
    }
}

/// The session as one that is waited for.
pub(crate) fn counted(entry: Arc<Entry>, session: Session) -> Session {
    entry.attached.send_modify(|count| *count += 1);
    Session { output: Box::pin(Counted { output: session.output, place: Some(Place(entry)) }), input: session.input }
}

/// Waits until all of it was passed on, or for a while.
pub(crate) async fn passed_on(entry: &Entry) {
    let mut attached = entry.attached.subscribe();
    let _ = tokio::time::timeout(PATIENCE, attached.wait_for(|count| *count == 0)).await;
}
