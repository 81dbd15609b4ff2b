//! `info`, `version`, `system df`.

use crate::convert::{container, image, volume};
use crate::shapes::Shapes;
use crate::version::{API_VERSION, LIGHTER_VERSION, MIN_API_VERSION, SERVER_VERSION};
use lighter_core::{DiskUsage, Info, Listed, VolumeUse};
use lighter_engine::{Description, RegistryFacts};
use lighter_wire::GoTime;
use lighter_wire::system as wire;
use lighter_wire::volume::Volume;
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// Go's name of a machine, as `version` wants it.
fn go_arch(machine: &str) -> String {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
    .to_owned()
}

pub fn version(engine: Description) -> wire::Version {
    let mut details = BTreeMap::new();
    details.insert("ApiVersion", API_VERSION.to_owned());
    details.insert("MinAPIVersion", MIN_API_VERSION.to_owned());
    details.insert("Os", engine.os_type.clone());
    details.insert("Arch", go_arch(&engine.architecture));
    details.insert("KernelVersion", engine.kernel_version.clone());
    details.insert("GitCommit", String::new());
    details.insert("GoVersion", String::new());
    let mut components = vec![
        wire::Component { name: "Engine".to_owned(), version: SERVER_VERSION.to_owned(), details },
        wire::Component { name: "Lighter".to_owned(), version: LIGHTER_VERSION.to_owned(), details: BTreeMap::new() },
    ];
    let component = |(name, version)| wire::Component { name, version, details: BTreeMap::new() };
    components.extend(engine.components.into_iter().map(component));
    wire::Version {
        platform: wire::Platform { name: format!("Lighter ({} engine)", engine.name) },
        components,
        version: SERVER_VERSION,
        api_version: API_VERSION,
        min_api_version: MIN_API_VERSION,
        git_commit: "",
        go_version: "",
        os: engine.os_type,
        arch: go_arch(&engine.architecture),
        kernel_version: engine.kernel_version,
        build_time: "",
    }
}

pub fn info(info: Info, shapes: Shapes) -> wire::Info {
    let Info {
        daemon_id,
        host_name,
        data_root,
        engine,
        containers_running,
        containers_paused,
        containers_stopped,
        images,
        event_listeners,
        debug,
        logging_driver,
        warnings,
    } = info;
    let registries = engine.registries.clone();
    let commit = || wire::Commit { id: String::new() };
    wire::Info {
        id: daemon_id,
        containers: containers_running + containers_paused + containers_stopped,
        containers_running,
        containers_paused,
        containers_stopped,
        images,
        driver: engine.storage_driver,
        driver_status: engine.storage_status.into_iter().map(|(k, v)| [k, v]).collect(),
        plugins: wire::Plugins {
            volume: vec!["local"],
            network: vec!["bridge", "host", "ipvlan", "macvlan", "null"],
            authorization: None,
            log: vec!["journald", "json-file", "local", "none", "syslog"],
        },
        memory_limit: engine.memory_limit,
        swap_limit: engine.swap_limit,
        kernel_memory: None,
        cpu_cfs_period: engine.cpu_cfs,
        cpu_cfs_quota: engine.cpu_cfs,
        cpu_shares: engine.cpu_shares,
        cpu_set: engine.cpuset,
        pids_limit: engine.pids_limit,
        ipv4_forwarding: engine.ipv4_forwarding,
        bridge_nf_iptables: shapes.bridge_nf.then_some(true),
        bridge_nf_ip6tables: shapes.bridge_nf.then_some(true),
        debug,
        n_fd: std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
        oom_kill_disable: engine.cgroup_version == "1",
        n_goroutines: std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count),
        system_time: GoTime(Some(OffsetDateTime::now_utc())),
        logging_driver,
        cgroup_driver: engine.cgroup_driver,
        cgroup_version: engine.cgroup_version,
        n_events_listener: event_listeners,
        kernel_version: engine.kernel_version,
        operating_system: engine.operating_system,
        os_version: engine.os_version,
        os_type: engine.os_type,
        architecture: engine.architecture,
        index_server_address: "https://index.docker.io/v1/",
        registry_config: registry_config(&registries),
        n_cpu: engine.cpus,
        mem_total: engine.memory_total,
        generic_resources: None,
        docker_root_dir: data_root,
        http_proxy: registries.http_proxy,
        https_proxy: registries.https_proxy,
        no_proxy: registries.no_proxy,
        name: host_name,
        labels: Vec::new(),
        experimental_build: false,
        server_version: SERVER_VERSION,
        runtimes: BTreeMap::from([("runc".to_owned(), wire::Runtime { path: "lighter-supervisor".to_owned() })]),
        default_runtime: "runc".to_owned(),
        swarm: wire::Swarm {
            node_id: "",
            node_addr: "",
            local_node_state: "inactive",
            control_available: false,
            error: "",
            remote_managers: None,
        },
        live_restore_enabled: true,
        isolation: "",
        init_binary: "lighter-init",
        containerd_commit: commit(),
        runc_commit: commit(),
        init_commit: commit(),
        security_options: engine.security_options,
        cdi_spec_dirs: Vec::new(),
        warnings: (!warnings.is_empty()).then_some(warnings),
    }
}

fn registry_config(registries: &RegistryFacts) -> wire::RegistryConfig {
    let index = |name: &str, mirrors: &[String], official| wire::Index {
        mirrors: mirrors.to_vec(),
        name: name.to_owned(),
        official,
        secure: official,
    };
    let hub = index("docker.io", &registries.mirrors, true);
    let named = registries.insecure_names.iter().map(|name| (name.clone(), index(name, &[], false)));
    wire::RegistryConfig {
        index_configs: std::iter::once((hub.name.clone(), hub)).chain(named).collect(),
        insecure_registry_cidrs: registries.insecure_networks.clone(),
        mirrors: (!registries.mirrors.is_empty()).then(|| registries.mirrors.clone()),
    }
}

/// Which parts of `system df` were asked for; none: all.
#[derive(Debug, Clone, Copy)]
pub struct Parts {
    pub images: bool,
    pub containers: bool,
    pub volumes: bool,
    pub build_cache: bool,
}

pub fn data_usage(usage: &DiskUsage, parts: Parts, verbose: bool, shapes: Shapes) -> wire::DataUsage<'_> {
    let now = OffsetDateTime::now_utc();
    let images = || usage.images.iter().map(|(i, u)| image::summary(i, *u, true, shapes)).collect::<Vec<_>>();
    let containers = || usage.containers.iter().map(|l| container::summary(l, now, shapes)).collect::<Vec<_>>();
    let volumes = || usage.volumes.iter().map(|u| volume::volume(&u.volume, Some(u))).collect::<Vec<_>>();
    let none = || -> Vec<Volume<'_>> { Vec::new() };
    let mut out = wire::DataUsage::default();
    if shapes.legacy_df {
        out.layers_size = parts.images.then_some(usage.layers.layers_size);
        out.images = parts.images.then(images);
        out.containers = parts.containers.then(containers);
        out.volumes = parts.volumes.then(volumes);
        out.build_cache = parts.build_cache.then(none);
    }
    if shapes.df_usage {
        out.image_usage = parts.images.then(|| image_usage(usage, verbose.then(images)));
        out.container_usage = parts.containers.then(|| container_usage(&usage.containers, verbose.then(containers)));
        let empty = || wire::Usage { active_count: 0, total_count: 0, reclaimable: 0, total_size: 0, items: verbose.then(none) };
        out.volume_usage = parts.volumes.then(|| volume_usage(&usage.volumes, verbose.then(volumes)));
        out.build_cache_usage = parts.build_cache.then(empty);
    }
    out
}

fn image_usage<T>(usage: &DiskUsage, items: Option<Vec<T>>) -> wire::Usage<T> {
    let used = usage.images.iter().filter(|(_, u)| u.containers > 0).count() as u64;
    let freed: u64 =
        usage.images.iter().filter(|(_, u)| u.containers == 0).map(|(i, u)| i.size.saturating_sub(u.shared_size)).sum();
    let total_size = usage.layers.layers_size;
    wire::Usage { active_count: used, total_count: usage.images.len() as u64, reclaimable: freed, total_size, items }
}

fn container_usage<T>(containers: &[Listed], items: Option<Vec<T>>) -> wire::Usage<T> {
    let size = |l: &&Listed| l.size.map_or(0, |s| s.rw);
    let live = |l: &&Listed| l.container.state.is_running();
    wire::Usage {
        active_count: containers.iter().filter(live).count() as u64,
        total_count: containers.len() as u64,
        reclaimable: containers.iter().filter(|l| !live(l)).map(|l| size(&l)).sum(),
        total_size: containers.iter().map(|l| size(&l)).sum(),
        items,
    }
}

fn volume_usage<T>(volumes: &[VolumeUse], items: Option<Vec<T>>) -> wire::Usage<T> {
    let size = |v: &VolumeUse| v.size.unwrap_or(0);
    wire::Usage {
        active_count: volumes.iter().filter(|v| v.containers > 0).count() as u64,
        total_count: volumes.len() as u64,
        reclaimable: volumes.iter().filter(|v| v.containers == 0).map(size).sum(),
        total_size: volumes.iter().map(size).sum(),
        items,
    }
}
