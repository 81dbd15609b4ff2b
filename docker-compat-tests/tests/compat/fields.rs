//! Every field of a create request, sent with a value of its own to the daemon: what happens is what the table of decisions
//! says, and a container that has it runs. dockerd takes all that we say we do.

use docker_compat_tests::{Scope, eventually};
use lighter_engine::fields::{self, Decision};
use serde_json::Value;
use std::collections::HashSet;

const ENGINE: &str = "linux";
/// What not every kernel has: there may be a warning.
const OF_THE_MACHINE: [&str; 4] =
    ["HostConfig.BlkioWeight", "HostConfig.BlkioWeightDevice", "HostConfig.OomKillDisable", "HostConfig.MemorySwappiness"];
/// Not started: real-time shares need a budget that parents rarely have, and one that removes itself cannot be asked.
const NOT_STARTED: [&str; 3] = ["HostConfig.CpuRealtimePeriod", "HostConfig.CpuRealtimeRuntime", "HostConfig.AutoRemove"];

fn samples(t: &Scope, other: &str, net: &str) -> Vec<(&'static str, String)> {
    let block = std::fs::read_dir("/sys/block").unwrap().flatten().map(|e| format!("/dev/{}", e.file_name().to_string_lossy()));
    let block = block.into_iter().find(|path| std::path::Path::new(path).exists()).unwrap();
    let list = include_str!("../../../crates/lighter-engine/fields.txt");
    let body = |sample: &str| {
        let mut body: Value =
            serde_json::from_str(&sample.replace("@BLOCK@", &block).replace("@OTHER@", other).replace("@NET@", net)).unwrap();
        let fields = body.as_object_mut().unwrap();
        fields.entry("Image").or_insert("busybox".into());
        fields.entry("Cmd").or_insert(serde_json::json!(["true"]));
        let labels = fields.entry("Labels").or_insert(serde_json::json!({}));
        labels["lighter.compat"] = t.mark.clone().into();
        body.to_string()
    };
    list.lines().filter_map(|line| line.split_once('\t')).map(|(name, sample)| (name, body(sample))).collect()
}

#[test]
fn each_field_is_answered_as_the_table_says() {
    let t = Scope::new();
    let other = t.name("other");
    // It runs, for what links lead to must.
    t.docker(&["run", "-d", "--name", &other, "busybox", "sleep", "1000"]).ok();
    let net = t.network("fields", &["--ipv6", "--subnet", "10.213.7.0/24", "--subnet", "fd13:213::/64"]);
    // What the sample of a volume's part names.
    t.docker(&["run", "--rm", "--network", "none", "-v", "lighter-field-volume:/v", "busybox", "mkdir", "-p", "/v/a"]).ok();
    let ours = t.daemon.is_lighter("some of what is left out here is done there");
    let mut started = HashSet::new();
    let mut wrong = Vec::new();
    for (name, body) in samples(&t, &other, &net) {
        let start = !NOT_STARTED.contains(&name) && started.insert(body.clone());
        if let Some(problem) = problem(&t, name, &body, ours, start) {
            wrong.push(format!("{name}: {problem}"));
        }
    }
    t.docker(&["volume", "rm", "lighter-field-volume"]).ok();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn problem(t: &Scope, name: &str, body: &str, ours: bool, start: bool) -> Option<String> {
    let field = fields::find(name).unwrap();
    let decision = field.decision(ENGINE);
    let done = matches!(decision, Decision::Honoured | Decision::Ignored(_));
    if !ours && !done {
        return None;
    }
    let reply = t.daemon.http("POST", "/containers/create", Some(body));
    let said = reply.text();
    let warned = reply.json()["Warnings"].as_array().is_some_and(|w| !w.is_empty());
    let as_decided = match decision {
        Decision::Honoured | Decision::Ignored(_) => {
            reply.status == 201 && (!ours || !warned || OF_THE_MACHINE.contains(&field.name))
        }
        Decision::Warned(why) | Decision::Discarded(why) => reply.status == 201 && said.contains(why),
        Decision::Refused(words) => reply.status == 400 && reply.json()["message"].as_str().is_some_and(|m| m.contains(words)),
        Decision::NotYet(_) => reply.status == 501,
    };
    if !as_decided {
        return Some(format!("{decision:?}, but {} {said}", reply.status));
    }
    let id = reply.json()["Id"].as_str()?.to_owned();
    let outcome = if start && done { run(t, &id) } else { None };
    t.daemon.http("DELETE", &format!("/containers/{id}?force=1&v=1"), None);
    outcome.map(|what| format!("{body}: {what}"))
}

/// Starts it and waits; what went wrong.
fn run(t: &Scope, id: &str) -> Option<String> {
    let answer = t.daemon.http("POST", &format!("/containers/{id}/start"), None);
    if answer.status != 204 {
        return Some(answer.text());
    }
    let code = eventually("its end", || {
        let state = t.inspect(id)["State"].clone();
        (state["Status"] == "exited").then(|| state["ExitCode"].as_i64())
    });
    (code != Some(0)).then(|| format!("exit code {code:?}"))
}
