//! What no safe wrapper offers: starting a supervisor without copying the daemon, the device filter of version 2 control
//! groups, a mount's attributes, and awaiting raw descriptors.
#![expect(unsafe_code, reason = "clone with a shared address space, execveat, bpf and mount_setattr have no safe wrapper")]

use nix::libc;
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Enough for the few calls that the child makes before it becomes another program.
const CHILD_STACK: usize = 64 << 10;
const MAX_FDS: usize = 8;

/// Starts the program open at `program` in a session of its own, with `fds` (each with its number in the child) and nothing
/// else open. The child's standard streams must be among them. Returns when it was executed.
///
/// With `vfork` semantics: what a daemon has mapped costs nothing.
pub(crate) fn spawn(
    program: BorrowedFd<'_>,
    args: &[CString],
    env: &[CString],
    fds: &[(BorrowedFd<'_>, RawFd)],
) -> io::Result<u32> {
    // Above every number that the child gives out, so that no dup2 hits a descriptor that is still needed.
    let above = fds.iter().map(|(_, to)| to + 1).max().unwrap_or(0);
    let lift = |fd: RawFd| -> io::Result<OwnedFd> {
        // SAFETY: F_DUPFD_CLOEXEC takes any number; the result is checked and owned by nobody else.
        let new = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, above) };
        if new < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: fcntl has just made this descriptor for us.
        Ok(unsafe { OwnedFd::from_raw_fd(new) })
    };
    assert!(fds.len() <= MAX_FDS, "more descriptors than the child has room for");
    let program = lift(program.as_raw_fd())?;
    let lifted = fds.iter().map(|(fd, to)| Ok((lift(fd.as_raw_fd())?, *to))).collect::<io::Result<Vec<_>>>()?;
    let pointers = |list: &[CString]| list.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect::<Vec<_>>();
    let (argv, envp) = (pointers(args), pointers(env));
    let failed = AtomicI32::new(0);
    let mut stack = vec![0u8; CHILD_STACK];

    let child = || -> isize {
        // SAFETY: this runs on its own stack while the parent's thread waits; it makes only plain system calls on values
        // that outlive it, allocates nothing, takes no lock, and ends in execveat or _exit.
        unsafe {
            let give_up = || failed.store(*libc::__errno_location(), Ordering::Relaxed);
            libc::setsid();
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
            for (fd, to) in &lifted {
                if libc::dup2(fd.as_raw_fd(), *to) < 0 {
                    give_up();
                    libc::_exit(127);
                }
            }
            let empty = c"".as_ptr();
            libc::syscall(libc::SYS_execveat, program.as_raw_fd(), empty, argv.as_ptr(), envp.as_ptr(), libc::AT_EMPTY_PATH);
            give_up();
            libc::_exit(127)
        }
    };
    // No handler of the daemon may run in the child, which shares its memory.
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    // SAFETY: the child ends in execve or _exit before this thread goes on (CLONE_VFORK), and does as said above.
    let made = unsafe { nix::sched::clone(Box::new(child), &mut stack, flags, Some(libc::SIGCHLD)) };
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    let pid = made?;
    match failed.load(Ordering::Relaxed) {
        0 => Ok(pid.as_raw().unsigned_abs()),
        errno => {
            let _ = nix::sys::wait::waitpid(pid, None);
            Err(io::Error::from_raw_os_error(errno))
        }
    }
}

/// Makes a descriptor that becomes readable (an inotify, a pidfd) awaitable.
pub(crate) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` keeps naming the same open descriptor until it is dropped, and `AsyncFd` drops it last.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;

#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

/// Loads eBPF instructions as a device filter and attaches them to the version 2 group `dir`, for as long as that exists.
pub(crate) fn attach_device_filter(dir: &Path, instructions: &[u64]) -> io::Result<()> {
    const LICENSE: &CStr = c"Apache-2.0";
    let group = std::fs::File::open(dir)?;
    let load = LoadAttr {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(instructions.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?,
        insns: instructions.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
        ..LoadAttr::default()
    };
    // SAFETY: the attributes and what they point to are alive, and their sizes are given.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const load, size_of::<LoadAttr>()) };
    let fd = RawFd::try_from(fd).unwrap_or(-1);
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    let program = unsafe { OwnedFd::from_raw_fd(fd) };
    let attach = AttachAttr {
        target_fd: group.as_raw_fd().unsigned_abs(),
        attach_bpf_fd: program.as_raw_fd().unsigned_abs(),
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: as above.
    match unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const attach, size_of::<AttachAttr>()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Makes a mount that is not attached yet read-only, with all below it.
pub(crate) fn set_mount_read_only(mount: BorrowedFd<'_>) -> io::Result<()> {
    let attr = MountAttr { set: libc::MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: the path is a constant, the attributes are alive, and their size is given.
    let done = unsafe {
        libc::syscall(libc::SYS_mount_setattr, mount.as_raw_fd(), c"".as_ptr(), flags, &raw const attr, size_of::<MountAttr>())
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
pub(crate) mod probe {
    //! Runs single system calls under a seccomp filter, in a child of the test.

    use nix::libc;

    /// The errno (0: none) that `call` has with `args` under `filter`; -1 if the child was killed.
    pub(crate) fn under_filter(filter: &[u8], call: libc::c_long, args: [u64; 3]) -> i32 {
        let program = libc::sock_fprog {
            len: u16::try_from(filter.len() / 8).expect("a filter that the kernel takes"),
            filter: filter.as_ptr().cast_mut().cast(),
        };
        // SAFETY: the child of fork makes system calls only and ends in _exit.
        unsafe {
            let pid = libc::fork();
            assert!(pid >= 0);
            if pid == 0 {
                if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                    || libc::syscall(libc::SYS_seccomp, 1, 0, &raw const program) != 0
                {
                    libc::_exit(200);
                }
                let result = libc::syscall(call, args[0], args[1], args[2]);
                libc::_exit(if result < 0 { *libc::__errno_location() } else { 0 });
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
            if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -1 }
        }
    }
}
