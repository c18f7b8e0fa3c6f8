//! The cart that a customer sends.

use serde::{Deserialize, Serialize};

use super::CartFulfilment;
use crate::{
    Amount,
    order::PaymentMethod,
    restaurant::Location,
    text::{Note, Slug},
};

/// The items that a customer wants, not yet priced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Cart {
    /// Lines of the cart, at least one.
    pub lines: Vec<CartLine>,
    /// How the food gets to the customer.
    pub fulfilment: CartFulfilment,
    /// Tip for the courier; if the customer collects, for the staff.
    #[serde(default)]
    pub tip: Amount,
    /// Payment method. If it is stated, the quote also reports an amount that the payment provider does not accept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<PaymentMethod>,
}

/// A borrowed cart: a whole [`Cart`], or a part of an order request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CartRef<'a> {
    /// See [`Cart::lines`].
    pub lines: &'a [CartLine],
    /// Delivery or collection.
    pub fulfilment: FulfilmentKind,
    /// Place of a delivery, if it is known.
    pub place: Option<Location>,
    /// See [`Cart::tip`].
    pub tip: Amount,
}

impl<'a> From<&'a Cart> for CartRef<'a> {
    fn from(cart: &'a Cart) -> Self {
        let CartFulfilment { kind, place } = cart.fulfilment;
        Self { lines: &cart.lines, fulfilment: kind, place, tip: cart.tip }
    }
}

/// A quantity of one item with the same options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CartLine {
    /// The item's id in the menu.
    pub item: Slug,
    /// Quantity, from 1 to 99.
    pub quantity: u32,
    /// Chosen options, each at most once, with its quantity.
    #[serde(default)]
    pub options: Vec<ChosenOption>,
    /// Note for the kitchen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// An option chosen in a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChosenOption {
    /// The group's id in the item.
    pub group: Slug,
    /// The option's id in the group.
    pub option: Slug,
    /// Quantity for one item, from 1 to 99. The group may allow less.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub quantity: u32,
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_one(quantity: &u32) -> bool {
    *quantity == 1
}

/// How the food gets to the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FulfilmentKind {
    /// A courier brings it.
    Delivery,
    /// The customer collects it.
    Collection,
}
