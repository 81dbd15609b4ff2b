//! Values of query parameters as dockerd reads them.

/// Empty, `0`, `no`, `false` and `none` in any case are false; anything else is true.
pub fn boolean(raw: &str) -> bool {
    let v = raw.trim();
    !(v.is_empty() || ["0", "no", "false", "none"].iter().any(|f| v.eq_ignore_ascii_case(f)))
}

/// A signed number; the error is Go's `strconv.Atoi`'s.
pub fn integer(raw: &str) -> Result<i64, String> {
    raw.parse().map_err(|e| format!("strconv.Atoi: parsing {raw:?}: {}", reason(&e)))
}

/// A terminal's height or width (`what`), as the resize operations word their refusal.
pub fn dimension(what: &str, raw: &str) -> Result<u16, String> {
    raw.parse().map_err(|e| format!("invalid resize {what} {raw:?}: {}", reason(&e)))
}

fn reason(e: &std::num::ParseIntError) -> &'static str {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    match e.kind() {
        PosOverflow | NegOverflow => "value out of range",
        _ => "invalid syntax",
    }
}

/// `tail` of a log query: `None` for all, which is also what dockerd makes of negative numbers and of nonsense.
pub fn tail(raw: &str) -> Option<u64> {
    raw.parse().ok()
}

/// The pairs of a query string or form, decoded; `+` is a space. Broken escapes and bytes that are no UTF-8 are kept as
/// replacement characters, so that nothing is lost in silence.
pub fn pairs(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|p| !p.is_empty())
        .map(|p| {
            let (k, v) = p.split_once('=').unwrap_or((p, ""));
            (unescape(k, true), unescape(v, true))
        })
        .collect()
}

/// Percent-decodes; `plus` turns `+` into a space, as in a query.
pub fn unescape(raw: &str, plus: bool) -> String {
    let escaped = raw.contains('%') || (plus && raw.contains('+'));
    if !escaped {
        return raw.to_owned();
    }
    let bytes = raw.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[i], hex(i + 1), hex(i + 2)) {
            (b'%', Some(a), Some(b)) => {
                #[expect(clippy::cast_possible_truncation, reason = "two hex digits are a byte")]
                out.push((a * 16 + b) as u8);
                i += 3;
                continue;
            }
            (b'+', ..) if plus => out.push(b' '),
            (b, ..) => out.push(b),
        }
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans() {
        for no in ["", " ", "0", "no", "No", "FALSE", "false", "none", " none "] {
            assert!(!boolean(no), "{no:?}");
        }
        for yes in ["1", "true", "True", "yes", "on", "2", "x"] {
            assert!(boolean(yes), "{yes:?}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(integer("-1"), Ok(-1));
        assert_eq!(integer("abc").unwrap_err(), r#"strconv.Atoi: parsing "abc": invalid syntax"#);
        assert_eq!(
            integer("99999999999999999999").unwrap_err(),
            r#"strconv.Atoi: parsing "99999999999999999999": value out of range"#
        );
        assert_eq!(dimension("height", "").unwrap_err(), r#"invalid resize height "": invalid syntax"#);
        assert_eq!(dimension("width", "70000").unwrap_err(), r#"invalid resize width "70000": value out of range"#);
        assert_eq!((tail("all"), tail("-1"), tail("7"), tail("")), (None, None, Some(7), None));
    }

    #[test]
    fn queries() {
        let of = |q| pairs(q).into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>();
        assert_eq!(of("a=1&b=x%20y+z&c&=d&&e=%"), ["a=1", "b=x y z", "c=", "=d", "e=%"]);
        assert_eq!(unescape("a%2Fb+c", false), "a/b+c");
        assert_eq!(unescape("%ff", false), "\u{fffd}");
    }

    proptest::proptest! {
        #[test]
        fn decoding_never_panics(raw in ".{0,40}") {
            let _ = pairs(&raw);
        }
    }
}
