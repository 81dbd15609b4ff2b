//! A request's body. Who is answered before all of it came goes on sending: what is left of a small body is taken and thrown
//! away, so that the connection can serve the next request. A large or slow one costs the connection, see `server`.

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::runtime::Handle;

/// How many bytes, and for how long.
const MOST_LEFT: u64 = 256 << 10;
const PATIENCE: Duration = Duration::from_secs(10);

/// All bodies come as this.
#[derive(Debug)]
pub struct Arriving {
    /// `None` once it is all here or broke off, and when its rest is not to be waited for.
    body: Option<Incoming>,
    /// What is not read is dropped with the connection.
    abrupt: bool,
}

impl Arriving {
    pub fn new(body: Incoming, headers: &HeaderMap) -> Self {
        // Who waits for a word before it sends has sent nothing; and what follows an upgrade is no body.
        let abrupt = headers.contains_key(header::EXPECT) || headers.contains_key(header::UPGRADE);
        Self { body: Some(body), abrupt }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// Dropping it is how a handler says that it needs no more.
impl Drop for Arriving {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !self.abrupt && !body.is_end_stream()) else { return };
        // Archives are read, and let go of, on threads for what blocks: they know their runtime, too.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { tokio::time::timeout(PATIENCE, drain(body)).await });
        }
    }
}

/// Takes the rest of a body. `false`: there was more of it than is taken.
async fn drain<B: Body + Unpin>(mut body: B) -> bool {
    let mut left = MOST_LEFT;
    while body.size_hint().lower() <= left {
        match body.frame().await {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.remaining() as u64);
                match left.checked_sub(length) {
                    Some(less) => left = less,
                    None => return false,
                }
            }
            Some(Err(_)) | None => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{Full, StreamBody};
    use std::convert::Infallible;

    fn pieces(sizes: &[usize]) -> impl Body<Data = Bytes> + Unpin + use<> {
        let frames: Vec<_> = sizes.iter().map(|n| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![0; *n])))).collect();
        StreamBody::new(futures::stream::iter(frames))
    }

    #[tokio::test]
    async fn what_is_small_is_taken() {
        const MOST: usize = MOST_LEFT as usize;
        for (sizes, taken) in [
            (&[][..], true),
            (&[5], true),
            (&[MOST], true),
            (&[MOST / 2, MOST / 2], true),
            (&[MOST, 1], false),
            (&[MOST + 1], false),
        ] {
            assert_eq!(drain(pieces(sizes)).await, taken, "{sizes:?}");
        }
        assert!(drain(Full::new(Bytes::from(vec![0; MOST]))).await);
        let mut large = Full::new(Bytes::from(vec![0; MOST + 1]));
        assert!(!drain(&mut large).await);
        assert_eq!(large.size_hint().exact(), Some(MOST_LEFT + 1), "nothing of it is taken");
    }
}
