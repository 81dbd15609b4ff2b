//! Garbage collection: images that nobody uses go in a given order, some in any case, others while there is too much.

use super::{InUse, Removal, Removed};
use crate::digest::{Digest, ImageId};
use crate::error::Result;
use crate::state::State;
use crate::store::ImageStore;

/// What to collect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collect {
    /// Images in the order in which they go, and whether they go in any case.
    pub order: Vec<(ImageId, bool)>,
    /// Bytes of all layers; above that the others go, too, until it is reached.
    pub limit: Option<u64>,
    /// Changes nothing.
    pub dry_run: bool,
}

/// What was collected, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Those of the order that went.
    pub ids: Vec<ImageId>,
    /// In order.
    pub removed: Vec<Removed>,
    /// Bytes of all layers, before and after.
    pub size_before: u64,
    /// See above.
    pub size_after: u64,
}

impl ImageStore {
    /// Removes images that nothing uses, all in one step.
    ///
    /// # Errors
    /// A failing disk; images in use, and those that others are made from, are passed over.
    pub fn collect(&self, what: &Collect, in_use: InUse<'_>) -> Result<Collected> {
        if what.dry_run {
            return Ok(collect(&mut State::clone(&self.state()), what, in_use));
        }
        self.inner.change(|state| Ok(collect(state, what, in_use)))
    }
}

fn collect(state: &mut State, what: &Collect, in_use: InUse<'_>) -> Collected {
    let mut removal = Removal::new(state, in_use);
    let mut done = Collected { size_before: removal.size(), ..Collected::default() };
    for (id, always) in &what.order {
        let wanted = *always || what.limit.is_some_and(|limit| removal.size() > limit);
        if wanted && removal.is_free(id) {
            removal.prune(id, false);
            if !removal.state.images.contains_key(id) {
                done.ids.push(*id);
            }
        }
    }
    done.size_after = removal.size();
    done.removed = removal.removed;
    done
}

impl Removal<'_> {
    /// Bytes of the layers that images need by now.
    fn size(&self) -> u64 {
        let here = self.state.configs.iter().filter(|(id, _)| self.state.images.contains_key(id));
        let used: std::collections::HashSet<&Digest> = here.flat_map(|(_, config)| &config.parsed.rootfs.diff_ids).collect();
        used.into_iter().filter_map(|diff_id| self.state.layers.get(diff_id)).map(|layer| layer.size).sum()
    }

    /// Whether no container uses the image or one that would go with it.
    fn is_free(&self, id: &ImageId) -> bool {
        let names = self.state.names_of(id);
        names.iter().all(|name| self.user_of_any(&name.to_string(), id).is_none()) && (self.in_use)(id).is_none()
    }
}
