//! A container's files: `docker cp`, `diff`, `export`, `commit`.

use crate::body::{empty, json, stream_bytes};
use crate::call::{Answer, Call};
use crate::failure::Failure;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode};
use lighter_core::CommitContainer;
use lighter_engine::{Change, ChangeKind, WriteOptions};
use lighter_wire::GoTime;
use lighter_wire::files::{self as wire, PATH_STAT, PathStat, go_mode};

const TAR: &str = "application/x-tar";

/// The path that all three operations need.
fn path(call: &Call) -> Result<String, Failure> {
    match call.query.get("path") {
        // dockerd's words, as they are.
        "" => Err(Failure::bad_request("bad parameter: pathcannot be empty")),
        path => Ok(path.to_owned()),
    }
}

fn with_stat(mut response: Response, stat: lighter_engine::PathStat) -> Answer {
    let lighter_engine::PathStat { name, size, mode, mtime, link_target } = stat;
    let stat = PathStat { name, size, mode: go_mode(mode), mtime: GoTime(Some(mtime)), link_target };
    let value = HeaderValue::from_str(&stat.header())
        .map_err(|e| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, format!("a file cannot be described: {e}")))?;
    response.headers_mut().insert(HeaderName::from_static(PATH_STAT), value);
    Ok(response)
}

pub async fn stat(call: Call) -> Answer {
    let stat = call.daemon.archive_stat(&call.name, &path(&call)?).await?;
    with_stat(empty(StatusCode::OK), stat)
}

pub async fn read(call: Call) -> Answer {
    let (stat, archive) = call.daemon.archive_read(&call.name, &path(&call)?).await?;
    with_stat(stream_bytes(TAR, archive), stat)
}

pub async fn write(mut call: Call) -> Answer {
    let path = path(&call)?;
    let options = WriteOptions { keep_kinds: call.query.flag("noOverwriteDirNonDir"), own: call.query.flag("copyUIDGID") };
    let archive = call.stream();
    call.daemon.archive_write(&call.name, &path, archive, options).await?;
    Ok(empty(StatusCode::OK))
}

pub async fn changes(call: Call) -> Answer {
    let changes = call.daemon.changes(&call.name).await?;
    let rows: Vec<_> = changes.into_iter().map(|Change { path, kind }| wire::Change { path, kind: kind_number(kind) }).collect();
    // Without changes it is null, as in dockerd.
    Ok(json(StatusCode::OK, &(!rows.is_empty()).then_some(rows)))
}

fn kind_number(kind: ChangeKind) -> u8 {
    match kind {
        ChangeKind::Modified => 0,
        ChangeKind::Added => 1,
        ChangeKind::Deleted => 2,
    }
}

pub async fn export(call: Call) -> Answer {
    Ok(stream_bytes("application/octet-stream", call.daemon.export(&call.name).await?))
}

pub async fn commit(mut call: Call) -> Answer {
    let body: Option<lighter_wire::Config> = call.json("").await?;
    let config = body.map(crate::convert::create::config);
    let text = |name| call.query.get(name).to_owned();
    let request = CommitContainer {
        container: text("container"),
        repository: text("repo"),
        tag: text("tag"),
        author: text("author"),
        comment: text("comment"),
        pause: call.query.optional("pause").is_none_or(|_| call.query.flag("pause")),
        changes: call.query.all("changes").map(str::to_owned).collect(),
        config,
    };
    if let Some(container) = call.daemon.resolve(&request.container) {
        call.ticket.about(Some(container.id.as_str()), Some(&container.config.image));
    }
    let id = call.daemon.commit(request).await?;
    Ok(json(StatusCode::CREATED, &wire::Committed { id }))
}
