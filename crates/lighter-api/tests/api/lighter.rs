//! `/lighter/v1`: what can be asked of the record, and what comes of it.

use crate::support::{Api, eventually};
use serde_json::{Value, json};

fn kinds(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap()).collect()
}

fn project(name: &str) -> Value {
    json!({"Image": "busybox", "Labels": {"com.docker.compose.project": name}})
}

#[test]
fn requests_are_found_by_what_they_were() {
    let api = Api::start();
    let id = api.create("web", &project("shop"));
    api.create("other", &json!({"Image": "busybox"}));
    api.send_with("POST", "/containers/nope/start", "User-Agent: Docker-Client/27.3.1 (linux)\r\n", b"");
    api.get("/containers/web/json");
    let found = |query: &str| api.get(&format!("/lighter/v1/events?{query}")).json();
    // What was recorded just now is there, the question itself is not.
    assert_eq!(kinds(&found("limit=4")), ["ContainerInspect", "ContainerStart", "ContainerCreate", "ContainerCreate"]);
    assert_eq!(kinds(&found("container=web")), ["ContainerInspect", "ContainerCreate"]);
    assert_eq!(kinds(&found(&format!("container={}", &id[..6]))), ["ContainerInspect", "ContainerCreate"]);
    assert_eq!(kinds(&found("container=nobody")), [""; 0]);
    assert_eq!(kinds(&found("stack=shop")), ["ContainerInspect", "ContainerCreate"]);
    assert_eq!(kinds(&found("client=docker-client")), ["ContainerStart"]);
    assert_eq!(kinds(&found("kind=ContainerStart&kind=ContainerInspect")), ["ContainerInspect", "ContainerStart"]);
    assert_eq!(kinds(&found("status=refused")), ["ContainerStart"]);
    assert_eq!(kinds(&found("image=busybox&status=ok&container=other")), ["ContainerCreate"]);
    assert_eq!(kinds(&found("until=2020-01-01")), [""; 0]);
    assert_eq!(kinds(&found("since=1h&kind=ContainerCreate")).len(), 2);
    let one = &found("kind=ContainerStart")["items"][0];
    assert_eq!(one["error"], "No such container: nope");
    assert_eq!((one["httpStatus"].as_u64(), one["peerPid"].as_u64()), (Some(404), Some(u64::from(std::process::id()))));
    let again = found(&format!("requestId={}", one["requestId"].as_str().unwrap()));
    assert_eq!(again["items"].as_array().unwrap(), std::slice::from_ref(one));
    // Reading the record is recorded, too.
    assert!(kinds(&found("kind=LighterEvents")).len() > 10);
    api.send("DELETE", "/containers/web", "");
    assert_eq!(kinds(&found("container=web"))[0], "ContainerDelete", "by the name of a container that is gone");
}

#[test]
fn pages_follow_one_another_without_gap_or_double() {
    let api = Api::start();
    (0..25).for_each(|n| drop(api.get(&format!("/containers/c{n}/json"))));
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.get(&format!("/lighter/v1/events?kind=ContainerInspect&limit=10&cursor={cursor}")).json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|e| e["path"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    let wanted: Vec<String> = (0..25).rev().map(|n| format!("/containers/c{n}/json")).collect();
    assert_eq!(seen, wanted);
    for bad in ["cursor=x", "limit=1001", "limit=-1", "limit=x", "follow=1&cursor=3"] {
        assert_eq!(api.get(&format!("/lighter/v1/events?{bad}")).status, 400, "{bad}");
    }
}

#[test]
fn the_record_can_be_followed() {
    let mut api = Api::start();
    api.get("/_ping");
    let mut conn = api.connect();
    conn.request("GET", "/lighter/v1/events?follow=1&limit=1&kind=SystemPing&kind=ContainerCreate", "", b"");
    conn.head();
    assert!(String::from_utf8(conn.until("\n")).is_ok());
    conn.until("\"kind\":\"SystemPing\"");
    for n in 0..3 {
        api.create(&format!("c{n}"), &json!({"Image": "busybox"}));
        conn.until("\"kind\":\"ContainerCreate\"");
        conn.until("}\n");
    }
    assert!(api.stop().as_secs() < 5, "a follower does not hold the daemon");
}

#[test]
fn a_containers_explanation_tells_what_became_of_each_field() {
    let api = Api::start();
    let secret = "hunter2-canary";
    let body = json!({"Image": "busybox", "Cmd": ["sleep", "1000"], "Env": [format!("TOKEN={secret}")], "MacAddress": "02:42:ac:11:00:02",
        "HostConfig": {"Memory": 67_108_864, "CapAdd": ["NET_ADMIN"], "RestartPolicy": {"Name": "always"}}});
    api.create("web", &body);
    api.post("/containers/web/pause", "");
    let reply = api.get("/lighter/v1/containers/web/explain");
    assert!(!reply.text().contains(secret));
    let told = reply.json();
    let field = |name: &str| {
        let all = told["fields"].as_array().unwrap();
        let found = all.iter().find(|f| f["name"] == name);
        found.unwrap_or_else(|| panic!("{name} is not in {all:#?}")).clone()
    };
    assert_eq!(field("Config.Image")["value"], "busybox");
    assert_eq!(field("Config.Env")["value"], json!(["TOKEN"]));
    assert_eq!(field("HostConfig.RestartPolicy")["fate"], "honoured");
    let memory = field("HostConfig.Memory");
    assert_eq!((memory["value"].as_u64(), memory["flags"].as_str()), (Some(67_108_864), Some("-m")));
    assert_eq!(memory["fate"], "warned", "the memory engine limits nothing");
    assert_eq!(memory["reason"], "its containers are records, nothing runs");
    assert_eq!(field("HostConfig.CapAdd")["fate"], "warned");
    for absent in ["Config.Hostname", "HostConfig.ShmSize", "HostConfig.MaskedPaths", "Config.Tty"] {
        assert!(told["fields"].as_array().unwrap().iter().all(|f| f["name"] != absent), "{absent} was not asked for");
    }
    let events: Vec<_> = told["events"].as_array().unwrap().iter().map(|e| (e["kind"].as_str().unwrap(), &e["status"])).collect();
    assert_eq!(events, [("ContainerPause", &json!("refused")), ("ContainerCreate", &json!("ok"))]);
    api.send("DELETE", "/containers/web", "");
    let gone = api.get("/lighter/v1/containers/web/explain").json();
    assert_eq!((gone["container"].is_null(), gone["events"].as_array().unwrap().len()), (true, 4));
    assert_eq!(api.get("/lighter/v1/containers/nobody/explain").status, 404);
}

#[test]
fn mappings_know_when_a_container_was_last_asked_for() {
    let api = Api::start();
    let (a, b) = (api.create("aa", &json!({"Image": "busybox"})), api.create("bb", &json!({"Image": "busybox"})));
    let mapping = |id: &str| {
        let page = api.get("/lighter/v1/mappings").json();
        page["items"].as_array().unwrap().iter().find(|m| m["shimContainerId"] == id).unwrap().clone()
    };
    let before = (mapping(&a)["lastAccessedAt"].clone(), mapping(&b)["lastAccessedAt"].clone());
    api.get("/containers/aa/json");
    assert!(mapping(&a)["lastAccessedAt"].as_str() > before.0.as_str());
    assert_eq!(mapping(&b)["lastAccessedAt"], before.1);
    assert_eq!(mapping(&a)["name"], "aa");
    let first = api.get("/lighter/v1/mappings?limit=1").json();
    let second = api.get(&format!("/lighter/v1/mappings?limit=1&cursor={}", first["next"].as_str().unwrap())).json();
    let ids = [&first, &second].map(|p| p["items"][0]["shimContainerId"].as_str().unwrap().to_owned());
    assert!(ids[0] < ids[1] && ids.contains(&a) && ids.contains(&b));
}

#[test]
fn printed_lines_are_searched() {
    let api = Api::start();
    let mut body = project("shop");
    body["Cmd"] = json!(["sh", "-c", "echo INFO ready; echo ERROR disk full >&2; echo WARN disk slow; sleep 1000"]);
    let id = api.create("web", &body);
    api.post("/containers/web/start", "");
    let found = |query: &str| {
        let reply = api.get(&format!("/lighter/v1/logs/search?{query}"));
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    };
    let messages = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|l| l["message"].as_str().unwrap().to_owned()).collect()
    };
    eventually("it has printed", || messages(&found("query=slow")).len() == 1);
    assert_eq!(messages(&found("query=disk")), ["WARN disk slow", "ERROR disk full"]);
    assert_eq!(messages(&found("query=disk+-slow&container=web")), ["ERROR disk full"]);
    assert_eq!(messages(&found("level=warn&stack=shop&since=1h")).len(), 2);
    assert_eq!(messages(&found("stack=none")).len() + messages(&found("container=nobody")).len(), 0);
    let first = found("limit=2");
    let next = found(&format!("limit=2&cursor={}", first["next"].as_str().unwrap()));
    assert_eq!((messages(&next), &next["next"]), (vec!["INFO ready".to_owned()], &Value::Null));
    let one = &found("source=stderr")["items"][0];
    assert_eq!((one["containerId"].as_str(), &one["level"], &one["stack"]), (Some(id.as_str()), &json!("error"), &json!("shop")));
    api.send("DELETE", "/containers/web?force=1", "");
    assert_eq!(messages(&found("query=disk&container=web")).len(), 2, "it is gone, what it said is not");
    for bad in ["level=odd", "source=both", "cursor=x", "since=x", "q=x"] {
        assert_eq!(api.get(&format!("/lighter/v1/logs/search?{bad}")).status, 400, "{bad}");
    }
}

#[test]
fn what_containers_use_is_kept_and_told() {
    let api = Api::start();
    let mut body = project("shop");
    body["Cmd"] = json!(["sleep", "1000"]);
    let id = api.create("web", &body);
    api.create("idle", &project("shop"));
    api.post("/containers/web/start", "");
    let series = |query: &str| api.get(&format!("/lighter/v1/metrics?{query}")).json()["items"].as_array().unwrap().clone();
    eventually("a sample is kept", || !series("container=web").is_empty());
    let one = &series("stack=shop&since=1h")[0];
    assert_eq!(
        (one["container"].as_str(), one["containerId"].as_str(), &one["stack"]),
        (Some("web"), Some(id.as_str()), &json!("shop"))
    );
    assert!(series("stack=other").is_empty() && series("until=2020-01-01").is_empty());
    let text = api.get("/lighter/v1/metrics/prometheus");
    assert_eq!(text.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = text.text();
    assert!(text.contains("lighter_containers{state=\"running\"} 1\n") && text.contains("{state=\"created\"} 1\n"), "{text}");
    let labels = format!("{{container=\"web\",id=\"{id}\",image=\"busybox\",stack=\"shop\"}}");
    assert!(text.contains(&format!("lighter_container_cpu_seconds_total{labels} 0.000000000\n")), "{text}");
    assert!(text.lines().all(|l| l.starts_with('#') || l.rsplit_once(' ').is_some_and(|(_, n)| n.parse::<f64>().is_ok())));
    api.send("DELETE", "/containers/web?force=1", "");
    assert_eq!(series("container=web").len(), 1, "it is gone, what it used is not");
}

#[test]
fn a_pipelines_secrets_stay_its_own() {
    let api = Api::start();
    let canary = "canary-word-1";
    let step =
        json!({"name": "one", "image": "busybox", "env": {"MY_TOKEN": canary}, "commands": [format!("echo said {canary}")]});
    let begun = api.post("/lighter/v1/pipelines", &json!({"name": "p", "steps": [step]}).to_string());
    assert_eq!(begun.status, 201, "{}", begun.text());
    eventually("it is over", || api.get("/lighter/v1/pipelines/p").json()["finishedAt"].is_string());
    let found = api.get("/lighter/v1/logs/search?query=said");
    assert_eq!(found.json()["items"][0]["message"], "said ***", "{}", found.text());
    let events = format!("/events?since=1&until={}", time::OffsetDateTime::now_utc().unix_timestamp());
    for path in ["/lighter/v1/pipelines", "/lighter/v1/pipelines/p", "/lighter/v1/events?limit=1000", &events] {
        let told = api.get(path);
        assert!(told.status == 200 && !told.text().contains(canary), "{path}: {}", told.text());
    }
}

#[test]
fn sample_data_is_made_once_and_random_ones_by_their_seed() {
    let api = Api::start();
    let made = api.post("/lighter/v1/sample-data", "");
    assert_eq!(made.json(), json!({"containers": 5, "images": 6, "volumes": 5, "networks": 4, "stacks": 4}), "{}", made.text());
    let count = |path: &str| api.get(path).json().as_array().unwrap().len();
    assert_eq!((count("/containers/json"), count("/containers/json?all=1")), (4, 5));
    assert_eq!(api.get("/containers/db/json").json()["Config"]["Image"], "postgres:17");
    let again = api.post("/lighter/v1/sample-data?containers=20&seed=7", "").json();
    assert_eq!(again, json!({"containers": 20, "images": 0, "volumes": 0, "networks": 0, "stacks": 0}));
    let names = |api: &Api| -> Vec<String> {
        let all = api.get("/containers/json?all=1").json();
        let mut names: Vec<_> = all.as_array().unwrap().iter().map(|c| c["Names"][0].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let other = Api::start();
    other.post("/lighter/v1/sample-data?containers=20&seed=7", "");
    assert_eq!(names(&api), names(&other));
    assert_eq!(names(&api).len(), 25);
    assert_eq!(api.post("/lighter/v1/sample-data?containers=x", "").status, 400);
}

#[test]
fn the_database_is_examined_and_copied_while_it_is_written() {
    let api = Api::start();
    api.create("kept", &json!({"Image": "busybox"}));
    let sound = api.get("/lighter/v1/store/check").json();
    assert_eq!(sound, json!({"sound": true, "faults": []}));
    let copy = std::thread::scope(|s| {
        let writer = s.spawn(|| (0..50).for_each(|n| drop(api.create(&format!("c{n}"), &json!({"Image": "busybox"})))));
        let reply = api.get("/lighter/v1/store/backup");
        writer.join().unwrap();
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/vnd.sqlite3")));
        reply.body
    });
    assert!(copy.starts_with(b"SQLite format 3\0"));
    let restored = tempfile::tempdir().unwrap();
    std::fs::write(restored.path().join("lighter.db"), copy).unwrap();
    api.runtime.block_on(async {
        let store = lighter_store::Store::open(&restored.path().join("lighter.db")).await.unwrap();
        assert_eq!(store.check().await.unwrap(), [""; 0]);
        let containers = store.load_containers().await.unwrap();
        assert!(containers.problems.is_empty() && containers.items.iter().any(|c| c.name == "kept"));
    });
    eventually("nothing is left of the copy", || {
        let files = std::fs::read_dir(api.dir.path()).unwrap();
        files.flatten().all(|f| !f.file_name().to_string_lossy().starts_with(".backup"))
    });
}

#[test]
fn a_compose_project_is_a_stack_with_its_graph() {
    let api = Api::start();
    let service = |name: &str, waits: &str, cmd: Value| {
        let labels = json!({
            "com.docker.compose.project": "shop", "com.docker.compose.service": name, "com.docker.compose.depends_on": waits
        });
        let host =
            json!({"PortBindings": {"80/tcp": [{"HostPort": if name == "web" { "8080" } else { "" }}]}, "Binds": ["data:/d"]});
        api.create(&format!("shop-{name}-1"), &json!({"Image": "busybox", "Cmd": cmd, "Labels": labels, "HostConfig": host}))
    };
    let sleep = json!(["sleep", "1000"]);
    service("db", "", sleep.clone());
    service("migrate", "db:service_started:false", json!(["true"]));
    let web = service("web", "db:service_healthy:false,migrate:service_completed_successfully:false", sleep);
    let shop = || api.get("/lighter/v1/stacks/shop").json();
    assert_eq!(shop()["status"], "stopped");
    assert_eq!(
        shop()["graph"],
        json!({
            "db": [], "migrate": [{"service": "db", "condition": "service_started"}],
            "web": [
                {"service": "db", "condition": "service_healthy"},
                {"service": "migrate", "condition": "service_completed_successfully"}
            ]
        })
    );
    for name in ["db", "migrate"] {
        assert_eq!(api.post(&format!("/containers/shop-{name}-1/start"), "").status, 204);
    }
    api.post("/containers/shop-migrate-1/wait", "");
    let state = |stack: &Value| (stack["status"].as_str().unwrap().to_owned(), stack["degraded"].as_bool().unwrap());
    assert_eq!(state(&shop()), ("running".to_owned(), true));
    assert_eq!(api.post("/containers/shop-web-1/start", "").status, 204);
    let up = shop();
    assert_eq!(state(&up), ("running".to_owned(), false), "what was to be done once is done: {up}");
    assert_eq!((&up["volumes"], &up["networks"]), (&json!(["data"]), &json!(["bridge"])));
    let held = up["ports"].as_array().unwrap().iter().find(|p| p["hostPort"] == 8080).unwrap();
    assert_eq!((&held["containerId"], &held["state"]), (&json!(web), &json!("held")));
    let states: Vec<_> = up["containers"].as_array().unwrap().iter().map(|c| (&c["service"], &c["exitCode"])).collect();
    let null = Value::Null;
    assert_eq!(states, [(&json!("db"), &null), (&json!("migrate"), &json!(0)), (&json!("web"), &null)]);
    assert_eq!(api.get(&format!("/lighter/v1/stacks/{}", up["id"].as_str().unwrap())).json()["name"], "shop");
    for name in ["db", "web"] {
        assert_eq!(api.post(&format!("/containers/shop-{name}-1/kill"), "").status, 204);
        api.post(&format!("/containers/shop-{name}-1/wait"), "");
    }
    assert_eq!(state(&shop()), ("stopped".to_owned(), false));
    let missing = api.get("/lighter/v1/stacks/nope");
    assert_eq!((missing.status, missing.message()), (404, "No such stack: nope".to_owned()));
    for name in ["db", "migrate", "web"] {
        assert_eq!(api.send("DELETE", &format!("/containers/shop-{name}-1?force=1"), "").status, 204);
    }
    assert_eq!(api.get("/lighter/v1/stacks").json(), json!({"items": [], "next": null}));
}
