//! What the engine's OCI specification becomes: a part for the runtime library, and a [`Program`] that our own executor runs.
//!
//! Why so: the library would build the seccomp filter for each container anew (8 ms), look `HOME`
//! up through the container's name services, and report a failed `execve` to nobody. So the namespaces, mounts and limits
//! stay with it, and user, capabilities, working directory, environment and filter are taken out and done in
//! [`crate::program`]. Called by the helper process, and for execs.

use crate::error::SetupError;
use libcontainer::oci_spec::runtime::{LinuxCapabilities, Process};
use serde_json::{Map, Value, json};
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A process to run, and as whom.
#[derive(Debug, Clone)]
pub struct Program {
    pub args: Vec<CString>,
    pub env: Vec<CString>,
    pub cwd: PathBuf,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub umask: u32,
    pub capabilities: LinuxCapabilities,
    pub no_new_privileges: bool,
    /// The compiled filter.
    pub seccomp: Option<Rc<[u8]>>,
    /// Rows, columns; of a terminal.
    pub console_size: Option<(u16, u16)>,
    /// Where to attach the view of the control groups, and whether read-only.
    pub cgroup_mount: Option<(PathBuf, bool)>,
    /// Whether the group that counts processes is joined by this one, see [`crate::cgroup::Groups::counting`].
    pub joins_counting: bool,
    pub keyring: CString,
}

/// Where the library is to find things.
pub struct Place<'a> {
    pub rootfs: &'a Path,
    pub cgroup: &'a Path,
    /// Kind and path of the namespaces that are not to be made, but entered.
    pub joined: &'a [(&'static str, String)],
    pub terminal: bool,
}

/// Splits a container's specification. The value that comes back is for the library.
pub fn split(mut spec: Value, id: &str, place: &Place<'_>) -> Result<(Value, Program), SetupError> {
    let process = spec.get_mut("process").ok_or(SetupError::Spec("process"))?;
    let mut program = split_process(process, id, place.terminal)?;
    spec["root"]["path"] = json!(place.rootfs);
    let object = spec.as_object_mut().ok_or(SetupError::Spec("content"))?;
    object.remove("hooks");
    program.cgroup_mount = take_cgroup_mount(object);
    let linux = object.get_mut("linux").and_then(Value::as_object_mut).ok_or(SetupError::Spec("linux"))?;
    for done_elsewhere in ["seccomp", "resources"] {
        linux.remove(done_elsewhere);
    }
    linux.insert("cgroupsPath".into(), json!(place.cgroup));
    if let Some(namespaces) = linux.get_mut("namespaces").and_then(Value::as_array_mut) {
        namespaces.retain(|namespace| place.joined.iter().all(|(kind, _)| namespace["type"] != *kind));
        namespaces.extend(place.joined.iter().map(|(kind, path)| json!({ "type": kind, "path": path })));
    }
    Ok((spec, program))
}

/// Splits a process object in place: what stays is root, with all capabilities, in `/`.
fn split_process(process: &mut Value, id: &str, terminal: bool) -> Result<Program, SetupError> {
    let full: Process =
        serde_json::from_value(process.clone()).map_err(|source| SetupError::Json { what: "read the process", source })?;
    let program = Program::of(&full, id)?;
    let object = process.as_object_mut().ok_or(SetupError::Spec("process"))?;
    for ours in ["capabilities", "noNewPrivileges", "consoleSize", "commandLine"] {
        object.remove(ours);
    }
    object.insert("user".into(), json!({ "uid": 0, "gid": 0 }));
    object.insert("cwd".into(), json!("/"));
    object.insert("terminal".into(), json!(terminal));
    // With a HOME in the environment the library does not look one up in the container's own user database.
    object.insert("env".into(), json!(["HOME=/"]));
    Ok(program)
}

impl Program {
    /// What a process object names, in a container with this id.
    pub fn of(process: &Process, id: &str) -> Result<Self, SetupError> {
        let args = process.args().as_deref().unwrap_or_default();
        if args.first().is_none_or(String::is_empty) {
            return Err(SetupError::Spec("process.args"));
        }
        Ok(Self {
            args: c_strings(args)?,
            env: c_strings(process.env().as_deref().unwrap_or_default())?,
            cwd: process.cwd().clone(),
            uid: process.user().uid(),
            gid: process.user().gid(),
            groups: process.user().additional_gids().clone().unwrap_or_default(),
            umask: process.user().umask().unwrap_or(0o022),
            capabilities: complete(process.capabilities().clone()),
            no_new_privileges: process.no_new_privileges().unwrap_or(false),
            seccomp: None,
            console_size: None,
            cgroup_mount: None,
            joins_counting: false,
            keyring: c_strings(&[format!("_ses.{id}")])?.remove(0),
        })
    }
}

/// Every set present: one that is absent is empty, not whatever the daemon has.
fn complete(capabilities: Option<LinuxCapabilities>) -> LinuxCapabilities {
    let mut all = LinuxCapabilities::default();
    let given = capabilities.as_ref();
    all.set_bounding(Some(given.and_then(|c| c.bounding().clone()).unwrap_or_default()));
    all.set_effective(Some(given.and_then(|c| c.effective().clone()).unwrap_or_default()));
    all.set_permitted(Some(given.and_then(|c| c.permitted().clone()).unwrap_or_default()));
    all.set_inheritable(Some(given.and_then(|c| c.inheritable().clone()).unwrap_or_default()));
    all.set_ambient(Some(given.and_then(|c| c.ambient().clone()).unwrap_or_default()));
    all
}

fn take_cgroup_mount(spec: &mut Map<String, Value>) -> Option<(PathBuf, bool)> {
    let mounts = spec.get_mut("mounts")?.as_array_mut()?;
    let index = mounts.iter().position(|mount| mount["type"] == "cgroup" || mount["type"] == "cgroup2")?;
    let mount = mounts.remove(index);
    let read_only = mount["options"].as_array().is_some_and(|options| options.iter().any(|option| option == "ro"));
    Some((PathBuf::from(mount["destination"].as_str()?), read_only))
}

fn c_strings(strings: &[String]) -> Result<Vec<CString>, SetupError> {
    strings
        .iter()
        .map(|s| CString::new(s.as_bytes()).map_err(SetupError::io("a string with a null byte in the process")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_gets_no_user_no_capabilities_and_no_cgroup_mount() {
        let spec = json!({
            "ociVersion": "1.2.0",
            "process": {
                "args": ["sh"], "cwd": "/work", "env": ["A=1"], "user": { "uid": 5, "gid": 6, "additionalGids": [7] },
                "noNewPrivileges": true, "capabilities": { "bounding": ["CAP_CHOWN"] }
            },
            "root": { "path": "x", "readonly": true },
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"] }
            ],
            "linux": { "namespaces": [{ "type": "network" }, { "type": "pid" }], "seccomp": {}, "cgroupsPath": "/x" }
        });
        let joined = [("network", "/proc/self/fd/4".to_owned())];
        let place = Place { rootfs: Path::new("/r"), cgroup: Path::new("/g"), joined: &joined, terminal: false };
        let (spec, program) = split(spec, "abc", &place).unwrap();
        assert_eq!(spec["process"]["user"], json!({ "uid": 0, "gid": 0 }));
        assert_eq!(spec["process"]["env"], json!(["HOME=/"]));
        assert_eq!(spec["root"], json!({ "path": "/r", "readonly": true }));
        assert_eq!(spec["mounts"].as_array().unwrap().len(), 1);
        let namespaces = json!([{ "type": "pid" }, { "type": "network", "path": "/proc/self/fd/4" }]);
        assert_eq!(spec["linux"], json!({ "namespaces": namespaces, "cgroupsPath": "/g" }));
        assert_eq!((program.uid, program.gid, program.groups.as_slice()), (5, 6, &[7][..]));
        assert!(program.no_new_privileges);
        assert_eq!(program.cgroup_mount, Some((PathBuf::from("/sys/fs/cgroup"), true)));
        assert_eq!(program.capabilities.bounding().as_ref().unwrap().len(), 1);
        assert!(program.capabilities.effective().as_ref().unwrap().is_empty());
        let untouched: Process = serde_json::from_value(spec["process"].clone()).unwrap();
        assert!(untouched.capabilities().is_none(), "the library would drop them before the filter is loaded");
    }

    #[test]
    fn no_program_is_an_error() {
        let mut process = json!({ "args": [], "cwd": "/", "user": { "uid": 0, "gid": 0 } });
        assert!(split_process(&mut process, "x", false).is_err());
    }
}
