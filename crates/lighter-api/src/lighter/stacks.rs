//! Stacks: what belongs together, what waits for what, and how it is.

use super::convert;
use crate::body::json;
use crate::call::{Answer, Call};
use http::StatusCode;
use lighter_core::{PortUse, StackView};
use lighter_domain::Container;
use lighter_domain::container::MountKind;
use lighter_domain::stack::{Dependency, Stack};
use lighter_wire::lighter as wire;
use std::collections::BTreeSet;

pub async fn list(call: Call) -> Answer {
    call.only(&[])?;
    let ports = call.daemon.ports().await?;
    let items = call.daemon.stacks().await?.into_iter().map(|view| stack(view, &ports)).collect::<Vec<_>>();
    Ok(json(StatusCode::OK, &wire::Page { items, next: None }))
}

pub async fn show(call: Call) -> Answer {
    call.only(&[])?;
    let view = call.daemon.stack(&call.name).await?;
    Ok(json(StatusCode::OK, &stack(view, &call.daemon.ports().await?)))
}

fn stack(view: StackView, ports: &[PortUse]) -> wire::Stack {
    let StackView { stack, degraded, containers } = view;
    let Stack { id, name, description, created_at, compose, environment, status, graph, containers: _ } = stack;
    let wait = |d: Dependency| wire::Wait { service: d.service, condition: d.condition };
    let graph = graph.into_iter().map(|(service, waits)| (service, waits.into_iter().map(wait).collect()));
    let mounts = containers.iter().flat_map(|c| &c.mounts);
    let volumes: BTreeSet<String> = mounts.filter(|m| m.kind == MountKind::Volume).map(|m| m.name.clone()).collect();
    let networks: BTreeSet<String> = containers.iter().flat_map(|c| c.networks.keys().cloned()).collect();
    let ports = ports.iter().filter(|p| containers.iter().any(|c| c.id == p.container.id));
    wire::Stack {
        id: id.to_string(),
        name,
        description,
        compose,
        environment,
        status: status.as_str().to_owned(),
        degraded,
        created_at,
        graph: graph.collect(),
        ports: ports.cloned().map(convert::port).collect(),
        volumes: volumes.into_iter().collect(),
        networks: networks.into_iter().collect(),
        containers: containers.iter().map(|c| member(c)).collect(),
    }
}

fn member(c: &Container) -> wire::StackContainer {
    wire::StackContainer {
        id: c.id.as_str().to_owned(),
        name: c.name.clone(),
        service: c.compose_service().map(str::to_owned),
        image: c.config.image.clone(),
        state: c.state.docker_status().to_owned(),
        health: c.health.as_ref().map(|h| h.status.as_str().to_owned()),
        exit_code: c.exit.as_ref().filter(|_| !c.state.is_running()).map(|e| e.code),
    }
}
