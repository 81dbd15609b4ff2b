//! `/containers/{id}/exec` and `/exec/...`, but for the start, which is a stream.

use crate::body::{empty, json};
use crate::call::{Answer, Call};
use crate::convert::exec as convert;
use http::StatusCode;
use lighter_wire::exec::{ExecCreate, Id};

pub async fn create(mut call: Call) -> Answer {
    let body: ExecCreate = call.required_json().await?;
    let config = convert::config(body);
    call.policy.exec(&config)?;
    let id = call.recorded(StatusCode::CREATED).exec_create(&call.name, config).await?;
    Ok(json(StatusCode::CREATED, &Id { id }))
}

pub async fn resize(call: Call) -> Answer {
    let (height, width) = call.query.terminal_size()?;
    call.daemon.exec_resize(&call.name, height, width).await?;
    Ok(empty(StatusCode::OK))
}

pub async fn inspect(call: Call) -> Answer {
    Ok(json(StatusCode::OK, &convert::inspect(call.daemon.exec_inspect(&call.name)?)))
}
