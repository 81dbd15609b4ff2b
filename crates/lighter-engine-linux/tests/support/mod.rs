//! An engine on temporary roots of its own, with a busybox image, and the search for what a test leaves behind.
#![allow(dead_code, reason = "each test binary uses its part")]

use lighter_domain::ContainerId;
use lighter_engine::conformance::{Fixture, Made};
use lighter_engine::{ByteStream, Engine as _};
use lighter_engine_linux::{LinuxConfig, LinuxEngine};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Roots, bridge and control group of one test's engine; removed when dropped.
pub struct Place {
    pub dir: tempfile::TempDir,
    pub name: String,
}

impl Place {
    pub fn new() -> Self {
        let name = format!("lt{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        Self { dir: tempfile::Builder::new().prefix("lighter-engine-").tempdir().expect("a directory"), name }
    }

    pub fn config(&self) -> LinuxConfig {
        let mut config = LinuxConfig::new(self.dir.path().join("data"), self.dir.path().join("exec"));
        config.cgroup_parent = format!("lighter-test-{}", self.name);
        config.bridge.bridge = self.name.clone();
        config.bridge.netns_pool = 0;
        config.supervisor = program("lighter-supervisor");
        config.init = program("lighter-init");
        config
    }
}

/// An engine and its place; takes bridge and rules along when dropped.
pub struct Kept {
    pub engine: LinuxEngine,
    pub place: Place,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let engine = self.engine.clone();
        let removal = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                // An address is given back a moment after its container.
                for _ in 0..500 {
                    if engine.remove_network().await.expect("the network goes") {
                        return true;
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
                false
            })
        });
        let removed = removal.join();
        if !std::thread::panicking() {
            assert!(removed.expect("no panic"), "the bridge stays in use");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for hierarchy in hierarchies() {
            let _ = std::fs::remove_dir(hierarchy.join(format!("lighter-test-{}", self.name)));
        }
    }
}

pub fn target() -> PathBuf {
    let set = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    set.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"))
}

/// The small, static one if there is one (`--init` needs it static); `LIGHTER_TEST_PROGRAMS` names another directory.
fn program(name: &str) -> PathBuf {
    let small = target().join(format!("{}-unknown-linux-gnu/supervisor", std::env::consts::ARCH));
    let dirs = std::env::var_os("LIGHTER_TEST_PROGRAMS").map(PathBuf::from).into_iter().chain([small, target().join("debug")]);
    let mut found = dirs.map(|d| d.join(name)).filter(|p| p.is_file());
    found.next().unwrap_or_else(|| panic!("build {name} first: cargo build -p lighter-supervisor"))
}

fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_owned()];
    }
    std::fs::read_dir(root).into_iter().flatten().flatten().map(|e| e.path()).collect()
}

pub async fn open(place: &Place) -> LinuxEngine {
    let engine = LinuxEngine::open(place.config()).await.expect("the engine opens (as root, with the supervisor built)");
    let images = engine.images().expect("images");
    if images.list().await.expect("list").is_empty() {
        let path = target().join("images/busybox.tar");
        let archive: ByteStream = Box::pin(tokio::fs::File::open(&path).await.expect("scripts/busybox-image.sh made an image"));
        let (progress, mut told) = tokio::sync::mpsc::channel(16);
        let listener = tokio::spawn(async move { while told.recv().await.is_some() {} });
        images.load(archive, &[], progress).await.expect("load");
        listener.await.expect("no panic");
    }
    engine
}

pub async fn fixture(network: &str) -> Fixture {
    let place = Place::new();
    let engine = open(&place).await;
    let image = engine.images().expect("images").list().await.expect("list").remove(0);
    let reference = image.repo_tags[0].clone();
    let (root, parent) = (place.dir.path().to_owned(), format!("lighter-test-{}", place.name));
    Fixture {
        engine: Arc::new(engine.clone()),
        image: reference,
        image_id: image.id.clone(),
        network_mode: network.to_owned(),
        leftovers: Box::new(move |id| leftovers(&root, &parent, id)),
        keep: Box::new(Kept { engine, place }),
        made: Made::default(),
    }
}

/// Everything on this machine that names the container.
pub fn leftovers(root: &Path, parent: &str, id: &ContainerId) -> Vec<String> {
    let mut found = Vec::new();
    for dir in ["data/containers", "data/overlay", "exec/containers"] {
        let path = root.join(dir).join(id.as_str());
        if path.exists() {
            found.push(path.display().to_string());
        }
    }
    for hierarchy in hierarchies() {
        let group = hierarchy.join(parent).join(id.as_str());
        if group.exists() {
            found.push(group.display().to_string());
        }
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    found.extend(mounts.lines().filter(|l| l.contains(id.as_str())).map(|l| format!("mount {l}")));
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = process.path();
        let command = std::fs::read(path.join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(id.as_str()) {
            found.push(format!("process {}", path.display()));
        }
    }
    found
}
