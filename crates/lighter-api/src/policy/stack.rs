//! What may be asked on the socket of a stack: about its containers, networks and volumes, and for new ones that reach nothing
//! but each other. What belongs to it says so by compose's label.
//!
//! Its containers, networks and volumes are all that there is for who asks: what is another's is answered as what is not there,
//! so that nothing is learned of neighbours. (That a name is taken cannot be hidden from who wants it.)

use super::host_config::reaches_out;
use super::refused;
use crate::call::{Call, Query};
use crate::failure::Failure;
use crate::routes::{Route, Subject};
use http::StatusCode;
use lighter_core::{CreateContainer, CreateNetwork, CreateVolume, Daemon};
use lighter_domain::container::MountKind;
use lighter_domain::filter::Filters;
use lighter_domain::host_config::{Mount, MountType};
use lighter_domain::volume::{LOCAL, Volume};
use lighter_domain::{Container, EndpointConfig, Network};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Compose's label.
const PROJECT: &str = "com.docker.compose.project";
/// Answered as they are: what is in images is no secret from who may run them.
const FREE: [&str; 4] = ["ContainerCreate", "NetworkCreate", "VolumeCreate", "ImageInspect"];
/// Narrowed by their filters.
const LISTS: [&str; 4] = ["ContainerList", "NetworkList", "VolumeList", "SystemEvents"];
/// About one network, one volume.
const NETWORKS: [&str; 4] = ["NetworkInspect", "NetworkDelete", "NetworkConnect", "NetworkDisconnect"];
const VOLUMES: [&str; 2] = ["VolumeInspect", "VolumeDelete"];
/// About one container, and yet beyond it.
const BEYOND: [&str; 3] = ["ContainerUpdate", "CheckpointCreate", "CheckpointList"];
/// Options of networks that change nothing outside them.
const NETWORK_OPTIONS: [&str; 2] = ["com.docker.network.driver.mtu", "com.docker.network.bridge.enable_icc"];

/// A stack's name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stack<'a>(pub &'a str);

impl Stack<'_> {
    pub fn refuses(self, what: impl std::fmt::Display) -> Failure {
        refused(format!("this socket is for the stack {}: {what}", self.0))
    }

    fn hidden(self, kind: &str, name: &str) -> Failure {
        Failure::new(StatusCode::NOT_FOUND, format!("{kind} {name} not found: this socket is for the stack {}", self.0))
    }

    fn owns(self, labels: &BTreeMap<String, String>) -> bool {
        labels.get(PROJECT).is_some_and(|project| project == self.0)
    }

    pub async fn judge(self, route: &Route, call: &mut Call) -> Result<(), Failure> {
        let operation = route.operation;
        match route.subject {
            Subject::Container | Subject::Exec if !BEYOND.contains(&operation) => self.of_container(route, call),
            _ if FREE.contains(&operation) => Ok(()),
            _ if LISTS.contains(&operation) => self.narrow(&mut call.query),
            _ if NETWORKS.contains(&operation) => {
                call.name = self.network(&call.daemon, &call.name).await?.id.clone();
                Ok(())
            }
            _ if VOLUMES.contains(&operation) => {
                let found = call.daemon.volume(&call.name).await.ok().filter(|volume| self.owns_volume(&call.daemon, volume));
                found.map(drop).ok_or_else(|| self.hidden("volume", &call.name))
            }
            _ => Err(self.refuses(format!("{operation} is not allowed"))),
        }
    }

    fn of_container(self, route: &Route, call: &mut Call) -> Result<(), Failure> {
        if route.subject == Subject::Container {
            call.name = self.member(&call.daemon, &call.name)?.id.as_str().to_owned();
            return Ok(());
        }
        let exec = call.daemon.exec_inspect(&call.name).ok();
        let container = exec.and_then(|exec| self.member(&call.daemon, exec.container_id.as_str()).ok());
        container.map(drop).ok_or_else(|| self.refuses(format!("{} is not of it", call.name)))
    }

    /// A container of the stack; what is not there and what is another's are one answer.
    pub fn member(self, daemon: &Daemon, name: &str) -> Result<Arc<Container>, Failure> {
        let found = daemon.resolve(name).filter(|container| container.compose_project() == Some(self.0));
        found.ok_or_else(|| self.refuses(format!("{name} is not of it")))
    }

    async fn network(self, daemon: &Daemon, name: &str) -> Result<Arc<Network>, Failure> {
        let found = daemon.network(name).await.ok().filter(|view| self.owns(&view.network.labels));
        found.map(|view| view.network).ok_or_else(|| self.hidden("network", name))
    }

    /// By its label; one that nobody named belongs to the stack whose containers have it mounted.
    fn owns_volume(self, daemon: &Daemon, volume: &Volume) -> bool {
        let mounted = |c: &Container| c.mounts.iter().any(|m| m.kind == MountKind::Volume && m.name == volume.name);
        let mut users = daemon.visible().into_iter().filter(|c| mounted(c)).peekable();
        volume.labels.as_ref().is_some_and(|labels| self.owns(labels))
            || (volume.is_anonymous() && users.peek().is_some() && users.all(|c| c.compose_project() == Some(self.0)))
    }

    /// Adds the stack's label to the filters: those of one name must all hold.
    fn narrow(self, query: &mut Query) -> Result<(), Failure> {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let filters: Filters = query.filters()?;
        for (key, values) in filters.iter() {
            all.entry(key.to_owned()).or_default().extend(values.iter().cloned());
        }
        all.entry("label".to_owned()).or_default().push(format!("{PROJECT}={}", self.0));
        let text = serde_json::to_string(&all).map_err(|e| Failure::bad_request(e.to_string()))?;
        query.set("filters", text);
        Ok(())
    }

    /// A new container: of the stack, with nothing that reaches beyond it.
    pub async fn container(self, daemon: &Daemon, request: &CreateContainer) -> Result<(), Failure> {
        let CreateContainer { config, host_config, endpoints, .. } = request;
        self.labelled("container", &config.labels)?;
        for bind in &host_config.binds {
            self.mount(daemon, bind.split(':').next().unwrap_or_default()).await?;
        }
        for mount in &host_config.mounts {
            self.mount_of(daemon, mount).await?;
        }
        if let Some(what) = reaches_out(host_config) {
            return Err(self.refuses(format!("a container of it must not have {what}")));
        }
        self.join(daemon, &host_config.network_mode).await?;
        for (network, EndpointConfig { links, .. }) in endpoints {
            self.join(daemon, network).await?;
            if !links.is_empty() {
                return Err(self.refuses("a container of it must not have links"));
            }
        }
        Ok(())
    }

    fn labelled(self, what: &str, labels: &BTreeMap<String, String>) -> Result<(), Failure> {
        match self.owns(labels) {
            true => Ok(()),
            false => Err(self.refuses(format!("a {what} needs the label {PROJECT}={}", self.0))),
        }
    }

    /// The source of a mount: a volume of the stack's that is there, for others would be made without its label.
    async fn mount(self, daemon: &Daemon, source: &str) -> Result<(), Failure> {
        if source.starts_with('/') {
            return Err(self.refuses("a container of it must not have paths of the host"));
        }
        match daemon.volume(source).await {
            Ok(volume) if self.owns_volume(daemon, &volume) => Ok(()),
            _ => Err(self.refuses(format!("{source} is no volume of it: make it first, with the label {PROJECT}={}", self.0))),
        }
    }

    async fn mount_of(self, daemon: &Daemon, mount: &Mount) -> Result<(), Failure> {
        let driver = mount.volume.as_ref().map(|v| (v.driver_name.as_str(), v.driver_options.is_empty()));
        match (mount.mount_type, mount.source.as_str()) {
            (MountType::Volume, _) if !matches!(driver, None | Some(("" | LOCAL, true))) => {
                Err(self.refuses("a container of it must not have volumes with options of their driver"))
            }
            (MountType::Tmpfs | MountType::Image, _) | (MountType::Volume, "") => Ok(()),
            (MountType::Volume, source) => self.mount(daemon, source).await,
            (MountType::Bind | MountType::Npipe | MountType::Cluster, _) => {
                Err(self.refuses("a container of it must not have paths of the host"))
            }
        }
    }

    /// The networks that belong to nobody, and the stack's own.
    async fn join(self, daemon: &Daemon, network: &str) -> Result<(), Failure> {
        if matches!(network, "" | "default" | "bridge" | "none") {
            return Ok(());
        }
        let own = self.network(daemon, network).await;
        own.map(drop).map_err(|_| self.refuses("a container of it must not have another network than the default and its own"))
    }

    /// A new network: of the stack by label and name, with a subnet that the daemon chooses.
    pub fn new_network(self, request: &CreateNetwork) -> Result<(), Failure> {
        let CreateNetwork { new, scope, ingress } = request;
        let settings = new.config_only || !new.config_from.is_empty();
        self.labelled("network", &new.labels)?;
        self.named("network", &new.name)?;
        let odd = [
            (!matches!(new.driver.as_str(), "" | "bridge"), "another driver than bridge"),
            (!new.ipam.pools.is_empty() || !matches!(new.ipam.driver.as_str(), "" | "default"), "addresses of its choice"),
            (new.options.keys().any(|key| !NETWORK_OPTIONS.contains(&key.as_str())), "options that reach beyond it"),
            (!matches!(scope.as_str(), "" | "local") || *ingress || settings, "a wider scope"),
        ];
        match odd.iter().find(|(yes, _)| *yes) {
            Some((_, what)) => Err(self.refuses(format!("a network of it must not have {what}"))),
            None => Ok(()),
        }
    }

    /// A new volume: of the stack by label and name, in the daemon's own place.
    pub async fn new_volume(self, daemon: &Daemon, request: &CreateVolume) -> Result<(), Failure> {
        let CreateVolume { name, driver, labels, options } = request;
        let none = BTreeMap::new();
        self.labelled("volume", labels.as_ref().unwrap_or(&none))?;
        if !matches!(driver.as_str(), "" | LOCAL) || !options.is_empty() {
            return Err(self.refuses("a volume of it must not have another driver, or options of it"));
        }
        if name.is_empty() {
            return Ok(());
        }
        self.named("volume", name)?;
        // Whoever makes a volume that is there gets it.
        match daemon.volume(name).await {
            Ok(volume) if !self.owns_volume(daemon, &volume) => Err(self.refuses(format!("the volume {name} is another's"))),
            _ => Ok(()),
        }
    }

    /// As compose names them: nobody takes the name that another project will want.
    fn named(self, what: &str, name: &str) -> Result<(), Failure> {
        let fits = name.strip_prefix(self.0).is_some_and(|rest| rest.starts_with('_'));
        if fits { Ok(()) } else { Err(self.refuses(format!("the name of a {what} of it begins with {}_", self.0))) }
    }
}
