//! Times and durations as Go writes and reads them.

use serde::{Serialize, Serializer};
use std::io::Write as _;
use time::format_description::well_known::Rfc3339;
use time::{Date, Duration, OffsetDateTime, PrimitiveDateTime, UtcOffset};

/// A time as Go's RFC3339Nano prints it: UTC, trailing zeroes of the fraction cut, `None` as Go's zero time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GoTime(pub Option<OffsetDateTime>);

/// The longest form: `2026-11-24T00:08:05.405702347Z`.
const LONGEST: usize = 30;

impl GoTime {
    fn write(self, buf: &mut [u8; LONGEST]) -> &str {
        let Some(t) = self.0.map(|t| t.to_offset(UtcOffset::UTC)) else {
            return "0001-01-01T00:00:00Z";
        };
        let mut rest = &mut buf[..];
        let (y, mo, d) = (t.year().clamp(0, 9999), u8::from(t.month()), t.day());
        let (h, mi, s) = t.to_hms();
        // The buffer holds the longest form, so that these cannot fail.
        let _ = write!(rest, "{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}");
        if t.nanosecond() != 0 {
            let _ = write!(rest, ".{:09}", t.nanosecond());
        }
        let mut len = LONGEST - rest.len();
        if t.nanosecond() != 0 {
            while buf[len - 1] == b'0' {
                len -= 1;
            }
        }
        buf[len] = b'Z';
        std::str::from_utf8(&buf[..=len]).unwrap_or_default()
    }
}

/// RFC 3339 in whole seconds.
pub fn seconds(at: OffsetDateTime) -> String {
    let whole = at.replace_nanosecond(0).unwrap_or(at);
    GoTime(Some(whole)).to_string()
}

impl std::fmt::Display for GoTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.write(&mut [0; LONGEST]))
    }
}

impl Serialize for GoTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.write(&mut [0; LONGEST]))
    }
}

impl From<OffsetDateTime> for GoTime {
    fn from(t: OffsetDateTime) -> Self {
        Self(Some(t))
    }
}

/// A point in time from a query: Unix seconds with or without a fraction, RFC 3339 (a date or a time without zone too, read
/// as UTC), or a Go duration back from `now`. Empty and `0` are no time at all. The error is Go's.
pub fn timestamp(raw: &str, now: OffsetDateTime) -> Result<Option<OffsetDateTime>, String> {
    if raw.is_empty() || raw == "0" {
        return Ok(None);
    }
    let bad = || format!("strconv.ParseInt: parsing {raw:?}: invalid syntax");
    if let Some(found) = unix(raw).or_else(|| OffsetDateTime::parse(raw, &Rfc3339).ok()).or_else(|| local(raw)) {
        return Ok(Some(found));
    }
    let back = duration(raw).ok_or_else(bad)?;
    now.checked_sub(Duration::nanoseconds(back)).map(Some).ok_or_else(bad)
}

fn unix(raw: &str) -> Option<OffsetDateTime> {
    let (seconds, fraction) = raw.split_once('.').unwrap_or((raw, ""));
    let seconds: i64 = seconds.parse().ok()?;
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos: i64 = if fraction.is_empty() { 0 } else { format!("{fraction:0<9}").parse().ok()? };
    OffsetDateTime::from_unix_timestamp(seconds).ok()?.checked_add(Duration::nanoseconds(nanos))
}

fn local(raw: &str) -> Option<OffsetDateTime> {
    use time::macros::format_description;
    let date = format_description!("[year]-[month]-[day]");
    let minutes = format_description!("[year]-[month]-[day]T[hour]:[minute]");
    let seconds = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second][optional [.[subsecond]]]");
    PrimitiveDateTime::parse(raw, seconds)
        .or_else(|_| PrimitiveDateTime::parse(raw, minutes))
        .or_else(|_| Date::parse(raw, date).map(Date::midnight))
        .ok()
        .map(PrimitiveDateTime::assume_utc)
}

/// A Go duration (`1h30m`, `1.5s`, `-2ms`) in nanoseconds.
pub fn duration(raw: &str) -> Option<i64> {
    let (sign, mut rest) = match raw.as_bytes().first()? {
        b'-' => (-1.0, &raw[1..]),
        b'+' => (1.0, &raw[1..]),
        _ => (1.0, raw),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|n| *n > 0)?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_len = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let scale = match &rest[..unit_len] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        rest = &rest[unit_len..];
        total += number * scale;
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded by the check")]
    (total.abs() < 9.2e18 && !raw.ends_with(['-', '+'])).then_some((sign * total) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn prints_as_go_does() {
        assert_eq!(GoTime(None).to_string(), "0001-01-01T00:00:00Z");
        assert_eq!(GoTime(Some(datetime!(2026-11-24 00:08:05.40570234 UTC))).to_string(), "2026-11-24T00:08:05.40570234Z");
        assert_eq!(GoTime(Some(datetime!(2026-11-24 00:08:05 UTC))).to_string(), "2026-11-24T00:08:05Z");
        assert_eq!(GoTime(Some(datetime!(2026-11-24 02:08:05.1 +2))).to_string(), "2026-11-24T00:08:05.1Z");
        assert_eq!(GoTime(Some(datetime!(2026-11-24 00:08:05.000000001 UTC))).to_string(), "2026-11-24T00:08:05.000000001Z");
    }

    #[test]
    fn reads_every_form() {
        let now = datetime!(2026-01-02 03:04:05 UTC);
        let get = |raw| timestamp(raw, now).unwrap();
        assert_eq!(get(""), None);
        assert_eq!(get("0"), None);
        assert_eq!(get("1700000000"), Some(datetime!(2023-11-14 22:13:20 UTC)));
        assert_eq!(get("1700000000.5"), Some(datetime!(2023-11-14 22:13:20.5 UTC)));
        assert_eq!(get("1700000000.000000001"), Some(datetime!(2023-11-14 22:13:20.000000001 UTC)));
        assert_eq!(get("2020-01-01T00:00:00Z"), Some(datetime!(2020-01-01 0:00 UTC)));
        assert_eq!(get("2020-01-01T02:00:00+02:00"), Some(datetime!(2020-01-01 0:00 UTC)));
        assert_eq!(get("2020-01-01T00:00:00"), Some(datetime!(2020-01-01 0:00 UTC)));
        assert_eq!(get("2020-01-01"), Some(datetime!(2020-01-01 0:00 UTC)));
        assert_eq!(get("1h4m5s"), Some(datetime!(2026-01-02 02:00 UTC)));
        for bad in ["abc", "1.2.3", "1h2", "--1s", "99999999999999999999", "1.0000000000"] {
            assert!(timestamp(bad, now).unwrap_err().contains("invalid syntax"), "{bad}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("1h30m"), Some(5_400_000_000_000));
        assert_eq!(duration("1.5s"), Some(1_500_000_000));
        assert_eq!(duration("-2ms"), Some(-2_000_000));
        assert_eq!(duration("0"), Some(0));
        for bad in ["", "1", "s", "1x", "-", "1h-2m", ".", "99999999999h"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_printed_reads_back(s in 0i64..253_402_300_799, n in 0i64..1_000_000_000) {
            let t = OffsetDateTime::from_unix_timestamp(s).unwrap() + Duration::nanoseconds(n);
            let printed = GoTime(Some(t)).to_string();
            proptest::prop_assert_eq!(OffsetDateTime::parse(&printed, &Rfc3339).unwrap(), t);
        }

        #[test]
        fn no_text_panics(raw in ".{0,40}") {
            let _ = timestamp(&raw, datetime!(2026-01-02 03:04:05 UTC));
        }
    }
}
