//! State of an order: the part that is fixed when the order is placed, and the part that changes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Actor, Amount, Currency, OrderId, RestaurantId, Timestamp,
    menu::UnavailableItem,
    order::{CancelReason, DeclineReason, PaymentReference, RefundBearer, RefundState, RejectReason},
    pricing::{Amounts, FulfilmentKind, OrderLine},
    restaurant::{Location, Revision},
    text::{Name, Note, Phone, Slug},
};

/// Number of an order's latest event: 1, 2, 3, … It identifies a state of the order.
pub type Version = u32;

macro_rules! named_variants {
    ($type:ident { $($variant:ident => $name:literal),* $(,)? }) => {
        impl $type {
            /// All values, in the order of the lifecycle.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the name in the API and in stores.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Returns the value with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    };
}
pub(super) use named_variants;

/// Status of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// The order is placed; its payment is not certain yet.
    Created,
    /// The payment is certain; the restaurant has to accept the order.
    Confirmed,
    /// The kitchen prepares the food.
    Preparing,
    /// The food is ready.
    ReadyForPickup,
    /// A courier carries the food.
    OutForDelivery,
    /// The customer has the food.
    Delivered,
    /// The order ended before its delivery.
    Cancelled,
    /// The full amount is refunded.
    Refunded,
}

named_variants!(OrderStatus {
    Created => "created",
    Confirmed => "confirmed",
    Preparing => "preparing",
    ReadyForPickup => "ready_for_pickup",
    OutForDelivery => "out_for_delivery",
    Delivered => "delivered",
    Cancelled => "cancelled",
    Refunded => "refunded",
});

impl OrderStatus {
    /// Whether the order has ended. After that, only money moves.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Delivered | Self::Cancelled | Self::Refunded)
    }
}

/// Status of an order's payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Nothing has been paid yet.
    Pending,
    /// The payment provider has authorized the payment.
    Authorized,
    /// The payment has been captured. An order by card with a total of zero has nothing to capture and has this status
    /// from the start.
    Captured,
    /// The payment failed.
    Failed,
    /// Nothing was captured, and nothing will be.
    Voided,
    /// A part of the captured amount is refunded.
    PartiallyRefunded,
    /// The full captured amount is refunded.
    Refunded,
}

named_variants!(PaymentStatus {
    Pending => "pending",
    Authorized => "authorized",
    Captured => "captured",
    Failed => "failed",
    Voided => "voided",
    PartiallyRefunded => "partially_refunded",
    Refunded => "refunded",
});

/// Payment method of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PaymentMethod {
    /// In cash, paid when the food is handed over.
    Cash,
    /// By card, through a payment provider.
    Card,
}

/// Terms agreed when the order was placed. They never change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderDetails {
    /// Restaurant that prepares the order.
    pub restaurant_id: RestaurantId,
    /// Name of the restaurant when the order was placed.
    pub restaurant_name: Name,
    /// Account of the customer.
    pub customer_id: AccountId,
    /// Lines of the order.
    pub lines: Vec<OrderLine>,
    /// The currency of every amount in the order.
    pub currency: Currency,
    /// Amounts of the order.
    pub amounts: Amounts,
    /// Delivery or collection.
    pub fulfilment: Fulfilment,
    /// Contact person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,
    /// Payment method.
    pub payment_method: PaymentMethod,
    /// Deadline by which a payment by card must be certain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_deadline: Option<Timestamp>,
    /// Note for the restaurant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// Revision of the menu from which the order was priced.
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    pub menu_revision: Revision,
    /// Quantities taken from limited stock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stock_drawn: Vec<StockDraw>,
}

impl OrderDetails {
    /// Whether a payment provider has to capture the total. A total of zero needs no provider.
    pub const fn needs_provider(&self) -> bool {
        matches!(self.payment_method, PaymentMethod::Card) && !self.amounts.total.is_zero()
    }
}

/// A quantity of an item with limited stock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StockDraw {
    /// The item.
    pub item: Slug,
    /// Quantity.
    pub quantity: u32,
}

/// Fulfilment of an order, with the data that it needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields, try_from = "FulfilmentDocument")]
pub enum Fulfilment {
    /// A courier brings it.
    Delivery {
        /// Address of the delivery.
        address: Address,
    },
    /// The customer collects it at the restaurant.
    Collection,
}

/// A [`Fulfilment`] as it is parsed. The tagged enums of serde ignore unknown members, and lose the place of an error
/// inside them; a struct does neither.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FulfilmentDocument {
    r#type: FulfilmentKind,
    #[serde(default)]
    address: Option<Address>,
}

impl TryFrom<FulfilmentDocument> for Fulfilment {
    type Error = &'static str;

    fn try_from(document: FulfilmentDocument) -> Result<Self, Self::Error> {
        match (document.r#type, document.address) {
            (FulfilmentKind::Delivery, Some(address)) => Ok(Self::Delivery { address }),
            (FulfilmentKind::Delivery, None) => Err("address is required for delivery"),
            (FulfilmentKind::Collection, None) => Ok(Self::Collection),
            (FulfilmentKind::Collection, Some(_)) => Err("address must be absent for collection"),
        }
    }
}

impl Fulfilment {
    /// Returns the kind of fulfilment.
    pub const fn kind(&self) -> FulfilmentKind {
        match self {
            Self::Delivery { .. } => FulfilmentKind::Delivery,
            Self::Collection => FulfilmentKind::Collection,
        }
    }
}

/// Address of a delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// Street and number.
    pub line1: Name,
    /// Building, floor, flat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line2: Option<Name>,
    /// Town.
    pub city: Name,
    /// Postal code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<Name>,
    /// Coordinates of the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Instructions for reaching the door.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<Note>,
}

/// Contact person of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// Name of the person.
    pub name: Name,
    /// Telephone number, as the person writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Phone>,
}

/// An order at one version.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Id of the order.
    pub id: OrderId,
    /// Number of the latest event.
    pub version: Version,
    /// Agreed terms. Shared, because they never change.
    pub details: Arc<OrderDetails>,
    /// Status of the order.
    pub status: OrderStatus,
    /// Status of the payment.
    pub payment_status: PaymentStatus,
    /// Captured amount.
    pub captured: Amount,
    /// Refunded part of the captured amount.
    pub refunded: Amount,
    /// The payment provider's id of the payment. Set when the payment is authorized.
    pub payment_reference: Option<PaymentReference>,
    /// Refunds that were requested or made, in order.
    pub refunds: Vec<RefundState>,
    /// Courier who carries the order.
    pub courier_id: Option<AccountId>,
    /// Deadline by which the restaurant must accept. Set when the order is confirmed.
    pub acceptance_deadline: Option<Timestamp>,
    /// Time at which the restaurant expects the food to be ready. Set when the restaurant accepts.
    pub ready_by: Option<Timestamp>,
    /// The early end of the order, if it ended early.
    pub closure: Option<Closure>,
    /// Time at which the order was placed.
    pub placed_at: Timestamp,
    /// Time of the latest event.
    pub updated_at: Timestamp,
    /// Whether a newer version of Dabba wrote something about the order that this version does not understand. This
    /// version shows such an order as far as it can, and makes no decisions on it.
    pub is_newer: bool,
}

/// The way in which an order ended before its delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Closure {
    /// An actor cancelled the order.
    Cancelled {
        /// Actor that cancelled the order.
        by: Actor,
        /// Reason for the cancellation.
        reason: CancelReason,
        /// Explanation in the actor's own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
        /// Items that were unavailable. Absent if none was named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        items: Vec<UnavailableItem>,
        /// Bearer of the refunds that follow from the cancellation. Absent: everyone bears them.
        #[serde(
            default = "RefundBearer::of_an_early_end",
            skip_serializing_if = "RefundBearer::is_of_an_early_end"
        )]
        borne_by: RefundBearer,
    },
    /// The restaurant rejected the order.
    Rejected {
        /// Reason for the rejection.
        reason: RejectReason,
        /// Explanation in the restaurant's own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
        /// Items that were unavailable. Absent if none was named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        items: Vec<UnavailableItem>,
    },
    /// The order expired, because the payment or the acceptance did not arrive by its deadline.
    Expired {
        /// What the order was waiting for.
        #[serde(default)]
        waited_for: Awaited,
    },
    /// The payment failed.
    PaymentFailed {
        /// Reason for the failure.
        reason: DeclineReason,
    },
}

impl Closure {
    /// Returns the unavailable items that the early end names.
    pub fn items(&self) -> &[UnavailableItem] {
        match self {
            Self::Cancelled { items, .. } | Self::Rejected { items, .. } => items,
            Self::Expired { .. } | Self::PaymentFailed { .. } => &[],
        }
    }
}

/// What an order waits for until a deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Awaited {
    /// The restaurant must accept the order.
    #[default]
    Restaurant,
    /// The payment must become certain.
    Payment,
}
