//! Access to orders that an actor may not see: not found, for every command and every content (I9).

use dabba_domain::{
    Actor,
    limits::{MAX_ORDER_VERSION, MAX_PREPARATION_MINUTES},
    order::{
        CancelReason, Command, CommandKind, Fulfilment, InterventionReason, Order, OrderStatus, RefundLine,
        RefundReason, RefundRequest, RejectReason, Rejection,
    },
    text::Note,
};

use crate::{
    common::{STRANGER, account, amount, delivery, order, placed_by_card},
    moves::{act, cancel, command, everyone, must, refund},
    payments::orders_by_card,
};

/// Returns commands of this kind. The last ones have invalid content.
fn commands(kind: CommandKind) -> Vec<Command> {
    let note = || Some(Note::new("because").unwrap());
    let reason = Some(InterventionReason::Other);
    let mut commands = vec![command(kind)];
    commands.extend(match kind {
        CommandKind::Accept => {
            vec![Command::Accept { preparation_minutes: MAX_PREPARATION_MINUTES + 1 }]
        }
        CommandKind::Reject => RejectReason::ALL.iter().copied().map(Command::reject).collect(),
        CommandKind::Cancel => CancelReason::ALL.iter().copied().map(Command::cancel).collect(),
        CommandKind::AssignCourier => [STRANGER, 77]
            .into_iter()
            .flat_map(|number| {
                let courier_id = account(number);
                [(None, None), (None, note()), (reason, None), (reason, note())]
                    .map(|(reason, note)| Command::AssignCourier { courier_id, reason, note })
            })
            .collect(),
        CommandKind::Deliver => {
            vec![Command::Deliver { reason: None, note: note() }, Command::Deliver { reason, note: None }]
        }
        CommandKind::Refund => {
            let line = RefundLine { line: 9, quantity: 0 };
            let both = RefundRequest::new(Some(amount(1)), RefundReason::Late);
            vec![refund(Some(0)), Command::Refund(RefundRequest { lines: vec![line], ..both })]
        }
        _ => Vec::new(),
    });
    commands
}

/// Returns orders in every status: in cash and by card, for delivery and collection, with few events and with the
/// maximum number of events.
fn orders() -> Vec<Order> {
    let (brought, fetched) = (order(delivery()), order(Fulfilment::Collection));
    let mut orders = orders_by_card();
    orders.extend([must(&brought, &crate::common::customer(), &cancel()), brought, fetched]);
    orders.push(placed_by_card(Fulfilment::Collection).order);
    let full = orders.clone().into_iter().map(|order| Order { version: MAX_ORDER_VERSION, ..order });
    orders.extend(full.collect::<Vec<_>>());
    orders
}

/// Whether a courier takes a free order for themselves, according to the documentation.
fn is_taken(order: &Order, actor: &Actor, command: &Command) -> bool {
    let is_free = order.courier_id.is_none()
        && matches!(order.details.fulfilment, Fulfilment::Delivery { .. })
        && matches!(
            order.status,
            OrderStatus::Confirmed | OrderStatus::Preparing | OrderStatus::ReadyForPickup
        );
    let (Actor::Courier { account_id }, Command::AssignCourier { courier_id, reason: None, note: None }) =
        (actor, command)
    else {
        return false;
    };
    is_free && account_id == courier_id && order.version < MAX_ORDER_VERSION
}

/// Proves the order of checks for every command, content, actor and status: 404 if the actor may not see the order;
/// 403, before the content, if the actor's role never gives the command; 409, before the content, if no actor of the
/// role gives the command for such an order.
#[test]
fn an_order_stays_hidden_from_actors_who_may_not_see_it() {
    let (mut hidden, mut taken, mut invalid) = (0, 0, 0);
    for order in orders() {
        for (name, actor) in everyone() {
            for command in CommandKind::ALL.iter().flat_map(|kind| commands(*kind)) {
                let result = act(&order, &actor, &command);
                let what = format!("{command:?} by {name} while {}", order.status);
                if !order.is_visible_to(&actor) {
                    if is_taken(&order, &actor, &command) {
                        assert!(result.is_ok_and(|decision| !decision.events.is_empty()), "{what}");
                        taken += 1;
                    } else {
                        assert_eq!(result, Err(Rejection::NotAParty), "{what}");
                        hidden += 1;
                    }
                    continue;
                }
                assert_ne!(result, Err(Rejection::NotAParty), "{what}");
                let kind = command.kind();
                let is_for_role = is_for_role(kind, &actor);
                let is_refused_for_role = result == Err(Rejection::RoleNotAllowed { command: kind });
                assert_eq!(is_refused_for_role, !is_for_role, "{what}: {result:?}");
                let is_for_such =
                    is_for_role && (kind != CommandKind::Deliver || is_handed_over_by(&order, &actor));
                if matches!(result, Err(Rejection::Invalid(_))) {
                    assert!(is_for_such, "{what}");
                    invalid += 1;
                }
            }
        }
    }
    assert!(hidden > 1_000 && taken > 0 && invalid > 100, "{hidden} {taken} {invalid}");
}

/// Whether the actor's role ever gives the command, according to the documentation.
fn is_for_role(kind: CommandKind, actor: &Actor) -> bool {
    match actor {
        Actor::Customer { .. } => kind == CommandKind::Cancel,
        Actor::Restaurant { .. } => matches!(
            kind,
            CommandKind::Accept
                | CommandKind::Reject
                | CommandKind::MarkReady
                | CommandKind::Deliver
                | CommandKind::Cancel
                | CommandKind::Refund
        ),
        Actor::Courier { .. } => {
            matches!(kind, CommandKind::AssignCourier | CommandKind::PickUp | CommandKind::Deliver)
        }
        Actor::Admin { .. } => matches!(
            kind,
            CommandKind::AssignCourier | CommandKind::Deliver | CommandKind::Cancel | CommandKind::Refund
        ),
        Actor::System => matches!(
            kind,
            CommandKind::Confirm | CommandKind::AssignCourier | CommandKind::Warn | CommandKind::Expire
        ),
    }
}

/// Whether the actor hands the order over: staff on collection, couriers and admins on delivery.
fn is_handed_over_by(order: &Order, actor: &Actor) -> bool {
    let is_collected = order.details.fulfilment == Fulfilment::Collection;
    matches!(actor, Actor::Restaurant { .. }) == is_collected
}
