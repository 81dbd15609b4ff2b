//! `/_ping`, `/version`, `/info`, `/system/df`, and the empty list of plugins.

use crate::body::{json, stream};
use crate::call::{Answer, Call};
use crate::convert::system::{self as to_wire, Parts};
use crate::failure::Failure;
use axum::body::Body;
use http::{HeaderValue, StatusCode, header};

/// dockerd's word for the builder that clients should use; there is none yet, so the classic one is named.
const BUILDER: &str = "1";

pub async fn ping(call: Call) -> Answer {
    let head = call.head;
    let mut response = stream("text/plain; charset=utf-8", if head { Body::empty() } else { Body::from("OK") });
    let headers = response.headers_mut();
    if head {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    headers.insert("builder-version", HeaderValue::from_static(BUILDER));
    headers.insert("swarm", HeaderValue::from_static("inactive"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    Ok(response)
}

pub async fn version(call: Call) -> Answer {
    Ok(json(StatusCode::OK, &to_wire::version(call.daemon.describe())))
}

pub async fn info(call: Call) -> Answer {
    Ok(json(StatusCode::OK, &to_wire::info(call.daemon.info().await?, call.shapes)))
}

pub async fn data_usage(call: Call) -> Answer {
    let asked: Vec<&str> = call.query.all("type").filter(|_| call.shapes.df_types).collect();
    let known = ["container", "image", "volume", "build-cache"];
    if let Some(bad) = asked.iter().find(|t| !known.contains(t)) {
        return Err(Failure::bad_request(format!("unknown object type: {bad}")));
    }
    let wants = |what| asked.is_empty() || asked.contains(&what);
    let parts = Parts {
        images: wants("image"),
        containers: wants("container"),
        volumes: wants("volume"),
        build_cache: wants("build-cache"),
    };
    let usage = call.daemon.disk_usage().await?;
    Ok(json(StatusCode::OK, &to_wire::data_usage(&usage, parts, call.query.flag("verbose"), call.shapes)))
}

/// No plugin is there.
pub async fn plugin(call: Call) -> Answer {
    Err(Failure::new(StatusCode::NOT_FOUND, format!("plugin \"{}\" not found", call.name)))
}

/// No plugin is there, and none can be.
pub async fn plugins(_call: Call) -> Answer {
    Ok(json(StatusCode::OK, &[(); 0]))
}
