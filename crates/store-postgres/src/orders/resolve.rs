//! What became of a transaction whose COMMIT was not answered.
//!
//! When the connection is lost there, the transaction may be written, or not, or not yet: the COMMIT may
//! be on its way still. Here that is found out, so that a caller hears of it only when it cannot be found
//! out in time ([`crate::PostgresOptions::resolve_timeout`]).
//!
//! All of a plan is written or nothing, and the outcomes that were planned are right exactly if it is
//! written. That holds for refusals too: an order that was refused for want of stock stays refused,
//! whatever the stock is by now, since the orders that were written beside it took what there was. So
//! there is one question for the whole batch, and the plan that was lost is kept to answer it:
//!
//! 1. *What the plan leaves behind is looked for.* If it is there, the plan is written.
//! 2. *The same plan is written again.* Not to find it missing is what proves that it is not written: a
//!    read that finds nothing proves nothing while the lost transaction is open, nor does a new plan, which
//!    may refuse what the lost one is about to write, and then writes nothing either. But the same
//!    writes meet the lost transaction at every row. They wait until it has ended, and then:
//!    - They succeed. Then the lost transaction was rolled back, since no plan can be written twice, and
//!      the plan is written now.
//!    - They collide (40001), perhaps with the lost transaction, perhaps with another one: from the start.
//!    - They come through to the end and find that something does not hold. Then they have waited for
//!      the lost transaction, so what it left behind can be seen now, or it left nothing. In the latter
//!      case the batch goes on as after any refuted plan.
//!
//! The look and the write use one connection each time, so that both ask the same server, also where a
//! standby has just taken over. When the second COMMIT is lost too, it is the same question about the same
//! plan.
//!
//! # What a plan leaves behind
//!
//! Events, which are never changed and never deleted. An event counts as the plan's own when order,
//! version, actor, time to the nanosecond, and content are the same. An id of an order is drawn for one
//! attempt to place it alone; of an order that is there, nobody else makes the same change in the same
//! nanosecond. One plan's events are there together or not at all, so all of them must be.
//!
//! Commits without a change leave a claim or the absence of a task. Both can be somebody else's: the same
//! request came again by way of another server, which claimed the key for it; the lease ran out, and
//! whoever took the task over has completed it. Hence they count only in plans without any
//! event. There it does not matter whose they are: the key has the same answer, or the task is done, which
//! is all that such a commit wants. If another worker holds the task, its row is there, and so the lease
//! was lost. A commit without a change that still moves stock or adds tasks leaves nothing by which it
//! could be told whether to do that again; no use case makes one, and its outcome stays unknown unless
//! there are events beside it.
//!
//! What is seen may still be on this server's disk alone: when the wait for a synchronous standby ends with
//! the connection, PostgreSQL shows the transaction to every reader. So before it counts as written it is
//! confirmed ([`Connection::confirm`]).
//!
//! # Tried and rejected
//!
//! - `pg_xact_status`, which is made for this question. But after a crash of the server the number of a
//!   transaction that had not reached the disk is given to the next one (seen on PostgreSQL 15), and after
//!   a failover likewise. Somebody else's success would pass for one's own at the very moment that
//!   matters.
//! - Reading what is there and planning anew at once: see 2. above.

use dabba_store::{ClaimRecord, StoreError, encoding::EncodedCommit};
use futures::future::try_join_all;
use tokio::time::{Instant, sleep, timeout_at};

use super::{plan::Plan, read, write};
use crate::{PostgresStore, claims, failure::Failure, pool::Connection};

/// Whether a task is there, whoever holds it.
pub(crate) const FIND_TASK: &str = "SELECT id FROM tasks WHERE id = $1";

/// What became of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// All of it is written and durable, so its outcomes are the answer.
    Written,
    /// Nothing of it is written, nor will be.
    NotWritten,
}

/// How the COMMIT of a plan was lost.
pub(super) struct Loss<'b> {
    /// What would be written.
    pub(super) plan: Plan<'b>,
    /// What is known of the reason.
    pub(super) cause: String,
}

impl PostgresStore {
    /// Finds out what became of a plan, until a deadline. Fails as unknown when that was too soon.
    pub(super) async fn resolve(&self, loss: &Loss<'_>, deadline: Instant) -> Result<Fate, StoreError> {
        self.metrics.unknown_outcomes.inc();
        let why = if leaves_something(&loss.plan) {
            match timeout_at(deadline, self.find_fate(&loss.plan)).await {
                Ok(Ok(fate)) => {
                    self.metrics.unknown_outcomes_resolved.inc();
                    return Ok(fate);
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "the time to find it out has passed".to_owned(),
            }
        } else {
            "it leaves nothing by which it could be told".to_owned()
        };
        self.metrics.unknown_outcomes_left.inc();
        Err(StoreError::OutcomeUnknown(format!("{}; {why}", loss.cause)))
    }

    /// Looks and tries again for as long as it takes; whoever calls this limits the time.
    async fn find_fate(&self, plan: &Plan<'_>) -> Result<Fate, StoreError> {
        let mut attempt: u32 = 0;
        loop {
            match self.try_to_find_fate(plan).await {
                Ok(fate) => return Ok(fate),
                Err(Failure::Collision(collision)) => self.retry.count(collision),
                // More of the same will not mend it.
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

    async fn try_to_find_fate(&self, plan: &Plan<'_>) -> Result<Fate, Failure> {
        let connection = self.connection().await?;
        if !is_written(&connection, plan).await? {
            self.metrics.attempts.inc();
            if write::write(&connection, plan).await? {
                return Ok(Fate::Written);
            }
            if !is_written(&connection, plan).await? {
                return Ok(Fate::NotWritten);
            }
        }
        connection.confirm().await?;
        Ok(Fate::Written)
    }
}

/// Whether it can be told of a plan that it is written: whether a second time would be noticed.
fn leaves_something(plan: &Plan<'_>) -> bool {
    let settles_only = |encoded: &&EncodedCommit| {
        let commit = &encoded.commit;
        commit.stock.is_empty() && commit.tasks.is_empty()
    };
    changes_something(plan) || plan.committed.iter().all(settles_only)
}

fn changes_something(plan: &Plan<'_>) -> bool {
    plan.committed.iter().any(|encoded| encoded.commit.change.is_some())
}

/// Whether everything is there that a plan leaves behind.
async fn is_written(connection: &Connection, plan: &Plan<'_>) -> Result<bool, Failure> {
    if changes_something(plan) {
        // Sent all at once, answered in order.
        let changes = plan.committed.iter().map(|encoded| are_events_there(connection, encoded));
        Ok(try_join_all(changes).await?.into_iter().all(|is_there| is_there))
    } else {
        let commits = plan.committed.iter().map(|encoded| is_settled(connection, encoded));
        Ok(try_join_all(commits).await?.into_iter().all(|is_settled| is_settled))
    }
}

/// Whether the events of a commit are the order's history from its expected version on.
async fn are_events_there(connection: &Connection, encoded: &EncodedCommit) -> Result<bool, Failure> {
    let commit = &encoded.commit;
    let Some(change) = &commit.change else { return Ok(true) };
    let count = u32::try_from(change.events.len()).unwrap_or(u32::MAX);
    Ok(read::events(connection, commit.order_id, commit.expected_version, count).await? == change.events)
}

/// Whether what a commit without a change wants is so: its key is claimed, its task is done.
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
