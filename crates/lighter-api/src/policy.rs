//! What may be asked on a socket. The main socket allows everything; others are made for who shall not be root.
//!
//! A request is judged when its route is known, by what the handler will get: the operation is the router's own, a container is
//! looked up here and handed on by its id, so that no rename in between leads elsewhere, and what is in a body is judged where
//! the handler has read it ([`Policy::create`], [`Policy::exec`]) and in no second reading. What no rule speaks of is refused.

use crate::call::{Call, Query};
use crate::failure::Failure;
use crate::routes::{Kind, ROUTES, Route, Subject};
use http::{Method, StatusCode};
use lighter_core::CreateContainer;
use lighter_domain::host_config::{HostConfig, MASKED_PATHS, READONLY_PATHS};
use lighter_domain::{Container, ExecConfig};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Rules that must all allow a request. Without any, everything is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Nothing that changes anything, no streams into containers.
    pub read_only: bool,
    /// Containers of this compose project alone.
    pub stack: Option<String>,
    /// These operations, by their ids in Docker's description of the API.
    pub operations: Option<BTreeSet<String>>,
}

/// How a client finds out whom it talks to; it learns nothing else.
const ALWAYS: [&str; 3] = ["SystemPing", "SystemPingHead", "SystemVersion"];
/// Of what is not about one container, what a socket for a stack answers. Lists are narrowed to the stack.
const FOR_STACKS: [&str; 2] = ["ContainerList", "ContainerCreate"];
/// About one container, and yet beyond it: another's network, an image, the whole machine.
const BEYOND: [&str; 3] = ["ContainerUpdate", "CheckpointCreate", "CheckpointList"];
/// Compose's label.
const PROJECT: &str = "com.docker.compose.project";

/// Every operation that there is.
pub fn operations() -> impl Iterator<Item = &'static str> {
    ROUTES.iter().chain(crate::lighter::ROUTES).map(|route| route.operation)
}

fn refused(what: impl Into<String>) -> Failure {
    Failure::new(StatusCode::FORBIDDEN, what)
}

impl Policy {
    fn unlimited(&self) -> bool {
        *self == Self::default()
    }

    /// Judges a request that has found its route, and narrows it to what is allowed.
    pub(crate) fn judge(&self, route: &Route, call: &mut Call) -> Result<(), Failure> {
        let operation = route.operation;
        if self.unlimited() || ALWAYS.contains(&operation) {
            return Ok(());
        }
        if self.read_only && !reads(route) {
            return Err(refused(format!("this socket is read-only: {operation} is not allowed")));
        }
        if self.operations.as_ref().is_some_and(|allowed| !allowed.contains(operation)) {
            return Err(refused(format!("this socket does not allow {operation}")));
        }
        match &self.stack {
            Some(stack) => within(stack, route, call),
            None => Ok(()),
        }
    }

    /// Judges what a container is to be, as the handler read it.
    pub(crate) fn create(&self, request: &CreateContainer) -> Result<(), Failure> {
        let Some(stack) = &self.stack else { return Ok(()) };
        if request.config.labels.get(PROJECT) != Some(stack) {
            return Err(refused(format!("this socket is for the stack {stack}: a container needs the label {PROJECT}={stack}")));
        }
        if let Some(what) = reaches_out(&request.host_config) {
            return Err(refused(format!("this socket is for the stack {stack}: a container of it must not have {what}")));
        }
        if request.endpoints.keys().any(|network| !own_network(network)) {
            return Err(refused(format!(
                "this socket is for the stack {stack}: its containers join the default network or none"
            )));
        }
        Ok(())
    }

    /// The same of a further process.
    pub(crate) fn exec(&self, config: &ExecConfig) -> Result<(), Failure> {
        match &self.stack {
            Some(stack) if config.privileged => {
                Err(refused(format!("this socket is for the stack {stack}: a process of it must not be privileged")))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a route changes nothing. What is refused anyway is not for this to say.
fn reads(route: &Route) -> bool {
    match route.kind {
        Kind::Read(_) => route.method == Method::GET || route.method == Method::HEAD || route.operation == "ContainerWait",
        Kind::Change(_) | Kind::Hijack(_) => false,
        Kind::Missing(_) | Kind::Swarm => true,
    }
}

fn within(stack: &str, route: &Route, call: &mut Call) -> Result<(), Failure> {
    let operation = route.operation;
    match route.subject {
        Subject::Container | Subject::Exec if !BEYOND.contains(&operation) => {
            let named = match route.subject {
                Subject::Exec => call.daemon.exec_inspect(&call.name).ok().map(|exec| exec.container_id.as_str().to_owned()),
                _ => Some(call.name.clone()),
            };
            // What is not there, and what is another's, are one answer: who is not of the stack learns nothing of its neighbours.
            let container = named.and_then(|name| call.daemon.resolve(&name)).filter(|c| c.compose_project() == Some(stack));
            let container: Arc<Container> =
                container.ok_or_else(|| refused(format!("this socket is for the stack {stack}: {} is not of it", call.name)))?;
            if route.subject == Subject::Container {
                container.id.as_str().clone_into(&mut call.name);
            }
            Ok(())
        }
        Subject::None if FOR_STACKS.contains(&operation) => {
            if operation == "ContainerList" {
                narrow(&mut call.query, stack)?;
            }
            Ok(())
        }
        _ => Err(refused(format!("this socket is for the stack {stack}: {operation} is not allowed"))),
    }
}

/// Adds the stack's label to the filters: those of one name must all hold.
fn narrow(query: &mut Query, stack: &str) -> Result<(), Failure> {
    let filters = query.filters()?;
    let mut all: std::collections::BTreeMap<String, Vec<String>> = std::collections::BTreeMap::new();
    for (key, values) in filters.iter() {
        all.entry(key.to_owned()).or_default().extend(values.iter().cloned());
    }
    all.entry("label".to_owned()).or_default().push(format!("{PROJECT}={stack}"));
    let text = serde_json::to_string(&all).map_err(|e| Failure::bad_request(e.to_string()))?;
    query.set("filters", text);
    Ok(())
}

/// The networks that belong to nobody.
fn own_network(mode: &str) -> bool {
    matches!(mode, "" | "default" | "bridge" | "none")
}

/// What of a configuration reaches beyond the container: everything that is not known to stay within it.
fn reaches_out(asked: &HostConfig) -> Option<&'static str> {
    let own = |mode: &str| matches!(mode, "" | "private" | "none" | "shareable");
    let host = asked.clone();
    let named = [
        (!host.binds.is_empty() || !host.mounts.is_empty() || !host.volumes_from.is_empty(), "paths of the host or volumes"),
        (host.privileged || host.cap_add.as_ref().is_some_and(|c| !c.is_empty()), "rights beyond the usual"),
        (!own_network(&host.network_mode), "another network than the default"),
        (
            !own(&host.pid_mode) || !own(&host.ipc_mode) || !own(&host.uts_mode) || !own(&host.cgroupns_mode),
            "namespaces of others",
        ),
        (!host.devices.is_empty() || !host.device_requests.is_empty(), "devices"),
        (!matches!(host.log_config.driver.as_str(), "" | "json-file" | "local" | "none"), "its log elsewhere"),
        (host.masked_paths.as_ref().is_some_and(|p| MASKED_PATHS.iter().any(|m| !p.iter().any(|q| q == m))), "paths unmasked"),
        (
            host.readonly_paths.as_ref().is_some_and(|p| READONLY_PATHS.iter().any(|m| !p.iter().any(|q| q == m))),
            "paths unmasked",
        ),
    ];
    if let Some((_, what)) = named.iter().find(|(yes, _)| *yes) {
        return Some(what);
    }
    (harmless(host) != *asked).then_some("settings that are not known to stay within it")
}

/// What of a configuration stays within the container; the rest as if it had not been asked for.
fn harmless(host: HostConfig) -> HostConfig {
    let HostConfig {
        cpu_shares,
        memory,
        cpu_period,
        cpu_quota,
        cpuset_cpus,
        cpuset_mems,
        memory_reservation,
        memory_swap,
        memory_swappiness,
        nano_cpus,
        oom_kill_disable,
        init,
        pids_limit,
        ulimits,
        log_config,
        network_mode,
        port_bindings,
        restart_policy,
        auto_remove,
        console_size,
        annotations,
        cap_add,
        cap_drop,
        cgroupns_mode,
        dns,
        dns_options,
        dns_search,
        extra_hosts,
        group_add,
        ipc_mode,
        pid_mode,
        publish_all_ports,
        readonly_rootfs,
        tmpfs,
        uts_mode,
        shm_size,
        isolation,
        masked_paths,
        readonly_paths,
        blkio_weight,
        ..
    } = host;
    HostConfig {
        cpu_shares,
        memory,
        cpu_period,
        cpu_quota,
        cpuset_cpus,
        cpuset_mems,
        memory_reservation,
        memory_swap,
        memory_swappiness,
        nano_cpus,
        oom_kill_disable,
        init,
        pids_limit,
        ulimits,
        log_config,
        network_mode,
        port_bindings,
        restart_policy,
        auto_remove,
        console_size,
        annotations,
        cap_add,
        cap_drop,
        cgroupns_mode,
        dns,
        dns_options,
        dns_search,
        extra_hosts,
        group_add,
        ipc_mode,
        pid_mode,
        publish_all_ports,
        readonly_rootfs,
        tmpfs,
        uts_mode,
        shm_size,
        isolation,
        masked_paths,
        readonly_paths,
        blkio_weight,
        ..HostConfig::default()
    }
}
