//! A planted violation for each code, in an otherwise valid store.

mod cards;
mod lists;
mod provider;
mod stock;

use std::sync::Arc;

use dabba_domain::{
    Actor, Amount, Bucket, OrderId, RestaurantId, TaskId, Timestamp,
    order::{
        CancelReason, Event, ExpiryReason, InterventionReason, Order, OrderDetails, OrderStatus,
        PaymentStatus, RecordedEvent, Refund, RefundBearer, RefundFailureReason, RefundNumber, RefundReason,
        ReviewReason, UnknownEvent,
    },
    task::{Task, TaskSubject},
};
use dabba_sim::audit::{AuditOptions, FindingCode, Severity, audit};
use dabba_store::{
    StoredTask, TaskRecord,
    conformance::builders::{World, amount, changed, customer, staff},
};
use jiff::SignedDuration;

use crate::{
    embedded,
    gateway::{ConsistentProvider, TamperSummary},
    lives::{Stage, put, put_by_card},
    tampering::{Lists, Stored, Tamper, TamperLists, Tampering},
};

/// A violation: an order at this stage is tampered with, and audited later by this time.
struct Planted {
    code: FindingCode,
    stage: Stage,
    by_card: bool,
    later: SignedDuration,
    tamper: Tamper,
    /// The provider's records, as a change to what the orders say.
    gateway: TamperSummary,
    lists: TamperLists,
}

/// The provider's records match the orders.
const CONSISTENT: TamperSummary = |_| {};

/// Adds every task that the order could need. No task is due, however late the audit is, and there are no
/// keys that could contradict the planted violation.
const TASKS_NOT_DUE: TamperLists = |lists| {
    for task in [Task::CapturePayment, Task::VoidPayment, Task::RefundPayment { number: RefundNumber::MIN }] {
        add(lists, task);
    }
    let (number, reason) = (RefundNumber::MIN, RefundFailureReason::Other);
    add(lists, Task::Review { reason: ReviewReason::RefundReversed { number, reason } });
    for stored in &mut lists.tasks {
        stored.task.run_at = Timestamp::MAX;
    }
    lists.claims.clear();
};

/// Adds a task for the order of the first task.
fn add(lists: &mut Lists, task: Task) {
    let first = &lists.tasks[0];
    let random = u64::try_from(lists.tasks.len()).unwrap();
    let id = TaskId::generate(first.task.id.created_at(), first.task.id.bucket(), random);
    let task = TaskRecord { id, kind: task.kind(), content: Ok(task), ..first.task.clone() };
    let stored = StoredTask { task, ..first.clone() };
    lists.tasks.push(stored);
}

const SOON: SignedDuration = SignedDuration::from_mins(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

const fn plant(code: FindingCode, stage: Stage, tamper: Tamper) -> Planted {
    Planted { code, stage, by_card: false, later: SOON, tamper, gateway: CONSISTENT, lists: TASKS_NOT_DUE }
}

const fn wait(code: FindingCode, stage: Stage) -> Planted {
    Planted {
        code,
        stage,
        by_card: false,
        later: DAY,
        tamper: |_| {},
        gateway: CONSISTENT,
        lists: TASKS_NOT_DUE,
    }
}

/// Appends an event to an order, whether the event is allowed or not.
fn append_event(stored: &mut Stored, actor: Actor, event: Event) {
    append_event_after(stored, SignedDuration::from_secs(1), actor, event);
}

/// Appends an event this long after the last event.
fn append_event_after(stored: &mut Stored, pause: SignedDuration, actor: Actor, event: Event) {
    let last = stored.events.last().unwrap();
    let (order_id, version, at) = (last.order_id, last.version + 1, last.at + pause);
    stored.events.push(RecordedEvent { order_id, version, at, actor, event });
    stored.refold();
}

const fn expired(waited_for: ExpiryReason) -> Event {
    Event::Expired { waited_for, stock_returned: false }
}

/// Returns an event of a type that only a newer version of Dabba knows.
fn unknown_event() -> Event {
    Event::Unknown(UnknownEvent { name: "held_back".into(), data: None })
}

fn refund_of(number: u32, amount: Amount) -> Refund {
    let number = RefundNumber::new(number).unwrap();
    let (reason, borne_by) = (RefundReason::Late, RefundBearer::Restaurant);
    Refund {
        number,
        amount,
        lines: Vec::new(),
        taxes: Vec::new(),
        reason,
        note: None,
        borne_by,
        external: None,
    }
}

/// Changes the details of the order, both in the order and in its first event.
fn change_details(stored: &mut Stored, change: impl FnOnce(&mut OrderDetails)) {
    let details = Arc::new(changed(&stored.order.details, change));
    stored.events[0].event = Event::Placed(details);
    stored.refold();
}

fn admin(order: &Order) -> Actor {
    Actor::Admin { account_id: order.details.customer_id }
}

fn more_than(amount: Amount) -> Amount {
    Amount::from_minor(amount.minor() + 1).unwrap()
}

fn total(stored: &Stored) -> Amount {
    stored.order.details.amounts.total
}

fn collect(stored: &mut Stored) {
    collect_by(stored, Actor::System);
}

fn collect_by(stored: &mut Stored, actor: Actor) {
    let amount = total(stored);
    append_event(stored, actor, Event::PaymentCaptured { amount });
}

fn mark_ready(stored: &mut Stored) {
    let actor = staff(&stored.order);
    append_event(stored, actor, Event::MarkedReady);
}

fn cancel(stored: &mut Stored) {
    let actor = customer(&stored.order);
    cancel_at_the_cost_of(stored, actor, RefundBearer::Everyone);
}

fn cancel_at_the_cost_of(stored: &mut Stored, actor: Actor, borne_by: RefundBearer) {
    let (reason, note) = (CancelReason::Other, None);
    append_event(
        stored,
        actor,
        Event::Cancelled { reason, note, items: Vec::new(), stock_returned: false, borne_by },
    );
}

fn refund(stored: &mut Stored, amount: Amount) {
    let actor = admin(&stored.order);
    append_event(stored, actor, Event::Refunded(refund_of(1, amount)));
}

const PLANTED: &[Planted] = &[
    plant(FindingCode::HistoryMissing, Stage::Delivered, |stored| stored.events.clear()),
    plant(FindingCode::HistoryUnreadable, Stage::Delivered, |stored| stored.is_unreadable = true),
    // The order is not marked as written by a newer version, so the event is damage.
    plant(FindingCode::HistoryUnreadable, Stage::Delivered, |stored| {
        append_event(stored, Actor::System, unknown_event());
        stored.order.is_written_by_newer = false;
    }),
    plant(FindingCode::WrittenByNewer, Stage::Preparing, |stored| {
        append_event(stored, Actor::System, unknown_event());
    }),
    // Nothing is known about the correct state of such an order.
    plant(FindingCode::WrittenByNewer, Stage::Delivered, |stored| {
        stored.order.status = OrderStatus::Created;
        stored.order.is_written_by_newer = true;
    }),
    plant(FindingCode::HistoryNumbering, Stage::Delivered, |stored| {
        stored.events.remove(1);
    }),
    plant(FindingCode::HistoryNumbering, Stage::Delivered, |stored| stored.events[3].version = 3),
    plant(FindingCode::HistoryNumbering, Stage::Delivered, |stored| stored.events.swap(2, 3)),
    plant(FindingCode::HistoryForeign, Stage::Delivered, |stored| {
        let Stored { order, events, .. } = stored;
        let random = 1;
        events[2].order_id = OrderId::generate(order.placed_at, order.id.bucket(), random);
    }),
    plant(FindingCode::HistoryStart, Stage::Delivered, |stored| stored.events[0].event = Event::MarkedReady),
    plant(FindingCode::HistoryStart, Stage::Delivered, |stored| {
        stored.events[1].event = stored.events[0].event.clone();
    }),
    plant(FindingCode::HistoryVersion, Stage::Delivered, |stored| {
        stored.events.pop();
    }),
    plant(FindingCode::HistoryVersion, Stage::Confirmed, |stored| stored.order.version = 1),
    plant(FindingCode::HistoryTime, Stage::Confirmed, |stored| {
        stored.events[1].at -= SOON;
        stored.refold();
    }),
    plant(FindingCode::StateDiffers, Stage::Delivered, |stored| stored.order.courier_id = None),
    plant(FindingCode::StateDiffers, Stage::Confirmed, |stored| stored.order.acceptance_deadline = None),
    plant(FindingCode::StateDiffers, Stage::Confirmed, |stored| stored.order.status = OrderStatus::Created),
    plant(FindingCode::StateDiffers, Stage::Preparing, |stored| stored.order.ready_by = None),
    plant(FindingCode::StateDiffers, Stage::Preparing, |stored| stored.order.updated_at += SOON),
    plant(FindingCode::StateDiffers, Stage::Preparing, |stored| stored.order.placed_at -= SOON),
    plant(FindingCode::StateDiffers, Stage::Confirmed, |stored| {
        stored.order.details = Arc::new(changed(&stored.order.details, |details| details.note = None));
    }),
    plant(FindingCode::StateDiffers, Stage::Delivered, |stored| {
        stored.order.refunded = amount(1);
        stored.order.payment_status = PaymentStatus::PartiallyRefunded;
    }),
    plant(FindingCode::WrongBucket, Stage::Confirmed, |stored| {
        let restaurant_id = stored.order.details.restaurant_id;
        let number = restaurant_id.bucket().number();
        let bucket = Bucket::new(number ^ 1).unwrap();
        let other = RestaurantId::generate(restaurant_id.created_at(), bucket, 1);
        change_details(stored, |details| details.restaurant_id = other);
    }),
    plant(FindingCode::IllegalMove, Stage::Confirmed, mark_ready),
    plant(FindingCode::IllegalMove, Stage::OutForDelivery, mark_ready),
    plant(FindingCode::IllegalActor, Stage::Confirmed, |stored| {
        let (actor, ready_by) = (customer(&stored.order), stored.order.updated_at + DAY);
        append_event(stored, actor, Event::Accepted { preparation_minutes: 20, ready_by });
    }),
    plant(FindingCode::IllegalActor, Stage::Confirmed, |stored| {
        // A courier may assign only themselves.
        let Actor::Restaurant { account_id, .. } = staff(&stored.order) else { unreachable!() };
        let other = World::new(77).account_id();
        append_event(stored, Actor::Courier { account_id }, Event::assigned(other));
    }),
    plant(FindingCode::IllegalActor, Stage::OutForDelivery, |stored| {
        // An admin must state a reason for replacing a courier who has the food.
        let actor = admin(&stored.order);
        append_event(stored, actor, Event::assigned(World::new(77).account_id()));
    }),
    plant(FindingCode::IllegalActor, Stage::OutForDelivery, |stored| {
        // A courier must not state a reason.
        let (account_id, reason) = (stored.order.courier_id.unwrap(), Some(InterventionReason::Other));
        append_event(stored, Actor::Courier { account_id }, Event::Delivered { reason, note: None });
        collect_by(stored, Actor::Courier { account_id });
    }),
    plant(FindingCode::IllegalActor, Stage::Preparing, cancel),
    plant(FindingCode::IllegalActor, Stage::Confirmed, |stored| stored.events[0].actor = Actor::System),
    plant(FindingCode::MovedAfterEnd, Stage::Cancelled, |stored| {
        let (actor, courier_id) = (admin(&stored.order), stored.order.details.customer_id);
        append_event(stored, actor, Event::assigned(courier_id));
    }),
    plant(FindingCode::ExpiredEarly, Stage::Confirmed, |stored| {
        append_event(stored, Actor::System, expired(ExpiryReason::Restaurant));
    }),
    plant(FindingCode::LineTotal, Stage::Delivered, |stored| {
        change_details(stored, |details| details.lines[0].quantity += 1);
    }),
    plant(FindingCode::LineTotal, Stage::Delivered, |stored| {
        change_details(stored, |details| {
            let line = &mut details.lines[0];
            line.options[0].price = more_than(line.unit_price);
        });
    }),
    // One of three units is charged, because the group has two free units.
    plant(FindingCode::LineTotal, Stage::Delivered, |stored| {
        change_details(stored, |details| details.lines[0].options[0].charged = None);
    }),
    plant(FindingCode::LineTotal, Stage::Delivered, |stored| {
        change_details(stored, |details| details.lines[0].options[0].quantity = Some(u32::MAX));
    }),
    plant(FindingCode::LineTotal, Stage::Delivered, |stored| {
        change_details(stored, |details| details.lines[0].rules.clear());
    }),
    plant(FindingCode::Subtotal, Stage::Confirmed, |stored| {
        change_details(stored, |details| {
            details.amounts.subtotal = more_than(details.amounts.subtotal);
            details.amounts.total = more_than(details.amounts.total);
        });
    }),
    plant(FindingCode::Total, Stage::Confirmed, |stored| {
        change_details(stored, |details| details.amounts.total = more_than(details.amounts.total));
    }),
    plant(FindingCode::Parts, Stage::Confirmed, |stored| {
        change_details(stored, |details| details.fees[0].amount = more_than(details.fees[0].amount));
    }),
    plant(FindingCode::Taxes, Stage::Confirmed, |stored| {
        change_details(stored, |details| details.taxes[0].base = more_than(details.taxes[0].base));
    }),
    plant(FindingCode::Taxes, Stage::Confirmed, |stored| {
        // The shares still add up to the tax.
        change_details(stored, |details| {
            let [first, second] = details.lines.as_mut_slice() else { panic!("two lines") };
            let (first, second) = (&mut first.parts[0].taxes[0], &mut second.parts[0].taxes[0]);
            first.amount = more_than(first.amount);
            second.amount = second.amount.minus(amount(1)).unwrap();
        });
    }),
    plant(FindingCode::Total, Stage::Delivered, |stored| {
        change_details(stored, |details| details.amounts.discount = amount(9));
    }),
    plant(FindingCode::CapturedTwice, Stage::Delivered, collect),
    plant(FindingCode::CapturedEarly, Stage::Preparing, collect),
    plant(FindingCode::CapturedTooMuch, Stage::Delivered, |stored| {
        let amount = more_than(total(stored));
        stored.events.last_mut().unwrap().event = Event::PaymentCaptured { amount };
        stored.refold();
    }),
    plant(FindingCode::CapturedTooLittle, Stage::Delivered, |stored| {
        stored.events.pop();
        stored.refold();
    }),
    plant(FindingCode::RefundedTooMuch, Stage::Delivered, |stored| refund(stored, more_than(total(stored)))),
    plant(FindingCode::MoneyKept, Stage::Confirmed, |stored| {
        collect(stored);
        cancel(stored);
        refund(stored, amount(1));
    }),
    plant(FindingCode::PaymentStatus, Stage::Delivered, |stored| {
        stored.order.payment_status = PaymentStatus::Pending;
    }),
    plant(FindingCode::PaymentStatus, Stage::Cancelled, |stored| {
        stored.order.payment_status = PaymentStatus::Pending;
    }),
    wait(FindingCode::Unanswered, Stage::Confirmed),
    Planted {
        code: FindingCode::Unanswered,
        stage: Stage::Confirmed,
        by_card: false,
        later: DAY,
        tamper: |stored| {
            stored.events.pop();
            stored.refold();
        },
        gateway: CONSISTENT,
        lists: TASKS_NOT_DUE,
    },
    wait(FindingCode::Unready, Stage::Preparing),
    wait(FindingCode::NotPickedUp, Stage::Ready),
    wait(FindingCode::Undelivered, Stage::OutForDelivery),
];

/// Returns all planted violations.
fn all() -> impl Iterator<Item = &'static Planted> {
    PLANTED.iter().chain(cards::PLANTED).chain(provider::PLANTED).chain(stock::PLANTED).chain(lists::PLANTED)
}

/// Proves for every code that its violation is found, has a text, and causes no other finding.
#[tokio::test]
async fn every_planted_code_is_found_and_no_other() {
    for (number, planted) in all().enumerate() {
        let Planted { code, stage, by_card, later, tamper, gateway, lists } = planted;
        let (store, _directory) = embedded().await;
        let mut world = World::new(u64::try_from(number).unwrap());
        let order = if *by_card {
            put_by_card(&*store, &mut world, *stage).await
        } else {
            put(&*store, &mut world, *stage).await
        };
        let options = AuditOptions::new(world.now() + *later);
        let store = Tampering::new(store, *tamper).with_lists(*lists);
        let provider = ConsistentProvider { store: &store, tamper: *gateway };
        let report = audit(&store, Some(&provider), &options).await.unwrap();
        let found: Vec<FindingCode> = report.findings.iter().map(|finding| finding.code).collect();
        assert_eq!(found, [*code], "case {number}: {report}");
        let finding = &report.findings[0];
        let is_of_no_order =
            matches!(code, FindingCode::Oversold | FindingCode::StorageDamaged | FindingCode::TaskSubject);
        assert_eq!(finding.order_id.is_none(), is_of_no_order, "{report}");
        if !is_of_no_order && !matches!(code, FindingCode::TaskWithoutOrder | FindingCode::KeyOrder) {
            assert_eq!(finding.order_id, Some(order.id), "{report}");
        }
        assert!(!finding.text.is_empty());
        assert_eq!((report.orders, report.counts[code]), (1, 1));
        assert_eq!(report.is_clean(), code.severity() == Severity::Warning, "{report}");
        assert!(report.to_string().contains(code.as_str()));
    }
}

/// Codes of data that is derived and not stored, so that no store can be tampered with. The tests of the
/// `ledger` module plant them.
const DERIVED: &[FindingCode] = &[FindingCode::LedgerSum, FindingCode::LedgerDiffers];

/// Proves that every code is planted.
#[test]
fn every_code_is_planted() {
    let planted: Vec<FindingCode> = all().map(|planted| planted.code).collect();
    for code in FindingCode::ALL {
        assert!(planted.contains(code) || DERIVED.contains(code), "{code} is not planted by any test");
    }
}

/// Proves that an unusual but valid order is no breach: its money was captured, it was cancelled, and the
/// money was refunded.
#[tokio::test]
async fn refunded_money_is_not_a_breach() {
    let (store, _directory) = embedded().await;
    let mut world = World::new(9);
    put(&*store, &mut world, Stage::Confirmed).await;
    let tamper: Tamper = |stored| {
        collect(stored);
        cancel(stored);
        refund(stored, total(stored));
    };
    let report =
        audit(&Tampering::new(store, tamper), None, &AuditOptions::new(Timestamp::MIN)).await.unwrap();
    assert_eq!((report.breaches, report.warnings), (0, 0), "{report}");
}

/// Proves that correct returns of stock are no breach, and neither are events from the time before items were
/// named.
#[tokio::test]
async fn correctly_returned_stock_is_not_a_breach() {
    for (number, (stage, by_card, tamper)) in stock::VALID.iter().enumerate() {
        let (store, _directory) = embedded().await;
        let mut world = World::new(11);
        if *by_card {
            put_by_card(&*store, &mut world, *stage).await;
        } else {
            put(&*store, &mut world, *stage).await;
        }
        let options = AuditOptions::new(Timestamp::MIN);
        let store = Tampering::new(store, *tamper).with_lists(TASKS_NOT_DUE);
        let report = audit(&store, None, &options).await.unwrap();
        assert_eq!((report.breaches, report.warnings), (0, 0), "case {number}: {report}");
    }
}

/// Proves that unusual but valid tasks and keys are no breach.
#[tokio::test]
async fn unusual_tasks_and_keys_are_not_a_breach() {
    for (number, (stage, tamper, tamper_lists)) in lists::VALID.iter().enumerate() {
        let (store, _directory) = embedded().await;
        let mut world = World::new(10);
        put_by_card(&*store, &mut world, *stage).await;
        let store = Tampering::new(store, *tamper).with_lists(*tamper_lists);
        let report = audit(&store, None, &AuditOptions::new(Timestamp::MIN)).await.unwrap();
        assert_eq!((report.breaches, report.warnings), (0, 0), "case {number}: {report}");
    }
}

/// Proves that an open review of a restaurant is reported without an order. It needs no order, and the bucket of its id has
/// no meaning.
#[tokio::test]
async fn a_review_of_a_restaurant_is_reported_without_an_order() {
    let (store, _directory) = embedded().await;
    let mut world = World::new(13);
    put(&*store, &mut world, Stage::Delivered).await;
    let tampering = Tampering::new(store, |_| {}).with_lists(|lists| {
        TASKS_NOT_DUE(lists);
        add(lists, Task::Review { reason: ReviewReason::PaymentVoided });
        let review = lists.tasks.last_mut().unwrap();
        let at = review.task.id.created_at();
        let restaurant_id = RestaurantId::generate(at, Bucket::from_random(1), 7);
        (review.parked_at, review.task.subject) = (Some(at), TaskSubject::Restaurant(restaurant_id));
    });
    let report = audit(&tampering, None, &AuditOptions::new(world.now())).await.unwrap();
    assert_eq!(report.findings.len(), 1, "{report}");
    let finding = &report.findings[0];
    assert_eq!((finding.code, finding.order_id), (FindingCode::ReviewOpen, None));
    assert!(finding.text.starts_with("restaurant ") && finding.text.contains("(review)"), "{report}");
}
