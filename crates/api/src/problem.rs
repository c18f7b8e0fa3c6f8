//! Refusals of the API: the problem of each conflict, and the sets of refusals that operations share.

mod describe;

use axum::response::{IntoResponse, Response};
use dabba_domain::order::Rejection;
use dabba_engine::{Conflict, Error, Obstacle};
use dabba_web::Problem;

pub(crate) use self::describe::*;
use crate::{
    bodies::quotes::{ObstacleBody, QuoteBody},
    code,
};

/// The reason why the API refuses a request. Errors of the engine convert into it.
#[derive(Clone, Debug)]
pub(crate) struct ApiProblem(Problem);

/// A handler's result.
pub(crate) type Result<T, E = ApiProblem> = std::result::Result<T, E>;

impl From<Problem> for ApiProblem {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<Error> for ApiProblem {
    fn from(error: Error) -> Self {
        Problem::of_error(error).map_or_else(Self::from, Self)
    }
}

impl IntoResponse for ApiProblem {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl From<Conflict> for ApiProblem {
    fn from(conflict: Conflict) -> Self {
        let text = conflict.to_string();
        let problem = match conflict {
            Conflict::NotOrderable(obstacles) => not_orderable(text, &obstacles),
            Conflict::TooManyOpenOrders { open, limit } => Problem::new(code::TOO_MANY_OPEN_ORDERS, text)
                .with("open_orders", open)
                .with("open_orders_limit", limit),
            Conflict::PriceChanged(quote) => {
                Problem::new(code::MENU_CHANGED, text).with("quote", QuoteBody::new(*quote))
            }
            Conflict::IllegalMove { rejection, status, allowed } => {
                let problem = Problem::new(code::of_rejection(&rejection), text)
                    .with("order_status", status)
                    .with("allowed_actions", allowed);
                match rejection {
                    Rejection::AmountNotRefundable { refundable } => problem.with("refundable", refundable),
                    Rejection::RefundLimit { limit } => problem.with("limit", limit),
                    _ => problem,
                }
            }
            Conflict::TooManyChanges => Problem::new(code::TOO_MANY_CHANGES, text),
            Conflict::Revision { current } => {
                Problem::new(code::PRECONDITION_FAILED, text).with("current", current)
            }
            Conflict::StockRevision { current } => {
                let problem = Problem::new(code::PRECONDITION_FAILED, text);
                match current {
                    Some(current) => problem.with("current", current),
                    None => problem,
                }
            }
            Conflict::StockNotLimited => Problem::new(code::STOCK_NOT_LIMITED, text),
            Conflict::StockOutOfRange { remaining } => {
                Problem::new(code::STOCK_OUT_OF_RANGE, text).with("remaining", remaining)
            }
            Conflict::ExternalIdTaken { by } => {
                Problem::new(code::EXTERNAL_ID_TAKEN, text).with("restaurant_id", by)
            }
            Conflict::AlreadyClosed { since } => {
                Problem::new(code::ALREADY_CLOSED, text).with("since", since)
            }
            Conflict::MenuRevision { current } => Problem::new(code::PRECONDITION_FAILED, text)
                .with("current", current.menu)
                .with("current_availability", current.availability),
            Conflict::LastAdmin => Problem::new(code::LAST_ADMIN, text),
            Conflict::TooManyApiKeys { limit } => {
                Problem::new(code::TOO_MANY_API_KEYS, text).with("api_keys_limit", limit)
            }
            Conflict::TooManyWebhookEndpoints { limit } => {
                Problem::new(code::TOO_MANY_WEBHOOK_ENDPOINTS, text).with("webhook_endpoints_limit", limit)
            }
            Conflict::TooManyTrackingLinks { limit } => {
                Problem::new(code::TOO_MANY_TRACKING_LINKS, text).with("tracking_links_limit", limit)
            }
            Conflict::TrackingEnded => Problem::new(code::TRACKING_ENDED, text),
            Conflict::CursorExpired(_) => Problem::new(code::CURSOR_EXPIRED, text),
            Conflict::EmailTaken => Problem::new(code::EMAIL_TAKEN, text),
            Conflict::TaskNeedsAdmin => Problem::new(code::REVIEW_NOT_RETRYABLE, text),
        };
        Self(problem)
    }
}

/// Returns the problem of an order that cannot be placed now. The first obstacle determines the code and the members;
/// the problem lists all obstacles like a quote.
fn not_orderable(text: String, obstacles: &[Obstacle]) -> Problem {
    let Some(first) = obstacles.first() else {
        return Problem::internal("an order was refused without an obstacle");
    };
    let code = code::of_obstacle(first);
    let first = ObstacleBody::from(first);
    Problem::new(code, text)
        .with("since", first.since)
        .with("until", first.until)
        .with("opens_at", first.opens_at)
        .with("items", first.items)
        .with("options", first.options)
        .with("minimum", first.minimum)
        .with("maximum", first.maximum)
        .with("multiple_of", first.multiple_of)
        .with("amount", first.amount)
        .with("currency", first.currency)
        .with("shortages", first.shortages)
        .with("obstacles", obstacles.iter().map(ObstacleBody::from).collect::<Vec<_>>())
}
