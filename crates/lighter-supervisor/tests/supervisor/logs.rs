//! The log as a container writes it.

use crate::support::{Container, can_run};
use std::fs;

#[test]
fn lines_that_are_long_or_unfinished_or_not_text() {
    if !can_run() {
        return;
    }
    let script = "head -c 20000 /dev/zero | tr '\\0' y; echo; printf 'a\\377<b>\\n'; printf rest";
    let mut container = Container::new(&["sh", "-c", script]);
    container.started();
    container.exited();
    let texts: Vec<String> = container.log().into_iter().map(|(_, text)| text).collect();
    assert_eq!(
        texts,
        ["y".repeat(16384), format!("{}\n", "y".repeat(20000 - 16384)), "a\u{fffd}<b>\n".to_owned(), "rest".to_owned()]
    );
    let raw = fs::read_to_string(container.log_path()).unwrap();
    assert!(raw.contains(r#"{"log":"a\ufffd\u003cb\u003e\n","stream":"stdout","time":""#), "{raw}");
}

#[test]
fn files_rotate_while_the_container_runs() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["seq", "1", "20000"]);
    let log = container.launch.log.as_mut().unwrap();
    (log.max_size, log.max_file) = (100_000, 3);
    container.started();
    container.exited();
    let path = container.log_path();
    let read = |suffix: &str| fs::read_to_string(format!("{}{suffix}", path.display())).unwrap();
    let (new, old, oldest) = (read(""), read(".1"), read(".2"));
    assert!(!path.with_file_name("log.json.3").exists());
    for text in [&new, &old, &oldest] {
        assert!(text.len() < 100_000 + 200);
    }
    let numbers: Vec<u32> = [oldest, old, new]
        .concat()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["log"].as_str().unwrap().trim().parse().unwrap())
        .collect();
    assert_eq!(numbers.last(), Some(&20000));
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "no line is missing in between");
}

#[test]
fn no_log_is_written_where_none_is_wanted() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["sh", "-c", "seq 1 100000; echo end"]);
    let path = container.log_path();
    container.launch.log = None;
    container.started();
    assert_eq!(container.exited().code, 0);
    assert!(!path.exists());
}

#[test]
fn a_full_disk_loses_records_and_not_the_container() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["sh", "-c", "seq 1 50000; echo end"]);
    container.launch.log.as_mut().unwrap().path = "/dev/full".into();
    container.started();
    assert_eq!(container.exited().code, 0);
    let journal = container.journal();
    assert_eq!(journal.matches("cannot write /dev/full").count(), 1, "{journal}");
}
