//! `docker stats` and `docker top`: looking at containers from outside.
//!
//! A container that is watched has one collector, a task that takes a sample each second for all who watch. It begins with
//! the first watcher and ends with the last, or with the container.

use crate::daemon::{Daemon, Shared};
use crate::events::of_container;
use crate::registry::Entry;
use crate::requests::{StatsMode, Usage};
use crate::wording;
use futures::{Stream, stream};
use lighter_domain::sample::Sample;
use lighter_domain::state::{Decision, Request, decide};
use lighter_domain::{Container, ContainerId, Error, Result};
use lighter_engine::ProcessList;
use parking_lot::Mutex;
use regex::Regex;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// The time between two samples.
const SECOND: Duration = Duration::from_secs(1);

pub type UsageStream = Pin<Box<dyn Stream<Item = Usage> + Send>>;

/// What a collector shows: the newest sample. `None` within: the container does not run.
type Tick = Option<Arc<Sample>>;

/// The collectors at work.
#[derive(Default)]
pub(crate) struct Collectors(Mutex<HashMap<ContainerId, watch::Sender<Option<Tick>>>>);

impl Collectors {
    /// Joins the collector of a container, or starts one.
    fn watch(shared: &Arc<Shared>, entry: &Arc<Entry>) -> watch::Receiver<Option<Tick>> {
        let mut all = shared.collectors.0.lock();
        if let Some(sender) = all.get(&entry.id) {
            return sender.subscribe();
        }
        let (sender, receiver) = watch::channel(None);
        all.insert(entry.id.clone(), sender.clone());
        tokio::spawn(collect(shared.clone(), entry.clone(), sender));
        receiver
    }

    /// True when nobody watches any more; the collector is forgotten in the same step, so that nobody joins one that ends.
    fn leave(&self, id: &ContainerId, sender: &watch::Sender<Option<Tick>>, gone: bool) -> bool {
        let mut all = self.0.lock();
        let over = gone || sender.receiver_count() == 0;
        if over {
            all.remove(id);
        }
        over
    }
}

async fn collect(shared: Arc<Shared>, entry: Arc<Entry>, sender: watch::Sender<Option<Tick>>) {
    let mut seconds = interval(SECOND);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut life = entry.life.subscribe();
    loop {
        tokio::select! {
            _ = seconds.tick() => {}
            () = sender.closed() => {}
            _ = life.wait_for(|life| life.removed) => {}
        }
        if shared.collectors.leave(&entry.id, &sender, life.borrow().removed) {
            return;
        }
        let tick = shared.sample(&entry.snapshot()).await.ok().map(Arc::new);
        sender.send_replace(Some(tick));
    }
}

impl Shared {
    async fn sample(&self, container: &Container) -> Result<Sample> {
        let stats = self.engine.stats().ok_or_else(|| self.lacks("reading statistics"))?;
        if !container.state.is_running() {
            return Err(wording::not_running(&container.id));
        }
        self.bounded("reading statistics", stats.sample(container)).await
    }
}

impl Daemon {
    /// What a container uses, by `mode`. One that does not run uses nothing, which is no error.
    pub async fn stats(&self, reference: &str, mode: StatsMode) -> Result<UsageStream> {
        let entry = self.entry(reference)?;
        let shared = self.shared();
        if shared.engine.stats().is_none() {
            return Err(shared.lacks("reading statistics"));
        }
        let running = entry.snapshot().state.is_running();
        if mode != StatsMode::Stream && (mode == StatsMode::OneShot || !running) {
            let container = entry.snapshot();
            let now = shared.sample(&container).await.ok().map(Arc::new);
            return Ok(Box::pin(stream::iter([Usage { container, before: None, now }])));
        }
        let watched = Collectors::watch(shared, &entry);
        // A single answer is the second sample, for it takes two to tell how busy a processor is.
        let skip = if mode == StatsMode::Second { 1 } else { 0 };
        let start = (watched, entry, None);
        let usages = stream::unfold(start, |(mut watched, entry, before): (_, Arc<Entry>, Tick)| async move {
            watched.changed().await.ok()?;
            let now = watched.borrow_and_update().clone().flatten();
            let usage = Usage { container: entry.snapshot(), before, now: now.clone() };
            Some((usage, (watched, entry, now)))
        });
        let usages = futures::StreamExt::skip(usages, skip);
        Ok(match mode {
            StatsMode::Stream => Box::pin(usages),
            StatsMode::Second | StatsMode::OneShot => Box::pin(futures::StreamExt::take(usages, 1)),
        })
    }

    /// The processes of a container as `ps` with `ps_args` shows them; empty: `-ef`.
    pub async fn top(&self, reference: &str, ps_args: &str) -> Result<ProcessList> {
        let ps_args = if ps_args.is_empty() { "-ef" } else { ps_args };
        check_ps_args(ps_args)?;
        let container = self.entry(reference)?.snapshot();
        if let Decision::Denied(reason) = decide(&container.state, Request::Top) {
            return Err(wording::denied(&container, Request::Top, reason));
        }
        let shared = self.shared();
        let top = shared.engine.top().ok_or_else(|| shared.lacks("listing processes"))?;
        let list = shared.bounded("listing processes", top.top(&container, ps_args)).await?;
        shared.emit(vec![of_container(&container, "top", &[])]).await?;
        Ok(list)
    }
}

/// As dockerd: no other column may take the name by which processes are told apart.
fn check_ps_args(ps_args: &str) -> Result<()> {
    static RENAMED: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"[\t\n\f\r ]+([^\t\n\f\r ]*)=[\t\n\f\r ]*(PID[^\t\n\f\r ]*)").ok());
    for found in RENAMED.iter().flat_map(|r| r.captures_iter(ps_args)) {
        let (column, title) = (&found[1], &found[2]);
        if column != "pid" {
            return Err(Error::invalid(format!("specifying \"{column}={title}\" is not allowed")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_pose_as_the_pid() {
        for fine in ["-ef", "aux", "-o pid,comm", "-o pid=PID", "-o comm=COMMAND -o pid", "x=PID"] {
            assert!(check_ps_args(fine).is_ok(), "{fine}");
        }
        for (bad, said) in [("-o comm=PID", "comm=PID"), ("-o pid -o comm=\u{c}PIDx", "comm=PIDx"), ("-o =PID", "=PID")] {
            let error = check_ps_args(bad).unwrap_err();
            assert_eq!(error.message(), format!("specifying \"{said}\" is not allowed"));
        }
    }
}
