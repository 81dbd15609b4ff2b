//! Stacks: what belongs together, as the store remembers it and as it is now.

use crate::daemon::{Daemon, store_failed};
use lighter_domain::stack::is_degraded;
use lighter_domain::{Container, Error, Result, Stack};
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// A stack with its containers as they are now, in the order of their names.
#[derive(Debug, Clone)]
pub struct StackView {
    pub stack: Stack,
    /// Something that is to run does not, or is unhealthy.
    pub degraded: bool,
    pub containers: Vec<Arc<Container>>,
}

impl Daemon {
    /// All stacks, in the order of their names.
    pub async fn stacks(&self) -> Result<Vec<StackView>> {
        let stacks = self.shared().store.stacks_with_members().await.map_err(store_failed)?;
        let containers: HashMap<Uuid, Arc<Container>> = self.visible().into_iter().map(|c| (c.uuid, c)).collect();
        let view = |stack: Stack| {
            let mut members: Vec<_> = stack.containers.iter().filter_map(|id| containers.get(id).cloned()).collect();
            members.sort_by(|a, b| a.name.cmp(&b.name));
            let degraded = is_degraded(members.iter().map(Arc::as_ref));
            StackView { stack, degraded, containers: members }
        };
        Ok(stacks.into_iter().map(view).collect())
    }

    /// One stack, by its name or id.
    pub async fn stack(&self, reference: &str) -> Result<StackView> {
        let mut all = self.stacks().await?;
        let id = Uuid::parse_str(reference).ok();
        let found =
            all.iter().position(|v| Some(v.stack.id) == id).or_else(|| all.iter().position(|v| v.stack.name == reference));
        found.map(|at| all.swap_remove(at)).ok_or_else(|| Error::not_found(format!("No such stack: {reference}")))
    }
}
