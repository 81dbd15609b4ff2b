//! Request bodies as Go reads them: an ordered JSON value (a later key wins over an earlier one of the same name, in any
//! case) and parse errors in the words of Go's decoder, which dockerd passes on to its clients.

use crate::decode::{Decode, Mismatch, Path};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Any JSON value; an object keeps its members in the order of the document, doubles included.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Int(i64),
    /// Beyond `i64`.
    Uint(u64),
    Float(f64),
    Str(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Why a body is not what the operation reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyError {
    /// No JSON at all where some was needed.
    Empty,
    /// Ends in the middle.
    Truncated,
    /// Go's words for the first bad character.
    Syntax(String),
    /// More after the first value.
    Trailing,
    Type(Mismatch),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("invalid JSON: got EOF while reading request body"),
            Self::Truncated => f.write_str("invalid JSON: unexpected EOF"),
            Self::Syntax(what) => write!(f, "invalid JSON: {what}"),
            Self::Trailing => f.write_str("unexpected content after JSON"),
            Self::Type(mismatch) => write!(f, "invalid JSON: {mismatch}"),
        }
    }
}

impl std::error::Error for BodyError {}

impl Json {
    /// Parses exactly one value.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(BodyError::Empty);
        }
        let mut de = serde_json::Deserializer::from_slice(body);
        let value = Self::deserialize(&mut de).map_err(|e| syntax(&e, body))?;
        de.end().map_err(|_| BodyError::Trailing)?;
        Ok(value)
    }

    /// Go's word for the kind of value, as its mismatch errors use it.
    pub fn kind(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(_) => "bool".into(),
            Self::Int(_) | Self::Uint(_) | Self::Float(_) => "number".into(),
            Self::Str(_) => "string".into(),
            Self::Array(_) => "array".into(),
            Self::Object(_) => "object".into(),
        }
    }
}

/// Parses a body into `T`. `root` is the Go type's name as it stands before the first dot of a field's path.
pub fn read<T: Decode>(body: &[u8], root: &str) -> Result<T, BodyError> {
    let mut out = T::default();
    out.decode(&Json::parse(body)?, &Path::root(root)).map_err(BodyError::Type)?;
    Ok(out)
}

fn syntax(e: &serde_json::Error, body: &[u8]) -> BodyError {
    if e.is_eof() {
        return BodyError::Truncated;
    }
    // serde_json counts lines from one; its column is that of the offending byte, also from one.
    let line_start =
        body.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).nth(e.line().wrapping_sub(2)).unwrap_or(0);
    let bad = body.get(line_start + e.column().saturating_sub(1)).copied().unwrap_or(b' ');
    BodyError::Syntax(format!("invalid character '{}' looking for beginning of value", bad.escape_ascii()))
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Json, E> {
        Ok(Json::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Json, E> {
        Ok(Json::Int(v))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Json, E> {
        Ok(i64::try_from(v).map_or(Json::Uint(v), Json::Int))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Json, E> {
        Ok(Json::Float(v))
    }
    fn visit_str<E>(self, v: &str) -> Result<Json, E> {
        Ok(Json::Str(v.to_owned()))
    }
    fn visit_string<E>(self, v: String) -> Result<Json, E> {
        Ok(Json::Str(v))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut out = Vec::new();
        while let Some(v) = seq.next_element()? {
            out.push(v);
        }
        Ok(Json::Array(out))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut out = Vec::new();
        while let Some(entry) = map.next_entry()? {
            out.push(entry);
        }
        Ok(Json::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_worded_as_gos_decoder_words_them() {
        let say = |body: &str| Json::parse(body.as_bytes()).unwrap_err().to_string();
        assert_eq!(say(""), "invalid JSON: got EOF while reading request body");
        assert_eq!(say(" \n"), "invalid JSON: got EOF while reading request body");
        assert_eq!(say("{"), "invalid JSON: unexpected EOF");
        assert_eq!(say("x"), "invalid JSON: invalid character 'x' looking for beginning of value");
        assert_eq!(say("{}x"), "unexpected content after JSON");
        assert_eq!(say("{}{}"), "unexpected content after JSON");
        assert!(say("{\n\"a\": y}").contains("'y'"), "{}", say("{\n\"a\": y}"));
    }

    #[test]
    fn deep_nesting_is_an_error_not_a_crash() {
        let deep = "[".repeat(100_000);
        assert!(Json::parse(deep.as_bytes()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = read::<crate::CreateRequest>(&body, "");
        }
    }
}
