//! Quotes: the price of a cart.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::request::Parts,
};
use dabba_domain::{
    Amount, Currency, RestaurantId, Timestamp,
    menu::UnavailableItem,
    pricing::{Amounts, Cart, OrderLine},
    restaurant::NotAccepting,
};
use dabba_engine::{Obstacle, Quote};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    extract::{InPath, JsonBody},
    limit::ClientAddress,
    problem::{BadBody, Code, Failures, Missing, Problem, Result, ShortageBody},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(quote))
}

/// Price of a cart now, with the obstacles to ordering it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quote)]
pub(crate) struct QuoteBody {
    lines: Vec<OrderLine>,
    /// The currency of every amount.
    currency: Currency,
    amounts: Amounts,
    /// Revision of the menu from which the cart was priced.
    menu_revision: u32,
    /// Whether the cart could be ordered now.
    orderable: bool,
    /// The reasons why the cart cannot be ordered now.
    obstacles: Vec<ObstacleBody>,
}

/// An obstacle to an order. The server would refuse to place the order, with a problem that has the same code and the
/// same members.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Obstacle)]
pub(crate) struct ObstacleBody {
    /// The code of the problem.
    #[schema(value_type = crate::problem::CodeName)]
    code: &'static str,
    /// Description of the obstacle, for people.
    detail: String,
    /// `restaurant_closed_permanently`: time of the closing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Timestamp>,
    /// `restaurant_paused`: time at which the pause ends by itself, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<Timestamp>,
    /// `restaurant_closed`, `restaurant_paused`: first moment at which the restaurant is neither closed nor paused.
    /// Absent if the pause has no end, or if the restaurant never opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) opens_at: Option<Timestamp>,
    /// `items_unavailable`: the items, each with the time from which it is available again, if that time is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) items: Option<Vec<UnavailableItem>>,
    /// `below_minimum_order`: minimum subtotal for delivery. `not_payable_by_card`: minimum total that the payment
    /// provider accepts; absent if the provider does not accept the currency, or if the server takes no cards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) minimum: Option<Amount>,
    /// `not_payable_by_card`: maximum total that the payment provider accepts; absent in the same cases as `minimum`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) maximum: Option<Amount>,
    /// `not_payable_by_card`: the total must be a multiple of this number; absent in the same cases as `minimum`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) multiple_of: Option<u32>,
    /// `not_payable_by_card`: the total; absent if the server takes no cards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) amount: Option<Amount>,
    /// `not_payable_by_card`: the currency of these amounts; absent if the server takes no cards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) currency: Option<Currency>,
    /// `out_of_stock`: the items of which there is not enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shortages: Option<Vec<ShortageBody>>,
}

impl From<&Obstacle> for ObstacleBody {
    fn from(obstacle: &Obstacle) -> Self {
        let body = Self {
            code: Code::of_obstacle(obstacle).as_str(),
            detail: obstacle.to_string(),
            since: None,
            until: None,
            opens_at: None,
            items: None,
            minimum: None,
            maximum: None,
            multiple_of: None,
            amount: None,
            currency: None,
            shortages: None,
        };
        match obstacle {
            Obstacle::NotAccepting(NotAccepting::ClosedPermanently { since }) => {
                Self { since: Some(*since), ..body }
            }
            Obstacle::NotAccepting(NotAccepting::Paused { until, opens_at }) => {
                Self { until: *until, opens_at: *opens_at, ..body }
            }
            Obstacle::NotAccepting(NotAccepting::Closed { opens_at }) => Self { opens_at: *opens_at, ..body },
            Obstacle::ItemsUnavailable(items) => Self { items: Some(items.clone()), ..body },
            Obstacle::BelowMinimum(below) => Self { minimum: Some(below.minimum), ..body },
            Obstacle::CardsNotTaken => body,
            Obstacle::NotPayableByCard(refusal) => Self {
                minimum: refusal.rules.map(|rules| rules.minimum),
                maximum: refusal.rules.map(|rules| rules.maximum),
                multiple_of: refusal.rules.map(|rules| rules.multiple_of.get()),
                amount: Some(refusal.amount),
                currency: Some(refusal.currency),
                ..body
            },
            Obstacle::OutOfStock(shortages) => {
                Self { shortages: Some(shortages.iter().map(ShortageBody::new).collect()), ..body }
            }
        }
    }
}

impl QuoteBody {
    pub(crate) fn new(quote: Quote) -> Self {
        Self {
            lines: quote.lines,
            currency: quote.currency,
            amounts: quote.amounts,
            menu_revision: quote.menu_revision,
            orderable: quote.obstacles.is_empty(),
            obstacles: quote.obstacles.iter().map(ObstacleBody::from).collect(),
        }
    }
}

/// Extractor that counts the quote in the client's budget, or refuses it.
struct QuoteAllowance;

impl FromRequestParts<Arc<App>> for QuoteAllowance {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self> {
        let Ok(client) = ClientAddress::from_request_parts(parts, app).await;
        app.limits.budgets.check_quote(client, parts)?;
        Ok(Self)
    }
}

/// Prices a cart
///
/// For everyone. A quote neither orders nor reserves anything. If the cart cannot be ordered now, the quote has the
/// price and lists the obstacles. Only a cart that does not match the menu is refused.
#[utoipa::path(
    post, path = "/v1/restaurants/{restaurant_id}/quotes", tag = "orders", operation_id = "quote",
    params(("restaurant_id" = RestaurantId, Path, description = "The restaurant.")),
    request_body = Cart,
    responses(
        (status = 200, description = "The price, and the obstacles to ordering.", body = QuoteBody),
        Missing, BadBody, Failures,
    ),
    security(()),
)]
async fn quote(
    State(app): State<Arc<App>>,
    _: QuoteAllowance,
    InPath(restaurant_id): InPath<RestaurantId>,
    JsonBody(cart): JsonBody<Cart>,
) -> Result<Json<QuoteBody>> {
    Ok(Json(QuoteBody::new(app.engine.quote(restaurant_id, (&cart).into(), cart.payment_method).await?)))
}
