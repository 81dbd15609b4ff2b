//! Readiness of many descriptors: epoll, level-triggered, each registration under a [`Token`].

use rustix::event::{Timespec, epoll};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

pub use rustix::event::epoll::EventFlags as Ready;

/// What a descriptor is for. Numbers are never used twice, so that an event for something that is gone finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    Listener,
    Signals,
    /// A connection.
    Client(u32),
    /// Notes of the helper that makes a process.
    Notes(u32),
    /// Standard streams of a process: 0, 1 or 2.
    Stream(u32, u8),
}

impl Token {
    fn pack(self) -> u64 {
        let (kind, number, stream) = match self {
            Self::Listener => (0, 0, 0),
            Self::Signals => (1, 0, 0),
            Self::Client(n) => (2, n, 0),
            Self::Notes(n) => (3, n, 0),
            Self::Stream(n, s) => (4, n, s),
        };
        kind << 48 | u64::from(stream) << 32 | u64::from(number)
    }

    fn unpack(value: u64) -> Self {
        let (number, stream) = (value as u32, (value >> 32) as u8);
        match value >> 48 {
            0 => Self::Listener,
            1 => Self::Signals,
            2 => Self::Client(number),
            3 => Self::Notes(number),
            _ => Self::Stream(number, stream),
        }
    }
}

/// An epoll instance.
pub struct Poll(OwnedFd);

impl Poll {
    pub fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    pub fn add(&self, fd: impl AsFd, token: Token, interest: Ready) -> io::Result<()> {
        Ok(epoll::add(&self.0, fd, epoll::EventData::new_u64(token.pack()), interest)?)
    }

    /// Changes the interest; of a descriptor that is not registered nothing changes.
    pub fn change(&self, fd: impl AsFd, token: Token, interest: Ready) {
        let _ = epoll::modify(&self.0, fd, epoll::EventData::new_u64(token.pack()), interest);
    }

    pub fn remove(&self, fd: impl AsFd) {
        let _ = epoll::delete(&self.0, fd);
    }

    /// Waits for events, at most so long.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<(Token, Ready)>> {
        let timeout = timeout.map(|t| Timespec { tv_sec: t.as_secs() as i64, tv_nsec: i64::from(t.subsec_nanos()) });
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; 32];
        match epoll::wait(&self.0, &mut events, timeout.as_ref()) {
            Ok((ready, _)) => Ok(ready.iter().map(|event| (Token::unpack(event.data.u64()), event.flags)).collect()),
            Err(rustix::io::Errno::INTR) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_packing() {
        let tokens = [Token::Listener, Token::Signals, Token::Client(u32::MAX), Token::Notes(7), Token::Stream(9, 2)];
        for token in tokens {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
