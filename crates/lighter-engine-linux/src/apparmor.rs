//! AppArmor, on machines whose kernel has it: the profile that containers are confined by, and what of it a container asks for.
//!
//! The profile is compiled and loaded by the machine's own `apparmor_parser` when the engine is opened, under a name of our
//! own, so that dockerd's on the same machine is not touched. Where the parser is missing, containers are not confined and
//! `docker info` says so.

use lighter_domain::{Container, Error, Result};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Our profile's name in the kernel. Clients know it by dockerd's.
const PROFILE: &str = "lighter-default";
const DOCKERS: &str = "docker-default";
const UNCONFINED: &str = "unconfined";

const ENABLED: &str = "/sys/module/apparmor/parameters/enabled";
const LOADED: &str = "/sys/kernel/security/apparmor/profiles";
/// Where machines have the parser.
const PARSERS: [&str; 3] = ["/usr/sbin/apparmor_parser", "/sbin/apparmor_parser", "/usr/bin/apparmor_parser"];

/// What this machine can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AppArmor {
    /// The kernel has none, or it is switched off.
    Absent,
    /// It is there, and our profile could not be loaded.
    NoProfile,
    Ready,
}

impl AppArmor {
    /// Looks, and loads our profile. Blocking; once per daemon.
    pub(crate) fn set_up() -> Self {
        if !std::fs::read_to_string(ENABLED).is_ok_and(|s| s.trim() == "Y") {
            return Self::Absent;
        }
        match load(&profile()) {
            Ok(()) => Self::Ready,
            // A profile that an earlier daemon loaded confines as well.
            Err(_) if is_loaded(PROFILE) => Self::Ready,
            Err(error) => {
                tracing::warn!(error, "the AppArmor profile could not be loaded: containers are not confined by AppArmor");
                Self::NoProfile
            }
        }
    }

    /// The profile that a container's processes get, by its name in the kernel; `None`: none. Errors are dockerd's.
    pub(crate) fn of(self, container: &Container, privileged: bool) -> Result<Option<String>> {
        let asked = asked(container);
        if self == Self::Absent {
            return Ok(None);
        }
        match asked {
            Some(UNCONFINED) => Ok(None),
            Some(name) if name != DOCKERS && name != PROFILE => Ok(Some(name.to_owned())),
            Some(name) if self == Self::NoProfile => {
                Err(Error::internal(format!("AppArmor enabled on system but the {name} profile could not be loaded")))
            }
            None if privileged || self == Self::NoProfile => Ok(None),
            _ => Ok(Some(PROFILE.to_owned())),
        }
    }

    /// As `inspect` shows it.
    pub(crate) fn shown(self, container: &Container) -> String {
        match (self, asked(container)) {
            (_, Some(name)) => name.to_owned(),
            (Self::Absent, None) => String::new(),
            (_, None) if container.host_config.privileged => UNCONFINED.to_owned(),
            (Self::NoProfile, None) => UNCONFINED.to_owned(),
            (Self::Ready, None) => DOCKERS.to_owned(),
        }
    }
}

/// `--security-opt apparmor=NAME`; the last one counts.
fn asked(container: &Container) -> Option<&str> {
    let options = container.host_config.security_opt.iter().rev().filter_map(|option| option.split_once(['=', ':']));
    options.filter(|(key, value)| *key == "apparmor" && !value.is_empty()).map(|(_, value)| value).next()
}

fn is_loaded(name: &str) -> bool {
    let loaded = std::fs::read_to_string(LOADED).unwrap_or_default();
    loaded.lines().any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(" (")))
}

/// Containers may do what their capabilities allow, but not write to the kernel's settings, load modules or mount.
fn profile() -> String {
    let mut text = format!(
        "profile {PROFILE} flags=(attach_disconnected,mediate_deleted) {{\n\
         \x20 network,\n  capability,\n  file,\n  umount,\n\
         \x20 signal (receive) peer=unconfined,\n\
         \x20 signal (send, receive) peer={PROFILE},\n\
         \x20 ptrace (trace, read, tracedby, readby) peer={PROFILE},\n\
         \x20 deny mount,\n"
    );
    // In /proc only what belongs to a process may be written, and of /proc/sys what has a namespace.
    for denied in [
        "@{PROC}/* w",
        "@{PROC}/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9]*}/** w",
        "@{PROC}/sys/[^kn]** w",
        "@{PROC}/sys/kernel/{?,??,[^s][^h][^m]**} w",
        "@{PROC}/sysrq-trigger rwklx",
        "@{PROC}/kcore rwklx",
        "/sys/[^f]*/** wklx",
        "/sys/f[^s]*/** wklx",
        "/sys/fs/[^c]*/** wklx",
        "/sys/fs/c[^g]*/** wklx",
        "/sys/fs/cg[^r]*/** wklx",
        "/sys/firmware/** rwklx",
        "/sys/devices/virtual/powercap/** rwklx",
        "/sys/kernel/security/** rwklx",
    ] {
        text.push_str("  deny ");
        text.push_str(&denied.replace("@{PROC}", "/proc"));
        text.push_str(",\n");
    }
    text.push_str("}\n");
    text
}

fn load(text: &str) -> Result<(), String> {
    let parser = PARSERS.iter().find(|p| Path::new(p).is_file()).ok_or("apparmor_parser is not installed")?;
    let run = || {
        let mut child = Command::new(parser)
            .args(["-K", "-r"])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(text.as_bytes())?;
        }
        child.wait_with_output()
    };
    let output = run().map_err(|e| format!("{parser}: {e}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(options: &[&str]) -> Container {
        let mut container = crate::testing::container();
        container.host_config.security_opt = options.iter().map(|o| (*o).to_owned()).collect();
        container
    }

    #[test]
    fn who_is_confined_by_what() {
        let plain = with(&[]);
        assert_eq!(AppArmor::Ready.of(&plain, false).unwrap().as_deref(), Some(PROFILE));
        assert_eq!(AppArmor::Ready.of(&plain, true).unwrap(), None);
        assert_eq!(AppArmor::NoProfile.of(&plain, false).unwrap(), None);
        assert_eq!(AppArmor::Absent.of(&with(&["apparmor=mine"]), false).unwrap(), None);
        assert_eq!(AppArmor::Ready.of(&with(&["apparmor=mine"]), true).unwrap().as_deref(), Some("mine"));
        assert_eq!(AppArmor::Ready.of(&with(&["apparmor:docker-default"]), false).unwrap().as_deref(), Some(PROFILE));
        assert_eq!(AppArmor::Ready.of(&with(&["apparmor=x", "apparmor=unconfined"]), false).unwrap(), None);
        assert!(AppArmor::NoProfile.of(&with(&["apparmor=docker-default"]), false).is_err());
    }

    #[test]
    fn what_inspect_shows() {
        assert_eq!(AppArmor::Absent.shown(&with(&[])), "");
        assert_eq!(AppArmor::Ready.shown(&with(&["seccomp=unconfined"])), DOCKERS);
        assert_eq!(AppArmor::Ready.shown(&with(&["apparmor=mine"])), "mine");
        assert_eq!(AppArmor::NoProfile.shown(&with(&[])), UNCONFINED);
    }

    #[test]
    fn the_profile_is_one() {
        let text = profile();
        assert_eq!((text.matches('{').count(), text.matches("deny ").count()), (text.matches('}').count(), 15));
        // Where the parser is there it has the last word; it needs no kernel for this.
        if let Some(parser) = PARSERS.iter().find(|p| Path::new(p).is_file()) {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &text).unwrap();
            let output = Command::new(parser).args(["-K", "-Q", "-S"]).arg(file.path()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
