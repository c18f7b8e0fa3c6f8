//! Refusals as problem details (RFC 9457).
//!
//! A handler returns a [`Problem`]. [`crate::observe`] writes the body, because it knows the request's id. It also logs
//! the internal text, which the response never contains.

mod describe;
mod limits;

use std::borrow::Cow;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use dabba_domain::{
    Problems,
    order::{CommandKind, Rejection},
    restaurant::NotAccepting,
};
use dabba_engine::{Conflict, Error, Obstacle};
use dabba_store::StockShortage;
use serde::Serialize;
use serde_json::{Map, Value, json};

pub(crate) use describe::*;

use crate::{limit::Report, routes::ObstacleBody};

/// Media type of problem details.
pub(crate) const CONTENT_TYPE: &str = "application/problem+json";
/// Value of `Retry-After` when the server is overloaded or unavailable, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident, $name:literal, $status:ident, $title:literal;)*) => {
        /// The kinds of problems. Clients identify a problem by its code's name; the names never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $($(#[$doc])* $code,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$code),*];

            /// Returns the code's name, as in `code` and at the end of `type`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$code => $name),* }
            }

            /// Returns the status of responses with this code.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$code => StatusCode::$status),* }
            }

            /// Returns the general description of the problem, for people.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$code => $title),* }
            }
        }
    };
}

codes! {
    /// A header, a parameter or the request as a whole is not valid.
    BadRequest, "bad_request", BAD_REQUEST, "The request is not valid";
    /// The body is not JSON.
    MalformedJson, "malformed_json", BAD_REQUEST, "The body is not JSON";
    /// The operation requires an idempotency key.
    IdempotencyKeyMissing, "idempotency_key_missing", BAD_REQUEST, "An idempotency key is required";
    /// The idempotency key is malformed.
    IdempotencyKeyInvalid, "idempotency_key_invalid", BAD_REQUEST, "The idempotency key is not valid";
    /// The request has no valid token.
    Unauthenticated, "unauthenticated", UNAUTHORIZED, "A valid token is required";
    /// The token was revoked, or its account was disabled or deleted or has another role.
    TokenRevoked, "token_revoked", UNAUTHORIZED, "The token is revoked";
    /// No account has this e-mail address with this password.
    WrongCredentials, "wrong_credentials", UNAUTHORIZED, "The credentials are wrong";
    /// The caller may not do this.
    Forbidden, "forbidden", FORBIDDEN, "The caller may not do this";
    /// The path names nothing, or something that the caller may not see.
    NotFound, "not_found", NOT_FOUND, "Not found";
    /// The path does not support this method.
    MethodNotAllowed, "method_not_allowed", METHOD_NOT_ALLOWED, "The method is not allowed for this path";
    /// The restaurant has paused.
    RestaurantPaused, "restaurant_paused", CONFLICT, "The restaurant has paused taking orders";
    /// The restaurant is closed.
    RestaurantClosed, "restaurant_closed", CONFLICT, "The restaurant is closed";
    /// The restaurant is closed permanently.
    RestaurantClosedPermanently, "restaurant_closed_permanently", CONFLICT, "The restaurant is closed permanently";
    /// The order is too small to be delivered.
    BelowMinimumOrder, "below_minimum_order", CONFLICT, "The order is below the minimum for delivery";
    /// The payment provider does not accept the total.
    NotPayableByCard, "not_payable_by_card", CONFLICT, "The total cannot be paid by card";
    /// Items are not available now.
    ItemsUnavailable, "items_unavailable", CONFLICT, "Items are not available";
    /// The stock of some items is lower than the order needs.
    OutOfStock, "out_of_stock", CONFLICT, "Not enough in stock";
    /// The customer has too many open orders.
    TooManyOpenOrders, "too_many_open_orders", CONFLICT, "Too many open orders";
    /// The total differs from the expected total.
    MenuChanged, "menu_changed", CONFLICT, "The price has changed";
    /// The order does not allow the command.
    IllegalMove, "illegal_move", CONFLICT, "The order does not allow this command";
    /// The order was accepted before, with other content.
    AlreadyAccepted, "already_accepted", CONFLICT, "The order is already accepted";
    /// The order was rejected before, with other content.
    AlreadyRejected, "already_rejected", CONFLICT, "The order is already rejected";
    /// The order was cancelled before, with other content.
    AlreadyCancelled, "already_cancelled", CONFLICT, "The order is already cancelled";
    /// A courier was assigned before, with other content.
    AlreadyAssigned, "already_assigned", CONFLICT, "A courier is already assigned";
    /// The order was delivered before, with other content.
    AlreadyDelivered, "already_delivered", CONFLICT, "The order is already delivered";
    /// The amount exceeds the refundable amount.
    NothingRefundable, "nothing_refundable", CONFLICT, "The amount cannot be refunded";
    /// The amount exceeds the refund limit of the restaurant's staff.
    RefundLimit, "refund_limit", CONFLICT, "The amount exceeds the restaurant's limit";
    /// Concurrent requests changed the same resource during each attempt.
    TooManyChanges, "too_many_changes", CONFLICT, "Too many concurrent changes";
    /// The stock has no limit that could be adjusted.
    StockNotLimited, "stock_not_limited", CONFLICT, "The stock is not limited";
    /// The stock would be below zero or above its maximum.
    StockOutOfRange, "stock_out_of_range", CONFLICT, "The stock would be out of range";
    /// The task is a review, which is work for a person.
    ReviewNotRetryable, "review_not_retryable", CONFLICT, "A review cannot be retried";
    /// Another restaurant has the external id.
    ExternalIdTaken, "external_id_taken", CONFLICT, "Another restaurant has the external id";
    /// The restaurant is closed permanently, for another reason.
    AlreadyClosed, "already_closed", CONFLICT, "The restaurant is already closed";
    /// Another account has the e-mail address.
    EmailTaken, "email_taken", CONFLICT, "Another account has the e-mail address";
    /// The change would leave no enabled admin.
    LastAdmin, "last_admin", CONFLICT, "This is the last enabled admin";
    /// The resource is not at the version in `If-Match`.
    PreconditionFailed, "precondition_failed", PRECONDITION_FAILED, "The resource has changed";
    /// This server does not serve the host.
    MisdirectedRequest, "misdirected_request", MISDIRECTED_REQUEST, "The server does not serve this host";
    /// The body is too large.
    PayloadTooLarge, "payload_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The body's media type is not supported.
    UnsupportedMediaType, "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body's media type is not supported";
    /// The body is JSON, but not valid for the operation.
    Invalid, "invalid", UNPROCESSABLE_ENTITY, "The body is not valid";
    /// The idempotency key was used for another request.
    IdempotencyKeyReused, "idempotency_key_reused", UNPROCESSABLE_ENTITY, "The idempotency key was used for another request";
    /// The operation requires `If-Match`.
    PreconditionRequired, "precondition_required", PRECONDITION_REQUIRED, "If-Match is required";
    /// Too many requests.
    TooManyRequests, "too_many_requests", TOO_MANY_REQUESTS, "Too many requests";
    /// A defect of the server.
    Internal, "internal", INTERNAL_SERVER_ERROR, "Internal error";
    /// The queue of waiting requests is full.
    Overloaded, "overloaded", SERVICE_UNAVAILABLE, "The server is overloaded";
    /// The store is unavailable.
    Unavailable, "unavailable", SERVICE_UNAVAILABLE, "The service is unavailable";
    /// The write may have happened, or not.
    OutcomeUnknown, "outcome_unknown", SERVICE_UNAVAILABLE, "The outcome is unknown";
}

/// The reason why a request is refused.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
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

/// A handler's result.
pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
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
    pub(crate) fn internal(text: impl Into<String>) -> Self {
        let mut problem =
            Self::new(Code::Internal, "The server has a defect. Its log has the cause under the request_id.");
        problem.internal = Some(text.into().into_boxed_str());
        problem
    }

    /// Returns the problem of a wrong query parameter or header.
    pub(crate) fn bad_parameter(name: &str, detail: impl std::fmt::Display) -> Self {
        Self::new(Code::BadRequest, format!("{name}: {detail}")).with("parameter", name)
    }

    /// Refuses parameters, listing each name with its problem. Returns `Ok` if there are no problems.
    pub(crate) fn bad_parameters(problems: &[(String, String)]) -> Result<()> {
        let Some((first, _)) = problems.first() else { return Ok(()) };
        let details: Vec<_> = problems.iter().map(|(name, detail)| format!("{name}: {detail}")).collect();
        let errors: Vec<_> =
            problems.iter().map(|(name, detail)| json!({"parameter": name, "detail": detail})).collect();
        let problem = Self::new(Code::BadRequest, details.join("; "));
        Err(problem.with("parameter", first).with("errors", errors))
    }

    pub(crate) fn unauthenticated(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Unauthenticated, detail)
    }

    /// Returns the problem of a request whose token is not valid.
    pub(crate) fn invalid_token(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { has_invalid_token: true, ..Self::unauthenticated(detail) }
    }

    pub(crate) fn not_found() -> Self {
        Self::new(Code::NotFound, "There is nothing at this path.")
    }

    pub(crate) fn invalid(problems: &Problems) -> Self {
        Self::new(Code::Invalid, problems.to_string()).with("errors", problems)
    }

    /// Returns the problem for a status without a body that came from below the handlers.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::not_found(),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                Code::MethodNotAllowed,
                "This path does not support the method; the header Allow lists the supported methods.",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(Code::PayloadTooLarge, "The body is too large."),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Self::new(Code::UnsupportedMediaType, "The body's media type is not supported.")
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                Self::new(Code::Unavailable, "The service is unavailable at the moment.")
            }
            status if status.is_client_error() => Self::new(Code::BadRequest, "The request cannot be read."),
            status => Self::internal(format!(
                "a response with status {status} and without a problem came from below the handlers"
            )),
        }
    }

    /// Adds a member to the problem, unless its value is `null`.
    pub(crate) fn with(mut self, name: &'static str, value: impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(Value::Null) => self,
            Ok(value) => {
                self.members.get_or_insert_default().insert(name.to_owned(), value);
                self
            }
            Err(error) => Self::internal(format!("member {name} of a problem: {error}")),
        }
    }

    pub(crate) const fn status(&self) -> StatusCode {
        self.code.status()
    }

    pub(crate) const fn code(&self) -> Code {
        self.code
    }

    /// Returns the value of `WWW-Authenticate` (RFC 6750, section 3). It states an error only if the request had a
    /// token.
    fn challenge(&self) -> Option<HeaderValue> {
        match self.code {
            Code::Unauthenticated | Code::TokenRevoked
                if self.has_invalid_token || self.code == Code::TokenRevoked =>
            {
                let text = format!("Bearer error=\"invalid_token\", error_description=\"{}\"", self.detail);
                Some(HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Bearer")))
            }
            _ if self.status() == StatusCode::UNAUTHORIZED => Some(HeaderValue::from_static("Bearer")),
            _ if self.status() == StatusCode::FORBIDDEN => {
                Some(HeaderValue::from_static("Bearer error=\"insufficient_scope\""))
            }
            _ => None,
        }
    }

    /// Returns the text that is for the log only.
    pub(crate) fn log_text(&self) -> Option<&str> {
        self.internal.as_deref()
    }

    /// Returns the body of the response to the request with this id.
    pub(crate) fn render(&self, request_id: &str) -> Vec<u8> {
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
        body.to_string().into_bytes()
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

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::NotFound(_) => Self::new(Code::NotFound, text),
            Error::Forbidden(_) => Self::new(Code::Forbidden, text),
            Error::ForbiddenChange(problems) => Self::new(Code::Forbidden, text).with("errors", problems),
            Error::Invalid(problems) => Self::invalid(&problems),
            Error::WrongCredentials => Self::new(Code::WrongCredentials, text),
            Error::TokenRevoked => Self::new(Code::TokenRevoked, text),
            Error::Conflict(conflict) => conflict.into(),
            Error::KeyReused => Self::new(Code::IdempotencyKeyReused, text),
            Error::VersionMismatch { current } => {
                Self::new(Code::PreconditionFailed, text).with("current", current)
            }
            Error::Overloaded => Self::new(Code::Overloaded, text),
            Error::Unavailable | Error::WrittenByNewer | Error::ClockSkew(_) | Error::PartsDown(_) => {
                Self::new(Code::Unavailable, text)
            }
            Error::OutcomeUnknown => Self::new(Code::OutcomeUnknown, text),
            Error::Payment(error) => Self::internal(error.to_string()),
            Error::Internal(text) => Self::internal(text),
        }
    }
}

impl From<Conflict> for Problem {
    fn from(conflict: Conflict) -> Self {
        let text = conflict.to_string();
        match conflict {
            Conflict::NotOrderable(obstacles) => not_orderable(text, &obstacles),
            Conflict::TooManyOpenOrders { open, limit } => Self::new(Code::TooManyOpenOrders, text)
                .with("open_orders", open)
                .with("open_orders_limit", limit),
            Conflict::PriceChanged(quote) => {
                Self::new(Code::MenuChanged, text).with("quote", crate::routes::QuoteBody::new(*quote))
            }
            Conflict::IllegalMove { rejection, status, allowed } => {
                let problem = Self::new(code_of(&rejection), text)
                    .with("order_status", status)
                    .with("allowed_actions", allowed);
                match rejection {
                    Rejection::AmountNotRefundable { refundable } => problem.with("refundable", refundable),
                    Rejection::RefundLimit { limit } => problem.with("limit", limit),
                    _ => problem,
                }
            }
            Conflict::TooManyChanges => Self::new(Code::TooManyChanges, text),
            Conflict::Revision { current } => {
                Self::new(Code::PreconditionFailed, text).with("current", current)
            }
            Conflict::StockRevision { current } => {
                let problem = Self::new(Code::PreconditionFailed, text);
                match current {
                    Some(current) => problem.with("current", current),
                    None => problem,
                }
            }
            Conflict::StockNotLimited => Self::new(Code::StockNotLimited, text),
            Conflict::StockOutOfRange { remaining } => {
                Self::new(Code::StockOutOfRange, text).with("remaining", remaining)
            }
            Conflict::ExternalIdTaken { by } => {
                Self::new(Code::ExternalIdTaken, text).with("restaurant_id", by)
            }
            Conflict::AlreadyClosed { since } => Self::new(Code::AlreadyClosed, text).with("since", since),
            Conflict::MenuRevision { current } => Self::new(Code::PreconditionFailed, text)
                .with("current", current.menu)
                .with("current_availability", current.availability),
            Conflict::LastAdmin => Self::new(Code::LastAdmin, text),
            Conflict::EmailTaken => Self::new(Code::EmailTaken, text),
            Conflict::TaskForPeople => Self::new(Code::ReviewNotRetryable, text),
        }
    }
}

impl Code {
    /// Returns the code of the problem when this obstacle refuses an order.
    pub(crate) const fn of_obstacle(obstacle: &Obstacle) -> Self {
        match obstacle {
            Obstacle::NotAccepting(NotAccepting::ClosedPermanently { .. }) => {
                Self::RestaurantClosedPermanently
            }
            Obstacle::NotAccepting(NotAccepting::Paused { .. }) => Self::RestaurantPaused,
            Obstacle::NotAccepting(NotAccepting::Closed { .. }) => Self::RestaurantClosed,
            Obstacle::ItemsUnavailable(_) => Self::ItemsUnavailable,
            Obstacle::BelowMinimum(_) => Self::BelowMinimumOrder,
            Obstacle::CardsNotTaken | Obstacle::NotPayableByCard(_) => Self::NotPayableByCard,
            Obstacle::OutOfStock(_) => Self::OutOfStock,
        }
    }
}

/// Returns the problem of an order that cannot be placed now. The first obstacle determines the code and the members;
/// the problem lists all obstacles like a quote.
fn not_orderable(text: String, obstacles: &[Obstacle]) -> Problem {
    let Some(first) = obstacles.first() else {
        return Problem::internal("an order was refused without an obstacle");
    };
    let code = Code::of_obstacle(first);
    let first = ObstacleBody::from(first);
    Problem::new(code, text)
        .with("since", first.since)
        .with("until", first.until)
        .with("opens_at", first.opens_at)
        .with("items", first.items)
        .with("minimum", first.minimum)
        .with("maximum", first.maximum)
        .with("multiple_of", first.multiple_of)
        .with("amount", first.amount)
        .with("currency", first.currency)
        .with("shortages", first.shortages)
        .with("obstacles", obstacles.iter().map(ObstacleBody::from).collect::<Vec<_>>())
}

const fn code_of(rejection: &Rejection) -> Code {
    match rejection {
        Rejection::AmountNotRefundable { .. } => Code::NothingRefundable,
        Rejection::RefundLimit { .. } => Code::RefundLimit,
        Rejection::Already { command: CommandKind::Accept } => Code::AlreadyAccepted,
        Rejection::Already { command: CommandKind::Reject } => Code::AlreadyRejected,
        Rejection::Already { command: CommandKind::Cancel } => Code::AlreadyCancelled,
        Rejection::Already { command: CommandKind::AssignCourier } => Code::AlreadyAssigned,
        Rejection::Already { command: CommandKind::Deliver } => Code::AlreadyDelivered,
        _ => Code::IllegalMove,
    }
}

/// An item whose stock is lower than the ordered quantity.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Shortage)]
pub(crate) struct ShortageBody {
    /// The item.
    item: dabba_domain::text::Slug,
    /// Remaining stock of the item.
    available: u32,
}

impl ShortageBody {
    pub(crate) fn new(shortage: &StockShortage) -> Self {
        Self { item: shortage.item.clone(), available: shortage.available }
    }
}
