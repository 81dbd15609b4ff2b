//! A container's files: `docker cp`, `diff`, `export`, `commit`.

use crate::daemon::{Daemon, Shared};
use crate::events::of_container;
use crate::images::{self, familiar};
use crate::requests::CommitContainer;
use crate::{merge, wording};
use lighter_domain::{ContainerState, Error, ErrorKind, Result};
use lighter_engine::{ByteStream, Change, Files, NewImage, PathStat, WriteOptions};

impl Shared {
    fn files(&self, feature: &str) -> Result<&dyn Files> {
        self.engine.files().ok_or_else(|| self.lacks(feature))
    }
}

const COPYING: &str = "copying files (cp)";

impl Daemon {
    /// What is at `path` in a container.
    pub async fn archive_stat(&self, reference: &str, path: &str) -> Result<PathStat> {
        let container = self.entry(reference)?.snapshot();
        let found = self.shared().files(COPYING)?.stat(&container, path).await;
        found.map_err(|e| missing(reference, path, e))
    }

    /// What is at `path` in a container, as a tar.
    pub async fn archive_read(&self, reference: &str, path: &str) -> Result<(PathStat, ByteStream)> {
        let container = self.entry(reference)?.snapshot();
        let shared = self.shared();
        let read = shared.files(COPYING)?.read(&container, path).await;
        let read = read.map_err(|e| missing(reference, path, e))?;
        shared.emit(vec![of_container(&container, "archive-path", &[])]).await?;
        Ok(read)
    }

    /// Unpacks a tar into the directory at `path` in a container.
    pub async fn archive_write(&self, reference: &str, path: &str, archive: ByteStream, options: WriteOptions) -> Result<()> {
        let container = self.entry(reference)?.snapshot();
        let shared = self.shared();
        let written = shared.files(COPYING)?.write(&container, path, archive, options).await;
        written.map_err(|e| missing(reference, path, e))?;
        shared.emit(vec![of_container(&container, "extract-to-dir", &[])]).await
    }

    /// How a container's files differ from its image's.
    pub async fn changes(&self, reference: &str) -> Result<Vec<Change>> {
        let container = self.entry(reference)?.snapshot();
        self.shared().files("listing changes of the file system (diff)")?.changes(&container).await
    }

    /// A container's own files as a tar.
    pub async fn export(&self, reference: &str) -> Result<ByteStream> {
        let container = self.entry(reference)?.snapshot();
        let shared = self.shared();
        let stream = shared.files("exporting a container")?.export(&container).await?;
        shared.emit(vec![of_container(&container, "export", &[])]).await?;
        Ok(stream)
    }

    /// Makes an image of a container; its id.
    pub async fn commit(&self, request: CommitContainer) -> Result<String> {
        let CommitContainer { container: reference, repository, tag, author, comment, pause, changes, config } = request;
        if reference.is_empty() {
            return Err(Error::invalid("invalid name or ID supplied: \"\""));
        }
        let container = self.entry(&reference)?.snapshot();
        let shared = self.shared();
        let files = shared.files("committing a container")?;
        if matches!(container.state, ContainerState::Dead | ContainerState::Removing) {
            return Err(wording::not_committed(&container));
        }
        let mut config = config.unwrap_or_else(|| container.config.clone());
        crate::changes::apply(&mut config, &changes)?;
        merge::image_defaults(&mut config, &container.config);
        let image = NewImage { config, author, comment: comment.clone(), repository: repository.clone(), tag: tag.clone() };
        let id = container.id.as_str();
        // A container that cannot be paused does not run, and changes nothing.
        let paused = pause && container.state.is_running() && self.pause(id).await.is_ok();
        let made = files.commit(&container, image).await;
        if paused && let Err(error) = self.unpause(id).await {
            tracing::warn!(id, %error, "a container could not go on after its commit");
        }
        let made = made?;
        let name = match (repository.as_str(), tag.as_str()) {
            ("", _) => String::new(),
            (repository, "") => format!("{}:latest", familiar(repository)),
            (repository, tag) => format!("{}:{tag}", familiar(repository)),
        };
        let labels = shared.images()?.get(&made).await?.config.labels.clone();
        let mut told = vec![images::event("create", &made, &made, &labels)];
        if !name.is_empty() {
            told.push(images::event("tag", &made, &name, &labels));
        }
        let extra = [("comment", comment), ("imageID", made.clone()), ("imageRef", name)];
        told.push(of_container(&container, "commit", &extra));
        shared.images_changed(told).await?;
        Ok(made)
    }
}

/// What is not there is named as the client named it.
fn missing(reference: &str, path: &str, error: Error) -> Error {
    if error.kind() == ErrorKind::NotFound { wording::no_such_file(reference, path) } else { error }
}
