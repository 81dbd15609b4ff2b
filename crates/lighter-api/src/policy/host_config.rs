//! What of a container's configuration stays within it.

use lighter_domain::host_config::{HostConfig, MASKED_PATHS, READONLY_PATHS};

/// What of a configuration reaches beyond the container: everything that is not known to stay within it. Its volumes and
/// networks are for `stack` to judge.
pub(super) fn reaches_out(asked: &HostConfig) -> Option<&'static str> {
    let own = |mode: &str| matches!(mode, "" | "private" | "none" | "shareable");
    let host = asked.clone();
    let named = [
        (!host.volumes_from.is_empty(), "what other containers have mounted"),
        (host.privileged || host.cap_add.as_ref().is_some_and(|c| !c.is_empty()), "rights beyond the usual"),
        (
            !own(&host.pid_mode) || !own(&host.ipc_mode) || !own(&host.uts_mode) || !own(&host.cgroupns_mode),
            "namespaces of others",
        ),
        (!host.devices.is_empty() || !host.device_requests.is_empty(), "devices"),
        (!matches!(host.log_config.driver.as_str(), "" | "json-file" | "local" | "none"), "its log elsewhere"),
        (host.masked_paths.as_ref().is_some_and(|p| MASKED_PATHS.iter().any(|m| !p.iter().any(|q| q == m))), "paths unmasked"),
        (
            host.readonly_paths.as_ref().is_some_and(|p| READONLY_PATHS.iter().any(|m| !p.iter().any(|q| q == m))),
            "paths unmasked",
        ),
    ];
    if let Some((_, what)) = named.iter().find(|(yes, _)| *yes) {
        return Some(what);
    }
    (harmless(host) != *asked).then_some("settings that are not known to stay within it")
}

/// What of a configuration stays within the container; the rest as if it had not been asked for.
fn harmless(host: HostConfig) -> HostConfig {
    let HostConfig {
        cpu_shares,
        memory,
        cpu_period,
        cpu_quota,
        cpuset_cpus,
        cpuset_mems,
        memory_reservation,
        memory_swap,
        memory_swappiness,
        nano_cpus,
        oom_kill_disable,
        init,
        pids_limit,
        ulimits,
        binds,
        mounts,
        log_config,
        network_mode,
        port_bindings,
        restart_policy,
        auto_remove,
        console_size,
        annotations,
        cap_add,
        cap_drop,
        cgroupns_mode,
        dns,
        dns_options,
        dns_search,
        extra_hosts,
        group_add,
        ipc_mode,
        pid_mode,
        publish_all_ports,
        readonly_rootfs,
        tmpfs,
        uts_mode,
        shm_size,
        isolation,
        masked_paths,
        readonly_paths,
        blkio_weight,
        ..
    } = host;
    HostConfig {
        cpu_shares,
        memory,
        cpu_period,
        cpu_quota,
        cpuset_cpus,
        cpuset_mems,
        memory_reservation,
        memory_swap,
        memory_swappiness,
        nano_cpus,
        oom_kill_disable,
        init,
        pids_limit,
        ulimits,
        binds,
        mounts,
        log_config,
        network_mode,
        port_bindings,
        restart_policy,
        auto_remove,
        console_size,
        annotations,
        cap_add,
        cap_drop,
        cgroupns_mode,
        dns,
        dns_options,
        dns_search,
        extra_hosts,
        group_add,
        ipc_mode,
        pid_mode,
        publish_all_ports,
        readonly_rootfs,
        tmpfs,
        uts_mode,
        shm_size,
        isolation,
        masked_paths,
        readonly_paths,
        blkio_weight,
        ..HostConfig::default()
    }
}
