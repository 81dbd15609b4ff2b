//! The record of each request: opened when it arrives, closed once, whatever becomes of it.
//!
//! A [`Ticket`] goes with the request. `dispatch` closes it with the answer's status; those whose end is elsewhere take it
//! along ([`Ticket::take`]): a hijacked connection, a load that goes on after the headers. A record that is dropped unclosed
//! is a client that went away, and is stored as such.

use http::{HeaderMap, Method, StatusCode, header};
use lighter_core::{Daemon, Record};
use lighter_domain::container::MountKind;
use lighter_domain::{Container, ShimEvent, ShimStatus};
use parking_lot::Mutex;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use time::OffsetDateTime;

const LONGEST_PATH: usize = 2048;
const LONGEST_CLIENT: usize = 256;
const LONGEST_ERROR: usize = 1024;
/// Of one request.
const MOST_PATHS: usize = 256;

/// Query parameters whose values are kept. All others may hold secrets (build arguments, URLs with passwords, `ENV`
/// instructions), and so may ones that nobody knows yet.
const KEPT: &[&str] = &[
    "all",
    "client",
    "condition",
    "container",
    "cursor",
    "detachKeys",
    "details",
    "digests",
    "filters",
    "follow",
    "force",
    "fromImage",
    "h",
    "image",
    "kind",
    "level",
    "limit",
    "link",
    "logs",
    "name",
    "names",
    "noprune",
    "platform",
    "quiet",
    "repo",
    "shared-size",
    "signal",
    "since",
    "size",
    "stack",
    "status",
    "stderr",
    "stdin",
    "stdout",
    "stream",
    "t",
    "tag",
    "tail",
    "timestamps",
    "type",
    "until",
    "v",
    "verbose",
    "w",
];

/// An id for the log and the store: the process's random half and a counter.
pub fn request_id() -> Arc<str> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    static PROCESS: std::sync::LazyLock<u32> = std::sync::LazyLock::new(rand::random);
    format!("{:08x}{:08x}", *PROCESS, NEXT.fetch_add(1, Ordering::Relaxed)).into()
}

/// Who is on the other end of a connection, as far as the kernel tells.
#[derive(Debug, Clone, Copy, Default)]
pub struct Peer {
    pub uid: Option<u32>,
    /// Of the process that connected.
    pub pid: Option<u32>,
}

impl Peer {
    pub fn of(stream: &tokio::net::UnixStream) -> Self {
        let peer = stream.peer_cred().ok();
        Self {
            uid: peer.map(|p| p.uid()),
            // 0: a process that this one cannot see.
            pid: peer.and_then(|p| p.pid()).and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0),
        }
    }
}

/// What the records of one connection have in common. Each connection has its own: requests that run on other processors
/// count references to others.
pub struct Source {
    pub daemon: Daemon,
    pub peer: Peer,
}

/// A request's record while the request is under way.
pub struct Open {
    source: Arc<Source>,
    /// `None` once it is closed.
    event: Option<Box<ShimEvent>>,
    began: Instant,
}

impl Open {
    /// For what could not be read as a request at all.
    pub fn malformed(source: Arc<Source>) -> Self {
        let mut open = Self::new(source, "".into(), String::new(), None, request_id());
        if let Some(event) = &mut open.event {
            event.kind = "Malformed".into();
        }
        open
    }

    fn new(source: Arc<Source>, method: Cow<'static, str>, path: String, client: Option<String>, request_id: Arc<str>) -> Self {
        let event = Box::new(ShimEvent {
            id: 0,
            status: ShimStatus::Aborted,
            container_id: None,
            image: None,
            kind: "".into(),
            timestamp: OffsetDateTime::now_utc(),
            method,
            path,
            api_version: None,
            http_status: None,
            duration_micros: 0,
            client,
            request_id,
            error: None,
            unsupported_flags: Vec::new(),
            host_paths: Vec::new(),
            peer_uid: source.peer.uid,
            peer_pid: source.peer.pid,
            stack: None,
        });
        Self { source, event: Some(event), began: Instant::now() }
    }

    /// Closes and stores it; `durable`: committed before this returns.
    pub async fn close(mut self, status: u16, error: Option<&str>, durable: bool) {
        let Some(mut event) = self.event.take() else { return };
        event.error = error.filter(|e| !e.is_empty()).map(|e| bounded(e, LONGEST_ERROR));
        self.answer(&mut event, status);
        if durable {
            self.source.daemon.record(event, true).await;
        } else if let Err(event) = self.source.daemon.record_at_once(event) {
            self.source.daemon.record(event, false).await;
        }
    }

    fn answer(&self, event: &mut ShimEvent, status: u16) {
        self.time(event);
        (event.status, event.http_status) = (ShimStatus::of_http(status), Some(status));
    }

    fn time(&self, event: &mut ShimEvent) {
        event.duration_micros = i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let (Some(mut event), Ok(runtime)) = (self.event.take(), tokio::runtime::Handle::try_current()) {
            self.time(&mut event);
            let source = Arc::clone(&self.source);
            runtime.spawn(async move { source.daemon.record(event, false).await });
        }
    }
}

/// A request's handle on its record. Empty when nothing is recorded, and after [`Ticket::take`].
#[derive(Clone, Default)]
pub struct Ticket(Arc<Mutex<Option<Open>>>);

impl Ticket {
    pub fn open(source: &Arc<Source>, method: &Method, uri: &http::Uri, headers: &HeaderMap, request_id: Arc<str>) -> Self {
        let client = headers.get(header::USER_AGENT).map(|v| bounded(&String::from_utf8_lossy(v.as_bytes()), LONGEST_CLIENT));
        let open = Open::new(Arc::clone(source), name_of(method), shown(uri), client, request_id);
        Self(Arc::new(Mutex::new(Some(open))))
    }

    fn edit(&self, change: impl FnOnce(&mut ShimEvent)) {
        if let Some(event) = self.0.lock().as_mut().and_then(|open| open.event.as_deref_mut()) {
            change(event);
        }
    }

    pub fn operation(&self, kind: &'static str, version: Option<String>) {
        self.edit(|e| {
            e.kind = kind.into();
            e.api_version = version;
        });
    }

    /// What the request is about, as far as it is known.
    pub fn about(&self, container: Option<&str>, image: Option<&str>) {
        self.edit(|e| {
            if let Some(id) = container {
                e.container_id = Some(id.to_owned());
            }
            if let Some(image) = image {
                e.image = Some(bounded(image, LONGEST_CLIENT));
            }
        });
    }

    /// The stack of the container that it is about.
    pub fn stack(&self, stack: Option<&str>) {
        if let Some(stack) = stack {
            self.edit(|e| e.stack = Some(bounded(stack, LONGEST_CLIENT)));
        }
    }

    /// Paths of the host that are asked for.
    pub fn host_paths<'p>(&self, paths: impl IntoIterator<Item = &'p str>) {
        self.edit(|e| add_host_paths(e, paths));
    }

    /// Takes the record along: whoever has it closes it.
    pub fn take(&self) -> Option<Open> {
        self.0.lock().take()
    }

    pub async fn close(&self, status: u16, error: Option<&str>, durable: bool) {
        let open = self.take();
        if let Some(open) = open {
            open.close(status, error, durable).await;
        }
    }
}

/// The record of a request whose answer is known beforehand, should what it asks for be done.
pub struct Answered {
    pub ticket: Ticket,
    pub status: StatusCode,
}

impl Record for Answered {
    fn event(&self, made: Option<&Container>) -> Option<ShimEvent> {
        let mut event = {
            let held = self.ticket.0.lock();
            let open = held.as_ref()?;
            let mut event = open.event.as_deref()?.clone();
            open.answer(&mut event, self.status.as_u16());
            event
        };
        if let Some(container) = made {
            event.container_id = Some(container.id.as_str().to_owned());
            event.unsupported_flags.clone_from(&container.unsupported_flags);
            // Other containers' volumes may have led to some.
            let binds = container.mounts.iter().filter(|mount| mount.kind == MountKind::Bind);
            add_host_paths(&mut event, binds.map(|mount| mount.source.as_str()));
        }
        Some(event)
    }

    fn stored(&self) {
        if let Some(mut open) = self.ticket.take() {
            open.event = None;
        }
    }
}

/// Of very many, and of very long ones, the record keeps the beginning.
fn add_host_paths<'p>(event: &mut ShimEvent, paths: impl IntoIterator<Item = &'p str>) {
    for path in paths {
        let path = bounded(path, LONGEST_PATH);
        if event.host_paths.len() < MOST_PATHS && !event.host_paths.contains(&path) {
            event.host_paths.push(path);
        }
    }
}

/// Those that routes have are not copied.
fn name_of(method: &Method) -> Cow<'static, str> {
    const KNOWN: [&str; 6] = ["GET", "POST", "HEAD", "DELETE", "PUT", "OPTIONS"];
    let known = KNOWN.into_iter().find(|known| *known == method.as_str());
    known.map_or_else(|| method.as_str().to_owned().into(), Cow::Borrowed)
}

/// Path and query as they are recorded: values of parameters that may be secret are left out.
fn shown(uri: &http::Uri) -> String {
    let Some(query) = uri.query().filter(|q| !q.is_empty()) else {
        return bounded(uri.path(), LONGEST_PATH);
    };
    let mut out = String::with_capacity(uri.path().len() + query.len() + 1);
    out.push_str(uri.path());
    for (i, pair) in query.split('&').enumerate() {
        if out.len() > LONGEST_PATH {
            break;
        }
        out.push(if i == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, value)) if !value.is_empty() && !KEPT.contains(&name) => {
                out.push_str(name);
                out.push_str("=***");
            }
            _ => out.push_str(pair),
        }
    }
    bounded(&out, LONGEST_PATH)
}

fn bounded(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_values_are_left_out_and_length_is_bounded() {
        let of = |uri: &str| shown(&uri.parse().unwrap());
        assert_eq!(of("/containers/json?all=1&limit=2"), "/containers/json?all=1&limit=2");
        assert_eq!(
            of("/build?buildargs=%7B%22T%22%3A%22s%22%7D&t=x&remote=https://u:p@h"),
            "/build?buildargs=***&t=x&remote=***"
        );
        assert_eq!(of("/images/create?changes=ENV+A%3Ds&fromSrc=-&x"), "/images/create?changes=***&fromSrc=***&x");
        assert_eq!(of("/a?"), "/a");
        assert_eq!(of(&format!("/{}?name={}", "a".repeat(3000), "b".repeat(3000))).len(), LONGEST_PATH);
        assert_eq!(bounded("aé", 2), "a");
    }

    #[test]
    fn ids_differ() {
        let (a, b) = (request_id(), request_id());
        assert_ne!(a, b);
        assert_eq!(a[..8], b[..8]);
    }
}
