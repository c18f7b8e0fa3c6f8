//! Checkpoints, and changes of the directory.

use std::time::Duration;

use dabba_domain::{Timestamp, WebhookEndpointId};
use dabba_store::{
    Checkpoint, ConsumerName, DisabledReason, PageSize, StoreError, UnderKey, WebhookFailure, WebhookUpdate,
    WebhookUpdated,
};
use tokio::time::Instant;

use super::{Disabling, Session, limited};
use crate::webhooks::{
    journal::with_room,
    limits::{CHECKPOINT_INTERVAL, DISABLE_AFTER, HEALTH_INTERVAL, LEASE, WARN_AFTER},
    metrics::SessionState,
    schedule::{after, elapsed},
};

impl Session {
    /// Writes a checkpoint, or extends the lease if nothing has changed. Returns `false` if the lease is lost.
    pub(super) async fn save(&mut self) -> bool {
        self.report();
        let shared = (self.shared.decided(), self.known());
        let (checkpoints, joined) = self.checkpoints(shared);
        let started_at = Instant::now();
        let now = self.now();
        let (store, shard, lease) = (&self.ports.store, self.place.shard, &self.place.lease);
        let until = after(now, LEASE);
        if checkpoints.is_empty() {
            if self.extended_at.elapsed() < CHECKPOINT_INTERVAL * 5 {
                return true;
            }
            let renewed = limited(store.renew_feed_lease(shard, lease, now, until)).await;
            return self.extended(started_at, renewed);
        }
        for checkpoint in &checkpoints {
            let written = limited(store.checkpoint_feed(shard, lease, checkpoint, now, until)).await;
            if written != Ok(true) {
                return self.extended(started_at, written);
            }
        }
        self.extended_at = started_at;
        self.saved_shared = Some(shared);
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
            let has_joined = target.enrolled_from.is_some()
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
            in_flight: self.flights.len(),
            open_breakers: targets.clone().filter(|target| target.breaker.is_open()).count(),
            behind: self.behind.len(),
            disabled: targets.clone().filter(|target| target.receiving().is_none()).count(),
            disabling_soon: targets.filter(|target| target.is_warned).count(),
        };
        self.metrics.set(&self.place.name, state);
    }

    /// Writes the health of endpoints, checks how long endpoints have been failing, and disables endpoints.
    pub(super) async fn change_directory(&mut self) {
        if self.health_written_at.elapsed() >= HEALTH_INTERVAL {
            self.health_written_at = Instant::now();
            self.write_health().await;
        }
        for id in std::mem::take(&mut self.age_checks) {
            if let Err(error) = self.check_age(id).await {
                tracing::warn!(endpoint = %id, %error, "the age of the failures of a webhook endpoint is unknown");
            }
        }
        for (id, disabling) in self.disabling.clone() {
            if let Err(error) = self.write_disabled(id, disabling).await {
                tracing::warn!(endpoint = %id, %error, "a webhook endpoint cannot be disabled yet");
            }
        }
    }

    /// Writes the health of endpoints. After a failure, the next write contains it.
    pub(super) async fn write_health(&mut self) {
        let reports = self.journal.unwritten_health();
        if reports.is_empty() {
            return;
        }
        match limited(self.ports.store.report_webhook_health(&reports)).await {
            Ok(()) => self.journal.health_written(),
            Err(error) => tracing::warn!(%error, "the health of webhook endpoints cannot be written yet"),
        }
    }

    /// Disables an endpoint that has failed for days without a success in any shard. Warns a day before.
    async fn check_age(&mut self, id: WebhookEndpointId) -> Result<(), StoreError> {
        let store = &self.ports.store;
        let Some(stored) = limited(store.webhook_endpoint(id)).await? else { return Ok(()) };
        let now = self.now();
        let success = stored.health.last_success.unwrap_or(Timestamp::MIN);
        let since = stored.settings.enabled_at.max(success);
        if elapsed(since, now) < WARN_AFTER || !stored.settings.is_enabled() {
            return Ok(());
        }
        let rows = limited(store.webhook_failures(id, false, None, PageSize::DEFAULT)).await?;
        // A row that was retried after the success counts from the success: the order has failed since then, too.
        let failing_from = |row: &WebhookFailure| {
            let is_retried = row.dead_at.is_none_or(|at| at >= since);
            is_retried.then(|| row.first_failed_at.max(since))
        };
        let oldest = rows.failures.iter().filter_map(failing_from).min();
        let Some(target) = self.targets.get_mut(&id) else { return Ok(()) };
        // A success in another shard may be later than the first failure in this one.
        let own = target.failing_since.map(|at| at.max(since));
        let Some(failing_since) = own.into_iter().chain(oldest).min() else { return Ok(()) };
        let failing_for: Duration = elapsed(failing_since, now);
        if failing_for >= DISABLE_AFTER {
            self.disable(id, DisabledReason::Failing);
        } else if failing_for >= WARN_AFTER && !std::mem::replace(&mut target.is_warned, true) {
            tracing::warn!(
                endpoint = %id, since = %failing_since,
                "a webhook endpoint has accepted nothing for 4 days, and will be disabled after 5 days"
            );
        }
        Ok(())
    }

    /// Disables an endpoint in the directory, unless it was changed in the meantime.
    async fn write_disabled(
        &mut self,
        id: WebhookEndpointId,
        Disabling { reason, of, .. }: Disabling,
    ) -> Result<(), StoreError> {
        let endpoint = self.targets.get(&id).and_then(|target| target.endpoint.clone());
        // A lost position stays lost after other changes; every other reason is about the settings that failed.
        let is_same = |revision| revision == of || reason == DisabledReason::PositionLost;
        let Some(endpoint) = endpoint.filter(|endpoint| is_same(endpoint.stored.revision)) else {
            self.disabling.remove(&id);
            return Ok(());
        };
        let (mut changed, at) = (endpoint.stored.clone(), self.now());
        changed.settings.disable(reason, at);
        let expected = changed.version;
        let update = WebhookUpdate { endpoint: changed, expected, repositions: false, by: None, at };
        let updated = limited(self.ports.store.update_webhook_endpoint_under(&update, None)).await?;
        // After another change, the new settings decide: following the change ends the halt, unless the position is
        // lost.
        let is_changed = matches!(updated, UnderKey::Ended(WebhookUpdated::Conflict { .. }));
        if !is_changed || reason != DisabledReason::PositionLost {
            self.disabling.remove(&id);
        }
        if let UnderKey::Ended(WebhookUpdated::Done(_)) = updated {
            self.metrics.disabled();
            tracing::warn!(endpoint = %id, ?reason, "a webhook endpoint was disabled");
        }
        Ok(())
    }
}
