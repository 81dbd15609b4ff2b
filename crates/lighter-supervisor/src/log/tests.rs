use super::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn settings(path: &Path, max_size: u64, max_file: u32) -> proto::LogFile {
    proto::LogFile { path: path.to_owned(), max_size, max_file, attrs: BTreeMap::new() }
}

fn record(text: &str, stream: &str, time: &str) -> String {
    format!("{{\"log\":\"{text}\",\"stream\":\"{stream}\",\"time\":\"{time}\"}}\n")
}

fn open(settings: &proto::LogFile) -> Log {
    Log::open(Some(settings), None).unwrap().unwrap()
}

const SECOND: i64 = 1_000_000_000;

#[test]
fn lines_are_found_across_reads_and_streams() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut log = open(&settings(&path, 0, 1));
    log.append(Stream::Stdout, b"one\ntw", 0);
    log.append(Stream::Stderr, b"err\n", SECOND);
    log.append(Stream::Stdout, b"o\n\nrest", 2 * SECOND);
    log.append(Stream::Stdout, b"", SECOND);
    log.finish(Stream::Stdout, SECOND);
    log.finish(Stream::Stderr, SECOND);
    let want = [
        record("one\\n", "stdout", "1970-01-01T00:00:00Z"),
        record("err\\n", "stderr", "1970-01-01T00:00:01Z"),
        record("two\\n", "stdout", "1970-01-01T00:00:02Z"),
        record("\\n", "stdout", "1970-01-01T00:00:02Z"),
        record("rest", "stdout", "1970-01-01T00:00:02Z"),
    ];
    assert_eq!(fs::read_to_string(&path).unwrap(), want.concat(), "the clock never goes back");
    assert_eq!(log.trouble(), None);
}

#[test]
fn long_lines_are_split_at_16_kib_with_the_time_of_their_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut log = open(&settings(&path, 0, 1));
    let full = "x".repeat(MAX_RECORD);
    log.append(Stream::Stdout, full.as_bytes(), SECOND);
    log.append(Stream::Stdout, b"end\nnext\n", 2 * SECOND);
    log.append(Stream::Stdout, format!("{full}\n").as_bytes(), 3 * SECOND);
    let (one, two, three) = ("1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z", "1970-01-01T00:00:03Z");
    let want = [
        record(&full, "stdout", one),
        record("end\\n", "stdout", one),
        record("next\\n", "stdout", two),
        record(&full, "stdout", three),
        record("\\n", "stdout", three),
    ];
    assert_eq!(fs::read_to_string(&path).unwrap(), want.concat());
}

#[test]
fn any_cut_of_the_input_gives_the_same_records() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = b"a\nbb\xff\n\n".to_vec();
    text.extend(std::iter::repeat_n(b'y', 40_000));
    text.extend_from_slice(b"\nlast");
    let mut want = None;
    for cut in [1, 7, 4096, 16_384, 16_385, 65_536] {
        let path = dir.path().join(cut.to_string());
        let mut log = open(&settings(&path, 0, 1));
        text.chunks(cut).for_each(|piece| log.append(Stream::Stderr, piece, SECOND));
        log.finish(Stream::Stderr, SECOND);
        let got = fs::read(&path).unwrap();
        assert_eq!(&got, want.get_or_insert(got.clone()), "cut at {cut}");
    }
}

#[test]
fn attributes_stand_before_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(&dir.path().join("log"), 0, 1);
    settings.attrs = BTreeMap::from([("tag".to_owned(), "a\"b".to_owned())]);
    let mut log = open(&settings);
    log.append(Stream::Stdout, b"x\n", 0);
    let want = "{\"log\":\"x\\n\",\"stream\":\"stdout\",\"attrs\":{\"tag\":\"a\\\"b\"},\"time\":\"1970-01-01T00:00:00Z\"}\n";
    assert_eq!(fs::read_to_string(&settings.path).unwrap(), want);
}

#[test]
fn files_rotate_and_the_oldest_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let line = record("0\\n", "stdout", "1970-01-01T00:00:00Z");
    // Two records to a file: the second begins before the bound.
    let mut log = open(&settings(&path, line.len() as u64 + 1, 3));
    for number in 0..9 {
        log.append(Stream::Stdout, format!("{number}\n").as_bytes(), 0);
    }
    let numbers = |name: &str| -> Vec<char> {
        let text = fs::read_to_string(dir.path().join(name)).unwrap();
        text.lines().map(|l| l.chars().nth(8).unwrap()).collect()
    };
    assert_eq!((numbers("log"), numbers("log.1"), numbers("log.2")), (vec!['8'], vec!['6', '7'], vec!['4', '5']));
    assert!(!dir.path().join("log.3").exists());

    // All in one piece, the same.
    let path = dir.path().join("again");
    let mut log = open(&settings(&path, line.len() as u64 + 1, 3));
    log.append(Stream::Stdout, b"0\n1\n2\n3\n4\n5\n6\n7\n8\n", 0);
    assert_eq!((numbers("again"), numbers("again.1"), numbers("again.2")), (vec!['8'], vec!['6', '7'], vec!['4', '5']));

    // A single file is emptied.
    let path = dir.path().join("single");
    let mut log = open(&settings(&path, line.len() as u64 + 1, 1));
    log.append(Stream::Stdout, b"0\n1\n2\n", 0);
    assert_eq!(numbers("single"), vec!['2']);
}

#[test]
fn records_reach_a_syslog_socket_that_is_slow_or_comes_back() {
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::net::UnixListener;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let to = proto::LogTo::Syslog {
        to: proto::SyslogAddress::Unix(path.clone()),
        format: proto::SyslogFormat::Rfc5424,
        facility: 3,
        tag: "t".into(),
    };
    let mut log = Log::open(None, Some(&to)).unwrap().unwrap();
    // More than a socket holds, and nobody reads yet.
    let line = [&[b'x'; 8000][..], b"\n"].concat();
    for _ in 0..100 {
        log.append(Stream::Stdout, &line, SECOND);
    }
    assert!(log.is_waiting());
    let (peer, _) = listener.accept().unwrap();
    let reader = std::thread::spawn(move || BufReader::new(peer).lines().take(100).map(Result::unwrap).collect::<Vec<_>>());
    log.close();
    let lines = reader.join().unwrap();
    assert!(lines.len() == 100 && lines.iter().all(|l| l.starts_with("<30>1 ") && l.ends_with("xx")));
    // The peer went away with its reader; the next one is found.
    log.append(Stream::Stderr, b"again\n", SECOND);
    let (peer, _) = listener.accept().unwrap();
    log.append(Stream::Stderr, b"and again\n", SECOND);
    log.close();
    drop(log);
    let lines: Vec<_> = BufReader::new(peer).lines().map(Result::unwrap).collect();
    assert!(lines.last().unwrap().ends_with("and again"), "{lines:?}");
}
