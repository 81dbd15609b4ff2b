//! Pipelines on the memory engine: in order, stopped at the first failure, cancelled, run once more, taken up by the next daemon.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lighter_core::{CoreConfig, CreateContainer, Daemon};
use lighter_domain::ContainerConfig;
use lighter_domain::filter::Filters;
use lighter_domain::pipeline::{Pipeline, PipelineStatus, Step, StepPlan, StepStatus};
use lighter_engine_memory::{MemoryConfig, MemoryEngine};
use lighter_store::{Change, Keep, Store};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use uuid::Uuid;

async fn daemon(dir: &Path, engine: &Arc<MemoryEngine>) -> Daemon {
    daemon_with(CoreConfig::new(dir.to_owned()), engine).await
}

async fn daemon_with(config: CoreConfig, engine: &Arc<MemoryEngine>) -> Daemon {
    let store = Store::open(&config.data_root.join("lighter.db")).await.unwrap();
    Daemon::start(config, store, engine.clone()).await.unwrap()
}

fn world() -> (tempfile::TempDir, Arc<MemoryEngine>) {
    (tempfile::tempdir().unwrap(), Arc::new(MemoryEngine::new(MemoryConfig::default())))
}

fn plan(name: &str, command: &str, needs: &[&str]) -> StepPlan {
    StepPlan {
        name: name.into(),
        image: "busybox".into(),
        commands: vec![command.into()],
        env: Default::default(),
        mounts: Vec::new(),
        needs: needs.iter().map(|n| (*n).to_owned()).collect(),
    }
}

async fn until(daemon: &Daemon, id: &str, what: impl Fn(&Pipeline) -> bool) -> Pipeline {
    let look = async {
        loop {
            let now = daemon.pipeline(id).await.unwrap();
            if what(&now) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), look).await.expect("the pipeline comes to that")
}

fn statuses(pipeline: &Pipeline) -> Vec<(&str, StepStatus)> {
    pipeline.steps.iter().map(|s| (s.plan.name.as_str(), s.status)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_run_in_order_up_to_the_first_failure_and_once_more_from_there() {
    let (dir, engine) = world();
    let daemon = daemon(dir.path(), &engine).await;
    let good = daemon
        .pipeline_run("good", None, vec![plan("test", "true", &["build"]), plan("build", "echo built", &[])])
        .await
        .unwrap();
    let good = until(&daemon, &good.id.to_string(), |p| p.status.is_over()).await;
    assert_eq!(good.status, PipelineStatus::Success, "{good:?}");
    assert_eq!(statuses(&good), [("build", StepStatus::Success), ("test", StepStatus::Success)]);
    let bad = vec![plan("one", "true", &[]), plan("two", "exit 3", &[]), plan("three", "true", &[])];
    daemon.pipeline_run("bad", None, bad).await.unwrap();
    let bad = until(&daemon, "bad", |p| p.status.is_over()).await;
    assert_eq!(bad.failure_reason.as_deref(), Some("the step \"two\" ended with exit code 3"));
    assert_eq!(statuses(&bad), [("one", StepStatus::Success), ("two", StepStatus::Failed), ("three", StepStatus::Skipped)]);
    assert!(daemon.pipeline_rerun("bad", Some("three")).await.is_err(), "what comes before it has failed");
    assert!(daemon.pipeline_rerun("bad", Some("nope")).await.is_err());
    let again = daemon.pipeline_rerun("bad", Some("two")).await.unwrap();
    let again = until(&daemon, &again.id.to_string(), |p| p.status.is_over()).await;
    assert_eq!(again.workspace, bad.workspace, "it goes on in the workspace that was left");
    assert_eq!(statuses(&again)[..2], [("one", StepStatus::Skipped), ("two", StepStatus::Failed)]);
    let missing = vec![StepPlan { image: "no/such:image".into(), ..plan("x", "true", &[]) }];
    daemon.pipeline_run("missing", None, missing).await.unwrap();
    let missing = until(&daemon, "missing", |p| p.status.is_over()).await;
    assert!(missing.failure_reason.unwrap().contains("No such image"));
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_is_cancelled_and_its_container_ends() {
    let (dir, engine) = world();
    let daemon = daemon(dir.path(), &engine).await;
    daemon.pipeline_run("long", None, vec![plan("wait", "sleep 1000", &[])]).await.unwrap();
    let running =
        |p: &Pipeline| p.steps[0].container_id.as_ref().and_then(|id| daemon.resolve(id)).is_some_and(|c| c.state.is_running());
    until(&daemon, "long", running).await;
    assert!(daemon.pipeline_rerun("long", None).await.is_err(), "it is under way");
    daemon.pipeline_cancel("long").await.unwrap();
    let over = until(&daemon, "long", |p| p.status.is_over()).await;
    assert_eq!(over.failure_reason.as_deref(), Some("the step \"wait\": it was cancelled"));
    assert!(!running(&over));
    assert!(daemon.pipeline_cancel("long").await.is_err());
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_that_ran_when_the_daemon_ended_is_taken_up() {
    let (dir, engine) = world();
    let first = daemon(dir.path(), &engine).await;
    let plans = vec![plan("one", "sleep 1000", &[]), plan("two", "true", &[])];
    first.pipeline_run("long", None, plans.clone()).await.unwrap();
    first.pipeline_run("gone", None, plans).await.unwrap();
    let started = |daemon: &Daemon, p: &Pipeline| {
        p.steps[0].container_id.as_ref().and_then(|id| daemon.resolve(id)).is_some_and(|c| c.state.is_running())
    };
    let long = until(&first, "long", |p| started(&first, p)).await;
    until(&first, "gone", |p| started(&first, p)).await;
    first.shutdown().await;
    let second = daemon(dir.path(), &engine).await;
    assert_eq!(second.pipeline("long").await.unwrap().status, PipelineStatus::Running);
    let id = long.steps[0].container_id.clone().unwrap();
    second.kill(&id, None).await.unwrap();
    let long = until(&second, "long", |p| p.status.is_over()).await;
    assert_eq!(long.failure_reason.as_deref(), Some("the step \"one\" ended with exit code 137"));
    assert_eq!(long.steps[0].container_id.as_ref(), Some(&id), "the container that was there was looked at, no other was made");
    second.pipeline_cancel("gone").await.unwrap();
    until(&second, "gone", |p| p.status == PipelineStatus::Failed).await;
    second.shutdown().await;
}

async fn volumes(daemon: &Daemon) -> Vec<String> {
    daemon.volumes(&Filters::default()).await.unwrap().iter().map(|v| v.name.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_pipeline_go_its_containers_and_its_workspace() {
    let (dir, engine) = world();
    let daemon = daemon(dir.path(), &engine).await;
    daemon.pipeline_run("p", None, vec![plan("one", "true", &[]), plan("two", "exit 3", &[])]).await.unwrap();
    let first = until(&daemon, "p", |p| p.status.is_over()).await;
    let second = daemon.pipeline_rerun("p", Some("two")).await.unwrap();
    let second = until(&daemon, &second.id.to_string(), |p| p.status.is_over()).await;
    let containers = |p: &Pipeline| p.steps.iter().filter(|s| daemon.resolve(s.container_id.as_ref().unwrap()).is_some()).count();
    assert_eq!((containers(&first), containers(&second)), (2, 2), "the first step is the same container");
    let gone = async |p: &Pipeline| {
        // The task may not have noticed yet that its work is done.
        while let Err(error) = daemon.pipeline_remove(&p.id.to_string()).await {
            assert!(error.message().contains("cancel it first"), "{error}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(daemon.pipeline(&p.id.to_string()).await.is_err());
    };
    gone(&second).await;
    assert_eq!((containers(&first), volumes(&daemon).await.len()), (2, 1), "what it went on from stays");
    gone(&first).await;
    assert_eq!((containers(&first), volumes(&daemon).await.len()), (0, 0));
    daemon.pipeline_run("long", None, vec![plan("wait", "sleep 1000", &[])]).await.unwrap();
    let refused = daemon.pipeline_remove("long").await.unwrap_err();
    assert!(refused.message().contains("cancel it first"), "{refused}");
    daemon.pipeline_cancel("long").await.unwrap();
    until(&daemon, "long", |p| p.status.is_over()).await;
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_pipelines_go_by_themselves() {
    let (dir, engine) = world();
    let mut config = CoreConfig::new(dir.path().to_owned());
    config.pipelines = Keep::rows(2);
    config.prune_interval = Duration::from_millis(20);
    let daemon = daemon_with(config, &engine).await;
    daemon.pipeline_run("long", None, vec![plan("wait", "sleep 1000", &[])]).await.unwrap();
    for name in ["a", "b", "c", "d"] {
        daemon.pipeline_run(name, None, vec![plan("one", "true", &[])]).await.unwrap();
        until(&daemon, name, |p| p.status.is_over()).await;
    }
    let names = async || {
        let all = daemon.pipelines(None, "", 100).await.unwrap();
        all.iter().map(|p| p.name.clone()).collect::<Vec<_>>()
    };
    let left = async |wanted: &[&str]| {
        let look = async {
            while names().await != wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), look).await.expect("the newest two and what is under way are left");
    };
    left(&["d", "c", "long"]).await;
    assert_eq!(volumes(&daemon).await.len(), 3);
    let page = daemon.pipelines(None, "", 2).await.unwrap();
    let rest = daemon.pipelines(None, &page[1].id.to_string(), 2).await.unwrap();
    assert_eq!(rest.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["long"], "the next page");
    daemon.pipeline_cancel("long").await.unwrap();
    // Nobody may see it when it is over.
    left(&["d", "c"]).await;
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_can_be_for_a_stack() {
    let (dir, engine) = world();
    let daemon = daemon(dir.path(), &engine).await;
    let plans = || vec![plan("one", "true", &[])];
    assert!(daemon.pipeline_run("p", Some("shop"), plans()).await.unwrap_err().message().contains("No such stack: shop"));
    let labels = [("com.docker.compose.project".to_owned(), "shop".to_owned())].into();
    let config = ContainerConfig { image: "busybox".into(), labels, ..ContainerConfig::default() };
    daemon.create(CreateContainer { config, ..CreateContainer::default() }).await.unwrap();
    daemon.pipeline_run("p", Some("shop"), plans()).await.unwrap();
    daemon.pipeline_run("q", None, plans()).await.unwrap();
    until(&daemon, "q", |p| p.status.is_over()).await;
    let of_shop = daemon.pipelines(Some("shop"), "", 10).await.unwrap();
    let shop = daemon.stack("shop").await.unwrap().stack.id;
    assert_eq!(of_shop.iter().map(|p| (p.name.as_str(), p.project)).collect::<Vec<_>>(), [("p", Some(shop))]);
    until(&daemon, "p", |p| p.status.is_over()).await;
    let again = daemon.pipeline_rerun("p", None).await.unwrap();
    assert_eq!(again.project, Some(shop));
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_had_no_container_yet_when_the_daemon_died_is_run() {
    let (dir, engine) = world();
    // Begun, and killed while it looked for the image.
    let step = Step { plan: plan("one", "true", &[]), status: StepStatus::Running, container_id: None, exit_code: None };
    let begun = Pipeline {
        id: Uuid::now_v7(),
        project: None,
        name: "p".into(),
        steps: vec![step],
        status: PipelineStatus::Running,
        created_at: OffsetDateTime::now_utc(),
        started_at: Some(OffsetDateTime::now_utc()),
        finished_at: None,
        failure_reason: None,
        workspace: "ws".into(),
    };
    let store = Store::open(&dir.path().join("lighter.db")).await.unwrap();
    let pending =
        Pipeline { id: Uuid::now_v7(), name: "q".into(), status: PipelineStatus::Pending, started_at: None, ..begun.clone() };
    for pipeline in [begun, pending] {
        store.apply(vec![Change::PutPipeline(Box::new(pipeline))]).await.unwrap();
    }
    store.close().await.unwrap();
    let daemon = daemon(dir.path(), &engine).await;
    for name in ["p", "q"] {
        let over = until(&daemon, name, |p| p.status.is_over()).await;
        assert_eq!(over.status, PipelineStatus::Success, "{over:?}");
    }
    daemon.shutdown().await;
}
