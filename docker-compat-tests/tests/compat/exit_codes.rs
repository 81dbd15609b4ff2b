//! Exit codes and the start errors they are made from.

use docker_compat_tests::{Scope, cli};

const RUN: [&str; 4] = ["run", "--rm", "--network", "none"];

fn run<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    let mut args = RUN.to_vec();
    args.extend(rest);
    args
}

#[test]
fn the_programs_own_code() {
    let t = Scope::new();
    for code in [0, 1, 42, 125, 126, 127, 255] {
        t.docker(&run(&["busybox", "sh", "-c", &format!("exit {code}")])).fails(code);
    }
}

#[test]
fn killed_by_a_signal() {
    let t = Scope::new();
    for (signal, code) in [("KILL", 137), ("TERM", 143), ("INT", 130), ("SEGV", 139)] {
        let id = t.detached(&[], "sleep 1000 & echo up; wait");
        // Init ignores signals without a handler, except KILL from outside.
        if signal == "KILL" {
            t.docker(&["kill", "-s", signal, &id]).ok();
            assert_eq!(t.docker(&["wait", &id]).ok(), "137");
        } else {
            t.docker(&["kill", &id]).ok();
            t.docker(&["wait", &id]).ok();
            let script = format!("sh -c 'kill -{signal} $$'; exit $?");
            t.docker(&run(&["busybox", "sh", "-c", &script])).fails(code);
        }
    }
}

#[test]
fn command_not_found_is_127() {
    let t = Scope::new();
    let out = t.docker(&run(&["busybox", "no-such-program"]));
    let text = out.fails(127);
    assert!(text.contains("exec: \"no-such-program\": executable file not found in $PATH"), "{text}");
    let out = t.docker(&run(&["busybox", "/no/such/file"]));
    let text = out.fails(127);
    assert!(text.contains("/no/such/file"), "{text}");
    assert!(text.contains("no such file or directory"), "{text}");
}

#[test]
fn not_executable_is_126() {
    let t = Scope::new();
    let out = t.docker(&run(&["busybox", "/etc/passwd"]));
    let text = out.fails(126);
    assert!(text.contains("exec: \"/etc/passwd\": permission denied"), "{text}");
    let out = t.docker(&run(&["busybox", "/etc"]));
    let text = out.fails(126);
    assert!(text.contains("/etc"), "{text}");
    assert!(text.contains("is a directory") || text.contains("permission denied"), "{text}");
}

#[test]
fn a_failed_start_is_recorded() {
    let t = Scope::new();
    let id = t.docker(&["create", "--network", "none", "busybox", "no-such-program"]).ok().to_owned();
    let out = t.docker(&["start", &id]);
    let text = out.fails(1);
    assert!(text.contains("executable file not found in $PATH"), "{text}");
    let state = t.inspect(&id)["State"].clone();
    assert_eq!(state["Status"], "created");
    assert_eq!(state["ExitCode"], 127);
    assert!(state["Error"].as_str().unwrap().contains("executable file not found in $PATH"), "{state}");
    assert_eq!(state["Running"], false);
    // The answer itself is a client error.
    let answer = t.daemon.http("POST", &format!("/containers/{id}/start"), None);
    assert!(answer.error(400).contains("executable file not found in $PATH"), "{}", answer.text());
}

#[test]
fn no_such_image_is_125() {
    let t = Scope::new();
    let out = t.docker(&run(&["--pull", "never", "no-such-image:at-all", "true"]));
    let text = out.fails(125);
    assert!(text.contains("No such image: no-such-image:at-all"), "{text}");
}

#[test]
fn unknown_flag_is_125() {
    let t = Scope::new();
    t.docker(&run(&["--no-such-flag", "busybox", "true"])).fails(125);
}

#[test]
fn stop_with_a_handler_gives_its_code_and_kill_gives_137() {
    let t = Scope::new();
    let polite = t.detached(&[], "trap 'exit 9' TERM; echo up; while :; do sleep 1000 & wait; done");
    wait_log(&t, &polite, "up");
    t.docker(&["stop", &polite]).ok();
    assert_eq!(t.inspect(&polite)["State"]["ExitCode"], 9);
    let deaf = t.detached(&[], "trap '' TERM; echo up; while :; do sleep 1000 & wait; done");
    wait_log(&t, &deaf, "up");
    t.docker(&["stop", "-t", "1", &deaf]).ok();
    assert_eq!(t.inspect(&deaf)["State"]["ExitCode"], 137);
}

#[test]
fn program_ending_by_sigterm_is_143() {
    let t = Scope::new();
    // With an init the program is not pid 1, so the default action applies.
    let id = t.docker(&["run", "-d", "--init", "--network", "none", "busybox", "sleep", "1000"]).ok().to_owned();
    cli::wait_state(t.daemon, &id, "running");
    t.docker(&["stop", &id]).ok();
    assert_eq!(t.inspect(&id)["State"]["ExitCode"], 143);
}

#[test]
fn stop_signal_is_honoured() {
    let t = Scope::new();
    let id = t.detached(&["--stop-signal", "USR1"], "trap 'exit 31' USR1; echo up; while :; do sleep 1000 & wait; done");
    wait_log(&t, &id, "up");
    t.docker(&["stop", &id]).ok();
    assert_eq!(t.inspect(&id)["State"]["ExitCode"], 31);
}

/// Waits until a line is in the container's log.
pub fn wait_log(t: &Scope, id: &str, text: &str) {
    docker_compat_tests::eventually(&format!("{text:?} in the log of {id}"), || {
        t.docker(&["logs", id]).stdout.contains(text).then_some(())
    });
}
