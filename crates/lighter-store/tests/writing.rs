//! Units of work: all or nothing, many at once, beside readers and other programs, and to the end.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print")]

mod support;

use lighter_domain::resource::{ImagePullRecord, ImageSummary, VolumeSummary};
use lighter_store::{Bound, Change, Growing, Keep, Retention, RowChange, Store, StoreError};
use sqlx::Connection;
use std::sync::Arc;
use std::time::Duration;
use support::{Fixture, Random, at, event, shim_event};
use uuid::Uuid;

async fn count(store: &Store) -> usize {
    store.events(None, None, 1_000_000).await.unwrap().len()
}

fn bad() -> Change {
    let volume = VolumeSummary {
        id: Uuid::nil(),
        name: "v".to_owned(),
        mount_path: String::new(),
        size_bytes: None,
        created_at: at(0),
        updated_at: at(0),
    };
    Change::Volumes(RowChange::Insert(volume))
}

#[tokio::test]
async fn a_unit_of_work_is_stored_whole_or_not_at_all() {
    let f = Fixture::new().await;
    let c = Arc::new(Random::new(1).container());
    let set = vec![Change::PutContainer(c.clone()), Change::Event(event(1)), Change::ShimEvent(shim_event(1)), bad()];
    assert!(matches!(f.store.apply(set).await, Err(StoreError::Invalid { .. })));
    assert_eq!(count(&f.store).await, 0);
    assert!(f.store.load_container(c.uuid).await.unwrap().is_none());
    assert_eq!(f.store.shim_events().fetch_all(10).await.unwrap(), []);

    let set = vec![Change::Event(event(1)), Change::ShimEvent(shim_event(1)), Change::PutContainer(c), Change::Event(event(2))];
    let applied = f.store.apply(set).await.unwrap();
    assert_eq!((applied.event_ids.len(), applied.shim_event_ids.len()), (2, 1));
    assert_eq!(applied.event_ids[1], applied.event_ids[0] + 1);
    assert_eq!(f.store.last_event_id().await.unwrap(), applied.event_ids[1]);
    assert_eq!(f.store.apply(vec![]).await.unwrap().rows_affected, 0);
}

/// A writing lock held from outside makes sets queue up, so that they are certainly committed as a group.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_group_a_failing_set_fails_alone() {
    let f = Fixture::new().await;
    let mut other = f.raw().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let tasks: Vec<_> = (0..60)
        .map(|n| {
            let store = f.store.clone();
            let mut set = vec![Change::Event(event(n)), Change::Event(event(n))];
            if n % 3 == 0 {
                set.push(bad());
            }
            tokio::spawn(async move { store.apply(set).await })
        })
        .collect();
    // Reads go on while nothing can be written.
    assert_eq!(count(&f.store).await, 0);
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    for (n, task) in tasks.into_iter().enumerate() {
        let result = task.await.unwrap();
        assert_eq!(result.is_err(), n % 3 == 0, "{n}: {result:?}");
        if let Ok(applied) = result {
            let after = f.store.events_after(applied.event_ids[0] - 1, 2).await.unwrap();
            assert!(after.iter().all(|e| e.attributes["n"] == n.to_string()), "ids were given to others: {after:?}");
        }
    }
    assert_eq!(count(&f.store).await, 80);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_a_caller_that_went_away_are_applied() {
    let f = Fixture::new().await;
    let mut other = f.raw().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    for n in 0..20 {
        // Queued, cannot be committed yet, and then nobody waits any more.
        let waited = tokio::time::timeout(Duration::from_millis(5), f.store.apply(vec![Change::Event(event(n))])).await;
        assert!(waited.is_err());
    }
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    f.store.flush().await.unwrap();
    assert_eq!(count(&f.store).await, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_blocks_no_writer_and_sees_one_moment() {
    let f = Fixture::new().await;
    f.store.apply(vec![Change::Event(event(0))]).await.unwrap();
    let mut reader = f.raw().await;
    let mut transaction = reader.begin().await.unwrap();
    let sql = "SELECT count(*) FROM events";
    let before: i64 = sqlx::query_scalar(sql).fetch_one(&mut *transaction).await.unwrap();
    for n in 1..200 {
        f.store.apply(vec![Change::Event(event(n))]).await.unwrap();
    }
    let still: i64 = sqlx::query_scalar(sql).fetch_one(&mut *transaction).await.unwrap();
    assert_eq!((before, still), (1, 1));
    transaction.commit().await.unwrap();
    assert_eq!(count(&f.store).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_blocks_no_reader() {
    let f = Fixture::new().await;
    f.store.apply(vec![Change::Event(event(0))]).await.unwrap();
    let mut writer = f.raw().await;
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::query("DELETE FROM events").execute(&mut *transaction).await.unwrap();
    for _ in 0..50 {
        assert_eq!(count(&f.store).await, 1);
    }
    transaction.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_write_and_read_at_once() {
    let f = Fixture::new().await;
    let tasks: Vec<_> = (0..16i64)
        .map(|task| {
            let store = f.store.clone();
            tokio::spawn(async move {
                let container = Arc::new(Random::new(task.cast_unsigned()).container());
                for n in 0..40 {
                    store.apply(vec![Change::PutContainer(container.clone()), Change::Event(event(n))]).await.unwrap();
                    store.record(shim_event(n)).await.unwrap();
                    // What was answered is there to be read.
                    assert!(store.load_container(container.uuid).await.unwrap().is_some());
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    f.store.flush().await.unwrap();
    assert_eq!(count(&f.store).await, 640);
    assert_eq!(f.store.shim_events().fetch_all(10_000).await.unwrap().len(), 640);
    assert_eq!(f.store.load_containers().await.unwrap().items.len(), 16);
}

#[tokio::test]
async fn events_are_replayed_by_time_and_by_id() {
    let f = Fixture::new().await;
    let applied = f.store.apply((0..10).map(|n| Change::Event(event(n))).collect()).await.unwrap();
    let all = f.store.events(None, None, 100).await.unwrap();
    assert_eq!(all.len(), 10);
    for (n, (have, id)) in all.iter().zip(&applied.event_ids).enumerate() {
        let mut want = event(n as i64);
        want.id = *id;
        assert_eq!(*have, want);
    }
    let numbers =
        |events: Vec<lighter_domain::Event>| events.iter().map(|e| e.attributes["n"].parse().unwrap()).collect::<Vec<i64>>();
    assert_eq!(numbers(f.store.events(Some(at(3)), Some(at(5)), 100).await.unwrap()), [3, 4, 5]);
    assert_eq!(numbers(f.store.events(Some(at(3)), None, 2).await.unwrap()), [8, 9]);
    assert_eq!(numbers(f.store.events_after(applied.event_ids[6], 2).await.unwrap()), [7, 8]);
    assert_eq!(f.store.last_event_id().await.unwrap(), applied.event_ids[9]);
}

#[tokio::test]
async fn growing_tables_are_pruned_to_their_newest_rows() {
    let f = Fixture::new().await;
    let living = Arc::new(Random::new(1).container());
    f.store.apply(vec![Change::PutContainer(living.clone())]).await.unwrap();
    f.store.apply((0..1200).map(|n| Change::Event(event(n))).collect()).await.unwrap();
    f.store.apply((0..30).map(|n| Change::ShimEvent(shim_event(n))).collect()).await.unwrap();
    let lines = |n: i64| (0..n).map(|n| (at(n), n.to_string())).collect();
    f.store.container_logs().append(living.uuid, lines(5)).await.unwrap();
    f.store.container_logs().append(Uuid::from_u128(5), lines(20)).await.unwrap();
    let pruned = f
        .store
        .prune(Retention {
            events: Keep::rows(100),
            shim_events: Keep::rows(10),
            orphan_logs: Keep::rows(8),
            ..Retention::default()
        })
        .await
        .unwrap();
    assert_eq!((pruned.events, pruned.shim_events, pruned.orphan_logs), (1100, 20, 12));
    let left = f.store.events(None, None, 1000).await.unwrap();
    assert_eq!((left.len(), left[0].attributes["n"].as_str()), (100, "1100"));
    assert_eq!(f.store.container_logs().fetch(living.uuid, 10).await.unwrap().len(), 5, "the living keep theirs");
    assert_eq!(f.store.prune_events(0).await.unwrap(), 100);
    assert_eq!(f.store.last_event_id().await.unwrap(), 1200, "ids are never given twice");
    let none = f.store.apply(vec![Change::Prune { what: Growing::Events, bound: Bound::Newest(u64::MAX) }]).await.unwrap();
    assert_eq!(none.rows_affected, 0);
}

#[tokio::test]
async fn what_is_too_old_is_pruned() {
    let f = Fixture::new().await;
    let now = time::OffsetDateTime::now_utc();
    let hours_ago = |n: i64| now - time::Duration::hours(n);
    let event_of = |n| lighter_domain::Event { time: hours_ago(n), ..event(n) };
    let request_of = |n| lighter_domain::ShimEvent { timestamp: hours_ago(n), ..shim_event(n) };
    f.store.apply((0..700).rev().map(|n| Change::Event(event_of(n))).collect()).await.unwrap();
    f.store.apply((0..10).rev().map(|n| Change::ShimEvent(request_of(n))).collect()).await.unwrap();
    let lines = (0..10).rev().map(|n| (hours_ago(n), n.to_string())).collect();
    f.store.container_logs().append(Uuid::from_u128(5), lines).await.unwrap();
    let age = Some(std::time::Duration::from_secs(3 * 3600 + 1800));
    let keep = Keep { rows: None, age };
    let all = Retention {
        events: keep,
        shim_events: keep,
        orphan_logs: Keep { rows: Some(2), age },
        log_lines: keep,
        ..Retention::default()
    };
    let pruned = f.store.prune(all).await.unwrap();
    assert_eq!((pruned.events, pruned.shim_events, pruned.orphan_logs), (696, 6, 8));
    assert_eq!(f.store.prune(all).await.unwrap(), lighter_store::Pruned::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_stores_everything_and_empties_the_log() {
    let f = Fixture::new().await;
    let mut pending = tokio::task::JoinSet::new();
    for n in 0..50 {
        let store = f.store.clone();
        pending.spawn(async move { store.apply(vec![Change::Event(event(n))]).await });
        f.store.record(shim_event(n)).await.unwrap();
    }
    let done = pending.join_all().await;
    assert!(done.iter().all(Result::is_ok));
    f.store.close().await.unwrap();
    f.store.close().await.unwrap();
    assert!(!f.dir.path().join("lighter.db-wal").exists(), "the last connection removes the log");
    assert!(matches!(f.store.apply(vec![Change::Event(event(0))]).await, Err(StoreError::Closed)));
    assert!(matches!(f.store.record(shim_event(0)).await, Err(StoreError::Closed)));
    assert!(f.store.try_record(shim_event(0)).is_err());
    let again = Store::open(&f.path()).await.unwrap();
    assert_eq!(count(&again).await, 50);
    assert_eq!(again.shim_events().fetch_all(100).await.unwrap().len(), 50);
}

#[tokio::test]
async fn images_take_registry_and_date_from_the_history_of_pulls() {
    let f = Fixture::new().await;
    let pull = |error: Option<&str>, n| ImagePullRecord {
        registry: "docker.io".to_owned(),
        name: "busybox".to_owned(),
        reference: "busybox:latest".to_owned(),
        digest: None,
        image_id: error.is_none().then(|| "sha256:1".to_owned()),
        error: error.map(str::to_owned),
        pulled_at: at(n),
    };
    let row = |name: &str, digest: &str| ImageSummary {
        id: Uuid::nil(),
        name: name.to_owned(),
        tag: "latest".to_owned(),
        digest: Some(digest.to_owned()),
        size_bytes: None,
        created_at: at(0),
    };
    f.store.apply(vec![Change::ImagePull(pull(None, 1)), Change::ImagePull(pull(Some("gone"), 2))]).await.unwrap();
    f.store.images().replace_all(vec![row("busybox", "sha256:1"), row("loaded", "sha256:2")]).await.unwrap();
    let mut db = f.raw().await;
    let rows: Vec<(String, Option<String>, Option<String>)> =
        sqlx::query_as("SELECT name, registry, pullStatus FROM images ORDER BY name").fetch_all(&mut db).await.unwrap();
    let pulled = ("busybox".to_owned(), Some("docker.io".to_owned()), Some("pulled".to_owned()));
    assert_eq!(rows, [pulled, ("loaded".to_owned(), None, None)]);
    let history: Vec<(String, Option<String>)> =
        sqlx::query_as("SELECT status, error FROM imagePulls ORDER BY id").fetch_all(&mut db).await.unwrap();
    assert_eq!(history, [("pulled".to_owned(), None), ("failed".to_owned(), Some("gone".to_owned()))]);
    db.close().await.unwrap();
}
