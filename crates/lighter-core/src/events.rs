//! Docker's events: replay from the store, then live, without a gap or a double.

use crate::daemon::Daemon;
use futures::{Stream, StreamExt as _, stream};
use lighter_domain::event::EventKind;
use lighter_domain::filter::Filters;
use lighter_domain::{Container, Error, Event, EventScope, Result};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use time::OffsetDateTime;
use tokio::sync::broadcast;

/// Live events a slow listener may lag behind before it is served from the store instead.
const LIVE_BUFFER: usize = 1024;
/// The most events that one replay gives, the newest ones.
const REPLAY_LIMIT: u32 = 100_000;

/// `SystemEvents`.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    pub since: Option<OffsetDateTime>,
    /// The stream ends here; without it, never.
    pub until: Option<OffsetDateTime>,
    pub filters: Filters,
}

pub type EventStream = Pin<Box<dyn Stream<Item = Arc<Event>> + Send>>;

/// Where committed events are published.
pub(crate) struct Bus(broadcast::Sender<Arc<Event>>);

impl Default for Bus {
    fn default() -> Self {
        Self(broadcast::Sender::new(LIVE_BUFFER))
    }
}

impl Bus {
    /// To be called with events that are stored already.
    pub fn publish(&self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            // No listener is no failure.
            let _ = self.0.send(Arc::new(event));
        }
    }

    pub fn listeners(&self) -> usize {
        self.0.receiver_count()
    }
}

/// An event of a container, with the attributes that every one of them has.
pub(crate) fn of_container(container: &Container, action: impl Into<String>, extra: &[(&str, String)]) -> Event {
    let mut attributes: BTreeMap<String, String> = container.config.labels.clone();
    attributes.insert("image".to_owned(), container.config.image.clone());
    attributes.insert("name".to_owned(), container.name.clone());
    attributes.extend(extra.iter().map(|(k, v)| ((*k).to_owned(), v.clone())));
    new(EventKind::Container, action, container.id.as_str(), attributes)
}

pub(crate) fn new(kind: EventKind, action: impl Into<String>, actor: &str, attributes: BTreeMap<String, String>) -> Event {
    let (action, actor_id) = (action.into(), actor.to_owned());
    Event { id: 0, kind, action, actor_id, attributes, scope: EventScope::Local, time: OffsetDateTime::now_utc() }
}

const FILTERS: &[&str] = &[
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];

fn matches(event: &Event, filters: &Filters) -> bool {
    let is = |kind: EventKind| event.kind == kind;
    let name = event.attributes.get("name").map_or("", String::as_str);
    let named = |key: &str, kind: EventKind| {
        let values = filters.get(key);
        values.is_empty() || (is(kind) && values.iter().any(|v| event.actor_id.starts_with(v.as_str()) || name == v))
    };
    let action = || {
        let values = filters.get("event");
        let family = event.action.split_once(':').map_or(event.action.as_str(), |(family, _)| family);
        values.is_empty() || values.iter().any(|v| *v == event.action || v == family)
    };
    let image = || {
        let values = filters.get("image");
        let of = match event.kind {
            EventKind::Image => [Some(event.actor_id.as_str()), Some(name)],
            _ => [event.attributes.get("image").map(String::as_str), None],
        };
        values.is_empty() || of.into_iter().flatten().any(|have| values.iter().any(|v| v == have || v == without_tag(have)))
    };
    filters.exact("type", event.kind.as_str())
        && filters.exact(
            "scope",
            match event.scope {
                EventScope::Local => "local",
                EventScope::Swarm => "swarm",
            },
        )
        && action()
        && named("container", EventKind::Container)
        && named("network", EventKind::Network)
        && named("volume", EventKind::Volume)
        && named("daemon", EventKind::Daemon)
        && ["node", "plugin", "secret", "service", "config"].iter().all(|k| !filters.contains(k))
        && image()
        && filters.labels(&event.attributes)
}

fn without_tag(reference: &str) -> &str {
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => reference,
    }
}

/// What a listener's stream goes on with.
struct Listener {
    daemon: Daemon,
    live: broadcast::Receiver<Arc<Event>>,
    backlog: VecDeque<Arc<Event>>,
    /// Ids already given from the store, which the live channel may hold again.
    given: HashSet<i64>,
    last_id: i64,
    query: EventQuery,
}

impl Listener {
    async fn next(&mut self) -> Option<Arc<Event>> {
        loop {
            let event = match self.backlog.pop_front() {
                Some(event) => event,
                None => self.next_live().await?,
            };
            if self.query.until.is_some_and(|until| event.time > until) {
                return None;
            }
            if matches(&event, &self.query.filters) {
                return Some(event);
            }
        }
    }

    async fn next_live(&mut self) -> Option<Arc<Event>> {
        loop {
            let received = match self.query.until {
                Some(until) => {
                    let left = (until - OffsetDateTime::now_utc()).try_into().unwrap_or_default();
                    tokio::time::timeout(left, self.live.recv()).await.ok()?
                }
                None => self.live.recv().await,
            };
            match received {
                Ok(event) if self.given.remove(&event.id) => {}
                Ok(event) => {
                    self.last_id = self.last_id.max(event.id);
                    return Some(event);
                }
                Err(broadcast::error::RecvError::Closed) => return None,
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    tracing::debug!(missed, "an event listener lags and is served from the store");
                    self.catch_up().await?;
                    if let Some(event) = self.backlog.pop_front() {
                        return Some(event);
                    }
                }
            }
        }
    }

    async fn catch_up(&mut self) -> Option<()> {
        match self.daemon.shared().store.events_after(self.last_id, REPLAY_LIMIT).await {
            Ok(events) => self.replay(events),
            Err(error) => {
                tracing::error!(%error, "events could not be read back");
                return None;
            }
        }
        Some(())
    }

    fn replay(&mut self, events: Vec<Event>) {
        for event in events {
            self.last_id = self.last_id.max(event.id);
            self.given.insert(event.id);
            self.backlog.push_back(Arc::new(event));
        }
    }
}

impl Daemon {
    /// Past events from the store (if `since` is given), then live ones until `until` or for ever.
    pub async fn events(&self, query: EventQuery) -> Result<EventStream> {
        query.filters.only(FILTERS)?;
        if query.since.zip(query.until).is_some_and(|(since, until)| since > until) {
            return Err(Error::invalid(format!(
                "`since` time ({}) cannot be after `until` time ({})",
                query.since.map_or(0, OffsetDateTime::unix_timestamp),
                query.until.map_or(0, OffsetDateTime::unix_timestamp)
            )));
        }
        // Subscribed before the store is read: what is committed in between arrives twice and is given once.
        let live = self.shared().bus.0.subscribe();
        let mut listener =
            Listener { daemon: self.clone(), live, backlog: VecDeque::new(), given: HashSet::new(), last_id: 0, query };
        let store = &self.shared().store;
        listener.last_id = store.last_event_id().await.map_err(crate::daemon::store_failed)?;
        let past = listener.query.until.is_some_and(|until| until <= OffsetDateTime::now_utc());
        if listener.query.since.is_some() || past {
            let events = store.events(listener.query.since, listener.query.until, REPLAY_LIMIT).await;
            listener.replay(events.map_err(crate::daemon::store_failed)?);
        }
        Ok(stream::unfold(listener, |mut l| async move { l.next().await.map(|event| (event, l)) }).boxed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(pairs: &[(&str, &str)]) -> Filters {
        let mut f = Filters::default();
        for (k, v) in pairs {
            f.add(*k, *v);
        }
        f
    }

    #[test]
    fn filters_match_as_dockerd_matches() {
        let attributes = [("name", "web"), ("image", "busybox:latest"), ("tier", "front")];
        let attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let event = new(EventKind::Container, "exec_start: sh -c ls", &"ab".repeat(32), attributes);
        for yes in [
            &[][..],
            &[("type", "container")],
            &[("type", "image"), ("type", "container")],
            &[("event", "exec_start")],
            &[("event", "exec_start: sh -c ls")],
            &[("container", "web")],
            &[("container", "abab")],
            &[("image", "busybox")],
            &[("image", "busybox:latest")],
            &[("label", "tier=front")],
            &[("label", "tier"), ("event", "exec_start")],
        ] {
            assert!(matches(&event, &filters(yes)), "{yes:?}");
        }
        for no in [
            &[("type", "image")][..],
            &[("event", "start")],
            &[("container", "we")],
            &[("image", "busy")],
            &[("label", "tier=back")],
            &[("event", "exec_start"), ("container", "db")],
            &[("network", "web")],
            &[("scope", "swarm")],
        ] {
            assert!(!matches(&event, &filters(no)), "{no:?}");
        }
    }
}
