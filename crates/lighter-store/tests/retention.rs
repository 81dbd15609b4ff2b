//! What is kept of the tables that grow: by count, by age, and of what is gone.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use lighter_domain::pipeline::{Pipeline, PipelineStatus, Step, StepPlan, StepStatus};
use lighter_domain::resource::{ImagePullRecord, ImageSummary};
use lighter_domain::{LogMark, LogSource, MetricsSample, NewLogLine, Origin};
use lighter_store::{Change, ImageSource, Keep, LogBatch, MetricsRetention, Pruned, Retention};
use std::sync::Arc;
use support::{Fixture, Random};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

async fn numbers(f: &Fixture, sql: &'static str) -> Vec<i64> {
    sqlx::query_scalar(sql).fetch_all(&mut f.raw().await).await.unwrap()
}

fn ago(minutes: i64) -> OffsetDateTime {
    OffsetDateTime::now_utc() - Duration::minutes(minutes)
}

fn hour() -> Option<std::time::Duration> {
    Some(std::time::Duration::from_secs(3600))
}

#[tokio::test]
async fn the_history_of_pulls_and_the_gaps_of_logs_are_kept_by_count_and_age() {
    let f = Fixture::new().await;
    let stream = Origin { container: Uuid::from_u128(1), shim_id: format!("{:064x}", 1), name: "c".into(), stack: None };
    for minutes in (0..10).rev().map(|n| n * 10) {
        let (since, until) = (ago(minutes + 1), ago(minutes));
        let mark = |at| LogMark { at, lines: 1 };
        let lines = vec![NewLogLine { at: until, source: LogSource::Stdout, level: None, message: "m".into() }];
        let gap = Some((mark(since), mark(until)));
        let pull = ImagePullRecord {
            registry: "r".into(),
            name: "n".into(),
            reference: "n:1".into(),
            digest: None,
            image_id: None,
            error: Some("gone".into()),
            pulled_at: until,
        };
        let batch = LogBatch { stream: stream.clone(), lines, mark: mark(until), gap };
        f.store.apply(vec![Change::LogLines(batch), Change::ImagePull(pull)]).await.unwrap();
    }
    let keep = Retention { log_lines: Keep { rows: None, age: hour() }, image_pulls: Keep::rows(3), ..Retention::default() };
    let gone = f.store.prune(keep).await.unwrap();
    // Those of 0 to 50 minutes ago are younger than an hour; the one of 60 is no more.
    assert_eq!((gone.log_lines, gone.log_gaps, gone.image_pulls), (4, 4, 7));
    assert_eq!(numbers(&f, "SELECT id FROM logGaps").await, [5, 6, 7, 8, 9, 10]);
    assert_eq!(numbers(&f, "SELECT id FROM imagePulls").await, [8, 9, 10]);
    let keep = Retention { log_lines: Keep::rows(2), image_pulls: Keep { rows: None, age: hour() }, ..Retention::default() };
    let gone = f.store.prune(keep).await.unwrap();
    assert_eq!((gone.log_lines, gone.log_gaps, gone.image_pulls), (4, 4, 0));
    assert_eq!(f.store.prune(keep).await.unwrap(), Pruned::default());
}

#[tokio::test]
async fn samples_of_the_gone_are_kept_of_so_many_containers() {
    let f = Fixture::new().await;
    let alive = Random::new(1).container();
    f.store.apply(vec![Change::PutContainer(Arc::new(alive.clone()))]).await.unwrap();
    let sample = MetricsSample { at: ago(1), cpu_usage: 1, mem_usage: 1, io_read: 1, io_write: 1, net_rx: 1, net_tx: 1 };
    f.store.apply(vec![Change::Metrics(Origin::of(&alive), sample)]).await.unwrap();
    for n in 1..=30 {
        let origin = Origin { container: Uuid::from_u128(n), shim_id: format!("{n:064x}"), name: format!("c{n}"), stack: None };
        f.store.apply(vec![Change::Metrics(origin, sample)]).await.unwrap();
    }
    let keep = MetricsRetention { containers: Some(5), ..MetricsRetention::default() };
    assert_eq!(f.store.prune_metrics(keep).await.unwrap(), 25);
    let left = "SELECT sourceId FROM metricsSamples ORDER BY sourceId";
    assert_eq!(numbers(&f, left).await, [1, 27, 28, 29, 30, 31], "the newest, and the one that is there");
    assert_eq!(f.store.prune_metrics(keep).await.unwrap(), 0);
    assert_eq!(f.store.prune_metrics(MetricsRetention { containers: None, ..keep }).await.unwrap(), 0);
}

#[tokio::test]
async fn images_that_are_long_gone_are_forgotten() {
    let f = Fixture::new().await;
    let row = |digest: &str| ImageSummary {
        id: Uuid::nil(),
        name: String::new(),
        tag: String::new(),
        digest: Some(digest.to_owned()),
        size_bytes: None,
        created_at: ago(0),
    };
    let names = ["sha256:there", "sha256:gone", "sha256:just-gone"];
    f.store.apply(names.iter().map(|n| Change::ImageSource((*n).to_owned(), ImageSource::Load)).collect()).await.unwrap();
    f.store.images().replace_all(vec![row(names[0])]).await.unwrap();
    let mut random = Random::new(2);
    for (name, days) in names.iter().zip([100, 100, 1]) {
        let mut container = random.container();
        container.image_id = (*name).to_owned();
        container.created_at = ago(days * 24 * 60);
        container.updated_at = container.created_at;
        let (uuid, container) = (container.uuid, Arc::new(container));
        f.store.apply(vec![Change::PutContainer(container), Change::DeleteContainer(uuid)]).await.unwrap();
    }
    assert_eq!(f.store.prune(Retention::default()).await.unwrap().image_notes, 2);
    for table in [
        "SELECT count(*) FROM imageUses WHERE imageId LIKE '%gone'",
        "SELECT count(*) FROM imageSources WHERE imageId LIKE '%gone'",
    ] {
        assert_eq!(numbers(&f, table).await, [1], "{table}");
    }
    let there = "SELECT count(*) FROM imageUses u, imageSources s WHERE u.imageId = s.imageId AND s.imageId = 'sha256:there'";
    assert_eq!(numbers(&f, there).await, [1]);
}

fn pipeline(name: &str, finished: Option<OffsetDateTime>) -> Pipeline {
    let plan = StepPlan {
        name: "one".into(),
        image: "busybox".into(),
        commands: Vec::new(),
        env: Default::default(),
        mounts: Vec::new(),
        needs: Vec::new(),
    };
    Pipeline {
        id: Uuid::now_v7(),
        project: None,
        name: name.to_owned(),
        steps: vec![Step { plan, status: StepStatus::Success, container_id: None, exit_code: Some(0) }],
        status: if finished.is_some() { PipelineStatus::Success } else { PipelineStatus::Running },
        created_at: ago(0),
        started_at: Some(ago(0)),
        finished_at: finished,
        failure_reason: None,
        workspace: format!("of-{name}"),
    }
}

#[tokio::test]
async fn pipelines_beyond_what_is_kept_are_those_that_are_over() {
    let f = Fixture::new().await;
    let all = [("old", Some(ago(100))), ("runs", None), ("a", Some(ago(50))), ("b", Some(ago(40))), ("c", Some(ago(30)))];
    for (name, finished) in all {
        f.store.apply(vec![Change::PutPipeline(Box::new(pipeline(name, finished)))]).await.unwrap();
    }
    let beyond = async |keep| {
        let beyond = f.store.pipelines_beyond(keep, 10).await.unwrap();
        beyond.iter().map(|p| p.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(beyond(Keep::default()).await, [""; 0]);
    assert_eq!(beyond(Keep { rows: None, age: hour() }).await, ["old"]);
    assert_eq!(beyond(Keep::rows(2)).await, ["old", "a"], "the one that runs is not over");
    assert_eq!(f.store.pipelines_under_way().await.unwrap().len(), 1);
    let a = f.store.pipeline("a").await.unwrap().unwrap();
    let step = |id: Option<&str>| Step { container_id: id.map(str::to_owned), ..a.steps[0].clone() };
    let with = Pipeline { steps: vec![step(Some("c1")), step(Some("c2")), step(None)], ..a.clone() };
    f.store.apply(vec![Change::PutPipeline(Box::new(with.clone()))]).await.unwrap();
    assert_eq!(f.store.pipeline("a").await.unwrap().unwrap(), with);
    let row = "SELECT logsRef || ' ' || workspace FROM pipelines WHERE name = 'a'";
    let told: String = sqlx::query_scalar(row).fetch_one(&mut f.raw().await).await.unwrap();
    assert_eq!(told, "[\"c1\",\"c2\"] of-a", "its lines are found by its containers");
    assert!(!f.store.workspace_is_shared("of-a", a.id).await.unwrap());
    assert!(f.store.workspace_is_shared("of-a", Uuid::nil()).await.unwrap());
    f.store.apply(vec![Change::DeletePipeline(a.id)]).await.unwrap();
    assert_eq!(f.store.pipeline(&a.id.to_string()).await.unwrap(), None);
}
