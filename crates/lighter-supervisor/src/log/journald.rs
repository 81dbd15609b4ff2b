//! A record for the journal, in its native protocol: `NAME=value` lines, and for values with line ends a length instead.

use super::Stream;
use std::collections::BTreeMap;

/// Where the journal takes records.
pub const SOCKET: &str = "/run/systemd/journal/socket";

/// One record. `nanos`: since the epoch.
pub fn record(fields: &BTreeMap<String, String>, stream: Stream, text: &[u8], ends: bool, nanos: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 256);
    field(&mut out, "MESSAGE", text);
    let priority = match stream {
        Stream::Stdout => b"6",
        Stream::Stderr => b"3",
    };
    field(&mut out, "PRIORITY", priority);
    let time =
        format!("{}.{:09}Z", crate::clock::date_and_time(nanos.div_euclid(1_000_000_000)), nanos.rem_euclid(1_000_000_000));
    field(&mut out, "SYSLOG_TIMESTAMP", time.as_bytes());
    if !ends {
        field(&mut out, "CONTAINER_PARTIAL_MESSAGE", b"true");
    }
    for (name, value) in fields {
        field(&mut out, name, value.as_bytes());
    }
    out
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_a_line_end_has_a_length() {
        let fields = BTreeMap::from([("CONTAINER_NAME".to_owned(), "a\nb".to_owned())]);
        let got = record(&fields, Stream::Stderr, b"hi", false, 1);
        let want = b"MESSAGE=hi\nPRIORITY=3\nSYSLOG_TIMESTAMP=1970-01-01T00:00:00.000000001Z\nCONTAINER_PARTIAL_MESSAGE=true\n\
                     CONTAINER_NAME\n\x03\0\0\0\0\0\0\0a\nb\n";
        assert_eq!(got, want);
    }
}
