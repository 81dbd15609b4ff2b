//! What this engine honours, refuses or leaves out, field by field. The two structures are taken apart completely, so that a
//! field added to them does not compile until something is decided here. What needs no look at the machine or the value is
//! carried out by the table of all fields (`lighter_engine::fields`).

mod config;
mod host;
mod resources;
mod security;
#[cfg(test)]
mod tests;

use crate::apparmor::AppArmor;
use crate::engine::Inner;
use crate::spec::caps::CapSet;
use crate::spec::modes::Modes;
use lighter_domain::{Container, Error, HostConfig, Result};
use lighter_engine::{Review, fields};

/// What of the machine matters for the verdict.
pub(super) struct Machine {
    pub cpus: u32,
    pub unified: bool,
    pub available: CapSet,
    pub swap_limit: bool,
    pub memory_limit: bool,
    pub cpu: bool,
    pub pids: bool,
    pub init: bool,
    /// Looked up only for who asks for a weight: it takes a walk over all disks.
    pub io_weights: bool,
    pub apparmor: AppArmor,
}

/// Called before a container is made.
pub(crate) fn review(inner: &Inner, container: &Container) -> Result<Review> {
    of(container, &machine(inner, &container.host_config))
}

/// Called before a container's limits are changed, with those that are to change. Swap alone is a change of the memory
/// limit that is there.
pub(crate) fn review_update(inner: &Inner, container: &Container, asked: &HostConfig) -> Result<Review> {
    let mut asked = asked.clone();
    if asked.memory == 0 && asked.memory_swap > 0 {
        asked.memory = container.host_config.memory;
    }
    let mut notes = Notes::default();
    resources::check(&asked, &machine(inner, &asked), &mut notes)?;
    Ok(notes.0)
}

fn machine(inner: &Inner, host: &HostConfig) -> Machine {
    let weighed = host.blkio_weight != 0 || !host.blkio_weight_device.is_empty();
    let description = &inner.description;
    Machine {
        cpus: description.cpus,
        unified: inner.cgroups.is_v2(),
        available: inner.available,
        swap_limit: description.swap_limit,
        memory_limit: description.memory_limit,
        cpu: description.cpu_cfs,
        pids: description.pids_limit,
        init: inner.config.init.is_file(),
        io_weights: weighed && inner.cgroups.has_io_weights(),
        apparmor: inner.apparmor,
    }
}

fn of(container: &Container, machine: &Machine) -> Result<Review> {
    let mut notes = Notes::default();
    let modes = Modes::of(container, machine.unified)?;
    config::check(container)?;
    host::check(container, machine, &modes, &mut notes)?;
    fields::review(crate::describe::NAME, container, &mut notes.0)?;
    Ok(notes.0)
}

/// Collects what is not honoured.
#[derive(Default)]
pub(super) struct Notes(Review);

impl Notes {
    /// An option that was asked for and is left out.
    pub(super) fn leave_out(&mut self, asked: bool, option: &str, why: &str) {
        if asked {
            self.0.unsupported.push(option.to_owned());
            self.0.warnings.push(format!("{option} is not honoured by the linux engine: {why}"));
        }
    }

    /// As [`Self::leave_out`], with dockerd's own sentence.
    pub(super) fn warn(&mut self, asked: bool, option: &str, sentence: &str) {
        if asked {
            self.0.unsupported.push(option.to_owned());
            self.0.warnings.push(sentence.to_owned());
        }
    }
}

/// Something that comes in a later version.
pub(super) fn not_yet(what: &str) -> Error {
    Error::not_implemented(format!("the linux engine does not do {what} yet"))
}
