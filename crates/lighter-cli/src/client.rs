//! Asking the daemon: HTTP/1.1 on its Unix socket, a connection for each request.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use lighter_wire::lighter::{Failure, Page};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// What needs no escaping in a segment of a path or a value of a query.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// An answer in one piece is not longer.
const LONGEST: usize = 64 << 20;

/// The way to a daemon.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

/// A path below `/lighter/v1` with its query.
#[derive(Debug, Clone)]
pub struct Target {
    path: String,
    queried: bool,
}

impl Target {
    /// `path` is taken as it is; see [`segment`].
    pub fn new(path: &str) -> Self {
        Self { path: format!("/lighter/v1/{path}"), queried: false }
    }

    pub fn with(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.path.push(if self.queried { '&' } else { '?' });
        self.queried = true;
        self.path.push_str(name);
        self.path.push('=');
        self.path.push_str(&segment(value.as_ref()));
        self
    }

    pub fn with_all<V: AsRef<str>>(self, name: &str, values: impl IntoIterator<Item = V>) -> Self {
        values.into_iter().fold(self, |target, value| target.with(name, value))
    }
}

/// A name as one segment of a path.
pub fn segment(name: &str) -> String {
    utf8_percent_encode(name, &PLAIN).to_string()
}

impl Client {
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `unix://PATH`
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// One value.
    pub async fn get<T: DeserializeOwned>(&self, target: &Target) -> anyhow::Result<T> {
        self.ask("GET", target).await
    }

    /// Has something done; the answer.
    pub async fn post<T: DeserializeOwned>(&self, target: &Target) -> anyhow::Result<T> {
        self.ask("POST", target).await
    }

    /// The same, with a body.
    pub async fn post_json<T: DeserializeOwned>(&self, target: &Target, body: &impl serde::Serialize) -> anyhow::Result<T> {
        let body = Bytes::from(serde_json::to_vec(body)?);
        let answer = whole(self.send("POST", target, Some(body)).await?).await?;
        serde_json::from_slice(&answer).context("the daemon's answer is not what this version of lighter expects")
    }

    /// Has something removed; there is no answer but that it is gone.
    pub async fn delete(&self, target: &Target) -> anyhow::Result<()> {
        self.send("DELETE", target, None).await.map(drop)
    }

    async fn ask<T: DeserializeOwned>(&self, method: &str, target: &Target) -> anyhow::Result<T> {
        let body = whole(self.send(method, target, None).await?).await?;
        serde_json::from_slice(&body).context("the daemon's answer is not what this version of lighter expects")
    }

    /// At most `limit` items, page by page, and whether there are more.
    pub async fn list<T: DeserializeOwned>(&self, target: &Target, limit: usize) -> anyhow::Result<(Vec<T>, bool)> {
        let mut items = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let wanted = (limit - items.len()).min(1000);
            let mut target = target.clone().with("limit", wanted.to_string());
            if let Some(cursor) = next {
                target = target.with("cursor", cursor);
            }
            let page: Page<T> = self.get(&target).await?;
            items.extend(page.items);
            next = page.next;
            if next.is_none() || items.len() >= limit {
                return Ok((items, next.is_some()));
            }
        }
    }

    /// The body of a good answer, as it comes.
    pub async fn stream(&self, target: &Target) -> anyhow::Result<Incoming> {
        Ok(self.send("GET", target, None).await?.into_body())
    }

    /// Sends a request; an answer that is an error becomes one with the daemon's words.
    async fn send(&self, method: &str, target: &Target, body: Option<Bytes>) -> anyhow::Result<Response<Incoming>> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Its end is the answer's end, or an error that the answer has, too.
        tokio::spawn(connection);
        let mut request =
            Request::builder().method(method).uri(&target.path).header("Host", "lighter").header("User-Agent", AGENT);
        if body.is_some() {
            request = request.header("Content-Type", "application/json");
        }
        let answer = sender.send_request(request.body(Full::new(body.unwrap_or_default()))?).await;
        let answer = answer.with_context(|| format!("the daemon at {} did not answer", self.socket.display()))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let said = whole(answer).await?;
        match serde_json::from_slice::<Failure>(&said) {
            Ok(failure) if status == StatusCode::NOT_FOUND && failure.message == "page not found" => {
                bail!("the daemon at {} is not Lighter, or one of an older version", self.socket.display())
            }
            Ok(failure) => bail!("{}", failure.message),
            Err(_) => bail!("the daemon answered {status}"),
        }
    }

    fn unreachable(&self, error: std::io::Error) -> anyhow::Error {
        let hint = match error.kind() {
            std::io::ErrorKind::PermissionDenied => "; are you in the socket's group?",
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => "; is lighterd running?",
            _ => "",
        };
        anyhow::Error::from(error).context(format!("cannot reach the daemon at {}{hint}", self.socket.display()))
    }
}

const AGENT: &str = concat!("lighter/", env!("CARGO_PKG_VERSION"));

async fn whole(answer: Response<Incoming>) -> anyhow::Result<Bytes> {
    let body = http_body_util::Limited::new(answer.into_body(), LONGEST);
    Ok(body.collect().await.map_err(|e| anyhow::anyhow!("the daemon's answer broke off: {e}"))?.to_bytes())
}

/// The socket to ask: what was said, else that of the system's daemon, else that of the user's own.
pub fn socket(said: Option<&str>) -> anyhow::Result<PathBuf> {
    let from_env = std::env::var("LIGHTER_HOST").ok().filter(|h| !h.is_empty());
    if let Some(host) = said.map(str::to_owned).or(from_env) {
        let path = host.strip_prefix("unix://").unwrap_or(&host);
        if path.starts_with('/') {
            return Ok(path.into());
        }
        bail!("invalid host {host:?}: lighter asks on unix:///absolute/path only");
    }
    let system = PathBuf::from("/run/lighter/docker.sock");
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join("lighter/docker.sock"));
    Ok(own.filter(|own| !system.exists() && own.exists()).unwrap_or(system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_segment() {
        let target = Target::new(&format!("containers/{}/explain", segment("a/../b?c=d#e%"))).with("q", "x&y=z +").with("r", "ü");
        assert_eq!(target.path, "/lighter/v1/containers/a%2F..%2Fb%3Fc%3Dd%23e%25/explain?q=x%26y%3Dz%20%2B&r=%C3%BC");
    }

    #[test]
    fn hosts() {
        assert_eq!(socket(Some("unix:///a/b")).unwrap(), Path::new("/a/b"));
        assert_eq!(socket(Some("/a/b")).unwrap(), Path::new("/a/b"));
        assert!(socket(Some("tcp://localhost:2375")).is_err());
    }
}
