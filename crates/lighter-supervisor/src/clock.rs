//! The time of day, and its text as Go prints it (`RFC3339Nano`: UTC, trailing zeros of the fraction left out).

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since the epoch.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Formats times; the part up to the second is kept, as most calls fall into the same one.
#[derive(Default)]
pub struct Formatter {
    second: Option<i64>,
    text: String,
}

impl Formatter {
    /// Appends `2026-01-02T03:04:05.678Z`.
    pub fn append(&mut self, nanos: i64, to: &mut Vec<u8>) {
        let (second, mut fraction) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = date_and_time(second);
        }
        to.extend_from_slice(self.text.as_bytes());
        if fraction != 0 {
            let mut digits = [b'0'; 9];
            for digit in digits.iter_mut().rev() {
                *digit = b'0' + (fraction % 10) as u8;
                fraction /= 10;
            }
            let len = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
            to.push(b'.');
            to.extend_from_slice(&digits[..len]);
        }
        to.push(b'Z');
    }
}

/// `2026-01-02T03:04:05`. The proleptic Gregorian calendar, from days since 1970-01-01.
pub fn date_and_time(second: i64) -> String {
    let (days, of_day) = (second.div_euclid(86_400), second.rem_euclid(86_400));
    // Years that begin in March, in eras of 400 years (146,097 days), so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(nanos: i64) -> String {
        let mut out = Vec::new();
        Formatter::default().append(nanos, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_times() {
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
        assert_eq!(text(951_782_400_000_000_000), "2000-02-29T00:00:00Z");
        assert_eq!(text(1_709_251_199_120_000_000), "2024-02-29T23:59:59.12Z");
        assert_eq!(text(1_800_000_000_000_000_001), "2027-01-15T08:00:00.000000001Z");
        assert_eq!(text(4_107_542_400_000_000_000), "2100-03-01T00:00:00Z");
    }
}
