//! The first use of a volume: while it is empty it gets what the image has where it is mounted.

use super::{is_empty, of};
use crate::engine::Inner;
use crate::fail::Context as _;
use crate::tree::{Stopped, View};
use lighter_domain::{Container, Error, Result};
use lighter_image::{Extract, Form, extract, open_below, pack_contents};
use rustix::fs::{Mode, OFlags, ResolveFlags, fstat};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

impl Inner {
    /// Fills the empty ones of a new container's volumes. Blocking.
    pub(crate) fn copy_up(self: &Arc<Self>, container: &Container) -> Result<()> {
        let wanted = || of(container).filter(|m| m.copy_up && m.subpath.is_empty());
        if wanted().next().is_none() {
            return Ok(());
        }
        let _mounted = self.volumes.borrow(container)?;
        let mut view = None;
        for point in wanted().filter(|m| is_empty(Path::new(&m.source))) {
            let view = match &view {
                Some(view) => view,
                None => {
                    let layer = self.make_layer(container)?;
                    let stopped = Stopped { layer, target: self.layout.views(), mounts: Vec::new(), held: None, volumes: None };
                    view.insert(View::of_stopped(stopped)?)
                }
            };
            let path = Path::new(&point.destination).as_os_str().as_bytes();
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            let Ok(from) = open_below(&view.root, path, flags, ResolveFlags::empty()) else { continue };
            let to = Path::new(&point.source);
            copy(&from, to).map_err(|e| Error::internal(format!("failed to copy into volume {}: {e}", point.name)))?;
        }
        Ok(())
    }
}

/// All that is in `from`, and its own owner and mode.
fn copy(from: &OwnedFd, to: &Path) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(to, flags, Mode::empty()).at("cannot open", to)?;
    let stat = fstat(from).at("cannot look at", to)?;
    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    let target = root.try_clone().context("cannot copy a descriptor")?;
    std::thread::scope(|scope| {
        let packing =
            scope.spawn(move || pack_contents(from, Form::Plain, &|_, _| false, io::BufWriter::with_capacity(64 << 10, writer)));
        let done = extract(reader, target, Extract::default());
        let packed = packing.join().map_err(|_| Error::internal("packing panicked"))?;
        // What failed first broke the other one's pipe.
        match (packed, done) {
            (Ok(()), Ok(())) => Ok(()),
            (Err(e), Ok(())) => Err(Error::internal(e.to_string())),
            (_, Err(e)) => Err(Error::internal(e.to_string())),
        }
    })?;
    let ids = (Some(rustix::fs::Uid::from_raw(stat.st_uid)), Some(rustix::fs::Gid::from_raw(stat.st_gid)));
    rustix::fs::fchown(&root, ids.0, ids.1).at("cannot set the owner of", to)?;
    rustix::fs::chmod(format!("/proc/self/fd/{}", root.as_raw_fd()), Mode::from_raw_mode(stat.st_mode & 0o7777))
        .at("cannot set the mode of", to)
}
