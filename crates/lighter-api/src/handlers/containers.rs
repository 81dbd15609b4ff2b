//! `/containers/...`: everything that is answered in one piece.

use crate::body::{empty, json, json_sized};
use crate::call::{Answer, Call};
use crate::convert::{container as to_wire, create as from_wire, host_config};
use crate::failure::Failure;
use http::StatusCode;
use lighter_core::{ListQuery, RemoveOptions, StopOptions};
use lighter_wire::CreateRequest;
use lighter_wire::container::{Created, Pruned, Summary, Updated};
use lighter_wire::host_config::HostConfig;
use lighter_wire::stats::Top;
use time::OffsetDateTime;

/// About what one row of a list takes, in bytes.
const ROW: usize = 1200;

pub async fn list(call: Call) -> Answer {
    let limit = call.query.integer("limit")?.unwrap_or(0);
    let query = ListQuery {
        all: call.query.flag("all"),
        limit: usize::try_from(limit).unwrap_or(0),
        size: call.query.flag("size"),
        filters: call.query.filters()?,
    };
    let listed = call.daemon.list(query).await?;
    let now = OffsetDateTime::now_utc();
    let rows: Vec<Summary<'_>> = listed.iter().map(|l| to_wire::summary(l, now, call.shapes)).collect();
    Ok(json_sized(StatusCode::OK, &rows, rows.len() * ROW + 16))
}

pub async fn create(mut call: Call) -> Answer {
    let body: CreateRequest = call.required_json().await?;
    if !body.has_config {
        return Err(Failure::bad_request("config cannot be empty in order to create a container"));
    }
    call.ticket.about(None, Some(&body.config.image));
    let mut mounts = body.host_config.iter().flat_map(|host| host.mounts.iter().flatten());
    if !call.shapes.image_mounts && mounts.any(|mount| mount.mount_type == "image") {
        return Err(Failure::bad_request("Mount type \"Image\" needs API v1.48 or newer"));
    }
    let name = call.query.optional("name").map(str::to_owned);
    let platform = call.query.get("platform").to_owned();
    let request = from_wire::request(body, name, platform, call.version.to_string())?;
    call.ticket.host_paths(request.host_paths());
    call.ticket.stack(request.config.labels.get("com.docker.compose.project").map(String::as_str));
    call.policy.create(&call.daemon, &request).await?;
    let created = call.recorded(StatusCode::CREATED).create(request).await?;
    let answer = Created { id: created.id.as_str().to_owned(), warnings: created.warnings };
    Ok(json(StatusCode::CREATED, &answer))
}

pub async fn inspect(call: Call) -> Answer {
    let inspected = call.daemon.inspect(&call.name, call.query.flag("size")).await?;
    Ok(json_sized(StatusCode::OK, &to_wire::inspect(&inspected, call.shapes), 6 << 10))
}

pub async fn start(mut call: Call) -> Answer {
    call.drain().await?;
    if call.query.optional("checkpoint").is_some_and(|c| !c.is_empty()) {
        return Err(Failure::bad_request("checkpoint is only supported in experimental mode"));
    }
    call.recorded(StatusCode::NO_CONTENT).start_container(&call.name).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

fn stop_options(call: &Call) -> Result<StopOptions, Failure> {
    Ok(StopOptions { signal: call.query.optional("signal").map(str::to_owned), timeout: call.query.integer("t")? })
}

pub async fn stop(call: Call) -> Answer {
    call.daemon.stop(&call.name, stop_options(&call)?).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub async fn restart(call: Call) -> Answer {
    call.daemon.restart(&call.name, stop_options(&call)?).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub async fn kill(call: Call) -> Answer {
    call.daemon.kill(&call.name, call.query.optional("signal")).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub async fn pause(call: Call) -> Answer {
    call.daemon.pause(&call.name).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub async fn unpause(call: Call) -> Answer {
    call.daemon.unpause(&call.name).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub async fn rename(call: Call) -> Answer {
    call.daemon.rename(&call.name, call.query.get("name")).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub async fn resize(call: Call) -> Answer {
    let (height, width) = call.query.terminal_size()?;
    call.daemon.resize(&call.name, height, width).await?;
    Ok(empty(StatusCode::OK))
}

pub async fn remove(call: Call) -> Answer {
    let flag = |name| call.query.flag(name);
    let options = RemoveOptions { force: flag("force"), volumes: flag("v"), link: flag("link") };
    call.recorded(StatusCode::NO_CONTENT).remove(&call.name, options).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub async fn top(call: Call) -> Answer {
    let list = call.daemon.top(&call.name, call.query.get("ps_args")).await?;
    let processes = (!list.processes.is_empty()).then_some(list.processes);
    Ok(json(StatusCode::OK, &Top { processes, titles: list.titles }))
}

/// The body is the part of `HostConfig` that can change.
pub async fn update(mut call: Call) -> Answer {
    let body = call.json::<HostConfig>("UpdateConfig").await?.unwrap_or_default();
    let warnings = call.daemon.update(&call.name, host_config::from_wire(body)?).await?;
    Ok(json(StatusCode::OK, &Updated { warnings: (!warnings.is_empty()).then_some(warnings) }))
}

/// dockerd's words where experiments are off, as they are here for good.
const EXPERIMENTAL: &str = "This experimental feature is disabled by default. Start the Docker daemon in experimental mode in \
                            order to enable it.";

pub async fn checkpoints(_call: Call) -> Answer {
    Err(Failure::new(StatusCode::NOT_IMPLEMENTED, EXPERIMENTAL))
}

/// `DELETE` of a longer path: a checkpoint, or a container with slashes in its name, which none has.
pub async fn delete_checkpoint(call: Call) -> Answer {
    let is_checkpoint = call.name.split('/').nth(1) == Some("checkpoints");
    if is_checkpoint { checkpoints(call).await } else { Err(Failure::no_such_container(&call.name)) }
}

pub async fn prune(call: Call) -> Answer {
    let pruned = call.daemon.prune_containers(&call.query.prune_filters()?).await?;
    let deleted = (!pruned.deleted.is_empty()).then_some(pruned.deleted);
    Ok(json(StatusCode::OK, &Pruned { containers_deleted: deleted, space_reclaimed: pruned.space_reclaimed }))
}
