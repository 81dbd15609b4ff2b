//! `/networks`.

use crate::body::{empty, json};
use crate::call::{Answer, Call};
use crate::convert::create::endpoint;
use crate::convert::network as convert;
use crate::failure::Failure;
use http::StatusCode;
use lighter_wire::network::{Connect, Create, Created, Disconnect, Network, NetworksPruned};

pub async fn list(call: Call) -> Answer {
    let networks = call.daemon.networks(&call.query.filters()?).await?;
    let mut networks: Vec<_> = networks.into_iter().map(convert::network).collect();
    if call.shapes.network_status {
        networks.iter_mut().for_each(|n| n.containers = None);
    }
    Ok(json(StatusCode::OK, &networks))
}

pub async fn inspect(call: Call) -> Answer {
    let verbose = call.query.get("verbose");
    if !matches!(verbose, "" | "1" | "t" | "T" | "true" | "TRUE" | "True" | "0" | "f" | "F" | "false" | "FALSE" | "False") {
        let text = format!("invalid value for verbose: {verbose}: strconv.ParseBool: parsing \"{verbose}\": invalid syntax");
        return Err(Failure::bad_request(text));
    }
    if !matches!(call.query.get("scope"), "" | "local") {
        return Err(Failure::new(StatusCode::NOT_FOUND, format!("network {} not found", call.name)));
    }
    let view = call.daemon.network(&call.name).await?;
    let status = call.shapes.network_status.then(|| convert::status(&view));
    Ok(json(StatusCode::OK, &Network { status, ..convert::network(view) }))
}

pub async fn create(mut call: Call) -> Answer {
    let body: Create = call.json("CreateRequest").await?.unwrap_or_default();
    let request = convert::request(body, call.shapes)?;
    call.policy.network(&request)?;
    let made = call.daemon.network_create(request).await?;
    Ok(json(StatusCode::CREATED, &Created { id: &made.id, warning: "" }))
}

pub async fn remove(call: Call) -> Answer {
    call.daemon.network_remove(&call.name).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

impl Call {
    /// Notes the container that the body names.
    fn concerns(&self, reference: &str) {
        if let Some(container) = self.daemon.resolve(reference) {
            self.ticket.about(Some(container.id.as_str()), Some(&container.config.image));
            self.ticket.stack(container.compose_project());
        }
    }
}

pub async fn connect(mut call: Call) -> Answer {
    let Connect { container, endpoint_config } = call.json("ConnectOptions").await?.unwrap_or_default();
    call.concerns(&container);
    let container = call.policy.member(&call.daemon, container)?;
    let asked = endpoint(endpoint_config.unwrap_or_default())?;
    call.daemon.network_connect(&call.name, &container, asked).await?;
    Ok(empty(StatusCode::OK))
}

pub async fn disconnect(mut call: Call) -> Answer {
    let Disconnect { container, force } = call.json("DisconnectOptions").await?.unwrap_or_default();
    call.concerns(&container);
    let container = call.policy.member(&call.daemon, container)?;
    call.daemon.network_disconnect(&call.name, &container, force).await?;
    Ok(empty(StatusCode::OK))
}

pub async fn prune(call: Call) -> Answer {
    let deleted = call.daemon.networks_prune(&call.query.prune_filters()?).await?;
    Ok(json(StatusCode::OK, &NetworksPruned { networks_deleted: (!deleted.is_empty()).then_some(deleted) }))
}
