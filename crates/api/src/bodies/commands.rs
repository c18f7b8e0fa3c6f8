//! Bodies of commands on an order.

use dabba_domain::{
    AccountId, Amount, Problems, Role,
    limits::MAX_PREPARATION_MINUTES,
    menu::UnavailableItem,
    order::{
        CancelReason, Command, InterventionReason, RefundBearer, RefundLine, RefundReason, RefundRequest,
        RejectReason,
    },
    text::Note,
};
use dabba_engine::Principal;
use dabba_web::Problem;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::bodies::limited::at_most;

/// A body that states a command.
pub(crate) trait CommandBody {
    /// Returns the command that the caller gives with this body.
    ///
    /// # Errors
    ///
    /// If members contradict each other, or if a member is omitted that this caller must state.
    fn into_command(self, caller: &Principal) -> Result<Command, Problem>;
}

/// The time until the food is ready.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Acceptance)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceptanceBody {
    /// Minutes until the food is ready.
    #[serde(deserialize_with = "at_most::<MAX_PREPARATION_MINUTES, _>")]
    preparation_minutes: u32,
}

impl CommandBody for AcceptanceBody {
    fn into_command(self, _: &Principal) -> Result<Command, Problem> {
        Ok(Command::Accept { preparation_minutes: self.preparation_minutes })
    }
}

/// The reason why the restaurant rejects an order.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Rejection)]
#[serde(deny_unknown_fields)]
pub(crate) struct RejectionBody {
    /// The reason.
    reason: RejectReason,
    /// Details in the restaurant's own words.
    #[serde(default)]
    note: Option<Note>,
    /// The order's items that are unavailable. Required with `item_unavailable`; not allowed with other reasons.
    #[serde(default)]
    items: Vec<UnavailableItem>,
}

impl CommandBody for RejectionBody {
    fn into_command(self, _: &Principal) -> Result<Command, Problem> {
        let Self { reason, note, items } = self;
        Ok(Command::Reject { reason, note, items })
    }
}

/// The courier of an order.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = Assignment)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssignmentBody {
    /// The courier's account. Default: the caller, if the caller is a courier.
    #[serde(default)]
    courier_id: Option<AccountId>,
    /// The reason why an admin assigns another courier. Required from an admin after the pick-up; only for admins.
    #[serde(default)]
    reason: Option<InterventionReason>,
    /// Details in the admin's own words.
    #[serde(default)]
    note: Option<Note>,
}

impl CommandBody for AssignmentBody {
    fn into_command(self, caller: &Principal) -> Result<Command, Problem> {
        let Self { courier_id, reason, note } = self;
        let courier_id = match courier_id {
            Some(courier_id) => courier_id,
            None if caller.role == Role::Admin => {
                return Err(Problem::invalid(&Problems::one("/courier_id", "is required from an admin")));
            }
            // The engine refuses callers who are not couriers, whatever the body contains.
            None => caller.account_id,
        };
        Ok(Command::AssignCourier { courier_id, reason, note })
    }
}

/// The reason why an admin marks an order as delivered.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = Delivery)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeliveryBody {
    /// The reason why an admin does this instead of the courier. Required from an admin; only for admins.
    #[serde(default)]
    reason: Option<InterventionReason>,
    /// Details in the admin's own words.
    #[serde(default)]
    note: Option<Note>,
}

impl CommandBody for DeliveryBody {
    fn into_command(self, _: &Principal) -> Result<Command, Problem> {
        let Self { reason, note } = self;
        Ok(Command::Deliver { reason, note })
    }
}

/// The reason why an order is cancelled.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Cancellation)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancellationBody {
    /// The reason. Customers use `changed_mind`, `duplicate`, `wrong_address`, `too_slow` or `other`; the restaurant's
    /// staff `duplicate`, `wrong_address`, `item_unavailable`, `kitchen_closed`, `no_courier`, `customer_unreachable`,
    /// `suspected_fraud` or `other`; an admin any reason.
    reason: CancelReason,
    /// Details in the caller's own words.
    #[serde(default)]
    note: Option<Note>,
    /// The order's items that are unavailable. Required with `item_unavailable`; not allowed with other reasons.
    #[serde(default)]
    items: Vec<UnavailableItem>,
}

impl CancellationBody {
    /// Returns the command.
    pub(crate) fn command(self) -> Command {
        let Self { reason, note, items } = self;
        Command::Cancel { reason, note, items }
    }
}

impl CommandBody for CancellationBody {
    fn into_command(self, _: &Principal) -> Result<Command, Problem> {
        Ok(self.command())
    }
}

/// The money that the customer gets back.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = RefundRequest)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefundBody {
    /// The amount. Default: the whole refundable amount, if there are no lines either.
    #[serde(default)]
    amount: Option<Amount>,
    /// The lines to refund, with their tax, instead of an amount. At least one.
    #[serde(default)]
    #[schema(min_items = 1)]
    lines: Option<Vec<RefundLine>>,
    reason: RefundReason,
    /// Details in the caller's own words.
    #[serde(default)]
    note: Option<Note>,
    /// Who bears the refund. Default: if the order ended early, the party that bears its end; otherwise the restaurant.
    /// Only an admin can choose another party.
    #[serde(default)]
    borne_by: Option<RefundBearer>,
}

impl CommandBody for RefundBody {
    fn into_command(self, _: &Principal) -> Result<Command, Problem> {
        let Self { amount, lines, reason, note, borne_by } = self;
        // An empty list must not mean the whole refundable amount; only a request without both members means that.
        if lines.as_ref().is_some_and(Vec::is_empty) {
            let text = "must not be empty; omit it to refund an amount or the whole rest";
            return Err(Problem::invalid(&Problems::one("/lines", text)));
        }
        let lines = lines.unwrap_or_default();
        Ok(Command::Refund(RefundRequest { amount, lines, reason, note, borne_by }))
    }
}
