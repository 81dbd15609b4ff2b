//! The `filters` parameter in both its JSON forms: `{"k":["v"]}` of old and `{"k":{"v":true}}` of now.

use crate::json::Json;

/// The most bytes of a `filters` parameter.
const MOST: usize = 64 * 1024;

/// Keys with their values, in the order of the document; the error is dockerd's.
pub fn parse(raw: &str) -> Result<Vec<(String, Vec<String>)>, String> {
    if raw.is_empty() {
        return Ok(Vec::new());
    }
    let bad = || "invalid filter".to_owned();
    if raw.len() > MOST {
        return Err(bad());
    }
    let Ok(Json::Object(members)) = Json::parse(raw.as_bytes()) else {
        return Err(bad());
    };
    members.into_iter().map(|(key, values)| Some((key, strings(values)?))).collect::<Option<Vec<_>>>().ok_or_else(bad)
}

fn strings(values: Json) -> Option<Vec<String>> {
    match values {
        Json::Null => Some(Vec::new()),
        Json::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Json::Str(s) => Some(s),
                _ => None,
            })
            .collect(),
        Json::Object(members) => members.into_iter().map(|(value, on)| matches!(on, Json::Bool(_)).then_some(value)).collect(),
        Json::Bool(_) | Json::Int(_) | Json::Uint(_) | Json::Float(_) | Json::Str(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let want = vec![("status".to_owned(), vec!["running".to_owned(), "paused".to_owned()])];
        assert_eq!(parse(r#"{"status":["running","paused"]}"#).unwrap(), want);
        assert_eq!(parse(r#"{"status":{"running":true,"paused":true}}"#).unwrap(), want);
        assert_eq!(parse("").unwrap(), []);
        assert_eq!(parse("{}").unwrap(), []);
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in ["abc", "[]", r#"{"status":5}"#, r#"{"status":{"running":"x"}}"#, r#"{"status":[1]}"#, "{"] {
            assert_eq!(parse(bad).unwrap_err(), "invalid filter", "{bad}");
        }
        assert!(parse(&format!("{{\"a\":[\"{}\"]}}", "x".repeat(MOST))).is_err());
    }
}
