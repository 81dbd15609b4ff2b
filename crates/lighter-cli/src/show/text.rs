//! Texts for people: made harmless, shortened, and dates, durations and sizes in few letters.

use std::fmt::Write as _;
use time::OffsetDateTime;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// A text that no terminal takes for a command: control characters and those that turn the direction of writing are shown
/// as escapes.
pub fn inert(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}');
        if c.is_control() || turns {
            // Writing to a string cannot fail.
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Cut to `width` columns, with a mark where something is missing.
pub fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > width {
            break;
        }
        used += w;
        out.push(c);
    }
    out.push('…');
    out
}

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// `12:34:56` today, else with its date; UTC, as everything in the record.
pub fn moment(at: OffsetDateTime, now: OffsetDateTime) -> String {
    let (h, m, s) = at.to_hms();
    if at.date() == now.date() {
        return format!("{h:02}:{m:02}:{s:02}");
    }
    let date = at.date();
    format!("{:04}-{:02}-{:02} {h:02}:{m:02}:{s:02}", date.year(), u8::from(date.month()), date.day())
}

/// `740 µs`, `12.3 ms`, `4.56 s`, `3 min`
pub fn duration(micros: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let n = micros as f64;
    match () {
        () if micros < 1_000 => format!("{micros} µs"),
        () if micros < 100_000 => format!("{:.1} ms", n / 1e3),
        () if micros < 1_000_000 => format!("{:.0} ms", n / 1e3),
        () if micros < 60_000_000 => format!("{:.2} s", n / 1e6),
        () if micros < 7_200_000_000 => format!("{:.0} min", n / 60e6),
        () => format!("{:.1} h", n / 3600e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_commands_the_terminal() {
        assert_eq!(inert("a\u{1b}[31mb\nc\u{202e}d\u{9b}"), "a\\u{1b}[31mb\\u{a}c\\u{202e}d\\u{9b}");
        assert_eq!(inert("größe 名前"), "größe 名前");
    }

    #[test]
    fn cutting_counts_columns() {
        assert_eq!(shortened("abcdef", 6), "abcdef");
        assert_eq!(shortened("abcdefg", 6), "abcde…");
        assert_eq!(shortened("名前名前", 6), "名前…");
        assert_eq!(shortened("x", 0), "…");
    }

    #[test]
    fn few_letters() {
        assert_eq!(
            [duration(7), duration(12_345), duration(250_000), duration(4_560_000)],
            ["7 µs", "12.3 ms", "250 ms", "4.56 s"]
        );
        assert_eq!([duration(180_000_000), duration(9_000_000_000)], ["3 min", "2.5 h"]);
        let at = OffsetDateTime::from_unix_timestamp(1_770_000_000).unwrap();
        assert_eq!(moment(at, at), "02:40:00");
        assert_eq!(moment(at, at + time::Duration::DAY), "2026-02-02 02:40:00");
    }
}
