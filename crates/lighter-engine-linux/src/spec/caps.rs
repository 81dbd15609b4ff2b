//! Capabilities: dockerd's default set, and what `--cap-add`, `--cap-drop` and `--privileged` make of it.
//!
//! Used by the spec builder for the container and by exec; the set also decides which rules of the seccomp profile apply.

use lighter_domain::{Error, Result};
use oci_spec::runtime::{Capability, LinuxCapabilities};
use std::collections::HashSet;

/// By number, as in `<linux/capability.h>`.
const ALL: [(&str, Capability); 41] = [
    ("CHOWN", Capability::Chown),
    ("DAC_OVERRIDE", Capability::DacOverride),
    ("DAC_READ_SEARCH", Capability::DacReadSearch),
    ("FOWNER", Capability::Fowner),
    ("FSETID", Capability::Fsetid),
    ("KILL", Capability::Kill),
    ("SETGID", Capability::Setgid),
    ("SETUID", Capability::Setuid),
    ("SETPCAP", Capability::Setpcap),
    ("LINUX_IMMUTABLE", Capability::LinuxImmutable),
    ("NET_BIND_SERVICE", Capability::NetBindService),
    ("NET_BROADCAST", Capability::NetBroadcast),
    ("NET_ADMIN", Capability::NetAdmin),
    ("NET_RAW", Capability::NetRaw),
    ("IPC_LOCK", Capability::IpcLock),
    ("IPC_OWNER", Capability::IpcOwner),
    ("SYS_MODULE", Capability::SysModule),
    ("SYS_RAWIO", Capability::SysRawio),
    ("SYS_CHROOT", Capability::SysChroot),
    ("SYS_PTRACE", Capability::SysPtrace),
    ("SYS_PACCT", Capability::SysPacct),
    ("SYS_ADMIN", Capability::SysAdmin),
    ("SYS_BOOT", Capability::SysBoot),
    ("SYS_NICE", Capability::SysNice),
    ("SYS_RESOURCE", Capability::SysResource),
    ("SYS_TIME", Capability::SysTime),
    ("SYS_TTY_CONFIG", Capability::SysTtyConfig),
    ("MKNOD", Capability::Mknod),
    ("LEASE", Capability::Lease),
    ("AUDIT_WRITE", Capability::AuditWrite),
    ("AUDIT_CONTROL", Capability::AuditControl),
    ("SETFCAP", Capability::Setfcap),
    ("MAC_OVERRIDE", Capability::MacOverride),
    ("MAC_ADMIN", Capability::MacAdmin),
    ("SYSLOG", Capability::Syslog),
    ("WAKE_ALARM", Capability::WakeAlarm),
    ("BLOCK_SUSPEND", Capability::BlockSuspend),
    ("AUDIT_READ", Capability::AuditRead),
    ("PERFMON", Capability::Perfmon),
    ("BPF", Capability::Bpf),
    ("CHECKPOINT_RESTORE", Capability::CheckpointRestore),
];

/// What Docker gives to a container that asks for nothing.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// A set of capabilities, one bit per number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CapSet(pub u64);

impl CapSet {
    /// Every capability that the daemon itself may have and hand on: what the kernel knows, less what the daemon was started
    /// without.
    pub(crate) fn available() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let bounding = status.lines().find_map(|l| u64::from_str_radix(l.strip_prefix("CapBnd:")?.trim(), 16).ok());
        Self(bounding.unwrap_or(u64::MAX) & Self::KNOWN.0)
    }

    /// All that are named here.
    pub(crate) const KNOWN: Self = Self((1 << ALL.len()) - 1);

    pub(crate) fn docker_default() -> Self {
        Self(DEFAULT.iter().filter_map(|n| number(n)).fold(0, |set, n| set | 1 << n))
    }

    /// Whether it holds `name`, with or without `CAP_`.
    pub(crate) fn has(self, name: &str) -> bool {
        number(name.strip_prefix("CAP_").unwrap_or(name)).is_some_and(|n| self.0 >> n & 1 == 1)
    }

    /// The container's set, out of those that are `available`. Errors are dockerd's.
    pub(crate) fn of(privileged: bool, add: &[String], drop: &[String], available: Self) -> Result<Self> {
        let all = available;
        let add = parse("CapAdd", add)?;
        let drop = parse("CapDrop", drop)?;
        if privileged {
            return Ok(all);
        }
        let set = match (add, drop) {
            (Asked { all: true, .. }, drop) => all.0 & !drop.set,
            (add, Asked { all: true, .. }) => add.set,
            (add, drop) => Self::docker_default().0 & !drop.set | add.set,
        };
        Ok(Self(set & all.0))
    }

    fn names(self) -> HashSet<Capability> {
        ALL.iter().enumerate().filter(|(n, _)| self.0 >> n & 1 == 1).map(|(_, (_, c))| *c).collect()
    }

    /// The OCI form. Only root has them effective from the start, as `execve` would do.
    pub(crate) fn to_oci(self, uid: u32) -> LinuxCapabilities {
        let mut caps = LinuxCapabilities::default();
        let set = || Some(self.names());
        let own = || Some(if uid == 0 { self.names() } else { HashSet::new() });
        caps.set_bounding(set()).set_effective(own()).set_permitted(own());
        caps.set_inheritable(Some(HashSet::new())).set_ambient(Some(HashSet::new()));
        caps
    }
}

#[derive(Clone, Copy)]
struct Asked {
    all: bool,
    set: u64,
}

fn number(name: &str) -> Option<usize> {
    ALL.iter().position(|(n, _)| *n == name)
}

fn parse(field: &str, names: &[String]) -> Result<Asked> {
    let mut asked = Asked { all: false, set: 0 };
    for raw in names {
        let upper = raw.to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        match number(name) {
            Some(n) => asked.set |= 1 << n,
            None if upper == "ALL" => asked.all = true,
            None => return Err(Error::invalid(format!("invalid {field}: unknown capability: \"CAP_{name}\""))),
        }
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(add: &[&str], drop: &[&str]) -> Result<CapSet> {
        let own = |l: &[&str]| l.iter().map(ToString::to_string).collect::<Vec<_>>();
        CapSet::of(false, &own(add), &own(drop), CapSet::KNOWN)
    }

    #[test]
    fn the_default_mask_is_dockers() {
        assert_eq!(CapSet::docker_default().0, 0xa804_25fb);
        assert_eq!(of(&[], &[]).unwrap().0, 0xa804_25fb);
    }

    #[test]
    fn add_and_drop() {
        assert!(of(&["SYS_ADMIN"], &[]).unwrap().has("CAP_SYS_ADMIN"));
        assert!(of(&["cap_sys_admin"], &[]).unwrap().has("SYS_ADMIN"));
        assert!(!of(&[], &["CHOWN"]).unwrap().has("CHOWN"));
        assert_eq!(of(&[], &["ALL"]).unwrap().0, 0);
        assert_eq!(of(&["CHOWN"], &["all"]).unwrap().0, 1);
        assert_eq!(of(&["ALL"], &["CHOWN"]).unwrap().0, (1 << 41) - 2);
        assert_eq!(CapSet::of(true, &[], &["ALL".into()], CapSet::KNOWN).unwrap(), CapSet::KNOWN);
        assert_eq!(CapSet::of(true, &[], &[], CapSet(5)).unwrap(), CapSet(5));
    }

    #[test]
    fn unknown_names_are_refused_in_dockerds_words() {
        assert_eq!(of(&["foo"], &[]).unwrap_err().message(), "invalid CapAdd: unknown capability: \"CAP_FOO\"");
        assert_eq!(of(&[], &["CAP_X"]).unwrap_err().message(), "invalid CapDrop: unknown capability: \"CAP_X\"");
    }

    #[test]
    fn only_root_starts_with_them_effective() {
        let caps = CapSet::docker_default();
        assert_eq!(caps.to_oci(0).effective().as_ref().unwrap().len(), 14);
        let user = caps.to_oci(1000);
        assert!(user.effective().as_ref().unwrap().is_empty());
        assert_eq!(user.bounding().as_ref().unwrap().len(), 14);
    }
}
