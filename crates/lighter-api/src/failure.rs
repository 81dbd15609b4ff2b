//! Errors to answers: the one place where an [`ErrorKind`] becomes a status, and the one form of an error's body.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use lighter_domain::{Error, ErrorKind};
use std::error::Error as _;
use std::fmt::Write as _;

/// An answer that is an error: `{"message": ...}` under a status.
#[derive(Debug)]
pub struct Failure {
    pub status: StatusCode,
    pub message: String,
}

impl Failure {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn no_such_container(reference: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("No such container: {reference}"))
    }

    /// dockerd's answer to a path or a method that it does not know.
    pub fn page_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "page not found")
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::NotModified => StatusCode::NOT_MODIFIED,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::InvalidArgument => StatusCode::BAD_REQUEST,
            ErrorKind::Unauthorized => StatusCode::UNAUTHORIZED,
            ErrorKind::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::Forbidden => StatusCode::FORBIDDEN,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            ErrorKind::Internal => {
                tracing::error!(error = chain(&error), "a request failed");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self::new(status, error.message())
    }
}

/// An error with all that caused it.
fn chain(error: &Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing to a string cannot fail.
        let _ = write!(said, ": {cause}");
        source = cause.source();
    }
    said
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        if self.status != StatusCode::NOT_MODIFIED {
            let body = lighter_wire::system::ErrorResponse { message: &self.message };
            let mut json = serde_json::to_vec(&body).unwrap_or_default();
            json.push(b'\n');
            *response.body_mut() = Body::from(json);
            response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_internal_error_is_logged_with_its_causes_and_told_without_them() {
        let error = Error::internal("cannot write").with_source(std::io::Error::other("disk full"));
        assert_eq!(chain(&error), "cannot write: disk full");
        assert_eq!(Failure::from(error).message, "cannot write");
    }
}
