//! The clients: what they ask for, and the book of what they were answered.

use docker_compat_tests::http::{Client, Response};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What is known of one container whose creation was answered.
#[derive(Debug, Clone, Default)]
pub struct Fate {
    pub writer: bool,
    pub supervisor_killed: bool,
    /// Asked for, whatever the answer.
    pub removal_tried: bool,
    /// Answered with success.
    pub removed: bool,
}

/// Shared by all clients.
pub struct Book {
    socket: PathBuf,
    pub stop: AtomicBool,
    fates: Mutex<BTreeMap<String, Fate>>,
    answered: AtomicU64,
    lost: AtomicU64,
    refused: AtomicU64,
}

impl Book {
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_path_buf(),
            stop: AtomicBool::new(false),
            fates: Mutex::default(),
            answered: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    pub fn note(&self, id: &str, change: impl FnOnce(&mut Fate)) {
        change(self.fates.lock().unwrap().entry(id.to_owned()).or_default());
    }

    pub fn is_writer(&self, id: &str) -> bool {
        self.fates.lock().unwrap().get(id).is_some_and(|fate| fate.writer)
    }

    pub fn fates(&self) -> BTreeMap<String, Fate> {
        self.fates.lock().unwrap().clone()
    }

    pub fn counts(&self) -> String {
        let count = |n: &AtomicU64| n.load(Ordering::SeqCst);
        let made = self.fates.lock().unwrap().len();
        let (answered, lost, refused) = (count(&self.answered), count(&self.lost), count(&self.refused));
        format!("{made} containers, {answered} requests answered, {refused} of them with 5xx, {lost} cut off")
    }

    /// One request; `None` when the daemon went away before its whole answer was here.
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Response> {
        let text = body.map(Value::to_string);
        let answer =
            Client::connect(&self.socket).and_then(|mut c| c.request(method, path, &[], text.as_deref().map(str::as_bytes)));
        match answer {
            Ok(answer) => {
                self.answered.fetch_add(1, Ordering::SeqCst);
                self.refused.fetch_add((answer.status >= 500).into(), Ordering::SeqCst);
                Some(answer)
            }
            Err(error) => {
                // The daemon that goes away cuts the connection; silence is something else.
                let silent = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(!silent, "no answer to {method} {path}: {error}");
                self.lost.fetch_add(1, Ordering::SeqCst);
                // The next daemon is a moment away.
                std::thread::sleep(Duration::from_millis(20));
                None
            }
        }
    }

    fn create(&self, cmd: &[&str], writer: bool) -> Option<String> {
        let body = json!({"Image": "busybox", "Cmd": cmd, "HostConfig": {"NetworkMode": "none"}});
        let answer = self.ask("POST", "/containers/create", Some(&body))?;
        if answer.status != 201 {
            return None;
        }
        let id = answer.json()["Id"].as_str()?.to_owned();
        self.note(&id, |fate| fate.writer = writer);
        Some(id)
    }
}

/// Containers that number their lines and that nobody kills.
pub fn start_writers(book: &Book) -> Vec<String> {
    let script = "trap 'echo end $n; exit 0' TERM; n=0; while :; do n=$((n+1)); echo line $n; usleep 2000; done";
    (0..2)
        .map(|_| {
            let id = book.create(&["sh", "-c", script], true).expect("no fault yet");
            let started = book.ask("POST", &format!("/containers/{id}/start"), None).expect("no fault yet");
            assert_eq!(started.status, 204, "{}", started.text());
            id
        })
        .collect()
}

/// One client, until it is told to stop.
pub fn work(book: &Book, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut mine: Vec<String> = Vec::new();
    while !book.stop.load(Ordering::SeqCst) {
        let choice = random.random_range(0..10);
        let at = (!mine.is_empty()).then(|| random.random_range(0..mine.len()));
        match (choice, at) {
            (0..3, _) | (_, None) if mine.len() < 6 => {
                let code = random.random_range(0..120).to_string();
                let short = format!("echo hello; exit {code}");
                let cmd: &[&str] = if random.random() { &["sleep", "1000"] } else { &["sh", "-c", &short] };
                let Some(id) = book.create(cmd, false) else { continue };
                book.ask("POST", &format!("/containers/{id}/start"), None);
                mine.push(id);
            }
            (3 | 4, Some(at)) => exec(book, &mine[at]),
            (5, Some(at)) => drop(book.ask("POST", &format!("/containers/{}/stop?t=0", mine[at]), None)),
            (6, Some(at)) => drop(book.ask("POST", &format!("/containers/{}/restart?t=0", mine[at]), None)),
            (7, Some(at)) => drop(book.ask("POST", &format!("/containers/{}/kill", mine[at]), None)),
            (8, Some(at)) => drop(book.ask("POST", &format!("/containers/{}/start", mine[at]), None)),
            (_, Some(at)) => remove(book, &mine.swap_remove(at)),
            (_, None) => {}
        }
    }
}

fn exec(book: &Book, id: &str) {
    let body = json!({"Cmd": ["echo", "from an exec"], "AttachStdout": true});
    let Some(made) = book.ask("POST", &format!("/containers/{id}/exec"), Some(&body)).filter(|a| a.status == 201) else { return };
    let exec = made.json()["Id"].as_str().unwrap().to_owned();
    book.ask("POST", &format!("/exec/{exec}/start"), Some(&json!({"Detach": false})));
}

fn remove(book: &Book, id: &str) {
    book.note(id, |fate| fate.removal_tried = true);
    if let Some(answer) = book.ask("DELETE", &format!("/containers/{id}?force=1"), None) {
        book.note(id, |fate| fate.removed = answer.status == 204);
    }
}
