//! kill -9 in the middle of writing: what was answered is there, nothing is there by half, and the file is sound.

mod support;

use lighter_domain::resource::ContainerLog;
use lighter_store::{Change, Store};
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use support::{Random, at, event, raw, shim_event};
use uuid::Uuid;

const DIRECTORY: &str = "LIGHTER_STORE_TEST_CHILD";
const WRITERS: u64 = 8;

/// The child: writes until it is killed, and says what was answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let store = Store::open(&std::path::Path::new(&directory).join("db")).await.unwrap();
    let tasks: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0.. {
                    let mut container = Random::new(writer).container();
                    container.uuid = Uuid::from_u64_pair(writer + 1, n);
                    container.name = format!("{writer}-{n}");
                    let set = vec![
                        Change::PutContainer(Arc::new(container.clone())),
                        Change::Event(event((writer * 1_000_000 + n).cast_signed())),
                        Change::Logs { container: container.uuid, lines: vec![(at(0), container.name.clone())] },
                    ];
                    store.apply(set).await.unwrap();
                    for extra in 0..20 {
                        store.record(shim_event(extra)).await.unwrap();
                    }
                    // One write call, so that the line is whole.
                    std::io::stdout().write_all(format!("answered {}\n", container.uuid).as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn killed_while_writing() {
    for answers in [40, 400, 1500] {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(DIRECTORY, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut answered = Vec::new();
        let mut read = |answered: &mut Vec<Uuid>| -> bool {
            let Some(Ok(line)) = lines.next() else { return false };
            if let Some((_, id)) = line.split_once("answered ") {
                answered.push(id.parse().unwrap());
            }
            true
        };
        while answered.len() < answers {
            assert!(read(&mut answered), "the child ended by itself");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        while read(&mut answered) {}

        let path = dir.path().join("db");
        let store = Store::open(&path).await.unwrap();
        let loaded = store.load_containers().await.unwrap();
        assert_eq!(loaded.problems, []);
        let stored: std::collections::HashSet<Uuid> = loaded.items.iter().map(|c| c.uuid).collect();
        for id in &answered {
            assert!(stored.contains(id), "{id} was answered and is gone ({} answered, {} stored)", answered.len(), stored.len());
        }
        assert!(stored.len() <= answered.len() + usize::try_from(WRITERS).unwrap(), "more than was ever asked for");
        // No unit of work by half.
        assert_eq!(store.events(None, None, 1_000_000).await.unwrap().len(), stored.len());
        let logs: Vec<ContainerLog> = store.container_logs().fetch_all(0, 1_000_000).await.unwrap();
        assert_eq!(logs.iter().map(|l| l.container_id).collect::<std::collections::HashSet<_>>(), stored);
        let mut db = raw(&path).await;
        let check: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut db).await.unwrap();
        assert_eq!(check, "ok");
        let strays = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut db).await.unwrap();
        assert!(strays.is_empty());
        store.close().await.unwrap();
    }
}
