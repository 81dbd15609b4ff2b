//! Log lines on their way into the store: each once, those of the gone too, secrets hidden, floods told as gaps.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use async_trait::async_trait;
use lighter_core::{AttachRequest, CoreConfig, CreateContainer, Daemon, RemoveOptions, WaitCondition};
use lighter_domain::{Container, ContainerConfig, ContainerId, Exit, LogFilter, LogLevel, LogSource, Result, Signal};
use lighter_engine::{Attach, ByteStream, Description, Engine, Found, Images, LogQuery, Logs, Review, StartFailure, Started};
use lighter_engine_memory::{MemoryConfig, MemoryEngine};
use lighter_store::Store;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::io::AsyncWriteExt as _;

/// Looks only when it is asked.
async fn daemon(dir: &Path, engine: &Arc<impl Engine>, most: u64) -> Daemon {
    let mut config = CoreConfig::new(dir.to_owned());
    config.log_index_interval = Duration::from_secs(3600);
    config.log_index_lines = most;
    Daemon::start(config, Store::open(&dir.join("lighter.db")).await.unwrap(), engine.clone()).await.unwrap()
}

fn engine() -> Arc<MemoryEngine> {
    Arc::new(MemoryEngine::new(MemoryConfig::default()))
}

async fn run(daemon: &Daemon, name: &str, script: &str, env: &[&str]) {
    let config = ContainerConfig {
        image: "busybox".into(),
        cmd: Some(vec!["sh".into(), "-c".into(), script.into()]),
        env: env.iter().map(|e| (*e).to_owned()).collect(),
        ..ContainerConfig::default()
    };
    let request = CreateContainer { name: Some(name.into()), config, api_version: "1.47".into(), ..CreateContainer::default() };
    daemon.create(request).await.unwrap();
    again(daemon, name).await;
}

async fn again(daemon: &Daemon, name: &str) {
    let ended = daemon.wait(name, WaitCondition::NextExit).unwrap();
    daemon.start_container(name).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), ended.result).await.expect("it ends").unwrap();
}

async fn found(daemon: &Daemon, query: &str) -> Vec<String> {
    let filter = LogFilter { query: query.into(), limit: 1000, ..LogFilter::default() };
    daemon.search_logs(&filter).await.unwrap().lines.into_iter().rev().map(|l| l.message).collect()
}

async fn kept(dir: &Path, daemon: &Daemon, name: &str) -> Vec<String> {
    let uuid = daemon.resolve(name).unwrap().uuid;
    let store = Store::open(&dir.join("lighter.db")).await.unwrap();
    let lines = store.container_logs().fetch(uuid, 1000).await.unwrap();
    store.close().await.unwrap();
    lines.into_iter().map(|l| l.line).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_line_is_stored_once_whatever_comes_between() {
    let (dir, engine) = (tempfile::tempdir().unwrap(), engine());
    let first = daemon(dir.path(), &engine, 1000).await;
    run(&first, "talker", "echo one; echo ERROR two >&2", &[]).await;
    assert_eq!(found(&first, "").await, ["one", "ERROR two"]);
    assert_eq!(found(&first, "").await.len(), 2);
    again(&first, "talker").await;
    // The last look is at the end.
    first.shutdown().await;
    let second = daemon(dir.path(), &engine, 1000).await;
    let four = ["one", "ERROR two", "one", "ERROR two"];
    assert_eq!(found(&second, "").await, four);
    assert_eq!(kept(dir.path(), &second, "talker").await, four);
    again(&second, "talker").await;
    assert_eq!(found(&second, "").await.len(), 6);
    let severe = LogFilter { levels: vec![LogLevel::Error], source: Some(LogSource::Stderr), limit: 9, ..LogFilter::default() };
    assert_eq!(second.search_logs(&severe).await.unwrap().lines.len(), 3);
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_container_said_outlives_it() {
    let (dir, engine) = (tempfile::tempdir().unwrap(), engine());
    let daemon = daemon(dir.path(), &engine, 1000).await;
    run(&daemon, "mortal", "echo last words", &[]).await;
    let id = daemon.resolve("mortal").unwrap().id.as_str().to_owned();
    daemon.remove("mortal", RemoveOptions::default()).await.unwrap();
    let filter = LogFilter { query: "words".into(), containers: vec![id], limit: 10, ..LogFilter::default() };
    let lines = daemon.search_logs(&filter).await.unwrap().lines;
    assert_eq!((lines.len(), lines[0].container.as_str()), (1, "mortal"));
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_of_the_environment_are_not_stored() {
    let (dir, engine) = (tempfile::tempdir().unwrap(), engine());
    let daemon = daemon(dir.path(), &engine, 1000).await;
    let env = ["API_TOKEN=canary-4711", "DB=postgres://app:canary-0815@db/x", "LANG=de_DE.UTF-8"];
    run(&daemon, "chatty", "echo token canary-4711 of postgres://app:canary-0815@db/x in de_DE.UTF-8", &env).await;
    let hidden = "token *** of postgres://app:***@db/x in de_DE.UTF-8";
    assert_eq!(found(&daemon, "token").await, [hidden]);
    assert_eq!(found(&daemon, "canary*").await, [""; 0]);
    assert_eq!(kept(dir.path(), &daemon, "chatty").await, [hidden]);
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_cut_and_the_cut_is_told() {
    let (dir, engine) = (tempfile::tempdir().unwrap(), engine());
    let daemon = daemon(dir.path(), &engine, 2000).await;
    run(&daemon, "flood", "echo first; seq 900", &[]).await;
    let all = LogFilter { limit: 10_000, ..LogFilter::default() };
    let before = daemon.search_logs(&all).await.unwrap();
    assert_eq!((before.lines.len(), before.gaps.len()), (901, 0));
    let mut other = 0;
    // More than one look takes, and all of it new.
    for _ in 0..3 {
        again(&daemon, "flood").await;
        other += 901;
    }
    let after = daemon.search_logs(&all).await.unwrap();
    assert!(other > 2000);
    assert_eq!((after.lines.len(), after.gaps.len()), (901 + 2000, 1));
    let gap = &after.gaps[0];
    assert_eq!((gap.since, gap.until), (before.lines[0].at, after.lines[1999].at));
    let daemons_next = daemon.search_logs(&all).await.unwrap();
    assert_eq!((daemons_next.lines.len(), daemons_next.gaps.len()), (2901, 1), "the gap is behind us");
    daemon.shutdown().await;
}

/// The memory engine, but what is printed after the start was on its way when the program ended, as a pipe is read after that.
struct Late {
    engine: MemoryEngine,
    started: Mutex<OffsetDateTime>,
}

#[async_trait]
impl Engine for Late {
    fn describe(&self) -> Description {
        self.engine.describe()
    }
    fn review(&self, container: &Container) -> Result<Review> {
        self.engine.review(container)
    }
    async fn create(&self, container: &Container) -> Result<()> {
        self.engine.create(container).await
    }
    async fn start(&self, container: &Container) -> Result<Started, StartFailure> {
        let started = self.engine.start(container).await?;
        *self.started.lock().unwrap() = started.started_at;
        Ok(started)
    }
    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<()> {
        self.engine.signal(id, signal).await
    }
    async fn wait(&self, id: &ContainerId) -> Result<Exit> {
        let exit = self.engine.wait(id).await?;
        Ok(Exit { finished_at: *self.started.lock().unwrap(), ..exit })
    }
    async fn cleanup(&self, id: &ContainerId) -> Result<()> {
        self.engine.cleanup(id).await
    }
    async fn remove(&self, id: &ContainerId) -> Result<()> {
        self.engine.remove(id).await
    }
    async fn list(&self) -> Result<Vec<Found>> {
        self.engine.list().await
    }
    async fn reconcile(&self, known: &[Arc<Container>]) -> Result<()> {
        self.engine.reconcile(known).await
    }
    fn images(&self) -> Option<&dyn Images> {
        self.engine.images()
    }
    fn attach(&self) -> Option<&dyn Attach> {
        Engine::attach(&self.engine)
    }
    fn logs(&self) -> Option<&dyn Logs> {
        Some(self)
    }
}

/// Those of `stuck` are being read for ever.
#[async_trait]
impl Logs for Late {
    async fn logs(&self, container: &Container, query: LogQuery) -> Result<ByteStream> {
        match container.name.as_str() {
            "stuck" => std::future::pending().await,
            _ => Logs::logs(&self.engine, container, query).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_after_the_end_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Late { engine: MemoryEngine::new(MemoryConfig::default()), started: Mutex::new(OffsetDateTime::UNIX_EPOCH) };
    let daemon = daemon(dir.path(), &Arc::new(engine), 1000).await;
    let config = ContainerConfig {
        image: "busybox".into(),
        cmd: Some(["sh", "-c", "echo one; cat"].map(String::from).into()),
        open_stdin: true,
        ..ContainerConfig::default()
    };
    let request = CreateContainer { name: Some("late".into()), config, api_version: "1.47".into(), ..CreateContainer::default() };
    daemon.create(request).await.unwrap();
    let request = AttachRequest { stream: true, stdin: true, ..AttachRequest::default() };
    let mut input = daemon.attach("late", request).await.unwrap().session.unwrap().input.unwrap();
    let ended = daemon.wait("late", WaitCondition::NextExit).unwrap();
    daemon.start_container("late").await.unwrap();
    // A look between the end and the last line of it.
    assert_eq!(found(&daemon, "").await, ["one"]);
    input.write_all(b"two\n").await.unwrap();
    daemon.kill("late", None).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), ended.result).await.expect("it ends").unwrap();
    assert_eq!(found(&daemon, "").await, ["one", "two"]);
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_one_does_not_wait_for_another() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Late { engine: MemoryEngine::new(MemoryConfig::default()), started: Mutex::new(OffsetDateTime::UNIX_EPOCH) };
    let daemon = daemon(dir.path(), &Arc::new(engine), 1000).await;
    run(&daemon, "stuck", "echo never", &[]).await;
    // In which order all are looked at is chance.
    for name in ["aa", "bb", "cc", "dd"] {
        run(&daemon, name, "echo said", &[]).await;
        let id = daemon.resolve(name).unwrap().id.as_str().to_owned();
        let filter = LogFilter { containers: vec![id], limit: 10, ..LogFilter::default() };
        assert_eq!(daemon.search_logs(&filter).await.unwrap().lines.len(), 1, "{name}");
    }
}

/// `cargo test --release -p lighter-core --test log_index -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn cost_of_a_flood() {
    let (dir, engine) = (tempfile::tempdir().unwrap(), engine());
    let daemon = daemon(dir.path(), &engine, 100_000).await;
    run(&daemon, "flood", "seq 100000", &[]).await;
    let began = std::time::Instant::now();
    let filter = LogFilter { limit: 1, before_id: None, ..LogFilter::default() };
    while daemon.search_logs(&filter).await.unwrap().lines.first().is_none_or(|l| l.message != "100000") {}
    eprintln!("100,000 lines: {:?}", began.elapsed());
    daemon.shutdown().await;
}
