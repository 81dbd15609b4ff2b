use std::io::Read;

use serde_json::json;

use super::*;
use crate::fixtures::*;
use crate::{ErrorKind, Limits, Platform, StoreOptions};

type Packer = fn(&[u8]) -> Vec<u8>;
const PACKERS: [Packer; 3] = [|data| data.to_vec(), gzip, zstd];

fn load(store: &ImageStore, archive: &[u8]) -> Result<Vec<LoadedImage>> {
    store.load(archive, &mut |_| {})
}

fn layers() -> Vec<Vec<u8>> {
    vec![
        tar([dir("bin/"), file("bin/sh", "#!shell").mode(0o755), file("old", "to go")]),
        tar([file(".wh.old", ""), file("etc/conf", "v=1")]),
    ]
}

/// What the image holds, by its layers.
fn contents(store: &ImageStore, image: &LoadedImage) -> Vec<Vec<String>> {
    store.layer_dirs(&image.id).unwrap().iter().map(|dir| listing(dir)).collect()
}

fn assert_whole(store: &ImageStore, loaded: &[LoadedImage], names: &[&str]) {
    let [image] = loaded else { panic!("{loaded:?}") };
    assert_eq!(image.names, names);
    let expected = [vec!["etc", "etc/conf", "old"], vec!["bin", "bin/sh", "old"]];
    assert_eq!(contents(store, image), expected);
    let found = store.get(names.first().copied().unwrap_or(&image.id.to_string())).unwrap();
    assert_eq!((found.id, found.size, &found.repo_tags[..]), (image.id, 7 + 5 + 3, &image.names[..]));
    assert_eq!(found.config.config.as_ref().unwrap().cmd, Some(vec!["sh".to_owned()]));
}

#[test]
fn docker_archives_in_every_compression() {
    if !root_or_skip("docker_archives_in_every_compression") {
        return;
    }
    for outer in PACKERS {
        for inner in PACKERS {
            let (_dir, store) = store();
            let config = config(&layers());
            let archive = outer(&docker_archive(&config, &layers(), &["busybox:latest"], inner));
            let loaded = load(&store, &archive).unwrap();
            assert_whole(&store, &loaded, &["busybox:latest"]);
            assert_eq!(loaded[0].id, Digest::of(&config));
            assert_eq!(listing(&store.inner.root.join("tmp")), Vec::<String>::new());
        }
    }
}

#[test]
fn oci_layouts_with_nested_indexes_and_other_platforms() {
    if !root_or_skip("oci_layouts_with_nested_indexes_and_other_platforms") {
        return;
    }
    for pack in PACKERS {
        let (_dir, store) = store();
        let host = Platform::host();
        let (mut right, mut items) = oci_image(&config(&layers()), &layers(), pack);
        right["platform"] = json!({ "os": "linux", "architecture": host.architecture });
        let foreign = [tar([file("foreign", "x")])];
        let (mut wrong, wrong_items) = oci_image(&config(&foreign), &foreign, pack);
        wrong["platform"] = json!({ "os": "linux", "architecture": "s390y" });
        items.extend(wrong_items);
        let mut attestation = wrong.clone();
        attestation["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
        let nested = json!({ "schemaVersion": 2, "manifests": [attestation, wrong, right] }).to_string();
        let (mut top, item) = blob("application/vnd.oci.image.index.v1+json", nested.as_bytes());
        items.push(item);
        top["annotations"] = json!({ oci::NAME: "docker.io/library/busybox:1.36", oci::REF_NAME: "1.36" });
        let mut second = top.clone();
        second["annotations"] = json!({ oci::REF_NAME: "example.com/busy:2" });
        let loaded = load(&store, &oci_layout(&[top, second], items)).unwrap();
        assert_whole(&store, &loaded, &["busybox:1.36", "example.com/busy:2"]);
        // The image for the other platform comes along, unless this one is asked for.
        assert_eq!((store.list().len(), store.list_all().len()), (1, 2));
        let kept = store.get("busybox:1.36").unwrap().index;
        assert_eq!(kept.map(|digest| digest.to_string()).as_deref(), saved_digest(&store).as_deref());
    }
}

fn saved_digest(store: &ImageStore) -> Option<String> {
    let plan = store.resolve_save(&["busybox:1.36"], &[]).unwrap();
    let mut archive = Vec::new();
    plan.write(&mut archive).unwrap();
    let mut archive = tar::Archive::new(&archive[..]);
    let index = archive.entries().unwrap().map(Result::unwrap).find(|e| e.path().unwrap().ends_with("index.json"));
    let index: serde_json::Value = serde_json::from_reader(index?).unwrap();
    Some(index["manifests"][0]["digest"].as_str()?.to_owned())
}

#[test]
fn a_bare_tag_is_no_name() {
    let (_dir, store) = store();
    let layers = [tar([file("f", "x")])];
    let (mut top, items) = oci_image(&config(&layers), &layers, gzip);
    top["annotations"] = json!({ oci::REF_NAME: "latest" });
    let loaded = load(&store, &oci_layout(&[top], items)).unwrap();
    assert!(loaded[0].names.is_empty());
    assert!(store.get(&loaded[0].id.short()).unwrap().is_dangling());
}

/// docker save before 1.10, with equal layers linked to each other, entries in any order.
#[test]
fn archives_from_before_manifests() {
    if !root_or_skip("archives_from_before_manifests") {
        return;
    }
    let (_dir, store) = store();
    let [bottom, top] = &layers()[..] else { panic!() };
    let (a, b, c) = ("a".repeat(64), "b".repeat(64), "c".repeat(64));
    let json = |id: &str, parent: Option<&str>, cmd: &str| {
        json!({ "id": id, "parent": parent, "created": "2015-01-01T00:00:00Z", "docker_version": "1.9.1",
            "container_config": { "Cmd": ["/bin/sh", "-c", cmd] }, "config": { "Cmd": ["sh"], "Image": "<x>" },
            "os": "linux", "architecture": "amd64", "Size": 12 })
        .to_string()
    };
    let archive = tar([
        file("repositories", json!({ "old/busy": { "1": c }, "busy": { "2": c } }).to_string()),
        file(&format!("{c}/json"), json(&c, Some(&b), "three")),
        symlink(&format!("{c}/layer.tar"), &format!("../{a}/layer.tar")),
        file(&format!("{b}/VERSION"), "1.0"),
        file(&format!("{b}/json"), json(&b, Some(&a), "two")),
        file(&format!("{b}/layer.tar"), top),
        file(&format!("{a}/json"), json(&a, None, "one")),
        file(&format!("./{a}/layer.tar"), bottom),
    ]);
    let loaded = load(&store, &archive).unwrap();
    let [image] = &loaded[..] else { panic!("{loaded:?}") };
    assert_eq!(image.names, ["busy:2", "old/busy:1"]);
    let image = store.get("old/busy:1").unwrap();
    let raw = std::str::from_utf8(&image.raw_config).unwrap();
    assert!(raw.starts_with(r#"{"architecture":"amd64","config":{"#) && raw.contains(r#""\u003cx\u003e""#), "{raw}");
    assert!(!raw.contains("Size") && !raw.contains("\"id\""), "{raw}");
    let steps: Vec<_> = image.config.history.iter().map(|entry| &entry.created_by[11..]).collect();
    assert_eq!(steps, ["one", "two", "three"]);
    // The bottom layer is on top once more: for overlayfs it stands there only.
    assert_eq!((image.layers().len(), store.layer_dirs(&image.id).unwrap().len()), (3, 2));
}

#[test]
fn layer_links_within_an_archive() {
    let (_dir, store) = store();
    let layer = tar([file("f", "x")]);
    let config = config(&[layer.clone(), layer.clone()]);
    let manifest = json!([{ "Config": "c.json", "RepoTags": null, "Layers": ["b/layer.tar", "h/layer.tar"] }]);
    let archive = |target: &str| {
        tar([
            symlink("b/layer.tar", target),
            hard_link("h/layer.tar", "b/layer.tar"),
            file("a/layer.tar", &layer),
            file("manifest.json", manifest.to_string()),
            file("c.json", &config),
        ])
    };
    load(&store, &archive("../a/layer.tar")).unwrap();
    for target in ["../b/layer.tar", "../../../etc/passwd", "/etc/passwd", "../a"] {
        let error = load(&store, &archive(target)).unwrap_err();
        assert!(matches!(error, Error::Archive(ArchiveError::Missing(_))), "{target}: {error}");
    }
}

#[test]
fn refuses_in_dockers_words() {
    let layer = tar([file("f", "x")]);
    let other = tar([file("f", "y")]);
    let good = config(std::slice::from_ref(&layer));
    let ids = (Digest::of(&layer), Digest::of(&other));
    let windows = String::from_utf8(good.clone()).unwrap().replace("\"linux\"", "\"windows\"");
    let plain: Packer = |data| data.to_vec();
    for (archive, message) in [
        (
            docker_archive(&good, std::slice::from_ref(&other), &[], plain),
            format!("invalid diffID for layer 0: expected \"{}\", got \"{}\"", ids.0, ids.1),
        ),
        (
            docker_archive(&good, &[layer.clone(), other.clone()], &[], plain),
            "invalid manifest, layers length mismatch: expected 1, got 2".to_owned(),
        ),
        (
            docker_archive(windows.as_bytes(), std::slice::from_ref(&layer), &[], plain),
            "cannot load windows image on linux".into(),
        ),
        (docker_archive(&good, std::slice::from_ref(&layer), &["busybox"], plain), "invalid tag \"busybox\"".into()),
        (
            docker_archive(&good, std::slice::from_ref(&layer), &["Busy:x"], plain),
            "invalid reference format: repository name (library/Busy) must be lowercase".into(),
        ),
        (tar([file("readme", "x")]), ArchiveError::NotAnImage.to_string()),
        (b"no tar at all".to_vec(), ArchiveError::NotAnImage.to_string()),
        (Vec::new(), ArchiveError::NotAnImage.to_string()),
        (b"BZh91AY".to_vec(), "bzip2-compressed archives are not supported, use gzip, zstd or no compression".into()),
        (
            docker_archive(&good, std::slice::from_ref(&layer), &[], |_| b"\xfd7zXZ\0....".to_vec()),
            "xz-compressed archives are not supported, use gzip, zstd or no compression".into(),
        ),
        (
            tar([file("manifest.json", "{")]),
            "invalid manifest.json: invalid type: map, expected a sequence at line 1 column 0".into(),
        ),
        (tar([file("manifest.json", r#"[{"Config":"c","Layers":[]}]"#)]), "invalid archive: c is missing".into()),
        (tar([file("../evil", "x")]), "invalid entry name \"../evil\"".into()),
    ] {
        let (_dir, store) = store();
        let error = load(&store, &archive).unwrap_err();
        assert_eq!((error.to_string(), error.kind()), (message, ErrorKind::InvalidArgument));
        assert_empty(&store);
    }
}

#[test]
fn a_blob_must_be_what_its_name_says() {
    let layers = [tar([file("f", "x")])];
    for pack in PACKERS {
        for which in 0..3 {
            let (_dir, store) = store();
            let (top, mut items) = oci_image(&config(&layers), &layers, pack);
            let data = &mut items[which].data;
            let at = data.len() / 2;
            data[at] ^= 1;
            assert!(load(&store, &oci_layout(&[top], items)).is_err());
            assert_empty(&store);
        }
    }
}

#[test]
fn a_cut_archive_leaves_nothing() {
    let (_dir, store) = store();
    let archive = docker_archive(&config(&layers()), &layers(), &["x:y"], gzip);
    for archive in [archive.clone(), gzip(&archive), zstd(&archive)] {
        for end in (0..archive.len() - 1024.min(archive.len() / 4)).step_by(97) {
            load(&store, &archive[..end]).unwrap_err();
            let error = store.load(CutOff { data: &archive[..end] }, &mut |_| {}).unwrap_err();
            assert!(!matches!(error.kind(), ErrorKind::Internal), "{error}");
        }
    }
    assert_empty(&store);
}

#[test]
fn bombs_meet_a_bound() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { unpacked_bytes: 1 << 20, entries: 50, metadata_bytes: 4096 };
    let options = StoreOptions { limits, ..StoreOptions::default() };
    let store = ImageStore::open_with(dir.path(), options).unwrap();
    let zeros = [tar([file("zeros", vec![0; 2 << 20])])];
    let many = [tar((0..60).map(|n| file(&n.to_string(), "")))];
    for layers in [&zeros, &many] {
        let error = load(&store, &docker_archive(&config(layers), layers, &[], zstd)).unwrap_err();
        assert!(matches!(error, Error::Archive(ArchiveError::TooLarge { .. })), "{error}");
    }
    let large = config_with(&[], json!({ "Labels": { "x": "y".repeat(5000) } }));
    let error = load(&store, &docker_archive(&large, &[], &[], zstd)).unwrap_err();
    assert!(matches!(error, Error::Archive(ArchiveError::BadJson { .. })), "{error}");
    assert_empty(&store);
}

#[test]
fn tells_of_progress_and_of_names_that_move() {
    let (_dir, store) = store();
    let first = [tar([file("f", vec![1; 2 << 20])])];
    let second = [tar([file("f", "2")])];
    let mut events = Vec::new();
    let mut load = |layers: &[Vec<u8>]| {
        let archive = docker_archive(&config(layers), layers, &["x:1"], |data| data.to_vec());
        store.load(&archive[..], &mut |event| events.push(format!("{event:?}"))).unwrap().remove(0).id
    };
    let old = load(&first);
    load(&second);
    assert!(events[0].contains("0/layer.tar") && events.len() > 4, "{events:?}");
    let note = format!("The image x:1 already exists, renaming the old one with ID {old} to empty string\\n");
    assert!(events.last().unwrap().contains(&note), "{events:?}");
    assert!(store.get_by_id(&old).unwrap().is_dangling());
}

#[test]
fn known_blobs_are_not_unpacked_again() {
    let (_dir, store) = store();
    let layers = [tar([file("f", "x")])];
    let (top, items) = oci_image(&config(&layers), &layers, gzip);
    let archive = oci_layout(&[top], items);
    load(&store, &archive).unwrap();
    let mut events = 0;
    store.load(&archive[..], &mut |_| events += 1).unwrap();
    assert_eq!((events, std::fs::read_dir(store.layers_root()).unwrap().count()), (0, 1));
}

#[test]
fn loads_at_the_same_time() {
    let (_dir, store) = store();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let store = store.clone();
            scope.spawn(move || {
                let layers = [tar([file("shared", "s")]), tar([file("own", n.to_string())])];
                let archive = docker_archive(&config(&layers), &layers, &[&format!("x:{n}")], gzip);
                for _ in 0..5 {
                    load(&store, &archive).unwrap();
                    store.remove(&format!("x:{n}"), crate::RemoveOptions::default(), &|_| None).unwrap();
                }
                load(&store, &archive).unwrap();
            });
        }
    });
    assert_eq!(store.list().len(), 8);
    assert_eq!(store.usage().layers_size, 1 + 8);
    for image in store.list() {
        assert!(store.layer_dirs(&image.id).unwrap().iter().all(|dir| dir.is_dir()));
    }
}

/// A file system of a few MiB fills up at every stage of a load; what was there before stays whole.
#[test]
fn a_full_disk_leaves_nothing_half_made() {
    if !root_or_skip("a_full_disk_leaves_nothing_half_made") {
        return;
    }
    let mount = SmallDisk::new("4m");
    let store = ImageStore::open(&mount.0.path().join("image")).unwrap();
    let small = [tar([file("f", "small")])];
    load(&store, &docker_archive(&config(&small), &small, &["small:1"], gzip)).unwrap();
    let before = listing(&store.inner.root);
    let random: Vec<u8> = (0..6_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for pack in PACKERS {
        let large = [tar([file("first", &random[..1 << 20])]), tar([file("f", &random)])];
        let error = load(&store, &docker_archive(&config(&large), &large, &["large:1"], pack)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
        let many = [tar((0..9000).map(|n| file(&format!("{n}"), "")))];
        let _ = load(&store, &docker_archive(&config(&many), &many, &["many:1"], pack));
        let _ = store.remove("many:1", crate::RemoveOptions::default(), &|_| None);
    }
    let mut archive = Vec::new();
    store.save(&["small:1"], &mut archive).unwrap();
    let root = store.inner.root.clone();
    store.flush().unwrap();
    drop(store);
    let store = ImageStore::open(&root).unwrap();
    assert_eq!((store.list().len(), listing(&root)), (1, before));
    drop(store);
}

struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = std::ffi::CString::new(format!("size={size}")).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", dir.path(), "tmpfs", flags, options.as_c_str()).unwrap();
        Self(dir)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn import_makes_an_image_of_a_root_file_system() {
    let (_dir, store) = store();
    let rootfs = tar([dir("bin/"), file("bin/sh", "sh")]);
    let created = time::macros::datetime!(2024-05-06 07:08:09.5 UTC);
    let options = crate::ImportOptions {
        config: serde_json::from_value(json!({ "Cmd": ["/bin/sh"] })).unwrap(),
        message: String::new(),
        reference: Some(Reference::parse("mine").unwrap()),
        platform: Platform::host(),
        created,
        docker_version: "29".to_owned(),
    };
    for pack in PACKERS {
        let id = store.import(&pack(&rootfs)[..], options.clone()).unwrap();
        let image = store.get("mine").unwrap();
        assert_eq!((image.id, image.created, image.size), (id, Some(created), 2));
        assert_eq!(image.config.comment, "Imported from -");
        assert_eq!(store.history(&image)[0].comment, "Imported from -");
        assert_eq!(image.layers(), [Digest::of(&rootfs)]);
    }
    let all = rootfs.chain(&b""[..]).bytes().map(Result::unwrap).collect::<Vec<_>>();
    assert!(store.import(&all[..700], options.clone()).is_err());
    assert!(store.import(&b"hello, this is no tar"[..], options).is_err());
    assert_eq!(store.list().len(), 1);
}
