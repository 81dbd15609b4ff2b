//! Which images `image prune` takes, and how each goes.

use std::sync::Arc;

use super::{PruneOptions, Removal, RemoveOptions};
use crate::digest::ImageId;
use crate::store::Image;

impl Removal<'_> {
    pub(super) fn prunable(&self, options: &PruneOptions) -> Vec<ImageId> {
        let fits = |image: &&Arc<Image>| {
            let old = options.until.is_none_or(|until| image.created.is_some_and(|created| created <= until));
            let labels = image.config.labels();
            old && options.labels.iter().all(|filter| filter.passes(&labels))
        };
        let has_child = |id: &ImageId| self.state.images.values().any(|image| image.parent == Some(*id));
        let images = self.state.view.values().filter(fits);
        let images = images.filter(|image| {
            let unnamed = image.repo_tags.is_empty() && image.repo_digests.is_empty();
            !image.companion && !(has_child(&image.id) && (options.dangling_only || unnamed))
        });
        let mut ids: Vec<_> = images.map(|image| image.id).collect();
        ids.sort();
        ids
    }

    pub(super) fn prune(&mut self, id: &ImageId, dangling_only: bool) {
        // A parent may have gone with its child.
        if !self.state.images.contains_key(id) {
            return;
        }
        let names = self.state.names_of(id);
        if dangling_only && names.iter().any(|name| name.tag().is_some()) {
            return;
        }
        let texts = match names.is_empty() {
            true => vec![id.hex()],
            false => names.iter().map(ToString::to_string).collect(),
        };
        for text in texts {
            // Names are looked up in the view of before; those that went meanwhile are no error.
            if let Err(error) = self.remove(&text, RemoveOptions::default()) {
                tracing::debug!(image = %id, %error, "not pruned");
            }
        }
    }
}
