//! Durations, sizes and bars in words, as `docker ps` and `docker pull` show them.

/// What Docker calls `seconds`: `About an hour`, `3 weeks`.
pub fn duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    // Hours are rounded, the finer units cut off.
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".into(),
        () if seconds == 1 => "1 second".into(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".into(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".into(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// What Docker calls a size: `1.084MB`, four digits of it.
#[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit < UNITS.len() - 1 {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = match value {
        v if v >= 100.0 => 1,
        v if v >= 10.0 => 2,
        _ => 3,
    };
    let digits = format!("{value:.decimals$}");
    format!("{}{}", digits.trim_end_matches('0').trim_end_matches('.'), UNITS[unit])
}

const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];

/// What Docker's settings call a size: a number with or without a unit (`20GB`, `512m`, `1.5GiB`), of 1024 in any case.
pub fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim_start().to_ascii_lowercase();
    let prefix = unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit);
    let power = ["", "k", "m", "g", "t", "p"].iter().position(|known| *known == prefix)?;
    let value = number * 1024_f64.powi(i32::try_from(power).ok()?);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by the check, and no sign is read")]
    (value.is_finite() && value < 9.2e18).then_some(value as u64)
}

/// A length of time in Go's notation that is not negative.
pub fn span(text: &str) -> Option<std::time::Duration> {
    let nanoseconds = u64::try_from(crate::time::duration(text)?).ok()?;
    Some(std::time::Duration::from_nanos(nanoseconds))
}

/// The bar of a transfer: `[====>     ]  32.77kB/301.8kB`. Without a total, or beyond it, only what there is.
pub fn bar(current: u64, total: u64) -> String {
    if total == 0 || current > total {
        return format!("{:>8}", size(current));
    }
    let full = usize::try_from(u128::from(current) * 50 / u128::from(total)).unwrap_or(50);
    format!("[{}>{}] {:>8}/{}", "=".repeat(full), " ".repeat(50 - full), size(current), size(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars() {
        assert_eq!(bar(32768, 301_775), format!("[{}>{}]  32.77kB/301.8kB", "=".repeat(5), " ".repeat(45)));
        assert_eq!(bar(1_083_977, 1_083_977), format!("[{}>]  1.084MB/1.084MB", "=".repeat(50)));
        assert_eq!((bar(5, 0).as_str(), bar(6, 5).as_str()), ("      5B", "      6B"));
        assert_eq!((size(0), size(1000), size(1_500_000_000)), ("0B".into(), "1kB".into(), "1.5GB".into()));
    }

    #[test]
    fn settings() {
        let known = [("0", 0), ("1024", 1024), ("512m", 512 << 20), ("20GB", 20 << 30), ("1.5GiB", 3 << 29), ("2 kb", 2048)];
        for (text, want) in known {
            assert_eq!(bytes(text), Some(want), "{text}");
        }
        for bad in ["", "GB", "-1", "1x", "1.2.3g", "99999999p"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
        assert_eq!((span("1h"), span("-1s"), span("x")), (Some(std::time::Duration::from_secs(3600)), None, None));
    }

    #[test]
    fn words() {
        const H: i64 = 3600;
        for (s, want) in [
            (-5, "Less than a second"),
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (59 * 60 + 59, "59 minutes"),
            (H, "About an hour"),
            (H + 1800, "2 hours"),
            (47 * H, "47 hours"),
            (48 * H, "2 days"),
            (13 * 24 * H, "13 days"),
            (14 * 24 * H, "2 weeks"),
            (59 * 24 * H, "8 weeks"),
            (60 * 24 * H, "2 months"),
            (729 * 24 * H, "24 months"),
            (730 * 24 * H, "2 years"),
        ] {
            assert_eq!(duration(s), want, "{s}");
        }
    }
}
