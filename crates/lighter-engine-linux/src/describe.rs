//! What this machine and this engine are, for `docker info` and `docker version`.

use crate::apparmor::AppArmor;
use crate::cgroup::Cgroups;
use crate::paths::Layout;
use lighter_engine::{Description, RegistryFacts};
use lighter_registry::{Proxies, RegistryConfig};

/// The engine's name, in `info` and in the table of fields.
pub(crate) const NAME: &str = "linux";

/// Looked up once, when the engine is opened.
pub(crate) fn describe(cgroups: &Cgroups, layout: &Layout, apparmor: AppArmor, registry: &RegistryConfig) -> Description {
    let uname = rustix::system::uname();
    let text = |s: &std::ffi::CStr| s.to_string_lossy().into_owned();
    let release = std::fs::read_to_string("/etc/os-release")
        .or_else(|_| std::fs::read_to_string("/usr/lib/os-release"))
        .unwrap_or_default();
    let mut security_options = Vec::new();
    if apparmor == AppArmor::Ready {
        security_options.push("name=apparmor".to_owned());
    }
    security_options.push("name=seccomp,profile=builtin".to_owned());
    if cgroups.is_v2() {
        security_options.push("name=cgroupns".to_owned());
    }
    let mut warnings = Vec::new();
    let mut warn = |missing: bool, what: &str| {
        if missing {
            warnings.push(format!("WARNING: No {what} support"));
        }
    };
    let memory_limit = cgroups.has("memory");
    let swap_limit = memory_limit && cgroups.has_file("memory", "memory.memsw.limit_in_bytes");
    let forwarding = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").is_ok_and(|s| s.trim() == "1");
    let (cpu, cpuset, pids) = (cgroups.has("cpu"), cgroups.has("cpuset"), cgroups.has("pids"));
    warn(!memory_limit, "memory limit");
    warn(!swap_limit, "swap limit");
    warn(!cpu, "cpu cfs quota");
    warn(!cpuset, "cpuset");
    warn(!pids, "pids limit");
    if apparmor == AppArmor::NoProfile {
        let what =
            "WARNING: AppArmor is enabled on this machine, but containers are not confined by it: is apparmor_parser installed?";
        warnings.push(what.to_owned());
    }
    Description {
        name: NAME,
        kernel_version: text(uname.release()),
        operating_system: field(&release, "PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned()),
        os_version: field(&release, "VERSION_ID").unwrap_or_default(),
        os_type: "linux".to_owned(),
        architecture: text(uname.machine()),
        cpus: cpus(),
        memory_total: memory_total(),
        storage_driver: "overlay2".to_owned(),
        storage_status: storage_status(layout),
        cgroup_driver: "cgroupfs".to_owned(),
        cgroup_version: if cgroups.is_v2() { "2" } else { "1" }.to_owned(),
        security_options,
        memory_limit,
        swap_limit,
        cpu_cfs: cpu,
        cpu_shares: cpu,
        cpuset,
        pids_limit: pids,
        ipv4_forwarding: forwarding,
        components: vec![("lighter-supervisor".to_owned(), env!("CARGO_PKG_VERSION").to_owned())],
        warnings,
        registries: registries(registry),
    }
}

fn registries(config: &RegistryConfig) -> RegistryFacts {
    let (insecure_networks, insecure_names) = config.insecure();
    let Proxies { http, https, exempt } = config.proxies.shown();
    let mirrors = config.mirrors();
    RegistryFacts { insecure_networks, insecure_names, mirrors, http_proxy: http, https_proxy: https, no_proxy: exempt }
}

/// Processors that this machine has.
pub(crate) fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
}

fn memory_total() -> u64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    line.and_then(|l| l.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// The value of a key of `os-release`, without its quotes.
fn field(release: &str, key: &str) -> Option<String> {
    let value = release.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

fn storage_status(layout: &Layout) -> Vec<(String, String)> {
    let backing = rustix::fs::statfs(&layout.data_root).map_or("unknown", |s| match s.f_type {
        0xef53 => "extfs",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x0102_1994 => "tmpfs",
        0x794c_7630 => "overlayfs",
        0x2fc1_2fc1 => "zfs",
        _ => "unknown",
    });
    vec![
        ("Backing Filesystem".to_owned(), backing.to_owned()),
        ("Supports d_type".to_owned(), "true".to_owned()),
        ("Using metacopy".to_owned(), "false".to_owned()),
        ("Native Overlay Diff".to_owned(), "true".to_owned()),
        ("userxattr".to_owned(), "false".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_is_read() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID='12'\n";
        assert_eq!(field(text, "PRETTY_NAME").as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
        assert_eq!(field(text, "VERSION_ID").as_deref(), Some("12"));
        assert_eq!(field(text, "ID").as_deref(), Some("debian"));
        assert_eq!(field(text, "NAME"), None);
    }
}
