//! Endpoints that fail do not affect others.

use std::{sync::Arc, time::Duration};

use dabba_engine::Clock as _;
use dabba_outbound::webhooks::limits::MAX_IN_FLIGHT;
use dabba_store::AttemptOutcome;

use crate::{
    bench::Bench,
    probe::{Fault, Moment},
    script::{Answer, always, healthy},
};

/// Maximum time from a commit to its acceptance by a healthy endpoint. The feed is polled every 200 ms.
const PROMPT: Duration = Duration::from_secs(1);

/// Proves that slow, dead, flapping and misbehaving endpoints, more than half of which could fill all requests in
/// flight, do not delay a healthy endpoint.
#[tokio::test(start_paused = true)]
async fn bad_endpoints_do_not_delay_healthy_ones() {
    let mut bench = Bench::new(5);
    let flapping = |call: &crate::script::Call| {
        let is_up = (call.number / 7).is_multiple_of(2);
        (Duration::from_millis(300), if is_up { Answer::Status(200) } else { Answer::Refused })
    };
    for number in 0..40 {
        let url = format!("https://bad-{number}.example/");
        let script = match number % 5 {
            0 => always(14_000, Answer::Status(200)),
            1 => always(60_000, Answer::Refused),
            2 => Box::new(flapping) as crate::script::Script,
            3 => always(10, Answer::Panic),
            _ => always(5, Answer::Status(500)),
        };
        bench.endpoint(&url, script, |endpoint| endpoint.settings.concurrency = 64).await;
    }
    let url = "https://good.example/";
    bench.endpoint(url, healthy(), |_| {}).await;
    let sender = bench.start();
    // The first success proves an endpoint; until then, it gets one request at a time.
    bench.place().await;
    bench.until_complete(url, Duration::from_secs(5)).await;
    for _ in 0..60 {
        let began = tokio::time::Instant::now();
        for _ in 0..2 {
            let order = bench.place().await;
            bench.act(order).await;
        }
        bench.until_complete(url, PROMPT).await;
        bench.pass(Duration::from_millis(500).saturating_sub(began.elapsed())).await;
    }
    sender.abort();
}

/// Proves that endpoints that begin to hang together, after many successes, do not delay a healthy endpoint, although they
/// could fill all requests in flight.
#[tokio::test(start_paused = true)]
async fn endpoints_that_begin_to_hang_do_not_delay_healthy_ones() {
    let mut bench = Bench::new(8);
    let hanging: Vec<String> = (0..100).map(|number| format!("https://hanging-{number}.example/")).collect();
    for url in &hanging {
        bench.endpoint(url, healthy(), |endpoint| endpoint.settings.concurrency = 64).await;
    }
    let url = "https://good.example/";
    bench.endpoint(url, healthy(), |_| {}).await;
    let sender = bench.start();
    bench.place().await;
    for url in hanging.iter().map(String::as_str).chain([url]) {
        bench.until_complete(url, Duration::from_secs(5)).await;
    }
    // The sender reads the feed every 200 ms, and learns after a second that they are slow. 300 requests fit into that.
    for url in &hanging {
        bench.endpoints.script(url, always(14_000, Answer::Status(200)));
    }
    for _ in 0..20 {
        bench.place().await;
        bench.until_complete(url, PROMPT).await;
    }
    sender.abort();
}

/// Proves that an endpoint whose failures are resolved costs no reads of failures any longer.
#[tokio::test(start_paused = true)]
async fn resolved_failures_cost_nothing() {
    let mut bench = Bench::new(9);
    let url = "https://recovered.example/";
    let fails_once = |call: &crate::script::Call| {
        let status = if call.number == 0 { 500 } else { 200 };
        (Duration::from_millis(5), Answer::Status(status))
    };
    bench.endpoint(url, Box::new(fails_once), |_| {}).await;
    let sender = bench.start();
    bench.place().await;
    bench.until_complete(url, Duration::from_secs(5)).await;
    bench.pass(Duration::from_secs(5)).await;
    let reads = |bench: &Bench| (bench.calls("webhook_failures_of"), bench.calls("due_webhook_failures"));
    let before = reads(&bench);
    for _ in 0..10 {
        let order = bench.place().await;
        bench.act(order).await;
    }
    bench.until_complete(url, PROMPT).await;
    bench.pass(Duration::from_secs(5)).await;
    assert_eq!(reads(&bench), before);
    sender.abort();
}

/// Proves that the retries of many endpoints with failures keep their pauses: all of them have a turn in each round.
#[tokio::test(start_paused = true)]
async fn many_failing_endpoints_are_retried_in_time() {
    let mut bench = Bench::new(10);
    let urls: Vec<String> = (0..1_500).map(|number| format!("https://failing-{number}.example/")).collect();
    for url in &urls {
        bench.endpoint(url, always(5, Answer::Status(500)), |_| {}).await;
    }
    let sender = bench.start();
    bench.place().await;
    let have_attempts = |least: usize| {
        let counts = bench.endpoints.counts();
        counts.len() == urls.len() && counts.values().all(|count| *count >= least)
    };
    bench.until(Duration::from_secs(10), "the first attempts", || have_attempts(1)).await;
    // The first retry is due 0.8 to 1.2 s after the first attempt.
    bench.until(Duration::from_secs(4), "the first retries", || have_attempts(2)).await;
    sender.abort();
}

/// Proves that an open breaker writes no rows and makes one request per probe, however many events follow, and that the
/// endpoint catches up and joins the group when it recovers.
#[tokio::test(start_paused = true)]
async fn an_open_breaker_writes_no_rows() {
    let mut bench = Bench::new(6);
    let url = "https://down.example/";
    let id = bench.endpoint(url, always(5, Answer::Refused), |_| {}).await;
    let sender = bench.start();
    for _ in 0..6 {
        bench.place().await;
    }
    bench.pass(Duration::from_secs(20)).await;
    let (rows, calls) = (bench.failures(id).await.len(), bench.endpoints.calls(url).len());
    assert!(rows <= 5, "{rows} rows");
    for _ in 0..200 {
        bench.place().await;
    }
    bench.pass(Duration::from_mins(10)).await;
    assert_eq!(bench.failures(id).await.len(), rows);
    let probes = bench.endpoints.calls(url).len() - calls;
    assert!(probes <= 8, "{probes} probes in ten minutes");
    bench.endpoints.script(url, healthy());
    bench.until_complete(url, Duration::from_mins(15)).await;
    bench.pass(Duration::from_secs(10)).await;
    let group = dabba_store::ConsumerName::webhooks();
    assert_eq!(bench.store.own_feed_positions(0, &group, None, 10).await, Ok(vec![]));
    assert!(bench.failures(id).await.is_empty());
    sender.abort();
}

/// Proves that an endpoint that fails for one order receives all other orders meanwhile.
#[tokio::test(start_paused = true)]
async fn a_failing_order_does_not_stop_others() {
    let mut bench = Bench::new(7);
    let url = "https://picky.example/";
    let poison = bench.place().await.to_string();
    let script = move |call: &crate::script::Call| {
        let is_poison = call.events.iter().any(|(order, _)| *order == poison);
        (Duration::from_millis(5), if is_poison { Answer::Status(422) } else { Answer::Status(200) })
    };
    let poisoned = *bench.orders.keys().next().unwrap();
    let id = bench.endpoint(url, Box::new(script), |_| {}).await;
    let sender = bench.start();
    bench.act(poisoned).await;
    for _ in 0..30 {
        bench.place().await;
        bench.act(poisoned).await;
        bench.pass(Duration::from_millis(300)).await;
    }
    bench.pass(Duration::from_secs(5)).await;
    let mut expected = bench.expected();
    expected.remove(&poisoned.to_string());
    assert_eq!(crate::script::check(&bench.endpoints.accepted(url), &expected), Ok(()));
    assert_eq!(bench.failures(id).await.len(), 1);
    sender.abort();
}

/// Proves that two orders that an endpoint refuses do not open its breaker while there is no other traffic: an order that
/// follows later arrives at once.
#[tokio::test(start_paused = true)]
async fn two_refused_orders_do_not_delay_a_later_one() {
    for answer in [Answer::Status(422), Answer::Status(500)] {
        let mut bench = Bench::new(34);
        let url = "https://picky.example/";
        let refused = [bench.place().await, bench.place().await];
        let id = bench.endpoint(url, refusing(&refused, answer), |_| {}).await;
        let sender = bench.start();
        for order in refused {
            bench.act(order).await;
        }
        for _ in 0..6 {
            bench.pass(Duration::from_secs(20)).await;
            let later = bench.place().await.to_string();
            let arrived = || bench.endpoints.accepted(url).iter().any(|(order, _)| *order == later);
            bench.until(PROMPT, "the later order", arrived).await;
        }
        assert_eq!(bench.failures(id).await.len(), 2);
        sender.abort();
    }
}

/// Proves that an order that an endpoint refuses, and that is first in line when the breaker opens, does not keep the
/// breaker open: a probe takes another order.
#[tokio::test(start_paused = true)]
async fn a_refused_order_does_not_keep_the_breaker_open() {
    for answer in [Answer::Status(422), Answer::Refused] {
        let mut bench = Bench::new(35);
        let url = "https://picky.example/";
        let id = bench.endpoint(url, always(5, Answer::RetryAfter(3_600)), |_| {}).await;
        let sender = bench.start();
        for _ in 0..4 {
            bench.place().await;
        }
        bench.pass(Duration::from_secs(5)).await;
        assert_eq!(bench.failures(id).await.len(), 4);
        // The fifth failed order opens the breaker.
        let poison = bench.place().await;
        bench.endpoints.script(url, refusing(&[poison], answer));
        bench.pass(Duration::from_secs(2)).await;
        assert_eq!((bench.endpoints.calls(url).len(), bench.failures(id).await.len()), (5, 4));
        bench.place().await;
        bench.place().await;
        let healthy = (bench.orders.len() - 1) * 2;
        let have_arrived = || bench.endpoints.accepted(url).len() >= healthy;
        bench.until(Duration::from_secs(30), "the other orders", have_arrived).await;
        bench.pass(Duration::from_secs(5)).await;
        assert_eq!(bench.failures(id).await.len(), 1, "only the refused order has failed");
        sender.abort();
    }
}

/// Fails for some orders, and accepts the others.
fn refusing(orders: &[dabba_domain::OrderId], answer: Answer) -> crate::script::Script {
    let orders: Vec<String> = orders.iter().map(ToString::to_string).collect();
    Box::new(move |call| {
        let is_refused = call.events.iter().any(|(order, _)| orders.contains(order));
        (Duration::from_millis(5), if is_refused { answer } else { Answer::Status(200) })
    })
}

/// Proves that endpoints of other restaurants receive nothing.
#[tokio::test(start_paused = true)]
async fn events_reach_only_their_restaurant() {
    let mut bench = Bench::new(8);
    let (own, other) = ("https://own.example/", "https://other.example/");
    let (restaurant, foreign) = (bench.restaurant, bench.world.restaurant_id());
    bench.endpoint(own, healthy(), |endpoint| endpoint.owner = Some(restaurant).into()).await;
    bench.endpoint(other, healthy(), |endpoint| endpoint.owner = Some(foreign).into()).await;
    let sender = bench.start();
    bench.place().await;
    bench.until_complete(own, Duration::from_secs(10)).await;
    bench.pass(Duration::from_secs(5)).await;
    assert!(bench.endpoints.calls(other).is_empty());
    sender.abort();
}

/// Proves that the feed is not read while no endpoint is enabled, and that ten thousand endpoints that match nothing cost
/// no row, no position and no query per event: the store gets as many calls with events as without.
#[tokio::test(start_paused = true)]
async fn endpoints_that_match_nothing_cost_nothing() {
    let mut bench = Bench::new(9);
    let sender = bench.start();
    bench.place().await;
    bench.pass(Duration::from_secs(10)).await;
    assert_eq!(bench.calls("feed"), 0);
    for number in 0..10_000 {
        let foreign = bench.world.restaurant_id();
        let url = format!("https://other-{number}.example/");
        bench.endpoint(&url, healthy(), |endpoint| endpoint.owner = Some(foreign).into()).await;
    }
    bench.pass(Duration::from_mins(1)).await;
    let group = dabba_store::ConsumerName::webhooks();
    assert_eq!(bench.store.own_feed_positions(0, &group, None, 10).await, Ok(vec![]));
    let (reads, lookups) = (bench.calls("feed"), bench.calls("webhook_failures_of"));
    for _ in 0..50 {
        bench.place().await;
    }
    let before = bench.probe.all_calls();
    bench.pass(Duration::from_secs(10)).await;
    let busy = bench.probe.all_calls() - before;
    bench.pass(Duration::from_secs(10)).await;
    let idle = bench.probe.all_calls() - before - busy;
    assert!(busy <= idle + 12, "{busy} calls in ten seconds with 100 events, {idle} without");
    let reads = bench.calls("feed") - reads;
    assert!((1..=104).contains(&reads), "{reads} reads of the feed in twenty seconds");
    assert_eq!(bench.calls("webhook_failures_of"), lookups);
    let shared = bench.store.feed_position(0, &group, None).await.unwrap().unwrap();
    assert_eq!(shared.place.position, bench.store.feed_end(0).await.unwrap().position);
    sender.abort();
}

/// Proves that a directory that does not answer delays no delivery.
#[tokio::test(start_paused = true)]
async fn a_directory_that_hangs_delays_no_delivery() {
    let mut bench = Bench::new(43);
    let url = "https://good.example/";
    bench.endpoint(url, healthy(), |_| {}).await;
    let sender = bench.start();
    bench.place().await;
    bench.until_complete(url, Duration::from_secs(5)).await;
    for method in ["webhook_changes", "report_webhook_health"] {
        for _ in 0..100 {
            bench.probe.trap(method, Moment::Before, Fault::Waits(Arc::default()));
        }
    }
    let before = bench.calls("webhook_changes");
    for _ in 0..90 {
        bench.place().await;
        bench.until_complete(url, PROMPT).await;
        bench.pass(Duration::from_secs(1)).await;
    }
    let visits = bench.calls("webhook_changes") - before;
    assert!((10..30).contains(&visits), "{visits} visits");
    // Once the directory answers, changes are carried out again.
    bench.probe.clear();
    let late = "https://late.example/";
    bench.endpoint(late, healthy(), |_| {}).await;
    let order = bench.place().await.to_string();
    let arrived = || bench.endpoints.accepted(late).iter().any(|(of, _)| *of == order);
    bench.until(Duration::from_secs(10), "the event of the new endpoint", arrived).await;
    sender.abort();
}

/// Proves that endpoints that are behind together share the pages of the feed, and do not each read it.
#[tokio::test(start_paused = true)]
async fn endpoints_that_are_behind_together_share_reads() {
    const ENDPOINTS: usize = 40;
    const ORDERS: usize = 50;
    let mut bench = Bench::new(45);
    let urls: Vec<String> =
        (0..ENDPOINTS).map(|number| format!("https://behind-{number}.example/")).collect();
    for url in &urls {
        bench.endpoint(url, healthy(), |_| {}).await;
    }
    for _ in 0..ORDERS {
        bench.place().await;
    }
    let sender = bench.start();
    for url in &urls {
        bench.until_complete(url, Duration::from_secs(20)).await;
    }
    // Most reads are polls of an idle feed, five per second.
    let reads = bench.calls("feed");
    assert!(reads < ENDPOINTS, "{reads} reads of the feed");
    sender.abort();
}

/// Proves that a panic while a request is built is a failure of this delivery only: the endpoint receives other events,
/// and the event is retried.
#[tokio::test(start_paused = true)]
async fn a_panic_in_a_request_is_retried() {
    let mut bench = Bench::new(48);
    let url = "https://good.example/";
    let id = bench.endpoint(url, healthy(), |_| {}).await;
    let sender = bench.start();
    bench.place().await;
    bench.until_complete(url, Duration::from_secs(5)).await;
    bench.clock.panic_in_request(&sender);
    bench.place().await;
    bench.until(PROMPT, "the panic", || bench.clock.has_panicked()).await;
    let other = bench.place().await.to_string();
    let arrived = || bench.endpoints.accepted(url).iter().any(|(of, _)| *of == other);
    bench.until(PROMPT, "another event", arrived).await;
    bench.until_complete(url, Duration::from_secs(10)).await;
    bench.pass(Duration::from_secs(3)).await;
    assert_eq!(bench.failures(id).await, []);
    let log = bench.store.webhook_attempts(0, id).await.unwrap();
    let failed = log.iter().filter_map(|attempt| match &attempt.outcome {
        AttemptOutcome::Failed { error, .. } => Some(error.as_str()),
        AttemptOutcome::Delivered { .. } => None,
    });
    assert_eq!(failed.collect::<Vec<_>>(), ["the request could not be made"]);
    sender.abort();
}

/// Proves that the requests to deleted endpoints keep their places until they end: endpoints without a success share half
/// of the requests in flight also if others are deleted meanwhile.
#[tokio::test(start_paused = true)]
async fn deleted_endpoints_keep_their_places_until_their_requests_end() {
    const SHARE: usize = MAX_IN_FLIGHT / 2;
    let mut bench = Bench::new(49);
    let sender = bench.start();
    for round in 0..2 {
        let mut endpoints = Vec::new();
        for number in 0..SHARE {
            let url = format!("https://slow-{round}-{number}.example/");
            endpoints.push((bench.endpoint(&url, always(14_000, Answer::Status(200)), |_| {}).await, url));
        }
        bench.place().await;
        let has_request = |(_, url): &(_, String)| !bench.endpoints.calls(url).is_empty();
        let are_all_sent = || endpoints.iter().all(has_request);
        bench.until(Duration::from_mins(1), "a request to each endpoint", are_all_sent).await;
        let now = bench.clock.now();
        for (id, _) in endpoints {
            bench.change(id, false, |endpoint| endpoint.delete(now)).await;
        }
    }
    assert_eq!(bench.endpoints.most_active(), SHARE);
    sender.abort();
}

/// Proves the same for the limit of all requests in flight: an endpoint that stays waits for the requests to the deleted
/// ones.
#[tokio::test(start_paused = true)]
async fn deleted_endpoints_do_not_raise_the_limit_of_requests() {
    const EACH: usize = 64;
    let mut bench = Bench::new(50);
    let good = "https://good.example/";
    // The last quarter is for endpoints with one request each.
    let (busy, single) = (3 * MAX_IN_FLIGHT / 4 / EACH, MAX_IN_FLIGHT / 4);
    let mut deleted = Vec::new();
    for number in 0..busy + single {
        let url = format!("https://slow-{number}.example/");
        let id = bench.endpoint(&url, healthy(), |endpoint| endpoint.settings.concurrency = 64).await;
        deleted.push((id, url));
    }
    bench.endpoint(good, healthy(), |endpoint| endpoint.settings.concurrency = 64).await;
    let sender = bench.start();
    // The first success proves an endpoint.
    bench.place().await;
    for url in deleted.iter().map(|(_, url)| url.as_str()).chain([good]) {
        bench.until_complete(url, Duration::from_secs(5)).await;
    }
    for (slow, orders) in [(&deleted[..busy], EACH), (&deleted[busy..], 1)] {
        let before: Vec<usize> = slow.iter().map(|(_, url)| bench.endpoints.calls(url).len()).collect();
        for (_, url) in slow {
            bench.endpoints.script(url, always(14_000, Answer::Status(200)));
        }
        for _ in 0..orders {
            bench.place().await;
        }
        let is_full = || {
            let counts = bench.endpoints.counts();
            slow.iter().zip(&before).all(|((_, url), before)| counts[url] >= before + orders)
        };
        bench.until(PROMPT, "requests to all slow endpoints", is_full).await;
    }
    let (now, visits) = (bench.clock.now(), bench.calls("webhook_changes"));
    for (id, _) in deleted {
        bench.change(id, false, |endpoint| endpoint.delete(now)).await;
    }
    let are_known = || bench.calls("webhook_changes") >= visits + 2;
    bench.until(Duration::from_secs(5), "two visits", are_known).await;
    bench.place().await;
    bench.until_complete(good, Duration::from_secs(30)).await;
    assert_eq!(bench.endpoints.most_active(), MAX_IN_FLIGHT);
    sender.abort();
}
