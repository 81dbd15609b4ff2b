//! `lighter events`

use super::Asker;
use crate::args::Events;
use crate::client::Target;
use crate::show::{self, table::Table, text};
use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use lighter_wire::lighter::Event;
use std::collections::VecDeque;
use time::OffsetDateTime;

const SHOWN: u32 = 30;
const BEFORE: u32 = 10;

pub async fn run(asker: &Asker, query: Events) -> anyhow::Result<()> {
    let target = Target::new("events")
        .with_all("kind", &query.kind)
        .with_all("container", &query.container)
        .with_all("stack", &query.stack)
        .with_all("client", &query.client)
        .with_all("status", &query.status)
        .with_all("since", &query.since)
        .with_all("until", &query.until);
    if query.follow {
        let past = query.limit.unwrap_or(BEFORE);
        let target = target.with("follow", "1");
        return follow(asker, &if past == 0 { target } else { target.with("limit", past.to_string()) }).await;
    }
    let limit = query.limit.unwrap_or(SHOWN).max(1);
    let (mut events, more) = asker.client.list::<Event>(&target, limit as usize).await?;
    // The newest at the end, where the prompt is. Changes are stored at once and the rest in batches: ids have another order.
    events.sort_by_key(|event| (event.timestamp, event.id));
    if asker.json {
        return show::json(events);
    }
    table(&events).print()?;
    if more && query.limit.is_none() {
        eprintln!("(the newest {SHOWN}; more with -n)");
    }
    Ok(())
}

/// The events of one answer, or of a container's life.
pub fn table(events: &[Event]) -> Table {
    let mut table = Table::new(&["TIME", "STATUS", "OPERATION", "CONTAINER", "TOOK", "CLIENT", "ERROR"]);
    let now = OffsetDateTime::now_utc();
    events.iter().for_each(|event| table.row(cells(event, now)));
    table
}

fn cells(event: &Event, now: OffsetDateTime) -> [String; 7] {
    let short = |id: &String| id.chars().take(12).collect::<String>();
    let code = event.http_status.map(|s| format!(" {s}")).unwrap_or_default();
    [
        text::moment(event.timestamp, now),
        format!("{}{code}", event.status),
        event.kind.clone(),
        event.container_id.as_ref().map(short).unwrap_or_default(),
        text::duration(event.duration_micros),
        client(event),
        event.error.clone().unwrap_or_default(),
    ]
}

/// The first word of the User-Agent, and who it was.
fn client(event: &Event) -> String {
    let name = event.client.as_deref().and_then(|c| c.split_whitespace().next()).unwrap_or_default();
    match (event.peer_uid, event.peer_pid) {
        (Some(uid), Some(pid)) => format!("{name} (uid {uid}, pid {pid})"),
        (Some(uid), None) => format!("{name} (uid {uid})"),
        (None, _) => name.to_owned(),
    }
}

/// Prints each event as it comes, until the daemon or the user ends it.
async fn follow(asker: &Asker, target: &Target) -> anyhow::Result<()> {
    let mut lines = Lines { body: asker.client.stream(target).await?, pending: Vec::new(), ready: VecDeque::new() };
    while let Some(line) = lines.next().await? {
        if asker.json {
            show::line(std::str::from_utf8(&line)?)?;
        } else {
            let event: Event = serde_json::from_slice(&line).context("a line of the daemon's is not an event")?;
            let [time, status, kind, container, took, client, error] = cells(&event, OffsetDateTime::now_utc());
            let line = format!("{time}  {status:<12} {kind:<18} {container:<12} {took:>8}  {client}  {error}");
            show::line(text::inert(&line).trim_end())?;
        }
        std::io::Write::flush(&mut std::io::stdout())?;
    }
    Ok(())
}

/// A body cut into lines.
struct Lines {
    body: hyper::body::Incoming,
    pending: Vec<u8>,
    ready: VecDeque<Bytes>,
}

impl Lines {
    async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let Ok(data) = frame?.into_data() else { continue };
            self.pending.extend_from_slice(&data);
            let Some(end) = self.pending.iter().rposition(|b| *b == b'\n') else { continue };
            let whole: Vec<u8> = self.pending.drain(..=end).collect();
            self.ready.extend(whole.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(Bytes::copy_from_slice));
        }
    }
}
