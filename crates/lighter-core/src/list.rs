//! `docker ps`: which containers a query selects, and pruning of those that do not run.

use crate::daemon::Daemon;
use crate::requests::{ContainersPruned, ListQuery, Listed, RemoveOptions};
use lighter_domain::filter::Filters;
use lighter_domain::{Container, ContainerState, Error, ErrorKind, Result};
use regex::Regex;
use std::cmp::Reverse;
use std::sync::Arc;
use time::OffsetDateTime;

const FILTERS: &[&str] = &[
    "ancestor",
    "before",
    "expose",
    "exited",
    "health",
    "id",
    "isolation",
    "is-task",
    "label",
    "label!",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];
/// In the order in which dockerd names them.
const STATES: &[&str] = &["created", "running", "paused", "restarting", "removing", "exited", "dead"];

/// Filters with everything looked up that does not depend on the container.
struct Selector<'a> {
    filters: &'a Filters,
    names: Vec<Regex>,
    exited: Vec<i32>,
    /// Ids of images that `ancestor` names, with all that are built on them.
    ancestors: Vec<String>,
    before: Option<OffsetDateTime>,
    since: Option<OffsetDateTime>,
}

impl Selector<'_> {
    fn selects(&self, c: &Container) -> bool {
        let f = self.filters;
        let any = |key: &str, test: &dyn Fn(&str) -> bool| {
            let values = f.get(key);
            values.is_empty() || values.iter().any(|v| test(v))
        };
        let named = || {
            let slashed = format!("/{}", c.name);
            self.names.iter().any(|n| n.is_match(&slashed) || n.is_match(&c.name))
        };
        f.exact("status", c.state.docker_status())
            && any("id", &|v| c.id.as_str().starts_with(v))
            && (self.names.is_empty() || named())
            && (self.exited.is_empty()
                || (c.state == ContainerState::Exited && c.exit.as_ref().is_some_and(|e| self.exited.contains(&e.code))))
            && (!f.contains("ancestor") || self.ancestors.contains(&c.image_id))
            && any("network", &|v| {
                c.networks.iter().any(|(name, at)| name == v || (!v.is_empty() && at.network_id.starts_with(v)))
            })
            && any("volume", &|v| c.mounts.iter().any(|m| m.name == v || m.destination == v || m.source == v))
            && any("expose", &|v| c.config.exposed_ports.iter().any(|p| covers(v, p)))
            && any("publish", &|v| c.host_config.port_bindings.keys().any(|p| covers(v, p)))
            && any("health", &|v| v == health(c))
            && any("is-task", &|v| !matches!(v, "1" | "true" | "True"))
            && any("isolation", &|v| v == c.host_config.isolation)
            && self.before.is_none_or(|at| c.created_at < at)
            && self.since.is_none_or(|at| c.created_at > at)
            && f.labels(&c.config.labels)
    }
}

fn health(container: &Container) -> &'static str {
    container.health.as_ref().map_or("none", |health| health.status.as_str())
}

/// dockerd's refusal of a value that is none of a closed set.
fn one_of(filters: &Filters, key: &str, what: &str, known: &[&str]) -> Result<()> {
    match filters.get(key).iter().find(|v| !known.contains(&v.as_str())) {
        Some(bad) => Err(Error::invalid(format!(
            "invalid filter '{key}={bad}': invalid value for {what} ({bad}): must be one of {}",
            known.join(", ")
        ))),
        None => Ok(()),
    }
}

/// Whether `spec` (`80`, `80/udp`, `8000-8010/tcp`) covers `port` (`80/tcp`).
fn covers(spec: &str, port: &str) -> bool {
    let (range, protocol) = spec.split_once('/').unwrap_or((spec, "tcp"));
    let Some((number, of)) = port.split_once('/') else { return false };
    let (from, to) = range.split_once('-').unwrap_or((range, range));
    match (from.parse::<u16>(), to.parse::<u16>(), number.parse::<u16>()) {
        (Ok(from), Ok(to), Ok(number)) => of == protocol && (from..=to).contains(&number),
        _ => false,
    }
}

impl Daemon {
    pub async fn list(&self, query: ListQuery) -> Result<Vec<Listed>> {
        let selector = self.selector(&query.filters).await?;
        let states = query.filters.get("status");
        let all = query.all || query.limit > 0 || !states.is_empty() || query.filters.contains("exited");
        let mut found: Vec<Arc<Container>> = self.shared().registry.snapshots();
        let running = |c: &Container| c.state.is_running() || c.state == ContainerState::Restarting;
        found.retain(|c| (all || running(c)) && selector.selects(c));
        found.sort_by_key(|c| Reverse(c.created_at));
        if query.limit > 0 {
            found.truncate(query.limit);
        }
        let mut listed = Vec::with_capacity(found.len());
        for container in found {
            let size = if query.size { Some(self.sizes(&container).await) } else { None };
            listed.push(Listed { container, size });
        }
        Ok(listed)
    }

    async fn selector<'a>(&self, filters: &'a Filters) -> Result<Selector<'a>> {
        filters.only(FILTERS)?;
        filters.boolean("is-task")?;
        one_of(filters, "status", "state", STATES)?;
        one_of(filters, "health", "health", &["none", "starting", "healthy", "unhealthy"])?;
        let regex = |v: &String| Regex::new(v).map_err(|_| Error::invalid(format!("invalid filter 'name={v}'")));
        let code = |v: &String| v.parse().map_err(|_| Error::invalid(format!("invalid filter 'exited={v}'")));
        let created = |key: &str| -> Result<Option<OffsetDateTime>> {
            filters.get(key).first().map(|r| self.entry(r).map(|e| e.snapshot().created_at)).transpose()
        };
        Ok(Selector {
            filters,
            names: filters.get("name").iter().map(regex).collect::<Result<_>>()?,
            exited: filters.get("exited").iter().map(code).collect::<Result<_>>()?,
            ancestors: self.ancestors(filters.get("ancestor")).await?,
            before: created("before")?,
            since: created("since")?,
        })
    }

    /// Ids of the named images and of all images whose layers begin with theirs. An unknown name selects nothing.
    async fn ancestors(&self, names: &[String]) -> Result<Vec<String>> {
        let Some(images) = self.shared().engine.images().filter(|_| !names.is_empty()) else { return Ok(Vec::new()) };
        let mut named = Vec::new();
        for name in names {
            match images.get(name).await {
                Ok(image) => named.push(image),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let all = images.list().await?;
        let based = |i: &lighter_domain::Image| {
            named.iter().any(|n| n.id == i.id || (!n.layers.is_empty() && i.layers.starts_with(&n.layers)))
        };
        Ok(all.iter().filter(|i| based(i)).map(|i| i.id.clone()).collect())
    }

    /// Removes containers that do not run.
    pub async fn prune_containers(&self, filters: &Filters) -> Result<ContainersPruned> {
        filters.only(&["label", "label!", "until"])?;
        let until = prune_until(filters)?;
        let mut pruned = ContainersPruned::default();
        for container in self.shared().registry.snapshots() {
            let idle = matches!(container.state, ContainerState::Created | ContainerState::Exited | ContainerState::Dead);
            if !idle || !filters.labels(&container.config.labels) || until.is_some_and(|at| container.created_at > at) {
                continue;
            }
            let size = self.sizes(&container).await.rw;
            match self.remove(container.id.as_str(), RemoveOptions::default()).await {
                Ok(()) => {
                    pruned.deleted.push(container.id.as_str().to_owned());
                    pruned.space_reclaimed += size;
                }
                // It was started or removed meanwhile.
                Err(error) => tracing::debug!(id = %container.id, %error, "not pruned"),
            }
        }
        Ok(pruned)
    }
}

/// The `until` filter of a prune, which the wire layer has turned into Unix seconds.
pub(crate) fn prune_until(filters: &Filters) -> Result<Option<OffsetDateTime>> {
    match filters.get("until") {
        [] => Ok(None),
        [one] => {
            let seconds: Option<f64> = one.parse().ok();
            let at = seconds.and_then(|s| OffsetDateTime::from_unix_timestamp_nanos((s * 1e9) as i128).ok());
            at.map(Some).ok_or_else(|| Error::invalid(format!("failed to parse until filter: {one}")))
        }
        _ => Err(Error::invalid("more than one until filter specified")),
    }
}
