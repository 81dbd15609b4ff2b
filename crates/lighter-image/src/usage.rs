//! What images take up, and how they came to be: `system df`, `docker history`.

use std::collections::HashMap;

use crate::digest::{Digest, ImageId};
use crate::store::{Image, ImageStore};

/// Bytes of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageUsage {
    /// Which.
    pub id: ImageId,
    /// Of all its layers.
    pub size: u64,
    /// Of those that another image has too.
    pub shared_size: u64,
}

/// Bytes of all images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of all layers, each once.
    pub layers_size: u64,
    /// Image by image, newest first.
    pub images: Vec<ImageUsage>,
}

/// One line of `docker history`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryItem {
    /// An image id, or `<missing>`.
    pub id: String,
    /// RFC 3339, as the image says.
    pub created: Option<String>,
    /// By which instruction.
    pub created_by: String,
    /// Tags of that image.
    pub tags: Vec<String>,
    /// Bytes of the layer; 0 if the step made none.
    pub size: u64,
    /// Comment.
    pub comment: String,
}

impl ImageStore {
    /// How much space images take. Memory only.
    pub fn usage(&self) -> Usage {
        let state = self.state();
        let images = self.list_all();
        let mut users: HashMap<Digest, usize> = HashMap::new();
        for image in &images {
            let unique: std::collections::HashSet<_> = image.layers().iter().collect();
            for layer in unique {
                *users.entry(*layer).or_default() += 1;
            }
        }
        let size = |layer: &Digest| state.layers.get(layer).map_or(0, |layer| layer.size);
        let shared = |layer: &&Digest| users.get(layer).is_some_and(|count| *count > 1);
        let usage = images.iter().map(|image| ImageUsage {
            id: image.id,
            size: image.size,
            shared_size: image.layers().iter().filter(shared).map(size).sum(),
        });
        Usage { layers_size: state.layers.values().map(|layer| layer.size).sum(), images: usage.collect() }
    }

    /// The steps of an image, newest first. Memory only.
    pub fn history(&self, image: &Image) -> Vec<HistoryItem> {
        let state = self.state();
        let mut layers = image.layers().iter();
        let mut items: Vec<_> = image
            .config
            .history
            .iter()
            .map(|entry| HistoryItem {
                id: "<missing>".to_owned(),
                created: entry.created.clone(),
                created_by: entry.created_by.clone(),
                tags: Vec::new(),
                size: match entry.empty_layer {
                    true => 0,
                    false => layers.next().and_then(|id| state.layers.get(id)).map_or(0, |layer| layer.size),
                },
                comment: entry.comment.clone(),
            })
            .collect();
        items.reverse();
        let mut known = Some(image.id);
        for item in &mut items {
            let Some(step) = known.and_then(|id| state.view.get(&id)) else { break };
            item.id = step.id.to_string();
            item.tags.clone_from(&step.repo_tags);
            known = step.parent;
        }
        items
    }
}
