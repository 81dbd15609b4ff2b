//! Archives for tests, made in memory: layers, and images of each age around them.

use std::io::{Read, Write};

use serde_json::json;
use tar::{Builder, EntryType, Header};

use crate::digest::Digest;
use crate::store::ImageStore;

/// A store on a temporary directory.
pub(crate) fn store() -> (tempfile::TempDir, ImageStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open(&dir.path().join("image")).unwrap();
    (dir, store)
}

/// Whether the test may do what only root may; says so loudly if not.
pub(crate) fn root_or_skip(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED, needs root: {test}");
    }
    root
}

/// One entry of a tar; names are written as they are, however bad.
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) kind: EntryType,
    pub(crate) link: String,
    pub(crate) data: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    pub(crate) xattrs: Vec<(String, Vec<u8>)>,
}

fn item(name: &str, kind: EntryType) -> Item {
    let (name, link) = (name.to_owned(), String::new());
    Item { name, kind, link, data: Vec::new(), mode: 0o755, owner: (0, 0), xattrs: Vec::new() }
}

pub(crate) fn file(name: &str, data: impl AsRef<[u8]>) -> Item {
    Item { data: data.as_ref().to_vec(), mode: 0o644, ..item(name, EntryType::Regular) }
}

pub(crate) fn dir(name: &str) -> Item {
    item(name, EntryType::Directory)
}

pub(crate) fn symlink(name: &str, target: &str) -> Item {
    Item { link: target.to_owned(), ..item(name, EntryType::Symlink) }
}

pub(crate) fn hard_link(name: &str, target: &str) -> Item {
    Item { link: target.to_owned(), ..item(name, EntryType::Link) }
}

pub(crate) fn node(name: &str, kind: EntryType) -> Item {
    item(name, kind)
}

impl Item {
    pub(crate) fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    pub(crate) fn owner(self, uid: u64, gid: u64) -> Self {
        Self { owner: (uid, gid), ..self }
    }

    pub(crate) fn xattr(mut self, name: &str, value: &[u8]) -> Self {
        self.xattrs.push((name.to_owned(), value.to_vec()));
        self
    }
}

pub(crate) const MTIME: u64 = 1_600_000_000;

/// A tar of these entries.
pub(crate) fn tar(items: impl IntoIterator<Item = Item>) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for item in items {
        let names: Vec<_> = item.xattrs.iter().map(|(name, _)| format!("SCHILY.xattr.{name}")).collect();
        let mut pax: Vec<_> = names.iter().map(String::as_str).zip(item.xattrs.iter().map(|x| &x.1[..])).collect();
        if item.name.len() > 100 {
            pax.push(("path", item.name.as_bytes()));
        }
        if item.link.len() > 100 {
            pax.push(("linkpath", item.link.as_bytes()));
        }
        builder.append_pax_extensions(pax).unwrap();
        let mut header = Header::new_gnu();
        let name = &item.name.as_bytes()[..item.name.len().min(100)];
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        let link = &item.link.as_bytes()[..item.link.len().min(100)];
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.set_entry_type(item.kind);
        header.set_size(item.data.len() as u64);
        header.set_mode(item.mode);
        header.set_uid(item.owner.0);
        header.set_gid(item.owner.1);
        header.set_mtime(MTIME);
        if item.kind.is_character_special() || item.kind.is_block_special() {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        }
        header.set_cksum();
        builder.append(&header, &item.data[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 1).unwrap()
}

/// A configuration with these layers, for this machine.
pub(crate) fn config(layers: &[Vec<u8>]) -> Vec<u8> {
    config_with(layers, json!({ "Cmd": ["sh"], "Env": ["PATH=/bin"], "Labels": { "a": "b" } }))
}

pub(crate) fn config_with(layers: &[Vec<u8>], config: serde_json::Value) -> Vec<u8> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let step = json!({ "created_by": "COPY", "created": "2024-01-02T03:04:05Z" });
    let history = vec![step; layers.len()];
    let platform = crate::Platform::host();
    serde_json::to_vec(&json!({
        "architecture": platform.architecture, "os": "linux", "created": "2024-01-02T03:04:05.123456789Z",
        "config": config, "history": history, "rootfs": { "type": "layers", "diff_ids": diff_ids },
    }))
    .unwrap()
}

/// `manifest.json` with layers as `<n>/layer.tar`: docker save from 1.10 to 24. `pack` compresses layers.
pub(crate) fn docker_archive(config: &[u8], layers: &[Vec<u8>], tags: &[&str], pack: fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let config_name = format!("{}.json", Digest::of(config).hex());
    let names: Vec<_> = (0..layers.len()).map(|index| format!("{index}/layer.tar")).collect();
    let manifest = json!([{ "Config": config_name, "RepoTags": tags, "Layers": names }]);
    let mut items: Vec<_> = names.iter().zip(layers).map(|(name, layer)| file(name, pack(layer))).collect();
    items.push(file(&config_name, config));
    items.push(file("manifest.json", manifest.to_string()));
    tar(items)
}

/// Descriptor and blob entry of some content.
pub(crate) fn blob(media_type: &str, data: &[u8]) -> (serde_json::Value, Item) {
    let digest = Digest::of(data);
    let descriptor = json!({ "mediaType": media_type, "digest": digest, "size": data.len() });
    (descriptor, file(&format!("blobs/sha256/{}", digest.hex()), data))
}

/// A manifest and the blobs it needs, in an order that no reader would like.
pub(crate) fn oci_image(config: &[u8], layers: &[Vec<u8>], pack: fn(&[u8]) -> Vec<u8>) -> (serde_json::Value, Vec<Item>) {
    let layers: Vec<_> = layers.iter().map(|l| blob("application/vnd.oci.image.layer.v1.tar", &pack(l))).collect();
    let (config, config_item) = blob("application/vnd.oci.image.config.v1+json", config);
    let descriptors: Vec<_> = layers.iter().map(|(descriptor, _)| descriptor).collect();
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": descriptors });
    let (descriptor, manifest_item) = blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
    let mut items: Vec<_> = layers.into_iter().map(|(_, item)| item).collect();
    items.push(config_item);
    items.push(manifest_item);
    (descriptor, items)
}

pub(crate) fn oci_layout(manifests: &[serde_json::Value], mut items: Vec<Item>) -> Vec<u8> {
    items.push(file("index.json", json!({ "schemaVersion": 2, "manifests": manifests }).to_string()));
    items.push(file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#));
    tar(items)
}

/// Fails after some bytes, as a client that goes away.
pub(crate) struct CutOff<'a> {
    pub(crate) data: &'a [u8],
}

impl Read for CutOff<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        match self.data.read(out)? {
            0 => Err(std::io::ErrorKind::ConnectionReset.into()),
            n => Ok(n),
        }
    }
}

/// All paths below a directory with what matters of them.
pub(crate) fn listing(root: &std::path::Path) -> Vec<String> {
    let mut out = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                todo.push(path.clone());
            }
            out.push(path.strip_prefix(root).unwrap().display().to_string());
        }
    }
    out.sort();
    out
}

/// That nothing but the state is left in a store.
pub(crate) fn assert_empty(store: &ImageStore) {
    let root = store.inner.root.clone();
    for part in ["blobs/sha256", "layers", "splits", "tmp"] {
        assert_eq!(listing(&root.join(part)), Vec::<String>::new(), "{part}");
    }
    assert!(store.list().is_empty());
}
