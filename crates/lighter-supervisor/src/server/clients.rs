//! Connections: accepting them, answering their requests, letting them go.

use super::launching::resize;
use super::{Phase, Server};
use crate::client::{Client, Role};
use crate::journal;
use crate::poll::{Ready, Token};
use crate::process::{MAIN, Process};
use lighter_supervisor_proto::{self as proto, Reply, Request};
use rustix::net::SocketFlags;
use std::os::fd::AsFd;

/// More connections are closed at once.
const MAX_CLIENTS: usize = 1024;

impl Server {
    pub(super) fn accept(&mut self) {
        loop {
            match rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(connection) if self.clients.len() < MAX_CLIENTS => {
                    let id = self.number();
                    if self.poll.add(&connection, Token::Client(id), Ready::IN).is_ok() {
                        self.clients.insert(id, Client::new(connection));
                    }
                }
                Ok(_) => journal::note("too many connections: one was closed"),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                Err(error) => {
                    // Out of descriptors: the connection stays in the backlog. Closing the oldest idle one makes room.
                    journal::note(&format!("cannot accept a connection: {error}"));
                    let idle = self.clients.iter().find(|(_, client)| client.role == Role::Commands).map(|(id, _)| *id);
                    match idle {
                        Some(id) => self.drop_client(id),
                        None => return,
                    }
                }
            }
        }
    }

    pub(super) fn on_client(&mut self, id: u32, ready: Ready) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if ready.intersects(Ready::OUT) && client.flush().is_err() {
            return self.drop_client(id);
        }
        if ready.intersects(Ready::HUP | Ready::ERR) {
            return self.client_gone(id);
        }
        if ready.intersects(Ready::IN) && !self.read_client(id) {
            return self.drop_client(id);
        }
        self.renew_interest(id);
    }

    /// Both directions are closed. What it sent before that still counts.
    fn client_gone(&mut self, id: u32) {
        loop {
            let Some(client) = self.clients.get(&id) else { return };
            if client.input_ended || client.held || !self.read_client(id) {
                break;
            }
            let empty = |client: &Client| rustix::io::ioctl_fionread(&client.fd).unwrap_or(0) == 0;
            if self.clients.get(&id).is_none_or(|client| !client.input_ended && empty(client)) {
                break;
            }
        }
        self.drop_client(id);
    }

    /// Serves the whole frames that have arrived.
    pub(super) fn serve_requests(&mut self, id: u32) {
        loop {
            let Some(client) = self.clients.get_mut(&id) else { return };
            if client.role != Role::Commands {
                return;
            }
            match proto::decode::<Request>(&client.input) {
                Ok(None) => return,
                Ok(Some((request, used))) => {
                    client.input.drain(..used);
                    self.serve(id, request);
                }
                Err(error) => {
                    journal::note(&format!("a request could not be read: {error}"));
                    self.answer(id, &problem(libc::EPROTO, format!("bad request: {error}")));
                    return self.finish(id);
                }
            }
        }
    }

    fn serve(&mut self, id: u32, request: Request) {
        match request {
            Request::Status => {
                let reply = match self.main() {
                    Some(main) => {
                        let pid = main.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
                        Reply::Status { pid, started_at: main.started_at }
                    }
                    None => not_running(),
                };
                self.answer(id, &reply);
            }
            Request::Wait => match &self.phase {
                Phase::Done(exited) => {
                    let reply = Reply::Exited(exited.clone());
                    self.answer(id, &reply);
                }
                Phase::Failed(failure) => {
                    let reply = Reply::Failed(failure.clone());
                    self.answer(id, &reply);
                }
                _ => self.main_entry().waiters.push(id),
            },
            Request::Signal { number } => {
                let reply = self.main().map_or_else(not_running, |main| signal(main, number));
                self.answer(id, &reply);
            }
            Request::ExecSignal { exec, number } => {
                let named = self.processes.iter().find(|(n, p)| **n != MAIN && p.id == exec);
                let reply = named.map_or_else(no_such_exec, |(_, process)| signal(process, number));
                self.answer(id, &reply);
            }
            Request::Resize { exec, rows, cols } => {
                let reply = self.resize(exec.as_deref(), rows, cols);
                self.answer(id, &reply);
            }
            Request::Attach { stdin, stdout, stderr } => self.attach(id, stdin, stdout, stderr),
            Request::Exec(request) => {
                if self.main().is_some_and(Process::is_running) {
                    self.launch_exec(id, *request);
                } else {
                    self.answer(id, &not_running());
                }
            }
            Request::ExecWait { exec } => self.exec_wait(id, &exec),
        }
    }

    fn main(&self) -> Option<&Process> {
        self.processes.get(&MAIN).filter(|process| process.pid.is_some())
    }

    /// The container's process, which clients may name before it is made.
    fn main_entry(&mut self) -> &mut Process {
        let tty = self.site.launch.tty;
        self.processes.entry(MAIN).or_insert_with(|| Process::new(String::new(), tty))
    }

    fn attach(&mut self, id: u32, stdin: bool, stdout: bool, stderr: bool) {
        self.answer(id, &Reply::Ok);
        let over = matches!(self.phase, Phase::Done(_) | Phase::Failed(_));
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.role = Role::Attached { process: MAIN, stdin, stdout, stderr };
        let early = std::mem::take(&mut client.input);
        if over {
            return self.finish(id);
        }
        if self.main().is_none_or(|main| main.launching.is_some()) && stdin {
            // What it sends before the process is made waits.
            if let Some(client) = self.clients.get_mut(&id) {
                client.input = early;
                client.held = true;
            }
            self.renew_interest(id);
        } else if !early.is_empty() {
            self.feed(id, MAIN, &early);
        }
    }

    fn resize(&mut self, exec: Option<&str>, rows: u16, cols: u16) -> Reply {
        let process = match exec {
            None => Some(self.main_entry()),
            Some(exec) => self.processes.values_mut().find(|process| process.id == exec),
        };
        let Some(process) = process else { return no_such_exec() };
        if !process.tty {
            return problem(libc::ENOTTY, "it has no terminal".to_owned());
        }
        process.size = Some((rows, cols));
        if let Some(terminal) = &process.outputs[0] {
            resize(terminal.as_fd(), rows, cols);
        }
        Reply::Ok
    }

    fn exec_wait(&mut self, id: u32, exec: &str) {
        if let Some(index) = self.ended.iter().position(|(name, _)| name == exec) {
            if let Some((_, code)) = self.ended.remove(index) {
                self.answer(id, &Reply::ExecExited { code });
            }
        } else if let Some(process) = self.processes.iter_mut().find(|(n, p)| **n != MAIN && p.id == exec).map(|(_, p)| p) {
            process.waiters.push(id);
        } else {
            self.answer(id, &no_such_exec());
        }
    }

    /// Sends a reply; a client that cannot take it is dropped.
    pub(super) fn answer(&mut self, id: u32, reply: &Reply) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.reply(reply, &self.spill_dir).is_err() {
            self.drop_client(id);
        } else {
            self.renew_interest(id);
        }
    }

    /// Closes the connection as soon as the client has taken everything.
    pub(super) fn finish(&mut self, id: u32) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.finishing = true;
            self.renew_interest(id);
        }
    }

    pub(super) fn renew_interest(&mut self, id: u32) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.is_done() {
            return self.drop_client(id);
        }
        let interest = client.interest();
        if interest != client.registered {
            client.registered = interest;
            self.poll.change(&client.fd, Token::Client(id), interest);
        }
    }

    pub(super) fn drop_client(&mut self, id: u32) {
        self.input_from_client_ended(id);
        let Some(client) = self.clients.remove(&id) else { return };
        self.poll.remove(&client.fd);
        // Helpers may hold copies of the descriptor for a moment: closing alone would not end the connection.
        let _ = rustix::net::shutdown(&client.fd, rustix::net::Shutdown::Both);
        drop(client.fd);
        if let Role::Attached { process, .. } = client.role {
            self.client_of_process_gone(process);
        }
    }
}

/// A process that is not reaped yet keeps its number, so that nobody else is hit.
fn signal(process: &Process, number: i32) -> Reply {
    let Some(pid) = process.pid.filter(|_| process.exit.is_none()) else { return not_running() };
    match nix::sys::signal::Signal::try_from(number) {
        Ok(signal) => match nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal) {
            Ok(()) => Reply::Ok,
            Err(errno) => problem(errno as i32, format!("send signal {number}: {errno}")),
        },
        // The real-time ones have numbers only.
        Err(_) => match crate::sys::kill(pid, number) {
            Ok(()) => Reply::Ok,
            Err(error) => problem(error.raw_os_error().unwrap_or(libc::EINVAL), format!("send signal {number}: {error}")),
        },
    }
}

fn problem(errno: i32, message: String) -> Reply {
    Reply::Error { errno: Some(errno), message }
}

fn no_such_exec() -> Reply {
    problem(libc::ENOENT, "no such exec".to_owned())
}

fn not_running() -> Reply {
    problem(libc::ESRCH, "the container is not running".to_owned())
}
