//! images, image inspect, history, tag, rmi, save, load, import, prune.

use docker_compat_tests::{Scope, http};
use serde_json::{Value, json};

fn reference(t: &Scope, tag: &str) -> String {
    format!("compat-{}:{tag}", t.mark)
}

/// A file system of one file as a tar, for `docker import`.
fn rootfs(contents: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(contents.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(1);
    header.set_cksum();
    builder.append_data(&mut header, "file", contents.as_bytes()).unwrap();
    builder.into_inner().unwrap()
}

/// An image of this test alone, by import.
fn own_image(t: &Scope, tag: &str) -> (String, String) {
    let name = reference(t, tag);
    let out = t.docker_with_input(&["import", "-c", "CMD [\"/file\"]", "-m", "made here", "-", &name], &rootfs(&name));
    (name, out.ok().to_owned())
}

#[test]
fn list_and_its_filters() {
    let t = Scope::new();
    let (name, id) = own_image(&t, "one");
    let repository = name.split(':').next().unwrap();
    let rows = |args: &[&str]| {
        let mut all = vec!["images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"];
        all.extend(args);
        t.docker(&all).lines().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let row = format!("{name} {id}");
    assert!(rows(&[]).contains(&row));
    assert_eq!(rows(&[repository]), std::slice::from_ref(&row));
    assert_eq!(rows(&[&name]), std::slice::from_ref(&row));
    assert_eq!(rows(&["--filter", &format!("reference={repository}:o*")]), std::slice::from_ref(&row));
    assert!(rows(&["--filter", "reference=nothing-such"]).is_empty());
    assert!(rows(&["--filter", "since=busybox:latest"]).contains(&row));
    assert!(!rows(&["--filter", "dangling=true"]).contains(&row));
    assert!(rows(&["--filter", "label=no-such-label"]).is_empty());
    assert!(rows(&["-a"]).contains(&row));
    assert!(t.docker(&["images", "-q", "--no-trunc", repository]).ok() == id);
    assert_eq!(t.docker(&["images", "-q", repository]).ok(), &id["sha256:".len()..][..12]);
    let bad = http::encode(r#"{"nonsense":["x"]}"#);
    assert_eq!(t.daemon.http("GET", &format!("/images/json?filters={bad}"), None).error(400), "invalid filter 'nonsense'");
    t.docker(&["rmi", &name]).ok();
}

#[test]
fn list_fields_of_the_api() {
    let t = Scope::new();
    let list = t.daemon.http("GET", "/v1.44/images/json", None).json();
    let image = list.as_array().unwrap().iter().find(|i| i["RepoTags"] == json!(["busybox:latest"])).expect("busybox").clone();
    assert!(image["Id"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(image["ParentId"], "");
    assert_eq!(image["RepoDigests"], json!([]));
    assert_eq!(image["SharedSize"], -1);
    assert!(image["Size"].as_i64().unwrap() > 1_000_000);
    assert!(image["Created"].is_i64());
    assert!(image.get("Labels").is_some(), "there, null or an object");
}

#[test]
fn inspect_fields() {
    let t = Scope::new();
    let image = t.docker(&["image", "inspect", "busybox"]).json()[0].clone();
    assert!(image["Id"].as_str().is_some_and(|i| i.len() == 71));
    assert_eq!(image["RepoTags"], json!(["busybox:latest"]));
    assert_eq!(image["RepoDigests"], json!([]));
    assert_eq!(image["Os"], "linux");
    assert!(matches!(image["Architecture"].as_str(), Some("amd64" | "arm64")));
    assert_eq!(image["Config"]["Cmd"], json!(["sh"]));
    assert_eq!(image["Config"]["Env"][0], "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    assert_eq!(image["RootFS"]["Type"], "layers");
    assert_eq!(image["RootFS"]["Layers"].as_array().map(Vec::len), Some(1));
    assert_eq!(image["Created"], "1970-01-01T00:00:00Z");
    assert!(image["Size"].as_i64().unwrap() > 1_000_000);
    let id = image["Id"].as_str().unwrap();
    for name in ["busybox:latest", "docker.io/library/busybox", id, &id[7..], &id[7..19], &id[..30]] {
        assert_eq!(t.docker(&["image", "inspect", "-f", "{{.Id}}", name]).ok(), id, "{name}");
    }
    assert_eq!(t.daemon.http("GET", "/images/no-such/json", None).error(404), "No such image: no-such:latest");
    assert!(t.docker(&["image", "inspect", "no-such"]).fails(1).contains("No such image: no-such"));
}

#[test]
fn history() {
    let t = Scope::new();
    let list = t.daemon.http("GET", "/images/busybox/history", None).json();
    let rows = list.as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows[0]["Id"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(rows[1]["Id"], "<missing>");
    assert_eq!(rows[0]["Tags"], json!(["busybox:latest"]));
    assert_eq!(rows[1]["Tags"], Value::Null);
    assert_eq!(rows[0]["CreatedBy"], "CMD [\"sh\"]");
    assert_eq!(rows[0]["Size"], 0);
    assert!(rows[1]["Size"].as_i64().unwrap() > 1_000_000);
    let out = t.docker(&["history", "--format", "{{.CreatedBy}}", "--no-trunc", "busybox"]);
    assert_eq!(out.lines(), ["CMD [\"sh\"]", "ADD busybox-static of Debian in /"]);
    assert_eq!(t.daemon.http("GET", "/images/no-such/history", None).error(404), "No such image: no-such:latest");
}

#[test]
fn tag_and_untag() {
    let t = Scope::new();
    let (first, second) = (reference(&t, "a"), reference(&t, "b"));
    t.docker(&["tag", "busybox", &first]).ok();
    t.docker(&["tag", &first, &second]).ok();
    let id = t.docker(&["inspect", "-f", "{{.Id}}", "busybox"]).ok().to_owned();
    assert_eq!(t.docker(&["inspect", "-f", "{{.Id}}", &second]).ok(), id);
    let out = t.docker(&["rmi", &first]);
    assert_eq!(out.ok(), format!("Untagged: {first}"), "not deleted while other names hold it");
    assert!(t.docker(&["rmi", &first]).fails(1).contains(&format!("No such image: {first}")));
    t.docker(&["rmi", &second]).ok();
    assert!(t.docker(&["tag", "no-such", &first]).fails(1).contains("No such image: no-such"));
    let bad = t.daemon.http("POST", "/images/busybox/tag?repo=UPPER&tag=x", None);
    assert_eq!(bad.error(400), "invalid reference format: repository name (library/UPPER) must be lowercase");
    let bad = t.daemon.http("POST", "/images/busybox/tag?repo=ok&tag=not%20ok", None);
    assert!(bad.error(400).contains("invalid"), "{}", bad.text());
}

#[test]
fn removal_deletes_the_last_name() {
    let t = Scope::new();
    let (name, id) = own_image(&t, "gone");
    let out = t.docker(&["rmi", &name]);
    let lines = out.lines();
    assert_eq!(lines[0], format!("Untagged: {name}"));
    assert_eq!(lines[1], format!("Deleted: {id}"));
    assert!(lines[2].starts_with("Deleted: sha256:"), "its layer: {lines:?}");
    assert_eq!(t.daemon.http("GET", &format!("/images/{id}/json"), None).status, 404);
}

#[test]
fn removal_conflicts() {
    let t = Scope::new();
    let (name, id) = own_image(&t, "used");
    let container = t.docker(&["create", &name]).ok().to_owned();
    let text = t.docker(&["rmi", &name]).fails(1).to_owned();
    let short = &id["sha256:".len()..][..12];
    let expected = format!(
        "conflict: unable to remove repository reference \"{name}\" (must force) - container {} is using its referenced image {short}",
        &container[..12]
    );
    assert!(text.contains(&expected), "{text}\nnot {expected}");
    let second = reference(&t, "also");
    t.docker(&["tag", &name, &second]).ok();
    let text = t.docker(&["rmi", &id]).fails(1).to_owned();
    assert!(
        text.contains(&format!(
            "conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
        )) || text.contains("conflict: unable to delete"),
        "{text}"
    );
    t.docker(&["rm", &container]).ok();
    t.docker(&["rmi", "-f", &id]).ok();
    assert_eq!(t.daemon.http("DELETE", "/images/no-such", None).error(404), "No such image: no-such:latest");
}

#[test]
fn import_with_changes() {
    let t = Scope::new();
    let name = reference(&t, "imported");
    let changes = [
        "CMD [\"a\",\"b\"]",
        "ENTRYPOINT [\"e\"]",
        "ENV K=V",
        "WORKDIR /w",
        "USER u",
        "LABEL l=m",
        "EXPOSE 80",
        "STOPSIGNAL SIGINT",
        "VOLUME /v",
    ];
    let mut args = vec!["import"];
    for change in &changes {
        args.extend(["-c", change]);
    }
    args.extend(["-m", "a message", "-", &name]);
    let id = t.docker_with_input(&args, &rootfs("x")).ok().to_owned();
    let image = t.daemon.http("GET", &format!("/images/{id}/json"), None).json();
    let config = &image["Config"];
    assert_eq!(config["Cmd"], json!(["a", "b"]));
    assert_eq!(config["Entrypoint"], json!(["e"]));
    assert_eq!(config["Env"], json!(["K=V"]));
    assert_eq!(config["WorkingDir"], "/w");
    assert_eq!(config["User"], "u");
    assert_eq!(config["Labels"], json!({"l": "m"}));
    assert_eq!(config["ExposedPorts"], json!({"80/tcp": {}}));
    assert_eq!(config["StopSignal"], "SIGINT");
    assert_eq!(config["Volumes"], json!({"/v": {}}));
    assert_eq!(image["Comment"], "a message");
    t.docker(&["rmi", &name]).ok();
}

#[test]
fn save_and_load_bring_the_same_image() {
    let t = Scope::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("saved.tar");
    let path = file.to_str().unwrap();
    let (name, id) = own_image(&t, "saved");
    t.docker(&["save", "-o", path, &name]).ok();
    let names: Vec<String> = tar::Archive::new(std::fs::File::open(&file).unwrap())
        .entries()
        .unwrap()
        .map(|e| e.unwrap().path().unwrap().display().to_string())
        .collect();
    for wanted in ["manifest.json", "index.json", "oci-layout"] {
        assert!(names.iter().any(|n| n == wanted), "{wanted} in {names:?}");
    }
    t.docker(&["rmi", &name]).ok();
    assert_eq!(t.docker(&["load", "-i", path]).ok(), format!("Loaded image: {name}"));
    assert_eq!(t.docker(&["inspect", "-f", "{{.Id}}", &name]).ok(), id);
    let again = t.docker(&["load", "-q", "-i", path]);
    assert_eq!(again.ok(), format!("Loaded image: {name}"), "a second load is no error");
    // By id there is no name in the archive.
    t.docker(&["save", "-o", path, &id]).ok();
    t.docker(&["rmi", &name]).ok();
    assert_eq!(t.docker(&["load", "-i", path]).ok(), format!("Loaded image ID: {id}"));
    t.docker(&["rmi", &id]).ok();
    assert!(t.docker(&["save", "-o", path, "no-such"]).fails(1).contains("No such image: no-such"));
}

#[test]
fn save_several_in_one_archive() {
    let t = Scope::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("saved.tar");
    let path = file.to_str().unwrap();
    let (one, _) = own_image(&t, "one");
    let (two, _) = own_image(&t, "two");
    t.docker(&["save", "-o", path, &one, &two]).ok();
    t.docker(&["rmi", &one, &two]).ok();
    let mut loaded: Vec<String> = t.docker(&["load", "-i", path]).lines().iter().map(ToString::to_string).collect();
    loaded.sort();
    assert_eq!(loaded, [format!("Loaded image: {one}"), format!("Loaded image: {two}")]);
    t.docker(&["rmi", &one, &two]).ok();
}

#[test]
fn prune_takes_dangling_images_by_label() {
    let t = Scope::new();
    let label = format!("LABEL mark={}", t.mark);
    let id = t.docker_with_input(&["import", "-c", &label, "-"], &rootfs(&t.mark)).ok().to_owned();
    let filter = format!("label=mark={}", t.mark);
    assert_eq!(t.docker(&["images", "-q", "--no-trunc", "--filter", "dangling=true", "--filter", &filter]).ok(), id);
    let out = t.docker(&["image", "prune", "-f", "--filter", &filter]);
    assert!(out.ok().contains(&format!("deleted: {id}")) && out.stdout.contains("Total reclaimed space:"), "{}", out.stdout);
    let none = t.daemon.http(
        "POST",
        &format!("/images/prune?filters={}", http::encode(&format!("{{\"label\":[\"mark={}\"]}}", t.mark))),
        None,
    );
    assert_eq!(none.json(), json!({"ImagesDeleted": null, "SpaceReclaimed": 0}));
}

#[test]
fn an_image_without_a_command_needs_one() {
    let t = Scope::new();
    let name = reference(&t, "bare");
    t.docker_with_input(&["import", "-", &name], &rootfs("x")).ok();
    let out = t.docker(&["create", &name]);
    assert!(out.fails(1).contains("no command specified"), "{}", out.stderr);
    // And one whose command is not in it fails at the start.
    let out = t.docker(&["run", "--rm", "--network", "none", &name, "sh"]);
    assert!(out.fails(127).contains("executable file not found in $PATH"), "{}", out.stderr);
    t.docker(&["rmi", &name]).ok();
}
