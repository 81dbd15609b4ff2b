//! Challenges and tokens: what a registry asks for in `WWW-Authenticate`, and how it is got.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use http::HeaderMap;
use reqwest::Method;
use serde::Deserialize;

use crate::credentials::Credentials;
use crate::error::{Error, Result};
use crate::transport::{SMALL, Transport, read_all, refusal, registry};

/// A token that does not say how long it lasts lasts so long.
const DEFAULT_LIFE: u64 = 60;

/// How a registry wants to be convinced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// It does not.
    Open,
    Basic,
    Bearer {
        realm: String,
        service: String,
    },
}

impl Scheme {
    /// From the answer to a request without credentials.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::Open;
        for challenge in challenges(headers) {
            match challenge.scheme.as_str() {
                "bearer" => {
                    let parameter = |name: &str| challenge.parameters.get(name).cloned().unwrap_or_default();
                    return Self::Bearer { realm: parameter("realm"), service: parameter("service") };
                }
                "basic" => found = Self::Basic,
                _ => {}
            }
        }
        found
    }
}

/// A token and the time of its end.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) until: Instant,
}

/// What the authorisation server answers.
#[derive(Deserialize)]
struct Granted {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    refresh_token: String,
    #[serde(default)]
    expires_in: u64,
}

/// Asks the authorisation server at `realm` for a token that opens `scopes`. With `offline` also for one that can be kept
/// instead of a password; it is the second of the pair, empty if there is none.
pub(crate) async fn token(
    transport: &Transport,
    (realm, service): (&str, &str),
    scopes: &[&str],
    credentials: &Credentials,
    offline: bool,
) -> Result<(Token, String)> {
    let request = match credentials {
        Credentials::Identity(refresh) => {
            let scope = scopes.join(" ");
            let fields = [
                ("grant_type", "refresh_token"),
                ("service", service),
                ("client_id", "docker"),
                ("scope", &scope),
                ("refresh_token", refresh),
            ];
            let form = fields.map(|(name, value)| format!("{name}={}", encoded(value))).join("&");
            transport.request(Method::POST, realm).header("content-type", "application/x-www-form-urlencoded").body(form)
        }
        Credentials::Anonymous | Credentials::Basic { .. } | Credentials::Registry(_) => {
            let mut url = format!("{realm}{}service={}", if realm.contains('?') { '&' } else { '?' }, encoded(service));
            for scope in scopes {
                url.push_str(&format!("&scope={}", encoded(scope)));
            }
            if offline {
                url.push_str("&offline_token=true&client_id=docker");
            }
            match credentials {
                Credentials::Basic { user, password } => {
                    url.push_str(&format!("&account={}", encoded(user)));
                    transport.request(Method::GET, &url).basic_auth(user, Some(password))
                }
                _ => transport.request(Method::GET, &url),
            }
        }
    };
    let response = transport.send(request).await?;
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    let body = read_all(response, SMALL).await?;
    let granted: Granted =
        serde_json::from_slice(&body).map_err(|e| Error::Invalid(format!("unable to decode token response: {e}")))?;
    let text = if granted.token.is_empty() { granted.access_token } else { granted.token };
    if text.is_empty() {
        return Err(Error::Invalid("authorization server did not include a token in the response".to_owned()));
    }
    let life = Duration::from_secs(granted.expires_in.clamp(DEFAULT_LIFE, 24 * 3600));
    Ok((Token { text, until: Instant::now() + life }, granted.refresh_token))
}

pub(crate) fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// A token that did not suffice is explained in the challenge's own parameters.
pub(crate) fn refused_by_challenge(headers: &HeaderMap) -> Option<Error> {
    challenges(headers).into_iter().filter(|c| c.scheme == "bearer").find_map(|challenge| {
        let (code, usual) = match challenge.parameters.get("error")?.as_str() {
            "invalid_token" => ("UNAUTHORIZED", "authentication required"),
            "insufficient_scope" => ("DENIED", "requested access to the resource is denied"),
            _ => return None,
        };
        Some(registry(code, challenge.parameters.get("error_description").map_or(usual, String::as_str)))
    })
}

struct Challenge {
    /// Lower case.
    scheme: String,
    parameters: HashMap<String, String>,
}

/// The challenges in `WWW-Authenticate`, each header holding one.
fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let all = headers.get_all(http::header::WWW_AUTHENTICATE).iter();
    let one = |text: &str| {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        Challenge { scheme: scheme.to_ascii_lowercase(), parameters: parameters(rest) }
    };
    all.filter_map(|value| value.to_str().ok()).map(one).collect()
}

/// `name="value", name=value`.
fn parameters(text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut rest = text.trim();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
        let value;
        if let Some(quoted) = after.strip_prefix('"') {
            let mut escaped = false;
            let end = quoted.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            let end = end.unwrap_or(quoted.len());
            value = quoted[..end].replace('\\', "");
            rest = quoted.get(end + 1..).unwrap_or_default();
        } else {
            let end = after.find(',').unwrap_or(after.len());
            value = after[..end].trim().to_owned();
            rest = &after[end..];
        }
        found.insert(name, value);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(http::header::WWW_AUTHENTICATE, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn challenges_are_understood() {
        assert_eq!(Scheme::of(&headers(&[])), Scheme::Open);
        assert_eq!(Scheme::of(&headers(&["Negotiate", "Basic realm=\"r\""])), Scheme::Basic);
        let bearer = r#"Bearer realm="https://auth.example/token?a=b,c",service="reg\"istry", scope=x"#;
        let want = Scheme::Bearer { realm: "https://auth.example/token?a=b,c".into(), service: "reg\"istry".into() };
        assert_eq!(Scheme::of(&headers(&["basic realm=x", bearer])), want);
        for odd in ["Bearer", "Bearer =", "Bearer realm=\"", "Bearer realm", "=\"\"", ""] {
            Scheme::of(&headers(&[odd]));
        }
    }

    #[test]
    fn a_short_scope_is_a_denial() {
        let error = refused_by_challenge(&headers(&[r#"Bearer realm="x",error="insufficient_scope""#])).unwrap();
        assert_eq!(error.to_string(), "denied: requested access to the resource is denied");
        assert!(refused_by_challenge(&headers(&[r#"Bearer realm="x""#])).is_none());
    }
}
