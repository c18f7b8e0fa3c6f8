//! Events: the truth about an order (I4), and the feed of all events.

use std::{collections::HashSet, sync::Arc};

use dabba_domain::{
    AccountId, Actor, OrderId, RestaurantId,
    order::{
        CancelReason, Command, CommandKind, Fulfilment, InterventionReason, Order, OrderStatus,
        RecordedEvent, RefundReason, RefundRequest, RejectReason, allowed_actions, fold,
    },
    task::TaskSubject,
    text::Note,
};
use jiff::SignedDuration;

use super::builders::{World, amount, customer, order_of, settings, staff};
use crate::{Change, Commit, CommitOutcome, FeedCursor, FeedEntry, Store};

/// Limit above the number of events of any order in these tests.
const MANY: u32 = 1_000;

/// Commits, and checks that the events are stored as decided, and that the stored state and the fold of the
/// stored events both equal the decided state.
pub(super) async fn commit_and_compare(store: &Arc<dyn Store>, commit: Commit) -> Order {
    let Change { order: decided, events: added } = commit.change.clone().unwrap();
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
    let stored = store.order(decided.id).await.unwrap();
    let events = store.events(decided.id, 0, MANY).await.unwrap();
    assert!(events.ends_with(&added), "{events:?} should end with {added:?}");
    assert_eq!(fold(&events).unwrap().as_ref(), Some(&decided));
    assert_eq!(stored.as_ref(), Some(&decided));
    decided
}

/// Carries out commands one after the other, and compares after each command.
async fn live(store: &Arc<dyn Store>, world: &mut World, mut order: Order, steps: &[(Command, Actor)]) {
    for (command, actor) in steps {
        let commit = world.act(&order, command, actor);
        order = commit_and_compare(store, commit).await;
    }
}

/// After every step of a delivery with partial refunds, a collection, a rejection, cancellations by each
/// party and an expiry, the fold of the stored events equals the stored order.
pub async fn the_events_of_every_kind_of_end_fold_to_the_stored_order(store: Arc<dyn Store>) {
    let mut world = World::new(31);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let courier_id = world.account_id();
    let courier = Actor::Courier { account_id: courier_id };
    let admin = Actor::Admin { account_id: world.account_id() };
    let note = Some(Note::new("it's \"cold\"\n\\ 🥶").unwrap());
    let accept = Command::Accept { preparation_minutes: 25 };
    let cancel = Command::Cancel { reason: CancelReason::Other, note: note.clone(), items: Vec::new() };
    let refund = |amount| {
        Command::Refund(RefundRequest {
            note: note.clone(),
            ..RefundRequest::new(amount, RefundReason::Quality)
        })
    };
    let mut placed = Vec::new();
    for _ in 0..6 {
        let commit = world.place(restaurant, account);
        placed.push(commit_and_compare(&store, commit).await);
    }
    let details = dabba_domain::order::OrderDetails {
        fulfilment: Fulfilment::Collection,
        contact: None,
        note: None,
        ..world.details(restaurant, account)
    };
    let collected = world.place_with(details);
    let collected = commit_and_compare(&store, collected).await;
    let staff = staff(&collected);

    let delivered = [
        (accept.clone(), staff),
        (Command::assign(world.account_id()), admin),
        (Command::assign(courier_id), admin),
        (Command::MarkReady, staff),
        (Command::PickUp, courier),
        (Command::deliver(), courier),
        (refund(Some(amount(1))), staff),
        (refund(Some(amount(500))), admin),
        (refund(None), admin),
    ];
    live(&store, &mut world, placed.remove(0), &delivered).await;
    let fetched = [(accept.clone(), staff), (Command::MarkReady, staff), (Command::deliver(), staff)];
    live(&store, &mut world, collected, &fetched).await;
    let rejected =
        [(Command::Reject { reason: RejectReason::TooBusy, note: note.clone(), items: Vec::new() }, staff)];
    live(&store, &mut world, placed.remove(0), &rejected).await;
    let by_customer = customer(&placed[0]);
    live(&store, &mut world, placed.remove(0), &[(cancel.clone(), by_customer)]).await;
    live(&store, &mut world, placed.remove(0), &[(accept, staff), (cancel.clone(), staff)]).await;
    live(&store, &mut world, placed.remove(0), &[(cancel, admin)]).await;

    let order = placed.remove(0);
    let deadline = order.acceptance_deadline.unwrap();
    let decision =
        dabba_domain::order::decide(&order, &Command::Expire, &Actor::System, &settings(), deadline);
    let expired = world.commit(decision.unwrap(), order.version);
    commit_and_compare(&store, expired).await;
}

/// The same for random lives: in each state, a random command that some actor may give.
pub async fn the_events_of_random_lives_fold_to_the_stored_order(store: Arc<dyn Store>) {
    let mut world = World::new(32);
    let restaurant = world.restaurant_id();
    for _ in 0..25 {
        let account = world.account_id();
        let placed = world.place(restaurant, account);
        let mut order = commit_and_compare(&store, placed).await;
        let courier_id = world.account_id();
        let actors = [
            Actor::Customer { account_id: account },
            staff(&order),
            Actor::Courier { account_id: courier_id },
            Actor::Admin { account_id: account },
        ];
        for _ in 0..12 {
            let possible: Vec<(CommandKind, Actor)> = actors
                .iter()
                .flat_map(|actor| {
                    let allowed = allowed_actions(&order, actor, settings().refund_limit);
                    allowed.into_iter().map(|action| (action.command, *actor))
                })
                // Cancellation ends a life early, so it is chosen rarely.
                .filter(|(command, _)| *command != CommandKind::Cancel || world.below(4) == 0)
                .collect();
            if possible.is_empty() {
                break;
            }
            let (kind, actor) = possible[world.below(possible.len())];
            let command = command_of(&mut world, kind, &actor, &order, courier_id);
            let commit = world.act(&order, &command, &actor);
            order = commit_and_compare(&store, commit).await;
        }
    }
}

fn command_of(
    world: &mut World,
    kind: CommandKind,
    actor: &Actor,
    order: &Order,
    courier_id: AccountId,
) -> Command {
    // An admin must state why they act for a courier who has the food.
    let steps_in = matches!(actor, Actor::Admin { .. }) && order.status == OrderStatus::OutForDelivery;
    let reason = steps_in.then_some(InterventionReason::CourierUnreachable);
    match kind {
        CommandKind::Confirm => Command::Confirm,
        CommandKind::Accept => Command::Accept { preparation_minutes: 10 },
        CommandKind::Reject => Command::reject(RejectReason::Other),
        CommandKind::MarkReady => Command::MarkReady,
        CommandKind::AssignCourier => {
            // Assigning the same courier again would have no effect.
            let is_same = order.courier_id == Some(courier_id);
            let courier_id = if is_same { world.account_id() } else { courier_id };
            Command::AssignCourier { courier_id, reason, note: None }
        }
        CommandKind::PickUp => Command::PickUp,
        CommandKind::Deliver => Command::Deliver { reason, note: None },
        CommandKind::Cancel => Command::cancel(CancelReason::Other),
        CommandKind::Warn => Command::Warn,
        CommandKind::Expire => Command::Expire,
        CommandKind::Refund => {
            let part = order.refundable().minor() / 3;
            let amount = (part > 0 && world.below(2) == 0).then(|| amount(part));
            Command::Refund(RefundRequest::new(amount, RefundReason::Late))
        }
    }
}

/// Coordinates to the last bit, times to the nanosecond, and text in every script are stored exactly, in the
/// row and in the event.
pub async fn details_are_stored_exactly(store: Arc<dyn Store>) {
    let mut world = World::new(33);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    for _ in 0..200 {
        let commit = world.place(restaurant, account);
        commit_and_compare(&store, commit).await;
    }
}

/// An order's events can be read after any version, with any limit.
pub async fn events_are_read_in_pages(store: Arc<dyn Store>) {
    let mut world = World::new(34);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let placed = world.place(restaurant, account);
    let mut order = commit_and_compare(&store, placed).await;
    for _ in 0..5 {
        let courier_id = world.account_id();
        let assign = Command::assign(courier_id);
        let commit = world.act(&order, &assign, &Actor::Admin { account_id: account });
        order = commit_and_compare(&store, commit).await;
    }
    let all = store.events(order.id, 0, MANY).await.unwrap();
    assert_eq!(all.len(), 7);
    assert_eq!(store.events(order.id, 0, 3).await.unwrap(), all[..3]);
    assert_eq!(store.events(order.id, 3, 3).await.unwrap(), all[3..6]);
    assert_eq!(store.events(order.id, 6, 3).await.unwrap(), all[6..]);
    assert_eq!(store.events(order.id, 7, 3).await.unwrap(), []);
    assert_eq!(store.events(order.id, u32::MAX, 3).await.unwrap(), []);
    assert_eq!(store.events(order.id, 0, 0).await.unwrap(), []);
}

/// Reading an unknown order is no error.
pub async fn an_unknown_order_has_no_events(store: Arc<dyn Store>) {
    let mut world = World::new(35);
    let restaurant = world.restaurant_id();
    let id = world.order_id(restaurant);
    assert_eq!(store.order(id).await.unwrap(), None);
    assert_eq!(store.events(id, 0, 10).await.unwrap(), []);
}

fn events_of(entries: &[FeedEntry]) -> Vec<RecordedEvent> {
    entries.iter().map(|entry| entry.event.clone()).collect()
}

/// The feed contains exactly the committed events, ordered by batch and by commit within a batch.
pub async fn the_feed_is_in_the_order_of_the_commits(store: Arc<dyn Store>) {
    let mut world = World::new(36);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let first = world.place(restaurant, account);
    let second = world.place(restaurant, account);
    let order = order_of(&first);
    let accepted = world.act(&order, &Command::Accept { preparation_minutes: 20 }, &staff(&order));
    let placed = world.place(restaurant, account);
    let lease = world.lease_of_nothing(TaskSubject::Order(placed.order_id));
    let refused = Commit { completes: Some(lease), ..placed };
    let mut expected = Vec::new();
    // The order with the later id commits first.
    for commit in [&second, &first, &accepted] {
        expected.extend(commit.change.clone().unwrap().events);
    }
    store.commit(vec![second, refused, first]).await.unwrap();
    store.commit(vec![accepted]).await.unwrap();
    let feed = store.feed(&FeedCursor::start(), MANY).await.unwrap();
    assert_eq!(events_of(&feed), expected);
}

/// Reading from the cursor of any entry returns the entries after it; reading from the last cursor returns
/// later events.
pub async fn the_feed_is_read_in_pages(store: Arc<dyn Store>) {
    let mut world = World::new(37);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    assert_eq!(store.feed(&FeedCursor::start(), 10).await.unwrap(), []);
    let batch = (0..10).map(|_| world.place(restaurant, account)).collect();
    store.commit(batch).await.unwrap();
    let all = store.feed(&FeedCursor::start(), MANY).await.unwrap();
    assert_eq!(all.len(), 20);
    for (index, entry) in all.iter().enumerate() {
        let page = store.feed(&entry.cursor, 7).await.unwrap();
        let rest = &all[index + 1..];
        assert_eq!(page, rest[..rest.len().min(7)]);
    }
    let end = all[19].cursor.clone();
    let late = world.place(restaurant, account);
    let expected = late.change.clone().unwrap().events;
    store.commit(vec![late]).await.unwrap();
    assert_eq!(events_of(&store.feed(&end, MANY).await.unwrap()), expected);
}

/// The feed contains all events of several restaurants, each restaurant's in commit order, in pages of any
/// size; later events follow them.
pub async fn the_feed_has_each_restaurant_in_commit_order(store: Arc<dyn Store>) {
    let mut world = World::new(39);
    let account = world.account_id();
    let restaurants: Vec<_> = (0..3).map(|_| world.restaurant_id()).collect();
    let mut expected: Vec<RecordedEvent> = Vec::new();
    let mut followers: Vec<(u32, FeedCursor, Vec<RecordedEvent>)> =
        [1, 2, 7, MANY].map(|size| (size, FeedCursor::start(), Vec::new())).to_vec();
    for length in [1, 30, 2, 0, 9] {
        let mut place = || {
            let restaurant = restaurants[world.below(3)];
            world.place(restaurant, account)
        };
        let batch: Vec<Commit> = (0..length).map(|_| place()).collect();
        expected.extend(batch.iter().flat_map(|commit| commit.change.clone().unwrap().events));
        store.commit(batch).await.unwrap();
        for (size, cursor, seen) in &mut followers {
            loop {
                let page = store.feed(cursor, *size).await.unwrap();
                let Some(last) = page.last() else { break };
                assert!(page.len() <= *size as usize);
                *cursor = last.cursor.clone();
                seen.extend(events_of(&page));
            }
            assert_eq!(seen.len(), expected.len(), "pages of {size}");
        }
    }
    let of = |restaurant: RestaurantId, events: &[RecordedEvent]| -> Vec<RecordedEvent> {
        let bucket = restaurant.bucket();
        events.iter().filter(|event| event.order_id.bucket() == bucket).cloned().collect()
    };
    for (size, _, seen) in followers {
        for restaurant in &restaurants {
            assert_eq!(of(*restaurant, &seen), of(*restaurant, &expected), "pages of {size}");
        }
    }
}

/// While many writers commit concurrently, a follower of the feed sees every event exactly once, in the same
/// order as a later read: no event appears before the follower's position.
pub async fn the_feed_of_concurrent_writers_skips_nothing(store: Arc<dyn Store>) {
    const WRITERS: usize = 8;
    const BATCHES: usize = 12;
    const BATCH_SIZE: usize = 3;
    let mut world = World::new(38);
    let restaurant = world.restaurant_id();
    let mut expected: HashSet<(OrderId, u32)> = HashSet::new();
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let account = world.account_id();
        let batches: Vec<Vec<Commit>> = (0..BATCHES)
            .map(|_| (0..BATCH_SIZE).map(|_| world.place(restaurant, account)).collect())
            .collect();
        for commit in batches.iter().flatten() {
            expected.extend((1..=order_of(commit).version).map(|version| (commit.order_id, version)));
        }
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for batch in batches {
                let outcomes = store.commit(batch).await.unwrap();
                assert_eq!(outcomes, vec![CommitOutcome::Committed; BATCH_SIZE]);
            }
        });
    }
    let follow = async {
        let mut seen: Vec<FeedEntry> = Vec::new();
        let mut cursor = FeedCursor::start();
        while seen.len() < expected.len() {
            let page = store.feed(&cursor, 10).await.unwrap();
            if let Some(last) = page.last() {
                cursor = last.cursor.clone();
            }
            seen.extend(page);
        }
        seen
    };
    // The timeout expires only if an event is missing.
    let patience = SignedDuration::from_secs(60).unsigned_abs();
    let seen = tokio::time::timeout(patience, follow).await.expect("the feed skipped an event");
    writers.join_all().await;
    let seen_ids: HashSet<_> = seen.iter().map(|entry| (entry.event.order_id, entry.event.version)).collect();
    assert_eq!(seen_ids, expected);
    assert_eq!(seen.len(), expected.len(), "an event appeared twice");
    let limit = u32::try_from(expected.len()).unwrap() + 1;
    assert_eq!(store.feed(&FeedCursor::start(), limit).await.unwrap(), seen);
}
