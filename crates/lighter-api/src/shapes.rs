//! What differs between API versions, decided in one place. Handlers and conversions ask for a shape by name and never
//! compare versions.

use crate::version::ApiVersion;

/// The shapes that a client of one version gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a list of independent differences")]
pub struct Shapes {
    /// `docker-init`'s and runc's expected commit, and image `RepoDigests: null`: gone by 1.42.
    pub null_repo_digests: bool,
    /// The content type that tells multiplexed streams from raw ones: from 1.42.
    pub multiplexed_type: bool,
    /// `system df` takes a choice of types: from 1.42.
    pub df_types: bool,
    /// `one-shot` of statistics: from 1.41.
    pub one_shot_stats: bool,
    /// Pruning volumes takes named ones, too: before 1.42.
    pub prunes_named_volumes: bool,
    /// A container is made with one network only: before 1.44.
    pub single_network: bool,
    /// An inspected network tells how many of its addresses are used, a listed one has no containers: from 1.52.
    pub network_status: bool,
    /// Whether a network has IPv4 is the client's choice: from 1.48.
    pub network_ipv4_choice: bool,
    /// A container may have images mounted: from 1.48.
    pub image_mounts: bool,
    /// `VirtualSize` of images: before 1.44.
    pub virtual_size: bool,
    /// `Config.MacAddress` in `inspect`: before 1.44.
    pub config_mac_address: bool,
    /// `ContainerConfig` of an image: before 1.45.
    pub container_config: bool,
    /// What an image list and `inspect` tell of an image as a whole: its manifests from 1.47, its descriptor from 1.48.
    pub image_manifests: bool,
    pub image_descriptor: bool,
    /// An image's `Config` with all of a container's fields: before 1.50.
    pub full_image_config: bool,
    /// `BridgeNfIptables` in `info`: before 1.50.
    pub bridge_nf: bool,
    /// An image list counts containers: from 1.51.
    pub image_containers: bool,
    /// `status`, `id` and `from` of events: before 1.52.
    pub event_legacy_fields: bool,
    /// The bridge's address at the top of `NetworkSettings`: before 1.52.
    pub legacy_network_settings: bool,
    /// `Health` of a container list: from 1.52.
    pub summary_health: bool,
    /// Empty fields of an image are left out: from 1.52.
    pub sparse_images: bool,
    /// Lines of JSON have a media type of their own: from 1.52.
    pub ndjson: bool,
    /// Progress has its bar as text, too: before 1.52.
    pub progress_bars: bool,
    /// `LayersSize`, `Images`, ... of `system df`: before 1.53.
    pub legacy_df: bool,
    /// `ImageUsage`, `ContainerUsage`, ... of `system df`: from 1.52.
    pub df_usage: bool,
}

impl Shapes {
    pub fn of(version: ApiVersion) -> Self {
        let before = |minor| version < ApiVersion(minor);
        Self {
            null_repo_digests: before(42),
            multiplexed_type: !before(42),
            df_types: !before(42),
            one_shot_stats: !before(41),
            prunes_named_volumes: before(42),
            single_network: before(44),
            network_status: !before(52),
            network_ipv4_choice: !before(48),
            image_mounts: !before(48),
            virtual_size: before(44),
            config_mac_address: before(44),
            container_config: before(45),
            image_manifests: !before(47),
            image_descriptor: !before(48),
            full_image_config: before(50),
            bridge_nf: before(50),
            image_containers: !before(51),
            event_legacy_fields: before(52),
            legacy_network_settings: before(52),
            summary_health: !before(52),
            sparse_images: !before(52),
            ndjson: !before(52),
            progress_bars: before(52),
            legacy_df: before(53),
            df_usage: !before(52),
        }
    }
}
