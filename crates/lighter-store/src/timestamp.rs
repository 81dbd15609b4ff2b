//! Dates as the tables hold them: UTC, RFC 3339, always nine digits of fraction, so that the order of texts is the order of times.
//!
//! Written by hand because each recorded request pays for it; read leniently because other programs write these tables too.

use std::sync::Arc;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

/// `2026-01-02T03:04:05.000000006Z`
pub(crate) fn format(t: OffsetDateTime) -> String {
    text(t, &mut { BUFFER }).to_owned()
}

/// The same as a parameter of a statement takes it, without a copy.
pub(crate) fn shared(t: OffsetDateTime) -> Arc<str> {
    text(t, &mut { BUFFER }).into()
}

/// Room for [`text`], also with a year of six digits and its sign.
pub(crate) const BUFFER: [u8; 33] = [0; 33];

/// The same, in a place that the caller has.
pub(crate) fn text(t: OffsetDateTime, buffer: &mut [u8; BUFFER.len()]) -> &str {
    let t = t.checked_to_offset(UtcOffset::UTC).unwrap_or_else(|| t.replace_offset(UtcOffset::UTC));
    let year = t.year();
    let parts = [
        (year.unsigned_abs(), if year.unsigned_abs() > 9999 { 6 } else { 4 }, b'-'),
        (u32::from(u8::from(t.month())), 2, b'-'),
        (u32::from(t.day()), 2, b'T'),
        (u32::from(t.hour()), 2, b':'),
        (u32::from(t.minute()), 2, b':'),
        (u32::from(t.second()), 2, b'.'),
        (t.nanosecond(), 9, b'Z'),
    ];
    let mut at = usize::from(year < 0);
    buffer[0] = b'-';
    for (value, width, after) in parts {
        digits::<10>(&mut buffer[at..at + width], value.into());
        buffer[at + width] = after;
        at += width + 1;
    }
    std::str::from_utf8(&buffer[..at]).unwrap_or_default()
}

/// The last digits of a number, as many as there is room for.
pub(crate) fn digits<const BASE: u64>(out: &mut [u8], mut number: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number % BASE) as usize];
        number /= BASE;
    }
}

/// Reads what [`format`] writes, and also a space for the `T`, any number of fraction digits up to nine, no zone (UTC) or `+hh:mm`.
pub(crate) fn parse(s: &str) -> Option<OffsetDateTime> {
    let (negative, rest) = s.strip_prefix('-').map_or((false, s), |r| (true, r));
    let b = rest.as_bytes();
    if b.len() < 19 || b[4] != b'-' || b[7] != b'-' || !matches!(b[10], b'T' | b't' | b' ') || b[13] != b':' || b[16] != b':' {
        return None;
    }
    let year = i32::try_from(number(&b[0..4])?).ok()? * if negative { -1 } else { 1 };
    let month = Month::try_from(small(&b[5..7])?).ok()?;
    let date = Date::from_calendar_date(year, month, small(&b[8..10])?).ok()?;
    let (nanos, zone) = fraction(&b[19..])?;
    let time = Time::from_hms_nano(small(&b[11..13])?, small(&b[14..16])?, small(&b[17..19])?, nanos).ok()?;
    let local = PrimitiveDateTime::new(date, time).assume_offset(offset(zone)?);
    local.checked_to_offset(UtcOffset::UTC)
}

fn fraction(b: &[u8]) -> Option<(u32, &[u8])> {
    let Some(rest) = b.strip_prefix(b".") else { return Some((0, b)) };
    let count = rest.iter().take_while(|c| c.is_ascii_digit()).count();
    if count == 0 || count > 9 {
        return None;
    }
    let scale = 10u32.pow(9 - u32::try_from(count).ok()?);
    Some((number(&rest[..count])? * scale, &rest[count..]))
}

fn offset(zone: &[u8]) -> Option<UtcOffset> {
    match zone {
        b"" | b"Z" | b"z" => Some(UtcOffset::UTC),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let sign = if *sign == b'-' { -1 } else { 1 };
            let hours = i8::try_from(small(&[*h1, *h2])?).ok()?;
            let minutes = i8::try_from(small(&[*m1, *m2])?).ok()?;
            UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()
        }
        _ => None,
    }
}

fn number(b: &[u8]) -> Option<u32> {
    b.iter().try_fold(0u32, |n, c| c.is_ascii_digit().then(|| n * 10 + u32::from(c - b'0')))
}

fn small(b: &[u8]) -> Option<u8> {
    u8::try_from(number(b)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip_keeps_every_nanosecond(seconds in -377_705_023_201i64..253_402_207_200, nanos in 0u32..1_000_000_000, hours in -23i8..23) {
            let t = OffsetDateTime::from_unix_timestamp(seconds).unwrap().replace_nanosecond(nanos).unwrap();
            let shifted = t.checked_to_offset(UtcOffset::from_hms(hours, 0, 0).unwrap()).unwrap_or(t);
            prop_assert_eq!(parse(&format(shifted)), Some(t));
        }

        #[test]
        fn order_of_texts_is_order_of_times(a in 0i64..200_000_000_000, b in 0i64..200_000_000_000) {
            let at = |s| OffsetDateTime::from_unix_timestamp(s).unwrap();
            prop_assert_eq!(format(at(a)).cmp(&format(at(b))), a.cmp(&b));
        }

        #[test]
        fn any_text_is_read_or_refused(s in "\\PC{0,40}") {
            let _ = parse(&s);
        }

        #[test]
        fn near_misses_are_read_or_refused(s in "[-+0-9T:. Z]{15,36}") {
            let _ = parse(&s);
        }
    }

    #[test]
    fn other_programs_forms_are_read() {
        let want = OffsetDateTime::from_unix_timestamp(1_767_323_045).unwrap();
        for s in ["2026-01-02 03:04:05", "2026-01-02T03:04:05Z", "2026-01-02 03:04:05.000", "2026-01-02T05:34:05+02:30"] {
            assert_eq!(parse(s), Some(want), "{s}");
        }
        for bad in [
            "",
            "2026-01-02",
            "2026-13-02T03:04:05Z",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05.0000000001Z",
            "2026-01-02T03:04:05ZZ",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
