//! What becomes of every field of a create request, in one table: the promise that no option is dropped in silence.
//!
//! An engine's `review` walks it ([`review`]) for what does not depend on the machine; the README's tables are printed from
//! it; tests hold it against the list of the API's fields (`fields.txt`) and send every field through the API. To change a
//! decision, change its line here, regenerate the README, and the tests say what is still missing.
//!
//! The first column speaks of engines that run real containers; an engine that differs has an exception under its name
//! ([`crate::Description::name`]).

mod config;
mod host;
mod network;
mod resources;

use crate::Review;
use lighter_domain::{Container, Error, Result};

/// What an engine does about a field that was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// What it says. A value that makes no sense is refused with 400 in dockerd's words.
    Honoured,
    /// The container is made without it; the reason is in `Warnings`, the name in `unsupportedFlags`.
    Warned(&'static str),
    /// As [`Decision::Warned`], with dockerd's own sentence.
    Discarded(&'static str),
    /// 400 with these words.
    Refused(&'static str),
    /// 501: what is missing. The code that would do it says so.
    NotYet(&'static str),
    /// Nothing, as with dockerd; why.
    Ignored(&'static str),
}

/// One field, or one with its parts.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// `HostConfig.Memory`: the path in the request, with `Config.` before the fields at its top.
    pub name: &'static str,
    /// Fields of its value that are decided on with it.
    pub parts: &'static [&'static str],
    /// The CLI's flags for it, as the README shows them; empty where it has none.
    pub flags: &'static str,
    /// A limit of what is honoured, for the README.
    pub remark: &'static str,
    decision: Decision,
    except: &'static [(&'static str, Decision)],
    /// Whether a container, with defaults filled in, asks for it.
    asked: fn(&Container) -> bool,
    /// The engines that run containers find out for themselves whether they can do it: it depends on more than the field.
    stated: bool,
}

/// An engine whose containers are records.
const RECORDS: &[(&str, Decision)] = &[("memory", Decision::Warned("its containers are records, nothing runs"))];
/// The same where silence is no lie: nothing can look whether it is so.
const UNSEEN: &[(&str, Decision)] =
    &[("memory", Decision::Ignored("kept and shown by inspect; no process is there that could see it"))];

impl Field {
    const fn new(name: &'static str, flags: &'static str, decision: Decision, asked: fn(&Container) -> bool) -> Self {
        Self { name, parts: &[], flags, remark: "", decision, except: &[], asked, stated: false }
    }

    const fn parts(mut self, parts: &'static [&'static str]) -> Self {
        self.parts = parts;
        self
    }

    const fn remark(mut self, remark: &'static str) -> Self {
        self.remark = remark;
        self
    }

    const fn except(mut self, engines: &'static [(&'static str, Decision)]) -> Self {
        self.except = engines;
        self
    }

    /// The first column, carried out by [`review`].
    const fn decided(mut self, decision: Decision) -> Self {
        self.decision = decision;
        self
    }

    /// The first column, carried out by the engines' own reviews.
    const fn stated(mut self, decision: Decision) -> Self {
        self.stated = true;
        self.decided(decision)
    }

    /// What the engine called `engine` does.
    pub fn decision(&self, engine: &str) -> Decision {
        self.except.iter().find(|(name, _)| *name == engine).map_or(self.decision, |(_, d)| *d)
    }
}

/// Done by the daemon itself, on every engine.
const fn daemon(name: &'static str, flags: &'static str) -> Field {
    Field::new(name, flags, Decision::Honoured, |_| false)
}

/// Done where containers run.
const fn runs(name: &'static str, flags: &'static str, asked: fn(&Container) -> bool) -> Field {
    Field::new(name, flags, Decision::Honoured, asked).except(RECORDS)
}

/// As [`runs`], for what only the container's own processes could miss.
const fn inside(name: &'static str, flags: &'static str) -> Field {
    Field::new(name, flags, Decision::Honoured, |_| false).except(UNSEEN)
}

const fn ignored(name: &'static str, flags: &'static str, why: &'static str) -> Field {
    Field::new(name, flags, Decision::Ignored(why), |_| false)
}

/// Every field that has a decision.
pub fn all() -> impl Iterator<Item = &'static Field> {
    [config::FIELDS, resources::FIELDS, host::FIELDS, network::FIELDS].into_iter().flatten()
}

/// The decision on `name`, which may be a part of a field.
pub fn find(name: &str) -> Option<&'static Field> {
    all().find(|f| {
        f.name == name || f.parts.iter().any(|p| name.strip_prefix(f.name).and_then(|r| r.strip_prefix('.')) == Some(p))
    })
}

/// Adds to `found` what `container` asks for and the engine called `engine` leaves out; fails with what is refused.
pub fn review(engine: &str, container: &Container, found: &mut Review) -> Result<()> {
    for field in all().filter(|f| (f.asked)(container)) {
        let name = field.name;
        if field.stated && !field.except.iter().any(|(e, _)| *e == engine) {
            continue;
        }
        let sentence = match field.decision(engine) {
            Decision::Refused(words) => return Err(Error::invalid(words)),
            Decision::Warned(why) => format!("{name} is not honoured by the {engine} engine: {why}"),
            Decision::Discarded(words) => words.to_owned(),
            Decision::Honoured | Decision::NotYet(_) | Decision::Ignored(_) => continue,
        };
        found.unsupported.push(name.to_owned());
        found.warnings.push(sentence);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
