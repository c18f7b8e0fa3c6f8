//! Reading the feed for endpoints that are behind the shared position.

use std::{collections::HashSet, sync::Arc};

use dabba_domain::{Timestamp, WebhookEndpointId};
use dabba_store::{FeedEvent, FeedPage, FeedPosition, StoreError};

use super::{Done, Session, limited, rotated};
use crate::webhooks::{
    endpoint::Index,
    limits::{MAX_CATCH_UP_BACKLOG, MAX_FAILING_READERS, OWN_WINDOW, PAGE},
    target::{Queued, Source, Target},
};

/// A page that was read for an endpoint that is behind.
pub(super) struct PageRead {
    id: WebhookEndpointId,
    from: FeedPosition,
    /// The limit of the page when it was read. See [`Session::limit`].
    limit: Option<FeedPosition>,
    page: Result<FeedPage, StoreError>,
}

/// The endpoints that one page is for.
#[derive(Default)]
struct Readers {
    ids: Vec<WebhookEndpointId>,
    index: Index,
}

impl Session {
    /// Reads for endpoints that are behind. A page is read in a task of its own, one at a time, and the session goes on
    /// meanwhile. Only the short rest after a page that was at the end is read at once: in a task, the shared reader could
    /// move on during every such read.
    pub(super) async fn catch_up(&mut self) {
        if !self.wants_page || self.is_reading_page || self.is_doubtful || self.is_restored {
            return;
        }
        let (now, mut room) = (self.now(), self.catch_up_room());
        for id in rotated(&self.behind, self.turns.read) {
            if room < OWN_WINDOW {
                break;
            }
            // A page for an endpoint before it may have been for this one, too.
            if !self.behind.contains(&id) || !self.may_read(id, now) || self.enroll_at_end(id) {
                continue;
            }
            let Some(own) = self.targets.get(&id).and_then(|target| target.own.as_ref()) else { continue };
            self.turns.read = Some(id);
            let (from, is_at_end, limit) = (own.window.read_to(), own.is_at_end, self.limit());
            let (store, shard) = (Arc::clone(&self.ports.store), self.place.shard);
            let reading = async move {
                let page = limited(store.feed(shard, from, PAGE)).await;
                PageRead { id, from, limit, page }
            };
            if !is_at_end {
                self.is_reading_page = true;
                self.reads.spawn(async { Done::Page(reading.await) });
                return;
            }
            let read = reading.await;
            self.take_page(read, &mut room).await;
            if self.is_doubtful || self.is_restored {
                return;
            }
        }
        self.wants_page = false;
    }

    /// Returns the position up to which endpoints that are behind read by themselves. Without enrolled endpoints the
    /// shared reader stands still, and follows the first endpoint that reaches the end.
    fn limit(&self) -> Option<FeedPosition> {
        (!self.index.is_empty()).then(|| self.shared.read_to())
    }

    /// Returns how many further deliveries the endpoints that are behind may queue. Counts the queued ones, so a turn calls
    /// this once, and the pages of the turn reduce the result.
    fn catch_up_room(&self) -> usize {
        let queued = self.behind.iter().filter_map(|id| self.targets.get(id)).map(Target::queued).sum();
        MAX_CATCH_UP_BACKLOG.saturating_sub(queued)
    }

    /// Returns whether an endpoint that is behind can take further events now.
    fn may_read(&mut self, id: WebhookEndpointId, now: Timestamp) -> bool {
        self.targets.get_mut(&id).is_some_and(|target| {
            target.own.as_ref().is_some_and(|own| own.window.len() <= OWN_WINDOW / 2)
                && target.stale == 0
                && !target.is_paused(now)
                && target.breaker.allowed(now) > 0
                // A probe is one request.
                && !(target.breaker.is_probing() && target.queued() > 0)
        })
    }

    /// Enrolls an endpoint that has reached the shared reader. Returns whether it has.
    fn enroll_at_end(&mut self, id: WebhookEndpointId) -> bool {
        let position = self.own_position(id).filter(|_| !self.index.is_empty());
        let has_reached = position.is_some_and(|position| position >= self.shared.read_to());
        if has_reached {
            self.enroll(id);
        }
        has_reached
    }

    /// Processes a page that was read in a task of its own.
    pub(super) async fn end_page(&mut self, read: PageRead) {
        self.is_reading_page = false;
        let mut room = self.catch_up_room();
        self.take_page(read, &mut room).await;
    }

    /// Queues the events of a page, up to the shared reader, for the endpoint for which it was read, and for all others that
    /// are behind with positions within the page: endpoints that were created together, or that failed together, would
    /// all read the same events. Enrolls those that reach the shared reader. Reduces `room` by the number of deliveries.
    async fn take_page(&mut self, read: PageRead, room: &mut usize) {
        let queued = match read.page {
            Ok(page) => self.queue_page(read.id, read.from, read.limit, page, room).await,
            Err(error) => Err(error),
        };
        if let Err(error) = queued {
            self.wants_page = false;
            self.feed_failed(&error);
        }
    }

    async fn queue_page(
        &mut self,
        id: WebhookEndpointId,
        from: FeedPosition,
        limit_before: Option<FeedPosition>,
        page: FeedPage,
        room: &mut usize,
    ) -> Result<(), StoreError> {
        let is_in_place = self.behind.contains(&id) && self.own_position(id) == Some(from);
        if !self.is_of_incarnation(&page) || !is_in_place {
            return Ok(());
        }
        let FeedPage { incarnation, mut events, is_at_end } = page;
        let (limit, count) = (self.limit(), events.len());
        events.retain(|event| limit.is_none_or(|limit| event.position <= limit));
        let last = events.last().map_or(from, |event| event.position);
        // What the shared reader has read since then is not in the page.
        let is_whole = is_at_end && limit == limit_before;
        let reached = match limit {
            Some(limit) => (is_whole || events.len() < count).then_some(limit),
            None => is_whole.then(|| self.shared.read_to().max(last)),
        };
        let to = reached.unwrap_or(last);
        let now = self.now();
        let mut readers = self.readers(id, from, to, now);
        let receivers: Vec<_> =
            events.iter().map(|event| self.own_receivers(&readers.index, event)).collect();
        let failing = self.failing(&events, &receivers).await?;
        let mut full = HashSet::new();
        let mut before = from;
        for (event, ids) in events.into_iter().zip(receivers) {
            let (position, event) = (event.position, Arc::new(event));
            for id in ids {
                let own = self.targets.get_mut(&id).and_then(|target| target.own.as_mut());
                let Some(own) = own.filter(|_| !full.contains(&id)) else { continue };
                own.window.advance(incarnation, before);
                if !self.is_wanted(id, &event, &failing) {
                    continue;
                }
                let own = self.targets.get_mut(&id).and_then(|target| target.own.as_mut());
                match own.filter(|own| own.window.len() < OWN_WINDOW && *room > 0) {
                    Some(own) => {
                        *room -= 1;
                        let number = own.window.push(position, event.at, 1);
                        self.queue(id, Queued { event: Arc::clone(&event), source: Source::Own(number) });
                    }
                    None => drop(full.insert(id)),
                }
            }
            before = position;
        }
        if limit.is_none() && reached.is_some() {
            self.shared.advance(incarnation, to);
        }
        readers.ids.retain(|id| !full.contains(id));
        for id in &readers.ids {
            if let Some(own) = self.targets.get_mut(id).and_then(|target| target.own.as_mut()) {
                own.window.advance(incarnation, to);
                own.is_at_end = is_at_end;
            }
            if reached.is_some() {
                self.enroll(*id);
            }
        }
        for id in full {
            if let Some(own) = self.targets.get_mut(&id).and_then(|target| target.own.as_mut()) {
                own.is_at_end = false;
            }
        }
        Ok(())
    }

    fn own_position(&self, id: WebhookEndpointId) -> Option<FeedPosition> {
        Some(self.targets.get(&id)?.own.as_ref()?.window.read_to())
    }

    /// Returns the endpoints for which a page is: this one, and the others that are behind, whose positions are in
    /// this range, and that can take further events. Of those with failures, only some: each of their events is looked up.
    fn readers(
        &mut self,
        first: WebhookEndpointId,
        from: FeedPosition,
        to: FeedPosition,
        now: Timestamp,
    ) -> Readers {
        let is_within = |id: &WebhookEndpointId| {
            self.own_position(*id).is_some_and(|position| from <= position && position < to)
        };
        let mut ids: Vec<_> =
            self.behind.iter().copied().filter(|id| *id != first && is_within(id)).collect();
        ids.insert(0, first);
        ids.retain(|id| self.may_read(*id, now));
        let (mut readers, mut failing) = (Readers::default(), 0);
        for id in ids {
            let has_failures = self.targets.get(&id).is_some_and(|target| target.has_failures);
            failing += usize::from(has_failures);
            if has_failures && failing > MAX_FAILING_READERS {
                continue;
            }
            if let Some(endpoint) = self.targets.get(&id).and_then(|target| target.receiving()) {
                readers.index.insert(endpoint);
                readers.ids.push(id);
            }
        }
        readers
    }

    /// Returns the endpoints that an event matches and that have not read it.
    fn own_receivers(&self, index: &Index, event: &FeedEvent) -> Vec<WebhookEndpointId> {
        let is_for = |id: &WebhookEndpointId| {
            let endpoint = self.targets.get(id).and_then(|target| target.receiving());
            endpoint.is_some_and(|endpoint| endpoint.matches(event))
                && self.own_position(*id).is_some_and(|position| position < event.position)
        };
        index.candidates(event.restaurant_id).filter(is_for).collect()
    }
}
