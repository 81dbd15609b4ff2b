//! An engine that does not answer: clients are told in time, other containers do not notice, and what happens late is shown.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use async_trait::async_trait;
use lighter_core::{CoreConfig, CreateContainer, Daemon, RemoveOptions, WaitCondition};
use lighter_domain::{Container, ContainerConfig, ContainerId, ContainerState, ErrorKind, Exit, Result, Signal};
use lighter_engine::{Description, Engine, Found, Images, Review, StartFailure, Started};
use lighter_engine_memory::{MemoryConfig, MemoryEngine};
use lighter_store::Store;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// The memory engine behind a gate: while it is closed, no container whose name begins with `slow` starts.
struct Gated {
    engine: MemoryEngine,
    gate: Semaphore,
}

#[async_trait]
impl Engine for Gated {
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
        if container.name.starts_with("slow") {
            self.gate.acquire().await.unwrap().forget();
        }
        self.engine.start(container).await
    }
    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<()> {
        self.engine.signal(id, signal).await
    }
    async fn wait(&self, id: &ContainerId) -> Result<Exit> {
        self.engine.wait(id).await
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
}

async fn daemon(engine: Arc<Gated>) -> (Daemon, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("lighter.db")).await.unwrap();
    let config = CoreConfig { engine_timeout: Duration::from_millis(100), ..CoreConfig::new(dir.path().to_owned()) };
    (Daemon::start(config, store, engine).await.unwrap(), dir)
}

async fn create(daemon: &Daemon, name: &str) {
    let config =
        ContainerConfig { image: "busybox".into(), cmd: Some(vec!["sleep".into(), "1000".into()]), ..ContainerConfig::default() };
    let request = CreateContainer { name: Some(name.into()), config, api_version: "1.47".into(), ..CreateContainer::default() };
    daemon.create(request).await.unwrap();
}

#[tokio::test]
async fn a_start_that_comes_late_is_shown() {
    let engine = Arc::new(Gated { engine: MemoryEngine::new(MemoryConfig::default()), gate: Semaphore::new(0) });
    let (daemon, _dir) = daemon(engine.clone()).await;
    create(&daemon, "slow").await;
    create(&daemon, "other").await;
    let error = daemon.start_container("slow").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.message().contains("did not answer within 0.1 s"), "{error}");
    daemon.start_container("other").await.unwrap();
    let slow = daemon.resolve("slow").unwrap();
    assert_eq!(slow.state, ContainerState::Created, "what is not known to run is not shown as running");
    // Asked again it waits for the same start, not for a second one: the gate opens once.
    assert_eq!(daemon.start_container("slow").await.unwrap_err().kind(), ErrorKind::Timeout);
    daemon.rename("slow", "slower").await.unwrap();
    engine.gate.add_permits(1);
    tokio::time::timeout(Duration::from_secs(10), async {
        while !daemon.resolve("slower").unwrap().state.is_running() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the late start is noticed, and the new name kept");
    let waiting = daemon.wait("slower", WaitCondition::NotRunning).unwrap();
    daemon.remove("slower", RemoveOptions { force: true, ..RemoveOptions::default() }).await.unwrap();
    assert_eq!(waiting.result.await.unwrap().exit_code, 137);
}
