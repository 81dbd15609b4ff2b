//! Which program of the host has a port: found in `/proc`, as `ss -p` does.

use lighter_network::Protocol;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// State of a TCP socket that listens.
const LISTENING: &str = "0A";

/// The kernel's tables are read in pieces, and a piece may leave out a socket when others go meanwhile.
const LOOKS: usize = 3;

/// Process id and name of a program that keeps others from binding the address. Blocking.
pub(super) fn of(protocol: Protocol, ip: IpAddr, port: u16) -> Option<(u32, String)> {
    (0..LOOKS).find_map(|_| look(protocol, ip, port))
}

fn look(protocol: Protocol, ip: IpAddr, port: u16) -> Option<(u32, String)> {
    let tables: &[&str] = match protocol {
        Protocol::Tcp => &["tcp", "tcp6"],
        Protocol::Udp => &["udp", "udp6"],
        Protocol::Sctp => &[],
    };
    let inodes: Vec<String> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/thread-self/net/{table}")).ok())
        .flat_map(|text| text.lines().skip(1).filter_map(|line| socket(line, protocol, ip, port)).collect::<Vec<_>>())
        .collect();
    if inodes.is_empty() {
        return None;
    }
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let has = |link: &std::path::Path| {
            let target = fs::read_link(link).ok()?;
            let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            inodes.iter().any(|one| one == inode).then_some(())
        };
        fs::read_dir(entry.path().join("fd")).ok()?.flatten().find_map(|fd| has(&fd.path()))?;
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        Some((pid, name.trim().to_owned()))
    })
}

/// The inode of a line's socket, if it is in the way.
fn socket(line: &str, protocol: Protocol, ip: IpAddr, port: u16) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (address, hex_port) = words.get(1)?.rsplit_once(':')?;
    if u16::from_str_radix(hex_port, 16).ok()? != port || (protocol == Protocol::Tcp && *words.get(3)? != LISTENING) {
        return None;
    }
    let local = address_of(address)?;
    let any = local.is_unspecified() || ip.is_unspecified();
    // An unspecified IPv6 address is usually both families'.
    let same = local == ip || (any && (local.is_ipv4() == ip.is_ipv4() || (local.is_ipv6() && local.is_unspecified())));
    same.then(|| words.get(9).map(|inode| (*inode).to_owned())).flatten()
}

/// Words of four bytes in the machine's order.
fn address_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let bytes = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            let bytes: [u8; 16] = bytes.try_into().ok()?;
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn finds_this_very_program() {
        let ours = |found: Option<(u32, String)>| found.is_some_and(|(pid, _)| pid == std::process::id());
        for at in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            let listener = TcpListener::bind(at).unwrap();
            let port = listener.local_addr().unwrap().port();
            assert!(ours(of(Protocol::Tcp, Ipv4Addr::UNSPECIFIED.into(), port)), "{at}");
            assert!(!ours(of(Protocol::Udp, Ipv4Addr::UNSPECIFIED.into(), port)), "{at}");
            drop(listener);
            assert_eq!(of(Protocol::Tcp, Ipv4Addr::UNSPECIFIED.into(), port), None, "{at}");
        }
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert!(ours(of(Protocol::Udp, Ipv4Addr::LOCALHOST.into(), port)));
        assert!(!ours(of(Protocol::Udp, Ipv4Addr::new(127, 0, 0, 9).into(), port)));
    }
}
