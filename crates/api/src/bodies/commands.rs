//! Bodies of commands on an order.

use dabba_domain::{
    AccountId, Amount,
    limits::MAX_PREPARATION_MINUTES,
    menu::UnavailableItem,
    order::{CancelReason, InterventionReason, RefundBearer, RefundLine, RefundReason, RejectReason},
    text::Note,
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::bodies::limited::at_most;

/// The time until the food is ready.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Acceptance)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceptanceBody {
    /// Minutes until the food is ready.
    #[serde(deserialize_with = "at_most::<MAX_PREPARATION_MINUTES, _>")]
    pub(crate) preparation_minutes: u32,
}

/// The reason why the restaurant rejects an order.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Rejection)]
#[serde(deny_unknown_fields)]
pub(crate) struct RejectionBody {
    /// The reason.
    pub(crate) reason: RejectReason,
    /// Details in the restaurant's own words.
    #[serde(default)]
    pub(crate) note: Option<Note>,
    /// The order's items that are unavailable. Required with `item_unavailable`; not allowed with other reasons.
    #[serde(default)]
    pub(crate) items: Vec<UnavailableItem>,
}

/// The courier of an order.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = Assignment)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssignmentBody {
    /// The courier's account. Default: the caller, if the caller is a courier.
    #[serde(default)]
    pub(crate) courier_id: Option<AccountId>,
    /// The reason why an admin assigns another courier. Required from an admin after the pick-up; only for admins.
    #[serde(default)]
    pub(crate) reason: Option<InterventionReason>,
    /// Details in the admin's own words.
    #[serde(default)]
    pub(crate) note: Option<Note>,
}

/// The reason why an admin marks an order as delivered.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = Delivery)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeliveryBody {
    /// The reason why an admin does this instead of the courier. Required from an admin; only for admins.
    #[serde(default)]
    pub(crate) reason: Option<InterventionReason>,
    /// Details in the admin's own words.
    #[serde(default)]
    pub(crate) note: Option<Note>,
}

/// The reason why an order is cancelled.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Cancellation)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancellationBody {
    /// The reason. Customers use `changed_mind`, `duplicate`, `wrong_address`, `too_slow` or `other`; the restaurant's
    /// staff `duplicate`, `wrong_address`, `item_unavailable`, `kitchen_closed`, `no_courier`, `customer_unreachable`,
    /// `suspected_fraud` or `other`; an admin any reason.
    pub(crate) reason: CancelReason,
    /// Details in the caller's own words.
    #[serde(default)]
    pub(crate) note: Option<Note>,
    /// The order's items that are unavailable. Required with `item_unavailable`; not allowed with other reasons.
    #[serde(default)]
    pub(crate) items: Vec<UnavailableItem>,
}

/// The money that the customer gets back.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = RefundRequest)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefundBody {
    /// The amount. Default: the whole refundable amount, if there are no lines either.
    #[serde(default)]
    pub(crate) amount: Option<Amount>,
    /// The lines to refund, with their tax, instead of an amount. At least one.
    #[serde(default)]
    #[schema(min_items = 1)]
    pub(crate) lines: Option<Vec<RefundLine>>,
    pub(crate) reason: RefundReason,
    /// Details in the caller's own words.
    #[serde(default)]
    pub(crate) note: Option<Note>,
    /// Who bears the refund. Default: if the order ended early, the party that bears its end; otherwise the restaurant.
    /// Only an admin can choose another party.
    #[serde(default)]
    pub(crate) borne_by: Option<RefundBearer>,
}
