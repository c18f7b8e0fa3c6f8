//! Reading the feed, and queueing what it contains.

use std::{collections::HashSet, sync::Arc};

use dabba_domain::{OrderId, Timestamp, WebhookEndpointId};
use dabba_store::{FeedEvent, FeedPage, FeedPosition, MAX_FAILURE_KEYS, StoreError};
use tokio::time::Instant;

use super::{Session, limited, rotated};
use crate::webhooks::{
    journal::{Key, RowChange},
    limits::{
        CATCH_UP_READS, CATCH_UP_TIME, CATCH_UP_TURN, MAX_BACKLOG, MAX_CATCH_UP_BACKLOG, MAX_CATCHING_UP,
        OWN_WINDOW, PAGE, WINDOW,
    },
    target::{Queued, Source, Target},
};

impl Session {
    /// Reads a page of the shared reader, and a page for some endpoints that are behind. Returns whether more events
    /// can be read at once.
    pub(super) async fn read(&mut self) -> bool {
        let read = async {
            let is_more = !self.index.is_empty() && self.read_shared().await?;
            Ok::<_, StoreError>(self.read_behind().await? || is_more)
        };
        match read.await {
            Ok(is_more) => is_more,
            Err(error) => {
                tracing::warn!(shard = self.place.name, %error, "the feed cannot be read for webhooks");
                false
            }
        }
    }

    async fn read_shared(&mut self) -> Result<bool, StoreError> {
        if self.shared.len() >= WINDOW {
            self.detach_oldest();
            return Ok(true);
        }
        let page = self.page(self.shared.read_to()).await?;
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
                self.queue(id, Arc::clone(&event), Source::Shared(number));
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

    async fn read_behind(&mut self) -> Result<bool, StoreError> {
        let now = self.now();
        self.free_places(now);
        let began_at = Instant::now();
        let (mut reads, mut is_more) = (0, false);
        let mut backlog: usize =
            self.behind.iter().filter_map(|id| self.targets.get(id)).map(Target::queued).sum();
        for id in rotated(&self.behind, self.turns.read) {
            if backlog >= MAX_CATCH_UP_BACKLOG {
                break;
            }
            let Some(target) = self.targets.get_mut(&id) else { continue };
            let Some(own) = &target.own else { continue };
            if own.window.len() > OWN_WINDOW / 2
                || target.stale > 0
                || target.is_paused(now)
                || target.breaker.allowed(now) == 0
            {
                continue;
            }
            // A probe reads for one request only, so it needs no place: many dead endpoints would take all of them.
            let has_place = target.breaker.is_probing() || self.catching_up.contains_key(&id);
            if !has_place && self.catching_up.len() >= MAX_CATCHING_UP {
                continue;
            }
            if reads >= CATCH_UP_READS || (reads > 0 && began_at.elapsed() >= CATCH_UP_TIME) {
                is_more = true;
                break;
            }
            if !has_place {
                self.catching_up.insert(id, Instant::now());
            }
            reads += 1;
            self.turns.read = Some(id);
            let before = self.targets.get(&id).map_or(0, Target::queued);
            is_more |= self.read_own(id).await?;
            backlog += self.targets.get(&id).map_or(0, Target::queued).saturating_sub(before);
        }
        Ok(is_more)
    }

    /// Frees the places of endpoints that have caught up or are paused. If others wait, a place lasts for a limited
    /// time.
    fn free_places(&mut self, now: Timestamp) {
        let (behind, targets) = (&self.behind, &mut self.targets);
        self.catching_up.retain(|id, _| {
            let target = targets.get_mut(id).filter(|_| behind.contains(id));
            target.is_some_and(|target| !target.is_paused(now) && target.breaker.allowed(now) > 0)
        });
        if behind.len() > self.catching_up.len() {
            self.catching_up.retain(|_, began_at| began_at.elapsed() < CATCH_UP_TURN);
        }
    }

    /// Reads a page for an endpoint that is behind, up to the shared reader, and enrolls it there. Returns whether more
    /// can be read at once.
    async fn read_own(&mut self, id: WebhookEndpointId) -> Result<bool, StoreError> {
        // Without enrolled endpoints the shared reader stands still, and follows the first endpoint that reaches the
        // end.
        let limit = (!self.index.is_empty()).then(|| self.shared.read_to());
        let Some(from) = self.own_position(id) else { return Ok(false) };
        if limit.is_some_and(|limit| from >= limit) {
            self.enroll(id);
            return Ok(false);
        }
        let FeedPage { incarnation, mut events, is_at_end } = self.page(from).await?;
        let count = events.len();
        events.retain(|event| limit.is_none_or(|limit| event.position <= limit));
        let reaches_limit = limit.is_some() && (is_at_end || events.len() < count);
        let receivers: Vec<_> = events.iter().map(|event| self.own_receiver(id, event)).collect();
        let failing = self.failing(&events, &receivers).await?;
        let mut is_full = false;
        for event in events {
            let wanted = !self.own_receiver(id, &event).is_empty() && self.is_wanted(id, &event, &failing);
            let position = event.position;
            let Some(own) = self.targets.get_mut(&id).and_then(|target| target.own.as_mut()) else {
                return Ok(false);
            };
            if !wanted {
                own.window.advance(incarnation, position);
                continue;
            }
            if own.window.len() >= OWN_WINDOW {
                is_full = true;
                break;
            }
            let number = own.window.push(position, event.at, 1);
            self.queue(id, Arc::new(event), Source::Own(number));
        }
        let Some(own) = self.targets.get_mut(&id).and_then(|target| target.own.as_mut()) else {
            return Ok(false);
        };
        own.is_at_end = !is_full && is_at_end;
        if is_full {
            return Ok(false);
        }
        let reached = match limit {
            Some(limit) if reaches_limit => Some(limit),
            None if is_at_end => Some(self.shared.read_to()),
            _ => None,
        };
        if let Some(reached) = reached {
            own.window.advance(incarnation, reached);
            let read_to = own.window.read_to();
            if limit.is_none() {
                self.shared.advance(incarnation, read_to);
            }
            self.enroll(id);
        }
        Ok(reached.is_none())
    }

    fn own_position(&self, id: WebhookEndpointId) -> Option<FeedPosition> {
        Some(self.targets.get(&id)?.own.as_ref()?.window.read_to())
    }

    fn own_receiver(&self, id: WebhookEndpointId, event: &FeedEvent) -> Vec<WebhookEndpointId> {
        let endpoint = self.targets.get(&id).and_then(|target| target.receiving());
        endpoint.filter(|endpoint| endpoint.matches(event)).map(|_| id).into_iter().collect()
    }

    async fn page(&self, after: FeedPosition) -> Result<FeedPage, StoreError> {
        limited(self.ports.store.feed(self.place.shard, after, PAGE)).await
    }

    /// Returns which pairs of endpoint and order have a failure.
    async fn failing(
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
    fn is_wanted(&self, id: WebhookEndpointId, event: &FeedEvent, failing: &HashSet<Key>) -> bool {
        let key: (WebhookEndpointId, OrderId) = (id, event.order_id);
        !failing.contains(&key) && self.handed_over.get(&key).is_none_or(|version| event.version > *version)
    }

    fn queue(&mut self, id: WebhookEndpointId, event: Arc<FeedEvent>, source: Source) {
        if let Some(target) = self.targets.get_mut(&id) {
            target.push(Queued { event, source });
            self.ready.insert(id);
        }
    }
}
