//! A machine that went down: every process of ours is dead, what was under /run is gone, the store remains.

use crate::survival::{Subject, inspect, reference, run, supervisor_of};
use docker_compat_tests::daemon::alive;
use docker_compat_tests::{cli, eventually};

#[test]
fn the_store_tells_the_truth_and_policies_start_what_should_run() {
    if reference() {
        return;
    }
    let (subject, first) = Subject::new("reboot");
    let sleeper = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done";
    let named = |name: &str, flags: &[&str], script: &str| {
        let mut all = vec!["--name", name];
        all.extend(flags);
        run(&first, &all, script)
    };
    for (name, policy) in [("always", "always"), ("unless", "unless-stopped"), ("failing", "on-failure"), ("plain", "no")] {
        named(name, &["--restart", policy], sleeper);
    }
    named("removed", &["--rm"], sleeper);
    // Ended before: by the user, by themselves, and with their tries used up.
    for (name, policy) in [("always-stopped", "always"), ("unless-stopped", "unless-stopped"), ("failing-stopped", "on-failure")]
    {
        named(name, &["--restart", policy], sleeper);
        first.docker(&["stop", "-t", "5", name]).ok();
    }
    named("done", &["--restart", "on-failure"], "exit 0");
    named("given-up", &["--restart", "on-failure:1"], "exit 9");
    cli::wait_state(&first, "done", "exited");
    eventually("it is given up", || {
        let now = inspect(&first, "given-up");
        (now["RestartCount"] == 1 && now["State"]["Status"] == "exited").then_some(())
    });

    let running = ["always", "unless", "failing", "plain", "removed"];
    let pids: Vec<u32> = running.iter().map(|n| inspect(&first, n)["State"]["Pid"].as_u64().unwrap() as u32).collect();
    let supervisors: Vec<_> = running.iter().map(|n| supervisor_of(&first, n)).collect();
    first.kill_nine();
    for supervisor in supervisors {
        rustix::process::kill_process(supervisor, rustix::process::Signal::KILL).unwrap();
    }
    for pid in pids.iter().filter_map(|pid| rustix::process::Pid::from_raw(*pid as i32)) {
        // With its supervisor it may have gone already.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    eventually("all are dead", || (!pids.iter().any(|pid| alive(*pid))).then_some(()));
    std::fs::remove_dir_all(subject.roots.join("exec")).unwrap();

    let second = subject.again();
    for name in ["always", "unless", "failing", "always-stopped"] {
        cli::wait_state(&second, name, "running");
        let pid = inspect(&second, name)["State"]["Pid"].as_u64().unwrap() as u32;
        assert!(alive(pid) && !pids.contains(&pid), "{name}");
    }
    for (name, code) in [("plain", 255), ("unless-stopped", 0), ("failing-stopped", 0), ("done", 0), ("given-up", 9)] {
        let state = inspect(&second, name)["State"].clone();
        assert_eq!((&state["Status"], &state["ExitCode"]), (&"exited".into(), &code.into()), "{name}: {state}");
        assert_eq!(state["Pid"], 0, "{name}");
    }
    assert_eq!(second.http("GET", "/containers/removed/json", None).status, 404, "--rm is kept");
    // What is there can be worked with as if nothing had been.
    second.docker(&["start", "plain"]).ok();
    second.docker(&["exec", "unless", "true"]).ok();
}
