//! Health checks: what is run, what is kept of it, where it is shown, and what it sets off.

use crate::events::Since;
use docker_compat_tests::{Scope, eventually};
use serde_json::Value;

/// Flags of a check that runs again and again.
const OFTEN: [&str; 2] = ["--health-interval", "100ms"];

fn checked(t: &Scope, check: &str, more: &[&str]) -> String {
    let mut flags = vec!["--health-cmd", check];
    flags.extend(OFTEN);
    flags.extend(more);
    t.sleeper(&flags)
}

fn health(t: &Scope, id: &str) -> Value {
    t.inspect(id)["State"]["Health"].clone()
}

#[track_caller]
fn becomes(t: &Scope, id: &str, status: &str) -> Value {
    eventually(&format!("{id} becomes {status}"), || {
        let health = health(t, id);
        (health["Status"] == status).then_some(health)
    })
}

/// The log once it has so many entries.
#[track_caller]
fn logged(t: &Scope, id: &str, entries: usize) -> Vec<Value> {
    eventually(&format!("{entries} results"), || {
        let log = health(t, id)["Log"].as_array().cloned().unwrap_or_default();
        (log.len() >= entries).then_some(log)
    })
}

fn in_ps(t: &Scope, id: &str) -> String {
    t.docker(&["ps", "-a", "--no-trunc", "--filter", &format!("id={id}"), "--format", "{{.Status}}"]).ok().to_owned()
}

#[test]
fn starting_healthy_unhealthy_and_back() {
    let t = Scope::new();
    let starting = t.sleeper(&["--health-cmd", "true", "--health-interval", "1h"]);
    assert_eq!(health(&t, &starting), serde_json::json!({"Status": "starting", "FailingStreak": 0, "Log": []}));
    assert!(in_ps(&t, &starting).ends_with(" (health: starting)"), "{}", in_ps(&t, &starting));

    let id = checked(&t, "test ! -e /bad", &["--health-retries", "2"]);
    let healthy = becomes(&t, &id, "healthy");
    assert_eq!(healthy["FailingStreak"], 0);
    assert!(in_ps(&t, &id).ends_with(" (healthy)"));
    t.docker(&["exec", &id, "touch", "/bad"]).ok();
    let unhealthy = becomes(&t, &id, "unhealthy");
    assert!(unhealthy["FailingStreak"].as_i64().unwrap() >= 2, "{unhealthy}");
    assert!(in_ps(&t, &id).ends_with(" (unhealthy)"));
    t.docker(&["exec", &id, "rm", "/bad"]).ok();
    assert_eq!(becomes(&t, &id, "healthy")["FailingStreak"], 0);
}

#[test]
fn the_filter_of_ps() {
    let t = Scope::new();
    let mark = format!("label=lighter.compat={}", t.mark);
    let good = checked(&t, "true", &[]);
    let starting = t.sleeper(&["--health-cmd", "true", "--health-interval", "1h"]);
    let none = t.sleeper(&["--no-healthcheck"]);
    let never = t.docker(&["create", "--health-cmd", "true", "busybox"]).ok().to_owned();
    becomes(&t, &good, "healthy");
    let with = |health: &str| {
        let out = t.docker(&["ps", "-aq", "--no-trunc", "--filter", &mark, "--filter", &format!("health={health}")]);
        let mut ids: Vec<String> = out.lines().iter().map(ToString::to_string).collect();
        ids.sort();
        ids
    };
    let mut without = vec![none, never];
    without.sort();
    assert_eq!(with("healthy"), [good]);
    assert_eq!(with("starting"), [starting]);
    assert_eq!(with("none"), without);
    assert_eq!(with("unhealthy"), Vec::<String>::new());
    let refused = t.daemon.http("GET", "/containers/json?filters=%7B%22health%22:%5B%22ill%22%5D%7D", None).error(400);
    assert_eq!(
        refused,
        "invalid filter 'health=ill': invalid value for health (ill): must be one of none, starting, healthy, unhealthy"
    );
}

#[test]
fn the_log_keeps_five_results_and_4096_bytes_of_each() {
    let t = Scope::new();
    let id = checked(&t, "seq 1 5000 >&2; exit 3", &[]);
    let first = logged(&t, &id, 5);
    let last = eventually("older results make room", || {
        let log = logged(&t, &id, 5);
        (log[0] != first[0]).then_some(log)
    });
    assert_eq!(last.len(), 5);
    for result in &last {
        assert_eq!(result["ExitCode"], 3);
        let output = result["Output"].as_str().unwrap();
        assert_eq!(output.len(), 4096 + 3, "cut, and said so");
        assert!(output.starts_with("1\n2\n3\n") && output.ends_with("..."));
        assert!(result["Start"].as_str() < result["End"].as_str(), "{result}");
    }
    assert!(last.windows(2).all(|w| w[0]["End"].as_str() < w[1]["Start"].as_str()), "one after the other");
}

#[test]
fn both_streams_are_kept() {
    let t = Scope::new();
    let id = checked(&t, "echo out; sleep 0.05; echo err >&2", &[]);
    assert_eq!(logged(&t, &id, 1)[0]["Output"], "out\nerr\n");
}

#[test]
fn a_probe_that_takes_too_long_is_killed() {
    let t = Scope::new();
    let id = checked(&t, "echo begun; exec sleep 4321", &["--health-timeout", "300ms", "--health-retries", "1"]);
    becomes(&t, &id, "unhealthy");
    let result = &logged(&t, &id, 1)[0];
    assert_eq!(result["ExitCode"], -1);
    assert_eq!(result["Output"], "Health check exceeded timeout (300ms): begun\n");
    logged(&t, &id, 3);
    let left = t.docker(&["exec", &id, "sh", "-c", "ps | grep -c '[s]leep 4321'"]).stdout;
    assert!(left.trim().parse::<u32>().unwrap() <= 1, "but for one under way, killed probes are gone: {left}");
}

#[test]
fn a_program_that_is_not_there() {
    let t = Scope::new();
    let body = format!(
        r#"{{"Image":"busybox","Cmd":["sleep","1000"],"Labels":{{"lighter.compat":"{}"}},
        "Healthcheck":{{"Test":["CMD","nosuch","x"],"Interval":100000000,"Retries":1}},"HostConfig":{{"NetworkMode":"none"}}}}"#,
        t.mark
    );
    let id = t.daemon.http("POST", "/containers/create", Some(&body)).json()["Id"].as_str().unwrap().to_owned();
    t.docker(&["start", &id]).ok();
    becomes(&t, &id, "unhealthy");
    let result = &logged(&t, &id, 1)[0];
    assert_eq!(result["ExitCode"], -1);
    let output = result["Output"].as_str().unwrap();
    assert!(output.contains("exec: \"nosuch\": executable file not found in $PATH"), "{output}");
}

#[test]
fn forms_of_the_test() {
    let t = Scope::new();
    let create = |test: &str, more: &str| {
        let body = format!(
            r#"{{"Image":"busybox","Cmd":["sleep","1000"],"Env":["WHO=me"],"User":"nobody","WorkingDir":"/tmp",
            "Labels":{{"lighter.compat":"{}"}},"Healthcheck":{{"Test":{test},"Interval":100000000}},
            "HostConfig":{{"NetworkMode":"none"}}{more}}}"#,
            t.mark
        );
        let answer = t.daemon.http("POST", "/containers/create", Some(&body));
        assert_eq!(answer.status, 201, "{}", answer.text());
        let id = answer.json()["Id"].as_str().unwrap().to_owned();
        t.docker(&["start", &id]).ok();
        id
    };
    let output = |id: &str| logged(&t, id, 1)[0]["Output"].as_str().unwrap().to_owned();
    assert_eq!(output(&create(r#"["CMD","echo","$WHO","a b"]"#, "")), "$WHO a b\n", "no shell");
    assert_eq!(output(&create(r#"["CMD-SHELL","echo $WHO; pwd; id -un"]"#, "")), "me\n/tmp\nnobody\n");
    let own = create(r#"["CMD-SHELL","echo $-"]"#, r#","Shell":["/bin/sh","-fc"]"#);
    assert!(output(&own).contains('f'), "the container's own shell: {}", output(&own));
    for none in [r#"["NONE"]"#, r#"["BOGUS","true"]"#, "[]"] {
        let id = create(none, "");
        assert_eq!(health(&t, &id), Value::Null, "{none}");
        assert!(!in_ps(&t, &id).contains('('), "{}", in_ps(&t, &id));
    }
}

#[test]
fn in_the_start_period_failures_do_not_count() {
    let t = Scope::new();
    let flags = ["--health-start-period", "1h", "--health-start-interval", "100ms", "--health-retries", "1"];
    let mut all = vec!["--health-cmd", "cat /ready", "--health-interval", "1h"];
    all.extend(flags);
    let id = t.sleeper(&all);
    logged(&t, &id, 3);
    let early = health(&t, &id);
    assert_eq!((&early["Status"], &early["FailingStreak"]), (&"starting".into(), &0.into()));
    t.docker(&["exec", &id, "touch", "/ready"]).ok();
    becomes(&t, &id, "healthy");
}

#[test]
fn events_of_probes_and_of_changes_only() {
    let t = Scope::new();
    let since = Since::now(&t);
    let id = checked(&t, "test ! -e /bad", &["--health-retries", "1"]);
    becomes(&t, &id, "healthy");
    logged(&t, &id, 3);
    t.docker(&["exec", "-d", &id, "touch", "/bad"]).ok();
    becomes(&t, &id, "unhealthy");
    let actions = since.until(&t, "health_status: unhealthy");
    let probe = ["exec_create: /bin/sh -c test ! -e /bad", "exec_start: /bin/sh -c test ! -e /bad", "exec_die"];
    assert_eq!(actions[..2], ["create", "start"]);
    assert_eq!(actions[2..5], probe);
    assert_eq!(actions[5], "health_status: healthy");
    assert_eq!(actions.iter().filter(|a| *a == "health_status: healthy").count(), 1, "not with each probe: {actions:?}");
    let changes = since.list(&t, &["--filter", "event=health_status"]);
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert_eq!(changes[0]["Actor"]["ID"], id.as_str());
    let unhealthy = since.actions(&t, &["--filter", "event=health_status: unhealthy"]);
    assert_eq!(unhealthy, ["health_status: unhealthy"]);
}

#[test]
fn pause_and_stop_end_the_probes() {
    let t = Scope::new();
    let id = checked(&t, "true", &[]);
    becomes(&t, &id, "healthy");
    t.docker(&["pause", &id]).ok();
    // So it is on dockerd: who is not probed is not healthy.
    let paused = health(&t, &id);
    assert_eq!(paused["Status"], "unhealthy");
    assert!(in_ps(&t, &id).ends_with(" (Paused)"));
    t.docker(&["unpause", &id]).ok();
    becomes(&t, &id, "healthy");
    t.docker(&["stop", "-t", "5", &id]).ok();
    let stopped = health(&t, &id);
    assert_eq!(stopped["Status"], "unhealthy");
    assert!(!stopped["Log"].as_array().unwrap().is_empty(), "what they said stays");
    assert!(in_ps(&t, &id).starts_with("Exited (0)"));
    t.docker(&["start", &id]).ok();
    let again = health(&t, &id);
    assert!(again["Log"].as_array().unwrap().len() >= stopped["Log"].as_array().unwrap().len().min(4), "{again}");
    becomes(&t, &id, "healthy");
}

#[test]
fn a_probe_under_way_delays_nobody() {
    let t = Scope::new();
    let since = Since::now(&t);
    let id = checked(&t, "sleep 1000", &[]);
    since.until(&t, "exec_start: /bin/sh -c sleep 1000");
    assert_eq!(t.inspect(&id)["ExecIDs"].as_array().map(Vec::len), Some(1), "a probe is an exec");
    let started = std::time::Instant::now();
    t.docker(&["rename", &id, &t.name("renamed")]).ok();
    t.docker(&["exec", &id, "true"]).ok();
    t.docker(&["stop", "-t", "20", &id]).ok();
    // A probe may take half a minute.
    assert!(started.elapsed() < docker_compat_tests::PATIENCE, "{:?}", started.elapsed());
    assert_eq!(t.inspect(&id)["State"]["ExitCode"], 0);
}

#[test]
fn inherited_and_overridden_fields() {
    let t = Scope::new();
    let id = t
        .docker(&["create", "--health-cmd", "true", "--health-interval", "3s", "--health-start-interval", "2s", "busybox"])
        .ok()
        .to_owned();
    let expected =
        serde_json::json!({"Test": ["CMD-SHELL", "true"], "Interval": 3_000_000_000u64, "StartInterval": 2_000_000_000u64});
    assert_eq!(t.inspect(&id)["Config"]["Healthcheck"], expected);
    assert_eq!(t.inspect(&id)["State"].get("Health"), None, "it never ran");
    for (field, words) in [
        ("\"Interval\":1", "Interval in Healthcheck cannot be less than 1ms"),
        ("\"Timeout\":-5", "Timeout in Healthcheck cannot be less than 1ms"),
        ("\"Retries\":-1", "Retries in Healthcheck cannot be negative"),
    ] {
        let body = format!(r#"{{"Image":"busybox","Healthcheck":{{"Test":["CMD","true"],{field}}}}}"#);
        assert_eq!(t.daemon.http("POST", "/containers/create", Some(&body)).error(400), words);
    }
}

#[test]
fn by_label_an_unhealthy_container_is_restarted_under_its_policy() {
    let t = Scope::new();
    if !t.daemon.is_lighter("dockerd restarts nobody for bad health") {
        return;
    }
    let label = ["-l", "lighter.restart-on-unhealthy=true", "--health-retries", "1"];
    let with = |policy: &str| {
        let mut flags = vec!["--restart", policy];
        flags.extend(label);
        checked(&t, "test ! -e /tmp/bad", &flags)
    };
    let (restarted, left) = (with("on-failure:5"), with("no"));
    let since = Since::now(&t);
    for id in [&restarted, &left] {
        becomes(&t, id, "healthy");
        t.docker(&["exec", id, "touch", "/tmp/bad"]).ok();
    }
    eventually("a restart", || (t.inspect(&restarted)["RestartCount"].as_i64() >= Some(1)).then_some(()));
    let told = since.actions(&t, &["--filter", &format!("container={restarted}")]);
    let told: Vec<&str> = told.iter().map(String::as_str).filter(|a| !a.starts_with("exec_")).collect();
    let at = told.iter().position(|a| *a == "health_status: unhealthy").expect("it was unhealthy");
    assert_eq!(told[at + 1..at + 4], ["kill", "die", "start"], "{told:?}");
    becomes(&t, &left, "unhealthy");
    assert_eq!(t.inspect(&left)["RestartCount"], 0, "its policy is not to");
    // The user's stop counts for more.
    t.docker(&["stop", "-t", "5", &restarted]).ok();
    assert_eq!(t.inspect(&restarted)["State"]["Status"], "exited");
}
