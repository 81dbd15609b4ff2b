//! `ContainerCreate`: everything that can be refused is refused before anything is made.

use crate::daemon::Daemon;
use crate::events::of_container;
use crate::registry::Entry;
use crate::requests::{CreateContainer, Created};
use crate::{actor, merge, mounts, networks, peers};
use lighter_domain::{Container, ContainerId, ContainerState, Error, Result, names};
use lighter_store::Change;
use std::collections::BTreeMap;
use std::sync::Arc;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use uuid::Uuid;

/// Requests that one container's actor holds before callers wait.
pub(crate) const QUEUE: usize = 16;

/// Links are followed here (`networks::links`), not by the engine.
fn without_links(container: &Container) -> Container {
    let mut container = container.clone();
    container.host_config.links.clear();
    container
}

impl Daemon {
    pub async fn create(&self, request: CreateContainer) -> Result<Created> {
        let shared = self.shared();
        let name = request.name.as_deref().filter(|n| !n.is_empty()).map(names::validate).transpose()?.map(str::to_owned);
        let mut container = self.prepare(request).await?;
        let review = shared.engine.review(&without_links(&container))?;
        container.unsupported_flags.clone_from(&review.unsupported);
        container.name = self.reserve(name, &container.id)?;
        let made = match shared.give_volumes(&mut container).await {
            Ok(()) => self.make(container.clone()).await,
            Err(error) => Err(error),
        };
        match made {
            Ok(()) => Ok(Created { id: container.id, warnings: review.warnings }),
            Err(error) => {
                shared.registry.release(&container.name, &container.id);
                if let Err(left) = shared.engine.remove(&container.id).await {
                    tracing::warn!(id = %container.id, error = %left, "what a failed creation left could not be removed");
                }
                shared.take_volumes(&container, true).await;
                Err(error)
            }
        }
    }

    /// The container as it will be, without a name and not made yet.
    pub(crate) async fn prepare(&self, request: CreateContainer) -> Result<Container> {
        let CreateContainer { name: _, platform, mut config, mut host_config, endpoints, api_version } = request;
        if config.image.is_empty() {
            return Err(Error::invalid("no image specified"));
        }
        let shared = self.shared();
        let images = shared.engine.images().ok_or_else(|| shared.lacks("images"))?;
        let image = match platform.as_str() {
            "" => images.get(&config.image).await?,
            platform => images.get_for(&config.image, platform).await?,
        };
        let of_image = if image.variant.is_empty() {
            format!("{}/{}", image.os, image.architecture)
        } else {
            format!("{}/{}/{}", image.os, image.architecture, image.variant)
        };
        let networks::Asked { mut endpoints, networks } =
            networks::settle(&shared.all_networks().await?, &config, &host_config, endpoints)?;
        merge::image_defaults(&mut config, &image.config);
        merge::check(&config, &host_config)?;
        merge::daemon_defaults(&mut host_config, &shared.config.defaults);
        merge::host_defaults(&mut host_config, &shared.description.cgroup_version);
        let (path, args) = merge::argv(&config)?;
        peers::resolve(&shared.registry, &mut host_config)?;
        let main = networks::main(&networks, &host_config.network_mode);
        networks::links::resolve(&shared.registry, &mut host_config, &mut endpoints, &main)?;
        let mut mounts = mounts::resolve(&host_config, &config, |r| Ok(self.entry(r)?.snapshot()))?;
        let id = ContainerId::generate();
        mounts::find_images(images, &id, &mut mounts).await?;
        if config.hostname.is_empty() {
            let of_host = host_config.network_mode == "host" || host_config.uts_mode == "host";
            config.hostname = if of_host { shared.host_name.clone() } else { id.short().to_owned() };
        }
        let now = OffsetDateTime::now_utc();
        Ok(Container {
            uuid: Uuid::now_v7(),
            name: String::new(),
            created_at: now,
            updated_at: now,
            image_id: image.id.clone(),
            path,
            args,
            networks,
            ports: BTreeMap::new(),
            config,
            host_config,
            endpoints,
            mounts,
            state: ContainerState::Created,
            started_at: None,
            exit: None,
            health: None,
            error: String::new(),
            restart_count: 0,
            manually_stopped: false,
            platform: of_image,
            api_version,
            unsupported_flags: Vec::new(),
            id,
        })
    }

    fn reserve(&self, name: Option<String>, id: &ContainerId) -> Result<String> {
        let registry = &self.shared().registry;
        if let Some(name) = name {
            return registry.reserve(&name, id).map(|()| name);
        }
        for round in 0..8u8 {
            let mut name = names::generate();
            if round > 0 {
                name.push_str(&round.to_string());
            }
            if registry.reserve(&name, id).is_ok() {
                return Ok(name);
            }
        }
        registry.reserve(id.short(), id).map(|()| id.short().to_owned())
    }

    async fn make(&self, container: Container) -> Result<()> {
        let shared = self.shared();
        shared.bounded("making a container", shared.engine.create(&container)).await?;
        let container = Arc::new(container);
        let event = of_container(&container, "create", &[]);
        let mut changes = vec![Change::PutContainer(container.clone())];
        if container.compose_project().is_some() {
            changes.push(Change::JoinStack(container.clone()));
        }
        let details = shared.engine.inspect(&container);
        let path = std::path::Path::new(&details.log_path).parent().map(|dir| dir.display().to_string()).unwrap_or_default();
        let kernel = shared.description.kernel_version.clone();
        changes.push(Change::Machine { container: container.clone(), kernel, path });
        let stored = shared.persist_for(&self.receipt, Some(&container), changes, vec![event]).await?;
        shared.log_index.begin(&container.id);
        let (commands, queue) = mpsc::channel(QUEUE);
        let entry = Arc::new(Entry::new(container, commands));
        shared.registry.insert(entry.clone());
        actor::spawn(shared.clone(), entry, queue);
        shared.bus.publish(stored);
        Ok(())
    }
}
