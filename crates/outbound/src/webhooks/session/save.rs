//! Checkpoints.

use dabba_domain::WebhookEndpointId;
use dabba_store::{Checkpoint, ConsumerName, StoreError};
use tokio::time::Instant;

use super::{Session, limited};
use crate::webhooks::{
    journal::with_room,
    limits::{EXTEND_AFTER, GIVE_UP_AFTER, LEASE},
    metrics::SessionState,
    schedule::after,
};

impl Session {
    /// Writes a checkpoint, or extends the lease if nothing has changed. Returns `false` if the lease is lost.
    pub(super) async fn save(&mut self) -> bool {
        self.report();
        self.log_successes(false);
        if !self.is_valid().await {
            return !self.is_restored;
        }
        let shared = (self.shared.decided(), self.known());
        let (checkpoints, joined) = self.checkpoints(shared);
        let started_at = Instant::now();
        let now = self.now();
        let (store, shard, lease) = (&self.ports.store, self.place.shard, &self.place.lease);
        let until = after(now, LEASE);
        if checkpoints.is_empty() {
            return self.extend().await;
        }
        for checkpoint in &checkpoints {
            let written = limited(store.checkpoint_feed(shard, lease, checkpoint, now, until)).await;
            if written != Ok(true) {
                return self.extended(started_at, written);
            }
        }
        self.extended_at = started_at;
        self.saved_shared = Some(shared);
        self.is_shared_rewound = false;
        self.journal.written();
        for id in joined {
            if let Some(target) = self.targets.get_mut(&id) {
                target.own = None;
            }
        }
        for own in self.targets.values_mut().filter_map(|target| target.own.as_mut()) {
            own.is_rewound = false;
            own.saved = Some(own.window.decided());
        }
        true
    }

    /// Adds the entries about successes that are due to the log. `is_last`: the session ends.
    pub(super) fn log_successes(&mut self, is_last: bool) {
        let now = self.now();
        for target in self.targets.values_mut() {
            if let Some(entry) = target.successes.due(now, is_last) {
                self.journal.log(entry);
            }
        }
    }

    /// Extends the lease, unless it was extended a short time ago. Returns `false` if it is lost.
    async fn extend(&mut self) -> bool {
        if self.extended_at.elapsed() < EXTEND_AFTER {
            return true;
        }
        let (started_at, now) = (Instant::now(), self.now());
        let (store, shard, lease) = (&self.ports.store, self.place.shard, &self.place.lease);
        let renewed = limited(store.renew_feed_lease(shard, lease, now, after(now, LEASE))).await;
        self.extended(started_at, renewed)
    }

    /// Extends the lease while the state of a session is loaded, which may take longer than the lease lasts.
    pub(super) async fn extend_to_load(&mut self) -> Result<(), StoreError> {
        if self.extend().await && self.extended_at.elapsed() < GIVE_UP_AFTER {
            return Ok(());
        }
        Err(StoreError::Unavailable("the lease ended before the state of the webhooks was loaded".into()))
    }

    fn extended(&mut self, at: Instant, result: Result<bool, StoreError>) -> bool {
        match result {
            Ok(true) => {
                self.extended_at = at;
                true
            }
            Ok(false) => {
                tracing::warn!(shard = self.place.name, "the lease of the webhooks is lost");
                false
            }
            Err(error) => {
                // The content stays in memory, and the next checkpoint writes it again.
                tracing::warn!(shard = self.place.name, %error, "a checkpoint of the webhooks failed");
                self.is_doubtful = true;
                true
            }
        }
    }

    /// Returns the checkpoints to write, in their order, and the endpoints that join the group. The last checkpoint
    /// contains the shared position.
    fn checkpoints(
        &self,
        shared: (dabba_store::FeedPlace, dabba_store::WebhookRevision),
    ) -> (Vec<Checkpoint>, Vec<WebhookEndpointId>) {
        let mut checkpoints = Vec::new();
        let mut joined = Vec::new();
        self.journal.write(&mut checkpoints);
        for (id, target) in &self.targets {
            let Some(own) = &target.own else { continue };
            let (name, place) = (ConsumerName::from(*id), own.window.decided());
            // The stored position may be after the end of the feed, and would stay.
            let has_joined = !own.is_rewound
                && target.enrolled_from.is_some()
                && own.window.len() == 0
                && place.position <= shared.0.position
                && joined.len() < Checkpoint::MAX_ENTRIES;
            if has_joined {
                joined.push(*id);
            } else if own.is_rewound {
                with_room(&mut checkpoints).rewound.push((name, place));
            } else if own.saved != Some(place) {
                with_room(&mut checkpoints).advanced.push((name, place));
            }
        }
        if self.saved_shared == Some(shared) && joined.is_empty() {
            return (checkpoints, joined);
        }
        let has_room = |last: &Checkpoint| last.entries() + joined.len() <= Checkpoint::MAX_ENTRIES;
        if !checkpoints.last().is_some_and(has_room) {
            checkpoints.push(Checkpoint::default());
        }
        if let Some(last) = checkpoints.last_mut() {
            last.shared = Some(shared);
            last.is_shared_rewound = self.is_shared_rewound;
            last.joined = joined.iter().map(|id| ConsumerName::from(*id)).collect();
        }
        (checkpoints, joined)
    }

    /// Publishes the state of the session as metrics.
    fn report(&self) {
        let targets = self.targets.values();
        let state = SessionState {
            lag_events: self.shared.len(),
            lag: self.lag(),
            in_flight: self.tasks.len(),
            open_breakers: targets.clone().filter(|target| target.breaker.is_open()).count(),
            behind: targets.clone().filter(|target| target.is_behind()).count(),
            disabled: targets.clone().filter(|target| target.receiving().is_none()).count(),
            failing: targets.clone().map(|target| target.failing).sum(),
            disabling_soon: targets.filter(|target| target.is_warned).count(),
        };
        self.metrics.set(&self.place.name, state);
    }
}
