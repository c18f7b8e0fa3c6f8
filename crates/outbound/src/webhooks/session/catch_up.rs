//! Reading the feed for endpoints that are behind the shared position.

use std::{collections::HashSet, sync::Arc};

use dabba_domain::{Timestamp, WebhookEndpointId};
use dabba_store::{FeedEvent, FeedPage, FeedPosition, StoreError};
use tokio::time::Instant;

use super::{Session, rotated};
use crate::webhooks::{
    endpoint::Index,
    limits::{CATCH_UP_READS, CATCH_UP_TIME, MAX_CATCH_UP_BACKLOG, OWN_WINDOW},
    target::{Queued, Source, Target},
};

/// The endpoints that one page is read for.
#[derive(Default)]
struct Readers {
    ids: Vec<WebhookEndpointId>,
    index: Index,
}

impl Session {
    /// Reads some pages for endpoints that are behind. Returns whether more can be read at once.
    pub(super) async fn read_behind(&mut self) -> Result<bool, StoreError> {
        let now = self.now();
        let began_at = Instant::now();
        let mut room = MAX_CATCH_UP_BACKLOG.saturating_sub(self.backlog());
        let (mut reads, mut is_more) = (0, false);
        for id in rotated(&self.behind, self.turns.read) {
            if room == 0 {
                break;
            }
            // A page for an endpoint before it may have been a page for this one, too.
            if !self.behind.contains(&id) || !self.may_read(id, now) || self.enroll_at_end(id) {
                continue;
            }
            if reads >= CATCH_UP_READS || (reads > 0 && began_at.elapsed() >= CATCH_UP_TIME) {
                is_more = true;
                break;
            }
            reads += 1;
            self.turns.read = Some(id);
            is_more |= self.read_own(id, now, &mut room).await?;
        }
        Ok(is_more)
    }

    /// Returns the number of queued deliveries of the endpoints that are behind.
    fn backlog(&self) -> usize {
        self.behind.iter().filter_map(|id| self.targets.get(id)).map(Target::queued).sum()
    }

    /// Returns whether an endpoint that is behind can take further events now.
    fn may_read(&mut self, id: WebhookEndpointId, now: Timestamp) -> bool {
        self.targets.get_mut(&id).is_some_and(|target| {
            target.own.as_ref().is_some_and(|own| own.window.len() <= OWN_WINDOW / 2)
                && target.stale == 0
                && !target.is_paused(now)
                && target.breaker.allowed(now) > 0
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

    /// Reads a page at the position of an endpoint that is behind, up to the shared reader. The page is also for the other
    /// endpoints with positions within it: endpoints that were created together, or that failed together, would all
    /// read the same events. Enrolls those that reach the shared reader. `room` is the number of deliveries that may be
    /// queued. Returns whether more can be read at once.
    async fn read_own(
        &mut self,
        id: WebhookEndpointId,
        now: Timestamp,
        room: &mut usize,
    ) -> Result<bool, StoreError> {
        // Without enrolled endpoints the shared reader stands still, and follows the first endpoint that reaches the
        // end.
        let limit = (!self.index.is_empty()).then(|| self.shared.read_to());
        let Some(from) = self.own_position(id) else { return Ok(false) };
        let Some(page) = self.page(from).await? else { return Ok(false) };
        let FeedPage { incarnation, mut events, is_at_end } = page;
        let count = events.len();
        events.retain(|event| limit.is_none_or(|limit| event.position <= limit));
        let last = events.last().map_or(from, |event| event.position);
        let reached = match limit {
            Some(limit) => (is_at_end || events.len() < count).then_some(limit),
            None => is_at_end.then(|| self.shared.read_to().max(last)),
        };
        let to = reached.unwrap_or(last);
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
        Ok(reached.is_none() && !readers.ids.is_empty())
    }

    fn own_position(&self, id: WebhookEndpointId) -> Option<FeedPosition> {
        Some(self.targets.get(&id)?.own.as_ref()?.window.read_to())
    }

    /// Returns the endpoints for which a page is read: this one, and the others that are behind, whose positions are in
    /// this range, and that can take further events.
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
        let mut ids: Vec<_> = self.behind.iter().copied().filter(is_within).collect();
        ids.retain(|id| *id != first && self.may_read(*id, now));
        ids.push(first);
        let mut readers = Readers::default();
        for id in ids {
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
