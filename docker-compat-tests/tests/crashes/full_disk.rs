//! A full disk: requests fail with words, and what there is stays usable.

use std::path::{Path, PathBuf};
use std::process::Command;

use docker_compat_tests::daemon::scratch;
use docker_compat_tests::recipe::{Packing, Recipe, noise, tar_of};
use docker_compat_tests::registry::Registry;
use docker_compat_tests::{Daemon, eventually};

/// A file system of its own, unmounted in the end.
struct Disk(PathBuf);

impl Disk {
    fn new(at: &Path, size: &str) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let options = format!("size={size},mode=711");
        assert!(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "lighter-test"]).arg(at).status().unwrap().success());
        Self(at.to_path_buf())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// An image archive whose one layer has a file of that size.
fn archive(tag: &str, size: usize) -> Vec<u8> {
    let file = |builder: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, name, bytes).unwrap();
    };
    let mut layer = tar::Builder::new(Vec::new());
    let junk: Vec<u8> = (0..size).map(|n| ((n * 2_654_435_761) >> 7) as u8).collect();
    file(&mut layer, "junk", &junk);
    let layer = layer.into_inner().unwrap();
    let id = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&layer));
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["sha256:{id}"]}}}}"#
    );
    let manifest = format!(r#"[{{"Config":"c.json","RepoTags":["{tag}"],"Layers":["l.tar"]}}]"#);
    let mut outer = tar::Builder::new(Vec::new());
    file(&mut outer, "c.json", config.as_bytes());
    file(&mut outer, "l.tar", &layer);
    file(&mut outer, "manifest.json", manifest.as_bytes());
    outer.into_inner().unwrap()
}

#[test]
fn a_pull_that_does_not_fit() {
    if std::env::var("LIGHTER_COMPAT_HOST").is_ok_and(|h| !h.is_empty()) {
        return;
    }
    let registry = Registry::start();
    let image = |repository: &str, packing, sizes: &[usize]| {
        let layer = |(n, size): (usize, &usize)| (tar_of(&[(&format!("f{n}"), &noise(n as u64 + 1, *size))]), packing);
        Recipe::new(true, sizes.iter().enumerate().map(layer).collect()).put(&registry, repository, "latest");
    };
    // The download does not fit; it does, but not what is in it; many of them do not fit together; one that does.
    image("long", Packing::Gzip, &[60 << 20]);
    image("wide", Packing::Zstd, &[26 << 20]);
    image("many", Packing::Gzip, &[9 << 20, 9 << 20, 9 << 20, 9 << 20]);
    image("fits", Packing::Gzip, &[8 << 20, 4 << 20]);
    let roots = scratch("pulldisk");
    let disk = Disk::new(&roots.join("data"), "48m");
    let daemon = Daemon::start_in(&roots, &[]);
    for repository in ["long", "wide", "many"] {
        let out = daemon.docker(&["pull", &registry.name(repository)]);
        assert!(out.fails(1).contains("no space left on device"), "{repository}: {out:?}");
        assert_eq!(daemon.docker(&["images", "-aq"]).ok(), "", "{repository}");
        assert_eq!(daemon.http("GET", "/_ping", None).status, 200);
    }
    // All of it is given back.
    daemon.docker(&["pull", "-q", &registry.name("fits")]).ok();
    daemon.docker(&["rmi", &registry.name("fits")]).ok();
    for part in ["partial", "layers", "splits", "tmp", "blobs/sha256"] {
        let dir = roots.join("data/image").join(part);
        // A layer whose download was called off as it began may leave an empty file, which takes no room.
        let begun = |entry: &std::fs::DirEntry| part == "partial" && entry.metadata().is_ok_and(|m| m.len() == 0);
        let left = || std::fs::read_dir(&dir).unwrap().flatten().filter(|entry| !begun(entry)).count();
        eventually(&format!("nothing is left in {part}"), || (left() == 0).then_some(()));
    }
    drop(daemon);
    drop(disk);
}

#[test]
fn a_load_that_does_not_fit() {
    if std::env::var("LIGHTER_COMPAT_HOST").is_ok_and(|h| !h.is_empty()) {
        return;
    }
    let roots = scratch("disk");
    let disk = Disk::new(&roots.join("data"), "48m");
    let daemon = Daemon::start_in(&roots, &[]).with_busybox();
    let out = daemon.docker_with_input(&["load"], &archive("big:1", 80 << 20));
    assert!(out.code != 0 && out.stderr.to_lowercase().contains("no space left on device"), "{out:?}");
    assert_eq!(daemon.docker(&["images", "-q"]).lines().len(), 1, "nothing of it is listed");
    // Its room is free again: something smaller fits, and containers run.
    assert_eq!(daemon.docker_with_input(&["load", "-q"], &archive("small:1", 10 << 20)).ok(), "Loaded image: small:1");
    assert_eq!(daemon.docker(&["run", "--rm", "--network", "none", "busybox", "echo", "fine"]).ok(), "fine");
    // A container that fills the disk (not before its start is recorded) gets the error itself, and the daemon lives on.
    let out = daemon.docker(&[
        "run",
        "--network",
        "none",
        "--name",
        "filler",
        "busybox",
        "sh",
        "-c",
        "sleep 1; dd if=/dev/zero of=/fill bs=1M count=200; exit 5",
    ]);
    assert_eq!(out.code, 5, "{out:?}");
    assert_eq!(daemon.http("GET", "/_ping", None).status, 200);
    daemon.docker(&["rm", "-f", "filler"]).ok();
    assert_eq!(daemon.docker(&["run", "--rm", "--network", "none", "busybox", "echo", "again"]).ok(), "again");
    drop(daemon);
    drop(disk);
}
