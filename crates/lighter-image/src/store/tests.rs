use std::process::{Command, Stdio};

use super::*;
use crate::fixtures::*;

fn archive(n: u32) -> Vec<u8> {
    let layers = [tar([dir("d/"), file("d/shared", vec![7; 300_000])]), tar([file("own", n.to_string())])];
    docker_archive(&config(&layers), &layers, &[&format!("x:{n}")], if n.is_multiple_of(2) { gzip } else { zstd })
}

/// Whatever the state names is whole, and nothing else is there.
fn assert_consistent(store: &ImageStore) {
    let mut layers = 0;
    for image in store.list() {
        let dirs = store.layer_dirs(&image.id).unwrap();
        assert_eq!(std::fs::read(dirs[1].join("d/shared")).unwrap(), vec![7; 300_000]);
        assert_eq!(format!("x:{}", std::fs::read_to_string(dirs[0].join("own")).unwrap()), image.repo_tags[0]);
        store.save(&[&image.repo_tags[0]], std::io::sink()).unwrap();
        layers += 1;
    }
    let expected = if layers == 0 { 0 } else { layers + 1 };
    assert_eq!(std::fs::read_dir(store.layers_root()).unwrap().count(), expected);
    let blobs = std::fs::read_dir(store.inner.root.join("blobs/sha256")).unwrap().count();
    assert_eq!(blobs, layers + expected);
    assert_eq!(listing(&store.inner.root.join("tmp")), Vec::<String>::new());
}

const CHILD_ROOT: &str = "LIGHTER_IMAGE_TEST_ROOT";

/// Not a test: what the next one starts as a process of its own, to kill it.
#[test]
#[ignore = "started by killed_at_any_moment"]
fn churn() {
    let Some(root) = std::env::var_os(CHILD_ROOT) else { return };
    let store = ImageStore::open(Path::new(&root)).unwrap();
    for n in 0.. {
        store.load(&archive(n % 5)[..], &mut |_| {}).unwrap();
        println!("{n}");
        if n % 3 == 2 {
            store.remove(&format!("x:{}", n % 5), crate::RemoveOptions::default(), &|_| None).unwrap();
        }
    }
}

#[test]
fn killed_at_any_moment() {
    use std::io::{BufRead, BufReader};
    if !root_or_skip("killed_at_any_moment") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for round in 0..25_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::churn", "--ignored", "--nocapture"])
            .env(CHILD_ROOT, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let done = lines.map_while(Result::ok).filter(|line| line.parse::<u32>().is_ok()).nth(round as usize % 4);
        assert!(done.is_some(), "the child ended by itself");
        // Somewhere in the next load: each takes some milliseconds.
        let until = std::time::Instant::now() + std::time::Duration::from_micros(round * 700);
        while std::time::Instant::now() < until {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let store = ImageStore::open(dir.path()).unwrap();
        assert_consistent(&store);
        store.flush().unwrap();
    }
}

#[test]
fn everything_is_there_after_opening_again() {
    let (dir, store) = store();
    for n in 0..4 {
        store.load(&archive(n)[..], &mut |_| {}).unwrap();
    }
    store.tag("x:1", "example.com/other", "").unwrap();
    store.flush().unwrap();
    let before: Vec<_> = store.list().iter().map(|image| format!("{image:?}")).collect();
    drop(store);
    let store = ImageStore::open(&dir.path().join("image")).unwrap();
    assert_eq!(store.list().iter().map(|image| format!("{image:?}")).collect::<Vec<_>>(), before);
    assert_eq!(store.get("example.com/other").unwrap().id, store.get("x:1").unwrap().id);
}

#[test]
fn layers_that_a_power_failure_may_have_cut_are_not_trusted() {
    let (dir, store) = store();
    store.load(&archive(1)[..], &mut |_| {}).unwrap();
    store.flush().unwrap();
    store.load(&archive(2)[..], &mut |_| {}).unwrap();
    store.flush().unwrap();
    let own = store.get("x:2").unwrap().layers()[1];
    let mark = |state: &mut State| {
        state.layers.get_mut(&own).unwrap().unsynced = Some("an earlier boot".to_owned());
        Ok(())
    };
    store.inner.change(mark).unwrap();
    drop(store);
    let store = ImageStore::open(&dir.path().join("image")).unwrap();
    assert_eq!(store.list().len(), 1);
    assert!(store.get("x:2").is_err());
    assert_consistent(&store);
}

#[test]
fn what_the_state_does_not_name_goes_and_what_it_misses_takes_the_image_along() {
    let (dir, store) = store();
    let root = dir.path().join("image");
    store.load(&archive(1)[..], &mut |_| {}).unwrap();
    store.load(&archive(2)[..], &mut |_| {}).unwrap();
    store.flush().unwrap();
    let lost = store.layer_dirs(&store.get("x:2").unwrap().id).unwrap().remove(0);
    drop(store);
    std::fs::rename(lost, root.join("layers/900")).unwrap();
    std::fs::create_dir_all(root.join("tmp/5/0.fs/deep")).unwrap();
    std::fs::write(root.join("splits/77"), "x").unwrap();
    std::fs::write(root.join("blobs/sha256").join("0".repeat(64)), "x").unwrap();
    let store = ImageStore::open(&root).unwrap();
    assert!(store.get("x:1").is_ok() && store.get("x:2").is_err());
    assert_consistent(&store);
}

#[test]
fn a_state_that_is_not_ours_is_left_alone() {
    let (dir, store) = store();
    drop(store);
    let path = dir.path().join("image/state.json");
    for content in ["{", r#"{"version":2,"next_layer":0,"images":[],"layers":[],"names":{}}"#] {
        std::fs::write(&path, content).unwrap();
        assert!(ImageStore::open(&dir.path().join("image")).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn syncing_first_is_a_choice() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { durability: Durability::Before, ..StoreOptions::default() };
    let store = ImageStore::open_with(dir.path(), options).unwrap();
    store.load(&archive(1)[..], &mut |_| {}).unwrap();
    assert!(!store.inner.has_unsynced());
}
