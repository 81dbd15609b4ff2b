//! Container names: the grammar, and names made up for containers that were given none.

use crate::{Error, Result};
use rand::seq::IndexedRandom as _;

const FIRST: &[&str] = &[
    "able", "amber", "ample", "apt", "ardent", "bold", "brave", "brisk", "calm", "candid", "clear", "clever", "cosy", "crisp",
    "daring", "deft", "eager", "early", "fair", "fleet", "fond", "frank", "fresh", "gentle", "glad", "golden", "grand", "hardy",
    "honest", "jolly", "keen", "kind", "lively", "loyal", "lucid", "mellow", "merry", "mild", "neat", "nimble", "noble",
    "patient", "placid", "plucky", "polite", "proud", "quick", "quiet", "ready", "robust", "serene", "sharp", "silver", "smart",
    "snug", "solid", "spry", "steady", "sturdy", "sunny", "swift", "tidy", "trusty", "upbeat", "vivid", "warm", "wise", "witty",
    "zesty",
];
const SECOND: &[&str] = &[
    "anchor",
    "barge",
    "barque",
    "beacon",
    "bosun",
    "bowline",
    "brig",
    "buoy",
    "canal",
    "capstan",
    "cargo",
    "clipper",
    "cog",
    "cutter",
    "davit",
    "dhow",
    "dinghy",
    "dock",
    "ferry",
    "frigate",
    "galley",
    "gig",
    "halyard",
    "harbour",
    "hawser",
    "helm",
    "jetty",
    "keel",
    "ketch",
    "lagoon",
    "lantern",
    "ledger",
    "lock",
    "lugger",
    "mast",
    "mooring",
    "oar",
    "packet",
    "pier",
    "pilot",
    "pinnace",
    "port",
    "quay",
    "rigging",
    "rudder",
    "sail",
    "schooner",
    "scow",
    "skiff",
    "sloop",
    "spar",
    "stevedore",
    "tender",
    "tide",
    "tiller",
    "trawler",
    "tug",
    "wharf",
    "wherry",
    "winch",
    "yawl",
];

/// A name for a container that was given none, such as `swift_barge`. The caller adds a digit when it is taken.
pub fn generate() -> String {
    let mut rng = rand::rng();
    let first = FIRST.choose(&mut rng).copied().unwrap_or("plain");
    let second = SECOND.choose(&mut rng).copied().unwrap_or("lighter");
    format!("{first}_{second}")
}

/// Strips one leading slash and checks `[a-zA-Z0-9][a-zA-Z0-9_.-]+`; the error is dockerd's.
pub fn validate(raw: &str) -> Result<&str> {
    let name = raw.strip_prefix('/').unwrap_or(raw);
    let mut bytes = name.bytes();
    let ok = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.len() >= 2
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if ok {
        Ok(name)
    } else {
        Err(Error::invalid(format!("Invalid container name ({raw}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_are_valid() {
        for _ in 0..100 {
            let n = generate();
            assert_eq!(validate(&n).unwrap(), n);
        }
    }

    #[test]
    fn grammar() {
        assert_eq!(validate("/web-1").unwrap(), "web-1");
        for bad in ["", "/", "a", "-a", "a b", "a/b", "//ab", "ä1"] {
            assert!(validate(bad).is_err(), "{bad}");
        }
    }
}
