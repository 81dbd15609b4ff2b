//! The writing half of a repository: blobs and manifests into it.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderName, StatusCode};
use lighter_image::Digest;
use reqwest::{Body, Method, Response};

use crate::auth::encoded;
use crate::error::{Error, Result};
use crate::repository::Repository;
use crate::transport::refusal;

impl Repository {
    pub(crate) async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let response = self.get(Method::HEAD, &self.url(&format!("blobs/{digest}")), &[]).await?;
        match response.status() {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(refusal(response).await),
        }
    }

    /// Opens an upload and gives its place; `None` when the blob was lent by another repository and nothing is to be sent.
    pub(crate) async fn begin_upload(&self, mount: Option<(&Digest, &str)>) -> Result<Option<String>> {
        let mut url = self.url("blobs/uploads/");
        if let Some((digest, from)) = mount {
            url.push_str(&format!("?mount={digest}&from={}", encoded(from)));
        }
        let response = self.get(Method::POST, &url, &[(CONTENT_LENGTH, "0".to_owned())]).await?;
        match response.status() {
            StatusCode::CREATED if mount.is_some() => Ok(None),
            StatusCode::ACCEPTED => self.place(&response).map(Some),
            _ => Err(refusal(response).await),
        }
    }

    /// Sends bytes to an open upload; its next place.
    pub(crate) async fn append_upload(&self, place: &str, body: Body) -> Result<String> {
        let response = self.send_once((Method::PATCH, place), &[octets()], body).await?;
        match response.status().is_success() {
            true => self.place(&response),
            false => Err(refusal(response).await),
        }
    }

    /// Ends an upload whose whole content is `digest`.
    pub(crate) async fn finish_upload(&self, place: &str, digest: &Digest, rest: Vec<u8>) -> Result<()> {
        let mark = if place.contains('?') { '&' } else { '?' };
        let url = format!("{place}{mark}digest={}", encoded(&digest.to_string()));
        let response = self.send_once((Method::PUT, &url), &[octets()], rest.into()).await?;
        match response.status().is_success() {
            true => Ok(()),
            false => Err(refusal(response).await),
        }
    }

    /// Puts a manifest under a tag; its digest.
    pub(crate) async fn put_manifest(&self, tag: &str, bytes: &[u8]) -> Result<Digest> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Kind {
            #[serde(default)]
            media_type: String,
        }
        let kind = serde_json::from_slice::<Kind>(bytes).map(|kind| kind.media_type).unwrap_or_default();
        let kind = if kind.is_empty() { "application/vnd.oci.image.manifest.v1+json".to_owned() } else { kind };
        let url = self.url(&format!("manifests/{tag}"));
        let response = self.send_once((Method::PUT, &url), &[(CONTENT_TYPE, kind)], bytes.to_vec().into()).await?;
        match response.status().is_success() {
            true => Ok(Digest::of(bytes)),
            false => Err(refusal(response).await),
        }
    }

    fn place(&self, response: &Response) -> Result<String> {
        let header = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let missing = || Error::Answer { status: response.status().as_u16(), reason: "no Location".to_owned() };
        let place = response.url().join(header.ok_or_else(missing)?).map_err(|_| missing())?;
        Ok(place.into())
    }
}

fn octets() -> (HeaderName, String) {
    (CONTENT_TYPE, "application/octet-stream".to_owned())
}
