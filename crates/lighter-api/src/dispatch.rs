//! One request from its arrival to its answer: route, run, record, head.

use crate::arriving::Arriving;
use crate::body;
use crate::call::{Answer, Call, Query};
use crate::failure::Failure;
use crate::hijack::Line;
use crate::policy::Policy;
use crate::record::{self, Source, Ticket};
use crate::router::{self, Found};
use crate::routes::{Kind, Route, Subject};
use crate::shapes::Shapes;
use crate::version::{API_VERSION, LIGHTER_VERSION, MIN_API_VERSION};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use lighter_core::Daemon;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// dockerd's refusal of everything that needs a swarm.
const NO_SWARM: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.";

/// What every request needs.
#[derive(Clone)]
pub struct Dispatch {
    pub daemon: Daemon,
    /// Of this connection; none where nothing is recorded.
    pub source: Option<Arc<Source>>,
    pub activity: Arc<Notify>,
    pub shutdown: CancellationToken,
    /// What may be asked on this socket.
    pub policy: Arc<Policy>,
}

impl Dispatch {
    /// Answers one request. `hold_eof`: see `server`.
    pub async fn answer(self, request: Request<Incoming>, line: Line, hold_eof: Arc<AtomicBool>) -> Response {
        self.activity.notify_one();
        let (parts, body) = request.into_parts();
        let body = Arriving::new(body, &parts.headers);
        let id = record::request_id();
        let ticket = match &self.source {
            Some(source) => Ticket::open(source, &parts.method, &parts.uri, &parts.headers, id.clone()),
            None => Ticket::default(),
        };
        let (route, version, name) = match router::find(&parts.method, parts.uri.path()) {
            Found::Route { route, version, name } => (route, version, name),
            other => return astray(other, &ticket).await,
        };
        let versioned = parts.uri.path().starts_with("/v1.");
        ticket.operation(route.operation, versioned.then(|| version.to_string()));
        let mut call = Call {
            daemon: self.daemon.clone(),
            shapes: Shapes::of(version),
            version,
            name,
            head: parts.method == http::Method::HEAD,
            query: Query::parse(parts.uri.query().unwrap_or_default()),
            headers: parts.headers,
            body: Some(body),
            ticket,
            line,
            policy: self.policy.clone(),
            shutdown: self.shutdown.clone(),
        };
        let span = tracing::info_span!("request", id = &*id, operation = route.operation);
        if let Err(failure) = self.policy.judge(route, &mut call).await {
            note_subject(route, &call);
            return finish(Err(failure), &call.ticket, true).instrument(span).await;
        }
        run(route, call, &hold_eof).instrument(span).await
    }
}

/// Runs a route's handler as its kind demands, and records the outcome.
async fn run(route: &'static Route, call: Call, hold_eof: &AtomicBool) -> Response {
    note_subject(route, &call);
    let ticket = call.ticket.clone();
    match &route.kind {
        Kind::Read(handler) => finish(handler(call).await, &ticket, false).await,
        Kind::Change(handler) => {
            // In a task of its own: a client that goes away does not stop a change half-way.
            let work = handler(call);
            let task = tokio::spawn(async move { finish(work.await, &ticket, true).await }.in_current_span());
            task.await.unwrap_or_else(|error| {
                tracing::error!(%error, "a handler failed");
                head(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error").into_response())
            })
        }
        Kind::Hijack(handler) => {
            hold_eof.store(true, Ordering::Relaxed);
            let answer = handler(call).await;
            hold_eof.store(false, Ordering::Relaxed);
            finish(answer, &ticket, false).await
        }
        Kind::Missing(feature) => {
            let engine = call.daemon.describe().name;
            let message = format!("{feature} is not implemented yet by Lighter's {engine} engine");
            finish(Err(Failure::new(StatusCode::NOT_IMPLEMENTED, message)), &ticket, false).await
        }
        Kind::Swarm => finish(Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, NO_SWARM)), &ticket, false).await,
    }
}

/// Notes the container or image that the path names, before the request can make it go away.
fn note_subject(route: &Route, call: &Call) {
    match route.subject {
        Subject::None => {}
        Subject::Container => note_container(call, &call.name),
        Subject::Exec => {
            if let Ok(exec) = call.daemon.exec_inspect(&call.name) {
                note_container(call, exec.container_id.as_str());
            }
        }
        Subject::Image => call.ticket.about(None, Some(&call.name)),
    }
}

fn note_container(call: &Call, reference: &str) {
    if let Some(container) = call.daemon.resolve(reference) {
        call.ticket.about(Some(container.id.as_str()), Some(&container.config.image));
        call.ticket.stack(container.compose_project());
        call.daemon.accessed(container.id.as_str());
    }
}

async fn finish(answer: Answer, ticket: &Ticket, durable: bool) -> Response {
    let response = match answer {
        Ok(response) => {
            ticket.close(response.status().as_u16(), None, durable).await;
            response
        }
        Err(failure) => {
            tracing::info!(status = failure.status.as_u16(), message = failure.message, "refused");
            ticket.close(failure.status.as_u16(), Some(&failure.message), durable).await;
            failure.into_response()
        }
    };
    head(response)
}

/// Answers what leads to no route.
async fn astray(found: Found<'_>, ticket: &Ticket) -> Response {
    ticket.operation("Unknown", None);
    let answer = match found {
        Found::Route { .. } | Found::Nowhere => Err(Failure::page_not_found()),
        Found::Options => Ok(body::empty(StatusCode::OK)),
        Found::Redirect(to) => Ok(redirect(&to)),
        Found::TooOld(v) => Err(Failure::bad_request(format!(
            "client version {v} is too old. Minimum supported API version is {MIN_API_VERSION}, please upgrade your client to a newer version"
        ))),
        Found::TooNew(v) => {
            let what = format!("client version {v} is too new. Maximum supported API version is {API_VERSION}");
            Err(Failure::bad_request(what))
        }
        Found::TooLong => Err(Failure::new(StatusCode::URI_TOO_LONG, "the path is too long")),
    };
    finish(answer, ticket, false).await
}

fn redirect(to: &str) -> Response {
    let mut response = body::empty(StatusCode::MOVED_PERMANENTLY);
    if let Ok(location) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// The headers that every answer has.
fn head(mut response: Response) -> Response {
    static SERVER: LazyLock<HeaderValue> = LazyLock::new(|| {
        HeaderValue::from_str(&format!("Lighter/{LIGHTER_VERSION} (linux)")).unwrap_or(HeaderValue::from_static("Lighter"))
    });
    let headers = response.headers_mut();
    headers.insert("api-version", HeaderValue::from_static(API_VERSION));
    headers.insert("docker-experimental", HeaderValue::from_static("false"));
    headers.insert("ostype", HeaderValue::from_static("linux"));
    headers.insert(header::SERVER, SERVER.clone());
    response
}
