//! `--mount type=image`: the files of an image, read-only, in a container.
//!
//! While the container runs its supervisor has the image's layers mounted, in its own mount namespace as everything else: the
//! container's mount is a bind of them, or of the part that was asked for. Nothing of it is the host's to unmount.

use crate::engine::Inner;
use crate::fail::{Context as _, in_gos_words};
use crate::paths::Layout;
use crate::spec::view::View;
use lighter_domain::container::{MountKind, MountPoint};
use lighter_domain::{Container, ContainerId, Error, Result};
use lighter_supervisor_proto::{ImageMount, files};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// Where the supervisor has the image that is the container's mount of that number.
pub(crate) fn place(layout: &Layout, container: &ContainerId, number: usize) -> PathBuf {
    layout.run_dir(container).join(files::IMAGES).join(number.to_string())
}

impl Inner {
    /// The layers of a mount's image, topmost first.
    pub(crate) fn layers_of(&self, point: &MountPoint) -> Result<Vec<PathBuf>> {
        let gone = || Error::not_found(format!("No such image: {}", point.image_id));
        let id = point.image_id.parse().map_err(|_| gone())?;
        Ok(self.images.layer_stack(&id).map_err(|_| gone())?.dirs)
    }

    /// What the supervisor is to mount. Says of parts of images what is not there; they are opened for good by the supervisor.
    pub(crate) fn image_mounts(&self, container: &Container) -> Result<Vec<ImageMount>> {
        let mut all = Vec::new();
        for (number, point) in container.mounts.iter().enumerate().filter(|(_, m)| m.kind == MountKind::Image) {
            let image = ImageMount { lower: self.layers_of(point)?, at: place(&self.layout, &container.id, number) };
            if !point.subpath.is_empty() {
                check_part(&image, &point.subpath)?;
            }
            all.push(image);
        }
        Ok(all)
    }
}

fn check_part(image: &ImageMount, part: &str) -> Result<()> {
    let view = View::open(image.lower.iter().map(PathBuf::as_path)).context("cannot open the image's layers")?;
    let found = view.resolve(Path::new(part)).at("cannot look for", Path::new(part))?;
    if found.missing.is_empty() {
        return Ok(());
    }
    let why = in_gos_words(if found.is_dir { Errno::NOENT } else { Errno::NOTDIR });
    Err(Error::internal(format!("cannot access path {0}: lstat {0}: {why}", image.at.join(part).display())))
}
