//! Volumes: made, listed, used, shared, removed.

use docker_compat_tests::http::encode;
use docker_compat_tests::{Scope, eventually};
use serde_json::{Value, json};

/// A volume of this test; the scope's end does not know of it.
struct Owned<'t>(&'t Scope, Vec<String>);

impl<'t> Owned<'t> {
    fn new(t: &'t Scope, short: &[&str]) -> Self {
        Self(t, short.iter().map(|s| t.name(s)).collect())
    }
}

impl Drop for Owned<'_> {
    fn drop(&mut self) {
        for id in self.0.containers() {
            self.0.daemon.docker(&["rm", "-f", "-v", &id]);
        }
        for name in &self.1 {
            self.0.daemon.docker(&["volume", "rm", "-f", name]);
        }
    }
}

fn create(t: &Scope, body: &Value) -> docker_compat_tests::http::Response {
    t.daemon.http("POST", "/volumes/create", Some(&body.to_string()))
}

fn filtered(t: &Scope, filters: &Value) -> Vec<String> {
    let answer = t.daemon.http("GET", &format!("/volumes?filters={}", encode(&filters.to_string())), None);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut names: Vec<String> =
        answer.json()["Volumes"].as_array().unwrap().iter().map(|v| v["Name"].as_str().unwrap().to_owned()).collect();
    names.retain(|n| n.starts_with(&t.mark));
    names
}

#[test]
fn create_inspect_list_remove() {
    let t = Scope::new();
    let owned = Owned::new(&t, &["one", "two"]);
    let (one, two) = (&owned.1[0], &owned.1[1]);
    let made = create(&t, &json!({"Name": one, "Labels": {"a": "b"}}));
    assert_eq!(made.status, 201, "{}", made.text());
    let volume = made.json();
    assert_eq!((volume["Name"].as_str(), volume["Driver"].as_str()), (Some(one.as_str()), Some("local")));
    assert_eq!((&volume["Labels"], &volume["Options"], &volume["Scope"]), (&json!({"a": "b"}), &Value::Null, &json!("local")));
    let path = volume["Mountpoint"].as_str().unwrap();
    assert!(path.ends_with(&format!("/volumes/{one}/_data")) && std::path::Path::new(path).is_dir(), "{path}");
    let created = volume["CreatedAt"].as_str().unwrap();
    assert!(created.len() == 20 && created.ends_with('Z'), "{created}");
    // Made once; a second time it is what it was.
    assert_eq!(create(&t, &json!({"Name": one, "Labels": {"other": "x"}})).json(), volume);
    assert_eq!(create(&t, &json!({"Name": two})).json()["Labels"], Value::Null);
    assert_eq!(t.daemon.http("GET", &format!("/volumes/{one}"), None).json(), volume);
    assert_eq!(filtered(&t, &json!({"name": [t.mark]})).len(), 2);
    assert_eq!(filtered(&t, &json!({"label": ["a=b"]})), std::slice::from_ref(one));
    assert_eq!(filtered(&t, &json!({"name": [t.mark], "driver": ["nothing"]})), Vec::<String>::new());
    assert!(t.docker(&["volume", "ls", "-q"]).lines().contains(&two.as_str()));
    assert_eq!(t.daemon.http("DELETE", &format!("/volumes/{one}"), None).status, 204);
    assert!(!std::path::Path::new(path).exists());
    let gone = format!("get {one}: no such volume");
    assert_eq!(t.daemon.http("DELETE", &format!("/volumes/{one}"), None).error(404), gone);
    assert_eq!(t.daemon.http("GET", &format!("/volumes/{one}"), None).error(404), gone);
    assert_eq!(t.daemon.http("DELETE", &format!("/volumes/{one}?force=1"), None).status, 204);
}

#[test]
fn a_volume_that_nobody_names() {
    let t = Scope::new();
    let volume = create(&t, &json!({})).json();
    let name = volume["Name"].as_str().unwrap();
    assert_eq!((name.len(), &volume["Labels"]), (64, &json!({"com.docker.volume.anonymous": ""})));
    assert_eq!(t.daemon.http("DELETE", &format!("/volumes/{name}"), None).status, 204);
}

#[test]
fn refusals_in_dockerds_words() {
    let t = Scope::new();
    let name = t.name("v");
    let characters = "includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. \
         If you intended to pass a host directory, use absolute path";
    for (body, status, words) in [
        (json!({"Name": "bad/name"}), 400, format!("create bad/name: \"bad/name\" {characters}")),
        (
            json!({"Name": "x"}),
            400,
            "create x: volume name is too short, names should be at least two alphanumeric characters".to_owned(),
        ),
        (
            json!({"Name": name, "DriverOpts": {"size": "1m"}}),
            400,
            format!("create {name}: quota size requested but no quota support"),
        ),
        (json!({"Name": name, "DriverOpts": {"foo": "1m"}}), 400, format!("create {name}: invalid option: \"foo\"")),
        (
            json!({"Name": name, "DriverOpts": {"type": "tmpfs"}}),
            400,
            format!("create {name}: missing required option: \"device\""),
        ),
    ] {
        assert_eq!(create(&t, &body).error(status), words, "{body}");
    }
    for filters in [json!({"bad": ["x"]}), json!({"dangling": ["x"]})] {
        let answer = t.daemon.http("GET", &format!("/volumes?filters={}", encode(&filters.to_string())), None);
        let key = filters.as_object().unwrap().keys().next().unwrap();
        assert!(answer.error(400).starts_with(&format!("invalid filter '{key}")));
    }
    if t.daemon.is_lighter("it looks for plugins for fifteen seconds") {
        let answer = create(&t, &json!({"Name": name, "Driver": "nodriver"}));
        let words = format!("create {name}: error looking up volume plugin nodriver: plugin \"nodriver\" not found");
        assert_eq!(answer.error(404), words);
    }
}

#[test]
fn data_outlives_containers_and_is_shared() {
    let t = Scope::new();
    let owned = Owned::new(&t, &["data"]);
    let bind = format!("{}:/data", owned.1[0]);
    assert_eq!(t.sh(&["-v", &bind], "echo kept >/data/file; cat /data/file"), "kept");
    assert_eq!(t.sh(&["-v", &bind], "cat /data/file"), "kept");
    // At once in two.
    let id = t.sleeper(&["-v", &bind]);
    assert_eq!(t.sh(&["-v", &bind], "echo both >/data/second"), "");
    assert_eq!(t.docker(&["exec", &id, "cat", "/data/second"]).ok(), "both");
    // Read-only, in both notations.
    let refused = "(touch /data/x) 2>&1; true";
    assert!(t.sh(&["-v", &format!("{bind}:ro")], refused).contains("Read-only file system"));
    let mount = format!("type=volume,src={},dst=/data,readonly", owned.1[0]);
    assert!(t.sh(&["--mount", &mount], refused).contains("Read-only file system"));
    // Files go in and out by the container.
    assert_eq!(t.docker_with_input(&["cp", "-", &format!("{id}:/data")], &[0; 1024]).code, 0);
    let tar = t.daemon.http("GET", &format!("/containers/{id}/archive?path=/data/file"), None);
    assert!(tar.status == 200 && tar.text().contains("kept"));
    t.docker(&["kill", &id]).ok();
    let tar = t.daemon.http("GET", &format!("/containers/{id}/archive?path=/data/file"), None);
    assert!(tar.status == 200 && tar.text().contains("kept"), "of the stopped one, too");
}

#[test]
fn inspect_shows_the_mounts() {
    let t = Scope::new();
    let owned = Owned::new(&t, &["a", "b", "c"]);
    let [a, b, c] = [0, 1, 2].map(|i| owned.1[i].clone());
    let mount = format!("type=volume,src={c},dst=/t,volume-nocopy,volume-label=k=v");
    let flags = ["-v", &format!("{a}:/data"), "-v", "/anon", "-v", &format!("{b}:/n:ro,nocopy"), "--mount", &mount];
    let id = t.docker(&[&["create"], &flags[..], &["busybox"]].concat()).ok().to_owned();
    let shown = t.inspect(&id);
    let mounts = shown["Mounts"].as_array().unwrap();
    let of = |destination: &str| mounts.iter().find(|m| m["Destination"] == destination).cloned().unwrap();
    let volume = |name: &str| t.daemon.http("GET", &format!("/volumes/{name}"), None).json();
    let expected = |name: &str, destination: &str, mode: &str, rw: bool| {
        json!({"Type": "volume", "Name": name, "Source": volume(name)["Mountpoint"], "Destination": destination,
            "Driver": "local", "Mode": mode, "RW": rw, "Propagation": ""})
    };
    assert_eq!(mounts.len(), 4);
    assert_eq!(of("/data"), expected(&a, "/data", "z", true));
    assert_eq!(of("/n"), expected(&b, "/n", "ro,nocopy", false));
    assert_eq!(of("/t"), expected(&c, "/t", "z", true));
    let anonymous = of("/anon");
    let name = anonymous["Name"].as_str().unwrap().to_owned();
    assert_eq!((name.len(), anonymous["Mode"].as_str()), (64, Some("")));
    assert_eq!(volume(&name)["Labels"], json!({"com.docker.volume.anonymous": ""}));
    assert_eq!(volume(&c)["Labels"], json!({"k": "v"}));
    // In use, in dockerd's words; whatever the force.
    let words = format!("remove {a}: volume is in use - [{id}]");
    assert_eq!(t.daemon.http("DELETE", &format!("/volumes/{a}"), None).error(409), words);
    assert_eq!(t.daemon.http("DELETE", &format!("/volumes/{a}?force=1"), None).error(409), words);
    assert_eq!(filtered(&t, &json!({"dangling": ["false"]})).len(), 3);
    // `rm -v` takes what nobody named, and nothing else.
    t.docker(&["rm", "-v", &id]).ok();
    assert_eq!(t.daemon.http("GET", &format!("/volumes/{name}"), None).status, 404);
    assert_eq!(filtered(&t, &json!({"dangling": ["true"]})).len(), 3);
}

#[test]
fn anonymous_volumes_stay_without_v_and_go_with_rm() {
    let t = Scope::new();
    let anonymous = |id: &str| t.inspect(id)["Mounts"][0]["Name"].as_str().unwrap().to_owned();
    let id = t.docker(&["create", "-v", "/anon", "busybox"]).ok().to_owned();
    let name = anonymous(&id);
    t.docker(&["rm", &id]).ok();
    assert_eq!(t.daemon.http("GET", &format!("/volumes/{name}"), None).status, 200);
    assert_eq!(t.daemon.http("DELETE", &format!("/volumes/{name}"), None).status, 204);
    let id = t.docker(&["create", "--rm", "--network", "none", "-v", "/anon", "busybox", "touch", "/anon/x"]).ok().to_owned();
    let name = anonymous(&id);
    t.docker(&["start", "-a", &id]).ok();
    eventually("the volume goes with its container", || {
        (t.daemon.http("GET", &format!("/volumes/{name}"), None).status == 404).then_some(())
    });
}

#[test]
fn the_first_use_fills_a_volume_from_the_image() {
    let t = Scope::new();
    let owned = Owned::new(&t, &["full", "empty", "second"]);
    // An image with a volume, and something in it.
    let script = "mkdir -p /srv/sub; echo of-the-image >/srv/sub/file; ln -s sub/file /srv/link; chown 5:6 /srv/sub/file; chmod 2750 /srv; chown 7:8 /srv";
    let id = t.docker(&["run", "-d", "--network", "none", "busybox", "sh", "-c", script]).ok().to_owned();
    t.docker(&["wait", &id]).ok();
    let image = format!("{}-image", t.mark);
    t.docker(&["commit", "--change", "VOLUME /srv", &id, &image]).ok();
    let look = "cat /srv/link; stat -c '%u %g %a' /srv /srv/sub/file";
    let run = |flags: &[&str], script: &str| {
        let args = [&["run", "--rm", "--network", "none"], flags, &[image.as_str(), "sh", "-c", script]].concat();
        t.docker(&args).ok().to_owned()
    };
    let full = "of-the-image\n7 8 2750\n5 6 644";
    // The image's own volume, and a named one in its place.
    assert_eq!(run(&[], look), full);
    assert_eq!(run(&["-v", &format!("{}:/srv", owned.1[0])], look), full);
    assert_eq!(run(&["-v", &format!("{}:/srv:nocopy", owned.1[1])], "ls -A /srv; stat -c '%u %g %a' /srv"), "0 0 755");
    let mount = format!("type=volume,src={},dst=/srv,volume-nocopy", owned.1[1]);
    assert_eq!(run(&["--mount", &mount], "ls -A /srv"), "");
    // What is in a volume stays.
    assert_eq!(run(&["-v", &format!("{}:/srv", owned.1[0])], "rm -r /srv/sub; echo mine >/srv/own"), "");
    assert_eq!(run(&["-v", &format!("{}:/srv", owned.1[0])], "ls /srv"), "link\nown");
    // A place that the image has not.
    assert_eq!(run(&["-v", &format!("{}:/new/place", owned.1[2])], "ls -A /new/place; stat -c %a /new/place"), "755");
    for id in t.containers() {
        t.docker(&["rm", "-f", "-v", &id]).ok();
    }
    t.docker(&["rmi", &image]).ok();
}

#[test]
fn options_of_the_local_driver() {
    let t = Scope::new();
    let owned = Owned::new(&t, &["tmpfs", "bind", "bad"]);
    let [tmpfs, bind, bad] = [0, 1, 2].map(|i| owned.1[i].clone());
    let options = ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=1m,mode=700"];
    t.docker(&[&["volume", "create"], &options[..], &[&tmpfs]].concat()).ok();
    let shown = t.daemon.http("GET", &format!("/volumes/{tmpfs}"), None).json();
    assert_eq!(shown["Options"], json!({"type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=700"}));
    let mount = format!("{tmpfs}:/data");
    let first = t.sleeper(&["-v", &mount]);
    let seen =
        "df -k /data | awk 'END{print $2}'; stat -c %a /data; grep ' /data ' /proc/mounts | cut -d' ' -f3; echo x >/data/shared";
    assert_eq!(t.docker(&["exec", &first, "sh", "-c", seen]).ok(), "1024\n700\ntmpfs");
    // Shared while somebody has it, and gone with the last.
    assert_eq!(t.sh(&["-v", &mount], "cat /data/shared"), "x");
    let path = shown["Mountpoint"].as_str().unwrap().to_owned();
    let mounted = || std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&path);
    assert!(mounted());
    t.docker(&["kill", &first]).ok();
    eventually("the volume is unmounted", || (!mounted()).then_some(()));
    assert_eq!(t.sh(&["-v", &mount], "ls -A /data"), "");
    // A directory of the host's.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "of the host").unwrap();
    let device = format!("device={}", dir.path().display());
    t.docker(&["volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", &device, &bind]).ok();
    assert_eq!(t.sh(&["-v", &format!("{bind}:/data")], "cat /data/file; echo y >/data/made"), "of the host");
    assert_eq!(std::fs::read_to_string(dir.path().join("made")).unwrap(), "y\n");
    // What cannot be mounted is said when it is wanted.
    t.docker(&["volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", "device=/no/such/dir", &bad]).ok();
    let text = t.docker(&["run", "--rm", "--network", "none", "-v", &format!("{bad}:/data"), "busybox", "true"]);
    let words = "failed to mount local volume: mount /no/such/dir:";
    assert!(text.fails(127).contains(words), "{}", text.stderr);
}

#[test]
fn a_part_of_a_volume() {
    let t = Scope::new();
    let owned = Owned::new(&t, &["parts"]);
    let name = &owned.1[0];
    t.sh(
        &["-v", &format!("{name}:/v")],
        "mkdir -p /v/sub/deep; echo part >/v/sub/deep/file; ln -s sub/deep /v/link; ln -s / /v/out; ln -s ../../.. /v/up",
    );
    let part = |subpath: &str| format!("type=volume,src={name},dst=/data,volume-subpath={subpath}");
    assert_eq!(t.sh(&["--mount", &part("sub/deep")], "cat /data/file; echo more >/data/more"), "part");
    assert_eq!(t.sh(&["--mount", &part("link")], "cat /data/more"), "more");
    assert_eq!(t.sh(&["--mount", &part("sub/deep/file")], "cat /data"), "part");
    // Nothing leads out of the volume.
    for out in ["out", "up", "out/etc", "up/etc"] {
        let run = t.docker(&["run", "--rm", "--network", "none", "--mount", &part(out), "busybox", "ls", "/data"]);
        assert!(run.code != 0 || !run.stdout.contains("hostname") && !run.stdout.contains("proc"), "{out}: {}", run.stdout);
    }
    for bad in ["../x", "/abs", "sub/../../x"] {
        let run = t.docker(&["create", "--mount", &part(bad), "busybox"]);
        assert!(run.fails(1).contains("subpath must be a relative path within the volume"), "{}", run.stderr);
    }
    let missing = t.docker(&["run", "--rm", "--network", "none", "--mount", &part("nothing"), "busybox", "true"]);
    assert!(missing.fails(127).contains("no such file or directory"), "{}", missing.stderr);
}

#[test]
fn volumes_from_other_containers() {
    let t = Scope::new();
    let owned = Owned::new(&t, &["one", "two"]);
    let dir = tempfile::tempdir().unwrap();
    let bind = format!("{}:/bound", dir.path().display());
    let first =
        t.docker(&["create", "-v", &format!("{}:/one", owned.1[0]), "-v", &bind, "-v", "/anon", "busybox"]).ok().to_owned();
    assert_eq!(t.sh(&["--volumes-from", &first], "echo a >/one/x; echo b >/bound/x; echo c >/anon/x"), "");
    assert_eq!(std::fs::read_to_string(dir.path().join("x")).unwrap(), "b\n");
    let refused = "for d in /one /bound /anon; do cat $d/x; (touch $d/y) 2>&1; done; true";
    let out = t.sh(&["--volumes-from", &format!("{first}:ro")], refused);
    assert_eq!(out.matches("Read-only file system").count(), 3, "{out}");
    assert!(out.starts_with("a\n"), "{out}");
    // One's own mount at the same place counts.
    let mine = format!("{}:/one", owned.1[1]);
    assert_eq!(t.sh(&["--volumes-from", &first, "-v", &mine], "ls -A /one; cat /bound/x"), "b");
    let id = t.docker(&["create", "--volumes-from", &first, "busybox"]).ok().to_owned();
    let mounts = t.inspect(&id)["Mounts"].as_array().unwrap().len();
    assert_eq!(mounts, 3);
    // What another still has is not removed.
    let anonymous =
        t.inspect(&id)["Mounts"].as_array().unwrap().iter().find(|m| m["Destination"] == "/anon").unwrap()["Name"].clone();
    t.docker(&["rm", "-v", &first]).ok();
    let path = format!("/volumes/{}", anonymous.as_str().unwrap());
    assert_eq!(t.daemon.http("GET", &path, None).status, 200);
    t.docker(&["rm", "-v", &id]).ok();
    assert_eq!(t.daemon.http("GET", &path, None).status, 404);
    let text = t.docker(&["create", "--volumes-from", "no-such-one", "busybox"]);
    assert!(text.fails(1).contains("No such container: no-such-one"), "{}", text.stderr);
}

#[test]
fn prune_takes_what_is_not_used() {
    let t = Scope::new();
    let owned = Owned::new(&t, &["used", "unused"]);
    let label = format!("mark={}", t.mark);
    for name in &owned.1 {
        t.docker(&["volume", "create", "--label", &label, name]).ok();
    }
    let anonymous = t.docker(&["volume", "create", "--label", &label]).ok().to_owned();
    t.docker(&["create", "-v", &format!("{}:/x", owned.1[0]), "busybox"]).ok();
    let prune = |filters: Value| {
        let answer = t.daemon.http("POST", &format!("/volumes/prune?filters={}", encode(&filters.to_string())), None);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    assert_eq!(prune(json!({"label": [label]}))["VolumesDeleted"], json!([anonymous]));
    let path = t.daemon.http("GET", &format!("/volumes/{}", owned.1[1]), None).json()["Mountpoint"].clone();
    std::fs::write(format!("{}/file", path.as_str().unwrap()), [0; 10_000]).unwrap();
    let pruned = prune(json!({"label": [label], "all": ["true"]}));
    assert_eq!(pruned["VolumesDeleted"], json!([owned.1[1]]));
    assert!(pruned["SpaceReclaimed"].as_u64().unwrap() >= 10_000, "{pruned}");
    assert_eq!(prune(json!({"label": [label]})), json!({"VolumesDeleted": [], "SpaceReclaimed": 0}));
}

#[test]
fn system_df_counts_volumes() {
    let t = Scope::new();
    let owned = Owned::new(&t, &["counted"]);
    t.sh(&["-v", &format!("{}:/x", owned.1[0])], "dd if=/dev/zero of=/x/file bs=1k count=100 2>/dev/null");
    t.docker(&["create", "-v", &format!("{}:/x", owned.1[0]), "busybox"]).ok();
    let usage = t.daemon.http("GET", "/v1.47/system/df", None).json();
    let volume = usage["Volumes"].as_array().unwrap().iter().find(|v| v["Name"] == owned.1[0].as_str()).unwrap().clone();
    assert_eq!(volume["UsageData"]["RefCount"], 1);
    assert!(volume["UsageData"]["Size"].as_u64().unwrap() >= 102_400, "{volume}");
    assert!(t.docker(&["system", "df", "-v"]).ok().contains(&owned.1[0]));
}

#[test]
fn what_happens_to_volumes_is_told() {
    let t = Scope::new();
    let owned = Owned::new(&t, &["told"]);
    let name = &owned.1[0];
    let events =
        t.spawn(&["events", "--filter", &format!("volume={name}"), "--format", "{{.Action}} {{json .Actor.Attributes}}"]);
    eventually("the listener listens", || {
        t.docker(&["volume", "create", name]).ok();
        if events.stdout().contains("create ") {
            return Some(());
        }
        t.docker(&["volume", "rm", name]).ok();
        None
    });
    t.sh(&["-v", &format!("{name}:/x:ro")], "true");
    t.docker(&["volume", "rm", name]).ok();
    for line in [
        "create {\"driver\":\"local\"}",
        "mount {",
        "\"destination\":\"/x\"",
        "\"read/write\":\"false\"",
        "unmount {",
        "destroy {\"driver\":\"local\"}",
    ] {
        events.wait_for(line);
    }
}
