//! Images.

use crate::convert::container::config as full_config;
use crate::failure::Failure;
use crate::shapes::Shapes;
use lighter_core::ImageUsage;
use lighter_domain::image::{
    Attestation, ContentDescriptor, HistoryEntry, ImageDeleted, ImageManifest, ImageManifests, ImagePlatform, ImageUsers,
    LoadedImage, ManifestKind,
};
use lighter_domain::{ContainerConfig, Image};
use lighter_wire::GoTime;
use lighter_wire::container::GraphDriver;
use lighter_wire::decode::Set;
use lighter_wire::image::{
    AttestationData, AttestationStatement, Deleted, Descriptor, History, ImageConfig, ImageData, ImageFields, Inspect,
    ManifestSize, ManifestSummary, Metadata, Platform, PlatformQuery, RootFs, SparseImageFields, Summary, Unpacked, Whole,
};

pub fn summary<'a>(image: &'a Image, usage: ImageUsage, shared: bool, shapes: Shapes) -> Summary<'a> {
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    Summary {
        containers: if shapes.image_containers { count(usage.containers) } else { -1 },
        created: image.created.map_or(0, time::OffsetDateTime::unix_timestamp),
        id: &image.id,
        labels: (!image.config.labels.is_empty()).then_some(&image.config.labels),
        parent_id: "",
        repo_digests: &image.repo_digests,
        repo_tags: &image.repo_tags,
        shared_size: if shared { count(usage.shared_size) } else { -1 },
        size: image.size,
        virtual_size: shapes.virtual_size.then_some(image.size),
        whole: None,
    }
}

/// What an image consists of. `users`: the containers of each image.
pub fn whole<'a>(manifests: &'a ImageManifests, users: &'a ImageUsers, shapes: Shapes) -> Whole<'a> {
    let ImageManifests { target, manifests } = manifests;
    Whole {
        descriptor: shapes.image_descriptor.then(|| descriptor(target)),
        manifests: manifests.iter().map(|one| manifest(one, users)).collect(),
    }
}

fn manifest<'a>(manifest: &'a ImageManifest, users: &'a ImageUsers) -> ManifestSummary<'a> {
    let ImageManifest { descriptor: of, available, content, kind } = manifest;
    let mut summary = ManifestSummary {
        id: &of.digest,
        descriptor: descriptor(of),
        available: *available,
        size: ManifestSize { total: *content, content: *content },
        kind: "unknown",
        image_data: None,
        attestation_data: None,
    };
    match kind {
        ManifestKind::Image { platform: on, id, unpacked } => {
            let containers = id.as_ref().and_then(|id| users.0.get(id)).map(Vec::as_slice).unwrap_or_default();
            let containers = containers.iter().map(|user| user.container_id.as_str()).collect();
            summary.kind = "image";
            summary.size.total += unpacked;
            summary.image_data = Some(ImageData { platform: platform(on), containers, size: Unpacked { unpacked: *unpacked } });
        }
        ManifestKind::Attestation { of } => {
            summary.kind = "attestation";
            summary.attestation_data = Some(AttestationData { r#for: of });
        }
        ManifestKind::Unknown => {}
    }
    summary
}

pub fn descriptor(descriptor: &ContentDescriptor) -> Descriptor<'_> {
    let ContentDescriptor { media_type, digest, size, annotations, platform: on } = descriptor;
    Descriptor {
        media_type,
        digest,
        size: *size,
        annotations: (!annotations.is_empty()).then_some(annotations),
        platform: on.as_ref().map(platform),
    }
}

pub fn platform(platform: &ImagePlatform) -> Platform<'_> {
    let ImagePlatform { architecture, os, variant } = platform;
    Platform { architecture, os, variant }
}

pub fn attestation(attestation: &Attestation) -> AttestationStatement<'_> {
    let Attestation { descriptor: of, predicate, statement } = attestation;
    AttestationStatement {
        descriptor: descriptor(of),
        predicate_type: predicate,
        // Not JSON is no statement.
        statement: statement.as_ref().and_then(|bytes| serde_json::from_slice(bytes).ok()),
    }
}

/// A platform as a query has it: OCI's JSON, into text.
pub fn platform_text(raw: &str) -> Result<String, Failure> {
    let PlatformQuery { os, architecture, variant } = lighter_wire::json::read(raw.as_bytes(), "")
        .map_err(|e| Failure::bad_request(format!("failed to parse platform: {e}")))?;
    if os.is_empty() || architecture.is_empty() {
        return Err(Failure::bad_request("both OS and Architecture must be provided"));
    }
    Ok(ImagePlatform { architecture, os, variant }.to_string())
}

pub fn inspect<'a>(image: &'a Image, driver: &'a str, shapes: Shapes) -> Inspect<'a> {
    // From 1.52 on what is empty is left out.
    let text = |s: &'a String| (!shapes.sparse_images || !s.is_empty()).then_some(s.as_str());
    Inspect {
        id: &image.id,
        repo_tags: &image.repo_tags,
        repo_digests: &image.repo_digests,
        parent: (!shapes.sparse_images).then_some(""),
        comment: text(&image.comment),
        created: (!shapes.sparse_images || image.created.is_some()).then_some(GoTime(image.created)),
        container_config: shapes.container_config.then(|| full_config(&ContainerConfig::default(), shapes)),
        docker_version: text(&image.docker_version),
        author: text(&image.author),
        architecture: &image.architecture,
        variant: &image.variant,
        os: &image.os,
        size: image.size,
        virtual_size: shapes.virtual_size.then_some(image.size),
        graph_driver: GraphDriver { data: None, name: driver },
        root_fs: RootFs { kind: "layers", layers: &image.layers },
        metadata: Metadata { last_tag_time: GoTime(image.last_tagged) },
        config: config(&image.config, shapes),
        whole: None,
    }
}

fn config(c: &ContainerConfig, shapes: Shapes) -> ImageConfig {
    if shapes.full_image_config {
        return ImageConfig::Full(Box::new(full_config(c, shapes)));
    }
    let full = full_config(c, shapes);
    let set = |s: Set| if s.is_empty() { Set(None) } else { s };
    if shapes.sparse_images {
        return ImageConfig::Sparse(SparseImageFields {
            args_escaped: full.args_escaped,
            cmd: full.cmd.0,
            entrypoint: full.entrypoint.0,
            env: full.env.filter(|e| !e.is_empty()),
            exposed_ports: set(full.exposed_ports),
            healthcheck: full.healthcheck,
            labels: full.labels.filter(|l| !l.is_empty()),
            on_build: full.on_build.filter(|o| !o.is_empty()),
            shell: full.shell,
            stop_signal: full.stop_signal,
            user: full.user,
            volumes: set(full.volumes),
            working_dir: full.working_dir,
        });
    }
    ImageConfig::Image(ImageFields {
        args_escaped: full.args_escaped,
        cmd: full.cmd.0,
        entrypoint: full.entrypoint.0,
        env: full.env,
        exposed_ports: full.exposed_ports,
        healthcheck: full.healthcheck,
        labels: full.labels.filter(|l| !l.is_empty()),
        on_build: full.on_build,
        shell: full.shell,
        stop_signal: full.stop_signal,
        user: full.user,
        volumes: full.volumes,
        working_dir: full.working_dir,
    })
}

pub fn history(entry: &HistoryEntry) -> History<'_> {
    let HistoryEntry { created, created_by, comment, size, tags, id } = entry;
    History {
        comment,
        created: created.map_or(0, time::OffsetDateTime::unix_timestamp),
        created_by,
        id,
        size: *size,
        tags: (!tags.is_empty()).then_some(tags.as_slice()),
    }
}

pub fn deleted(one: ImageDeleted) -> Deleted {
    match one {
        ImageDeleted::Untagged { name, image: _ } => Deleted { untagged: Some(name), deleted: None },
        ImageDeleted::Deleted(id) | ImageDeleted::Layer(id) => Deleted { untagged: None, deleted: Some(id) },
    }
}

/// What the CLI prints after a load.
pub fn loaded(images: &[LoadedImage]) -> String {
    let mut text = String::new();
    for LoadedImage { id, names } in images {
        for name in names {
            text.push_str(&format!("Loaded image: {name}\n"));
        }
        if names.is_empty() {
            text.push_str(&format!("Loaded image ID: {id}\n"));
        }
    }
    text
}
