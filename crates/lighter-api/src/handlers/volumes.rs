//! `/volumes`.

use crate::body::{empty, json};
use crate::call::{Answer, Call};
use crate::convert::volume as to_wire;
use http::StatusCode;
use lighter_core::CreateVolume;
use lighter_wire::volume::{Create, VolumeList, VolumesPruned};

pub async fn list(call: Call) -> Answer {
    let volumes = call.daemon.volumes(&call.query.filters()?).await?;
    let volumes = volumes.iter().map(|v| to_wire::volume(v, None)).collect();
    Ok(json(StatusCode::OK, &VolumeList { volumes, warnings: None }))
}

pub async fn create(mut call: Call) -> Answer {
    let Create { name, driver, driver_opts, labels } = call.json("").await?.unwrap_or_default();
    let request = CreateVolume { name, driver, labels, options: driver_opts.unwrap_or_default() };
    call.policy.volume(&call.daemon, &request).await?;
    let made = call.daemon.volume_create(request).await?;
    Ok(json(StatusCode::CREATED, &to_wire::volume(&made, None)))
}

pub async fn inspect(call: Call) -> Answer {
    Ok(json(StatusCode::OK, &to_wire::volume(&*call.daemon.volume(&call.name).await?, None)))
}

pub async fn remove(call: Call) -> Answer {
    call.daemon.volume_remove(&call.name, call.query.flag("force")).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub async fn prune(call: Call) -> Answer {
    let pruned = call.daemon.volumes_prune(&call.query.filters()?, call.shapes.prunes_named_volumes).await?;
    Ok(json(StatusCode::OK, &VolumesPruned { volumes_deleted: pruned.deleted, space_reclaimed: pruned.space_reclaimed }))
}
