//! `/networks`, as far as they are there: the built-in ones.

use crate::body::json;
use crate::call::{Answer, Call};
use crate::convert::network as to_wire;
use crate::failure::Failure;
use http::StatusCode;
use lighter_wire::network::NetworksPruned;

const FILTERS: &[&str] = &["dangling", "driver", "id", "label", "name", "scope", "type"];

pub async fn list(call: Call) -> Answer {
    let filters = call.query.filters()?;
    filters.only(FILTERS)?;
    let any = |key: &str, test: &dyn Fn(&String) -> bool| filters.get(key).is_empty() || filters.get(key).iter().any(test);
    let none = std::collections::BTreeMap::new();
    let mut views = call.daemon.networks().await?;
    views.retain(|v| {
        any("name", &|n| v.network.name.contains(n.as_str()))
            && any("id", &|i| v.network.id.starts_with(i.as_str()))
            && any("driver", &|d| *d == v.network.driver)
            && any("scope", &|s| s == "local")
            && any("type", &|t| t == "builtin")
            && filters.boolean("dangling").ok().flatten() != Some(true)
            && filters.labels(&none)
    });
    // A list shows no containers, as in dockerd.
    let networks: Vec<_> = views
        .into_iter()
        .map(|mut v| {
            v.containers.clear();
            to_wire::network(v)
        })
        .collect();
    Ok(json(StatusCode::OK, &networks))
}

pub async fn inspect(call: Call) -> Answer {
    Ok(json(StatusCode::OK, &to_wire::network(call.daemon.network(&call.name).await?)))
}

/// Only built-in networks are there, and those stay.
pub async fn remove(call: Call) -> Answer {
    let name = call.daemon.network(&call.name).await?.network.name.clone();
    Err(Failure::new(StatusCode::FORBIDDEN, format!("{name} is a pre-defined network and cannot be removed")))
}

/// There is nothing that could be pruned.
pub async fn prune(_call: Call) -> Answer {
    Ok(json(StatusCode::OK, &NetworksPruned { networks_deleted: None }))
}
