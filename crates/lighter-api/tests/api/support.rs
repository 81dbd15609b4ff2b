//! A daemon on a temporary root, and a client that says exactly what it is told to say.

use lighter_api::{ApiConfig, serve};
use lighter_core::{CoreConfig, Daemon};
use lighter_domain::ShimEvent;
use lighter_engine_memory::{MemoryConfig, MemoryEngine};
use lighter_store::Store;
use serde_json::Value;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Nothing here takes longer.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A served daemon. Stopped when dropped, which fails the test if it does not stop in time.
pub struct Api {
    pub runtime: Runtime,
    pub dir: TempDir,
    store: Store,
    daemon: Daemon,
    shutdown: CancellationToken,
    serving: Option<JoinHandle<()>>,
    /// The name of the socket that requests go to.
    socket: String,
}

impl Api {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let shutdown = CancellationToken::new();
        let (store, daemon, serving) = runtime.block_on(async {
            let store = Store::open(&dir.path().join("lighter.db")).await.unwrap();
            let engine = Arc::new(MemoryEngine::new(MemoryConfig::default()));
            let mut config = CoreConfig::new(dir.path().to_owned());
            config.metrics_interval = Duration::from_millis(100);
            let daemon = Daemon::start(config, store.clone(), engine).await.unwrap();
            let listener = tokio::net::UnixListener::bind(dir.path().join("sock")).unwrap();
            let served = serve(daemon.clone(), ApiConfig::default(), vec![listener], shutdown.clone());
            (store, daemon, tokio::spawn(served))
        });
        Self { runtime, dir, store, daemon, shutdown, serving: Some(serving), socket: "sock".to_owned() }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join(&self.socket)
    }

    /// One more socket, which allows what the policy does; its name, for [`Api::switch`].
    pub fn policy_socket(&self, policy: lighter_api::Policy) -> String {
        let name = "limited".to_owned();
        let _on_runtime = self.runtime.enter();
        let socket = tokio::net::UnixListener::bind(self.dir.path().join(&name)).unwrap();
        let listening = lighter_api::Listening { socket, policy: Arc::new(policy) };
        let (daemon, shutdown) = (self.daemon.clone(), self.shutdown.clone());
        self.runtime.spawn(serve(daemon, ApiConfig::default(), vec![listening], shutdown));
        name
    }

    /// From now on requests go to this socket; the name of the one before.
    pub fn switch(&mut self, name: &str) -> String {
        std::mem::replace(&mut self.socket, name.to_owned())
    }

    pub fn socket_path(&self) -> String {
        self.socket().display().to_string()
    }

    pub fn connect(&self) -> Conn {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        Conn { stream, rest: Vec::new() }
    }

    /// One request on a connection of its own; `body` is sent as JSON unless empty.
    pub fn send(&self, method: &str, path: &str, body: &str) -> Reply {
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        self.send_with(method, path, kind, body.as_bytes())
    }

    /// As [`Api::send`], with header lines of one's own.
    pub fn send_with(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
        let mut conn = self.connect();
        conn.request(method, path, &format!("Connection: close\r\n{headers}"), body);
        conn.reply(method == "HEAD")
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "")
    }
    pub fn post(&self, path: &str, body: &str) -> Reply {
        self.send("POST", path, body)
    }

    /// Makes a container and gives its id.
    pub fn create(&self, name: &str, body: &Value) -> String {
        let reply = self.post(&format!("/containers/create?name={name}"), &body.to_string());
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()["Id"].as_str().unwrap().to_owned()
    }

    /// Makes and starts one that runs until it is told to end.
    pub fn running(&self, name: &str) -> String {
        let id = self.create(name, &serde_json::json!({"Image": "busybox", "Cmd": ["sleep", "1000"]}));
        assert_eq!(self.post(&format!("/containers/{name}/start"), "").status, 204);
        id
    }

    /// All that is recorded, oldest first, once it is written.
    pub fn recorded(&self) -> Vec<ShimEvent> {
        self.runtime.block_on(async {
            self.store.flush().await.unwrap();
            self.recorded_now().await
        })
    }

    /// All that is committed at this moment, oldest first.
    pub fn committed(&self) -> Vec<ShimEvent> {
        self.runtime.block_on(self.recorded_now())
    }

    async fn recorded_now(&self) -> Vec<ShimEvent> {
        let mut events = self.store.shim_events().fetch_all(10_000).await.unwrap();
        // Changes are committed at once, reads in batches: ids are not in the order of arrival.
        events.sort_by(|a, b| (a.timestamp, &a.request_id).cmp(&(b.timestamp, &b.request_id)));
        events
    }

    /// Ends serving and tells how long that took.
    pub fn stop(&mut self) -> Duration {
        let began = Instant::now();
        self.shutdown.cancel();
        if let Some(serving) = self.serving.take() {
            self.runtime.block_on(async { tokio::time::timeout(LIMIT, serving).await }).unwrap().unwrap();
        }
        began.elapsed()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
            self.runtime.block_on(self.daemon.shutdown());
        }
    }
}

/// Waits until `done`, and fails when that takes too long.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < LIMIT, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A raw connection.
pub struct Conn {
    stream: UnixStream,
    /// Read, and not looked at yet.
    rest: Vec<u8>,
}

impl Conn {
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// For what is refused before it is read to its end.
    pub fn write_what_is_taken(&mut self, bytes: &[u8]) {
        if let Err(e) = self.stream.write_all(bytes) {
            assert!(matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{e}");
        }
    }

    pub fn request(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) {
        let length =
            if body.is_empty() && method != "POST" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: d\r\n{headers}{length}\r\n").into_bytes();
        bytes.extend_from_slice(body);
        self.write(&bytes);
    }

    /// Sends a request that asks for the connection, and gives the answer's head.
    pub fn hijack(&mut self, path: &str, body: &str) -> String {
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        self.request("POST", path, &format!("Connection: Upgrade\r\nUpgrade: tcp\r\n{kind}"), body.as_bytes());
        self.head()
    }

    pub fn half_close(&self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Reads more; false at the end.
    fn fill(&mut self) -> bool {
        let mut piece = [0; 16 << 10];
        match self.stream.read(&mut piece) {
            Ok(0) => false,
            Ok(n) => {
                self.rest.extend_from_slice(&piece[..n]);
                true
            }
            Err(e) if e.kind() == ErrorKind::ConnectionReset => false,
            Err(e) => panic!("no answer in time: {e}; so far {:?}", String::from_utf8_lossy(&self.rest)),
        }
    }

    /// The head of an answer, with its empty line.
    pub fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.rest.windows(4).position(|w| w == b"\r\n\r\n") {
                let head: Vec<u8> = self.rest.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            assert!(self.fill(), "the connection ended in the head: {:?}", String::from_utf8_lossy(&self.rest));
        }
    }

    /// Everything up to the end of the connection.
    pub fn drain(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.rest)
    }

    /// Reads until `mark` has come, and gives everything up to its end.
    pub fn until(&mut self, mark: &str) -> Vec<u8> {
        loop {
            if let Some(at) = self.rest.windows(mark.len()).position(|w| w == mark.as_bytes()) {
                return self.rest.drain(..at + mark.len()).collect();
            }
            assert!(self.fill(), "ended before {mark:?}: {:?}", String::from_utf8_lossy(&self.rest));
        }
    }

    /// A whole answer on a connection that ends after it.
    pub fn reply(&mut self, no_body: bool) -> Reply {
        let head = self.head();
        let body = self.drain();
        Reply::of(
            &head,
            if no_body {
                assert_eq!(body, b"");
                body
            } else {
                body
            },
        )
    }
}

pub struct Reply {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Reply {
    fn of(head: &str, body: Vec<u8>) -> Self {
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap();
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        Self { status, head: head.to_owned(), body: if chunked { unchunked(&body) } else { body } }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|l| l.split_once(": ").filter(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v))
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.text()))
    }

    /// The words of an error, after checking its form.
    #[track_caller]
    pub fn message(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.text());
        let json = self.json();
        assert_eq!(json.as_object().unwrap().len(), 1, "{json}");
        json["message"].as_str().unwrap().to_owned()
    }
}

pub fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = body.windows(2).position(|w| w == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        out.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 4 + size..];
    }
    out
}

/// The payload of stdcopy frames, by stream.
pub fn demultiplexed(mut bytes: &[u8]) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while bytes.len() >= 8 {
        let size = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]) as usize;
        assert!(matches!(bytes[0], 1 | 2) && bytes[1..4] == [0, 0, 0], "no frame: {bytes:?}");
        if bytes[0] == 1 { &mut out } else { &mut err }.extend_from_slice(&bytes[8..8 + size]);
        bytes = &bytes[8 + size..];
    }
    assert!(bytes.is_empty(), "half a frame: {bytes:?}");
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}
