//! Pipelines on the memory engine: in order, stopped at the first failure, cancelled, run once more, taken up by the next daemon.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lighter_core::{CoreConfig, Daemon};
use lighter_domain::pipeline::{Pipeline, PipelineStatus, StepPlan, StepStatus};
use lighter_engine_memory::{MemoryConfig, MemoryEngine};
use lighter_store::Store;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

async fn daemon(dir: &Path, engine: &Arc<MemoryEngine>) -> Daemon {
    let store = Store::open(&dir.join("lighter.db")).await.unwrap();
    Daemon::start(CoreConfig::new(dir.to_owned()), store, engine.clone()).await.unwrap()
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
    let good =
        daemon.pipeline_run("good", vec![plan("test", "true", &["build"]), plan("build", "echo built", &[])]).await.unwrap();
    let good = until(&daemon, &good.id.to_string(), |p| p.status.is_over()).await;
    assert_eq!(good.status, PipelineStatus::Success, "{good:?}");
    assert_eq!(statuses(&good), [("build", StepStatus::Success), ("test", StepStatus::Success)]);
    let bad = vec![plan("one", "true", &[]), plan("two", "exit 3", &[]), plan("three", "true", &[])];
    daemon.pipeline_run("bad", bad).await.unwrap();
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
    daemon.pipeline_run("missing", missing).await.unwrap();
    let missing = until(&daemon, "missing", |p| p.status.is_over()).await;
    assert!(missing.failure_reason.unwrap().contains("No such image"));
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_is_cancelled_and_its_container_ends() {
    let (dir, engine) = world();
    let daemon = daemon(dir.path(), &engine).await;
    daemon.pipeline_run("long", vec![plan("wait", "sleep 1000", &[])]).await.unwrap();
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
    first.pipeline_run("long", plans.clone()).await.unwrap();
    first.pipeline_run("gone", plans).await.unwrap();
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
