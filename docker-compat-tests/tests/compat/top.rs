//! `docker top`: columns, options, refusals, and nobody else's processes.

use docker_compat_tests::Scope;

#[test]
fn the_default_columns() {
    let t = Scope::new();
    let id = t.detached(&[], "sleep 998 & exec sleep 997");
    let pid = t.inspect(&id)["State"]["Pid"].as_u64().unwrap().to_string();
    let top = docker_compat_tests::eventually("both sleep", || {
        let top = t.daemon.http("GET", &format!("/containers/{id}/top"), None).json();
        let commands: Vec<_> = top["Processes"].as_array()?.iter().map(|p| p[7].clone()).collect();
        (commands == ["sleep 997", "sleep 998"]).then_some(top)
    });
    assert_eq!(top["Titles"], serde_json::json!(["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]));
    assert_eq!(top["Processes"][0][0], "root");
    assert_eq!(top["Processes"][0][1], pid.as_str(), "pids are the host's");
    assert_eq!(top["Processes"][1][2], pid.as_str(), "and so are parents");
    let lines = t.docker(&["top", &id]);
    let lines = lines.lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
    assert!(lines[1].ends_with("sleep 997"));
}

#[test]
fn options_of_ps() {
    let t = Scope::new();
    let id = t.detached(&[], "sleep 998 & exec sleep 997");
    let titles = |args: &[&str]| {
        let mut all = vec!["top", id.as_str()];
        all.extend(args);
        let out = t.docker(&all);
        let lines = out.lines();
        assert!(lines.len() >= 2, "{lines:?}");
        lines[0].split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(titles(&["aux"]), "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND");
    assert_eq!(titles(&["-o", "pid,comm"]), "PID COMMAND");
    assert_eq!(titles(&["-eo", "pid,ppid,user", "--sort", "-pid"]), "PID PPID USER");
    assert_eq!(titles(&["-eLf"]), "UID PID PPID LWP C NLWP STIME TTY TIME CMD");
    // It does not go with a selection of processes.
    assert_eq!(titles(&["axf"]), "PID TTY STAT TIME COMMAND");
    let names = t.docker(&["top", &id, "-o", "pid,comm"]);
    assert!(names.lines()[1..].iter().all(|l| l.ends_with("sleep")), "{}", names.stdout);
}

#[test]
fn nobody_elses_processes() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    for all in ["-e -o pid,args", "axo pid,args", "-p 1 -o pid,args"] {
        let query = all.replace(' ', "%20");
        let top = t.daemon.http("GET", &format!("/containers/{id}/top?ps_args={query}"), None).json();
        let rows = top["Processes"].as_array().cloned().unwrap_or_default();
        assert!(rows.iter().all(|row| row[0] != "1"), "{all}: {rows:?}");
        assert!(rows.len() <= 2, "{all}: {rows:?}");
    }
}

#[test]
fn refusals() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let get = |args: &str| t.daemon.http("GET", &format!("/containers/{id}/top?ps_args={args}"), None);
    for (args, words) in [
        ("-o%20cmd", "Couldn't find PID field in ps output"),
        ("-o%20pid%20-o%20comm=PID", "specifying \"comm=PID\" is not allowed"),
        ("-zz", "ps: error: unsupported SysV option"),
        ("%3B%20id", "ps: error: garbage option"),
        ("--help", "Couldn't find PID field in ps output"),
    ] {
        let answer = get(args);
        // dockerd calls the client's mistake its own.
        assert!([400, 500].contains(&answer.status), "{args}: {}", answer.status);
        let said = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(said == words || said.starts_with("error: "), "{args}: {said}");
    }
    let created = t.docker(&["create", "busybox", "true"]).ok().to_owned();
    let refused = t.daemon.http("GET", &format!("/containers/{created}/top"), None).error(409);
    assert_eq!(refused, format!("container {created} is not running"));
    assert_eq!(t.daemon.http("GET", "/containers/nosuch/top", None).error(404), "No such container: nosuch");
}

#[test]
fn of_a_paused_container_and_with_an_event() {
    let t = Scope::new();
    let since = crate::events::Since::now(&t);
    let id = t.sleeper(&[]);
    t.docker(&["pause", &id]).ok();
    t.docker(&["top", &id]).ok();
    t.docker(&["unpause", &id]).ok();
    assert_eq!(since.actions(&t, &[]), ["create", "start", "pause", "top", "unpause"]);
}

#[test]
fn the_containers_own_ps_is_never_run() {
    let t = Scope::new();
    let script = "echo '#!/bin/sh' > /bin/ps2; echo 'touch /ran; echo PID; echo 1' >> /bin/ps2; chmod +x /bin/ps2; \
                  rm -f /bin/ps; mv /bin/ps2 /bin/ps; echo ready; exec sleep 1000";
    let id = t.detached(&[], script);
    docker_compat_tests::eventually("it is ready", || (t.docker(&["logs", &id]).stdout == "ready\n").then_some(()));
    t.docker(&["top", &id]).ok();
    t.docker(&["exec", &id, "test", "!", "-e", "/ran"]).ok();
}
