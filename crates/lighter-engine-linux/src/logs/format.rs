//! From records to what a client reads: filtered by stream and time, stamped, framed.

use super::record::Record;
use lighter_engine::LogQuery;
use lighter_engine::stdcopy::{self, Stream};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// How one reader wants its lines.
#[derive(Debug, Clone)]
pub(super) struct Format {
    tty: bool,
    stdout: bool,
    stderr: bool,
    timestamps: bool,
    details: bool,
    since: Option<OffsetDateTime>,
    until: Option<OffsetDateTime>,
}

/// What became of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Taken,
    /// It is later than the query wants: so is all that follows.
    TooLate,
}

impl Format {
    pub(super) fn new(tty: bool, query: &LogQuery) -> Self {
        Self {
            tty,
            stdout: query.stdout,
            stderr: query.stderr,
            timestamps: query.timestamps,
            details: query.details,
            since: query.since,
            until: query.until,
        }
    }

    /// Appends the record to `out`, unless it is filtered out.
    pub(super) fn append(&self, record: &Record<'_>, out: &mut Vec<u8>) -> Outcome {
        if self.since.is_some() || self.until.is_some() {
            let time = OffsetDateTime::parse(&record.time, &Rfc3339).ok();
            if time.zip(self.until).is_some_and(|(t, until)| t > until) {
                return Outcome::TooLate;
            }
            if time.zip(self.since).is_some_and(|(t, since)| t < since) {
                return Outcome::Taken;
            }
        }
        let wanted = match record.stream {
            Stream::Stderr => self.stderr,
            Stream::Stdout | Stream::Stdin => self.stdout,
        };
        // On a terminal there is one stream.
        if !wanted && !(self.tty && (self.stdout || self.stderr)) {
            return Outcome::Taken;
        }
        let start = out.len();
        if !self.tty {
            out.extend_from_slice(&[0; stdcopy::HEADER]);
        }
        if self.timestamps {
            stamp(&record.time, out);
            out.push(b' ');
        }
        if self.details {
            record.attrs.append(out);
            out.push(b' ');
        }
        record.text.append(out);
        if !self.tty {
            let len = out.len() - start - stdcopy::HEADER;
            let header = stdcopy::header(record.stream, u32::try_from(len).unwrap_or(u32::MAX));
            out[start..start + stdcopy::HEADER].copy_from_slice(&header);
        }
        Outcome::Taken
    }
}

/// Always nine digits after the point, so that lines stand below each other.
fn stamp(time: &str, out: &mut Vec<u8>) {
    let Some((whole, zone)) = time.split_at_checked(19) else { return out.extend_from_slice(time.as_bytes()) };
    let digits = zone.strip_prefix('.').unwrap_or("");
    let digits = &digits[..digits.bytes().take_while(u8::is_ascii_digit).count()];
    let zone = zone.trim_start_matches('.').trim_start_matches(|c: char| c.is_ascii_digit());
    out.extend_from_slice(whole.as_bytes());
    out.push(b'.');
    let nine = &digits[..digits.len().min(9)];
    out.extend_from_slice(nine.as_bytes());
    out.extend(std::iter::repeat_n(b'0', 9 - nine.len()));
    out.extend_from_slice(zone.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_have_nine_digits() {
        for (time, expected) in [
            ("2024-05-06T07:08:09Z", "2024-05-06T07:08:09.000000000Z"),
            ("2024-05-06T07:08:09.12Z", "2024-05-06T07:08:09.120000000Z"),
            ("2024-05-06T07:08:09.123456789+02:00", "2024-05-06T07:08:09.123456789+02:00"),
            ("odd", "odd"),
        ] {
            let mut out = Vec::new();
            stamp(time, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
