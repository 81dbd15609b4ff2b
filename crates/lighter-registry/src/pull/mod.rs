//! `docker pull`: from a name to an image in the store, told step by step.

mod attest;
mod gather;
mod layer;
mod one;
mod show;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use lighter_domain::image::Progress;
use lighter_image::{Descriptor, Digest, ImageStore, Platform, Reference};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};

use crate::client::Session;
use crate::config::RegistryConfig;
use crate::credentials::Credentials;
use crate::endpoint;
use crate::error::{Error, Result};
use crate::repository::Repository;
use layer::{Job, Shop};
use one::One;

/// Where progress goes. When nobody listens any more, the pull ends.
pub type Tell = mpsc::Sender<Progress>;

/// What to pull.
#[derive(Debug)]
pub struct PullRequest {
    /// With tag or digest; without either it is all tags.
    pub reference: Reference,
    /// Which image of an index; this machine's when `None`.
    pub platform: Option<Platform>,
    /// For the registry in `reference`.
    pub credentials: Credentials,
}

/// One image that was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// With tag or digest.
    pub reference: Reference,
    /// The image's id.
    pub id: Digest,
    /// Of the manifest or index that the name stands for.
    pub digest: Digest,
}

/// All registries, as one machine talks to them.
pub struct Registries {
    pub(crate) settings: Arc<RegistryConfig>,
    pub(crate) shop: Shop,
    jobs: Mutex<HashMap<Digest, Weak<Job>>>,
}

impl Registries {
    /// Connects to nothing yet.
    pub fn new(settings: RegistryConfig, store: ImageStore) -> Self {
        let slots = Arc::new(Semaphore::new(settings.max_downloads.max(1)));
        let shop = Shop { store, slots, attempts: settings.max_attempts.max(1) };
        Self { settings: Arc::new(settings), shop, jobs: Mutex::default() }
    }

    /// Pulls. What was pulled before an error is there, and is told in `done`.
    ///
    /// # Errors
    /// Whatever the registries, the network or the disk say.
    pub async fn pull(&self, request: &PullRequest, tell: &Tell, done: &mut Vec<Pulled>) -> Result<()> {
        let domain = request.reference.domain();
        let endpoints = endpoint::for_pull(&self.settings, domain);
        let mut last = Error::Invalid(format!("no endpoint for {domain}"));
        for endpoint in &endpoints {
            // Credentials are for the registry, not for whoever mirrors it.
            let anonymous = Credentials::Anonymous;
            let credentials = if endpoint.mirror { &anonymous } else { &request.credentials };
            let session = match Session::open(&self.settings, endpoint, credentials).await {
                Ok(session) => session,
                Err(error) => {
                    tracing::debug!(endpoint = endpoint.base, %error, "no registry there");
                    last = error;
                    continue;
                }
            };
            let repository = Repository::for_pull(Arc::new(session), request.reference.path());
            match self.pull_from(&repository, request, tell, done).await {
                Err(error) if endpoint.mirror && !matches!(error, Error::Cancelled) => {
                    tracing::info!(mirror = endpoint.base, %error, "a mirror failed; asking the next");
                    last = error;
                }
                result => return result,
            }
        }
        Err(last)
    }

    async fn pull_from(&self, repository: &Repository, request: &PullRequest, tell: &Tell, done: &mut Vec<Pulled>) -> Result<()> {
        let whole = &request.reference;
        let references = match whole.tag().is_some() || whole.digest().is_some() {
            true => vec![whole.clone()],
            false => {
                let tags = repository.tags().await.map_err(|e| e.about(whole))?;
                tags.iter()
                    .map(|tag| Reference::from_repo_and_tag(&whole.name(), tag))
                    .collect::<Result<_, _>>()
                    .map_err(lighter_image::Error::from)?
            }
        };
        let mut newer = false;
        for reference in references {
            let one = One { registries: self, repository, reference: &reference, platform: request.platform.as_ref(), tell };
            let (pulled, changed) = one.pull().await.map_err(|e| e.about(&reference))?;
            newer |= changed;
            done.push(pulled);
        }
        let status = if newer { "Downloaded newer image" } else { "Image is up to date" };
        say(tell, format!("Status: {status} for {}", whole.familiar())).await;
        self.warn_of_platform(request, tell, done).await;
        Ok(())
    }

    /// An image that is for one platform only is pulled whatever platform was asked for.
    async fn warn_of_platform(&self, request: &PullRequest, tell: &Tell, done: &[Pulled]) {
        let (Some(want), [one]) = (&request.platform, done) else { return };
        let Some(image) = self.shop.store.get_by_id(&one.id) else { return };
        let have = image.platform();
        if !have.fits(want) {
            let name = one.reference.familiar();
            let what = format!(
                "WARNING: image with reference {name} was found but its platform ({have}) does not match the specified platform ({want})"
            );
            say(tell, what).await;
        }
    }

    /// The job for a layer, shared with whoever needs the same.
    fn job(&self, repository: &Repository, layer: &Descriptor) -> Result<(Arc<Job>, bool)> {
        let mut jobs = self.jobs.lock();
        jobs.retain(|_, job| job.strong_count() > 0);
        if let Some(job) = jobs.get(&layer.digest).and_then(Weak::upgrade) {
            return Ok((job, false));
        }
        let job = Arc::new(Job::start(&self.shop, repository.clone(), layer)?);
        jobs.insert(layer.digest, Arc::downgrade(&job));
        Ok((job, true))
    }

    /// Throws away what was downloaded of a layer, unless somebody else is at it.
    fn discard(&self, layer: &Digest) {
        let jobs = self.jobs.lock();
        if jobs.get(layer).is_none_or(|job| job.strong_count() == 0) {
            let _ = std::fs::remove_file(self.shop.store.partial_path(layer));
        }
    }

    /// A failed job must not be what the next pull waits for.
    fn forget(&self, layer: &Digest, job: &Arc<Job>) {
        let mut jobs = self.jobs.lock();
        if jobs.get(layer).is_some_and(|known| known.as_ptr() == Arc::as_ptr(job)) {
            jobs.remove(layer);
        }
    }
}

pub(crate) async fn say(tell: &Tell, text: String) {
    // Nobody listens: the next step finds out.
    let _ = tell.send(Progress::Status(text)).await;
}

/// Runs a change of the store on a thread that may block.
pub(crate) async fn in_store<T: Send + 'static>(work: impl FnOnce() -> lighter_image::Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Cancelled)?.map_err(Error::from)
}
