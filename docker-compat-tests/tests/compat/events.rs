//! `docker events`: grammar, filters, formats, replay.

use docker_compat_tests::{Scope, http};
use serde_json::Value;

/// Events of the test's own containers since the start of the test.
pub struct Since {
    since: String,
    filter: String,
}

impl Since {
    pub fn now(t: &Scope) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Self { since: format!("{}.{:09}", now.as_secs(), now.subsec_nanos()), filter: format!("label=lighter.compat={}", t.mark) }
    }

    pub fn list(&self, t: &Scope, more: &[&str]) -> Vec<Value> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let until = format!("{}.{:09}", now.as_secs(), now.subsec_nanos());
        let mut args =
            vec!["events", "--since", &self.since, "--until", &until, "--format", "{{json .}}", "--filter", &self.filter];
        args.extend(more);
        t.docker(&args).lines().iter().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    pub fn actions(&self, t: &Scope, more: &[&str]) -> Vec<String> {
        self.list(t, more).iter().map(|e| e["Action"].as_str().unwrap().to_owned()).collect()
    }

    /// The actions once the last of them is `last`: a die event may trail the answer.
    pub fn until(&self, t: &Scope, last: &str) -> Vec<String> {
        docker_compat_tests::eventually(&format!("a {last} event"), || {
            let actions = self.actions(t, &[]);
            actions.iter().any(|a| a == last).then_some(actions)
        })
    }

    /// The same with the pair that races on dockerd in one order: the end of the
    /// process is told by another task than the end of the stop.
    fn settled(&self, t: &Scope, last: &str) -> Vec<String> {
        docker_compat_tests::eventually(&format!("a {last} and a die event"), || {
            let mut actions = self.actions(t, &[]);
            if let Some(at) = actions.windows(2).position(|w| w[0] == "die" && w[1] == "stop") {
                actions.swap(at, at + 1);
            }
            (actions.iter().any(|a| a == last) && actions.iter().any(|a| a == "die")).then_some(actions)
        })
    }
}

#[test]
fn a_run_and_its_removal() {
    let t = Scope::new();
    let since = Since::now(&t);
    t.docker(&["run", "--rm", "--network", "none", "busybox", "true"]).ok();
    let actions: Vec<String> = since.until(&t, "destroy");
    let own: Vec<&str> = actions.iter().map(String::as_str).filter(|a| *a != "resize").collect();
    assert_eq!(own, ["create", "attach", "start", "die", "destroy"]);
}

#[test]
fn grammar_of_stop_restart_kill_and_removal() {
    let t = Scope::new();
    let since = Since::now(&t);
    let id = t.sleeper(&[]);
    t.docker(&["stop", &id]).ok();
    assert_eq!(since.settled(&t, "stop"), ["create", "start", "kill", "stop", "die"], "stop");
    let since = Since::now(&t);
    t.docker(&["start", &id]).ok();
    t.docker(&["restart", &id]).ok();
    assert_eq!(since.settled(&t, "restart"), ["start", "kill", "stop", "die", "start", "restart"], "restart");
    let since = Since::now(&t);
    t.docker(&["rename", &id, &t.name("renamed")]).ok();
    t.docker(&["rm", "-f", &id]).ok();
    assert_eq!(since.until(&t, "destroy"), ["rename", "kill", "die", "destroy"], "rm -f");
}

#[test]
fn shape_of_an_event() {
    let t = Scope::new();
    let since = Since::now(&t);
    let name = t.name("ev");
    let id = t
        .docker(&["create", "--name", &name, "-l", "own=label", "--network", "none", "busybox", "sh", "-c", "exit 4"])
        .ok()
        .to_owned();
    t.docker(&["start", "-a", &id]).fails(4);
    since.until(&t, "die");
    let events = since.list(&t, &[]);
    let create = &events[0];
    assert_eq!(create["Type"], "container");
    assert_eq!(create["Action"], "create");
    assert_eq!(create["status"], "create");
    assert_eq!(create["id"], id.as_str());
    assert_eq!(create["from"], "busybox");
    assert_eq!(create["scope"], "local");
    assert_eq!(create["Actor"]["ID"], id.as_str());
    assert_eq!(create["Actor"]["Attributes"]["image"], "busybox");
    assert_eq!(create["Actor"]["Attributes"]["name"], name.as_str());
    assert_eq!(create["Actor"]["Attributes"]["own"], "label");
    let nano = create["timeNano"].as_i64().unwrap();
    assert_eq!(create["time"].as_i64().unwrap(), nano / 1_000_000_000);
    let die = events.iter().find(|e| e["Action"] == "die").unwrap();
    assert_eq!(die["Actor"]["Attributes"]["exitCode"], "4");
    assert!(die["Actor"]["Attributes"]["execDuration"].is_string(), "{die}");
    assert!(events.windows(2).all(|w| w[0]["timeNano"].as_i64() <= w[1]["timeNano"].as_i64()), "in order of time");
}

#[test]
fn exec_events() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let since = Since::now(&t);
    t.docker(&["exec", &id, "sh", "-c", "exit 2"]).fails(2);
    let actions = since.until(&t, "exec_die");
    assert_eq!(actions, ["exec_create: sh -c exit 2", "exec_start: sh -c exit 2", "exec_die"]);
    let die = since.list(&t, &["--filter", "event=exec_die"]);
    assert_eq!(die[0]["Actor"]["Attributes"]["exitCode"], "2");
    assert_eq!(die[0]["Actor"]["Attributes"]["execID"].as_str().map(str::len), Some(64));
}

#[test]
fn filters() {
    let t = Scope::new();
    let since = Since::now(&t);
    let (a, b) = (t.name("a"), t.name("b"));
    let first = t.docker(&["create", "--name", &a, "-l", "kind=x", "busybox"]).ok().to_owned();
    t.docker(&["create", "--name", &b, "-l", "kind=y", "busybox"]).ok();
    t.docker(&["rm", &a, &b]).ok();
    since.until(&t, "destroy");
    let count = |more: &[&str]| since.list(&t, more).len();
    assert_eq!(count(&[]), 4);
    assert_eq!(count(&["--filter", "event=create"]), 2);
    assert_eq!(count(&["--filter", "event=create", "--filter", "event=destroy"]), 4, "OR within a key");
    assert_eq!(count(&["--filter", "event=create", "--filter", &format!("container={a}")]), 1, "AND across keys");
    assert_eq!(count(&["--filter", &format!("container={first}")]), 2);
    assert_eq!(count(&["--filter", "type=container"]), 4);
    assert_eq!(count(&["--filter", "type=image"]), 0);
    assert_eq!(count(&["--filter", "image=busybox"]), 4);
    assert_eq!(count(&["--filter", "label=kind=x"]), 2, "AND within labels");
    assert_eq!(count(&["--filter", "event=die"]), 0);
    assert_eq!(count(&["--filter", "scope=local"]), 4);
    let bad = http::encode("no json");
    assert!(t.daemon.http("GET", &format!("/events?until=1&filters={bad}"), None).error(400).starts_with("invalid filter"));
}

#[test]
fn live_and_replayed_join_without_a_gap() {
    let t = Scope::new();
    let since = Since::now(&t);
    let before = t.docker(&["create", "busybox"]).ok().to_owned();
    let stream = t.spawn(&["events", "--since", &since.since, "--filter", &since.filter, "--format", "{{.Action}} {{.ID}}"]);
    stream.wait_for(&format!("create {before}"));
    let after = t.docker(&["create", "busybox"]).ok().to_owned();
    stream.wait_for(&format!("create {after}"));
    t.docker(&["rm", &before]).ok();
    stream.wait_for(&format!("destroy {before}"));
    assert_eq!(stream.stdout().lines().count(), 3, "none twice: {}", stream.stdout());
}

#[test]
fn until_in_the_future_ends_the_stream() {
    let t = Scope::new();
    let since = Since::now(&t);
    let until = format!("{}", since.since.split('.').next().unwrap().parse::<u64>().unwrap() + 2);
    let started = std::time::Instant::now();
    let out = t.docker(&["events", "--since", &since.since, "--until", &until, "--filter", &since.filter]);
    assert_eq!(out.ok(), "");
    assert!(started.elapsed() > std::time::Duration::from_millis(500), "it waited");
}

#[test]
fn headers_come_at_once() {
    let t = Scope::new();
    let mut client = http::Client::connect(&t.daemon.socket).unwrap();
    let filter = http::encode(&format!("{{\"label\":{{\"lighter.compat={}\":true}}}}", t.mark));
    client.send("GET", &format!("/v1.47/events?filters={filter}"), &[], None).unwrap();
    let head = client.head().expect("headers before any event");
    assert_eq!(head.status, 200);
    assert!(head.header("content-type").is_some_and(|c| c.starts_with("application/json")));
    let id = t.docker(&["create", "busybox"]).ok().to_owned();
    let chunk = client.chunk().unwrap().expect("an event");
    let event: Value = serde_json::from_slice(&chunk).unwrap();
    assert_eq!(event["id"], id.as_str());
}

#[test]
fn images_have_events() {
    let t = Scope::new();
    let since = Since::now(&t);
    let tag = format!("compat-{}:one", t.mark);
    t.docker(&["tag", "busybox", &tag]).ok();
    t.docker(&["rmi", &tag]).ok();
    let out = t.docker(&[
        "events",
        "--since",
        &since.since,
        "--until",
        &Since::now(&t).since,
        "--filter",
        "type=image",
        "--format",
        "{{.Action}} {{index .Actor.Attributes \"name\"}}",
    ]);
    assert!(out.lines().contains(&format!("tag {tag}").as_str()), "{}", out.stdout);
    assert!(out.lines().iter().any(|l| l.starts_with("untag")), "{}", out.stdout);
}

#[test]
fn default_format_of_the_cli() {
    let t = Scope::new();
    let since = Since::now(&t);
    let id = t.docker(&["create", "busybox"]).ok().to_owned();
    let out = t.docker(&["events", "--since", &since.since, "--until", &Since::now(&t).since, "--filter", &since.filter]);
    let line = out.ok();
    assert!(line.contains(&format!("container create {id} (image=busybox, lighter.compat={}, name=", t.mark)), "{line}");
}
