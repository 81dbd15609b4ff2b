//! What goes to a registry: pull, push, `/auth`, `/distribution/...`, `/images/search`.

use crate::body::json;
use crate::call::{Answer, Call};
use crate::convert::image::platform_text;
use crate::convert::registry as to_wire;
use crate::handlers::progress::{LINES, Transfer, progress_line};
use http::StatusCode;
use lighter_domain::image::{ImagePull, ImagePush};
use lighter_engine::Progress;
use lighter_wire::auth::{AuthConfig, LoggedIn};
use tokio::sync::mpsc;

/// Begins with the first line of progress: what fails before is a status.
pub async fn pull(call: Call) -> Answer {
    let (name, tag) = (call.query.get("fromImage"), call.query.get("tag"));
    let about = if tag.is_empty() { name.to_owned() } else { format!("{name}:{tag}") };
    call.ticket.about(None, Some(&about));
    let pull = ImagePull {
        name: name.to_owned(),
        tag: tag.to_owned(),
        platform: call.query.get("platform").to_owned(),
        login: to_wire::login(&call.headers),
    };
    let (progress, told) = mpsc::channel(LINES);
    let daemon = call.daemon.clone();
    let work = async move { daemon.image_pull(pull, progress).await.map(|()| None) };
    let bars = call.shapes.progress_bars;
    Transfer { told, line: move |p: &Progress| progress_line(p, bars), leaves_with_client: true }.answer(&call, work).await
}

pub async fn push(mut call: Call) -> Answer {
    call.drain().await?;
    let platform = match call.query.get("platform") {
        "" => String::new(),
        raw => platform_text(raw)?,
    };
    let (name, tag) = (call.name.clone(), call.query.get("tag").to_owned());
    let push = ImagePush { name, tag, platform, login: to_wire::login(&call.headers) };
    let (progress, told) = mpsc::channel(LINES);
    let daemon = call.daemon.clone();
    let work = async move { daemon.image_push(push, progress).await.map(|()| None) };
    let bars = call.shapes.progress_bars;
    Transfer { told, line: move |p: &Progress| progress_line(p, bars), leaves_with_client: true }.answer(&call, work).await
}

pub async fn log_in(mut call: Call) -> Answer {
    let config: AuthConfig = call.required_json().await?;
    let server = config.server_address.clone();
    let identity = call.daemon.registry_login(&server, &to_wire::login_of(config)).await?;
    Ok(json(StatusCode::OK, &LoggedIn { identity_token: &identity, status: "Login Succeeded" }))
}

pub async fn distribution(call: Call) -> Answer {
    let found = call.daemon.distribution(&call.name, &to_wire::login(&call.headers)).await?;
    Ok(json(StatusCode::OK, &to_wire::distribution(&found)))
}

pub async fn search(call: Call) -> Answer {
    let filters = call.query.filters()?;
    filters.only(&["is-automated", "is-official", "stars"])?;
    let (official, automated) = (filters.boolean("is-official")?, filters.boolean("is-automated")?);
    let stars = to_wire::least_stars(&filters)?;
    let login = to_wire::login(&call.headers);
    let found = call.daemon.image_search(call.query.get("term"), call.query.integer("limit")?, &login).await?;
    let fits = |found: &&lighter_domain::image::SearchResult| {
        official.is_none_or(|want| found.official == want)
            && automated.is_none_or(|want| found.automated == want)
            && found.stars >= stars
    };
    let rows: Vec<_> = found.iter().filter(fits).map(to_wire::found).collect();
    Ok(json(StatusCode::OK, &rows))
}
