//! `--mount type=image`: the files of an image in a container, read-only.

use docker_compat_tests::Scope;
use serde_json::{Value, json};

/// An image of this test; the scope's end does not know of it.
struct Image<'t> {
    t: &'t Scope,
    name: String,
    id: String,
}

impl<'t> Image<'t> {
    /// Of one layer with some files and links.
    fn new(t: &'t Scope, tag: &str) -> Self {
        let mut tar = tar::Builder::new(Vec::new());
        let header = |kind, mode, size| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_size(size);
            header.set_mtime(1);
            header
        };
        for dir in ["etc/", "etc/sub/"] {
            tar.append_data(&mut header(tar::EntryType::Directory, 0o755, 0), dir, &b""[..]).unwrap();
        }
        let mark = t.mark.as_bytes();
        tar.append_data(&mut header(tar::EntryType::Regular, 0o644, mark.len() as u64), "etc/sub/file", mark).unwrap();
        for (link, to) in [("etc/in", "sub"), ("etc/out", "/etc"), ("etc/up", "../../../../../../../../../etc")] {
            tar.append_link(&mut header(tar::EntryType::Symlink, 0o777, 0), link, to).unwrap();
        }
        let name = format!("compat-{}:{tag}", t.mark);
        let label = format!("LABEL mark={}", t.mark);
        let id = t.docker_with_input(&["import", "--change", &label, "-", &name], &tar.into_inner().unwrap()).ok().to_owned();
        Self { t, name, id }
    }

    fn mount(&self, at: &str) -> String {
        format!("type=image,source={},target={at}", self.name)
    }

    fn part(&self, subpath: &str) -> String {
        format!("{},image-subpath={subpath}", self.mount("/x"))
    }
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
        for id in self.t.containers() {
            self.t.daemon.docker(&["rm", "-f", "-v", &id]);
        }
        for image in [&self.name, &self.id] {
            self.t.daemon.docker(&["rmi", "-f", image]);
        }
    }
}

#[test]
fn the_files_are_there_and_read_only() {
    let t = Scope::new();
    let image = Image::new(&t, "1");
    let script = "cat /x/etc/sub/file; echo; (touch /x/new /x/etc/sub/file) 2>&1; grep -c ' /x overlay ro' /proc/mounts";
    let id =
        t.docker(&["create", "--network", "none", "--mount", &image.mount("/x"), "busybox", "sh", "-c", script]).ok().to_owned();
    // Started, and started again.
    for _ in 0..2 {
        let out = t.docker(&["start", "-a", &id]);
        let lines = out.lines();
        assert_eq!((lines[0], lines.last()), (t.mark.as_str(), Some(&"1")), "{}", out.stdout);
        assert_eq!(out.stdout.matches("Read-only file system").count(), 2, "{}", out.stdout);
    }
    // Whatever is asked.
    let writable = format!("{},readonly=false", image.mount("/x"));
    assert!(t.sh(&["--mount", &writable], "(touch /x/new) 2>&1; true").contains("Read-only file system"));
    let running = t.sleeper(&["--mount", &image.mount("/x")]);
    t.docker(&["restart", "-t", "5", &running]).ok();
    assert_eq!(t.docker(&["exec", &running, "cat", "/x/etc/sub/file"]).ok(), t.mark);
}

#[test]
fn it_is_shown_as_dockerd_shows_it() {
    let t = Scope::new();
    let image = Image::new(&t, "1");
    let id = t.docker(&["create", "--mount", &image.part("etc/sub"), "busybox"]).ok().to_owned();
    let shown = t.inspect(&id);
    let asked = json!([{"Type": "image", "Source": image.name, "Target": "/x", "ImageOptions": {"Subpath": "etc/sub"}}]);
    assert_eq!(shown["HostConfig"]["Mounts"], asked);
    let source = &shown["Mounts"][0]["Source"];
    assert!(source.as_str().is_some_and(|path| path.starts_with('/')), "{source}");
    let expected = json!([{
        "Type": "image", "Name": image.name, "Source": source, "Destination": "/x", "Mode": "", "RW": false, "Propagation": "rprivate",
    }]);
    assert_eq!(shown["Mounts"], expected);
    for filter in [format!("volume={}", image.name), "volume=/x".to_owned()] {
        let mine = format!("label=lighter.compat={}", t.mark);
        let found = t.docker(&["ps", "-aq", "--no-trunc", "--filter", &mine, "--filter", &filter]);
        assert_eq!(found.ok(), id, "{filter}");
    }
}

#[test]
fn an_image_of_several_layers() {
    let t = Scope::new();
    let base = Image::new(&t, "1");
    let name = t.name("base");
    let script = "rm /etc/passwd; rm -r /home; mkdir -p /made/deep /home; echo new >/made/deep/file";
    t.docker(&["run", "--name", &name, "--network", "none", "busybox", "sh", "-c", script]).ok();
    let id = t.docker(&["commit", &name, &format!("compat-{}:2", t.mark)]).ok().to_owned();
    let image = Image { t: &t, name: format!("compat-{}:2", t.mark), id };
    let look =
        "cat /x/made/deep/file; ls /x/etc/passwd 2>&1; ls -A /x/home; test -x /x/bin/busybox; echo $?; cat /y/etc/sub/file";
    let out = t.sh(&["--mount", &image.mount("/x"), "--mount", &base.mount("/y")], look);
    assert_eq!(out, format!("new\nls: /x/etc/passwd: No such file or directory\n0\n{}", t.mark));
}

#[test]
fn a_part_of_an_image() {
    let t = Scope::new();
    let image = Image::new(&t, "1");
    for (part, script) in [
        ("etc/sub", "cat /x/file"),
        ("etc/sub/", "cat /x/file"),
        ("etc/in", "cat /x/file"),
        ("etc/sub/file", "cat /x"),
        ("etc/in/../sub/file", "cat /x"),
        (".", "cat /x/etc/sub/file"),
    ] {
        assert_eq!(
            t.sh(&["--mount", &image.part(part)], &format!("{script}; (touch /x/new) 2>/dev/null; true")),
            t.mark,
            "{part}"
        );
    }
    // Nothing leads out of the image.
    for out in ["etc/out", "etc/up", "etc/out/sub", "etc/up/hostname"] {
        let run = t.docker(&[
            "run",
            "--rm",
            "--network",
            "none",
            "--mount",
            &image.part(out),
            "busybox",
            "ls",
            "-d",
            "/x/passwd",
            "/x/hostname",
        ]);
        assert_ne!(run.code, 0, "{out}: {}", run.stdout);
        assert_eq!(run.stdout, "", "{out}");
    }
    for bad in ["../x", "/abs", "etc/../../x"] {
        let run = t.docker(&["create", "--mount", &image.part(bad), "busybox"]);
        let words = "invalid mount config for type \"image\": subpath must be a relative path within the volume";
        assert!(run.fails(1).contains(words), "{}", run.stderr);
    }
    let missing = t.docker(&["run", "--rm", "--network", "none", "--mount", &image.part("etc/nothing"), "busybox", "true"]);
    let words = missing.fails(127);
    assert!(words.contains("cannot access path /") && words.contains("/etc/nothing: no such file or directory"), "{words}");
}

#[test]
fn the_image_is_in_use() {
    let t = Scope::new();
    let image = Image::new(&t, "1");
    let id = t
        .docker(&["create", "--network", "none", "--mount", &image.mount("/x"), "busybox", "cat", "/x/etc/sub/file"])
        .ok()
        .to_owned();
    let (container, short) = (&id[..12], &image.id[7..19]);
    let words = format!(
        "conflict: unable to remove repository reference \"{}\" (must force) - container {container} is using its referenced image {short}",
        image.name
    );
    assert!(t.docker(&["rmi", &image.name]).fails(1).contains(&words));
    // By its id dockerd takes it away.
    if t.daemon.is_lighter("it minds image mounts by name only") {
        let words =
            format!("conflict: unable to delete {short} (must be forced) - image is being used by stopped container {container}");
        assert!(t.docker(&["rmi", &image.id]).fails(1).contains(&words));
        let mark = format!("label=mark={}", t.mark);
        assert_eq!(t.docker(&["image", "prune", "-af", "--filter", &mark]).ok(), "Total reclaimed space: 0B");
        let running = t.sleeper(&["--mount", &image.mount("/x")]);
        let words = format!(
            "conflict: unable to delete {short} (cannot be forced) - image is being used by running container {}",
            &running[..12]
        );
        assert!(t.docker(&["rmi", "-f", &image.id]).fails(1).contains(&words));
        t.docker(&["rm", "-f", &running]).ok();
    }
    // By force the name goes, and what the container has stays.
    t.docker(&["rmi", "-f", &image.name]).ok();
    assert_eq!(t.docker(&["start", "-a", &id]).ok(), t.mark);
    t.docker(&["rm", &id]).ok();
    let missing = t.docker(&["create", "--pull", "never", "--mount", &image.mount("/x"), "busybox"]);
    assert!(missing.fails(1).contains(&format!("No such image: {}", image.name)), "{}", missing.stderr);
}

#[test]
fn a_name_that_moves_on_changes_nothing() {
    let t = Scope::new();
    let (one, other) = (Image::new(&t, "1"), format!("compat-{}:other", t.mark));
    let id = t
        .docker(&["create", "--network", "none", "--mount", &one.mount("/x"), "busybox", "cat", "/x/etc/sub/file"])
        .ok()
        .to_owned();
    t.docker(&["tag", &one.name, &other]).ok();
    t.docker(&["tag", "busybox", &one.name]).ok();
    assert_eq!(t.docker(&["start", "-a", &id]).ok(), t.mark);
    // By its id, too.
    let by_id = format!("type=image,source={},target=/x", one.id);
    assert_eq!(t.sh(&["--mount", &by_id], "cat /x/etc/sub/file"), t.mark);
    t.docker(&["rm", &id]).ok();
    t.docker(&["rmi", &other]).ok();
}

#[test]
fn files_go_out_and_none_in() {
    let t = Scope::new();
    let image = Image::new(&t, "1");
    let dir = tempfile::tempdir().unwrap();
    let mine = dir.path().join("mine");
    std::fs::write(&mine, "x").unwrap();
    let created = t.docker(&["create", "--mount", &image.part("etc"), "--mount", &image.mount("/y"), "busybox"]);
    // Of dockerd one container gets an image only once.
    let created = match created.code {
        0 => created.ok().to_owned(),
        _ => t.docker(&["create", "--mount", &image.part("etc"), "busybox"]).ok().to_owned(),
    };
    for id in [created, t.sleeper(&["--mount", &image.part("etc")])] {
        let to = dir.path().join("got");
        t.docker(&["cp", &format!("{id}:/x/in/file"), to.to_str().unwrap()]).ok();
        assert_eq!(std::fs::read_to_string(&to).unwrap(), t.mark);
        let refused = t.docker(&["cp", mine.to_str().unwrap(), &format!("{id}:/x/mine")]);
        assert!(refused.fails(1).contains("mounted volume is marked read-only"), "{}", refused.stderr);
        // Beside it they do go in.
        t.docker(&["cp", mine.to_str().unwrap(), &format!("{id}:/mine")]).ok();
        let diff = t.docker(&["diff", &id]);
        assert!(diff.lines().contains(&"A /mine") && !diff.stdout.contains("/x/"), "{}", diff.stdout);
    }
}

#[test]
fn another_container_may_have_it_too() {
    let t = Scope::new();
    let image = Image::new(&t, "1");
    let first = t.docker(&["create", "--mount", &image.mount("/x"), "busybox"]).ok().to_owned();
    assert_eq!(t.sh(&["--volumes-from", &first], "cat /x/etc/sub/file; (touch /x/new) 2>/dev/null; true"), t.mark);
    if t.daemon.is_lighter("there the files go with the first container") {
        let second = t
            .docker(&["create", "--network", "none", "--volumes-from", &first, "busybox", "cat", "/x/etc/sub/file"])
            .ok()
            .to_owned();
        t.docker(&["rm", &first]).ok();
        assert!(t.docker(&["rmi", &image.name]).fails(1).contains("is using its referenced image"));
        assert_eq!(t.docker(&["start", "-a", &second]).ok(), t.mark);
    }
}

#[test]
fn refusals_in_dockerds_words() {
    let t = Scope::new();
    let create = |version: &str, mount: &Value| {
        let body = json!({"Image": "busybox", "HostConfig": {"Mounts": [mount]}});
        t.daemon.http("POST", &format!("{version}/containers/create"), Some(&body.to_string()))
    };
    let config = "invalid mount config for type";
    for (mount, status, words) in [
        (json!({"Type": "image", "Target": "/x"}), 400, format!("{config} \"image\": field Source must not be empty")),
        (json!({"Type": "image", "Source": "busybox"}), 400, format!("{config} \"image\": field Target must not be empty")),
        (
            json!({"Type": "image", "Source": "busybox", "Target": "x"}),
            400,
            format!("{config} \"image\": invalid mount path: 'x' mount path must be absolute"),
        ),
        (
            json!({"Type": "image", "Source": "busybox", "Target": "/."}),
            400,
            format!("{config} \"image\": invalid specification: destination can't be '/'"),
        ),
        (
            json!({"Type": "image", "Source": "busybox", "Target": "/x", "BindOptions": {}}),
            400,
            "BindOptions must not be specified on mount type \"image\"".to_owned(),
        ),
        (
            json!({"Type": "image", "Source": "busybox", "Target": "/x", "VolumeOptions": {}}),
            400,
            "VolumeOptions must not be specified on mount type \"image\"".to_owned(),
        ),
        (
            json!({"Type": "image", "Source": "busybox", "Target": "/x", "TmpfsOptions": {}}),
            400,
            "TmpfsOptions must not be specified on mount type \"image\"".to_owned(),
        ),
        (
            json!({"Type": "bind", "Source": "/tmp", "Target": "/x", "VolumeOptions": {}}),
            400,
            "VolumeOptions must not be specified on mount type \"bind\"".to_owned(),
        ),
        (
            json!({"Type": "tmpfs", "Target": "/x", "ImageOptions": {"Subpath": "a"}}),
            400,
            format!("{config} \"tmpfs\": field ImageOptions must not be specified"),
        ),
        (
            json!({"Type": "image", "Source": "lighter-no-such", "Target": "/x"}),
            404,
            "No such image: lighter-no-such:latest".to_owned(),
        ),
        (
            json!({"Type": "image", "Source": "lighter-no-such", "Target": "/x", "ImageOptions": {"Subpath": ".."}}),
            400,
            format!("{config} \"image\": subpath must be a relative path within the volume"),
        ),
    ] {
        assert_eq!(create("/v1.48", &mount).error(status), words, "{mount}");
    }
    let early = create("/v1.47", &json!({"Type": "image", "Source": "busybox", "Target": "/x"}));
    assert_eq!(early.error(400), "Mount type \"Image\" needs API v1.48 or newer");
}
