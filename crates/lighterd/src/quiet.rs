//! A daemon that nobody asks anything gives back the memory that its start, or its last burst of work, has left. It is mapped
//! again, page by page, with the next request, which notices some tenths of a millisecond of it.

use crate::sys;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Without a request for so long (at most twice as long), the daemon is at rest. A client that runs one command after the other
/// does not notice.
const REST: Duration = Duration::from_secs(2);

/// Watches until it is dropped. `activity` is told of each request.
pub async fn watch(activity: Arc<Notify>) {
    loop {
        tokio::time::sleep(REST).await;
        let asked = tokio::time::timeout(Duration::ZERO, activity.notified()).await.is_ok();
        if !asked {
            sys::give_back();
            activity.notified().await;
        }
    }
}
