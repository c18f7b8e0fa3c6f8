//! The request to place an order, as clients send it.

use serde::{Deserialize, Serialize};

use super::{Contact, Fulfilment, PaymentMethod, PaymentToken};
use crate::{
    Amount,
    pricing::{CartLine, CartRef},
    text::Note,
};

/// A customer's request to place an order. It contains no price, because the server sets the prices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OrderRequest {
    /// Lines of the order.
    pub lines: Vec<CartLine>,
    /// Delivery or collection.
    pub fulfilment: Fulfilment,
    /// Tip for the courier; if the customer collects, for the staff.
    #[serde(default)]
    pub tip: Amount,
    /// Payment method.
    pub payment_method: PaymentMethod,
    /// Token that the payment provider issued for the customer's card. Required for a payment by card; absent
    /// otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_token: Option<PaymentToken>,
    /// Contact person.
    #[serde(default)]
    pub contact: Option<Contact>,
    /// Note for the restaurant.
    #[serde(default)]
    pub note: Option<Note>,
    /// Total that the customer saw. If it differs from the total of the order, the order is not placed.
    #[serde(default)]
    pub expected_total: Option<Amount>,
}

impl OrderRequest {
    /// Returns the priced part of the request.
    pub fn cart(&self) -> CartRef<'_> {
        let fulfilment = self.fulfilment.kind();
        CartRef { lines: &self.lines, fulfilment, place: self.fulfilment.place(), tip: self.tip }
    }
}
