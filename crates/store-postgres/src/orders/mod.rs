//! Orders: the commit of a batch, and the reads.
//!
//! # How a batch is committed
//!
//! A batch is planned in memory ([`plan`]): the commits are carried out one after the other, and the
//! result is the outcome of each, the sum of what they write, and everything that must be so for the
//! plan to be right. Then the plan is written ([`write`]) by one SERIALIZABLE transaction: all
//! statements are sent at once, and COMMIT when every one of them has found what the plan says.
//! Otherwise all is rolled back, and the batch is planned again. So there are two plans at most,
//! and one shape of transaction:
//!
//! 1. The first plan knows nothing and assumes that every commit holds. It almost always does, and
//!    then a batch costs two round trips and no read that could collide with anything.
//! 2. When something did not hold, or when the transaction collided with another one, everything that
//!    the batch depends on is read at one moment ([`view`]), and the plan is made upon that. Commits
//!    that fail get their outcome from it and are not written at all, so one of them poisons nothing.
//!    What has changed since it was read refutes this plan too, and the batch is tried again, a
//!    bounded number of times. The batch after it begins here as well, until one has held as a whole:
//!    retries and races come in crowds.
//!
//! Why the outcomes are right:
//!
//! - Everything that a commit that is *written* relies upon is proved inside its transaction: a key by
//!   the insert that claims it, a version, a stock and a lease by a conditional write of that row, a
//!   catalogue, the version of an order that does not change and the buckets that the database holds
//!   ([`crate::shard`]) by a read. At SERIALIZABLE that holds
//!   until COMMIT, or COMMIT fails with 40001. Whether marks of unavailable items change, which later commits
//!   of the batch meet, is proved by the write of the marks ([`marks`]).
//! - A commit that is *refused* relies upon what was read before. A claim is never changed, versions
//!   and revisions only go up, a lease that was lost never comes back: what refused the commit then
//!   refuses it now. Stock alone can come back, so the stock that refused somebody is read again
//!   inside the transaction, and a difference refutes the plan. When nothing is written, everything
//!   was read at one moment, which is the moment of all outcomes.
//! - A commit that is *replayed* is acknowledged again, and must be as safe as when it was first. What can
//!   be read need not be: after a crash the primary shows commits that were still waiting for a standby.
//!   So a batch that replays and writes nothing waits as a commit does
//!   ([`confirm`](crate::pool::Connection::confirm)); one that writes is behind them in the log anyway.
//!
//! When the connection is lost at COMMIT, what became of the transaction is found out: see [`resolve`].
//!
//! # Without false collisions
//!
//! At SERIALIZABLE, PostgreSQL notes the index pages that a transaction reads, and aborts when two
//! transactions write into pages that the other has read. Ids sort by time, so all that is busy is on
//! the same few pages. Hence nothing that others insert into is read: keys are claimed by
//! `INSERT … ON CONFLICT DO NOTHING`, orders are changed by `INSERT … ON CONFLICT DO UPDATE`, both of
//! which look at an index as writers. Restaurants, stock and tasks are found as readers find them,
//! since nobody inserts next to those rows meanwhile. What is left are the collisions that are real:
//! two transactions that write the same row.
//!
//! Tried and rejected:
//!
//! - `UPDATE … WHERE id = … AND version = …`: collides as above as soon as two servers write. With four
//!   of them, each placing and accepting orders of its own, 10 of 1,000 batches of 64 were aborted, and
//!   8 of 100 small ones while all orders lay on a few pages; as it is, none, at the same rate
//!   (`examples/commit_rate.rs`).
//! - Sending COMMIT together with the statements, which would save a round trip: one that fails in
//!   this process, before it is sent, would be missing in what COMMIT makes durable.
//! - Savepoints for each commit: a batch would be as many round trips as it has commits.
//! - Writing what holds and deleting the claims of what does not: two kinds of outcome in one
//!   transaction, and a dead row for every refusal.

mod feed;
mod list;
mod marks;
mod plan;
#[cfg(test)]
mod plan_tests;
pub(crate) mod read;
mod resolve;
pub(crate) mod together;
pub(crate) mod view;
mod write;

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use dabba_domain::{
    AccountId, OrderId, RestaurantId, Timestamp,
    order::{Order, RecordedEvent, Version},
};
use dabba_store::encoding::EncodedCommit;
use dabba_store::encoding::clamped_nanoseconds;
use dabba_store::{
    ClaimRecord, Commit, CommitOutcome, FeedCursor, FeedEntry, IdempotencyKey, OrderPage, OrderQuery,
    OrderScope, OrderStore, StoreError,
};

use futures::future::join_all;
use tokio::time::Instant;

use self::{
    plan::Plan,
    resolve::{Fate, Loss},
    view::View,
};
use crate::{PostgresStore, claims, failure::Failure, pool::Connection};

/// How an attempt at a batch ended.
enum Attempt<'b> {
    /// With these outcomes.
    Decided(Vec<CommitOutcome>),
    /// The plan rested on what is not so, and nothing is written.
    Refuted,
    /// The connection was lost at COMMIT.
    Lost(Box<Loss<'b>>),
}

/// Every read of this part, for the test that looks at their plans.
#[cfg(test)]
pub(crate) fn statements() -> Vec<(&'static str, String)> {
    let fixed = [
        ("find_claims", view::FIND_CLAIMS),
        ("find_leases", view::FIND_LEASES),
        ("find_versions", view::FIND_VERSIONS),
        ("find_revisions", view::FIND_REVISIONS),
        ("find_stock", view::FIND_STOCK),
        ("find_marks", marks::FIND_MARKS),
        ("lock_restaurants", marks::LOCK_RESTAURANTS),
        ("extend_marks", marks::EXTEND_MARKS),
        ("delete_leased", write::DELETE_LEASED),
        ("change_stock", write::CHANGE_STOCK),
        ("insert_claims", write::INSERT_CLAIMS),
        ("insert_orders", write::INSERT_ORDERS),
        ("update_orders", write::UPDATE_ORDERS),
        ("find_orders", read::FIND_ORDERS),
        ("find_events", read::FIND_EVENTS),
        ("find_newer", read::FIND_NEWER),
        ("find_claim", read::FIND_CLAIM),
        ("forget_keys", read::FORGET_KEYS),
        ("find_task", resolve::FIND_TASK),
        ("read_feed", feed::READ_FEED),
    ];
    let lists = list::Stretch::EVERY.map(|stretch| (stretch.name(), stretch.sql()));
    fixed.map(|(name, sql)| (name, sql.to_owned())).into_iter().chain(lists).collect()
}

/// Whether one of these is a list of orders.
#[cfg(test)]
pub(crate) fn is_list(name: &str) -> bool {
    list::Stretch::EVERY.iter().any(|stretch| stretch.name() == name)
}

#[async_trait]
impl OrderStore for PostgresStore {
    async fn commit_shared(&self, batch: Vec<Arc<Commit>>) -> Result<Vec<CommitOutcome>, StoreError> {
        let batch = batch.into_iter().map(EncodedCommit::new).collect::<Result<Vec<_>, _>>()?;
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let mut attempts = self.retry.begin();
        // One limit for all that is lost on the way, so that a batch has a bounded time.
        let mut deadline = None;
        loop {
            let assume = attempts.is_first() && !self.is_doubtful.load(Ordering::Relaxed);
            match self.try_commit(&batch, assume).await {
                Ok(Attempt::Decided(outcomes)) => return Ok(outcomes),
                Ok(Attempt::Refuted) => attempts.after_refutation().await?,
                Ok(Attempt::Lost(loss)) => {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.resolve_timeout);
                    match self.resolve(&loss, deadline).await? {
                        Fate::Written => return Ok(loss.plan.outcomes),
                        Fate::NotWritten => attempts.after_loss().await?,
                    }
                }
                Err(failure) => attempts.after_failure(failure).await?,
            }
        }
    }

    async fn order(&self, id: OrderId) -> Result<Option<Order>, StoreError> {
        self.held.check(id.bucket())?;
        let read = |ids: Vec<OrderId>| {
            self.read(async move |connection: &Connection| read::orders(connection, &ids).await)
        };
        self.order_reads.order(id, read).await
    }

    async fn events(
        &self,
        id: OrderId,
        after: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.held.check(id.bucket())?;
        self.read(async |connection| read::events(connection, id, after, limit).await).await
    }

    async fn list_orders(&self, query: &OrderQuery) -> Result<OrderPage, StoreError> {
        if let OrderScope::Restaurant(id) = query.scope {
            self.held.check(id.bucket())?;
        }
        let buckets = self.held.buckets();
        let list =
            |connection: Arc<Connection>| async move { list::list_orders(&connection, query, buckets).await };
        // On the first page people look for what they have just done.
        let mut page = self.read_perhaps_calmly(query.after.is_some(), list).await?;
        // What has been given away is on a shard of which nobody here knows.
        page.incomplete = !self.held.is_as_expected();
        Ok(page)
    }

    async fn feed(&self, after: &FeedCursor, limit: u32) -> Result<Vec<FeedEntry>, StoreError> {
        let after = feed::Place::parse(after)?;
        let buckets = self.held.buckets();
        self.read(async |connection| feed::feed(connection, &after, limit, buckets).await).await
    }

    async fn find_claim(
        &self,
        account_id: AccountId,
        restaurant_id: RestaurantId,
        key: &IdempotencyKey,
    ) -> Result<Option<ClaimRecord>, StoreError> {
        self.held.check(restaurant_id.bucket())?;
        self.read(async |connection| {
            let found = claims::find_in(connection, account_id, Some(restaurant_id), key).await?;
            if found.is_some() {
                // The caller takes this answer for an acknowledgement.
                connection.confirm().await?;
            }
            Ok(found)
        })
        .await
    }

    async fn forget_keys(&self, claimed_before: Timestamp, limit: u32) -> Result<u32, StoreError> {
        let claimed_before = clamped_nanoseconds(claimed_before);
        self.read(async |connection| read::forget_keys(connection, claimed_before, limit).await).await
    }
}

impl PostgresStore {
    /// Makes so many connections, and has the server parse and plan on each what a batch needs.
    pub(crate) async fn rehearse(&self, connections: usize) {
        // All are lent before the first is given back, or there would be only one.
        let rehearsals = join_all((0..connections).map(|_| self.connection())).await;
        let rehearsals =
            rehearsals.into_iter().flatten().map(async |connection| write::rehearse(&connection).await);
        for failure in join_all(rehearsals).await.into_iter().filter_map(Result::err) {
            tracing::debug!(error = %failure.into_store_error(), "a connection could not be made ready");
        }
    }

    /// Plans a batch and writes the plan.
    async fn try_commit<'b>(&self, batch: &'b [EncodedCommit], assume: bool) -> Result<Attempt<'b>, Failure> {
        let connection = self.connection().await?;
        let view = if assume { None } else { Some(View::read(&connection, batch).await?) };
        if let Some(held) = view.as_ref().and_then(|view| view.held) {
            self.held.learn(held);
        }
        let plan = Plan::new(batch, view.as_ref());
        self.is_doubtful.store(!plan.commits_all(), Ordering::Relaxed);
        // An assumption is good for one thing only: that all of it holds.
        if assume && !plan.commits_all() {
            return Ok(Attempt::Refuted);
        }
        if plan.committed.is_empty() {
            // A replay acknowledges what another transaction wrote. Where this one writes too, its COMMIT
            // vouches for all before it.
            if plan.outcomes.iter().any(|outcome| matches!(outcome, CommitOutcome::Replayed { .. })) {
                connection.confirm().await?;
            }
            return Ok(Attempt::Decided(plan.outcomes));
        }
        match write::write(&connection, &plan).await {
            Ok(true) => Ok(Attempt::Decided(plan.outcomes)),
            Ok(false) => {
                self.is_doubtful.store(true, Ordering::Relaxed);
                Ok(Attempt::Refuted)
            }
            Err(Failure::Store(StoreError::OutcomeUnknown(cause))) => {
                Ok(Attempt::Lost(Box::new(Loss { plan, cause })))
            }
            Err(failure) => Err(failure),
        }
    }
}
