//! Following the endpoints by revision.

use std::{
    collections::{BTreeMap, hash_map::Entry},
    sync::Arc,
};

use dabba_domain::WebhookEndpointId;
use dabba_store::{
    ConsumerName, DisabledReason, FeedCursor, FeedEnd, FeedPlace, FeedPosition, RevivalCause, StoreError,
    WebhookChange, WebhookEndpoint, WebhookRevision, WebhookState,
};

use tokio::time::Instant;

use super::{Disabling, Resumed, Session, limited, not_after_end, rotated};
use crate::webhooks::{
    endpoint::Endpoint,
    limits::{CHANGES_PER_READ, FORGET_STEP, ROWS_PER_READ, STEPS_PER_TURN, STEPS_TIME},
    target::{Own, Target},
};

impl Session {
    /// Reads the own positions, the failing endpoints and all endpoints.
    pub(super) async fn load(&mut self) -> Result<(), StoreError> {
        let (shard, group) = (self.place.shard, self.place.lease.group.clone());
        let mut own = BTreeMap::new();
        let mut after = None;
        loop {
            let store = &self.ports.store;
            let call = store.own_feed_positions(shard, &group, after.as_ref(), ROWS_PER_READ);
            let page = limited(call).await?;
            let is_last = page.len() < ROWS_PER_READ as usize;
            after = page.last().map(|(name, _)| name.clone());
            let places = page.into_iter();
            own.extend(
                places.map(|(name, stored)| (name, not_after_end(stored.place, self.end, &self.place.name))),
            );
            self.extend_to_load().await?;
            if is_last {
                break;
            }
        }
        self.read_all(&own).await?;
        let mut after = None;
        loop {
            let call = self.ports.store.failing_webhook_endpoints(shard, after, ROWS_PER_READ);
            let page = limited(call).await?;
            for failing in &page {
                if let Some(target) = self.targets.get_mut(&failing.endpoint) {
                    target.has_failures = true;
                    target.failing = failing.failures as usize;
                }
            }
            after = page.last().map(|failing| failing.endpoint);
            self.extend_to_load().await?;
            if page.len() < ROWS_PER_READ as usize {
                return Ok(());
            }
        }
    }

    /// Reads all endpoints.
    async fn read_all(&mut self, own: &BTreeMap<ConsumerName, Resumed>) -> Result<(), StoreError> {
        let applied = self.applied;
        let mut after = 0;
        loop {
            let changes = limited(self.ports.store.webhook_changes(after, CHANGES_PER_READ)).await?;
            let is_last = changes.len() < CHANGES_PER_READ as usize;
            after = changes.last().map_or(after, |change| change.revision);
            self.apply_all(changes, applied, own).await?;
            self.extend_to_load().await?;
            if is_last {
                self.applied = applied.max(after);
                self.read_to = self.applied;
                return Ok(());
            }
        }
    }

    /// Carries out a page of changes.
    pub(super) async fn apply_all(
        &mut self,
        changes: Vec<WebhookChange>,
        applied: WebhookRevision,
        own: &BTreeMap<ConsumerName, Resumed>,
    ) -> Result<(), StoreError> {
        let is_new = |unknown: &BTreeMap<WebhookEndpointId, WebhookRevision>, change: &WebhookChange| {
            let positioned = change.endpoint.as_ref().map_or(0, |endpoint| endpoint.positioned);
            positioned > applied || unknown.contains_key(&change.id)
        };
        let is_any_new = changes.iter().any(|change| is_new(&self.unknown, change));
        let end =
            if is_any_new { Some(limited(self.ports.store.feed_end(self.place.shard)).await?) } else { None };
        for change in changes {
            let stored = own.get(&ConsumerName::from(change.id)).copied();
            let end = end.filter(|_| is_new(&self.unknown, &change));
            self.apply(change, applied, stored, end);
        }
        Ok(())
    }

    fn apply(
        &mut self,
        change: WebhookChange,
        applied: WebhookRevision,
        stored: Option<Resumed>,
        end: Option<FeedEnd>,
    ) {
        let WebhookChange { id, revision, endpoint } = change;
        let earlier = self.disabling.remove(&id);
        self.unknown.remove(&id);
        let endpoint = match endpoint {
            Ok(endpoint) => endpoint,
            Err(error) => {
                tracing::error!(endpoint = %id, %error, "a webhook endpoint cannot be decoded and receives nothing");
                return self.apply_unknown(id, revision, applied, stored);
            }
        };
        if endpoint.deleted_at.is_some() {
            self.remove(id);
            if revision > applied {
                self.forgetting.insert(id, revision);
            }
            return;
        }
        let is_known = self.targets.contains_key(&id);
        if end.is_some() && is_known {
            self.detach(id);
            self.handed_over.retain(|(of, _), _| *of != id);
        }
        let start = end.map(|end| self.start_of(&endpoint, end));
        let lost = match start {
            Some(Err(_)) => {
                let reason = DisabledReason::PositionLost;
                Some(Disabling { reason, of: revision, revision: Some(revision) })
            }
            Some(Ok(_)) => None,
            // Another change of the endpoint does not tell where it begins.
            None => earlier.filter(|earlier| earlier.reason == DisabledReason::PositionLost),
        };
        let url = &endpoint.settings.url;
        let was_sending = self.targets.get(&id).and_then(|target| target.receiving());
        let was_sending = was_sending.is_some_and(|old| {
            let old = &old.stored.settings;
            old.url == *url && old.attempt_wanted() == endpoint.settings.attempt_wanted()
        });
        // An endpoint at its first version is new, and has no failures.
        let has_past = is_known || stored.is_some() || endpoint.version > 1;
        if let Some(Ok(place)) = start.filter(|_| has_past) {
            self.begin_replay(id, place.position, revision);
        } else if revision > applied && has_past && !was_sending && endpoint.settings.is_enabled() {
            self.begin_revival(id, RevivalCause::Enabled, Some(revision));
        }
        let is_recorded = matches!(
            endpoint.settings.state,
            WebhookState::Disabled { reason: DisabledReason::PositionLost, .. }
        );
        let health = &endpoint.health;
        let is_proven = health
            .last_success
            .is_some_and(|success| health.last_failure.as_ref().is_none_or(|failure| failure.at < success));
        let endpoint = Arc::new(Endpoint::new(endpoint, &self.ports.keys, self.now()));
        let target = self.targets.entry(id).or_insert_with(|| Target::new(is_proven, None));
        update(target, endpoint);
        if start.is_some() {
            target.end_pause();
        }
        let saved = target.own.as_ref().map_or(stored.map(|stored| stored.place), |own| own.saved);
        if let Some(place) = start {
            let place = place.unwrap_or_else(|stand_in| stand_in);
            target.own = Some(Own { is_rewound: true, ..Own::new(place, saved) });
            target.has_failures = has_past;
        } else if !is_known && let Some(stored) = stored {
            target.own = Some(resumed(stored));
        }
        // Also an endpoint that its owner has disabled gets this reason: the owner has to replay before enabling it.
        if let Some(lost) = lost.filter(|_| !is_recorded) {
            target.is_halted = true;
            self.disabling.insert(id, lost);
        }
        self.place_target(id);
    }

    /// Enrolls or detaches an endpoint after a change.
    fn place_target(&mut self, id: WebhookEndpointId) {
        let Some(target) = self.targets.get(&id) else { return };
        let is_enrolled = target.enrolled_from.is_some();
        let is_receiving = target.receiving().is_some();
        if is_receiving && !is_enrolled && target.own.is_none() {
            self.enroll(id);
        } else if !is_receiving && (is_enrolled || target.own.is_none()) {
            self.detach(id);
        }
        self.classify(id);
    }

    fn apply_unknown(
        &mut self,
        id: WebhookEndpointId,
        revision: WebhookRevision,
        applied: WebhookRevision,
        stored: Option<Resumed>,
    ) {
        match self.targets.entry(id) {
            Entry::Occupied(_) => self.detach(id),
            Entry::Vacant(entry) if stored.is_some() || revision <= applied => {
                entry.insert(Target::new(false, stored.map(resumed)));
                self.place_target(id);
            }
            // Only a version that decodes the endpoint knows where it begins.
            Entry::Vacant(_) => {
                self.unknown.insert(id, revision);
            }
        }
        if let Some(target) = self.targets.get_mut(&id) {
            target.endpoint = None;
        }
        self.classify(id);
    }

    /// Returns the position in this shard at which a new endpoint begins. If its start does not apply, nothing states
    /// which events it has to receive: the error is the position at which it waits, disabled, and continues if it is only
    /// enabled.
    fn start_of(&self, endpoint: &WebhookEndpoint, end: FeedEnd) -> Result<FeedPlace, FeedPlace> {
        let sources = self.ports.store.feed_sources();
        let mut ends = vec![None; sources.len()];
        if let Some(own) = ends.get_mut(self.place.shard) {
            *own = Some(end);
        }
        let resolved = FeedCursor::parse(&endpoint.settings.start)
            .map_err(|error| error.to_string())
            .and_then(|mut cursor| cursor.resolve(&sources, &ends).map_err(|error| error.to_string()));
        match resolved {
            Ok(positions) => {
                let position: Option<FeedPosition> = positions.get(self.place.shard).copied().flatten();
                Ok(FeedPlace { incarnation: end.incarnation, position: position.unwrap_or(end.position) })
            }
            Err(error) => {
                tracing::error!(
                    endpoint = %endpoint.id, shard = self.place.name, error,
                    "the position at which a webhook endpoint was to begin belongs to another database, so the endpoint is \
                     disabled (position_lost); a replay from a time before the restore is recommended"
                );
                Err(self.shared.decided())
            }
        }
    }

    /// Removes an endpoint from memory.
    fn remove(&mut self, id: WebhookEndpointId) {
        self.detach(id);
        self.targets.remove(&id);
        self.handed_over.retain(|(of, _), _| *of != id);
        self.refills.retain(|(of, _)| *of != id);
        self.reviving.remove(&id);
        self.disabling.remove(&id);
        self.journal.forget(id);
        // Requests in flight of a removed endpoint have no effect.
        self.flights.retain(|_, flight| flight.endpoint != id);
        self.classify(id);
    }

    /// Deletes the rows of some deleted endpoints, one step each. Returns `false` if the lease is lost.
    pub(super) async fn forget(&mut self) -> bool {
        let began_at = Instant::now();
        let pending = self.forgetting.keys().copied().collect();
        for id in rotated(&pending, self.turns.forget).into_iter().take(STEPS_PER_TURN) {
            if began_at.elapsed() >= STEPS_TIME {
                break;
            }
            self.turns.forget = Some(id);
            let (store, lease, now) = (&self.ports.store, &self.place.lease, self.now());
            let call = store.forget_webhook_endpoint(self.place.shard, lease, id, FORGET_STEP, now);
            match limited(call).await {
                Ok(Some(deleted)) if deleted < FORGET_STEP => {
                    self.forgetting.remove(&id);
                }
                Ok(Some(_)) => {}
                Ok(None) => return false,
                Err(error) => {
                    tracing::warn!(endpoint = %id, %error, "a deleted webhook endpoint cannot be forgotten yet");
                    self.is_doubtful = true;
                    break;
                }
            }
        }
        true
    }

    /// Returns the revision that a checkpoint may state as known.
    pub(super) fn known(&self) -> WebhookRevision {
        let reviving = self.reviving.values().filter_map(|reviving| reviving.revision);
        let lost = self.disabling.values().filter_map(|disabling| disabling.revision);
        let pending =
            self.forgetting.values().chain(self.unknown.values()).copied().chain(reviving).chain(lost);
        pending.map(|revision| revision - 1).min().map_or(self.applied, |least| least.min(self.applied))
    }
}

/// Returns an own position at which a session resumes.
fn resumed(Resumed { place, is_rewound }: Resumed) -> Own {
    Own { is_rewound, ..Own::new(place, Some(place)) }
}

/// Replaces the settings of an endpoint.
fn update(target: &mut Target, endpoint: Arc<Endpoint>) {
    let was_receiving = target.receiving().is_some();
    let had_url = target.endpoint.as_ref().is_some_and(|old| old.url == endpoint.url);
    let wanted = target.endpoint.as_ref().map(|old| old.stored.settings.attempt_wanted());
    // The owner asks for an attempt now.
    if wanted != Some(endpoint.stored.settings.attempt_wanted()) {
        target.end_pause();
        target.is_warned = false;
    }
    target.endpoint = Some(endpoint);
    target.is_halted = false;
    if !was_receiving || !had_url {
        target.breaker.succeeded();
        target.resume();
        target.failing_since = None;
        target.is_warned = false;
    }
}
