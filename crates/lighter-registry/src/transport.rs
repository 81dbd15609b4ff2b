//! HTTP to one endpoint, and what its failures are called.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use http::StatusCode;
use reqwest::{Method, RequestBuilder, Response, Url};
use rustls::CertificateError;

use crate::config::{RegistryConfig, host_of};
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::tls;

const CONNECT: Duration = Duration::from_secs(30);
/// A server that says nothing for so long is given up; a download then goes on where it was.
const SILENCE: Duration = Duration::from_secs(60);
/// The longest body of an error, a token or a list of tags that is read, in bytes.
pub(crate) const SMALL: usize = 1 << 20;

/// A pool of connections to an endpoint, and to where it redirects.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    client: reqwest::Client,
    base: String,
}

impl Transport {
    /// Reads certificates; connects to nothing.
    pub(crate) fn new(settings: &RegistryConfig, endpoint: &Endpoint) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(settings, endpoint)?)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .user_agent(concat!("lighter/", env!("CARGO_PKG_VERSION"), " (linux)"));
        builder = match is_loopback(&endpoint.domain) {
            // As everywhere: what is on this machine is not reached through a proxy.
            true => builder.no_proxy(),
            false => settings.proxies.apply(builder)?,
        };
        let client = builder.build().map_err(|e| Error::Certificates(e.to_string()))?;
        Ok(Self { client, base: endpoint.base.clone() })
    }

    /// `path` below the endpoint, or a whole address.
    pub(crate) fn url(&self, path: &str) -> String {
        if path.contains("://") { path.to_owned() } else { format!("{}{path}", self.base) }
    }

    /// Whether an address is on the host that credentials are for.
    pub(crate) fn is_home(&self, url: &str) -> bool {
        let (Ok(home), Ok(url)) = (Url::parse(&self.base), Url::parse(url)) else { return false };
        home.scheme() == url.scheme() && home.host() == url.host() && home.port_or_known_default() == url.port_or_known_default()
    }

    pub(crate) fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends and waits for the head of the answer.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let request = request.build().map_err(|e| Error::Invalid(e.to_string()))?;
        let (method, url) = (verb(request.method()), shown(request.url()));
        self.client.execute(request).await.map_err(|error| failed(method, &url, &error))
    }
}

/// A body of at most `limit` bytes.
pub(crate) async fn read_all(mut response: Response, limit: usize) -> Result<Vec<u8>> {
    let url = shown(response.url());
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|e| failed("Get", &url, &e))? {
        if body.len() + piece.len() > limit {
            return Err(Error::Unsupported(format!("the answer of {url} is longer than {limit} bytes")));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// What an answer with an error status says.
pub(crate) async fn refusal(response: Response) -> Error {
    let status = response.status();
    if !status.is_client_error() {
        return Error::Status(status);
    }
    let challenged = crate::auth::refused_by_challenge(response.headers());
    let body = read_all(response, SMALL).await.unwrap_or_default();
    match (challenged, spelled_out(&body, status)) {
        (Some(error), _) | (None, Some(error)) => error,
        (None, None) if status == StatusCode::UNAUTHORIZED => registry("UNAUTHORIZED", "authentication required"),
        (None, None) if status == StatusCode::TOO_MANY_REQUESTS => registry("TOOMANYREQUESTS", "too many requests"),
        (None, None) => {
            let text = String::from_utf8_lossy(&body);
            let reason = format!("{:?}", text.chars().take(200).collect::<String>());
            Error::Answer { status: status.as_u16(), reason }
        }
    }
}

pub(crate) fn registry(code: &str, message: &str) -> Error {
    Error::Registry { code: code.to_owned(), message: message.to_owned() }
}

/// The body of an error: `{"errors": [{"code", "message"}]}`, or `{"details": ...}` of older token servers.
fn spelled_out(body: &[u8], status: StatusCode) -> Option<Error> {
    #[derive(serde::Deserialize)]
    struct Body {
        #[serde(default)]
        errors: Vec<One>,
        #[serde(default)]
        details: String,
    }
    #[derive(serde::Deserialize)]
    struct One {
        code: String,
        #[serde(default)]
        message: String,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    if let Some(first) = body.errors.into_iter().next() {
        let message = if first.message.is_empty() { first.code.to_lowercase().replace('_', " ") } else { first.message };
        return Some(Error::Registry { code: first.code, message });
    }
    let code = match status {
        StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
        StatusCode::TOO_MANY_REQUESTS => "TOOMANYREQUESTS",
        _ => "UNKNOWN",
    };
    (!body.details.is_empty()).then(|| registry(code, &body.details))
}

fn is_loopback(domain: &str) -> bool {
    let host = host_of(domain).trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// As Go's client names methods in its errors.
pub(crate) fn verb(method: &Method) -> &'static str {
    match *method {
        Method::HEAD => "Head",
        Method::POST => "Post",
        Method::PUT => "Put",
        Method::PATCH => "Patch",
        _ => "Get",
    }
}

/// Without what may be secret in it.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail on addresses that have no host only.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

/// Words a request's failure as Go would.
pub(crate) fn failed(method: &'static str, url: &str, error: &reqwest::Error) -> Error {
    let (reason, transient) = reason(url, error);
    Error::Transport { method, url: url.to_owned(), reason, transient }
}

fn reason(url: &str, error: &reqwest::Error) -> (String, bool) {
    let parsed = Url::parse(url).ok();
    let host = parsed.as_ref().and_then(Url::host_str).unwrap_or_default().to_owned();
    let port = parsed.as_ref().and_then(Url::port_or_known_default).unwrap_or_default();
    if let Some(tls) = find::<rustls::Error>(error) {
        return (tls_reason(tls), false);
    }
    if error.is_timeout() {
        let what = if error.is_connect() { format!("dial tcp {host}:{port}: i/o timeout") } else { "i/o timeout".to_owned() };
        return (what, true);
    }
    let chain = chain(error);
    if chain.contains("dns error") {
        return (format!("dial tcp: lookup {host}: no such host"), false);
    }
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => {
            let address = address(&host, port);
            (format!("dial tcp {address}: connect: connection refused"), false)
        }
        Some(io::ErrorKind::ConnectionReset) => ("read: connection reset by peer".to_owned(), true),
        Some(io::ErrorKind::UnexpectedEof) => ("unexpected EOF".to_owned(), true),
        Some(io::ErrorKind::NetworkUnreachable) => (format!("dial tcp {host}:{port}: connect: network is unreachable"), false),
        Some(io::ErrorKind::HostUnreachable) => (format!("dial tcp {host}:{port}: connect: no route to host"), false),
        _ if error.is_connect() => (chain, false),
        _ if chain.contains("closed before message completed") => ("EOF".to_owned(), true),
        _ if error.is_body() || error.is_decode() => ("unexpected EOF".to_owned(), true),
        _ => (chain, true),
    }
}

/// The address that a name stands for: the first of the old kind, as Go reports it.
fn address(host: &str, port: u16) -> String {
    use std::net::ToSocketAddrs as _;
    let all = (host.trim_matches(['[', ']']), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>).unwrap_or_default();
    let first = all.iter().find(|a| a.is_ipv4()).or_else(|| all.first());
    first.map_or_else(|| format!("{host}:{port}"), ToString::to_string)
}

fn tls_reason(error: &rustls::Error) -> String {
    let certificate = match error {
        rustls::Error::InvalidCertificate(certificate) => certificate,
        rustls::Error::InvalidMessage(_) => return "http: server gave HTTP response to HTTPS client".to_owned(),
        rustls::Error::AlertReceived(alert) => return format!("remote error: tls: {}", alert_words(*alert)),
        other => return format!("tls: {other}"),
    };
    let why = match certificate {
        CertificateError::UnknownIssuer => "certificate signed by unknown authority".to_owned(),
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => "certificate has expired or is not yet valid".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            format!("certificate is valid for {}, not {}", names.join(", "), expected.to_str())
        }
        other => other.to_string(),
    };
    format!("tls: failed to verify certificate: x509: {why}")
}

/// `DnsName("localhost")` as `localhost`.
fn bare(name: &str) -> &str {
    name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name).trim_matches('"')
}

fn alert_words(alert: rustls::AlertDescription) -> &'static str {
    match alert {
        rustls::AlertDescription::CertificateRequired => "certificate required",
        rustls::AlertDescription::BadCertificate => "bad certificate",
        rustls::AlertDescription::UnknownCA => "unknown certificate authority",
        rustls::AlertDescription::HandshakeFailure => "handshake failure",
        rustls::AlertDescription::ProtocolVersion => "protocol version not supported",
        _ => "the server refused the handshake",
    }
}

/// The first cause of type `T`, also inside of I/O errors.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            let wraps = (found as &dyn StdError).downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            // An I/O error around another one says less than that.
            return wraps.and_then(|inner| find::<T>(inner)).or(Some(found));
        }
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(found) = find::<T>(inner)
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn chain(error: &dyn StdError) -> String {
    let mut last = error.to_string();
    let mut all = vec![last.clone()];
    let mut next = error.source();
    while let Some(cause) = next {
        last = cause.to_string();
        all.push(last.clone());
        next = cause.source();
    }
    // The first is reqwest's own and repeats the address.
    if all.len() > 1 {
        all.remove(0);
    }
    all.join(": ")
}
