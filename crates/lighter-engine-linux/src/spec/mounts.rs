//! The mount table of a container: what every container has, its tmpfs, its binds and the generated files of `/etc`.
//!
//! A mount that the user asks for takes the place of a default one at the same point, as with dockerd.

use super::modes::{Ipc, Modes, etc_owner};
use super::{propagation, tmpfs};
use crate::fail::Context as _;
use crate::paths::Layout;
use lighter_domain::container::{MountKind, MountPoint};
use lighter_domain::host_config::{Mount as Asked, MountType};
use lighter_domain::{Container, Error, Result};
use lighter_supervisor_proto::{EarlyBind, Pin, files};
use oci_spec::runtime::Mount;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Bytes of `/dev/shm` when nothing is asked.
pub(crate) const DEFAULT_SHM: i64 = 64 << 20;
/// Where the program behind `--init` appears.
pub(crate) const INIT_PATH: &str = "/sbin/docker-init";

/// All mounts, in the order in which they are to be made.
pub(crate) fn all(container: &Container, layout: &Layout, modes: &Modes, init: Option<&Path>) -> Result<Vec<Mount>> {
    let host = &container.host_config;
    let mut user = Vec::new();
    for (number, point) in container.mounts.iter().enumerate() {
        match point.kind {
            MountKind::Bind => {
                let mut made = bind(point, find_asked(host.mounts.as_slice(), &point.destination))?;
                if is_early(point) {
                    let taken = layout.run_dir(&container.id).join(files::BINDS).join(number.to_string());
                    made.set_source(Some(taken));
                }
                user.push(made);
            }
            MountKind::Volume | MountKind::Image => user.push(whole_or_part(container, point, layout)),
            MountKind::Tmpfs => {}
        }
    }
    for asked in host.mounts.iter().filter(|m| m.mount_type == MountType::Tmpfs) {
        user.push(mount("tmpfs", "tmpfs", &clean(&asked.target), tmpfs::of_mount(asked)));
    }
    for (path, options) in &host.tmpfs {
        user.push(mount("tmpfs", "tmpfs", &clean(path), tmpfs::of_flag(options)?));
    }
    let taken: Vec<PathBuf> = user.iter().map(|m| m.destination().clone()).collect();
    let own_dev = taken.iter().any(|t| t == Path::new("/dev"));
    let mut mounts = defaults(container, layout, modes);
    mounts.retain(|m| !(taken.contains(m.destination()) || own_dev && m.destination().starts_with("/dev")));
    let etc = etc_owner(container);
    for (file, at) in [
        (layout.resolv_conf(&etc), "/etc/resolv.conf"),
        (layout.hostname(&etc), "/etc/hostname"),
        (layout.hosts(&etc), "/etc/hosts"),
    ] {
        if !taken.iter().any(|t| t == Path::new(at)) {
            // Under a read-only root they are so, too.
            let options = if host.readonly_rootfs { &["rbind", "rprivate", "ro"][..] } else { &["rbind", "rprivate"] };
            user.push(mount("bind", &file, Path::new(at), words(options)));
        }
    }
    if let Some(program) = init {
        user.push(mount("bind", program, Path::new(INIT_PATH), words(&["bind", "ro"])));
    }
    user.sort_by_key(|m| m.destination().components().count());
    mounts.extend(user);
    Ok(mounts)
}

fn defaults(container: &Container, layout: &Layout, modes: &Modes) -> Vec<Mount> {
    let host = &container.host_config;
    let system = if host.privileged { "rw" } else { "ro" };
    let at = |kind: &str, source: &str, to: &str, options: &[&str]| mount(kind, source, Path::new(to), words(options));
    let mut mounts = vec![
        at("proc", "proc", "/proc", &["nosuid", "noexec", "nodev"]),
        at("tmpfs", "tmpfs", "/dev", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        at("devpts", "devpts", "/dev/pts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        at("sysfs", "sysfs", "/sys", &["nosuid", "noexec", "nodev", system]),
        at("cgroup", "cgroup", "/sys/fs/cgroup", &[system, "nosuid", "noexec", "nodev", "relatime"]),
    ];
    if modes.ipc == Ipc::Host {
        // Not every host has both.
        for dir in ["/dev/mqueue", "/dev/shm"].into_iter().filter(|d| Path::new(d).is_dir()) {
            mounts.push(at("bind", dir, dir, &["rbind", "rprivate", "nosuid", "noexec", "nodev"]));
        }
        return mounts;
    }
    mounts.push(at("mqueue", "mqueue", "/dev/mqueue", &["nosuid", "noexec", "nodev"]));
    match modes.ipc {
        Ipc::Private => {
            let size = format!("size={}", shm_size(container));
            mounts.push(at("tmpfs", "shm", "/dev/shm", &["nosuid", "noexec", "nodev", "mode=1777", &size]));
        }
        // The supervisor has it ready.
        Ipc::Shareable | Ipc::Joined => {
            let ready = layout.run_dir(&container.id).join(files::SHM);
            mounts.push(mount("bind", ready, Path::new("/dev/shm"), words(&["bind", "rprivate", "nosuid", "noexec", "nodev"])));
        }
        Ipc::None | Ipc::Host => {}
    }
    mounts
}

/// Bytes of the container's `/dev/shm`.
pub(crate) fn shm_size(container: &Container) -> i64 {
    if container.host_config.shm_size > 0 { container.host_config.shm_size } else { DEFAULT_SHM }
}

/// The binds that the supervisor takes before it changes its view of the mounts; their numbers are their places in the list
/// of mounts.
pub(crate) fn early(container: &Container) -> Vec<EarlyBind> {
    let one = |(number, point): (usize, &MountPoint)| {
        is_early(point).then(|| EarlyBind { number, source: (&point.source).into(), recursive: point.recursive })
    };
    container.mounts.iter().enumerate().filter_map(one).collect()
}

/// One that shows the control groups, or whose mounts are to reach the host.
fn is_early(point: &MountPoint) -> bool {
    let source = Path::new(&point.source);
    let groups = Path::new("/sys/fs/cgroup");
    let shows = source.starts_with(groups) || point.recursive && groups.starts_with(source);
    point.kind == MountKind::Bind && (shows || matches!(point.propagation.as_str(), "shared" | "rshared"))
}

fn find_asked<'a>(mounts: &'a [Asked], destination: &str) -> Option<&'a Asked> {
    mounts.iter().find(|m| m.mount_type == MountType::Bind && clean(&m.target) == clean(destination))
}

fn bind(point: &MountPoint, asked: Option<&Asked>) -> Result<Mount> {
    let source = Path::new(&point.source);
    prepare_source(source, point.create_source)?;
    propagation::check(source, &point.propagation)?;
    let flat_ro = asked.and_then(|m| m.bind.as_ref()).is_some_and(|b| b.read_only_non_recursive);
    let mut options = words(&[if point.recursive { "rbind" } else { "bind" }]);
    if !point.rw {
        options.push("ro".into());
        // Since Docker 25 a read-only bind is so all the way down.
        if point.recursive && !flat_ro {
            options.push("rro".into());
        }
    }
    let propagation = if point.propagation.is_empty() { "rprivate" } else { &point.propagation };
    options.push(propagation.to_owned());
    Ok(mount("bind", source, &clean(&point.destination), options))
}

/// The files of a volume or image, or the part of them that the supervisor pinned.
fn whole_or_part(container: &Container, point: &MountPoint, layout: &Layout) -> Mount {
    let pin = pin_of(container, point, layout);
    let source = if point.subpath.is_empty() { pin.root } else { pin.at };
    let access = if point.rw { "rw" } else { "ro" };
    mount("bind", source, &clean(&point.destination), words(&["rbind", access, "rprivate"]))
}

/// What the supervisor is to open for a mount of a part of a volume or image.
fn pin_of(container: &Container, point: &MountPoint, layout: &Layout) -> Pin {
    let number = container.mounts.iter().position(|m| m.destination == point.destination).unwrap_or(0);
    let root = match point.kind {
        MountKind::Image => crate::image_mounts::place(layout, &container.id, number),
        MountKind::Bind | MountKind::Volume | MountKind::Tmpfs => PathBuf::from(&point.source),
    };
    Pin { root, path: PathBuf::from(&point.subpath), at: layout.run_dir(&container.id).join("pins").join(number.to_string()) }
}

/// All that the supervisor is to open before the mounts are made.
pub(crate) fn pins(container: &Container, layout: &Layout) -> Vec<Pin> {
    let whole = |m: &&MountPoint| m.subpath.is_empty() || matches!(m.kind, MountKind::Bind | MountKind::Tmpfs);
    let parts = container.mounts.iter().filter(|m| !whole(m));
    parts.map(|m| pin_of(container, m, layout)).collect()
}

/// A source that is there stays what it is, socket and file included; one that is missing becomes a directory for `-v` only.
fn prepare_source(source: &Path, create: bool) -> Result<()> {
    match std::fs::metadata(source) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound && create => {
            use std::os::unix::fs::DirBuilderExt as _;
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(source);
            made.map_err(|e| {
                Error::internal(format!("error while creating mount source path '{0}': mkdir {0}: {e}", source.display()))
            })
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let text = format!("invalid mount config for type \"bind\": bind source path does not exist: {}", source.display());
            Err(Error::invalid(text))
        }
        Err(e) => Err(e).at("cannot look at bind source", source),
    }
}

/// Resolves `.` and `..` by name only, and makes the path absolute.
pub(crate) fn clean(path: impl AsRef<Path>) -> PathBuf {
    let mut out = PathBuf::from("/");
    for part in path.as_ref().components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    out
}

pub(crate) fn words(options: &[&str]) -> Vec<String> {
    options.iter().map(|&o| o.to_owned()).collect()
}

fn mount(kind: &str, source: impl AsRef<Path>, to: &Path, options: Vec<String>) -> Mount {
    let mut mount = Mount::default();
    mount.set_typ(Some(kind.to_owned())).set_source(Some(source.as_ref().to_owned()));
    mount.set_destination(to.to_owned()).set_options(Some(options));
    mount
}
