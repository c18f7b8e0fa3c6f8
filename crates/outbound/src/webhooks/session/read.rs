//! Reading the feed for the endpoints that share a position, and queueing what it contains.

use std::{collections::HashSet, sync::Arc};

use dabba_domain::{OrderId, WebhookEndpointId};
use dabba_store::{FeedEvent, FeedPage, FeedPosition, MAX_FAILURE_KEYS, StoreError};

use super::{Session, limited};
use crate::webhooks::{
    journal::{Key, RowChange},
    limits::{MAX_BACKLOG, PAGE, WINDOW},
    target::{Queued, Source, Target},
};

impl Session {
    /// Reads a page of the shared reader, and a page for some endpoints that are behind. Returns whether more events
    /// can be read at once.
    pub(super) async fn read(&mut self) -> bool {
        let read = async {
            if self.is_doubtful && !self.verify_position().await? {
                return Ok(false);
            }
            let is_more = !self.index.is_empty() && self.read_shared().await?;
            Ok::<_, StoreError>(self.read_behind().await? || is_more)
        };
        match read.await {
            Ok(is_more) => is_more,
            Err(error) => {
                tracing::warn!(shard = self.place.name, %error, "the feed cannot be read for webhooks");
                self.is_doubtful = true;
                false
            }
        }
    }

    /// Compares the position with the end of the feed, after the store has failed: a server that has taken over may lack
    /// events that the session has read. Returns whether the position is valid.
    async fn verify_position(&mut self) -> Result<bool, StoreError> {
        let end = limited(self.ports.store.feed_end(self.place.shard)).await?;
        self.is_doubtful = false;
        self.is_restored = end.incarnation != self.incarnation || end.position < self.shared.read_to();
        Ok(!self.is_restored)
    }

    async fn read_shared(&mut self) -> Result<bool, StoreError> {
        if self.shared.len() >= WINDOW {
            self.detach_oldest();
            return Ok(true);
        }
        let Some(page) = self.page(self.shared.read_to()).await? else { return Ok(false) };
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

    /// Returns the events after a position; `None` if the database was restored.
    pub(super) async fn page(&mut self, after: FeedPosition) -> Result<Option<FeedPage>, StoreError> {
        let page = limited(self.ports.store.feed(self.place.shard, after, PAGE)).await?;
        self.is_restored |= page.incarnation != self.incarnation;
        Ok((!self.is_restored).then_some(page))
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
    pub(super) fn is_wanted(&self, id: WebhookEndpointId, event: &FeedEvent, failing: &HashSet<Key>) -> bool {
        let key: (WebhookEndpointId, OrderId) = (id, event.order_id);
        !failing.contains(&key) && self.handed_over.get(&key).is_none_or(|version| event.version > *version)
    }

    pub(super) fn queue(&mut self, id: WebhookEndpointId, queued: Queued) {
        if let Some(target) = self.targets.get_mut(&id) {
            target.push(queued);
            self.ready.insert(id);
        }
    }
}
