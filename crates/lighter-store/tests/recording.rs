//! The record of requests: none is lost, none waits long, a disk that refuses stops nobody, and what one costs.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print")]

mod support;

use lighter_domain::ShimEventFilter;
use lighter_store::{Change, Store, StoreError};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Fixture, Random, event, shim_event};

async fn stored(store: &Store) -> usize {
    store.shim_events().filter(&ShimEventFilter { limit: Some(u32::MAX), ..ShimEventFilter::default() }).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn none_is_lost_at_full_rate() {
    let f = Fixture::new().await;
    let tasks: Vec<_> = (0..4)
        .map(|task| {
            let store = f.store.clone();
            tokio::spawn(async move {
                for n in 0..30_000 {
                    store.record(shim_event(task * 100_000 + n)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    f.store.close().await.unwrap();
    let again = Store::open(&f.path()).await.unwrap();
    let all = again.shim_events().fetch_all(u32::MAX).await.unwrap();
    let distinct: std::collections::HashSet<_> = all.iter().map(|e| e.request_id.clone()).collect();
    assert_eq!((all.len(), distinct.len()), (120_000, 120_000));
}

#[tokio::test]
async fn an_event_is_stored_soon_though_nobody_asks() {
    let f = Fixture::new().await;
    f.store.record(shim_event(1)).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while stored(&f.store).await == 0 {
        assert!(Instant::now() < deadline, "never stored");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn every_batch_size_is_stored_in_order() {
    let f = Fixture::new().await;
    let mut next = 0;
    for size in [1, 7, 8, 9, 63, 64, 65, 200, 511, 512, 513, 1500] {
        let last = f.store.shim_events().fetch_all(1).await.unwrap().first().map_or(0, |e| e.id);
        for n in next..next + size {
            f.store.try_record(shim_event(n)).unwrap();
        }
        f.store.flush().await.unwrap();
        let new = ShimEventFilter { after_id: Some(last), limit: Some(10_000), ..ShimEventFilter::default() };
        let have: Vec<_> = f.store.shim_events().filter(&new).await.unwrap().into_iter().rev().map(|e| e.request_id).collect();
        let want: Vec<_> = (next..next + size).map(|n| shim_event(n).request_id).collect();
        assert_eq!(have, want);
        next += size;
    }
}

/// Runs of like requests go another way into the table than mixed ones.
#[tokio::test]
async fn runs_and_mixtures_keep_their_order_and_their_fields() {
    let f = Fixture::new().await;
    let mut want = Vec::new();
    for (kind, length) in [(1, 1), (2, 15), (3, 16), (4, 17), (5, 3), (6, 1), (7, 100), (8, 64), (1, 2), (2, 600), (3, 1)] {
        for _ in 0..length {
            let n = want.len() as i64;
            let mut event = shim_event(n);
            event.path = format!("/v1.47/kind/{kind}");
            event.duration_micros = n * 3;
            // One that differs in nothing but an optional column.
            event.error = (kind == 6).then(|| "why".to_owned());
            event.unsupported_flags = if kind == 3 { vec!["--gpus".to_owned()] } else { Vec::new() };
            want.push(event);
        }
    }
    for event in &want {
        f.store.try_record(event.clone()).unwrap();
    }
    f.store.flush().await.unwrap();
    let mut have = f.store.shim_events().fetch_all(10_000).await.unwrap();
    have.reverse();
    for (n, event) in want.iter_mut().enumerate() {
        event.id = n as i64 + 1;
    }
    assert_eq!(have, want);
}

async fn packed(f: &Fixture) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM shimEventRuns").fetch_one(&mut f.raw().await).await.unwrap()
}

/// Waits for a state that comes without anybody asking for it.
async fn comes(what: &str, mut there: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !there().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Alike but for some, with the ids that they are to get.
fn flood(from: i64, to: i64) -> Vec<lighter_domain::ShimEvent> {
    let made = (from..to).map(|n| {
        let mut event = shim_event(n);
        (event.id, event.duration_micros) = (n, n * 7);
        match n % 700 {
            // One that took longer than those after it.
            100 => event.timestamp -= Duration::from_millis(3),
            // Those that cannot be packed as one of a run.
            200 => event.timestamp -= Duration::from_secs(3),
            300 => event.duration_micros = i64::from(u32::MAX) + 1,
            400 => event.request_id = "0000000000000ABC".into(),
            500 => event.path = format!("/v1.47/other/{n}"),
            _ => {}
        }
        event
    });
    made.collect()
}

/// What comes by the batch is packed, keeps its place among what is stored beside it, and is rows again when it is quiet.
#[tokio::test]
async fn a_flood_is_packed_and_unpacked() {
    let f = Fixture::new().await;
    let (first, second) = (flood(1, 5001), flood(5002, 9002));
    for event in &first {
        f.store.try_record(event.clone()).unwrap();
    }
    comes("a flood is packed", async || packed(&f).await > 0).await;
    // A whole batch is needed for that; what is left of one is written when it has waited long enough.
    comes("all is stored", async || {
        let reserved: i64 = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'shimEvents'")
            .fetch_one(&mut f.raw().await)
            .await
            .unwrap();
        reserved == 5000
    })
    .await;
    // As the record of a change is: at once, and a row.
    let alone = f.store.shim_events().append(shim_event(5001)).await.unwrap();
    assert_eq!(alone.id, 5001);
    let copy = f.path().with_extension("copy");
    let into = format!("VACUUM INTO '{}'", copy.display());
    sqlx::query(sqlx::AssertSqlSafe(into)).execute(&mut f.raw().await).await.unwrap();
    for event in &second {
        f.store.try_record(event.clone()).unwrap();
    }
    comes("all are rows", async || stored(&f.store).await == 9001).await;
    assert_eq!(packed(&f).await, 0);
    let want: Vec<_> = first.iter().cloned().chain([alone.clone()]).chain(second).collect();
    let mut have = f.store.shim_events().fetch_all(10_000).await.unwrap();
    have.reverse();
    assert_eq!(have, want);

    // A daemon that was killed while they were packed: the next one makes rows of them.
    let next = Store::open(&copy).await.unwrap();
    comes("all that were stored are rows", async || stored(&next).await == 5001).await;
    let mut have = next.shim_events().fetch_all(10_000).await.unwrap();
    have.reverse();
    assert_eq!(have, want[..5001]);
}

/// Who asks finds rows, and so does whoever looks into the file when the store is closed.
#[tokio::test]
async fn packed_events_are_rows_for_who_asks() {
    let f = Fixture::new().await;
    for close in [false, true] {
        let before = stored(&f.store).await;
        for event in flood(1, 5001) {
            f.store.try_record(event).unwrap();
        }
        comes("a flood is packed", async || packed(&f).await > 0).await;
        if close {
            f.store.close().await.unwrap()
        } else {
            f.store.flush().await.unwrap()
        }
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM shimEvents").fetch_one(&mut f.raw().await).await.unwrap();
        assert_eq!((rows as usize, packed(&f).await), (before + 5000, 0));
    }
}

/// Who follows the record does not wait for quiet.
#[tokio::test]
async fn nothing_is_packed_for_who_follows() {
    let f = Fixture::new().await;
    let mut following = f.store.shim_events().stored();
    for event in flood(1, 5001) {
        f.store.try_record(event).unwrap();
    }
    while stored(&f.store).await < 5000 {
        assert_eq!(packed(&f).await, 0);
        tokio::time::timeout(Duration::from_secs(20), following.changed()).await.unwrap().unwrap();
    }
}

/// While another program holds the writing lock, nothing can be stored: events wait in the buffer and are stored afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_stored_now_is_stored_later() {
    let f = Fixture::new().await;
    let mut other = f.raw().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    for n in 0..5_000 {
        f.store.record(shim_event(n)).await.unwrap();
    }
    // Longer than SQLite waits for the lock: the write fails and says so.
    let failed = f.store.flush().await;
    assert!(matches!(failed, Err(StoreError::Sql { .. })), "{failed:?}");
    for n in 5_000..6_000 {
        f.store.record(shim_event(n)).await.unwrap();
    }
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    f.store.flush().await.unwrap();
    assert_eq!(stored(&f.store).await, 6_000);
}

/// A buffer that is full while the disk refuses: refused with an error, never waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_buffer_before_a_refusing_disk_refuses() {
    let f = Fixture::new().await;
    let mut other = f.raw().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let mut accepted = 0;
    let refusal = loop {
        match f.store.record(shim_event(accepted)).await {
            Ok(()) => accepted += 1,
            Err(refusal) => break refusal,
        }
        assert!(accepted < 1_000_000, "the buffer has no bound");
    };
    assert!(matches!(refusal, StoreError::Full { .. }), "{refusal:?}");
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    f.store.flush().await.unwrap();
    assert_eq!(stored(&f.store).await, usize::try_from(accepted).unwrap());
}

/// User and system time of this process, all threads.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn each(total: Duration, n: i64) -> u128 {
    total.as_nanos() / u128::try_from(n).unwrap()
}

/// `cargo test --release -p lighter-store --test recording -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn cost_of_recording() {
    const N: i64 = 600_000;
    let f = Fixture::new().await;
    f.store.record(shim_event(0)).await.unwrap();
    f.store.flush().await.unwrap();
    for (round, what) in ["like", "like", "mixed"].into_iter().enumerate() {
        let mut made: Vec<_> = (0..N).map(shim_event).collect();
        if what == "mixed" {
            made.iter_mut().zip(0..).for_each(|(event, n)| event.path = format!("/v1.47/containers/{}/json", n % 7));
        }
        let (before, began) = (cpu(), Instant::now());
        for event in made {
            f.store.record(event).await.unwrap();
        }
        let taken = began.elapsed();
        f.store.flush().await.unwrap();
        let (used, wall) = (cpu() - before, began.elapsed());
        println!(
            "round {round}: {N} {what} events: CPU {} ns/event, wall {} ns/event (recorded in {taken:?}, stored in {wall:?})",
            each(used, N),
            each(wall, N)
        );
    }
    let pages = std::fs::metadata(f.path()).unwrap().len();
    println!("{} bytes of file for each event", pages / u64::try_from(3 * N).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn cost_of_applying() {
    const N: i64 = 20_000;
    let f = Fixture::new().await;
    let container = Arc::new(Random::new(1).container());
    let set = |n| vec![Change::PutContainer(container.clone()), Change::Event(event(n)), Change::ShimEvent(shim_event(n))];
    for (what, changes) in [("one event", 1), ("container, event and shim event", 3)] {
        let mut times = Vec::new();
        let before = cpu();
        for n in 0..N {
            let mut changes_now = set(n);
            changes_now.drain(..3 - changes);
            let began = Instant::now();
            f.store.apply(changes_now).await.unwrap();
            times.push(began.elapsed());
        }
        let used = cpu() - before;
        times.sort();
        let at = |q: f64| times[(q * (times.len() - 1) as f64) as usize];
        println!("apply {what}: median {:?}, p99 {:?}, max {:?}, CPU {} ns", at(0.5), at(0.99), at(1.0), each(used, N));
    }
    // Many at once share commits.
    let (before, began) = (cpu(), Instant::now());
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let store = f.store.clone();
            let set = set(1);
            tokio::spawn(async move {
                for _ in 0..200 {
                    store.apply(set.clone()).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let n = 64 * 200;
    println!("apply by 64 at once: wall {} ns, CPU {} ns each", each(began.elapsed(), n), each(cpu() - before, n));
}

#[tokio::test]
#[ignore = "a measurement"]
async fn cost_of_loading_a_thousand_containers() {
    let f = Fixture::new().await;
    let mut random = Random::new(7);
    for _ in 0..10 {
        f.store.apply((0..100).map(|_| Change::PutContainer(Arc::new(random.container()))).collect()).await.unwrap();
    }
    f.store.close().await.unwrap();
    let began = Instant::now();
    let store = Store::open(&f.path()).await.unwrap();
    let opened = began.elapsed();
    let loaded = store.load_containers().await.unwrap();
    println!("opened in {opened:?}; {} containers loaded in {:?}", loaded.items.len(), began.elapsed() - opened);
}
