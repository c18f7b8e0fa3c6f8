//! Reasons that actors give with a command, and which actor may give which.

use serde::{Deserialize, Serialize};

use super::named::named_variants;
use crate::Actor;

/// Reason why an admin intervenes after the courier has picked up the food.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum InterventionReason {
    /// The courier cannot be reached.
    CourierUnreachable,
    /// The courier cannot continue.
    CourierUnable,
    /// The customer confirms that they have the food.
    CustomerConfirmed,
    /// Another reason, explained in the note.
    Other,
}

named_variants!(InterventionReason {
    CourierUnreachable => "courier_unreachable",
    CourierUnable => "courier_unable",
    CustomerConfirmed => "customer_confirmed",
    Other => "other",
});

/// Reason for a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// The customer no longer wants it.
    ChangedMind,
    /// The same order was placed twice.
    Duplicate,
    /// The address is wrong or cannot be reached.
    WrongAddress,
    /// The order takes too long.
    TooSlow,
    /// An item of the order is unavailable.
    ItemUnavailable,
    /// The kitchen had to close.
    KitchenClosed,
    /// No courier is available.
    NoCourier,
    /// The customer cannot be reached.
    CustomerUnreachable,
    /// The order looks like fraud.
    SuspectedFraud,
    /// Another reason, explained in the note.
    Other,
}

named_variants!(CancelReason {
    ChangedMind => "changed_mind",
    Duplicate => "duplicate",
    WrongAddress => "wrong_address",
    TooSlow => "too_slow",
    ItemUnavailable => "item_unavailable",
    KitchenClosed => "kitchen_closed",
    NoCourier => "no_courier",
    CustomerUnreachable => "customer_unreachable",
    SuspectedFraud => "suspected_fraud",
    Other => "other",
});

impl CancelReason {
    /// Returns the reasons that this actor may give.
    pub const fn of(actor: &Actor) -> &'static [Self] {
        match actor {
            Actor::Customer { .. } => {
                &[Self::ChangedMind, Self::Duplicate, Self::WrongAddress, Self::TooSlow, Self::Other]
            }
            Actor::Restaurant { .. } => &[
                Self::Duplicate,
                Self::WrongAddress,
                Self::ItemUnavailable,
                Self::KitchenClosed,
                Self::NoCourier,
                Self::CustomerUnreachable,
                Self::SuspectedFraud,
                Self::Other,
            ],
            // Admins act for everyone.
            Actor::Admin { .. } => Self::ALL,
            Actor::Courier { .. } | Actor::System => &[],
        }
    }

    /// Returns whether the reason requires the list of unavailable items.
    pub const fn names_items(self) -> bool {
        matches!(self, Self::ItemUnavailable)
    }
}

/// Reason for a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// An item of the order is unavailable.
    ItemUnavailable,
    /// The kitchen has too much to do.
    TooBusy,
    /// The kitchen closes soon.
    ClosingSoon,
    /// The restaurant cannot deliver to the address.
    CannotDeliver,
    /// Another reason, explained in the note.
    Other,
}

named_variants!(RejectReason {
    ItemUnavailable => "item_unavailable",
    TooBusy => "too_busy",
    ClosingSoon => "closing_soon",
    CannotDeliver => "cannot_deliver",
    Other => "other",
});

impl RejectReason {
    /// Returns the reasons that this actor may give.
    pub const fn of(actor: &Actor) -> &'static [Self] {
        match actor {
            Actor::Restaurant { .. } => Self::ALL,
            Actor::Customer { .. } | Actor::Courier { .. } | Actor::Admin { .. } | Actor::System => &[],
        }
    }

    /// Returns whether the reason requires the list of unavailable items.
    pub const fn names_items(self) -> bool {
        matches!(self, Self::ItemUnavailable)
    }
}

/// Reason for a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RefundReason {
    /// An item was missing.
    MissingItem,
    /// The customer received a wrong item.
    WrongItem,
    /// The quality of the food was poor.
    Quality,
    /// The order arrived too late.
    Late,
    /// The order never arrived.
    NotDelivered,
    /// The order ended before its delivery.
    OrderEnded,
    /// Another reason, explained in the note.
    Other,
}

named_variants!(RefundReason {
    MissingItem => "missing_item",
    WrongItem => "wrong_item",
    Quality => "quality",
    Late => "late",
    NotDelivered => "not_delivered",
    OrderEnded => "order_ended",
    Other => "other",
});
