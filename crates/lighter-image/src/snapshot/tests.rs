use std::os::unix::fs::MetadataExt;

use super::*;
use crate::fixtures::{root_or_skip, store, tar};
use crate::state::RootAttrs;

fn stack() -> LayerStack {
    LayerStack { dirs: Vec::new(), root: RootAttrs::default() }
}

#[test]
fn prepares_lists_and_removes() {
    let root = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(root.path()).unwrap();
    let paths = snapshots.prepare("c1", &stack()).unwrap();
    assert_eq!(paths.upper.metadata().unwrap().mode() & 0o7777, 0o755);
    assert!(matches!(snapshots.prepare("c1", &stack()), Err(Error::SnapshotExists(_))));
    snapshots.prepare("c2", &stack()).unwrap();
    assert_eq!(snapshots.paths("c1").unwrap().work, paths.work);
    assert!(snapshots.paths("c3").is_none());
    std::fs::write(paths.upper.join("f"), "12345").unwrap();
    std::fs::hard_link(paths.upper.join("f"), paths.upper.join("g")).unwrap();
    std::fs::create_dir(paths.upper.join("d")).unwrap();
    std::os::unix::fs::symlink("abc", paths.upper.join("d/l")).unwrap();
    assert_eq!(snapshots.size_rw("c1").unwrap(), 8);
    assert!(snapshots.size_rw("c3").is_err());
    snapshots.remove("c1").unwrap();
    snapshots.remove("c1").unwrap();
    assert_eq!(snapshots.list().unwrap(), ["c2"]);
    for bad in ["", ".", "..", ".trash", "a/b", "../x", "a\0b"] {
        assert!(matches!(snapshots.prepare(bad, &stack()), Err(Error::BadSnapshotId(_))), "{bad:?}");
        assert!(snapshots.remove(bad).is_err() && snapshots.paths(bad).is_none());
    }
    drop(snapshots);
    assert_eq!(crate::fixtures::listing(root.path()), [".trash", "c2", "c2/upper", "c2/work"]);
}

#[test]
fn the_root_directory_is_as_the_image_wants_it() {
    if !root_or_skip("the_root_directory_is_as_the_image_wants_it") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(root.path()).unwrap();
    let attrs = RootAttrs { mode: 0o1711, uid: 3, gid: 4 };
    let paths = snapshots.prepare("c", &LayerStack { root: attrs, ..stack() }).unwrap();
    let meta = paths.upper.metadata().unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (0o1711, 3, 4));
}

/// The whole way: archive, layers, writable layer, and what the kernel makes of it.
#[test]
fn overlayfs_shows_the_image() {
    use crate::fixtures::{config, dir, docker_archive, file, gzip, symlink};
    if !root_or_skip("overlayfs_shows_the_image") {
        return;
    }
    // A file system of its own: the machine's may be an overlay that cannot hold another.
    let disk = tempfile::tempdir().unwrap();
    rustix::mount::mount("tmpfs", disk.path(), "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
    let _unmount = Unmount(disk.path());
    let images = crate::ImageStore::open(&disk.path().join("image")).unwrap();
    let bottom = [dir("d/"), file("d/old", "old"), file("gone", "x"), file("kept", "k"), dir("etc/"), file("etc/a", "1")];
    let top = [
        dir("d/"),
        file("d/.wh..wh..opq", ""),
        file("d/new", "n"),
        file(".wh.gone", ""),
        file("etc/b", "2"),
        symlink("l", "kept"),
    ];
    let layers = [tar(bottom), tar(top), tar([])];
    let archive = docker_archive(&config(&layers), &layers, &["x:1"], gzip);
    let id = images.load(&archive[..], &mut |_| {}).unwrap()[0].id;
    let snapshots = Snapshots::open(&disk.path().join("overlay")).unwrap();
    let paths = snapshots.prepare("c", &images.layer_stack(&id).unwrap()).unwrap();
    assert_eq!(paths.lower.len(), 3);

    let merged = disk.path().join("merged");
    std::fs::create_dir(&merged).unwrap();
    let lower: Vec<_> = paths.lower.iter().map(|dir| dir.to_str().unwrap()).collect();
    let (upper, work) = (paths.upper.to_str().unwrap(), paths.work.to_str().unwrap());
    let options = format!("lowerdir={},upperdir={upper},workdir={work}", lower.join(":"));
    let options = std::ffi::CString::new(options).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("overlay", &merged, "overlay", flags, options.as_c_str()).unwrap();
    let unmount = Unmount(&merged);
    let seen = crate::fixtures::listing(&merged);
    assert_eq!(seen, ["d", "d/new", "etc", "etc/a", "etc/b", "kept", "l"]);
    assert_eq!(std::fs::read_to_string(merged.join("l")).unwrap(), "k");
    std::fs::write(merged.join("kept"), "changed").unwrap();
    std::fs::remove_file(merged.join("d/new")).unwrap();
    assert_eq!(snapshots.size_rw("c").unwrap(), 7);
    drop(unmount);
    snapshots.remove("c").unwrap();
    assert_eq!(std::fs::read_to_string(paths.lower[2].join("kept")).unwrap(), "k");
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        rustix::mount::unmount(self.0, rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn what_a_crash_left_in_the_trash_goes_at_open() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join(".trash/3-x/upper/d")).unwrap();
    std::fs::create_dir_all(root.path().join("half")).unwrap();
    let snapshots = Snapshots::open(root.path()).unwrap();
    assert!(snapshots.paths("half").is_none());
    assert_eq!(snapshots.list().unwrap(), ["half"]);
    snapshots.remove("half").unwrap();
    drop(snapshots);
    assert_eq!(crate::fixtures::listing(root.path()), [".trash"]);
}

#[test]
fn an_image_without_layers_has_an_empty_stack() {
    let (_dir, store) = store();
    let archive = crate::fixtures::docker_archive(&crate::fixtures::config(&[]), &[], &["scratch:1"], |d| d.to_vec());
    let id = store.load(&archive[..], &mut |_| {}).unwrap()[0].id;
    assert_eq!(store.layer_stack(&id).unwrap(), stack());
}
