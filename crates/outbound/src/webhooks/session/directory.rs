//! Work on the directory: changes of endpoints, their health, and disabling.
//!
//! A task of its own, the *visit*, calls the directory. The session begins a visit, goes on with its shard, and
//! processes the result when the visit has ended. So a directory that is slow or does not answer delays no delivery
//! of a shard.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dabba_domain::{Timestamp, WebhookEndpointId};
use dabba_store::{
    DisabledReason, PageSize, Store, StoreError, UnderKey, WebhookChange, WebhookEndpoint, WebhookFailure,
    WebhookHealth, WebhookRevision, WebhookState, WebhookUpdate, WebhookUpdated,
};
use tokio::{
    task::JoinError,
    time::{Instant, timeout},
};

use super::{Disabling, Session, limited, rotated};
use crate::webhooks::{
    limits::{
        CHANGES_PER_READ, DIRECTORY_CALLS, DISABLE_AFTER, FOLLOW_INTERVAL, HEALTH_INTERVAL, HEALTH_PER_WRITE,
        STORE_TIMEOUT, WARN_AFTER,
    },
    schedule::elapsed,
};

/// What a visit has to do.
struct Errand {
    now: Timestamp,
    /// Revision after which changes are read.
    after: WebhookRevision,
    health: Vec<(WebhookEndpointId, WebhookHealth)>,
    disabling: Vec<(Disabling, WebhookUpdate)>,
    ages: Vec<WebhookEndpointId>,
}

/// What a visit has done. After a call that took long, the rest is left for the next visit.
pub(super) struct Visit {
    changes: Result<Vec<WebhookChange>, StoreError>,
    /// Health that is not written.
    unwritten: Vec<(WebhookEndpointId, WebhookHealth)>,
    disabled: Vec<(WebhookEndpointId, Disabling, Result<UnderKey<WebhookUpdated>, StoreError>)>,
    ages: Vec<(WebhookEndpointId, Result<Option<Age>, StoreError>)>,
}

/// What states for how long an endpoint has been failing.
struct Age {
    stored: WebhookEndpoint,
    failures: Vec<WebhookFailure>,
}

impl Visit {
    async fn make(store: Arc<dyn Store>, errand: Errand) -> Self {
        let began = Instant::now();
        let is_late = || began.elapsed() >= STORE_TIMEOUT;
        let changes = limited(store.webhook_changes(errand.after, CHANGES_PER_READ)).await;
        let mut visit = Self { changes, unwritten: errand.health, disabled: Vec::new(), ages: Vec::new() };
        while !visit.unwritten.is_empty() && !is_late() {
            let rest = visit.unwritten.split_off(visit.unwritten.len().min(HEALTH_PER_WRITE));
            if let Err(error) = limited(store.report_webhook_health(&visit.unwritten)).await {
                tracing::warn!(%error, "the health of webhook endpoints cannot be written yet");
                visit.unwritten.extend(rest);
                break;
            }
            visit.unwritten = rest;
        }
        for (disabling, update) in errand.disabling {
            if is_late() || visit.disabled.last().is_some_and(|(_, _, result)| result.is_err()) {
                break;
            }
            let result = limited(store.update_webhook_endpoint_under(&update, None)).await;
            visit.disabled.push((update.endpoint.id, disabling, result));
        }
        for id in errand.ages {
            if is_late() || visit.ages.last().is_some_and(|(_, result)| result.is_err()) {
                break;
            }
            visit.ages.push((id, Age::read(&*store, id, errand.now).await));
        }
        visit
    }
}

impl Age {
    /// Returns `None` for an endpoint that cannot have failed for long.
    async fn read(
        store: &dyn Store,
        id: WebhookEndpointId,
        now: Timestamp,
    ) -> Result<Option<Self>, StoreError> {
        let Some(stored) = limited(store.webhook_endpoint(id)).await? else { return Ok(None) };
        if elapsed(successful_at(&stored), now) < WARN_AFTER || !stored.settings.is_enabled() {
            return Ok(None);
        }
        let rows = limited(store.webhook_failures(id, false, None, PageSize::DEFAULT)).await?;
        Ok(Some(Self { stored, failures: rows.failures }))
    }
}

/// Returns the time of the latest success, or the time at which the endpoint was enabled.
fn successful_at(endpoint: &WebhookEndpoint) -> Timestamp {
    endpoint.settings.enabled_at.max(endpoint.health.last_success.unwrap_or(Timestamp::MIN))
}

impl Session {
    /// Begins a visit if it is time for one. One visit at a time is under way, and the pause counts from its end.
    pub(super) fn begin_visit(&mut self) {
        let is_due = self.is_more_changed || self.visited_at.elapsed() >= FOLLOW_INTERVAL;
        if !self.visits.is_empty() || !is_due {
            return;
        }
        let now = self.now();
        let mut health = Vec::new();
        if self.health_written_at.elapsed() >= HEALTH_INTERVAL {
            self.health_written_at = Instant::now();
            health = self.journal.take_health();
        }
        let disabling = self.updates(now);
        let mut ages = rotated(&self.age_checks, self.turns.age);
        ages.truncate(DIRECTORY_CALLS);
        let errand = Errand { now, after: self.read_to, health, disabling, ages };
        self.visits.spawn(Visit::make(Arc::clone(&self.ports.store), errand));
    }

    /// Returns the changes that disable endpoints, for one visit.
    fn updates(&mut self, at: Timestamp) -> Vec<(Disabling, WebhookUpdate)> {
        let pending = self.disabling.keys().copied().collect();
        let mut updates = Vec::new();
        for id in rotated(&pending, self.turns.disable).into_iter().take(DIRECTORY_CALLS) {
            let Some(disabling) = self.disabling.get(&id).copied() else { continue };
            let endpoint = self.targets.get(&id).and_then(|target| target.endpoint.clone());
            // A lost position stays lost after other changes; every other reason is about the settings that failed.
            let is_same =
                |revision| revision == disabling.of || disabling.reason == DisabledReason::PositionLost;
            let Some(endpoint) = endpoint.filter(|endpoint| is_same(endpoint.stored.revision)) else {
                self.disabling.remove(&id);
                continue;
            };
            let mut changed = endpoint.stored.clone();
            if !changed.settings.disable(disabling.reason, at) {
                // The owner has disabled the endpoint. The reason states what it needs before it is enabled.
                changed.settings.state = WebhookState::Disabled { reason: disabling.reason, at };
            }
            let expected = changed.version;
            let update = WebhookUpdate { endpoint: changed, expected, repositions: false, by: None, at };
            updates.push((disabling, update));
        }
        updates
    }

    /// Processes a visit.
    pub(super) async fn end_visit(&mut self, visited: Result<Visit, JoinError>) -> Result<(), JoinError> {
        let Visit { changes, unwritten, disabled, ages } = visited?;
        self.journal.put_back_health(unwritten);
        for (id, disabling, result) in disabled {
            self.turns.disable = Some(id);
            self.disabled(id, disabling, result);
        }
        let applied = match changes {
            Ok(changes) => self.follow(changes).await,
            Err(error) => Err(error),
        };
        if let Err(error) = applied {
            self.is_more_changed = false;
            tracing::warn!(shard = self.place.name, %error, "changes of webhook endpoints cannot be read");
        }
        for (id, result) in ages {
            self.turns.age = Some(id);
            match result {
                Ok(age) => {
                    self.age_checks.remove(&id);
                    if let Some(age) = age {
                        self.judge_age(id, &age);
                    }
                }
                Err(error) => {
                    tracing::warn!(endpoint = %id, %error, "the age of the failures of a webhook endpoint is unknown");
                }
            }
        }
        self.visited_at = Instant::now();
        Ok(())
    }

    /// Carries out a page of changes.
    async fn follow(&mut self, changes: Vec<WebhookChange>) -> Result<(), StoreError> {
        let is_last = changes.len() < CHANGES_PER_READ as usize;
        let read_to = changes.last().map_or(self.read_to, |change| change.revision);
        self.has_changed |= !changes.is_empty();
        // Up to the last page, a change may be about an endpoint that was positioned after `applied`.
        self.apply_all(changes, self.applied, &BTreeMap::new()).await?;
        self.read_to = read_to;
        self.is_more_changed = !is_last;
        if is_last {
            self.applied = self.applied.max(read_to);
        }
        Ok(())
    }

    fn disabled(
        &mut self,
        id: WebhookEndpointId,
        Disabling { reason, .. }: Disabling,
        result: Result<UnderKey<WebhookUpdated>, StoreError>,
    ) {
        let updated = match result {
            Ok(updated) => updated,
            Err(error) => {
                tracing::warn!(endpoint = %id, %error, "a webhook endpoint cannot be disabled yet");
                return;
            }
        };
        // After another change, the new settings decide: following the change ends the halt, unless the position is
        // lost.
        let is_changed = matches!(updated, UnderKey::Ended(WebhookUpdated::Conflict { .. }));
        if !is_changed || reason != DisabledReason::PositionLost {
            self.disabling.remove(&id);
        }
        if let UnderKey::Ended(WebhookUpdated::Done(_)) = updated {
            self.metrics.disabled();
            tracing::warn!(endpoint = %id, reason = reason.name(), "a webhook endpoint was disabled");
        }
    }

    /// Disables an endpoint that has failed for days without a success in any shard. Warns a day before.
    fn judge_age(&mut self, id: WebhookEndpointId, age: &Age) {
        let now = self.now();
        let since = successful_at(&age.stored);
        // A row that was retried after the success counts from the success: the order has failed since then, too.
        let failing_from = |row: &WebhookFailure| {
            let is_retried = row.dead_at.is_none_or(|at| at >= since);
            is_retried.then(|| row.first_failed_at.max(since))
        };
        let oldest = age.failures.iter().filter_map(failing_from).min();
        let Some(target) = self.targets.get_mut(&id) else { return };
        let revision = target.endpoint.as_ref().map(|endpoint| endpoint.stored.revision);
        if revision != Some(age.stored.revision) {
            return;
        }
        // A success in another shard may be later than the first failure in this one.
        let own = target.failing_since.map(|at| at.max(since));
        let Some(failing_since) = own.into_iter().chain(oldest).min() else { return };
        let failing_for: Duration = elapsed(failing_since, now);
        if failing_for >= DISABLE_AFTER {
            self.disable(id, DisabledReason::Failing);
        } else if failing_for >= WARN_AFTER && !std::mem::replace(&mut target.is_warned, true) {
            tracing::warn!(
                endpoint = %id, since = %failing_since,
                "a webhook endpoint has accepted nothing for 4 days, and will be disabled after 5 days"
            );
        }
    }

    /// Writes the health of endpoints at the end of a session.
    pub(super) async fn write_last_health(&mut self) {
        let health = self.journal.take_health();
        let write = async {
            for some in health.chunks(HEALTH_PER_WRITE) {
                self.ports.store.report_webhook_health(some).await?;
            }
            Ok::<_, StoreError>(())
        };
        if let Ok(Err(error)) = timeout(STORE_TIMEOUT, write).await {
            tracing::warn!(%error, "the health of webhook endpoints cannot be written");
        }
    }
}
