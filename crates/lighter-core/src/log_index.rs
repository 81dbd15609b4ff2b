//! Copies new log lines of containers into the store (`containerLogs`), in batches and behind the containers' backs: only the
//! newest lines are looked at, so a container that prints as fast as it can costs no more than a quiet one.

use crate::daemon::Shared;
use lighter_domain::{Container, ContainerId};
use lighter_engine::LogQuery;
use lighter_engine::stdcopy::{HEADER, parse_header};
use lighter_store::Change;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::AsyncReadExt as _;

/// As many as the store keeps of one container.
const LINES: u64 = 500;
/// What one look may read: 500 of the longest records.
const MOST_BYTES: u64 = 16 << 20;
/// The longest line that the store keeps, in bytes.
const LINE_BYTES: usize = 16 << 10;

/// The time of the last line that is in the store, per container. Who brings a container up to date holds its lock: two at
/// once would store the same lines.
#[derive(Default)]
pub(crate) struct LogIndex(Mutex<HashMap<ContainerId, Arc<tokio::sync::Mutex<Option<OffsetDateTime>>>>>);

impl LogIndex {
    pub fn forget(&self, id: &ContainerId) {
        self.0.lock().remove(id);
    }

    fn of(&self, id: &ContainerId) -> Arc<tokio::sync::Mutex<Option<OffsetDateTime>>> {
        self.0.lock().entry(id.clone()).or_default().clone()
    }
}

pub(crate) async fn serve(shared: Arc<Shared>) {
    let mut tick = tokio::time::interval(shared.config.log_index_interval);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            _ = tick.tick() => shared.index_all_logs().await,
        }
    }
}

impl Shared {
    pub(crate) async fn index_all_logs(&self) {
        for container in self.registry.snapshots() {
            self.index_logs(&container).await;
        }
    }

    /// Brings one container's rows up to date. Failure costs rows, never the container.
    pub(crate) async fn index_logs(&self, container: &Container) {
        let Some(logs) = self.engine.logs() else { return };
        if container.started_at.is_none() || container.host_config.log_config.driver == "none" {
            return;
        }
        let entry = self.log_index.of(&container.id);
        let mut last = entry.lock().await;
        let since = *last;
        let ended = container.exit.as_ref().filter(|_| !container.state.is_running()).map(|exit| exit.finished_at);
        // What ended before the last look has nothing new.
        if ended.is_some_and(|ended| since.is_some_and(|at| at >= ended)) {
            return;
        }
        let query = LogQuery { stdout: true, stderr: true, timestamps: true, since, tail: Some(LINES), ..LogQuery::default() };
        let mut bytes = Vec::new();
        let read = match logs.logs(container, query).await {
            Ok(stream) => stream.take(MOST_BYTES).read_to_end(&mut bytes).await.map(drop),
            Err(error) => Err(std::io::Error::other(error)),
        };
        if let Err(error) = read {
            tracing::debug!(id = %container.id, %error, "log lines were not indexed");
            return;
        }
        let text = if container.config.tty { bytes } else { without_headers(&bytes) };
        let lines: Vec<(OffsetDateTime, String)> = split(&text).filter(|(at, _)| since.is_none_or(|s| *at > s)).collect();
        let newest = lines.last().map(|(at, _)| *at).max(ended).max(since);
        if !lines.is_empty() {
            let change = Change::Logs { container: container.uuid, lines };
            if let Err(error) = self.store.apply(vec![change]).await {
                tracing::warn!(id = %container.id, %error, "log lines could not be stored");
                return;
            }
        }
        *last = newest;
    }
}

fn without_headers(mut frames: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(frames.len());
    while let Some((head, rest)) = frames.split_first_chunk::<HEADER>() {
        let Some((_, len)) = parse_header(*head) else { break };
        let body = rest.get(..len as usize).unwrap_or(rest);
        text.extend_from_slice(body);
        frames = &rest[body.len()..];
    }
    text
}

/// `<RFC 3339 time> <line>` each.
fn split(text: &[u8]) -> impl Iterator<Item = (OffsetDateTime, String)> {
    text.split(|b| *b == b'\n').filter_map(|line| {
        let at = line.iter().position(|b| *b == b' ')?;
        let time = OffsetDateTime::parse(std::str::from_utf8(&line[..at]).ok()?, &Rfc3339).ok()?;
        let rest = &line[at + 1..];
        Some((time, String::from_utf8_lossy(&rest[..rest.len().min(LINE_BYTES)]).trim_end_matches('\r').to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lighter_engine::stdcopy::{Stream, header};

    #[test]
    fn frames_become_lines() {
        let mut frames = Vec::new();
        for (stream, line) in
            [(Stream::Stdout, "2026-01-02T03:04:05.6Z one\n"), (Stream::Stderr, "2026-01-02T03:04:06Z two words\r\n")]
        {
            frames.extend_from_slice(&header(stream, u32::try_from(line.len()).unwrap()));
            frames.extend_from_slice(line.as_bytes());
        }
        let lines: Vec<String> = split(&without_headers(&frames)).map(|(_, l)| l).collect();
        assert_eq!(lines, ["one", "two words"]);
        assert!(without_headers(&[7; 20]).is_empty());
    }
}
