//! `docker ps`: filters, formats, fields.

use docker_compat_tests::{Scope, cli, http};
use serde_json::json;

struct Set {
    t: Scope,
    created: String,
    running: String,
    failed: String,
    succeeded: String,
}

fn set() -> Set {
    let t = Scope::new();
    let name = |n: &str| t.name(n);
    let created = t.docker(&["create", "--name", &name("created"), "-l", "tier=front", "busybox", "sleep", "1"]).ok().to_owned();
    let running = t.sleeper(&["--name", &name("running"), "-l", "tier=back", "-l", "both"]);
    let failed = t.detached(&["--name", &name("failed"), "-l", "both"], "exit 3");
    let succeeded = t.detached(&["--name", &name("succeeded")], "exit 0");
    for id in [&failed, &succeeded] {
        t.docker(&["wait", id]).ok();
    }
    Set { created, running, failed, succeeded, t }
}

impl Set {
    fn names(&self, args: &[&str]) -> Vec<String> {
        let mark = format!("label=lighter.compat={}", self.t.mark);
        let mut all = vec!["ps", "--no-trunc", "--format", "{{.Names}}", "--filter", &mark];
        all.extend(args);
        let prefix = format!("{}-", self.t.mark);
        self.t.docker(&all).lines().iter().map(|n| n.trim_start_matches(&prefix).to_owned()).collect()
    }
}

#[test]
fn all_filters() {
    let s = set();
    assert_eq!(s.names(&[]), ["running"]);
    assert_eq!(s.names(&["-a"]), ["succeeded", "failed", "running", "created"], "newest first");
    assert_eq!(s.names(&["-n", "2"]), ["succeeded", "failed"]);
    assert_eq!(s.names(&["-l"]), ["succeeded"]);
    assert_eq!(s.names(&["-a", "--filter", "status=exited"]), ["succeeded", "failed"]);
    assert_eq!(s.names(&["--filter", "status=created"]), ["created"], "a status filter implies -a");
    assert_eq!(s.names(&["-a", "--filter", "status=created", "--filter", "status=running"]), ["running", "created"]);
    assert_eq!(s.names(&["-a", "--filter", "exited=3"]), ["failed"]);
    assert_eq!(s.names(&["-a", "--filter", "exited=0"]), ["succeeded"], "a created one has not exited");
    assert_eq!(s.names(&["-a", "--filter", "label=tier=front"]), ["created"]);
    assert_eq!(s.names(&["-a", "--filter", "label=tier"]), ["running", "created"]);
    assert_eq!(s.names(&["-a", "--filter", "label=both", "--filter", "label=tier=back"]), ["running"], "labels AND");
    assert_eq!(s.names(&["-a", "--filter", &format!("name={}-f", s.t.mark)]), ["failed"]);
    assert_eq!(s.names(&["-a", "--filter", "name=^/?.*-(failed|created)$"]), ["failed", "created"], "a name is an expression");
    assert_eq!(s.names(&["-a", "--filter", "name=running", "--filter", "name=failed"]), ["failed", "running"], "OR within a key");
    assert_eq!(s.names(&["-a", "--filter", &format!("id={}", &s.created[..12])]), ["created"]);
    assert_eq!(s.names(&["-a", "--filter", "ancestor=busybox"]).len(), 4);
    assert_eq!(s.names(&["-a", "--filter", "ancestor=busybox:latest"]).len(), 4);
    assert_eq!(s.names(&["-a", "--filter", "ancestor=nothing-such"]).len(), 0);
    assert_eq!(s.names(&["-a", "--filter", &format!("before={}", s.failed)]), ["running", "created"]);
    assert_eq!(s.names(&["-a", "--filter", &format!("since={}", s.running)]), ["succeeded", "failed"]);
    assert_eq!(s.names(&["-a", "--filter", "network=none"]), ["succeeded", "failed", "running"]);
    assert_eq!(s.names(&["-a", "--filter", "network=bridge"]), ["created"]);
    assert_eq!(s.names(&["-a", "--filter", "volume=/nothing"]).len(), 0);
    assert_eq!(s.names(&["-a", "--filter", "health=none"]).len(), 4);
    assert_eq!(s.names(&["-a", "--filter", "is-task=false"]).len(), 4);
    assert_eq!(s.names(&["-a", "--filter", "publish=80"]).len(), 0);
    assert_eq!(s.names(&["-a", "--filter", "expose=80"]).len(), 0);
    let _ = &s.succeeded;
}

#[test]
fn bad_filters() {
    let t = Scope::new();
    let get = |filters: &str| t.daemon.http("GET", &format!("/containers/json?all=1&filters={}", http::encode(filters)), None);
    assert_eq!(get(r#"{"nonsense":["x"]}"#).error(400), "invalid filter 'nonsense'");
    assert!(get(r#"{"status":["nonsense"]}"#).error(400).starts_with("invalid filter 'status=nonsense'"));
    assert!(get(r#"{"exited":["x"]}"#).error(400).starts_with("invalid filter 'exited=x'"));
    assert_eq!(get(r#"{"before":["no-such"]}"#).error(404), "No such container: no-such");
    assert!(get("not json").error(400).starts_with("invalid filter"));
    assert!(get(r#"{"is-task":["maybe"]}"#).error(400).contains("is-task"));
    // Both written forms mean the same.
    let list = get(&format!(r#"{{"label":["lighter.compat={}"]}}"#, t.mark)).json();
    let map = get(&format!(r#"{{"label":{{"lighter.compat={}":true}}}}"#, t.mark)).json();
    assert_eq!((list, map), (json!([]), json!([])), "an empty list is [], never null");
}

#[test]
fn formats_of_the_cli() {
    let s = set();
    let mark = format!("label=lighter.compat={}", s.t.mark);
    let row = |format: &str, which: &str| {
        let name = format!("name={}", s.t.name(which));
        s.t.docker(&["ps", "-a", "--filter", &mark, "--filter", &name, "--format", format]).ok().to_owned()
    };
    assert_eq!(row("{{.ID}}", "running"), s.running[..12]);
    assert_eq!(row("{{.Image}} {{.State}}", "running"), "busybox running");
    assert_eq!(row("{{.Command}}", "created"), "\"sleep 1\"");
    assert!(row("{{.Status}}", "running").starts_with("Up "), "{}", row("{{.Status}}", "running"));
    assert!(row("{{.Status}}", "failed").starts_with("Exited (3) "));
    assert_eq!(row("{{.Status}}", "created"), "Created");
    assert_eq!(row("{{.Ports}}|{{.Mounts}}|{{.Networks}}", "running"), "||none");
    assert!(row("{{.RunningFor}}", "running").ends_with(" ago"));
    assert!(row("{{.CreatedAt}}", "running").len() > 20);
    let table = s.t.docker(&["ps", "-a", "--filter", &mark]);
    assert!(table.ok().starts_with("CONTAINER ID   IMAGE     COMMAND"), "{}", table.stdout);
    assert_eq!(s.t.docker(&["ps", "-aq", "--filter", &mark]).lines().len(), 4);
    let parsed: serde_json::Value = serde_json::from_str(&row("{{json .}}", "running")).unwrap();
    assert_eq!(parsed["State"], "running");
}

#[test]
fn fields_of_the_list() {
    let t = Scope::new();
    let name = t.name("fields");
    let id = t.sleeper(&["--name", &name, "-v", "/tmp:/data:ro"]);
    let filter = http::encode(&format!("{{\"id\":[\"{id}\"]}}"));
    let list = t.daemon.http("GET", &format!("/v1.44/containers/json?filters={filter}"), None).json();
    let c = &list[0];
    assert_eq!(c["Id"], id.as_str());
    assert_eq!(c["Names"], json!([format!("/{name}")]));
    assert_eq!(c["Image"], "busybox");
    assert!(c["ImageID"].as_str().unwrap().starts_with("sha256:"));
    assert!(c["Command"].as_str().unwrap().starts_with("sh -c "));
    assert!(c["Created"].as_i64().unwrap() > 1_600_000_000, "seconds, not text");
    assert_eq!(c["Ports"], json!([]));
    assert_eq!(c["Labels"]["lighter.compat"], t.mark.as_str());
    assert_eq!(c["State"], "running");
    assert!(c["Status"].as_str().unwrap().starts_with("Up "));
    assert_eq!(c["HostConfig"]["NetworkMode"], "none");
    assert!(c["NetworkSettings"]["Networks"]["none"].is_object());
    assert_eq!(c["Mounts"][0]["Destination"], "/data");
    assert_eq!(c["Mounts"][0]["RW"], false);
    assert!(c.get("SizeRw").is_none(), "sizes only when asked for");
    let sized = t.daemon.http("GET", &format!("/containers/json?size=1&filters={filter}"), None).json();
    assert!(sized[0]["SizeRootFs"].as_i64().unwrap() > 1_000_000, "{}", sized[0]);
}

#[test]
fn size_column() {
    let t = Scope::new();
    let id = t.detached(&[], "head -c 1000000 /dev/zero >/file; sleep 1000");
    cli::wait_state(t.daemon, &id, "running");
    docker_compat_tests::eventually("the file is counted", || {
        let out = t.docker(&["ps", "-s", "--filter", &format!("id={id}"), "--format", "{{.Size}}"]);
        (out.ok().starts_with("1MB (virtual ")).then_some(())
    });
}

#[test]
fn limit_and_all_of_the_api() {
    let s = set();
    let filter = http::encode(&format!("{{\"label\":[\"lighter.compat={}\"]}}", s.t.mark));
    let ids = |query: &str| -> Vec<String> {
        let list = s.t.daemon.http("GET", &format!("/containers/json?{query}&filters={filter}"), None).json();
        list.as_array().unwrap().iter().map(|c| c["Id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("all=1").len(), 4);
    assert_eq!(ids("all=true").len(), 4);
    assert_eq!(ids("all=0"), std::slice::from_ref(&s.running));
    assert_eq!(ids("limit=1"), std::slice::from_ref(&s.succeeded));
    let bad = s.t.daemon.http("GET", "/containers/json?limit=x", None);
    assert!(matches!(bad.status, 400 | 500), "{}", bad.text());
}
