use std::os::unix::fs::{FileTypeExt, MetadataExt};

use tar::EntryType;

use super::*;
use crate::fixtures::{Item, dir, file, hard_link, listing, node, root_or_skip, symlink, tar};
use crate::split::{SplitWriter, join};
use crate::tarball::Buffered;

struct Outcome {
    dir: tempfile::TempDir,
    result: Result<Unpacked>,
}

impl Outcome {
    fn root(&self) -> PathBuf {
        self.dir.path().join("fs")
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.root().join(name)).unwrap()
    }

    fn meta(&self, name: &str) -> std::fs::Metadata {
        self.root().join(name).symlink_metadata().unwrap()
    }

    fn opaque(&self, name: &str) -> bool {
        let mut value = [0; 8];
        rustix::fs::lgetxattr(self.root().join(name), "trusted.overlay.opaque", &mut value).is_ok()
    }

    fn is_whiteout(&self, name: &str) -> bool {
        let meta = self.meta(name);
        meta.file_type().is_char_device() && meta.rdev() == 0
    }
}

/// Unpacks, and proves that the split gives the same bytes back. A canary beside the root must stay what it is.
fn run_bytes(data: &[u8]) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("fs");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(dir.path().join("canary"), "safe").unwrap();
    let (split, side) = (dir.path().join("split"), dir.path().join("side"));
    let mut reader = TarReader::new(Buffered::new(data));
    reader.split = Some(SplitWriter::create(&split).unwrap());
    let result = unpack(&mut reader, &root, &side, &mut Budget::new(1 << 20, 1000));
    if result.is_ok() {
        reader.drain().unwrap();
        reader.into_parts().1.unwrap().finish().unwrap();
        let mut again = Vec::new();
        join(&split, &root, &side, &mut again).unwrap();
        assert!(again == data, "the split gives other bytes");
    }
    assert_eq!(std::fs::read_to_string(dir.path().join("canary")).unwrap(), "safe");
    assert!(listing(dir.path()).iter().all(|p| ["fs", "split", "side", "canary"].iter().any(|ok| p.starts_with(ok))));
    Outcome { dir, result }
}

fn run(items: impl IntoIterator<Item = Item>) -> Outcome {
    run_bytes(&tar(items))
}

#[test]
fn keeps_what_the_tar_says() {
    if !root_or_skip("keeps_what_the_tar_says") {
        return;
    }
    let outcome = run([
        dir("./").mode(0o700).owner(7, 8),
        dir("bin/").mode(0o1777),
        file("bin/su", "root").mode(0o4755).owner(5, 6).xattr("security.capability", &CAPABILITY),
        file("plain", "hello").xattr("user.note", b"x"),
        hard_link("bin/su2", "bin/su"),
        symlink("link", "/etc/passwd").owner(9, 9),
        node("null", EntryType::Char).mode(0o666),
        node("disk", EntryType::Block),
        node("pipe", EntryType::Fifo),
        file("deep/er/file", "implicit parents"),
    ]);
    let unpacked = outcome.result.as_ref().unwrap();
    assert_eq!(unpacked.root, Some(RootAttrs { mode: 0o700, uid: 7, gid: 8 }));
    assert_eq!(unpacked.size, 4 + 5 + 11 + 16);
    let su = outcome.meta("bin/su");
    assert_eq!((su.mode() & 0o7777, su.uid(), su.gid(), su.nlink(), su.mtime()), (0o4755, 5, 6, 2, 1_600_000_000));
    let mut capability = [0; 64];
    let n = rustix::fs::lgetxattr(outcome.root().join("bin/su"), "security.capability", &mut capability).unwrap();
    assert_eq!(capability[..n], CAPABILITY);
    assert_eq!((outcome.meta("bin").mode() & 0o7777, outcome.meta("bin").mtime()), (0o1777, 1_600_000_000));
    assert_eq!((outcome.meta("link").uid(), outcome.meta("link").mtime()), (9, 1_600_000_000));
    assert_eq!((outcome.meta("null").rdev(), outcome.meta("null").mode() & 0o777), (rustix::fs::makedev(1, 3), 0o666));
    assert!(outcome.meta("disk").file_type().is_block_device());
    assert!(outcome.meta("pipe").file_type().is_fifo());
    assert_eq!(outcome.meta("deep").mode() & 0o777, 0o755);
}

/// `cap_net_raw=ep`, version 2.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn whiteouts_become_what_overlayfs_knows() {
    if !root_or_skip("whiteouts_become_what_overlayfs_knows") {
        return;
    }
    let outcome = run([
        file(".wh.gone", ""),
        dir("d/"),
        file("d/.wh..wh..opq", ""),
        file("d/new", "n"),
        file("kept", "k"),
        file(".wh.kept", ""),
        file(".wh.later", ""),
        dir("later/"),
        dir("before/"),
        file(".wh.before", ""),
        file(".wh.parent", ""),
        file("parent/child", ""),
        file(".wh..wh.plnk/1.2", "aufs"),
    ]);
    outcome.result.as_ref().unwrap();
    assert!(outcome.is_whiteout("gone"));
    assert!(outcome.opaque("d") && outcome.opaque("later") && outcome.opaque("before") && outcome.opaque("parent"));
    assert_eq!(outcome.read("kept"), "k");
    assert_eq!(listing(&outcome.root()), ["before", "d", "d/new", "gone", "kept", "later", "parent", "parent/child"]);
}

#[test]
fn later_entries_win_and_the_split_still_has_the_earlier() {
    let outcome = run([
        file("a", "first"),
        file("a", "second!"),
        dir("tree/"),
        file("tree/x", "inside"),
        hard_link("y", "tree/x"),
        file("tree", "now a file"),
        symlink("s", "tree"),
        dir("s/"),
        file("s/f", "f"),
    ]);
    assert_eq!(outcome.result.as_ref().unwrap().size, 7 + 6 + 10 + 1);
    assert_eq!(
        (outcome.read("a"), outcome.read("y"), outcome.read("tree")),
        ("second!".into(), "inside".into(), "now a file".into())
    );
    assert!(outcome.meta("s").is_dir());
}

#[test]
fn names_cannot_leave_the_root() {
    for name in ["../canary", "a/../../canary", "..", "x/../..", ".wh...", ".wh..", ".wh."] {
        let outcome = run([dir("x/"), file(name, "evil")]);
        assert!(matches!(outcome.result, Err(Error::Archive(ArchiveError::BadName(_)))), "{name} {:?}", outcome.result);
    }
    // Absolute names are below the root; `..` that stays inside is cleaned.
    let outcome = run([file("/abs", "in"), dir("a/"), file("a/../b", "in")]);
    assert_eq!((outcome.read("abs"), outcome.read("b")), ("in".into(), "in".into()));
}

#[test]
fn links_do_not_lead_out() {
    // A link to an absolute path is followed, if at all, as the container would: below the layer's root.
    let outcome = run([symlink("out", "/"), file("out/canary", "inside"), symlink("up", "../../.."), file("up/c2", "x")]);
    assert_eq!((outcome.read("canary"), outcome.read("c2")), ("inside".into(), "x".into()));
    // Writing through a link as the last part replaces the link.
    let outcome = run([symlink("f", "../canary"), file("f", "evil")]);
    assert!(outcome.meta("f").is_file());
    for target in ["../canary", "../../etc/passwd", "out/canary", "/canary", "missing"] {
        let outcome = run([symlink("out", "../"), hard_link("h", target)]);
        assert!(matches!(outcome.result, Err(Error::Archive(_))), "{target}");
    }
    // A hard link to a link, then written through.
    let outcome = run([symlink("s", "../canary"), hard_link("h", "s"), file("h", "evil")]);
    outcome.result.as_ref().unwrap();
    // A directory whose time is set at the end, and that has become a link by then.
    let outcome = run([dir("d/"), dir("d/e/"), symlink("d", "/"), dir("tmp/")]);
    outcome.result.as_ref().unwrap();
    assert!(run([symlink("loop", "loop"), file("loop/x", "")]).result.is_err());
}

#[test]
fn attributes_of_overlayfs_itself_are_dropped() {
    if !root_or_skip("attributes_of_overlayfs_itself_are_dropped") {
        return;
    }
    let outcome = run([dir("d/").xattr("trusted.overlay.redirect", b"/etc").xattr("trusted.overlay.opaque", b"y")]);
    outcome.result.as_ref().unwrap();
    assert!(!outcome.opaque("d"));
}

#[test]
fn bombs_meet_a_bound() {
    let data = tar([file("big", vec![0; (1 << 20) + 1])]);
    assert!(matches!(run_bytes(&data).result, Err(Error::Archive(ArchiveError::TooLarge { .. }))));
    let outcome = run((0..1001).map(|n| dir(&format!("{n}/"))));
    assert!(matches!(outcome.result, Err(Error::Archive(ArchiveError::TooLarge { .. }))));
    let outcome = run([dir(&"d/".repeat(300))]);
    assert!(matches!(outcome.result, Err(Error::Archive(ArchiveError::BadName(_)))));
    // Deep by links rather than by its name.
    let deep = "d/".repeat(200);
    let outcome = run([dir(&deep), symlink("s", deep.trim_end_matches('/')), dir(&format!("s/{deep}"))]);
    assert!(outcome.result.is_err());
}

#[test]
fn sparse_files_stay_sparse() {
    let source = tempfile::tempdir().unwrap();
    let holes = std::fs::File::create(source.path().join("holes")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&holes, b"data", 8 << 20).unwrap();
    holes.set_len(16 << 20).unwrap();
    let mut gnu_tar = std::process::Command::new("tar");
    let output = gnu_tar.args(["--format=posix", "-ScC"]).arg(source.path()).arg("holes").output().unwrap();
    let outcome = run_bytes(&output.stdout);
    let meta = outcome.meta("holes");
    assert_eq!(meta.len(), 16 << 20);
    assert!(meta.blocks() * 512 < 1 << 20);
    assert_eq!(std::fs::read(outcome.root().join("holes")).unwrap()[8 << 20..][..4], *b"data");
}
