//! `HostConfig` without its `Resources`.

use super::{Decision, Field, daemon, ignored, inside, runs};
use lighter_domain::host_config::Mount;
use lighter_domain::{Container, host_config::BindOptions};

pub(super) const FIELDS: &[Field] = &[
    runs("HostConfig.Binds", "-v /host:/path[:ro,shared,...]", |c| !c.host_config.binds.is_empty()),
    ignored("HostConfig.ContainerIDFile", "--cidfile", "the client writes the file"),
    daemon("HostConfig.LogConfig", "--log-driver --log-opt")
        .parts(&["Type", "Config"])
        .remark("json-file, local, none, journald, syslog"),
    inside("HostConfig.NetworkMode", "--network").remark("bridge, host, none, container:NAME, networks that you made"),
    runs("HostConfig.PortBindings", "-p", |c| !c.host_config.port_bindings.values().all(Vec::is_empty))
        .parts(&["HostIp", "HostPort"]),
    daemon("HostConfig.RestartPolicy", "--restart").parts(&["Name", "MaximumRetryCount"]),
    daemon("HostConfig.AutoRemove", "--rm"),
    daemon("HostConfig.VolumeDriver", "--volume-driver").remark("local"),
    daemon("HostConfig.VolumesFrom", "--volumes-from"),
    runs("HostConfig.Mounts", "--mount", |c| !c.host_config.mounts.is_empty())
        .parts(&["Target", "Source", "Type", "ReadOnly"])
        .remark("types bind, volume, tmpfs and image"),
    ignored("HostConfig.Mounts.Consistency", "", "a hint to Docker Desktop for Mac"),
    runs("HostConfig.Mounts.BindOptions", "--mount bind-...", |c| binds(c, |b| *b != BindOptions::default())).parts(&[
        "Propagation",
        "NonRecursive",
        "CreateMountpoint",
        "ReadOnlyNonRecursive",
        "ReadOnlyForceRecursive",
    ]),
    runs("HostConfig.Mounts.VolumeOptions", "--mount volume-...", |c| mounts(c, |m| m.volume.is_some())).parts(&[
        "NoCopy",
        "Labels",
        "DriverConfig",
        "DriverConfig.Name",
        "DriverConfig.Options",
        "Subpath",
    ]),
    runs("HostConfig.Mounts.ImageOptions", "--mount image-subpath=", |c| mounts(c, |m| m.image.is_some())).parts(&["Subpath"]),
    runs("HostConfig.Mounts.TmpfsOptions", "--mount tmpfs-...", |c| mounts(c, |m| m.tmpfs.is_some())).parts(&[
        "SizeBytes",
        "Mode",
        "Options",
    ]),
    daemon("HostConfig.ConsoleSize", ""),
    runs("HostConfig.Annotations", "--annotation", |c| !c.host_config.annotations.is_empty()),
    runs("HostConfig.CapAdd", "--cap-add", |c| c.host_config.cap_add.as_ref().is_some_and(|l| !l.is_empty())),
    runs("HostConfig.CapDrop", "--cap-drop", |c| c.host_config.cap_drop.as_ref().is_some_and(|l| !l.is_empty())),
    inside("HostConfig.CgroupnsMode", "--cgroupns"),
    runs("HostConfig.Dns", "--dns", |c| !c.host_config.dns.is_empty()),
    runs("HostConfig.DnsOptions", "--dns-option", |c| !c.host_config.dns_options.is_empty()),
    runs("HostConfig.DnsSearch", "--dns-search", |c| !c.host_config.dns_search.is_empty()),
    runs("HostConfig.ExtraHosts", "--add-host", |c| !c.host_config.extra_hosts.is_empty()),
    runs("HostConfig.GroupAdd", "--group-add", |c| !c.host_config.group_add.is_empty()),
    runs("HostConfig.IpcMode", "--ipc", |c| !matches!(c.host_config.ipc_mode.as_str(), "" | "private" | "shareable"))
        .remark("private, shareable, host, none, container:NAME"),
    ignored("HostConfig.Cgroup", "", "a leftover of the time before containerd"),
    inside("HostConfig.Links", "--link").remark("between containers of the default bridge"),
    runs("HostConfig.OomScoreAdj", "--oom-score-adj", |c| c.host_config.oom_score_adj != 0),
    runs("HostConfig.PidMode", "--pid", |c| !matches!(c.host_config.pid_mode.as_str(), "" | "private"))
        .remark("private, host, container:NAME"),
    runs("HostConfig.Privileged", "--privileged", |c| c.host_config.privileged),
    runs("HostConfig.PublishAllPorts", "-P", |c| c.host_config.publish_all_ports),
    runs("HostConfig.ReadonlyRootfs", "--read-only", |c| c.host_config.readonly_rootfs),
    runs("HostConfig.SecurityOpt", "--security-opt", |c| !c.host_config.security_opt.is_empty()).remark(
        "seccomp=, apparmor=, no-new-privileges, systempaths=; labels need SELinux and are ignored without, as with dockerd",
    ),
    runs("HostConfig.StorageOpt", "--storage-opt", |c| !c.host_config.storage_opt.is_empty())
        .decided(Decision::Refused("--storage-opt is supported only for overlay over xfs with 'pquota' mount option")),
    runs("HostConfig.Tmpfs", "--tmpfs", |c| !c.host_config.tmpfs.is_empty()),
    runs("HostConfig.UTSMode", "--uts", |c| c.host_config.uts_mode == "host"),
    inside("HostConfig.UsernsMode", "--userns").remark("host; there is no remapping"),
    runs("HostConfig.ShmSize", "--shm-size", |c| !matches!(c.host_config.shm_size, 0 | 67_108_864)),
    runs("HostConfig.Sysctls", "--sysctl", |c| !c.host_config.sysctls.is_empty()).remark("of the container's own namespaces"),
    inside("HostConfig.Runtime", "--runtime").remark("`runc`, which names the one there is"),
    ignored("HostConfig.Isolation", "--isolation", "`default` is all that there is on Linux; others are refused"),
    inside("HostConfig.MaskedPaths", ""),
    inside("HostConfig.ReadonlyPaths", ""),
];

fn mounts(container: &Container, is: impl Fn(&Mount) -> bool) -> bool {
    container.host_config.mounts.iter().any(is)
}

fn binds(container: &Container, is: impl Fn(&BindOptions) -> bool) -> bool {
    mounts(container, |m| m.bind.as_ref().is_some_and(&is))
}
