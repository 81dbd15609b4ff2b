//! One conversation with one endpoint: it has been greeted, its challenge is known, its tokens are kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use http::header::AUTHORIZATION;
use reqwest::{Method, RequestBuilder, Response};
use tokio::sync::Mutex;

use crate::auth::{self, Scheme, Token};
use crate::config::RegistryConfig;
use crate::credentials::Credentials;
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::transport::Transport;

/// A greeted endpoint.
pub(crate) struct Session {
    pub(crate) transport: Transport,
    credentials: Credentials,
    scheme: Mutex<Scheme>,
    /// By scope. Locked while one is fetched: parallel layers ask once.
    tokens: Mutex<HashMap<String, Token>>,
}

impl Session {
    /// Greets `endpoint`. An error means that it is not there or is no registry.
    pub(crate) async fn open(settings: &Arc<RegistryConfig>, endpoint: &Endpoint, credentials: &Credentials) -> Result<Self> {
        let (settings, of) = (Arc::clone(settings), endpoint.clone());
        let made = tokio::task::spawn_blocking(move || Transport::new(&settings, &of)).await;
        let transport = made.map_err(|_| Error::Cancelled)??;
        let url = transport.url("/v2/");
        let response = transport.send(transport.request(Method::GET, &url)).await?;
        if response.status().is_server_error() {
            return Err(Error::Status(response.status()));
        }
        let scheme = Mutex::new(Scheme::of(response.headers()));
        Ok(Self { transport, credentials: credentials.clone(), scheme, tokens: Mutex::default() })
    }

    /// Sends a request with what `scopes` needs. An answer of any status comes back.
    pub(crate) async fn send(
        &self,
        (method, url): (Method, &str),
        scopes: &[String],
        prepare: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response> {
        let request = prepare(self.transport.request(method.clone(), url));
        if !self.transport.is_home(url) {
            // Credentials are for the registry alone, not for where it has its blobs.
            return self.transport.send(request).await;
        }
        let response = self.transport.send(self.authorise(request, (&method, url), scopes).await?).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !self.may_try_again(&response, scopes).await {
            return Ok(response);
        }
        let request = prepare(self.transport.request(method.clone(), url));
        self.transport.send(self.authorise(request, (&method, url), scopes).await?).await
    }

    /// As [`Session::send`] for a body that cannot be sent twice.
    pub(crate) async fn send_once(
        &self,
        (method, url): (Method, &str),
        scopes: &[String],
        headers: &[(http::HeaderName, String)],
        body: reqwest::Body,
    ) -> Result<Response> {
        let request = headers.iter().fold(self.transport.request(method.clone(), url), |r, (name, value)| r.header(name, value));
        let request = request.body(body);
        match self.transport.is_home(url) {
            true => self.transport.send(self.authorise(request, (&method, url), scopes).await?).await,
            false => self.transport.send(request).await,
        }
    }

    /// How the endpoint wants to be convinced.
    pub(crate) async fn scheme(&self) -> Scheme {
        self.scheme.lock().await.clone()
    }

    /// Whether a second attempt would differ: the token was an old one, or the endpoint only now says what it wants.
    async fn may_try_again(&self, response: &Response, scopes: &[String]) -> bool {
        let had_token = self.tokens.lock().await.remove(&scopes.join(" ")).is_some();
        let mut scheme = self.scheme.lock().await;
        if *scheme == Scheme::Open {
            *scheme = Scheme::of(response.headers());
            return *scheme != Scheme::Open;
        }
        had_token
    }

    async fn authorise(
        &self,
        request: RequestBuilder,
        (method, url): (&Method, &str),
        scopes: &[String],
    ) -> Result<RequestBuilder> {
        let refused =
            |cause: Error| Error::Refused { method: crate::transport::verb(method), url: url.to_owned(), cause: Box::new(cause) };
        let scheme = self.scheme.lock().await.clone();
        match (scheme, &self.credentials) {
            (Scheme::Open, _) | (Scheme::Basic, Credentials::Registry(_)) => Ok(request),
            (Scheme::Basic, Credentials::Basic { user, password }) => Ok(request.basic_auth(user, Some(password))),
            (Scheme::Basic, Credentials::Anonymous | Credentials::Identity(_)) => Err(refused(Error::NoCredentials)),
            (Scheme::Bearer { .. }, Credentials::Registry(token)) => Ok(request.header(AUTHORIZATION, format!("Bearer {token}"))),
            (Scheme::Bearer { realm, service }, credentials) => {
                let key = scopes.join(" ");
                let mut tokens = self.tokens.lock().await;
                let known = tokens.get(&key).filter(|token| token.until > Instant::now());
                let text = match known {
                    Some(token) => token.text.clone(),
                    None => {
                        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
                        let got = auth::token(&self.transport, (&realm, &service), &scopes, credentials, false).await;
                        let (token, _) = got.map_err(refused)?;
                        let text = token.text.clone();
                        tokens.insert(key, token);
                        text
                    }
                };
                Ok(request.header(AUTHORIZATION, format!("Bearer {text}")))
            }
        }
    }
}
