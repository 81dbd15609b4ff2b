//! The body of a create request, to the domain.

use crate::convert::host_config;
use crate::failure::Failure;
use lighter_core::CreateContainer;
use lighter_domain::{ContainerConfig, EndpointConfig, HealthConfig};
use lighter_wire::network::{EndpointIpamConfig, EndpointSettings, NetworkingConfig};
use lighter_wire::{Config, CreateRequest, container_config as wire};
use std::collections::BTreeMap;

pub fn request(
    body: CreateRequest,
    name: Option<String>,
    platform: String,
    api_version: String,
) -> Result<CreateContainer, Failure> {
    let CreateRequest { config: asked, host_config, networking_config, has_config: _ } = body;
    let NetworkingConfig { endpoints_config } = networking_config.unwrap_or_default();
    let mut endpoints = BTreeMap::new();
    for (network, settings) in endpoints_config.unwrap_or_default() {
        endpoints.insert(network, endpoint(settings.unwrap_or_default())?);
    }
    Ok(CreateContainer {
        name,
        platform,
        config: config(asked),
        host_config: host_config::from_wire(host_config.unwrap_or_default())?,
        endpoints,
        api_version,
    })
}

pub fn config(asked: Config) -> ContainerConfig {
    let Config {
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
    } = asked;
    ContainerConfig {
        hostname,
        domainname,
        user,
        attach_stdin,
        attach_stdout,
        attach_stderr,
        exposed_ports: exposed_ports.0.unwrap_or_default(),
        tty,
        open_stdin,
        stdin_once,
        env: env.unwrap_or_default(),
        cmd: cmd.0,
        healthcheck: healthcheck.map(health),
        args_escaped,
        image,
        volumes: volumes.0.unwrap_or_default(),
        working_dir,
        entrypoint: entrypoint.0,
        network_disabled,
        mac_address,
        on_build,
        labels: labels.unwrap_or_default(),
        stop_signal,
        stop_timeout,
        shell,
    }
}

fn health(asked: wire::HealthConfig) -> HealthConfig {
    let wire::HealthConfig { test, interval, timeout, start_period, start_interval, retries } = asked;
    HealthConfig { test: test.unwrap_or_default(), interval, timeout, retries, start_period, start_interval }
}

/// What a client asks of an endpoint. The fields that only an answer has (addresses it got) are ignored, as dockerd does:
/// clients send back what `inspect` gave them.
pub fn endpoint(asked: EndpointSettings) -> Result<EndpointConfig, Failure> {
    let EndpointSettings {
        ipam_config,
        links,
        aliases,
        mac_address,
        driver_opts,
        gw_priority,
        network_id: _,
        endpoint_id: _,
        gateway: _,
        ip_address: _,
        ip_prefix_len: _,
        ipv6_gateway: _,
        global_ipv6_address: _,
        global_ipv6_prefix_len: _,
        dns_names: _,
    } = asked;
    let EndpointIpamConfig { ipv4_address, ipv6_address, link_local_ips } = ipam_config.unwrap_or_default();
    Ok(EndpointConfig {
        ipv4_address: address("IPv4", &ipv4_address)?,
        ipv6_address: address("IPv6", &ipv6_address)?,
        link_local_ips: link_local_ips.unwrap_or_default(),
        links: links.unwrap_or_default(),
        aliases: aliases.unwrap_or_default(),
        mac_address: (!mac_address.is_empty()).then_some(mac_address),
        driver_opts: driver_opts.unwrap_or_default(),
        gw_priority,
    })
}

fn address<T: std::str::FromStr>(family: &str, text: &str) -> Result<Option<T>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| Failure::bad_request(format!("invalid endpoint settings: invalid {family} address: {text}")))
}
