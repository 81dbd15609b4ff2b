//! Recorded requests: a page of them, or all as they come.

use super::{bad_cursor, convert, page};
use crate::body::{json, stream};
use crate::call::{Answer, Call};
use crate::failure::Failure;
use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use http::StatusCode;
use lighter_domain::{ShimEvent, ShimEventFilter, ShimStatus};
use std::convert::Infallible;

const KNOWN: &[&str] =
    &["kind", "status", "container", "stack", "image", "client", "requestId", "since", "until", "limit", "cursor", "follow"];

pub async fn list(call: Call) -> Answer {
    call.only(KNOWN)?;
    let filter = filter(&call).await?;
    let limit = call.limit()?;
    if call.query.flag("follow") {
        return follow(call, filter, limit).await;
    }
    let before_id = match call.query.get("cursor") {
        "" => None,
        cursor => Some(cursor.parse().map_err(|_| bad_cursor())?),
    };
    let filter = ShimEventFilter { before_id, limit: Some(limit), ..filter };
    let events: Vec<_> = call.daemon.recorded(&filter).await?.into_iter().map(convert::event).collect();
    Ok(json(StatusCode::OK, &page(events, limit, |event| event.id.to_string())))
}

async fn filter(call: &Call) -> Result<ShimEventFilter, Failure> {
    let containers = call.ids("container").await?;
    let status = |text: String| {
        ShimStatus::parse(&text)
            .ok_or_else(|| Failure::bad_request(format!("unknown status {text:?}: it is ok, refused, failed or aborted")))
    };
    Ok(ShimEventFilter {
        kinds: call.values("kind"),
        statuses: call.values("status").into_iter().map(status).collect::<Result<_, _>>()?,
        containers,
        stacks: call.values("stack"),
        images: call.values("image"),
        clients: call.values("client"),
        request_id: call.query.optional("requestId").filter(|id| !id.is_empty()).map(str::to_owned),
        since: call.query.timestamp("since")?,
        until: call.query.timestamp("until")?,
        ..ShimEventFilter::default()
    })
}

/// One event a line; first `limit` that are there already, if the client says so.
async fn follow(call: Call, filter: ShimEventFilter, limit: u32) -> Answer {
    if call.query.optional("cursor").is_some() {
        return Err(Failure::bad_request("what is followed has no pages: follow and cursor do not go together"));
    }
    let past = if call.query.optional("limit").is_some() { limit } else { 0 };
    let events = call.daemon.follow_recorded(filter, past).await?;
    let lines = events.map(|event| Ok::<Bytes, Infallible>(line(event)));
    Ok(stream("application/jsonl", Body::from_stream(lines.take_until(call.shutdown.clone().cancelled_owned()))))
}

fn line(event: ShimEvent) -> Bytes {
    let mut bytes = serde_json::to_vec(&convert::event(event)).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}
