//! Netlink, blocking: one socket, requests out, answers in.
//!
//! The kernel works a request off while it is being sent, so the answer lies ready when `send` returns
//! and nothing here ever waits. That is why the sockets are not async: an await would cost more than
//! the request. The socket belongs to the namespace that its thread was in when it was made, for good.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;

/// The kernel never sends a single datagram longer than what it is offered up to this size.
const RECEIVE: usize = 64 * 1024;

/// A request with its flags, not yet sent. `NLM_F_REQUEST` is understood.
#[derive(Debug)]
pub(crate) struct Request<T> {
    pub(crate) message: T,
    pub(crate) flags: u16,
}

/// A netlink socket of one protocol.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// A socket in the calling thread's network namespace.
    pub(crate) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        // An answer need not repeat the question. Only a saving, so a failure does not matter.
        let _ = socket.set_cap_ack(true);
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(RECEIVE) })
    }

    fn encode<T: NetlinkSerializable>(&mut self, request: Request<T>, extra: u16, out: &mut Vec<u8>) -> u32 {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let mut header = NetlinkHeader::default();
        header.flags = request.flags | NLM_F_REQUEST | extra;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request.message));
        message.finalize();
        let start = out.len();
        out.resize(start + message.buffer_len(), 0);
        message.serialize(&mut out[start..]);
        out.resize(out.len().next_multiple_of(4), 0);
        self.sequence
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let sent = self.socket.send_to(bytes, &SocketAddr::new(0, 0), 0)?;
        if sent == bytes.len() { Ok(()) } else { Err(io::Error::new(io::ErrorKind::WriteZero, "netlink request was cut short")) }
    }

    /// Reads one datagram and hands each message in it to `each`. `false`: there is none.
    fn receive(&mut self, mut each: impl FnMut(NetlinkHeader, &[u8])) -> io::Result<bool> {
        self.buffer.clear();
        match self.socket.recv(&mut self.buffer, 0) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        let mut rest = self.buffer.as_slice();
        while let Some((header, payload, tail)) = split(rest) {
            each(header, payload);
            rest = tail;
        }
        Ok(true)
    }

    /// Sends all of `requests` in one datagram. The kernel takes them in order and does not stop at a
    /// failing one. The first failure is returned, with the number of its request.
    pub(crate) fn acknowledged<T: NetlinkSerializable>(
        &mut self,
        requests: impl IntoIterator<Item = Request<T>>,
    ) -> Result<(), (usize, io::Error)> {
        let mut bytes = Vec::new();
        let sequences: Vec<u32> = requests.into_iter().map(|request| self.encode(request, NLM_F_ACK, &mut bytes)).collect();
        self.send_and_collect(&bytes, &sequences)
    }

    /// The same for requests between `begin` and `end`, which the kernel takes all or none of.
    pub(crate) fn transaction<T: NetlinkSerializable>(
        &mut self,
        begin: T,
        requests: Vec<Request<T>>,
        end: T,
    ) -> Result<(), (usize, io::Error)> {
        let mut bytes = Vec::new();
        let first = self.encode(Request { message: begin, flags: 0 }, 0, &mut bytes);
        let mut sequences: Vec<u32> = requests.into_iter().map(|request| self.encode(request, NLM_F_ACK, &mut bytes)).collect();
        self.encode(Request { message: end, flags: 0 }, 0, &mut bytes);
        let result = self.send_and_collect(&bytes, &sequences);
        if result.is_ok() {
            return Ok(());
        }
        // The batch as a whole may be refused under the sequence number of its first message.
        sequences.push(first);
        result
    }

    fn send_and_collect(&mut self, bytes: &[u8], sequences: &[u32]) -> Result<(), (usize, io::Error)> {
        let whole = |error| (0, error);
        self.send(bytes).map_err(whole)?;
        let mut answered = 0;
        let mut failure: Option<(usize, io::Error)> = None;
        loop {
            let more = self
                .receive(|header, payload| {
                    if header.message_type != NLMSG_ERROR {
                        return;
                    }
                    let at = sequences.iter().position(|&s| s == header.sequence_number);
                    match (errno(payload), at) {
                        (0, Some(_)) => answered += 1,
                        (0, None) => {}
                        (code, at) => {
                            answered += usize::from(at.is_some());
                            let error = io::Error::from_raw_os_error(code);
                            failure.get_or_insert((at.unwrap_or(0), error));
                        }
                    }
                })
                .map_err(whole)?;
            if !more {
                break;
            }
        }
        match failure {
            Some(failure) => Err(failure),
            None if answered == sequences.len() => Ok(()),
            None => Err(whole(io::Error::from(Errno::ENOMSG))),
        }
    }

    /// One question with one answer.
    pub(crate) fn get<Q: NetlinkSerializable, A: NetlinkDeserializable>(&mut self, message: Q) -> io::Result<A> {
        let mut bytes = Vec::new();
        self.encode(Request { message, flags: 0 }, 0, &mut bytes);
        let answers = self.ask(&bytes)?;
        answers.into_iter().next().ok_or_else(|| Errno::ENOMSG.into())
    }

    /// One question with a list of answers. A message that cannot be read (from a newer kernel, of a kind
    /// of interface unknown to us) is left out and logged.
    pub(crate) fn dump<Q: NetlinkSerializable, A: NetlinkDeserializable>(&mut self, message: Q) -> io::Result<Vec<A>> {
        let mut bytes = Vec::new();
        self.encode(Request { message, flags: NLM_F_DUMP }, 0, &mut bytes);
        self.ask(&bytes)
    }

    fn ask<A: NetlinkDeserializable>(&mut self, bytes: &[u8]) -> io::Result<Vec<A>> {
        self.send(bytes)?;
        let sequence = self.sequence;
        let mut answers = Vec::new();
        let mut failure = None;
        let mut done = false;
        while !done {
            let more = self.receive(|header, payload| {
                if header.sequence_number != sequence {
                    return;
                }
                match header.message_type {
                    NLMSG_DONE => done = true,
                    NLMSG_ERROR => {
                        failure = Some(errno(payload)).filter(|&code| code != 0);
                        done = true;
                    }
                    _ => match A::deserialize(&header, payload) {
                        Ok(answer) => answers.push(answer),
                        Err(error) => {
                            let error: &dyn std::error::Error = &error;
                            tracing::debug!(error, kind = header.message_type, "netlink answer not understood");
                        }
                    },
                }
            })?;
            if !more {
                break;
            }
        }
        match failure {
            Some(code) => Err(io::Error::from_raw_os_error(code)),
            None => Ok(answers),
        }
    }
}

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER: usize = 16;

/// The errno in an acknowledgement; 0 means success.
fn errno(payload: &[u8]) -> i32 {
    match payload.first_chunk::<4>() {
        Some(bytes) => i32::from_ne_bytes(*bytes).wrapping_neg(),
        None => Errno::EBADMSG as i32,
    }
}

/// The first message of a datagram: its header, its payload, and what follows.
fn split(bytes: &[u8]) -> Option<(NetlinkHeader, &[u8], &[u8])> {
    let u32_at = |at: usize| bytes.get(at..at + 4)?.first_chunk().map(|b| u32::from_ne_bytes(*b));
    let u16_at = |at: usize| bytes.get(at..at + 2)?.first_chunk().map(|b| u16::from_ne_bytes(*b));
    let mut header = NetlinkHeader::default();
    header.length = u32_at(0)?;
    header.message_type = u16_at(4)?;
    header.flags = u16_at(6)?;
    header.sequence_number = u32_at(8)?;
    header.port_number = u32_at(12)?;
    let length = usize::try_from(header.length).ok()?;
    let payload = bytes.get(HEADER..length)?;
    let tail = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((header, payload, tail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn splitting_any_bytes_ends_and_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut rest = bytes.as_slice();
            while let Some((header, payload, tail)) = split(rest) {
                prop_assert_eq!(payload.len() + HEADER, header.length as usize);
                prop_assert!(tail.len() < rest.len());
                rest = tail;
            }
        }
    }
}
