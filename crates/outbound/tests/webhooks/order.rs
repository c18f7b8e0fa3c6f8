//! At least once, and in order (I10), under failures and crashes.

use std::time::Duration;

use dabba_store::conformance::builders::World;

use crate::{
    bench::Bench,
    script::{Answer, check, healthy},
};

const URL: &str = "https://one.example/hook";

/// Proves that every event arrives once and in order if nothing fails, also in batches.
#[tokio::test(start_paused = true)]
async fn every_event_arrives_in_order() {
    for batch in [1, 100] {
        let mut bench = Bench::new(1);
        bench.endpoint(URL, healthy(), |endpoint| endpoint.settings.batch = batch).await;
        let sender = bench.start();
        for _ in 0..20 {
            let order = bench.place().await;
            bench.act(order).await;
            bench.act(order).await;
        }
        bench.until_complete(URL, Duration::from_mins(1)).await;
        let accepted = bench.endpoints.accepted(URL);
        assert_eq!(accepted.len(), 80, "no event is delivered twice");
        assert!(bench.endpoints.overlaps().is_empty());
        sender.abort();
    }
}

/// Proves I10 over seeds: random failures and delays, crashes at random times, and two senders that take the lease from
/// each other. After every crash the next sender continues from the checkpoint, so no event is skipped, and the first
/// deliveries of each order ascend.
#[tokio::test(start_paused = true)]
async fn nothing_is_skipped_under_failures_and_crashes() {
    let mut repeated = 0;
    for seed in 0..12 {
        let mut bench = Bench::new(seed);
        let failing = 10 + (seed % 4) * 15;
        let script = move |call: &crate::script::Call| {
            let mut world = World::new(seed * 1_000_003 + call.number as u64);
            let pause = Duration::from_millis(world.below(400) as u64);
            let is_failing = (world.below(100) as u64) < failing;
            (pause, if is_failing { Answer::Status(500) } else { Answer::Status(204) })
        };
        let batch = if seed % 3 == 0 { 7 } else { 1 };
        bench.endpoint(URL, Box::new(script), |endpoint| endpoint.settings.batch = batch).await;
        let mut senders = [bench.start(), bench.start()];
        let mut orders = Vec::new();
        for step in 0..60 {
            if orders.len() < 10 {
                orders.push(bench.place().await);
            }
            let order = orders[bench.world.below(orders.len())];
            bench.act(order).await;
            let pause = bench.world.below(2_500) as u64;
            bench.pass(Duration::from_millis(pause)).await;
            if step % 7 == 6 {
                let victim = bench.world.below(senders.len());
                senders[victim].abort();
                senders[victim] = bench.start();
            }
        }
        bench.endpoints.script(URL, healthy());
        bench.until_complete(URL, Duration::from_hours(1)).await;
        assert!(bench.endpoints.overlaps().is_empty(), "seed {seed}");
        let accepted = bench.endpoints.accepted(URL);
        repeated += accepted.len() - accepted.iter().collect::<std::collections::BTreeSet<_>>().len();
        senders.iter().for_each(tokio::task::JoinHandle::abort);
    }
    assert!(repeated > 0, "no crash happened between an acceptance and its checkpoint");
}

/// Proves that events of an order that commit while its failure is retried arrive after it, without a gap: the history
/// delivers some of them, and the feed the rest.
#[tokio::test(start_paused = true)]
async fn the_hand_over_from_the_history_to_the_feed_has_no_gap() {
    let mut bench = Bench::new(3);
    let script = |call: &crate::script::Call| {
        let is_failing = call.number % 5 < 2;
        (Duration::from_millis(90), if is_failing { Answer::Refused } else { Answer::Status(200) })
    };
    bench.endpoint(URL, Box::new(script), |_| {}).await;
    let sender = bench.start();
    let order = bench.place().await;
    for step in 0..80 {
        bench.act(order).await;
        bench.pass(Duration::from_millis(37 * (step % 13))).await;
    }
    bench.until_complete(URL, Duration::from_mins(10)).await;
    assert!(bench.endpoints.overlaps().is_empty());
    sender.abort();
}

/// Proves that the checker finds planted defects: an event skipped after a failure, two events in the wrong order, and
/// an event of another order.
#[tokio::test(start_paused = true)]
async fn the_checker_finds_planted_defects() {
    let mut bench = Bench::new(4);
    let script = |call: &crate::script::Call| {
        (Duration::ZERO, if call.number == 1 { Answer::Status(500) } else { Answer::Status(200) })
    };
    bench.endpoint(URL, Box::new(script), |_| {}).await;
    let sender = bench.start();
    let order = bench.place().await;
    bench.act(order).await;
    bench.act(order).await;
    bench.until_complete(URL, Duration::from_mins(1)).await;
    sender.abort();
    let accepted = bench.endpoints.accepted(URL);
    let failed = bench.endpoints.calls(URL)[1].events[0].clone();
    let skipped: Vec<_> = accepted.iter().filter(|event| **event != failed).cloned().collect();
    assert!(check(&skipped, &bench.expected()).is_err());
    let mut swapped = accepted.clone();
    swapped.swap(1, 2);
    assert!(check(&swapped, &bench.expected()).is_err());
    let mut foreign = accepted;
    foreign.push(("other".into(), 1));
    assert!(check(&foreign, &bench.expected()).is_err());
}
