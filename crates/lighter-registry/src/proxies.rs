//! The proxies on the way to registries: what the administrator says, else the environment, as everywhere.

use std::env::VarError;

use reqwest::{ClientBuilder, NoProxy, Proxy, Url};

use crate::error::{Error, Result};

/// Addresses; empty is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For plain HTTP.
    pub http: String,
    /// For HTTPS.
    pub https: String,
    /// What is reached without: hosts, domains, networks, with commas between them.
    pub exempt: String,
}

impl Proxies {
    /// What is not said is taken from the environment.
    ///
    /// # Errors
    /// An address that is none.
    pub fn or_environment(self, variable: impl Fn(&str) -> Result<String, VarError>) -> Result<Self> {
        let or = |said: String, name: &str| match said.is_empty() {
            true => variable(name).or_else(|_| variable(&name.to_ascii_lowercase())).unwrap_or_default(),
            false => said,
        };
        let proxies =
            Self { http: or(self.http, "HTTP_PROXY"), https: or(self.https, "HTTPS_PROXY"), exempt: or(self.exempt, "NO_PROXY") };
        proxies.apply(reqwest::Client::builder()).map(|_| proxies)
    }

    /// Makes a client use these and no others.
    pub(crate) fn apply(&self, builder: ClientBuilder) -> Result<ClientBuilder> {
        let bad = |address: &str| Error::Invalid(format!("invalid proxy {:?}", masked(address)));
        // `host:port` alone is taken for HTTP, as elsewhere.
        let whole = |address: &str| if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let mut builder = builder.no_proxy();
        for (address, of) in [(&self.http, Proxy::http as fn(Url) -> _), (&self.https, Proxy::https)] {
            if !address.is_empty() {
                let url = Url::parse(&whole(address)).map_err(|_| bad(address))?;
                let proxy: Proxy = of(url).map_err(|_| bad(address))?;
                builder = builder.proxy(proxy.no_proxy(NoProxy::from_string(&self.exempt)));
            }
        }
        Ok(builder)
    }

    /// For `docker info`: without passwords.
    pub fn shown(&self) -> Self {
        Self { http: masked(&self.http), https: masked(&self.https), exempt: self.exempt.clone() }
    }
}

fn masked(address: &str) -> String {
    match Url::parse(address) {
        Ok(mut url) if !url.username().is_empty() || url.password().is_some() => {
            // Both fail only on addresses without a host, which have no user either.
            let _ = url.set_username("xxxxx").and_then(|()| url.set_password(Some("xxxxx")));
            url.into()
        }
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_counts_more_than_the_environment() {
        let environment = |name: &str| match name {
            "HTTP_PROXY" => Ok("http://env:1".to_owned()),
            "https_proxy" => Ok("env:2".to_owned()),
            _ => Err(VarError::NotPresent),
        };
        let said = Proxies { http: "http://me:secret@said:3".to_owned(), ..Proxies::default() };
        let all = said.or_environment(environment).unwrap();
        assert_eq!((all.http.as_str(), all.https.as_str(), all.exempt.as_str()), ("http://me:secret@said:3", "env:2", ""));
        assert_eq!(all.shown().http, "http://xxxxx:xxxxx@said:3/");
        let bad = Proxies { https: "http://[".to_owned(), ..Proxies::default() };
        assert!(bad.or_environment(environment).is_err());
    }
}
