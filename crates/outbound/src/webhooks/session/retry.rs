//! Retries: the events of failing orders, from their histories.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use dabba_domain::{OrderId, Timestamp, WebhookEndpointId, order::Version};
use dabba_store::{DueFailures, FeedEvent, Store, StoreError, WebhookFailure, WebhookFault, WebhookRevision};

use super::{Done, Session, limited, rotated};
use crate::recorded::RecordedOrder;
use crate::webhooks::{
    endpoint::Endpoint,
    journal::{Key, RowChange},
    limits::{HISTORY_PAGE, MAX_HANDED_OVER, MAX_REFILLS, RECOUNT_PER_READ, RETRIES_PER_TURN},
    target::{Queued, Source, Target},
};

impl Session {
    /// Begins a round in which every endpoint with failures has its turn.
    pub(super) const fn begin_claims(&mut self) {
        self.unclaimed = usize::MAX;
        self.is_more_due = false;
    }

    /// Returns whether due failures are to be read now. Histories that wait to be read come first.
    pub(super) fn may_claim(&self) -> bool {
        (self.claim_again || self.unclaimed > 0) && self.refills.len() < RETRIES_PER_TURN
    }

    /// Begins to retry failures of some endpoints that are due. Returns `false` if the lease is lost.
    pub(super) async fn claim_due(&mut self) -> bool {
        self.claim_again = false;
        let now = self.now();
        let mut free = self.room(now);
        let ids = free.keys().copied().collect();
        let mut ids = rotated(&ids, self.turns.retry);
        let unclaimed = std::mem::take(&mut self.unclaimed).min(ids.len());
        ids.truncate(DueFailures::MAX_ENDPOINTS);
        if ids.is_empty() {
            return true;
        }
        self.turns.retry = ids.last().copied();
        let due = self.request(&ids, &free, now);
        let (store, lease) = (&self.ports.store, &self.place.lease);
        let rows = match limited(store.due_webhook_failures(self.place.shard, lease, &due, now)).await {
            Ok(Some(rows)) => rows,
            Ok(None) => return false,
            Err(error) => {
                tracing::warn!(shard = self.place.name, %error, "due webhook failures cannot be read");
                self.is_doubtful = true;
                return true;
            }
        };
        let mut counts = HashMap::<WebhookEndpointId, u32>::new();
        for row in &rows {
            *counts.entry(row.endpoint).or_default() += 1;
        }
        let is_cut =
            |(id, limit): &(WebhookEndpointId, u32)| counts.get(id).is_some_and(|count| count >= limit);
        let is_full = rows.len() >= due.limit as usize;
        self.is_more_due |= is_full || due.endpoints.iter().any(is_cut);
        let mut begun = 0;
        for row in rows {
            let Some(room) = free.get_mut(&row.endpoint).filter(|room| **room > 0) else { continue };
            let Some(row) = self.current(row, now) else { continue };
            *room -= 1;
            begun += 1;
            self.begin(row);
            if begun >= RETRIES_PER_TURN {
                break;
            }
        }
        self.unclaimed = unclaimed.saturating_sub(ids.len());
        if begun > 0 && (is_full || begun >= RETRIES_PER_TURN) {
            // These endpoints may have further due failures and room for them.
            self.unclaimed = self.unclaimed.max(1);
        }
        self.refill();
        true
    }

    /// Compares which endpoints have failures with the stored rows, while an endpoint has failures of which none is known.
    /// Reads one page of the endpoints with rows; the next call reads the next page. Skips endpoints whose rows are
    /// about to change. Without this, each later event for an endpoint would be looked up among the failures.
    pub(super) async fn recount(&mut self) {
        let is_over = |target: &Target| target.has_failures && target.failing == 0;
        if self.is_doubtful || self.is_restored || !self.targets.values().any(is_over) {
            return;
        }
        let (store, after) = (&self.ports.store, self.turns.recount);
        let call = store.failing_webhook_endpoints(self.place.shard, after, RECOUNT_PER_READ);
        let page = match limited(call).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(shard = self.place.name, %error, "the webhook endpoints with failures cannot be read");
                self.is_doubtful = true;
                return;
            }
        };
        let last = page.last().filter(|_| page.len() >= RECOUNT_PER_READ as usize);
        let last = last.map(|failing| failing.endpoint);
        self.turns.recount = last;
        let stored: HashMap<_, _> =
            page.iter().map(|failing| (failing.endpoint, failing.failures as usize)).collect();
        let changing = self.journal.rows();
        for (id, target) in &mut self.targets {
            let is_in_page = after.is_none_or(|after| *id > after) && last.is_none_or(|last| *id <= last);
            let is_changing =
                changing.contains_key(id) || self.reviving.contains_key(id) || target.retrying() > 0;
            if is_in_page && target.has_failures && !is_changing {
                target.failing = stored.get(id).copied().unwrap_or_default();
                target.has_failures = target.failing > 0;
            }
        }
    }

    /// Returns how many further failures each endpoint with failures can retry now.
    fn room(&mut self, now: Timestamp) -> BTreeMap<WebhookEndpointId, usize> {
        let mut rooms = BTreeMap::new();
        for (id, target) in &mut self.targets {
            // A request from before a replay may still be in flight for the same order.
            let free = if target.has_failures && target.stale == 0 { target.free(now) } else { 0 };
            let waiting = target.retrying().saturating_sub(target.in_flight);
            if free > waiting {
                rooms.insert(*id, free - waiting);
            }
        }
        rooms.retain(|id, _| !self.is_replaying(*id));
        rooms
    }

    /// Returns the request for as many due failures as this turn can use. Failures that are being retried, and rows
    /// that the next checkpoint removes or postpones, are still stored as due, so they count in addition.
    fn request(
        &self,
        ids: &[WebhookEndpointId],
        free: &BTreeMap<WebhookEndpointId, usize>,
        now: Timestamp,
    ) -> DueFailures {
        let changed = self.journal.rows();
        let (mut usable, mut unusable) = (0, 0);
        let mut endpoints = Vec::with_capacity(ids.len());
        for id in ids {
            let room = free.get(id).copied().unwrap_or_default().min(RETRIES_PER_TURN);
            let retrying = self.targets.get(id).map_or(0, Target::retrying);
            let pending = retrying + changed.get(id).copied().unwrap_or_default();
            usable += room;
            unusable += pending;
            endpoints.push((*id, limit_of(room + pending)));
        }
        let limit = limit_of(usable.min(RETRIES_PER_TURN) + unusable);
        DueFailures { endpoints, due_at: now, limit }
    }

    /// Returns the row as the next checkpoint will leave it, if it is due and nobody is working on it.
    fn current(&mut self, row: WebhookFailure, now: Timestamp) -> Option<WebhookFailure> {
        let key = row.key();
        if self.targets.get_mut(&key.0)?.lane(key.1).is_some() {
            return None;
        }
        let row = match self.journal.row(key) {
            RowChange::None => row,
            RowChange::Removed => return None,
            RowChange::Written(changed) => changed.clone(),
        };
        (row.dead_at.is_none() && row.next_attempt_at <= now).then_some(row)
    }

    fn begin(&mut self, row: WebhookFailure) {
        let key = row.key();
        if let Some(target) = self.targets.get_mut(&key.0) {
            target.retry(row);
            self.refills.insert(key);
        }
    }

    /// Begins to read the next events of failing orders.
    pub(super) fn refill(&mut self) {
        if self.refills.is_empty() {
            return;
        }
        for key in rotated(&self.refills, self.turns.refill) {
            if self.histories >= MAX_REFILLS {
                return;
            }
            self.turns.refill = Some(key);
            self.refills.remove(&key);
            let Some(target) = self.targets.get_mut(&key.0) else { continue };
            let Some(endpoint) = target.endpoint.clone() else {
                // Only a version that decodes the endpoint knows which events it wants: the row stays.
                target.drop_lane(key.1);
                continue;
            };
            let Some(lane) = target.lane(key.1) else { continue };
            let Some(from) = lane.failure.as_ref().map(|failure| failure.next_version) else { continue };
            let number = self.next_history;
            self.next_history += 1;
            (lane.history, lane.skipped) = (Some(number), 0);
            self.histories += 1;
            let store = Arc::clone(&self.ports.store);
            self.reads.spawn(async move {
                let history = history(&*store, &endpoint, key.1, from).await;
                Done::History(HistoryRead { key, number, revision: endpoint.stored.revision, history })
            });
        }
    }

    /// Queues the next events of a failing order. A failure whose history is delivered ends, unless the feed had an event
    /// after the read of the history: then the history is read again, because the feed's event was left to it. It is also
    /// read again if the endpoint has changed, and may want other events.
    pub(super) fn end_history(&mut self, read: HistoryRead) {
        let HistoryRead { key, number, revision, history } = read;
        self.histories = self.histories.saturating_sub(1);
        let Some(target) = self.targets.get_mut(&key.0) else { return };
        let is_changed = target.endpoint.as_ref().map(|endpoint| endpoint.stored.revision) != Some(revision);
        // A lane without this number was replaced meanwhile.
        let Some(lane) = target.lane(key.1).filter(|lane| lane.history == Some(number)) else { return };
        lane.history = None;
        let (failure, skipped) = (lane.failure.clone(), lane.skipped);
        match (history, failure) {
            (Ok(History::Delivered(last)), _) if skipped > last => drop(self.refills.insert(key)),
            (Ok(_), _) if is_changed => drop(self.refills.insert(key)),
            (Ok(History::Delivered(last)), _) => self.end_failure(key, last),
            (Ok(History::Events(events)), _) => {
                for event in events {
                    target.push(Queued { event: Arc::new(event), source: Source::History });
                }
            }
            (Err(error), Some(failure)) => self.unreadable(key, failure, &error),
            (Err(_), None) => {}
        }
        self.classify(key.0);
    }

    fn end_failure(&mut self, key: Key, last: Version) {
        if let Some(target) = self.targets.get_mut(&key.0) {
            target.drop_lane(key.1);
            target.failing = target.failing.saturating_sub(1);
        }
        self.journal.resolve(key);
        self.claim_again |= self.is_more_due;
        if self.handed_over.len() >= MAX_HANDED_OVER {
            // Some events are delivered twice then.
            self.handed_over.clear();
        }
        self.handed_over.insert(key, last);
    }

    fn unreadable(&mut self, key: Key, failure: WebhookFailure, error: &StoreError) {
        tracing::warn!(endpoint = %key.0, order = %key.1, %error, "the history of an order cannot be read for a webhook");
        if let Some(target) = self.targets.get_mut(&key.0) {
            target.drop_lane(key.1);
        }
        if matches!(error, StoreError::Corrupt(_) | StoreError::WrittenByNewer(_)) {
            let error = "the history of the order cannot be read by this server".to_owned();
            let fault = WebhookFault { at: self.now(), status: None, error };
            let (version, random) = (failure.next_version, self.random());
            self.postpone(failure, version, fault, None, random);
        }
    }
}

/// Returns the next events of an order that match an endpoint, from a version on.
async fn history(
    store: &dyn Store,
    endpoint: &Endpoint,
    order: OrderId,
    from: Version,
) -> Result<History, StoreError> {
    let mut last = from.saturating_sub(1);
    let Some(order) = limited(store.order(order)).await? else { return Ok(History::Delivered(last)) };
    let order = RecordedOrder::of(&order);
    loop {
        let recorded = limited(store.public_events(order.id, last, HISTORY_PAGE)).await?;
        let Some(newest) = recorded.last() else { return Ok(History::Delivered(last)) };
        last = newest.version;
        let matching = recorded.iter().filter(|recorded| endpoint.has_type(recorded.event.name()));
        let events: Vec<FeedEvent> =
            matching.map(|recorded| order.feed_event(recorded)).collect::<Result<_, _>>()?;
        if !events.is_empty() {
            return Ok(History::Events(events));
        }
    }
}

/// Returns a limit for a number of failures.
fn limit_of(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX).min(DueFailures::MAX_FAILURES)
}

/// A history that was read for a failing order.
pub(super) struct HistoryRead {
    key: Key,
    /// Number of the read, which its lane has, too.
    number: u64,
    /// Revision of the endpoint for which the events were selected.
    revision: WebhookRevision,
    history: Result<History, StoreError>,
}

/// The rest of an order's history.
enum History {
    /// The next matching events.
    Events(Vec<FeedEvent>),
    /// There are no more. The history was read up to this version.
    Delivered(Version),
}
