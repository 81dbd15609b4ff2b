//! Samples of what containers used: stored, found, thinned with age, pruned.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use lighter_domain::{MetricsSample, Origin};
use lighter_store::{Change, MetricsFilter, MetricsRetention, Retention};
use support::Fixture;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

fn origin(n: u128, stack: Option<&str>) -> Origin {
    let (shim_id, name) = (format!("{n:064x}"), format!("c{n}"));
    Origin { container: Uuid::from_u128(n), shim_id, name, stack: stack.map(str::to_owned) }
}

fn sample(at: OffsetDateTime, n: u64) -> MetricsSample {
    MetricsSample { at, cpu_usage: n, mem_usage: n % 7, io_read: n + 1, io_write: n + 2, net_rx: n + 3, net_tx: u64::MAX }
}

#[tokio::test]
async fn series_are_found_by_container_stack_and_time() {
    let f = Fixture::new().await;
    let at = |n: i64| OffsetDateTime::from_unix_timestamp(1_770_000_000 + n * 10).unwrap();
    for n in 0..5 {
        let (i, m) = (i64::try_from(n).unwrap(), n);
        f.store.apply(vec![Change::Metrics(origin(2, Some("shop")), sample(at(i), m))]).await.unwrap();
        f.store.apply(vec![Change::Metrics(origin(1, None), sample(at(i), m + 100))]).await.unwrap();
    }
    let all = f.store.metrics(&MetricsFilter::default()).await.unwrap();
    assert_eq!(all.iter().map(|s| s.origin.clone()).collect::<Vec<_>>(), [origin(1, None), origin(2, Some("shop"))]);
    let want = MetricsSample { net_tx: i64::MAX.cast_unsigned(), ..sample(at(0), 100) };
    assert_eq!((all[0].samples.len(), all[0].samples[0]), (5, want));
    let some = MetricsFilter { stacks: vec!["shop".into()], since: Some(at(1)), until: Some(at(2)), ..MetricsFilter::default() };
    let some = f.store.metrics(&some).await.unwrap();
    assert_eq!((some.len(), some[0].samples.iter().map(|s| s.at).collect::<Vec<_>>()), (1, vec![at(1), at(2)]));
    let none = MetricsFilter { containers: vec!["ff".into()], ..MetricsFilter::default() };
    assert!(f.store.metrics(&none).await.unwrap().is_empty());
}

#[tokio::test]
async fn age_thins_samples_to_minutes_to_ten_minutes_and_to_nothing() {
    let f = Fixture::new().await;
    let now = OffsetDateTime::now_utc();
    let ages = |from: Duration, count: i64| (0..count).map(move |n| now - from - Duration::seconds(n * 10));
    // Half an hour each: as taken, of hours ago, of days ago, and of months ago.
    let young: Vec<_> = ages(Duration::minutes(10), 180).collect();
    let minutes: Vec<_> = ages(Duration::hours(5), 180).collect();
    let tens: Vec<_> = ages(Duration::days(3), 180).collect();
    let old: Vec<_> = ages(Duration::days(40), 180).collect();
    let all = young.iter().chain(&minutes).chain(&tens).chain(&old).enumerate();
    let changes = all.map(|(n, at)| Change::Metrics(origin(1, None), sample(*at, n as u64))).collect();
    f.store.apply(changes).await.unwrap();
    f.store.apply(vec![Change::Metrics(origin(2, None), sample(old[0], 1))]).await.unwrap();
    let pruned = f.store.prune(Retention { metrics: MetricsRetention::default(), ..Retention::default() }).await.unwrap();
    let left = f.store.metrics(&MetricsFilter::default()).await.unwrap();
    assert_eq!(left.len(), 1, "a source goes with its last sample");
    let within = |of: &[OffsetDateTime]| left[0].samples.iter().filter(|s| of.contains(&s.at)).collect::<Vec<_>>();
    assert_eq!((within(&young).len(), within(&old).len()), (180, 0));
    // The half hour may begin and end within a minute, or ten.
    assert!((30..=31).contains(&within(&minutes).len()), "{}", within(&minutes).len());
    assert!((3..=4).contains(&within(&tens).len()), "{}", within(&tens).len());
    assert!(within(&minutes).iter().filter(|s| s.mem_usage == 6).count() >= 20, "peaks stay");
    assert_eq!(pruned.metrics, (180 * 3 + 1 + 1) as u64 - (within(&minutes).len() + within(&tens).len()) as u64);
    assert_eq!(f.store.prune_metrics(MetricsRetention::default()).await.unwrap(), 0);
}
