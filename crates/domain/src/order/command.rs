//! What can be asked of an order.

use serde::{Deserialize, Serialize};

use super::state::named_variants;
use crate::{
    AccountId, Actor, Amount, Problems,
    menu::UnavailableItem,
    order::{Contact, Fulfilment, PaymentMethod, PaymentToken, RefundRequest},
    pricing::{CartLine, CartRef},
    text::Note,
};

/// What a customer sends to place an order. There is no price in it: the server prices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OrderRequest {
    /// What is ordered.
    pub lines: Vec<CartLine>,
    /// How it gets to the customer.
    pub fulfilment: Fulfilment,
    /// For the courier, or for the staff on collection.
    #[serde(default)]
    pub tip: Amount,
    /// How it is paid.
    pub payment_method: PaymentMethod,
    /// What the payment provider gave in exchange for the card. Needed for a card, and for nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_token: Option<PaymentToken>,
    /// Whom to ask for.
    #[serde(default)]
    pub contact: Option<Contact>,
    /// A wish for the restaurant.
    #[serde(default)]
    pub note: Option<Note>,
    /// The total that the customer was shown. When it is given and the total is another, the order
    /// is not placed.
    #[serde(default)]
    pub expected_total: Option<Amount>,
}

impl OrderRequest {
    /// The part that has a price.
    pub fn cart(&self) -> CartRef<'_> {
        CartRef { lines: &self.lines, fulfilment: self.fulfilment.kind(), tip: self.tip }
    }

    /// What is paid with, by card; `None` when it is paid in cash.
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

/// A command on an order that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// The payment is certain.
    Confirm,
    /// The restaurant takes the order.
    Accept {
        /// In how many minutes the food will be ready.
        preparation_minutes: u32,
    },
    /// The restaurant does not take the order.
    Reject {
        /// Why.
        reason: RejectReason,
        /// Why, in the restaurant's own words.
        note: Option<Note>,
        /// The items of the order that are unavailable, with the reason that names items.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        items: Vec<UnavailableItem>,
    },
    /// The food is ready.
    MarkReady,
    /// This courier carries it.
    AssignCourier {
        /// The courier's account.
        courier_id: AccountId,
        /// Why an admin steps in. Needed from an admin once the food is picked up; others give none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<InterventionReason>,
        /// Why, in the admin's own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
    },
    /// The courier has the food.
    PickUp,
    /// The customer has the food.
    Deliver {
        /// Why an admin steps in. Needed from an admin; others give none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<InterventionReason>,
        /// Why, in the admin's own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
    },
    /// The order ends here.
    Cancel {
        /// Why.
        reason: CancelReason,
        /// Why, in their own words.
        note: Option<Note>,
        /// The items of the order that are unavailable, with the reason that names items.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        items: Vec<UnavailableItem>,
    },
    /// The restaurant's time to accept runs out.
    Warn,
    /// What was waited for did not come in time.
    Expire,
    /// The customer gets money back.
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

    /// Which command it is.
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

/// The name of a command.
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
    /// Whether the command can end an order or moves only its money. Such a command passes however many events
    /// the order has.
    pub const fn ends_order(self) -> bool {
        matches!(self, Self::Reject | Self::Deliver | Self::Cancel | Self::Expire | Self::Refund)
    }
}

/// Why an admin steps in for a courier who has the food.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum InterventionReason {
    /// The courier cannot be reached.
    CourierUnreachable,
    /// The courier cannot go on.
    CourierUnable,
    /// The customer confirms that they have the food.
    CustomerConfirmed,
    /// See the note.
    Other,
}

named_variants!(InterventionReason {
    CourierUnreachable => "courier_unreachable",
    CourierUnable => "courier_unable",
    CustomerConfirmed => "customer_confirmed",
    Other => "other",
});

/// Why an order is cancelled.
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
    /// It takes too long.
    TooSlow,
    /// Something in it cannot be made.
    ItemUnavailable,
    /// The kitchen had to close.
    KitchenClosed,
    /// Nobody can carry it.
    NoCourier,
    /// The customer cannot be reached.
    CustomerUnreachable,
    /// It looks like fraud.
    SuspectedFraud,
    /// See the note.
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
    /// The reasons that this actor may give.
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
            // Admins act for everybody.
            Actor::Admin { .. } => Self::ALL,
            Actor::Courier { .. } | Actor::System => &[],
        }
    }

    /// Whether the reason names the items that are unavailable.
    pub const fn names_items(self) -> bool {
        matches!(self, Self::ItemUnavailable)
    }
}

/// Why a restaurant does not take an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// Something in it cannot be made.
    ItemUnavailable,
    /// The kitchen has too much to do.
    TooBusy,
    /// The kitchen closes soon.
    ClosingSoon,
    /// It cannot be brought to that address.
    CannotDeliver,
    /// See the note.
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
    /// The reasons that this actor may give.
    pub const fn of(actor: &Actor) -> &'static [Self] {
        match actor {
            Actor::Restaurant { .. } => Self::ALL,
            Actor::Customer { .. } | Actor::Courier { .. } | Actor::Admin { .. } | Actor::System => &[],
        }
    }

    /// Whether the reason names the items that are unavailable.
    pub const fn names_items(self) -> bool {
        matches!(self, Self::ItemUnavailable)
    }
}

/// Why a customer gets money back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RefundReason {
    /// Something was missing.
    MissingItem,
    /// Something else was brought.
    WrongItem,
    /// The food was not good.
    Quality,
    /// It came too late.
    Late,
    /// It never came.
    NotDelivered,
    /// The order ended before the customer had it.
    OrderEnded,
    /// See the note.
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
