//! Making processes: the container's, and execs.

use super::{Phase, Server};
use crate::client::Role;
use crate::error::{SetupError, failure};
use crate::helper::{self, Namespaces};
use crate::join::Joining;
use crate::poll::{Ready, Token};
use crate::process::{self, Input, Launching, MAIN, Maker, Outcome, Pipes, Process};
use crate::wiring::Wiring;
use crate::{clock, journal};
use lighter_supervisor_proto::{self as proto, ExecRequest, Failure, Reply, Stage};
use rustix::net::{AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType};
use rustix::pipe::PipeFlags;
use std::fs::File;
use std::io::{self, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Instant;

impl Server {
    pub(super) fn launch_container(&mut self) {
        let launch = &self.site.launch;
        let mut process = self.processes.remove(&MAIN).unwrap_or_else(|| Process::new(String::new(), launch.tty));
        process.input_once = launch.stdin_once && !launch.tty;
        process.size = process.size.or(launch.console_size);
        let streams = (launch.open_stdin, true, true);
        if let Err(error) = self.launch(MAIN, process, None, streams, None) {
            self.container_failed(error.failure());
        }
    }

    pub(super) fn launch_exec(&mut self, client: u32, request: ExecRequest) {
        let number = self.number();
        let mut process = Process::new(request.id, request.tty);
        process.input_once = !request.tty;
        process.size = request.console_size;
        let streams = (request.stdin, request.stdout, request.stderr);
        let joining = Joining::new(&self.site, request.process, request.unconfined);
        match joining.and_then(|joining| self.launch(number, process, Some(joining), streams, Some(client))) {
            Ok(()) => {
                let Some(asking) = self.clients.get_mut(&client) else { return };
                let (stdin, stdout, stderr) = streams;
                asking.role = Role::Attached { process: number, stdin, stdout, stderr };
                // Its input belongs to a process that does not run yet.
                asking.held = true;
                self.renew_interest(client);
            }
            Err(error) => self.answer(client, &Reply::Failed(error.failure())),
        }
    }

    /// Makes the container's process, or one that joins it.
    fn launch(
        &mut self,
        number: u32,
        mut process: Process,
        joining: Option<Joining>,
        (stdin, stdout, stderr): (bool, bool, bool),
        client: Option<u32>,
    ) -> Result<(), SetupError> {
        let what = SetupError::io::<io::Error>;
        let what = || what("make the standard streams");
        let tty = process.tty;
        let pipes = Pipes::open(stdin && !tty, stdout && !tty, stderr && !tty).map_err(what())?;
        let (notes, their_notes) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from).map_err(what())?;
        rustix::io::ioctl_fionbio(&notes, true).map_err(io::Error::from).map_err(what())?;
        let console_name = tty.then(|| PathBuf::from(format!("console-{number}")));
        let console = console_name.as_ref().map(|name| listen(name)).transpose().map_err(SetupError::io("await the terminal"))?;
        let wiring =
            Wiring { stdio: pipes.theirs(), notes: their_notes.as_fd(), console: console_name, console_size: process.size };
        let maker = match joining {
            None => Maker::Helper(helper::start(&self.site, &wiring).map_err(SetupError::io("start the helper"))?),
            Some(joining) => {
                let main = self.processes.get(&MAIN).and_then(|main| main.pid);
                Maker::Itself(joining.start(&self.site, main.ok_or(SetupError::Spec("process id"))?, &wiring)?)
            }
        };
        // Woken by their end alone, which is always told.
        self.poll.add(&notes, Token::Notes(number), Ready::empty()).map_err(what())?;
        process.launching = Some(Launching { maker, orphaned: false, notes, console, client });
        process.input = pipes.stdin.map(Input::new);
        process.outputs = pipes.outputs;
        self.processes.insert(number, process);
        // An exec's client is to have its answer before any output.
        if number == MAIN { self.watch_outputs(number).map_err(what()) } else { Ok(()) }
    }

    fn watch_outputs(&self, number: u32) -> io::Result<()> {
        let Some(process) = self.processes.get(&number) else { return Ok(()) };
        for (index, output) in process.outputs.iter().enumerate() {
            if let Some(fd) = output {
                self.poll.add(fd, Token::Stream(number, index as u8 + 1), Ready::IN)?;
            }
        }
        Ok(())
    }

    /// The end of the notes: it is known what became of the process.
    pub(super) fn on_notes(&mut self, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        let Some(launching) = process.launching.take() else { return };
        self.poll.remove(&launching.notes);
        let mut text = Vec::new();
        // What was read before an error counts.
        let _ = File::from(launching.notes).read_to_end(&mut text);
        let Outcome { pid, failure, executing } = process::outcome(&text);
        process.pid = match launching.maker {
            Maker::Helper(_) => pid,
            Maker::Itself(pid) => Some(pid),
        };
        let pid = process.pid;
        process.started_at = clock::now();
        let failure = failure.or_else(|| {
            let text = "the process that was to make it was killed (is the memory limit too low?)";
            (pid.is_none() || launching.orphaned || !executing).then(|| crate::error::failure(Stage::Setup, None, text))
        });
        let failure = failure.or_else(|| self.take_terminal(number, launching.console.as_ref()));
        let _ = std::fs::remove_file(format!("console-{number}"));
        match (failure, number) {
            (Some(failure), MAIN) => self.container_failed(failure),
            (Some(failure), _) => self.exec_failed(number, launching.client, failure),
            (None, MAIN) => self.container_started(),
            (None, _) => self.exec_started(number, launching.client),
        }
        self.claim(number);
    }

    /// The terminal was sent while the process was made.
    fn take_terminal(&mut self, number: u32, console: Option<&OwnedFd>) -> Option<Failure> {
        let console = console?;
        let process = self.processes.get_mut(&number)?;
        let taken = receive_descriptor(console).and_then(|master| {
            rustix::io::ioctl_fionbio(&master, true)?;
            let input = master.try_clone()?;
            self.poll.add(&master, Token::Stream(number, 1), Ready::IN)?;
            Ok((master, input))
        });
        match taken {
            Ok((master, input)) => {
                if let Some((rows, cols)) = process.size {
                    resize(&master, rows, cols);
                }
                process.outputs[0] = Some(master);
                process.input = Some(Input::new(input));
                None
            }
            Err(error) => Some(failure(Stage::Setup, error.raw_os_error(), format!("receive the terminal: {error}"))),
        }
    }

    fn container_started(&mut self) {
        // Held open here it would keep the namespace, and its interfaces, alive after the container.
        self.site.namespaces = Namespaces::default();
        self.site.cgroup_view = None;
        self.phase = Phase::Running;
        let Some(process) = self.processes.get(&MAIN) else { return };
        let pid = process.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        self.announce(&proto::Ready::Started { pid, started_at: process.started_at });
        // What was attached before the start may write now.
        for client in self.clients.keys().copied().collect::<Vec<_>>() {
            self.release_client(client, MAIN);
        }
    }

    /// Lets a client write that had to wait for the process to be made.
    fn release_client(&mut self, id: u32, number: u32) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if matches!(client.role, Role::Attached { process, .. } if process == number) {
            client.held = false;
            let early = std::mem::take(&mut client.input);
            if !early.is_empty() {
                self.feed(id, number, &early);
            }
            self.renew_interest(id);
        }
    }

    pub(super) fn container_failed(&mut self, failure: Failure) {
        if !matches!(self.phase, Phase::Starting) {
            return;
        }
        journal::note(&format!("the container could not be started: {}", failure.message));
        self.announce(&proto::Ready::Failed(failure.clone()));
        let waiters = self.processes.remove(&MAIN).map(|main| main.waiters);
        waiters.into_iter().flatten().for_each(|waiter| self.answer(waiter, &Reply::Failed(failure.clone())));
        for client in self.clients.keys().copied().collect::<Vec<_>>() {
            self.finish(client);
        }
        self.stuck_since = Instant::now();
        self.phase = Phase::Failed(failure);
    }

    fn exec_started(&mut self, number: u32, client: Option<u32>) {
        let Some(process) = self.processes.get(&number) else { return };
        let Some(pid) = process.pid else { return };
        // A terminal is watched since it arrived.
        if !process.tty
            && let Err(error) = self.watch_outputs(number)
        {
            journal::note(&format!("cannot watch the output of an exec: {error}"));
        }
        let Some(client) = client.filter(|client| self.clients.contains_key(client)) else {
            return self.release_input(number);
        };
        self.answer(client, &Reply::ExecStarted { pid: u32::try_from(pid).unwrap_or(0) });
        let Some(asking) = self.clients.get_mut(&client) else { return self.release_input(number) };
        if matches!(asking.role, Role::Attached { stdin: false, stdout: false, stderr: false, .. }) {
            asking.role = Role::Commands;
            asking.held = false;
            self.serve_requests(client);
            self.renew_interest(client);
        } else {
            self.release_client(client, number);
        }
    }

    fn exec_failed(&mut self, number: u32, client: Option<u32>, failure: Failure) {
        let process = self.processes.remove(&number);
        let outputs = process.iter().flat_map(|process| process.outputs.iter().flatten());
        outputs.for_each(|fd| self.poll.remove(fd));
        for waiter in process.map(|process| process.waiters).unwrap_or_default() {
            self.answer(waiter, &Reply::Failed(failure.clone()));
        }
        if let Some(asking) = client.and_then(|client| self.clients.get_mut(&client)) {
            asking.role = Role::Commands;
            asking.held = false;
        }
        if let Some(client) = client {
            self.answer(client, &Reply::Failed(failure));
            self.renew_interest(client);
        }
    }

    /// The client of an exec is gone: its input has ended.
    fn release_input(&mut self, number: u32) {
        if let Some(process) = self.processes.get_mut(&number) {
            process.input = None;
        }
    }
}

/// Sets a terminal's size.
pub(super) fn resize(terminal: impl AsFd, rows: u16, cols: u16) {
    let size = rustix::termios::Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    let _ = rustix::termios::tcsetwinsize(terminal, size);
}

/// A listening socket in the working directory, which is the run directory (its full path may be too long for a socket).
fn listen(name: &std::path::Path) -> io::Result<OwnedFd> {
    let _ = std::fs::remove_file(name);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &rustix::net::SocketAddrUnix::new(name)?)?;
    rustix::net::listen(&socket, 1)?;
    Ok(socket)
}

fn receive_descriptor(listener: &OwnedFd) -> io::Result<OwnedFd> {
    let connection = rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 64];
    rustix::net::recvmsg(&connection, &mut [IoSliceMut::new(&mut name)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    descriptors.next().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
