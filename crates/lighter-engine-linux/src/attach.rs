//! Standard streams of containers, running or yet to be started.
//!
//! Before the start the daemon binds the socket itself: attachments wait in its backlog until the supervisor takes it over,
//! and so miss nothing.

use crate::engine::Inner;
use crate::fail::Context as _;
use crate::run::start::make_private_dir;
use crate::run::{RunState, client, socket};
use lighter_domain::{Container, ContainerId, Error, Result};
use lighter_engine::{AttachOptions, Session};
use lighter_supervisor_proto::{Reply, Request};
use nix::libc::{ENOENT, ENOTTY};
use std::sync::Arc;

impl Inner {
    pub(crate) async fn attach(self: &Arc<Self>, container: &Container, options: AttachOptions) -> Result<Session> {
        let id = &container.id;
        let AttachOptions { stdin, stdout, stderr } = options;
        let stdin = stdin && container.config.open_stdin;
        let request = Request::Attach { stdin, stdout, stderr };
        let slot = self.runs.slot(id);
        if matches!(slot.state(), RunState::Running { .. })
            && let Some(session) = self.attach_running(id, &request, stdin).await?
        {
            return Ok(session);
        }
        let mut held = slot.hold().await;
        if matches!(slot.state(), RunState::Running { .. }) {
            if let Some(session) = self.attach_running(id, &request, stdin).await? {
                return Ok(session);
            }
            let exit = self.autopsy(id).await?;
            slot.ended(&exit);
        }
        if held.dirty {
            self.tidy(id, &mut held).await?;
        }
        let dir = self.layout.run_dir(id);
        if held.listener.is_none() {
            let dir = dir.clone();
            let bind = move || {
                make_private_dir(&dir)?;
                socket::bind(&dir).at("cannot bind the socket of", &dir)
            };
            held.listener = Some(tokio::task::spawn_blocking(bind).await.context("binding was broken off")??);
        }
        let connection = client::say(&dir, &request).await.context("cannot attach")?;
        Ok(client::session(connection, stdin, true))
    }

    /// `None`: the supervisor is gone.
    async fn attach_running(&self, id: &ContainerId, request: &Request, stdin: bool) -> Result<Option<Session>> {
        let dir = self.layout.run_dir(id);
        let talk = async {
            let mut connection = client::say(&dir, request).await?;
            let reply = client::hear(&mut connection).await?;
            Ok::<_, std::io::Error>((connection, reply))
        };
        match talk.await {
            Ok((connection, Reply::Ok)) => Ok(Some(client::session(connection, stdin, false))),
            Ok((_, Reply::Error { message, .. })) => Err(Error::internal(format!("cannot attach to container {id}: {message}"))),
            Ok((_, other)) => Err(Error::internal(format!("the supervisor answered an attachment with {other:?}"))),
            Err(e) if socket::is_gone(&e) => Ok(None),
            Err(e) => Err(Error::internal(format!("cannot attach to container {id}: {e}"))),
        }
    }

    /// Sets the size of the container's terminal, or of an exec's.
    pub(crate) async fn resize(&self, id: &ContainerId, exec: Option<&str>, rows: u16, cols: u16) -> Result<()> {
        let dir = self.running_dir(id)?;
        let request = Request::Resize { exec: exec.map(str::to_owned), rows, cols };
        match client::ask(&dir, &request).await {
            Ok(Reply::Ok) => Ok(()),
            // As with dockerd, what has no terminal has no size, and that is no failure.
            Ok(Reply::Error { errno: Some(ENOTTY), .. }) => Ok(()),
            Ok(Reply::Error { errno: Some(ENOENT), .. }) => {
                Err(Error::not_found(format!("No such exec instance: {}", exec.unwrap_or_default())))
            }
            Ok(Reply::Error { message, .. }) => Err(Error::internal(format!("cannot resize: {message}"))),
            Ok(other) => Err(Error::internal(format!("the supervisor answered a resize with {other:?}"))),
            Err(e) if socket::is_gone(&e) => Err(Error::conflict(format!("container {id} is not running"))),
            Err(e) => Err(Error::internal(format!("cannot resize: {e}"))),
        }
    }
}
