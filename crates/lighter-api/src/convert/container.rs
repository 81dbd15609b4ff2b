//! Containers, as lists and `inspect` show them.

use crate::convert::host_config;
use crate::convert::network::endpoint;
use crate::shapes::Shapes;
use lighter_core::{Inspected, Listed};
use lighter_domain::container::{MountKind, MountPoint};
use lighter_domain::host_config as domain;
use lighter_domain::{Container, ContainerConfig, ContainerState, Health, HealthConfig, HealthResult, HealthStatus};
use lighter_engine::EngineDetails;
use lighter_wire::GoTime;
use lighter_wire::container as wire;
use lighter_wire::container_config as wire_config;
use lighter_wire::decode::{Set, StrSlice};
use lighter_wire::host_config::{HostConfig, PortBinding};
use lighter_wire::human;
use lighter_wire::network::EndpointSettings;
use std::collections::{BTreeMap, BTreeSet};
use time::OffsetDateTime;

pub fn summary(listed: &Listed, now: OffsetDateTime, shapes: Shapes) -> wire::Summary<'_> {
    let c: &Container = &listed.container;
    wire::Summary {
        id: c.id.as_str(),
        names: [format!("/{}", c.name)],
        image: &c.config.image,
        image_id: &c.image_id,
        command: command(c),
        created: c.created_at.unix_timestamp(),
        ports: ports(c),
        size_rw: listed.size.map(|s| s.rw).filter(|n| *n > 0),
        size_root_fs: listed.size.map(|s| s.root_fs),
        labels: &c.config.labels,
        state: c.state.docker_status(),
        status: status(c, now),
        health: shapes.summary_health.then(|| summary_health(c)),
        host_config: wire::SummaryHostConfig {
            network_mode: &c.host_config.network_mode,
            annotations: (!c.host_config.annotations.is_empty()).then_some(&c.host_config.annotations),
        },
        network_settings: wire::SummaryNetworks { networks: networks(c) },
        mounts: c.mounts.iter().map(mount).collect(),
    }
}

/// The program and its arguments in one line; a word with a blank is quoted.
fn command(c: &Container) -> String {
    let mut line = c.path.clone();
    for word in &c.args {
        line.push(' ');
        if word.contains(' ') {
            line.push('\'');
            line.push_str(word);
            line.push('\'');
        } else {
            line.push_str(word);
        }
    }
    line
}

/// `Up 5 minutes`, `Exited (0) 3 seconds ago`.
fn status(c: &Container, now: OffsetDateTime) -> String {
    let since = |at: Option<OffsetDateTime>| human::duration(at.map_or(0, |at| (now - at).whole_seconds()));
    let code = c.exit.as_ref().map_or(0, |e| e.code);
    let ended = c.exit.as_ref().map(|e| e.finished_at);
    match c.state {
        ContainerState::Running { .. } => match &c.health {
            Some(health) => format!("Up {} ({})", since(c.started_at), shown(health.status)),
            None => format!("Up {}", since(c.started_at)),
        },
        ContainerState::Paused { .. } => format!("Up {} (Paused)", since(c.started_at)),
        ContainerState::Restarting => format!("Restarting ({code}) {} ago", since(ended)),
        ContainerState::Exited => format!("Exited ({code}) {} ago", since(ended)),
        ContainerState::Created | ContainerState::Starting => "Created".to_owned(),
        ContainerState::Removing => "Removal In Progress".to_owned(),
        ContainerState::Dead => "Dead".to_owned(),
    }
}

fn shown(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Starting => "health: starting",
        HealthStatus::Healthy | HealthStatus::Unhealthy => status.as_str(),
    }
}

fn summary_health(c: &Container) -> wire::SummaryHealth {
    match &c.health {
        Some(health) => wire::SummaryHealth { status: health.status.as_str(), failing_streak: health.failing_streak },
        None => wire::SummaryHealth { status: "none", failing_streak: 0 },
    }
}

fn health_state(health: &Health) -> wire::Health<'_> {
    wire::Health {
        status: health.status.as_str(),
        failing_streak: health.failing_streak,
        log: health.log.iter().map(health_result).collect(),
    }
}

fn health_result(r: &HealthResult) -> wire::HealthcheckResult<'_> {
    wire::HealthcheckResult { start: GoTime(Some(r.start)), end: GoTime(Some(r.end)), exit_code: r.exit_code, output: &r.output }
}

/// The ports of a running container: published ones with where, the others that it exposes without.
fn live_ports(c: &Container) -> BTreeMap<&str, Option<&[domain::PortBinding]>> {
    if !c.state.is_running() {
        return BTreeMap::new();
    }
    let mut ports: BTreeMap<&str, Option<&[domain::PortBinding]>> =
        c.config.exposed_ports.iter().map(|p| (p.as_str(), None)).collect();
    ports.extend(c.ports.iter().map(|(port, at)| (port.as_str(), Some(at.as_slice()))));
    ports
}

fn ports(c: &Container) -> Vec<wire::Port<'_>> {
    let mut ports = Vec::new();
    for (port, bindings) in live_ports(c) {
        let Some((number, protocol)) = port.split_once('/') else { continue };
        let Ok(private_port) = number.parse() else { continue };
        let one = |ip, public_port| wire::Port { ip, private_port, public_port, protocol };
        match bindings {
            None => ports.push(one(None, None)),
            Some(all) => ports.extend(all.iter().map(|at| one(Some(at.host_ip.as_str()), at.host_port.parse().ok()))),
        }
    }
    ports.sort_by_key(|p| (p.private_port, p.protocol, p.public_port));
    ports
}

fn networks(c: &Container) -> BTreeMap<&str, EndpointSettings> {
    c.networks.iter().map(|(name, at)| (name.as_str(), endpoint(c, name, at))).collect()
}

fn mount(m: &MountPoint) -> wire::MountPoint<'_> {
    wire::MountPoint {
        kind: match m.kind {
            MountKind::Bind => "bind",
            MountKind::Volume => "volume",
            MountKind::Tmpfs => "tmpfs",
            MountKind::Image => "image",
        },
        name: &m.name,
        source: &m.source,
        destination: &m.destination,
        driver: &m.driver,
        mode: &m.mode,
        rw: m.rw,
        propagation: &m.propagation,
    }
}

pub fn inspect(inspected: &Inspected, shapes: Shapes) -> wire::Inspect<'_> {
    let c: &Container = &inspected.container;
    let details = &inspected.details;
    let mut config = config(&c.config, shapes);
    if !shapes.config_mac_address {
        config.mac_address = None;
    }
    wire::Inspect {
        id: c.id.as_str(),
        created: GoTime(Some(c.created_at)),
        path: &c.path,
        args: &c.args,
        state: state(c),
        image: &c.image_id,
        resolv_conf_path: &details.resolv_conf_path,
        hostname_path: &details.hostname_path,
        hosts_path: &details.hosts_path,
        log_path: &details.log_path,
        name: format!("/{}", c.name),
        restart_count: c.restart_count,
        driver: &details.storage_driver,
        platform: "linux",
        mount_label: "",
        process_label: "",
        app_armor_profile: &details.apparmor_profile,
        exec_ids: (!inspected.exec_ids.is_empty()).then_some(inspected.exec_ids.as_slice()),
        host_config: HostConfig {
            links: (!inspected.links.is_empty()).then(|| inspected.links.clone()),
            ..host_config::to_wire(&c.host_config)
        },
        graph_driver: wire::GraphDriver {
            data: (!details.storage_data.is_empty()).then_some(&details.storage_data),
            name: &details.storage_driver,
        },
        size_rw: inspected.size.map(|s| s.rw),
        size_root_fs: inspected.size.map(|s| s.root_fs),
        mounts: c.mounts.iter().map(mount).collect(),
        config,
        network_settings: network_settings(c, details, shapes),
    }
}

fn state(c: &Container) -> wire::State<'_> {
    let restarting = c.state == ContainerState::Restarting;
    let live = c.state.is_running();
    wire::State {
        status: c.state.docker_status(),
        // As in dockerd, a container that the policy starts again counts as running in between.
        running: live || restarting,
        paused: matches!(c.state, ContainerState::Paused { .. }),
        restarting,
        oom_killed: c.exit.as_ref().is_some_and(|e| e.oom_killed && !live),
        dead: c.state == ContainerState::Dead,
        pid: c.state.pid().unwrap_or(0),
        exit_code: c.exit.as_ref().filter(|_| !live).map_or(0, |e| e.code),
        error: &c.error,
        started_at: GoTime(c.started_at),
        finished_at: GoTime(c.exit.as_ref().filter(|_| c.started_at.is_some()).map(|e| e.finished_at)),
        health: c.health.as_ref().map(health_state),
    }
}

fn network_settings<'a>(c: &'a Container, details: &'a EngineDetails, shapes: Shapes) -> wire::NetworkSettings<'a> {
    let legacy = shapes.legacy_network_settings.then(|| {
        let mut legacy = wire::LegacyNetworkSettings::default();
        if let Some(at) = c.networks.get("bridge") {
            legacy.endpoint_id.clone_from(&at.endpoint_id);
            legacy.gateway = at.gateway.map(|g| g.to_string()).unwrap_or_default();
            legacy.ip_address = at.ip.map(|i| i.to_string()).unwrap_or_default();
            legacy.ip_prefix_len = i64::from(at.prefix_len);
            legacy.mac_address.clone_from(&at.mac);
            legacy.ipv6_gateway = at.ipv6_gateway.map(|g| g.to_string()).unwrap_or_default();
            legacy.global_ipv6_address = at.ipv6.map(|i| i.to_string()).unwrap_or_default();
            legacy.global_ipv6_prefix_len = i64::from(at.ipv6_prefix_len);
        }
        legacy
    });
    let binding = |at: &domain::PortBinding| PortBinding { host_ip: at.host_ip.clone(), host_port: at.host_port.clone() };
    let ports = live_ports(c).into_iter().map(|(port, at)| (port, at.map(|all| all.iter().map(binding).collect())));
    // A network namespace of its own, which goes by the container's id.
    let own = c.state.is_running() && !c.host_config.network_mode.starts_with("container:");
    wire::NetworkSettings {
        legacy,
        sandbox_id: if own { c.id.as_str() } else { "" },
        sandbox_key: if own { &details.sandbox_key } else { "" },
        ports: ports.collect(),
        networks: networks(c),
    }
}

/// `Config` with Docker's nulls.
pub fn config(c: &ContainerConfig, shapes: Shapes) -> wire_config::Config {
    let ContainerConfig {
        hostname,
        domainname,
        user,
        attach_stdin,
        attach_stdout,
        attach_stderr,
        exposed_ports,
        tty,
        open_stdin,
        stdin_once,
        env,
        cmd,
        healthcheck,
        args_escaped,
        image,
        volumes,
        working_dir,
        entrypoint,
        network_disabled,
        mac_address,
        on_build,
        labels,
        stop_signal,
        stop_timeout,
        shell,
    } = c.clone();
    let set = |s: BTreeSet<String>| Set((!s.is_empty()).then_some(s));
    wire_config::Config {
        hostname,
        domainname,
        user,
        attach_stdin,
        attach_stdout,
        attach_stderr,
        exposed_ports: set(exposed_ports),
        tty,
        open_stdin,
        stdin_once,
        env: Some(env),
        cmd: StrSlice(cmd),
        healthcheck: healthcheck.map(health),
        args_escaped,
        image,
        volumes: set(volumes),
        working_dir,
        entrypoint: StrSlice(entrypoint),
        network_disabled,
        mac_address: mac_address.filter(|_| shapes.config_mac_address),
        on_build,
        labels: Some(labels),
        stop_signal,
        stop_timeout,
        shell,
    }
}

fn health(h: HealthConfig) -> wire_config::HealthConfig {
    let HealthConfig { test, interval, timeout, retries, start_period, start_interval } = h;
    wire_config::HealthConfig {
        test: (!test.is_empty()).then_some(test),
        interval,
        timeout,
        start_period,
        start_interval,
        retries,
    }
}
