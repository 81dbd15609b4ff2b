//! The few things that need `unsafe`: descriptors that systemd or launchd handed over, the environment, glibc's allocator, and
//! pages that are not needed.
//!
//! Called by `main` before there is a second thread, but for [`give_back`].
#![expect(unsafe_code, reason = "taking over descriptors, changing the environment, mallopt and madvise have no safe form")]

#[cfg(target_os = "macos")]
mod launchd;

use std::ffi::CStr;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

/// What `launchd/dev.lighter.lighterd.plist` calls the daemon's socket.
#[cfg_attr(not(any(target_os = "macos", test)), expect(dead_code, reason = "launchd is macOS's"))]
const LAUNCHD_SOCKET: &CStr = c"Listeners";

/// The first descriptor that systemd passes (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;
/// More than anyone configures; a bound on a number that comes from outside.
const MOST: u32 = 64;

/// What the manager of services handed over; what systemd told through the environment is taken out of it, so that no child
/// sees it.
#[derive(Debug)]
pub struct FromManager {
    pub sockets: Vec<OwnedFd>,
    /// Where to tell that the daemon is ready (`NOTIFY_SOCKET`).
    pub notify: Option<std::ffi::OsString>,
}

/// Takes the passed sockets and the notification address.
///
/// # Safety
/// To be called once, while the process has one thread and has opened no descriptors that it still uses.
pub unsafe fn take_from_manager() -> FromManager {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u32>().ok());
    let ours = number("LISTEN_PID") == Some(std::process::id());
    let count = number("LISTEN_FDS").filter(|_| ours).unwrap_or(0).min(MOST);
    let notify = std::env::var_os("NOTIFY_SOCKET");
    for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET"] {
        // SAFETY: the caller promises that there is no other thread that could read the environment.
        unsafe { std::env::remove_var(name) };
    }
    let sockets = (FIRST..).take(count as usize).filter(|fd| is_open(*fd));
    // SAFETY: these descriptors are open, and by systemd's protocol (LISTEN_PID is us) they belong to this process and to
    // nobody else in it; the caller promises that this is done once, before anything else opened descriptors.
    let sockets: Vec<OwnedFd> = sockets.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect();
    #[cfg(target_os = "macos")]
    let sockets = sockets.into_iter().chain(launchd::sockets(LAUNCHD_SOCKET)).collect();
    FromManager { sockets, notify }
}

fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD takes no pointers; on a number that is not open it fails with EBADF.
    unsafe { nix::libc::fcntl(fd, nix::libc::F_GETFD) >= 0 }
}

/// Keeps glibc from giving each thread an arena of its own and from keeping much freed memory: an idle daemon is small.
pub fn tune_allocator() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use nix::libc::{M_ARENA_MAX, M_TRIM_THRESHOLD, mallopt};
        // SAFETY: mallopt takes two numbers and changes the allocator's own settings, under its own lock.
        unsafe {
            mallopt(M_ARENA_MAX, 2);
            mallopt(M_TRIM_THRESHOLD, 256 * 1024);
        }
    }
}

/// Gives back what is not in use: free heap, and the pages of the program itself, which are mapped again as they are needed.
/// Takes a fraction of a millisecond.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim has no conditions.
    unsafe {
        nix::libc::malloc_trim(0);
    }
    #[cfg(target_os = "linux")]
    // SAFETY: the callback keeps to what dl_iterate_phdr gives it.
    unsafe {
        nix::libc::dl_iterate_phdr(Some(unmap_program), std::ptr::null_mut());
    }
}

/// Called for the program first; what it returns ends the iteration, so that the libraries stay.
#[cfg(target_os = "linux")]
unsafe extern "C" fn unmap_program(info: *mut nix::libc::dl_phdr_info, _: usize, _: *mut nix::libc::c_void) -> nix::libc::c_int {
    use nix::libc::{MADV_DONTNEED, PF_W, PT_LOAD, madvise};
    const PAGE: usize = 4096;
    // SAFETY: dl_iterate_phdr passes a description of a loaded object that is valid for the call.
    let (base, headers) = unsafe {
        let info = &*info;
        (info.dlpi_addr as usize, std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
    };
    for segment in headers.iter().filter(|h| h.p_type == PT_LOAD && h.p_flags & PF_W == 0) {
        let start = (base + segment.p_vaddr as usize).next_multiple_of(PAGE);
        let end = (base + segment.p_vaddr as usize + segment.p_memsz as usize) / PAGE * PAGE;
        if start < end {
            // SAFETY: whole pages of a private mapping of the program's file that nothing writes to, not even the loader:
            // dropped, they read the same again.
            unsafe { madvise(start as *mut nix::libc::c_void, end - start, MADV_DONTNEED) };
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_program_runs_on_after_its_pages_were_given_back() {
        /// KiB that are mapped of this program's code.
        fn code() -> u64 {
            let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
            let mut lines = maps.lines().skip_while(|l| !(l.contains(" r-xp ") && l.contains("lighterd")));
            let rss = lines.find_map(|l| l.strip_prefix("Rss:")).unwrap();
            rss.trim().trim_end_matches(" kB").parse().unwrap()
        }
        let text = || plist::Value::from_reader_xml(&include_bytes!("../../../launchd/dev.lighter.lighterd.plist")[..]).unwrap();
        let before = (text(), code());
        give_back();
        assert!(code() < before.1);
        assert_eq!(text(), before.0);
    }

    #[test]
    fn the_plist_has_the_socket_that_is_asked_for() {
        let text = include_bytes!("../../../launchd/dev.lighter.lighterd.plist");
        let value = plist::Value::from_reader_xml(&text[..]).unwrap();
        let root = value.as_dictionary().unwrap();
        let words: Vec<_> = root["ProgramArguments"].as_array().unwrap().iter().filter_map(|v| v.as_string()).collect();
        assert_eq!(words[1..], ["-H", "fd://"]);
        let names: Vec<_> = root["Sockets"].as_dictionary().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, [LAUNCHD_SOCKET.to_str().unwrap()]);
    }
}
