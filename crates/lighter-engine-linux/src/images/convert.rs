//! Images in the domain's types, from the store's, and back.

use lighter_domain::filter::Filters;
use lighter_domain::image::{ContentDescriptor, HistoryEntry, ImageManifest, ImagePlatform, ImportOptions, ManifestKind};
use lighter_domain::{ContainerConfig, Error, HealthConfig, Image, Result};
use lighter_image::{ContainerConfig as Stored, Descriptor, ImageStore, LabelFilter, ManifestInfo, Platform, Reference};
use std::collections::BTreeMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(crate) fn platform_from(text: &str) -> Result<Platform> {
    Platform::parse(text).map_err(|e| Error::invalid(e.to_string()))
}

pub(super) fn platforms_from(texts: &[String]) -> Result<Vec<Platform>> {
    texts.iter().map(|text| platform_from(text)).collect()
}

pub(super) fn platform_of(platform: Platform) -> ImagePlatform {
    let Platform { os, architecture, variant } = platform;
    ImagePlatform { architecture, os, variant }
}

pub(super) fn descriptor(descriptor: Descriptor) -> ContentDescriptor {
    let Descriptor { media_type, digest, size, annotations, platform, artifact_type: _ } = descriptor;
    ContentDescriptor {
        media_type,
        digest: digest.to_string(),
        size,
        annotations: annotations.unwrap_or_default(),
        platform: platform.map(platform_of),
    }
}

pub(super) fn manifest(info: ManifestInfo) -> ImageManifest {
    let ManifestInfo { descriptor: of, available, content, unpacked, image, kind } = info;
    let kind = match kind {
        lighter_image::ManifestKind::Image(platform) => {
            ManifestKind::Image { platform: platform_of(platform), id: image.map(|id| id.to_string()), unpacked }
        }
        lighter_image::ManifestKind::Attestation(of) => ManifestKind::Attestation { of: of.to_string() },
        lighter_image::ManifestKind::Unknown => ManifestKind::Unknown,
    };
    ImageManifest { descriptor: descriptor(of), available, content, kind }
}

pub(super) fn label_filters(filters: &Filters) -> Vec<LabelFilter> {
    let of = |key: &str, negated: bool| {
        let one = |text: &String| {
            let (key, value) = text.split_once('=').map_or((text.as_str(), None), |(k, v)| (k, Some(v.to_owned())));
            LabelFilter { key: key.to_owned(), value, negated }
        };
        filters.get(key).iter().map(one).collect::<Vec<_>>()
    };
    [of("label", false), of("label!", true)].concat()
}

pub(super) fn import_options(options: ImportOptions) -> Result<lighter_image::ImportOptions> {
    let reference = match options.reference.as_str() {
        "" => None,
        text => Some(Reference::parse(text).map_err(|e| Error::invalid(e.to_string()))?.with_default_tag()),
    };
    let platform = match options.platform.as_str() {
        "" => Platform::host(),
        text => platform_from(text)?,
    };
    Ok(lighter_image::ImportOptions {
        config: stored(options.config),
        message: options.message,
        reference,
        platform,
        created: OffsetDateTime::now_utc(),
        docker_version: String::new(),
    })
}

pub(super) fn describe(store: &ImageStore, image: &lighter_image::Image) -> Image {
    let config = &image.config;
    let time = |text: &Option<String>| text.as_deref().and_then(|t| OffsetDateTime::parse(t, &Rfc3339).ok());
    let history = store.history(image).into_iter().map(|h| HistoryEntry {
        created: time(&h.created),
        created_by: h.created_by,
        comment: h.comment,
        size: h.size,
        tags: h.tags,
        id: h.id,
    });
    Image {
        id: image.id.to_string(),
        repo_tags: image.repo_tags.clone(),
        repo_digests: image.repo_digests.clone(),
        created: image.created,
        last_tagged: image.last_tagged,
        size: image.size,
        config: config.config.clone().map(restored).unwrap_or_default(),
        architecture: config.architecture.clone(),
        variant: config.variant.clone(),
        os: config.os.clone(),
        author: config.author.clone(),
        comment: config.comment.clone(),
        docker_version: config.docker_version.clone(),
        layers: image.layers().iter().map(ToString::to_string).collect(),
        companions: store.companions(image).iter().map(ToString::to_string).collect(),
        history: history.collect(),
    }
}

/// From the image's JSON. Field by field, so that none is forgotten.
fn restored(config: Stored) -> ContainerConfig {
    let Stored {
        hostname,
        domainname,
        user,
        attach_stdin,
        attach_stdout,
        attach_stderr,
        exposed_ports,
        tty,
        open_stdin,
        stdin_once,
        env,
        cmd,
        healthcheck,
        args_escaped,
        image,
        volumes,
        working_dir,
        entrypoint,
        network_disabled,
        mac_address,
        on_build,
        labels,
        stop_signal,
        stop_timeout,
        shell,
    } = config;
    let text = |s: String| Some(s).filter(|s| !s.is_empty());
    ContainerConfig {
        hostname,
        domainname,
        user,
        attach_stdin,
        attach_stdout,
        attach_stderr,
        tty,
        open_stdin,
        stdin_once,
        cmd,
        args_escaped,
        image,
        working_dir,
        entrypoint,
        network_disabled,
        on_build,
        stop_timeout,
        shell,
        exposed_ports: exposed_ports.unwrap_or_default().into_keys().collect(),
        env: env.unwrap_or_default(),
        healthcheck: healthcheck.map(|h| HealthConfig {
            test: h.test.unwrap_or_default(),
            interval: h.interval,
            timeout: h.timeout,
            retries: h.retries,
            start_period: h.start_period,
            start_interval: h.start_interval,
        }),
        volumes: volumes.unwrap_or_default().into_keys().collect(),
        mac_address: text(mac_address),
        labels: labels.unwrap_or_default(),
        stop_signal: text(stop_signal),
    }
}

/// Into the image's JSON.
pub(crate) fn stored(config: ContainerConfig) -> Stored {
    let ContainerConfig {
        hostname,
        domainname,
        user,
        attach_stdin,
        attach_stdout,
        attach_stderr,
        exposed_ports,
        tty,
        open_stdin,
        stdin_once,
        env,
        cmd,
        healthcheck,
        args_escaped,
        image,
        volumes,
        working_dir,
        entrypoint,
        network_disabled,
        mac_address,
        on_build,
        labels,
        stop_signal,
        stop_timeout,
        shell,
    } = config;
    let set = |keys: std::collections::BTreeSet<String>| {
        let empty = || serde_json::Value::Object(serde_json::Map::new());
        let map: BTreeMap<_, _> = keys.into_iter().map(|k| (k, empty())).collect();
        Some(map).filter(|m| !m.is_empty())
    };
    Stored {
        hostname,
        domainname,
        user,
        attach_stdin,
        attach_stdout,
        attach_stderr,
        tty,
        open_stdin,
        stdin_once,
        cmd,
        args_escaped,
        image,
        working_dir,
        entrypoint,
        network_disabled,
        on_build,
        stop_timeout,
        shell,
        exposed_ports: set(exposed_ports),
        env: Some(env).filter(|e| !e.is_empty()),
        healthcheck: healthcheck.map(|h| lighter_image::Healthcheck {
            test: Some(h.test),
            interval: h.interval,
            timeout: h.timeout,
            start_period: h.start_period,
            start_interval: h.start_interval,
            retries: h.retries,
        }),
        volumes: set(volumes),
        mac_address: mac_address.unwrap_or_default(),
        labels: Some(labels).filter(|l| !l.is_empty()),
        stop_signal: stop_signal.unwrap_or_default(),
    }
}
