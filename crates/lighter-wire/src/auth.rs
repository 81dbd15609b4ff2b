//! Who asks a registry: the body of `SystemAuth`, and the header that pull, push and others bring along.

use crate::decode::go_struct;
use crate::json;
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

go_struct! {
    /// `AuthConfig`.
    pub struct AuthConfig as "registry.AuthConfig" {
        "username" username: String,
        "password" password: String,
        "auth" auth: String,
        "serveraddress" server_address: String,
        "identitytoken" identity_token: String,
        "registrytoken" registry_token: String,
    }
}

/// What `SystemAuth` answers.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LoggedIn<'a> {
    pub identity_token: &'a str,
    pub status: &'static str,
}

/// The longest header that is read, in bytes.
const LONGEST: usize = 64 << 10;

/// Reads `X-Registry-Auth`: JSON in URL-safe base64. As in dockerd, one that cannot be read is nobody.
pub fn from_header(text: &str) -> AuthConfig {
    let padding = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let url_safe = GeneralPurpose::new(&base64::alphabet::URL_SAFE, padding);
    let standard = GeneralPurpose::new(&base64::alphabet::STANDARD, padding);
    let read = |text: &str| {
        let bytes = url_safe.decode(text).or_else(|_| standard.decode(text)).ok()?;
        json::read(&bytes, "").ok()
    };
    if text.is_empty() || text.len() > LONGEST { AuthConfig::default() } else { read(text).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_all_kinds_of_clients() {
        let json = r#"{"username":"anna","password":"p\u00fc?>","serveraddress":"x","email":""}"#;
        for engine in [base64::engine::general_purpose::URL_SAFE, base64::engine::general_purpose::STANDARD] {
            let config = from_header(&engine.encode(json));
            assert_eq!((config.username.as_str(), config.password.as_str()), ("anna", "pü?>"));
        }
        assert_eq!(from_header("e30").username, "");
        for bad in ["", "!!", "bm90IGpzb24=", "W10="] {
            assert_eq!(from_header(bad).username, "", "{bad}");
        }
    }
}
