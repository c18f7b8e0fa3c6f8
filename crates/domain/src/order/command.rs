//! Commands on an order, and the request that places one.

use serde::{Deserialize, Serialize};

use super::state::named_variants;
use crate::{
    AccountId, Actor, Amount, Problems,
    menu::UnavailableItem,
    order::{Contact, Fulfilment, PaymentMethod, PaymentToken, RefundRequest},
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
        CartRef { lines: &self.lines, fulfilment: self.fulfilment.kind(), tip: self.tip }
    }

    /// Returns the token of a payment by card; `None` for a payment in cash.
    pub fn card(&self) -> Result<Option<&PaymentToken>, Problems> {
        match (self.payment_method, &self.payment_token) {
            (PaymentMethod::Cash, None) => Ok(None),
            (PaymentMethod::Card, Some(token)) => Ok(Some(token)),
            (PaymentMethod::Cash, Some(_)) => {
                Err(Problems::one("/payment_token", "must be absent for a payment in cash"))
            }
            (PaymentMethod::Card, None) => {
                Err(Problems::one("/payment_token", "is required for a payment by card"))
            }
        }
    }
}

/// A command on an existing order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Confirms the order, because the payment is certain.
    Confirm,
    /// The restaurant accepts the order.
    Accept {
        /// Minutes until the food is ready.
        preparation_minutes: u32,
    },
    /// The restaurant rejects the order.
    Reject {
        /// Reason for the rejection.
        reason: RejectReason,
        /// Explanation in the restaurant's own words.
        note: Option<Note>,
        /// Unavailable items of the order. Stated only with the reason `item_unavailable`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        items: Vec<UnavailableItem>,
    },
    /// Marks the food as ready.
    MarkReady,
    /// Assigns a courier to the order.
    AssignCourier {
        /// The courier's account.
        courier_id: AccountId,
        /// Reason why an admin intervenes. Required from an admin once the food is picked up; other actors give no
        /// reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<InterventionReason>,
        /// Explanation in the admin's own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
    },
    /// The courier picks up the food.
    PickUp,
    /// The customer receives the food.
    Deliver {
        /// Reason why an admin intervenes. Required from an admin; other actors give no reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<InterventionReason>,
        /// Explanation in the admin's own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
    },
    /// Ends the order before its delivery.
    Cancel {
        /// Reason for the cancellation.
        reason: CancelReason,
        /// Explanation in the actor's own words.
        note: Option<Note>,
        /// Unavailable items of the order. Stated only with the reason `item_unavailable`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        items: Vec<UnavailableItem>,
    },
    /// Warns the restaurant that its time to accept is running out.
    Warn,
    /// Ends the order, because the payment or the acceptance did not arrive by its deadline.
    Expire,
    /// Refunds money to the customer.
    Refund(RefundRequest),
}

impl Command {
    /// Returns the command that rejects the order with a reason that names no items.
    pub const fn reject(reason: RejectReason) -> Self {
        Self::Reject { reason, note: None, items: Vec::new() }
    }

    /// Returns the command that cancels the order with a reason that names no items.
    pub const fn cancel(reason: CancelReason) -> Self {
        Self::Cancel { reason, note: None, items: Vec::new() }
    }

    /// Returns the command that assigns this courier without a reason.
    pub const fn assign(courier_id: AccountId) -> Self {
        Self::AssignCourier { courier_id, reason: None, note: None }
    }

    /// Returns the command that delivers the order without a reason.
    pub const fn deliver() -> Self {
        Self::Deliver { reason: None, note: None }
    }

    /// Returns the kind of the command.
    pub const fn kind(&self) -> CommandKind {
        match self {
            Self::Confirm => CommandKind::Confirm,
            Self::Accept { .. } => CommandKind::Accept,
            Self::Reject { .. } => CommandKind::Reject,
            Self::MarkReady => CommandKind::MarkReady,
            Self::AssignCourier { .. } => CommandKind::AssignCourier,
            Self::PickUp => CommandKind::PickUp,
            Self::Deliver { .. } => CommandKind::Deliver,
            Self::Cancel { .. } => CommandKind::Cancel,
            Self::Warn => CommandKind::Warn,
            Self::Expire => CommandKind::Expire,
            Self::Refund(_) => CommandKind::Refund,
        }
    }
}

/// The kind of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is described at the variant of Command with its name")]
pub enum CommandKind {
    Confirm,
    Accept,
    Reject,
    MarkReady,
    AssignCourier,
    PickUp,
    Deliver,
    Cancel,
    Warn,
    Expire,
    Refund,
}

named_variants!(CommandKind {
    Confirm => "confirm",
    Accept => "accept",
    Reject => "reject",
    MarkReady => "mark_ready",
    AssignCourier => "assign_courier",
    PickUp => "pick_up",
    Deliver => "deliver",
    Cancel => "cancel",
    Warn => "warn",
    Expire => "expire",
    Refund => "refund",
});

impl CommandKind {
    /// Whether the command can end an order or moves only its money. Such a command is allowed regardless of the number
    /// of events of the order.
    pub const fn ends_order(self) -> bool {
        matches!(self, Self::Reject | Self::Deliver | Self::Cancel | Self::Expire | Self::Refund)
    }
}

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

    /// Whether the reason requires the list of unavailable items.
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

    /// Whether the reason requires the list of unavailable items.
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
