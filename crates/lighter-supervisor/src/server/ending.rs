//! Ends: of children, of execs, of the container.

use super::{Phase, Server, write_atomically};
use crate::cgroup::Groups;
use crate::client::Role;
use crate::process::{MAIN, Maker};
use crate::wiring::NOTES_FD;
use crate::{clock, journal};
use lighter_supervisor_proto::{Exited, Reply, files};
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Exit codes of execs that are kept for a later question.
const MAX_ENDED: usize = 1024;
/// How long the outputs of a process that has ended may be held open by others.
const MAX_DRAIN: Duration = Duration::from_secs(2);
/// How long what was killed may take to be gone, on a machine that is busy.
const MAX_DYING: Duration = Duration::from_secs(2);
/// How often it is looked whether they are.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

impl Server {
    pub(super) fn on_signals(&mut self) {
        // Their number does not matter: children are asked for below, all else is ignored.
        while let Ok(Some(_)) = self.signals.read_signal() {}
        self.reap();
    }

    fn reap(&mut self) {
        loop {
            let (pid, code) = match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid.as_raw(), code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid.as_raw(), 128 + signal as i32),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(error) => return journal::note(&format!("cannot wait for children: {error}")),
            };
            let known = self.processes.iter().find(|(_, process)| process.pid == Some(pid)).map(|(number, _)| *number);
            let mut launching = self.processes.values_mut().filter_map(|process| process.launching.as_mut());
            if let Some(launching) = launching.find(|launching| matches!(launching.maker, Maker::Helper(helper) if helper == pid))
            {
                // It says itself what went wrong, unless it was killed.
                launching.orphaned = code > 128 && kill_orphans(&self.site.groups, &launching.notes);
                continue;
            }
            match known {
                Some(number) => self.child_ended(number, code),
                // An orphan, or a process whose pid is still to be read from its notes.
                None if self.processes.values().any(|process| process.launching.is_some()) => self.unclaimed.push((pid, code)),
                None => {}
            }
        }
    }

    /// Called when a process's pid became known: it may have ended already.
    pub(super) fn claim(&mut self, number: u32) {
        if let Some(pid) = self.processes.get(&number).and_then(|process| process.pid)
            && let Some(index) = self.unclaimed.iter().position(|(child, _)| *child == pid)
        {
            let (_, code) = self.unclaimed.swap_remove(index);
            self.child_ended(number, code);
        }
        if self.processes.values().all(|process| process.launching.is_none()) {
            self.unclaimed.clear();
        }
    }

    fn child_ended(&mut self, number: u32, code: i32) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        if process.exit.is_some() || process.launching.is_some() {
            // Not executed yet: its notes will say why.
            return;
        }
        process.exit = Some(code);
        if let Some(input) = process.input.take().filter(|input| input.watched) {
            self.poll.remove(&input.fd);
        }
        if number == MAIN {
            self.phase = Phase::Draining { code, finished_at: clock::now() };
            self.kill_leftovers();
        }
        let Some(process) = self.processes.get_mut(&number) else { return };
        process.drain_until = Some(Instant::now() + MAX_DRAIN);
        if process.outputs_ended() {
            self.process_over(number);
        }
    }

    /// Without a process namespace of its own a container's other processes outlive the first one: they end with it.
    fn kill_leftovers(&mut self) {
        let deadline = Instant::now() + MAX_DYING;
        while Instant::now() < deadline {
            let left = self.site.groups.members();
            if left.is_empty() {
                return;
            }
            for pid in left.into_iter().filter(|pid| *pid != std::process::id() as i32) {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
            }
            self.reap();
            std::thread::sleep(LOOK_AGAIN);
        }
        journal::note("processes of the container could not be killed");
    }

    /// Somebody else holds the outputs of an ended process open: what was printed so far is all.
    pub(super) fn stop_draining(&mut self, number: u32) {
        for index in 0..2 {
            self.read_rest(number, index);
            self.output_ended(number, index);
        }
    }

    /// A process has ended and its output is read.
    pub(super) fn process_over(&mut self, number: u32) {
        if number == MAIN {
            return self.container_over();
        }
        let Some(process) = self.processes.get_mut(&number) else { return };
        process.drain_until = None;
        let clients =
            self.clients.iter().filter(|(_, client)| matches!(client.role, Role::Attached { process, .. } if process == number));
        let clients: Vec<u32> = clients.map(|(id, _)| *id).collect();
        if clients.is_empty() {
            return self.exec_over(number);
        }
        clients.into_iter().for_each(|id| self.finish(id));
    }

    /// A client has left; if it was the last of an exec that has ended, the exec is over.
    pub(super) fn client_of_process_gone(&mut self, number: u32) {
        let over = number != MAIN
            && self.processes.get(&number).is_some_and(|process| process.exit.is_some() && process.outputs_ended())
            && !self.clients.values().any(|client| matches!(client.role, Role::Attached { process, .. } if process == number));
        if over {
            self.exec_over(number);
        }
    }

    fn exec_over(&mut self, number: u32) {
        let Some(process) = self.processes.remove(&number) else { return };
        let code = process.exit.unwrap_or(137);
        if process.waiters.is_empty() {
            if self.ended.len() >= MAX_ENDED {
                self.ended.pop_front();
            }
            self.ended.push_back((process.id, code));
        }
        for waiter in process.waiters {
            self.answer(waiter, &Reply::ExecExited { code });
        }
    }

    fn container_over(&mut self) {
        let Phase::Draining { code, finished_at } = self.phase else { return };
        let exited = Exited { code, oom_killed: self.site.groups.oom_killed(), finished_at };
        if let Some(log) = &mut self.log {
            log.close();
        }
        if let Some(trouble) = self.log.as_mut().and_then(crate::log::Log::trouble) {
            journal::note(&trouble);
        }
        let path = self.site.launch.run_dir.join(files::EXIT);
        let written = serde_json::to_vec(&exited).map_err(Into::into).and_then(|text| write_atomically(&path, &text));
        if let Err(error) = written {
            journal::note(&format!("cannot write {}: {error}", path.display()));
        }
        let reply = Reply::Exited(exited.clone());
        self.phase = Phase::Done(exited);
        self.stuck_since = Instant::now();
        let waiters = self.processes.get_mut(&MAIN).map(|main| {
            main.drain_until = None;
            std::mem::take(&mut main.waiters)
        });
        waiters.into_iter().flatten().for_each(|waiter| self.answer(waiter, &reply));
        // Execs ended with the namespace; whatever is left of them ends here.
        for number in self.processes.keys().copied().filter(|number| *number != MAIN).collect::<Vec<_>>() {
            if let Some(process) = self.processes.get_mut(&number)
                && process.exit.is_none()
            {
                process.exit = Some(137);
            }
            self.stop_draining(number);
            self.process_over(number);
        }
        for client in self.clients.keys().copied().collect::<Vec<_>>() {
            self.finish(client);
        }
    }
}

/// Ends what a killed helper leaves half made: nobody will tell it to go on, and it would hold its notes open for ever. Whether there
/// was something; a program that runs has closed them.
fn kill_orphans(groups: &Groups, notes: &OwnedFd) -> bool {
    let Ok(pipe) = rustix::fs::fstat(notes) else { return false };
    let pipe = format!("pipe:[{}]", pipe.st_ino);
    let holds =
        |pid: &i32| std::fs::read_link(format!("/proc/{pid}/fd/{NOTES_FD}")).is_ok_and(|to| to.as_os_str() == pipe.as_str());
    let deadline = Instant::now() + MAX_DYING;
    let mut killed = false;
    while Instant::now() < deadline {
        let orphans: Vec<i32> = groups.members().into_iter().filter(holds).collect();
        if orphans.is_empty() {
            return killed;
        }
        killed = true;
        for pid in orphans {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    journal::note("what a killed helper left could not be killed");
    killed
}
