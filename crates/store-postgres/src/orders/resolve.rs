//! Resolution of a transaction whose COMMIT got no response.
//!
//! If the connection is lost at COMMIT, the transaction may be written, not written, or not written yet, because the
//! COMMIT may still be in transit. This module determines which. The caller sees an unknown outcome only if the
//! timeout ([`crate::PostgresOptions::resolve_timeout`]) passes first.
//!
//! A plan is written as a whole or not at all, and its outcomes are correct exactly if it is written. This includes
//! refusals: an order that was refused for lack of stock stays refused, whatever the stock is now, because the orders
//! written in the same batch took the stock. So there is one question for the whole batch, and the store keeps the
//! lost plan to answer it:
//!
//! 1. *Look for the evidence of the plan.* If it exists, the plan is written.
//! 2. *Write the same plan again.* Missing evidence does not prove that the plan is not written. A read that finds
//!    nothing proves nothing while the lost transaction is open. A new plan proves nothing either: it may refuse what
//!    the lost transaction is about to write, and then writes nothing. But writes of the same plan meet the lost
//!    transaction at every row. They wait until it has ended, and then:
//!    - They succeed. Then the lost transaction was rolled back, because no plan can be written twice, and the plan
//!      is written now.
//!    - They conflict (40001), perhaps with the lost transaction, perhaps with another one. Then resolution starts
//!      again.
//!    - They reach the end, and a condition does not hold. Then they have waited for the lost transaction, so its
//!      evidence is visible now, or it left none. If it left none, the batch continues as after any refuted plan.
//!
//! Both steps use the same connection, so that both reach the same server, even directly after a failover. If the
//! second COMMIT is lost too, the same question about the same plan remains.
//!
//! # Evidence of a plan
//!
//! The evidence is the plan's events, which are never changed and never deleted. A stored event counts as the plan's
//! own if order, version, actor, time to the nanosecond, and content are equal. The id of a new order is generated
//! for one attempt only. For an existing order, no other transaction makes the same change in the same nanosecond. A
//! plan's events exist together or not at all, so all of them must exist.
//!
//! A commit without a change leaves a claim, or the absence of a task. Another transaction can leave the same: the
//! same request may have reached another server, which claimed the key for it; or the lease expired, and the next
//! lease holder has completed the task. So these count as evidence only in a plan without any event. There, their
//! origin does not matter: the key has the same response, or the task is done, and such a commit wants nothing else.
//! If another worker holds the task, the task's row exists, and so the lease was lost. A commit without a change that
//! still moves stock or adds tasks leaves no evidence for a decision about a retry. No use case makes such a
//! commit; its outcome stays unknown unless the plan has events.
//!
//! Visible evidence may still be on this server's disk only: if the wait for a synchronous standby ends with the
//! connection, PostgreSQL shows the transaction to every reader. So the evidence is confirmed
//! ([`Connection::confirm`]) before the plan counts as written.
//!
//! # Tried and rejected
//!
//! - `pg_xact_status`, which exists for this question. But after a crash of the server, the id of a transaction that
//!   had not reached the disk is given to the next transaction (seen on PostgreSQL 15); after a failover too. Another
//!   transaction's success would look like the success of the lost one, in exactly the situation that matters.
//! - Reading the current state and planning again at once: see step 2 above.

use dabba_store::{ClaimRecord, StoreError, encoding::EncodedCommit};
use futures::future::try_join_all;
use tokio::time::{Instant, sleep, timeout_at};

use super::{plan::Plan, read, write};
use crate::{PostgresStore, claims, failure::Failure, pool::Connection};

/// Finds a task, whether it is leased or not.
pub(crate) const FIND_TASK: &str = "SELECT id FROM tasks WHERE id = $1";

/// Resolved outcome of a lost plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolution {
    /// The whole plan is written and durable, so its outcomes are the result.
    Written,
    /// No part of the plan is written, and none will be.
    NotWritten,
}

/// A plan whose COMMIT got no response.
pub(super) struct LostCommit<'b> {
    /// The lost plan.
    pub(super) plan: Plan<'b>,
    /// Description of the error at COMMIT.
    pub(super) cause: String,
}

impl PostgresStore {
    /// Resolves the outcome of a lost plan, until a deadline. After the deadline, fails with an unknown outcome.
    pub(super) async fn resolve(
        &self,
        loss: &LostCommit<'_>,
        deadline: Instant,
    ) -> Result<Resolution, StoreError> {
        self.metrics.unknown_outcomes.inc();
        let why = if leaves_evidence(&loss.plan) {
            match timeout_at(deadline, self.resolve_with_retries(&loss.plan)).await {
                Ok(Ok(resolution)) => {
                    self.metrics.unknown_outcomes_resolved.inc();
                    return Ok(resolution);
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "the timeout to resolve the outcome has passed".to_owned(),
            }
        } else {
            "the batch leaves no evidence to resolve the outcome".to_owned()
        };
        self.metrics.unknown_outcomes_unresolved.inc();
        Err(StoreError::OutcomeUnknown(format!("{}; {why}", loss.cause)))
    }

    /// Tries to resolve the outcome until it is known. The caller limits the time.
    async fn resolve_with_retries(&self, plan: &Plan<'_>) -> Result<Resolution, StoreError> {
        let mut attempt: u32 = 0;
        loop {
            match self.try_resolve(plan).await {
                Ok(resolution) => return Ok(resolution),
                Err(Failure::Conflict(conflict)) => self.retry.count(conflict),
                // A retry would fail in the same way.
                Err(failure @ (Failure::Duplicate(_) | Failure::Store(StoreError::Corrupt(_)))) => {
                    return Err(failure.into_store_error());
                }
                Err(Failure::Store(error)) if self.connections.is_closed() => return Err(error),
                Err(Failure::Store(_)) => {}
            }
            attempt = attempt.saturating_add(1);
            sleep(self.retry.pause(attempt)).await;
        }
    }

    async fn try_resolve(&self, plan: &Plan<'_>) -> Result<Resolution, Failure> {
        let connection = self.connection().await?;
        if !is_written(&connection, plan).await? {
            self.metrics.attempts.inc();
            if write::write(&connection, plan).await? {
                return Ok(Resolution::Written);
            }
            if !is_written(&connection, plan).await? {
                return Ok(Resolution::NotWritten);
            }
        }
        connection.confirm().await?;
        Ok(Resolution::Written)
    }
}

/// Returns whether a plan leaves evidence when it is written, by which a second write would be detected.
fn leaves_evidence(plan: &Plan<'_>) -> bool {
    let is_claim_or_completion = |encoded: &&EncodedCommit| {
        let commit = &encoded.commit;
        commit.stock.is_empty() && commit.tasks.is_empty()
    };
    changes_orders(plan) || plan.committed.iter().all(is_claim_or_completion)
}

fn changes_orders(plan: &Plan<'_>) -> bool {
    plan.committed.iter().any(|encoded| encoded.commit.change.is_some())
}

/// Returns whether all evidence of a plan exists.
async fn is_written(connection: &Connection, plan: &Plan<'_>) -> Result<bool, Failure> {
    if changes_orders(plan) {
        // The queries are sent at once; the responses come in order.
        let changes = plan.committed.iter().map(|encoded| do_events_exist(connection, encoded));
        Ok(try_join_all(changes).await?.into_iter().all(|exists| exists))
    } else {
        let commits = plan.committed.iter().map(|encoded| is_settled(connection, encoded));
        Ok(try_join_all(commits).await?.into_iter().all(|is_settled| is_settled))
    }
}

/// Returns whether the order's stored events after the expected version are the events of the commit.
async fn do_events_exist(connection: &Connection, encoded: &EncodedCommit) -> Result<bool, Failure> {
    let commit = &encoded.commit;
    let Some(change) = &commit.change else { return Ok(true) };
    let count = u32::try_from(change.events.len()).unwrap_or(u32::MAX);
    Ok(read::events(connection, commit.order_id, commit.expected_version, count).await? == change.events)
}

/// Returns whether the goals of a commit without a change are reached: its key is claimed, and its task is done.
async fn is_settled(connection: &Connection, encoded: &EncodedCommit) -> Result<bool, Failure> {
    let commit = &encoded.commit;
    if let Some(claim) = &commit.claim {
        let own = ClaimRecord::of_order(claim.fingerprint, commit.order_id, commit.expected_version);
        let found =
            claims::find_in(connection, claim.account_id, Some(commit.restaurant_id), &claim.key).await?;
        if found != Some(own) {
            return Ok(false);
        }
    }
    match commit.completes {
        Some(lease) => Ok(connection.query(FIND_TASK, &[&lease.task_id.uuid()]).await?.is_empty()),
        None => Ok(true),
    }
}
