//! The use cases on the memory engine and a real store: what a client sees, in the order in which it sees it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use futures::StreamExt as _;
use lighter_core::{
    AttachRequest, CoreConfig, CreateContainer, Daemon, EventQuery, ExecStart, ExecState, ListQuery, RemoveOptions, StopOptions,
    WaitCondition,
};
use lighter_domain::filter::Filters;
use lighter_domain::host_config::{RestartPolicy, RestartPolicyName};
use lighter_domain::{ContainerConfig, ErrorKind, ExecConfig, HostConfig};
use lighter_engine::LogQuery;
use lighter_engine_memory::{MemoryConfig, MemoryEngine};
use lighter_store::Store;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::io::AsyncReadExt as _;

struct World {
    daemon: Daemon,
    store: Store,
    dir: tempfile::TempDir,
}

async fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("lighter.db")).await.unwrap();
    let engine = Arc::new(MemoryEngine::new(MemoryConfig::default()));
    let daemon = Daemon::start(CoreConfig::new(dir.path().to_owned()), store.clone(), engine).await.unwrap();
    World { daemon, store, dir }
}

fn request(name: &str, cmd: &[&str]) -> CreateContainer {
    let cmd = Some(cmd.iter().map(|s| (*s).to_owned()).collect());
    let config = ContainerConfig { image: "busybox".into(), cmd, ..ContainerConfig::default() };
    CreateContainer { name: Some(name.into()), config, api_version: "1.47".into(), ..CreateContainer::default() }
}

impl World {
    async fn started(&self, name: &str, cmd: &[&str]) {
        self.daemon.create(request(name, cmd)).await.unwrap();
        self.daemon.start_container(name).await.unwrap();
    }

    async fn actions(&self) -> Vec<String> {
        let since = Some(OffsetDateTime::UNIX_EPOCH);
        let until = Some(OffsetDateTime::now_utc());
        let mut filters = Filters::default();
        filters.add("type", "container");
        let query = EventQuery { since, until, filters };
        self.daemon.events(query).await.unwrap().map(|e| e.action.clone()).collect().await
    }

    async fn waited(&self, name: &str, condition: WaitCondition) -> i32 {
        let waiting = self.daemon.wait(name, condition).unwrap();
        tokio::time::timeout(Duration::from_secs(10), waiting.result).await.expect("the wait ends").unwrap().exit_code
    }
}

#[tokio::test]
async fn a_run_from_create_to_removal_in_order() {
    let w = world().await;
    w.daemon.create(request("one", &["false"])).await.unwrap();
    let next = w.daemon.wait("one", WaitCondition::NextExit).unwrap();
    let removed = w.daemon.wait("one", WaitCondition::Removed).unwrap();
    w.daemon.start_container("one").await.unwrap();
    assert_eq!(next.result.await.unwrap().exit_code, 1);
    assert_eq!(w.waited("one", WaitCondition::NotRunning).await, 1);
    w.daemon.remove("one", RemoveOptions::default()).await.unwrap();
    assert_eq!(removed.result.await.unwrap().exit_code, 1);
    assert_eq!(w.actions().await, ["create", "start", "die", "destroy"]);
    assert_eq!(w.daemon.wait("one", WaitCondition::NotRunning).err().unwrap().message(), "No such container: one");
    assert!(w.store.load_containers().await.unwrap().items.is_empty());
}

#[tokio::test]
async fn auto_remove_ends_a_wait_for_removal_with_the_exit_code() {
    let w = world().await;
    let mut r = request("rm", &["sh", "-c", "exit 7"]);
    r.host_config.auto_remove = true;
    w.daemon.create(r).await.unwrap();
    let removed = w.daemon.wait("rm", WaitCondition::Removed).unwrap();
    w.daemon.start_container("rm").await.unwrap();
    assert_eq!(removed.result.await.unwrap().exit_code, 7);
    assert!(w.daemon.resolve("rm").is_none());
}

#[tokio::test]
async fn stop_restart_and_kill_tell_their_stories_in_dockerds_order() {
    let w = world().await;
    w.started("ss", &["sleep", "1000"]).await;
    w.daemon.restart("ss", StopOptions::default()).await.unwrap();
    w.daemon.stop("ss", StopOptions::default()).await.unwrap();
    let again = w.daemon.stop("ss", StopOptions::default()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotModified);
    assert_eq!(w.actions().await, ["create", "start", "kill", "stop", "die", "start", "restart", "kill", "stop", "die"]);
    let id = w.daemon.resolve("ss").unwrap().id.clone();
    let error = w.daemon.kill("ss", None).await.unwrap_err();
    assert_eq!(error.message(), format!("cannot kill container: ss: container {id} is not running"));
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_running_container_is_removed_only_by_force() {
    let w = world().await;
    w.started("ff", &["sleep", "1000"]).await;
    let error = w.daemon.remove("ff", RemoveOptions::default()).await.unwrap_err();
    assert_eq!(
        error.message(),
        "cannot remove container \"ff\": container is running: stop the container before removing or force remove"
    );
    w.daemon.remove("ff", RemoveOptions { force: true, ..RemoveOptions::default() }).await.unwrap();
    assert_eq!(w.actions().await, ["create", "start", "kill", "die", "destroy"]);
}

#[tokio::test]
async fn a_stop_signal_that_is_ignored_is_followed_by_sigkill() {
    let w = world().await;
    w.started("deaf", &["sh", "-c", "trap 'echo no' TERM; sleep 1000 & wait"]).await;
    let options = StopOptions { signal: Some("SIGCONT".into()), timeout: Some(0) };
    w.daemon.stop("deaf", options).await.unwrap();
    assert_eq!(w.daemon.resolve("deaf").unwrap().exit.clone().unwrap().code, 137);
}

#[tokio::test]
async fn names_and_ids_are_found_and_conflicts_are_worded() {
    let w = world().await;
    let id = w.daemon.create(request("web", &["true"])).await.unwrap().id;
    for reference in ["web", "/web", id.as_str(), id.short(), &id.as_str()[..5]] {
        assert_eq!(w.daemon.resolve(reference).unwrap().id, id, "{reference}");
    }
    let error = w.daemon.create(request("web", &["true"])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().starts_with("Conflict. The container name \"/web\" is already in use by container \""), "{error}");
    w.daemon.rename("web", "api").await.unwrap();
    assert!(w.daemon.resolve("web").is_none());
    w.daemon.create(request("web", &["true"])).await.unwrap();
    assert!(w.daemon.rename("api", "web").await.unwrap_err().message().starts_with("Error when allocating new name: Conflict."));
    let missing = w.daemon.create(CreateContainer {
        config: ContainerConfig { image: "nosuch".into(), ..ContainerConfig::default() },
        ..CreateContainer::default()
    });
    assert_eq!(missing.await.unwrap_err().message(), "No such image: nosuch:latest");
}

#[tokio::test]
async fn a_failed_start_leaves_a_created_container_with_the_code() {
    let w = world().await;
    w.daemon.create(request("bad", &["nosuch"])).await.unwrap();
    let error = w.daemon.start_container("bad").await.unwrap_err();
    assert!(error.message().contains("executable file not found in $PATH"), "{error}");
    let c = w.daemon.resolve("bad").unwrap();
    assert_eq!((c.state.docker_status(), c.exit.clone().unwrap().code), ("created", 127));
    assert_eq!(c.error, error.message());
}

#[tokio::test]
async fn exec_reports_its_code_before_it_is_finished() {
    let w = world().await;
    w.started("xx", &["sleep", "1000"]).await;
    let cmd = |c: &[&str]| ExecConfig {
        cmd: c.iter().map(|s| (*s).to_owned()).collect(),
        attach_stdout: true,
        ..ExecConfig::default()
    };
    let id = w.daemon.exec_create("xx", cmd(&["sh", "-c", "exit 5"])).await.unwrap();
    let started = w.daemon.exec_start(&id, ExecStart::default()).await.unwrap();
    let mut out = Vec::new();
    started.session.unwrap().output.read_to_end(&mut out).await.unwrap();
    started.finished.await;
    assert!(matches!(w.daemon.exec_inspect(&id).unwrap().state, ExecState::Exited { code: 5, .. }));
    assert_eq!(w.daemon.exec_start(&id, ExecStart::default()).await.err().unwrap().kind(), ErrorKind::Conflict);

    let id = w.daemon.exec_create("xx", cmd(&["nosuch"])).await.unwrap();
    let started = w.daemon.exec_start(&id, ExecStart::default()).await.unwrap();
    let mut said = Vec::new();
    started.session.unwrap().output.read_to_end(&mut said).await.unwrap();
    assert!(String::from_utf8_lossy(&said).contains("executable file not found in $PATH"));
    assert!(matches!(w.daemon.exec_inspect(&id).unwrap().state, ExecState::Exited { code: 127, .. }));
}

#[tokio::test]
async fn attach_before_start_sees_everything() {
    let w = world().await;
    w.daemon.create(request("aa", &["echo", "hello"])).await.unwrap();
    let request = AttachRequest { stream: true, stdout: true, stderr: true, ..AttachRequest::default() };
    let attached = w.daemon.attach("aa", request).await.unwrap();
    w.daemon.start_container("aa").await.unwrap();
    let mut out = Vec::new();
    attached.session.unwrap().output.read_to_end(&mut out).await.unwrap();
    assert_eq!(&out[8..], b"hello\n");
}

#[tokio::test]
async fn what_was_printed_is_passed_on_before_the_end_is_told() {
    let w = world().await;
    w.daemon.create(request("aa", &["echo", "hello"])).await.unwrap();
    let request = AttachRequest { stream: true, stdout: true, ..AttachRequest::default() };
    let attached = w.daemon.attach("aa", request.clone()).await.unwrap();
    let deaf = w.daemon.attach("aa", request).await.unwrap();
    let mut waiting = w.daemon.wait("aa", WaitCondition::NextExit).unwrap().result;
    w.daemon.start_container("aa").await.unwrap();
    while w.daemon.resolve("aa").unwrap().exit.is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The end is known, and not told while nobody has read.
    assert!(futures::poll!(&mut waiting).is_pending());
    let mut out = Vec::new();
    attached.session.unwrap().output.read_to_end(&mut out).await.unwrap();
    assert_eq!(&out[8..], b"hello\n");
    drop(deaf);
    assert_eq!(waiting.await.unwrap().exit_code, 0);
}

#[tokio::test]
async fn a_policy_restarts_with_backoff_until_the_user_stops_it() {
    let w = world().await;
    let mut r = request("again", &["false"]);
    r.host_config.restart_policy = RestartPolicy { name: RestartPolicyName::OnFailure, maximum_retry_count: 2 };
    w.daemon.create(r).await.unwrap();
    let mut events = w.daemon.events(EventQuery::default()).await.unwrap();
    w.daemon.start_container("again").await.unwrap();
    let mut deaths = 0;
    while deaths < 3 {
        let event = tokio::time::timeout(Duration::from_secs(10), events.next()).await.expect("an event").unwrap();
        deaths += usize::from(event.action == "die");
    }
    let c = w.daemon.resolve("again").unwrap();
    assert_eq!((c.restart_count, c.state.docker_status()), (2, "exited"));
}

#[tokio::test]
async fn lists_filter_and_sort() {
    let w = world().await;
    w.started("old", &["sleep", "1000"]).await;
    let mut r = request("young", &["true"]);
    r.config.labels.insert("tier".into(), "front".into());
    w.daemon.create(r).await.unwrap();
    let names = |filters: &[(&str, &str)], all| {
        let mut query = ListQuery { all, ..ListQuery::default() };
        for (k, v) in filters {
            query.filters.add(*k, *v);
        }
        let daemon = w.daemon.clone();
        async move { daemon.list(query).await.map(|l| l.iter().map(|c| c.container.name.clone()).collect::<Vec<_>>()) }
    };
    assert_eq!(names(&[], false).await.unwrap(), ["old"]);
    assert_eq!(names(&[], true).await.unwrap(), ["young", "old"]);
    assert_eq!(names(&[("label", "tier=front")], true).await.unwrap(), ["young"]);
    assert_eq!(names(&[("status", "created"), ("status", "running")], false).await.unwrap(), ["young", "old"]);
    assert_eq!(names(&[("name", "^/o")], true).await.unwrap(), ["old"]);
    assert_eq!(names(&[("ancestor", "busybox"), ("before", "young")], true).await.unwrap(), ["old"]);
    for bad in [("nosuch", "xx"), ("status", "up"), ("exited", "xx"), ("name", "(")] {
        assert_eq!(names(&[bad], true).await.unwrap_err().kind(), ErrorKind::InvalidArgument, "{bad:?}");
    }
}

#[tokio::test]
async fn a_new_daemon_knows_what_the_old_one_knew() {
    let w = world().await;
    w.started("kept", &["sleep", "1000"]).await;
    w.daemon
        .create(CreateContainer {
            host_config: HostConfig { memory: 64 << 20, ..HostConfig::default() },
            ..request("idle", &["true"])
        })
        .await
        .unwrap();
    let idle = w.daemon.resolve("idle").unwrap();
    w.daemon.shutdown().await;
    // A fresh memory engine is a machine that went down: what ran has ended, and nobody saw how.
    let store = Store::open(&w.dir.path().join("lighter.db")).await.unwrap();
    let engine = Arc::new(MemoryEngine::new(MemoryConfig::default()));
    let daemon = Daemon::start(CoreConfig::new(w.dir.path().to_owned()), store, engine).await.unwrap();
    let kept = daemon.resolve("kept").unwrap();
    assert_eq!((kept.state.docker_status(), kept.exit.clone().unwrap().code), ("exited", 255));
    assert_eq!(daemon.resolve("idle").unwrap(), idle);
    assert_eq!(daemon.info().await.unwrap().containers_stopped, 2);
    assert!(daemon.create(request("kept", &["true"])).await.is_err(), "names are still taken");
}

#[tokio::test]
async fn log_lines_reach_the_store() {
    let w = world().await;
    w.started("talk", &["echo", "for the record"]).await;
    assert_eq!(w.waited("talk", WaitCondition::NotRunning).await, 0);
    let container = w.daemon.resolve("talk").unwrap();
    w.daemon.shutdown().await;
    let store = Store::open(&w.dir.path().join("lighter.db")).await.unwrap();
    let lines = store.container_logs().fetch(container.uuid, 10).await.unwrap();
    assert_eq!(lines.iter().map(|l| l.line.as_str()).collect::<Vec<_>>(), ["for the record"]);
}

#[tokio::test]
async fn live_events_follow_the_replay_without_gap_or_double() {
    let w = world().await;
    w.daemon.create(request("e0", &["true"])).await.unwrap();
    let query = EventQuery { since: Some(OffsetDateTime::UNIX_EPOCH), ..EventQuery::default() };
    let events = w.daemon.events(query).await.unwrap();
    for n in 1..30 {
        w.daemon.create(request(&format!("e{n}"), &["true"])).await.unwrap();
    }
    let named = events.filter(|e| std::future::ready(e.action == "create")).take(30).map(|e| e.attributes["name"].clone());
    let names: Vec<String> = tokio::time::timeout(Duration::from_secs(10), named.collect()).await.expect("all events");
    assert_eq!(names, (0..30).map(|n| format!("e{n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn logs_need_a_stream() {
    let w = world().await;
    w.started("ll", &["echo", "xx"]).await;
    let none = LogQuery {
        stdout: false,
        stderr: false,
        follow: false,
        timestamps: false,
        details: false,
        since: None,
        until: None,
        tail: None,
    };
    assert_eq!(w.daemon.logs("ll", none).await.unwrap_err().message(), "Bad parameters: you must choose at least one stream");
}

#[tokio::test]
async fn old_records_are_removed_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("lighter.db")).await.unwrap();
    let engine = Arc::new(MemoryEngine::new(MemoryConfig::default()));
    let mut config = CoreConfig::new(dir.path().to_owned());
    config.retention.events = lighter_store::Keep::rows(3);
    config.prune_interval = Duration::from_millis(20);
    let daemon = Daemon::start(config, store.clone(), engine).await.unwrap();
    let w = World { daemon, store, dir };
    for name in ["aa", "bb", "cc", "dd", "ee"] {
        w.daemon.create(request(name, &["true"])).await.unwrap();
    }
    let pruned = async {
        while w.store.events(None, None, 100).await.unwrap().len() > 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), pruned).await.expect("old events go");
    assert_eq!(w.store.last_event_id().await.unwrap(), 5, "the newest stay");
}
