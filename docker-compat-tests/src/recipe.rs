//! Images for the registry tests, made layer by layer in the form that a test is about.

use serde_json::{Value, json};

use crate::registry::{OCI, Registry, SCHEMA2, digest};

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// An image to be put into a registry.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// OCI's media types, or Docker's.
    pub oci: bool,
    pub architecture: &'static str,
    /// Uncompressed tars and how they are packed, bottom first.
    pub layers: Vec<(Vec<u8>, Packing)>,
    pub label: String,
}

impl Recipe {
    /// An image of these layers.
    pub fn new(oci: bool, layers: Vec<(Vec<u8>, Packing)>) -> Self {
        Self { oci, architecture: host_architecture(), layers, label: String::new() }
    }

    /// Puts it into the registry, under `reference` or only by digest; gives a descriptor of its manifest.
    pub fn put(&self, registry: &Registry, repository: &str, reference: &str) -> Value {
        let kind = |packing| match (self.oci, packing) {
            (true, Packing::Plain) => "application/vnd.oci.image.layer.v1.tar",
            (true, Packing::Gzip) => "application/vnd.oci.image.layer.v1.tar+gzip",
            (true, Packing::Zstd) => "application/vnd.oci.image.layer.v1.tar+zstd",
            (false, Packing::Plain) => "application/vnd.docker.image.rootfs.diff.tar",
            (false, Packing::Gzip) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            (false, Packing::Zstd) => "application/vnd.docker.image.rootfs.diff.tar.zstd",
        };
        let layers: Vec<Value> = self
            .layers
            .iter()
            .map(|(tar, packing)| {
                let bytes = pack(tar, *packing);
                json!({"mediaType": kind(*packing), "size": bytes.len(), "digest": registry.blob(repository, &bytes)})
            })
            .collect();
        let diff_ids: Vec<String> = self.layers.iter().map(|(tar, _)| digest(tar)).collect();
        let config = json!({
            "architecture": self.architecture, "os": "linux", "created": "2024-01-02T03:04:05Z",
            "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"], "Labels": {"made": self.label}},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": diff_ids.iter().map(|_| json!({"created_by": "test"})).collect::<Vec<_>>(),
        });
        let config = serde_json::to_vec(&config).unwrap();
        let (kind, config_kind) = match self.oci {
            true => (OCI, "application/vnd.oci.image.config.v1+json"),
            false => (SCHEMA2, "application/vnd.docker.container.image.v1+json"),
        };
        let manifest = json!({
            "schemaVersion": 2, "mediaType": kind,
            "config": {"mediaType": config_kind, "size": config.len(), "digest": registry.blob(repository, &config)},
            "layers": layers,
        });
        let digest = registry.manifest(repository, reference, kind, &manifest);
        let size = serde_json::to_vec(&manifest).unwrap().len();
        json!({"mediaType": kind, "digest": digest, "size": size, "platform": {"os": "linux", "architecture": self.architecture}})
    }
}

/// As image configurations name this machine.
pub fn host_architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// A tar of regular files.
pub fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, contents) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(contents.len() as u64);
        header.set_mode(0o755);
        header.set_mtime(1);
        header.set_cksum();
        builder.append_data(&mut header, name, *contents).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(length).collect()
}

fn pack(tar: &[u8], packing: Packing) -> Vec<u8> {
    use std::io::Write as _;
    match packing {
        Packing::Plain => tar.to_vec(),
        Packing::Gzip => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(tar).unwrap();
            out.finish().unwrap()
        }
        Packing::Zstd => zstd::encode_all(tar, 1).unwrap(),
    }
}
