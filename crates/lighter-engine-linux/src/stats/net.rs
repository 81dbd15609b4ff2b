//! Counters of a container's interfaces, from the kernel's table of its network namespace.

use lighter_domain::sample::InterfaceSample;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

/// A program can make interfaces in its own namespace: no more of the table is read.
const MAX: u64 = 64 << 10;

/// By name; the loopback is left out. Empty when the process is gone.
pub(super) fn read(pid: u32) -> BTreeMap<String, InterfaceSample> {
    let mut text = String::new();
    let path = Path::new("/proc").join(pid.to_string()).join("net/dev");
    let file = std::fs::File::open(path);
    if file.and_then(|f| f.take(MAX).read_to_string(&mut text)).is_err() {
        return BTreeMap::new();
    }
    text.lines().filter_map(interface).filter(|(name, _)| name != "lo").collect()
}

/// `eth0: 1172 12 0 0 0 0 0 0 126 3 0 0 0 0 0 0`: bytes, packets, errors, dropped and four more, received and sent.
fn interface(line: &str) -> Option<(String, InterfaceSample)> {
    let (name, rest) = line.split_once(':')?;
    let n: Vec<u64> = rest.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    let [rx_bytes, rx_packets, rx_errors, rx_dropped, _, _, _, _, tx_bytes, tx_packets, tx_errors, tx_dropped, ..] = n[..] else {
        return None;
    };
    let counters = InterfaceSample { rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped };
    Some((name.trim().to_owned(), counters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let (name, eth0) = interface("  eth0:    1172      12    1    2    0     0          0         0      126       3    4    5    0     0       0          0").unwrap();
        assert_eq!(name, "eth0");
        let expected = InterfaceSample {
            rx_bytes: 1172,
            rx_packets: 12,
            rx_errors: 1,
            rx_dropped: 2,
            tx_bytes: 126,
            tx_packets: 3,
            tx_errors: 4,
            tx_dropped: 5,
        };
        assert_eq!(eth0, expected);
        for other in ["Inter-|   Receive   |  Transmit", " face |bytes packets", "x: 1 2", ""] {
            assert_eq!(interface(other), None, "{other}");
        }
        assert!(read(u32::MAX).is_empty());
    }
}
