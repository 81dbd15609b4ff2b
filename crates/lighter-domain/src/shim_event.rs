//! The record of one HTTP request: who asked for what, and what came of it. Never holds secrets.

use std::borrow::Cow;
use std::sync::Arc;
use time::OffsetDateTime;

/// One request on the socket. Made when it arrives, stored when it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShimEvent {
    /// Given by the store; 0 before.
    pub id: i64,
    pub status: ShimStatus,
    /// 64-hex id, when the request named a container that exists.
    pub container_id: Option<String>,
    pub image: Option<String>,
    /// The swagger's operationId (`ContainerCreate`), or `Unknown` / `Malformed`.
    pub kind: Cow<'static, str>,
    pub timestamp: OffsetDateTime,
    pub method: Cow<'static, str>,
    /// Without the query's values of parameters that can hold secrets; at most 2 KiB.
    pub path: String,
    /// `1.47`; `None` for an unversioned path.
    pub api_version: Option<String>,
    pub http_status: Option<u16>,
    pub duration_micros: i64,
    /// The User-Agent, at most 256 bytes.
    pub client: Option<String>,
    pub request_id: Arc<str>,
    /// The message of an error answer.
    pub error: Option<String>,
    pub unsupported_flags: Vec<String>,
    /// Paths of the host that a container or volume was to have, by whatever field they were asked for.
    pub host_paths: Vec<String>,
    /// The user on the other end of the socket.
    pub peer_uid: Option<u32>,
    /// The process there, as it was when it connected.
    pub peer_pid: Option<u32>,
    /// Of the container that the request named.
    pub stack: Option<String>,
}

/// What to look for among recorded requests. Of the values of one list any may hold, an empty list means all, and all
/// conditions must hold together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShimEventFilter {
    pub kinds: Vec<String>,
    pub statuses: Vec<ShimStatus>,
    /// Ids in hexadecimal, or how they begin.
    pub containers: Vec<String>,
    pub stacks: Vec<String>,
    pub images: Vec<String>,
    /// Parts of the User-Agent, in any case.
    pub clients: Vec<String>,
    pub request_id: Option<String>,
    /// Inclusive.
    pub since: Option<OffsetDateTime>,
    /// Inclusive.
    pub until: Option<OffsetDateTime>,
    /// Only events with a greater id: what is new since the last look.
    pub after_id: Option<i64>,
    /// Only events with a smaller id: the next page.
    pub before_id: Option<i64>,
    /// At most so many; `None` is 1,000.
    pub limit: Option<u32>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShimStatus {
    /// Answered with 1xx, 2xx or 3xx.
    Ok,
    /// Refused: 4xx or 501.
    Refused,
    /// Failed: other 5xx.
    Failed,
    /// The client went away before the answer.
    Aborted,
}

impl ShimStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        [Self::Ok, Self::Refused, Self::Failed, Self::Aborted].into_iter().find(|k| k.as_str() == s)
    }

    pub fn of_http(status: u16) -> Self {
        match status {
            501 | 400..=499 => Self::Refused,
            500.. => Self::Failed,
            _ => Self::Ok,
        }
    }
}
