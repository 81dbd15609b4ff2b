//! What the store's tests share: a store on a temporary directory, and containers filled at random in every field.

#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses its part; a test may panic")]

use lighter_domain::config::{ContainerConfig, EndpointConfig, HealthConfig};
use lighter_domain::container::{Container, EndpointStatus, MountKind, MountPoint};
use lighter_domain::event::{Event, EventKind, EventScope};
use lighter_domain::host_config::*;
use lighter_domain::{ContainerId, ContainerState, Exit, Health, HealthResult, HealthStatus, ShimEvent, ShimStatus};
use lighter_store::Store;
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use time::OffsetDateTime;
use uuid::Uuid;

/// A store and the directory that it lies in.
pub struct Fixture {
    pub store: Store,
    pub dir: tempfile::TempDir,
}

impl Fixture {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("lighter.db")).await.unwrap();
        Self { store, dir }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("lighter.db")
    }

    /// Another connection to the same file, as another program would have.
    pub async fn raw(&self) -> SqliteConnection {
        raw(&self.path()).await
    }
}

pub async fn raw(path: &std::path::Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).foreign_keys(true).connect().await.unwrap()
}

/// A time with nanoseconds; `n` tells one from another.
pub fn at(n: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(1_770_000_000_123_456_789 + i128::from(n) * 1_000_000_007).unwrap()
}

pub fn event(n: i64) -> Event {
    Event {
        id: 0,
        kind: EventKind::Container,
        action: format!("exec_start: sh -c {n}"),
        actor_id: "a".repeat(64),
        attributes: BTreeMap::from([("name".to_owned(), "web".to_owned()), ("n".to_owned(), n.to_string())]),
        scope: EventScope::Local,
        time: at(n),
    }
}

/// As a `GET /_ping` or `GET /containers/json` leaves it, a hundred thousand of which come in a second.
pub fn shim_event(n: i64) -> ShimEvent {
    ShimEvent {
        id: 0,
        status: ShimStatus::Ok,
        container_id: None,
        image: None,
        kind: "SystemPing".into(),
        timestamp: at(0) + time::Duration::nanoseconds(n * 10_003),
        method: "GET".into(),
        path: "/v1.47/_ping".to_owned(),
        api_version: Some("1.47".to_owned()),
        http_status: Some(200),
        duration_micros: 42,
        client: Some("Docker-Client/27.3.1 (linux)".to_owned()),
        request_id: format!("{n:016x}").into(),
        error: None,
        unsupported_flags: Vec::new(),
        host_paths: Vec::new(),
        peer_uid: Some(1000),
        peer_pid: Some(4321),
        stack: None,
    }
}

/// Texts that a careless store would take for syntax, or a terminal for commands.
pub const HOSTILE: [&str; 8] = [
    "'; DROP TABLE containers; --",
    "\u{1b}[31mred\u{1b}[0m\u{7}",
    "two\nlines\r\n",
    "evil\u{202e}txt.exe",
    "nul\0inside",
    "\"quoted\" \\ `back` $1 ?1 :x",
    "%_*?[a]",
    "",
];

/// Fills types at random from a seed, every field, so that nothing is left at its default by accident.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> usize {
        usize::try_from(self.next() % n).unwrap()
    }
    fn flag(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }
    fn i64(&mut self) -> i64 {
        match self.below(5) {
            0 => i64::MIN,
            1 => i64::MAX,
            2 => -1,
            _ => self.next().cast_signed(),
        }
    }
    fn u64(&mut self) -> u64 {
        if self.flag() { u64::MAX } else { self.next() }
    }
    fn u32(&mut self) -> u32 {
        u32::try_from(self.next() >> 32).unwrap()
    }
    fn u16(&mut self) -> u16 {
        u16::try_from(self.next() >> 48).unwrap()
    }
    fn text(&mut self) -> String {
        if self.below(3) == 0 {
            return HOSTILE[self.below(8)].to_owned();
        }
        let length = self.below(12);
        (0..length).map(|_| char::from_u32(self.u32() % 0x11_0000).unwrap_or('x')).collect()
    }
    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| make(self))
    }
    fn many<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.below(3)).map(|_| make(self)).collect()
    }
    fn texts(&mut self) -> Vec<String> {
        self.many(Self::text)
    }
    fn set(&mut self) -> BTreeSet<String> {
        self.texts().into_iter().collect()
    }
    fn map<T>(&mut self, make: impl Fn(&mut Self) -> T) -> BTreeMap<String, T> {
        self.many(|r| (r.text(), make(r))).into_iter().collect()
    }
    fn time(&mut self) -> OffsetDateTime {
        let seconds = i64::try_from(self.next() % 250_000_000_000).unwrap();
        let t = OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        t.replace_nanosecond(self.u32() % 1_000_000_000).unwrap()
    }
    fn ip(&mut self) -> IpAddr {
        if self.flag() { IpAddr::from(self.u32().to_be_bytes()) } else { IpAddr::from(u128::from(self.next()).to_be_bytes()) }
    }

    pub fn container(&mut self) -> Container {
        Container {
            uuid: Uuid::from_u64_pair(self.next() | 1, self.next()),
            id: ContainerId::generate(),
            name: self.text(),
            created_at: self.time(),
            updated_at: self.time(),
            image_id: self.text(),
            path: self.text(),
            args: self.texts(),
            config: self.config(),
            host_config: self.host_config(),
            endpoints: self.map(Self::endpoint),
            networks: self.map(Self::endpoint_status),
            ports: BTreeMap::new(),
            mounts: self.many(Self::mount_point),
            state: self.state(),
            started_at: self.maybe(Self::time),
            exit: self.maybe(|r| Exit { code: r.u32().cast_signed(), oom_killed: r.flag(), finished_at: r.time() }),
            health: self.maybe(Self::health),
            error: self.text(),
            restart_count: self.u32(),
            manually_stopped: self.flag(),
            platform: self.text(),
            api_version: self.text(),
            unsupported_flags: self.texts(),
        }
    }

    pub fn health(&mut self) -> Health {
        let status = [HealthStatus::Starting, HealthStatus::Healthy, HealthStatus::Unhealthy][self.below(3)];
        let result =
            |r: &mut Self| HealthResult { start: r.time(), end: r.time(), exit_code: r.u32().cast_signed(), output: r.text() };
        Health { status, failing_streak: self.u32(), log: self.many(result) }
    }

    pub fn state(&mut self) -> ContainerState {
        match self.below(8) {
            0 => ContainerState::Created,
            1 => ContainerState::Starting,
            2 => ContainerState::Running { pid: self.u32() },
            3 => ContainerState::Paused { pid: self.u32() },
            4 => ContainerState::Restarting,
            5 => ContainerState::Exited,
            6 => ContainerState::Removing,
            _ => ContainerState::Dead,
        }
    }

    fn endpoint(&mut self) -> EndpointConfig {
        EndpointConfig {
            ipv4_address: self.maybe(|r| r.u32().into()),
            ipv6_address: self.maybe(|r| u128::from(r.next()).into()),
            link_local_ips: self.texts(),
            links: self.texts(),
            aliases: self.texts(),
            mac_address: self.maybe(Self::text),
            driver_opts: self.map(Self::text),
            gw_priority: self.i64(),
        }
    }

    fn endpoint_status(&mut self) -> EndpointStatus {
        EndpointStatus {
            network_id: self.text(),
            endpoint_id: self.text(),
            gateway: self.maybe(Self::ip),
            ip: self.maybe(Self::ip),
            prefix_len: self.u16().to_be_bytes()[0],
            ipv6_gateway: self.maybe(|r| u128::from(r.next()).into()),
            ipv6: self.maybe(|r| u128::from(r.next()).into()),
            ipv6_prefix_len: self.u16().to_be_bytes()[0],
            mac: self.text(),
        }
    }

    fn mount_point(&mut self) -> MountPoint {
        MountPoint {
            kind: [MountKind::Bind, MountKind::Volume, MountKind::Tmpfs, MountKind::Image][self.below(4)],
            name: self.text(),
            source: self.text(),
            destination: self.text(),
            driver: self.text(),
            mode: self.text(),
            rw: self.flag(),
            propagation: self.text(),
            create_source: self.flag(),
            recursive: self.flag(),
            subpath: self.text(),
            image_id: self.text(),
            copy_up: self.flag(),
            anonymous: self.flag(),
        }
    }

    fn config(&mut self) -> ContainerConfig {
        ContainerConfig {
            hostname: self.text(),
            domainname: self.text(),
            user: self.text(),
            attach_stdin: self.flag(),
            attach_stdout: self.flag(),
            attach_stderr: self.flag(),
            exposed_ports: self.set(),
            tty: self.flag(),
            open_stdin: self.flag(),
            stdin_once: self.flag(),
            env: self.texts(),
            cmd: self.maybe(Self::texts),
            healthcheck: self.maybe(|r| HealthConfig {
                test: r.texts(),
                interval: r.i64(),
                timeout: r.i64(),
                retries: r.i64(),
                start_period: r.i64(),
                start_interval: r.i64(),
            }),
            args_escaped: self.flag(),
            image: self.text(),
            volumes: self.set(),
            working_dir: self.text(),
            entrypoint: self.maybe(Self::texts),
            network_disabled: self.flag(),
            mac_address: self.maybe(Self::text),
            on_build: self.maybe(Self::texts),
            labels: self.map(Self::text),
            stop_signal: self.maybe(Self::text),
            stop_timeout: self.maybe(Self::i64),
            shell: self.maybe(Self::texts),
        }
    }

    fn throttle(&mut self) -> Vec<ThrottleDevice> {
        self.many(|r| ThrottleDevice { path: r.text(), rate: r.u64() })
    }

    fn host_config(&mut self) -> HostConfig {
        HostConfig {
            cpu_shares: self.i64(),
            memory: self.i64(),
            cgroup_parent: self.text(),
            blkio_weight: self.u16(),
            blkio_weight_device: self.many(|r| WeightDevice { path: r.text(), weight: r.u16() }),
            blkio_device_read_bps: self.throttle(),
            blkio_device_write_bps: self.throttle(),
            blkio_device_read_iops: self.throttle(),
            blkio_device_write_iops: self.throttle(),
            cpu_period: self.i64(),
            cpu_quota: self.i64(),
            cpu_realtime_period: self.i64(),
            cpu_realtime_runtime: self.i64(),
            cpuset_cpus: self.text(),
            cpuset_mems: self.text(),
            devices: self.many(|r| DeviceMapping {
                path_on_host: r.text(),
                path_in_container: r.text(),
                cgroup_permissions: r.text(),
            }),
            device_cgroup_rules: self.texts(),
            device_requests: self.many(|r| DeviceRequest {
                driver: r.text(),
                count: r.i64(),
                device_ids: r.texts(),
                capabilities: r.many(Self::texts),
                options: r.map(Self::text),
            }),
            kernel_memory: self.i64(),
            kernel_memory_tcp: self.i64(),
            memory_reservation: self.i64(),
            memory_swap: self.i64(),
            memory_swappiness: self.maybe(Self::i64),
            nano_cpus: self.i64(),
            oom_kill_disable: self.maybe(Self::flag),
            init: self.maybe(Self::flag),
            pids_limit: self.maybe(Self::i64),
            ulimits: self.many(|r| Ulimit { name: r.text(), soft: r.i64(), hard: r.i64() }),
            cpu_count: self.i64(),
            cpu_percent: self.i64(),
            io_maximum_iops: self.u64(),
            io_maximum_bandwidth: self.u64(),
            binds: self.texts(),
            container_id_file: self.text(),
            log_config: LogConfig { driver: self.text(), options: self.map(Self::text) },
            network_mode: self.text(),
            port_bindings: self.map(|r| r.many(|r| PortBinding { host_ip: r.text(), host_port: r.text() })),
            restart_policy: RestartPolicy {
                name: [
                    RestartPolicyName::Unset,
                    RestartPolicyName::No,
                    RestartPolicyName::Always,
                    RestartPolicyName::UnlessStopped,
                    RestartPolicyName::OnFailure,
                ][self.below(5)],
                maximum_retry_count: self.i64(),
            },
            auto_remove: self.flag(),
            volume_driver: self.text(),
            volumes_from: self.texts(),
            mounts: self.many(Self::mount),
            console_size: self.maybe(|r| (r.u32(), r.u32())),
            annotations: self.map(Self::text),
            cap_add: self.maybe(Self::texts),
            cap_drop: self.maybe(Self::texts),
            cgroupns_mode: self.text(),
            dns: self.texts(),
            dns_options: self.texts(),
            dns_search: self.texts(),
            extra_hosts: self.texts(),
            group_add: self.texts(),
            ipc_mode: self.text(),
            cgroup: self.text(),
            links: self.texts(),
            oom_score_adj: self.i64(),
            pid_mode: self.text(),
            privileged: self.flag(),
            publish_all_ports: self.flag(),
            readonly_rootfs: self.flag(),
            security_opt: self.texts(),
            storage_opt: self.map(Self::text),
            tmpfs: self.map(Self::text),
            uts_mode: self.text(),
            userns_mode: self.text(),
            shm_size: self.i64(),
            sysctls: self.map(Self::text),
            runtime: self.text(),
            isolation: self.text(),
            masked_paths: self.maybe(Self::texts),
            readonly_paths: self.maybe(Self::texts),
        }
    }

    fn mount(&mut self) -> Mount {
        Mount {
            mount_type: [
                MountType::Bind,
                MountType::Volume,
                MountType::Tmpfs,
                MountType::Image,
                MountType::Npipe,
                MountType::Cluster,
            ][self.below(6)],
            source: self.text(),
            target: self.text(),
            read_only: self.flag(),
            consistency: self.text(),
            bind: self.maybe(|r| BindOptions {
                propagation: r.text(),
                non_recursive: r.flag(),
                create_mountpoint: r.flag(),
                read_only_non_recursive: r.flag(),
                read_only_force_recursive: r.flag(),
            }),
            volume: self.maybe(|r| VolumeOptions {
                no_copy: r.flag(),
                labels: r.map(Self::text),
                driver_name: r.text(),
                driver_options: r.map(Self::text),
                subpath: r.text(),
            }),
            image: self.maybe(|r| ImageOptions { subpath: r.text() }),
            tmpfs: self.maybe(|r| TmpfsOptions { size_bytes: r.i64(), mode: r.u32(), options: r.many(Self::texts) }),
        }
    }
}
