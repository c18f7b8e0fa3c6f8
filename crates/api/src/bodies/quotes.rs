//! Bodies of quotes.

use dabba_domain::{
    Amount, Currency, Timestamp,
    menu::{UnavailableItem, UnavailableOption},
    order::OrderZone,
    pricing::{Amounts, OrderFee, OrderLine, OrderTax},
    restaurant::NotAcceptingReason,
    text::Slug,
};
use dabba_engine::{Obstacle, Quote};
use dabba_store::StockShortage;
use serde::Serialize;
use utoipa::ToSchema;

use crate::code::{self, CodeName};

/// Price of a cart now, with the obstacles to ordering it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quote)]
pub(crate) struct QuoteBody {
    lines: Vec<OrderLine>,
    /// The fees. Absent without fees.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    fees: Vec<OrderFee>,
    /// The taxes. Absent without taxes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    taxes: Vec<OrderTax>,
    /// The currency of every amount.
    currency: Currency,
    amounts: Amounts,
    /// Delivery zone of the address. Absent for collection, for a restaurant without delivery zones, and for an address
    /// outside all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_zone: Option<OrderZone>,
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
    #[schema(value_type = CodeName)]
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
    /// `items_unavailable`, `items_outside_hours`: the items, each with the time from which it can be ordered again, if that
    /// time is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) items: Option<Vec<UnavailableItem>>,
    /// `options_unavailable`: the options, each with the time from which it is available again, if that time is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) options: Option<Vec<UnavailableOption>>,
    /// `below_minimum_order`: minimum subtotal for delivery. `not_payable_by_card`: minimum total that the payment
    /// provider accepts; absent if the provider does not accept the currency, or if the server accepts no cards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) minimum: Option<Amount>,
    /// `not_payable_by_card`: maximum total that the payment provider accepts; absent in the same cases as `minimum`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) maximum: Option<Amount>,
    /// `not_payable_by_card`: the total must be a multiple of this number; absent in the same cases as `minimum`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) multiple_of: Option<u32>,
    /// `not_payable_by_card`: the total; absent if the server accepts no cards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) amount: Option<Amount>,
    /// `not_payable_by_card`: the currency of these amounts; absent if the server accepts no cards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) currency: Option<Currency>,
    /// `out_of_stock`: the items of which there is not enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shortages: Option<Vec<ShortageBody>>,
}

impl From<&Obstacle> for ObstacleBody {
    fn from(obstacle: &Obstacle) -> Self {
        let body = Self {
            code: code::of_obstacle(obstacle).as_str(),
            detail: obstacle.to_string(),
            since: None,
            until: None,
            opens_at: None,
            items: None,
            options: None,
            minimum: None,
            maximum: None,
            multiple_of: None,
            amount: None,
            currency: None,
            shortages: None,
        };
        match obstacle {
            Obstacle::NotAccepting(NotAcceptingReason::ClosedPermanently { since }) => {
                Self { since: Some(*since), ..body }
            }
            Obstacle::NotAccepting(NotAcceptingReason::Paused { until, opens_at }) => {
                Self { until: *until, opens_at: *opens_at, ..body }
            }
            Obstacle::NotAccepting(NotAcceptingReason::Closed { opens_at }) => {
                Self { opens_at: *opens_at, ..body }
            }
            Obstacle::ItemsUnavailable(items) | Obstacle::ItemsOutsideHours(items) => {
                Self { items: Some(items.clone()), ..body }
            }
            Obstacle::OptionsUnavailable(options) => Self { options: Some(options.clone()), ..body },
            Obstacle::BelowMinimum(below) => Self { minimum: Some(below.minimum), ..body },
            Obstacle::OutsideZones(_) | Obstacle::CardsNotAccepted => body,
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
            // As in an order's body, the parts are left out.
            lines: quote
                .lines
                .into_iter()
                .map(|line| OrderLine { parts: Vec::new(), rules: Vec::new(), ..line })
                .collect(),
            fees: quote.fees.into_iter().map(|fee| OrderFee { parts: Vec::new(), ..fee }).collect(),
            taxes: quote.taxes,
            currency: quote.currency,
            amounts: quote.amounts,
            delivery_zone: quote.delivery_zone,
            menu_revision: quote.menu_revision,
            orderable: quote.obstacles.is_empty(),
            obstacles: quote.obstacles.iter().map(ObstacleBody::from).collect(),
        }
    }
}

/// An item whose stock is lower than the ordered quantity.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Shortage)]
pub(crate) struct ShortageBody {
    /// The item.
    item: Slug,
    /// Remaining stock of the item.
    available: u32,
}

impl ShortageBody {
    fn new(shortage: &StockShortage) -> Self {
        Self { item: shortage.item.clone(), available: shortage.available }
    }
}
