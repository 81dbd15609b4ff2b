//! Garbage collection of images: planned over HTTP, and done by the daemon itself when it is told to. Ours only.

use docker_compat_tests::daemon::scratch;
use docker_compat_tests::{Daemon, Scope, eventually};
use serde_json::{Value, json};

/// An image of one file, tagged `name`; its id.
fn import(daemon: &Daemon, name: &str) -> String {
    let layer = docker_compat_tests::recipe::tar_of(&[("file", name.as_bytes())]);
    daemon.docker_with_input(&["import", "-", name], &layer).ok().to_owned()
}

#[test]
fn a_plan_changes_nothing() {
    let t = Scope::new();
    if !t.daemon.is_lighter("it collects no images") {
        return;
    }
    let name = format!("compat-{}:gc", t.mark);
    let id = import(t.daemon, &name);
    let used = t.docker(&["create", "busybox", "true"]).ok().to_owned();
    let plan = |query: &str| t.daemon.http("GET", &format!("/lighter/v1/gc{query}"), None);
    let off = plan("").json();
    assert_eq!((&off["enabled"], &off["dryRun"], &off["images"]), (&json!(false), &json!(true), &json!([])));
    let all = plan("?keepDuration=0s").json();
    let find = |id: &str| all["images"].as_array().unwrap().iter().find(|i| i["id"] == id).cloned();
    let mine = find(&id).expect("it is unused");
    assert_eq!((&mine["names"], &mine["reason"]), (&json!([name]), &json!("unused")));
    assert_eq!(mine["size"], name.len());
    assert!(
        all["sizeBefore"].as_u64() >= all["sizeAfter"].as_u64().map(|left| left + name.len() as u64) && all["keepSeconds"] == 0,
        "{all}"
    );
    assert_eq!(find(t.inspect(&used)["Image"].as_str().unwrap()), None, "a container uses it");
    assert_eq!(plan("?keepDuration=1h").json()["images"], json!([]));
    assert_eq!(plan("?maxUsedSpace=1k").json()["images"], json!([]), "what came a moment ago stays");
    assert_eq!(plan("?keepDuration=x").error(400), "invalid keepDuration: \"x\"");
    assert_eq!(t.docker(&["image", "inspect", "-f", "{{.Id}}", &name]).ok(), id);
    t.docker(&["rmi", &name]).ok();
}

#[test]
fn the_daemon_collects_what_nobody_uses() {
    if std::env::var("LIGHTER_COMPAT_HOST").is_ok_and(|h| !h.is_empty()) {
        return;
    }
    let settings = scratch("gc");
    let file = settings.join("daemon.json");
    let gc = r#"{"images": {"gc": {"enabled": true, "keepDuration": "2s", "interval": "500ms"}}}"#;
    std::fs::write(&file, gc).unwrap();
    let roots = scratch("gcd");
    // Two seconds may be over before the container is made: so by a daemon that does not collect.
    let before = Daemon::start_in(&roots, &[]).with_busybox();
    before.docker(&["create", "--name", "keeper", "busybox", "true"]).ok();
    let id = import(&before, "unused:1");
    before.terminate();
    let daemon = Daemon::start_in(&roots, &["--config-file", file.to_str().unwrap()]);
    let there = |name: &str| daemon.http("GET", &format!("/images/{name}/json"), None).status == 200;
    eventually("the unused image is collected", || (!there("unused:1")).then_some(()));
    assert!(there("busybox"), "a container has it");
    let told = |action: &str| {
        let all =
            daemon.docker(&["events", "--since", "1h", "--until", "0s", "--filter", "type=image", "--format", "{{json .}}"]);
        let mut events = all.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.any(|event| event["Action"] == action && event["Actor"]["ID"] == id)
    };
    // They are told when the store has them, a moment later.
    eventually("the removal is told", || (told("untag") && told("delete")).then_some(()));
    // Once its container is gone, the rest goes, too; and asked for it says so.
    daemon.docker(&["rm", "keeper"]).ok();
    eventually("the last image is collected", || (!there("busybox")).then_some(()));
    let report = daemon.http("POST", "/lighter/v1/gc", None).json();
    assert_eq!((&report["enabled"], &report["dryRun"], &report["sizeAfter"]), (&json!(true), &json!(false), &json!(0)));
    drop(daemon);
    std::fs::remove_dir_all(&settings).unwrap();
}
