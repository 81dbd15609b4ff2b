//! A container's files from outside: what `docker cp` reads and writes, `diff`, `export`, `commit`.
//!
//! Everything happens below one descriptor, the root of a [`View`]: for a container that runs, a private copy of its own mount
//! namespace; for one that does not, its overlay and binds in a namespace made for the purpose. No path of the container is
//! ever resolved in the host's view, no program is run, and nothing that the image brings is loaded.

mod changes;
mod commit;
mod lookup;
mod view;

use crate::engine::{Inner, LinuxEngine};
use crate::fail::Context as _;
use crate::run::{RunState, client};
use crate::spec::users;
use crate::spec::view::read_below;
use async_trait::async_trait;
use lighter_domain::{Container, Error, Result};
use lighter_engine::{ByteStream, Change, Files, NewImage, PathStat, WriteOptions};
use lighter_image::{Extract, Form, extract, pack, pack_contents};
use lighter_supervisor_proto::{Reply, Request};
use lookup::Place;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio_util::io::SyncIoBridge;
use view::Access;
pub(crate) use view::{Stopped, View};

/// Where a container's files are right now.
enum Source {
    /// Its first process, which had not ended when it was looked at.
    Running(OwnedFd),
    Stopped(Stopped),
}

#[async_trait]
impl Files for LinuxEngine {
    async fn stat(&self, container: &Container, path: &str) -> Result<PathStat> {
        let (source, path) = (self.inner.source(container, Access::Read).await?, path.to_owned());
        let hidden = view::kernels_own(container);
        let work = move || {
            let view = source.open(&hidden)?;
            lookup::find(&view, &path)?.stat(&view)
        };
        tokio::task::spawn_blocking(work).await.context("looking was broken off")?
    }

    async fn read(&self, container: &Container, path: &str) -> Result<(PathStat, ByteStream)> {
        let (source, path) = (self.inner.source(container, Access::Read).await?, path.to_owned());
        let hidden = view::kernels_own(container);
        let work = move || -> Result<(PathStat, View, Place)> {
            let view = source.open(&hidden)?;
            let place = lookup::find(&view, &path)?;
            Ok((place.stat(&view)?, view, place))
        };
        let (stat, view, place) = tokio::task::spawn_blocking(work).await.context("looking was broken off")??;
        let stream = crate::stream::of_writer(move |out| {
            let packed = pack(&place.fd, place.name.as_bytes(), Form::Plain, out).map_err(std::io::Error::other);
            drop(view);
            packed
        });
        Ok((stat, stream))
    }

    async fn write(&self, container: &Container, path: &str, archive: ByteStream, options: WriteOptions) -> Result<()> {
        let (source, path) = (self.inner.source(container, Access::Write).await?, path.to_owned());
        let container = container.clone();
        let work = move || -> Result<()> {
            let runs = matches!(source, Source::Running(_));
            let view = source.open(&view::kernels_own(&container))?;
            let place = lookup::directory(&view, &path)?;
            lookup::check_writable(&container, runs, &place)?;
            let owner = if options.own { owner(&view, &container)? } else { None };
            let how = Extract { place: place.real.display().to_string(), keep_kinds: options.keep_kinds, owner };
            // dockerd calls an archive that is none its own failure, too.
            extract(SyncIoBridge::new(archive), place.fd, how).map_err(|e| Error::internal(e.to_string()).with_source(e))
        };
        tokio::task::spawn_blocking(work).await.context("unpacking was broken off")?
    }

    async fn changes(&self, container: &Container) -> Result<Vec<Change>> {
        let (inner, container) = (Arc::clone(&self.inner), container.clone());
        let work = move || {
            let layer = inner.make_layer(&container)?;
            changes::of_layers(&layer.upper, &layer.lower).context("cannot compare the container's layers")
        };
        tokio::task::spawn_blocking(work).await.context("comparing was broken off")?
    }

    async fn export(&self, container: &Container) -> Result<ByteStream> {
        let source = self.inner.source(container, Access::Read).await?;
        let opened = tokio::task::spawn_blocking(move || source.open_bare()).await;
        let view = opened.context("looking was broken off")??;
        Ok(crate::stream::of_writer(move |out| {
            pack_contents(&view.root, Form::Plain, &|_, _| false, out).map_err(std::io::Error::other)
        }))
    }

    async fn commit(&self, container: &Container, image: NewImage) -> Result<String> {
        let (inner, container) = (Arc::clone(&self.inner), container.clone());
        let work = move || inner.commit(&container, image);
        tokio::task::spawn_blocking(work).await.context("committing was broken off")?
    }
}

/// Who the container runs as, if it says.
fn owner(view: &View, container: &Container) -> Result<Option<(u32, u32)>> {
    let user = &container.config.user;
    if user.is_empty() {
        return Ok(None);
    }
    match users::resolve(user, &[], |path| read_below(&view.root, path, users::MAX_FILE)) {
        Ok(found) => Ok(Some((found.uid, found.gid))),
        Err(_) => {
            let text = format!("failed to look up user {user:?} in container: no matching entries in passwd file");
            Err(Error::invalid(text))
        }
    }
}

impl Source {
    fn open(self, hidden: &[&'static str]) -> Result<View> {
        match self {
            Self::Running(process) => View::of_running(process, hidden.to_vec()),
            Self::Stopped(stopped) => View::of_stopped(stopped),
        }
    }

    /// Without what is mounted.
    fn open_bare(self) -> Result<View> {
        match self {
            Self::Running(process) => View::of_running_bare(process),
            Self::Stopped(stopped) => View::of_stopped(Stopped { mounts: Vec::new(), ..stopped }),
        }
    }
}

impl Inner {
    /// Finds out whether the container runs. One that does not is kept from starting while it is written to.
    async fn source(self: &Arc<Self>, container: &Container, access: Access) -> Result<Source> {
        let id = &container.id;
        let slot = self.runs.slot(id);
        for _ in 0..2 {
            let held = slot.hold().await;
            let RunState::Running { pid } = slot.state() else {
                let (this, container) = (Arc::clone(self), container.clone());
                let stopped = tokio::task::spawn_blocking(move || this.stopped(&container, access, held)).await;
                return Ok(Source::Stopped(stopped.context("looking was broken off")??));
            };
            drop(held);
            if let Some(process) = self.process(container, pid).await? {
                return Ok(Source::Running(process));
            }
            // It is ending: what it leaves is there in a moment.
            self.wait(id).await?;
            self.cleanup(id).await?;
        }
        Err(Error::conflict(format!("container {id} starts and ends too often to be looked into")))
    }

    /// The process `pid`, if it is still the container's first: its supervisor reaps it, and was asked after the descriptor
    /// was opened.
    async fn process(&self, container: &Container, pid: u32) -> Result<Option<OwnedFd>> {
        let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        let Ok(process) = pidfd_open(number, PidfdFlags::empty()) else { return Ok(None) };
        let dir = self.layout.run_dir(&container.id);
        match client::ask(&dir, &Request::Status).await {
            Ok(Reply::Status { pid: now, .. }) if now == pid => Ok(Some(process)),
            _ => Ok(None),
        }
    }

    fn stopped(
        &self,
        container: &Container,
        access: Access,
        held: tokio::sync::OwnedMutexGuard<crate::run::Held>,
    ) -> Result<Stopped> {
        let layer = self.make_layer(container)?;
        let target = self.layout.views();
        Ok(Stopped {
            layer,
            target,
            mounts: view::mounts_of(container, &self.layout, |point| self.layers_of(point))?,
            // Reading needs no lock: it never touches the writable layer.
            held: (access == Access::Write).then_some(held),
            volumes: Some(self.volumes.borrow(container)?),
        })
    }
}
