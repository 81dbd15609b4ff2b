//! Attached clients: output, input, terminals, slowness.

use crate::support::{Container, Session, can_run, demultiplex, wait_until};
use lighter_supervisor_proto::{Reply, Request};
use serde_json::json;
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;

const ALL: Request = Request::Attach { stdin: true, stdout: true, stderr: true };

fn attach(container: &Container, request: &Request) -> Session {
    let mut session = container.connect();
    assert_eq!(session.ask(request), Reply::Ok);
    session
}

#[test]
fn who_attached_before_the_start_sees_the_first_byte() {
    if !can_run() {
        return;
    }
    for _ in 0..5 {
        let mut container = Container::new(&["sh", "-c", "echo first; echo second >&2"]);
        let mut all = container.connect();
        all.send(&ALL);
        let mut errors = container.connect();
        errors.send(&Request::Attach { stdin: false, stdout: false, stderr: true });
        container.started();
        assert_eq!((all.reply(), errors.reply()), (Reply::Ok, Reply::Ok));
        assert_eq!(demultiplex(&all.rest()), (b"first\n".to_vec(), b"second\n".to_vec()));
        assert_eq!(demultiplex(&errors.rest()), (Vec::new(), b"second\n".to_vec()));
        container.exited();
    }
}

#[test]
fn half_close_ends_the_input_of_a_container_that_takes_it_once() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["sh", "-c", "wc -c; cat; echo end"]);
    container.launch.open_stdin = true;
    container.launch.stdin_once = true;
    // Sent before there is a process, and more than a pipe holds.
    let mut session = container.connect();
    session.send(&ALL);
    let mut writer = session.0.try_clone().unwrap();
    let feeder = std::thread::spawn(move || {
        writer.write_all(&vec![b'x'; 3_000_000]).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    container.started();
    assert_eq!(session.reply(), Reply::Ok);
    assert_eq!(String::from_utf8(demultiplex(&session.rest()).0).unwrap(), "3000000\nend\n");
    feeder.join().unwrap();
    assert_eq!(container.exited().code, 0);
}

#[test]
fn input_stays_open_for_the_next_client_otherwise() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["sh", "-c", "read a; echo got $a; read b; echo got $b"]);
    container.launch.open_stdin = true;
    container.started();
    let mut first = attach(&container, &ALL);
    first.0.write_all(b"one\n").unwrap();
    first.0.shutdown(Shutdown::Write).unwrap();
    first.read_until("got one");
    let mut second = attach(&container, &ALL);
    second.0.write_all(b"two\n").unwrap();
    assert_eq!(demultiplex(&second.rest()).0, b"got two\n");
    assert_eq!(demultiplex(&first.rest()).0, b"got two\n", "a half-closed client still gets output");
    container.exited();
}

#[test]
fn without_open_input_there_is_none() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["sh", "-c", "readlink /proc/self/fd/0; cat; echo end"]);
    container.started();
    container.exited();
    assert_eq!(container.log_text(), "/dev/null\nend\n");
}

#[test]
fn input_that_nobody_reads_holds_its_client_back_and_no_more() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["sleep", "1000"]);
    container.launch.open_stdin = true;
    container.started();
    let mut session = attach(&container, &ALL);
    session.0.set_nonblocking(true).unwrap();
    let mut sent = 0;
    // Until neither sockets nor buffers take more.
    let chunk = [b'x'; 65536];
    let mut idle = 0;
    while idle < 50 {
        match session.0.write(&chunk) {
            Ok(n) => (sent, idle) = (sent + n, 0),
            Err(_) => {
                idle += 1;
                assert!(matches!(container.connect().ask(&Request::Status), Reply::Status { .. }));
            }
        }
        assert!(sent < 4 << 20, "no bound");
    }
    drop(session);
    container.connect().ask(&Request::Signal { number: 9 });
    container.exited();
}

#[test]
fn a_terminal_has_its_size_from_the_start_and_can_be_resized() {
    if !can_run() {
        return;
    }
    let script = "stty size; tty; [ -c /dev/console ] && echo console; read line; stty size; echo got $line; exit 3";
    let mut container = Container::new(&["sh", "-c", script]);
    container.launch.tty = true;
    container.launch.open_stdin = true;
    container.launch.console_size = Some((33, 77));
    container.spec["process"]["terminal"] = json!(true);
    let mut session = container.connect();
    session.send(&ALL);
    container.started();
    assert_eq!(session.reply(), Reply::Ok);
    assert_eq!(session.read_until("console\r\n"), "33 77\r\n/dev/pts/0\r\nconsole\r\n");
    assert_eq!(container.connect().ask(&Request::Resize { exec: None, rows: 44, cols: 99 }), Reply::Ok);
    session.0.write_all(b"hello\n").unwrap();
    assert_eq!(String::from_utf8(session.rest()).unwrap(), "hello\r\n44 99\r\ngot hello\r\n");
    assert_eq!(container.exited().code, 3);
    assert!(container.log().iter().all(|(stream, _)| stream == "stdout"));
    assert!(container.log_text().ends_with("got hello\r\n"));
}

#[test]
fn a_client_that_does_not_read_does_not_hold_up_the_container() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["sh", "-c", "head -c 30000000 /dev/zero | tr '\\0' x; echo; echo end"]);
    let mut slow = container.connect();
    slow.send(&ALL);
    container.started();
    // All of it is in the log while the client has taken nothing.
    let path = container.log_path();
    assert!(wait_until(|| fs::metadata(&path).is_ok_and(|m| m.len() > 30_000_000)));
    assert!(wait_until(|| container.log_text().ends_with("end\n")));
    let beside: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!beside.iter().any(|name| name.to_string_lossy().starts_with("spill")), "{beside:?}");
    assert_eq!(slow.reply(), Reply::Ok);
    let (out, _) = demultiplex(&slow.rest());
    assert_eq!(out.len(), 30_000_000 + 5);
    assert!(out.ends_with(b"x\nend\n"));
    assert_eq!(container.exited().code, 0);
}

#[test]
fn a_client_that_vanishes_is_forgotten() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["sh", "-c", "while :; do echo tick; sleep 0.01; done"]);
    container.started();
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", container.supervisor_pid())).unwrap().count();
    let sessions: Vec<_> = (0..20).map(|_| attach(&container, &ALL)).collect();
    let with = descriptors();
    drop(sessions);
    assert!(wait_until(|| descriptors() == with - 20), "{} of {with}", descriptors());
    let mut last = attach(&container, &ALL);
    last.read_until("tick");
    container.connect().ask(&Request::Signal { number: 9 });
    last.0.read_to_end(&mut Vec::new()).unwrap();
    container.exited();
}
