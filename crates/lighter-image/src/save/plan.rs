//! What a `docker save` will write, looked up and held before the first byte.

use std::sync::Arc;

use crate::digest::ImageId;
use crate::error::{Error, Result};
use crate::import::Platform;
use crate::index::{self, Index, Indexed};
use crate::load::Manifest;
use crate::load::oci::Descriptor;
use crate::reference::Reference;
use crate::stage::Stage;
use crate::state::{LayerRecord, State};
use crate::store::{Image, ImageStore, find};

pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";

/// What will be saved, resolved and held: images removed meanwhile are saved all the same.
#[derive(Debug)]
pub struct SavePlan {
    pub(super) store: ImageStore,
    pub(super) images: Vec<Planned>,
    pub(super) indexes: Vec<PlannedIndex>,
    /// Keeps the layers.
    stage: Stage,
}

#[derive(Debug)]
pub(super) struct Planned {
    pub(super) image: Arc<Image>,
    /// What it is called in the list for older readers.
    pub(super) names: Vec<Reference>,
    pub(super) layers: Vec<LayerRecord>,
    pub(super) manifest: Vec<u8>,
    /// Whether it is listed by itself, not only by an index.
    pub(super) alone: bool,
}

#[derive(Debug)]
pub(super) struct PlannedIndex {
    pub(super) index: Arc<Index>,
    pub(super) names: Vec<Reference>,
    /// Attestations.
    pub(super) blobs: Vec<Vec<u8>>,
}

/// An image, and the name by which it was asked for if that is a tag.
type Match = (ImageId, Option<Reference>);

impl ImageStore {
    /// Looks up what to save, before anything is sent: `name:tag` takes that name along, a name without a tag all tags
    /// of the repository, an id no name. Of a name for several platforms those that are asked for are saved, or all that
    /// are here.
    ///
    /// # Errors
    /// No such image, or none for a platform.
    pub fn resolve_save(&self, names: &[&str], platforms: &[Platform]) -> Result<SavePlan> {
        let state = self.state();
        let mut plan = SavePlan { store: self.clone(), images: Vec::new(), indexes: Vec::new(), stage: self.stage()? };
        for text in names {
            // As it was written: here dockerd adds no tag.
            let found = matches(&state, text).map_err(|error| match error {
                Error::NoSuchImage(_) => Error::NoSuchImage((*text).to_owned()),
                other => other,
            })?;
            for found in found {
                plan.add(&state, text, found, platforms)?;
            }
        }
        Ok(plan)
    }

    /// An image's manifest with its media type: the one it came with, or one made for it.
    pub(crate) fn own_manifest(&self, state: &State, image: &Image) -> (String, Vec<u8>) {
        let kept = image.manifest.and_then(|digest| self.blob(&digest));
        let bytes = kept.unwrap_or_else(|| {
            let layers: Vec<_> = image.layers().iter().filter_map(|diff_id| state.layers.get(diff_id).cloned()).collect();
            make_manifest(image, &layers)
        });
        (media_type_of(&bytes).unwrap_or_else(|| MANIFEST_TYPE.to_owned()), bytes)
    }
}

impl SavePlan {
    fn add(&mut self, state: &State, text: &str, (id, name): Match, platforms: &[Platform]) -> Result<()> {
        let called = name.as_ref().map_or_else(|| text.to_owned(), ToString::to_string);
        let index = index::of(state, &called, &id).and_then(|digest| state.indexes.get(&digest));
        let chosen = match platforms {
            [] => Vec::new(),
            some => some.iter().map(|platform| wanted(state, &called, platform)).collect::<Result<_>>()?,
        };
        let whole = index.map(|index| (index, self.store.exportable(state, index))).filter(|(index, all)| match &chosen[..] {
            [] => all.len() > 1 || all.len() == index.parsed.images().count(),
            _ => chosen.len() > 1,
        });
        let Some((index, mut all)) = whole else {
            let ids = if chosen.is_empty() { vec![id] } else { chosen };
            return ids.into_iter().try_for_each(|id| self.add_alone(state, id, name.as_slice()));
        };
        all.retain(|(image, _)| chosen.is_empty() || chosen.contains(&image.id));
        self.add_index(index, name.as_slice());
        // One image has the name for those who know no indexes: the one that it leads to here.
        let first = all.iter().position(|(image, _)| image.id == id).unwrap_or(0);
        for (at, (image, manifest)) in all.into_iter().enumerate() {
            let names = if at == first { name.as_slice() } else { &[] };
            self.add_image(state, (image, manifest), names, false)?;
        }
        Ok(())
    }

    fn add_alone(&mut self, state: &State, id: ImageId, names: &[Reference]) -> Result<()> {
        let image = state.view.get(&id).cloned().ok_or_else(|| Error::NoSuchImage(id.to_string()))?;
        let (_, manifest) = self.store.own_manifest(state, &image);
        self.add_image(state, (image, manifest), names, true)
    }

    fn add_index(&mut self, index: &Indexed, names: &[Reference]) {
        let known = self.indexes.iter().position(|known| known.index.raw == index.parsed.raw);
        let at = known.unwrap_or_else(|| {
            let blobs = index.record.blobs.iter().filter_map(|digest| self.store.blob(digest)).collect();
            self.indexes.push(PlannedIndex { index: Arc::clone(&index.parsed), names: Vec::new(), blobs });
            self.indexes.len() - 1
        });
        add_names(&mut self.indexes[at].names, names);
    }

    fn add_image(
        &mut self,
        state: &State,
        (image, manifest): (Arc<Image>, Vec<u8>),
        names: &[Reference],
        alone: bool,
    ) -> Result<()> {
        if let Some(known) = self.images.iter_mut().find(|known| known.image.id == image.id && known.manifest == manifest) {
            known.alone |= alone;
            add_names(&mut known.names, names);
            return Ok(());
        }
        let mut layers = Vec::new();
        for diff_id in image.layers() {
            let missing = || Error::MissingLayer { image: image.id, layer: *diff_id };
            if !self.stage.use_stored_layer(diff_id) {
                return Err(missing());
            }
            layers.push(state.layers.get(diff_id).cloned().ok_or_else(missing)?);
        }
        self.images.push(Planned { image, names: names.to_vec(), layers, manifest, alone });
        Ok(())
    }
}

fn wanted(state: &State, called: &str, platform: &Platform) -> Result<ImageId> {
    index::find_for(state, called, platform).map_err(|error| match error {
        Error::NoPlatform { platform, .. } => Error::NoExport(platform),
        other => other,
    })
}

fn add_names(to: &mut Vec<Reference>, names: &[Reference]) {
    for name in names {
        if !to.contains(name) {
            to.push(name.clone());
        }
    }
}

fn matches(state: &State, text: &str) -> Result<Vec<Match>> {
    let Some(name) = Reference::parse(text).ok().filter(|name| name.digest().is_none()) else {
        return Ok(vec![(find(state, text)?, None)]);
    };
    if name.tag().is_none() {
        let tags = state.names.iter().filter(|(known, _)| known.tag().is_some() && known.name() == name.name());
        let tags: Vec<_> = tags.map(|(known, id)| (*id, Some(known.clone()))).collect();
        if !tags.is_empty() {
            return Ok(tags);
        }
    }
    let id = find(state, text)?;
    let name = name.with_default_tag();
    let named = state.names.get(&name) == Some(&id);
    Ok(vec![(id, named.then_some(name))])
}

fn make_manifest(image: &Image, layers: &[LayerRecord]) -> Vec<u8> {
    let manifest = Manifest {
        schema_version: 2,
        media_type: MANIFEST_TYPE.to_owned(),
        config: Descriptor::new(CONFIG_TYPE, image.id, image.raw_config.len() as u64),
        layers: layers.iter().map(layer_descriptor).collect(),
    };
    serde_json::to_vec(&manifest).unwrap_or_default()
}

fn layer_descriptor(layer: &LayerRecord) -> Descriptor {
    let (digest, size, media_type) = layer.tar.descriptor(layer.diff_id);
    Descriptor::new(media_type, digest, size)
}

/// What a manifest says it is.
pub(super) fn media_type_of(manifest: &[u8]) -> Option<String> {
    serde_json::from_slice::<Manifest>(manifest).map(|manifest| manifest.media_type).ok().filter(|kind| !kind.is_empty())
}
