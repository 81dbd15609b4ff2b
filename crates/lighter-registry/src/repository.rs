//! One repository at one endpoint: manifests, blobs, tags.

use std::sync::Arc;

use http::StatusCode;
use http::header::{ACCEPT, CONTENT_RANGE, CONTENT_TYPE, LINK, RANGE};
use lighter_image::Digest;
use reqwest::{Method, Response};

use crate::client::Session;
use crate::error::{Error, Result};
use crate::manifest::{ACCEPTED, MAX_MANIFEST, Received};
use crate::transport::{SMALL, read_all, refusal};

const DIGEST: &str = "docker-content-digest";
/// More tags than this are taken for a registry that runs in circles.
const MAX_TAGS: usize = 100_000;

/// A repository, with what opens it.
#[derive(Clone)]
pub(crate) struct Repository {
    session: Arc<Session>,
    path: String,
    scopes: Vec<String>,
    /// Other repositories that may have the same blobs.
    lenders: Vec<String>,
}

impl Repository {
    pub(crate) fn for_pull(session: Arc<Session>, path: &str) -> Self {
        Self { session, path: path.to_owned(), scopes: vec![format!("repository:{path}:pull")], lenders: Vec::new() }
    }

    pub(crate) fn for_push(session: Arc<Session>, path: &str, lenders: &[String]) -> Self {
        let mut scopes = vec![format!("repository:{path}:pull,push")];
        scopes.extend(lenders.iter().map(|lender| format!("repository:{lender}:pull")));
        Self { session, path: path.to_owned(), scopes, lenders: lenders.to_vec() }
    }

    pub(crate) fn lenders(&self) -> &[String] {
        &self.lenders
    }

    /// A request whose body can be sent but once.
    pub(crate) async fn send_once(
        &self,
        to: (Method, &str),
        headers: &[(http::HeaderName, String)],
        body: reqwest::Body,
    ) -> Result<Response> {
        self.session.send_once(to, &self.scopes, headers, body).await
    }

    pub(crate) async fn get(&self, method: Method, url: &str, headers: &[(http::HeaderName, String)]) -> Result<Response> {
        let prepare = |request: reqwest::RequestBuilder| headers.iter().fold(request, |r, (name, value)| r.header(name, value));
        self.session.send((method, url), &self.scopes, prepare).await
    }

    pub(crate) fn url(&self, rest: &str) -> String {
        self.session.transport.url(&format!("/v2/{}/{rest}", self.path))
    }

    fn accept() -> [(http::HeaderName, String); 1] {
        [(ACCEPT, ACCEPTED.join(", "))]
    }

    /// The digest that a tag has now, if the registry says so without giving the manifest.
    pub(crate) async fn digest_of(&self, reference: &str) -> Result<Option<Digest>> {
        let response = self.get(Method::HEAD, &self.url(&format!("manifests/{reference}")), &Self::accept()).await?;
        let header = response.headers().get(DIGEST).and_then(|value| value.to_str().ok());
        // What went wrong is told by the GET that comes next, for it has a body.
        Ok(header.filter(|_| response.status().is_success()).and_then(|text| text.parse().ok()))
    }

    /// A manifest or index by tag or digest.
    pub(crate) async fn manifest(&self, reference: &str) -> Result<Received> {
        let response = self.get(Method::GET, &self.url(&format!("manifests/{reference}")), &Self::accept()).await?;
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        let header = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = header.and_then(|text| text.split(';').next()).unwrap_or_default().trim().to_owned();
        let bytes = read_all(response, MAX_MANIFEST).await?;
        let digest = Digest::of(&bytes);
        if reference.contains(':') && reference != digest.to_string() {
            return Err(Error::Verification { what: "manifest", digest: reference.to_owned() });
        }
        Ok(Received { bytes, digest, media_type })
    }

    /// A small blob as a whole, checked.
    pub(crate) async fn small_blob(&self, digest: &Digest, limit: usize) -> Result<Vec<u8>> {
        let response = self.get(Method::GET, &self.url(&format!("blobs/{digest}")), &[]).await?;
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        let bytes = read_all(response, limit).await?;
        match Digest::of(&bytes) == *digest {
            true => Ok(bytes),
            false => Err(Error::Verification { what: "image config", digest: digest.to_string() }),
        }
    }

    /// The bytes of a blob from `offset` on, and the offset at which they really begin: `offset`, or 0 where the registry
    /// cannot do that.
    pub(crate) async fn blob(&self, digest: &Digest, offset: u64) -> Result<(Response, u64)> {
        let url = self.url(&format!("blobs/{digest}"));
        let range = (offset > 0).then(|| (RANGE, format!("bytes={offset}-")));
        let response = self.get(Method::GET, &url, range.as_slice()).await?;
        match response.status() {
            StatusCode::OK => Ok((response, 0)),
            StatusCode::PARTIAL_CONTENT => {
                let header = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
                let start = header.strip_prefix("bytes ").and_then(|rest| rest.split('-').next()).and_then(|n| n.parse().ok());
                match start == Some(offset) {
                    true => Ok((response, offset)),
                    false => Err(Error::Answer { status: 206, reason: format!("Content-Range {header:?}") }),
                }
            }
            _ => Err(refusal(response).await),
        }
    }

    /// All tags.
    pub(crate) async fn tags(&self) -> Result<Vec<String>> {
        #[derive(serde::Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let mut all = Vec::new();
        let mut next = Some(self.url("tags/list"));
        while let Some(url) = next {
            let response = self.get(Method::GET, &url, &[]).await?;
            if !response.status().is_success() {
                return Err(refusal(response).await);
            }
            next = next_page(&response).map(|link| self.session.transport.url(&link));
            let body = read_all(response, SMALL).await?;
            let page: Page = serde_json::from_slice(&body).map_err(|e| Error::Answer { status: 200, reason: e.to_string() })?;
            let tags = page.tags.unwrap_or_default();
            if tags.is_empty() || all.len() > MAX_TAGS {
                break;
            }
            all.extend(tags);
        }
        Ok(all)
    }
}

/// `Link: </v2/...>; rel="next"`.
fn next_page(response: &Response) -> Option<String> {
    let link = response.headers().get(LINK)?.to_str().ok()?;
    let (target, rest) = link.strip_prefix('<')?.split_once('>')?;
    rest.contains("next").then(|| target.to_owned())
}
