//! Capabilities and `--security-opt`.

use super::{Machine, Notes};
use crate::apparmor::AppArmor;
use crate::seccomp;
use crate::spec::caps::CapSet;
use lighter_domain::{Container, Error, Result};

pub(super) fn check(container: &Container, machine: &Machine, notes: &mut Notes) -> Result<()> {
    let host = &container.host_config;
    let add = host.cap_add.as_deref().unwrap_or_default();
    let drop = host.cap_drop.as_deref().unwrap_or_default();
    let caps = CapSet::of(host.privileged, add, drop, machine.available)?;
    for option in &host.security_opt {
        let (key, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
        match key {
            "seccomp" | "systempaths" => {}
            "no-new-privileges" if matches!(value, "" | "true" | "false" | "1" | "0" | "t" | "f" | "True" | "False") => {}
            // Without AppArmor in the kernel every container is unconfined; dockerd does not mind what is asked then.
            "apparmor" => {
                let other = !matches!(value, "unconfined" | "docker-default" | "") && machine.apparmor == AppArmor::Absent;
                notes.leave_out(other, "HostConfig.SecurityOpt.apparmor", "the kernel has no AppArmor");
                machine.apparmor.of(container, host.privileged)?;
            }
            // Of no effect without SELinux, as with dockerd.
            "label" => {}
            "writable-cgroups" => notes.leave_out(true, "HostConfig.SecurityOpt.writable-cgroups", "they stay read-only"),
            _ => return Err(Error::invalid(format!("invalid --security-opt 2: \"{option}\""))),
        }
    }
    seccomp::check(container, caps)?;
    let paths = host.masked_paths.iter().chain(&host.readonly_paths).flatten();
    match paths.into_iter().find(|p| !p.starts_with('/')) {
        Some(bad) => Err(Error::invalid(format!("invalid masked or read-only path: {bad}"))),
        None => Ok(()),
    }
}
