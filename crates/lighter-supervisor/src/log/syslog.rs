//! A record for syslog, in the formats that dockerd's driver knows.

use super::Stream;
use crate::{clock, sys};
use lighter_supervisor_proto::SyslogFormat;

/// What all records of a container have in common.
pub struct Head<'a> {
    pub format: SyslogFormat,
    pub facility: u8,
    pub tag: &'a str,
    pub host: &'a str,
}

/// One record with its line end. Standard output is of severity "informational" (6), standard error of "error" (3). `nanos`:
/// since the epoch.
pub fn record(head: &Head<'_>, stream: Stream, text: &[u8], nanos: i64) -> Vec<u8> {
    let severity = match stream {
        Stream::Stdout => 6,
        Stream::Stderr => 3,
    };
    let priority = u32::from(head.facility) * 8 + severity;
    let (tag, host, pid) = (head.tag, head.host, std::process::id());
    let second = nanos.div_euclid(1_000_000_000);
    let start = match head.format {
        // These two say no time zone: they mean the machine's.
        SyslogFormat::Local => format!("<{priority}>{} {tag}[{pid}]: ", stamp(second)),
        SyslogFormat::Rfc3164 => format!("<{priority}>{} {host} {tag}[{pid}]: ", stamp(second)),
        SyslogFormat::Rfc5424 => format!("<{priority}>1 {}Z {host} {tag} {pid} {tag} - ", clock::date_and_time(second)),
        SyslogFormat::Rfc5424Micro => {
            let micros = nanos.rem_euclid(1_000_000_000) / 1000;
            format!("<{priority}>1 {}.{micros:06}Z {host} {tag} {pid} {tag} - ", clock::date_and_time(second))
        }
    };
    let mut record = start.into_bytes();
    record.extend_from_slice(text);
    record.push(b'\n');
    record
}

/// `Jan  2 15:04:05`, local time.
fn stamp(second: i64) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = clock::date_and_time(second + sys::seconds_east(second));
    let number = |range: std::ops::Range<usize>| text.get(range).and_then(|n| n.parse::<usize>().ok()).unwrap_or(1);
    let month = MONTHS[(number(5..7) - 1).min(11)];
    format!("{month} {:2} {}", number(8..10), text.get(11..19).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(format: SyslogFormat, stream: Stream) -> String {
        let head = Head { format, facility: 3, tag: "abc", host: "vm" };
        // 2024-02-09T23:59:59.120034
        let nanos = 1_707_523_199_120_034_000 - sys::seconds_east(1_707_523_199) * 1_000_000_000;
        let pid = format!("{}", std::process::id());
        String::from_utf8(record(&head, stream, b"hi \xc3\xa9", nanos)).unwrap().replace(&pid, "PID")
    }

    #[test]
    fn the_formats() {
        assert_eq!(text(SyslogFormat::Local, Stream::Stdout), "<30>Feb  9 23:59:59 abc[PID]: hi \u{e9}\n");
        assert_eq!(text(SyslogFormat::Rfc3164, Stream::Stderr), "<27>Feb  9 23:59:59 vm abc[PID]: hi \u{e9}\n");
        let utc = sys::seconds_east(1_707_523_199) == 0;
        if utc {
            assert_eq!(text(SyslogFormat::Rfc5424, Stream::Stdout), "<30>1 2024-02-09T23:59:59Z vm abc PID abc - hi \u{e9}\n");
            let micro = "<30>1 2024-02-09T23:59:59.120034Z vm abc PID abc - hi \u{e9}\n";
            assert_eq!(text(SyslogFormat::Rfc5424Micro, Stream::Stdout), micro);
        }
    }
}
