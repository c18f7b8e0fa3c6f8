//! Group commit: many writes, one transaction.
//!
//! A committer takes whatever is queued, up to a limit, and commits it as one transaction; what
//! arrives meanwhile is the next batch. There is no timer: a lone write is committed at once, and
//! the busier it gets, the more writes share the cost of a commit.
//!
//! The queue is bounded, and a full queue refuses at once. Commits on the orders of one restaurant always
//! meet the same committer, so that they do not collide with each other in the store: they share its
//! stock, and the scope of their keys. A shard has committers of its own: a batch is one transaction of
//! one database, and a database that hangs holds up nobody else's orders.
//!
//! What can go wrong with a batch:
//!
//! | | |
//! |---|---|
//! | the store refuses the batch as corrupt | nothing is written; the batch is halved until the bad commit fails alone |
//! | the store fails in another way | every caller of the batch gets the error |
//! | the store panics | every caller of the batch gets [`Error::OutcomeUnknown`]; the next batch is committed |
//! | an action that follows a commit panics | the action is lost; the callers get their outcomes |
//!
//! A committer is a supervised part: a panic is counted, and a committer all of whose batches panic is reported.

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

/// The committers of a store.
pub(crate) struct Committers {
    store: Arc<dyn Store>,
    /// Those of the first shard, then those of the second, and so on.
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

/// The caller of a queued commit, and the commit's post-commit actions.
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
        for part in &parts {
            let (sender, receiver) = mpsc::channel(config.max_queued.max(1));
            let committer = Arc::new(Committer {
                store: Arc::clone(store),
                queue: tokio::sync::Mutex::new(receiver),
                stopped: stopped.clone(),
                max_batch: config.max_batch.max(1),
                metrics: Arc::clone(metrics),
                post_commits: Arc::clone(post_commits),
                part: Arc::clone(part),
                patience: config.commit_timeout,
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

    /// Queues a commit at once, and answers with its outcome to come. What is queued is written, whether that is
    /// waited for or not.
    ///
    /// Not an `async fn`: the commit is large, and would be kept in the future that waits.
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
                // The committer went away with it, or is not done yet: it may still be written.
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

    /// Whether committers are stuck and no other one does its work, so that no order is placed. With several shards, one
    /// without orders says nothing of its database: then all of them have to be stuck.
    pub(crate) fn are_stuck(&self) -> bool {
        let has_one_shard = self.parts.len() == self.per_shard;
        let idle = |part: &Part| has_one_shard && !part.has_succeeded_within(STEADY_AFTER);
        let stuck = self.parts.iter().filter(|part| part.status().is_stuck).count();
        stuck > 0 && self.parts.iter().all(|part| part.status().is_stuck || idle(part))
    }

    /// Takes nothing more, and returns when all that was queued is answered.
    pub(crate) async fn finish(&self) {
        self.stop.send_replace(true);
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for committer in running {
            if let Err(error) = committer.await {
                tracing::error!(%error, "a committer ended badly");
            }
        }
    }
}

struct Committer {
    store: Arc<dyn Store>,
    /// Outlives a run that panics. Only one run at a time holds it.
    queue: tokio::sync::Mutex<mpsc::Receiver<Queued>>,
    stopped: watch::Receiver<bool>,
    max_batch: usize,
    metrics: Arc<EngineMetrics>,
    post_commits: Arc<PostCommits>,
    part: Arc<Part>,
    /// Time after which a transaction takes too long: callers are told by then that its outcome is unknown.
    patience: Duration,
}

impl Committer {
    async fn run(self: Arc<Self>) -> Result<(), String> {
        let mut queue = self.queue.lock().await;
        let mut stopped = self.stopped.clone();
        let mut queued = Vec::with_capacity(self.max_batch);
        loop {
            let received = tokio::select! {
                received = queue.recv_many(&mut queued, self.max_batch) => received,
                // Also when the sender is gone: nobody can ask for more then.
                _ = stopped.changed(), if !queue.is_closed() => {
                    queue.close();
                    continue;
                }
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
        // A commit that is alone fails alone as it is.
        let kept = if batch.len() > 1 { batch.clone() } else { Vec::new() };
        match self.try_commit(batch).await {
            Err(error @ StoreError::Corrupt(_)) if !kept.is_empty() => {
                self.isolate(kept, waiting, error).await;
            }
            outcomes => self.answer(waiting, outcomes),
        }
    }

    /// Commits a batch as one transaction. A panic costs this batch: whether the batch is written is unknown.
    async fn try_commit(&self, batch: Vec<Arc<Commit>>) -> Result<Vec<CommitOutcome>, StoreError> {
        let size = batch.len();
        #[expect(clippy::cast_precision_loss, reason = "a batch is far smaller than 2^52")]
        self.metrics.batch_size.observe(size as f64);
        let began = Instant::now();
        let committing = AssertUnwindSafe(async { self.store.commit_shared(batch).await }).catch_unwind();
        // No one may give it up: whether it is written would be unknown.
        let committed = self.part.watch(self.patience, "a transaction of orders", committing).await;
        self.metrics.commit_seconds.observe(began.elapsed().as_secs_f64());
        match committed {
            Ok(committed) => {
                match &committed {
                    Ok(_) => self.part.succeeded(),
                    Err(error) => {
                        self.part.survived();
                        // A full disk, a missing right, a standby: reads may be answered all the while.
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
        for (Waiting { post, answer }, outcome) in waiting.into_iter().zip(outcomes) {
            let run = AssertUnwindSafe(|| self.post_commits.run(post, &outcome));
            if let Err(panic) = catch_unwind(run) {
                self.part.failed(&format!("what follows from a commit {}", panicked(&*panic)));
            }
            let _ = answer.send(Ok(outcome));
        }
    }
}
