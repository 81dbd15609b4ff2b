//! Registries behind the engine's seam: its types in the registry client's, and back.

use crate::engine::LinuxEngine;
use crate::images::platform_from;
use async_trait::async_trait;
use lighter_domain::image::{
    DistributionImage, ImagePlatform, ImagePull, ImagePush, Progress, PullOutcome, PulledImage, PushOutcome, RegistryLogin,
    SearchResult,
};
use lighter_domain::{Error, ErrorKind, Result};
use lighter_engine::Registry;
use lighter_image::{Platform, Reference};
use lighter_registry::{Credentials, Found, PullRequest, Pulled, PushRequest};
use tokio::sync::mpsc;

#[async_trait]
impl Registry for LinuxEngine {
    async fn pull(&self, pull: &ImagePull, progress: mpsc::Sender<Progress>) -> PullOutcome {
        let request = match request(pull) {
            Ok(request) => request,
            Err(error) => {
                return PullOutcome {
                    asked: Default::default(),
                    registry: String::new(),
                    pulled: Vec::new(),
                    result: Err(error),
                };
            }
        };
        let mut pulled = Vec::new();
        let result = self.inner.registries.pull(&request, &progress, &mut pulled).await.map_err(told);
        let asked = (request.reference.familiar(), request.reference.familiar_name());
        let registry = request.reference.domain().to_owned();
        PullOutcome { asked, registry, pulled: pulled.into_iter().map(described).collect(), result }
    }

    async fn push(&self, push: &ImagePush, progress: mpsc::Sender<Progress>) -> PushOutcome {
        let reference = match push.tag.as_str() {
            "" => named(&push.name),
            tag => Reference::from_repo_and_tag(&push.name, tag).map_err(|e| Error::invalid(e.to_string())),
        };
        let reference = match reference {
            Ok(reference) => reference,
            Err(error) => return PushOutcome { asked: Default::default(), id: None, result: Err(error) },
        };
        let asked = (reference.familiar(), reference.familiar_name());
        let platform = Some(push.platform.as_str()).filter(|text| !text.is_empty()).map(platform_from).transpose();
        let platform = match platform {
            Ok(platform) => platform,
            Err(error) => return PushOutcome { asked, id: None, result: Err(error) },
        };
        let request = PushRequest { reference, platform, credentials: credentials(&push.login) };
        let mut done = Vec::new();
        let result = self.inner.registries.push(&request, &progress, &mut done).await.map_err(told);
        PushOutcome { asked, id: done.first().map(ToString::to_string), result }
    }

    async fn log_in(&self, server: &str, login: &RegistryLogin) -> Result<String> {
        self.inner.registries.log_in(server, &credentials(login)).await.map_err(told)
    }

    async fn distribution(&self, name: &str, login: &RegistryLogin) -> Result<DistributionImage> {
        let reference = named(name)?.with_default_tag();
        let found = self.inner.registries.distribution(&reference, &credentials(login)).await.map_err(told)?;
        let platform = |p: Platform| ImagePlatform { architecture: p.architecture, os: p.os, variant: p.variant };
        Ok(DistributionImage {
            media_type: found.media_type,
            digest: found.digest.to_string(),
            size: found.size,
            platforms: found.platforms.into_iter().map(platform).collect(),
        })
    }

    async fn search(&self, term: &str, limit: u32, login: &RegistryLogin) -> Result<Vec<SearchResult>> {
        let found = self.inner.registries.search(term, limit, &credentials(login)).await.map_err(told)?;
        let one = |f: Found| SearchResult {
            name: f.name,
            description: f.description,
            stars: f.star_count,
            official: f.is_official,
            automated: f.is_automated,
        };
        Ok(found.into_iter().map(one).collect())
    }
}

fn named(text: &str) -> Result<Reference> {
    Reference::parse(text).map_err(|e| Error::invalid(e.to_string()))
}

fn request(pull: &ImagePull) -> Result<PullRequest> {
    let platform = match pull.platform.as_str() {
        "" => None,
        text => Some(platform_from(text)?),
    };
    let reference = match pull.tag.as_str() {
        "" => named(&pull.name)?,
        digest if digest.contains(':') => named(&format!("{}@{digest}", named(&pull.name)?.name()))?,
        tag => Reference::from_repo_and_tag(&pull.name, tag).map_err(|e| Error::invalid(e.to_string()))?,
    };
    if reference.name() == "docker.io/library/scratch" {
        return Err(Error::forbidden("'scratch' is a reserved name"));
    }
    Ok(PullRequest { reference, platform, credentials: credentials(&pull.login) })
}

fn credentials(login: &RegistryLogin) -> Credentials {
    let RegistryLogin { user, password, identity_token, registry_token } = login;
    if !registry_token.is_empty() {
        Credentials::Registry(registry_token.clone())
    } else if !identity_token.is_empty() {
        Credentials::Identity(identity_token.clone())
    } else if !user.is_empty() {
        Credentials::Basic { user: user.clone(), password: password.clone() }
    } else {
        Credentials::Anonymous
    }
}

fn described(pulled: Pulled) -> PulledImage {
    PulledImage {
        id: pulled.id.to_string(),
        reference: pulled.reference.familiar(),
        name: pulled.reference.familiar_name(),
        registry: pulled.reference.domain().to_owned(),
        digest: pulled.digest.to_string(),
    }
}

/// The client's errors are worded as dockerd words them.
fn told(error: lighter_registry::Error) -> Error {
    let kind = match error.kind() {
        lighter_registry::ErrorKind::InvalidArgument => ErrorKind::InvalidArgument,
        lighter_registry::ErrorKind::Unauthorized => ErrorKind::Unauthorized,
        lighter_registry::ErrorKind::Forbidden => ErrorKind::Forbidden,
        lighter_registry::ErrorKind::NotFound => ErrorKind::NotFound,
        lighter_registry::ErrorKind::TooManyRequests => ErrorKind::TooManyRequests,
        lighter_registry::ErrorKind::Internal => ErrorKind::Internal,
    };
    Error::new(kind, error.to_string()).with_source(error)
}
