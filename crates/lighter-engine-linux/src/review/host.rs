//! The machine-dependent half of the configuration.

use super::{Machine, Notes, not_yet, resources, security};
use crate::run::network::{dns, extra_hosts};
use crate::spec::modes::{Ipc, Modes, Network, Sharing};
use crate::spec::{process, tmpfs};
use lighter_domain::container::{MountKind, MountPoint};
use lighter_domain::host_config::{DeviceRequest, HostConfig, MountType};
use lighter_domain::{Container, EndpointConfig, Error, Result};

#[expect(clippy::too_many_lines, reason = "one structure, taken apart in one place")]
pub(super) fn check(container: &Container, machine: &Machine, modes: &Modes, notes: &mut Notes) -> Result<()> {
    let HostConfig {
        // Looked at by `resources`, with what they need of each other.
        cpu_shares: _,
        memory: _,
        blkio_weight: _,
        blkio_weight_device: _,
        blkio_device_read_bps: _,
        blkio_device_write_bps: _,
        blkio_device_read_iops: _,
        blkio_device_write_iops: _,
        cpu_period: _,
        cpu_quota: _,
        cpu_realtime_period: _,
        cpu_realtime_runtime: _,
        cpuset_cpus: _,
        cpuset_mems: _,
        kernel_memory: _,
        kernel_memory_tcp: _,
        memory_reservation: _,
        memory_swap: _,
        memory_swappiness: _,
        nano_cpus: _,
        oom_kill_disable: _,
        pids_limit: _,
        device_cgroup_rules: _,
        // Looked at by `security`.
        cap_add: _,
        cap_drop: _,
        security_opt: _,
        masked_paths: _,
        readonly_paths: _,
        privileged: _,
        // By `Modes`.
        cgroupns_mode: _,
        ipc_mode: _,
        pid_mode: _,
        uts_mode: _,
        network_mode,
        // Honoured as they are.
        devices: _,
        readonly_rootfs: _,
        group_add: _,
        console_size: _,
        annotations,
        // The core's affair.
        binds: _,
        container_id_file: _,
        restart_policy: _,
        auto_remove: _,
        // Carried out by the table of fields.
        cgroup: _,
        storage_opt: _,
        cpu_count: _,
        cpu_percent: _,
        io_maximum_iops: _,
        io_maximum_bandwidth: _,
        // Checked here.
        cgroup_parent,
        device_requests,
        init,
        ulimits,
        log_config: _,
        port_bindings,
        volume_driver: _,
        volumes_from: _,
        mounts,
        dns: _,
        dns_options: _,
        dns_search: _,
        extra_hosts: _,
        links,
        oom_score_adj,
        publish_all_ports,
        tmpfs: tmpfs_flags,
        userns_mode,
        shm_size,
        sysctls,
        runtime,
        isolation,
    } = &container.host_config;
    resources::check(&container.host_config, machine, notes)?;
    security::check(container, machine, notes)?;
    check_names(cgroup_parent, runtime, isolation, userns_mode)?;
    if let Some(request) = device_requests.first() {
        return Err(no_driver(request));
    }
    if *init == Some(true) && !machine.init {
        return Err(Error::internal("the program for --init (lighter-init) is not installed"));
    }
    process::rlimits(ulimits)?;
    if !(-1000..=1000).contains(oom_score_adj) {
        return Err(Error::invalid(format!("Invalid value {oom_score_adj}, range for oom score adj is [-1000, 1000]")));
    }
    if *shm_size < 0 {
        return Err(Error::invalid("SHM size can not be less than 0"));
    }
    if *shm_size > 0 && modes.ipc == Ipc::Host {
        notes.leave_out(*shm_size != crate::spec::mounts::DEFAULT_SHM, "HostConfig.ShmSize", "/dev/shm is the host's");
    }
    check_network(container, notes)?;
    if !port_bindings.values().all(Vec::is_empty) || *publish_all_ports {
        match modes.network {
            // As with dockerd: there is nothing to publish from.
            Network::Host => {
                notes.warn(true, "HostConfig.PortBindings", "Published ports are discarded when using host network mode")
            }
            Network::None => notes.leave_out(true, "HostConfig.PortBindings", "the container has no network"),
            // The core refuses ports of containers that share another's network.
            Network::Own | Network::Joined => drop(crate::networks::ports::wants(container, None)?),
        }
    }
    if !links.is_empty() {
        return Err(not_yet("links"));
    }
    dns(container)?;
    extra_hosts(container, Some(std::net::Ipv4Addr::UNSPECIFIED.into()))?;
    check_sysctls(sysctls, modes)?;
    for options in tmpfs_flags.values() {
        tmpfs::of_flag(options)?;
    }
    for mount in mounts {
        match mount.mount_type {
            MountType::Bind | MountType::Volume | MountType::Image => {}
            MountType::Tmpfs => tmpfs::check_mount(mount)?,
            MountType::Npipe | MountType::Cluster => {
                return Err(Error::invalid("invalid mount config: this type of mount does not exist on this platform"));
            }
        }
    }
    container.mounts.iter().try_for_each(check_mount)?;
    if let Some(options) = crate::logs::options::of(container)? {
        for option in options.ignored {
            notes.leave_out(true, &format!("HostConfig.LogConfig.Config.{option}"), "the log is kept without it");
        }
    }
    if annotations.keys().any(String::is_empty) {
        return Err(Error::invalid("invalid Annotations: the empty string is not permitted as an annotation key"));
    }
    let odd_disabled = container.config.network_disabled && !matches!(network_mode.as_str(), "" | "default" | "none" | "bridge");
    notes.leave_out(odd_disabled, "HostConfig.NetworkMode", "the network is disabled");
    Ok(())
}

fn check_names(cgroup_parent: &str, runtime: &str, isolation: &str, userns_mode: &str) -> Result<()> {
    if cgroup_parent.split('/').any(|part| part == ".." || part == ".") {
        return Err(Error::invalid(format!("invalid cgroup parent: {cgroup_parent}")));
    }
    if cgroup_parent.ends_with(".slice") {
        return Err(Error::invalid("cgroup-parent for cgroupfs cgroup should be a path, not a systemd slice"));
    }
    if !matches!(runtime, "" | "runc" | "io.containerd.runc.v2" | "lighter") {
        return Err(Error::invalid(format!("unknown or invalid runtime name: {runtime}")));
    }
    if !matches!(isolation, "" | "default") {
        return Err(Error::invalid(format!("invalid isolation ({isolation}): linux only supports 'default'")));
    }
    // Without remapping on the daemon's side, `host` is what there is.
    if !matches!(userns_mode, "" | "host") {
        return Err(Error::invalid("invalid USER mode: user namespace remapping is not done by the linux engine"));
    }
    Ok(())
}

/// In dockerd's words for a machine without the hook that drivers need.
fn no_driver(request: &DeviceRequest) -> Error {
    let capabilities: Vec<String> = request.capabilities.iter().map(|all| format!("[{}]", all.join(" "))).collect();
    let text = format!("could not select device driver \"{}\" with capabilities: [{}]", request.driver, capabilities.join(" "));
    Error::not_implemented(text)
}

/// What may be asked of a network is the core's to check, but for what this engine does not do.
fn check_network(container: &Container, notes: &mut Notes) -> Result<()> {
    const IFNAME: &str = "com.docker.network.endpoint.ifname";
    const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";
    for (name, endpoint) in &container.endpoints {
        let EndpointConfig {
            ipv4_address: _,
            ipv6_address: _,
            link_local_ips,
            links: _,
            aliases: _,
            mac_address: _,
            driver_opts,
            gw_priority: _,
        } = endpoint;
        if let Some(ifname) = driver_opts.get(IFNAME)
            && (ifname.len() > 15 || ifname.contains(['/', ':']) || ifname.contains(char::is_whitespace))
        {
            return Err(Error::invalid(format!("invalid interface name {ifname:?} for network {name}")));
        }
        let option = |field: &str| format!("NetworkingConfig.EndpointsConfig.{field}");
        let other = driver_opts.keys().any(|key| key != IFNAME && key != SYSCTLS);
        notes.leave_out(other, &option("DriverOpts"), "only the interface's name and sysctls can be set");
        notes.leave_out(!link_local_ips.is_empty(), &option("IPAMConfig.LinkLocalIPs"), "interfaces have no further addresses");
    }
    Ok(())
}

/// Only what belongs to the container's own namespaces.
fn check_sysctls(sysctls: &std::collections::BTreeMap<String, String>, modes: &Modes) -> Result<()> {
    const IPC: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    for name in sysctls.keys() {
        let dotted = name.replace('/', ".");
        let ipc = IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.");
        let net = dotted.starts_with("net.");
        let shared = |what: &str| Error::invalid(format!("sysctl \"{name}\" not allowed in host {what} namespace"));
        if ipc && modes.ipc == Ipc::Host {
            return Err(shared("ipc"));
        }
        if net && modes.network == Network::Host {
            return Err(shared("network"));
        }
        let own_uts = matches!(dotted.as_str(), "kernel.hostname" | "kernel.domainname") && modes.uts == Sharing::Private;
        if !ipc && !net && !own_uts {
            return Err(Error::invalid(format!(
                "sysctl '{name}' is not allowed: it is not in a namespace of the container's own"
            )));
        }
    }
    Ok(())
}

fn check_mount(point: &MountPoint) -> Result<()> {
    match point.kind {
        MountKind::Volume | MountKind::Tmpfs | MountKind::Image => return Ok(()),
        MountKind::Bind => {}
    }
    if point.destination == "/" {
        return Err(Error::invalid("invalid mount config for type \"bind\": invalid specification: destination can't be '/'"));
    }
    if !point.create_source && !std::path::Path::new(&point.source).exists() {
        let text = format!("invalid mount config for type \"bind\": bind source path does not exist: {}", point.source);
        return Err(Error::invalid(text));
    }
    Ok(())
}
