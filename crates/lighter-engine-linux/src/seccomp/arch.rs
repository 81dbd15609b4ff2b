//! Architectures that a filter can be asked about, and their system calls' numbers.

use std::str::FromStr as _;

/// One calling convention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arch {
    X86_64,
    X86,
    X32,
    Aarch64,
    Arm,
}

/// Set in the numbers of x32 calls.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// Calls that have numbers of their own on x32, from 512 on.
const X32_OWN: [&str; 36] = [
    "rt_sigaction",
    "rt_sigreturn",
    "ioctl",
    "readv",
    "writev",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "execve",
    "ptrace",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigqueueinfo",
    "sigaltstack",
    "timer_create",
    "mq_notify",
    "kexec_load",
    "waitid",
    "set_robust_list",
    "get_robust_list",
    "vmsplice",
    "move_pages",
    "preadv",
    "pwritev",
    "rt_tgsigqueueinfo",
    "recvmmsg",
    "sendmmsg",
    "process_vm_readv",
    "process_vm_writev",
    "setsockopt",
    "getsockopt",
    "io_setup",
    "io_submit",
    "execveat",
    "preadv2",
    "pwritev2",
];

impl Arch {
    pub(super) const fn native() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 }
    }

    /// By its name in profiles.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::X86_64, Self::X86, Self::X32, Self::Aarch64, Self::Arm].into_iter().find(|a| a.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "SCMP_ARCH_X86_64",
            Self::X86 => "SCMP_ARCH_X86",
            Self::X32 => "SCMP_ARCH_X32",
            Self::Aarch64 => "SCMP_ARCH_AARCH64",
            Self::Arm => "SCMP_ARCH_ARM",
        }
    }

    /// As the profiles' `includes` and `excludes` name it.
    pub(super) fn go_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::X86 => "x86",
            Self::X32 => "x32",
            Self::Aarch64 => "arm64",
            Self::Arm => "arm",
        }
    }

    /// Machines of one family can run each other's programs.
    pub(super) fn family(self) -> u8 {
        match self {
            Self::X86_64 | Self::X86 | Self::X32 => 0,
            Self::Aarch64 | Self::Arm => 1,
        }
    }

    /// The kernel's `AUDIT_ARCH_*`. X32 shares that of `X86_64`.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// `None`: there is no such call here.
    pub(super) fn number(self, name: &str) -> Option<u32> {
        let small = |n: i32| u32::try_from(n).ok();
        match self {
            Self::X86_64 => small(syscalls::x86_64::Sysno::from_str(name).ok()?.id()),
            Self::X86 => small(syscalls::x86::Sysno::from_str(name).ok()?.id()),
            Self::Aarch64 => small(syscalls::aarch64::Sysno::from_str(name).ok()?.id()),
            Self::Arm => small(syscalls::arm::Sysno::from_str(name).ok()?.id()),
            Self::X32 => {
                let own = X32_OWN.iter().position(|n| *n == name).and_then(|n| u32::try_from(n + 512).ok());
                let number = own.or_else(|| Self::X86_64.number(name))?;
                Some(number | X32_BIT)
            }
        }
    }
}
