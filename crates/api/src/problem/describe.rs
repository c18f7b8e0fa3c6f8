//! Problems in the API description: their schema, and the sets of refusals that operations share.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use dabba_domain::{
    menu::{UnavailableItem, UnavailableOption},
    order::{AllowedAction, OrderStatus},
};
use dabba_web::problem::CONTENT_TYPE;
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder},
};

use crate::{
    bodies::quotes::{ObstacleBody, QuoteBody, ShortageBody},
    code::{self, Code, CodeName},
};

/// Refusal of a request (RFC 9457). `code` identifies the kind of problem. Each optional member belongs to one or a few kinds.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "it describes what Problem::to_json writes")]
pub(crate) struct ProblemDocument {
    /// `urn:dabba:problem:` followed by the code.
    #[schema(format = "uri")]
    r#type: String,
    /// General description of the problem, for people.
    title: String,
    /// Status of the response.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// Description of this request's problem, for people.
    detail: String,
    code: CodeName,
    /// The request's id, which the server's log shows.
    request_id: String,
    /// `bad_request`: the wrong parameter or header; if several are wrong, the first.
    parameter: Option<String>,
    /// `invalid`: all problems, with their places in the body. `forbidden`: the members of the body that the caller may not
    /// change. `bad_request`: all wrong parameters. At most 100 entries; one more entry states that there are others.
    errors: Option<Vec<InputProblemDocument>>,
    /// `restaurant_closed_permanently`, `already_closed`: time of the closing.
    since: Option<dabba_domain::Timestamp>,
    /// `external_id_taken`: the restaurant that has the external id.
    restaurant_id: Option<dabba_domain::RestaurantId>,
    /// `restaurant_paused`: time at which the pause ends by itself, if it does.
    until: Option<dabba_domain::Timestamp>,
    /// `restaurant_closed`, `restaurant_paused`: first moment at which the restaurant is neither closed nor paused. Absent if the
    /// pause has no end, or if the restaurant never opens.
    opens_at: Option<dabba_domain::Timestamp>,
    /// `below_minimum_order`: minimum subtotal for delivery. `not_payable_by_card`: minimum total that the payment provider
    /// accepts; absent if the provider does not accept the currency, or if the server accepts no cards.
    minimum: Option<dabba_domain::Amount>,
    /// `not_payable_by_card`: maximum total that the payment provider accepts; absent in the same cases as `minimum`.
    maximum: Option<dabba_domain::Amount>,
    /// `not_payable_by_card`: the total must be a multiple of this number; absent in the same cases as `minimum`.
    multiple_of: Option<u32>,
    /// `not_payable_by_card`: the total; absent if the server accepts no cards.
    amount: Option<dabba_domain::Amount>,
    /// `not_payable_by_card`: the currency of these amounts; absent if the server accepts no cards.
    currency: Option<dabba_domain::Currency>,
    /// `items_unavailable`, `items_outside_hours`: the items, each with the time from which it can be ordered again, if that
    /// time is known.
    items: Option<Vec<UnavailableItem>>,
    /// `options_unavailable`: the options, each with the time from which it is available again, if that time is known.
    options: Option<Vec<UnavailableOption>>,
    /// `out_of_stock`: the items of which there is not enough.
    shortages: Option<Vec<ShortageBody>>,
    /// `stock_out_of_range`: the current stock.
    remaining: Option<u32>,
    /// An order that cannot be placed now: all obstacles, as in a quote. This problem is the first of them.
    obstacles: Option<Vec<ObstacleBody>>,
    /// `menu_changed`: the current price.
    quote: Option<QuoteBody>,
    /// `illegal_move`, `already_…`, `nothing_refundable`, `refund_limit`: the order's status.
    order_status: Option<OrderStatus>,
    /// `illegal_move`, `already_…`, `nothing_refundable`, `refund_limit`: the actions that the caller may take instead.
    allowed_actions: Option<Vec<AllowedAction>>,
    /// `nothing_refundable`: the refundable amount.
    refundable: Option<dabba_domain::Amount>,
    /// `refund_limit`: the restaurant's limit for all its refunds of one order.
    limit: Option<dabba_domain::Amount>,
    /// `too_many_open_orders`: number of the account's open orders, including those that are being placed.
    open_orders: Option<u32>,
    /// `too_many_open_orders`: maximum number of open orders of an account.
    open_orders_limit: Option<u32>,
    /// `too_many_api_keys`: maximum number of active API keys of a service account.
    api_keys_limit: Option<u32>,
    /// `too_many_webhook_endpoints`: maximum number of webhook endpoints of the owner.
    webhook_endpoints_limit: Option<u32>,
    /// `too_many_tracking_links`: maximum number of tracking links of an order.
    tracking_links_limit: Option<u32>,
    /// `too_many_requests`: name of the limit that was reached, as in `RateLimit-Policy`.
    policy: Option<String>,
    /// `too_many_requests`: maximum in `window_seconds`: requests, or bytes of bodies.
    quota: Option<u32>,
    /// `too_many_requests`: time for which `quota` is the maximum, in seconds.
    window_seconds: Option<u32>,
    /// `precondition_failed`: the current version or revision.
    current: Option<u32>,
    /// `precondition_failed` of a menu: the current revision of the items' availability.
    current_availability: Option<u32>,
}

/// One problem of a request.
#[derive(ToSchema)]
#[schema(as = InputProblem)]
#[expect(
    dead_code,
    reason = "it describes dabba_domain::InputProblem and what Problem::bad_parameters writes"
)]
pub(crate) struct InputProblemDocument {
    /// Place in the body, as a JSON Pointer (RFC 6901): `/lines/0/quantity`. Empty for the body as a whole. Absent if a parameter
    /// is wrong.
    pointer: Option<String>,
    /// Name of the wrong parameter. Absent if the body is wrong.
    parameter: Option<String>,
    /// Description of the problem, for people.
    detail: String,
}

/// Returns the responses that report problems with these codes, by status.
fn responses_of(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    let mut names: BTreeMap<StatusCode, Vec<String>> = BTreeMap::new();
    for code in codes {
        names.entry(code.status()).or_default().push(format!("`{}`: {}.", code.as_str(), code.title()));
    }
    let response = |(status, names): (StatusCode, Vec<String>)| {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new().description(names.join(" ")).content(CONTENT_TYPE, content);
        (status.as_str().to_owned(), RefOr::T(response.build()))
    };
    names.into_iter().map(response).collect()
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident: $($code:ident)*;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                responses_of(&[$(code::$code),*])
            }
        }
    )*};
}

refusals! {
    /// Refusals of every operation that uses the store.
    Failures: INTERNAL UNAVAILABLE;
    /// Refusals of every operation that writes.
    WriteFailures: INTERNAL OVERLOADED UNAVAILABLE OUTCOME_UNKNOWN;
    /// Refusals of every write by certain callers to something that may not exist.
    NotWritten: UNAUTHENTICATED TOKEN_REVOKED FORBIDDEN NOT_FOUND INTERNAL OVERLOADED UNAVAILABLE OUTCOME_UNKNOWN;
    /// Refusals of the token of a request: a required token is absent, or any token is invalid or revoked.
    Unauthenticated: UNAUTHENTICATED TOKEN_REVOKED;
    /// Refusals of operations for certain callers.
    NotAllowed: FORBIDDEN;
    /// Refusals of operations on something that may not exist.
    Missing: NOT_FOUND;
    /// Refusals of operations with query parameters or headers.
    BadParameter: BAD_REQUEST;
    /// Refusals of operations with a body.
    BadBody: MALFORMED_JSON PAYLOAD_TOO_LARGE UNSUPPORTED_MEDIA_TYPE INVALID;
    /// Refusals of operations with parameters and a body.
    BadParameterOrBody: BAD_REQUEST MALFORMED_JSON PAYLOAD_TOO_LARGE UNSUPPORTED_MEDIA_TYPE INVALID;
    /// Refusals of placing an order.
    NotPlaced: BAD_REQUEST MALFORMED_JSON IDEMPOTENCY_KEY_MISSING IDEMPOTENCY_KEY_INVALID PAYLOAD_TOO_LARGE
        UNSUPPORTED_MEDIA_TYPE INVALID IDEMPOTENCY_KEY_REUSED RESTAURANT_PAUSED RESTAURANT_CLOSED
        RESTAURANT_CLOSED_PERMANENTLY OUTSIDE_DELIVERY_ZONES BELOW_MINIMUM_ORDER NOT_PAYABLE_BY_CARD ITEMS_UNAVAILABLE
        ITEMS_OUTSIDE_HOURS OPTIONS_UNAVAILABLE OUT_OF_STOCK
        TOO_MANY_OPEN_ORDERS MENU_CHANGED TOO_MANY_CHANGES;
    /// Refusals of commands without a body.
    NotMoved: BAD_REQUEST IDEMPOTENCY_KEY_INVALID IDEMPOTENCY_KEY_REUSED ILLEGAL_MOVE TOO_MANY_CHANGES
        PRECONDITION_FAILED;
    /// Refusals of an acceptance.
    NotAccepted: BAD_REQUEST MALFORMED_JSON IDEMPOTENCY_KEY_INVALID PAYLOAD_TOO_LARGE UNSUPPORTED_MEDIA_TYPE
        INVALID IDEMPOTENCY_KEY_REUSED ILLEGAL_MOVE ALREADY_ACCEPTED TOO_MANY_CHANGES PRECONDITION_FAILED;
    /// Refusals of a rejection.
    NotRejected: BAD_REQUEST MALFORMED_JSON IDEMPOTENCY_KEY_INVALID PAYLOAD_TOO_LARGE UNSUPPORTED_MEDIA_TYPE
        INVALID IDEMPOTENCY_KEY_REUSED ILLEGAL_MOVE ALREADY_REJECTED TOO_MANY_CHANGES PRECONDITION_FAILED;
    /// Refusals of a cancellation.
    NotCancelled: BAD_REQUEST MALFORMED_JSON IDEMPOTENCY_KEY_INVALID PAYLOAD_TOO_LARGE UNSUPPORTED_MEDIA_TYPE
        INVALID IDEMPOTENCY_KEY_REUSED ILLEGAL_MOVE ALREADY_CANCELLED TOO_MANY_CHANGES PRECONDITION_FAILED;
    /// Refusals of a cancellation with a tracking link.
    NotCancelledByLink: BAD_REQUEST MALFORMED_JSON FORBIDDEN IDEMPOTENCY_KEY_INVALID PAYLOAD_TOO_LARGE
        UNSUPPORTED_MEDIA_TYPE INVALID IDEMPOTENCY_KEY_REUSED ILLEGAL_MOVE ALREADY_CANCELLED TOO_MANY_CHANGES
        PRECONDITION_FAILED TOO_MANY_REQUESTS;
    /// Refusals of the creation of a tracking link.
    NoTrackingLink: TOO_MANY_TRACKING_LINKS TRACKING_ENDED;
    /// Refusals of an assignment.
    NotAssigned: BAD_REQUEST MALFORMED_JSON IDEMPOTENCY_KEY_INVALID PAYLOAD_TOO_LARGE UNSUPPORTED_MEDIA_TYPE
        INVALID IDEMPOTENCY_KEY_REUSED ILLEGAL_MOVE ALREADY_ASSIGNED TOO_MANY_CHANGES PRECONDITION_FAILED;
    /// Refusals of a delivery.
    NotDelivered: BAD_REQUEST MALFORMED_JSON IDEMPOTENCY_KEY_INVALID PAYLOAD_TOO_LARGE UNSUPPORTED_MEDIA_TYPE
        INVALID IDEMPOTENCY_KEY_REUSED ILLEGAL_MOVE ALREADY_DELIVERED TOO_MANY_CHANGES PRECONDITION_FAILED;
    /// Refusals of a refund.
    NotRefunded: BAD_REQUEST MALFORMED_JSON IDEMPOTENCY_KEY_INVALID PAYLOAD_TOO_LARGE UNSUPPORTED_MEDIA_TYPE
        INVALID IDEMPOTENCY_KEY_REUSED ILLEGAL_MOVE NOTHING_REFUNDABLE REFUND_LIMIT TOO_MANY_CHANGES
        PRECONDITION_FAILED;
    /// Refusals of a payment provider's webhook.
    NotReported: BAD_REQUEST PAYLOAD_TOO_LARGE;
    /// Refusals of changes that must name the version that they replace.
    NotReplaced: PRECONDITION_FAILED PRECONDITION_REQUIRED TOO_MANY_CHANGES;
    /// Refusals of changes that may name the revision that they replace.
    NotAtRevision: PRECONDITION_FAILED;
    /// Refusals of an adjustment of stock.
    NotAdjusted: BAD_REQUEST MALFORMED_JSON IDEMPOTENCY_KEY_MISSING IDEMPOTENCY_KEY_INVALID PAYLOAD_TOO_LARGE
        UNSUPPORTED_MEDIA_TYPE INVALID IDEMPOTENCY_KEY_REUSED STOCK_NOT_LIMITED STOCK_OUT_OF_RANGE PRECONDITION_FAILED;
    /// Refusals of a change without a body if its subject is of the wrong kind.
    NotFitting: INVALID;
    /// Refusals of a retry of a parked task.
    NotRetried: REVIEW_NOT_RETRYABLE;
    /// Refusals of a registration.
    NotRegistered: BAD_REQUEST MALFORMED_JSON IDEMPOTENCY_KEY_INVALID PAYLOAD_TOO_LARGE UNSUPPORTED_MEDIA_TYPE INVALID
        IDEMPOTENCY_KEY_REUSED EMAIL_TAKEN TOO_MANY_REQUESTS;
    /// Refusals of the creation of a service account.
    NoServiceAccount: BAD_REQUEST MALFORMED_JSON IDEMPOTENCY_KEY_INVALID PAYLOAD_TOO_LARGE UNSUPPORTED_MEDIA_TYPE INVALID
        IDEMPOTENCY_KEY_REUSED;
    /// Refusals of the creation of an API key.
    NoApiKey: BAD_REQUEST MALFORMED_JSON IDEMPOTENCY_KEY_INVALID PAYLOAD_TOO_LARGE UNSUPPORTED_MEDIA_TYPE INVALID
        IDEMPOTENCY_KEY_REUSED TOO_MANY_API_KEYS;
    /// Refusals of the creation of a webhook endpoint.
    NoWebhookEndpoint: BAD_REQUEST MALFORMED_JSON IDEMPOTENCY_KEY_INVALID PAYLOAD_TOO_LARGE UNSUPPORTED_MEDIA_TYPE INVALID
        IDEMPOTENCY_KEY_REUSED TOO_MANY_WEBHOOK_ENDPOINTS;
    /// Refusals of the deletion of a webhook endpoint.
    NotRemoved: BAD_REQUEST PRECONDITION_FAILED TOO_MANY_CHANGES;
    /// Refusals of the creation of a restaurant.
    NotCreated: BAD_REQUEST MALFORMED_JSON IDEMPOTENCY_KEY_INVALID PAYLOAD_TOO_LARGE UNSUPPORTED_MEDIA_TYPE INVALID
        IDEMPOTENCY_KEY_REUSED EXTERNAL_ID_TAKEN;
    /// Refusals of changes that may have a key and name the revision or version that they replace.
    NotUpdated: BAD_REQUEST MALFORMED_JSON IDEMPOTENCY_KEY_INVALID PAYLOAD_TOO_LARGE UNSUPPORTED_MEDIA_TYPE INVALID
        IDEMPOTENCY_KEY_REUSED PRECONDITION_FAILED TOO_MANY_CHANGES;
    /// Refusals of closing a restaurant permanently.
    NotClosed: BAD_REQUEST MALFORMED_JSON IDEMPOTENCY_KEY_INVALID PAYLOAD_TOO_LARGE UNSUPPORTED_MEDIA_TYPE INVALID
        IDEMPOTENCY_KEY_REUSED ALREADY_CLOSED TOO_MANY_CHANGES;
    /// Refusals of reopening a permanently closed restaurant.
    NotReopened: IDEMPOTENCY_KEY_INVALID IDEMPOTENCY_KEY_REUSED TOO_MANY_CHANGES;
    /// Refusals of a change of an account.
    NotChanged: BAD_REQUEST MALFORMED_JSON IDEMPOTENCY_KEY_INVALID PAYLOAD_TOO_LARGE UNSUPPORTED_MEDIA_TYPE INVALID
        IDEMPOTENCY_KEY_REUSED LAST_ADMIN PRECONDITION_FAILED TOO_MANY_CHANGES;
    /// Refusals of operations with a position in the feed or in a stream.
    Expired: CURSOR_EXPIRED;
    /// Refusals of streams and of requests that wait.
    TooManyStreams: TOO_MANY_REQUESTS OVERLOADED;
    /// Refusals of operations with a rate limit.
    TooOften: TOO_MANY_REQUESTS;
    /// Refusals of the deletion of an account.
    NotDeleted: BAD_REQUEST LAST_ADMIN PRECONDITION_FAILED;
    /// Refusals of the revocation of tokens.
    NotRevoked: IDEMPOTENCY_KEY_INVALID IDEMPOTENCY_KEY_REUSED;
    /// Refusals of a login with a session.
    NotLoggedIn: WRONG_CREDENTIALS TOO_MANY_REQUESTS INSECURE_LOGIN CROSS_SITE_REQUEST;
    /// Refusals of a logout.
    NotLoggedOut: CROSS_SITE_REQUEST TOO_MANY_REQUESTS;
    /// Refusals of the creation of a login link.
    NoLoginLink: INVALID;
    /// Refusals of a login.
    NotAuthenticated: WRONG_CREDENTIALS TOO_MANY_REQUESTS;
}
