//! Further processes in a running container.

use crate::support::{Container, Session, can_run, demultiplex, spec, wait_until};
use lighter_supervisor_proto::{ExecRequest, Reply, Request, Stage};
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;

fn request(id: &str, args: &[&str]) -> ExecRequest {
    ExecRequest {
        id: id.to_owned(),
        process: spec::process(args),
        tty: false,
        stdin: false,
        stdout: true,
        stderr: true,
        console_size: None,
        unconfined: false,
    }
}

fn start(container: &Container, request: ExecRequest) -> Session {
    let mut session = container.connect();
    let reply = session.ask(&Request::Exec(Box::new(request)));
    assert!(matches!(reply, Reply::ExecStarted { .. }), "{reply:?}");
    session
}

fn wait(container: &Container, id: &str) -> Reply {
    container.connect().ask(&Request::ExecWait { exec: id.to_owned() })
}

fn sleeping() -> Container {
    let mut container = Container::new(&["sleep", "1000"]);
    container.started();
    container
}

fn end(mut container: Container) {
    assert_eq!(container.connect().ask(&Request::Signal { number: 9 }), Reply::Ok);
    assert_eq!(container.exited().code, 137);
    assert_eq!(container.journal(), "");
}

#[test]
fn output_input_and_exit_code() {
    if !can_run() {
        return;
    }
    let container = sleeping();
    let mut wanted = request("e1", &["sh", "-c", "cat; echo err >&2; hostname; exit 9"]);
    wanted.stdin = true;
    let mut session = start(&container, wanted);
    session.0.write_all(b"in\n").unwrap();
    session.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(demultiplex(&session.rest()), (b"in\ntester\n".to_vec(), b"err\n".to_vec()));
    assert_eq!(wait(&container, "e1"), Reply::ExecExited { code: 9 });
    assert!(matches!(wait(&container, "e1"), Reply::Error { .. }), "it is told once");
    assert_eq!(container.log(), [], "an exec's output is not the container's log");
    end(container);
}

#[test]
fn waiting_before_the_end_and_killing() {
    if !can_run() {
        return;
    }
    let container = sleeping();
    let mut session = container.connect();
    let mut detached = request("e2", &["sleep", "1000"]);
    (detached.stdout, detached.stderr) = (false, false);
    let Reply::ExecStarted { pid } = session.ask(&Request::Exec(Box::new(detached))) else { panic!("not started") };
    // Nothing is attached: the connection takes further requests.
    assert!(matches!(session.ask(&Request::Status), Reply::Status { .. }));
    session.send(&Request::ExecWait { exec: "e2".to_owned() });
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(session.reply(), Reply::ExecExited { code: 143 });
    end(container);
}

#[test]
fn what_cannot_run_is_told() {
    if !can_run() {
        return;
    }
    let container = sleeping();
    let mut session = container.connect();
    for (args, stage, errno) in [
        (["nosuch"], Stage::Lookup, libc::ENOENT),
        (["/etc"], Stage::Lookup, libc::EISDIR),
        (["/etc/passwd"], Stage::Lookup, libc::EACCES),
    ] {
        let reply = session.ask(&Request::Exec(Box::new(request("f", &args))));
        let Reply::Failed(failure) = reply else { panic!("{reply:?}") };
        assert_eq!((failure.stage, failure.errno), (stage, Some(errno)), "{}", failure.message);
    }
    let mut elsewhere = request("f", &["true"]);
    elsewhere.process["cwd"] = "/nosuch".into();
    let Reply::Failed(failure) = session.ask(&Request::Exec(Box::new(elsewhere))) else { panic!("started") };
    assert_eq!(failure.stage, Stage::WorkingDir);
    assert!(matches!(wait(&container, "f"), Reply::Error { .. }));
    assert!(matches!(session.ask(&Request::Status), Reply::Status { .. }), "the connection goes on");
    end(container);
}

#[test]
fn a_terminal() {
    if !can_run() {
        return;
    }
    let container = sleeping();
    let mut wanted = request("t", &["sh", "-c", "stty size; read x; stty size; exit 4"]);
    (wanted.tty, wanted.stdin, wanted.console_size) = (true, true, Some((11, 22)));
    let mut session = start(&container, wanted);
    session.read_until("11 22\r\n");
    let resize = Request::Resize { exec: Some("t".to_owned()), rows: 12, cols: 34 };
    assert_eq!(container.connect().ask(&resize), Reply::Ok);
    session.0.write_all(b"\n").unwrap();
    assert_eq!(String::from_utf8(session.rest()).unwrap(), "\r\n12 34\r\n");
    assert_eq!(wait(&container, "t"), Reply::ExecExited { code: 4 });
    end(container);
}

#[test]
fn many_at_once() {
    if !can_run() {
        return;
    }
    let container = sleeping();
    let threads: Vec<_> = (0..20)
        .map(|n| {
            let mut session = container.connect();
            std::thread::spawn(move || {
                let script = format!("echo {n}; exit {n}");
                let reply = session.ask(&Request::Exec(Box::new(request(&format!("m{n}"), &["sh", "-c", &script]))));
                assert!(matches!(reply, Reply::ExecStarted { .. }), "{reply:?}");
                assert_eq!(demultiplex(&session.rest()).0, format!("{n}\n").into_bytes());
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    for n in 0..20 {
        assert_eq!(wait(&container, &format!("m{n}")), Reply::ExecExited { code: n });
    }
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", container.supervisor_pid())).unwrap().count();
    let names = || fs::read_dir(&container.launch.run_dir).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>();
    assert!(wait_until(|| descriptors() < 32), "{}", descriptors());
    assert!(names().iter().all(|name| !name.to_string_lossy().starts_with("exec-")), "{:?}", names());
    end(container);
}

#[test]
fn the_end_of_the_container_is_theirs() {
    if !can_run() {
        return;
    }
    let container = sleeping();
    let mut session = start(&container, request("x", &["sh", "-c", "echo on; sleep 1000"]));
    session.read_until("on\n");
    let mut waiting = container.connect();
    waiting.send(&Request::ExecWait { exec: "x".to_owned() });
    end(container);
    assert_eq!(waiting.reply(), Reply::ExecExited { code: 137 });
    assert_eq!(session.0.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_background_process_does_not_keep_the_client() {
    if !can_run() {
        return;
    }
    let container = sleeping();
    let session = start(&container, request("b", &["sh", "-c", "sleep 1000 & echo done"]));
    assert_eq!(demultiplex(&session.rest()).0, b"done\n");
    assert_eq!(wait(&container, "b"), Reply::ExecExited { code: 0 });
    end(container);
}
