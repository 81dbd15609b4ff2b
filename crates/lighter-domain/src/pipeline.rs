//! Pipelines: steps that run one after the other, each in a container of its own, over one shared workspace. A status goes
//! forward only: pending, running, then success or failed.

use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use time::OffsetDateTime;
use uuid::Uuid;

/// Where every step finds the workspace.
pub const WORKSPACE: &str = "/workspace";
/// Of a pipeline.
pub const MOST_STEPS: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PipelineStatus {
    Pending,
    Running,
    Success,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStatus {
    Pending,
    Running,
    Success,
    Failed,
    /// Done by the pipeline that this one goes on from, or not come to.
    Skipped,
}

/// What a step is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepPlan {
    pub name: String,
    pub image: String,
    /// Run by the image's `sh`, up to the first that fails. Empty: what the image runs by itself.
    pub commands: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// As `docker run -v` has them.
    pub mounts: Vec<String>,
    /// Steps that must have ended well.
    pub needs: Vec<String>,
}

/// A step and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub plan: StepPlan,
    pub status: StepStatus,
    /// 64 hexadecimal digits, once there is one. Its lines are found by it.
    pub container_id: Option<String>,
    pub exit_code: Option<i32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    pub id: Uuid,
    /// The stack that it is for, if it is for one.
    pub project: Option<Uuid>,
    pub name: String,
    /// In the order in which they run.
    pub steps: Vec<Step>,
    pub status: PipelineStatus,
    pub created_at: OffsetDateTime,
    pub started_at: Option<OffsetDateTime>,
    pub finished_at: Option<OffsetDateTime>,
    pub failure_reason: Option<String>,
    /// The volume with the workspace.
    pub workspace: String,
}

impl PipelineStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        [Self::Pending, Self::Running, Self::Success, Self::Failed].into_iter().find(|status| status.as_str() == s)
    }

    pub fn is_over(self) -> bool {
        matches!(self, Self::Success | Self::Failed)
    }
}

impl StepStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        [Self::Pending, Self::Running, Self::Success, Self::Failed, Self::Skipped].into_iter().find(|status| status.as_str() == s)
    }
}

/// A name that can be part of a container's.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    let good = !name.is_empty()
        && name.len() <= 60
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    let why = "it needs up to 60 letters, digits, points, hyphens and underscores";
    if good { Ok(()) } else { Err(Error::invalid(format!("invalid name of a {what}: {name:?}: {why}"))) }
}

/// The steps in an order in which each comes after what it needs; otherwise as they were written.
pub fn ordered(plans: Vec<StepPlan>) -> Result<Vec<StepPlan>> {
    if plans.is_empty() {
        return Err(Error::invalid("a pipeline needs a step"));
    }
    if plans.len() > MOST_STEPS {
        return Err(Error::invalid(format!("a pipeline has at most {MOST_STEPS} steps")));
    }
    let mut names = BTreeSet::new();
    for plan in &plans {
        check_name("step", &plan.name)?;
        if !names.insert(plan.name.clone()) {
            return Err(Error::invalid(format!("there are two steps {:?}", plan.name)));
        }
        if plan.image.is_empty() {
            return Err(Error::invalid(format!("the step {:?} has no image", plan.name)));
        }
    }
    for plan in &plans {
        if let Some(unknown) = plan.needs.iter().find(|need| !names.contains(*need)) {
            return Err(Error::invalid(format!("the step {:?} needs {unknown:?}, which is no step", plan.name)));
        }
    }
    let (mut left, mut done, mut out) = (plans, BTreeSet::new(), Vec::new());
    while !left.is_empty() {
        let Some(next) = left.iter().position(|plan| plan.needs.iter().all(|need| done.contains(need))) else {
            let names: Vec<_> = left.iter().map(|plan| plan.name.as_str()).collect();
            return Err(Error::invalid(format!("these steps need one another: {}", names.join(", "))));
        };
        let plan = left.remove(next);
        done.insert(plan.name.clone());
        out.push(plan);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(name: &str, needs: &[&str]) -> StepPlan {
        StepPlan {
            name: name.to_owned(),
            image: "busybox".to_owned(),
            commands: Vec::new(),
            env: BTreeMap::new(),
            mounts: Vec::new(),
            needs: needs.iter().map(|n| (*n).to_owned()).collect(),
        }
    }

    #[test]
    fn steps_come_after_what_they_need_and_else_as_written() {
        let names = |plans| -> Vec<String> { ordered(plans).unwrap().into_iter().map(|p| p.name).collect() };
        assert_eq!(names(vec![plan("test", &["build"]), plan("lint", &[]), plan("build", &[])]), ["lint", "build", "test"]);
        assert_eq!(names(vec![plan("b", &[]), plan("a", &[])]), ["b", "a"]);
        for (bad, why) in [
            (vec![], "needs a step"),
            (vec![plan("a", &[]), plan("a", &[])], "two steps"),
            (vec![plan("a", &["x"])], "is no step"),
            (vec![plan("a", &["b"]), plan("b", &["a"]), plan("c", &[])], "need one another: a, b"),
            (vec![plan("../a", &[])], "invalid name of a step"),
            (vec![StepPlan { image: String::new(), ..plan("a", &[]) }], "has no image"),
        ] {
            assert!(ordered(bad).unwrap_err().message().contains(why), "{why}");
        }
    }
}
