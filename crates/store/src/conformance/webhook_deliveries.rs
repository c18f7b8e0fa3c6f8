//! Deliveries of webhooks: failures, dead letters, and the log of attempts.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use dabba_domain::{OrderId, RestaurantId, Timestamp, WebhookEndpointId};

use super::{
    builders::{World, feed_after},
    consumers::{LEASE, last_shard, place, taken, taken_over},
    webhook_endpoints::endpoint,
};
use crate::{
    AttemptOutcome, Checkpoint, ConsumerName, DueFailures, FailingEndpoint, FeedLease, FeedPosition,
    MAX_FAILURE_KEYS, PageSize, Revival, RevivalCause, Revived, Store, StoreError, WebhookAttempt,
    WebhookFailure, WebhookFault, WebhookOwner,
};

/// Time between the failures that a revival makes due.
const GAP: Duration = Duration::from_secs(1);

/// Orders of one shard, and the lease of the webhooks there.
struct Scene {
    store: Arc<dyn Store>,
    world: World,
    shard: usize,
    lease: FeedLease,
}

impl Scene {
    async fn new(store: Arc<dyn Store>, seed: u64) -> Self {
        let (world, shard) = (World::new(seed), last_shard(&store));
        let lease = taken(&store, shard, "holder", world.now()).await;
        Self { store, world, shard, lease }
    }

    fn endpoint(&mut self) -> WebhookEndpointId {
        endpoint(&mut self.world, WebhookOwner::Platform).id
    }

    /// Returns a new restaurant in the scene's shard.
    fn restaurant(&mut self) -> RestaurantId {
        loop {
            let restaurant = self.world.restaurant_id();
            if self.store.shard_of(restaurant.bucket()) == self.shard {
                return restaurant;
            }
        }
    }

    /// Returns a new order in the scene's shard.
    fn order(&mut self) -> OrderId {
        let restaurant = self.restaurant();
        self.world.order_id(restaurant)
    }

    /// Returns a failure that is due after some seconds.
    fn failure(&mut self, endpoint: WebhookEndpointId, due_in: i64) -> WebhookFailure {
        let (order, at) = (self.order(), self.world.now());
        WebhookFailure {
            endpoint,
            order,
            next_version: 3,
            attempts: 1,
            next_attempt_at: at + jiff::SignedDuration::from_secs(due_in),
            first_failed_at: at,
            fault: WebhookFault { at, status: Some(503), error: "503 Service Unavailable".to_owned() },
            dead_at: None,
        }
    }

    async fn write(&self, checkpoint: Checkpoint) {
        assert!(self.try_write(&self.lease, &checkpoint).await);
    }

    async fn try_write(&self, lease: &FeedLease, checkpoint: &Checkpoint) -> bool {
        let now = self.world.now();
        self.store.checkpoint_feed(self.shard, lease, checkpoint, now, now + LEASE).await.unwrap()
    }

    async fn fail(&self, failures: &[WebhookFailure]) {
        self.write(Checkpoint { failures: failures.to_vec(), ..Checkpoint::default() }).await;
    }

    async fn due(
        &self,
        endpoints: &[WebhookEndpointId],
        due_at: Timestamp,
        limit_each: u32,
    ) -> Vec<WebhookFailure> {
        let endpoints: Vec<_> = endpoints.iter().map(|endpoint| (*endpoint, limit_each)).collect();
        self.due_of(endpoints, due_at, DueFailures::MAX_FAILURES).await
    }

    async fn due_of(
        &self,
        endpoints: Vec<(WebhookEndpointId, u32)>,
        due_at: Timestamp,
        limit: u32,
    ) -> Vec<WebhookFailure> {
        let due = DueFailures { endpoints, due_at, limit };
        let found = self.store.due_webhook_failures(self.shard, &self.lease, &due, self.world.now()).await;
        found.unwrap().expect("the lease is held")
    }

    /// Commits an order with two events.
    async fn placed(&mut self) -> OrderId {
        let (restaurant, customer) = (self.restaurant(), self.world.account_id());
        let commit = self.world.place(restaurant, customer);
        let order = commit.order_id;
        self.store.commit(vec![commit]).await.unwrap();
        order
    }

    /// Revives the failures of an endpoint in steps of two.
    async fn revive(&self, endpoint: WebhookEndpointId, cause: RevivalCause, at: Timestamp) {
        let mut after = None;
        for _ in 0..10 {
            let revival = Revival { endpoint, cause, after, at, gap: GAP, limit: 2 };
            let revive =
                self.store.revive_webhook_failures(self.shard, &self.lease, &revival, self.world.now());
            match revive.await.unwrap().expect("the lease is held") {
                Revived::UpTo(order) => after = Some(order),
                Revived::All => return,
            }
        }
        panic!("the revival does not end");
    }

    async fn all(&self, endpoint: WebhookEndpointId, only_dead: bool) -> Vec<WebhookFailure> {
        let page = self.store.webhook_failures(endpoint, only_dead, None, PageSize::DEFAULT).await.unwrap();
        assert!(!page.incomplete);
        page.failures
    }
}

/// A failure is stored exactly, replaced by the next one of its endpoint and order, and removed when it is resolved.
/// Its text is bounded.
pub async fn a_webhook_failure_is_stored_exactly(store: Arc<dyn Store>) {
    let mut scene = Scene::new(store, 640).await;
    let (one, two) = (scene.endpoint(), scene.endpoint());
    let first = scene.failure(one, 1);
    let mut other = WebhookFailure { endpoint: two, ..first.clone() };
    other.fault = WebhookFault { at: first.fault.at, status: None, error: "timeout".to_owned() };
    scene.fail(&[first.clone(), other.clone()]).await;
    assert_eq!(scene.all(one, false).await, std::slice::from_ref(&first));
    let keys = [first.key(), other.key(), (one, scene.order())];
    let mut found = scene.store.webhook_failures_of(scene.shard, &keys).await.unwrap();
    found.sort_by_key(|failure| failure.endpoint);
    let mut expected = vec![first.clone(), other.clone()];
    expected.sort_by_key(|failure| failure.endpoint);
    assert_eq!(found, expected);
    let mut later =
        WebhookFailure { next_version: 4, attempts: 7, dead_at: Some(scene.world.tick()), ..first };
    later.fault.error = format!("\0{}", "é".repeat(2 * WebhookFault::MAX_LENGTH));
    scene.fail(std::slice::from_ref(&later)).await;
    later.fault.error = format!("\u{fffd}{}", "é".repeat(WebhookFault::MAX_LENGTH - 1));
    assert_eq!(scene.all(one, false).await, [later.clone()]);
    scene.write(Checkpoint { resolved: vec![later.key()], ..Checkpoint::default() }).await;
    assert_eq!(scene.all(one, false).await, []);
    assert_eq!(scene.all(two, false).await, [other]);
    let too_many = vec![later.key(); MAX_FAILURE_KEYS + 1];
    let refused = scene.store.webhook_failures_of(scene.shard, &too_many).await;
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
}

/// A failure and the position that passes its event are written together or not at all.
pub async fn webhook_failures_and_positions_are_written_together(store: Arc<dyn Store>) {
    let mut scene = Scene::new(store, 641).await;
    let hook = scene.endpoint();
    let (stale, now) = (scene.lease.clone(), scene.world.now());
    let checkpoint = |failure: &WebhookFailure| Checkpoint {
        shared: Some((place(5, 5), 1)),
        failures: vec![failure.clone()],
        attempts: vec![attempt(failure, failure.fault.at, true)],
        ..Checkpoint::default()
    };
    let (failure, group) = (scene.failure(hook, 1), ConsumerName::webhooks());
    scene.lease = taken_over(&scene.store, scene.shard, &stale, "next", now).await;
    assert!(!scene.try_write(&stale, &checkpoint(&failure)).await);
    assert_eq!(scene.store.feed_position(scene.shard, &group, None).await.unwrap(), None);
    assert_eq!(scene.all(hook, false).await, []);
    assert_eq!(scene.store.webhook_attempts(scene.shard, hook).await.unwrap(), []);
    // A failure that cannot be stored keeps the position, too.
    let mut damaged = failure.clone();
    damaged.first_failed_at = Timestamp::MAX;
    let refused =
        scene.store.checkpoint_feed(scene.shard, &scene.lease, &checkpoint(&damaged), now, now + LEASE).await;
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
    assert_eq!(scene.store.feed_position(scene.shard, &group, None).await.unwrap(), None);
    // The same checkpoint twice is the same as once.
    for _ in 0..2 {
        scene.write(checkpoint(&failure)).await;
        let stored = scene.store.feed_position(scene.shard, &group, None).await.unwrap().unwrap();
        assert_eq!(stored.place, place(5, 5));
        assert_eq!(scene.all(hook, false).await, std::slice::from_ref(&failure));
        assert_eq!(scene.store.webhook_attempts(scene.shard, hook).await.unwrap().len(), 1);
    }
}

/// Due failures are returned by due time, up to the limit of each requested endpoint, so that an endpoint with many
/// failures does not delay another, and up to the limit of all. Dead letters are never due. A process without the lease
/// gets nothing.
pub async fn webhook_failures_are_due_by_time(store: Arc<dyn Store>) {
    let mut scene = Scene::new(store, 642).await;
    let (busy, calm, other) = (scene.endpoint(), scene.endpoint(), scene.endpoint());
    let mut failures: Vec<_> = [50, 10, 40, 20, 30].map(|due_in| scene.failure(busy, due_in)).into();
    failures.push(scene.failure(calm, 35));
    failures.push(scene.failure(other, 1));
    let dead = WebhookFailure { dead_at: Some(scene.world.now()), ..scene.failure(calm, 1) };
    failures.push(dead);
    scene.fail(&failures).await;
    let order = |indices: &[usize]| indices.iter().map(|index| failures[*index].clone()).collect::<Vec<_>>();
    let last = failures[0].next_attempt_at;
    let wanted = [calm, busy];
    assert_eq!(scene.due(&wanted, last, 10).await, order(&[1, 3, 4, 5, 2, 0]));
    assert_eq!(scene.due(&wanted, last, 2).await, order(&[1, 3, 5]));
    assert_eq!(scene.due(&wanted, failures[4].next_attempt_at, 10).await, order(&[1, 3, 4]));
    assert_eq!(scene.due(&[], last, 10).await, []);
    for (calm_limit, busy_limit, limit, expected) in [
        (1, 3, 10, &[1, 3, 4, 5][..]),
        (0, 1, 10, &[1]),
        (9, 9, 5, &[1, 3, 4, 5, 2]),
        (9, 9, 1, &[1]),
        (1, 2, 3, &[1, 3, 5]),
        (9, 9, 0, &[]),
    ] {
        for endpoints in [[(calm, calm_limit), (busy, busy_limit)], [(busy, busy_limit), (calm, calm_limit)]]
        {
            let found = scene.due_of(endpoints.to_vec(), last, limit).await;
            assert_eq!(found, order(expected), "{calm_limit} {busy_limit} {limit}");
        }
    }
    // The next holder finds the same failures due at once.
    let stale = scene.lease.clone();
    scene.lease = taken_over(&scene.store, scene.shard, &stale, "next", scene.world.now()).await;
    assert_eq!(scene.due(&wanted, last, 2).await, order(&[1, 3, 5]));
    let due = DueFailures { endpoints: wanted.map(|hook| (hook, 2)).into(), due_at: last, limit: 10 };
    let lost = scene.store.due_webhook_failures(scene.shard, &stale, &due, scene.world.now()).await.unwrap();
    assert_eq!(lost, None);
    let too_many_endpoints =
        DueFailures { endpoints: vec![(busy, 2); DueFailures::MAX_ENDPOINTS + 1], ..due.clone() };
    let too_many_failures = DueFailures { limit: DueFailures::MAX_FAILURES + 1, ..due };
    for too_many in [too_many_endpoints, too_many_failures] {
        let refused =
            scene.store.due_webhook_failures(scene.shard, &scene.lease, &too_many, scene.world.now()).await;
        assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
    }
}

/// A new holder learns which endpoints have failures, and when the first one is due.
pub async fn failing_webhook_endpoints_are_listed(store: Arc<dyn Store>) {
    let mut scene = Scene::new(store, 643).await;
    let mut expected = Vec::new();
    for number in 0..5 {
        let hook = scene.endpoint();
        let mut failures = [scene.failure(hook, 30), scene.failure(hook, 20), scene.failure(hook, 10)];
        failures[2].dead_at = Some(scene.world.now());
        if number == 3 {
            failures = failures.map(|failure| WebhookFailure { dead_at: Some(failure.fault.at), ..failure });
        }
        scene.fail(&failures).await;
        let next_attempt_at = (number != 3).then_some(failures[1].next_attempt_at);
        expected.push(FailingEndpoint { endpoint: hook, next_attempt_at, failures: 3 });
    }
    expected.sort_by_key(|failing| failing.endpoint);
    let read =
        async |after, limit| scene.store.failing_webhook_endpoints(scene.shard, after, limit).await.unwrap();
    assert_eq!(read(None, 100).await, expected);
    assert_eq!(read(None, 2).await, expected[..2]);
    assert_eq!(read(Some(expected[1].endpoint), 2).await, expected[2..4]);
    assert_eq!(read(Some(expected[4].endpoint), 2).await, []);
}

/// A replay makes every failure of an endpoint begin anew in bounded steps: dead letters are due again, and each failure
/// begins with the first event of its order after the position of the replay. The failures of other endpoints stay.
pub async fn failures_are_revived_by_a_replay(store: Arc<dyn Store>) {
    let mut scene = Scene::new(store, 644).await;
    let (hook, other) = (scene.endpoint(), scene.endpoint());
    let mut failures: Vec<_> = (0..4).map(|_| scene.failure(hook, 60)).collect();
    let placed = scene.placed().await;
    // The fifth failure is of an order with events, the sixth of another endpoint.
    failures.push(WebhookFailure { order: placed, next_version: 9, ..scene.failure(hook, 60) });
    failures.push(scene.failure(other, 60));
    for index in [0, 1, 4, 5] {
        failures[index].dead_at = Some(scene.world.now());
        failures[index].attempts = 30;
    }
    scene.fail(&failures).await;
    let first = feed_after(&*scene.store, scene.shard, FeedPosition::START).await[0].position;
    let at = scene.world.tick();
    for (position, next_version) in [(first, 2), (FeedPosition::START, 1), (first, 1)] {
        scene.revive(hook, RevivalCause::Replayed(position), at).await;
        assert_eq!(scene.all(hook, true).await, []);
        assert_eq!(scene.all(other, true).await, failures[5..]);
        let due = scene.due(&[hook], at + 4 * GAP, 10).await;
        assert_eq!(due.len(), 5);
        for failure in due {
            assert!(failure.attempts == 0 && failure.dead_at.is_none() && failure.first_failed_at >= at);
            let before = failures.iter().find(|before| before.key() == failure.key()).unwrap();
            let expected = if failure.order == placed { next_version } else { before.next_version };
            assert_eq!((failure.next_version, &failure.fault), (expected, &before.fault));
        }
    }
}

/// An endpoint that was enabled, or that responds again, gets its failures early and not all at once: never later than
/// they were scheduled. Dead letters stay. A process without the lease changes nothing.
pub async fn failures_are_due_early_after_an_outage(store: Arc<dyn Store>) {
    let mut scene = Scene::new(store, 650).await;
    let hook = scene.endpoint();
    let mut failures = [1, 3_600, 3_600, 3_600].map(|due_in| scene.failure(hook, due_in));
    failures.sort_by_key(|failure| failure.order);
    let dead =
        failures.iter().position(|failure| failure.next_attempt_at > scene.world.in_seconds(60)).unwrap();
    failures[dead].dead_at = Some(scene.world.now());
    for (cause, attempts) in [(RevivalCause::Recovered, 1), (RevivalCause::Enabled, 0)] {
        scene.fail(&failures).await;
        let at = scene.world.in_seconds(2);
        let revival = Revival { endpoint: hook, cause, after: None, at, gap: GAP, limit: 10 };
        let stale = FeedLease { token: scene.lease.token - 1, ..scene.lease.clone() };
        let now = scene.world.now();
        let lost = scene.store.revive_webhook_failures(scene.shard, &stale, &revival, now).await;
        assert_eq!(lost, Ok(None));
        assert_eq!(scene.all(hook, false).await, failures);
        scene.revive(hook, cause, at).await;
        let mut expected = failures.clone();
        for failure in expected.iter_mut().filter(|failure| failure.dead_at.is_none()) {
            failure.attempts = attempts;
        }
        for (found, expected) in scene.all(hook, false).await.iter().zip(&expected) {
            let is_early = found.next_attempt_at <= expected.next_attempt_at.min(at + 4 * GAP);
            assert!(is_early || found.dead_at.is_some(), "{found:?}");
            assert_eq!((found.attempts, found.dead_at), (expected.attempts, expected.dead_at));
            assert_eq!(found.next_version, expected.next_version);
        }
        let times: BTreeSet<_> =
            scene.all(hook, false).await.iter().map(|found| found.next_attempt_at).collect();
        assert_eq!(times.len(), 4, "not all are due at once: {times:?}");
    }
}

/// Everything about a deleted endpoint is removed in bounded steps, and nothing about another one.
pub async fn a_deleted_webhook_endpoint_is_forgotten(store: Arc<dyn Store>) {
    let mut scene = Scene::new(store, 645).await;
    let (hook, other) = (scene.endpoint(), scene.endpoint());
    let failures: Vec<_> = [hook, hook, hook, other].map(|hook| scene.failure(hook, 1)).into();
    let attempts = failures.iter().map(|failure| attempt(failure, failure.fault.at, true)).collect();
    let advanced = [hook, other].map(|hook| (ConsumerName::from(hook), place(1, 1))).into();
    scene.write(Checkpoint { advanced, failures, attempts, ..Checkpoint::default() }).await;
    let forget = async |lease| {
        scene.store.forget_webhook_endpoint(scene.shard, lease, hook, 2, scene.world.now()).await.unwrap()
    };
    let stale = FeedLease { token: scene.lease.token - 1, ..scene.lease.clone() };
    assert_eq!(forget(&stale).await, None);
    assert_eq!(forget(&scene.lease).await, Some(2));
    assert_eq!(forget(&scene.lease).await, Some(1));
    assert_eq!(forget(&scene.lease).await, Some(0));
    let group = ConsumerName::webhooks();
    for (hook, is_left) in [(hook, false), (other, true)] {
        assert_eq!(!scene.all(hook, false).await.is_empty(), is_left);
        assert_eq!(!scene.store.webhook_attempts(scene.shard, hook).await.unwrap().is_empty(), is_left);
        let position = scene.store.feed_position(scene.shard, &group, Some(&hook.into())).await.unwrap();
        assert_eq!(position.is_some(), is_left);
    }
}

/// The failures of an endpoint are listed by order in pages, over all shards.
pub async fn webhook_failures_are_listed_by_order(store: Arc<dyn Store>) {
    let mut scene = Scene::new(store, 646).await;
    let hook = scene.endpoint();
    let (mut expected, now) = (Vec::new(), scene.world.now());
    for shard in 0..scene.store.shard_count() {
        let lease = if shard == scene.shard {
            scene.lease.clone()
        } else {
            taken(&scene.store, shard, "holder", now).await
        };
        let mut failures: Vec<_> = (0..3).map(|_| scene.failure(hook, 1)).collect();
        for failure in &mut failures {
            failure.order = loop {
                let restaurant = scene.world.restaurant_id();
                if scene.store.shard_of(restaurant.bucket()) == shard {
                    break scene.world.order_id(restaurant);
                }
            };
        }
        failures[1].dead_at = Some(now);
        let checkpoint = Checkpoint { failures: failures.clone(), ..Checkpoint::default() };
        assert!(scene.store.checkpoint_feed(shard, &lease, &checkpoint, now, now + LEASE).await.unwrap());
        expected.extend(failures);
    }
    expected.sort_by_key(|failure| failure.order);
    let limit = PageSize::new(2).unwrap();
    for only_dead in [false, true] {
        let expected: Vec<_> =
            expected.iter().filter(|failure| !only_dead || failure.dead_at.is_some()).cloned().collect();
        let (mut after, mut listed) = (None, Vec::new());
        loop {
            let page = scene.store.webhook_failures(hook, only_dead, after, limit).await.unwrap();
            assert!(page.failures.len() <= 2 && !page.incomplete);
            let Some(last) = page.failures.last() else { break };
            after = Some(last.order);
            listed.extend(page.failures);
        }
        assert_eq!(listed, expected, "{only_dead}");
    }
}

fn attempt(failure: &WebhookFailure, at: Timestamp, is_failed: bool) -> WebhookAttempt {
    let outcome = if is_failed {
        AttemptOutcome::Failed { status: None, error: "timeout".to_owned() }
    } else {
        AttemptOutcome::Delivered { status: 204, events: 17 }
    };
    let (endpoint, order) = failure.key();
    WebhookAttempt { endpoint, at, order, version: failure.next_version, duration_ms: 12, outcome }
}

/// The log of an endpoint keeps the newest failed attempts and the newest successful ones, each up to its limit:
/// successes do not displace failures. A batch of more attempts than the limit keeps the limit, too.
pub async fn the_log_of_a_webhook_endpoint_is_bounded(store: Arc<dyn Store>) {
    let mut scene = Scene::new(store, 647).await;
    let (hook, other) = (scene.endpoint(), scene.endpoint());
    let (failure, elsewhere) = (scene.failure(hook, 1), scene.failure(other, 1));
    let of_other = attempt(&elsewhere, scene.world.tick(), true);
    scene.write(Checkpoint { attempts: vec![of_other.clone()], ..Checkpoint::default() }).await;
    let mut written = Vec::new();
    for _ in 0..3 {
        let mut attempts = Vec::new();
        for number in 0..60 {
            // Some attempts end at the same time, with different versions.
            let at = if number % 3 == 0 { scene.world.now() } else { scene.world.tick() };
            attempts.push(WebhookAttempt { version: number, ..attempt(&failure, at, number % 2 == 0) });
        }
        written.extend(attempts.clone());
        scene.write(Checkpoint { attempts, ..Checkpoint::default() }).await;
    }
    written.sort_by_key(|attempt| std::cmp::Reverse((attempt.at, attempt.version)));
    let newest = |is_failed: bool, limit: u32| {
        let of_kind = written.iter().filter(move |attempt| attempt.is_failed() == is_failed);
        of_kind.take(limit as usize).map(|attempt| (attempt.at, attempt.version)).collect::<BTreeSet<_>>()
    };
    let mut expected = newest(true, WebhookAttempt::MAX_FAILED);
    expected.extend(newest(false, WebhookAttempt::MAX_DELIVERED));
    let expected: Vec<_> =
        written.iter().filter(|attempt| expected.contains(&(attempt.at, attempt.version))).cloned().collect();
    assert_eq!(scene.store.webhook_attempts(scene.shard, hook).await.unwrap(), expected);
    assert_eq!(scene.store.webhook_attempts(scene.shard, other).await.unwrap(), [of_other]);
}
