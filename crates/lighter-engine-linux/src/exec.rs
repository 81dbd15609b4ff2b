//! Further processes in running containers.

use crate::engine::Inner;
use crate::fail::Context as _;
use crate::run::{RunState, client, failure, socket};
use crate::spec::caps::CapSet;
use crate::spec::modes::Modes;
use crate::spec::{process, users, view};
use lighter_domain::{Container, ContainerId, Error, ExecConfig, Result, Signal};
use lighter_engine::{ExecSession, StartFailure};
use lighter_supervisor_proto::{ExecRequest, Reply, Request};
use std::path::PathBuf;
use std::sync::Arc;

/// Exit code of an exec that ended with its container.
const KILLED: i32 = 137;

impl Inner {
    pub(crate) async fn exec(
        self: &Arc<Self>,
        container: &Container,
        exec_id: &str,
        config: &ExecConfig,
    ) -> Result<ExecSession, StartFailure> {
        let id = &container.id;
        let not_running = || Error::conflict(format!("container {id} is not running"));
        let dir = self.running_dir(id)?;
        let RunState::Running { pid } = self.runs.slot(id).state() else { return Err(not_running().into()) };
        let request = {
            let (this, container, config, exec_id) = (Arc::clone(self), container.clone(), config.clone(), exec_id.to_owned());
            let made = tokio::task::spawn_blocking(move || this.exec_request(&container, exec_id, &config, pid));
            made.await.context("preparing was broken off")??
        };
        let attached = request.stdin || request.stdout || request.stderr;
        let stdin = request.stdin;
        let request = Request::Exec(Box::new(request));
        let talk = async {
            let mut connection = client::say(&dir, &request).await?;
            let reply = client::hear(&mut connection).await?;
            Ok::<_, std::io::Error>((connection, reply))
        };
        let (connection, pid) = match talk.await {
            Ok((connection, Reply::ExecStarted { pid })) => (connection, pid),
            Ok((_, Reply::Failed(why))) => return Err(failure::of_exec(&why)),
            Ok((_, Reply::Error { .. })) => return Err(not_running().into()),
            Ok((_, other)) => return Err(Error::internal(format!("the supervisor answered an exec with {other:?}")).into()),
            Err(e) if socket::is_gone(&e) => return Err(not_running().into()),
            Err(e) => return Err(Error::internal(format!("cannot exec in container {id}: {e}")).into()),
        };
        let session = attached.then(|| client::session(connection, stdin, false));
        // The supervisor keeps the code of one that has ended until it is asked for.
        let wait = Request::ExecWait { exec: exec_id.to_owned() };
        Ok(ExecSession { pid, session, exit: Box::pin(exit_code(dir, wait)) })
    }

    pub(crate) async fn signal_exec(&self, id: &ContainerId, exec_id: &str, signal: Signal) -> Result<()> {
        let dir = self.running_dir(id)?;
        let request = Request::ExecSignal { exec: exec_id.to_owned(), number: signal.number() };
        match client::ask(&dir, &request).await {
            Ok(Reply::Ok) => Ok(()),
            Ok(Reply::Error { message, .. }) => Err(Error::conflict(format!("cannot signal exec {exec_id}: {message}"))),
            Ok(other) => Err(Error::internal(format!("the supervisor answered a signal to an exec with {other:?}"))),
            Err(e) => Err(Error::internal(format!("cannot signal exec {exec_id}: {e}"))),
        }
    }

    /// The request with everything resolved. Blocking.
    fn exec_request(&self, container: &Container, id: String, config: &ExecConfig, pid: u32) -> Result<ExecRequest> {
        let host = &container.host_config;
        let modes = Modes::of(container, self.cgroups.is_v2())?;
        let user = if config.user.is_empty() { &container.config.user } else { &config.user };
        let user = users::resolve(user, &host.group_add, |path| view::read_in_root(pid, path, users::MAX_FILE))?;
        let privileged = config.privileged || host.privileged;
        let caps = CapSet::of(
            privileged,
            host.cap_add.as_deref().unwrap_or_default(),
            host.cap_drop.as_deref().unwrap_or_default(),
            self.available,
        )?;
        let mut process = process::exec(container, &modes, config, &user, caps)?;
        process.set_apparmor_profile(self.apparmor.of(container, privileged)?);
        let short = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
        Ok(ExecRequest {
            id,
            process: serde_json::to_value(&process).context("cannot encode the process")?,
            tty: config.tty,
            stdin: config.attach_stdin,
            stdout: config.attach_stdout,
            stderr: config.attach_stderr,
            console_size: config.console_size.map(|(h, w)| (short(h), short(w))).filter(|s| *s != (0, 0)),
            unconfined: privileged,
        })
    }
}

async fn exit_code(dir: PathBuf, wait: Request) -> Result<i32> {
    match client::ask(&dir, &wait).await {
        Ok(Reply::ExecExited { code }) => Ok(code),
        Ok(other) => Err(Error::internal(format!("the supervisor answered a wait for an exec with {other:?}"))),
        Err(e) if socket::is_gone(&e) => Ok(KILLED),
        Err(e) => Err(Error::internal(format!("cannot wait for an exec: {e}"))),
    }
}
