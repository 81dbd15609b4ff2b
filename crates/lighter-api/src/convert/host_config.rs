//! `HostConfig`, both ways.

use crate::failure::Failure;
use lighter_domain::HostConfig;
use lighter_domain::host_config as domain;
use lighter_domain::host_config::{MountType, RestartPolicyName};
use lighter_wire::host_config as wire;
use std::collections::BTreeMap;

#[expect(clippy::too_many_lines, reason = "every field by name, once")]
pub fn from_wire(asked: wire::HostConfig) -> Result<HostConfig, Failure> {
    let wire::HostConfig {
        container_id_file,
        network_mode,
        auto_remove,
        volume_driver,
        cgroupns_mode,
        ipc_mode,
        cgroup,
        oom_score_adj,
        pid_mode,
        privileged,
        publish_all_ports,
        readonly_rootfs,
        uts_mode,
        userns_mode,
        shm_size,
        runtime,
        isolation,
        cpu_shares,
        memory,
        nano_cpus,
        cgroup_parent,
        blkio_weight,
        cpu_period,
        cpu_quota,
        cpu_realtime_period,
        cpu_realtime_runtime,
        cpuset_cpus,
        cpuset_mems,
        kernel_memory,
        kernel_memory_tcp,
        memory_reservation,
        memory_swap,
        memory_swappiness,
        oom_kill_disable,
        pids_limit,
        cpu_count,
        cpu_percent,
        io_maximum_iops,
        io_maximum_bandwidth,
        masked_paths,
        readonly_paths,
        init,
        cap_add,
        cap_drop,
        volumes_from,
        dns,
        dns_options,
        dns_search,
        extra_hosts,
        group_add,
        links,
        security_opt,
        device_cgroup_rules,
        annotations,
        storage_opt,
        tmpfs,
        sysctls,
        blkio_weight_device,
        blkio_device_read_bps,
        blkio_device_write_bps,
        blkio_device_read_iops,
        blkio_device_write_iops,
        devices,
        device_requests,
        ulimits,
        binds,
        log_config,
        port_bindings,
        restart_policy,
        mounts,
        console_size,
    } = asked;
    Ok(HostConfig {
        container_id_file,
        network_mode,
        auto_remove,
        volume_driver,
        cgroupns_mode,
        ipc_mode,
        cgroup,
        oom_score_adj,
        pid_mode,
        privileged,
        publish_all_ports,
        readonly_rootfs,
        uts_mode,
        userns_mode,
        shm_size,
        runtime,
        isolation,
        cpu_shares,
        memory,
        nano_cpus,
        cgroup_parent,
        blkio_weight,
        cpu_period,
        cpu_quota,
        cpu_realtime_period,
        cpu_realtime_runtime,
        cpuset_cpus,
        cpuset_mems,
        kernel_memory,
        kernel_memory_tcp,
        memory_reservation,
        memory_swap,
        memory_swappiness,
        oom_kill_disable,
        pids_limit,
        cpu_count,
        cpu_percent,
        io_maximum_iops,
        io_maximum_bandwidth,
        masked_paths,
        readonly_paths,
        init,
        cap_add,
        cap_drop,
        volumes_from: volumes_from.unwrap_or_default(),
        dns: dns.unwrap_or_default(),
        dns_options: dns_options.unwrap_or_default(),
        dns_search: dns_search.unwrap_or_default(),
        extra_hosts: extra_hosts.unwrap_or_default(),
        group_add: group_add.unwrap_or_default(),
        links: links.unwrap_or_default(),
        security_opt: security_opt.unwrap_or_default(),
        device_cgroup_rules: device_cgroup_rules.unwrap_or_default(),
        annotations: annotations.unwrap_or_default(),
        storage_opt: storage_opt.unwrap_or_default(),
        tmpfs: tmpfs.unwrap_or_default(),
        sysctls: sysctls.unwrap_or_default(),
        blkio_weight_device: each(blkio_weight_device, weight_device_from),
        blkio_device_read_bps: each(blkio_device_read_bps, throttle_from),
        blkio_device_write_bps: each(blkio_device_write_bps, throttle_from),
        blkio_device_read_iops: each(blkio_device_read_iops, throttle_from),
        blkio_device_write_iops: each(blkio_device_write_iops, throttle_from),
        devices: each(devices, device_from),
        device_requests: each(device_requests, device_request_from),
        ulimits: each(ulimits, ulimit_from),
        binds: binds.unwrap_or_default(),
        log_config: domain::LogConfig { driver: log_config.driver, options: log_config.config.unwrap_or_default() },
        port_bindings: port_bindings.unwrap_or_default().into_iter().map(|(port, at)| (port, each(at, binding_from))).collect(),
        restart_policy: restart_policy_from(restart_policy)?,
        mounts: mounts.unwrap_or_default().into_iter().map(mount_from).collect::<Result<_, _>>()?,
        console_size: Some((console_size[0], console_size[1])),
    })
}

/// As `inspect` shows it: null where Docker has null.
#[expect(clippy::too_many_lines, reason = "every field by name, once")]
pub fn to_wire(kept: &HostConfig) -> wire::HostConfig {
    let HostConfig {
        container_id_file,
        network_mode,
        auto_remove,
        volume_driver,
        cgroupns_mode,
        ipc_mode,
        cgroup,
        oom_score_adj,
        pid_mode,
        privileged,
        publish_all_ports,
        readonly_rootfs,
        uts_mode,
        userns_mode,
        shm_size,
        runtime,
        isolation,
        cpu_shares,
        memory,
        nano_cpus,
        cgroup_parent,
        blkio_weight,
        cpu_period,
        cpu_quota,
        cpu_realtime_period,
        cpu_realtime_runtime,
        cpuset_cpus,
        cpuset_mems,
        kernel_memory,
        kernel_memory_tcp,
        memory_reservation,
        memory_swap,
        memory_swappiness,
        oom_kill_disable,
        pids_limit,
        cpu_count,
        cpu_percent,
        io_maximum_iops,
        io_maximum_bandwidth,
        masked_paths,
        readonly_paths,
        init,
        cap_add,
        cap_drop,
        volumes_from,
        dns,
        dns_options,
        dns_search,
        extra_hosts,
        group_add,
        links,
        security_opt,
        device_cgroup_rules,
        annotations,
        storage_opt,
        tmpfs,
        sysctls,
        blkio_weight_device,
        blkio_device_read_bps,
        blkio_device_write_bps,
        blkio_device_read_iops,
        blkio_device_write_iops,
        devices,
        device_requests,
        ulimits,
        binds,
        log_config,
        port_bindings,
        restart_policy,
        mounts,
        console_size,
    } = kept.clone();
    wire::HostConfig {
        container_id_file,
        network_mode,
        auto_remove,
        volume_driver,
        cgroupns_mode,
        ipc_mode,
        cgroup,
        oom_score_adj,
        pid_mode,
        privileged,
        publish_all_ports,
        readonly_rootfs,
        uts_mode,
        userns_mode,
        shm_size,
        runtime,
        isolation,
        cpu_shares,
        memory,
        nano_cpus,
        cgroup_parent,
        blkio_weight,
        cpu_period,
        cpu_quota,
        cpu_realtime_period,
        cpu_realtime_runtime,
        cpuset_cpus,
        cpuset_mems,
        kernel_memory,
        kernel_memory_tcp,
        memory_reservation,
        memory_swap,
        memory_swappiness,
        oom_kill_disable,
        pids_limit,
        cpu_count,
        cpu_percent,
        io_maximum_iops,
        io_maximum_bandwidth,
        masked_paths,
        readonly_paths,
        init,
        cap_add,
        cap_drop,
        volumes_from: filled(volumes_from),
        dns: Some(dns),
        dns_options: Some(dns_options),
        dns_search: Some(dns_search),
        extra_hosts: filled(extra_hosts),
        group_add: filled(group_add),
        links: filled(links),
        security_opt: filled(security_opt),
        device_cgroup_rules: filled(device_cgroup_rules),
        annotations: (!annotations.is_empty()).then_some(annotations),
        storage_opt: (!storage_opt.is_empty()).then_some(storage_opt),
        tmpfs: (!tmpfs.is_empty()).then_some(tmpfs),
        sysctls: (!sysctls.is_empty()).then_some(sysctls),
        blkio_weight_device: Some(blkio_weight_device.into_iter().map(weight_device_to).collect()),
        blkio_device_read_bps: filled(blkio_device_read_bps.into_iter().map(throttle_to).collect()),
        blkio_device_write_bps: filled(blkio_device_write_bps.into_iter().map(throttle_to).collect()),
        blkio_device_read_iops: filled(blkio_device_read_iops.into_iter().map(throttle_to).collect()),
        blkio_device_write_iops: filled(blkio_device_write_iops.into_iter().map(throttle_to).collect()),
        devices: Some(devices.into_iter().map(device_to).collect()),
        device_requests: filled(device_requests.into_iter().map(device_request_to).collect()),
        ulimits: Some(ulimits.into_iter().map(ulimit_to).collect()),
        binds: filled(binds),
        log_config: wire::LogConfig { driver: log_config.driver, config: Some(log_config.options) },
        port_bindings: Some(
            port_bindings.into_iter().map(|(port, at)| (port, Some(at.into_iter().map(binding_to).collect()))).collect(),
        ),
        restart_policy: wire::RestartPolicy {
            name: restart_name(restart_policy.name).to_owned(),
            maximum_retry_count: restart_policy.maximum_retry_count,
        },
        mounts: filled(mounts.into_iter().map(mount_to).collect()),
        console_size: console_size.map_or([0, 0], |(h, w)| [h, w]),
    }
}

fn filled<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn each<A, B>(list: Option<Vec<A>>, convert: fn(A) -> B) -> Vec<B> {
    list.unwrap_or_default().into_iter().map(convert).collect()
}

fn restart_policy_from(asked: wire::RestartPolicy) -> Result<domain::RestartPolicy, Failure> {
    let wire::RestartPolicy { name, maximum_retry_count } = asked;
    let name = match name.as_str() {
        "" => RestartPolicyName::Unset,
        "no" => RestartPolicyName::No,
        "always" => RestartPolicyName::Always,
        "unless-stopped" => RestartPolicyName::UnlessStopped,
        "on-failure" => RestartPolicyName::OnFailure,
        other => {
            let what = format!(
                "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
            );
            return Err(Failure::bad_request(what));
        }
    };
    Ok(domain::RestartPolicy { name, maximum_retry_count })
}

fn restart_name(name: RestartPolicyName) -> &'static str {
    match name {
        RestartPolicyName::Unset => "",
        RestartPolicyName::No => "no",
        RestartPolicyName::Always => "always",
        RestartPolicyName::UnlessStopped => "unless-stopped",
        RestartPolicyName::OnFailure => "on-failure",
    }
}

fn mount_from(asked: wire::Mount) -> Result<domain::Mount, Failure> {
    let wire::Mount {
        mount_type,
        source,
        target,
        read_only,
        consistency,
        bind_options,
        volume_options,
        image_options,
        tmpfs_options,
    } = asked;
    let mount_type = match mount_type.as_str() {
        "bind" => MountType::Bind,
        "volume" => MountType::Volume,
        "tmpfs" => MountType::Tmpfs,
        "image" => MountType::Image,
        "npipe" => MountType::Npipe,
        "cluster" => MountType::Cluster,
        other => {
            let what = format!("invalid mount config for type \"{other}\": mount type unknown");
            return Err(Failure::bad_request(what));
        }
    };
    Ok(domain::Mount {
        mount_type,
        source,
        target,
        read_only,
        consistency,
        bind: bind_options.map(bind_from),
        volume: volume_options.map(volume_from),
        image: image_options.map(|wire::ImageOptions { subpath }| domain::ImageOptions { subpath }),
        tmpfs: tmpfs_options.map(|wire::TmpfsOptions { size_bytes, mode, options }| domain::TmpfsOptions {
            size_bytes,
            mode,
            options: options.unwrap_or_default(),
        }),
    })
}

fn mount_to(kept: domain::Mount) -> wire::Mount {
    let domain::Mount { mount_type, source, target, read_only, consistency, bind, volume, image, tmpfs } = kept;
    let mount_type = match mount_type {
        MountType::Bind => "bind",
        MountType::Volume => "volume",
        MountType::Tmpfs => "tmpfs",
        MountType::Image => "image",
        MountType::Npipe => "npipe",
        MountType::Cluster => "cluster",
    };
    wire::Mount {
        mount_type: mount_type.to_owned(),
        source,
        target,
        read_only,
        consistency,
        bind_options: bind.map(bind_to),
        volume_options: volume.map(volume_to),
        image_options: image.map(|domain::ImageOptions { subpath }| wire::ImageOptions { subpath }),
        tmpfs_options: tmpfs.map(|domain::TmpfsOptions { size_bytes, mode, options }| wire::TmpfsOptions {
            size_bytes,
            mode,
            options: filled(options),
        }),
    }
}

fn volume_from(asked: wire::VolumeOptions) -> domain::VolumeOptions {
    let wire::VolumeOptions { no_copy, labels, subpath, driver_config } = asked;
    let wire::VolumeDriver { name, options } = driver_config.unwrap_or_default();
    domain::VolumeOptions {
        no_copy,
        labels: labels.unwrap_or_default(),
        driver_name: name,
        driver_options: options.unwrap_or_default(),
        subpath,
    }
}

fn volume_to(kept: domain::VolumeOptions) -> wire::VolumeOptions {
    let domain::VolumeOptions { no_copy, labels, driver_name, driver_options, subpath } = kept;
    let map = |m: BTreeMap<String, String>| (!m.is_empty()).then_some(m);
    let has_driver = !driver_name.is_empty() || !driver_options.is_empty();
    wire::VolumeOptions {
        no_copy,
        labels: map(labels),
        subpath,
        driver_config: has_driver.then(|| wire::VolumeDriver { name: driver_name, options: map(driver_options) }),
    }
}

/// Structures that are the same on both sides, field by field.
macro_rules! same {
    ($from:ident $to:ident $name:ident { $($field:ident),* }) => {
        fn $from(asked: wire::$name) -> domain::$name {
            let wire::$name { $($field),* } = asked;
            domain::$name { $($field),* }
        }
        fn $to(kept: domain::$name) -> wire::$name {
            let domain::$name { $($field),* } = kept;
            wire::$name { $($field),* }
        }
    };
}

same!(weight_device_from weight_device_to WeightDevice { path, weight });
same!(throttle_from throttle_to ThrottleDevice { path, rate });
same!(device_from device_to DeviceMapping { path_on_host, path_in_container, cgroup_permissions });
same!(ulimit_from ulimit_to Ulimit { name, soft, hard });
same!(binding_from binding_to PortBinding { host_ip, host_port });
same!(bind_from bind_to BindOptions { propagation, non_recursive, create_mountpoint, read_only_non_recursive, read_only_force_recursive });

fn device_request_from(asked: wire::DeviceRequest) -> domain::DeviceRequest {
    let wire::DeviceRequest { driver, count, device_ids, capabilities, options } = asked;
    domain::DeviceRequest {
        driver,
        count,
        device_ids: device_ids.unwrap_or_default(),
        capabilities: capabilities.unwrap_or_default(),
        options: options.unwrap_or_default(),
    }
}

fn device_request_to(kept: domain::DeviceRequest) -> wire::DeviceRequest {
    let domain::DeviceRequest { driver, count, device_ids, capabilities, options } = kept;
    wire::DeviceRequest {
        driver,
        count,
        device_ids: filled(device_ids),
        capabilities: filled(capabilities),
        options: (!options.is_empty()).then_some(options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_comes_back() {
        let body = r#"{"Binds":["/a:/b"],"Memory":5,"CapAdd":["ALL"],"Tmpfs":{"/t":"size=1m"},"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3},
            "Mounts":[{"Type":"bind","Source":"/s","Target":"/t","ReadOnly":true,"BindOptions":{"Propagation":"rslave"}}],
            "Devices":[{"PathOnHost":"/dev/null","PathInContainer":"/dev/x","CgroupPermissions":"rw"}],"MaskedPaths":[],
            "PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"8080"}]},"Ulimits":[{"Name":"nofile","Hard":2,"Soft":1}]}"#;
        let asked: wire::HostConfig = lighter_wire::json::read(body.as_bytes(), "").unwrap();
        let back = to_wire(&from_wire(asked.clone()).unwrap());
        assert_eq!((back.binds, back.memory, back.cap_add), (asked.binds, asked.memory, asked.cap_add));
        assert_eq!((back.tmpfs, back.mounts, back.ulimits), (asked.tmpfs, asked.mounts, asked.ulimits));
        assert_eq!((back.devices, back.port_bindings), (asked.devices, asked.port_bindings));
        assert_eq!((back.restart_policy, back.masked_paths), (asked.restart_policy, Some(vec![])));
        assert_eq!(back.security_opt, None);
    }

    #[test]
    fn unknown_words_are_refused() {
        for body in [r#"{"RestartPolicy":{"Name":"sometimes"}}"#, r#"{"Mounts":[{"Type":"floppy"}]}"#] {
            let asked: wire::HostConfig = lighter_wire::json::read(body.as_bytes(), "").unwrap();
            assert!(from_wire(asked).is_err(), "{body}");
        }
    }
}
