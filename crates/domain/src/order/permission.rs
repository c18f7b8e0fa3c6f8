//! Permission: which actor may see an order, and which commands the actor may give now, by the lifecycle table.

use serde::{Deserialize, Serialize};

use super::{
    CommandKind, Order, OrderStatus, Rejection,
    lifecycle::{OrderRole, Rule, rules_of},
    refund_request::refundable_by,
};
use crate::{Actor, Amount, Timestamp, limits::MAX_ORDER_VERSION};

/// An action that the actor may take on an order now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AllowedAction {
    /// The command.
    pub command: CommandKind,
    /// Time until which the command is possible. Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

/// Returns the actions that `actor` may take on the order now, in the order of the lifecycle.
///
/// `refund_limit` is the limit of the order's restaurant and matters only to its staff. `decide` refuses a listed
/// action only because of its content (an amount, a courier).
pub fn allowed_actions(order: &Order, actor: &Actor, refund_limit: Amount) -> Vec<AllowedAction> {
    if order.is_written_by_newer {
        return Vec::new();
    }
    CommandKind::ALL
        .iter()
        .copied()
        .filter(|command| check_party(order, *command, actor).is_ok())
        .filter(|command| {
            permit(order, *command, actor).is_ok() && check_event_limit(order, *command).is_ok()
        })
        .filter(|command| match command {
            CommandKind::Refund => refundable_by(order, actor, refund_limit) > Amount::ZERO,
            // The courier who already carries the order has nothing to take over.
            CommandKind::AssignCourier => !OrderRole::AssignedCourier.is(actor, order),
            CommandKind::Confirm => !order.awaits_payment(),
            _ => true,
        })
        .map(|command| {
            let deadline = match command {
                CommandKind::Accept | CommandKind::Reject | CommandKind::Expire => order.deadline(),
                _ => None,
            };
            AllowedAction { command, deadline }
        })
        .collect()
}

/// Returns whether the actor is a courier who may take this free order: the order is for delivery, is in a status in
/// which a courier may take it, and has room for the event. Any other order stays hidden from couriers who do not carry
/// it.
fn may_claim(order: &Order, command: CommandKind, actor: &Actor) -> bool {
    command == CommandKind::AssignCourier
        && matches!(actor, Actor::Courier { .. })
        && permit(order, command, actor).is_ok()
        && check_event_limit(order, command).is_ok()
}

/// Checks that the actor is a party to the order, and that the actor's role may give the command.
pub(super) fn check_party(order: &Order, command: CommandKind, actor: &Actor) -> Result<(), Rejection> {
    if !is_party(order, actor) && !may_claim(order, command, actor) {
        return Err(Rejection::NotAParty);
    }
    if !rules_of(command).any(|rule| rule.roles.iter().any(|role| role.has_role_of(actor))) {
        return Err(Rejection::RoleNotAllowed { command });
    }
    Ok(())
}

/// Checks the command against the lifecycle table.
pub(super) fn permit(order: &Order, command: CommandKind, actor: &Actor) -> Result<(), Rejection> {
    if rules_for(order, command, actor).any(|rule| rule.from.contains(&order.status)) {
        return Ok(());
    }
    if command == CommandKind::Refund && order.status == OrderStatus::Refunded {
        Err(Rejection::AmountNotRefundable { refundable: Amount::ZERO })
    } else {
        Err(Rejection::IllegalMove { command, status: order.status })
    }
}

/// Returns whether the actor may give the command for such an order in some status. Only such an actor may repeat the
/// command.
pub(super) fn may_ever_give(order: &Order, command: CommandKind, actor: &Actor) -> bool {
    rules_for(order, command, actor).next().is_some()
}

/// Returns the rules of the command that apply to the actor and to the order's kind of fulfilment.
fn rules_for<'a>(
    order: &'a Order,
    command: CommandKind,
    actor: &'a Actor,
) -> impl Iterator<Item = &'static Rule> + use<'a> {
    let fulfilment = order.details.fulfilment.kind();
    rules_of(command).filter(move |rule| {
        rule.only.is_none_or(|only| only == fulfilment) && rule.roles.iter().any(|role| role.is(actor, order))
    })
}

/// Checks that an order with this number of events still accepts the command.
pub(super) fn check_event_limit(order: &Order, command: CommandKind) -> Result<(), Rejection> {
    if order.version >= MAX_ORDER_VERSION && !command.ends_order() {
        return Err(Rejection::HistoryFull);
    }
    Ok(())
}

/// Returns whether the actor is a party to the order. Only parties may see it.
pub(super) fn is_party(order: &Order, actor: &Actor) -> bool {
    [
        OrderRole::Customer,
        OrderRole::Restaurant,
        OrderRole::AssignedCourier,
        OrderRole::Admin,
        OrderRole::System,
    ]
    .into_iter()
    .any(|role| role.is(actor, order))
}

impl Order {
    /// Returns whether `actor` may see this order (I9).
    pub fn is_visible_to(&self, actor: &Actor) -> bool {
        is_party(self, actor)
    }
}
