//! Health checks on the memory engine: states, events, what the store keeps, and restarts by label.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use futures::StreamExt as _;
use lighter_core::{CoreConfig, CreateContainer, Daemon, EventQuery};
use lighter_domain::filter::Filters;
use lighter_domain::host_config::{RestartPolicy, RestartPolicyName};
use lighter_domain::{Container, ContainerConfig, HealthConfig, HealthStatus};
use lighter_engine::Engine;
use lighter_engine_memory::{MemoryConfig, MemoryEngine};
use lighter_store::Store;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

struct World {
    daemon: Daemon,
    store: Store,
    engine: Arc<dyn Engine>,
    dir: tempfile::TempDir,
}

async fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("lighter.db")).await.unwrap();
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new(MemoryConfig::default()));
    let daemon = Daemon::start(CoreConfig::new(dir.path().to_owned()), store.clone(), engine.clone()).await.unwrap();
    World { daemon, store, engine, dir }
}

fn checked(name: &str, test: &[&str]) -> CreateContainer {
    let words = |words: &[&str]| words.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let healthcheck =
        HealthConfig { test: words(test), interval: 5_000_000, timeout: 20_000_000, retries: 2, ..HealthConfig::default() };
    let config = ContainerConfig {
        image: "busybox".into(),
        cmd: Some(words(&["sleep", "9"])),
        healthcheck: Some(healthcheck),
        ..ContainerConfig::default()
    };
    CreateContainer { name: Some(name.into()), config, api_version: "1.47".into(), ..CreateContainer::default() }
}

impl World {
    /// The container once `wanted` holds.
    async fn once(&self, name: &str, wanted: impl Fn(&Container) -> bool) -> Arc<Container> {
        let looked = async {
            loop {
                let container = self.daemon.resolve(name).unwrap();
                if wanted(&container) {
                    return container;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), looked).await.expect("it comes about")
    }

    async fn is(&self, name: &str, status: HealthStatus) -> Arc<Container> {
        self.once(name, |c| c.health.as_ref().is_some_and(|h| h.status == status)).await
    }

    async fn actions(&self) -> Vec<String> {
        let (since, until) = (Some(OffsetDateTime::UNIX_EPOCH), Some(OffsetDateTime::now_utc()));
        let mut filters = Filters::default();
        filters.add("type", "container");
        let query = EventQuery { since, until, filters };
        let all: Vec<String> = self.daemon.events(query).await.unwrap().map(|e| e.action.clone()).collect().await;
        all.into_iter().filter(|a| !a.starts_with("exec_")).collect()
    }
}

#[tokio::test]
async fn a_failing_check_and_its_place_in_the_store() {
    let w = world().await;
    w.daemon.create(checked("ill", &["CMD-SHELL", "echo bad; exit 4"])).await.unwrap();
    assert_eq!(w.daemon.resolve("ill").unwrap().health, None);
    w.daemon.start_container("ill").await.unwrap();
    let ill = w.is("ill", HealthStatus::Unhealthy).await;
    let last = ill.health.as_ref().unwrap().log.last().unwrap().clone();
    assert_eq!((last.exit_code, last.output.as_str()), (4, "bad\n"));
    assert_eq!(w.actions().await, ["create", "start", "health_status: unhealthy"]);
    // A daemon that died here would find it so.
    let stored = w.store.load_container(ill.uuid).await.unwrap().unwrap();
    assert_eq!(stored.health.unwrap().status, HealthStatus::Unhealthy);
}

#[tokio::test]
async fn another_daemon_goes_on_where_the_first_one_was() {
    let w = world().await;
    w.daemon.create(checked("well", &["CMD", "true"])).await.unwrap();
    w.daemon.start_container("well").await.unwrap();
    w.is("well", HealthStatus::Healthy).await;
    w.daemon.shutdown().await;
    let store = Store::open(&w.dir.path().join("lighter.db")).await.unwrap();
    let daemon = Daemon::start(CoreConfig::new(w.dir.path().to_owned()), store.clone(), w.engine.clone()).await.unwrap();
    let w = World { daemon, store, ..w };
    let found = w.daemon.resolve("well").unwrap().health.clone().unwrap();
    assert_eq!(found.status, HealthStatus::Healthy);
    let last = found.log.last().unwrap().start;
    w.once("well", |c| c.health.as_ref().is_some_and(|h| h.log.last().is_some_and(|r| r.start > last))).await;
}

#[tokio::test]
async fn a_probe_that_takes_too_long_is_ended() {
    let w = world().await;
    w.daemon.create(checked("slow", &["CMD-SHELL", "echo begun; sleep 9"])).await.unwrap();
    w.daemon.start_container("slow").await.unwrap();
    let slow = w.is("slow", HealthStatus::Unhealthy).await;
    let last = slow.health.as_ref().unwrap().log.last().unwrap().clone();
    assert_eq!((last.exit_code, last.output.as_str()), (-1, "Health check exceeded timeout (20ms): begun\n"));
}

#[tokio::test]
async fn by_label_and_policy_an_unhealthy_container_is_started_again() {
    let w = world().await;
    let mut again = checked("again", &["CMD", "false"]);
    again.config.labels.insert("lighter.restart-on-unhealthy".into(), "true".into());
    let mut never = again.clone();
    never.name = Some("never".into());
    again.host_config.restart_policy = RestartPolicy { name: RestartPolicyName::OnFailure, maximum_retry_count: 1 };
    for request in [again, never] {
        let name = request.name.clone().unwrap();
        w.daemon.create(request).await.unwrap();
        w.daemon.start_container(&name).await.unwrap();
        w.is(&name, HealthStatus::Unhealthy).await;
    }
    let restarted = w.once("again", |c| c.restart_count == 1 && c.state.is_running()).await;
    assert!(!restarted.manually_stopped);
    // Its tries are used up: it stays as it is, and so does the one without a policy.
    for name in ["again", "never"] {
        w.once(name, |c| c.state.is_running() && c.health.as_ref().is_some_and(|h| h.failing_streak > 4)).await;
    }
    let told = w.actions().await;
    assert_eq!(told.iter().filter(|a| *a == "kill").count(), 1, "{told:?}");
}
