//! Measurements, not judgements: `LIGHTER_SUPERVISOR=<release build> cargo test -p lighter-supervisor --test supervisor -- --ignored
//! --nocapture --test-threads 1 measure`.

use crate::support::{Container, can_run, spec, wait_until};
use lighter_supervisor_proto::{ExecRequest, Reply, Request};
use std::fs;
use std::time::{Duration, Instant};

const LINES: &str = "/lines";

fn median(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    format!("median {:.2} ms, least {:.2}, most {:.2}", times[times.len() / 2], times[0], times[times.len() - 1])
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

#[test]
#[ignore = "a measurement"]
fn true_from_spawn_to_exit() {
    if !can_run() {
        return;
    }
    let (mut ready, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..31 {
        let mut container = Container::new(&["true"]);
        std::thread::sleep(Duration::from_millis(60));
        let start = Instant::now();
        container.started();
        ready.push(millis(start));
        container.exited();
        whole.push(millis(start));
    }
    eprintln!("\ntrue: to Ready {}", median(ready));
    eprintln!("\ntrue: to exit  {}", median(whole));
}

#[test]
#[ignore = "a measurement"]
fn exec_of_true() {
    if !can_run() {
        return;
    }
    let mut container = Container::new(&["sleep", "1000"]);
    container.started();
    let mut times = Vec::new();
    for n in 0..31 {
        std::thread::sleep(Duration::from_millis(60));
        let request = ExecRequest {
            id: n.to_string(),
            process: spec::process(&["true"]),
            tty: false,
            stdin: false,
            stdout: true,
            stderr: true,
            console_size: None,
            unconfined: false,
        };
        let start = Instant::now();
        let mut session = container.connect();
        assert!(matches!(session.ask(&Request::Exec(Box::new(request))), Reply::ExecStarted { .. }));
        session.rest();
        assert!(matches!(container.connect().ask(&Request::ExecWait { exec: n.to_string() }), Reply::ExecExited { code: 0 }));
        times.push(millis(start));
    }
    eprintln!("\nexec: {}", median(times));
    container.connect().ask(&Request::Signal { number: 9 });
    container.exited();
}

#[test]
#[ignore = "a measurement"]
fn log_of_one_gibibyte() {
    if !can_run() {
        return;
    }
    // `yes` of busybox is slower than the supervisor: a file is printed sixteen times.
    let mut args = vec!["cat"];
    args.extend([LINES; 16]);
    let mut container = Container::new(&args);
    fs::write(container.rootfs.upper.join("lines"), format!("{}\n", "x".repeat(99)).repeat(671_089)).unwrap();
    container.spec["mounts"].as_array_mut().unwrap().clear();
    let start = Instant::now();
    container.started();
    assert_eq!(container.exited().code, 0);
    let seconds = start.elapsed().as_secs_f64();
    let size = fs::metadata(container.log_path()).unwrap().len();
    eprintln!("\nlog: 1 GiB in {seconds:.2} s, {:.0} MB/s of text, file {} MiB", 1073.7 / seconds, size >> 20);
}

#[test]
#[ignore = "a measurement"]
fn memory_of_a_sleeping_container() {
    if !can_run() {
        return;
    }
    let mut containers: Vec<_> = (0..3).map(|_| Container::new(&["sleep", "1000"])).collect();
    for (count, container) in containers.iter_mut().enumerate() {
        container.started();
        let path = format!("/proc/{}/smaps_rollup", container.supervisor_pid());
        let value = |name: &str| -> u32 {
            let text = fs::read_to_string(&path).unwrap();
            text.lines().find(|l| l.starts_with(name)).unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        let first = value("Rss:");
        wait_until(|| value("Rss:") < first);
        eprintln!(
            "memory: with {} running: Rss {} kB, Pss {} kB, dirty {} kB",
            count + 1,
            value("Rss:"),
            value("Pss:"),
            value("Private_Dirty:")
        );
    }
    for container in &mut containers {
        container.connect().ask(&Request::Signal { number: 9 });
        container.exited();
    }
}
