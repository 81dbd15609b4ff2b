//! Device rules on version 2: an eBPF program that the kernel asks at every open and mknod of a device.
//!
//! Without it a container, which has `CAP_MKNOD`, could make and read the host's disks.

use crate::fail::Context as _;
use lighter_domain::{Error, Result};
use std::path::Path;

/// Attaches the allow list `rules` (`c 1:3 rwm`) to the group.
pub(super) fn restrict(dir: &Path, rules: &[String]) -> Result<()> {
    let rules = rules.iter().map(|r| parse(r)).collect::<Result<Vec<_>>>()?;
    crate::sys::attach_device_filter(dir, &compile(&rules)).at("cannot restrict the devices of", dir)
}

struct Rule {
    /// 1 block, 2 character, `None` both: the kernel's numbers.
    kind: Option<i32>,
    major: Option<i32>,
    minor: Option<i32>,
    /// 1 mknod, 2 read, 4 write.
    access: i32,
}

fn parse(text: &str) -> Result<Rule> {
    let bad = || Error::invalid(format!("invalid device cgroup rule format: '{text}'"));
    let mut words = text.split(' ');
    let (kind, numbers, access) = (words.next(), words.next().and_then(|n| n.split_once(':')), words.next());
    let (Some(kind), Some((major, minor)), Some(access), None) = (kind, numbers, access, words.next()) else { return Err(bad()) };
    let number = |s: &str| if s == "*" { Ok(None) } else { s.parse().map(Some).map_err(|_| bad()) };
    let kind = match kind {
        "a" => None,
        "b" => Some(1),
        "c" => Some(2),
        _ => return Err(bad()),
    };
    let bit = |c: char| [('m', 1), ('r', 2), ('w', 4)].iter().find(|(k, _)| *k == c).map(|(_, b)| *b).ok_or_else(bad);
    let access = access.chars().try_fold(0, |all, c| Ok::<_, Error>(all | bit(c)?))?;
    Ok(Rule { kind, major: number(major)?, minor: number(minor)?, access })
}

/// Whether a `--device-cgroup-rule` can be read.
pub(crate) fn check(rule: &str) -> Result<()> {
    parse(rule).map(drop)
}

/// One instruction: operation, destination and source register, jump offset, immediate.
#[expect(clippy::cast_sign_loss, reason = "the fields are bit patterns")]
fn instruction(op: u8, dst: u8, src: u8, offset: i16, imm: i32) -> u64 {
    u64::from(op) | u64::from(dst) << 8 | u64::from(src) << 12 | u64::from(offset as u16) << 16 | u64::from(imm as u32) << 32
}

/// Registers: 2 the type asked for, 3 the access, 4 major, 5 minor.
fn compile(rules: &[Rule]) -> Vec<u64> {
    const LOAD: u8 = 0x61;
    const AND: u8 = 0x54;
    const SHIFT: u8 = 0x74;
    const COPY: u8 = 0xbc;
    const UNLESS: u8 = 0x55;
    const UNLESS_REG: u8 = 0x5d;
    const SET: u8 = 0xb7;
    const EXIT: u8 = 0x95;
    let mut out = vec![
        instruction(LOAD, 2, 1, 0, 0),
        instruction(COPY, 3, 2, 0, 0),
        instruction(AND, 2, 0, 0, 0xffff),
        instruction(SHIFT, 3, 0, 0, 16),
        instruction(LOAD, 4, 1, 4, 0),
        instruction(LOAD, 5, 1, 8, 0),
    ];
    for rule in rules {
        let tests = [(2, rule.kind), (4, rule.major), (5, rule.minor)];
        let tests: Vec<_> = tests.into_iter().filter_map(|(reg, want)| Some((reg, want?))).collect();
        // What follows a failed test: the later tests, the access test of three, and two for the verdict.
        let mut left = i16::try_from(tests.len()).unwrap_or(3) + 5;
        for (register, wanted) in tests {
            left -= 1;
            out.push(instruction(UNLESS, register, 0, left, wanted));
        }
        out.push(instruction(COPY, 6, 3, 0, 0));
        out.push(instruction(AND, 6, 0, 0, rule.access));
        out.push(instruction(UNLESS_REG, 6, 3, 2, 0));
        out.push(instruction(SET, 0, 0, 0, 1));
        out.push(instruction(EXIT, 0, 0, 0, 0));
    }
    out.push(instruction(SET, 0, 0, 0, 0));
    out.push(instruction(EXIT, 0, 0, 0, 0));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn rules_are_read() {
        for good in ["a *:* rwm", "c 1:3 r", "b 8:* rw"] {
            check(good).unwrap();
        }
        for bad in ["", "c", "c 1:3", "x 1:3 r", "c 1 r", "c 1:3 x", "c 1:3 rwm more"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    /// The unified hierarchy is there on hybrid machines, too, and takes device filters.
    #[test]
    fn the_kernel_obeys_the_program() {
        let root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
        let Some(root) = root.into_iter().find(|r| r.join("cgroup.procs").exists() && r.join("cgroup.controllers").exists())
        else {
            return;
        };
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = root.join(format!("lighter-test-devices-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        restrict(&dir, &["c 1:3 rwm".into(), "c 1:5 r".into()]).unwrap();
        let run = |script: &str| {
            let script = format!("echo 0 > {}/cgroup.procs && {script}", dir.display());
            Command::new("/bin/sh").args(["-c", &script]).stderr(std::process::Stdio::null()).status().unwrap().success()
        };
        let verdicts = [
            run("echo x > /dev/null"),
            run("head -c1 /dev/zero > /dev/null"),
            run(": > /dev/zero"),
            run("head -c1 /dev/full > /dev/null"),
        ];
        std::fs::remove_dir(&dir).unwrap();
        assert_eq!(verdicts, [true, true, false, false]);
    }
}
