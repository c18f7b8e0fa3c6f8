//! Revivals: failures that are retried sooner than they were scheduled.

use dabba_domain::{OrderId, Timestamp, WebhookEndpointId};
use dabba_store::{FeedPosition, Revival, RevivalCause, Revived, WebhookRevision};

use tokio::time::Instant;

use super::{Session, limited, rotated};
use crate::webhooks::{
    limits::{REVIVAL_GAP, REVIVAL_STEP, STEPS_PER_TURN, STEPS_TIME},
    schedule::after,
};

/// A revival of the failures of an endpoint, in steps.
pub(super) struct Reviving {
    pub(super) cause: RevivalCause,
    /// Revision of the change that caused the revival. Until the revival has ended, a crash repeats it.
    pub(super) revision: Option<WebhookRevision>,
    /// Order after which the next step begins.
    after: Option<OrderId>,
    /// Time before which no failure of the next step is due.
    due_at: Timestamp,
}

impl Session {
    /// Begins to revive all failures of an endpoint. A replay that is being carried out continues: it includes
    /// everything that the other causes do.
    pub(super) fn begin_revival(
        &mut self,
        id: WebhookEndpointId,
        cause: RevivalCause,
        revision: Option<WebhookRevision>,
    ) {
        let is_replay = |reviving: &Reviving| matches!(reviving.cause, RevivalCause::Replayed(_));
        let is_new_replay = matches!(cause, RevivalCause::Replayed(_));
        let earlier = self.reviving.get(&id);
        if earlier.is_some_and(is_replay) && !is_new_replay {
            return;
        }
        let revision = revision.or(earlier.and_then(|earlier| earlier.revision));
        let due_at = self.now();
        self.reviving.insert(id, Reviving { cause, revision, after: None, due_at });
    }

    /// Begins a replay after a position. The failures that are being retried are dropped from memory: their rows begin
    /// anew. Requests that are in flight then have no effect on the rows.
    pub(super) fn begin_replay(
        &mut self,
        id: WebhookEndpointId,
        after: FeedPosition,
        revision: WebhookRevision,
    ) {
        if let Some(target) = self.targets.get_mut(&id) {
            target.drop_failures();
        }
        self.refills.retain(|(of, _)| *of != id);
        self.begin_revival(id, RevivalCause::Replayed(after), Some(revision));
    }

    /// Returns whether the failures of an endpoint begin anew, so that none of them can be retried now.
    pub(super) fn is_replaying(&self, id: WebhookEndpointId) -> bool {
        let reviving = self.reviving.get(&id);
        reviving.is_some_and(|reviving| matches!(reviving.cause, RevivalCause::Replayed(_)))
    }

    /// Makes one step of some revivals. Returns `false` if the lease is lost.
    pub(super) async fn revive(&mut self) -> bool {
        if self.reviving.is_empty() {
            return true;
        }
        // A row that only the journal contains would replace its revived row.
        let journal = self.journal.rows();
        if self.reviving.keys().any(|id| journal.contains_key(id)) && !self.save().await {
            return false;
        }
        let journal = self.journal.rows();
        let began_at = Instant::now();
        let pending = self.reviving.keys().copied().filter(|id| !journal.contains_key(id)).collect();
        for id in rotated(&pending, self.turns.revive).into_iter().take(STEPS_PER_TURN) {
            if began_at.elapsed() >= STEPS_TIME {
                break;
            }
            self.turns.revive = Some(id);
            let Some(reviving) = self.reviving.get(&id) else { continue };
            let now = self.now();
            let revival = Revival {
                endpoint: id,
                cause: reviving.cause,
                after: reviving.after,
                at: reviving.due_at.max(now),
                gap: REVIVAL_GAP,
                limit: REVIVAL_STEP,
            };
            let (store, lease) = (&self.ports.store, &self.place.lease);
            match limited(store.revive_webhook_failures(self.place.shard, lease, &revival, now)).await {
                Ok(Some(Revived::All)) => {
                    self.reviving.remove(&id);
                    self.claim_again = true;
                }
                Ok(Some(Revived::UpTo(order))) => {
                    if let Some(reviving) = self.reviving.get_mut(&id) {
                        reviving.after = Some(order);
                        reviving.due_at = after(revival.at, REVIVAL_GAP.saturating_mul(REVIVAL_STEP));
                    }
                }
                Ok(None) => return false,
                Err(error) => {
                    tracing::warn!(endpoint = %id, %error, "webhook failures cannot be revived yet");
                    self.is_doubtful = true;
                    break;
                }
            }
        }
        true
    }
}
