//! `/images/...`.

use crate::body::{empty, json, stream, stream_bytes};
use crate::call::{Answer, Call};
use crate::convert::image as to_wire;
use crate::failure::Failure;
use crate::handlers::progress::{LINES, Transfer, line, progress_line, stream_line};
use crate::handlers::registries;
use axum::body::Body;
use http::StatusCode;
use lighter_core::{ImageListQuery, ImportImage};
use lighter_domain::Image;
use lighter_domain::image::{AttestationQuery, ImageRemoval};
use lighter_engine::Progress;
use lighter_wire::image::{History, ProgressLine, Pruned};
use lighter_wire::system::BuildPruned;
use std::sync::Arc;
use tokio::sync::mpsc;

pub async fn list(call: Call) -> Answer {
    let query = ImageListQuery { all: call.query.flag("all"), filters: call.query.prune_filters()? };
    let images = call.daemon.images(query).await?;
    let shared = call.query.flag("shared-size");
    let mut wholes = Vec::new();
    if call.shapes.image_manifests && call.query.flag("manifests") {
        for (image, _) in &images {
            wholes.push(call.daemon.image_manifests(image).await?);
        }
    }
    let mut rows: Vec<_> = images.iter().map(|(i, u)| to_wire::summary(i, *u, shared, call.shapes)).collect();
    for (row, (manifests, users)) in rows.iter_mut().zip(&wholes) {
        row.whole = Some(to_wire::whole(manifests, users, call.shapes));
    }
    Ok(json(StatusCode::OK, &rows))
}

/// The image that a request is about, for the platform that it names.
async fn wanted(call: &Call) -> Result<Arc<Image>, Failure> {
    Ok(match call.query.get("platform") {
        "" => call.daemon.image(&call.name).await?,
        raw => call.daemon.image_for(&call.name, &to_wire::platform_text(raw)?).await?,
    })
}

fn platforms(call: &Call, key: &str) -> Result<Vec<String>, Failure> {
    call.query.all(key).filter(|raw| !raw.is_empty()).map(to_wire::platform_text).collect()
}

pub async fn inspect(call: Call) -> Answer {
    let manifests = call.shapes.image_manifests && call.query.flag("manifests");
    if manifests && !call.query.get("platform").is_empty() {
        return Err(Failure::bad_request("conflicting options: manifests and platform options cannot both be set"));
    }
    let image = wanted(&call).await?;
    let whole = if manifests { Some(call.daemon.image_manifests(&image).await?) } else { None };
    let driver = call.daemon.describe().storage_driver;
    let mut answer = to_wire::inspect(&image, &driver, call.shapes);
    answer.whole = whole.as_ref().map(|(manifests, users)| to_wire::whole(manifests, users, call.shapes));
    Ok(json(StatusCode::OK, &answer))
}

pub async fn attestations(call: Call) -> Answer {
    let mut platforms = platforms(&call, "platform")?;
    if platforms.len() > 1 {
        return Err(Failure::bad_request("only one platform may be specified"));
    }
    let query = AttestationQuery {
        platform: platforms.pop().unwrap_or_default(),
        predicates: call.query.all("type").map(str::to_owned).collect(),
        statements: call.query.flag("statement"),
    };
    let found = call.daemon.image_attestations(&call.name, &query).await?;
    let rows: Vec<_> = found.iter().map(to_wire::attestation).collect();
    Ok(json(StatusCode::OK, &rows))
}

pub async fn history(call: Call) -> Answer {
    let image = wanted(&call).await?;
    let rows: Vec<History<'_>> = image.history.iter().map(to_wire::history).collect();
    Ok(json(StatusCode::OK, &rows))
}

pub async fn tag(call: Call) -> Answer {
    call.daemon.image_tag(&call.name, call.query.get("repo"), call.query.get("tag")).await?;
    Ok(empty(StatusCode::CREATED))
}

pub async fn remove(call: Call) -> Answer {
    let removal = ImageRemoval {
        reference: call.name.clone(),
        force: call.query.flag("force"),
        no_prune: call.query.flag("noprune"),
        platforms: platforms(&call, "platforms")?,
    };
    let removed = call.daemon.image_remove(removal).await?;
    let rows: Vec<_> = removed.into_iter().map(to_wire::deleted).collect();
    Ok(json(StatusCode::OK, &rows))
}

pub async fn prune(call: Call) -> Answer {
    let pruned = call.daemon.images_prune(&call.query.prune_filters()?).await?;
    let deleted: Vec<_> = pruned.deleted.into_iter().map(to_wire::deleted).collect();
    let images_deleted = (!deleted.is_empty()).then_some(deleted);
    Ok(json(StatusCode::OK, &Pruned { images_deleted, space_reclaimed: pruned.space_reclaimed }))
}

/// There is no builder, and so no cache of one.
pub async fn prune_build(_call: Call) -> Answer {
    Ok(json(StatusCode::OK, &BuildPruned { caches_deleted: None, space_reclaimed: 0 }))
}

pub async fn save_one(call: Call) -> Answer {
    let archive = call.daemon.image_save(std::slice::from_ref(&call.name), &platforms(&call, "platform")?).await?;
    Ok(stream_bytes("application/x-tar", archive))
}

pub async fn save_many(call: Call) -> Answer {
    let names: Vec<String> =
        call.query.all("names").flat_map(|n| n.split(',')).filter(|n| !n.is_empty()).map(str::to_owned).collect();
    if names.is_empty() {
        return Err(Failure::bad_request("no images to save"));
    }
    Ok(stream_bytes("application/x-tar", call.daemon.image_save(&names, &platforms(&call, "platform")?).await?))
}

/// A pull or an import.
pub async fn create(mut call: Call) -> Answer {
    if !call.query.get("fromImage").is_empty() {
        return registries::pull(call).await;
    }
    match call.query.get("fromSrc") {
        "-" => {}
        "" => return Err(Failure::bad_request("either fromImage or fromSrc must be given")),
        _ => return Err(Failure::new(StatusCode::NOT_IMPLEMENTED, "importing from a URL is not implemented by Lighter")),
    }
    let import = ImportImage {
        repository: call.query.get("repo").to_owned(),
        tag: call.query.get("tag").to_owned(),
        message: call.query.get("message").to_owned(),
        platform: call.query.get("platform").to_owned(),
        changes: call.query.all("changes").map(str::to_owned).collect(),
    };
    let archive = call.stream();
    let id = call.daemon.image_import(archive, import).await?;
    Ok(stream("application/json", Body::from(line(&ProgressLine { status: Some(&id), ..ProgressLine::default() }))))
}

/// The answer begins with the first line of progress, so that an archive that is none is refused with a status.
pub async fn load(mut call: Call) -> Answer {
    let (progress, told) = mpsc::channel(LINES);
    let quiet = call.query.flag("quiet");
    let platforms = platforms(&call, "platform")?;
    let archive = call.stream();
    let daemon = call.daemon.clone();
    let work = async move {
        let loaded = daemon.image_load(archive, &platforms, progress).await?;
        Ok(Some(stream_line(&to_wire::loaded(&loaded))))
    };
    let line = move |progress: &Progress| match progress {
        _ if quiet => None,
        Progress::Status(text) => Some(stream_line(text)),
        other => progress_line(other, false),
    };
    Transfer { told, line, leaves_with_client: false }.answer(&call, work).await
}
