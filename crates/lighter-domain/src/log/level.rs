//! How severe a line is, as far as it tells: JSON and logfmt with a level, numbers of syslog and of pino, klog's first letter,
//! and the words that programs put before their messages. A line that does not tell has no level: a guess would hide it from
//! who searches for errors, or show it to them.

/// In the order of severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

/// Words further right than this are part of the message.
const PREFIX: usize = 120;
/// Names of the level in JSON and logfmt, as they are written.
const KEYS: [&str; 8] = ["level", "lvl", "severity", "loglevel", "log_level", "log.level", "levelname", "@level"];

impl LogLevel {
    pub const ALL: [Self; 6] = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Fatal];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }

    /// The names of [`LogLevel::as_str`] alone.
    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == s)
    }

    /// This and what is worse.
    pub fn and_above(self) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |level| *level >= self)
    }

    /// What a program calls it, in any case.
    fn named(word: &str) -> Option<Self> {
        let is = |names: &[&str]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
        match () {
            () if is(&["info", "information", "notice", "inf", "log", "informational"]) => Some(Self::Info),
            () if is(&["error", "err", "severe", "eror"]) => Some(Self::Error),
            () if is(&["warn", "warning", "wrn"]) => Some(Self::Warn),
            () if is(&["debug", "dbg", "fine", "verbose", "debu", "debug1", "debug2"]) => Some(Self::Debug),
            () if is(&["trace", "trc", "finest", "finer", "trac"]) => Some(Self::Trace),
            () if is(&["fatal", "critical", "crit", "panic", "alert", "emerg", "emergency", "ftl", "dpanic"]) => {
                Some(Self::Fatal)
            }
            () => None,
        }
    }

    /// pino's and bunyan's numbers: 10 to 60.
    fn numbered(number: u32) -> Option<Self> {
        Some(match number {
            10..20 => Self::Trace,
            20..30 => Self::Debug,
            30..40 => Self::Info,
            40..50 => Self::Warn,
            50..60 => Self::Error,
            60..70 => Self::Fatal,
            _ => return None,
        })
    }

    /// syslog's, the lowest three bits: 0 to 7.
    fn syslog(number: u32) -> Self {
        match number & 7 {
            0..=2 => Self::Fatal,
            3 => Self::Error,
            4 => Self::Warn,
            5 | 6 => Self::Info,
            _ => Self::Debug,
        }
    }

    /// The level of a line, if it tells.
    pub fn of_line(line: &str) -> Option<Self> {
        let plain;
        let line = match line.contains('\u{1b}') {
            true => {
                plain = without_colours(line);
                plain.trim_start()
            }
            false => line.trim_start(),
        };
        if line.starts_with('{') {
            return in_json(line);
        }
        priority(line).or_else(|| klog(line)).or_else(|| in_logfmt(line)).or_else(|| in_words(line))
    }
}

/// Without the terminal's commands, `ESC [ ... letter`.
fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let command =
            part.strip_prefix('[').and_then(|rest| Some(rest.split_at(rest.find(|c: char| c.is_ascii_alphabetic())? + 1)));
        out.push_str(command.map_or(part, |(_, text)| text));
    }
    out
}

/// A key of the outermost object. Read without a parser: lines are many, most are no JSON or cut off.
fn in_json(line: &str) -> Option<LogLevel> {
    let bytes = line.as_bytes();
    let (mut at, mut depth, mut key): (usize, u32, Option<&str>) = (0, 0, None);
    while at < bytes.len() {
        match bytes[at] {
            b'{' | b'[' => (depth, key) = (depth + 1, None),
            b'}' | b']' => (depth, key) = (depth.saturating_sub(1), None),
            b',' => key = None,
            b'"' => {
                let end = string_end(bytes, at + 1)?;
                let text = line.get(at + 1..end)?;
                if depth == 1 && key.is_some_and(is_key) {
                    return LogLevel::named(text);
                }
                let next = bytes[end + 1..].iter().find(|b| !b.is_ascii_whitespace());
                key = (depth == 1 && next == Some(&b':')).then_some(text);
                at = end;
            }
            b'0'..=b'9' if depth == 1 && key.is_some_and(is_key) => {
                let digits = line[at..].find(|c: char| !c.is_ascii_digit()).map_or(&line[at..], |n| &line[at..at + n]);
                return LogLevel::numbered(digits.parse().ok()?);
            }
            _ => {}
        }
        at += 1;
    }
    None
}

fn is_key(key: &str) -> bool {
    KEYS.iter().any(|k| key.eq_ignore_ascii_case(k))
}

/// Where a JSON string ends that begins at `from`.
fn string_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// `<3>message`
fn priority(line: &str) -> Option<LogLevel> {
    let (number, _) = line.strip_prefix('<')?.split_once('>')?;
    let short = (1..=3).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    number.parse().ok().filter(|n| short && *n < 192).map(LogLevel::syslog)
}

/// `E0102 03:04:05.678901       1 file.go:12] message`
fn klog(line: &str) -> Option<LogLevel> {
    let bytes = line.as_bytes();
    let shape = bytes.len() > 8 && bytes[1..5].iter().all(u8::is_ascii_digit) && bytes[5] == b' ' && bytes[6].is_ascii_digit();
    let level = match bytes.first()? {
        b'I' => LogLevel::Info,
        b'W' => LogLevel::Warn,
        b'E' => LogLevel::Error,
        b'F' => LogLevel::Fatal,
        _ => return None,
    };
    shape.then_some(level)
}

/// `time=... level=warn msg="..."`; values in quotes are passed over.
fn in_logfmt(line: &str) -> Option<LogLevel> {
    if !line.contains('=') {
        return None;
    }
    let mut rest = line;
    while let Some(at) = rest.find('=') {
        let key = rest[..at].rsplit(char::is_whitespace).next().unwrap_or_default();
        let value = &rest[at + 1..];
        let (word, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_at(string_end(quoted.as_bytes(), 0).unwrap_or(quoted.len())),
            None => value.split_at(value.find(char::is_whitespace).unwrap_or(value.len())),
        };
        if is_key(key) {
            return LogLevel::named(word);
        }
        rest = after;
    }
    None
}

/// A word before the message: in capitals, in brackets, or followed by a colon at the very beginning.
fn in_words(line: &str) -> Option<LogLevel> {
    if let Some(level) = by_beginning(line) {
        return Some(level);
    }
    let head = &line[..line.floor_char_boundary(PREFIX)];
    let mut rest = head;
    let mut count = 0;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        let before = rest[..start].chars().next_back();
        let word = &rest[start..];
        let end = word.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        let next = after.chars().next();
        let whole = before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '.' | '/' | '@'));
        if whole && let Some(level) = LogLevel::named(word) {
            let capitals = word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) && ends_word(next);
            let bracketed = matches!(before, Some('[' | '(' | '|')) && matches!(next, Some(']' | ')' | '|' | ':'));
            let first = count == 0 && next == Some(':');
            if capitals || bracketed || first {
                return Some(level);
            }
        }
        count += 1;
        rest = after;
    }
    None
}

fn ends_word(next: Option<char>) -> bool {
    next.is_none_or(|c| c.is_whitespace() || matches!(c, ':' | ']' | ')' | '|' | ',' | '-' | '>' | '['))
}

/// Beginnings that say what they are without a level.
fn by_beginning(line: &str) -> Option<LogLevel> {
    const KNOWN: [(&str, LogLevel); 5] = [
        ("panic: ", LogLevel::Fatal),
        ("Traceback (most recent call last)", LogLevel::Error),
        ("Exception in thread ", LogLevel::Error),
        ("Uncaught ", LogLevel::Error),
        ("npm ERR!", LogLevel::Error),
    ];
    let rust_panic = line.starts_with("thread '") && line.contains("' panicked at ");
    let known = KNOWN.iter().find(|(begin, _)| line.starts_with(begin)).map(|(_, level)| *level);
    known.or(rust_panic.then_some(LogLevel::Fatal))
}

#[cfg(test)]
mod tests {
    use super::LogLevel::{self, *};
    use proptest::prelude::*;

    #[test]
    fn levels_of_the_forms_that_programs_use() {
        for (line, level) in [
            (r#"{"level":"warn","msg":"x"}"#, Some(Warn)),
            (r#"{"msg":"level: \"error\"","severity":"ERROR"}"#, Some(Error)),
            (r#"{"msg":"x", "context": {"level":"debug"}, "Level" : "INFO"}"#, Some(Info)),
            (r#"{"level":50,"time":1,"msg":"pino"}"#, Some(Error)),
            (r#"{"level":7,"msg":"x"}"#, None),
            (r#"{"msg":"no level: ERROR"}"#, None),
            (r#"{"level":"info","msg":"cut o"#, Some(Info)),
            (r#"time="2026-01-02T03:04:05Z" level=warning msg="level=error""#, Some(Warn)),
            (r#"msg="level=error" lvl=dbg"#, Some(Debug)),
            ("<3>kernel says", Some(Error)),
            ("<14>app", Some(Info)),
            ("<html>", None),
            ("E0102 03:04:05.678901       1 file.go:12] failed", Some(Error)),
            ("I0102 03:04:05.678901       1 file.go:12] fine", Some(Info)),
            ("E0102x", None),
            ("[2026-01-02 03:04:05] [error] [pid 1] client denied", Some(Error)),
            ("2026/01/02 03:04:05 [warn] 7#7: x", Some(Warn)),
            ("2026-01-02 03:04:05.678 UTC [1] FATAL:  role does not exist", Some(Fatal)),
            ("2026-01-02T03:04:05Z  INFO lighter: started", Some(Info)),
            ("\u{1b}[2m2026-01-02\u{1b}[0m \u{1b}[31mERROR\u{1b}[0m x", Some(Error)),
            ("WARNING:root:careful", Some(Warn)),
            ("error: something", Some(Error)),
            ("debug something", None),
            ("an error came up", None),
            ("no ERRORS here", None),
            ("my-error: x", None),
            ("ERROR 1045 (28000)", Some(Error)),
            ("panic: runtime error", Some(Fatal)),
            ("thread 'main' panicked at src/main.rs:2:5:", Some(Fatal)),
            ("Traceback (most recent call last):", Some(Error)),
            ("10.0.0.1 - - \"GET /error HTTP/1.1\" 200", None),
            ("", None),
            ("=", None),
        ] {
            assert_eq!(LogLevel::of_line(line), level, "{line}");
        }
        assert_eq!(Error.and_above().collect::<Vec<_>>(), [Error, Fatal]);
        for level in LogLevel::ALL {
            assert_eq!(LogLevel::parse(level.as_str()), Some(level));
        }
    }

    proptest! {
        #[test]
        fn no_line_is_too_odd(line in "[{}\\[\\]\"\\\\:,=<>a-z0-9é \u{1b}]{0,60}") {
            let _ = LogLevel::of_line(&line);
        }
    }
}
