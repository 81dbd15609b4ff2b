//! The profile of a container that asks for none: what Docker allows, kept as data of our own.

use super::profile::{ArchMap, Arg, Filter, Profile, Rule};

/// Allowed to every container.
const ALWAYS: &str = "
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 clock_adjtime
    clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64
    close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
    epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2
    fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64
    fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync
    ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat get_robust_list
    get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
    getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid
    getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
    io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset
    landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr listxattrat llistxattr _llseek
    lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir
    mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
    mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock
    munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open
    pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2
    prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv
    recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2
    restart_syscall riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
    rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min
    sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop
    semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area
    set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid
    setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid
    setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4
    sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync
    sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64
    timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times
    tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes vfork
    vmsplice wait4 waitid waitpid write writev";

/// Allowed with a capability.
const WITH_CAPABILITY: [(&str, &str); 13] = [
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules
         lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname
         sethostname setns syslog umount umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module init_module finit_module"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    ("CAP_SYS_RAWIO", "iopl ioperm"),
    ("CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"),
];

/// Namespaces that `clone` may not make without `CAP_SYS_ADMIN`: all but time.
const CLONE_NAMESPACES: u64 = 0x7e02_0000;
const ENOSYS: u32 = 38;
const AF_VSOCK: u64 = 40;
/// `PER_LINUX`, `PER_LINUX32`, both without address randomisation's `UNAME26`, and the query.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Builds it; microseconds.
pub(super) fn profile() -> Profile {
    let mut rules = vec![allow(ALWAYS)];
    rules.push(Rule {
        includes: Some(Filter { min_kernel: Some("4.8".into()), ..Filter::default() }),
        ..allow("process_vm_readv process_vm_writev ptrace")
    });
    rules.push(Rule { args: Some(vec![arg(AF_VSOCK, "SCMP_CMP_NE")]), ..allow("socket") });
    rules.extend(PERSONALITIES.map(|p| Rule { args: Some(vec![arg(p, "SCMP_CMP_EQ")]), ..allow("personality") }));
    let on = |arches: &[&str]| Some(Filter { arches: arches.iter().map(ToString::to_string).collect(), ..Filter::default() });
    let arm = "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls";
    rules.push(Rule { includes: on(&["arm", "arm64"]), ..allow(arm) });
    rules.push(Rule { includes: on(&["amd64", "x32"]), ..allow("arch_prctl") });
    rules.push(Rule { includes: on(&["amd64", "x32", "x86"]), ..allow("modify_ldt") });
    let with = |cap: &str| Some(Filter { caps: vec![cap.to_owned()], ..Filter::default() });
    rules.extend(WITH_CAPABILITY.map(|(cap, names)| Rule { includes: with(cap), ..allow(names) }));
    rules.push(Rule { includes: with("CAP_SYSLOG"), ..allow("syslog") });
    let without_admin = with("CAP_SYS_ADMIN");
    let plain_clone = vec![Arg { value: CLONE_NAMESPACES, ..arg(0, "SCMP_CMP_MASKED_EQ") }];
    rules.push(Rule { args: Some(plain_clone), excludes: without_admin.clone(), ..allow("clone") });
    // Its flags are in memory, where a filter cannot look: programs fall back to clone.
    let no_clone3 = Rule { action: "SCMP_ACT_ERRNO".into(), errno_ret: Some(ENOSYS), ..allow("clone3") };
    rules.push(Rule { excludes: without_admin, ..no_clone3 });
    let map = |arch: &str, sub: &[&str]| ArchMap {
        architecture: format!("SCMP_ARCH_{arch}"),
        sub_architectures: Some(sub.iter().map(|s| format!("SCMP_ARCH_{s}")).collect()),
    };
    Profile {
        default_action: "SCMP_ACT_ERRNO".into(),
        default_errno_ret: Some(1),
        arch_map: Some(vec![map("X86_64", &["X86", "X32"]), map("AARCH64", &["ARM"])]),
        architectures: None,
        syscalls: Some(rules),
    }
}

fn allow(names: &str) -> Rule {
    Rule { names: names.split_whitespace().map(str::to_owned).collect(), action: "SCMP_ACT_ALLOW".into(), ..Rule::default() }
}

/// A condition on the first argument.
fn arg(value: u64, op: &str) -> Arg {
    Arg { index: 0, value, value_two: 0, op: op.to_owned() }
}
