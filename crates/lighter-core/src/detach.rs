//! Detach keys: the sequence that ends an attachment to a terminal and leaves the process alone.

use lighter_domain::{Error, Result};

/// A parsed key sequence; the default is `ctrl-p,ctrl-q`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys(Vec<u8>);

impl Default for DetachKeys {
    fn default() -> Self {
        Self(vec![0x10, 0x11])
    }
}

impl DetachKeys {
    /// Keys are separated by commas; each is one character or `ctrl-` and one of `a-z @ [ \ ] ^ _`. Empty: the default.
    pub fn parse(spec: &str) -> Result<Self> {
        if spec.is_empty() {
            return Ok(Self::default());
        }
        let key = |k: &str| -> Option<u8> {
            if let [one] = k.as_bytes() {
                return Some(*one);
            }
            match k.strip_prefix("ctrl-")?.as_bytes() {
                [c @ b'a'..=b'z'] => Some(c - b'a' + 1),
                [b'@'] => Some(0),
                [c @ b'['..=b'_'] => Some(c - b'[' + 27),
                _ => None,
            }
        };
        let keys: Option<Vec<u8>> = spec.split(',').map(key).collect();
        keys.map(Self).ok_or_else(|| Error::invalid(format!("Invalid detach keys ({spec}) provided")))
    }

    /// What a terminal sends for them.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn detector(&self) -> Detector {
        Detector { keys: self.0.clone(), matched: 0 }
    }
}

/// Finds the sequence in a stream that arrives in pieces.
#[derive(Debug)]
pub struct Detector {
    keys: Vec<u8>,
    matched: usize,
}

impl Detector {
    /// Takes what the client typed and appends to `out` what the process shall read. True once the sequence is complete;
    /// what follows it is not looked at. A partial match is held back until it is decided.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> bool {
        for &byte in input {
            if byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return true;
                }
                continue;
            }
            self.fall_back(byte, out);
        }
        false
    }

    /// `byte` broke a partial match: the longest suffix that may still begin the sequence stays held back.
    fn fall_back(&mut self, byte: u8, out: &mut Vec<u8>) {
        let mut held = self.keys[..self.matched].to_vec();
        held.push(byte);
        let keep = (0..held.len()).find(|&from| self.keys.starts_with(&held[from..])).unwrap_or(held.len());
        out.extend_from_slice(&held[..keep]);
        self.matched = held.len() - keep;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(spec: &str, pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut d = DetachKeys::parse(spec).unwrap().detector();
        let mut out = Vec::new();
        for p in pieces {
            if d.feed(p, &mut out) {
                return (out, true);
            }
        }
        (out, false)
    }

    #[test]
    fn found_across_pieces_and_nothing_of_it_reaches_the_process() {
        assert_eq!(run("", &[b"ls\n\x10", b"\x11rest"]), (b"ls\n".to_vec(), true));
        assert_eq!(run("ctrl-a,a,b,c", &[b"x\x01a", b"bc"]), (b"x".to_vec(), true));
    }

    #[test]
    fn a_broken_match_is_given_back() {
        assert_eq!(run("", &[b"\x10x"]), (b"\x10x".to_vec(), false));
        assert_eq!(run("a,a,b", &[b"aaab"]), (b"a".to_vec(), true));
        assert_eq!(run("", &[b"\x10\x10\x11"]), (b"\x10".to_vec(), true));
    }

    #[test]
    fn grammar() {
        assert_eq!(DetachKeys::parse("ctrl-@,ctrl-_,~").unwrap(), DetachKeys(vec![0, 31, b'~']));
        for bad in ["ctrl-", "ctrl-A", "ab", "a,,b", ","] {
            assert!(DetachKeys::parse(bad).is_err(), "{bad}");
        }
    }
}
