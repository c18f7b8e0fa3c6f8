//! The lifecycle of an order: the table and each command.

use std::fmt::Write as _;

use crate::{
    bill::{Bill, Life},
    common::{
        COURIER, account, admin, amount, courier, customer, delivery, now, order, placed, placed_by_card,
        settings, staff,
    },
    moves::{accept, act, assign, cancel, command, command_by, everyone, must, refund, reject, unavailable},
};
use dabba_domain::{
    Actor, Amount,
    limits::MAX_ORDER_VERSION,
    order::{
        CancelReason, Closure, Command, CommandKind, Event, ExpiryReason, Fulfilment, InterventionReason,
        Order, OrderStatus, PaymentMethod, PaymentStatus, RecordedEvent, RefundBearer, RejectReason,
        Rejection, allowed_actions, decide, evolve, fold, is_repeat,
    },
    task::Task,
    text::Note,
};
use jiff::SignedDuration;
use serde_json::json;

/// Returns an order for delivery in each status, with its courier if the status allows one.
fn delivery_orders() -> Vec<Order> {
    let confirmed = order(delivery());
    let assigned = must(&confirmed, &courier(), &assign());
    let preparing = must(&assigned, &staff(), &accept());
    let ready = must(&preparing, &staff(), &Command::MarkReady);
    let carried = must(&ready, &courier(), &Command::PickUp);
    let delivered = must(&carried, &courier(), &Command::deliver());
    let refunded = must(&delivered, &admin(), &refund(None));
    let cancelled = must(&confirmed, &customer(), &cancel());
    vec![confirmed, assigned, preparing, ready, carried, delivered, cancelled, refunded]
}

fn collection_orders() -> Vec<Order> {
    let confirmed = order(Fulfilment::Collection);
    let preparing = must(&confirmed, &staff(), &accept());
    let ready = must(&preparing, &staff(), &Command::MarkReady);
    let delivered = must(&ready, &staff(), &Command::deliver());
    vec![confirmed, preparing, ready, delivered]
}

/// Returns an order by card whose payment is not certain. After that, its lifecycle is that of any other order.
fn unpaid_orders() -> Vec<Order> {
    vec![placed_by_card(delivery()).order]
}

fn all_orders() -> [(&'static str, Vec<Order>); 3] {
    [("by card", unpaid_orders()), ("delivery", delivery_orders()), ("collection", collection_orders())]
}

/// Prints the allowed actions of every actor in every status as a text that a person can check.
#[test]
fn what_is_allowed_to_whom() {
    let mut text = String::new();
    for (kind, life) in all_orders() {
        for order in life {
            let carried = if order.courier_id.is_some() { ", with courier" } else { "" };
            writeln!(text, "{kind}, {}{carried}", order.status).unwrap();
            for (name, actor) in everyone() {
                let allowed = allowed_actions(&order, &actor, settings().refund_limit);
                let names: Vec<_> = allowed.iter().map(|action| action.command.as_str()).collect();
                if !names.is_empty() {
                    writeln!(text, "  {name}: {}", names.join(", ")).unwrap();
                }
            }
        }
    }
    insta::assert_snapshot!(text);
}

/// Proves that `allowed_actions` and `decide` agree: a command is listed exactly if it would be carried out and change
/// something.
#[test]
fn allowed_actions_and_decide_agree() {
    let late = now() + SignedDuration::from_hours(1);
    for order in all_orders().into_iter().flat_map(|(_, life)| life) {
        for (name, actor) in everyone() {
            let allowed = allowed_actions(&order, &actor, settings().refund_limit);
            for kind in CommandKind::ALL {
                let listed = allowed.iter().any(|action| action.command == *kind);
                let command = command_by(&actor, *kind, order.status);
                let carried_out = decide(&order, &command, &actor, &settings(), late)
                    .is_ok_and(|decision| !decision.events.is_empty());
                assert_eq!(listed, carried_out, "{name} gives {kind} while {}", order.status);
            }
        }
    }
}

#[test]
fn an_order_in_cash_is_confirmed_when_it_is_placed() {
    let decision = placed(delivery());
    let names: Vec<_> = decision.events.iter().map(|recorded| recorded.event.name()).collect();
    assert_eq!(names, ["placed", "confirmed"]);
    assert_eq!(decision.order.version, 2);
    assert_eq!(decision.order.status, OrderStatus::Confirmed);
    let deadline = now() + SignedDuration::from_mins(8);
    assert_eq!(decision.order.acceptance_deadline, Some(deadline));
    assert_eq!(decision.tasks.len(), 1);
    assert_eq!(decision.tasks[0].task, Task::WarnUnaccepted);
    assert_eq!(decision.tasks[0].run_at, deadline - SignedDuration::from_mins(2));
}

#[test]
fn cash_is_captured_when_the_food_is_handed_over() {
    for life in [delivery_orders(), collection_orders()] {
        let delivered = life.iter().find(|order| order.status == OrderStatus::Delivered).unwrap();
        assert_eq!(delivered.payment_status, PaymentStatus::Captured);
        assert_eq!(delivered.captured, delivered.details.amounts.total);
    }
}

#[test]
fn nothing_is_captured_for_a_cancelled_order_in_cash() {
    let cancelled = must(&order(delivery()), &customer(), &cancel());
    assert_eq!(cancelled.payment_status, PaymentStatus::Voided);
    assert_eq!(
        act(&cancelled, &admin(), &refund(None)).unwrap_err(),
        Rejection::AmountNotRefundable { refundable: Amount::ZERO }
    );
}

/// Prints the outcome of every repeated command, with the same and with other content, at every later stage of an
/// order, according to decision and history.
#[test]
fn what_a_repeated_command_is_answered_with() {
    let admins = |courier_id, reason| Command::AssignCourier { courier_id, reason: Some(reason), note: None };
    let delivered = |reason| Command::Deliver { reason: Some(reason), note: None };
    let [unreachable, unable] = [InterventionReason::CourierUnreachable, InterventionReason::CourierUnable];
    let note = Some(Note::new("gate 4").unwrap());
    let steps = [
        (staff(), accept()),
        (staff(), Command::MarkReady),
        (courier(), assign()),
        (courier(), Command::PickUp),
        (admin(), admins(account(8), unreachable)),
        (admin(), delivered(unable)),
        (admin(), refund(None)),
    ];
    let given = [
        (staff(), accept()),
        (staff(), Command::Accept { preparation_minutes: 45 }),
        (staff(), Command::MarkReady),
        (courier(), Command::PickUp),
        (Actor::Courier { account_id: account(8) }, Command::PickUp),
        (admin(), admins(account(8), unreachable)),
        (admin(), admins(account(8), unable)),
        (Actor::Courier { account_id: account(8) }, Command::assign(account(8))),
        (Actor::Courier { account_id: account(8) }, Command::deliver()),
        (admin(), delivered(unable)),
        (admin(), Command::Deliver { reason: Some(unable), note }),
        (admin(), delivered(InterventionReason::Other)),
        (admin(), refund(None)),
    ];
    let mut life = Life { order: order(delivery()), history: placed(delivery()).events };
    let mut text = String::new();
    for (actor, command) in steps {
        life.give(&command, &actor);
        writeln!(text, "after {}: {}", command.kind(), life.order.status).unwrap();
        for (actor, command) in &given {
            let outcome = match act(&life.order, actor, command) {
                Ok(decision) if decision.events.is_empty() => {
                    assert_eq!((&decision.order, decision.tasks.len()), (&life.order, 0));
                    "done".to_owned()
                }
                Err(Rejection::Already { .. }) if is_repeat(command, &life.history) => "done".to_owned(),
                Err(Rejection::Already { command }) => format!("already, {command} differs"),
                Err(Rejection::AmountNotRefundable { .. }) => "nothing refundable".to_owned(),
                // The table decides what is allowed at this stage.
                Ok(_) | Err(Rejection::NotAParty | Rejection::IllegalMove { .. }) => continue,
                Err(rejection) => panic!("{command:?}: {rejection}"),
            };
            writeln!(text, "  {}: {outcome}", serde_json::to_string(command).unwrap()).unwrap();
        }
    }
    insta::assert_snapshot!(text.replace(&account(8).to_string(), "<courier>"));
}

/// Proves for an order by card, where other events follow the acceptance, that the same content succeeds and other
/// content is refused.
#[test]
fn a_repeated_acceptance_is_compared_after_later_events() {
    let bill = Bill {
        lines: vec![(2, 650)],
        tax_rate: 2_000,
        delivery_fee: 0,
        tip: 0,
        discount: 0,
        method: PaymentMethod::Card,
        collects: true,
    };
    let life = bill.delivered();
    let other = Command::Accept { preparation_minutes: 21 };
    for version in 4..=life.history.len() {
        let order = fold(&life.history[..version]).unwrap().unwrap();
        let history = &life.history[..version];
        let again = act(&order, &staff(), &accept());
        let is_done = again.is_ok_and(|decision| decision.events.is_empty()) || is_repeat(&accept(), history);
        assert!(is_done, "{}", order.status);
        assert_eq!(act(&order, &staff(), &other), Err(Rejection::Already { command: CommandKind::Accept }));
        assert!(!is_repeat(&other, history));
    }
    let cancelled = must(&must(&order(delivery()), &staff(), &accept()), &staff(), &cancel());
    let late = act(&cancelled, &staff(), &accept());
    assert!(matches!(late, Err(Rejection::IllegalMove { .. })), "the acceptance no longer holds: {late:?}");
}

/// Proves that a repeated early end must have the same reason and note.
#[test]
fn a_repeated_early_end_is_compared_by_reason_and_note() {
    let note = |text| Some(Note::new(text).unwrap());
    let rejected = must(&order(delivery()), &staff(), &reject());
    let cancelled = must(&order(delivery()), &customer(), &cancel());
    for (order, command) in [
        (&rejected, Command::reject(RejectReason::Other)),
        (
            &rejected,
            Command::Reject { reason: RejectReason::TooBusy, note: note("sorry"), items: Vec::new() },
        ),
        (&cancelled, Command::cancel(CancelReason::Duplicate)),
        (&cancelled, Command::Cancel { reason: CancelReason::Other, note: note("sorry"), items: Vec::new() }),
    ] {
        let refused = act(order, &staff(), &command);
        assert_eq!(refused, Err(Rejection::Already { command: command.kind() }), "{command:?}");
    }
}

#[test]
fn only_the_command_that_ended_the_order_can_be_repeated() {
    let rejected = must(&order(delivery()), &staff(), &reject());
    assert!(act(&rejected, &staff(), &reject()).unwrap().events.is_empty());
    assert!(matches!(act(&rejected, &staff(), &cancel()), Err(Rejection::IllegalMove { .. })));
    let cancelled = must(&order(delivery()), &customer(), &cancel());
    assert!(act(&cancelled, &staff(), &cancel()).unwrap().events.is_empty(), "by any actor");
    assert!(matches!(act(&cancelled, &staff(), &reject()), Err(Rejection::IllegalMove { .. })));
    let (by, reason, borne_by) = (customer(), CancelReason::Other, RefundBearer::Everyone);
    assert_eq!(
        cancelled.closure,
        Some(Closure::Cancelled { by, reason, note: None, items: Vec::new(), borne_by })
    );
}

#[test]
fn every_command_of_a_stranger_is_refused_as_not_theirs() {
    for order in delivery_orders() {
        for (name, stranger) in everyone().into_iter().filter(|(name, _)| name.starts_with("other")) {
            assert!(!order.is_visible_to(&stranger), "{name}");
            for kind in CommandKind::ALL {
                let claims = *kind == CommandKind::AssignCourier
                    && order.courier_id.is_none()
                    && matches!(stranger, Actor::Courier { .. });
                if !claims {
                    assert_eq!(
                        act(&order, &stranger, &command(*kind)),
                        Err(Rejection::NotAParty),
                        "{name} {kind}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_courier_takes_a_free_order_only_for_themselves() {
    let free = order(delivery());
    // An order that the courier may not see does not exist for the courier, unless the courier takes it.
    assert_eq!(act(&free, &courier(), &Command::assign(account(8))), Err(Rejection::NotAParty));
    let taken = must(&free, &courier(), &assign());
    let refused = act(&taken, &courier(), &Command::assign(account(8)));
    let Err(Rejection::Invalid(problems)) = refused else { panic!("{refused:?}") };
    assert_eq!(problems.as_slice()[0].pointer, "/courier_id");
    assert!(taken.is_visible_to(&courier()));
    let other = Actor::Courier { account_id: account(8) };
    assert_eq!(act(&taken, &other, &Command::assign(account(8))), Err(Rejection::NotAParty));
    // An admin may assign the order to another courier, who then is the only one to carry it.
    let given = must(&taken, &admin(), &Command::assign(account(8)));
    assert!(!given.is_visible_to(&courier()) && given.is_visible_to(&other));
    // No courier can take an order that has ended.
    let over = must(&free, &customer(), &cancel());
    assert_eq!(act(&over, &courier(), &assign()), Err(Rejection::NotAParty));
}

#[test]
fn an_order_for_collection_has_no_courier() {
    let order = order(Fulfilment::Collection);
    assert!(matches!(act(&order, &admin(), &assign()), Err(Rejection::IllegalMove { .. })));
    assert_eq!(act(&order, &courier(), &assign()), Err(Rejection::NotAParty));
}

#[test]
fn an_order_expires_only_after_its_deadline() {
    let order = order(delivery());
    let deadline = order.acceptance_deadline.unwrap();
    let expire = |at| decide(&order, &Command::Expire, &Actor::System, &settings(), at);
    let just_before = deadline - SignedDuration::from_nanos(1);
    assert!(matches!(expire(just_before), Err(Rejection::IllegalMove { .. })));
    let expired = expire(deadline).unwrap().order;
    let closure = Closure::Expired { waited_for: ExpiryReason::Restaurant };
    assert_eq!((expired.status, expired.closure), (OrderStatus::Cancelled, Some(closure)));
    let accepted = must(&order, &staff(), &accept());
    let late = decide(&accepted, &Command::Expire, &Actor::System, &settings(), deadline);
    assert!(matches!(late, Err(Rejection::IllegalMove { .. })), "accepted in time");
}

#[test]
fn stock_is_returned_until_the_kitchen_begins() {
    let confirmed = order(delivery());
    let drawn = confirmed.details.stock_drawn.clone();
    let returned = |order: &Order, actor, command| act(order, &actor, &command).unwrap().stock_returned;
    assert_eq!(returned(&confirmed, customer(), cancel()), drawn);
    assert_eq!(returned(&confirmed, staff(), reject()), drawn);
    let (reason, items) = (RejectReason::ItemUnavailable, unavailable(&["dal"]));
    let gone = Command::Reject { reason, note: None, items };
    assert!(returned(&confirmed, staff(), gone).is_empty(), "the stock of unavailable items is not returned");
    let preparing = must(&confirmed, &staff(), &accept());
    assert!(returned(&preparing, staff(), cancel()).is_empty(), "the kitchen has begun");
}

/// Prints the reasons that each actor may give, and checks that a customer's cancellation returns all stock.
#[test]
fn each_actor_has_their_own_reasons() {
    let confirmed = order(delivery());
    let drawn = confirmed.details.stock_drawn.clone();
    let mut text = String::new();
    for (name, actor) in [("customer", customer()), ("staff", staff()), ("admin", admin())] {
        for reason in CancelReason::ALL {
            let items = if reason.names_items() { unavailable(&["dal"]) } else { Vec::new() };
            let decision = act(&confirmed, &actor, &Command::Cancel { reason: *reason, note: None, items });
            let outcome = match decision {
                Ok(decision) if decision.stock_returned == drawn => "cancelled, stock returned",
                Ok(_) => "cancelled",
                Err(Rejection::Invalid(problems)) => {
                    let [problem] = problems.as_slice() else { panic!("{problems}") };
                    assert_eq!(problem.pointer, "/reason");
                    let allowed = CancelReason::of(&actor).iter().map(|it| it.as_str()).collect::<Vec<_>>();
                    assert!(problem.detail.starts_with(reason.as_str()), "{problem:?}");
                    assert!(problem.detail.ends_with(&allowed.join(", ")), "{problem:?}");
                    "refused"
                }
                Err(rejection) => panic!("{rejection}"),
            };
            writeln!(text, "{name} {reason}: {outcome}").unwrap();
        }
    }
    insta::assert_snapshot!(text);
    for reason in RejectReason::ALL {
        let items = if reason.names_items() { unavailable(&["dal"]) } else { Vec::new() };
        must(&confirmed, &staff(), &Command::Reject { reason: *reason, note: None, items });
    }
}

/// Proves that a reason that the actor may not give is refused as such, even after the end of the order, and that an
/// old event with such a reason can be read.
#[test]
fn reasons_are_checked_before_the_status_and_never_in_a_history() {
    let wrong = Command::cancel(CancelReason::ItemUnavailable);
    for order in delivery_orders() {
        let refused = act(&order, &customer(), &wrong);
        let Err(Rejection::Invalid(problems)) = refused else { panic!("{}: {refused:?}", order.status) };
        let places: Vec<_> = problems.as_slice().iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(places, ["/reason"], "the items that are missing are no second problem");
    }
    let order = order(delivery());
    let old = json!({"type": "cancelled", "data": {"reason": "item_unavailable", "stock_returned": false}});
    let event = serde_json::from_value(old).unwrap();
    let version = order.version + 1;
    let recorded = RecordedEvent { order_id: order.id, version, at: now(), actor: customer(), event };
    let reason = CancelReason::ItemUnavailable;
    let (by, borne_by) = (customer(), RefundBearer::Everyone);
    let closure = Closure::Cancelled { by, reason, note: None, items: Vec::new(), borne_by };
    assert_eq!(evolve(Some(order), &recorded).unwrap().closure, Some(closure));
}

#[test]
fn partial_refunds_never_exceed_the_captured_amount() {
    let mut order =
        delivery_orders().into_iter().find(|order| order.status == OrderStatus::Delivered).unwrap();
    for (actor, minor, expected) in [
        (staff(), 501, Err(Rejection::RefundLimit { limit: amount(500) })),
        (staff(), 300, Ok((OrderStatus::Delivered, PaymentStatus::PartiallyRefunded))),
        (staff(), 201, Err(Rejection::RefundLimit { limit: amount(500) })),
        (staff(), 200, Ok((OrderStatus::Delivered, PaymentStatus::PartiallyRefunded))),
        (admin(), 1_061, Err(Rejection::AmountNotRefundable { refundable: amount(1_060) })),
        (admin(), 1_060, Ok((OrderStatus::Refunded, PaymentStatus::Refunded))),
    ] {
        let result = act(&order, &actor, &refund(Some(minor))).map(|decision| {
            order = decision.order;
            (order.status, order.payment_status)
        });
        assert_eq!(result, expected, "{minor}");
    }
    let Err(Rejection::Invalid(problems)) = act(&order, &admin(), &refund(Some(0))) else { panic!() };
    assert_eq!(problems.as_slice()[0].pointer, "/amount");
}

#[test]
fn the_number_of_events_is_limited() {
    let mut order = order(delivery());
    let mut couriers = (10..).map(account);
    loop {
        let courier_id = couriers.next().unwrap();
        match act(&order, &admin(), &Command::assign(courier_id)) {
            Ok(decision) => order = decision.order,
            Err(rejection) => {
                assert_eq!(rejection, Rejection::HistoryFull);
                assert_eq!(order.version, MAX_ORDER_VERSION);
                let allowed = allowed_actions(&order, &admin(), settings().refund_limit);
                assert_eq!(allowed.iter().map(|it| it.command).collect::<Vec<_>>(), [CommandKind::Cancel]);
                return;
            }
        }
    }
}

/// Proves that at the limit and beyond it every command that can end an order is allowed as before, and every other
/// command is refused, and that `allowed_actions` agrees.
#[test]
fn an_order_with_a_full_history_can_still_end() {
    let late = now() + SignedDuration::from_hours(1);
    for order in delivery_orders().into_iter().chain(collection_orders()) {
        for version in [MAX_ORDER_VERSION, MAX_ORDER_VERSION + 7] {
            let full = Order { version, ..order.clone() };
            for (name, actor) in everyone() {
                let allowed = allowed_actions(&full, &actor, settings().refund_limit);
                for kind in CommandKind::ALL {
                    let command = command_by(&actor, *kind, order.status);
                    let before = decide(&order, &command, &actor, &settings(), late);
                    let at_limit = decide(&full, &command, &actor, &settings(), late);
                    let what = format!("{kind} by {name} while {}", order.status);
                    match before {
                        Ok(decision) if !decision.events.is_empty() && !kind.ends_order() => {
                            // A courier does not learn that such an order exists.
                            let is_known = order.is_visible_to(&actor);
                            let refusal =
                                if is_known { Rejection::HistoryFull } else { Rejection::NotAParty };
                            assert_eq!(at_limit, Err(refusal), "{what}");
                        }
                        Ok(decision) => {
                            let decided = at_limit.unwrap_or_else(|rejection| panic!("{what}: {rejection}"));
                            assert_eq!(decided.events.len(), decision.events.len(), "{what}");
                        }
                        Err(rejection) => assert_eq!(at_limit, Err(rejection), "{what}"),
                    }
                    if !kind.ends_order() {
                        assert!(allowed.iter().all(|action| action.command != *kind), "{what}");
                    }
                }
            }
        }
    }
}

/// Proves that a courier who disappears with the food does not block the order: an admin delivers or reassigns it, with
/// a reason.
#[test]
fn an_admin_intervenes_for_a_courier_after_the_pick_up() {
    let carried = delivery_orders().into_iter().find(|it| it.status == OrderStatus::OutForDelivery).unwrap();
    let reason = Some(InterventionReason::CourierUnreachable);
    let note = Some(Note::new("does not answer").unwrap());
    let courier_id = account(8);
    let reassign = Command::AssignCourier { courier_id, reason, note: note.clone() };
    let deliver = Command::Deliver { reason, note: note.clone() };
    for without in [Command::assign(courier_id), Command::deliver()] {
        let Err(Rejection::Invalid(problems)) = act(&carried, &admin(), &without) else { panic!() };
        assert_eq!(problems.as_slice()[0].pointer, "/reason");
        assert!(problems.to_string().contains("courier_unreachable, courier_unable"), "{problems}");
    }
    let decision = act(&carried, &admin(), &reassign).unwrap();
    let event = Event::CourierAssigned { courier_id, reason, note: note.clone() };
    assert_eq!(decision.events[0].event, event);
    let other = Actor::Courier { account_id: courier_id };
    assert!(matches!(act(&decision.order, &courier(), &Command::deliver()), Err(Rejection::NotAParty)));
    assert_eq!(must(&decision.order, &other, &Command::deliver()).status, OrderStatus::Delivered);
    let delivered = act(&carried, &admin(), &deliver).unwrap();
    assert_eq!(delivered.events[0].event, Event::Delivered { reason, note: note.clone() });
    assert_eq!(delivered.order.captured, carried.details.amounts.total, "cash");
    // Only an admin gives a reason, and a note requires a reason.
    for (actor, command) in [
        (courier(), deliver),
        (courier(), Command::AssignCourier { courier_id: account(COURIER), reason, note: None }),
        (admin(), Command::Deliver { reason: None, note }),
    ] {
        assert!(matches!(act(&carried, &actor, &command), Err(Rejection::Invalid(_))), "{command:?}");
    }
    // Before the pick-up an admin assigns without a reason. Other actors cannot reassign.
    let ready = delivery_orders().into_iter().find(|it| it.status == OrderStatus::ReadyForPickup).unwrap();
    assert_eq!(must(&ready, &admin(), &Command::assign(courier_id)).courier_id, Some(courier_id));
    assert!(act(&carried, &Actor::System, &Command::assign(courier_id)).is_err());
}
