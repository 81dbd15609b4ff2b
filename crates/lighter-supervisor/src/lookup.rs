//! Finding the program of a container in its `PATH`, with the errors that Docker's clients know.
//! Called by [`crate::program`], inside the container, as its user.

use crate::error::{errno_text, failure};
use lighter_supervisor_proto::{Failure, Stage};
use nix::unistd::{AccessFlags, eaccess};
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The file to execute for `name`. A name with a slash is taken as it is.
pub fn find(name: &CString, env: &[CString]) -> Result<PathBuf, Failure> {
    let os_name = OsStr::from_bytes(name.as_bytes());
    let quoted = format!("{:?}", os_name.to_string_lossy());
    if name.as_bytes().contains(&b'/') {
        let path = Path::new(os_name);
        return match check(path) {
            Ok(()) => Ok(path.to_owned()),
            Err((errno, true)) => {
                let text = format!("exec: {quoted}: stat {}: {}", path.display(), errno_text(errno));
                Err(failure(Stage::Lookup, Some(errno), text))
            }
            Err((errno, false)) => Err(failure(Stage::Lookup, Some(errno), format!("exec: {quoted}: {}", errno_text(errno)))),
        };
    }
    let search = env.iter().find_map(|entry| entry.as_bytes().strip_prefix(b"PATH=")).unwrap_or_default();
    search
        .split(|byte| *byte == b':')
        .map(|dir| Path::new(OsStr::from_bytes(if dir.is_empty() { b"." } else { dir })).join(os_name))
        .find(|path| check(path).is_ok())
        .ok_or_else(|| failure(Stage::Lookup, Some(libc::ENOENT), format!("exec: {quoted}: executable file not found in $PATH")))
}

/// Whether it can be executed; else the errno, and whether it was the look-up itself that failed.
fn check(path: &Path) -> Result<(), (i32, bool)> {
    let metadata = std::fs::metadata(path).map_err(|e| (e.raw_os_error().unwrap_or(libc::EIO), true))?;
    if metadata.is_dir() {
        return Err((libc::EISDIR, false));
    }
    eaccess(path, AccessFlags::X_OK).map_err(|errno| (errno as i32, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str, path: &str) -> (Option<i32>, String) {
        let env = [CString::new(format!("PATH={path}")).unwrap()];
        let failed = find(&CString::new(name).unwrap(), &env).unwrap_err();
        assert_eq!(failed.stage, Stage::Lookup);
        (failed.errno, failed.message)
    }

    #[test]
    fn a_program_is_found_in_path_order() {
        let env = [CString::new("X=1").unwrap(), CString::new("PATH=/nonexistent:/bin:/usr/bin").unwrap()];
        assert_eq!(find(&c"sh".to_owned(), &env).unwrap(), Path::new("/bin/sh"));
    }

    #[test]
    fn errors_read_as_clients_expect() {
        let none = "exec: \"nosuch\": executable file not found in $PATH".to_owned();
        assert_eq!(message("nosuch", "/bin"), (Some(libc::ENOENT), none.clone()));
        assert_eq!(message("nosuch", ""), (Some(libc::ENOENT), none));
        let absent = "exec: \"/nosuch\": stat /nosuch: no such file or directory".to_owned();
        assert_eq!(message("/nosuch", "/bin"), (Some(libc::ENOENT), absent));
        assert_eq!(message("/etc", "/bin"), (Some(libc::EISDIR), "exec: \"/etc\": is a directory".to_owned()));
        assert_eq!(message("/etc/passwd", ""), (Some(libc::EACCES), "exec: \"/etc/passwd\": permission denied".to_owned()));
    }
}
