//! Tests of the registry of connections.

use tokio::time::advance;

use super::*;
use crate::serve::{MAX_RECEIVED_BYTES, MAX_UNSENT_BYTES, Timeouts, UNSENT_CEILING_BYTES};

fn registry(change: impl FnOnce(&mut ServeOptions)) -> Arc<Registry> {
    let mut options = ServeOptions::default();
    change(&mut options);
    Arc::new(Registry::new(options, ConnectionMetrics::default()))
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

impl Registry {
    fn slot(self: &Arc<Self>, last: u8) -> Option<ConnectionSlot> {
        self.enter(address(last)).ok()
    }
}

/// Waits until connections that are stalled now may be closed for others.
async fn stall_long_enough() {
    advance(Timeouts::default().min_stall).await;
}

/// Proves that the connection with the lowest priority is closed, in the order of [`KeepPriority`].
#[tokio::test(start_paused = true)]
async fn the_connection_with_the_lowest_priority_is_closed() {
    type Step = fn(&Activity);
    let steps: [(Step, KeepPriority); 6] = [
        (|_| (), KeepPriority::Unproven),
        (
            |connection| {
                connection.begin_request();
                connection.stall();
            },
            KeepPriority::Stalled,
        ),
        (
            |connection| {
                connection.begin_request();
                connection.begin_body();
            },
            KeepPriority::ReceivingFirst,
        ),
        (
            |connection| {
                connection.begin_request();
                connection.end_request();
            },
            KeepPriority::Idle,
        ),
        (
            |connection| {
                connection.begin_request();
                connection.end_request();
                connection.begin_request();
                connection.begin_body();
            },
            KeepPriority::Receiving,
        ),
        (Activity::begin_request, KeepPriority::Busy),
    ];
    let registry = registry(|options| options.max_connections = steps.len());
    let slots: Vec<ConnectionSlot> = steps.iter().rev().map(|_| registry.slot(1).unwrap()).collect();
    for (slot, (step, keep_priority)) in slots.iter().rev().zip(&steps) {
        step(&slot.activity);
        assert!(slot.activity.keep_priority().0 == *keep_priority || *keep_priority == KeepPriority::Stalled);
    }
    assert_eq!(slots[4].activity.keep_priority().0, KeepPriority::Busy, "it is stalled for a moment");
    stall_long_enough().await;
    for (slot, (_, keep_priority)) in slots.iter().rev().zip(&steps) {
        assert_eq!(slot.activity.keep_priority().0, *keep_priority);
    }
    let mut busy = Vec::new();
    for expected in (0..steps.len() - 1).rev() {
        let slot = registry.slot(2).unwrap();
        slot.activity.begin_request();
        busy.push(slot);
        let closed: Vec<bool> = slots.iter().map(|slot| slot.activity.is_closed()).collect();
        let due: Vec<bool> = (0..steps.len()).map(|index| index > expected).collect();
        assert_eq!(closed, due);
    }
    assert!(registry.slot(3).is_none(), "busy connections must not be closed for a new one");
}

/// Proves that a client with a few connections keeps them while another one opens many: if priorities are equal, the address
/// with the most connections loses its oldest one.
#[test]
fn the_address_with_the_most_connections_loses_one() {
    let registry = registry(|options| options.max_connections = COMPARED);
    let mut honest = vec![registry.slot(1).unwrap()];
    let mut flood: Vec<ConnectionSlot> = (1..COMPARED).map(|_| registry.slot(2).unwrap()).collect();
    flood.extend((0..10 * COMPARED).map(|_| registry.slot(2).unwrap()));
    honest.push(registry.slot(1).unwrap());
    assert!(honest.iter().all(|slot| !slot.activity.is_closed()));
    let closed = flood.iter().take_while(|slot| slot.activity.is_closed()).count();
    assert_eq!(closed, 10 * COMPARED + 1, "the oldest connections must be closed");
}

/// Proves that a busy connection is never closed for another one, and that its slot is free again when it ends.
#[test]
fn a_busy_connection_is_not_closed() {
    let registry = registry(|options| options.max_connections = 2);
    let slots = [1, 2].map(|last| registry.slot(last).unwrap());
    for slot in &slots {
        slot.activity.begin_request();
    }
    assert_eq!(registry.enter(address(3)).err().map(|refused| refused.reason), Some(FOR_ALL));
    registry.make_room();
    assert!(slots.iter().all(|slot| !slot.activity.is_closed()));
    drop(slots);
    assert!(registry.slot(3).is_some());
}

/// Proves that connections count for their address until they end, including those that were closed for others.
#[test]
fn an_address_is_counted_until_its_connections_end() {
    let registry = registry(|options| {
        options.max_connections = 1;
        options.max_connections_per_address = 2;
    });
    let first = registry.slot(1).unwrap();
    let second = registry.slot(1).unwrap();
    assert!(first.activity.is_closed());
    assert_eq!(registry.enter(address(1)).err().map(|refused| refused.reason), Some(FOR_ADDRESS));
    drop(first);
    let third = registry.slot(1).unwrap();
    drop((second, third));
    assert!(registry.open().by_address.is_empty());
    assert_eq!(registry.open().running, 0);
}

/// Proves that the bodies of all connections together have a limit, and that a body counts until its request is answered.
#[test]
fn the_total_size_of_bodies_is_limited() {
    let registry = registry(|_| ());
    let (first, second) = (registry.slot(1).unwrap(), registry.slot(2).unwrap());
    assert!(first.hold_received(MAX_RECEIVED_BYTES));
    assert!(!second.hold_received(1), "a complete body must not be dropped for another one");
    second.release_received();
    first.release_received();
    assert!(second.hold_received(MAX_RECEIVED_BYTES));
    drop(second);
    assert!(first.hold_received(1), "the bytes of a connection that has ended must not count");
}

/// Proves that the connection with the most expensive body, by bytes and time, is closed for others, and that no more
/// connections than necessary are closed.
#[tokio::test(start_paused = true)]
async fn the_connection_with_the_most_expensive_body_is_closed() {
    let registry = registry(|_| ());
    let slots: Vec<ConnectionSlot> = (1..=4).map(|last| registry.slot(last).unwrap()).collect();
    let [slow, small, quick, new] = slots.as_slice() else { panic!("there must be four slots") };
    for slot in [slow, small] {
        slot.activity.begin_body();
    }
    assert!(slow.hold_received(MAX_RECEIVED_BYTES / 2 - 1));
    assert!(small.hold_received(1));
    advance(Duration::from_secs(5)).await;
    quick.activity.begin_body();
    assert!(quick.hold_received(MAX_RECEIVED_BYTES / 2));
    new.activity.begin_body();
    assert!(new.hold_received(1_000));
    let closed: Vec<bool> = slots.iter().map(|slot| slot.activity.is_closed()).collect();
    assert_eq!(closed, [true, false, false, false]);
    assert!(
        !quick.hold_received(MAX_RECEIVED_BYTES),
        "the most_expensive expensive body must be refused itself"
    );
}

/// Proves that too many unsent bytes close the connection of a client that has read nothing for the minimum time, and no other
/// one: neither a connection that makes progress, nor one that waits for its client for a moment, nor one without bytes.
#[tokio::test(start_paused = true)]
async fn the_connection_of_a_client_that_reads_nothing_is_closed_for_others() {
    let registry = registry(|_| ());
    let slots: Vec<ConnectionSlot> = (1..=4).map(|last| registry.slot(last).unwrap()).collect();
    let [stalled, reading, empty, new] = slots.as_slice() else { panic!("there must be four slots") };
    empty.activity.stall();
    for slot in [stalled, reading] {
        slot.hold_unsent(MAX_UNSENT_BYTES);
        slot.activity.stall();
    }
    let closed = || slots.iter().map(|slot| slot.activity.is_closed()).collect::<Vec<_>>();
    assert_eq!(closed(), [false; 4], "each client may still read its response");
    advance(Timeouts::default().min_stall.saturating_sub(Duration::from_millis(1))).await;
    reading.activity.progress();
    reading.activity.stall();
    new.hold_unsent(1);
    assert_eq!(closed(), [false; 4], "no client is stalled for long enough");
    advance(SEARCH_INTERVAL).await;
    new.hold_unsent(1);
    assert_eq!(closed(), [true, false, false, false]);
    assert_eq!(registry.unsent.load(Ordering::Relaxed), MAX_UNSENT_BYTES + 2);
    advance(Timeouts::default().stall / 2).await;
    reading.activity.progress();
    new.hold_unsent(1);
    assert_eq!(closed(), [true, false, false, false], "the client reads its response");
}

/// Proves that above the ceiling the connection whose responses have cost the most is closed, although its client reads.
#[tokio::test(start_paused = true)]
async fn the_most_expensive_responses_are_closed_above_the_ceiling() {
    let registry = registry(|_| ());
    let slots: Vec<ConnectionSlot> = (1..=3).map(|last| registry.slot(last).unwrap()).collect();
    let [slow, quick, new] = slots.as_slice() else { panic!("there must be three slots") };
    quick.hold_unsent(1);
    slow.hold_unsent(UNSENT_CEILING_BYTES / 2);
    advance(Duration::from_mins(1)).await;
    quick.sent();
    quick.hold_unsent(UNSENT_CEILING_BYTES / 2);
    let closed = || slots.iter().map(|slot| slot.activity.is_closed()).collect::<Vec<_>>();
    assert_eq!(closed(), [false; 3], "the total is within the ceiling");
    new.hold_unsent(1);
    assert_eq!(closed(), [true, false, false]);
}

/// Proves that a connection whose client reads a response is neither idle nor stalled, however long it takes, and that the wait
/// for the next request begins when the response is sent.
#[tokio::test(start_paused = true)]
async fn a_connection_that_sends_a_response_is_busy() {
    let registry = registry(|options| options.max_connections = 1);
    let slot = registry.slot(1).unwrap();
    slot.activity.begin_request();
    slot.hold_unsent(1);
    slot.activity.end_request();
    let idle = Timeouts::default().idle;
    advance(2 * idle).await;
    assert_eq!(slot.activity.deadline(), None);
    assert!(registry.slot(2).is_none(), "the connection must not be closed for a new one");
    slot.sent();
    assert_eq!(slot.activity.deadline(), Some(Instant::now() + idle));
    assert!(registry.slot(2).is_some());
}

/// Proves that the bodies and responses of a multiplexed connection stop counting one by one, and only once if the connection is
/// closed for others.
#[tokio::test(start_paused = true)]
async fn the_parts_of_a_connection_are_released_one_by_one() {
    let registry = registry(|_| ());
    let (slot, other) = (registry.slot(1).unwrap(), registry.slot(2).unwrap());
    slot.activity.multiplex();
    assert!(slot.hold_received(MAX_RECEIVED_BYTES));
    slot.release_received_part(1);
    assert!(other.hold_received(1), "the bytes of a body that is answered must not count");
    slot.hold_unsent(MAX_UNSENT_BYTES);
    // What is flushed to the socket says nothing about the responses that wait for their windows.
    slot.sent();
    assert_eq!(slot.activity.unsent.load(Ordering::Relaxed), MAX_UNSENT_BYTES);
    slot.release_unsent_part(10);
    assert_eq!(registry.unsent.load(Ordering::Relaxed), MAX_UNSENT_BYTES - 10);
    slot.activity.set_unread_since(Some(0));
    stall_long_enough().await;
    other.hold_unsent(11);
    assert!(slot.activity.is_closed(), "its client reads nothing of a response");
    slot.release_unsent_part(MAX_UNSENT_BYTES);
    assert_eq!(registry.unsent.load(Ordering::Relaxed), 11);
    drop((slot, other));
    let counted = [&registry.received, &registry.unsent].map(|total| total.load(Ordering::Relaxed));
    assert_eq!(counted, [0, 0]);
}

/// Proves that a client may abandon a number of responses, and as many more as it lets complete.
#[test]
fn a_client_that_abandons_most_responses_is_closed() {
    let registry = registry(|_| ());
    let answer = |slot: &ConnectionSlot, is_complete: bool| {
        slot.activity.begin_request();
        slot.activity.end_request();
        if !is_complete {
            slot.abandon();
        }
    };
    let (attacker, browser) = (registry.slot(1).unwrap(), registry.slot(2).unwrap());
    for abandoned in 0..MAX_ABANDONED {
        answer(&attacker, false);
        assert!(!attacker.activity.is_closed(), "{abandoned}");
    }
    answer(&attacker, false);
    assert!(attacker.activity.is_closed());
    for _ in 0..10 * MAX_ABANDONED {
        answer(&browser, true);
        answer(&browser, false);
    }
    assert!(!browser.activity.is_closed());
}
