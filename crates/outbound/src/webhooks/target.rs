//! The deliveries of one endpoint: lanes per order, and what is known about the endpoint.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use dabba_domain::{OrderId, Timestamp, order::Version};
use dabba_store::{AttemptOutcome, FeedEvent, FeedPlace, FeedPosition, WebhookAttempt, WebhookFailure};

use super::{
    endpoint::Endpoint,
    limits::{ENVELOPE_BYTES, HEALTH_INTERVAL, MAX_BATCH_BYTES},
    schedule::{Breaker, elapsed},
    window::Window,
};

/// Where a queued event comes from, with the number of its entry in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The shared reader.
    Shared(u64),
    /// The endpoint's own reader.
    Own(u64),
    /// The history of an order with a failure.
    History,
    /// A reader before the endpoint was detached: the event will be read again.
    Gone,
}

/// An event to deliver.
pub(super) struct Queued {
    pub(super) event: Arc<FeedEvent>,
    pub(super) source: Source,
}

/// The queued events of one order. At most one request of a lane is in flight.
#[derive(Default)]
pub(super) struct Lane {
    queue: VecDeque<Queued>,
    is_busy: bool,
    /// Number of events at the front that are sent alone, because a batch with them failed.
    alone: usize,
    /// The failure of the order, while its events come from the history.
    pub(super) failure: Option<WebhookFailure>,
    /// Number of the read of the history that is under way.
    pub(super) history: Option<u64>,
    /// Highest version of the events that the feed had since the start of this read, and left to the history.
    pub(super) skipped: Version,
}

/// A position of the endpoint's own.
pub(super) struct Own {
    pub(super) window: Window,
    /// Whether the next checkpoint sets the position, whatever it was.
    pub(super) is_rewound: bool,
    /// The stored position, if there is one.
    pub(super) saved: Option<FeedPlace>,
    /// Whether the latest read reached the end.
    pub(super) is_at_end: bool,
}

impl Own {
    pub(super) fn new(place: FeedPlace, saved: Option<FeedPlace>) -> Self {
        Self { window: Window::new(place), is_rewound: false, saved, is_at_end: false }
    }
}

/// The successes for the log of attempts. The first one after an idle time is an entry at once; those that follow are
/// summarized in one entry per [`HEALTH_INTERVAL`], whether further ones follow or not.
#[derive(Default)]
pub(super) struct Successes {
    /// The latest success that is not logged, with the number of events since the latest entry.
    waiting: Option<(WebhookAttempt, u32)>,
    logged_at: Option<Timestamp>,
}

impl Successes {
    /// Adds a success with a number of events.
    pub(super) fn add(&mut self, latest: WebhookAttempt, events: usize) {
        let earlier = self.waiting.take().map_or(0, |(_, events)| events);
        let events = earlier.saturating_add(u32::try_from(events).unwrap_or(u32::MAX));
        self.waiting = Some((latest, events));
    }

    /// Removes and returns the entry that is due. `is_last`: nothing may wait any longer.
    pub(super) fn due(&mut self, now: Timestamp, is_last: bool) -> Option<WebhookAttempt> {
        let is_due =
            is_last || self.logged_at.is_none_or(|logged_at| elapsed(logged_at, now) >= HEALTH_INTERVAL);
        let (mut entry, all) = self.waiting.take_if(|_| is_due)?;
        self.logged_at = Some(now);
        if let AttemptOutcome::Delivered { events, .. } = &mut entry.outcome {
            *events = all;
        }
        Some(entry)
    }
}

/// An endpoint, its lanes, and its condition.
#[derive(Default)]
pub(super) struct Target {
    /// `None` for an endpoint that this version cannot decode.
    pub(super) endpoint: Option<Arc<Endpoint>>,
    /// Whether the endpoint is being disabled by this sender.
    pub(super) is_halted: bool,
    /// Position after which the endpoint receives the events of the shared reader.
    pub(super) enrolled_from: Option<FeedPosition>,
    pub(super) own: Option<Own>,
    lanes: HashMap<OrderId, Lane>,
    /// Lanes that are not busy and not empty.
    ready: VecDeque<OrderId>,
    queued: usize,
    pub(super) in_flight: usize,
    /// Number of requests in flight from before the endpoint was detached.
    pub(super) stale: usize,
    pub(super) breaker: Breaker,
    /// Time until which nothing is sent, because the endpoint asked for a pause.
    paused_until: Option<Timestamp>,
    /// Whether the latest request took long.
    pub(super) is_slow: bool,
    /// Whether a request has succeeded. Until then, one request at a time is sent.
    pub(super) is_proven: bool,
    /// Whether the endpoint may have failures in this shard. Never `false` while it has.
    pub(super) has_failures: bool,
    /// Number of failures in this shard. Of an endpoint with many, only some are counted. See [`Session::recount`].
    ///
    /// [`Session::recount`]: super::session::Session::recount
    pub(super) failing: usize,
    /// Time of the first failure since the latest success.
    pub(super) failing_since: Option<Timestamp>,
    pub(super) age_checked_at: Option<Timestamp>,
    pub(super) is_warned: bool,
    pub(super) successes: Successes,
}

impl Target {
    pub(super) fn new(is_proven: bool, own: Option<Own>) -> Self {
        Self { own, is_proven, ..Self::default() }
    }

    /// Returns the endpoint, if it receives events now.
    pub(super) fn receiving(&self) -> Option<&Arc<Endpoint>> {
        let endpoint = self.endpoint.as_ref().filter(|_| !self.is_halted)?;
        let stored = &endpoint.stored;
        (stored.deleted_at.is_none() && stored.settings.is_enabled()).then_some(endpoint)
    }

    /// Returns whether the endpoint receives events and has not reached the shared reader.
    pub(super) fn is_behind(&self) -> bool {
        self.receiving().is_some() && self.enrolled_from.is_none()
    }

    /// Returns how many more requests may be sent now.
    pub(super) fn free(&mut self, now: Timestamp) -> usize {
        if self.is_paused(now) {
            return 0;
        }
        let concurrency = self.receiving().map_or(0, |endpoint| endpoint.concurrency);
        let limit = if self.is_proven { concurrency } else { concurrency.min(1) };
        limit.min(self.breaker.allowed(now)).saturating_sub(self.in_flight)
    }

    /// Sends nothing until a time. An earlier pause that lasts longer stays.
    pub(super) fn pause_until(&mut self, until: Timestamp) {
        self.paused_until = self.paused_until.max(Some(until));
    }

    /// Ends a pause that the endpoint asked for.
    pub(super) const fn resume(&mut self) {
        self.paused_until = None;
    }

    /// Ends every pause: if the breaker is open, a probe is due now.
    pub(super) const fn end_pause(&mut self) {
        self.resume();
        self.breaker.end_pause();
    }

    pub(super) fn is_paused(&self, now: Timestamp) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    /// Returns the time until which nothing is sent, if nothing is queued either: nothing can be done before then.
    pub(super) fn rests_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.paused_until.max(self.breaker.open_until());
        until.filter(|until| self.queued == 0 && *until > now)
    }

    pub(super) const fn queued(&self) -> usize {
        self.queued
    }

    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Returns the number of failures that are being retried.
    pub(super) fn retrying(&self) -> usize {
        self.lanes.values().filter(|lane| lane.failure.is_some()).count()
    }

    pub(super) fn lane(&mut self, order: OrderId) -> Option<&mut Lane> {
        self.lanes.get_mut(&order)
    }

    /// Begins to retry a failure. Its events follow by [`Target::push`].
    pub(super) fn retry(&mut self, failure: WebhookFailure) {
        let order = failure.order;
        self.lanes.insert(order, Lane { failure: Some(failure), ..Lane::default() });
    }

    /// Appends an event to the lane of its order.
    pub(super) fn push(&mut self, queued: Queued) {
        let order = queued.event.order_id;
        let lane = self.lanes.entry(order).or_default();
        lane.queue.push_back(queued);
        self.queued += 1;
        if !lane.is_busy && lane.queue.len() == 1 {
            self.ready.push_back(order);
        }
    }

    /// Takes the events of the next request. A probe of the breaker is a single event, of an order that has not failed
    /// if there is one.
    pub(super) fn take_next(&mut self, batch: usize) -> Vec<Queued> {
        if !self.breaker.is_probing() {
            return self.take(batch);
        }
        let rank = |order: &OrderId| {
            let is_retry = self.lanes.get(order).is_some_and(|lane| lane.failure.is_some());
            (self.breaker.has_failed(*order), is_retry)
        };
        let best = self.ready.iter().enumerate().min_by_key(|(index, order)| (rank(order), *index));
        if let Some((index, _)) = best {
            self.ready.rotate_left(index);
        }
        self.take(1)
    }

    /// Takes the events of the next request, and marks their lanes as busy.
    fn take(&mut self, batch: usize) -> Vec<Queued> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < batch
            && let Some(order) = self.ready.front().copied()
        {
            let Some(lane) = self.lanes.get_mut(&order).filter(|lane| !lane.queue.is_empty()) else {
                self.ready.pop_front();
                continue;
            };
            let is_single = lane.failure.is_some() || lane.alone > 0;
            if is_single && !taken.is_empty() {
                break;
            }
            let most = if is_single { 1 } else { batch - taken.len() };
            let mut count = 0;
            for queued in lane.queue.iter().take(most) {
                let size = size_of_event(&queued.event);
                if bytes + size > MAX_BATCH_BYTES && taken.len() + count > 0 {
                    break;
                }
                bytes += size;
                count += 1;
            }
            if count == 0 {
                break;
            }
            self.ready.pop_front();
            lane.is_busy = true;
            lane.alone = lane.alone.saturating_sub(count);
            taken.extend(lane.queue.drain(..count));
            if is_single {
                break;
            }
        }
        self.queued -= taken.len();
        self.in_flight += usize::from(!taken.is_empty());
        taken
    }

    /// Puts events of a request back to the front of their lanes.
    pub(super) fn put_back(&mut self, taken: Vec<Queued>) {
        self.queued += taken.len();
        for queued in taken.into_iter().rev() {
            self.lanes.entry(queued.event.order_id).or_default().queue.push_front(queued);
        }
    }

    /// Puts events of a request back to the front of their lanes, to be sent alone.
    pub(super) fn put_back_alone(&mut self, taken: Vec<Queued>) {
        for queued in &taken {
            self.lanes.entry(queued.event.order_id).or_default().alone += 1;
        }
        self.put_back(taken);
    }

    /// Ends the request of a lane. Returns whether the lane is empty and comes from the history.
    pub(super) fn release(&mut self, order: OrderId) -> bool {
        let Some(lane) = self.lanes.get_mut(&order) else { return false };
        let was_busy = std::mem::replace(&mut lane.is_busy, false);
        if !lane.queue.is_empty() {
            if was_busy {
                self.ready.push_back(order);
            }
            return false;
        }
        if lane.failure.is_some() {
            return true;
        }
        self.lanes.remove(&order);
        false
    }

    /// Removes the lane of an order, and returns its events.
    pub(super) fn drop_lane(&mut self, order: OrderId) -> Vec<Queued> {
        let Some(lane) = self.lanes.remove(&order) else { return Vec::new() };
        self.ready.retain(|other| *other != order);
        self.queued -= lane.queue.len();
        lane.queue.into()
    }

    /// Removes the lanes of all failures. Requests that are in flight find no lane when they end.
    pub(super) fn drop_failures(&mut self) {
        let failing = self.lanes.iter().filter(|(_, lane)| lane.failure.is_some());
        for order in failing.map(|(order, _)| *order).collect::<Vec<_>>() {
            self.drop_lane(order);
        }
    }

    /// Returns whether an event of this source is queued.
    pub(super) fn holds(&self, source: Source) -> bool {
        self.lanes.values().any(|lane| lane.queue.iter().any(|queued| queued.source == source))
    }

    /// Removes all events that are not in flight, and returns them.
    pub(super) fn clear(&mut self) -> Vec<Queued> {
        let mut events = Vec::with_capacity(self.queued);
        for lane in self.lanes.values_mut() {
            lane.alone = 0;
            events.extend(lane.queue.drain(..));
        }
        self.lanes.retain(|_, lane| lane.is_busy);
        self.ready.clear();
        self.queued = 0;
        events
    }
}

/// Returns about how many bytes an event adds to a body, without its order.
pub(super) fn size_of_event(event: &FeedEvent) -> usize {
    ENVELOPE_BYTES + event.actor.len() + event.data.as_ref().map_or(0, |data| data.len())
}

#[cfg(test)]
mod tests {
    use dabba_domain::{AccountId, Bucket, RestaurantId};

    use super::*;

    /// Proves that the bytes of a batch are limited, over lanes and in a lane, and that an event that is too large
    /// alone is sent alone.
    #[test]
    fn a_batch_has_a_limit_of_bytes() {
        let mut target = Target::default();
        let bucket = Bucket::from_random(1);
        let push = |target: &mut Target, order: u64, version, bytes: usize| {
            let event = FeedEvent {
                position: FeedPosition::START,
                order_id: OrderId::generate(Timestamp::UNIX_EPOCH, bucket, order << 8),
                restaurant_id: RestaurantId::generate(Timestamp::UNIX_EPOCH, bucket, 1),
                customer_id: AccountId::generate(Timestamp::UNIX_EPOCH, bucket, 1),
                version,
                at: Timestamp::UNIX_EPOCH,
                name: "placed".into(),
                actor: "{}".into(),
                data: Some("x".repeat(bytes).into()),
                is_newer: false,
            };
            target.push(Queued { event: Arc::new(event), source: Source::History });
        };
        let half = MAX_BATCH_BYTES / 2 - 2 * ENVELOPE_BYTES;
        for (order, version, bytes) in
            [(1, 1, half), (1, 2, half), (1, 3, half), (2, 1, MAX_BATCH_BYTES), (3, 1, 0)]
        {
            push(&mut target, order, version, bytes);
        }
        let sizes: Vec<usize> = (0..3).map(|_| target.take(100).len()).collect();
        assert_eq!((sizes, target.queued()), (vec![2, 1, 1], 1));
    }
}
