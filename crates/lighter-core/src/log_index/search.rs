//! Searching what was copied.

use crate::daemon::Daemon;
use crate::record::read_failed;
use lighter_domain::{LogFilter, LogGap, LogLine, Result};
use std::time::Duration;

/// How long a search waits for the newest lines to be there.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a search found, and where it could not look.
#[derive(Debug, Clone)]
pub struct FoundLines {
    /// The newest first.
    pub lines: Vec<LogLine>,
    pub gaps: Vec<LogGap>,
}

impl Daemon {
    /// Lines of containers that are there and that are gone. What was printed before the call is among them, unless it is
    /// very much.
    pub async fn search_logs(&self, filter: &LogFilter) -> Result<FoundLines> {
        let shared = self.shared();
        if filter.before_id.is_none() {
            // In a task: what it began, it ends.
            let look = {
                let (shared, ids) = (shared.clone(), filter.containers.clone());
                tokio::spawn(async move { shared.index_logs_of(&ids).await })
            };
            let _ = tokio::time::timeout(PATIENCE, look).await;
        }
        let lines = shared.store.search_logs(filter).await.map_err(read_failed)?;
        let gaps = shared.store.log_gaps(filter).await.map_err(read_failed)?;
        Ok(FoundLines { lines, gaps })
    }
}
