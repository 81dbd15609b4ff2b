//! A container's `/etc/hosts`, in the shape and order that dockerd writes, since programs parse it.
//! Pure text. Called when a container is made.

use std::fmt::Write;
use std::net::IpAddr;

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostsEntry {
    /// The address.
    pub ip: IpAddr,
    /// The name, or several with a blank between.
    pub names: String,
}

/// An `--add-host` value that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtraHostError {
    /// No name, or no address.
    #[error("bad format for add-host: {0:?}")]
    Format(String),
    /// The address is none.
    #[error("invalid IP address in add-host: {0:?}")]
    Address(String),
    /// `host-gateway`, but the container has no gateway.
    #[error("unable to derive the IP value for host-gateway")]
    NoGateway,
}

/// Reads one `--add-host` value: `name:address` or `name=address`, the address possibly in brackets, or
/// the word `host-gateway` for `gateway`.
///
/// # Errors
/// The value has no such shape, or asks for a gateway that there is not.
pub fn parse_extra_host(spec: &str, gateway: Option<IpAddr>) -> Result<HostsEntry, ExtraHostError> {
    let format = || ExtraHostError::Format(spec.to_owned());
    // A colon may also be part of the address, so an `=` in front of the first colon decides.
    let at = spec.find(['=', ':']).ok_or_else(format)?;
    let (name, address) = (&spec[..at], &spec[at + 1..]);
    if name.is_empty() || address.is_empty() || name.contains(char::is_whitespace) {
        return Err(format());
    }
    let ip = if address == "host-gateway" {
        gateway.ok_or(ExtraHostError::NoGateway)?
    } else {
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        bare.unwrap_or(address).parse().map_err(|_| ExtraHostError::Address(address.to_owned()))?
    };
    Ok(HostsEntry { ip, names: name.to_owned() })
}

/// The whole file: localhost, then the user's entries, then the container's own names.
///
/// `ips` are the container's addresses. Without `ipv6` no line with an IPv6 address appears.
#[must_use]
pub fn hosts_file(hostname: &str, domainname: &str, ips: &[IpAddr], extra: &[HostsEntry], ipv6: bool) -> String {
    let mut out = String::from("127.0.0.1\tlocalhost\n");
    if ipv6 {
        out.push_str("::1\tlocalhost ip6-localhost ip6-loopback\n");
        out.push_str("fe00::\tip6-localnet\n");
        out.push_str("ff00::\tip6-mcastprefix\n");
        out.push_str("ff02::1\tip6-allnodes\n");
        out.push_str("ff02::2\tip6-allrouters\n");
    }
    let names = own_names(hostname, domainname);
    let own = ips.iter().map(|ip| HostsEntry { ip: *ip, names: names.clone() });
    for entry in extra.iter().cloned().chain(own) {
        if ipv6 || entry.ip.is_ipv4() {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{}\t{}", entry.ip, entry.names);
        }
    }
    out
}

/// The file of a container that has other addresses now: its own lines for those it has no more are left out, and lines for
/// those it has got are added. What else is in the file stays.
#[must_use]
pub fn moved(text: &str, hostname: &str, domainname: &str, before: &[IpAddr], now: &[IpAddr]) -> String {
    let names = own_names(hostname, domainname);
    let line = |ip: &IpAddr| format!("{ip}\t{names}");
    let gone: Vec<String> = before.iter().filter(|ip| !now.contains(ip)).map(line).collect();
    let come = now.iter().filter(|ip| !before.contains(ip)).map(line);
    let kept = text.lines().filter(|line| !gone.iter().any(|gone| gone == line)).map(str::to_owned);
    kept.chain(come).map(|line| line + "\n").collect()
}

/// The file of a container that a daemon may have died over while its addresses changed: lines of its own for addresses that
/// it does not have are left out. `ours` tells which addresses may have been its: others that it calls by its name are not our
/// affair.
#[must_use]
pub fn mended(text: &str, hostname: &str, domainname: &str, now: &[IpAddr], ours: impl Fn(&IpAddr) -> bool) -> String {
    let end = format!("\t{}", own_names(hostname, domainname));
    let old = |line: &str| line.strip_suffix(&end).and_then(|ip| ip.parse().ok()).filter(|ip| !now.contains(ip) && ours(ip));
    let before: Vec<IpAddr> = text.lines().filter_map(old).collect();
    if before.is_empty() { text.to_owned() } else { moved(text, hostname, domainname, &before, &[]) }
}

/// The full name and, where that has a domain, the bare one after it.
fn own_names(hostname: &str, domainname: &str) -> String {
    let full = if domainname.is_empty() { hostname.to_owned() } else { format!("{hostname}.{domainname}") };
    match full.split_once('.') {
        Some((bare, _)) => format!("{full} {bare}"),
        None => full,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const IP: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 17, 0, 2));
    const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 17, 0, 1));

    #[test]
    fn order_and_shape() {
        let extra = [
            parse_extra_host("db:10.0.0.5", None).unwrap(),
            parse_extra_host("host.docker.internal:host-gateway", Some(GATEWAY)).unwrap(),
        ];
        let expected = "127.0.0.1\tlocalhost\n\
            ::1\tlocalhost ip6-localhost ip6-loopback\n\
            fe00::\tip6-localnet\n\
            ff00::\tip6-mcastprefix\n\
            ff02::1\tip6-allnodes\n\
            ff02::2\tip6-allrouters\n\
            10.0.0.5\tdb\n\
            172.17.0.1\thost.docker.internal\n\
            172.17.0.2\t4a2f\n";
        assert_eq!(hosts_file("4a2f", "", &[IP], &extra, true), expected);
    }

    #[test]
    fn names_with_a_domain() {
        let last = |host, domain| {
            let text = hosts_file(host, domain, &[IP], &[], false);
            text.lines().last().unwrap().to_owned()
        };
        assert_eq!(last("web", "corp.example"), "172.17.0.2\tweb.corp.example web");
        assert_eq!(last("web.corp.example", ""), "172.17.0.2\tweb.corp.example web");
        assert_eq!(hosts_file("web", "", &[], &[], false), "127.0.0.1\tlocalhost\n");
    }

    #[test]
    fn addresses_come_and_go_and_edits_stay() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let text = hosts_file("web", "", &[ip("10.0.0.2"), ip("10.1.0.2")], &[], false) + "1.2.3.4 mine";
        let text = moved(&text, "web", "", &[ip("10.0.0.2"), ip("10.1.0.2")], &[ip("10.1.0.2"), ip("10.2.0.2")]);
        assert_eq!(text, "127.0.0.1\tlocalhost\n10.1.0.2\tweb\n1.2.3.4 mine\n10.2.0.2\tweb\n");
    }

    #[test]
    fn only_its_own_old_lines_are_mended() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let text =
            hosts_file("web", "", &[ip("10.0.0.2"), ip("10.0.0.3")], &[], false) + "9.9.9.9\tweb\n10.0.0.4 web\n10.0.0.5\tdb";
        let ours = |ip: &IpAddr| ip.to_string().starts_with("10.0.0.");
        let mended = mended(&text, "web", "", &[ip("10.0.0.2")], ours);
        assert_eq!(mended, "127.0.0.1\tlocalhost\n10.0.0.2\tweb\n9.9.9.9\tweb\n10.0.0.4 web\n10.0.0.5\tdb\n");
        assert_eq!(super::mended("10.0.0.2\tweb", "web", "", &[ip("10.0.0.2")], ours), "10.0.0.2\tweb", "as it was");
    }

    #[test]
    fn without_ipv6_there_is_none() {
        let extra = [parse_extra_host("six=[2001:db8::1]", None).unwrap()];
        assert!(!hosts_file("web", "", &[IP], &extra, false).contains("::"));
        assert!(hosts_file("web", "", &[IP], &extra, true).contains("2001:db8::1\tsix\n"));
    }

    #[test]
    fn extra_host_forms() {
        let six: IpAddr = "2001:db8::1".parse().unwrap();
        for spec in ["six:2001:db8::1", "six=2001:db8::1", "six:[2001:db8::1]", "six=[2001:db8::1]"] {
            assert_eq!(parse_extra_host(spec, None), Ok(HostsEntry { ip: six, names: "six".into() }), "{spec}");
        }
        for bad in ["", "x", "x:", ":1.2.3.4", "x:1.2.3", "x=[::1", "a b:1.2.3.4", "x:host-gateway"] {
            assert!(parse_extra_host(bad, None).is_err(), "{bad}");
        }
    }
}
