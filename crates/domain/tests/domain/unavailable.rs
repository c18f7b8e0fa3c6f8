//! Early ends that name unavailable items: which stock is returned, which items become unavailable, and which commands
//! are refused.

use dabba_domain::{
    Actor, Timestamp,
    menu::UnavailableItem,
    order::{
        CancelReason, Closure, Command, CommandKind, Decision, Event, Order, OrderDetails, RecordedEvent,
        RefundBearer, RejectReason, Rejection, StockDraw, decide, evolve, fold, is_repeat,
    },
    text::{Note, Slug},
};
use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::json;

use crate::{
    common::{admin, customer, delivery, details, now, placed_with, settings, staff},
    moves::{accept, act, must, unavailable},
};

fn slug(text: &str) -> Slug {
    Slug::new(text).unwrap()
}

fn in_minutes(minutes: i64) -> Timestamp {
    now() + SignedDuration::from_mins(minutes)
}

fn until(item: &str, minutes: i64) -> UnavailableItem {
    UnavailableItem { item: slug(item), until: Some(in_minutes(minutes)) }
}

/// An order of dal twice, naan and lassi. The stock of dal and naan is limited.
fn mixed() -> Decision {
    let details = details(delivery());
    let line = |item: &str| {
        let mut line = details.lines[0].clone();
        line.item = slug(item);
        line
    };
    let lines = ["dal", "naan", "lassi", "dal"].map(line).to_vec();
    let draw = |item: &str, quantity| StockDraw { item: slug(item), quantity };
    let stock_drawn = vec![draw("dal", 4), draw("naan", 2)];
    placed_with(OrderDetails { lines, stock_drawn, ..details })
}

fn rejects(items: Vec<UnavailableItem>) -> Command {
    Command::Reject { reason: RejectReason::ItemUnavailable, note: None, items }
}

fn cancels(items: Vec<UnavailableItem>) -> Command {
    Command::Cancel { reason: CancelReason::ItemUnavailable, note: None, items }
}

/// Proves that the stock of the named items is kept, all other stock is returned, and the named items become
/// unavailable.
#[test]
fn only_the_stock_of_named_items_is_kept() {
    let order = mixed().order;
    let [dal, naan] = order.details.stock_drawn.clone().try_into().unwrap();
    let cases = [
        (unavailable(&["dal"]), vec![naan.clone()]),
        (unavailable(&["naan"]), vec![dal.clone()]),
        (unavailable(&["lassi"]), vec![dal, naan.clone()]),
        (unavailable(&["naan", "dal"]), vec![]),
        (vec![until("lassi", 5), until("dal", 30)], vec![naan]),
    ];
    for (items, returned) in cases {
        for (actor, command) in [
            (staff(), rejects(items.clone())),
            (staff(), cancels(items.clone())),
            (admin(), cancels(items.clone())),
        ] {
            let decision = act(&order, &actor, &command).unwrap();
            assert_eq!(decision.stock_returned, returned, "{command:?}");
            assert_eq!(decision.unavailable, items, "{command:?}");
            assert_eq!(decision.order.closure.unwrap().items(), items);
            let returned_by_event: Vec<_> =
                decision.events[0].event.returned_stock(&order.details.stock_drawn).cloned().collect();
            assert_eq!(returned_by_event, returned, "the event states the same");
        }
    }
}

/// Proves that after the kitchen has begun no stock is returned, but the named items still become unavailable.
#[test]
fn items_named_after_the_acceptance_become_unavailable() {
    let preparing = must(&mixed().order, &staff(), &accept());
    for actor in [staff(), admin()] {
        let decision = act(&preparing, &actor, &cancels(unavailable(&["dal"]))).unwrap();
        assert_eq!(decision.stock_returned, []);
        assert_eq!(decision.unavailable, unavailable(&["dal"]));
    }
}

/// Proves that an end without named items makes no item unavailable.
#[test]
fn an_end_without_items_makes_no_item_unavailable() {
    let order = mixed().order;
    for (actor, command) in [
        (customer(), Command::cancel(CancelReason::Other)),
        (staff(), Command::reject(RejectReason::TooBusy)),
        (staff(), accept()),
    ] {
        assert_eq!(act(&order, &actor, &command).unwrap().unavailable, [], "{command:?}");
    }
    let expired = decide(&order, &Command::Expire, &Actor::System, &settings(), in_minutes(9)).unwrap();
    assert_eq!((expired.unavailable.len(), expired.stock_returned), (0, order.details.stock_drawn.clone()));
}

/// Proves that every problem of the items is refused with its place, in every status.
#[test]
fn invalid_items_are_refused() {
    let order = mixed().order;
    let accepted = must(&order, &staff(), &accept());
    let required = "is required with item_unavailable; must name at least one of dal, naan, lassi";
    let foreign = "korma is not in the order; must be one of dal, naan, lassi";
    let past = "must be in the future, not 2026-06-01T12:00:00Z; omit it if the item is to stay unavailable";
    let cases = [
        (vec![], &[("/items", required)][..]),
        (unavailable(&["korma"]), &[("/items/0/item", foreign)]),
        (vec![until("dal", 0)], &[("/items/0/until", past)]),
        (
            vec![until("dal", 1), until("korma", 0), until("dal", 2)],
            &[
                ("/items/1/item", foreign),
                ("/items/1/until", past),
                ("/items/2/item", "dal must not be named twice"),
            ],
        ),
    ];
    for (items, expected) in cases {
        for order in [&order, &accepted] {
            for command in [rejects(items.clone()), cancels(items.clone())] {
                let refused = act(order, &staff(), &command);
                let Err(Rejection::Invalid(problems)) = refused else { panic!("{refused:?}") };
                let found: Vec<_> = problems
                    .as_slice()
                    .iter()
                    .map(|problem| (problem.pointer.as_str(), problem.detail.as_str()))
                    .collect();
                assert_eq!(found, expected, "{command:?}");
            }
        }
    }
}

/// Proves that only the reason `item_unavailable` accepts items, for every actor.
#[test]
fn other_reasons_name_no_items() {
    let order = mixed().order;
    let items = unavailable(&["dal"]);
    for reason in RejectReason::ALL.iter().copied().filter(|reason| !reason.names_items()) {
        let command = Command::Reject { reason, note: None, items: items.clone() };
        let Err(Rejection::Invalid(problems)) = act(&order, &staff(), &command) else { panic!("{reason}") };
        assert_eq!(problems.as_slice()[0].pointer, "/items");
    }
    for reason in CancelReason::ALL.iter().copied().filter(|reason| !reason.names_items()) {
        let command = Command::Cancel { reason, note: None, items: items.clone() };
        let Err(Rejection::Invalid(problems)) = act(&order, &admin(), &command) else { panic!("{reason}") };
        let [problem] = problems.as_slice() else { panic!("{problems}") };
        assert_eq!(problem.pointer, "/items");
        assert!(problem.detail.ends_with(reason.as_str()), "{problem:?}");
    }
    // A customer gets all problems at once.
    let (reason, note, items) = (CancelReason::ItemUnavailable, None, vec![until("korma", 0)]);
    let refused = act(&order, &customer(), &Command::Cancel { reason, note, items });
    let Err(Rejection::Invalid(problems)) = refused else { panic!("{refused:?}") };
    let pointers: Vec<_> = problems.as_slice().iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(pointers, ["/reason", "/items/0/item", "/items/0/until"]);
}

/// Proves that the message about an unknown item stays short for an order of many items.
#[test]
fn a_message_lists_only_the_first_items_of_a_long_order() {
    let details = details(delivery());
    let lines = (0..100).map(|number| {
        let mut line = details.lines[0].clone();
        line.item = slug(&format!("item-{number}"));
        line
    });
    let order =
        placed_with(OrderDetails { lines: lines.collect(), stock_drawn: Vec::new(), ..details }).order;
    let refused = act(&order, &staff(), &rejects(unavailable(&["dal"])));
    let Err(Rejection::Invalid(problems)) = refused else { panic!("{refused:?}") };
    assert!(problems.as_slice()[0].detail.ends_with("item-18, item-19 and 80 more"), "{problems}");
}

/// Proves that a repeated command is recognized by its items, in any order, even if their end has passed in the
/// meantime.
#[test]
fn a_repeated_early_end_is_compared_with_its_items() {
    let items = vec![until("dal", 5), until("naan", 10)];
    let reversed: Vec<_> = items.iter().rev().cloned().collect();
    for make in [rejects as fn(Vec<UnavailableItem>) -> Command, cancels] {
        let placed = mixed();
        let decision = act(&placed.order, &staff(), &make(items.clone())).unwrap();
        let history: Vec<_> = placed.events.iter().chain(&decision.events).cloned().collect();
        let ended = decision.order;
        for (command, is_same) in [
            (make(items.clone()), true),
            (make(reversed.clone()), true),
            (make(items[..1].to_vec()), false),
            (make(vec![until("dal", 5), until("naan", 11)]), false),
            (make(vec![until("dal", 5), until("lassi", 10)]), false),
            (make(vec![until("dal", 5), until("naan", 10), until("lassi", 10)]), false),
        ] {
            let again = act(&ended, &staff(), &command);
            if is_same {
                let again = again.unwrap();
                assert_eq!((again.events.len(), again.unavailable.len()), (0, 0), "{command:?}");
            } else {
                assert_eq!(again, Err(Rejection::Already { command: command.kind() }), "{command:?}");
            }
            assert_eq!(is_repeat(&command, &history), is_same, "{command:?}");
        }
        let much_later = decide(&ended, &make(items.clone()), &staff(), &settings(), in_minutes(60));
        assert!(much_later.unwrap().events.is_empty());
    }
}

/// Proves that events recorded before items were named keep their meaning (no stock was returned) and their stored
/// form.
#[test]
fn an_old_end_without_items_keeps_its_stored_form() {
    let order = mixed().order;
    let drawn = &order.details.stock_drawn;
    for (name, closure) in [
        (
            "rejected",
            Closure::Rejected { reason: RejectReason::ItemUnavailable, note: None, items: Vec::new() },
        ),
        (
            "cancelled",
            Closure::Cancelled {
                by: staff(),
                reason: CancelReason::ItemUnavailable,
                note: None,
                items: Vec::new(),
                borne_by: RefundBearer::Everyone,
            },
        ),
    ] {
        let old = json!({"type": name, "data": {"reason": "item_unavailable", "stock_returned": false}});
        let event: Event = serde_json::from_value(old.clone()).unwrap();
        assert_eq!(event.returned_stock(drawn).count(), 0);
        assert_eq!(serde_json::to_value(&event).unwrap(), old);
        let version = order.version + 1;
        let recorded = RecordedEvent { order_id: order.id, version, at: now(), actor: staff(), event };
        let ended = evolve(Some(order.clone()), &recorded).unwrap();
        assert_eq!(ended.closure, Some(closure));
        let again = act(&ended, &staff(), &rejects(unavailable(&["dal"])));
        assert!(again.is_err_and(|rejection| !matches!(rejection, Rejection::Invalid(_))), "other content");
    }
    let command = json!({"command": "reject", "reason": "too_busy", "note": null});
    let unchanged = serde_json::to_value(Command::reject(RejectReason::TooBusy)).unwrap();
    assert_eq!(unchanged, command, "fingerprints of keys hold");
    let kind = Command::cancel(CancelReason::Other).kind();
    assert_eq!(kind, CommandKind::Cancel);
}

proptest! {
    /// Proves that every unit drawn by an order before preparation is either returned or belongs to a named item, that
    /// event and history agree, and that exactly the named items become unavailable.
    #[test]
    fn returned_and_kept_stock_is_what_was_drawn(
        lines in proptest::collection::vec((0_usize..6, 1_u32..5), 1..8),
        limited in proptest::collection::vec(any::<bool>(), 6),
        named in proptest::collection::vec(any::<bool>(), 6),
        ends in proptest::collection::vec(proptest::option::of(1_i64..90), 6),
        has_note: bool,
        way in 0_usize..3,
    ) {
        let base = details(delivery());
        let item = |number: usize| slug(&format!("item-{number}"));
        let mut drawn: Vec<StockDraw> = Vec::new();
        for (number, quantity) in lines.iter().copied().filter(|(number, _)| limited[*number]) {
            match drawn.iter_mut().find(|draw| draw.item == item(number)) {
                Some(draw) => draw.quantity += quantity,
                None => drawn.push(StockDraw { item: item(number), quantity }),
            }
        }
        let order_lines = lines.iter().map(|(number, quantity)| {
            let mut line = base.lines[0].clone();
            (line.item, line.quantity) = (item(*number), *quantity);
            line
        });
        let placed = placed_with(OrderDetails {
            lines: order_lines.collect(),
            stock_drawn: drawn.clone(),
            ..base
        });
        let items: Vec<UnavailableItem> = (0..6)
            .filter(|number| named[*number] && lines.iter().any(|(other, _)| other == number))
            .map(|number| UnavailableItem { item: item(number), until: ends[number].map(in_minutes) })
            .collect();
        let note = has_note.then(|| Note::new("sold out").unwrap());
        let cancel = Command::Cancel { reason: CancelReason::ItemUnavailable, note: note.clone(), items: items.clone() };
        let (actor, command) = match way {
            0 => (staff(), Command::Reject { reason: RejectReason::ItemUnavailable, note, items: items.clone() }),
            1 => (staff(), cancel),
            _ => (admin(), cancel),
        };
        let decided = act(&placed.order, &actor, &command);
        prop_assert_eq!(decided.is_ok(), !items.is_empty());
        let Ok(decision) = decided else { return Ok(()) };
        for draw in &drawn {
            let is_back = decision.stock_returned.contains(draw);
            let is_kept = items.iter().any(|named| named.item == draw.item);
            prop_assert!(is_back != is_kept, "{:?}", draw);
        }
        prop_assert!(decision.stock_returned.iter().all(|draw| drawn.contains(draw)));
        prop_assert_eq!(&decision.unavailable, &items);
        let event = &decision.events[0].event;
        let returned_by_event: Vec<_> = event.returned_stock(&drawn).cloned().collect();
        prop_assert_eq!(&returned_by_event, &decision.stock_returned);
        let history: Vec<_> = placed.events.iter().chain(&decision.events).cloned().collect();
        let stored: Vec<RecordedEvent> =
            serde_json::from_str(&serde_json::to_string(&history).unwrap()).unwrap();
        let folded: Option<Order> = fold(&stored).unwrap();
        prop_assert_eq!(folded, Some(decision.order));
    }
}
