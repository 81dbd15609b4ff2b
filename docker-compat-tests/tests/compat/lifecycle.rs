//! create, start, stop, restart, kill, rm, wait, rename, prune.

use docker_compat_tests::{Scope, cli, eventually};
use serde_json::json;

#[test]
fn states_of_a_life() {
    let t = Scope::new();
    let id = t.docker(&["create", "--network", "none", "busybox", "sh", "-c", "exit 3"]).ok().to_owned();
    let state = t.inspect(&id)["State"].clone();
    assert_eq!(state["Status"], "created");
    assert_eq!(state["StartedAt"], "0001-01-01T00:00:00Z");
    assert_eq!(state["FinishedAt"], "0001-01-01T00:00:00Z");
    assert_eq!(state["Pid"], 0);
    assert_eq!(t.docker(&["start", &id]).ok(), id);
    cli::wait_state(t.daemon, &id, "exited");
    let state = t.inspect(&id)["State"].clone();
    assert_eq!(state["ExitCode"], 3);
    assert_eq!(state["Running"], false);
    assert_eq!(state["Pid"], 0);
    let started = state["StartedAt"].as_str().unwrap();
    let finished = state["FinishedAt"].as_str().unwrap();
    assert!(started < finished && finished.ends_with('Z') && finished.contains('.'), "{state}");
    assert_eq!(t.docker(&["rm", &id]).ok(), id);
    let text = t.docker(&["rm", &id]);
    assert!(text.fails(1).contains(&format!("No such container: {id}")));
}

#[test]
fn start_and_stop_twice_answer_304() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let post = |path: &str| t.daemon.http("POST", &format!("/containers/{id}/{path}"), None);
    assert_eq!(post("start").status, 304);
    assert_eq!(post("stop").status, 204);
    assert_eq!(post("stop").status, 304);
    assert_eq!(post("start").status, 204);
    assert_eq!(post("kill").status, 204);
    cli::wait_state(t.daemon, &id, "exited");
    let message = post("kill").error(409);
    assert_eq!(message, format!("cannot kill container: {id}: container {id} is not running"));
}

#[test]
fn unknown_containers_answer_404_everywhere() {
    let t = Scope::new();
    let paths = [
        ("GET", "json"),
        ("POST", "start"),
        ("POST", "stop"),
        ("POST", "kill"),
        ("POST", "restart"),
        ("POST", "wait"),
        ("POST", "attach"),
        ("GET", "logs?stdout=1"),
        ("POST", "rename?name=abc"),
        ("POST", "resize?h=1&w=1"),
    ];
    for (method, path) in paths {
        let answer = t.daemon.http(method, &format!("/containers/no-such/{path}"), None);
        let expected = if path == "kill" {
            "cannot kill container: no-such: No such container: no-such"
        } else {
            "No such container: no-such"
        };
        if path == "attach" {
            // dockerd answers this one in plain text, under the name of a stream.
            assert!(answer.status == 404 && answer.text().contains(expected), "{answer:?}");
        } else {
            assert_eq!(answer.error(404), expected, "{method} {path}");
        }
    }
    let answer = t.daemon.http("DELETE", "/containers/no-such", None);
    assert_eq!(answer.error(404), "No such container: no-such");
    let answer = t.daemon.http("POST", "/containers/no-such/exec", Some(r#"{"Cmd":["true"]}"#));
    assert_eq!(answer.error(404), "No such container: no-such");
}

#[test]
fn start_attached_with_input() {
    let t = Scope::new();
    let id = t.docker(&["create", "-i", "--network", "none", "busybox", "sh", "-c", "cat; exit 6"]).ok().to_owned();
    let out = t.docker_with_input(&["start", "-a", "-i", &id], b"typed\n");
    out.fails(6);
    assert_eq!(out.stdout, "typed\n");
    let out = t.docker_with_input(&["start", "-a", "-i", &id], b"again\n");
    out.fails(6);
    assert_eq!(out.stdout, "again\n", "a second start is a second run");
}

#[test]
fn stop_several_and_their_order_of_answers() {
    let t = Scope::new();
    let ids = [t.sleeper(&[]), t.sleeper(&[])];
    assert_eq!(t.docker(&["stop", &ids[0], &ids[1]]).lines(), [&ids[0], &ids[1]]);
    let out = t.docker(&["stop", &ids[0], "no-such"]);
    assert!(out.fails(1).contains("No such container: no-such"));
    assert_eq!(out.stdout.trim(), ids[0]);
}

#[test]
fn stop_by_signal_and_timeout_of_the_request() {
    let t = Scope::new();
    let id = t.detached(&[], "trap 'exit 12' USR2; trap '' TERM; echo up; while :; do sleep 1000 & wait; done");
    super::exit_codes::wait_log(&t, &id, "up");
    t.docker(&["stop", "-s", "USR2", "-t", "10", &id]).ok();
    assert_eq!(t.inspect(&id)["State"]["ExitCode"], 12);
}

#[test]
fn kill_signals() {
    let t = Scope::new();
    let id = t.detached(&[], "trap 'echo hup' HUP; trap 'exit 4' USR1; echo up; while :; do sleep 0.1; done");
    super::exit_codes::wait_log(&t, &id, "up");
    t.docker(&["kill", "-s", "SIGHUP", &id]).ok();
    super::exit_codes::wait_log(&t, &id, "hup");
    assert_eq!(t.inspect(&id)["State"]["Status"], "running");
    t.docker(&["kill", "--signal", "10", &id]).ok();
    assert_eq!(t.docker(&["wait", &id]).ok(), "4");
    let out = t.docker(&["kill", "-s", "NONSENSE", &id]);
    assert!(out.fails(1).contains("invalid signal: NONSENSE"), "{}", out.stderr);
}

#[test]
fn restart_gives_a_new_process() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let before = t.inspect(&id)["State"].clone();
    assert_eq!(t.docker(&["restart", "-t", "5", &id]).ok(), id);
    let after = t.inspect(&id)["State"].clone();
    assert_eq!(after["Status"], "running");
    assert_ne!(before["Pid"], after["Pid"]);
    assert!(before["StartedAt"].as_str() < after["StartedAt"].as_str());
    // A stopped one is started.
    t.docker(&["stop", &id]).ok();
    t.docker(&["restart", &id]).ok();
    assert_eq!(t.inspect(&id)["State"]["Status"], "running");
}

#[test]
fn the_root_keeps_what_was_written_across_restarts() {
    let t = Scope::new();
    let id = t.docker(&["create", "--network", "none", "busybox", "sh", "-c", "echo x >>/kept; wc -l </kept"]).ok().to_owned();
    for n in 1..=3 {
        assert_eq!(t.docker(&["start", "-a", &id]).ok().trim(), n.to_string());
    }
}

#[test]
fn removal_rules() {
    let t = Scope::new();
    let name = t.name("busy");
    let id = t.sleeper(&["--name", &name]);
    let out = t.docker(&["rm", &name]);
    let text = out.fails(1);
    assert!(
        text.contains(&format!(
            "cannot remove container \"{name}\": container is running: stop the container before removing or force remove"
        )),
        "{text}"
    );
    let answer = t.daemon.http("DELETE", &format!("/containers/{id}"), None);
    assert_eq!(
        answer.error(409),
        format!("cannot remove container \"{id}\": container is running: stop the container before removing or force remove")
    );
    assert_eq!(t.docker(&["rm", "-f", "-v", &name]).ok(), name);
    // -f of a missing one is no failure for the CLI.
    let out = t.docker(&["rm", "-f", &name]);
    assert!(out.code == 0 || out.stderr.contains("No such container"), "{out:?}");
}

#[test]
fn auto_remove() {
    let t = Scope::new();
    let name = t.name("gone");
    t.docker(&["run", "--rm", "--name", &name, "--network", "none", "busybox", "true"]).ok();
    assert_eq!(t.daemon.http("GET", &format!("/containers/{name}/json"), None).status, 404, "gone when the CLI returns");
    let id = t.docker(&["run", "-d", "--rm", "--network", "none", "busybox", "true"]).ok().to_owned();
    eventually("the detached one removes itself", || {
        (t.daemon.http("GET", &format!("/containers/{id}/json"), None).status == 404).then_some(())
    });
    let out = t.docker(&["create", "--rm", "--restart", "always", "busybox"]);
    assert_ne!(out.code, 0);
    let body = r#"{"Image":"busybox","HostConfig":{"AutoRemove":true,"RestartPolicy":{"Name":"always"}}}"#;
    let message = t.daemon.http("POST", "/containers/create", Some(body)).error(400);
    assert_eq!(message, "can't create 'AutoRemove' container with restart policy");
}

#[test]
fn wait_for_each_condition() {
    let t = Scope::new();
    let id = t.detached(&["-i"], "read x; exit 21");
    let waits: Vec<_> = ["next-exit", "not-running", "removed", ""]
        .iter()
        .map(|condition| {
            let mut client = docker_compat_tests::http::Client::connect(&t.daemon.socket).unwrap();
            let path = if condition.is_empty() {
                format!("/containers/{id}/wait")
            } else {
                format!("/containers/{id}/wait?condition={condition}")
            };
            client.send("POST", &path, &[], None).unwrap();
            let head = client.head().expect("the head comes while the container runs");
            assert_eq!(head.status, 200);
            (*condition, client, head)
        })
        .collect();
    t.docker(&["kill", &id]).ok();
    for (condition, mut client, head) in waits {
        if condition == "removed" {
            t.docker(&["rm", &id]).ok();
        }
        let body: serde_json::Value = serde_json::from_slice(&client.body("POST", &head).unwrap()).unwrap();
        assert_eq!(body["StatusCode"], 137, "{condition}: {body}");
    }
}

#[test]
fn wait_next_exit_registered_before_start() {
    let t = Scope::new();
    let id = t.docker(&["create", "--network", "none", "busybox", "sh", "-c", "exit 17"]).ok().to_owned();
    let mut client = docker_compat_tests::http::Client::connect(&t.daemon.socket).unwrap();
    client.send("POST", &format!("/containers/{id}/wait?condition=next-exit"), &[], None).unwrap();
    let head = client.head().unwrap();
    assert_eq!(t.daemon.http("POST", &format!("/containers/{id}/start"), None).status, 204);
    let body: serde_json::Value = serde_json::from_slice(&client.body("POST", &head).unwrap()).unwrap();
    assert_eq!(body, json!({"StatusCode": 17}));
    // not-running answers at once for an ended one.
    assert_eq!(t.docker(&["wait", &id]).ok(), "17");
    let message = t.daemon.http("POST", &format!("/containers/{id}/wait?condition=nonsense"), None).error(400);
    assert_eq!(message, "invalid condition: \"nonsense\"");
}

#[test]
fn rename_running_and_stopped() {
    let t = Scope::new();
    let (first, second) = (t.name("first"), t.name("second"));
    let id = t.sleeper(&["--name", &first]);
    t.docker(&["rename", &first, &second]).ok();
    assert_eq!(t.inspect(&second)["Id"], id.as_str());
    assert_eq!(t.daemon.http("GET", &format!("/containers/{first}/json"), None).status, 404);
    t.docker(&["stop", &second]).ok();
    t.docker(&["rename", &second, &first]).ok();
    assert_eq!(t.inspect(&first)["Id"], id.as_str());
    let other = t.docker(&["create", "--name", &second, "busybox"]).ok().to_owned();
    let out = t.docker(&["rename", &other, &first]);
    assert!(
        out.fails(1).contains(&format!("Conflict. The container name \"/{first}\" is already in use by container \"{id}\"")),
        "{}",
        out.stderr
    );
    let message = t.daemon.http("POST", &format!("/containers/{id}/rename?name="), None).error(400);
    assert!(message.contains("Neither old nor new names may be empty"), "{message}");
    let message = t.daemon.http("POST", &format!("/containers/{id}/rename?name={first}"), None).error(400);
    assert!(message.contains("Renaming a container with the same name as its current name"), "{message}");
}

#[test]
fn short_ids_and_ambiguous_prefixes() {
    let t = Scope::new();
    let id = t.docker(&["create", "busybox"]).ok().to_owned();
    for length in [12, 20, 63] {
        assert_eq!(t.inspect(&id[..length])["Id"], id.as_str());
    }
    // 17 containers: two share their first digit.
    let mut ids: Vec<String> = (0..16).map(|_| t.docker(&["create", "busybox"]).ok().to_owned()).collect();
    ids.push(id);
    let shared = ids.iter().map(|i| &i[..1]).find(|d| ids.iter().filter(|i| i.starts_with(*d)).count() > 1).unwrap();
    let answer = t.daemon.http("GET", &format!("/containers/{shared}/json"), None);
    let message = answer.error(400);
    assert!(message.contains(&format!("multiple IDs found with provided prefix: {shared}")), "{message}");
}

#[test]
fn restart_policies_are_stored() {
    let t = Scope::new();
    for (flag, name, count) in
        [("no", "no", 0), ("always", "always", 0), ("unless-stopped", "unless-stopped", 0), ("on-failure:5", "on-failure", 5)]
    {
        let id = t.docker(&["create", "--restart", flag, "busybox"]).ok().to_owned();
        assert_eq!(t.inspect(&id)["HostConfig"]["RestartPolicy"], json!({"Name": name, "MaximumRetryCount": count}));
    }
    let body = r#"{"Image":"busybox","HostConfig":{"RestartPolicy":{"Name":"nonsense"}}}"#;
    let message = t.daemon.http("POST", "/containers/create", Some(body)).error(400);
    assert!(message.contains("invalid restart policy: unknown policy 'nonsense'"), "{message}");
    let body = r#"{"Image":"busybox","HostConfig":{"RestartPolicy":{"Name":"always","MaximumRetryCount":3}}}"#;
    let message = t.daemon.http("POST", "/containers/create", Some(body)).error(400);
    assert!(message.contains("invalid restart policy: maximum retry count can only be used with 'on-failure'"), "{message}");
}

#[test]
fn prune_by_label() {
    let t = Scope::new();
    let mark = format!("lighter.compat={}", t.mark);
    let stopped = t.docker(&["create", "busybox"]).ok().to_owned();
    let running = t.sleeper(&[]);
    let out = t.docker(&["container", "prune", "-f", "--filter", &format!("label={mark}")]);
    assert!(out.ok().contains("Deleted Containers:") && out.ok().contains(&stopped), "{}", out.stdout);
    assert!(!out.stdout.contains(&running) && out.stdout.contains("Total reclaimed space:"), "{}", out.stdout);
    let filter = docker_compat_tests::http::encode(&format!("{{\"label\":[\"{mark}\"]}}"));
    let again = t.daemon.http("POST", &format!("/containers/prune?filters={filter}"), None);
    assert_eq!(again.json(), json!({"ContainersDeleted": null, "SpaceReclaimed": 0}));
    let bad = docker_compat_tests::http::encode("{\"nonsense\":[\"x\"]}");
    assert!(
        t.daemon.http("POST", &format!("/containers/prune?filters={bad}"), None).error(400).contains("invalid filter 'nonsense'")
    );
}

#[test]
fn many_at_once() {
    let t = Scope::new();
    let runs: Vec<_> = (0..10)
        .map(|n| t.spawn(&["run", "--rm", "--network", "none", "busybox", "sh", "-c", &format!("echo {n}; exit {n}")]))
        .collect();
    for (n, run) in runs.into_iter().enumerate() {
        let out = run.wait();
        assert_eq!((out.code, out.stdout.trim()), (n as i32, n.to_string().as_str()), "{out:?}");
    }
}
