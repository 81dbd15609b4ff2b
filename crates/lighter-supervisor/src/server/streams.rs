//! Bytes between the container, its log and its clients.

use super::Server;
use crate::client::Role;
use crate::log::Stream;
use crate::poll::{Ready, Token};
use crate::process::{MAIN, output_stream};
use crate::{clock, journal};

/// Read at once from a container that prints little.
const CALM_READ: usize = 64 << 10;
/// Read at once from one that prints much; the size of its pipes meanwhile.
const BUSY_READ: usize = 1 << 20;
/// Pipes as the kernel makes them.
const CALM_PIPE: usize = 64 << 10;
/// Read at once from a client.
const INPUT_READ: usize = 16 << 10;

impl Server {
    /// A process has printed something, or closed a stream. How many bytes that was, if there may be more.
    pub(super) fn on_output(&mut self, number: u32, index: usize) -> Option<usize> {
        let want = if self.busy { BUSY_READ } else { CALM_READ };
        if self.buffer.len() < want {
            self.buffer.resize(want, 0);
        }
        let output = self.processes.get(&number).and_then(|process| process.outputs[index].as_ref())?;
        match rustix::io::read(output, &mut self.buffer[..want]) {
            Ok(0) => self.output_ended(number, index),
            Ok(n) => {
                if n == CALM_READ && !self.busy && number == MAIN {
                    self.widen_pipes();
                }
                self.deliver(number, output_stream(index), n);
                return Some(n);
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            // A terminal whose last user is gone says so with EIO.
            Err(_) => self.output_ended(number, index),
        }
        None
    }

    /// Reads what a pipe holds by now, not what others go on writing to it.
    pub(super) fn read_rest(&mut self, number: u32, index: usize) {
        let output = self.processes.get(&number).and_then(|process| process.outputs[index].as_ref());
        let mut left = output.and_then(|output| rustix::pipe::fcntl_getpipe_size(output).ok()).unwrap_or(CALM_PIPE);
        while left > 0
            && let Some(n) = self.on_output(number, index)
        {
            left = left.saturating_sub(n);
        }
    }

    /// Hands the first `n` bytes of the buffer to the log and to whoever is attached.
    fn deliver(&mut self, number: u32, stream: Stream, n: usize) {
        let data = &self.buffer[..n];
        if let (MAIN, Some(log)) = (number, &mut self.log) {
            log.append(stream, data, clock::now());
            if let Some(trouble) = log.trouble() {
                journal::note(&trouble);
            }
        }
        if self.clients.is_empty() {
            return;
        }
        let tty = self.processes.get(&number).is_some_and(|process| process.tty);
        let mut changed = Vec::new();
        for (id, client) in &mut self.clients {
            if matches!(client.role, Role::Attached { process, .. } if process == number) {
                let done = client.stream(stream, tty, data, &self.spill_dir);
                changed.push((*id, done.is_ok()));
            }
        }
        for (id, alive) in changed {
            if alive { self.renew_interest(id) } else { self.drop_client(id) }
        }
    }

    pub(super) fn output_ended(&mut self, number: u32, index: usize) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        let Some(output) = process.outputs[index].take() else { return };
        self.poll.remove(&output);
        if let (MAIN, Some(log)) = (number, &mut self.log) {
            log.finish(output_stream(index), clock::now());
        }
        if process.outputs_ended() && process.exit.is_some() {
            self.process_over(number);
        }
    }

    fn widen_pipes(&mut self) {
        self.busy = true;
        self.resize_pipes(BUSY_READ);
    }

    pub(super) fn narrow_pipes(&mut self) {
        if std::mem::take(&mut self.busy) {
            self.resize_pipes(CALM_PIPE);
        }
    }

    fn resize_pipes(&self, size: usize) {
        let Some(process) = self.processes.get(&MAIN) else { return };
        for output in process.outputs.iter().flatten() {
            // Not allowed beyond the user's share, not possible for a terminal: then it stays.
            let _ = rustix::pipe::fcntl_setpipe_size(output, size);
        }
    }

    /// Input from a client.
    pub(super) fn feed(&mut self, client: u32, number: u32, bytes: &[u8]) {
        let Some(Role::Attached { stdin: true, .. }) = self.clients.get(&client).map(|client| client.role) else { return };
        if let Some(input) = self.processes.get_mut(&number).and_then(|process| process.input.as_mut()) {
            input.push(bytes);
            self.flush_input(number);
        }
    }

    /// A client that wrote to the process sends no more.
    pub(super) fn input_from_client_ended(&mut self, client: u32) {
        let Some(Role::Attached { process: number, stdin: true, .. }) = self.clients.get(&client).map(|client| client.role)
        else {
            return;
        };
        let Some(process) = self.processes.get_mut(&number) else { return };
        if let (true, Some(input)) = (process.input_once, process.input.as_mut()) {
            input.end();
            self.flush_input(number);
        }
    }

    /// Writes what the process takes, holds its clients back while it takes no more, closes what has ended.
    pub(super) fn flush_input(&mut self, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        let Some(input) = &mut process.input else { return };
        let (open, full) = (input.flush(), input.is_full());
        // Watched only while something waits: a reader that is gone would be reported again and again.
        let watch = open && input.has_waiting();
        if watch != input.watched {
            input.watched = watch;
            if watch {
                let _ = self.poll.add(&input.fd, Token::Stream(number, 0), Ready::OUT);
            } else {
                self.poll.remove(&input.fd);
            }
        }
        if !open {
            process.input = None;
        }
        let held = open && full;
        let mut changed = Vec::new();
        for (id, client) in &mut self.clients {
            let writes = matches!(client.role, Role::Attached { process, stdin: true, .. } if process == number);
            if writes && client.held != held {
                client.held = held;
                changed.push(*id);
            }
        }
        changed.into_iter().for_each(|id| self.renew_interest(id));
    }

    /// Bytes from a client. Returns `false` when it is gone.
    pub(super) fn read_client(&mut self, id: u32) -> bool {
        if self.buffer.len() < INPUT_READ {
            self.buffer.resize(INPUT_READ, 0);
        }
        let Some(client) = self.clients.get_mut(&id) else { return false };
        match rustix::io::read(&client.fd, &mut self.buffer[..INPUT_READ]) {
            Ok(0) => {
                client.input_ended = true;
                self.input_from_client_ended(id);
                self.renew_interest(id);
                true
            }
            Ok(n) => {
                match client.role {
                    Role::Commands => {
                        client.input.extend_from_slice(&self.buffer[..n]);
                        self.serve_requests(id);
                    }
                    Role::Attached { process, .. } => {
                        let bytes = self.buffer[..n].to_vec();
                        self.feed(id, process, &bytes);
                    }
                }
                true
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => true,
            Err(_) => false,
        }
    }
}
