//! Sending requests, and what follows from their outcomes.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use dabba_domain::{OrderId, Timestamp, WebhookEndpointId};
use dabba_engine::EgressRequest;
use dabba_store::{
    AttemptOutcome, DisabledReason, FeedEvent, RevivalCause, WebhookAttempt, WebhookFailure, WebhookFault,
    WebhookPayload, panicked,
};
use futures::FutureExt as _;
use tokio::{task::JoinError, time::Instant, time::timeout};

use super::{Disabling, Session, rotated};
use crate::webhooks::{
    endpoint::Endpoint,
    limits::{AGE_CHECK_INTERVAL, DELIVERY_TIMEOUT, MAX_PAUSE, SLOW_AFTER},
    message::{self, Verdict},
    orders::OrderStates,
    schedule::{after, elapsed, is_dead, pause_after},
    sender::WebhookPorts,
    target::{Queued, Source, Target},
};

/// A request in flight.
pub(super) struct Flight {
    pub(super) endpoint: WebhookEndpointId,
    pub(super) events: Vec<Queued>,
    /// Whether the endpoint was detached after the start of the request.
    pub(super) is_stale: bool,
    /// The endpoint at the start of the request.
    made_to: Arc<Endpoint>,
    started_at: Instant,
}

impl Flight {
    /// Returns whether the outcome of the request states something about an endpoint as it is now.
    fn is_to_url_of(&self, target: &Target) -> bool {
        target.endpoint.as_ref().is_some_and(|now| now.url == self.made_to.url)
    }
}

/// A request that ended.
pub(super) struct Tried {
    number: u64,
    /// Number of events that the request contained. With their orders, the others had been too large for it.
    sent: usize,
    verdict: Verdict,
}

/// Builds and makes one request. Never panics, and ends within a limited time.
pub(in crate::webhooks) async fn attempt(
    ports: &WebhookPorts,
    build: impl FnOnce() -> Result<EgressRequest, String> + Send,
) -> Verdict {
    let made = async {
        let request = match build() {
            Ok(request) => request,
            Err(error) => return Verdict::failed(error, Duration::ZERO),
        };
        match timeout(DELIVERY_TIMEOUT, ports.egress.post(request)).await {
            Ok(attempt) => Verdict::of(attempt, ports.clock.now()),
            Err(_) => Verdict::failed("timeout: there was no response in time".into(), DELIVERY_TIMEOUT),
        }
    };
    match AssertUnwindSafe(made).catch_unwind().await {
        Ok(verdict) => verdict,
        Err(panic) => {
            tracing::error!(panic = panicked(&*panic), "a request to a webhook endpoint panicked");
            Verdict::failed("the request could not be made".into(), Duration::ZERO)
        }
    }
}

impl Session {
    /// Starts requests while endpoints with queued events and free capacity exist. Endpoints take turns.
    pub(super) fn send(&mut self) {
        let mut slow = self.slow_in_flight();
        loop {
            let mut has_started = false;
            for id in rotated(&self.ready, self.turns.send) {
                if self.tasks.len() >= self.place.max_in_flight {
                    return;
                }
                let is_slow = self.targets.get(&id).is_some_and(|target| target.is_slow || !target.is_proven);
                if is_slow && slow >= self.place.max_in_flight / 2 {
                    continue;
                }
                // An endpoint is not slow before its first slow request. Until then, some that hang could fill all slots.
                let is_reserved = self.tasks.len() >= self.place.max_in_flight / 4 * 3;
                if is_reserved && self.targets.get(&id).is_some_and(|target| target.in_flight > 0) {
                    continue;
                }
                if self.start_request(id) {
                    self.turns.send = Some(id);
                    slow += usize::from(is_slow);
                    has_started = true;
                }
            }
            if !has_started {
                return;
            }
        }
    }

    /// Returns the number of requests in flight to slow endpoints. An endpoint is slow as soon as a request takes long. The
    /// requests to deleted endpoints count as slow: they have no effect, and take their places until they end.
    fn slow_in_flight(&mut self) -> usize {
        let mut slow = self.tasks.len().saturating_sub(self.flights.len());
        for flight in self.flights.values() {
            let Some(target) = self.targets.get_mut(&flight.endpoint) else { continue };
            target.is_slow |= flight.started_at.elapsed() >= SLOW_AFTER && flight.is_to_url_of(target);
            slow += usize::from(target.is_slow || !target.is_proven);
        }
        slow
    }

    fn start_request(&mut self, id: WebhookEndpointId) -> bool {
        let now = self.now();
        let Some(target) = self.targets.get_mut(&id) else { return false };
        if target.free(now) == 0 {
            return false;
        }
        let Some(endpoint) = target.receiving().cloned() else { return false };
        let queued = target.take_next(endpoint.batch);
        if !target.is_ready() {
            self.ready.remove(&id);
        }
        if queued.is_empty() {
            return false;
        }
        let number = self.next_flight;
        self.next_flight += 1;
        let events: Vec<Arc<FeedEvent>> = queued.iter().map(|queued| Arc::clone(&queued.event)).collect();
        let (made_to, started_at) = (Arc::clone(&endpoint), Instant::now());
        let flight = Flight { endpoint: id, events: queued, is_stale: false, made_to, started_at };
        self.flights.insert(number, flight);
        let (ports, states) = (Arc::clone(&self.ports), Arc::clone(&self.order_states));
        self.tasks.spawn(async move {
            let (sent, verdict) = deliver(&ports, &states, &endpoint, &events).await;
            Tried { number, sent, verdict }
        });
        true
    }

    /// Processes a request that ended, and all others that have ended. After an error, the lanes of a request stay busy,
    /// so the session must end.
    pub(super) fn complete_all(&mut self, tried: Result<Tried, JoinError>) -> Result<(), JoinError> {
        let mut next = Some(tried);
        while let Some(tried) = next {
            self.complete(&tried?);
            next = self.tasks.try_join_next();
        }
        Ok(())
    }

    fn complete(&mut self, Tried { number, sent, verdict }: &Tried) {
        let Some(mut flight) = self.flights.remove(number) else { return };
        let id = flight.endpoint;
        let Some(target) = self.targets.get_mut(&id) else { return };
        target.in_flight = target.in_flight.saturating_sub(1);
        target.stale = target.stale.saturating_sub(usize::from(flight.is_stale));
        let is_to_url = flight.is_to_url_of(target);
        if is_to_url && !verdict.is_of_order {
            target.is_slow = verdict.duration >= SLOW_AFTER;
        }
        let revision = target.endpoint.as_ref().map(|endpoint| endpoint.stored.revision);
        let is_outdated = flight.is_stale || revision != Some(flight.made_to.stored.revision);
        let unsent = flight.events.split_off((*sent).min(flight.events.len()));
        let unsent_orders: Vec<OrderId> = unsent.iter().map(|queued| queued.event.order_id).collect();
        // An event of a reader from before the endpoint was detached will be read again.
        target.put_back(unsent.into_iter().filter(|queued| queued.source != Source::Gone).collect());
        self.metrics.attempted(verdict.is_success(), flight.events.len());
        if verdict.is_success() {
            self.succeeded(id, flight.events, verdict, is_to_url);
        } else if is_outdated {
            self.failed_outdated(id, flight.events, verdict);
        } else {
            self.failed(id, flight.events, verdict);
        }
        for order in unsent_orders {
            self.release(id, order);
        }
        self.classify(id);
        // There may be room for another page.
        self.wants_page |= self.behind.contains(&id);
    }

    /// Processes a success. `is_to_url`: the request was made to the present URL; otherwise, it states nothing about
    /// the endpoint.
    fn succeeded(&mut self, id: WebhookEndpointId, events: Vec<Queued>, verdict: &Verdict, is_to_url: bool) {
        let now = self.now();
        let Some(target) = self.targets.get_mut(&id) else { return };
        let mut has_recovered = false;
        if is_to_url {
            self.journal.health(id).last_success = Some(now);
            has_recovered = target.breaker.succeeded() && target.has_failures;
            target.is_proven = true;
            target.failing_since = None;
            target.is_warned = false;
        }
        if let Some(last) = events.last() {
            let status = verdict.status.unwrap_or_default();
            let outcome = AttemptOutcome::Delivered { status, events: 0 };
            target.successes.add(log_entry(id, &last.event, now, verdict, outcome), events.len());
        }
        if has_recovered {
            self.begin_revival(id, RevivalCause::Recovered, None);
        }
        for Queued { event, source } in events {
            if source == Source::History {
                self.progressed(id, &event, now);
            }
            self.decide(id, source);
            self.release(id, event.order_id);
        }
    }

    /// Records that an event of a failing order was delivered from the history.
    fn progressed(&mut self, id: WebhookEndpointId, event: &FeedEvent, now: Timestamp) {
        let lane = self.targets.get_mut(&id).and_then(|target| target.lane(event.order_id));
        let Some(failure) = lane.and_then(|lane| lane.failure.as_mut()) else { return };
        failure.next_version = event.version.saturating_add(1);
        failure.attempts = 0;
        failure.next_attempt_at = now;
        self.journal.fail(failure.clone());
    }

    fn release(&mut self, id: WebhookEndpointId, order: OrderId) {
        if self.targets.get_mut(&id).is_some_and(|target| target.release(order)) {
            self.refills.insert((id, order));
        }
    }

    /// Processes the failure of a request that was made with earlier settings, or before the endpoint was detached.
    /// The failure states nothing about the present settings, so it neither disables the endpoint nor counts for its
    /// breaker, and it postpones no event.
    fn failed_outdated(&mut self, id: WebhookEndpointId, events: Vec<Queued>, verdict: &Verdict) {
        let now = self.now();
        if let Some(first) = events.first() {
            let error = verdict.error.clone().unwrap_or_default();
            let outcome = AttemptOutcome::Failed { status: verdict.status, error };
            self.journal.log(log_entry(id, &first.event, now, verdict, outcome));
        }
        let Some(target) = self.targets.get_mut(&id) else { return };
        let (mut orders, mut again) = (Vec::new(), Vec::new());
        for queued in events {
            let order = queued.event.order_id;
            match queued.source {
                // The row is unchanged, so it is retried when it is due.
                Source::History => drop(target.drop_lane(order)),
                // The event will be read again.
                Source::Gone => orders.push(order),
                Source::Shared(_) | Source::Own(_) => {
                    orders.push(order);
                    again.push(queued);
                }
            }
        }
        target.put_back_alone(again);
        for order in orders {
            self.release(id, order);
        }
        self.claim_again = true;
    }

    fn failed(&mut self, id: WebhookEndpointId, events: Vec<Queued>, verdict: &Verdict) {
        let (now, random) = (self.now(), self.random());
        let is_gone = verdict.is_gone();
        let error = verdict.error.clone().unwrap_or_default();
        let fault = WebhookFault { at: now, status: verdict.status, error: error.clone() };
        if !verdict.is_of_order {
            self.journal.health(id).last_failure = Some(fault.clone());
        }
        let Some(first) = events.first().map(|queued| Arc::clone(&queued.event)) else { return };
        let outcome = AttemptOutcome::Failed { status: verdict.status, error };
        self.journal.log(log_entry(id, &first, now, verdict, outcome));
        let Some(target) = self.targets.get_mut(&id) else { return };
        let mut has_opened = false;
        if !verdict.is_of_order {
            target.failing_since.get_or_insert(now);
            if target.age_checked_at.is_none_or(|at| elapsed(at, now) >= AGE_CHECK_INTERVAL) {
                target.age_checked_at = Some(now);
                self.age_checks.insert(id);
            }
            has_opened = target.breaker.failed(first.order_id, verdict.is_unreachable, now, random);
        }
        let is_open = target.breaker.is_open();
        // A pause of the whole endpoint. Otherwise, only the order of a single event waits.
        let wants_pause =
            if is_open { verdict.retry_after.is_some() } else { events.len() > 1 && verdict.wants_pause() };
        if wants_pause {
            let pause = pause_after(1, verdict.retry_after, random).min(MAX_PAUSE);
            target.pause_until(after(now, pause));
        }
        let is_history = events.iter().all(|queued| queued.source == Source::History);
        if is_history && !is_gone {
            self.retry_failed(id, &first, fault, verdict.retry_after);
        } else if is_gone || is_open || events.len() > 1 {
            let orders: Vec<OrderId> = events.iter().map(|queued| queued.event.order_id).collect();
            target.put_back_alone(events);
            for order in orders {
                self.release(id, order);
            }
        } else {
            self.fail_live(id, events, fault, verdict.retry_after);
        }
        if is_gone {
            self.disable(id, DisabledReason::Gone);
        } else if has_opened {
            self.detach(id);
        }
    }

    /// Writes the row of an order whose event from the feed failed. The order's history contains what follows.
    fn fail_live(
        &mut self,
        id: WebhookEndpointId,
        events: Vec<Queued>,
        fault: WebhookFault,
        retry_after: Option<Duration>,
    ) {
        let Some(first) = events.first() else { return };
        let (order, version, at) = (first.event.order_id, first.event.version, fault.at);
        let pause = pause_after(1, retry_after, self.random());
        self.journal.fail(WebhookFailure {
            endpoint: id,
            order,
            next_version: version,
            attempts: 1,
            next_attempt_at: after(at, pause),
            first_failed_at: at,
            fault,
            dead_at: None,
        });
        let Some(target) = self.targets.get_mut(&id) else { return };
        target.has_failures = true;
        target.failing = target.failing.saturating_add(1);
        let dropped = target.drop_lane(order);
        for queued in events.into_iter().chain(dropped) {
            self.decide(id, queued.source);
        }
    }

    /// Updates the row of an order whose event from the history failed, and ends the retry.
    fn retry_failed(
        &mut self,
        id: WebhookEndpointId,
        event: &FeedEvent,
        fault: WebhookFault,
        retry_after: Option<Duration>,
    ) {
        let random = self.random();
        let Some(target) = self.targets.get_mut(&id) else { return };
        let failure = target.lane(event.order_id).and_then(|lane| lane.failure.clone());
        target.drop_lane(event.order_id);
        if let Some(failure) = failure {
            self.postpone(failure, event.version, fault, retry_after, random);
        }
    }

    /// Writes the row of a failure after another failed attempt.
    pub(super) fn postpone(
        &mut self,
        mut failure: WebhookFailure,
        version: dabba_domain::order::Version,
        fault: WebhookFault,
        retry_after: Option<Duration>,
        random: u64,
    ) {
        let now = fault.at;
        if failure.next_version != version || failure.attempts == 0 {
            failure.first_failed_at = now;
            failure.attempts = 0;
        }
        failure.next_version = version;
        failure.attempts = failure.attempts.saturating_add(1);
        failure.next_attempt_at = after(now, pause_after(failure.attempts, retry_after, random));
        failure.fault = fault;
        if is_dead(failure.first_failed_at, now) {
            failure.dead_at = Some(now);
            self.metrics.dead_letter();
            let (endpoint, order) = failure.key();
            tracing::warn!(%endpoint, %order, version, "a webhook delivery is a dead letter until a replay");
        }
        self.journal.fail(failure);
    }

    /// Stops deliveries to an endpoint at once, and disables it in the directory with the next change of it.
    pub(super) fn disable(&mut self, id: WebhookEndpointId, reason: DisabledReason) {
        self.detach(id);
        if let Some(target) = self.targets.get_mut(&id) {
            target.is_halted = true;
            let of = target.endpoint.as_ref().map_or(0, |endpoint| endpoint.stored.revision);
            self.disabling.insert(id, Disabling { reason, of, revision: None });
        }
        self.classify(id);
    }
}

/// Delivers events, each with the whole order after it if the endpoint wants it: with orders, only the first events
/// whose orders fit in one request. Returns the number of these events. Never panics, and ends within a limited time.
async fn deliver(
    ports: &WebhookPorts,
    states: &OrderStates,
    endpoint: &Endpoint,
    events: &[Arc<FeedEvent>],
) -> (usize, Verdict) {
    let (orders, events) = match endpoint.stored.settings.payload {
        WebhookPayload::Event => (Vec::new(), events),
        WebhookPayload::Order => match states.rendered(&*ports.orders, &endpoint.viewer, events).await {
            Ok(orders) => {
                let fitting = events.get(..orders.len()).unwrap_or(events);
                (orders, fitting)
            }
            Err(error) => return (events.len(), Verdict::unrendered(error)),
        },
    };
    let build = || message::request(endpoint, events, orders, ports.clock.now());
    (events.len(), attempt(ports, build).await)
}

fn log_entry(
    endpoint: WebhookEndpointId,
    event: &FeedEvent,
    at: Timestamp,
    verdict: &Verdict,
    outcome: AttemptOutcome,
) -> WebhookAttempt {
    let (order, version, duration_ms) = (event.order_id, event.version, verdict.duration_ms());
    WebhookAttempt { endpoint, at, order, version, duration_ms, outcome }
}
