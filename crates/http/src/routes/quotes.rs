//! What a cart would cost.

use std::sync::Arc;

use axum::{Json, extract::State};
use dabba_domain::{
    Amount, Currency, RestaurantId, Timestamp,
    pricing::{Amounts, Cart, OrderLine},
    restaurant::NotAccepting,
};
use dabba_engine::Quote;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    extract::{InPath, JsonBody},
    problem::{BadBody, Code, Failures, Missing, NotPriced, Result, ShortageBody},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(quote))
}

/// What a cart costs now, and what stands in the way of ordering it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quote)]
pub(crate) struct QuoteBody {
    lines: Vec<OrderLine>,
    /// The currency of every amount.
    currency: Currency,
    amounts: Amounts,
    /// The menu from which this was priced.
    menu_revision: u32,
    /// Whether it could be ordered now.
    orderable: bool,
    /// Why it could not.
    obstacles: Vec<ObstacleBody>,
}

/// Something that stands in the way of an order. Placing it would be refused with a problem of the
/// same code and the same members.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Obstacle)]
struct ObstacleBody {
    /// The code of the problem.
    #[schema(value_type = crate::problem::CodeName)]
    code: &'static str,
    /// What it is, for a person.
    detail: String,
    /// `restaurant_closed_permanently`: since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    /// `restaurant_paused`: when the pause ends by itself, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    /// `restaurant_closed`, `restaurant_paused`: the first moment at which the restaurant is neither closed nor
    /// paused. Absent if the pause has no end, or if the restaurant never opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    opens_at: Option<Timestamp>,
    /// `below_minimum_order`: the smallest subtotal that is delivered. `not_payable_by_card`: the smallest total
    /// that the payment provider accepts; absent where it does not accept the currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum: Option<Amount>,
    /// `not_payable_by_card`: of what the total has to be a multiple; absent where the payment provider does not
    /// accept the currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    multiple_of: Option<u32>,
    /// `not_payable_by_card`: the total.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Amount>,
    /// `not_payable_by_card`: the currency of these amounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<Currency>,
    /// `out_of_stock`: what there is not enough of.
    #[serde(skip_serializing_if = "Option::is_none")]
    shortages: Option<Vec<ShortageBody>>,
}

impl ObstacleBody {
    fn new(code: Code, detail: &impl ToString) -> Self {
        let (code, detail) = (code.as_str(), detail.to_string());
        Self {
            code,
            detail,
            since: None,
            until: None,
            opens_at: None,
            minimum: None,
            multiple_of: None,
            amount: None,
            currency: None,
            shortages: None,
        }
    }
}

impl QuoteBody {
    pub(crate) fn new(quote: Quote) -> Self {
        let mut obstacles = Vec::new();
        match quote.not_accepting {
            None => {}
            Some(reason @ NotAccepting::ClosedPermanently { since }) => obstacles.push(ObstacleBody {
                since: Some(since),
                ..ObstacleBody::new(Code::RestaurantClosedPermanently, &reason)
            }),
            Some(reason @ NotAccepting::Paused { until, opens_at }) => {
                obstacles.push(ObstacleBody {
                    until,
                    opens_at,
                    ..ObstacleBody::new(Code::RestaurantPaused, &reason)
                });
            }
            Some(reason @ NotAccepting::Closed { opens_at }) => {
                obstacles
                    .push(ObstacleBody { opens_at, ..ObstacleBody::new(Code::RestaurantClosed, &reason) });
            }
        }
        if let Some(below) = quote.below_minimum {
            let minimum = Some(below.minimum);
            obstacles.push(ObstacleBody { minimum, ..ObstacleBody::new(Code::BelowMinimumOrder, &below) });
        }
        if let Some(refusal) = quote.not_payable {
            obstacles.push(ObstacleBody {
                minimum: refusal.rules.map(|rules| rules.minimum),
                multiple_of: refusal.rules.map(|rules| rules.multiple_of.get()),
                amount: Some(refusal.amount),
                currency: Some(refusal.currency),
                ..ObstacleBody::new(Code::NotPayableByCard, &refusal)
            });
        }
        if !quote.shortages.is_empty() {
            let shortages = Some(quote.shortages.iter().map(ShortageBody::new).collect());
            obstacles.push(ObstacleBody {
                shortages,
                ..ObstacleBody::new(Code::OutOfStock, &"there is not enough in stock")
            });
        }
        Self {
            lines: quote.lines,
            currency: quote.currency,
            amounts: quote.amounts,
            menu_revision: quote.menu_revision,
            orderable: obstacles.is_empty(),
            obstacles,
        }
    }
}

/// Prices a cart
///
/// For everyone. Nothing is ordered or set aside.
#[utoipa::path(
    post, path = "/v1/restaurants/{restaurant_id}/quotes", tag = "orders", operation_id = "quote",
    params(("restaurant_id" = RestaurantId, Path, description = "The restaurant.")),
    request_body = Cart,
    responses(
        (status = 200, description = "The price, and what stands in the way of ordering.", body = QuoteBody),
        Missing, BadBody, NotPriced, Failures,
    ),
    security(()),
)]
async fn quote(
    State(app): State<Arc<App>>,
    InPath(restaurant_id): InPath<RestaurantId>,
    JsonBody(cart): JsonBody<Cart>,
) -> Result<Json<QuoteBody>> {
    Ok(Json(QuoteBody::new(app.engine.quote(restaurant_id, (&cart).into(), cart.payment_method).await?)))
}
