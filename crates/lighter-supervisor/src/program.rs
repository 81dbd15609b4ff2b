//! The last steps of a process on its way to becoming the container's (or an exec's) program, inside the finished namespaces;
//! for the container's the runtime library calls this executor. From here on nothing of the host may be reachable: all descriptors but the
//! standard three are closed before anything is looked up in the container.
//!
//! A failure is told through the notes pipe, which closes by itself when the program is executed.

use crate::error::{errno_text, failure};
use crate::helper::CGROUP_VIEW_FD;
use crate::spec::Program;
use crate::wiring::{COUNTING_FD, NOTES_FD, Note};
use crate::{cgroup, lookup, sys};
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::syscall::syscall::create_syscall;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use lighter_supervisor_proto::{Failure, Stage};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::unistd::{Gid, Uid};
use rustix::fs::{FileType, Mode, OFlags};
use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;

/// Exit status of a process that never became its program; nobody sees it.
pub const NEVER_RAN: i32 = 127;

impl Executor for Program {
    fn exec(&self, _: &Spec) -> Result<(), ExecutorError> {
        let failed = self.become_program();
        Note::Failed(failed).send(sys::borrow(NOTES_FD));
        sys::exit_now(NEVER_RAN)
    }

    fn validate(&self, _: &Spec) -> Result<(), ExecutorValidationError> {
        Ok(())
    }

    fn setup_envs(&self, _: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        Ok(())
    }
}

impl Program {
    /// Returns only if it failed.
    pub fn become_program(&self) -> Failure {
        match self.prepare() {
            Err(failed) => failed,
            Ok(path) => {
                Note::Executing.send(sys::borrow(NOTES_FD));
                let error = sys::execve(&path, &self.args, &self.env);
                let errno = error.raw_os_error();
                let text = errno.map_or_else(|| error.to_string(), errno_text);
                failure(Stage::Exec, errno, format!("exec {}: {text}", path.to_string_lossy()))
            }
        }
    }

    fn prepare(&self) -> Result<CString, Failure> {
        if let Some((target, read_only)) = &self.cgroup_mount {
            let _ = std::fs::create_dir_all(target);
            cgroup::attach_view(sys::borrow(CGROUP_VIEW_FD), target, *read_only)
                .map_err(setup(format!("mount the control groups at {}", target.display())))?;
        }
        if self.joins_counting {
            cgroup::join(sys::borrow(COUNTING_FD)).map_err(|e| failure(Stage::Setup, None, e.to_string()))?;
        }
        sys::close_range(3, NOTES_FD - 1);
        sys::close_range(NOTES_FD + 1, i32::MAX);
        sys::set_cloexec(NOTES_FD, true).map_err(setup("guard the notes pipe"))?;
        sys::join_session_keyring(&self.keyring);
        rustix::process::umask(Mode::from_bits_truncate(self.umask));
        self.enter_directory()?;
        self.settle_stdio()?;
        if self.no_new_privileges {
            prctl::set_no_new_privs().map_err(setup("set no_new_privs"))?;
        }
        self.take_user()?;
        // Without no_new_privs the filter takes a capability to load, with it it can wait until the look-up is done.
        if !self.no_new_privileges {
            self.filter()?;
        }
        libcontainer::capabilities::drop_privileges(&self.capabilities, create_syscall().as_ref())
            .map_err(|e| failure(Stage::Setup, None, format!("drop capabilities: {e}")))?;
        let path = lookup::find(&self.args[0], &self.env)?;
        if self.no_new_privileges {
            self.filter()?;
        }
        CString::new(path.as_os_str().as_bytes()).map_err(setup("a program name with a null byte"))
    }

    fn enter_directory(&self) -> Result<(), Failure> {
        let told = |error: io::Error| {
            let text = error.raw_os_error().map_or_else(|| error.to_string(), errno_text);
            let message = format!("chdir to cwd ({:?}) set in config.json failed: {text}", self.cwd.display().to_string());
            failure(Stage::WorkingDir, error.raw_os_error(), message)
        };
        std::env::set_current_dir(&self.cwd).map_err(told)?;
        sys::verify_working_directory().map_err(|error| {
            let message = "current working directory is outside of container mount namespace root";
            failure(Stage::WorkingDir, error.raw_os_error(), message)
        })
    }

    /// The container's own `/dev/null` instead of the host's, the user as owner of pipes and terminal, the terminal's size.
    fn settle_stdio(&self) -> Result<(), Failure> {
        let null_device = rustix::fs::makedev(1, 3);
        for number in 0..3 {
            let fd = sys::borrow(number);
            let stat = rustix::fs::fstat(fd).map_err(setup("stat standard streams"))?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == null_device {
                let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let own =
                    rustix::fs::open("/dev/null", flags, Mode::empty()).map_err(setup("open /dev/null in the container"))?;
                let own_stat = rustix::fs::fstat(&own).map_err(setup("stat /dev/null in the container"))?;
                if FileType::from_raw_mode(own_stat.st_mode) != FileType::CharacterDevice || own_stat.st_rdev != null_device {
                    return Err(failure(Stage::Setup, None, "/dev/null in the container is not the null device"));
                }
                let _ = rustix::fs::fcntl_setfl(&own, OFlags::RDWR);
                sys::dup_to(own.as_raw_fd(), number).map_err(setup("put /dev/null in place"))?;
            } else if self.uid != 0 {
                let owner = rustix::process::Uid::from_raw(self.uid);
                rustix::fs::fchown(fd, Some(owner), None).map_err(setup("give the standard streams to the user"))?;
            }
        }
        if let Some((rows, cols)) = self.console_size {
            let size = rustix::termios::Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
            let _ = rustix::termios::tcsetwinsize(sys::borrow(0), size);
        }
        Ok(())
    }

    fn take_user(&self) -> Result<(), Failure> {
        let told = |errno: Errno| {
            let message = format!("unable to become user {}:{}: {}", self.uid, self.gid, errno_text(errno as i32));
            failure(Stage::User, Some(errno as i32), message)
        };
        prctl::set_keepcaps(true).map_err(told)?;
        let groups: Vec<Gid> = self.groups.iter().copied().map(Gid::from_raw).collect();
        nix::unistd::setgroups(&groups).map_err(told)?;
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        nix::unistd::setresgid(gid, gid, gid).map_err(told)?;
        nix::unistd::setresuid(uid, uid, uid).map_err(told)?;
        prctl::set_keepcaps(false).map_err(told)?;
        // Changing the user cleared the effective set; what follows needs it once more.
        libcontainer::capabilities::reset_effective(create_syscall().as_ref())
            .map_err(|e| failure(Stage::User, None, format!("keep capabilities: {e}")))
    }

    fn filter(&self) -> Result<(), Failure> {
        let Some(program) = &self.seccomp else { return Ok(()) };
        sys::load_seccomp(program).map_err(setup("load the seccomp filter"))
    }
}

fn setup<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Failure {
    let what = what.into();
    move |error| {
        let error = error.into();
        failure(Stage::Setup, error.raw_os_error(), format!("{what}: {error}"))
    }
}
