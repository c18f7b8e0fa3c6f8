//! Orders: the commit of a batch, and the reads.
//!
//! # How a batch is committed
//!
//! A batch is first planned in memory ([`plan`]): the planner applies the commits one after the other. The plan
//! consists of the outcome of each commit, the sum of the writes, and the conditions under which the plan is correct.
//! Then one SERIALIZABLE transaction writes the plan ([`write`]): the store sends all statements at once, and COMMIT
//! if every statement has confirmed its condition. Otherwise the transaction is rolled back, and the batch is planned
//! again. There are two kinds of plan, and one shape of transaction:
//!
//! 1. The optimistic plan reads nothing and assumes that every condition holds. The assumption is almost always
//!    right. Then a batch costs two round trips, and no read that could conflict with another transaction.
//! 2. If a condition did not hold, or the transaction conflicted with another one, the store reads everything that
//!    the batch depends on in one snapshot ([`view`]), and plans with that view. Commits that fail get their outcome
//!    from the view and are not written, so a failed commit does not affect the others. If the data has changed since
//!    the view was read, this plan is refuted too, and the batch is retried a bounded number of times. The next
//!    batches also begin with a view, until one batch has been committed as a whole: retries and races come in
//!    clusters.
//!
//! Why the outcomes are correct:
//!
//! - The transaction of a *written* commit verifies everything that the commit relies on. The insert of the claim
//!   verifies the key. A conditional write of the row verifies a version, a stock or a lease. A read verifies a
//!   catalogue, the version of an unchanged order, and the buckets that the database holds ([`crate::shard`]).
//!   SERIALIZABLE guarantees that the conditions hold until COMMIT; otherwise COMMIT fails with 40001. The write of
//!   the marks verifies whether marks of unavailable items change, which later commits of the batch depend on
//!   ([`marks`]).
//! - A *refused* commit relies on the view. A claim never changes, versions and revisions only increase, and a lost
//!   lease never comes back: a reason that refused the commit at the time of the view still refuses it. Only stock
//!   can come back. So the transaction reads the stock that refused a commit again, and a difference refutes the
//!   plan. If nothing is written, all outcomes are those of the view's snapshot.
//! - A *replayed* commit is acknowledged again, so it must be as durable as at the first acknowledgement. A visible
//!   commit is not always durable: after a crash, the primary shows commits that still waited for a standby. So a
//!   batch that replays and writes nothing waits as a commit does ([`confirm`](crate::pool::Connection::confirm)). A
//!   batch that writes comes after those commits in the WAL anyway.
//!
//! If the connection is lost at COMMIT, the store resolves the outcome of the transaction: see [`resolve`].
//!
//! # Avoiding false conflicts
//!
//! At SERIALIZABLE, PostgreSQL records the index pages that a transaction reads. It aborts a transaction if two
//! transactions write into pages that the other has read. Ids sort by time, so all active rows are on the same few
//! pages. Therefore a batch reads no index into which other transactions insert. Keys are claimed by `INSERT … ON
//! CONFLICT DO NOTHING`, and orders are changed by `INSERT … ON CONFLICT DO UPDATE`. Both search the index as
//! writers. Restaurants, stock and tasks are searched as readers, because no transaction inserts next to those rows
//! in the meantime. Only real conflicts remain: two transactions that write the same row.
//!
//! Tried and rejected:
//!
//! - `UPDATE … WHERE id = … AND version = …`: conflicts as described above as soon as two servers write. With four
//!   servers, each of which placed and accepted its own orders, 10 of 1,000 batches of 64 were aborted, and 8 of 100
//!   small batches while all orders were on a few pages. With the present statements none is aborted, at the same
//!   rate (`examples/postgres_commit_rate.rs`).
//! - Sending COMMIT together with the statements, which would save a round trip: if a statement failed in this
//!   process before it was sent, COMMIT would make the transaction durable without that statement.
//! - A savepoint for each commit: a batch would need as many round trips as it has commits.
//! - Writing the commits whose conditions hold and deleting the claims of the others: two kinds of outcome in one
//!   transaction, and a dead row for every refusal.

mod columns;
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
    order::{Order, OrderStatus, RecordedEvent, Version},
};
use dabba_store::encoding::{EncodedCommit, clamped_nanoseconds};
use dabba_store::{
    ClaimRecord, CodeMatches, CodeQuery, Commit, CommitOutcome, IdempotencyKey, OrderPage, OrderQuery,
    OrderScope, OrderStore, StoreError, check_order_count,
};

use futures::future::join_all;
use tokio::time::Instant;

use self::{
    plan::Plan,
    resolve::{LostCommit, Resolution},
    view::View,
};
use crate::{PostgresStore, claims, failure::Failure, pool::Connection};

/// Result of an attempt to commit a batch.
enum Attempt<'b> {
    /// The outcomes of the commits are final.
    Decided(Vec<CommitOutcome>),
    /// A condition of the plan did not hold, and nothing was written.
    Refuted,
    /// The connection was lost at COMMIT.
    Lost(Box<LostCommit<'b>>),
}

/// Every statement of this module, for the test of query plans.
#[cfg(test)]
pub(crate) fn statements() -> Vec<(&'static str, String)> {
    use dabba_store_sql::lists::IndexRange;

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
        ("insert_claims", columns::INSERT_CLAIMS.as_str()),
        ("insert_orders", columns::INSERT_ORDERS.as_str()),
        ("update_orders", columns::UPDATE_ORDERS.as_str()),
        ("find_orders", read::FIND_ORDERS),
        ("find_events", read::FIND_EVENTS),
        ("find_public_events", read::FIND_PUBLIC_EVENTS),
        ("find_newer", read::FIND_NEWER),
        ("find_claim", read::FIND_CLAIM),
        ("delete_expired_keys", read::DELETE_EXPIRED_KEYS),
        ("find_task", resolve::FIND_TASK),
        (ORDERS_WITH_CODE, list::ORDERS_WITH_CODE),
    ];
    let lists = IndexRange::EVERY.map(|range| (range.name(), list::sql(range)));
    fixed.map(|(name, sql)| (name, sql.to_owned())).into_iter().chain(lists).collect()
}

/// Name of the search by code among [`statements`].
#[cfg(test)]
pub(crate) const ORDERS_WITH_CODE: &str = "orders_with_code";

/// Returns whether the statement with this name is a list of orders.
#[cfg(test)]
pub(crate) fn is_list(name: &str) -> bool {
    dabba_store_sql::lists::IndexRange::EVERY.iter().any(|range| range.name() == name)
}

#[async_trait]
impl OrderStore for PostgresStore {
    async fn commit_shared(&self, batch: Vec<Arc<Commit>>) -> Result<Vec<CommitOutcome>, StoreError> {
        let batch = batch.into_iter().map(EncodedCommit::new).collect::<Result<Vec<_>, _>>()?;
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let mut attempts = self.retry.begin();
        // One deadline for all lost commits of the batch, so that the batch takes a bounded time.
        let mut deadline = None;
        loop {
            let is_optimistic = attempts.is_first() && !self.read_view_first.load(Ordering::Relaxed);
            match self.try_commit(&batch, is_optimistic).await {
                Ok(Attempt::Decided(outcomes)) => return Ok(outcomes),
                Ok(Attempt::Refuted) => attempts.after_refutation().await?,
                Ok(Attempt::Lost(loss)) => {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.resolve_timeout);
                    match self.resolve(&loss, deadline).await? {
                        Resolution::Written => return Ok(loss.plan.outcomes),
                        Resolution::NotWritten => attempts.after_loss().await?,
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

    async fn orders(&self, ids: &[OrderId]) -> Result<Vec<Order>, StoreError> {
        check_order_count(ids)?;
        ids.iter().try_for_each(|id| self.held.check(id.bucket()))?;
        let found = self.read(async |connection| read::orders(connection, ids).await).await?;
        found.into_values().collect()
    }

    async fn open_orders(
        &self,
        restaurant_id: RestaurantId,
        statuses: &[OrderStatus],
        before: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<Order>, StoreError> {
        self.held.check(restaurant_id.bucket())?;
        let buckets = self.held.buckets();
        let list = async |connection: &Connection| {
            list::open_orders(connection, restaurant_id, statuses, before, limit, buckets).await
        };
        self.read(list).await
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
        // The first page is read from the primary: users look there for their latest change.
        let mut page = self.read_maybe_stale(query.after.is_some(), list).await?;
        // Buckets that were moved away are on a shard that is not in this server's map.
        page.incomplete = !self.held.is_as_expected();
        Ok(page)
    }

    async fn orders_with_code(&self, query: &CodeQuery) -> Result<CodeMatches, StoreError> {
        let buckets = self.held.buckets();
        let found = async |connection: &Connection| list::orders_with_code(connection, query, buckets).await;
        let mut matches = self.read(found).await?;
        matches.incomplete = !self.held.is_as_expected();
        Ok(matches)
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
                // The caller treats the returned record as an acknowledgement.
                connection.confirm().await?;
            }
            Ok(found)
        })
        .await
    }

    async fn delete_expired_keys(&self, claimed_before: Timestamp, limit: u32) -> Result<u32, StoreError> {
        let claimed_before = clamped_nanoseconds(claimed_before);
        self.read(async |connection| read::delete_expired_keys(connection, claimed_before, limit).await).await
    }
}

impl PostgresStore {
    /// Opens this number of connections, and lets the server parse and plan a batch's statements on each.
    pub(crate) async fn prepare_connections(&self, connections: usize) {
        // All connections are held at the same time; otherwise the pool would reuse one.
        let connections = join_all((0..connections).map(|_| self.connection())).await;
        let prepared = connections
            .into_iter()
            .flatten()
            .map(async |connection| write::prepare_statements(&connection).await);
        for failure in join_all(prepared).await.into_iter().filter_map(Result::err) {
            tracing::debug!(error = %failure.into_store_error(), "a connection could not be prepared");
        }
    }

    /// Plans a batch and writes the plan. An optimistic plan uses no view.
    async fn try_commit<'b>(
        &self,
        batch: &'b [EncodedCommit],
        is_optimistic: bool,
    ) -> Result<Attempt<'b>, Failure> {
        let connection = self.connection().await?;
        let view = if is_optimistic { None } else { Some(View::read(&connection, batch).await?) };
        if let Some(held) = view.as_ref().and_then(|view| view.held) {
            self.held.update(held);
        }
        let plan = Plan::new(batch, view.as_ref());
        self.read_view_first.store(!plan.commits_all(), Ordering::Relaxed);
        // The outcomes of an optimistic plan are valid only if every commit is written.
        if is_optimistic && !plan.commits_all() {
            return Ok(Attempt::Refuted);
        }
        if plan.committed.is_empty() {
            // A replay acknowledges a commit of another transaction. In a batch that writes, COMMIT also waits for
            // all earlier commits.
            if plan.outcomes.iter().any(|outcome| matches!(outcome, CommitOutcome::Replayed { .. })) {
                connection.confirm().await?;
            }
            return Ok(Attempt::Decided(plan.outcomes));
        }
        match write::write(&connection, &plan).await {
            Ok(true) => Ok(Attempt::Decided(plan.outcomes)),
            Ok(false) => {
                self.read_view_first.store(true, Ordering::Relaxed);
                Ok(Attempt::Refuted)
            }
            Err(Failure::Store(StoreError::OutcomeUnknown(cause))) => {
                Ok(Attempt::Lost(Box::new(LostCommit { plan, cause })))
            }
            Err(failure) => Err(failure),
        }
    }
}
