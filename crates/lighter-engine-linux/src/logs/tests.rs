//! The reader on real files: whole, from the end, over rotation, and as they grow.

use super::*;
use lighter_engine::stdcopy;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use tokio::io::AsyncReadExt as _;

const ALL: LogQuery = LogQuery {
    stdout: true,
    stderr: true,
    follow: false,
    timestamps: false,
    details: false,
    since: None,
    until: None,
    tail: None,
};

fn line(n: u32) -> String {
    let stream = if n % 10 == 9 { "stderr" } else { "stdout" };
    let (minute, second) = (n / 60 % 60, n % 60);
    format!("{{\"log\":\"line {n}\\n\",\"stream\":\"{stream}\",\"time\":\"2024-01-01T00:{minute:02}:{second:02}.5Z\"}}\n")
}

fn write(path: &Path, lines: std::ops::Range<u32>) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(lines.map(line).collect::<String>().as_bytes()).unwrap();
}

fn source(path: &Path, query: &LogQuery, tty: bool) -> Source {
    Source { path: path.to_owned(), format: Format::new(tty, query), tail: query.tail }
}

async fn read(path: &Path, query: LogQuery) -> Vec<u32> {
    let mut text = String::new();
    stream(source(path, &query, true), None).read_to_string(&mut text).await.unwrap();
    text.lines().map(|l| l.rsplit(' ').next().unwrap().parse().unwrap()).collect()
}

fn range(range: std::ops::Range<u32>) -> Vec<u32> {
    range.collect()
}

#[tokio::test]
async fn rotated_files_are_one_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x-json.log");
    assert_eq!(read(&path, ALL).await, range(0..0), "there is none yet");
    write(&dir.path().join("x-json.log.2"), 0..1000);
    write(&dir.path().join("x-json.log.1"), 1000..2000);
    write(&path, 2000..2500);
    assert_eq!(read(&path, ALL).await, range(0..2500));
    for (tail, from) in [(0, 2500), (1, 2499), (500, 2000), (501, 1999), (1500, 1000), (2499, 1), (2500, 0), (9999, 0)] {
        assert_eq!(read(&path, LogQuery { tail: Some(tail), ..ALL }).await, range(from..2500), "{tail}");
    }
}

#[tokio::test]
async fn a_line_cut_off_at_the_end_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x-json.log");
    write(&path, 0..3);
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"rubbish\n{\"log\":\"cut").unwrap();
    assert_eq!(read(&path, ALL).await, [0, 1, 2]);
    assert_eq!(read(&path, LogQuery { tail: Some(2), ..ALL }).await, [2], "rubbish counts as a line, but is not shown");
    assert_eq!(read(&path, LogQuery { tail: Some(0), ..ALL }).await, range(0..0));
}

#[tokio::test]
async fn times_and_streams_are_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x-json.log");
    write(&path, 0..40);
    let at = |s: i64| OffsetDateTime::from_unix_timestamp(1_704_067_200 + s).unwrap();
    assert_eq!(read(&path, LogQuery { since: Some(at(30)), ..ALL }).await, range(30..40));
    assert_eq!(read(&path, LogQuery { until: Some(at(3)), ..ALL }).await, range(0..3));
    let mut framed = Vec::new();
    let query = LogQuery { stdout: false, timestamps: true, ..ALL };
    stream(source(&path, &query, false), None).read_to_end(&mut framed).await.unwrap();
    let (head, rest) = framed.split_first_chunk::<8>().unwrap();
    let (from, len) = stdcopy::parse_header(*head).unwrap();
    assert_eq!(from, stdcopy::Stream::Stderr);
    assert_eq!(&rest[..len as usize], b"2024-01-01T00:00:09.500000000Z line 9\n");
    assert_eq!(framed.len(), 4 * (8 + 31 + 7) + 3, "four lines, three of them with two digits");
}

/// Follows while a writer appends and rotates as the supervisor does.
#[tokio::test]
async fn followed_over_rotations() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x-json.log");
    let older = dir.path().join("x-json.log.1");
    write(&path, 0..100);
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    let watcher = Watcher::default();
    let exit = Exit { code: 0, oom_killed: false, finished_at: OffsetDateTime::UNIX_EPOCH };
    let follow = Follow {
        watch: watcher.watch(dir.path()).unwrap(),
        end: Box::pin(async move {
            let _ = end.await;
            Ok(exit)
        }),
        until: None,
    };
    let mut output = stream(source(&path, &LogQuery { tail: Some(50), ..ALL }, true), Some(follow));
    let mut seen = String::new();
    let mut wait_for = async |last: u32| {
        let wanted = format!("line {last}\n");
        while !seen.ends_with(&wanted) {
            let mut piece = vec![0; 4096];
            let n = tokio::time::timeout(Duration::from_secs(10), output.read(&mut piece)).await.expect("in time").unwrap();
            assert!(n > 0, "it ended early");
            seen.push_str(std::str::from_utf8(&piece[..n]).unwrap());
        }
        seen.clone()
    };
    wait_for(99).await;
    write(&path, 100..110);
    wait_for(109).await;
    write(&path, 110..111);
    fs::rename(&path, &older).unwrap();
    write(&path, 111..120);
    let text = wait_for(119).await;
    let numbers: Vec<u32> = text.lines().map(|l| l[5..].parse().unwrap()).collect();
    assert_eq!(numbers, range(50..120));
    write(&path, 120..121);
    ended.send(()).unwrap();
    let mut rest = String::new();
    output.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "line 120\n");
}

/// `cargo test --release -- --ignored --nocapture a_big_log`: how fast.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn a_big_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x-json.log");
    let record =
        format!("{{\"log\":\"{}\\n\",\"stream\":\"stdout\",\"time\":\"2024-01-01T00:00:00.123456789Z\"}}\n", "x".repeat(99));
    let block = record.repeat(10_000);
    let mut file = fs::File::create(&path).unwrap();
    for _ in 0..200 {
        file.write_all(block.as_bytes()).unwrap();
    }
    let started = std::time::Instant::now();
    let mut output = stream(source(&path, &ALL, false), None);
    let (mut total, mut piece) = (0, vec![0; 256 << 10]);
    loop {
        let n = output.read(&mut piece).await.unwrap();
        if n == 0 {
            break;
        }
        total += n;
    }
    assert_eq!(total, 2_000_000 * 108);
    println!("{} MB of output in {:?}", total / 1_000_000, started.elapsed());
}
