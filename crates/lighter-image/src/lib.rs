//! Images of the Linux engine: the content store, archives in and out, unpacked layers, writable snapshots; and, for
//! containers, trees of files to and from archives ([`pack()`], [`extract()`]).
//!
//! Everything here blocks (files, hashing, decompression); callers run it on a blocking thread, except what is
//! documented as "memory only". Nothing here knows of HTTP, containers or registries: the engine converts, and the
//! registry client feeds the same [`Stage`] that `load` and `import` use.
//!
//! On disk, below the root given to [`ImageStore::open`]:
//!
//! | path | what |
//! | --- | --- |
//! | `state.json` | names, images, layers: replaced as a whole by rename, the only thing that makes an image exist |
//! | `blobs/sha256/<hex>` | image configurations, manifests, indexes, attestations, and layers that arrived compressed, as received |
//! | `layers/<n>` | an unpacked layer, ready to be an overlay lower directory; shared by every image with that diff id |
//! | `splits/<n>` | for a layer that arrived uncompressed: its tar without the file contents, so that `save` gives back the same bytes |
//! | `partial/<hex>` | blobs that are being downloaded, kept for a week after the last byte came |
//! | `packed/<hex>` | how a plain layer was called when it was compressed for a registry |
//! | `tmp/` | what loads are staging; emptied at open |
//! | `trash/` | what is being deleted; emptied at open, in the background |
//!
//! Layers are kept by diff id, not by chain id: an unpacked overlay layer does not depend on what is below it, so
//! this shares all that chain ids share and more.

mod codec;
mod config;
mod digest;
mod error;
mod extract;
#[cfg(test)]
mod fixtures;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod hashing;
mod import;
mod index;
mod load;
mod outgoing;
mod pack;
mod reference;
mod remove;
mod resolve;
mod save;
mod snapshot;
mod split;
mod stage;
mod state;
mod store;
mod tarball;
mod trash;
mod unpack;
mod usage;

pub use config::{ContainerConfig, Healthcheck, HistoryEntry, ImageConfig, RootFs};
pub use digest::{Digest, ImageId};
pub use error::{ArchiveError, Error, ErrorKind, Result, io_words};
pub use extract::{Extract, extract};
pub use import::{ImportOptions, Platform};
pub use index::{Index, ManifestInfo, ManifestKind, Manifests, NewIndex, Statement, choose};
pub use load::{Descriptor, LoadEvent, LoadedImage, Manifest};
pub use outgoing::StoredLayer;
pub use pack::{Form, Skip, pack, pack_contents};
pub use reference::{Reference, ReferenceError};
pub use remove::{Collect, Collected, InUse, LabelFilter, PruneOptions, PruneReport, RemoveOptions, Removed, Use};
pub use resolve::open_below;
pub use save::SavePlan;
pub use snapshot::{SnapshotPaths, Snapshots, tree_size};
pub use stage::{NewImage, Stage};
pub use state::RootAttrs;
pub use store::{Durability, Image, ImageStore, LayerStack, Limits, StoreOptions};
pub use usage::{HistoryItem, ImageUsage, Usage};
