//! Where this engine keeps things: `<data-root>` for what outlives a reboot, `<exec-root>` for what does not.

use lighter_domain::ContainerId;
use std::path::PathBuf;

/// The directories of one daemon.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub data_root: PathBuf,
    pub exec_root: PathBuf,
}

impl Layout {
    pub(crate) fn runs(&self) -> PathBuf {
        self.exec_root.join("containers")
    }

    /// Shared with the supervisor; named by the protocol's `files`.
    pub(crate) fn run_dir(&self, id: &ContainerId) -> PathBuf {
        self.runs().join(id.as_str())
    }

    /// What is being deleted; emptied when the engine is opened.
    pub(crate) fn run_trash(&self) -> PathBuf {
        self.exec_root.join("trash")
    }

    pub(crate) fn data_trash(&self) -> PathBuf {
        self.containers().join(".trash")
    }

    /// Stays empty: where containers that do not run are mounted, each in a namespace of its own.
    pub(crate) fn views(&self) -> PathBuf {
        self.exec_root.join("view")
    }

    pub(crate) fn seccomp(&self) -> PathBuf {
        self.exec_root.join("seccomp")
    }

    pub(crate) fn containers(&self) -> PathBuf {
        self.data_root.join("containers")
    }

    /// Logs and the generated `/etc` files.
    pub(crate) fn data_dir(&self, id: &ContainerId) -> PathBuf {
        self.containers().join(id.as_str())
    }

    pub(crate) fn log(&self, id: &ContainerId) -> PathBuf {
        self.data_dir(id).join(format!("{id}-json.log"))
    }

    pub(crate) fn hosts(&self, id: &ContainerId) -> PathBuf {
        self.data_dir(id).join("hosts")
    }

    pub(crate) fn hostname(&self, id: &ContainerId) -> PathBuf {
        self.data_dir(id).join("hostname")
    }

    pub(crate) fn resolv_conf(&self, id: &ContainerId) -> PathBuf {
        self.data_dir(id).join("resolv.conf")
    }

    pub(crate) fn volumes(&self) -> PathBuf {
        self.data_root.join("volumes")
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.data_root.join("image")
    }

    pub(crate) fn snapshots(&self) -> PathBuf {
        self.data_root.join("overlay")
    }
}
