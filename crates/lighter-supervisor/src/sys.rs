//! The system calls that neither `rustix` nor `nix` offers safely, each behind a safe function that keeps its conditions.
//! Called by the start-up, the helper that makes containers, and the executor that becomes the container's program.
#![expect(unsafe_code, reason = "raw system calls: clone3, seccomp, mount_setattr, execve, close_range, madvise, signal reset")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// clone3: be born in the group of `clone_args.cgroup`.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Takes over a descriptor that the daemon handed to us by number; `None` if it is not open.
pub fn adopt(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_SETFD on any number is harmless; it fails with EBADF for one that is not open.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return None;
    }
    // SAFETY: the descriptor is open, and by the start protocol nobody else in this process owns it.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A descriptor known to be open for as long as this process does not close it by number.
pub fn borrow(fd: RawFd) -> BorrowedFd<'static> {
    // SAFETY: called only after `fd` was put in place with `dup_to` in a process that never drops an owner of it.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Forks this (single-threaded) process, the child born in control group `cgroup` if one is given. `None` in the child.
pub fn fork_into(cgroup: Option<BorrowedFd<'_>>) -> io::Result<Option<i32>> {
    // SAFETY: `clone_args` is plain data, all zero is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(fd) = cgroup {
        args.flags = CLONE_INTO_CGROUP;
        args.cgroup = fd.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM this is fork(2); the process has one thread, so no lock is held by another one.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Some(pid as i32)),
    }
}

/// Ends the process at once, without destructors.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no conditions.
    unsafe { libc::_exit(code) }
}

/// `dup2` onto a fixed number, which loses close-on-exec.
pub fn dup_to(fd: RawFd, target: RawFd) -> io::Result<()> {
    // SAFETY: dup2 of any two numbers is memory-safe; no owner of `target` exists in the processes that call this.
    check(unsafe { libc::dup2(fd, target) }).map(drop)
}

/// `dup` to a number of at least `least`, close-on-exec.
pub fn dup_above(fd: RawFd, least: RawFd) -> io::Result<RawFd> {
    // SAFETY: as for `dup_to`.
    check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, least) })
}

/// Closes `first..=last`. Only for the processes on their way to execve, which drop no owner afterwards.
pub fn close_range(first: RawFd, last: RawFd) {
    if first > last {
        return;
    }
    // SAFETY: see above.
    unsafe { libc::syscall(libc::SYS_close_range, first as u32, last as u32, 0) };
}

/// Sets close-on-exec, or clears it.
pub fn set_cloexec(fd: RawFd, on: bool) -> io::Result<()> {
    // SAFETY: F_SETFD changes a flag only.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, if on { libc::FD_CLOEXEC } else { 0 }) }).map(drop)
}

/// All signals to their defaults, none blocked: what a program expects to be started with.
pub fn reset_signals() {
    // The kernel's own structure, all zero: SIG_DFL. The C library would leave out the signals that it keeps for itself.
    let default = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: the kernel reads 32 bytes and a mask size of 8; it refuses SIGKILL and SIGSTOP.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null::<u64>(), 8) };
    }
    // SAFETY: the set is initialised before it is used.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Makes a detached mount tree, whole, read-only (if asked) and without devices, programs and set-user-id.
pub fn restrict_mount_tree(tree: BorrowedFd<'_>, read_only: bool) -> io::Result<()> {
    let mut attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
    if read_only {
        attributes |= libc::MOUNT_ATTR_RDONLY;
    }
    let attr = libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the pointers are valid for the call, the size is the structure's.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    check(done as i32).map(drop)
}

/// Size in bytes of one instruction of a seccomp program.
pub const FILTER_SIZE: usize = size_of::<libc::sock_filter>();

/// Loads a compiled seccomp program (an array of `struct sock_filter`) into this thread.
pub fn load_seccomp(program: &[u8]) -> io::Result<()> {
    let len = u16::try_from(program.len() / FILTER_SIZE).unwrap_or(0);
    if len == 0 || !program.len().is_multiple_of(FILTER_SIZE) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // The kernel reads it as bytes (copy_from_user), so its alignment does not matter.
    let filter = libc::sock_fprog { len, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `filter` describes `program`, which outlives the call; the kernel copies and verifies it.
    let done = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter) };
    check(done as i32).map(drop)
}

/// A session keyring of the container's own, so that it does not share ours. A kernel without keyrings is fine.
pub fn join_session_keyring(name: &CString) {
    const KEYCTL_JOIN_SESSION_KEYRING: i32 = 1;
    // SAFETY: the name is a valid C string.
    unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) };
}

/// Replaces this process; returns only if that failed.
pub fn execve(path: &CString, args: &[CString], env: &[CString]) -> io::Error {
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|s| s.as_ptr()).chain(std::iter::once(std::ptr::null())).collect()
    };
    let (argv, envp) = (pointers(args), pointers(env));
    // SAFETY: both arrays end with a null pointer and live until the call returns.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

/// The working directory as the kernel sees it. One outside this process's root has no absolute name: that is an error.
pub fn verify_working_directory() -> io::Result<()> {
    let mut buffer = [0u8; libc::PATH_MAX as usize];
    // SAFETY: the buffer is valid for its length.
    let n = unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) };
    if n < 0 {
        return Err(io::Error::last_os_error());
    }
    if buffer[0] == b'/' { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ENOENT)) }
}

/// Gives back what start-up used: free heap, and the pages of our own program that are only mapped again when needed.
pub fn trim_memory() {
    // SAFETY: malloc_trim has no conditions.
    unsafe { libc::malloc_trim(0) };
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    let here = trim_memory as *const () as usize;
    for line in maps.lines() {
        let mut fields = line.split(' ');
        let (Some(range), Some(permissions)) = (fields.next(), fields.next()) else { continue };
        let Some((start, end)) = range.split_once('-') else { continue };
        let (Ok(start), Ok(end)) = (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16)) else { continue };
        if permissions == "r-xp" && (start..end).contains(&here) {
            // SAFETY: a private file mapping that is never written reads the same after its pages were dropped.
            unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
        }
    }
}

/// `kill` by number, for the real-time signals that have no name.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill has no conditions on memory.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// How far local time is ahead of UTC at that second since the epoch.
pub fn seconds_east(second: i64) -> i64 {
    // SAFETY: `tm` is plain data, all zero is valid; both pointers are valid for the call.
    unsafe {
        let mut broken_down: libc::tm = std::mem::zeroed();
        let time: libc::time_t = second;
        if libc::localtime_r(&raw const time, &raw mut broken_down).is_null() { 0 } else { broken_down.tm_gmtoff }
    }
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
