//! The database itself: examined, and copied while the daemon works.

use crate::body::{json, stream_bytes};
use crate::call::{Answer, Call};
use http::StatusCode;
use lighter_wire::lighter::Check;

pub async fn check(call: Call) -> Answer {
    call.only(&[])?;
    let faults = call.daemon.check_store().await?;
    Ok(json(StatusCode::OK, &Check { sound: faults.is_empty(), faults }))
}

pub async fn backup(call: Call) -> Answer {
    call.only(&[])?;
    Ok(stream_bytes("application/vnd.sqlite3", call.daemon.backup_store().await?))
}
