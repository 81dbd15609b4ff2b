//! Searching what containers printed.

use super::{bad_cursor, convert};
use crate::body::json;
use crate::call::{Answer, Call};
use crate::failure::Failure;
use http::StatusCode;
use lighter_domain::{LogFilter, LogLevel, LogSource};
use lighter_wire::lighter::LogPage;

const KNOWN: &[&str] = &["query", "container", "stack", "level", "source", "since", "until", "limit", "cursor"];

pub async fn search(call: Call) -> Answer {
    call.only(KNOWN)?;
    let filter = filter(&call).await?;
    let found = call.daemon.search_logs(&filter).await?;
    let more = found.lines.len() >= filter.limit as usize;
    let next = found.lines.last().filter(|_| more).map(|line| line.id.to_string());
    let items = found.lines.into_iter().map(convert::log_line).collect();
    let gaps = found.gaps.into_iter().map(convert::log_gap).collect();
    Ok(json(StatusCode::OK, &LogPage { items, next, gaps }))
}

async fn filter(call: &Call) -> Result<LogFilter, Failure> {
    let before_id = match call.query.get("cursor") {
        "" => None,
        cursor => Some(cursor.parse().map_err(|_| bad_cursor())?),
    };
    let source = match call.query.get("source") {
        "" => None,
        text => Some(
            LogSource::parse(text)
                .ok_or_else(|| Failure::bad_request(format!("unknown source {text:?}: it is stdout or stderr")))?,
        ),
    };
    let levels = match call.query.get("level") {
        "" => Vec::new(),
        text => {
            let names = || LogLevel::ALL.map(LogLevel::as_str).join(", ");
            let unknown = || Failure::bad_request(format!("unknown level {text:?}; there are: {}", names()));
            LogLevel::parse(text).ok_or_else(unknown)?.and_above().collect()
        }
    };
    Ok(LogFilter {
        query: call.query.get("query").to_owned(),
        containers: call.ids("container").await?,
        stacks: call.values("stack"),
        levels,
        source,
        since: call.query.timestamp("since")?,
        until: call.query.timestamp("until")?,
        before_id,
        limit: call.limit()?,
    })
}
