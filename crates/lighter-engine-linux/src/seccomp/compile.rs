//! From a resolved profile to the kernel's filter program (classic BPF).
//!
//! Per architecture the calls are cut into ranges of numbers with one answer, found by binary search: about seven
//! comparisons for any call, and none of libseccomp, which takes milliseconds for the same. The kernel translates the program
//! to machine code for each process that loads it, which costs by the instruction: so what is returned stands in the program
//! once, not at each end of the search. Jumps only lead forwards, so the program is made from its end.

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
/// So many instructions a conditional jump skips, and two more.
const REACH: u32 = 253;

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
    let mut program = Program::default();
    let x32 = profile.arches.contains(&Arch::X32);
    let mut sections = Vec::new();
    for arch in profile.arches.iter().filter(|a| **a != Arch::X32).rev() {
        let own = program.search(&ranges(profile, *arch), profile.default);
        let section = if *arch == Arch::X86_64 {
            let foreign = match x32 {
                true => program.search(&ranges(profile, Arch::X32), profile.default),
                false => program.answer(KILL_PROCESS),
            };
            program.branch(IF_AT_LEAST, X32_BIT, foreign, own)
        } else {
            own
        };
        sections.push((arch.audit(), program.before(section, LOAD, NUMBER)));
    }
    let mut next = program.answer(KILL_PROCESS);
    for (audit, section) in sections {
        next = program.branch(IF_EQUAL, audit, section, next);
    }
    program.before(next, LOAD, ARCHITECTURE);
    let code = program.0;
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
    Ok(code.iter().rev().flat_map(bytes).collect())
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

/// The instructions from the last one backwards. What is added comes before all that is there.
#[derive(Default)]
struct Program(Vec<Instruction>);

/// The place of an instruction in [`Program`].
type Label = usize;

impl Program {
    fn add(&mut self, code: u16, then: u8, otherwise: u8, k: u32) -> Label {
        self.0.push(Instruction { code, then, otherwise, k });
        self.0.len() - 1
    }

    /// An instruction of its own kind, after which it goes on at `next`.
    fn before(&mut self, next: Label, code: u16, k: u32) -> Label {
        let far = self.skip(next);
        if far > 0 {
            self.add(JUMP, 0, 0, far);
        }
        self.add(code, 0, 0, k)
    }

    /// How many instructions the next one has to skip to get to `label`.
    #[expect(clippy::cast_possible_truncation, reason = "a program that is much longer than MAX was never asked for")]
    fn skip(&self, label: Label) -> u32 {
        (self.0.len() - label - 1) as u32
    }

    /// A place from which the next instructions can get to `label` by a conditional jump.
    fn near(&mut self, label: Label) -> Label {
        match self.skip(label) {
            far if far > REACH => self.add(JUMP, 0, 0, far),
            _ => label,
        }
    }

    /// Compares what is loaded with `k`.
    fn branch(&mut self, code: u16, k: u32, then: Label, otherwise: Label) -> Label {
        let (then, otherwise) = (self.near(then), self.near(otherwise));
        let (then, otherwise) = (self.skip(then), self.skip(otherwise));
        debug_assert!(then.max(otherwise) <= REACH + 1, "the jump for one may be between here and the other");
        #[expect(clippy::cast_possible_truncation, reason = "at most REACH + 1")]
        self.add(code, then as u8, otherwise as u8, k)
    }

    /// Returns `action`: where it is returned already, if that is near.
    fn answer(&mut self, action: u32) -> Label {
        let first = self.0.len().saturating_sub(REACH as usize);
        let there = self.0[first..].iter().rposition(|i| i.code == RETURN && i.k == action);
        there.map_or_else(|| self.add(RETURN, 0, 0, action), |index| first + index)
    }

    /// Looks the call's number up, which is loaded.
    fn search(&mut self, ranges: &[(u32, Answer)], default: u32) -> Label {
        match ranges {
            [] => self.answer(default),
            [(_, Answer::Always(action))] => self.answer(*action),
            [(_, Answer::Depends(alternatives))] => {
                let no_more = self.answer(default);
                let one = |next, (conditions, action): &(Vec<Condition>, u32)| self.alternative(conditions, *action, next);
                alternatives.iter().rev().fold(no_more, one)
            }
            _ => {
                let (low, high) = ranges.split_at(ranges.len() / 2);
                let from = high[0].0;
                let (high, low) = (self.search(high, default), self.search(low, default));
                self.branch(IF_AT_LEAST, from, high, low)
            }
        }
    }

    /// Returns `action` if all hold, else goes on at `next`.
    fn alternative(&mut self, conditions: &[Condition], action: u32, next: Label) -> Label {
        let all = self.answer(action);
        conditions.iter().rev().fold(all, |holds, condition| self.test(*condition, holds, next))
    }

    /// Goes on at `holds` or at `fails`.
    fn test(&mut self, Condition { index, op }: Condition, holds: Label, fails: Label) -> Label {
        let (low, high) = (ARGUMENTS + 8 * index, ARGUMENTS + 8 * index + 4);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of a number")]
        let halves = |v: u64| ((v >> 32) as u32, v as u32);
        match op {
            Op::Eq(v) => {
                let (h, l) = halves(v);
                let rest = self.branch(IF_EQUAL, l, holds, fails);
                let rest = self.before(rest, LOAD, low);
                let rest = self.branch(IF_EQUAL, h, rest, fails);
                self.before(rest, LOAD, high)
            }
            // The kernel takes only the lower half of an int: what is forbidden there must not pass with a bit set above.
            Op::Ne(v) if u32::try_from(v).is_ok() => {
                let rest = self.branch(IF_EQUAL, halves(v).1, fails, holds);
                self.before(rest, LOAD, low)
            }
            Op::Ne(v) => self.test(Condition { index, op: Op::Eq(v) }, fails, holds),
            Op::Masked(mask, v) => {
                let ((mh, ml), (h, l)) = (halves(mask), halves(v));
                let rest = self.branch(IF_EQUAL, l & ml, holds, fails);
                let rest = self.before(rest, AND, ml);
                let rest = self.before(rest, LOAD, low);
                let rest = self.branch(IF_EQUAL, h & mh, rest, fails);
                let rest = self.before(rest, AND, mh);
                self.before(rest, LOAD, high)
            }
            Op::Ge(v) | Op::Gt(v) => {
                let (h, l) = halves(v);
                let of_low = if matches!(op, Op::Ge(_)) { IF_AT_LEAST } else { IF_GREATER };
                let rest = self.branch(of_low, l, holds, fails);
                let rest = self.before(rest, LOAD, low);
                let rest = self.branch(IF_EQUAL, h, rest, fails);
                let rest = self.branch(IF_GREATER, h, holds, rest);
                self.before(rest, LOAD, high)
            }
            Op::Lt(v) => self.test(Condition { index, op: Op::Ge(v) }, fails, holds),
            Op::Le(v) => self.test(Condition { index, op: Op::Gt(v) }, fails, holds),
        }
    }
}
