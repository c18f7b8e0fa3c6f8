//! Deliveries with the payload `order`.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use dabba_domain::{OrderId, WebhookEndpointId};
use dabba_engine::Clock as _;
use dabba_outbound::webhooks::limits::MAX_BATCH_BYTES;
use dabba_store::{DisabledReason, WebhookEndpoint, WebhookOwner, WebhookPayload};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    bench::Bench,
    probe::{Fault, Moment},
    script::{Answer, Call, always, check, healthy},
};

const URL: &str = "https://one.example/hook";

/// Lets an endpoint of the restaurant receive whole orders, in batches.
fn whole(bench: &Bench, batch: u32) -> impl FnOnce(&mut WebhookEndpoint) + use<> {
    let restaurant = bench.restaurant;
    move |endpoint| {
        endpoint.owner = WebhookOwner::Restaurant(restaurant);
        endpoint.settings.payload = WebhookPayload::Order;
        endpoint.settings.batch = batch;
    }
}

fn events_in(call: &Call) -> Vec<Value> {
    let json: Value = serde_json::from_str(&call.body).unwrap();
    json.as_array().cloned().unwrap_or_else(|| vec![json])
}

/// Waits, in virtual time, until the endpoint has this number of failing orders.
async fn until_failures(bench: &Bench, id: WebhookEndpointId, count: usize) {
    let began = Instant::now();
    loop {
        let found = bench.failures(id).await.len();
        if found == count {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{found} failures instead of {count}");
        bench.pass(Duration::from_millis(50)).await;
    }
}

/// Checks that every event that the endpoint received contains its order at the version of the event, for the staff of
/// the restaurant.
fn assert_states(bench: &Bench) {
    let calls = bench.endpoints.calls(URL);
    assert!(!calls.is_empty());
    for event in calls.iter().flat_map(events_in) {
        let data = &event["data"];
        let order = &data["order"];
        assert_eq!((&order["id"], &order["version"]), (&data["order_id"], &data["version"]), "{event}");
        let expected = match data["version"].as_u64().unwrap() {
            1 => "created",
            2 => "confirmed",
            _ => "preparing",
        };
        assert_eq!(order["status"], expected, "{event}");
        assert_eq!(order["viewer"]["role"], "restaurant", "{event}");
    }
}

/// Proves that each event carries the order at its version, and that live events need no read of the history.
#[tokio::test(start_paused = true)]
async fn each_event_carries_the_order_after_it() {
    let mut bench = Bench::new(51);
    let change = whole(&bench, 1);
    bench.endpoint(URL, healthy(), change).await;
    let sender = bench.start();
    let order = bench.place().await;
    bench.until_complete(URL, Duration::from_secs(10)).await;
    for _ in 0..3 {
        bench.act(order).await;
        bench.until_complete(URL, Duration::from_secs(10)).await;
    }
    assert_states(&bench);
    assert_eq!(bench.calls("public_events"), 0);
    sender.abort();
}

/// Proves that a delivery reads the history of each of its orders at most once: of an endpoint that receives only some
/// types, alone and in a batch.
#[tokio::test(start_paused = true)]
async fn a_delivery_reads_each_history_once() {
    for batch in [1, 50] {
        let mut bench = Bench::new(52);
        let orders = [bench.place().await, bench.place().await, bench.place().await];
        let change = whole(&bench, batch);
        let types = |endpoint: &mut WebhookEndpoint| {
            change(endpoint);
            endpoint.settings.types = vec!["accepted".to_owned(), "courier_assigned".to_owned()];
        };
        bench.endpoint(URL, healthy(), types).await;
        for order in orders {
            for _ in 0..3 {
                bench.act(order).await;
            }
        }
        let sender = bench.start();
        let expected: BTreeMap<_, _> = orders.map(|order| (order.to_string(), vec![3, 4, 5])).into();
        let done = || check(&bench.endpoints.accepted(URL), &expected).is_ok();
        bench.until(Duration::from_secs(10), "the deliveries", done).await;
        assert_states(&bench);
        // The first event of each order misses two versions; the states of the others follow from it.
        assert_eq!(bench.calls("public_events"), orders.len(), "{batch}");
        sender.abort();
    }
}

/// Proves that an order that cannot be represented waits alone, alone and in batches: its failure states the order, is
/// no failure of the endpoint, does not open the breaker, and its events follow in order, with the state of their
/// version.
#[tokio::test(start_paused = true)]
async fn an_order_that_cannot_be_represented_waits_alone() {
    for batch in [1, 50] {
        let mut bench = Bench::new(53);
        let change = whole(&bench, batch);
        let id = bench.endpoint(URL, healthy(), change).await;
        let mut failing = Vec::<OrderId>::new();
        for _ in 0..8 {
            failing.push(bench.place().await);
        }
        bench.renderer.failing.lock().unwrap().extend(&failing);
        *bench.renderer.panicking.lock().unwrap() = failing.first().copied();
        let sender = bench.start();
        until_failures(&bench, id, failing.len()).await;
        bench.place().await;
        let mut others = bench.expected();
        others.retain(|order, _| !failing.iter().any(|id| id.to_string() == *order));
        let done = || check(&bench.endpoints.accepted(URL), &others).is_ok();
        bench.until(Duration::from_secs(2), "the delivery of another order", done).await;
        // Longer than the interval at which the health of endpoints is written.
        bench.pass(Duration::from_mins(2)).await;
        let failures = bench.failures(id).await;
        assert_eq!(failures.len(), failing.len());
        for failure in &failures {
            let is_panic = Some(&failure.order) == failing.first();
            let reason = if is_panic { "error in the server" } else { "at version 1: a planted fault" };
            assert!(failure.fault.error.contains(reason), "{failure:?}");
            assert_eq!((failure.next_version, failure.fault.status), (1, None));
        }
        let endpoint = bench.store.webhook_endpoint(id).await.unwrap().unwrap();
        assert!(endpoint.health.last_success.is_some() && endpoint.health.last_failure.is_none());

        for order in failing {
            bench.act(order).await;
        }
        bench.renderer.failing.lock().unwrap().clear();
        *bench.renderer.panicking.lock().unwrap() = None;
        bench.until_complete(URL, Duration::from_mins(5)).await;
        assert_states(&bench);
        assert!(bench.calls("public_events") > 0);
        sender.abort();
    }
}

/// Proves that a history that cannot be read delays the delivery, and that the retry has the right states.
#[tokio::test(start_paused = true)]
async fn an_unreadable_history_delays_the_delivery() {
    let mut bench = Bench::new(54);
    let order = bench.place().await;
    let change = whole(&bench, 1);
    let id = bench.endpoint(URL, healthy(), change).await;
    bench.act(order).await;
    bench.probe.trap("public_events", Moment::Before, Fault::Fails);
    let sender = bench.start();
    bench.until(Duration::from_secs(10), "the failure", || bench.calls("public_events") > 0).await;
    let expected = BTreeMap::from([(order.to_string(), vec![3])]);
    let done = || check(&bench.endpoints.accepted(URL), &expected).is_ok();
    bench.until(Duration::from_secs(10), "the delivery", done).await;
    assert_states(&bench);
    until_failures(&bench, id, 0).await;
    sender.abort();
}

/// Proves that a retry after a failure of the endpoint contains the order as it was, not as it is.
#[tokio::test(start_paused = true)]
async fn a_late_delivery_contains_the_order_as_it_was() {
    let mut bench = Bench::new(55);
    let change = whole(&bench, 1);
    bench.endpoint(URL, always(5, Answer::Status(500)), change).await;
    let sender = bench.start();
    let order = bench.place().await;
    bench.until(Duration::from_secs(10), "a failure", || !bench.endpoints.calls(URL).is_empty()).await;
    for _ in 0..3 {
        bench.act(order).await;
    }
    bench.endpoints.script(URL, healthy());
    bench.until_complete(URL, Duration::from_mins(1)).await;
    assert_states(&bench);
    sender.abort();
}

/// Proves that a batch is limited by the size of its orders, that an order that is too large for it is sent alone, and
/// that all events arrive once and in order, also after the endpoint has refused the first batch.
#[tokio::test(start_paused = true)]
async fn a_batch_is_limited_by_its_orders() {
    const ORDERS: usize = 20;
    for (padding, per_request) in [(200_000, 5), (2 * MAX_BATCH_BYTES, 1)] {
        for fails_first in [false, true] {
            let mut bench = Bench::new(56);
            bench.renderer.padding.store(padding, Ordering::Relaxed);
            let change = whole(&bench, 100);
            let script = move |call: &Call| {
                let is_refused = fails_first && call.number == 0;
                (Duration::from_millis(5), Answer::Status(if is_refused { 500 } else { 200 }))
            };
            let id = bench.endpoint(URL, Box::new(script), change).await;
            for _ in 0..ORDERS {
                bench.place().await;
            }
            let sender = bench.start();
            bench.until_complete(URL, Duration::from_mins(1)).await;
            until_failures(&bench, id, 0).await;
            let calls = bench.endpoints.calls(URL);
            let most = calls.iter().map(|call| call.events.len()).max().unwrap();
            assert_eq!(most, per_request, "{padding} {fails_first}");
            if per_request > 1 {
                assert!(calls.iter().all(|call| call.body.len() <= MAX_BATCH_BYTES));
            }
            assert_eq!(bench.endpoints.accepted(URL).len(), 2 * ORDERS, "an event arrived twice");
            let limit = if fails_first { 2 * ORDERS + 1 } else { 2 * ORDERS / per_request + 2 };
            assert!(calls.len() <= limit, "{} requests with {padding} {fails_first}", calls.len());
            assert_states(&bench);
            assert!(bench.endpoints.overlaps().is_empty());
            sender.abort();
        }
    }
}

/// Proves that an endpoint that is detached while a batch is cut receives the rest of the batch.
#[tokio::test(start_paused = true)]
async fn the_rest_of_a_cut_batch_arrives_after_an_outage() {
    let mut bench = Bench::new(57);
    bench.renderer.padding.store(200_000, Ordering::Relaxed);
    let change = whole(&bench, 100);
    let id = bench.endpoint(URL, always(2_000, Answer::Status(200)), change).await;
    for _ in 0..20 {
        bench.place().await;
    }
    let sender = bench.start();
    bench.until(Duration::from_secs(10), "a request", || !bench.endpoints.calls(URL).is_empty()).await;
    // The owner disables the endpoint while the request is in flight, and enables it again.
    let now = bench.clock.now();
    let disable = |endpoint: &mut WebhookEndpoint| {
        endpoint.settings.disable(DisabledReason::Requested, now);
    };
    bench.change(id, false, disable).await;
    bench.pass(Duration::from_secs(5)).await;
    bench.change(id, false, |endpoint| assert!(endpoint.settings.enable(now))).await;
    bench.until_complete(URL, Duration::from_mins(2)).await;
    assert_states(&bench);
    assert!(bench.endpoints.overlaps().is_empty());
    sender.abort();
}
