//! One line of a json-file log: found apart quickly where it has the shape that the supervisor writes, and by a real JSON
//! parser where not (an older version, another writer).

use lighter_engine::stdcopy::Stream;
use memchr::memchr2;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A record whose text is still escaped, or was unescaped by the slow way.
pub(super) struct Record<'a> {
    pub stream: Stream,
    /// RFC 3339, in UTC.
    pub time: Cow<'a, str>,
    pub text: Text<'a>,
    pub attrs: Attrs<'a>,
}

pub(super) enum Text<'a> {
    Escaped(&'a [u8]),
    Plain(String),
}

pub(super) enum Attrs<'a> {
    None,
    /// A JSON object.
    Raw(&'a [u8]),
    Map(BTreeMap<String, String>),
}

#[derive(Deserialize)]
struct Any {
    #[serde(default)]
    log: String,
    #[serde(default)]
    stream: String,
    #[serde(default)]
    time: String,
    #[serde(default)]
    attrs: Option<BTreeMap<String, String>>,
}

/// `line` without its line end. `None`: no record at all, to be skipped.
pub(super) fn parse(line: &[u8]) -> Option<Record<'_>> {
    quick(line).or_else(|| slow(line))
}

fn quick(line: &[u8]) -> Option<Record<'_>> {
    let rest = line.strip_prefix(b"{\"log\":\"")?;
    let end = string_end(rest)?;
    let text = &rest[..end];
    let rest = rest[end..].strip_prefix(b"\",\"stream\":\"std")?;
    let (stream, rest) = match rest.strip_prefix(b"out\"") {
        Some(rest) => (Stream::Stdout, rest),
        None => (Stream::Stderr, rest.strip_prefix(b"err\"")?),
    };
    let rest = rest.strip_suffix(b"\"}")?;
    let (attrs, time) = match rest.strip_prefix(b",\"time\":\"") {
        Some(time) => (Attrs::None, time),
        None => {
            let rest = rest.strip_prefix(b",\"attrs\":")?;
            let at = memchr::memmem::rfind(rest, b",\"time\":\"")?;
            (Attrs::Raw(&rest[..at]), &rest[at + 9..])
        }
    };
    let plain = time.iter().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b':' | b'T' | b'.' | b'Z' | b'+'));
    let time = std::str::from_utf8(time).ok().filter(|_| plain)?;
    Some(Record { stream, time: Cow::Borrowed(time), text: Text::Escaped(text), attrs })
}

fn slow(line: &[u8]) -> Option<Record<'static>> {
    let any: Any = serde_json::from_slice(line).ok()?;
    let stream = if any.stream == "stderr" { Stream::Stderr } else { Stream::Stdout };
    let attrs = any.attrs.filter(|a| !a.is_empty()).map_or(Attrs::None, Attrs::Map);
    Some(Record { stream, time: Cow::Owned(any.time), text: Text::Plain(any.log), attrs })
}

/// Where a JSON string ends, its opening quote being gone.
fn string_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

impl Text<'_> {
    /// Appends what was printed.
    pub(super) fn append(&self, out: &mut Vec<u8>) {
        match self {
            Text::Plain(s) => out.extend_from_slice(s.as_bytes()),
            Text::Escaped(bytes) => unescape(bytes, out),
        }
    }
}

impl Attrs<'_> {
    /// Appends `k=v,k=v`, as `docker logs --details` shows them.
    pub(super) fn append(&self, out: &mut Vec<u8>) {
        let parsed;
        let map = match self {
            Attrs::None => return,
            Attrs::Map(map) => map,
            Attrs::Raw(raw) => {
                parsed = serde_json::from_slice::<BTreeMap<String, String>>(raw).unwrap_or_default();
                &parsed
            }
        };
        for (n, (key, value)) in map.iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            query_escape(key, out);
            out.push(b'=');
            query_escape(value, out);
        }
    }
}

fn query_escape(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for b in text.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(b),
            b' ' => out.push(b'+'),
            _ => out.extend_from_slice(&[b'%', HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]),
        }
    }
}

fn unescape(mut bytes: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr::memchr(b'\\', bytes) {
        out.extend_from_slice(&bytes[..at]);
        let taken = match bytes.get(at + 1) {
            Some(b'n') => simple(out, b'\n'),
            Some(b't') => simple(out, b'\t'),
            Some(b'r') => simple(out, b'\r'),
            Some(b'b') => simple(out, 8),
            Some(b'f') => simple(out, 12),
            Some(b'u') => unicode(&bytes[at..], out),
            Some(&other) => simple(out, other),
            None => 1,
        };
        bytes = bytes.get(at + taken..).unwrap_or_default();
    }
    out.extend_from_slice(bytes);
}

fn simple(out: &mut Vec<u8>, byte: u8) -> usize {
    out.push(byte);
    2
}

/// `\uXXXX`, or two of them that make a pair; how many bytes it took.
fn unicode(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    let hex = |at: usize| {
        let digits = std::str::from_utf8(bytes.get(at..at + 4)?).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    let (code, taken) = match (hex(2), bytes.get(6..8), hex(8)) {
        (Some(high @ 0xd800..=0xdbff), Some(b"\\u"), Some(low @ 0xdc00..=0xdfff)) => {
            (0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00), 12)
        }
        (Some(code), _, _) => (code, 6),
        (None, _, _) => return simple(out, b'u'),
    };
    let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &str) -> String {
        let mut out = Vec::new();
        parse(line.as_bytes()).unwrap().text.append(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn both_ways_say_the_same() {
        for log in [r"plain\n", r#"q\"b\\s\/\n"#, r"\u001b[0m\u00fc\ud83d\ude00\t", "", r"\\"] {
            let line = format!(r#"{{"log":"{log}","stream":"stderr","time":"2024-05-06T07:08:09.1Z"}}"#);
            let quick = quick(line.as_bytes()).unwrap();
            let slow = slow(line.as_bytes()).unwrap();
            assert_eq!(quick.stream, slow.stream);
            assert_eq!(quick.time, slow.time);
            let Text::Plain(expected) = slow.text else { panic!() };
            assert_eq!(text(&line), expected, "{log}");
        }
    }

    #[test]
    fn odd_lines() {
        assert_eq!(text(r#"{ "stream": "stdout", "log": "x\n" }"#), "x\n");
        for bad in ["", "{", r#"{"log":"x"#, "\0\0\0\0", r#"{"log":"x\"#] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn attributes() {
        let line = br#"{"log":"x","stream":"stdout","attrs":{"b":"1 2","a":"x=y,"},"time":"2024-05-06T07:08:09Z"}"#;
        let record = quick(line).unwrap();
        let mut out = Vec::new();
        record.attrs.append(&mut out);
        assert_eq!(out, b"a=x%3Dy%2C,b=1+2");
    }
}
