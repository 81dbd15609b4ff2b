//! Filters put to the kernel, in children of the test.

use super::*;
use crate::sys::probe::under_filter;
use nix::libc::{self, c_long};

const EPERM: i32 = libc::EPERM;

fn default_filter(more: &[&str]) -> Vec<u8> {
    let add: Vec<String> = more.iter().map(ToString::to_string).collect();
    let caps = CapSet::of(false, &add, &[], CapSet::KNOWN).unwrap();
    compile_choice(&Choice::Default, caps).unwrap()
}

fn custom(json: &str) -> Result<Vec<u8>> {
    compile_choice(&Choice::Custom(json.to_owned()), CapSet::docker_default())
}

#[test]
fn the_default_profile_allows_and_denies() {
    let filter = default_filter(&[]);
    let try_it = |call: c_long, args: [u64; 3]| under_filter(&filter, call, args);
    assert_eq!(try_it(libc::SYS_getpid, [0; 3]), 0);
    assert_eq!(try_it(libc::SYS_getcpu, [0; 3]), 0);
    assert_eq!(try_it(libc::SYS_openat, [0, 0, 0]), libc::EFAULT, "it was let through");
    for denied in [libc::SYS_kexec_load, libc::SYS_swapon, libc::SYS_reboot, libc::SYS_mount, libc::SYS_unshare, libc::SYS_keyctl]
    {
        assert_eq!(try_it(denied, [0; 3]), EPERM, "{denied}");
    }
    assert_eq!(try_it(libc::SYS_io_uring_setup, [0; 3]), EPERM);
    assert_eq!(try_it(9999, [0; 3]), EPERM, "what nobody has heard of");
    assert_eq!(try_it(libc::SYS_clone3, [0; 3]), libc::ENOSYS);
    assert_eq!(try_it(libc::SYS_ptrace, [u64::MAX, 0, 0]), libc::ESRCH, "it was let through");
}

#[test]
fn arguments_are_looked_at() {
    let filter = default_filter(&[]);
    let socket = |family: u64| under_filter(&filter, libc::SYS_socket, [family, 1, 0]);
    assert_eq!(socket(1), 0);
    assert_eq!(socket(40), EPERM);
    assert_eq!(socket(40 | 1 << 32), EPERM, "the kernel looks at the lower half only");
    let personality = |p: u64| under_filter(&filter, libc::SYS_personality, [p, 0, 0]);
    assert_eq!([0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff].map(personality), [0; 5]);
    assert_eq!(personality(0x40_0000), EPERM);
    assert_eq!(personality(0xffff_ffff_0000_0008), EPERM);
    let clone = |flags: u64| under_filter(&filter, libc::SYS_clone, [flags, 0, 0]);
    assert_eq!(clone(0x1000_0000 | 17), EPERM, "CLONE_NEWUSER");
    assert_eq!(clone(0x0002_0000), EPERM, "CLONE_NEWNS");
    // CLONE_SIGHAND without CLONE_VM: let through, and refused by the kernel itself.
    assert_eq!(clone(0x800), libc::EINVAL);
}

#[test]
fn capabilities_open_calls() {
    let filter = default_filter(&["SYS_ADMIN"]);
    assert_eq!(under_filter(&filter, libc::SYS_mount, [0; 3]), libc::EFAULT);
    assert_eq!(under_filter(&filter, libc::SYS_clone3, [0; 3]), libc::EINVAL);
    assert_eq!(under_filter(&filter, libc::SYS_reboot, [0; 3]), EPERM);
    let time = default_filter(&["SYS_TIME"]);
    assert_ne!(under_filter(&time, libc::SYS_settimeofday, [1, 1, 0]), EPERM);
}

#[test]
fn custom_profiles() {
    let deny = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_AARCH64"],
        "syscalls":[{"names":["getcpu","nosuchcall"],"action":"SCMP_ACT_ERRNO","errnoRet":7},
        {"name":"getpriority","action":"SCMP_ACT_ERRNO","args":[
            {"index":0,"value":1,"op":"SCMP_CMP_GE"},{"index":1,"value":4294967296,"op":"SCMP_CMP_GT"}]},
        {"name":"dup","action":"SCMP_ACT_KILL_PROCESS"}]}"#;
    let filter = custom(deny).unwrap();
    assert_eq!(under_filter(&filter, libc::SYS_getcpu, [0; 3]), 7);
    assert_eq!(under_filter(&filter, libc::SYS_getpid, [0; 3]), 0);
    assert_eq!(under_filter(&filter, libc::SYS_dup, [0; 3]), -1);
    let priority = |which, who| under_filter(&filter, libc::SYS_getpriority, [which, who, 0]);
    assert_eq!(priority(0, 1 << 33), 0);
    assert_eq!(priority(1, (1 << 32) + 1), EPERM);
    assert_ne!(priority(1, 1 << 32), EPERM);
    for bad in ["", "{}", r#"{"defaultAction":"X"}"#, r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#] {
        assert!(custom(bad).is_err(), "{bad}");
    }
}

#[test]
fn orderings_are_exact() {
    for (op, value, passes) in [
        ("LT", 5u64, [true, false, false]),
        ("LE", 5, [true, true, false]),
        ("EQ", 5, [false, true, false]),
        ("NE", 5, [true, false, true]),
        ("GE", 5, [false, true, true]),
        ("GT", 5, [false, false, true]),
    ] {
        for shift in [0, 32] {
            let json = format!(
                r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["getpid"],"action":"SCMP_ACT_ERRNO","errnoRet":9,
                    "args":[{{"index":0,"value":{},"op":"SCMP_CMP_{op}"}}]}}]}}"#,
                value << shift
            );
            let filter = custom(&json).unwrap();
            let got = [4u64, 5, 6].map(|v| under_filter(&filter, libc::SYS_getpid, [v << shift, 0, 0]) == 9);
            assert_eq!(got, passes, "{op} {shift}");
        }
    }
}

/// Every other number from `first` on, each with many values of its arguments: nothing is near anything else.
#[test]
fn a_long_program_jumps_far() {
    let calls = ["getpriority", "sched_get_priority_max", "getsid", "getpgid", "sched_rr_get_interval", "getrlimit", "getpid"];
    let rule = |(at, name): (usize, &&str)| {
        let args = |value: usize| {
            format!(
                r#"{{"names":["{name}"],"action":"SCMP_ACT_ERRNO","errnoRet":{},"args":[
                    {{"index":0,"value":{value},"op":"SCMP_CMP_EQ"}},{{"index":1,"value":3,"op":"SCMP_CMP_GE"}}]}}"#,
                200 + at
            )
        };
        (1000..1040).map(args).collect::<Vec<_>>()
    };
    let rules: Vec<String> = calls.iter().enumerate().flat_map(rule).collect();
    let json = format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{}]}}"#, rules.join(","));
    let filter = custom(&json).unwrap();
    assert!(filter.len() > 8 * 255 * calls.len(), "{}", filter.len());
    for (at, call) in [(0, libc::SYS_getpriority), (1, libc::SYS_sched_get_priority_max), (6, libc::SYS_getpid)] {
        let with = |first: u64, second: u64| under_filter(&filter, call, [first, second, 0]);
        for value in [1000, 1020, 1039] {
            assert_eq!(with(value, 3), 200 + at, "{call} {value}");
            assert_ne!(with(value, 2), 200 + at, "{call} {value}");
        }
        assert_ne!(with(1040, 3), 200 + at, "{call}");
    }
    assert_eq!(under_filter(&filter, libc::SYS_getppid, [1000, 3, 0]), 0);
}

#[test]
fn programs_are_kept_as_files() {
    let dir = tempfile::tempdir().unwrap();
    let seccomp = Seccomp::new(dir.path().join("seccomp"));
    let mut container = crate::testing::container();
    let first = seccomp.program(&container, CapSet::docker_default()).unwrap().unwrap();
    let size = std::fs::metadata(&first).unwrap().len();
    assert!(size > 0 && size.is_multiple_of(8) && size < 8 * 400, "{size}");
    assert_eq!(seccomp.program(&container, CapSet::docker_default()).unwrap().unwrap(), first);
    assert_ne!(seccomp.program(&container, CapSet::KNOWN).unwrap().unwrap(), first);
    container.host_config.security_opt = vec!["seccomp=unconfined".into()];
    assert_eq!(seccomp.program(&container, CapSet::docker_default()).unwrap(), None);
    container.host_config.security_opt = vec!["seccomp={broken".into()];
    assert!(check(&container, CapSet::docker_default()).is_err());
    container.host_config.privileged = true;
    assert_eq!(seccomp.program(&container, CapSet::docker_default()).unwrap(), None);
}

#[test]
fn every_architecture_compiles() {
    let resolved = default::profile().resolve(CapSet::docker_default(), (6, 1)).unwrap();
    assert_eq!(resolved.arches.len(), if cfg!(target_arch = "x86_64") { 3 } else { 2 });
    let mut foreign = resolved.clone();
    foreign.arches = vec![arch::Arch::Aarch64, arch::Arch::Arm];
    assert!(!compile::compile(&foreign).unwrap().is_empty());
    assert_eq!(arch::Arch::X32.number("execve"), Some(0x4000_0000 + 520));
    assert_eq!(arch::Arch::X86.number("openat"), Some(295));
}
