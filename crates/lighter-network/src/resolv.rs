//! A container's `/etc/resolv.conf`: the host's, with what the user asked for instead, and without what
//! could not work from inside. Pure text, except for [`read_host`]. Called when a container is made.

use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// What the user set with `--dns`, `--dns-search` and `--dns-option`. Empty means: as the host has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsOverrides {
    /// Name servers.
    pub servers: Vec<IpAddr>,
    /// Search domains; `.` alone means none at all.
    pub search: Vec<String>,
    /// Resolver options such as `ndots:2`.
    pub options: Vec<String>,
}

/// Which network the container is on, as far as name servers care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolvMode {
    /// The host's own: its name servers are right as they are.
    Host,
    /// An own namespace. The host's loopback is not there, and without `ipv6` no IPv6 server is reachable.
    Isolated {
        /// Whether the container has IPv6.
        ipv6: bool,
    },
}

const FALLBACK_V4: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)), IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4))];
const FALLBACK_V6: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8844)),
];

/// The directives of a `resolv.conf` that matter here.
#[derive(Debug, Default)]
struct Parsed<'a> {
    servers: Vec<IpAddr>,
    search: Vec<&'a str>,
    options: Vec<&'a str>,
    other: Vec<&'a str>,
}

fn parse(text: &str) -> Parsed<'_> {
    let mut parsed = Parsed::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(directive) = words.next() else { continue };
        if directive.starts_with(['#', ';']) {
            continue;
        }
        let values: Vec<_> = words.collect();
        match (directive, values.first()) {
            ("nameserver" | "search" | "domain" | "options", None) => {}
            ("nameserver", Some(first)) => {
                // A link-local address may carry a zone; it means nothing inside the container.
                let bare = first.split('%').next().unwrap_or(first);
                parsed.servers.extend(bare.parse::<IpAddr>().ok());
            }
            // The last one wins, as for the resolver itself.
            ("search" | "domain", Some(_)) => parsed.search = values,
            ("options", Some(_)) => parsed.options.extend(values),
            _ => parsed.other.push(line),
        }
    }
    parsed
}

/// The container's `resolv.conf`, made from the host's text.
///
/// Servers named by the user are kept whatever they are. Of the host's, those that the container cannot
/// reach are dropped, and if none is left, well-known public ones stand in, as dockerd has it.
#[must_use]
pub fn resolv_conf(host: &str, overrides: &DnsOverrides, mode: ResolvMode) -> String {
    let host = parse(host);
    let mut servers = host.servers;
    if !overrides.servers.is_empty() {
        servers.clone_from(&overrides.servers);
    } else if let ResolvMode::Isolated { ipv6 } = mode {
        servers.retain(|ip| !ip.to_canonical().is_loopback() && (ip.is_ipv4() || ipv6));
        if servers.is_empty() {
            servers.extend(FALLBACK_V4);
            if ipv6 {
                servers.extend(FALLBACK_V6);
            }
        }
    }
    let or_host = |user: &'_ [String], host: &[&str]| -> Vec<String> {
        if user.is_empty() { host.iter().map(|&word| word.to_owned()).collect() } else { user.to_vec() }
    };
    let mut search = or_host(&overrides.search, &host.search);
    if !overrides.search.is_empty() {
        search.retain(|domain| domain != ".");
    }
    let options = or_host(&overrides.options, &host.options);

    let mut out = String::from("# Made by Lighter from the host's file and the container's settings.\n\n");
    for server in servers {
        out.push_str(&format!("nameserver {server}\n"));
    }
    for (directive, words) in [("search", search), ("options", options)] {
        if !words.is_empty() {
            out.push_str(&format!("{directive} {}\n", words.join(" ")));
        }
    }
    for line in host.other {
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// The `resolv.conf` of a container with the resolver of [`crate::dns`], and what that resolver must know of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embedded {
    /// The file.
    pub text: String,
    /// `--dns`, to be asked by the resolver; empty: the host's.
    pub servers: Vec<IpAddr>,
    /// Whether `ndots` is more than zero, by the user's wish or the host's.
    pub ndots: bool,
}

/// The same for a container on a user-defined network: its one name server is ours. Names of containers have no dots, so
/// that `ndots:0` (unless it is set otherwise) lets them be asked for as they are.
#[must_use]
pub fn embedded(host: &str, overrides: &DnsOverrides) -> Embedded {
    let parsed = parse(host);
    let mut options = overrides.clone();
    if options.options.is_empty() {
        options.options = parsed.options.iter().map(|&option| option.to_owned()).collect();
    }
    // The last one counts, as for the resolver that reads the file.
    let set = options.options.iter().rev().find_map(|option| option.strip_prefix("ndots:"));
    let set = set.map(|value| value.parse::<u32>().unwrap_or(0));
    if set.is_none() {
        options.options.push("ndots:0".to_owned());
    }
    options.servers = vec![IpAddr::V4(crate::dns::ADDRESS)];
    let mut text = resolv_conf(host, &options, ResolvMode::Isolated { ipv6: true });
    let asked = if overrides.servers.is_empty() { &parsed.servers } else { &overrides.servers };
    let asked: Vec<_> = asked.iter().map(IpAddr::to_string).collect();
    let whose = match set {
        None => "internal",
        Some(_) if overrides.options.is_empty() => "host",
        Some(_) => "override",
    };
    // In the words that people know from dockerd's files, who asks whom.
    text.push_str(&format!("\n# ExtServers: [{}]\n# Option ndots from: {whose}\n", asked.join(" ")));
    Embedded { text, servers: overrides.servers.clone(), ndots: set.is_some_and(|ndots| ndots > 0) }
}

/// The host's `resolv.conf`. Blocking.
///
/// Where systemd-resolved answers on 127.0.0.53, the file that it keeps with the real servers is taken
/// instead. A missing or unreadable file counts as empty, and of a huge one the first MiB is read.
#[must_use]
pub fn read_host() -> String {
    read_host_in(Path::new("/"))
}

/// The name servers of a file such as the host's; none of a missing one.
pub(crate) fn servers(path: &Path) -> Vec<IpAddr> {
    let text = read_some(path).unwrap_or_default();
    parse(&text).servers.into_iter().map(|ip| ip.to_canonical()).collect()
}

fn read_host_in(root: &Path) -> String {
    const STUB: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53));
    let text = read_some(&root.join("etc/resolv.conf")).unwrap_or_default();
    if parse(&text).servers == [STUB]
        && let Ok(real) = read_some(&root.join("run/systemd/resolve/resolv.conf"))
    {
        return real;
    }
    text
}

fn read_some(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(1 << 20).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BRIDGE: ResolvMode = ResolvMode::Isolated { ipv6: false };

    #[test]
    fn with_the_resolver_of_ours() {
        let host = "nameserver 10.0.0.53\nnameserver 127.0.0.53\nsearch corp.example\noptions edns0\n";
        let plain = embedded(host, &DnsOverrides::default());
        assert_eq!(lines(&plain.text), ["nameserver 127.0.0.11", "search corp.example", "options edns0 ndots:0"]);
        assert!(plain.text.contains("# ExtServers: [10.0.0.53 127.0.0.53]\n# Option ndots from: internal\n"));
        assert_eq!((plain.servers, plain.ndots), (vec![], false));

        let overrides = DnsOverrides {
            servers: vec!["10.9.8.7".parse().unwrap()],
            search: vec![".".into()],
            options: vec!["timeout:1".into(), "ndots:2".into()],
        };
        let set = embedded(host, &overrides);
        assert_eq!(lines(&set.text), ["nameserver 127.0.0.11", "options timeout:1 ndots:2"]);
        assert!(set.text.contains("# ExtServers: [10.9.8.7]\n# Option ndots from: override\n"));
        assert_eq!((set.servers, set.ndots), (overrides.servers, true));

        let by_host = embedded("options ndots:3\n", &DnsOverrides::default());
        assert!(by_host.ndots && by_host.text.contains("Option ndots from: host"));
        assert!(lines(&embedded("", &DnsOverrides::default()).text).contains(&"options ndots:0"));
    }

    fn lines(text: &str) -> Vec<&str> {
        text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
    }

    #[test]
    fn takes_over_what_works_from_inside() {
        let host = "# comment\n; other\nnameserver 127.0.0.1\nnameserver 10.0.0.53\nnameserver ::1\n\
                    nameserver fe80::1%eth0\nnameserver rubbish\nnameserver\ndomain old.example\n\
                    search corp.example example\noptions ndots:2\noptions edns0 trust-ad\nsortlist 10.0.0.0\n";
        let plain = resolv_conf(host, &DnsOverrides::default(), BRIDGE);
        assert_eq!(
            lines(&plain),
            ["nameserver 10.0.0.53", "search corp.example example", "options ndots:2 edns0 trust-ad", "sortlist 10.0.0.0"]
        );
        let v6 = resolv_conf(host, &DnsOverrides::default(), ResolvMode::Isolated { ipv6: true });
        assert_eq!(lines(&v6)[..2], ["nameserver 10.0.0.53", "nameserver fe80::1"]);
        let same = resolv_conf(host, &DnsOverrides::default(), ResolvMode::Host);
        assert_eq!(lines(&same)[0], "nameserver 127.0.0.1");
    }

    #[test]
    fn public_servers_only_when_none_is_left() {
        let text = resolv_conf("nameserver 127.0.0.53\n", &DnsOverrides::default(), BRIDGE);
        assert_eq!(lines(&text), ["nameserver 8.8.8.8", "nameserver 8.8.4.4"]);
        let text = resolv_conf("", &DnsOverrides::default(), ResolvMode::Isolated { ipv6: true });
        assert_eq!(lines(&text).len(), 4);
        assert!(lines(&resolv_conf("", &DnsOverrides::default(), ResolvMode::Host)).is_empty());
    }

    #[test]
    fn the_user_has_the_last_word() {
        let overrides = DnsOverrides {
            servers: vec![IpAddr::V4(Ipv4Addr::LOCALHOST), "2001:db8::1".parse().unwrap()],
            search: vec![".".into()],
            options: vec!["ndots:5".into()],
        };
        let text = resolv_conf("nameserver 1.1.1.1\nsearch a b\noptions rotate\n", &overrides, BRIDGE);
        assert_eq!(lines(&text), ["nameserver 127.0.0.1", "nameserver 2001:db8::1", "options ndots:5"]);
    }

    #[test]
    fn looks_behind_the_stub_of_systemd_resolved() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(read_host_in(root.path()), "");
        fs::create_dir_all(root.path().join("etc")).unwrap();
        fs::create_dir_all(root.path().join("run/systemd/resolve")).unwrap();
        let stub = "nameserver 127.0.0.53\n";
        fs::write(root.path().join("etc/resolv.conf"), stub).unwrap();
        assert_eq!(read_host_in(root.path()), stub);
        fs::write(root.path().join("run/systemd/resolve/resolv.conf"), "nameserver 9.9.9.9\n").unwrap();
        assert_eq!(read_host_in(root.path()), "nameserver 9.9.9.9\n");
        fs::write(root.path().join("etc/resolv.conf"), "nameserver 1.2.3.4\n").unwrap();
        assert_eq!(read_host_in(root.path()), "nameserver 1.2.3.4\n");
    }

    proptest! {
        #[test]
        fn any_text_gives_a_file_with_reachable_servers(host in "(\\PC|\n|nameserver |search |127.0.0.1){0,60}") {
            let text = resolv_conf(&host, &DnsOverrides::default(), BRIDGE);
            let parsed = parse(&text);
            prop_assert!(!parsed.servers.is_empty());
            prop_assert!(parsed.servers.iter().all(|ip| ip.is_ipv4() && !ip.is_loopback()));
            // Made again from itself, it says the same.
            prop_assert_eq!(resolv_conf(&text, &DnsOverrides::default(), BRIDGE), text);
        }
    }
}
