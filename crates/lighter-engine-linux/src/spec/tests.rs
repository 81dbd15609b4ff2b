//! The specification as a whole; the parts have tests of their own, and `tests/behaviour.rs` looks at what comes of it.

use super::*;
use crate::paths::Layout;
use lighter_domain::container::{MountKind, MountPoint};

fn spec(change: impl FnOnce(&mut Container)) -> Spec {
    let mut container = crate::testing::container();
    change(&mut container);
    let layout = Layout { data_root: "/d".into(), exec_root: "/e".into() };
    let modes = Modes::of(&container, false).unwrap();
    let user = User { uid: 0, gid: 0, groups: vec![0], home: "/root".into() };
    let input = Input {
        container: &container,
        layout: &layout,
        modes: &modes,
        user: &user,
        caps: CapSet::docker_default(),
        apparmor: None,
        devices: &[],
        init: container.host_config.init.is_some_and(|i| i).then_some(Path::new("/lighter-init")),
        rootfs: "/e/rootfs".into(),
        cgroup_path: "/lighter/x".into(),
    };
    build(&input).unwrap()
}

fn destinations(spec: &Spec) -> Vec<String> {
    spec.mounts().iter().flatten().map(|m| m.destination().display().to_string()).collect()
}

fn namespaces(spec: &Spec) -> Vec<LinuxNamespaceType> {
    let mut list: Vec<_> = spec.linux().as_ref().unwrap().namespaces().iter().flatten().map(LinuxNamespace::typ).collect();
    list.sort_by_key(|k| *k as u32);
    list
}

#[test]
fn the_plain_container() {
    let spec = spec(|_| {});
    let expected = [
        "/proc",
        "/dev",
        "/dev/pts",
        "/sys",
        "/sys/fs/cgroup",
        "/dev/mqueue",
        "/dev/shm",
        "/etc/resolv.conf",
        "/etc/hostname",
        "/etc/hosts",
    ];
    assert_eq!(destinations(&spec), expected);
    let linux = spec.linux().as_ref().unwrap();
    assert_eq!(linux.masked_paths().as_ref().unwrap().len(), MASKED_PATHS.len());
    assert_eq!(linux.readonly_paths().as_ref().unwrap().len(), READONLY_PATHS.len());
    assert_eq!(linux.sysctl().as_ref().unwrap()["net.ipv4.ping_group_range"], "0 2147483647");
    assert!(linux.seccomp().is_none() && linux.resources().is_none() && linux.devices().is_none());
    use LinuxNamespaceType as N;
    let mut own = vec![N::Mount, N::Pid, N::Uts, N::Ipc, N::Network];
    own.sort_by_key(|k| *k as u32);
    assert_eq!(namespaces(&spec), own);
    let process = spec.process().as_ref().unwrap();
    assert_eq!(process.no_new_privileges(), None, "false would make the runtime fail");
    assert_eq!(process.oom_score_adj(), None, "it would stick to the supervisor");
    assert_eq!(process.args().as_ref().unwrap(), &["/bin/true"]);
}

#[test]
fn a_users_mount_takes_the_place_of_a_default_one() {
    let bind = |destination: &str| MountPoint {
        kind: MountKind::Bind,
        name: String::new(),
        source: "/tmp".into(),
        destination: destination.into(),
        driver: String::new(),
        mode: String::new(),
        rw: false,
        propagation: String::new(),
        create_source: false,
        recursive: true,
        subpath: String::new(),
        image_id: String::new(),
        copy_up: false,
        anonymous: false,
    };
    let with = |destination: &str| spec(|c| c.mounts = vec![bind(destination)]);
    let hosts = with("/etc/hosts");
    let mount = hosts.mounts().iter().flatten().find(|m| m.destination() == Path::new("/etc/hosts")).unwrap();
    assert_eq!(mount.source().as_deref(), Some(Path::new("/tmp")));
    assert_eq!(mount.options().as_ref().unwrap(), &["rbind", "ro", "rro", "rprivate"]);
    assert_eq!(destinations(&hosts).iter().filter(|d| *d == "/etc/hosts").count(), 1);
    let dev = destinations(&with("/dev"));
    assert!(dev.contains(&"/dev".into()) && !dev.contains(&"/dev/shm".into()), "{dev:?}");
    let deep = spec(|c| c.mounts = vec![bind("/a/b/c"), bind("/a")]);
    let order = destinations(&deep);
    assert!(order.iter().position(|d| d == "/a") < order.iter().position(|d| d == "/a/b/c"));
}

#[test]
fn modes_change_namespaces_and_mounts() {
    let host = spec(|c| {
        let h = &mut c.host_config;
        h.network_mode = "host".into();
        h.pid_mode = "host".into();
        h.uts_mode = "host".into();
        h.ipc_mode = "host".into();
        h.cgroupns_mode = "private".into();
    });
    use LinuxNamespaceType as N;
    let mut own = vec![N::Mount, N::Cgroup];
    own.sort_by_key(|k| *k as u32);
    assert_eq!(namespaces(&host), own);
    assert!(host.hostname().is_none());
    assert!(host.linux().as_ref().unwrap().sysctl().is_none());
    let no_ipc = destinations(&spec(|c| c.host_config.ipc_mode = "none".into()));
    assert!(!no_ipc.contains(&"/dev/shm".into()));
    let init = spec(|c| c.host_config.init = Some(true));
    assert_eq!(init.process().as_ref().unwrap().args().as_ref().unwrap(), &["/sbin/docker-init", "--", "/bin/true"]);
    let free = spec(|c| c.host_config.privileged = true);
    assert!(free.linux().as_ref().unwrap().masked_paths().as_ref().unwrap().is_empty());
    let cgroup = free.mounts().iter().flatten().find(|m| m.typ().as_deref() == Some("cgroup")).unwrap();
    assert!(!cgroup.options().as_ref().unwrap().contains(&"ro".into()));
}
