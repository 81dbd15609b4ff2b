//! Operations whose answer goes on after its headers: logs, events, wait, attach, exec.

use crate::body::{empty, stream, stream_bytes_until};
use crate::call::{Answer, Call};
use crate::convert::{event as to_wire, exec as convert, stats as stats_to_wire};
use crate::failure::Failure;
use crate::hijack::{Plan, take_over, take_over_as_websocket};
use crate::websocket;
use axum::body::Body;
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, stream as streams};
use http::StatusCode;
use lighter_core::{AttachRequest, EventQuery, StatsMode, WaitCondition};
use lighter_domain::filter::Filters;
use lighter_engine::LogQuery;
use lighter_engine::stdcopy::{self, Stream};
use lighter_wire::container::{WaitError, Waited};
use lighter_wire::exec::ExecStart;
use lighter_wire::query;
use std::convert::Infallible;
use std::io::Cursor;

/// `since` and `until` of zero are "not given", as old clients send them.
fn bounds(call: &Call) -> Result<[Option<time::OffsetDateTime>; 2], Failure> {
    let at = |name| Ok::<_, Failure>(call.query.timestamp(name)?.filter(|t| *t != time::OffsetDateTime::UNIX_EPOCH));
    Ok([at("since")?, at("until")?])
}

pub async fn logs(call: Call) -> Answer {
    let [since, until] = bounds(&call)?;
    let tail = call.query.get("tail");
    let query = LogQuery {
        stdout: call.query.flag("stdout"),
        stderr: call.query.flag("stderr"),
        follow: call.query.flag("follow"),
        timestamps: call.query.flag("timestamps"),
        details: call.query.flag("details"),
        since,
        until,
        tail: query::tail(tail),
    };
    let logs = call.daemon.logs(&call.name, query).await?;
    let multiplexed = call.shapes.multiplexed_type && !logs.tty;
    let kind = if multiplexed { "application/vnd.docker.multiplexed-stream" } else { "application/vnd.docker.raw-stream" };
    Ok(stream_bytes_until(kind, logs.bytes, call.shutdown.clone()))
}

pub async fn events(call: Call) -> Answer {
    let since = call.query.timestamp("since")?;
    let until = call.query.timestamp("until")?;
    let filters: Filters = call.query.filters()?;
    let events = call.daemon.events(EventQuery { since, until, filters }).await?;
    let (shapes, stop) = (call.shapes, call.shutdown.clone());
    let lines = events.map(move |event| Ok::<Bytes, Infallible>(to_wire::line(&event, shapes)));
    let kind = if call.shapes.ndjson { "application/jsonl" } else { "application/json" };
    Ok(stream(kind, Body::from_stream(lines.take_until(stop.cancelled_owned()))))
}

pub async fn stats(call: Call) -> Answer {
    let stream_it = call.query.optional("stream").is_none_or(query::boolean);
    let one_shot = call.shapes.one_shot_stats && call.query.flag("one-shot");
    let mode = match (stream_it, one_shot) {
        (true, true) => return Err(Failure::bad_request("cannot have stream=true and one-shot=true")),
        (true, false) => StatsMode::Stream,
        (false, false) => StatsMode::Second,
        (false, true) => StatsMode::OneShot,
    };
    let usages = call.daemon.stats(&call.name, mode).await?;
    let lines = usages.map(|usage| {
        let mut bytes = serde_json::to_vec(&stats_to_wire::stats(&usage)).unwrap_or_default();
        bytes.push(b'\n');
        Ok::<Bytes, Infallible>(bytes.into())
    });
    Ok(stream("application/json", Body::from_stream(lines.take_until(call.shutdown.clone().cancelled_owned()))))
}

/// The headers go out once the wait is registered; the code follows when there is one.
pub async fn wait(call: Call) -> Answer {
    let condition = match call.query.get("condition") {
        "" | "not-running" => WaitCondition::NotRunning,
        "next-exit" => WaitCondition::NextExit,
        "removed" => WaitCondition::Removed,
        other => return Err(Failure::bad_request(format!("invalid condition: \"{other}\""))),
    };
    let waiting = call.daemon.wait(&call.name, condition)?;
    let stop = call.shutdown.clone();
    let line = waiting.result.map(|waited| {
        let waited = match waited {
            Ok(w) => Waited { status_code: w.exit_code, error: w.error.map(|message| WaitError { message }) },
            Err(error) => Waited { status_code: -1, error: Some(WaitError { message: error.to_string() }) },
        };
        let mut bytes = serde_json::to_vec(&waited).unwrap_or_default();
        bytes.push(b'\n');
        Ok::<Bytes, Infallible>(bytes.into())
    });
    Ok(stream("application/json", Body::from_stream(streams::once(line).take_until(stop.cancelled_owned()))))
}

/// An attachment as a client asks for it, and whether it has a terminal.
async fn attachment(call: &Call) -> Result<(Plan, bool), Failure> {
    let flag = |name| call.query.flag(name);
    let request = AttachRequest {
        logs: flag("logs"),
        stream: flag("stream"),
        stdin: flag("stdin"),
        stdout: flag("stdout"),
        stderr: flag("stderr"),
        detach_keys: call.query.get("detachKeys").to_owned(),
    };
    let attached = call.daemon.attach(&call.name, request).await?;
    let (daemon, id) = (call.daemon.clone(), attached.container.clone());
    let plan = Plan {
        past: attached.logs.map(|l| l.bytes),
        session: attached.session,
        detector: attached.tty.then(|| attached.detach_keys.detector()),
        detached: Some(Box::pin(async move { daemon.detached(&id).await })),
        finished: None,
    };
    Ok((plan, attached.tty))
}

pub async fn attach(mut call: Call) -> Answer {
    call.drain_unless_upgrade().await?;
    let (plan, tty) = attachment(&call).await?;
    take_over(&call, tty, true, std::future::ready(plan)).await
}

pub async fn attach_websocket(call: Call) -> Answer {
    // As dockerd: who it is about is said before how it was asked.
    call.daemon.resolve(&call.name).ok_or_else(|| Failure::no_such_container(&call.name))?;
    let head = websocket::handshake(&call.headers)?;
    let (plan, tty) = attachment(&call).await?;
    take_over_as_websocket(&call, tty, head, plan).await
}

pub async fn exec(mut call: Call) -> Answer {
    let body = call.json::<ExecStart>("").await?.unwrap_or_default();
    let start = convert::start(&body);
    if start.detach {
        call.daemon.exec_start(&call.name, start).await?;
        return Ok(empty(StatusCode::OK));
    }
    let tty = call.daemon.exec_ready(&call.name)?;
    let (daemon, name) = (call.daemon.clone(), call.name.clone());
    let plan = async move {
        match daemon.exec_start(&name, start).await {
            Ok(started) => Plan {
                session: started.session,
                detector: started.tty.then(|| started.detach_keys.detector()),
                finished: Some(started.finished),
                ..Plan::default()
            },
            // The container ended in this moment: there is no status left to say it with.
            Err(error) => {
                let said = stdcopy::text(Stream::Stdout, &format!("{error}\r\n"), tty);
                Plan { past: Some(Box::pin(Cursor::new(said))), ..Plan::default() }
            }
        }
    };
    take_over(&call, tty, true, plan).await
}
