//! `docker cp` and the archive endpoints below it.

use docker_compat_tests::http::{Client, Response, encode};
use docker_compat_tests::{Scope, eventually};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

/// Entries of a tar, as (name, type flag, content or link).
type Entries = Vec<(String, u8, String)>;

fn put(t: &Scope, id: &str, query: &str, body: &[u8]) -> Response {
    let path = format!("/containers/{id}/archive?{query}");
    Client::connect(&t.daemon.socket)
        .and_then(|mut c| c.request("PUT", &path, &[("Content-Type", "application/x-tar")], Some(body)))
        .unwrap()
}

fn get(t: &Scope, id: &str, path: &str) -> Response {
    t.daemon.http("GET", &format!("/containers/{id}/archive?path={}", encode(path)), None)
}

#[track_caller]
fn entries(answer: &Response) -> Entries {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/x-tar"));
    let mut archive = tar::Archive::new(answer.body.as_slice());
    let mut all: Entries = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let kind = entry.header().entry_type().as_byte();
            let mut text = String::new();
            match entry.link_name_bytes() {
                Some(link) => text = String::from_utf8(link.into_owned()).unwrap(),
                None => drop(entry.read_to_string(&mut text)),
            }
            (name, kind, text)
        })
        .collect();
    all.sort();
    all
}

fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        if name.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o750);
        } else {
            header.set_mode(0o640);
        }
        header.set_size(content.len() as u64);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1_600_000_000);
        builder.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A running container with one of everything below `/d`.
fn furnished(t: &Scope, flags: &[&str]) -> String {
    let script =
        "mkdir -p /d/sub; echo hi >/d/f; chown 3:4 /d/f; chmod 4755 /d/f; ln -s f /d/l; ln -s /d /ld; ln -s nowhere /broken;
        ln -s /etc/passwd /d/abs; ln /d/f /d/hard; mkfifo /d/fifo; echo ready; while :; do sleep 1000; done";
    let id = t.detached(flags, script);
    eventually("the script has run", || (t.docker(&["logs", &id]).stdout.contains("ready")).then_some(()));
    id
}

#[test]
fn cp_in_every_state() {
    let t = Scope::new();
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("in/deep")).unwrap();
    std::fs::write(dir.path().join("in/deep/file"), "content\n").unwrap();
    std::os::unix::fs::symlink("deep/file", dir.path().join("in/link")).unwrap();
    let source = dir.path().join("in").display().to_string();
    let id = t.docker(&["create", "--network", "none", "busybox", "sleep", "1000"]).ok().to_owned();
    for state in ["created", "running", "paused", "exited"] {
        match state {
            "running" => drop(t.docker(&["start", &id]).ok().to_owned()),
            "paused" => drop(t.docker(&["pause", &id]).ok().to_owned()),
            "exited" => {
                t.docker(&["unpause", &id]).ok();
                t.docker(&["kill", &id]).ok();
            }
            _ => {}
        }
        assert_eq!(t.inspect(&id)["State"]["Status"], state);
        t.docker(&["cp", &source, &format!("{id}:/tmp/{state}")]).ok();
        let back = dir.path().join(state);
        t.docker(&["cp", &format!("{id}:/tmp/{state}"), &back.display().to_string()]).ok();
        assert_eq!(std::fs::read_to_string(back.join("deep/file")).unwrap(), "content\n", "{state}");
        assert_eq!(std::fs::read_link(back.join("link")).unwrap().to_str(), Some("deep/file"), "{state}");
    }
    // All of it is in the container, and stays there through the next start.
    t.docker(&["start", &id]).ok();
    let seen = t.docker(&["exec", &id, "sh", "-c", "cat /tmp/*/deep/file | wc -l"]);
    assert_eq!(seen.ok().trim(), "4");
}

#[test]
fn cp_by_the_cli_keeps_its_rules() {
    let t = Scope::new();
    let id = furnished(&t, &[]);
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    // A directory's contents, a link as itself, a link followed.
    std::fs::create_dir(at("dest")).unwrap();
    t.docker(&["cp", &format!("{id}:/d/."), &at("dest")]).ok();
    assert_eq!(std::fs::read_to_string(at("dest/f")).unwrap(), "hi\n");
    t.docker(&["cp", &format!("{id}:/d/l"), &at("as-link")]).ok();
    assert_eq!(std::fs::read_link(at("as-link")).unwrap().to_str(), Some("f"));
    t.docker(&["cp", "-L", &format!("{id}:/d/l"), &at("followed")]).ok();
    assert_eq!(std::fs::read_to_string(at("followed")).unwrap(), "hi\n");
    t.docker(&["cp", "-a", &format!("{id}:/d/f"), &at("moded")]).ok();
    assert_eq!(std::fs::metadata(at("moded")).unwrap().permissions().mode() & 0o7777, 0o4755);
    // Out to standard output, in from standard input.
    let tar = t.docker(&["cp", &format!("{id}:/d/f"), "-"]);
    assert_eq!(tar.code, 0);
    let stream = tar_of(&[("from-stdin", "x")]);
    assert_eq!(t.docker_with_input(&["cp", "-", &format!("{id}:/tmp")], &stream).code, 0);
    assert_eq!(t.docker(&["exec", &id, "cat", "/tmp/from-stdin"]).ok(), "x");
    // What is not there.
    let text = t.docker(&["cp", &format!("{id}:/nope"), &at("x")]);
    assert!(text.fails(1).contains(&format!("Could not find the file /nope in container {id}")), "{}", text.stderr);
    let text = t.docker(&["cp", &at("dest"), &format!("{id}:/nope/deeper/x")]);
    assert!(text.fails(1).contains("Could not find the file"), "{}", text.stderr);
}

#[test]
fn what_an_archive_holds() {
    let t = Scope::new();
    let id = furnished(&t, &[]);
    let named = |base: &str| {
        let at = |name: &str, kind: u8, text: &str| (format!("{base}/{name}"), kind, text.to_owned());
        let first = format!("{base}/f");
        vec![
            (format!("{base}/"), b'5', String::new()),
            at("abs", b'2', "/etc/passwd"),
            at("f", b'0', "hi\n"),
            at("fifo", b'6', ""),
            at("hard", b'1', &first),
            at("l", b'2', "f"),
            at("sub/", b'5', ""),
        ]
    };
    for (path, base) in [("/d", "d"), ("/d/", "d"), ("/d/.", "."), ("/ld/", "ld"), ("/ld/.", "."), ("/d/../d", "d"), ("d", "d")] {
        let mut found = entries(&get(&t, &id, path));
        // Of two names of a file, the first one met is the file.
        if let Some(hard) = found.iter().position(|(n, k, _)| n.ends_with("/hard") && *k == b'0') {
            found[hard] = (format!("{base}/hard"), b'1', format!("{base}/f"));
            let at = found.iter().position(|(n, ..)| n.ends_with("/f")).unwrap();
            found[at] = (format!("{base}/f"), b'0', "hi\n".into());
        }
        assert_eq!(found, named(base), "{path}");
    }
    assert_eq!(entries(&get(&t, &id, "/d/f")), [("f".to_owned(), b'0', "hi\n".to_owned())]);
    assert_eq!(entries(&get(&t, &id, "/ld")), [("ld".to_owned(), b'2', "/d".to_owned())]);
    let root = entries(&get(&t, &id, "/"));
    assert!(root.iter().any(|(n, k, _)| n == "/etc/passwd" && *k == b'0'), "{:?}", &root[..5]);
    // The kernel's file systems are not the container's files.
    assert!(!root.iter().any(|(n, ..)| n.starts_with("/proc/1/")));
    get(&t, &id, "/proc/1/environ").error(404);
}

#[test]
fn the_header_tells_of_the_file() {
    let t = Scope::new();
    let id = furnished(&t, &[]);
    let stat = |path: &str| {
        let answer = t.daemon.http("HEAD", &format!("/containers/{id}/archive?path={}", encode(path)), None);
        assert_eq!(answer.status, 200, "{path}");
        let header = answer.header("x-docker-container-path-stat").expect("the header is there").to_owned();
        let bytes = base64_decode(&header);
        let stat: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert!(stat["mtime"].as_str().unwrap().ends_with('Z'));
        (
            stat["name"].as_str().unwrap().to_owned(),
            stat["mode"].as_u64().unwrap(),
            stat["linkTarget"].as_str().unwrap().to_owned(),
            stat["size"].as_u64().unwrap(),
        )
    };
    let is = |name: &str, mode: u64, link: &str| (name.to_owned(), mode, link.to_owned());
    for (path, expected) in [
        ("/d", is("d", 0x8000_01ed, "")),
        ("/d/.", is(".", 0x8000_01ed, "")),
        ("/d/f", is("f", 0x0080_01ed, "")),
        ("/d/l", is("l", 0x0800_01ff, "/d/f")),
        ("/ld", is("ld", 0x0800_01ff, "/d")),
        ("/ld/", is("ld", 0x8000_01ed, "")),
        ("/broken", is("broken", 0x0800_01ff, "/nowhere")),
        ("/d/abs", is("abs", 0x0800_01ff, "/etc/passwd")),
        ("/", is("/", 0x8000_01ed, "")),
    ] {
        let (name, mode, link, _) = stat(path);
        assert_eq!((name, mode, link), expected, "{path}");
    }
    assert_eq!(stat("/d/f").3, 3);
    assert_eq!(t.daemon.http("HEAD", &format!("/containers/{id}/archive?path=/nope"), None).status, 404);
    assert_eq!(t.daemon.http("HEAD", "/containers/no-such/archive?path=/", None).status, 404);
}

fn base64_decode(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let sextets: Vec<u8> = text.bytes().filter(|c| *c != b'=').map(value).collect();
    let joined = |four: &[u8]| four.iter().fold(0_u32, |n, s| n << 6 | u32::from(*s)) << (6 * (4 - four.len()));
    sextets.chunks(4).flat_map(|four| joined(four).to_be_bytes()[1..four.len()].to_vec()).collect()
}

#[test]
fn refusals_in_dockerds_words() {
    let t = Scope::new();
    let id = furnished(&t, &[]);
    let tar = tar_of(&[("x", "1")]);
    let is = |answer: Response, status, text: &str| assert_eq!(answer.error(status), text);
    is(get(&t, &id, ""), 400, "bad parameter: pathcannot be empty");
    is(get(&t, &id, "/nope"), 404, &format!("Could not find the file /nope in container {id}"));
    is(get(&t, &id, "/d/f/"), 500, "lstat /d/f/: not a directory");
    is(get(&t, "no-such-one", "/"), 404, "No such container: no-such-one");
    is(put(&t, &id, "path=", &tar), 400, "bad parameter: pathcannot be empty");
    is(put(&t, &id, "path=/nope", &tar), 404, &format!("Could not find the file /nope in container {id}"));
    is(put(&t, &id, "path=/d/f", &tar), 400, "extraction point is not a directory");
    is(put(&t, &id, "path=/tmp", b"not an archive at all"), 500, "unexpected EOF");
    is(put(&t, &id, "path=/tmp", &[b'x'; 2048]), 500, "archive/tar: invalid tar header");
    is(put(&t, &id, "path=/tmp", &tar[..700.min(tar.len())][..300]), 500, "unexpected EOF");
    assert_eq!(put(&t, &id, "path=/tmp", b"").status, 200);
    // A directory and something else do not take each other's place, if so asked.
    t.docker(&["exec", &id, "sh", "-c", "mkdir /tmp/dir; echo >/tmp/file"]).ok();
    let answer = put(&t, &id, "path=/tmp&noOverwriteDirNonDir=1", &tar_of(&[("dir", "x")]));
    is(answer, 500, "cannot overwrite directory \"dir\" with non-directory \"/tmp\"");
    let answer = put(&t, &id, "path=/tmp&noOverwriteDirNonDir=1", &tar_of(&[("file/", "")]));
    assert!(answer.error(500).starts_with("cannot overwrite non-directory \"file"));
    // Without, they do.
    assert_eq!(put(&t, &id, "path=/tmp", &tar_of(&[("dir", "x"), ("file/", "")])).status, 200);
    assert_eq!(t.docker(&["exec", &id, "sh", "-c", "cat /tmp/dir; stat -c %F /tmp/file"]).ok(), "xdirectory");
}

#[test]
fn read_only_places_are_refused() {
    let t = Scope::new();
    let dir = tempfile::tempdir().unwrap();
    let bind = |rest: &str| format!("{}:{rest}", dir.path().display());
    let tar = tar_of(&[("x", "1")]);
    let ro = "mounted volume is marked read-only";
    let args = ["--network", "none", "-v", &bind("/ro:ro"), "-v", &bind("/rw")];
    let running = t.sleeper(&args);
    let created = t.docker(&[&["create"], &args[..], &["busybox"]].concat()).ok().to_owned();
    for id in [&running, &created] {
        assert_eq!(put(&t, id, "path=/ro", &tar).error(400), ro);
        assert!(!dir.path().join("x").exists());
    }
    let args = ["--network", "none", "--read-only", "-v", &bind("/rw")];
    let running = t.sleeper(&args);
    let created = t.docker(&[&["create"], &args[..], &["busybox"]].concat()).ok().to_owned();
    for id in [&running, &created] {
        assert_eq!(put(&t, id, "path=/etc", &tar).error(400), "container rootfs is marked read-only");
        assert_eq!(put(&t, id, "path=/rw", &tar).status, 200);
        std::fs::remove_file(dir.path().join("x")).expect("it went through the bind");
    }
}

#[test]
fn through_binds_in_every_state() {
    let t = Scope::new();
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    std::fs::write(dir.path().join("sub/file"), "of the host").unwrap();
    // One inside the other, one below a link of the image's, one file.
    let at = |name: &str| dir.path().join(name).display().to_string();
    let inner = format!("{}:/data/inner", at("sub"));
    let run = format!("{}:/var/run/bound", at("sub"));
    let file = format!("{}:/etc/one", at("sub/file"));
    let outer = format!("{}:/data", at("."));
    let flags = ["--network", "none", "-v", &outer, "-v", &inner, "-v", &run, "-v", &file];
    let id = t.docker(&[&["create"], &flags[..], &["busybox", "sleep", "1000"]].concat()).ok().to_owned();
    for state in ["created", "running", "exited"] {
        match state {
            "running" => drop(t.docker(&["start", &id]).ok().to_owned()),
            "exited" => drop(t.docker(&["kill", &id]).ok().to_owned()),
            _ => {}
        }
        for path in ["/data/sub/file", "/data/inner/file", "/var/run/bound/file"] {
            assert_eq!(entries(&get(&t, &id, path)), [("file".to_owned(), b'0', "of the host".to_owned())], "{state} {path}");
        }
        assert_eq!(entries(&get(&t, &id, "/etc/one"))[0].2, "of the host", "{state}");
        assert_eq!(put(&t, &id, "path=/data/inner", &tar_of(&[(state, "in")])).status, 200, "{state}");
        assert_eq!(std::fs::read_to_string(dir.path().join("sub").join(state)).unwrap(), "in");
    }
}

#[test]
fn through_a_tmpfs_of_a_running_container() {
    let t = Scope::new();
    if !t.daemon.is_lighter("dockerd does not look into tmpfs") {
        return;
    }
    let id = t.sleeper(&["--tmpfs", "/scratch", "--read-only"]);
    assert_eq!(put(&t, &id, "path=/scratch", &tar_of(&[("x", "1")])).status, 200);
    assert_eq!(t.docker(&["exec", &id, "cat", "/scratch/x"]).ok(), "1");
    assert_eq!(entries(&get(&t, &id, "/scratch/x")), [("x".to_owned(), b'0', "1".to_owned())]);
}

#[test]
fn compressed_bodies() {
    use std::io::Write;
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let plain = tar_of(&[("zip/", ""), ("zip/file", "unpacked")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    for body in [plain.clone(), gzip.finish().unwrap(), zstd::encode_all(plain.as_slice(), 3).unwrap()] {
        assert_eq!(put(&t, &id, "path=/tmp", &body).status, 200);
        let seen = t.docker(&["exec", &id, "sh", "-c", "stat -c '%u %g %a %Y' /tmp/zip/file; cat /tmp/zip/file; rm -r /tmp/zip"]);
        assert_eq!(seen.ok(), "7 8 640 1600000000\nunpacked");
    }
    if t.daemon.is_lighter("it knows these two, by programs or by libraries") {
        for (name, start) in [("bzip2", &b"BZh91AY&SY"[..]), ("xz", b"\xfd7zXZ\0\0\x04")] {
            let text = put(&t, &id, "path=/tmp", start).error(500);
            assert!(text.contains(&format!("{name}-compressed archives are not supported")), "{text}");
        }
    }
}

#[test]
fn owners_of_what_is_copied_in() {
    let t = Scope::new();
    let tar = tar_of(&[("x", "1")]);
    for (user, own, expected) in
        [("1000:1001", true, "1000 1001"), ("daemon", true, "1 1"), ("daemon", false, "7 8"), ("", true, "7 8")]
    {
        let id = t.sleeper(&["--user", user]);
        let query = if own { "path=/tmp&copyUIDGID=true" } else { "path=/tmp" };
        assert_eq!(put(&t, &id, query, &tar).status, 200, "{user}");
        assert_eq!(t.docker(&["exec", &id, "stat", "-c", "%u %g", "/tmp/x"]).ok(), expected, "{user} {own}");
    }
    let id = t.docker(&["create", "--user", "nobody-here", "busybox"]).ok().to_owned();
    let text = put(&t, &id, "path=/tmp&copyUIDGID=1", &tar).error(400);
    assert_eq!(text, "failed to look up user \"nobody-here\" in container: no matching entries in passwd file");
}

#[test]
fn copies_are_told() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let events = t.spawn(&["events", "--filter", &format!("container={id}"), "--format", "{{.Action}}"]);
    // Events are awaited from before the first that counts.
    eventually("the listener listens", || {
        get(&t, &id, "/etc/passwd");
        events.stdout().contains("archive-path").then_some(())
    });
    put(&t, &id, "path=/tmp", &tar_of(&[("x", "1")]));
    events.wait_for("extract-to-dir");
}

#[test]
fn a_large_file_streams_both_ways() {
    let t = Scope::new();
    let id = t.sleeper(&[]);
    let make = "dd if=/dev/urandom of=/tmp/big bs=1M count=64 2>/dev/null; sha256sum </tmp/big";
    let sum = t.docker(&["exec", &id, "sh", "-c", make]).ok().to_owned();
    let tar = t.daemon.http("GET", &format!("/containers/{id}/archive?path=/tmp/big"), None);
    assert_eq!(tar.status, 200);
    t.docker(&["exec", &id, "mkdir", "/tmp/back"]).ok();
    assert_eq!(put(&t, &id, "path=/tmp/back", &tar.body).status, 200);
    assert_eq!(t.docker(&["exec", &id, "sh", "-c", "sha256sum </tmp/back/big"]).ok(), sum);
}
