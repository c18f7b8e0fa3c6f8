//! Error responses of the service as problem details (RFC 9457), and extractors that turn an invalid part of
//! a request into such a response.

use axum::{
    Json,
    extract::{
        FromRequest, FromRequestParts, Path, Query, Request,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;

use super::{
    provider::{Failure, Refusal},
    wire::{AMOUNT_NOT_ACCEPTED, IDEMPOTENCY_KEY_HEADER, NO_AMOUNT, PROBLEM_URN, ProblemBody},
};

/// The media type of problem details.
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An error response.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
}

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self { status, kind, title, detail: detail.into() }
    }

    /// A header, a parameter or the body is invalid.
    fn bad_request(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::new(status, "bad_request", "The request is invalid", detail)
    }

    /// The path does not exist.
    pub(super) fn not_found() -> Self {
        let detail = "This path does not exist.";
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail)
    }

    /// The path does not support this method.
    pub(super) fn method_not_allowed() -> Self {
        let detail = "This path does not support the method.";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(status, "method_not_allowed", "The method is not allowed", detail)
    }

    /// A parameter has a value outside its range.
    pub(super) fn out_of_bounds(detail: impl Into<String>) -> Self {
        Self::bad_request(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, kind, title) = match refusal {
            Refusal::KeyNotValid => {
                (StatusCode::BAD_REQUEST, "idempotency_key_invalid", "The idempotency key is not valid")
            }
            Refusal::KeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "The idempotency key was used for another request",
            ),
            Refusal::NoAmount => (StatusCode::UNPROCESSABLE_ENTITY, NO_AMOUNT, "The amount is zero"),
            Refusal::AmountNotAccepted(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, AMOUNT_NOT_ACCEPTED, "The amount is not accepted")
            }
            Refusal::UnknownReference => {
                (StatusCode::NOT_FOUND, "unknown_reference", "There is no such payment")
            }
            Refusal::PaymentMismatch => {
                (StatusCode::UNPROCESSABLE_ENTITY, "another_payment", "The payment does not match")
            }
        };
        Self::new(status, kind, title, refusal.to_string())
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let status = match failure {
            Failure::Simulated => StatusCode::INTERNAL_SERVER_ERROR,
            Failure::Full => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, "failure", "The provider fails", failure.to_string())
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::bad_request(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request(rejection.status(), rejection.body_text())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            r#type: format!("{PROBLEM_URN}{}", self.kind),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
        };
        let mut response = (self.status, Json(body)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
        response
    }
}

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(body) = Json::from_request(request, state).await?;
        Ok(Self(body))
    }
}

/// The query parameters.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(parameters) = Query::from_request_parts(parts, state).await?;
        Ok(Self(parameters))
    }
}

/// The variable part of the path.
pub(super) struct InPath<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(part) = Path::from_request_parts(parts, state).await?;
        Ok(Self(part))
    }
}

/// The idempotency key of a request. The provider checks the characters of the key.
pub(super) struct IdempotencyKey(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let mut keys = parts.headers.get_all(IDEMPOTENCY_KEY_HEADER).iter();
        match (keys.next().map(HeaderValue::to_str), keys.next()) {
            (Some(Ok(key)), None) => Ok(Self(key.to_owned())),
            (Some(Err(_)), None) => Err(Refusal::KeyNotValid.into()),
            (None, _) => {
                Err(Problem::bad_request(StatusCode::BAD_REQUEST, "The Idempotency-Key header is missing."))
            }
            (Some(_), Some(_)) => Err(Problem::bad_request(
                StatusCode::BAD_REQUEST,
                "There is more than one Idempotency-Key header. Send exactly one.",
            )),
        }
    }
}
