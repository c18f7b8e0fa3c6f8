//! Group commit: many writes in one transaction.
//!
//! A committer takes all queued commits, up to a limit, and writes them in one transaction. Commits that arrive during
//! the transaction form the next batch. There is no timer: a single write is committed at once, and under load more
//! writes share the cost of one transaction.
//!
//! The queue is bounded, and a full queue refuses new commits at once. All commits on the orders of one restaurant go
//! to the same committer, because they share the restaurant's stock and the scope of its idempotency keys: they never
//! conflict with each other in the store. Each shard has its own committers: a batch is one transaction of one
//! database, and a database that hangs does not delay the orders of other shards.
//!
//! Failures of a batch:
//!
//! | failure | effect |
//! |---|---|
//! | the store refuses the batch as corrupt | nothing is written; the batch is halved until the bad commit fails alone |
//! | the store fails in another way | every caller of the batch gets the error |
//! | the store panics | every caller of the batch gets [`Error::OutcomeUnknown`]; the next batch is committed |
//! | a post-commit action panics | the action is lost; the callers get their outcomes |
//!
//! A committer is a supervised part: each panic is counted, and a committer is reported as down if all of its batches
//! panic.

mod isolation;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use dabba_domain::Bucket;
use dabba_store::{Commit, CommitOutcome, Need, Part, STEADY_AFTER, Store, StoreError, Supervisor, panicked};
use futures::FutureExt as _;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use crate::{
    EngineConfig, EngineMetrics, Error,
    post_commit::{PostCommit, PostCommits},
};

/// All committers of a store.
pub(crate) struct Committers {
    store: Arc<dyn Store>,
    /// The queues of the first shard, then the queues of the second, and so on.
    queues: Vec<mpsc::Sender<Queued>>,
    parts: Vec<Arc<Part>>,
    per_shard: usize,
    stop: watch::Sender<bool>,
    running: Mutex<Vec<JoinHandle<()>>>,
    timeout: Duration,
    metrics: Arc<EngineMetrics>,
}

struct Queued {
    commit: Arc<Commit>,
    waiting: Waiting,
}

/// The caller that waits for a queued commit, and the commit's post-commit actions.
struct Waiting {
    post: PostCommit,
    answer: oneshot::Sender<Result<CommitOutcome, StoreError>>,
}

impl Committers {
    pub(crate) fn start(
        post_commits: &Arc<PostCommits>,
        config: &EngineConfig,
        supervisor: &Arc<Supervisor>,
    ) -> Self {
        let (store, metrics) = (&post_commits.store, &post_commits.metrics);
        let (stop, stopped) = watch::channel(false);
        let per_shard = config.committers.max(1);
        let count = per_shard * store.shard_count();
        let mut queues = Vec::with_capacity(count);
        let mut running = Vec::with_capacity(count);
        let parts: Vec<_> = (0..count)
            .map(|number| supervisor.part(format!("committer_{number}"), Need::Essential))
            .collect();
        for (number, part) in parts.iter().enumerate() {
            let (sender, receiver) = mpsc::channel(config.max_queued.max(1));
            let committer = Arc::new(Committer {
                store: Arc::clone(store),
                shard: number / per_shard,
                queue: tokio::sync::Mutex::new(receiver),
                stopped: stopped.clone(),
                max_batch: config.max_batch.max(1),
                metrics: Arc::clone(metrics),
                post_commits: Arc::clone(post_commits),
                part: Arc::clone(part),
                timeout: config.commit_timeout,
            });
            let supervisor = Arc::clone(supervisor);
            queues.push(sender);
            running.push(tokio::spawn(async move {
                supervisor.run(&committer.part, || Arc::clone(&committer).run()).await;
            }));
        }
        Self {
            store: Arc::clone(store),
            queues,
            parts,
            per_shard,
            stop,
            running: Mutex::new(running),
            timeout: config.commit_timeout,
            metrics: Arc::clone(metrics),
        }
    }

    /// Queues a commit at once, and returns a future of its outcome. A queued commit is written even if the future is
    /// dropped.
    ///
    /// This is not an `async fn`, because its future would contain the commit, which is large.
    pub(crate) fn submit(
        &self,
        commit: Commit,
        post: PostCommit,
    ) -> impl Future<Output = Result<CommitOutcome, Error>> + Send + use<> {
        let queued = self.queue(commit, post);
        let timeout = self.timeout;
        async move {
            match tokio::time::timeout(timeout, queued?).await {
                Ok(Ok(outcome)) => Ok(outcome?),
                // The committer ended with this commit, or is still writing it: the commit may be written.
                Ok(Err(_)) | Err(_) => Err(Error::OutcomeUnknown),
            }
        }
    }

    fn queue(
        &self,
        commit: Commit,
        post: PostCommit,
    ) -> Result<oneshot::Receiver<Result<CommitOutcome, StoreError>>, Error> {
        let (answer, outcome) = oneshot::channel();
        let queue = self.queue_of(commit.restaurant_id.bucket())?;
        let waiting = Waiting { post, answer };
        queue.try_send(Queued { commit: Arc::new(commit), waiting }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.metrics.queue_full.inc();
                Error::Overloaded
            }
            mpsc::error::TrySendError::Closed(_) => Error::Unavailable,
        })?;
        self.metrics.queue_depth.inc();
        Ok(outcome)
    }

    fn queue_of(&self, bucket: Bucket) -> Result<&mpsc::Sender<Queued>, Error> {
        let within_shard = usize::from(bucket.number()) % self.per_shard;
        let shard = self.store.shard_of(bucket);
        self.queues
            .get(shard * self.per_shard + within_shard)
            .ok_or_else(|| Error::Internal(format!("shard {shard} has no committer")))
    }

    /// Returns whether committers are stuck and no other committer works, so that no order can be placed. With several
    /// shards, an idle committer proves nothing about its database, so this requires that all committers are stuck.
    pub(crate) fn are_stuck(&self) -> bool {
        let has_one_shard = self.parts.len() == self.per_shard;
        let idle = |part: &Part| has_one_shard && !part.has_succeeded_within(STEADY_AFTER);
        let stuck = self.parts.iter().filter(|part| part.status().is_stuck).count();
        stuck > 0 && self.parts.iter().all(|part| part.status().is_stuck || idle(part))
    }

    /// Refuses new commits, and returns when all queued commits are answered.
    pub(crate) async fn finish(&self) {
        self.stop.send_replace(true);
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for committer in running {
            if let Err(error) = committer.await {
                tracing::error!(%error, "a committer panicked or was cancelled");
            }
        }
    }
}

struct Committer {
    store: Arc<dyn Store>,
    /// Index of the shard whose orders the committer writes.
    shard: usize,
    /// Shared by successive runs, so that the queue survives a panic. Only one run at a time holds the lock.
    queue: tokio::sync::Mutex<mpsc::Receiver<Queued>>,
    stopped: watch::Receiver<bool>,
    max_batch: usize,
    metrics: Arc<EngineMetrics>,
    post_commits: Arc<PostCommits>,
    part: Arc<Part>,
    /// Maximum duration of a transaction before the committer counts as stuck. By then the callers have been answered
    /// that the outcome is unknown.
    timeout: Duration,
}

impl Committer {
    async fn run(self: Arc<Self>) -> Result<(), String> {
        let mut queue = self.queue.lock().await;
        let mut stopped = self.stopped.clone();
        let mut queued = Vec::with_capacity(self.max_batch);
        loop {
            let received = tokio::select! {
                // A fixed order, so that equal seeds have equal simulations.
                biased;
                // `changed` also returns when the sender is dropped. No commits can arrive after that.
                _ = stopped.changed(), if !queue.is_closed() => {
                    queue.close();
                    continue;
                }
                received = queue.recv_many(&mut queued, self.max_batch) => received,
            };
            if received == 0 {
                return Ok(());
            }
            self.metrics.queue_depth.dec_by(i64::try_from(received).unwrap_or(0));
            let (batch, waiting) = queued.drain(..).map(|queued| (queued.commit, queued.waiting)).unzip();
            self.commit(batch, waiting).await;
        }
    }

    async fn commit(&self, batch: Vec<Arc<Commit>>, waiting: Vec<Waiting>) {
        // Only a batch of several commits is isolated; a single commit fails alone anyway.
        let kept = if batch.len() > 1 { batch.clone() } else { Vec::new() };
        match self.try_commit(batch).await {
            Err(error @ StoreError::Corrupt(_)) if !kept.is_empty() => {
                self.isolate(kept, waiting, error).await;
            }
            outcomes => self.answer(waiting, outcomes),
        }
    }

    /// Commits a batch as one transaction. After a panic, the outcome of this batch is unknown; later batches are not
    /// affected.
    async fn try_commit(&self, batch: Vec<Arc<Commit>>) -> Result<Vec<CommitOutcome>, StoreError> {
        let size = batch.len();
        #[expect(clippy::cast_precision_loss, reason = "a batch is far smaller than 2^52")]
        self.metrics.batch_size.observe(size as f64);
        let began = Instant::now();
        let committing = AssertUnwindSafe(async { self.store.commit_shared(batch).await }).catch_unwind();
        // This future must not be cancelled: it would be unknown whether the batch is written.
        let committed = self.part.watch(self.timeout, "a transaction of orders", committing).await;
        self.metrics.commit_seconds.observe(began.elapsed().as_secs_f64());
        match committed {
            Ok(committed) => {
                match &committed {
                    Ok(_) => self.part.succeeded(),
                    Err(error) => {
                        self.part.survived();
                        // A store may refuse writes (full disk, missing permission, absent standby) while it answers
                        // reads.
                        if let StoreError::Unavailable(text) = error {
                            self.part.refused(text);
                        }
                    }
                }
                let outcomes = committed?;
                if outcomes.len() == size {
                    return Ok(outcomes);
                }
                Err(StoreError::OutcomeUnknown(format!("{} outcomes for {size} commits", outcomes.len())))
            }
            Err(panic) => {
                let text = panicked(&*panic);
                self.part.failed(&text);
                Err(StoreError::OutcomeUnknown(text))
            }
        }
    }

    /// Runs the post-commit actions of each commit and sends its caller the outcome. The outcome is dropped if the caller
    /// no longer waits.
    fn answer(&self, waiting: Vec<Waiting>, outcomes: Result<Vec<CommitOutcome>, StoreError>) {
        let outcomes = match outcomes {
            Ok(outcomes) => outcomes,
            Err(error) => {
                for Waiting { answer, .. } in waiting {
                    let _ = answer.send(Err(error.clone()));
                }
                return;
            }
        };
        if outcomes.iter().any(|outcome| matches!(outcome, CommitOutcome::Committed)) {
            self.post_commits.commit_signals.committed(self.shard);
        }
        for (Waiting { post, answer }, outcome) in waiting.into_iter().zip(outcomes) {
            let run = AssertUnwindSafe(|| self.post_commits.run(post, &outcome));
            if let Err(panic) = catch_unwind(run) {
                self.part.failed(&format!("a post-commit action {}", panicked(&*panic)));
            }
            let _ = answer.send(Ok(outcome));
        }
    }
}
