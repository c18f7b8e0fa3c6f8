//! Reading the feed for the endpoints that share a position, and queueing what it contains.

use std::{collections::HashSet, sync::Arc};

use dabba_domain::{OrderId, WebhookEndpointId};
use dabba_store::{FeedEvent, FeedPage, MAX_FAILURE_KEYS, StoreError};

use super::{Session, limited};
use crate::webhooks::{
    journal::{Key, RowChange},
    limits::{MAX_BACKLOG, PAGE, WINDOW},
    target::{Queued, Source, Target},
};

impl Session {
    /// Reads a page of the shared reader. Returns whether more events can be read at once.
    pub(super) async fn read(&mut self) -> bool {
        if !self.is_valid().await || self.index.is_empty() {
            return false;
        }
        match self.read_shared().await {
            Ok(is_more) => is_more,
            Err(error) => {
                self.feed_failed(&error);
                false
            }
        }
    }

    /// Records that the feed could not be read.
    pub(super) fn feed_failed(&mut self, error: &StoreError) {
        tracing::warn!(shard = self.place.name, %error, "the feed cannot be read for webhooks");
        self.is_doubtful = true;
    }

    async fn read_shared(&mut self) -> Result<bool, StoreError> {
        if self.shared.len() >= WINDOW {
            self.detach_oldest();
            return Ok(true);
        }
        let (shard, after) = (self.place.shard, self.shared.read_to());
        let page = limited(self.ports.store.feed(shard, after, PAGE)).await?;
        if !self.is_of_incarnation(&page) {
            return Ok(false);
        }
        let receivers: Vec<_> = page.events.iter().map(|event| self.enrolled(event)).collect();
        let failing = self.failing(&page.events, &receivers).await?;
        self.shared.advance(page.incarnation, self.shared.read_to());
        let mut touched = HashSet::new();
        for (event, mut ids) in page.events.into_iter().zip(receivers) {
            ids.retain(|id| self.is_wanted(*id, &event, &failing));
            let position = event.position;
            if ids.is_empty() {
                self.shared.advance(page.incarnation, position);
                continue;
            }
            let number = self.shared.push(position, event.at, ids.len());
            let event = Arc::new(event);
            for id in ids {
                self.queue(id, Queued { event: Arc::clone(&event), source: Source::Shared(number) });
                touched.insert(id);
            }
        }
        for id in touched {
            if self.targets.get(&id).is_some_and(|target| target.queued() > MAX_BACKLOG) {
                self.detach(id);
            }
        }
        Ok(!page.is_at_end)
    }

    /// Returns the enrolled endpoints that an event matches.
    fn enrolled(&self, event: &FeedEvent) -> Vec<WebhookEndpointId> {
        let is_for = |id: &WebhookEndpointId| {
            let Some(target) = self.targets.get(id) else { return false };
            target.enrolled_from.is_some_and(|from| event.position > from)
                && target.receiving().is_some_and(|endpoint| endpoint.matches(event))
        };
        self.index.candidates(event.restaurant_id).filter(is_for).collect()
    }

    /// Detaches the endpoint with the oldest undecided delivery, because it holds the shared position back.
    fn detach_oldest(&mut self) {
        let Some(front) = self.shared.front() else { return };
        let has_front = |queued: &Queued| queued.source == Source::Shared(front);
        let in_flight = self.flights.values().find(|flight| flight.events.iter().any(has_front));
        let id = in_flight.map(|flight| flight.endpoint).or_else(|| {
            let is_holder = |(_, target): &(&WebhookEndpointId, &Target)| target.holds(Source::Shared(front));
            self.targets.iter().find(is_holder).map(|(id, _)| *id)
        });
        match id {
            Some(id) => self.detach(id),
            // Nothing holds the entry. This does not happen; without it, the reader would stand still.
            None => self.shared.decide(front),
        }
    }

    /// Returns whether a page belongs to the incarnation of the session. Otherwise, the database was restored.
    pub(super) fn is_of_incarnation(&mut self, page: &FeedPage) -> bool {
        self.is_restored |= page.incarnation != self.end.incarnation;
        !self.is_restored
    }

    /// Returns which pairs of endpoint and order have a failure.
    pub(super) async fn failing(
        &self,
        events: &[FeedEvent],
        receivers: &[Vec<WebhookEndpointId>],
    ) -> Result<HashSet<Key>, StoreError> {
        let mut keys: HashSet<Key> = HashSet::new();
        for (event, ids) in events.iter().zip(receivers) {
            let with_failures =
                ids.iter().filter(|id| self.targets.get(id).is_some_and(|target| target.has_failures));
            keys.extend(with_failures.map(|id| (*id, event.order_id)));
        }
        let keys: Vec<Key> = keys.into_iter().collect();
        let mut failing = HashSet::new();
        for some in keys.chunks(MAX_FAILURE_KEYS) {
            let rows = limited(self.ports.store.webhook_failures_of(self.place.shard, some)).await?;
            failing.extend(rows.iter().map(dabba_store::WebhookFailure::key));
        }
        for key in keys {
            match self.journal.row(key) {
                RowChange::Written(_) => failing.insert(key),
                RowChange::Removed => failing.remove(&key),
                RowChange::None => false,
            };
        }
        Ok(failing)
    }

    /// Returns whether an event of the feed is to be delivered now. The history of a failing order delivers its events,
    /// or has delivered this one.
    pub(super) fn is_wanted(
        &mut self,
        id: WebhookEndpointId,
        event: &FeedEvent,
        failing: &HashSet<Key>,
    ) -> bool {
        let key: (WebhookEndpointId, OrderId) = (id, event.order_id);
        if failing.contains(&key) {
            if let Some(lane) = self.targets.get_mut(&id).and_then(|target| target.lane(event.order_id)) {
                lane.skipped = lane.skipped.max(event.version);
            }
            return false;
        }
        self.handed_over.get(&key).is_none_or(|version| event.version > *version)
    }

    pub(super) fn queue(&mut self, id: WebhookEndpointId, queued: Queued) {
        if let Some(target) = self.targets.get_mut(&id) {
            target.push(queued);
            self.ready.insert(id);
        }
    }
}
