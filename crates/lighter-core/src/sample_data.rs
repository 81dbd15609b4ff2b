//! Containers, images, volumes, networks and stacks to look at, for who develops clients; and generators of random ones, for tests
//! and measurements. Only on an engine whose containers are records alone: nobody's machine is filled by mistake.

use crate::daemon::Daemon;
use crate::record::read_failed;
use crate::requests::{CreateContainer, CreateNetwork, CreateVolume, ImportImage, ListQuery};
use lighter_domain::host_config::{RestartPolicy, RestartPolicyName};
use lighter_domain::network::NewNetwork;
use lighter_domain::{ContainerConfig, Error, HostConfig, Result};
use std::collections::BTreeMap;

/// Name and tag, and what its containers run.
const IMAGES: [(&str, &str, &str); 6] = [
    ("shop/api", "1.4", "serve"),
    ("shop/worker", "1.4", "work"),
    ("postgres", "17", "postgres"),
    ("redis", "7", "redis-server"),
    ("nginx", "1.27", "nginx"),
    ("alpine", "3.22", "sh"),
];
/// Name, image, stack, volume, whether it runs.
const CONTAINERS: [(&str, &str, &str, &str, bool); 5] = [
    ("api", "shop/api:1.4", "shop", "uploads", true),
    ("worker", "shop/worker:1.4", "jobs", "uploads", false),
    ("db", "postgres:17", "data", "db-data", true),
    ("redis", "redis:7", "data", "redis-data", true),
    ("nginx", "nginx:1.27", "edge", "static", true),
];
const VOLUMES: [&str; 5] = ["uploads", "db-data", "redis-data", "static", "backups"];
const NETWORKS: [&str; 4] = ["frontend", "backend", "jobs", "monitoring"];
/// As many random containers as anybody wants at once.
const MOST: u32 = 10_000;

/// What was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seeded {
    pub containers: u32,
    pub images: u32,
    pub volumes: u32,
    pub networks: u32,
    pub stacks: u32,
}

/// A generator of things that no two runs with one seed make differently.
#[derive(Debug, Clone)]
pub struct Generator(u64);

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// splitmix64
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let n = self.next() % (all.len() as u64);
        &all[usize::try_from(n).unwrap_or(0)]
    }

    /// One of an image that is there.
    pub fn container(&mut self, images: &[String]) -> CreateContainer {
        const WORDS: [&str; 8] = ["auth", "cart", "mail", "search", "billing", "cron", "proxy", "cache"];
        let name = format!("{}-{:06x}", self.one_of(&WORDS), self.next() & 0xff_ffff);
        let stack = self.one_of(&WORDS).to_string();
        let env = (0..self.next() % 4).map(|n| format!("SETTING_{n}={:x}", self.next())).collect();
        let restart = *self.one_of(&[RestartPolicyName::No, RestartPolicyName::OnFailure, RestartPolicyName::UnlessStopped]);
        CreateContainer {
            name: Some(name),
            config: ContainerConfig {
                image: if images.is_empty() { "busybox".to_owned() } else { self.one_of(images).clone() },
                cmd: Some(vec!["sleep".into(), "1000000".into()]),
                env,
                labels: compose(&stack, &stack),
                ..ContainerConfig::default()
            },
            host_config: HostConfig {
                memory: i64::try_from((self.next() % 64 + 1) << 24).unwrap_or_default(),
                nano_cpus: i64::try_from((self.next() % 8 + 1) * 250_000_000).unwrap_or_default(),
                restart_policy: RestartPolicy { name: restart, maximum_retry_count: 0 },
                ..HostConfig::default()
            },
            api_version: "1.51".to_owned(),
            ..CreateContainer::default()
        }
    }

    /// One that no image is like.
    pub fn image(&mut self) -> ImportImage {
        const WORDS: [&str; 5] = ["web", "base", "tool", "batch", "edge"];
        let repository = format!("{}/{}", self.one_of(&["acme", "lab", "team"]), self.one_of(&WORDS));
        let tag = format!("{}.{}", self.next() % 10, self.next() % 100);
        import(&repository, &tag, &format!("run-{:x}", self.next()))
    }
}

fn compose(stack: &str, service: &str) -> BTreeMap<String, String> {
    let label = |key: &str, value: &str| (format!("com.docker.compose.{key}"), value.to_owned());
    BTreeMap::from([label("project", stack), label("service", service)])
}

fn import(repository: &str, tag: &str, command: &str) -> ImportImage {
    ImportImage {
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        message: "sample".to_owned(),
        platform: String::new(),
        changes: vec![format!("CMD [\"{command}\"]"), format!("LABEL sample={repository}")],
    }
}

impl Daemon {
    /// Makes the sample, unless there is a container already, and `random` containers of its images more.
    pub async fn sample_data(&self, random: u32, seed: u64) -> Result<Seeded> {
        let shared = self.shared();
        if !shared.engine.make_believe() {
            let name = shared.description.name;
            return Err(Error::conflict(format!(
                "sample data is for engines whose containers are records alone; {name} runs real ones"
            )));
        }
        if random > MOST {
            return Err(Error::invalid(format!("at most {MOST} containers")));
        }
        let mut made = Seeded::default();
        let there = self.list(ListQuery { all: true, ..ListQuery::default() }).await?;
        if there.is_empty() {
            self.seed(&mut made).await?;
        }
        // Of the images that are there, in the order of their names: the same seed makes the same of the same.
        let there = self.shared().images()?.list().await?;
        let mut images: Vec<String> = there.iter().flat_map(|image| image.repo_tags.iter().cloned()).collect();
        images.sort();
        let mut generator = Generator::new(seed);
        for _ in 0..random {
            self.create(generator.container(&images)).await?;
            made.containers += 1;
        }
        Ok(made)
    }

    async fn seed(&self, made: &mut Seeded) -> Result<()> {
        for (repository, tag, command) in IMAGES {
            self.image_import(Box::pin(std::io::Cursor::new(Vec::new())), import(repository, tag, command)).await?;
            made.images += 1;
        }
        for name in VOLUMES {
            self.volume_create(CreateVolume { name: name.to_owned(), ..CreateVolume::default() }).await?;
            made.volumes += 1;
        }
        for name in NETWORKS {
            let new = NewNetwork { name: name.to_owned(), ..NewNetwork::default() };
            self.network_create(CreateNetwork { new, ..CreateNetwork::default() }).await?;
            made.networks += 1;
        }
        for (name, image, stack, volume, runs) in CONTAINERS {
            let config = ContainerConfig { image: image.to_owned(), labels: compose(stack, name), ..ContainerConfig::default() };
            let host_config = HostConfig { binds: vec![format!("{volume}:/data")], ..HostConfig::default() };
            let api_version = "1.51".to_owned();
            let request =
                CreateContainer { name: Some(name.to_owned()), config, host_config, api_version, ..CreateContainer::default() };
            self.create(request).await?;
            if runs {
                self.start_container(name).await?;
            }
            made.containers += 1;
        }
        let stacks = self.shared().store.stacks().fetch_all().await.map_err(read_failed)?;
        made.stacks = u32::try_from(stacks.len()).unwrap_or(u32::MAX);
        Ok(())
    }
}
