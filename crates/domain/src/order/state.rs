//! What an order is: the part fixed when it was placed, and the part that moves.

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

/// The number of an order's latest event: 1, 2, 3, … It names a state of the order.
pub type Version = u32;

macro_rules! named_variants {
    ($type:ident { $($variant:ident => $name:literal),* $(,)? }) => {
        impl $type {
            /// Every value, in the order of an order's life.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name in the API and in stores.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The value with this name.
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

/// Where an order is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Taken; its payment is not yet certain.
    Created,
    /// Its payment is certain; the restaurant has to accept it.
    Confirmed,
    /// The kitchen works on it.
    Preparing,
    /// The food is ready.
    ReadyForPickup,
    /// A courier carries it.
    OutForDelivery,
    /// The customer has it.
    Delivered,
    /// It ended before the customer had it.
    Cancelled,
    /// All that was paid is back.
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
    /// Whether the food's way has ended. Only money moves after that.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Delivered | Self::Cancelled | Self::Refunded)
    }
}

/// Where an order's payment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Nothing has been paid yet.
    Pending,
    /// The payment provider has set the money aside.
    Authorized,
    /// The money has been collected. Of a total of zero by card there is nothing to collect: it has this status
    /// from the start.
    Captured,
    /// The payment was refused.
    Failed,
    /// Nothing was collected, and nothing will be.
    Voided,
    /// A part is back with the customer.
    PartiallyRefunded,
    /// All is back with the customer.
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

/// How an order is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PaymentMethod {
    /// In cash, to whoever hands the food over.
    Cash,
    /// By card, through a payment provider.
    Card,
}

/// What was agreed when the order was placed. Never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderDetails {
    /// The restaurant that cooks it.
    pub restaurant_id: RestaurantId,
    /// The restaurant's name at that time.
    pub restaurant_name: Name,
    /// Who ordered it.
    pub customer_id: AccountId,
    /// What was ordered.
    pub lines: Vec<OrderLine>,
    /// The currency of every amount in the order.
    pub currency: Currency,
    /// What it costs.
    pub amounts: Amounts,
    /// How it gets to the customer.
    pub fulfilment: Fulfilment,
    /// Whom to ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,
    /// How it is paid.
    pub payment_method: PaymentMethod,
    /// Until when a payment by card has to be certain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_deadline: Option<Timestamp>,
    /// A wish for the restaurant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// The menu from which it was priced.
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    pub menu_revision: Revision,
    /// What it took from limited stock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stock_drawn: Vec<StockDraw>,
}

impl OrderDetails {
    /// Whether a payment provider has to collect the total. A total of zero needs no provider.
    pub const fn needs_provider(&self) -> bool {
        matches!(self.payment_method, PaymentMethod::Card) && !self.amounts.total.is_zero()
    }
}

/// So much of an item whose stock is limited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StockDraw {
    /// The item.
    pub item: Slug,
    /// How many.
    pub quantity: u32,
}

/// How the food gets to the customer, with what is needed for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields, try_from = "FulfilmentDocument")]
pub enum Fulfilment {
    /// A courier brings it.
    Delivery {
        /// Where to.
        address: Address,
    },
    /// The customer fetches it from the restaurant.
    Collection,
}

/// A [`Fulfilment`] as it is read. Serde's tagged enums overlook members that do not belong, and lose
/// the place of what is wrong within them; a struct does neither.
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
            (FulfilmentKind::Delivery, None) => Err("a delivery needs an address"),
            (FulfilmentKind::Collection, None) => Ok(Self::Collection),
            (FulfilmentKind::Collection, Some(_)) => Err("a collection has no address"),
        }
    }
}

impl Fulfilment {
    /// Which of the two it is.
    pub const fn kind(&self) -> FulfilmentKind {
        match self {
            Self::Delivery { .. } => FulfilmentKind::Delivery,
            Self::Collection => FulfilmentKind::Collection,
        }
    }
}

/// Where to deliver.
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
    /// The point on the map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// How to get to the door.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<Note>,
}

/// Whom to ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// Their name.
    pub name: Name,
    /// Their telephone number, as they write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Phone>,
}

/// An order at one version.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// The number of its latest event.
    pub version: Version,
    /// What was agreed. Shared, since it never changes.
    pub details: Arc<OrderDetails>,
    /// Where it is in its life.
    pub status: OrderStatus,
    /// Where its payment is.
    pub payment_status: PaymentStatus,
    /// What has been collected.
    pub captured: Amount,
    /// What of it is back with the customer.
    pub refunded: Amount,
    /// What the payment provider calls the payment. Set when it is authorized.
    pub payment_reference: Option<PaymentReference>,
    /// What has been or is to be given back, in the order in which it was asked for.
    pub refunds: Vec<RefundState>,
    /// Who carries it.
    pub courier_id: Option<AccountId>,
    /// Until when the restaurant has to accept it. Set when it is confirmed.
    pub acceptance_deadline: Option<Timestamp>,
    /// When the restaurant expects the food to be ready. Set when it accepts.
    pub ready_by: Option<Timestamp>,
    /// How it ended early, when it did.
    pub closure: Option<Closure>,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// When its latest event happened.
    pub updated_at: Timestamp,
    /// Whether a newer version of Dabba wrote something about it that this version does not understand. Such an order is
    /// shown as far as it is understood, and nothing is decided on it.
    pub is_newer: bool,
}

/// How an order ended before the customer had it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Closure {
    /// Someone cancelled it.
    Cancelled {
        /// Who.
        by: Actor,
        /// Why.
        reason: CancelReason,
        /// Why, in their own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
        /// The items that were unavailable. Absent when none was named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        items: Vec<UnavailableItem>,
        /// Who bears what is refunded because of it. Absent when everyone bears it.
        #[serde(
            default = "RefundBearer::of_an_early_end",
            skip_serializing_if = "RefundBearer::is_of_an_early_end"
        )]
        borne_by: RefundBearer,
    },
    /// The restaurant did not take it.
    Rejected {
        /// Why.
        reason: RejectReason,
        /// Why, in their own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
        /// The items that were unavailable. Absent when none was named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        items: Vec<UnavailableItem>,
    },
    /// Something was waited for in vain.
    Expired {
        /// For what.
        #[serde(default)]
        waited_for: Awaited,
    },
    /// The payment did not come about.
    PaymentFailed {
        /// Why.
        reason: DeclineReason,
    },
}

impl Closure {
    /// The items that were unavailable, where the end names them.
    pub fn items(&self) -> &[UnavailableItem] {
        match self {
            Self::Cancelled { items, .. } | Self::Rejected { items, .. } => items,
            Self::Expired { .. } | Self::PaymentFailed { .. } => &[],
        }
    }
}

/// For what an order waits until a deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Awaited {
    /// That the restaurant accepts it.
    #[default]
    Restaurant,
    /// That its payment is certain.
    Payment,
}
