//! Problems in the API description: the schema, and the sets of refusals that operations share.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use dabba_domain::{
    menu::UnavailableItem,
    order::{AllowedAction, OrderStatus},
};
use utoipa::{
    IntoResponses, PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Schema,
        schema::{SchemaType, Type},
    },
};

use super::{CONTENT_TYPE, Code, ShortageBody};
use crate::routes::{ObstacleBody, QuoteBody};

/// Why a request was refused (RFC 9457). `code` says what kind of problem it is; the members that are
/// not always there belong to one or a few kinds.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "it describes what Problem::render writes")]
pub(crate) struct ProblemDocument {
    /// `urn:dabba:problem:` and the code.
    #[schema(format = "uri")]
    r#type: String,
    /// What kind of problem it is, for a person.
    title: String,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong with this request, for a person.
    detail: String,
    code: CodeName,
    /// The request, as the server's log names it.
    request_id: String,
    /// `bad_request`: the parameter or header that is wrong; of several, the first.
    parameter: Option<String>,
    /// `invalid`: everything that is wrong, and where in the body. `forbidden`: what of the body the
    /// caller may not change. `bad_request`: every parameter that is wrong. At most 100 entries; one more says that there
    /// are others.
    errors: Option<Vec<InputProblemDocument>>,
    /// `restaurant_closed_permanently`, `already_closed`: since when.
    since: Option<dabba_domain::Timestamp>,
    /// `external_id_taken`: the restaurant that has it.
    restaurant_id: Option<dabba_domain::RestaurantId>,
    /// `restaurant_paused`: when the pause ends by itself, if it does.
    until: Option<dabba_domain::Timestamp>,
    /// `restaurant_closed`, `restaurant_paused`: the first moment at which the restaurant is neither closed nor
    /// paused. Absent if the pause has no end, or if the restaurant never opens.
    opens_at: Option<dabba_domain::Timestamp>,
    /// `below_minimum_order`: the smallest subtotal that is delivered. `not_payable_by_card`: the smallest total
    /// that the payment provider accepts; absent if the provider does not accept the currency, or if the server takes
    /// no cards.
    minimum: Option<dabba_domain::Amount>,
    /// `not_payable_by_card`: the largest total that the payment provider accepts; absent as `minimum` is.
    maximum: Option<dabba_domain::Amount>,
    /// `not_payable_by_card`: the total must be a multiple of this number; absent as `minimum` is.
    multiple_of: Option<u32>,
    /// `not_payable_by_card`: the total; absent if the server takes no cards.
    amount: Option<dabba_domain::Amount>,
    /// `not_payable_by_card`: the currency of these amounts; absent if the server takes no cards.
    currency: Option<dabba_domain::Currency>,
    /// `items_unavailable`: the items, each with the time from which it can be ordered again, if that is known.
    items: Option<Vec<UnavailableItem>>,
    /// `out_of_stock`: what there is not enough of.
    shortages: Option<Vec<ShortageBody>>,
    /// `stock_out_of_range`: how many there are.
    remaining: Option<u32>,
    /// Of an order that cannot be placed now: every obstacle, as in a quote. The first is this problem.
    obstacles: Option<Vec<ObstacleBody>>,
    /// `menu_changed`: the price now.
    quote: Option<QuoteBody>,
    /// `illegal_move`, `already_…`, `nothing_refundable`, `refund_limit`: the order's status.
    order_status: Option<OrderStatus>,
    /// `illegal_move`, `already_…`, `nothing_refundable`, `refund_limit`: what the caller may do instead.
    allowed_actions: Option<Vec<AllowedAction>>,
    /// `nothing_refundable`: what is left to refund.
    refundable: Option<dabba_domain::Amount>,
    /// `refund_limit`: the restaurant's limit for all its refunds of one order.
    limit: Option<dabba_domain::Amount>,
    /// `too_many_open_orders`: number of the account's open orders, those that are being placed included.
    open_orders: Option<u32>,
    /// `too_many_open_orders`: maximum number of open orders of an account.
    open_orders_limit: Option<u32>,
    /// `too_many_requests`: the limit that was reached, as `RateLimit-Policy` names it.
    policy: Option<String>,
    /// `too_many_requests`: what the limit allows in `window_seconds`: requests, or bytes of bodies.
    quota: Option<u32>,
    /// `too_many_requests`: the time for which `quota` is the maximum, in seconds.
    window_seconds: Option<u32>,
    /// `precondition_failed`: the version or revision that holds.
    current: Option<u32>,
    /// `precondition_failed` of a menu: the revision of the items' availability that holds.
    current_availability: Option<u32>,
}

/// One thing that is wrong with a request.
#[derive(ToSchema)]
#[schema(as = InputProblem)]
#[expect(dead_code, reason = "it describes dabba_domain::InputProblem and what Problem::bad_parameters writes")]
pub(crate) struct InputProblemDocument {
    /// Where in the body, as a JSON Pointer (RFC 6901): `/lines/0/quantity`. Empty for the body as a whole. Absent
    /// if a parameter is wrong.
    pointer: Option<String>,
    /// The parameter that is wrong, by its name. Absent if the body is wrong.
    parameter: Option<String>,
    /// What is wrong, for a person.
    detail: String,
}

/// The names of the kinds.
pub(crate) struct CodeName;

impl PartialSchema for CodeName {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::String))
            .description(Some("What kind of problem it is. The names never change; new ones may come."))
            .enum_values(Some(Code::ALL.iter().map(|code| code.as_str())))
            .into()
    }
}
impl ToSchema for CodeName {
    fn name() -> std::borrow::Cow<'static, str> {
        "ProblemCode".into()
    }
}

/// The answers with which these kinds of problems are told.
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
                responses_of(&[$(Code::$code),*])
            }
        }
    )*};
}

refusals! {
    /// Of every operation that asks the store.
    Failures: Internal Unavailable;
    /// Of every operation that writes.
    WriteFailures: Internal Overloaded Unavailable OutcomeUnknown;
    /// Of operations that need a token.
    NotSignedIn: Unauthenticated TokenRevoked;
    /// Of operations that look at a token when there is one.
    BadToken: Unauthenticated TokenRevoked;
    /// Of operations for certain callers.
    NotAllowed: Forbidden;
    /// Of operations on something that may not be there.
    Missing: NotFound;
    /// Of operations with parameters in the query or in headers.
    BadParameter: BadRequest;
    /// Of operations with a body.
    BadBody: MalformedJson PayloadTooLarge UnsupportedMediaType Invalid;
    /// Of operations with parameters and a body.
    BadParameterOrBody: BadRequest MalformedJson PayloadTooLarge UnsupportedMediaType Invalid;
    /// Of placing an order.
    NotPlaced: BadRequest MalformedJson IdempotencyKeyMissing IdempotencyKeyInvalid PayloadTooLarge
        UnsupportedMediaType Invalid IdempotencyKeyReused RestaurantPaused RestaurantClosed
        RestaurantClosedPermanently BelowMinimumOrder NotPayableByCard ItemsUnavailable OutOfStock TooManyOpenOrders
        MenuChanged TooManyChanges;
    /// Of commands without a body.
    NotMoved: BadRequest IdempotencyKeyInvalid IdempotencyKeyReused IllegalMove TooManyChanges
        PreconditionFailed;
    /// Of an acceptance.
    NotAccepted: BadRequest MalformedJson IdempotencyKeyInvalid PayloadTooLarge UnsupportedMediaType
        Invalid IdempotencyKeyReused IllegalMove AlreadyAccepted TooManyChanges PreconditionFailed;
    /// Of a rejection.
    NotRejected: BadRequest MalformedJson IdempotencyKeyInvalid PayloadTooLarge UnsupportedMediaType
        Invalid IdempotencyKeyReused IllegalMove AlreadyRejected TooManyChanges PreconditionFailed;
    /// Of a cancellation.
    NotCancelled: BadRequest MalformedJson IdempotencyKeyInvalid PayloadTooLarge UnsupportedMediaType
        Invalid IdempotencyKeyReused IllegalMove AlreadyCancelled TooManyChanges PreconditionFailed;
    /// Of an assignment.
    NotAssigned: BadRequest MalformedJson IdempotencyKeyInvalid PayloadTooLarge UnsupportedMediaType
        Invalid IdempotencyKeyReused IllegalMove AlreadyAssigned TooManyChanges PreconditionFailed;
    /// Of a delivery.
    NotDelivered: BadRequest MalformedJson IdempotencyKeyInvalid PayloadTooLarge UnsupportedMediaType
        Invalid IdempotencyKeyReused IllegalMove AlreadyDelivered TooManyChanges PreconditionFailed;
    /// Of a refund.
    NotRefunded: BadRequest MalformedJson IdempotencyKeyInvalid PayloadTooLarge UnsupportedMediaType
        Invalid IdempotencyKeyReused IllegalMove NothingRefundable RefundLimit TooManyChanges
        PreconditionFailed;
    /// Of a report by a payment provider.
    NotReported: BadRequest PayloadTooLarge;
    /// Of changes that have to name what they replace.
    NotReplaced: PreconditionFailed PreconditionRequired TooManyChanges;
    /// Of a change that may name the revision on which it rests.
    NotAtRevision: PreconditionFailed;
    /// Of an adjustment of stock.
    NotAdjusted: BadRequest MalformedJson IdempotencyKeyMissing IdempotencyKeyInvalid PayloadTooLarge
        UnsupportedMediaType Invalid IdempotencyKeyReused StockNotLimited StockOutOfRange PreconditionFailed;
    /// Of a change without a body whose subject is of the wrong kind.
    NotFitting: Invalid;
    /// Of a retry of a parked task.
    NotRetried: ReviewNotRetryable;
    /// Of a registration.
    NotRegistered: BadRequest MalformedJson IdempotencyKeyInvalid PayloadTooLarge UnsupportedMediaType Invalid
        IdempotencyKeyReused EmailTaken TooManyRequests;
    /// Of the registration of a restaurant.
    NotCreated: BadRequest MalformedJson IdempotencyKeyInvalid PayloadTooLarge UnsupportedMediaType Invalid
        IdempotencyKeyReused ExternalIdTaken;
    /// Of changes of a restaurant that may name a key and the revision on which they rest.
    NotUpdated: BadRequest MalformedJson IdempotencyKeyInvalid PayloadTooLarge UnsupportedMediaType Invalid
        IdempotencyKeyReused PreconditionFailed TooManyChanges;
    /// Of closing a restaurant permanently.
    NotClosed: BadRequest MalformedJson IdempotencyKeyInvalid PayloadTooLarge UnsupportedMediaType Invalid
        IdempotencyKeyReused AlreadyClosed TooManyChanges;
    /// Of opening a restaurant that was closed permanently.
    NotReopened: IdempotencyKeyInvalid IdempotencyKeyReused TooManyChanges;
    /// Of a change of an account.
    NotChanged: BadRequest MalformedJson IdempotencyKeyInvalid PayloadTooLarge UnsupportedMediaType Invalid
        IdempotencyKeyReused LastAdmin PreconditionFailed TooManyChanges;
    /// Of what can be done so often only.
    TooOften: TooManyRequests;
    /// Of the deletion of an account.
    NotDeleted: BadRequest LastAdmin PreconditionFailed;
    /// Of revoking tokens.
    NotRevoked: IdempotencyKeyInvalid IdempotencyKeyReused;
    /// Of asking for a token.
    NotAuthenticated: WrongCredentials TooManyRequests;
}
