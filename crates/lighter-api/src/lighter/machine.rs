//! Ports, the look at the machine, and the description of all this.

use super::convert;
use crate::body::{json, stream};
use crate::call::{Answer, Call};
use axum::body::Body;
use http::StatusCode;
use lighter_wire::lighter::{Findings, Page};

/// What is served under `/lighter/v1`.
pub const OPENAPI: &str = include_str!("openapi.json");

pub async fn openapi(call: Call) -> Answer {
    call.only(&[])?;
    Ok(stream("application/json", Body::from(OPENAPI)))
}

pub async fn ports(call: Call) -> Answer {
    call.only(&[])?;
    let items = call.daemon.ports().await?.into_iter().map(convert::port).collect::<Vec<_>>();
    Ok(json(StatusCode::OK, &Page { items, next: None }))
}

pub async fn doctor(call: Call) -> Answer {
    call.only(&[])?;
    let items = call.daemon.diagnose().await.into_iter().map(convert::finding).collect();
    Ok(json(StatusCode::OK, &Findings { items }))
}
