//! The 64-hex identifiers that Docker clients see.

use std::fmt;
use std::sync::Arc;

/// A container's (or exec's) id as clients see it: 64 lower-case hex digits. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(Arc<str>);

impl ContainerId {
    /// A fresh random id. Docker refuses ids whose first 12 digits are all decimal, so that a short id is never read as a number.
    pub fn generate() -> Self {
        Self(random_hex64().into())
    }

    /// Accepts exactly 64 lower-case hex digits.
    pub fn parse(s: &str) -> Option<Self> {
        (s.len() == 64 && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))).then(|| Self(s.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, as `docker ps` shows them and as the default hostname.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

/// 64 random hex digits whose first 12 hold at least one letter.
pub fn random_hex64() -> String {
    loop {
        let bytes: [u8; 32] = rand::random();
        let mut s = String::with_capacity(64);
        for b in bytes {
            use std::fmt::Write as _;
            let _ = write!(s, "{b:02x}");
        }
        if s[..12].bytes().any(|b| b.is_ascii_alphabetic()) {
            return s;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_parse_and_have_a_letter_in_the_short_form() {
        for _ in 0..200 {
            let id = ContainerId::generate();
            assert_eq!(ContainerId::parse(id.as_str()), Some(id.clone()));
            assert!(id.short().parse::<u64>().is_err());
        }
    }

    #[test]
    fn parse_refuses_anything_else() {
        for bad in ["", "abc", &"A".repeat(64), &"g".repeat(64), &"a".repeat(65)] {
            assert!(ContainerId::parse(bad).is_none(), "{bad}");
        }
    }
}
