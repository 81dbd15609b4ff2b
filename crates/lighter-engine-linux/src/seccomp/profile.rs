//! Docker's format of seccomp profiles, and what one comes to for a given container.

use super::arch::Arch;
use crate::spec::caps::CapSet;
use lighter_domain::{Error, Result};
use serde::Deserialize;

/// As in the JSON files that users write.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Profile {
    pub default_action: String,
    #[serde(default)]
    pub default_errno_ret: Option<u32>,
    #[serde(default)]
    pub arch_map: Option<Vec<ArchMap>>,
    #[serde(default)]
    pub architectures: Option<Vec<String>>,
    #[serde(default)]
    pub syscalls: Option<Vec<Rule>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ArchMap {
    pub architecture: String,
    #[serde(default)]
    pub sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rule {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub names: Vec<String>,
    pub action: String,
    #[serde(default)]
    pub errno_ret: Option<u32>,
    #[serde(default)]
    pub args: Option<Vec<Arg>>,
    #[serde(default)]
    pub includes: Option<Filter>,
    #[serde(default)]
    pub excludes: Option<Filter>,
}

/// When a rule applies.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Filter {
    #[serde(default)]
    pub caps: Vec<String>,
    #[serde(default)]
    pub arches: Vec<String>,
    #[serde(default)]
    pub min_kernel: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Arg {
    pub index: u32,
    pub value: u64,
    #[serde(default)]
    pub value_two: u64,
    pub op: String,
}

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Ne(u64),
    Lt(u64),
    Le(u64),
    Eq(u64),
    Ge(u64),
    Gt(u64),
    /// Mask, then the value.
    Masked(u64, u64),
}

/// One argument's condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    /// 0 to 5.
    pub index: u32,
    pub op: Op,
}

/// A rule that applies: what the filter returns for these calls if all conditions hold.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    pub names: Vec<String>,
    pub conditions: Vec<Condition>,
    /// A `SECCOMP_RET_*` value with its data.
    pub action: u32,
}

/// Ready to be compiled.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub default: u32,
    pub arches: Vec<Arch>,
    pub verdicts: Vec<Verdict>,
}

impl Profile {
    pub(super) fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json).map_err(|e| Error::invalid(format!("Decoding seccomp profile failed: {e}")))
    }

    /// What it comes to for a container with these capabilities on this machine.
    pub(super) fn resolve(&self, caps: CapSet, kernel: (u32, u32)) -> Result<Resolved> {
        let native = Arch::native();
        let default = action(&self.default_action, self.default_errno_ret)?;
        let mut verdicts = Vec::new();
        for rule in self.syscalls.iter().flatten() {
            let included = rule.includes.as_ref().is_none_or(|f| f.all_hold(caps, native, kernel));
            let excluded = rule.excludes.as_ref().is_some_and(|f| f.any_holds(caps, native, kernel));
            if included && !excluded {
                verdicts.extend(rule.verdicts(default)?);
            }
        }
        Ok(Resolved { default, arches: self.arches(native)?, verdicts })
    }

    fn arches(&self, native: Arch) -> Result<Vec<Arch>> {
        let listed = self.architectures.iter().flatten().filter(|a| !a.is_empty());
        let mapped = self.arch_map.iter().flatten().filter(|m| m.architecture == native.name());
        let mapped = mapped.flat_map(|m| std::iter::once(&m.architecture).chain(m.sub_architectures.iter().flatten()));
        let both =
            (self.architectures.as_ref().is_some_and(|a| !a.is_empty()), self.arch_map.as_ref().is_some_and(|m| !m.is_empty()));
        if both == (true, true) {
            return Err(Error::invalid(
                "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'",
            ));
        }
        // Those of other machines are of no use here.
        let mut arches: Vec<Arch> =
            listed.chain(mapped).filter_map(|n| Arch::named(n)).filter(|a| a.family() == native.family()).collect();
        if !arches.contains(&native) {
            arches.insert(0, native);
        }
        arches.dedup();
        Ok(arches)
    }
}

impl Rule {
    fn verdicts(&self, default: u32) -> Result<Vec<Verdict>> {
        if !self.name.is_empty() && !self.names.is_empty() {
            let text = "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'";
            return Err(Error::invalid(text));
        }
        let action = action(&self.action, self.errno_ret)?;
        if action == default {
            return Ok(Vec::new());
        }
        let mut names = self.names.clone();
        names.extend(Some(self.name.clone()).filter(|n| !n.is_empty()));
        let conditions = self.args.iter().flatten().map(Arg::condition).collect::<Result<Vec<_>>>()?;
        let mut indices: Vec<u32> = conditions.iter().map(|c| c.index).collect();
        indices.sort_unstable();
        indices.dedup();
        let one = |conditions| Verdict { names: names.clone(), conditions, action };
        // Several conditions on one argument are alternatives, as runc takes them.
        if indices.len() < conditions.len() {
            return Ok(conditions.into_iter().map(|c| one(vec![c])).collect());
        }
        Ok(vec![one(conditions)])
    }
}

impl Filter {
    fn all_hold(&self, caps: CapSet, arch: Arch, kernel: (u32, u32)) -> bool {
        self.caps.iter().all(|c| caps.has(c))
            && (self.arches.is_empty() || self.arches.iter().any(|a| a == arch.go_name()))
            && self.min_kernel.as_deref().and_then(version).is_none_or(|least| kernel >= least)
    }

    fn any_holds(&self, caps: CapSet, arch: Arch, kernel: (u32, u32)) -> bool {
        self.caps.iter().any(|c| caps.has(c))
            || self.arches.iter().any(|a| a == arch.go_name())
            || self.min_kernel.as_deref().and_then(version).is_some_and(|least| kernel >= least)
    }
}

impl Arg {
    fn condition(&self) -> Result<Condition> {
        let op = match self.op.as_str() {
            "SCMP_CMP_NE" => Op::Ne(self.value),
            "SCMP_CMP_LT" => Op::Lt(self.value),
            "SCMP_CMP_LE" => Op::Le(self.value),
            "SCMP_CMP_EQ" => Op::Eq(self.value),
            "SCMP_CMP_GE" => Op::Ge(self.value),
            "SCMP_CMP_GT" => Op::Gt(self.value),
            "SCMP_CMP_MASKED_EQ" => Op::Masked(self.value, self.value_two),
            other => return Err(Error::invalid(format!("invalid seccomp operator: {other}"))),
        };
        if self.index > 5 {
            return Err(Error::invalid(format!("invalid seccomp argument index: {}", self.index)));
        }
        Ok(Condition { index: self.index, op })
    }
}

/// The kernel's value for an action; 1 (EPERM) is the errno when none is given.
fn action(name: &str, errno: Option<u32>) -> Result<u32> {
    let data = errno.unwrap_or(1) & 0xffff;
    Ok(match name {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => 0,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_ERRNO" => 0x0005_0000 | data,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | data,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        "SCMP_ACT_NOTIFY" => return Err(Error::not_implemented("the linux engine has no listener for SCMP_ACT_NOTIFY")),
        other => return Err(Error::invalid(format!("invalid seccomp action: {other}"))),
    })
}

/// `4.8` and `6.1.0-debian`.
pub(super) fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}
