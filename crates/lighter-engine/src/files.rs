//! A container's files, from outside: `docker cp`, `diff`, `export`, `commit`.

use crate::ByteStream;
use async_trait::async_trait;
use lighter_domain::{Container, ContainerConfig, Result};
use time::OffsetDateTime;

/// Files of a container, whether it runs or not, as its processes see them: with its binds, volumes and tmpfs, without the
/// kernel's own file systems. Paths are the container's; nothing in it leads outside.
#[async_trait]
pub trait Files: Send + Sync {
    /// What is at `path`. A link is not followed, unless the path ends in `/` or `/.`. `NotFound` where nothing is.
    async fn stat(&self, container: &Container, path: &str) -> Result<PathStat>;

    /// What is at `path` (as [`Files::stat`] has it), as a tar of entries below its last name; `.` for a path that ends so.
    async fn read(&self, container: &Container, path: &str) -> Result<(PathStat, ByteStream)>;

    /// Unpacks a tar into the directory at `path`; `NotFound` where nothing is. What was unpacked before an error stays.
    async fn write(&self, container: &Container, path: &str, archive: ByteStream, options: WriteOptions) -> Result<()>;

    /// How its own files differ from its image's, by path. Of what was added or removed with all below it: the first is told
    /// in full, the second by its top.
    async fn changes(&self, container: &Container) -> Result<Vec<Change>>;

    /// All of its own files as a tar, without what is mounted.
    async fn export(&self, container: &Container) -> Result<ByteStream>;

    /// Makes an image of its image and what it changed; its id. `NotFound` where the image is gone.
    async fn commit(&self, container: &Container, image: NewImage) -> Result<String>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Absolute.
    pub path: String,
    pub kind: ChangeKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    Modified,
    Added,
    Deleted,
}

/// What a commit gives to its image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewImage {
    pub config: ContainerConfig,
    pub author: String,
    pub comment: String,
    /// Its name, if it gets one; the tag may be empty.
    pub repository: String,
    pub tag: String,
}

/// What is known of one file of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStat {
    /// The last part of the path asked for.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// As in `st_mode`.
    pub mode: u32,
    pub mtime: OffsetDateTime,
    /// Where a link leads in the container; empty for anything else.
    pub link_target: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// A directory stays one, and what is none does not become one.
    pub keep_kinds: bool,
    /// Files belong to the container's user, in place of the archive's.
    pub own: bool,
}
