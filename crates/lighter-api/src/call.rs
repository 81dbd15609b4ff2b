//! One request as a handler gets it: the daemon, the path's parameters, the query, the body, and its record.

use crate::arriving::Arriving;
use crate::body;
use crate::failure::Failure;
use crate::hijack::Line;
use crate::policy::Policy;
use crate::record::{Answered, Ticket};
use crate::shapes::Shapes;
use crate::version::ApiVersion;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use lighter_core::Daemon;
use lighter_domain::filter::Filters;
use lighter_engine::ByteStream;
use lighter_wire::{Decode, filters, query};
use std::sync::Arc;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

/// What a handler gives back.
pub type Answer = Result<Response, Failure>;

/// A request that has found its route.
pub struct Call {
    pub daemon: Daemon,
    pub shapes: Shapes,
    pub version: ApiVersion,
    /// The path's one parameter, decoded; empty for routes without.
    pub name: String,
    /// A HEAD request: the answer has no body.
    pub head: bool,
    pub query: Query,
    pub headers: HeaderMap,
    /// Until it is read.
    pub body: Option<Arriving>,
    pub ticket: Ticket,
    /// Of the socket that it came by.
    pub policy: Arc<Policy>,
    /// The connection, for those who take it over.
    pub line: Line,
    /// Ends streams that would not end by themselves.
    pub shutdown: CancellationToken,
}

impl Call {
    /// The daemon, for a change that is answered with `status` once it is stored. It is recorded in one step with that.
    pub fn recorded(&self, status: StatusCode) -> Daemon {
        self.daemon.recording(Answered { ticket: self.ticket.clone(), status })
    }

    /// Reads a JSON body; `None` where there is none. `root` is what Go's errors call the type.
    pub async fn json<T: Decode>(&mut self, root: &str) -> Result<Option<T>, Failure> {
        match self.body.take() {
            Some(body) => body::read_json(&self.headers, body, root).await,
            None => Ok(None),
        }
    }

    /// As [`Call::json`], for an operation that is nothing without its body.
    pub async fn required_json<T: Decode>(&mut self) -> Result<T, Failure> {
        let body = self.json("").await?;
        body.ok_or_else(|| Failure::bad_request("invalid JSON: got EOF while reading request body"))
    }

    /// The body as a stream; nothing is read before it is asked for.
    pub fn stream(&mut self) -> ByteStream {
        match self.body.take() {
            Some(body) => body::into_reader(body),
            None => Box::pin(tokio::io::empty()),
        }
    }

    /// Reads a body that means nothing, so that none of it is taken for what comes after it.
    pub async fn drain(&mut self) -> Result<(), Failure> {
        if let Some(body) = self.body.take() {
            body::read(body).await?;
        }
        Ok(())
    }

    /// As [`Call::drain`], for a request whose body is read as JSON nowhere: with an upgrade, what follows the head is input.
    pub async fn drain_unless_upgrade(&mut self) -> Result<(), Failure> {
        if self.headers.contains_key(http::header::UPGRADE) { Ok(()) } else { self.drain().await }
    }
}

/// The query's pairs, decoded. Of a name that comes twice the first counts, as in dockerd.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(raw: &str) -> Self {
        Self(query::pairs(raw))
    }

    /// Empty when absent.
    pub fn get(&self, name: &str) -> &str {
        self.optional(name).unwrap_or_default()
    }

    pub fn optional(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// In the place of all values that it had.
    pub fn set(&mut self, name: &str, value: String) {
        self.0.retain(|(k, _)| k != name);
        self.0.push((name.to_owned(), value));
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(k, _)| k.as_str())
    }

    pub fn flag(&self, name: &str) -> bool {
        query::boolean(self.get(name))
    }

    /// `None` when absent or empty.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Failure> {
        match self.get(name) {
            "" => Ok(None),
            raw => query::integer(raw).map(Some).map_err(Failure::bad_request),
        }
    }

    pub fn timestamp(&self, name: &str) -> Result<Option<OffsetDateTime>, Failure> {
        lighter_wire::time::timestamp(self.get(name), OffsetDateTime::now_utc()).map_err(Failure::bad_request)
    }

    pub fn filters(&self) -> Result<Filters, Failure> {
        let mut out = Filters::default();
        for (key, values) in filters::parse(self.get("filters")).map_err(Failure::bad_request)? {
            for value in values {
                out.add(key.clone(), value);
            }
        }
        Ok(out)
    }

    /// Filters whose `until` the core takes as Unix seconds: durations and RFC 3339 times are resolved here.
    pub fn prune_filters(&self) -> Result<Filters, Failure> {
        let raw = self.filters()?;
        let mut out = Filters::default();
        for (key, values) in raw.iter() {
            for value in values {
                if key != "until" {
                    out.add(key, value.as_str());
                    continue;
                }
                let unclear = |_| Failure::bad_request(format!("failed to parse value as time or duration: {value:?}"));
                let at = lighter_wire::time::timestamp(value, OffsetDateTime::now_utc()).map_err(unclear)?;
                let at = at.ok_or_else(|| Failure::bad_request("invalid filter 'until='"))?;
                let nanos = at.unix_timestamp_nanos();
                out.add(key, format!("{}.{:09}", nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000)));
            }
        }
        Ok(out)
    }

    /// A terminal's height and width, in that order.
    pub fn terminal_size(&self) -> Result<(u16, u16), Failure> {
        let side = |what, name| query::dimension(what, self.get(name)).map_err(Failure::bad_request);
        Ok((side("height", "h")?, side("width", "w")?))
    }
}
