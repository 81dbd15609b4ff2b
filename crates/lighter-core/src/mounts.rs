//! `-v`, `--mount` and `--tmpfs`, resolved into the list of mounts that the engine makes and `inspect` shows.

use lighter_domain::container::{MountKind, MountPoint};
use lighter_domain::host_config::{Mount, MountType};
use lighter_domain::id::random_hex64;
use lighter_domain::volume::{LOCAL, check_driver, check_name};
use lighter_domain::{Container, ContainerConfig, ContainerId, Error, HostConfig, Result};
use lighter_engine::Images;
use std::collections::HashSet;
use std::sync::Arc;

/// All mounts of a new container: those of other containers, binds, mounts, and anonymous volumes, of which later ones of the
/// first kind give way. tmpfs of `--tmpfs` stay in `HostConfig.Tmpfs`. Sources of volumes are still to come. `find` gives a
/// container by its reference.
pub(crate) fn resolve(
    host: &HostConfig,
    config: &ContainerConfig,
    find: impl Fn(&str) -> Result<Arc<Container>>,
) -> Result<Vec<MountPoint>> {
    let binds = host.binds.iter().map(|spec| from_bind(spec));
    let mounts = host.mounts.iter().map(from_mount);
    let mut all: Vec<MountPoint> = binds.chain(mounts).collect::<Result<_>>()?;
    let mut seen = HashSet::new();
    let tmpfs = host.tmpfs.keys().map(|path| clean(path));
    for destination in all.iter().map(|m| m.destination.clone()).chain(tmpfs) {
        if destination == "/" {
            return Err(Error::invalid("invalid specification: destination can't be '/'"));
        }
        if !seen.insert(destination.clone()) {
            return Err(Error::invalid(format!("Duplicate mount point: {destination}")));
        }
    }
    // Of two containers that bring the same place, the later counts.
    let mut brought: Vec<MountPoint> = Vec::new();
    for spec in &host.volumes_from {
        for point in from_container(spec, &find)? {
            brought.retain(|m| m.destination != point.destination);
            brought.push(point);
        }
    }
    all.extend(brought.into_iter().filter(|m| seen.insert(m.destination.clone())));
    for path in &config.volumes {
        let destination = clean(path);
        if destination == "/" {
            return Err(Error::invalid(format!("invalid volume: {path:?}: destination can't be '/'")));
        }
        if seen.insert(destination.clone()) {
            all.push(MountPoint { destination, anonymous: true, ..volume(random_hex64()) });
        }
    }
    Ok(all)
}

/// `container[:ro|rw]`: what that container has mounted, binds and volumes.
fn from_container(spec: &str, find: impl Fn(&str) -> Result<Arc<Container>>) -> Result<Vec<MountPoint>> {
    let (reference, mode) = spec.split_once(':').unwrap_or((spec, ""));
    if reference.is_empty() {
        return Err(Error::invalid("invalid name or ID supplied: \"\""));
    }
    let (rw, ..) = parse_mode(mode).ok_or_else(|| Error::invalid(format!("invalid mode: {mode}")))?;
    // A client takes what is not found for an image to pull.
    let source = find(reference).map_err(|e| Error::invalid(e.message()))?;
    let shared = source.mounts.iter().filter(|m| m.kind != MountKind::Tmpfs);
    Ok(shared.map(|m| MountPoint { rw: m.rw && rw, mode: String::new(), copy_up: false, ..m.clone() }).collect())
}

/// A volume of that name, writable, nowhere yet.
fn volume(name: String) -> MountPoint {
    MountPoint {
        kind: MountKind::Volume,
        name,
        source: String::new(),
        destination: String::new(),
        driver: LOCAL.to_owned(),
        mode: String::new(),
        rw: true,
        propagation: String::new(),
        create_source: false,
        recursive: true,
        subpath: String::new(),
        image_id: String::new(),
        copy_up: true,
        anonymous: false,
    }
}

/// `source:destination[:mode]`, or a volume's name in place of the source.
fn from_bind(spec: &str) -> Result<MountPoint> {
    let bad = || Error::invalid(format!("invalid volume specification: '{spec}'"));
    let parts: Vec<&str> = spec.split(':').collect();
    let (source, destination, mode) = match parts[..] {
        [source, destination] => (source, destination, ""),
        [source, destination, mode] => (source, destination, mode),
        _ => return Err(bad()),
    };
    if source.is_empty() || destination.is_empty() {
        return Err(bad());
    }
    if !destination.starts_with('/') {
        return Err(Error::invalid(format!(
            "invalid volume specification: '{spec}': invalid mount config for type \"bind\": invalid mount path: '{destination}' mount path must be absolute"
        )));
    }
    if clean(destination) == "/" {
        return Err(Error::invalid(format!(
            "invalid volume specification: '{spec}': invalid mount config for type \"bind\": invalid specification: destination can't be '/'"
        )));
    }
    let (rw, propagation, copy_up) = parse_mode(mode).ok_or_else(|| Error::invalid(format!("invalid mode: {mode}")))?;
    let is_volume = !source.starts_with('/');
    let stray = match is_volume {
        true if !propagation.is_empty() => Some(("volume", "BindOptions")),
        false if !copy_up => Some(("bind", "VolumeOptions")),
        _ => None,
    };
    if let Some((kind, field)) = stray {
        // dockerd's own status for it.
        return Err(Error::internal(format!(
            "invalid volume specification: '{spec}': invalid mount config for type \"{kind}\": field {field} must not be specified"
        )));
    }
    if is_volume {
        check_name(source)?;
        // dockerd says of a volume without a mode that its label would be shared.
        let mode = if mode.is_empty() { "z" } else { mode }.to_owned();
        return Ok(MountPoint { destination: clean(destination), mode, rw, copy_up, ..volume(source.to_owned()) });
    }
    Ok(MountPoint {
        kind: MountKind::Bind,
        name: String::new(),
        source: clean(source),
        destination: clean(destination),
        driver: String::new(),
        mode: mode.to_owned(),
        rw,
        propagation: if propagation.is_empty() { "rprivate".to_owned() } else { propagation },
        create_source: true,
        recursive: true,
        subpath: String::new(),
        image_id: String::new(),
        copy_up: false,
        anonymous: false,
    })
}

/// Whether it is writable, its propagation, whether a volume is filled. `None` for a mode that dockerd refuses.
fn parse_mode(mode: &str) -> Option<(bool, String, bool)> {
    let (mut access, mut propagation, mut label, mut copy) = (None, None, None, None);
    for word in mode.split(',').filter(|_| !mode.is_empty()) {
        let slot = match word {
            "ro" | "rw" => &mut access,
            "shared" | "rshared" | "slave" | "rslave" | "private" | "rprivate" => &mut propagation,
            "z" | "Z" => &mut label,
            "nocopy" => &mut copy,
            _ => return None,
        };
        if slot.replace(word).is_some() {
            return None;
        }
    }
    Some((access != Some("ro"), propagation.unwrap_or_default().to_owned(), copy.is_none()))
}

fn from_mount(mount: &Mount) -> Result<MountPoint> {
    let name = match mount.mount_type {
        MountType::Bind => "bind",
        MountType::Volume => "volume",
        MountType::Tmpfs => "tmpfs",
        MountType::Image => "image",
        MountType::Npipe => "npipe",
        MountType::Cluster => "cluster",
    };
    let bad = |why: String| Error::invalid(format!("invalid mount config for type \"{name}\": {why}"));
    foreign_options(mount, name)?;
    if mount.target.is_empty() {
        return Err(bad("field Target must not be empty".to_owned()));
    }
    if !mount.target.starts_with('/') {
        return Err(bad(format!("invalid mount path: '{}' mount path must be absolute", mount.target)));
    }
    if clean(&mount.target) == "/" {
        return Err(bad("invalid specification: destination can't be '/'".to_owned()));
    }
    if mount.image.is_some() && mount.mount_type != MountType::Image {
        return Err(bad("field ImageOptions must not be specified".to_owned()));
    }
    let kind = match mount.mount_type {
        MountType::Bind if mount.source.is_empty() => return Err(bad("field Source must not be empty".to_owned())),
        MountType::Bind if !mount.source.starts_with('/') => {
            return Err(bad(format!("invalid mount path: '{}' mount path must be absolute", mount.source)));
        }
        MountType::Bind => MountKind::Bind,
        MountType::Volume => MountKind::Volume,
        MountType::Tmpfs if !mount.source.is_empty() => return Err(bad("field Source must not be specified".to_owned())),
        MountType::Tmpfs => MountKind::Tmpfs,
        MountType::Image if mount.source.is_empty() => return Err(bad("field Source must not be empty".to_owned())),
        MountType::Image => MountKind::Image,
        MountType::Npipe | MountType::Cluster => {
            return Err(Error::not_implemented(format!("mounts of type {name} are not implemented by Lighter")));
        }
    };
    match kind {
        MountKind::Volume => return from_volume_mount(mount),
        MountKind::Image => return from_image_mount(mount),
        MountKind::Bind | MountKind::Tmpfs => {}
    }
    let bind = mount.bind.clone().unwrap_or_default();
    let is_bind = kind == MountKind::Bind;
    Ok(MountPoint {
        source: if is_bind { clean(&mount.source) } else { String::new() },
        destination: clean(&mount.target),
        driver: String::new(),
        rw: !mount.read_only,
        propagation: if is_bind && bind.propagation.is_empty() { "rprivate".to_owned() } else { bind.propagation },
        create_source: bind.create_mountpoint,
        recursive: !bind.non_recursive,
        copy_up: false,
        kind,
        ..volume(String::new())
    })
}

/// Options of another type than the mount's own.
fn foreign_options(mount: &Mount, name: &str) -> Result<()> {
    let exclusive = [
        ("VolumeOptions", mount.volume.is_some(), MountType::Volume),
        ("BindOptions", mount.bind.is_some(), MountType::Bind),
        ("TmpfsOptions", mount.tmpfs.is_some(), MountType::Tmpfs),
    ];
    match exclusive.iter().find(|(_, set, of)| *set && *of != mount.mount_type) {
        Some((field, ..)) => Err(Error::invalid(format!("{field} must not be specified on mount type \"{name}\""))),
        None => Ok(()),
    }
}

/// Whether a part of a volume or image lies in it, going by its name. dockerd calls an image a volume, too.
fn check_subpath(subpath: &str, name: &str) -> Result<()> {
    let leaves = subpath.split('/').scan(0_i32, |depth, part| {
        *depth += match part {
            "" | "." => 0,
            ".." => -1,
            _ => 1,
        };
        Some(*depth < 0)
    });
    if subpath.starts_with('/') || leaves.into_iter().any(|left| left) {
        let text = format!("invalid mount config for type \"{name}\": subpath must be a relative path within the volume");
        return Err(Error::invalid(text));
    }
    Ok(())
}

/// An image's files; which image that is, is found by [`find_images`]. They are read-only whatever was asked.
fn from_image_mount(mount: &Mount) -> Result<MountPoint> {
    let subpath = mount.image.as_ref().map(|options| options.subpath.clone()).unwrap_or_default();
    check_subpath(&subpath, "image")?;
    Ok(MountPoint {
        kind: MountKind::Image,
        destination: clean(&mount.target),
        driver: String::new(),
        rw: false,
        propagation: "rprivate".to_owned(),
        copy_up: false,
        subpath,
        ..volume(mount.source.clone())
    })
}

/// The images among new mounts, as their names have it now; and where each of them will be.
pub(crate) async fn find_images(images: &dyn Images, id: &ContainerId, mounts: &mut [MountPoint]) -> Result<()> {
    for (number, point) in mounts.iter_mut().enumerate().filter(|(_, m)| m.kind == MountKind::Image) {
        // Another container's (`--volumes-from`) is that container's image still.
        if point.image_id.is_empty() {
            point.image_id.clone_from(&images.get(&point.name).await?.id);
        }
        point.source = images.mounted_at(id, number);
    }
    Ok(())
}

fn from_volume_mount(mount: &Mount) -> Result<MountPoint> {
    let options = mount.volume.clone().unwrap_or_default();
    let anonymous = mount.source.is_empty();
    if !anonymous {
        check_name(&mount.source)?;
    } else if !options.subpath.is_empty() {
        let text = "invalid mount config for type \"volume\": must not set Subpath when using anonymous volumes";
        return Err(Error::invalid(text));
    }
    check_driver(&mount.source, &options.driver_name)?;
    check_subpath(&options.subpath, "volume")?;
    Ok(MountPoint {
        destination: clean(&mount.target),
        mode: "z".to_owned(),
        rw: !mount.read_only,
        copy_up: !options.no_copy,
        subpath: options.subpath,
        anonymous,
        ..volume(if anonymous { random_hex64() } else { mount.source.clone() })
    })
}

/// A path without doubled slashes, `.` and `..`, as Go's `filepath.Clean` makes it. Only text: nothing is looked up.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(host: &HostConfig) -> Result<Vec<MountPoint>> {
        resolve(host, &ContainerConfig::default(), |r| Err(crate::wording::no_such_container(r)))
    }

    #[test]
    fn binds() {
        let m = from_bind("/a//b/../c:/d/:ro,rslave").unwrap();
        assert_eq!((m.source.as_str(), m.destination.as_str(), m.rw, m.propagation.as_str()), ("/a/c", "/d", false, "rslave"));
        let v = from_bind("data:/d").unwrap();
        assert_eq!((v.kind, v.name.as_str(), v.rw), (MountKind::Volume, "data", true));
        for bad in ["", ":", "/a", "/a:", ":/b", "/a:b", "/a:/", "/a:/b:xx", "/a:/b:ro,rw", "/a:/b:ro:x", "../a:/b", "x:/b"] {
            assert!(from_bind(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn two_mounts_on_one_place_are_refused() {
        let host = HostConfig { binds: vec!["/a:/x".into(), "/b:/x/.".into()], ..HostConfig::default() };
        assert_eq!(resolved(&host).unwrap_err().message(), "Duplicate mount point: /x");
        let mut host = HostConfig { binds: vec!["/a:/x".into()], ..HostConfig::default() };
        host.tmpfs.insert("/x/".into(), String::new());
        assert!(resolved(&host).is_err());
    }

    #[test]
    fn images() {
        let image = |source: &str, subpath: &str| Mount {
            mount_type: MountType::Image,
            source: source.into(),
            target: "/x//y/".into(),
            read_only: false,
            consistency: String::new(),
            bind: None,
            volume: None,
            image: Some(lighter_domain::host_config::ImageOptions { subpath: subpath.into() }),
            tmpfs: None,
        };
        let m = from_mount(&image("a:1", "b/../c")).unwrap();
        assert_eq!(
            (m.kind, m.name.as_str(), m.destination.as_str(), m.subpath.as_str()),
            (MountKind::Image, "a:1", "/x/y", "b/../c")
        );
        assert!(!m.rw && !m.copy_up && m.driver.is_empty() && m.image_id.is_empty());
        for (source, subpath) in [("", ""), ("a", "/b"), ("a", ".."), ("a", "b/../..")] {
            assert!(from_mount(&image(source, subpath)).is_err(), "{source} {subpath}");
        }
        let with = |change: fn(&mut Mount)| {
            let mut mount = image("a", "");
            change(&mut mount);
            from_mount(&mount).unwrap_err().message().to_owned()
        };
        assert_eq!(with(|m| m.bind = Some(Default::default())), "BindOptions must not be specified on mount type \"image\"");
        assert!(with(|m| m.mount_type = MountType::Tmpfs).ends_with("field ImageOptions must not be specified"));
        assert!(with(|m| m.target = "/..".into()).ends_with("destination can't be '/'"));
    }
}
