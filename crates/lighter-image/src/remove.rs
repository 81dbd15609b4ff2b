//! `rmi` and `image prune`: which names go, which images go, and what stands in the way; as dockerd decides it.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use crate::digest::{Digest, ImageId};
use crate::error::{Error, Result};
use crate::import::Platform;
use crate::index;
use crate::reference::Reference;
use crate::state::State;
use crate::store::{Image, ImageStore, find};

/// A container that uses an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// 64 hex digits.
    pub container_id: String,
    /// Running or paused.
    pub running: bool,
}

/// Who uses an image; of several containers a running one should be told.
pub type InUse<'a> = &'a dyn Fn(&ImageId) -> Option<Use>;

/// How to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Also images with several names or with stopped containers.
    pub force: bool,
    /// Also parents without a name that nothing else needs (`noprune=false`).
    pub prune_parents: bool,
}

impl Default for RemoveOptions {
    fn default() -> Self {
        Self { force: false, prune_parents: true }
    }
}

/// One thing that was done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name is gone; the familiar name, and the image that had it.
    Untagged(String, ImageId),
    /// An image is gone.
    Deleted(ImageId),
    /// A layer is gone, by its chain id.
    DeletedLayer(Digest),
}

/// A `label` or `label!` filter of prune.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelFilter {
    /// Label name.
    pub key: String,
    /// Its value, if that matters.
    pub value: Option<String>,
    /// `label!=`: must not match.
    pub negated: bool,
}

impl LabelFilter {
    fn passes(&self, labels: &BTreeMap<String, String>) -> bool {
        let found = labels.get(&self.key).is_some_and(|value| self.value.as_ref().is_none_or(|want| want == value));
        found != self.negated
    }
}

/// What to prune.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PruneOptions {
    /// Only images without a tag; else all that no container uses.
    pub dangling_only: bool,
    /// Only images made before.
    pub until: Option<OffsetDateTime>,
    /// All must pass.
    pub labels: Vec<LabelFilter>,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self { dangling_only: true, until: None, labels: Vec::new() }
    }
}

/// What prune did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// In order.
    pub removed: Vec<Removed>,
    /// Bytes of the layers that went.
    pub space_reclaimed: u64,
}

impl ImageStore {
    /// Removes a name, and the image if that was its last.
    ///
    /// # Errors
    /// No such image, or a conflict in dockerd's words; nothing is changed then.
    pub fn remove(&self, reference: &str, options: RemoveOptions, in_use: InUse<'_>) -> Result<Vec<Removed>> {
        self.inner.change(|state| {
            let mut removal = Removal::new(state, in_use);
            removal.remove(reference, options)?;
            Ok(removal.finish().removed)
        })
    }

    /// Removes the images for some platforms of what a name stands for; with the last of them the name goes, too.
    ///
    /// # Errors
    /// As [`ImageStore::remove`]; when there is none for a platform.
    pub fn remove_platforms(
        &self,
        reference: &str,
        platforms: &[Platform],
        options: RemoveOptions,
        in_use: InUse<'_>,
    ) -> Result<Vec<Removed>> {
        self.inner.change(|state| {
            let mut removal = Removal::new(state, in_use);
            removal.remove_platforms(reference, platforms, options)?;
            Ok(removal.finish().removed)
        })
    }

    /// Removes images that nothing uses.
    ///
    /// # Errors
    /// A failing disk; images in use are passed over.
    pub fn prune(&self, options: &PruneOptions, in_use: InUse<'_>) -> Result<PruneReport> {
        self.inner.change(|state| {
            let mut removal = Removal::new(state, in_use);
            for image in removal.prunable(options) {
                removal.prune(&image, options.dangling_only);
            }
            Ok(removal.finish())
        })
    }

    /// Drops images that were removed by force while a stopped container used them, and that none uses now.
    /// To be called after containers are removed.
    ///
    /// # Errors
    /// A failing disk.
    pub fn collect_detached(&self, in_use: InUse<'_>) -> Result<()> {
        let unused = |state: &State| {
            let detached = state.images.values().filter(|image| image.detached && in_use(&image.id).is_none());
            detached.map(|image| image.id).collect::<Vec<_>>()
        };
        if unused(&self.state()).is_empty() {
            return Ok(());
        }
        self.inner.change(|state| {
            for id in unused(state) {
                state.images.remove(&id);
            }
            Ok(())
        })
    }
}

mod collect;
mod prune;

pub use collect::{Collect, Collected};

struct Removal<'a> {
    state: &'a mut State,
    in_use: InUse<'a>,
    removed: Vec<Removed>,
    /// Images as they were before.
    before: State,
}

impl<'a> Removal<'a> {
    fn new(state: &'a mut State, in_use: InUse<'a>) -> Self {
        let before = state.clone();
        Self { state, in_use, removed: Vec::new(), before }
    }

    fn remove(&mut self, text: &str, options: RemoveOptions) -> Result<()> {
        self.remove_one(text, options)?;
        self.drop_companions(options)
    }

    fn remove_one(&mut self, text: &str, options: RemoveOptions) -> Result<()> {
        let id = find(self.state, text)?;
        let by_id = id.to_string().starts_with(text) || id.hex().starts_with(text);
        let names = self.state.names_of(&id);
        let mut lost_name = false;
        if !by_id || self.names_exactly(text, &id) {
            self.remove_name(text, &id, &names, options.force)?;
            if !self.state.names_of(&id).is_empty() {
                return Ok(());
            }
            lost_name = true;
        } else if is_single(&names) {
            self.check(&id, options.force, false)?;
            self.untag_all(&id);
        }
        self.delete(&id, options, lost_name)
    }

    /// Whether a text that could be the beginning of an id is a name of the image: the name was found first.
    fn names_exactly(&self, text: &str, id: &ImageId) -> bool {
        let name = Reference::parse(text).map(Reference::with_default_tag);
        name.is_ok_and(|name| self.state.names.get(&name) == Some(id))
    }

    fn remove_name(&mut self, text: &str, id: &ImageId, names: &[Reference], force: bool) -> Result<()> {
        if !force
            && is_single(names)
            && let Some((user, image)) = self.user_of_any(text, id)
        {
            return Err(Error::ReferenceInUse {
                reference: text.to_owned(),
                container: short(&user.container_id),
                image: image.short(),
            });
        }
        let name = Reference::parse(text)?.with_default_tag();
        let name = match name.digest().map(str::to_owned) {
            Some(digest) => name.with_digest_only(&digest),
            None => name,
        };
        self.untag(&name, *id);
        if name.digest().is_none() {
            let left = self.state.names_of(id);
            let same = |other: &&Reference| other.name() == name.name();
            if !left.iter().filter(same).any(|other| other.tag().is_some()) {
                // Digests of a repository of which no tag is left go with the last tag.
                for other in left.iter().filter(same) {
                    self.untag(other, *id);
                }
            }
        }
        Ok(())
    }

    /// A container that uses an image or one of those that come along with its name.
    fn user_of_any(&self, text: &str, id: &ImageId) -> Option<(Use, ImageId)> {
        let index = index::of(self.state, text, id).and_then(|digest| self.state.indexes.get(&digest));
        let along = index.into_iter().flat_map(|index| index.record.images.values());
        std::iter::once(id).chain(along).find_map(|id| Some(((self.in_use)(id)?, *id)))
    }

    /// Deletes images that were kept for an index which no name has any more.
    fn drop_companions(&mut self, options: RemoveOptions) -> Result<()> {
        let held = index::held(self.state);
        let lost = |image: &&std::sync::Arc<Image>| image.companion && !held.contains_key(&image.id);
        let mut lost: Vec<_> = self.before.view.values().filter(lost).map(|image| image.id).collect();
        lost.sort();
        for id in lost {
            if self.state.images.contains_key(&id) && self.state.names_of(&id).is_empty() {
                self.delete(&id, options, true)?;
            }
        }
        Ok(())
    }

    fn remove_platforms(&mut self, text: &str, platforms: &[Platform], options: RemoveOptions) -> Result<()> {
        let id = find(self.state, text)?;
        let chosen = platforms.iter().map(|platform| index::find_for(self.state, text, platform));
        let chosen = chosen.collect::<Result<std::collections::BTreeSet<_>>>()?;
        let digest = index::of(self.state, text, &id);
        let all: Vec<ImageId> = match digest.and_then(|digest| self.state.indexes.get(&digest)) {
            Some(index) => index.parsed.images().filter_map(|d| index.record.images.get(&d.digest).copied()).collect(),
            None => vec![id],
        };
        let left = all.iter().find(|image| !chosen.contains(image)).copied();
        let (Some(digest), Some(left)) = (digest, left) else { return self.remove(text, options) };
        for image in chosen {
            self.check(&image, options.force, false)?;
            self.take_out(&digest, &image, left);
            if self.state.names_of(&image).is_empty() && !index::held(self.state).contains_key(&image) {
                self.delete(&image, options, false)?;
            }
        }
        Ok(())
    }

    /// Takes an image out of an index; names that led to it by that lead to another.
    fn take_out(&mut self, index: &Digest, image: &ImageId, other: ImageId) {
        let state = &mut *self.state;
        for (name, id) in &mut state.names {
            if id == image && state.indexed.get(name) == Some(index) {
                *id = other;
            }
        }
        if let Some(index) = state.indexes.get_mut(index) {
            index.record.images.retain(|_, id| id != image);
        }
    }

    fn delete(&mut self, id: &ImageId, options: RemoveOptions, quiet: bool) -> Result<()> {
        if let Err(error) = self.check(id, options.force, true) {
            let used = matches!(error, Error::ImageInUse { used: true, .. });
            let dangling = self.state.names_of(id).is_empty();
            return if quiet && (!dangling || used) { Ok(()) } else { Err(error) };
        }
        self.untag_all(id);
        let parent = self.state.images.get(id).and_then(|image| image.parent);
        match self.state.images.get_mut(id) {
            // Its layers stay for the container that was made from it.
            Some(image) if (self.in_use)(id).is_some() => image.detached = true,
            _ => {
                self.state.images.remove(id);
            }
        }
        self.removed.push(Removed::Deleted(*id));
        self.note_layers(id);
        match parent.filter(|_| options.prune_parents) {
            Some(parent) if self.state.images.contains_key(&parent) => {
                self.delete(&parent, RemoveOptions { force: false, ..options }, true)
            }
            _ => Ok(()),
        }
    }

    /// Lists the layers of a removed image that no other image has, topmost first, by chain id as dockerd does.
    fn note_layers(&mut self, id: &ImageId) {
        let Some(config) = self.state.configs.get(id).filter(|_| !self.state.images.contains_key(id)) else { return };
        let gone = chain_ids(&config.parsed.rootfs.diff_ids);
        let others = self.state.configs.iter().filter(|(other, _)| self.state.images.contains_key(other));
        let kept: std::collections::HashSet<_> =
            others.flat_map(|(_, config)| chain_ids(&config.parsed.rootfs.diff_ids)).collect();
        self.removed.extend(gone.into_iter().rev().filter(|id| !kept.contains(id)).map(Removed::DeletedLayer));
    }

    fn check(&self, id: &ImageId, force: bool, references_too: bool) -> Result<()> {
        let conflict = |hard, used, reason: String| Err(Error::ImageInUse { image: id.short(), hard, reason, used });
        let mut images = self.state.images.values();
        if images.any(|image| image.parent == Some(*id) && !image.detached) {
            return conflict(true, false, "image has dependent child images".to_owned());
        }
        let user = (self.in_use)(id);
        if let Some(user) = user.as_ref().filter(|user| user.running) {
            let container = short(&user.container_id);
            return conflict(true, true, format!("image is being used by running container {container}"));
        }
        if force {
            return Ok(());
        }
        if references_too && !self.state.names_of(id).is_empty() {
            return conflict(false, false, "image is referenced in multiple repositories".to_owned());
        }
        if let Some(user) = user {
            let container = short(&user.container_id);
            return conflict(false, true, format!("image is being used by stopped container {container}"));
        }
        Ok(())
    }

    fn untag(&mut self, name: &Reference, id: ImageId) {
        self.state.indexed.remove(name);
        if self.state.names.remove(name).is_some() {
            self.removed.push(Removed::Untagged(name.familiar(), id));
        }
    }

    fn untag_all(&mut self, id: &ImageId) {
        for name in self.state.names_of(id) {
            self.untag(&name, *id);
        }
    }

    fn finish(self) -> PruneReport {
        // What `drop_unreferenced` will find when the change is committed.
        let mut after = self.state.clone();
        let dropped = after.drop_unreferenced(|_| false);
        let space_reclaimed = dropped.layers.iter().filter(|l| self.before.layers.contains_key(&l.diff_id)).map(|l| l.size).sum();
        PruneReport { removed: self.removed, space_reclaimed }
    }
}

/// Whether all names of an image are one tag and digests of the same repository.
fn is_single(names: &[Reference]) -> bool {
    let mut tags = names.iter().filter(|name| name.tag().is_some());
    let first = tags.next().or(names.first());
    let Some(first) = first.filter(|_| tags.next().is_none()) else { return false };
    names.iter().all(|name| name.name() == first.name())
}

fn short(id: &str) -> String {
    id.chars().take(12).collect()
}

/// Chain ids of a list of diff ids, bottom first.
pub(crate) fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let next = match chain.last() {
            None => *diff_id,
            Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
        };
        chain.push(next);
    }
    chain
}

#[cfg(test)]
mod tests;
