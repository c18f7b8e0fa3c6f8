//! Refusals as problem details (RFC 9457).
//!
//! A handler returns a [`Problem`]. The layer around every request writes the body, because the layer knows the request's id
//! and the face, which chooses the format. The layer also logs the internal text, which the response never contains.

use std::{borrow::Cow, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use dabba_domain::Problems;
use dabba_engine::{Conflict, Error};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    code::{self, Code},
    quota::{Rate, Report, whole_seconds},
};

/// Media type of problem details.
pub const CONTENT_TYPE: &str = "application/problem+json";
/// Value of `Retry-After` when the server is overloaded or unavailable, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

/// The reason why a request is refused.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    /// Members in addition to those of RFC 9457.
    members: Option<Box<Map<String, Value>>>,
    /// Seconds to wait before a retry.
    retry_after: Option<u64>,
    /// Whether the request had a token that is not valid.
    has_invalid_token: bool,
    /// Remaining quota of the limit that refuses the request.
    rate_limit: Option<Box<Report>>,
    /// Text for the log only.
    internal: Option<Box<str>>,
}

/// The body of a response that reports a problem.
#[derive(Clone, Debug)]
pub struct ProblemBody {
    /// Value of `Content-Type`.
    pub content_type: HeaderValue,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A handler's result.
pub type Result<T, E = Problem> = std::result::Result<T, E>;

impl Problem {
    /// Returns the problem of this kind with a description of this request's problem, for people.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let retry_after = (code.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_SECONDS);
        Self {
            code,
            detail: detail.into(),
            members: None,
            retry_after,
            has_invalid_token: false,
            rate_limit: None,
            internal: None,
        }
    }

    /// Returns the problem of a defect. The text goes to the log; the caller learns only that there was a defect.
    pub fn internal(text: impl Into<String>) -> Self {
        let mut problem =
            Self::new(code::INTERNAL, "The server has a defect. Its log has the cause under the request_id.");
        problem.internal = Some(text.into().into_boxed_str());
        problem
    }

    /// Returns the problem of a wrong query parameter or header.
    pub fn bad_parameter(name: &str, detail: impl std::fmt::Display) -> Self {
        Self::bad_parameters(&[(name.to_owned(), detail.to_string())])
    }

    /// Returns the problem of wrong query parameters or headers, each with its name and what is wrong.
    pub fn bad_parameters(problems: &[(String, String)]) -> Self {
        let details: Vec<_> = problems.iter().map(|(name, detail)| format!("{name}: {detail}")).collect();
        let errors: Vec<_> =
            problems.iter().map(|(name, detail)| json!({"parameter": name, "detail": detail})).collect();
        let first = problems.first().map(|(name, _)| name);
        Self::new(code::BAD_REQUEST, details.join("; ")).with("parameter", first).with("errors", errors)
    }

    /// Returns the problem of a request without a token that can be read.
    pub fn unauthenticated(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(code::UNAUTHENTICATED, detail)
    }

    /// Returns the problem of a request whose token is not valid.
    pub fn invalid_token(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { has_invalid_token: true, ..Self::unauthenticated(detail) }
    }

    /// Returns the problem of a path that names nothing.
    pub fn not_found() -> Self {
        Self::new(code::NOT_FOUND, "There is nothing at this path.")
    }

    /// Returns the problem of a body with these problems.
    pub fn invalid(problems: &Problems) -> Self {
        Self::new(code::INVALID, problems.to_string()).with("errors", problems)
    }

    /// Returns the problem of a use case that was not carried out.
    ///
    /// # Errors
    ///
    /// The conflict, if there is one: each face has its own codes for conflicts.
    pub fn of_error(error: Error) -> Result<Self, Conflict> {
        let text = error.to_string();
        Ok(match error {
            Error::NotFound(_) => Self::new(code::NOT_FOUND, text),
            Error::Forbidden(_) => Self::new(code::FORBIDDEN, text),
            Error::ForbiddenChange(problems) => Self::new(code::FORBIDDEN, text).with("errors", problems),
            Error::Invalid(problems) => Self::invalid(&problems),
            Error::WrongCredentials | Error::VoidLink => Self::new(code::WRONG_CREDENTIALS, text),
            Error::TokenRevoked => Self::new(code::TOKEN_REVOKED, text),
            Error::Conflict(conflict) => return Err(conflict),
            Error::KeyReused => Self::new(code::IDEMPOTENCY_KEY_REUSED, text),
            Error::VersionMismatch { current } => {
                Self::new(code::PRECONDITION_FAILED, text).with("current", current)
            }
            Error::Overloaded => Self::new(code::OVERLOADED, text),
            Error::Unavailable
            | Error::WrittenByNewer
            | Error::SecretsKey
            | Error::ClockSkew(_)
            | Error::PartsDown(_) => Self::new(code::UNAVAILABLE, text),
            Error::OutcomeUnknown => Self::new(code::OUTCOME_UNKNOWN, text),
            Error::Payment(error) => Self::internal(error.to_string()),
            Error::Internal(text) => Self::internal(text),
        })
    }

    /// Returns the problem of a request that must wait for this time.
    pub fn too_many_requests(wait: Duration) -> Self {
        // The wait is rounded up, so that a client that waits for this time is not refused again.
        let seconds = whole_seconds(wait).max(1);
        let mut problem = Self::new(
            code::TOO_MANY_REQUESTS,
            format!("Too many requests: a rate limit is reached; retry after {seconds} s."),
        );
        problem.retry_after = Some(seconds);
        problem
    }

    /// Returns the problem with this value of `Retry-After`, rounded up to seconds.
    pub fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(whole_seconds(wait).max(1)), ..self }
    }

    /// Adds the limit that refuses the request.
    pub(crate) fn with_policy(self, name: &str, rate: Rate) -> Self {
        self.with("policy", name)
            .with("quota", rate.requests)
            .with("window_seconds", rate.per.as_secs().max(1))
    }

    /// Adds the remaining quota of the limit that refuses the request, which the response's headers report.
    pub(crate) fn with_report(self, report: Report) -> Self {
        Self { rate_limit: Some(Box::new(report)), ..self }
    }

    /// Returns the problem for a status without a body that came from below the handlers.
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::not_found(),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                code::METHOD_NOT_ALLOWED,
                "This path does not support the method; the header Allow lists the supported methods.",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(code::PAYLOAD_TOO_LARGE, "The body is too large."),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Self::new(code::UNSUPPORTED_MEDIA_TYPE, "The body's media type is not supported.")
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                Self::new(code::UNAVAILABLE, "The service is unavailable at the moment.")
            }
            status if status.is_client_error() => Self::new(code::BAD_REQUEST, "The request cannot be read."),
            status => Self::internal(format!(
                "a response with status {status} and without a problem came from below the handlers"
            )),
        }
    }

    /// Adds a member to the problem, unless its value is `null`.
    pub fn with(mut self, name: &'static str, value: impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(Value::Null) => self,
            Ok(value) => {
                self.members.get_or_insert_default().insert(name.to_owned(), value);
                self
            }
            Err(error) => Self::internal(format!("member {name} of a problem: {error}")),
        }
    }

    /// Returns the status of the response.
    pub const fn status(&self) -> StatusCode {
        self.code.status()
    }

    /// Returns the kind of the problem.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// Returns the description of this request's problem, for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Returns a member that was added with [`Self::with`].
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members.as_ref()?.get(name)
    }

    /// Returns the value of `WWW-Authenticate` (RFC 6750, section 3). It states an error only if the request had a
    /// token.
    fn challenge(&self) -> Option<HeaderValue> {
        match self.status() {
            StatusCode::UNAUTHORIZED if self.has_invalid_token || self.code == code::TOKEN_REVOKED => {
                let text = format!("Bearer error=\"invalid_token\", error_description=\"{}\"", self.detail);
                Some(HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Bearer")))
            }
            StatusCode::UNAUTHORIZED => Some(HeaderValue::from_static("Bearer")),
            // A token would be accepted here, and no other token is needed.
            StatusCode::FORBIDDEN if matches!(self.code, code::INSECURE_LOGIN | code::CROSS_SITE_REQUEST) => {
                Some(HeaderValue::from_static("Bearer"))
            }
            StatusCode::FORBIDDEN => Some(HeaderValue::from_static("Bearer error=\"insufficient_scope\"")),
            _ => None,
        }
    }

    /// Returns the text that is for the log only.
    pub fn log_text(&self) -> Option<&str> {
        self.internal.as_deref()
    }

    /// Returns the body as `application/problem+json`, for the response to the request with this id.
    pub fn to_json(&self, request_id: &str) -> ProblemBody {
        let mut body = json!({
            "type": format!("urn:dabba:problem:{}", self.code.as_str()),
            "title": self.code.title(),
            "status": self.status().as_u16(),
            "detail": self.detail,
            "code": self.code.as_str(),
            "request_id": request_id,
        });
        if let (Some(body), Some(members)) = (body.as_object_mut(), &self.members) {
            for (name, value) in &**members {
                body.insert(name.clone(), value.clone());
            }
        }
        ProblemBody {
            content_type: HeaderValue::from_static(CONTENT_TYPE),
            bytes: body.to_string().into_bytes(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.challenge() {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(report) = &self.rate_limit {
            report.write(headers);
        }
        response.extensions_mut().insert(self);
        response
    }
}
