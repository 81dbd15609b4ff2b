//! Request bodies in, response bodies out.

use crate::arriving::Arriving;
use crate::failure::Failure;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::TryStreamExt as _;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body as _;
use lighter_engine::ByteStream;
use lighter_wire::{BodyError, Decode, json};
use tokio_util::io::{ReaderStream, StreamReader};
use tokio_util::sync::CancellationToken;

/// The most bytes of a JSON body.
const MOST_JSON: usize = 4 << 20;
/// Bytes of one piece of a streamed answer.
const PIECE: usize = 128 << 10;

/// Reads a JSON body; `None` when there is none.
pub async fn read_json<T: Decode>(headers: &HeaderMap, body: Arriving, root: &str) -> Result<Option<T>, Failure> {
    check_content_type(headers, &body)?;
    let bytes = read(body).await?;
    match json::read(&bytes, root) {
        Ok(value) => Ok(Some(value)),
        Err(BodyError::Empty) => Ok(None),
        Err(e) => Err(Failure::bad_request(e.to_string())),
    }
}

/// Reads a whole body, up to the bound for JSON.
pub async fn read(body: Arriving) -> Result<Bytes, Failure> {
    match Limited::new(body, MOST_JSON).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(e) if e.is::<LengthLimitError>() => Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "http: request body too large")),
        Err(e) => Err(Failure::bad_request(format!("cannot read the request body: {e}"))),
    }
}

/// As dockerd: a body must be declared as JSON, an absent one need not be.
fn check_content_type(headers: &HeaderMap, body: &Arriving) -> Result<(), Failure> {
    let declared = headers.get(header::CONTENT_TYPE).map(|v| String::from_utf8_lossy(v.as_bytes()));
    let declared = match declared {
        None if body.is_end_stream() => return Ok(()),
        None => String::new().into(),
        Some(v) => v,
    };
    let malformed = |why: &str| Failure::bad_request(format!("malformed Content-Type header ({declared}): mime: {why}"));
    let (media, parameters) = declared.split_once(';').unwrap_or((&declared, ""));
    if media.trim().is_empty() {
        return Err(malformed("no media type"));
    }
    let broken = |p: &str| !p.is_empty() && p.split_once('=').is_none_or(|(k, v)| k.is_empty() || v.is_empty());
    if parameters.split(';').map(str::trim).any(broken) {
        return Err(malformed("invalid media parameter"));
    }
    if !media.trim().eq_ignore_ascii_case("application/json") {
        let what = format!("unsupported Content-Type header ({declared}): must be 'application/json'");
        return Err(Failure::bad_request(what));
    }
    Ok(())
}

/// A body as a stream of bytes: nothing is read before it is asked for.
pub fn into_reader(body: Arriving) -> ByteStream {
    Box::pin(StreamReader::new(body.into_data_stream().map_err(std::io::Error::other)))
}

/// An answer in JSON, ended by a newline as dockerd's encoder does.
pub fn json(status: StatusCode, value: &impl serde::Serialize) -> Response {
    json_sized(status, value, 256)
}

/// As [`json`], for an answer of about `size` bytes.
pub fn json_sized(status: StatusCode, value: &impl serde::Serialize, size: usize) -> Response {
    let mut bytes = Vec::with_capacity(size);
    if let Err(error) = serde_json::to_writer(&mut bytes, value) {
        // Only a map with a key that is no string could do this, and the wire types have none.
        tracing::error!(%error, "an answer could not be written");
        return empty(StatusCode::INTERNAL_SERVER_ERROR);
    }
    bytes.push(b'\n');
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A streamed answer.
pub fn stream(content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A streamed answer of bytes that are read as fast as the client takes them.
pub fn stream_bytes(content_type: &'static str, bytes: ByteStream) -> Response {
    stream(content_type, Body::from_stream(ReaderStream::with_capacity(bytes, PIECE)))
}

/// As [`stream_bytes`], and ended by `stop`: for what would not end by itself.
pub fn stream_bytes_until(content_type: &'static str, bytes: ByteStream, stop: CancellationToken) -> Response {
    use futures::StreamExt as _;
    let pieces = ReaderStream::with_capacity(bytes, PIECE).take_until(stop.cancelled_owned());
    stream(content_type, Body::from_stream(pieces))
}
