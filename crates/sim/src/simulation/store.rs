//! The layers between the servers and the stores: calls at one instant, and faults.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use dabba_domain::{RestaurantId, Timestamp, task::TaskQueue};
use dabba_engine::Clock;
use dabba_store::{
    Catalogue, CatalogueGuard, Checkpoint, ClaimedTask, Commit, CommitOutcome, FeedEvent, FeedLease,
    FeedPage, FeedPosition, LeaseRequest, LeaseTaken, OrderPage, OrderQuery, Store, StoreError, TaskFailure,
    TaskLease,
    layer::{CallKind, StoreCall, StoreLayer},
};
use futures::executor::block_on;
use tokio::task::unconstrained;

use super::{chaos::Chaos, coverage::Mark, sabotage, server::Life, world::WorldClock};

/// Runs a call of a real store to its end before anything else in the simulation happens.
///
/// A real store completes its calls on threads of its own, in an order that differs from run to run, and virtual time
/// would advance meanwhile. This function blocks the thread of the simulation until the call is done, so a call takes
/// effect at one instant of virtual time.
pub(super) fn at_once<T>(call: impl Future<Output = T>) -> T {
    // The budget of a Tokio task is refilled only when the task returns to the runtime, which does not happen here.
    block_on(unconstrained(call))
}

/// A store whose calls take effect at one instant. See [`at_once`].
pub(super) struct InstantStore(pub(super) Arc<dyn Store>);

#[async_trait]
impl StoreLayer for InstantStore {
    fn inner(&self) -> &dyn Store {
        &*self.0
    }

    async fn around<T, F>(&self, _: StoreCall, made: F) -> Result<T, StoreError>
    where
        T: Send,
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        at_once(made)
    }

    /// Returns the catalogues' revisions by id. The order of the question depends on a hash table of the server.
    async fn revisions(
        &self,
        ids: &[RestaurantId],
    ) -> Result<Vec<(RestaurantId, CatalogueGuard)>, StoreError> {
        let mut revisions = at_once(self.0.revisions(ids))?;
        revisions.sort_unstable_by_key(|(id, _)| *id);
        Ok(revisions)
    }
}

/// A shard as one server reaches it: calls take time, some fail, some responses are lost, the shard may hang, and
/// the server may die. With a plant, it also changes what is written and read.
pub(super) struct FaultyStore {
    pub(super) inner: Arc<dyn Store>,
    pub(super) shard: usize,
    pub(super) chaos: Arc<Chaos>,
    pub(super) clock: Arc<WorldClock>,
    pub(super) life: Arc<Life>,
    /// The events of the shard that a plant publishes although they were lost.
    pub(super) lost_events: Arc<Mutex<Vec<FeedEvent>>>,
    /// Time for which a request waits for its commit.
    pub(super) commit_timeout: Duration,
}

impl FaultyStore {
    const fn call(kind: CallKind, method: &'static str) -> StoreCall {
        StoreCall { kind, method }
    }

    /// Fails if the server is dead.
    fn check_life(&self) -> Result<(), StoreError> {
        if self.life.is_over() {
            Err(StoreError::Unavailable("the server is dead".to_owned()))
        } else {
            Ok(())
        }
    }

    fn lost_events(&self) -> MutexGuard<'_, Vec<FeedEvent>> {
        self.lost_events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, outcomes: &[CommitOutcome]) {
        for outcome in outcomes {
            let mark = match outcome {
                CommitOutcome::Replayed { .. } => Mark::Replayed,
                CommitOutcome::KeyReused => Mark::KeyReused,
                CommitOutcome::VersionConflict { .. } => Mark::VersionConflict,
                CommitOutcome::CatalogueChanged => Mark::CatalogueChanged,
                CommitOutcome::OutOfStock(_) => Mark::OutOfStock,
                CommitOutcome::LeaseLost => Mark::LeaseLost,
                CommitOutcome::Committed | CommitOutcome::NewerClaim | CommitOutcome::Moved => continue,
            };
            self.chaos.coverage.pass(mark);
        }
    }
}

#[async_trait]
impl StoreLayer for FaultyStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn before(&self, call: StoreCall) -> Result<(), StoreError> {
        self.check_life()?;
        self.chaos.travel().await;
        let hung = self.chaos.wait_while_hung(self.shard).await;
        self.check_life()?;
        if self.chaos.happens(self.chaos.rates.store_fails) {
            return Err(StoreError::Unavailable(self.chaos.fail()));
        }
        if call.kind == CallKind::Commit && hung > self.commit_timeout {
            self.chaos.coverage.pass(Mark::CommitHung);
        }
        self.chaos.record_call(self.shard, call.method, self.clock.elapsed());
        Ok(())
    }

    async fn after(&self, call: StoreCall) -> Result<(), StoreError> {
        self.chaos.travel().await;
        if self.chaos.wait_while_hung(self.shard).await > Duration::ZERO {
            self.chaos.coverage.pass(Mark::HungAfterEffect);
        }
        let is_commit = call.kind == CallKind::Commit;
        if self.life.is_over() {
            if is_commit {
                self.chaos.coverage.pass(Mark::KilledDuringCommit);
            }
            return Err(StoreError::OutcomeUnknown("the server is dead".to_owned()));
        }
        if self.chaos.happens(self.chaos.rates.store_loses) {
            if is_commit {
                self.chaos.coverage.pass(Mark::CommitResponseLost);
            }
            return Err(StoreError::OutcomeUnknown(self.chaos.fail()));
        }
        Ok(())
    }

    async fn commit_shared(&self, batch: Vec<Arc<Commit>>) -> Result<Vec<CommitOutcome>, StoreError> {
        self.chaos.record_batch(batch.len());
        let committed = async {
            if let Some(lost) = sabotage::publish_and_lose(&self.chaos, &batch) {
                self.lost_events().extend(lost);
                self.life.end();
                return Err(StoreError::OutcomeUnknown("the server is dead".to_owned()));
            }
            let batch = sabotage::damage(&self.chaos, batch);
            let (batch, dropped) = sabotage::drop_some(&self.chaos, batch);
            let outcomes =
                if batch.is_empty() { Vec::new() } else { self.inner.commit_shared(batch).await? };
            let outcomes = dropped.into_iter().fold(outcomes, |mut outcomes, place| {
                outcomes.insert(place.min(outcomes.len()), CommitOutcome::Committed);
                outcomes
            });
            self.learn(&outcomes);
            Ok(outcomes)
        };
        self.around(Self::call(CallKind::Commit, "commit_shared"), committed).await
    }

    async fn list_orders(&self, query: &OrderQuery) -> Result<OrderPage, StoreError> {
        let query = sabotage::widen(&self.chaos, query);
        self.around(Self::call(CallKind::Read, "list_orders"), self.inner.list_orders(&query)).await
    }

    async fn catalogue_since(
        &self,
        id: RestaurantId,
        known: Option<&Catalogue>,
    ) -> Result<Option<Catalogue>, StoreError> {
        let call = Self::call(CallKind::Other, "catalogue_since");
        let catalogue = self.around(call, self.inner.catalogue_since(id, known)).await?;
        if let (Some(known), Some(read)) = (known, &catalogue)
            && known.guard() != read.guard()
        {
            self.chaos.coverage.pass(Mark::CatalogueReloaded);
        }
        Ok(catalogue)
    }

    async fn claim_due_tasks(
        &self,
        queue: TaskQueue,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<ClaimedTask>, StoreError> {
        let claim = self.inner.claim_due_tasks(queue, now, lease_until, limit);
        let claimed = self.around(Self::call(CallKind::ClaimTasks, "claim_due_tasks"), claim).await?;
        let retried = claimed.iter().filter(|task| task.attempts > 1).count();
        self.chaos.coverage.pass_times(Mark::TaskRetried, retried as u64);
        Ok(claimed)
    }

    async fn postpone_task(
        &self,
        lease: TaskLease,
        run_at: Timestamp,
        failure: Option<&TaskFailure>,
    ) -> Result<bool, StoreError> {
        let call = Self::call(CallKind::ReturnTask, "postpone_task");
        let is_postponed = self.around(call, self.inner.postpone_task(lease, run_at, failure)).await?;
        if !is_postponed {
            self.chaos.coverage.pass(Mark::LeaseLost);
        }
        Ok(is_postponed)
    }

    async fn park_task(&self, lease: TaskLease, failure: &TaskFailure) -> Result<bool, StoreError> {
        let call = Self::call(CallKind::ReturnTask, "park_task");
        let is_parked = self.around(call, self.inner.park_task(lease, failure)).await?;
        if is_parked {
            self.chaos.coverage.pass(Mark::TaskParked);
        }
        Ok(is_parked)
    }

    async fn feed(&self, shard: usize, after: FeedPosition, limit: u32) -> Result<FeedPage, StoreError> {
        let call = Self::call(CallKind::Read, "feed");
        let mut page = self.around(call, self.inner.feed(shard, after, limit)).await?;
        sabotage::add_lost(&mut page, &mut self.lost_events());
        Ok(page)
    }

    async fn take_feed_lease(
        &self,
        shard: usize,
        request: &LeaseRequest,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<LeaseTaken, StoreError> {
        let call = Self::call(CallKind::Other, "take_feed_lease");
        let taken = self.around(call, self.inner.take_feed_lease(shard, request, now, until)).await?;
        if matches!(&taken, LeaseTaken::Taken(lease) if lease.token > 1) {
            self.chaos.coverage.pass(Mark::SenderReplaced);
        }
        Ok(taken)
    }

    async fn checkpoint_feed(
        &self,
        shard: usize,
        lease: &FeedLease,
        checkpoint: &Checkpoint,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let checkpoint = sabotage::forget_failures(&self.chaos, checkpoint);
        let call = Self::call(CallKind::Other, "checkpoint_feed");
        let write = self.inner.checkpoint_feed(shard, lease, &checkpoint, now, until);
        let is_written = self.around(call, write).await?;
        if !is_written {
            self.chaos.coverage.pass(Mark::SenderLeaseLost);
        } else if !checkpoint.failures.is_empty() {
            self.chaos.coverage.pass(Mark::WebhookFailureStored);
        }
        Ok(is_written)
    }

    /// Returns the true time, as the clock of a database server.
    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.around(Self::call(CallKind::Health, "time"), async { Ok(Some(self.clock.now())) }).await
    }
}
