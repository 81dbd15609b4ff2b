//! Images from registries and to them: the engine moves them; here are the events and the store's rows.

use crate::daemon::Daemon;
use crate::images::event;
use lighter_domain::event::Event;
use lighter_domain::image::{DistributionImage, ImagePull, ImagePush, PullOutcome, PushOutcome, RegistryLogin, SearchResult};
use lighter_domain::resource::ImagePullRecord;
use lighter_domain::{Error, Result};
use lighter_engine::{Progress, Registry};
use std::collections::BTreeMap;
use time::OffsetDateTime;
use tokio::sync::mpsc;

/// The longest error that is kept in the history, in bytes.
const LONGEST_ERROR: usize = 1024;

impl Daemon {
    fn registry(&self, feature: &str) -> Result<&dyn Registry> {
        let shared = self.shared();
        shared.engine.registry().ok_or_else(|| shared.lacks(feature))
    }

    /// Pulls. What came before an error stays, and is noted.
    pub async fn image_pull(&self, pull: ImagePull, progress: mpsc::Sender<Progress>) -> Result<()> {
        let outcome = self.registry("pulling images")?.pull(&pull, progress).await;
        let mut told = Vec::new();
        if outcome.result.is_ok() {
            let id = outcome.pulled.first().map(|first| first.id.as_str());
            told.push(self.transfer_event("pull", &outcome.asked, id).await);
        }
        let records = records(&outcome);
        if !records.is_empty() {
            self.shared().images_pulled(records, told).await?;
        }
        outcome.result
    }

    /// Pushes.
    pub async fn image_push(&self, push: ImagePush, progress: mpsc::Sender<Progress>) -> Result<()> {
        let PushOutcome { asked, id, result } = self.registry("pushing images")?.push(&push, progress).await;
        let mut told = Vec::new();
        if result.is_ok() {
            told.push(self.transfer_event("push", &asked, id.as_deref()).await);
        }
        if id.is_some() {
            self.shared().images_changed(told).await?;
        }
        result
    }

    /// An identity token to keep instead of the password, or an empty text.
    pub async fn registry_login(&self, server: &str, login: &RegistryLogin) -> Result<String> {
        self.registry("logging in to a registry")?.log_in(server, login).await
    }

    pub async fn distribution(&self, name: &str, login: &RegistryLogin) -> Result<DistributionImage> {
        self.registry("asking a registry about an image")?.distribution(name, login).await
    }

    pub async fn image_search(&self, term: &str, limit: Option<i64>, login: &RegistryLogin) -> Result<Vec<SearchResult>> {
        let registry = self.registry("searching a registry")?;
        let limit = limit.filter(|limit| *limit != 0).unwrap_or(25);
        let bounded = u32::try_from(limit).ok().filter(|limit| (1..=100).contains(limit));
        let bounded = bounded.ok_or_else(|| Error::invalid(format!("limit {limit} is outside the range of [1, 100]")))?;
        registry.search(term, bounded, login).await
    }

    async fn transfer_event(&self, action: &str, (reference, name): &(String, String), id: Option<&str>) -> Event {
        let labels = match id {
            Some(id) => self.image(id).await.map(|image| image.config.labels.clone()).unwrap_or_default(),
            None => BTreeMap::new(),
        };
        event(action, reference, name, &labels)
    }
}

/// The history's rows of one pull. One that did not even have a name is not in it.
fn records(outcome: &PullOutcome) -> Vec<ImagePullRecord> {
    let pulled_at = OffsetDateTime::now_utc();
    let pulled = outcome.pulled.iter().map(|image| ImagePullRecord {
        registry: image.registry.clone(),
        name: image.name.clone(),
        reference: image.reference.clone(),
        digest: Some(image.digest.clone()),
        image_id: Some(image.id.clone()),
        error: None,
        pulled_at,
    });
    let (reference, name) = &outcome.asked;
    let failed = outcome.result.as_ref().err().filter(|_| !name.is_empty()).map(|error| ImagePullRecord {
        registry: outcome.registry.clone(),
        name: name.clone(),
        reference: reference.clone(),
        digest: None,
        image_id: None,
        error: Some(error.message()[..error.message().floor_char_boundary(LONGEST_ERROR)].to_owned()),
        pulled_at,
    });
    pulled.chain(failed).collect()
}
