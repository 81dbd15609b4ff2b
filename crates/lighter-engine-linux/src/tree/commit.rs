//! `docker commit`: the writable layer as a layer of a new image, on top of those of the container's image.

use super::changes::is_made_by_starts;
use crate::engine::Inner;
use crate::fail::Context as _;
use crate::images::{stored, told};
use lighter_domain::{Container, Error, Result};
use lighter_engine::NewImage;
use lighter_image::{Form, HistoryEntry, ImageConfig, ImageId, Reference, Stage, pack_contents};
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

impl Inner {
    /// Blocking.
    pub(super) fn commit(&self, container: &Container, image: NewImage) -> Result<String> {
        let names = match (image.repository.as_str(), image.tag.as_str()) {
            ("", _) => Vec::new(),
            (repository, tag) => {
                vec![Reference::from_repo_and_tag(repository, tag).map_err(|e| Error::invalid(e.to_string()))?]
            }
        };
        let gone = || Error::not_found(format!("No such image: {}", container.image_id));
        let base: ImageId = container.image_id.parse().map_err(|_| gone())?;
        let parent = self.images.get_by_id(&base).ok_or_else(gone)?;
        let layer = self.make_layer(container)?;
        let stage = self.images.stage().map_err(told)?;
        let mut rootfs = parent.config.rootfs.clone();
        if !rootfs.diff_ids.iter().all(|id| stage.use_stored_layer(id)) {
            return Err(gone());
        }
        rootfs.diff_ids.push(add_layer(&stage, &layer.upper)?);
        let created = OffsetDateTime::now_utc().format(&Rfc3339).ok();
        let mut history = parent.config.history.clone();
        history.push(HistoryEntry {
            created: created.clone(),
            author: image.author.clone(),
            created_by: container.config.cmd.as_deref().unwrap_or_default().join(" "),
            comment: image.comment.clone(),
            empty_layer: false,
        });
        let config = ImageConfig {
            created,
            author: image.author,
            comment: image.comment,
            config: Some(stored(image.config)),
            container: container.id.as_str().to_owned(),
            container_config: None,
            history,
            rootfs,
            docker_version: String::new(),
            ..(*parent.config).clone()
        };
        let config = serde_json::to_vec(&config).context("cannot write the image's configuration")?;
        let new = lighter_image::NewImage { config, names, manifest: None, index: None, parent: Some(base) };
        let ids = stage.commit(vec![new]).map_err(told)?;
        ids.first().map(ToString::to_string).ok_or_else(|| Error::internal("a commit made no image"))
    }
}

/// Packs the writable layer on one thread and unpacks it into the store on this one.
fn add_layer(stage: &Stage, upper: &Path) -> Result<lighter_image::Digest> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(upper, flags, Mode::empty()).at("cannot open", upper)?;
    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    std::thread::scope(|scope| {
        let packing = scope.spawn(move || {
            let skip = |name: &[u8], stat: &rustix::fs::Stat| {
                is_made_by_starts(&Path::new("/").join(std::ffi::OsStr::from_bytes(name)), stat)
            };
            pack_contents(&root, Form::Overlay, &skip, io::BufWriter::with_capacity(64 << 10, writer))
        });
        let added = stage.add_layer(reader, None);
        let packed = packing.join().map_err(|_| Error::internal("packing the layer panicked"))?;
        // What failed first broke the other one's pipe.
        match (packed, added) {
            (Ok(()), Ok(id)) => Ok(id),
            (Err(e), _) if !matches!(e, lighter_image::Error::Output(_)) => Err(told(e)),
            (_, Err(e)) | (Err(e), _) => Err(told(e)),
        }
    })
}
