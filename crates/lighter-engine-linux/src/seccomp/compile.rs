//! From a resolved profile to the kernel's filter program (classic BPF).
//!
//! Per architecture the calls are cut into ranges of numbers with one answer, found by binary search: about seven
//! comparisons for any call, and none of libseccomp, which takes milliseconds for the same.

use super::arch::{Arch, X32_BIT};
use super::profile::{Condition, Op, Resolved};
use lighter_domain::{Error, Result};
use std::collections::BTreeMap;

const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_GREATER: u16 = 0x25;
const IF_AT_LEAST: u16 = 0x35;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;

/// Places in the kernel's `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

const KILL_PROCESS: u32 = 0x8000_0000;
/// The kernel takes no longer program.
const MAX: usize = 4096;

/// One `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u16,
    /// How many to skip if true, if false.
    then: u8,
    otherwise: u8,
    k: u32,
}

/// What is answered to one call, or to all of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Always(u32),
    /// The first alternative whose conditions all hold; else the default.
    Depends(Vec<(Vec<Condition>, u32)>),
}

/// The program as the kernel and the supervisor take it: an array of `struct sock_filter`.
pub(super) fn compile(profile: &Resolved) -> Result<Vec<u8>> {
    let mut code = vec![plain(LOAD, ARCHITECTURE)];
    let x32 = profile.arches.contains(&Arch::X32);
    for arch in profile.arches.iter().filter(|a| **a != Arch::X32) {
        let mut section = vec![plain(LOAD, NUMBER)];
        let own = ranges(profile, *arch);
        if *arch == Arch::X86_64 {
            let native = search(&own, profile.default)?;
            let foreign =
                if x32 { search(&ranges(profile, Arch::X32), profile.default)? } else { vec![plain(RETURN, KILL_PROCESS)] };
            section.extend(split(X32_BIT, native, foreign)?);
        } else {
            section.extend(search(&own, profile.default)?);
        }
        code.push(Instruction { code: IF_EQUAL, then: 1, otherwise: 0, k: arch.audit() });
        code.push(plain(JUMP, len(&section)?));
        code.extend(section);
    }
    code.push(plain(RETURN, KILL_PROCESS));
    if code.len() > MAX {
        return Err(Error::invalid(format!("seccomp profile too large: {} instructions", code.len())));
    }
    let bytes = |i: &Instruction| {
        let mut out = [0; 8];
        out[..2].copy_from_slice(&i.code.to_ne_bytes());
        (out[2], out[3]) = (i.then, i.otherwise);
        out[4..].copy_from_slice(&i.k.to_ne_bytes());
        out
    };
    Ok(code.iter().flat_map(bytes).collect())
}

/// First number of each range and its answer; the first range starts at 0.
fn ranges(profile: &Resolved, arch: Arch) -> Vec<(u32, Answer)> {
    let mut calls: BTreeMap<u32, Answer> = BTreeMap::new();
    for verdict in &profile.verdicts {
        for number in verdict.names.iter().filter_map(|n| arch.number(n)) {
            let answer = calls.entry(number).or_insert_with(|| Answer::Depends(Vec::new()));
            match answer {
                // What was said without conditions stands.
                Answer::Always(_) => {}
                Answer::Depends(_) if verdict.conditions.is_empty() => *answer = Answer::Always(verdict.action),
                Answer::Depends(list) => list.push((verdict.conditions.clone(), verdict.action)),
            }
        }
    }
    let default = Answer::Always(profile.default);
    let mut out = vec![(0, default.clone())];
    let mut next = 0;
    let mut put = |start: u32, answer: &Answer| match out.last_mut() {
        Some((_, last)) if last == answer => {}
        Some((at, last)) if *at == start => *last = answer.clone(),
        _ => out.push((start, answer.clone())),
    };
    for (number, answer) in &calls {
        if *number > next {
            put(next, &default);
        }
        put(*number, answer);
        next = number + 1;
    }
    put(next, &default);
    out
}

/// The call's number is loaded.
fn search(ranges: &[(u32, Answer)], default: u32) -> Result<Vec<Instruction>> {
    match ranges {
        [] => Ok(vec![plain(RETURN, default)]),
        [(_, Answer::Always(action))] => Ok(vec![plain(RETURN, *action)]),
        [(_, Answer::Depends(alternatives))] => {
            let mut code = Vec::new();
            for (conditions, action) in alternatives {
                code.extend(alternative(conditions, *action)?);
            }
            code.push(plain(RETURN, default));
            Ok(code)
        }
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            split(high[0].0, search(low, default)?, search(high, default)?)
        }
    }
}

/// `low` for numbers below `at`, else `high`.
fn split(at: u32, low: Vec<Instruction>, high: Vec<Instruction>) -> Result<Vec<Instruction>> {
    let mut code = Vec::with_capacity(low.len() + high.len() + 2);
    match u8::try_from(low.len()) {
        Ok(skip) => code.push(Instruction { code: IF_AT_LEAST, then: skip, otherwise: 0, k: at }),
        Err(_) => {
            code.push(Instruction { code: IF_AT_LEAST, then: 0, otherwise: 1, k: at });
            code.push(plain(JUMP, len(&low)?));
        }
    }
    code.extend(low);
    code.extend(high);
    Ok(code)
}

/// Returns `action` if all hold, else falls through to what follows.
fn alternative(conditions: &[Condition], action: u32) -> Result<Vec<Instruction>> {
    let mut code = vec![plain(RETURN, action)];
    for condition in conditions.iter().rev() {
        let fail = u8::try_from(code.len()).map_err(|_| Error::invalid("seccomp rule with too many conditions"))?;
        let mut test = self::test(*condition, fail);
        test.extend(code);
        code = test;
    }
    Ok(code)
}

/// Goes on with what follows if it holds, else `fail` instructions further.
fn test(condition: Condition, fail: u8) -> Vec<Instruction> {
    let low = plain(LOAD, ARGUMENTS + 8 * condition.index);
    let high = plain(LOAD, ARGUMENTS + 8 * condition.index + 4);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of a number")]
    let halves = |v: u64| ((v >> 32) as u32, v as u32);
    let jump = |code, then, otherwise, k| Instruction { code, then, otherwise, k };
    match condition.op {
        Op::Eq(v) => {
            let (h, l) = halves(v);
            vec![high, jump(IF_EQUAL, 0, fail + 2, h), low, jump(IF_EQUAL, 0, fail, l)]
        }
        // The kernel takes only the lower half of an int: what is forbidden there must not pass with a bit set above.
        Op::Ne(v) if u32::try_from(v).is_ok() => vec![low, jump(IF_EQUAL, fail, 0, halves(v).1)],
        Op::Ne(v) => {
            let (h, l) = halves(v);
            vec![high, jump(IF_EQUAL, 0, 2, h), low, jump(IF_EQUAL, fail, 0, l)]
        }
        Op::Masked(mask, v) => {
            let ((mh, ml), (h, l)) = (halves(mask), halves(v));
            vec![high, plain(AND, mh), jump(IF_EQUAL, 0, fail + 3, h & mh), low, plain(AND, ml), jump(IF_EQUAL, 0, fail, l & ml)]
        }
        Op::Ge(v) => ordered(high, low, halves(v), (IF_AT_LEAST, false), fail),
        Op::Gt(v) => ordered(high, low, halves(v), (IF_GREATER, false), fail),
        Op::Lt(v) => ordered(high, low, halves(v), (IF_AT_LEAST, true), fail),
        Op::Le(v) => ordered(high, low, halves(v), (IF_GREATER, true), fail),
    }
}

/// Compares 64 bits in two halves: `low_test` on the lower one, negated or not, decides if the upper ones are equal.
fn ordered(high: Instruction, low: Instruction, (h, l): (u32, u32), low_test: (u16, bool), fail: u8) -> Vec<Instruction> {
    let jump = |code, then, otherwise, k| Instruction { code, then, otherwise, k };
    let (code, less) = low_test;
    let (above, below) = if less { (fail + 3, 3) } else { (3, fail + 3) };
    let last = if less { jump(code, fail, 0, l) } else { jump(code, 0, fail, l) };
    vec![high, jump(IF_GREATER, above, 0, h), jump(IF_EQUAL, 0, below - 1, h), low, last]
}

fn plain(code: u16, k: u32) -> Instruction {
    Instruction { code, then: 0, otherwise: 0, k }
}

fn len(code: &[Instruction]) -> Result<u32> {
    u32::try_from(code.len()).map_err(|_| Error::invalid("seccomp profile too large"))
}
