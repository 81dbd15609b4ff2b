//! What a person types to search, in the terms of an index of words.
//!
//! Words must all be there, `"several words"` beside each other, `begin*` is the beginning of a word, `-word` must not be
//! there. Everything else is taken literally, so that no text is a syntax error.

/// The query in SQLite's FTS5 language. `None`: it says nothing that must be there, so that there is nothing to look up.
pub fn search_terms(text: &str) -> Option<String> {
    let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (negated, body) = match rest.strip_prefix('-') {
            Some(body) if !body.starts_with(char::is_whitespace) && !body.is_empty() => (true, body),
            _ => (false, rest),
        };
        let (term, after) = match body.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => body.split_at(body.find(char::is_whitespace).unwrap_or(body.len())),
        };
        let (word, star) = match term.strip_suffix('*') {
            Some(word) if !body.starts_with('"') => (word, "*"),
            _ => (term, ""),
        };
        // A term of marks alone has no word in it.
        if word.contains(char::is_alphanumeric) {
            // A quotation mark inside is doubled; control characters would end the text.
            let word: String = word.chars().filter(|c| !c.is_control()).collect();
            let term = format!("\"{}\"{star}", word.replace('"', "\"\""));
            if negated { &mut unwanted } else { &mut wanted }.push(term);
        }
        rest = after.trim_start();
    }
    if wanted.is_empty() {
        return None;
    }
    let mut out = wanted.join(" AND ");
    if !unwanted.is_empty() {
        out = format!("({out}) NOT ({})", unwanted.join(" OR "));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::search_terms;
    use proptest::prelude::*;

    #[test]
    fn terms() {
        let of = |text: &str| search_terms(text).unwrap_or_default();
        assert_eq!(of("connection refused"), r#""connection" AND "refused""#);
        assert_eq!(of(r#"  "connection refused"  10.0.0.1"#), r#""connection refused" AND "10.0.0.1""#);
        assert_eq!(of("time* -debug -\"slow query\""), r#"("time"*) NOT ("debug" OR "slow query")"#);
        assert_eq!(of("NEAR(a b) OR c:d"), r#""NEAR(a" AND "b)" AND "OR" AND "c:d""#);
        assert_eq!(of(r#"say"ing "unclosed words"#), r#""say""ing" AND "unclosed words""#);
        assert_eq!([of(""), of("-only"), of("--- *"), of("\"\"")], [""; 4]);
    }

    proptest! {
        #[test]
        fn whatever_is_typed_has_balanced_quotes(text in "\\PC{0,40}") {
            if let Some(terms) = search_terms(&text) {
                prop_assert_eq!(terms.matches('"').count() % 2, 0);
            }
        }
    }
}
