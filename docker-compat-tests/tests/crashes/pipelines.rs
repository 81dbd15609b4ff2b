//! Pipelines through a death of the daemon: none is left running.

use crate::survival::{Subject, inspect, reference};
use docker_compat_tests::daemon::{alive, scratch};
use docker_compat_tests::{Daemon, eventually, lighter};
use serde_json::Value;

fn pipeline(daemon: &Daemon, name: &str) -> Value {
    serde_json::from_str(lighter::run(daemon, &["pipeline", "show", name, "--json"]).ok()).unwrap()
}

/// The pipeline's first container, once it runs.
fn running(daemon: &Daemon, name: &str) -> (String, u32) {
    eventually("the first step runs", || {
        let id = pipeline(daemon, name)["steps"][0]["containerId"].as_str()?.to_owned();
        let pid = inspect(daemon, &id)["State"]["Pid"].as_u64().filter(|pid| *pid > 0)?;
        Some((id, u32::try_from(pid).unwrap()))
    })
}

#[test]
fn a_step_that_ended_without_a_daemon_is_taken_for_what_it_was() {
    if reference() {
        return;
    }
    let (subject, first) = Subject::new("pipelines");
    let dir = scratch("pipelines-yaml");
    for (name, code) in [("good", 0), ("bad", 3)] {
        let file = dir.join(format!("{name}.yaml"));
        let wait = format!("while [ ! -e /go ]; do sleep 0.05; done; echo made > product; exit {code}");
        let text = format!(
            "name: {name}\nsteps:\n- {{name: one, image: busybox, commands: ['{wait}']}}\n\
             - {{name: two, image: busybox, commands: ['test \"$(cat product)\" = made']}}\n"
        );
        std::fs::write(&file, text).unwrap();
        lighter::run(&first, &["pipeline", "run", "--detach", file.to_str().unwrap()]).ok();
    }
    let before = ["good", "bad"].map(|name| running(&first, name));
    first.kill_nine();
    for (_, pid) in &before {
        // Through its root: nobody else is there to tell it.
        std::fs::write(format!("/proc/{pid}/root/go"), "").unwrap();
    }
    eventually("the steps end", || before.iter().all(|(_, pid)| !alive(*pid)).then_some(()));
    let second = subject.again();
    let [good, bad] = ["good", "bad"]
        .map(|name| eventually("it is over", || Some(pipeline(&second, name)).filter(|p| p["finishedAt"].is_string())));
    assert_eq!((&good["status"], &good["failureReason"]), (&"success".into(), &Value::Null), "{good:#}");
    assert_eq!((&bad["status"], &bad["failureReason"]), (&"failed".into(), &"the step \"one\" ended with exit code 3".into()));
    for (told, (id, _)) in [&good, &bad].into_iter().zip(&before) {
        assert_eq!(told["steps"][0]["containerId"], id.as_str(), "no other container was made: {told:#}");
    }
    assert_eq!((&good["steps"][1]["exitCode"], &bad["steps"][1]["status"]), (&0.into(), &"skipped".into()));
    lighter::run(&second, &["pipeline", "rm", "good", "bad"]).ok();
    assert_eq!(second.docker(&["ps", "-aq"]).ok(), "", "its containers went with it");
    assert_eq!(second.docker(&["volume", "ls", "-q"]).ok(), "");
    assert!(lighter::run(&second, &["pipeline", "show", "good"]).fails(1).contains("No such pipeline: good"));
    std::fs::remove_dir_all(dir).unwrap();
}
