//! Containers and archives that want more than they may, while the host copies.

use docker_compat_tests::http::{Client, encode};
use docker_compat_tests::{Scope, eventually};
use std::fs;
use std::path::Path;

/// A file of the host's that no container may read or change.
const CANARY: &str = "the host's own";

/// A host directory with a canary in it, and its path.
fn canary() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("canary"), CANARY).unwrap();
    let path = dir.path().display().to_string();
    (dir, path)
}

#[track_caller]
fn unharmed(dir: &Path) {
    assert_eq!(fs::read_to_string(dir.join("canary")).unwrap(), CANARY);
    let names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["canary"], "something was made on the host");
}

fn entry(name: &str, kind: tar::EntryType, link: &str, content: &[u8]) -> (tar::Header, Vec<u8>) {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1);
    header.set_cksum();
    (header, content.to_vec())
}

fn archive(entries: Vec<(tar::Header, Vec<u8>)>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (header, content) in entries {
        builder.append(&header, content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn put(client: &mut Client, id: &str, path: &str, body: &[u8]) -> (u16, String) {
    let target = format!("/containers/{id}/archive?path={}", encode(path));
    let answer = client.request("PUT", &target, &[("Content-Type", "application/x-tar")], Some(body)).unwrap();
    (answer.status, answer.text())
}

#[test]
fn a_link_swapped_in_leads_nowhere() {
    let t = Scope::new();
    let (dir, path) = canary();
    // `x` is in turn a directory and a link to the root, as fast as the shell can.
    let script = "mkdir -p /race/dir; cd /race; ln -s / link; ln -s ../../../../../../../.. up; mv dir x; echo ready;
        while :; do mv x dir; mv link x; mv x link; mv up x; mv x up; mv dir x; done";
    let id = t.detached(&[], script);
    eventually("the race is on", || (t.docker(&["logs", &id]).stdout.contains("ready")).then_some(()));
    let mut client = Client::connect(&t.daemon.socket).unwrap();
    let evil = archive(vec![entry("canary", tar::EntryType::Regular, "", b"overwritten")]);
    let nested = format!("x{path}/canary");
    let below = archive(vec![entry(&nested, tar::EntryType::Regular, "", b"overwritten")]);
    let read = format!("/containers/{id}/archive?path={}", encode(&format!("/race/x{path}/canary")));
    let (mut answers, mut made) = (0, 0);
    for _ in 0..300 {
        let answer = client.get(&read).unwrap();
        assert!(!answer.text().contains(CANARY), "a file of the host's came out");
        answers += usize::from(answer.status == 404 || answer.status == 500);
        put(&mut client, &id, &format!("/race/x{path}"), &evil);
        made += usize::from(put(&mut client, &id, "/race", &below).0 == 200);
        unharmed(dir.path());
    }
    assert!(answers > 0 && made > 0, "the race took place: {answers} {made}");
}

#[test]
fn hostile_archives_stay_inside() {
    use tar::EntryType::{Block, Char, Directory, Link, Regular, Symlink};
    let t = Scope::new();
    let (dir, path) = canary();
    let id = t.sleeper(&[]);
    let up = format!("../../../../../../../..{path}");
    let file = |name: &str| entry(name, Regular, "", b"overwritten");
    let cases = [
        ("out by name", vec![file(&format!("{up}/canary"))]),
        ("absolute", vec![file(&format!("{path}/canary"))]),
        ("link, then file", vec![entry("s", Symlink, &path, b""), file("s/canary")]),
        ("relative link, then file", vec![entry("s", Symlink, &up, b""), file("s/canary")]),
        ("link, then directory", vec![entry("s", Symlink, &path, b""), entry("s/made", Directory, "", b"")]),
        ("directory over link", vec![entry("s", Symlink, &path, b""), entry("s", Directory, "", b""), file("s/canary")]),
        ("hard link out", vec![entry("h", Link, &format!("{path}/canary"), b""), file("h")]),
        ("hard link up", vec![entry("h", Link, &format!("{up}/canary"), b""), file("h")]),
        ("hard link through a link", vec![entry("s", Symlink, &path, b""), entry("h", Link, "s/canary", b""), file("h")]),
        ("file over link", vec![entry("c", Symlink, &format!("{path}/canary"), b""), file("c")]),
        ("whiteouts are names", vec![file(".wh.passwd"), file(".wh..wh..opq"), file("etc/.wh.passwd")]),
        ("devices", vec![entry("null", Char, "", b""), entry("disk", Block, "", b"")]),
    ];
    let mut client = Client::connect(&t.daemon.socket).unwrap();
    for (what, entries) in cases {
        for place in ["/tmp", "/"] {
            let (status, text) = put(&mut client, &id, place, &archive(entries.clone()));
            assert!(matches!(status, 200 | 400 | 404 | 500), "{what}: {status} {text}");
            unharmed(dir.path());
            if what == "out by name" {
                assert!(status != 200 && text.contains("invalid entry name"), "{what}: {text}");
            }
        }
        t.docker(&["exec", &id, "sh", "-c", "rm -rf /tmp/* /s /h /c"]).ok();
    }
    // The container's own files are there still.
    assert!(t.docker(&["exec", &id, "cat", "/etc/passwd"]).ok().contains("root:"));
}

#[test]
fn nothing_of_the_image_is_run() {
    let t = Scope::new();
    let (dir, path) = canary();
    let id = t.docker(&["create", "--network", "none", "busybox", "sleep", "1000"]).ok().to_owned();
    let script = format!("#!/bin/sh\ntouch /pwned {path}/pwned\nexec /bin/cat\n");
    let mut planted = Vec::new();
    for place in ["bin", "usr/bin", "sbin", "usr/sbin", "usr/local/bin"] {
        for program in ["xz", "unpigz", "gzip", "gunzip", "zstd", "bzip2", "tar", "getent"] {
            let (mut header, content) = entry(&format!("{place}/{program}"), tar::EntryType::Regular, "", script.as_bytes());
            header.set_mode(0o755);
            header.set_cksum();
            planted.push((header, content));
        }
    }
    for library in ["lib/libnss_files.so.2", "lib64/libnss_files.so.2", "usr/lib/x86_64-linux-gnu/libnss_files.so.2"] {
        planted.push(entry(library, tar::EntryType::Regular, "", b"\x7fELF not a library"));
    }
    let mut client = Client::connect(&t.daemon.socket).unwrap();
    assert_eq!(put(&mut client, &id, "/", &archive(planted)).0, 200);
    let plain = archive(vec![entry("x", tar::EntryType::Regular, "", b"x")]);
    let packed = |program: &str| {
        let mut child = std::process::Command::new(program)
            .arg("-c")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{program}: {e}"));
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), &plain).unwrap();
        child.wait_with_output().unwrap().stdout
    };
    for state in ["created", "running"] {
        if state == "running" {
            t.docker(&["start", &id]).ok();
        }
        for program in ["gzip", "xz", "bzip2"] {
            // Read or refused: not the point here.
            put(&mut client, &id, "/tmp", &packed(program));
        }
        put(&mut client, &id, "/tmp", &zstd::encode_all(plain.as_slice(), 1).unwrap());
        t.daemon.http("GET", &format!("/containers/{id}/archive?path=/etc"), None);
        unharmed(dir.path());
        assert_eq!(t.daemon.http("HEAD", &format!("/containers/{id}/archive?path=/pwned"), None).status, 404);
    }
}

#[test]
fn a_mount_point_swapped_in_leads_nowhere() {
    let t = Scope::new();
    let (dir, path) = canary();
    let shared = tempfile::tempdir().unwrap();
    let mounted = tempfile::tempdir().unwrap();
    fs::write(mounted.path().join("file"), "mounted").unwrap();
    let share = format!("{}:/shared", shared.path().display());
    // A neighbour with the same directory turns the way to the victim's mount point round and round.
    let script = format!(
        "mkdir -p /shared/dir/at; cd /shared; ln -s {path} link; mv dir x; echo ready;
        while :; do mv x dir; mv link x; mv x link; mv dir x; done"
    );
    let racer = t.detached(&["-v", &share], &script);
    eventually("the race is on", || (t.docker(&["logs", &racer]).stdout.contains("ready")).then_some(()));
    let inner = format!("{}:/shared/x/at", mounted.path().display());
    let id = t.docker(&["create", "--network", "none", "-v", &share, "-v", &inner, "busybox"]).ok().to_owned();
    let mut client = Client::connect(&t.daemon.socket).unwrap();
    let evil = archive(vec![entry("canary", tar::EntryType::Regular, "", b"overwritten")]);
    let mut good = 0;
    for _ in 0..100 {
        let answer = client.get(&format!("/containers/{id}/archive?path=/shared/x/at")).unwrap();
        assert!(!answer.text().contains(CANARY), "a file of the host's came out");
        good += usize::from(answer.status == 200 && answer.text().contains("mounted"));
        put(&mut client, &id, &format!("/shared/x{path}"), &evil);
        unharmed(dir.path());
    }
    assert!(good > 0, "the mount was reached now and then");
}

#[test]
fn copies_leave_no_mounts() {
    let t = Scope::new();
    let dir = tempfile::tempdir().unwrap();
    let bind = format!("{}:/var/run/bound", dir.path().display());
    let stopped = t.docker(&["create", "--network", "none", "-v", &bind, "busybox"]).ok().to_owned();
    let running = t.sleeper(&["-v", &bind]);
    let mut client = Client::connect(&t.daemon.socket).unwrap();
    let body = archive(vec![entry("x", tar::EntryType::Regular, "", b"x")]);
    for id in [&stopped, &running] {
        for path in ["/tmp", "/var/run/bound", "/nope"] {
            client.get(&format!("/containers/{id}/archive?path={path}")).unwrap();
            put(&mut client, id, path, &body);
        }
        // A client that goes away in the middle.
        let mut gone = Client::connect(&t.daemon.socket).unwrap();
        gone.send("GET", &format!("/containers/{id}/archive?path=/"), &[], None).unwrap();
        gone.head().unwrap();
    }
    let of = |pid: &str| fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    eventually("only the running container has mounts of ours", || {
        let own = of("self").lines().filter(|l| l.contains(&dir.path().display().to_string())).count();
        let daemons = if t.daemon.kind == docker_compat_tests::Kind::Lighter {
            let all = of(&t.daemon.pid().to_string());
            all.lines().filter(|l| l.contains(&*t.daemon.roots.as_ref().unwrap().to_string_lossy())).count()
        } else {
            0
        };
        (own == 0 && daemons == 0).then_some(())
    });
    if t.daemon.kind == docker_compat_tests::Kind::Lighter {
        let threads = format!("/proc/{}/task", t.daemon.pid());
        eventually("no thread holds a view", || {
            let names = fs::read_dir(&threads).unwrap().flatten();
            let held =
                names.filter(|e| fs::read_to_string(e.path().join("comm")).is_ok_and(|name| name.trim() == "container-view"));
            (held.count() == 0).then_some(())
        });
    }
}
