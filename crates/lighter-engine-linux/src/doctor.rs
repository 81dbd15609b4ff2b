//! What this engine needs of the machine, looked at one thing after the other, for `lighter doctor`.

use crate::engine::Inner;
use lighter_domain::finding::{Finding, Verdict};
use std::path::Path;

/// `openat2` and `clone3` with a control group: what containers are made with.
const OLDEST_KERNEL: (u32, u32) = (5, 6);
/// Inotify instances that one user may have: each followed log takes one of the daemon's.
const FEW_WATCHES: u64 = 4096;

impl Inner {
    /// Blocking: it reads from `/proc` and asks the kernel.
    pub(crate) fn diagnose(&self) -> Vec<Finding> {
        let mut found = vec![kernel(&self.description.kernel_version), self.control_groups(), nftables()];
        found.extend(forwarding());
        found.extend([overlay(), seccomp()]);
        found.extend(watches());
        found.extend(self.description.warnings.iter().map(|warning| warned(warning)));
        found
    }

    fn control_groups(&self) -> Finding {
        let wanted = ["cpu", "cpuset", "memory", "pids"];
        let missing: Vec<&str> = wanted.into_iter().filter(|c| !self.cgroups.has(c)).collect();
        let version = format!("version {}", self.description.cgroup_version);
        match (missing.as_slice(), self.cgroups.is_v2()) {
            ([], true) => Finding::good("control groups", version),
            ([], false) => Finding::bad(
                "control groups",
                Verdict::Note,
                format!("{version}, which kernels and distributions are giving up"),
                "boot with systemd.unified_cgroup_hierarchy=1 for version 2",
            ),
            (missing, _) => Finding::bad(
                "control groups",
                Verdict::Warning,
                format!("{version} without {}", missing.join(", ")),
                "limits of these kinds have no effect; enable them at the kernel's command line (cgroup_enable=memory ...)",
            ),
        }
    }
}

/// What `docker info` warns of, too.
fn warned(warning: &str) -> Finding {
    let advice = match warning.contains("AppArmor") {
        true => "install apparmor_parser (Debian: apparmor), and start lighterd anew",
        false => "containers that ask for it are told so; it needs a kernel that has it, with its control group enabled",
    };
    Finding::bad("engine", Verdict::Note, warning.trim_start_matches("WARNING: "), advice)
}

fn kernel(release: &str) -> Finding {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= OLDEST_KERNEL {
        return Finding::good("kernel", format!("Linux {release}"));
    }
    let (major, minor) = OLDEST_KERNEL;
    Finding::bad("kernel", Verdict::Problem, format!("Linux {release}"), format!("Lighter needs {major}.{minor} or later"))
}

fn nftables() -> Finding {
    match lighter_network::nftables() {
        Ok(generation) => Finding::good("nftables", format!("rule set {generation}")),
        Err(error) => Finding::bad(
            "nftables",
            Verdict::Problem,
            format!("the kernel does not answer: {error}"),
            "modprobe nf_tables; containers have no network of their own without (only --network host and none)",
        ),
    }
}

fn forwarding() -> Option<Finding> {
    let on = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").ok()?;
    Some(match on.trim() {
        "1" => Finding::good("forwarding", "IPv4 is forwarded"),
        _ => Finding::bad(
            "forwarding",
            Verdict::Note,
            "IPv4 is not forwarded yet",
            "the daemon turns it on with the first container on a bridge; if a rule of yours turns it off, containers reach nothing",
        ),
    })
}

fn overlay() -> Finding {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known.lines().any(|line| line.split_whitespace().last() == Some("overlay")) {
        return Finding::good("overlay", "the kernel has it");
    }
    Finding::bad("overlay", Verdict::Warning, "the kernel has not loaded it", "modprobe overlay; no container starts without")
}

fn seccomp() -> Finding {
    match std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail") {
        Ok(actions) if actions.contains("errno") => Finding::good("seccomp", "filters are applied"),
        _ => Finding::bad(
            "seccomp",
            Verdict::Warning,
            "the kernel has no filters",
            "containers may use every system call; use a kernel with CONFIG_SECCOMP_FILTER",
        ),
    }
}

fn watches() -> Option<Finding> {
    let path = Path::new("/proc/sys/fs/inotify/max_user_watches");
    let most: u64 = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
    (most < FEW_WATCHES).then(|| {
        let said = format!("one user may watch {most} files");
        Finding::bad("inotify", Verdict::Warning, said, "sysctl fs.inotify.max_user_watches=65536, or followed logs come late")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels() {
        assert_eq!(kernel("6.1.0-25-amd64").verdict, Verdict::Good);
        assert_eq!(kernel("5.6.0").verdict, Verdict::Good);
        assert_eq!(kernel("5.4.0-100-generic").verdict, Verdict::Problem);
        assert_eq!(kernel("").verdict, Verdict::Problem);
    }
}
