//! Violations in the tasks, keys and stock of a store with one order.

use dabba_domain::{
    Actor, Bucket, OrderId, RestaurantId, TaskId,
    order::{Event, RefundFailureReason, RefundNumber, ReviewReason},
    task::{Task, TaskKind, TaskSubject},
};
use dabba_sim::audit::FindingCode;
use dabba_store::{
    Resource, StoreError, StoredStock,
    conformance::builders::{World, amount, slug, staff},
};

use super::{CONSISTENT, DAY, Planted, SOON, add, append_event, cancel, refund_of};
use crate::{
    lives::Stage,
    tampering::{Lists, Tamper, TamperLists},
};

const fn plant(code: FindingCode, stage: Stage, lists: TamperLists) -> Planted {
    Planted { code, stage, by_card: true, later: SOON, tamper: |_| {}, gateway: CONSISTENT, lists }
}

/// An order that needs a task which does not exist.
const fn wait(stage: Stage, tamper: Tamper, lists: TamperLists) -> Planted {
    let code = FindingCode::TaskMissing;
    Planted { code, stage, by_card: true, later: SOON, tamper, gateway: CONSISTENT, lists }
}

/// Keeps only tasks of these kinds.
fn keep(lists: &mut Lists, kinds: &[TaskKind]) {
    lists.tasks.retain(|stored| kinds.contains(&stored.task.kind));
}

/// Damages the content of a task.
fn damage(lists: &mut Lists, index: usize) {
    lists.tasks[index].task.content = Err(StoreError::Corrupt("injected by a test".to_owned()));
}

/// Returns the bucket that differs only in the last bit.
fn neighbour(bucket: Bucket) -> Bucket {
    Bucket::new(bucket.number() ^ 1).unwrap()
}

fn request(stored: &mut crate::tampering::Stored) {
    let actor = staff(&stored.order);
    append_event(stored, actor, Event::RefundRequested(refund_of(1, amount(1))));
}

/// Requests two refunds.
fn request_two(stored: &mut crate::tampering::Stored) {
    request(stored);
    let actor = staff(&stored.order);
    append_event(stored, actor, Event::RefundRequested(refund_of(2, amount(1))));
}

pub(super) const PLANTED: &[Planted] = &[
    plant(FindingCode::StorageDamaged, Stage::Delivered, |lists| {
        lists.damage.push("page 7 is damaged".to_owned());
    }),
    plant(FindingCode::TaskWithoutOrder, Stage::Delivered, |lists| {
        let task = &mut lists.tasks[0].task;
        task.subject = TaskSubject::Order(OrderId::generate(task.id.created_at(), task.id.bucket(), 7));
    }),
    plant(FindingCode::TaskBucket, Stage::Delivered, |lists| {
        let id = &mut lists.tasks[0].task.id;
        *id = TaskId::generate(id.created_at(), neighbour(id.bucket()), 7);
    }),
    plant(FindingCode::TaskSubject, Stage::Delivered, |lists| {
        let stored = &mut lists.tasks[0];
        let at = stored.task.id.created_at();
        let restaurant_id = RestaurantId::generate(at, stored.task.id.bucket(), 7);
        // Nothing else can be said about the task.
        (stored.parked_at, stored.task.subject) = (Some(at), TaskSubject::Restaurant(restaurant_id));
    }),
    plant(FindingCode::TaskUnreadable, Stage::Delivered, |lists| damage(lists, 0)),
    // The damaged tasks count as the tasks that the order needs.
    plant(FindingCode::TaskUnreadable, Stage::Created, |lists| {
        keep(lists, &[TaskKind::AuthorizePayment]);
        damage(lists, 0);
    }),
    Planted {
        code: FindingCode::TaskUnreadable,
        ..wait(Stage::Delivered, request, |lists| {
            add(lists, Task::RefundPayment { number: RefundNumber::MIN });
            let last = lists.tasks.len() - 1;
            damage(lists, last);
        })
    },
    // A task whose content only a newer server can decode counts as one task: the order needs the refunds 1 and 2.
    wait(Stage::Delivered, request_two, |lists| {
        add(lists, Task::RefundPayment { number: RefundNumber::MIN });
        let last = lists.tasks.last_mut().unwrap();
        last.task.content = Err(StoreError::WrittenByNewer("injected by a test".to_owned()));
    }),
    plant(FindingCode::TaskParked, Stage::Created, |lists| {
        lists.tasks[0].parked_at = Some(lists.tasks[0].task.id.created_at());
    }),
    plant(FindingCode::ReviewOpen, Stage::Delivered, |lists| {
        add(lists, Task::Review { reason: ReviewReason::PaymentVoided });
        let review = lists.tasks.last_mut().unwrap();
        review.parked_at = Some(review.task.id.created_at());
    }),
    Planted {
        later: DAY,
        ..plant(FindingCode::TaskOverdue, Stage::Delivered, |lists| lists.tasks.truncate(1))
    },
    wait(Stage::Created, |_| {}, |lists| lists.tasks.clear()),
    wait(Stage::Confirmed, |_| {}, |lists| keep(lists, &[TaskKind::ExpireUnpaid])),
    wait(Stage::Confirmed, cancel, |lists| keep(lists, &[TaskKind::AuthorizePayment])),
    wait(Stage::Created, cancel, |lists| keep(lists, &[TaskKind::ExpireUnpaid])),
    wait(
        Stage::Preparing,
        |stored| {
            stored.events.pop();
            stored.refold();
        },
        |lists| keep(lists, &[TaskKind::WarnUnaccepted]),
    ),
    wait(Stage::Delivered, request, |_| {}),
    wait(Stage::Delivered, request, |lists| {
        add(lists, Task::RefundPayment { number: RefundNumber::new(2).unwrap() });
    }),
    wait(
        Stage::Delivered,
        |stored| {
            request(stored);
            append_event(stored, Actor::System, Event::Refunded(refund_of(1, amount(1))));
            let (number, reason) = (RefundNumber::MIN, RefundFailureReason::Other);
            append_event(stored, Actor::System, Event::RefundReversed { number, reason });
        },
        |_| {},
    ),
    plant(FindingCode::KeyOrder, Stage::Created, |lists| {
        let id = lists.claims[0].record.order_id().unwrap();
        let id = OrderId::generate(id.created_at(), id.bucket(), 7);
        lists.claims[0].record.resource = Resource::Order(id);
    }),
    plant(FindingCode::KeyOrder, Stage::Created, |lists| {
        let id = lists.claims[0].key.restaurant_id.unwrap();
        lists.claims[0].key.restaurant_id = Some(RestaurantId::generate(id.created_at(), id.bucket(), 7));
    }),
    plant(FindingCode::KeyOrder, Stage::Created, |lists| lists.claims[0].key.restaurant_id = None),
    plant(FindingCode::KeyVersion, Stage::Created, |lists| lists.claims[0].record.version = 2),
    plant(FindingCode::KeyVersion, Stage::Created, |lists| lists.claims[0].record.version = 0),
    plant(FindingCode::KeyAccount, Stage::Created, |lists| {
        lists.claims[0].key.account_id = World::new(78).account_id();
    }),
    plant(FindingCode::PlacedTwice, Stage::Created, |lists| {
        let mut again = lists.claims[0].clone();
        again.key.key = World::new(78).key();
        lists.claims.push(again);
    }),
    plant(FindingCode::Oversold, Stage::Created, |lists| {
        let restaurant_id = lists.claims[0].key.restaurant_id.unwrap();
        lists.stock.push(StoredStock { restaurant_id, item: slug("naan"), remaining: -1 });
    }),
];

/// Valid cases: a resolved task counts as done, whatever its order waits for; a parked task can still be
/// done; a refund that was refused needs no task.
pub(super) const VALID: &[(Stage, Tamper, TamperLists)] = &[
    (
        Stage::Created,
        |_| {},
        |lists| {
            keep(lists, &[TaskKind::AuthorizePayment]);
            lists.tasks[0].resolved_at = Some(lists.tasks[0].task.run_at);
        },
    ),
    (Stage::Created, |_| {}, |lists| keep(lists, &[TaskKind::ExpireUnpaid])),
    // A task with content of a newer version, and a damaged task that an admin has resolved.
    (
        Stage::Created,
        |_| {},
        |lists| {
            keep(lists, &[TaskKind::ExpireUnpaid]);
            lists.tasks[0].task.content = Err(StoreError::WrittenByNewer("injected by a test".to_owned()));
        },
    ),
    (
        Stage::Created,
        |_| {},
        |lists| {
            damage(lists, 0);
            lists.tasks[0].resolved_at = Some(lists.tasks[0].task.run_at);
        },
    ),
    (Stage::Delivered, request, |lists| add(lists, Task::RefundPayment { number: RefundNumber::MIN })),
    (
        Stage::Delivered,
        |stored| {
            request(stored);
            append_event(
                stored,
                Actor::System,
                Event::RefundFailed { number: RefundNumber::MIN, reason: None },
            );
        },
        |lists| lists.tasks.clear(),
    ),
    // Keys of resources other than orders: of stock at the same restaurant, and of an account.
    (
        Stage::Created,
        |_| {},
        |lists| {
            let mut of_stock = lists.claims[0].clone();
            let restaurant_id = of_stock.key.restaurant_id.unwrap();
            of_stock.key.key = World::new(79).key();
            of_stock.record.resource = Resource::Stock { restaurant_id, item: slug("naan"), remaining: 3 };
            let mut of_account = lists.claims[0].clone();
            of_account.key.restaurant_id = None;
            of_account.record.resource = Resource::Account(of_account.key.account_id);
            lists.claims.extend([of_stock, of_account]);
        },
    ),
    // A reversed refund whose review is resolved.
    (
        Stage::Delivered,
        |stored| {
            request(stored);
            append_event(stored, Actor::System, Event::Refunded(refund_of(1, amount(1))));
            let (number, reason) = (RefundNumber::MIN, RefundFailureReason::Other);
            append_event(stored, Actor::System, Event::RefundReversed { number, reason });
        },
        |lists| {
            let (number, reason) = (RefundNumber::MIN, RefundFailureReason::Other);
            add(lists, Task::Review { reason: ReviewReason::RefundReversed { number, reason } });
            let review = lists.tasks.last_mut().unwrap();
            (review.parked_at, review.resolved_at) = (Some(review.task.run_at), Some(review.task.run_at));
        },
    ),
    // Another command under another key, with the same version of the order.
    (
        Stage::Delivered,
        |_| {},
        |lists| {
            lists.claims[0].record.version = 4;
            let mut again = lists.claims[0].clone();
            again.key.key = World::new(78).key();
            lists.claims.push(again);
        },
    ),
];
