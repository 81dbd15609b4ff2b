//! What must be true afterwards.

use crate::load::Book;
use docker_compat_tests::daemon::alive;
use docker_compat_tests::{Daemon, PATIENCE, leaks};
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Row};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

/// The writers never noticed, and no line of theirs is missing or there twice.
pub fn logs(daemon: &Daemon, book: &Book, writers: &[String]) {
    for id in writers {
        let state = &daemon.http("GET", &format!("/containers/{id}/json"), None).json()["State"];
        assert_eq!((&state["Running"], book.is_writer(id)), (&Value::Bool(true), true), "{state}");
        daemon.docker(&["kill", "-s", "TERM", id]).ok();
        assert_eq!(daemon.docker(&["wait", id]).ok(), "0");
        let out = daemon.docker(&["logs", id]);
        let lines = out.lines();
        let (last, body) = lines.split_last().unwrap();
        assert_eq!(*last, format!("end {}", body.len()));
        assert!(body.iter().enumerate().all(|(n, line)| *line == format!("line {}", n + 1)), "in order, none missing");
    }
}

/// The daemon knows exactly what it was told to make and not to remove, and each state is the machine's. Gives the ids.
pub fn states(daemon: &Daemon, book: &Book) -> BTreeSet<String> {
    let list = daemon.http("GET", "/containers/json?all=1", None).json();
    let there: BTreeSet<String> = list.as_array().unwrap().iter().map(|c| c["Id"].as_str().unwrap().to_owned()).collect();
    for (id, fate) in book.fates() {
        assert!(!(fate.removed && there.contains(&id)), "{id} was removed: {fate:?}");
        assert!(fate.removal_tried || there.contains(&id), "{id} was created: {fate:?}");
    }
    for id in &there {
        // What ended a moment ago is told a moment later.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let state = daemon.http("GET", &format!("/containers/{id}/json"), None).json()["State"].clone();
            let members = processes_in(id);
            if is_true(&state, &members) {
                break;
            }
            let fate = &book.fates()[id];
            assert!(Instant::now() < deadline, "{id} is not what it is said to be: {state}, {fate:?}, processes {members:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    there
}

/// Whether a container's state is what its processes say.
fn is_true(state: &Value, members: &[u32]) -> bool {
    let pid = state["Pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    match state["Status"].as_str() {
        Some("running") => pid.is_some_and(|pid| alive(pid) && members.contains(&pid)),
        Some("created" | "exited") => pid == Some(0) && members.is_empty(),
        _ => false,
    }
}

/// Live processes in the control groups of a container.
fn processes_in(id: &str) -> Vec<u32> {
    let named = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text.contains(id));
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| alive(*pid) && named(pid))
        .collect()
}

/// The database is whole, has the containers that there are, and every creation that was answered.
pub fn store(roots: &Path, book: &Book, containers: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let path = roots.join("data/lighter.db");
        let mut store = SqliteConnectOptions::new().filename(path).read_only(true).connect().await.unwrap();
        let integrity: String = sqlx::query("PRAGMA integrity_check").fetch_one(&mut store).await.unwrap().get(0);
        assert_eq!(integrity, "ok");
        let rows: i64 = sqlx::query("SELECT count(*) FROM containers").fetch_one(&mut store).await.unwrap().get(0);
        assert_eq!(usize::try_from(rows).unwrap(), containers);
        let told: BTreeSet<String> =
            sqlx::query("SELECT containerId FROM shimEvents WHERE kind = 'ContainerCreate' AND httpStatus = 201")
                .fetch_all(&mut store)
                .await
                .unwrap()
                .iter()
                .filter_map(|row| row.get(0))
                .collect();
        let forgotten: Vec<String> = book.fates().into_keys().filter(|id| !told.contains(id)).collect();
        assert!(forgotten.is_empty(), "answered and not recorded: {forgotten:?}");
    });
}

/// All of them can be removed, and nothing of them is left on the machine.
pub fn removal(daemon: &Daemon, ids: &BTreeSet<String>) {
    for id in ids {
        let answer = daemon.http("DELETE", &format!("/containers/{id}?force=1"), None);
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
    leaks::assert_gone(daemon, &ids.iter().cloned().collect::<Vec<_>>());
}
