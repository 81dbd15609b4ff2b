//! Questions to a registry that move no image: a login, what a name stands for, a search.

use std::sync::Arc;

use http::StatusCode;
use lighter_image::{Digest, ImageConfig, Platform, Reference};
use reqwest::Method;

use crate::auth::{self, Scheme, encoded};
use crate::client::Session;
use crate::credentials::Credentials;
use crate::endpoint::{self, Endpoint, HUB};
use crate::error::{Error, Result};
use crate::manifest::{MAX_CONFIG, Parsed};
use crate::pull::Registries;
use crate::repository::Repository;
use crate::transport::{SMALL, Transport, read_all};

/// Where Docker Hub is searched.
const HUB_INDEX: &str = "https://index.docker.io";

/// What a registry has under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// Of the manifest or index.
    pub media_type: String,
    /// Likewise.
    pub digest: Digest,
    /// Likewise, in bytes.
    pub size: u64,
    /// For which there is an image.
    pub platforms: Vec<Platform>,
}

/// A repository that a search found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub struct Found {
    /// As it is pulled.
    pub name: String,
    /// A sentence.
    pub description: String,
    /// How many like it.
    pub star_count: i64,
    /// Of Docker's library.
    pub is_official: bool,
    /// Built by the registry.
    pub is_automated: bool,
}

impl Registries {
    /// Asks `server` whether it believes these credentials; gives an identity token to keep instead of a password, or an
    /// empty text.
    ///
    /// # Errors
    /// The registry's refusal, or that it is not to be reached.
    pub async fn log_in(&self, server: &str, credentials: &Credentials) -> Result<String> {
        let bare = server.split_once("://").map_or(server, |(_, rest)| rest);
        let domain = match bare.split('/').next().unwrap_or_default() {
            "" | "index.docker.io" | "registry-1.docker.io" => HUB,
            domain => domain,
        };
        let mut last = Error::Invalid(format!("invalid registry {server:?}"));
        for endpoint in endpoint::for_push(&self.settings, domain) {
            match Session::open(&self.settings, &endpoint, credentials).await {
                Ok(session) => return log_in_at(&session, credentials).await,
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// What the registry has under `reference`, which has a tag or a digest.
    ///
    /// # Errors
    /// The registry's refusal, or that it is not to be reached.
    pub async fn distribution(&self, reference: &Reference, credentials: &Credentials) -> Result<Distribution> {
        let wanted = reference.digest().or(reference.tag()).unwrap_or("latest");
        let mut last = Error::Invalid(format!("no endpoint for {}", reference.domain()));
        for endpoint in endpoint::for_pull(&self.settings, reference.domain()) {
            let credentials = if endpoint.mirror { &Credentials::Anonymous } else { credentials };
            let session = match Session::open(&self.settings, &endpoint, credentials).await {
                Ok(session) => session,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            let repository = Repository::for_pull(Arc::new(session), reference.path());
            match describe(&repository, wanted).await {
                Err(error) if endpoint.mirror => last = error,
                result => return result,
            }
        }
        Err(last)
    }

    /// Searches the registry that `term` names before a slash, else Docker Hub.
    ///
    /// # Errors
    /// A registry without a search, or that it is not to be reached.
    pub async fn search(&self, term: &str, limit: u32, credentials: &Credentials) -> Result<Vec<Found>> {
        let (endpoints, term) = match term.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => {
                (endpoint::for_push(&self.settings, host), rest)
            }
            _ => {
                let hub = Endpoint { base: HUB_INDEX.to_owned(), domain: HUB.to_owned(), verify: true, mirror: false };
                (vec![hub], term)
            }
        };
        let mut last = Error::Invalid(format!("no endpoint for {term}"));
        for endpoint in endpoints {
            match search_at(&self.settings, &endpoint, term, limit, credentials).await {
                Err(error @ Error::Transport { .. }) => last = error,
                result => return result,
            }
        }
        Err(last)
    }
}

async fn log_in_at(session: &Session, credentials: &Credentials) -> Result<String> {
    let mut identity = String::new();
    if let Scheme::Bearer { realm, service } = session.scheme().await {
        let asked = auth::token(&session.transport, (&realm, &service), &[], credentials, true).await;
        let url = session.transport.url("/v2/");
        let refused = |cause: Error| Error::Refused { method: "Get", url: url.clone(), cause: Box::new(cause) };
        identity = asked.map_err(refused)?.1;
    }
    let url = session.transport.url("/v2/");
    let response = session.send((Method::GET, &url), &[], |request| request).await?;
    match response.status() {
        StatusCode::OK => Ok(identity),
        status => Err(Error::Login { url, status }),
    }
}

async fn describe(repository: &Repository, wanted: &str) -> Result<Distribution> {
    // Asked for first, for that is what a refusal names.
    repository.digest_of(wanted).await?;
    let received = repository.manifest(wanted).await?;
    let platforms = match received.parse()? {
        Parsed::Index(index) => index.into_iter().filter_map(|descriptor| descriptor.platform).collect(),
        Parsed::Image(manifest) => {
            let raw = repository.small_blob(&manifest.config.digest, MAX_CONFIG).await?;
            // What is no image has no platform.
            let config: ImageConfig = serde_json::from_slice(&raw).unwrap_or_default();
            vec![Platform { os: config.os, architecture: config.architecture, variant: config.variant }]
        }
    };
    let size = received.bytes.len() as u64;
    Ok(Distribution { media_type: received.media_type, digest: received.digest, size, platforms })
}

async fn search_at(
    settings: &Arc<crate::config::RegistryConfig>,
    endpoint: &Endpoint,
    term: &str,
    limit: u32,
    credentials: &Credentials,
) -> Result<Vec<Found>> {
    #[derive(serde::Deserialize)]
    struct Answer {
        #[serde(default)]
        results: Vec<Found>,
    }
    let (settings, of) = (Arc::clone(settings), endpoint.clone());
    let made = tokio::task::spawn_blocking(move || Transport::new(&settings, &of)).await;
    let transport = made.map_err(|_| Error::Cancelled)??;
    let url = transport.url(&format!("/v1/search?q={}&n={limit}", encoded(term)));
    let request = transport.request(Method::GET, &url).header("x-docker-token", "true");
    let request = match credentials {
        Credentials::Basic { user, password } => request.basic_auth(user, Some(password)),
        _ => request,
    };
    let response = transport.send(request).await?;
    if response.status() != StatusCode::OK {
        return Err(Error::Search(response.status().as_u16()));
    }
    let body = read_all(response, SMALL).await?;
    let answer: Answer = serde_json::from_slice(&body).map_err(|e| Error::Answer { status: 200, reason: e.to_string() })?;
    Ok(answer.results)
}
