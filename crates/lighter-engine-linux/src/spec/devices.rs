//! Device nodes and the device cgroup rules that go with them.

use lighter_domain::host_config::DeviceMapping;
use lighter_domain::{Error, Result};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use rustix::fs::{FileType, Stat, major, minor, stat};
use std::path::{Path, PathBuf};

/// Directories of `/dev` that are no devices of the host, or that the container has of its own.
const SKIPPED: [&str; 7] = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"];
const MAX_DEVICES: usize = 4096;

/// One device with the access that its cgroup rule grants (`rwm`).
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub node: LinuxDevice,
    pub access: String,
}

impl Device {
    /// Its line for the devices controller: `c 1:3 rwm`.
    pub(crate) fn rule(&self) -> String {
        let kind = if self.node.typ() == LinuxDeviceType::B { 'b' } else { 'c' };
        format!("{kind} {}:{} {}", self.node.major(), self.node.minor(), self.access)
    }
}

/// What `--device` (and a privileged container's all devices) come to. Missing ones are an error in dockerd's words.
pub(crate) fn of(privileged: bool, mappings: &[DeviceMapping]) -> Result<Vec<Device>> {
    let mut devices = Vec::new();
    if privileged {
        walk(Path::new("/dev"), Path::new("/dev"), "rwm", &mut devices);
    }
    for mapping in mappings {
        let source = std::fs::canonicalize(&mapping.path_on_host).unwrap_or_else(|_| PathBuf::from(&mapping.path_on_host));
        let target = Path::new(&mapping.path_in_container);
        let access = if mapping.cgroup_permissions.is_empty() { "rwm" } else { &mapping.cgroup_permissions };
        let before = devices.len();
        match stat(&source) {
            Ok(s) if FileType::from_raw_mode(s.st_mode) == FileType::Directory => walk(&source, target, access, &mut devices),
            Ok(s) => devices.extend(node(&s, target, access)),
            Err(_) => {}
        }
        if devices.len() == before {
            let text = format!("error gathering device information while adding custom device \"{}\"", mapping.path_on_host);
            let why = if source.exists() { "not a device node" } else { "no such file or directory" };
            return Err(Error::internal(format!("{text}: {why}")));
        }
    }
    Ok(devices)
}

fn walk(dir: &Path, target: &Path, access: &str, out: &mut Vec<Device>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten().take(MAX_DEVICES) {
        let name = entry.file_name();
        if SKIPPED.iter().any(|s| name == *s) || (name == "console" && dir == Path::new("/dev")) || out.len() >= MAX_DEVICES {
            continue;
        }
        let Ok(kind) = entry.file_type() else { continue };
        let to = target.join(&name);
        if kind.is_dir() {
            walk(&entry.path(), &to, access, out);
        } else if !kind.is_symlink()
            && let Ok(s) = stat(entry.path())
        {
            out.extend(node(&s, &to, access));
        }
    }
}

fn node(stat: &Stat, target: &Path, access: &str) -> Option<Device> {
    let typ = match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice => LinuxDeviceType::C,
        FileType::BlockDevice => LinuxDeviceType::B,
        _ => return None,
    };
    let mut node = LinuxDevice::default();
    node.set_path(target.to_owned()).set_typ(typ);
    node.set_major(i64::from(major(stat.st_rdev))).set_minor(i64::from(minor(stat.st_rdev)));
    node.set_file_mode(Some(stat.st_mode & 0o7777)).set_uid(Some(stat.st_uid)).set_gid(Some(stat.st_gid));
    Some(Device { node, access: access.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(path: &str) -> DeviceMapping {
        DeviceMapping { path_on_host: path.into(), path_in_container: "/dev/x".into(), cgroup_permissions: "r".into() }
    }

    #[test]
    fn a_device_is_described() {
        let d = &of(false, &[mapping("/dev/full")]).unwrap()[0];
        assert_eq!((d.node.path().as_path(), d.rule().as_str()), (Path::new("/dev/x"), "c 1:7 r"));
        assert!(of(false, &[mapping("/etc/passwd")]).is_err());
        assert!(of(false, &[mapping("/nosuch")]).is_err());
        let all = of(true, &[]).unwrap();
        assert!(all.iter().any(|d| d.node.path() == Path::new("/dev/null")));
        assert!(!all.iter().any(|d| d.node.path().starts_with("/dev/pts")));
    }
}
