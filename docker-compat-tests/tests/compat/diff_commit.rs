//! `docker diff`, `docker export`, `docker commit`.

use docker_compat_tests::http::encode;
use docker_compat_tests::{Scope, eventually};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// Something of every kind of change.
const SCRIPT: &str = "echo x >/new; mkdir -p /dir/a; echo 1 >/dir/a/f; rm /etc/group; rm -rf /home; echo a >>/etc/passwd;
    chmod 711 /root; rm -r /var/spool; mkdir /var/spool; echo >/var/spool/own; ln -s x /sl; touch /v/x /t/x; mkdir /usr/newd;
    echo >/tmp/f; rm /tmp/f; chmod 600 /etc/shadow";

fn changed(t: &Scope) -> String {
    let args = ["run", "-d", "--network", "none", "-v", "/tmp:/v", "--tmpfs", "/t", "busybox", "sh", "-c"];
    let script = SCRIPT.replace("/v/x", "/t/y") + "; echo ready; while :; do sleep 1000; done";
    let id = t.docker(&[&args[..], &[&script]].concat()).ok().to_owned();
    eventually("the script has run", || (t.docker(&["logs", &id]).stdout.contains("ready")).then_some(()));
    id
}

fn changes(t: &Scope, id: &str) -> BTreeMap<String, u64> {
    let answer = t.daemon.http("GET", &format!("/containers/{id}/changes"), None);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let all = answer.json();
    let one = |c: &serde_json::Value| (c["Path"].as_str().unwrap().to_owned(), c["Kind"].as_u64().unwrap());
    all.as_array().map(|all| all.iter().map(one).collect()).unwrap_or_default()
}

fn expected() -> BTreeMap<String, u64> {
    [
        ("/dir", 1),
        ("/dir/a", 1),
        ("/dir/a/f", 1),
        ("/etc", 0),
        ("/etc/group", 2),
        ("/etc/passwd", 0),
        ("/etc/shadow", 0),
        ("/home", 2),
        ("/new", 1),
        ("/root", 0),
        ("/sl", 1),
        ("/t", 1),
        ("/usr", 0),
        ("/usr/newd", 1),
        ("/v", 1),
        ("/var", 0),
        ("/var/spool", 0),
        ("/var/spool/mail", 2),
        ("/var/spool/own", 1),
    ]
    .map(|(path, kind)| (path.to_owned(), kind))
    .into()
}

#[test]
fn diff_tells_what_changed() {
    let t = Scope::new();
    let fresh = t.docker(&["create", "busybox"]).ok().to_owned();
    assert_eq!(t.daemon.http("GET", &format!("/containers/{fresh}/changes"), None).text(), "null\n");
    let id = changed(&t);
    assert_eq!(changes(&t, &id), expected());
    let lines: BTreeSet<_> = t.docker(&["diff", &id]).lines().iter().map(ToString::to_string).collect();
    assert!(lines.contains("A /new") && lines.contains("D /home") && lines.contains("C /etc/passwd"), "{lines:?}");
    t.docker(&["kill", &id]).ok();
    assert_eq!(changes(&t, &id), expected(), "after the end, too");
    assert_eq!(t.daemon.http("GET", "/containers/no-such/changes", None).error(404), "No such container: no-such");
}

fn names(tar: &[u8]) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(tar);
    let entry = |entry: Result<tar::Entry<'_, &[u8]>, std::io::Error>| {
        let mut entry = entry.unwrap();
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_end_matches('/').to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (name, String::from_utf8_lossy(&content).into_owned())
    };
    archive.entries().unwrap().map(entry).collect()
}

#[test]
fn export_gives_the_root_without_mounts() {
    let t = Scope::new();
    let id = changed(&t);
    for state in ["running", "exited"] {
        if state == "exited" {
            t.docker(&["kill", &id]).ok();
        }
        let answer = t.daemon.http("GET", &format!("/containers/{id}/export"), None);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/octet-stream")));
        let found = names(&answer.body);
        assert_eq!(found["new"], "x\n");
        assert!(found["etc/passwd"].ends_with("a\n"));
        for there in ["bin/busybox", "sl", "var/spool/own", "t", "v", "proc"] {
            assert!(found.contains_key(there), "{state}: {there} is missing");
        }
        let absent = |name: &&String| {
            let gone = ["etc/group", "home", "var/spool/mail"].contains(&name.as_str());
            gone || name.starts_with("t/") || name.starts_with("v/") || name.starts_with("proc/") || name.contains(".wh.")
        };
        assert_eq!(found.keys().filter(absent).collect::<Vec<_>>(), Vec::<&String>::new(), "{state}");
    }
    // What comes out is an image again.
    let tar = t.daemon.http("GET", &format!("/containers/{id}/export"), None).body;
    let name = format!("{}-imported", t.mark);
    t.docker_with_input(&["import", "-", &name], &tar).ok();
    let out = t.docker(&["run", "--rm", "--network", "none", &name, "/bin/busybox", "cat", "/new"]);
    assert_eq!(out.ok(), "x");
    t.docker(&["rmi", &name]).ok();
    assert_eq!(t.daemon.http("GET", "/containers/no-such/export", None).error(404), "No such container: no-such");
}

#[test]
fn commit_makes_an_image() {
    let t = Scope::new();
    let id = changed(&t);
    let name = format!("{}-committed", t.mark);
    let query = format!("container={id}&repo={name}&tag=v1&comment=hello+world&author={}", encode("Me <m@x>"));
    let answer = t.daemon.http("POST", &format!("/commit?{query}"), None);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let made = answer.json()["Id"].as_str().unwrap().to_owned();
    assert!(made.starts_with("sha256:"));
    assert_eq!(t.inspect(&id)["State"]["Status"], "running", "it goes on");
    let image = &t.docker(&["image", "inspect", &format!("{name}:v1")]).json()[0];
    assert_eq!((image["Id"].as_str(), image["Comment"].as_str()), (Some(made.as_str()), Some("hello world")));
    assert_eq!(image["Author"], "Me <m@x>");
    assert_eq!(image["RootFS"]["Layers"].as_array().unwrap().len(), 2);
    assert_eq!(image["Config"]["Cmd"][0], "sh");
    let history = t.docker(&["history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}", &name_of(&name)]);
    let all = history.ok();
    assert!(all.starts_with("sh -c echo x") && all.contains("|hello world"), "{all}");
    // A container of it sees the same files, without those of mounts.
    let look = "cat /new; ls /home /etc/group /var/spool/mail 2>&1 | grep -c 'No such'; ls /var/spool /t /v; stat -c %a /root";
    let out = t.docker(&["run", "--rm", "--network", "none", &name_of(&name), "sh", "-c", look]);
    assert_eq!(out.ok(), "x\n3\n/t:\n\n/v:\n\n/var/spool:\nown\n711");
    // A container of it has changed nothing yet.
    let fresh = t.docker(&["create", &name_of(&name)]).ok().to_owned();
    assert_eq!(t.docker(&["diff", &fresh]).ok(), "");
    t.docker(&["rm", &fresh]).ok();
    t.docker(&["rmi", &name_of(&name)]).ok();
}

fn name_of(name: &str) -> String {
    format!("{name}:v1")
}

#[test]
fn commit_with_changes() {
    let t = Scope::new();
    let id = t.docker(&["create", "-e", "KEPT=1", "busybox", "sleep", "1"]).ok().to_owned();
    let changes = [
        r#"CMD ["a","b"]"#,
        "ENTRYPOINT /ep x",
        "ENV A=1 B=\"x $KEPT\"",
        "EXPOSE 80 81/udp",
        "LABEL l=1",
        "ONBUILD RUN ls",
        "USER u",
        "VOLUME /vv",
        "WORKDIR rel",
        "HEALTHCHECK --interval=5s --retries=3 CMD echo ok",
        "STOPSIGNAL 9",
    ];
    let mut args = vec!["commit", "-m", "msg", "-a", "me"];
    changes.iter().for_each(|c| args.extend(["--change", c]));
    args.push(&id);
    let image = t.docker(&args).ok().to_owned();
    let config = t.docker(&["image", "inspect", "-f", "{{json .Config}}", &image]).json();
    assert_eq!(config["Cmd"], serde_json::json!(["a", "b"]));
    assert_eq!(config["Entrypoint"], serde_json::json!(["/bin/sh", "-c", "/ep x"]));
    let env: Vec<_> = config["Env"].as_array().unwrap().iter().map(|e| e.as_str().unwrap()).collect();
    assert!(env.contains(&"KEPT=1") && env.contains(&"A=1") && env.contains(&"B=x 1"), "{env:?}");
    assert_eq!(config["ExposedPorts"], serde_json::json!({"80/tcp": {}, "81/udp": {}}));
    assert_eq!(config["Labels"]["l"], "1");
    assert_eq!(config["OnBuild"], serde_json::json!(["RUN ls"]));
    assert_eq!((config["User"].as_str(), config["WorkingDir"].as_str()), (Some("u"), Some("/rel")));
    assert_eq!(config["Volumes"], serde_json::json!({"/vv": {}}));
    assert_eq!(config["Healthcheck"]["Test"], serde_json::json!(["CMD-SHELL", "echo ok"]));
    assert_eq!(
        (config["Healthcheck"]["Interval"].as_u64(), config["Healthcheck"]["Retries"].as_u64()),
        (Some(5_000_000_000), Some(3))
    );
    assert_eq!(config["StopSignal"], "9");
    t.docker(&["rmi", &image]).ok();
    // A configuration of the client's own is completed by the container's.
    let body = r#"{"Cmd":["mine"],"Env":["C=3"]}"#;
    let answer = t.daemon.http("POST", &format!("/commit?container={id}&pause=0"), Some(body));
    assert_eq!(answer.status, 201, "{}", answer.text());
    let image = answer.json()["Id"].as_str().unwrap().to_owned();
    let config = t.docker(&["image", "inspect", "-f", "{{json .Config}}", &image]).json();
    assert_eq!(config["Cmd"], serde_json::json!(["mine"]));
    assert!(config["Env"].to_string().contains("C=3") && config["Env"].to_string().contains("KEPT=1"));
    t.docker(&["rmi", &image]).ok();
}

#[test]
fn commits_that_are_refused() {
    let t = Scope::new();
    let id = t.docker(&["create", "busybox"]).ok().to_owned();
    let refused = |query: &str, status, words: &str| {
        let answer = t.daemon.http("POST", &format!("/commit?{query}"), None);
        assert_eq!(answer.error(status), words, "{query}");
    };
    refused("container=no-such", 404, "No such container: no-such");
    for (change, words) in [
        ("RUN ls", "RUN is not a valid change command"),
        ("ENV", "ENV requires at least one argument"),
        ("EXPOSE x", "Invalid containerPort: x"),
        ("STOPSIGNAL foo", "invalid signal: foo"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
    ] {
        refused(&format!("container={id}&changes={}", encode(change)), 400, words);
    }
    let upper = "invalid reference format: repository name (library/Bad) must be lowercase";
    refused(&format!("container={id}&repo=Bad"), 400, upper);
    refused(&format!("container={id}&repo=good&tag=bad/tag"), 400, "invalid tag format");
}

#[test]
fn a_commit_is_told() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let events =
        t.spawn(&["events", "--filter", &format!("container={id}"), "--format", "{{.Action}} {{json .Actor.Attributes}}"]);
    eventually("the listener listens", || {
        t.daemon.http("GET", &format!("/containers/{id}/export"), None);
        events.stdout().contains("export ").then_some(())
    });
    let name = format!("{}-told", t.mark);
    t.docker(&["commit", "-m", "why", &id, &name]).ok();
    events.wait_for("commit ");
    events.wait_for(&format!("\"imageRef\":\"{name}:latest\""));
    events.wait_for("\"comment\":\"why\"");
    events.wait_for("unpause");
    t.docker(&["rmi", &name]).ok();
}
