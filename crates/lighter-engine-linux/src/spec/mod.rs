//! From a container as the API describes it to the OCI runtime specification that the supervisor runs.
//!
//! As dockerd would write it, with three differences that `lighter-supervisor` makes good: seccomp and the control groups'
//! limits are not in it (a compiled filter and ready directories go beside it), the network namespace comes as a descriptor,
//! and `oomScoreAdj` is in the launch file.
//! Called by the start path (`run`), and in part by exec.

pub(crate) mod caps;
pub(crate) mod devices;
pub(crate) mod modes;
pub(crate) mod mounts;
pub(crate) mod process;
mod propagation;
pub(crate) mod tmpfs;
pub(crate) mod users;
pub(crate) mod view;

#[cfg(test)]
mod tests;

use crate::paths::Layout;
use caps::CapSet;
use devices::Device;
use lighter_domain::host_config::{MASKED_PATHS, READONLY_PATHS};
use lighter_domain::{Container, Result};
use modes::{Modes, Network, Pids, Sharing};
use oci_spec::runtime::{Linux, LinuxNamespace, LinuxNamespaceType, Root, Spec};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use users::User;

/// What the spec of one container is made of.
pub(crate) struct Input<'a> {
    pub container: &'a Container,
    pub layout: &'a Layout,
    pub modes: &'a Modes,
    pub user: &'a User,
    pub caps: CapSet,
    /// The AppArmor profile of its processes.
    pub apparmor: Option<String>,
    pub devices: &'a [Device],
    /// The program for `--init`, on the host.
    pub init: Option<&'a Path>,
    /// Where the supervisor mounts the root file system.
    pub rootfs: PathBuf,
    /// The container's group, from the root of each hierarchy.
    pub cgroup_path: PathBuf,
}

/// Builds the whole specification.
pub(crate) fn build(input: &Input<'_>) -> Result<Spec> {
    let container = input.container;
    let host = &container.host_config;
    let mut root = Root::default();
    root.set_path(input.rootfs.clone()).set_readonly(Some(host.readonly_rootfs));

    let mut spec = Spec::default();
    spec.set_version("1.2.0".into()).set_root(Some(root));
    let mut process = process::init(container, input.modes, input.user, input.caps, input.init.is_some())?;
    process.set_apparmor_profile(input.apparmor.clone());
    spec.set_process(Some(process));
    spec.set_mounts(Some(mounts::all(container, input.layout, input.modes, input.init)?));
    spec.set_linux(Some(linux(input)));
    let own_uts = input.modes.uts == Sharing::Private;
    spec.set_hostname(own_uts.then(|| process::hostname(container, input.modes)));
    let domain = Some(container.config.domainname.clone()).filter(|d| own_uts && !d.is_empty());
    spec.set_domainname(domain);
    let notes: HashMap<_, _> = host.annotations.clone().into_iter().collect();
    spec.set_annotations(Some(notes).filter(|a| !a.is_empty()));
    Ok(spec)
}

fn linux(input: &Input<'_>) -> Linux {
    let host = &input.container.host_config;
    let mut linux = Linux::default();
    linux.set_resources(None).set_seccomp(None).set_cgroups_path(Some(input.cgroup_path.clone()));
    linux.set_namespaces(Some(namespaces(input)));
    linux.set_devices(Some(input.devices.iter().map(|d| d.node.clone()).collect::<Vec<_>>()).filter(|d| !d.is_empty()));
    linux.set_sysctl(Some(sysctls(input)).filter(|s| !s.is_empty()));
    linux.set_masked_paths(Some(masked(host.privileged, host.masked_paths.as_deref())));
    linux.set_readonly_paths(Some(readonly(input)));
    linux.set_rootfs_propagation(rootfs_propagation(input.container));
    linux
}

fn namespaces(input: &Input<'_>) -> Vec<LinuxNamespace> {
    let modes = input.modes;
    let one = |kind: LinuxNamespaceType| {
        let mut ns = LinuxNamespace::default();
        ns.set_typ(kind).set_path(None);
        ns
    };
    let mut list = vec![one(LinuxNamespaceType::Mount)];
    let private = [
        (modes.pid != Pids::Host, LinuxNamespaceType::Pid),
        (modes.uts == Sharing::Private, LinuxNamespaceType::Uts),
        (modes.ipc != modes::Ipc::Host, LinuxNamespaceType::Ipc),
        (modes.cgroup == Sharing::Private, LinuxNamespaceType::Cgroup),
    ];
    list.extend(private.into_iter().filter(|(own, _)| *own).map(|(_, kind)| one(kind)));
    if modes.network != Network::Host {
        list.push(one(LinuxNamespaceType::Network));
    }
    list
}

fn sysctls(input: &Input<'_>) -> HashMap<String, String> {
    let mut all = HashMap::new();
    if input.modes.own_network() {
        all.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
        all.insert("net.ipv4.ping_group_range".to_owned(), "0 2147483647".to_owned());
    }
    all.extend(input.container.host_config.sysctls.clone());
    all
}

fn masked(privileged: bool, asked: Option<&[String]>) -> Vec<String> {
    match asked {
        _ if privileged => Vec::new(),
        Some(paths) => paths.to_vec(),
        None => mounts::words(&MASKED_PATHS),
    }
}

fn readonly(input: &Input<'_>) -> Vec<String> {
    let host = &input.container.host_config;
    if host.privileged {
        return Vec::new();
    }
    host.readonly_paths.clone().unwrap_or_else(|| mounts::words(&READONLY_PATHS))
}

/// A bind that propagates needs a root that does.
fn rootfs_propagation(container: &Container) -> Option<String> {
    let any = |names: [&str; 2]| container.mounts.iter().any(|m| names.contains(&m.propagation.as_str()));
    if any(["shared", "rshared"]) {
        Some("shared".into())
    } else if any(["slave", "rslave"]) {
        Some("slave".into())
    } else {
        None
    }
}
