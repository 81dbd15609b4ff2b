//! What may be asked on a socket. The main socket allows everything; others are made for who shall not be root.
//!
//! A request is judged when its route is known, by what the handler will get: the operation is the router's own, a container is
//! looked up here and handed on by its id, so that no rename in between leads elsewhere, and what is in a body is judged where
//! the handler has read it ([`Policy::create`], [`Policy::exec`] and the like) and in no second reading. What no rule speaks of
//! is refused.

mod host_config;
mod stack;

use crate::call::Call;
use crate::failure::Failure;
use crate::routes::{Kind, ROUTES, Route};
use http::{Method, StatusCode};
use lighter_core::{CreateContainer, CreateNetwork, CreateVolume, Daemon};
use lighter_domain::ExecConfig;
use stack::Stack;
use std::collections::BTreeSet;

/// Rules that must all allow a request. Without any, everything is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Nothing that changes anything, no streams into containers.
    pub read_only: bool,
    /// Containers, networks and volumes of this compose project alone.
    pub stack: Option<String>,
    /// These operations, by their ids in Docker's description of the API.
    pub operations: Option<BTreeSet<String>>,
}

/// How a client finds out whom it talks to; it learns nothing else.
const ALWAYS: [&str; 3] = ["SystemPing", "SystemPingHead", "SystemVersion"];
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
    pub(crate) async fn judge(&self, route: &Route, call: &mut Call) -> Result<(), Failure> {
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
        match self.stack() {
            Some(stack) => stack.judge(route, call).await,
            None => Ok(()),
        }
    }

    fn stack(&self) -> Option<Stack<'_>> {
        self.stack.as_deref().map(Stack)
    }

    /// Judges what a container is to be, as the handler read it.
    pub(crate) async fn create(&self, daemon: &Daemon, request: &CreateContainer) -> Result<(), Failure> {
        match self.stack() {
            Some(stack) => stack.container(daemon, request).await,
            None => Ok(()),
        }
    }

    /// The same of a further process.
    pub(crate) fn exec(&self, config: &ExecConfig) -> Result<(), Failure> {
        match self.stack() {
            Some(stack) if config.privileged => Err(stack.refuses("a process of it must not be privileged")),
            _ => Ok(()),
        }
    }

    /// The same of a network.
    pub(crate) fn network(&self, request: &CreateNetwork) -> Result<(), Failure> {
        self.stack().map_or(Ok(()), |stack| stack.new_network(request))
    }

    /// The same of a volume; one of its name may be there, and be another's.
    pub(crate) async fn volume(&self, daemon: &Daemon, request: &CreateVolume) -> Result<(), Failure> {
        match self.stack() {
            Some(stack) => stack.new_volume(daemon, request).await,
            None => Ok(()),
        }
    }

    /// Judges the container that a body names; gives what it is to be called from here on.
    pub(crate) fn member(&self, daemon: &Daemon, container: String) -> Result<String, Failure> {
        match self.stack() {
            Some(stack) => Ok(stack.member(daemon, &container)?.id.as_str().to_owned()),
            None => Ok(container),
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
