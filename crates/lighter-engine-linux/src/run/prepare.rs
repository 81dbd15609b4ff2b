//! What a start needs before there is a network: user, working directory, devices, filter, control groups. Blocking.

use crate::cgroup::limits::{LEAST_PIDS, Limits};
use crate::engine::Inner;
use crate::fail::Context as _;
use crate::spec::caps::CapSet;
use crate::spec::devices::{self, Device};
use crate::spec::modes::{Ipc, Modes, Pids};
use crate::spec::mounts::INIT_PATH;
use crate::spec::users::{self, User};
use crate::spec::view::View;
use crate::spec::{self, process};
use lighter_domain::{Container, Error, Result};
use lighter_network::Attachment;
use lighter_supervisor_proto::{self as proto, ImageMount, Launch, LogFile, Rootfs, files};
use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// The parts of a run that do not depend on its network.
pub(crate) struct Prepared {
    pub modes: Modes,
    user: User,
    caps: CapSet,
    devices: Vec<Device>,
    seccomp: Option<PathBuf>,
    pub groups: proto::Cgroups,
    images: Vec<ImageMount>,
}

impl Inner {
    /// Makes the writable layer, if it is not there, and the data directory. Blocking.
    pub(crate) fn make_layer(&self, container: &Container) -> Result<Rootfs> {
        let id = container.image_id.parse().map_err(|_| no_image(container))?;
        let stack = self.images.layer_stack(&id).map_err(|_| no_image(container))?;
        let made = match self.snapshots.paths(container.id.as_str()) {
            Some(made) => made,
            None => self.snapshots.prepare(container.id.as_str(), &stack).context("cannot make the writable layer")?,
        };
        let data = self.layout.data_dir(&container.id);
        std::fs::create_dir_all(&data).at("cannot make", &data)?;
        Ok(Rootfs { lower: stack.dirs, upper: made.upper, work: made.work })
    }

    /// Everything before the network is known. `supervisor` is told of the root file system as soon as it is whole.
    pub(crate) fn prepare(&self, container: &Container, modes: Modes, supervisor: &UnixStream) -> Result<Prepared> {
        let host = &container.host_config;
        self.volumes.acquire(container, container.id.as_str())?;
        crate::volumes::check_parts(container)?;
        let images = self.image_mounts(container)?;
        let rootfs = self.make_layer(container)?;
        let layers = std::iter::once(&rootfs.upper).chain(&rootfs.lower).map(PathBuf::as_path);
        let view = View::open(layers).context("cannot open the container's layers")?;
        let user = users::resolve(&container.config.user, &host.group_add, |p| view.read(p, users::MAX_FILE))?;
        self.make_cwd(container, &view)?;
        if container.host_config.init == Some(true) {
            make_init_place(&view)?;
        }
        // A supervisor that is gone has said why.
        let _ = proto::send(supervisor, &rootfs);
        let caps = CapSet::of(
            host.privileged,
            host.cap_add.as_deref().unwrap_or_default(),
            host.cap_drop.as_deref().unwrap_or_default(),
            self.available,
        )?;
        let seccomp = self.seccomp.program(container, caps)?;
        let devices = devices::of(host.privileged, &host.devices)?;
        let limits = Limits::of(host, &devices)?;
        let groups = self.cgroups.create(container, &limits)?;
        Ok(Prepared { modes, user, caps, devices, seccomp, groups, images })
    }

    /// As dockerd: a working directory that is missing is made, in the mount that it is on.
    fn make_cwd(&self, container: &Container, view: &View) -> Result<()> {
        let cwd = process::cwd(container);
        let under = |m: &&lighter_domain::container::MountPoint| cwd.starts_with(spec::mounts::clean(&m.destination));
        let inside_mount = container.mounts.iter().filter(under).max_by_key(|m| m.destination.len());
        let made = match inside_mount {
            Some(mount) => {
                let rest = cwd.strip_prefix(spec::mounts::clean(&mount.destination)).unwrap_or(Path::new(""));
                if rest.as_os_str().is_empty() || !Path::new(&mount.source).is_dir() {
                    return Ok(());
                }
                View::open([Path::new(&mount.source)]).and_then(|v| v.make_dirs(rest))
            }
            None => view.make_dirs(&cwd),
        };
        match made {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::invalid(format!("Cannot mkdir: {} is not a directory", cwd.display()))),
            Err(e) => Err(e).at("cannot make the working directory", &cwd),
        }
    }

    /// Writes the run directory's files on the network.
    pub(crate) fn write_attachment(&self, container: &Container, modes: &Modes, attachment: &Attachment) -> Result<()> {
        self.write_etc(container, modes, attachment)?;
        super::files::replace_attachment(&self.layout.run_dir(&container.id), attachment)
    }

    /// Writes the run directory's files for the supervisor.
    pub(crate) fn write_launch(&self, container: &Container, p: &Prepared) -> Result<()> {
        let run_dir = self.layout.run_dir(&container.id);
        let init = self.init_program(container)?;
        let input = spec::Input {
            container,
            layout: &self.layout,
            modes: &p.modes,
            user: &p.user,
            caps: p.caps,
            apparmor: self.apparmor.of(container, container.host_config.privileged)?,
            devices: &p.devices,
            init,
            rootfs: run_dir.join(files::ROOTFS),
            cgroup_path: self.cgroups.path_of(container),
        };
        super::files::write(&run_dir, files::SPEC, &spec::build(&input)?)?;
        let host = &container.host_config;
        let launch = Launch {
            id: container.id.as_str().to_owned(),
            run_dir: run_dir.clone(),
            tty: container.config.tty,
            open_stdin: container.config.open_stdin,
            stdin_once: container.config.stdin_once,
            console_size: host.console_size.map(|(h, w)| (short(h), short(w))).filter(|s| *s != (0, 0)),
            log: self.log_file(container)?,
            cgroups: p.groups.clone(),
            seccomp: p.seccomp.clone(),
            images: p.images.clone(),
            pins: spec::mounts::pins(container, &self.layout),
            netns: p.modes.own_network(),
            joins_ipc: p.modes.ipc == Ipc::Joined,
            joins_pid: p.modes.pid == Pids::Joined,
            shm: self.shm(container, &p.modes),
            binds: spec::mounts::early(container),
            log_to: crate::logs::remote::resolved(container)?,
            count_late: !self.cgroups.is_v2() && host.pids_limit.is_some_and(|p| (1..LEAST_PIDS).contains(&p)),
            oom_score_adj: i32::try_from(host.oom_score_adj).ok().filter(|n| *n != 0),
        };
        super::files::write(&run_dir, files::LAUNCH, &launch)
    }

    fn init_program(&self, container: &Container) -> Result<Option<&Path>> {
        if container.host_config.init != Some(true) {
            return Ok(None);
        }
        if !self.config.init.is_file() {
            let text = format!("exec: \"{}\": the program for --init is not installed", self.config.init.display());
            return Err(Error::internal(text));
        }
        Ok(Some(&self.config.init))
    }

    fn log_file(&self, container: &Container) -> Result<Option<LogFile>> {
        let options = crate::logs::options::of(container)?;
        Ok(options.map(|o| LogFile {
            path: self.layout.log(&container.id),
            max_size: o.max_size,
            max_file: o.max_file,
            attrs: o.attrs.into_iter().collect::<BTreeMap<_, _>>(),
        }))
    }
}

/// A read-only root file system takes no new file to mount on.
fn make_init_place(view: &View) -> Result<()> {
    let dir = Path::new(INIT_PATH).parent().unwrap_or(Path::new("/"));
    let made = view.make_dirs(dir).at("cannot make", dir)?;
    if made { Ok(()) } else { Err(Error::invalid(format!("Cannot mkdir: {} is not a directory", dir.display()))) }
}

fn no_image(container: &Container) -> Error {
    Error::not_found(format!("No such image: {}", container.image_id))
}

fn short(n: u32) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}
