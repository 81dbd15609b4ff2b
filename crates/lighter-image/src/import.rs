//! `docker import`: a root file system becomes an image of one layer. And what a platform is.

use std::io::Read;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::{ContainerConfig, HistoryEntry, ImageConfig, RootFs};
use crate::digest::ImageId;
use crate::error::{ArchiveError, Result};
use crate::reference::Reference;
use crate::stage::NewImage;
use crate::store::ImageStore;

/// What an image runs on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, ...
    pub architecture: String,
    /// `v7`, `v8`; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl Platform {
    /// This machine.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: String::new() }
    }

    /// `os[/arch[/variant]]`, or an architecture alone; what is not said is this machine's. The error is containerd's.
    ///
    /// # Errors
    /// Too many parts, or a single word that is neither.
    pub fn parse(text: &str) -> Result<Self, ArchiveError> {
        let host = Self::host();
        let parts: Vec<&str> = text.split('/').collect();
        let known = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if parts.len() > 3 || !parts.iter().all(|part| known(part)) {
            return Err(ArchiveError::BadPlatform(text.to_owned(), "cannot parse platform specifier"));
        }
        let part = |at: usize| parts.get(at).map(|part| part.to_ascii_lowercase());
        let normal = |architecture: String| match architecture.as_str() {
            "x86_64" | "x86-64" => "amd64".to_owned(),
            "aarch64" => "arm64".to_owned(),
            "i386" | "i686" => "386".to_owned(),
            "armhf" => "arm".to_owned(),
            _ => architecture,
        };
        let os = part(0).unwrap_or_default();
        let (os, architecture) = match part(1) {
            Some(architecture) => (os, normal(architecture)),
            None if ["linux", "windows", "darwin", "freebsd"].contains(&os.as_str()) => (os, host.architecture),
            None if ARCHITECTURES.contains(&normal(os.clone()).as_str()) => (host.os, normal(os)),
            None => return Err(ArchiveError::BadPlatform(text.to_owned(), "unknown operating system or architecture")),
        };
        let variant = part(2).filter(|variant| !(architecture == "arm64" && variant == "v8")).unwrap_or_default();
        Ok(Self { os, architecture, variant })
    }

    /// Whether something for `self` runs on `host`. Variants count where both are given; `v8` is what arm64 means anyway.
    pub fn fits(&self, host: &Self) -> bool {
        let variant = |platform: &Self| match platform.variant.as_str() {
            "v8" if platform.architecture == "arm64" => String::new(),
            variant => variant.to_owned(),
        };
        let variants = (variant(self), variant(host));
        let same_variant = variants.0 == variants.1 || variants.1.is_empty() && host.architecture == "arm";
        self.os == host.os && self.architecture == host.architecture && same_variant
    }
}

const ARCHITECTURES: &[&str] =
    &["386", "amd64", "arm", "arm64", "loong64", "mips64", "mips64le", "ppc64", "ppc64le", "riscv64", "s390x", "wasm"];

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

/// How to import.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The `Dockerfile` changes, applied to an empty configuration already.
    pub config: ContainerConfig,
    /// Goes to comment and history; empty is `Imported from -`.
    pub message: String,
    /// Its name, if it gets one.
    pub reference: Option<Reference>,
    /// What it runs on.
    pub platform: Platform,
    /// Its time.
    pub created: OffsetDateTime,
    /// What to note as `docker_version`; may be empty.
    pub docker_version: String,
}

impl ImageStore {
    /// Makes an image of a root file system's tar (plain, gzip, zstd).
    ///
    /// # Errors
    /// A damaged or hostile tar, a failing reader, a full disk; nothing is left then.
    pub fn import(&self, reader: impl Read, options: ImportOptions) -> Result<ImageId> {
        let stage = self.stage()?;
        let diff_id = stage.add_layer(reader, None)?;
        let message = match options.message.as_str() {
            "" => "Imported from -".to_owned(),
            message => message.to_owned(),
        };
        let created = options.created.format(&Rfc3339).ok();
        let entry = HistoryEntry { created: created.clone(), comment: message.clone(), ..HistoryEntry::default() };
        let config = ImageConfig {
            architecture: options.platform.architecture,
            variant: options.platform.variant,
            os: options.platform.os,
            comment: message,
            config: Some(options.config),
            created,
            docker_version: options.docker_version,
            history: vec![entry],
            rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![diff_id] },
            ..ImageConfig::default()
        };
        let config = serde_json::to_vec(&config)
            .map_err(|error| ArchiveError::BadJson { file: "image configuration".to_owned(), reason: error.to_string() })?;
        let names = options.reference.map(Reference::with_default_tag).into_iter().collect();
        let ids = stage.commit(vec![NewImage { config, names, ..NewImage::default() }])?;
        ids.into_iter().next().ok_or_else(|| ArchiveError::NotAnImage.into())
    }
}
