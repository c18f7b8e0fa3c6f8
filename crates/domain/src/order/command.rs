//! Commands on an order.

use serde::{Deserialize, Serialize};

use super::{CancelReason, InterventionReason, RefundRequest, RejectReason, named::named_variants};
use crate::{AccountId, menu::UnavailableItem, text::Note};

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
    /// Returns whether the command can end an order or moves only its money. Such a command is allowed regardless of
    /// the number of events of the order.
    pub const fn ends_order(self) -> bool {
        match self {
            Self::Reject | Self::Deliver | Self::Cancel | Self::Expire | Self::Refund => true,
            Self::Confirm
            | Self::Accept
            | Self::MarkReady
            | Self::AssignCourier
            | Self::PickUp
            | Self::Warn => false,
        }
    }
}
