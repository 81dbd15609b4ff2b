//! The text of a log record as a JSON string, escaped as dockerd's json-file driver escapes it: `"` and `\`, control
//! characters, `<`, `>`, `&` and the two Unicode line separators; a byte that is not UTF-8 becomes `\ufffd`.

/// Appends `text`, escaped, without the quotes.
pub fn append(text: &[u8], to: &mut Vec<u8>) {
    if is_plain(text) {
        to.extend_from_slice(text);
        return;
    }
    for chunk in text.utf8_chunks() {
        append_str(chunk.valid(), to);
        for _ in chunk.invalid() {
            to.extend_from_slice(b"\\ufffd");
        }
    }
}

/// Whether nothing needs escaping. No early end: so the compiler makes vector instructions of it, and lines are short.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    let mut special = false;
    for &byte in text {
        special |= !(0x20..0x80).contains(&byte) | matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&');
    }
    !special
}

fn append_str(text: &str, to: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut start = 0;
    let mut i = 0;
    while i < bytes.len() {
        let byte = bytes[i];
        // U+2028 and U+2029 are e2 80 a8 and e2 80 a9.
        let separator = byte == 0xe2 && bytes[i + 1] == 0x80 && matches!(bytes[i + 2], 0xa8 | 0xa9);
        let width = if separator { 3 } else { 1 };
        if separator || byte < 0x20 || matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&') {
            to.extend_from_slice(&bytes[start..i]);
            match byte {
                b'"' | b'\\' => to.extend_from_slice(&[b'\\', byte]),
                b'\n' => to.extend_from_slice(b"\\n"),
                b'\r' => to.extend_from_slice(b"\\r"),
                0xe2 => to.extend_from_slice(&[b'\\', b'u', b'2', b'0', b'2', HEX[usize::from(bytes[i + 2] & 0xf)]]),
                _ => to.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]]),
            }
            start = i + width;
        }
        i += width;
    }
    to.extend_from_slice(&bytes[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &[u8]) -> String {
        let mut out = Vec::new();
        append(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn as_dockerd_does() {
        assert_eq!(escaped(b"plain ~\x7f"), "plain ~\x7f");
        assert_eq!(escaped(b"a\"b\\c"), "a\\\"b\\\\c");
        assert_eq!(escaped(b"\x1b[31m\t\r"), "\\u001b[31m\\u0009\\r");
        assert_eq!(escaped(b"<a&b>"), "\\u003ca\\u0026b\\u003e");
        assert_eq!(escaped("gr\u{fc}\u{df} \u{2028}\u{2029}\u{2027}".as_bytes()), "gr\u{fc}\u{df} \\u2028\\u2029\u{2027}");
        assert_eq!(escaped(b"x\xff\xfey"), "x\\ufffd\\ufffdy");
        assert_eq!(escaped(b"\xe2\x80"), "\\ufffd\\ufffd", "a character cut off at the end");
    }
}
