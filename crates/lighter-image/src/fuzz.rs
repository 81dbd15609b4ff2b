//! What the fuzz targets call, and the test that replays their corpus: input that anybody may send, into the parsers.
//!
//! A target must neither panic nor hang nor write outside its root, whatever comes; most inputs are refused.

use std::io::Read as _;
use std::path::PathBuf;

use crate::codec::{CallerInput, Compression};
use crate::config::ImageConfig;
use crate::index::Index;
use crate::load::Manifest;
use crate::reference::Reference;
use crate::store::{ImageStore, Limits, StoreOptions};
use crate::tarball::{Buffered, TarReader};

/// A tar as a stream, unpacked nowhere.
pub fn tar(data: &[u8]) {
    let mut tar = TarReader::new(Buffered::new(CallerInput(data)));
    while let Ok(Some(_)) = tar.next() {
        let mut first = [0; 64];
        if tar.payload_reader().read(&mut first).is_err() {
            return;
        }
    }
}

/// `docker load`, whole: archives of each age, into a store.
pub fn archive(data: &[u8]) {
    with_store(|store| {
        let canary = Canary::new(store);
        if let Ok(loaded) = store.load(data, &mut |_| {}) {
            for image in loaded {
                let id = image.id.to_string();
                // What was taken must be good enough to be given out again.
                store.save(&[&id], std::io::sink()).expect("what was loaded can be saved");
                store.remove(&id, crate::RemoveOptions { force: true, prune_parents: true }, &|_| None).expect("and removed");
            }
        }
        canary.check();
    });
}

/// A layer, unpacked.
pub fn layer(data: &[u8]) {
    with_store(|store| {
        let canary = Canary::new(store);
        if let Ok(stage) = store.stage() {
            let _ = stage.add_layer(data, None);
        }
        canary.check();
    });
}

/// Manifests, indexes, configurations, names.
pub fn json(data: &[u8]) {
    let _ = Index::parse(data).map(|index| crate::choose(&index.manifests, &crate::Platform::host()).cloned());
    let _ = serde_json::from_slice::<Manifest>(data);
    let _ = serde_json::from_slice::<ImageConfig>(data);
    let _ = Compression::detect(data);
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(reference) = Reference::parse(text) {
            assert_eq!(Reference::parse(&reference.to_string()).as_ref(), Ok(&reference), "a name means itself");
        }
        let _ = crate::Platform::parse(text);
    }
}

/// A file beside the store that no archive may touch.
struct Canary(PathBuf);

impl Canary {
    fn new(store: &ImageStore) -> Self {
        let path = store.inner.root.with_file_name("canary");
        std::fs::write(&path, "alive").expect("a writable directory");
        Self(path)
    }

    fn check(self) {
        assert_eq!(std::fs::read(self.0).expect("the canary"), b"alive");
    }
}

/// One store for each thread, in memory where the machine has that.
fn with_store(run: impl FnOnce(&ImageStore)) {
    thread_local! {
        static STORE: ImageStore = {
            let shm = std::path::Path::new("/dev/shm");
            let base = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
            let unique = format!("lighter-fuzz-{}-{:?}", std::process::id(), std::thread::current().id());
            let root = base.join(unique.replace(['(', ')'], ""));
            let limits = Limits { unpacked_bytes: 8 << 20, entries: 2000, metadata_bytes: 1 << 20 };
            std::fs::create_dir_all(&root).expect("a writable directory");
            ImageStore::open_with(&root.join("image"), StoreOptions { limits, ..Default::default() }).expect("a store")
        };
    }
    STORE.with(run);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was found once, and what the fuzzers began with.
    #[test]
    fn the_corpus_is_harmless() {
        if !crate::fixtures::root_or_skip("the_corpus_is_harmless") {
            return;
        }
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
        let mut replayed = 0;
        for (target, run) in [("tar", tar as fn(&[u8])), ("archive", archive), ("layer", layer), ("manifest", json)] {
            for entry in std::fs::read_dir(corpus.join(target)).unwrap() {
                run(&std::fs::read(entry.unwrap().path()).unwrap());
                replayed += 1;
            }
        }
        assert!(replayed > 20, "{replayed}");
        with_store(|store| std::fs::remove_dir_all(store.inner.root.parent().unwrap()).unwrap());
    }
}
