//! Lines to be searched: stored, found, passed over, pruned, and never stored twice.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use lighter_domain::{LogFilter, LogLevel, LogMark, LogSource, NewLogLine, Origin};
use lighter_store::{Bound, Change, Growing, Keep, LogBatch, Store};
use support::{Fixture, HOSTILE, Random, at};
use uuid::Uuid;

fn stream(n: u128, stack: Option<&str>) -> Origin {
    Origin { container: Uuid::from_u128(n), shim_id: format!("{n:064x}"), name: format!("c{n}"), stack: stack.map(str::to_owned) }
}

fn line(n: i64, message: &str) -> NewLogLine {
    let source = if n % 2 == 0 { LogSource::Stdout } else { LogSource::Stderr };
    NewLogLine { at: at(n), source, level: LogLevel::of_line(message), message: message.to_owned() }
}

fn batch(stream: Origin, lines: Vec<NewLogLine>) -> Change {
    let mark = LogMark { at: lines.last().map_or(at(0), |l| l.at), lines: 1 };
    Change::LogLines(LogBatch { stream, lines, mark, gap: None })
}

fn query(query: &str) -> LogFilter {
    LogFilter { query: query.to_owned(), limit: 100, ..LogFilter::default() }
}

async fn found(store: &Store, filter: &LogFilter) -> Vec<String> {
    store.search_logs(filter).await.unwrap().into_iter().map(|l| l.message).collect()
}

#[tokio::test]
async fn lines_are_found_by_words_and_by_what_they_are() {
    let f = Fixture::new().await;
    let lines = ["INFO ready", "ERROR connection refused by 10.0.0.1:5432", "warn: slow query", "FATAL no space left", "plain"];
    let lines = lines.iter().enumerate().map(|(n, m)| line(i64::try_from(n).unwrap(), m)).collect();
    f.store.apply(vec![batch(stream(1, Some("shop")), lines)]).await.unwrap();
    f.store.apply(vec![batch(stream(2, None), vec![line(9, "ERROR refused connection")])]).await.unwrap();
    assert_eq!(
        found(&f.store, &query("refused")).await,
        ["ERROR refused connection", "ERROR connection refused by 10.0.0.1:5432"]
    );
    assert_eq!(found(&f.store, &query("\"connection refused\"")).await, ["ERROR connection refused by 10.0.0.1:5432"]);
    assert_eq!(found(&f.store, &query("10.0.0.1:5432")).await.len(), 1);
    assert_eq!(found(&f.store, &query("conn* -refused")).await, [""; 0]);
    assert_eq!(found(&f.store, &query("conn* -10.0.0.1")).await, ["ERROR refused connection"]);
    assert_eq!(found(&f.store, &query("-refused")).await, [""; 0], "a query that names nothing finds nothing");
    let severe = LogFilter { levels: LogLevel::Error.and_above().collect(), ..query("") };
    assert_eq!(found(&f.store, &severe).await.len(), 3);
    assert_eq!(found(&f.store, &LogFilter { stacks: vec!["shop".into()], ..severe.clone() }).await.len(), 2);
    assert_eq!(
        found(&f.store, &LogFilter { containers: vec![format!("{:064x}", 2)[..].to_owned()], ..query("") }).await.len(),
        1
    );
    assert_eq!(found(&f.store, &LogFilter { source: Some(LogSource::Stderr), ..query("") }).await.len(), 3);
    let at_two = LogFilter { since: Some(at(2)), until: Some(at(2)), ..query("") };
    assert_eq!(found(&f.store, &at_two).await, ["warn: slow query"]);
    let all = f.store.search_logs(&query("")).await.unwrap();
    let next = LogFilter { before_id: Some(all[1].id), limit: 2, ..query("") };
    assert_eq!(found(&f.store, &next).await, ["FATAL no space left", "warn: slow query"]);
    let one = &all[1];
    assert_eq!((one.container.as_str(), one.stack.as_deref(), one.level, one.at), ("c1", Some("shop"), None, at(4)));
}

#[tokio::test]
async fn hostile_lines_and_queries_are_texts() {
    let f = Fixture::new().await;
    let lines: Vec<_> = HOSTILE.iter().map(|m| line(0, m)).collect();
    f.store.apply(vec![batch(stream(1, Some(HOSTILE[0])), lines)]).await.unwrap();
    let kept = found(&f.store, &query("")).await;
    assert_eq!(kept.iter().rev().map(String::as_str).collect::<Vec<_>>(), HOSTILE);
    for text in HOSTILE.iter().chain(&["AND", "a NOT", "NEAR(", "*", "^x", "message:x", "\"", "{a b}", "-\"", "(((", "col : *"]) {
        f.store.search_logs(&query(text)).await.unwrap();
    }
    assert_eq!(found(&f.store, &query("DROP TABLE")).await, [HOSTILE[0]]);
    assert!(f.store.check().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_look_goes_on_where_the_last_one_ended_even_after_a_restart() {
    let f = Fixture::new().await;
    assert_eq!(f.store.log_mark(Uuid::from_u128(1)).await.unwrap(), None);
    let mark = LogMark { at: at(7), lines: 3 };
    let gap = Some((LogMark { at: at(2), lines: 1 }, LogMark { at: at(5), lines: 1 }));
    let told = LogBatch { stream: stream(1, None), lines: vec![line(7, "x")], mark, gap };
    f.store.apply(vec![Change::LogLines(told)]).await.unwrap();
    assert_eq!(f.store.log_mark(Uuid::from_u128(1)).await.unwrap(), Some(mark));
    let gaps = f.store.log_gaps(&query("")).await.unwrap();
    assert_eq!((gaps.len(), gaps[0].container.as_str(), gaps[0].since, gaps[0].until), (1, "c1", at(2), at(5)));
    let later = LogFilter { since: Some(at(6)), ..query("") };
    assert_eq!(f.store.log_gaps(&later).await.unwrap(), []);
    // Lines that a version without marks stored are not looked at again.
    f.store.container_logs().append(Uuid::from_u128(9), vec![(at(3), "old".into()), (at(4), "older".into())]).await.unwrap();
    assert_eq!(f.store.log_mark(Uuid::from_u128(9)).await.unwrap(), Some(LogMark { at: at(4), lines: 1 }));
}

#[tokio::test]
async fn lines_are_pruned_with_their_words_and_their_streams() {
    let f = Fixture::new().await;
    let living = std::sync::Arc::new(Random::new(1).container());
    f.store.apply(vec![Change::PutContainer(living.clone())]).await.unwrap();
    let of_living = Origin { container: living.uuid, ..stream(3, None) };
    f.store.apply(vec![batch(of_living, vec![line(0, "living")])]).await.unwrap();
    for n in 0..12 {
        let lines = (0..100).map(|i| line(n * 100 + i, &format!("word{} same", n * 100 + i))).collect();
        f.store.apply(vec![batch(stream(1 + u128::from(n > 9), None), lines)]).await.unwrap();
    }
    assert_eq!(f.store.prune_table(Growing::LogLines, Keep::rows(150)).await.unwrap(), 1051);
    assert_eq!(found(&f.store, &LogFilter { limit: 1000, ..query("same") }).await.len(), 150);
    assert_eq!(found(&f.store, &query("word3")).await.len(), 0);
    assert_eq!(found(&f.store, &query("word1199")).await.len(), 1);
    assert!(f.store.check().await.unwrap().is_empty());
    // A stream goes with its last line, but not while its container lives: it knows how far the log was read.
    f.store.apply(vec![Change::Prune { what: Growing::LogLines, bound: Bound::Newest(0) }]).await.unwrap();
    assert!(f.store.log_mark(living.uuid).await.unwrap().is_some());
    assert_eq!(f.store.log_mark(Uuid::from_u128(1)).await.unwrap(), None);
    let mut db = f.raw().await;
    let index: i64 =
        sqlx::query_scalar("SELECT count(*) FROM logSearch WHERE logSearch MATCH 'same'").fetch_one(&mut db).await.unwrap();
    assert_eq!(index, 0);
}
