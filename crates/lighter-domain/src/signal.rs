//! Signal names and numbers as the Docker API accepts them.

use crate::{Error, Result};
use std::fmt;

/// A Linux signal number, 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signal(u8);

const NAMES: [(&str, u8); 35] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("RTMIN", 34),
];

impl Signal {
    pub const KILL: Signal = Signal(9);
    pub const TERM: Signal = Signal(15);
    pub const INT: Signal = Signal(2);

    pub fn from_number(n: u8) -> Option<Self> {
        (1..=64).contains(&n).then_some(Self(n))
    }

    pub fn number(self) -> i32 {
        i32::from(self.0)
    }

    /// Accepts `9`, `KILL`, `SIGKILL`, `sigkill`, `RTMIN+3`, `SIGRTMAX-1`; the error is worded as dockerd words it.
    pub fn parse(raw: &str) -> Result<Self> {
        let bad = || Error::invalid(format!("invalid signal: {raw}"));
        if let Ok(n) = raw.parse::<i64>() {
            return u8::try_from(n).ok().and_then(Self::from_number).ok_or_else(bad);
        }
        let upper = raw.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((_, n)) = NAMES.iter().find(|(s, _)| *s == name) {
            return Ok(Self(*n));
        }
        let offset = |rest: &str, sign: char| rest.strip_prefix(sign)?.parse::<u8>().ok().filter(|n| *n <= 30);
        match name {
            "RTMAX" => return Ok(Self(64)),
            _ if name.starts_with("RTMIN") => offset(&name[5..], '+').and_then(|n| Self::from_number(34 + n)),
            _ if name.starts_with("RTMAX") => offset(&name[5..], '-').and_then(|n| Self::from_number(64 - n)),
            _ => None,
        }
        .ok_or_else(bad)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling() {
        for (s, n) in [("9", 9), ("KILL", 9), ("sigterm", 15), ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("RTMAX", 64), ("rtmin", 34)]
        {
            assert_eq!(Signal::parse(s).unwrap().number(), n, "{s}");
        }
        for s in ["", "0", "65", "-1", "SIGFOO", "RTMIN+99", "RTMAX-99", "RTMIN+", "99999999999999999999"] {
            assert_eq!(Signal::parse(s).unwrap_err().message(), format!("invalid signal: {s}"));
        }
    }
}
