//! Answers for orders that an actor may not see: not found, with every command and every content (I9).

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
    payments::paid_lives,
};

/// Commands of this kind, the last ones with content that does not fit.
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

/// Orders in every status: in cash and by card, delivered and collected, with few events and with as many as there
/// may be.
fn orders() -> Vec<Order> {
    let (brought, fetched) = (order(delivery()), order(Fulfilment::Collection));
    let mut orders = paid_lives();
    orders.extend([must(&brought, &crate::common::customer(), &cancel()), brought, fetched]);
    orders.push(placed_by_card(Fulfilment::Collection).order);
    let full = orders.clone().into_iter().map(|order| Order { version: MAX_ORDER_VERSION, ..order });
    orders.extend(full.collect::<Vec<_>>());
    orders
}

/// Whether a courier takes a free order for themselves, by the documentation.
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

/// Every command, with every content, by everybody, of orders in every status: 404 for who may not see the order,
/// 403 before the content for who is never to give the command, 409 before the content for what nobody in their role
/// does with such an order.
#[test]
fn who_may_not_see_an_order_is_never_told_that_it_is_there() {
    let (mut hidden, mut taken, mut invalid) = (0, 0, 0);
    for order in orders() {
        for (name, actor) in everyone() {
            for command in CommandKind::ALL.iter().flat_map(|kind| commands(*kind)) {
                let told = act(&order, &actor, &command);
                let what = format!("{command:?} by {name} while {}", order.status);
                if !order.is_visible_to(&actor) {
                    if is_taken(&order, &actor, &command) {
                        assert!(told.is_ok_and(|decision| !decision.events.is_empty()), "{what}");
                        taken += 1;
                    } else {
                        assert_eq!(told, Err(Rejection::NotTheirs), "{what}");
                        hidden += 1;
                    }
                    continue;
                }
                assert_ne!(told, Err(Rejection::NotTheirs), "{what}");
                let kind = command.kind();
                let is_for_role = is_for_role(kind, &actor);
                let is_refused_for_role = told == Err(Rejection::RoleNotAllowed { command: kind });
                assert_eq!(is_refused_for_role, !is_for_role, "{what}: {told:?}");
                let is_for_such =
                    is_for_role && (kind != CommandKind::Deliver || is_handed_over_by(&order, &actor));
                if matches!(told, Err(Rejection::Invalid(_))) {
                    assert!(is_for_such, "{what}");
                    invalid += 1;
                }
            }
        }
    }
    assert!(hidden > 1_000 && taken > 0 && invalid > 100, "{hidden} {taken} {invalid}");
}

/// Who ever gives a command, by the documentation.
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

/// Staff hands over what is collected, couriers and admins what is brought.
fn is_handed_over_by(order: &Order, actor: &Actor) -> bool {
    let is_collected = order.details.fulfilment == Fulfilment::Collection;
    matches!(actor, Actor::Restaurant { .. }) == is_collected
}
