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

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use dabba_domain::Bucket;
use dabba_store::{Commit, CommitOutcome, Store, StoreError};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use crate::{EngineConfig, EngineMetrics, Error};

/// The committers of a store.
pub(crate) struct Committers {
    store: Arc<dyn Store>,
    /// Those of the first shard, then those of the second, and so on.
    queues: Vec<mpsc::Sender<Queued>>,
    per_shard: usize,
    stop: watch::Sender<bool>,
    running: Mutex<Vec<JoinHandle<()>>>,
    timeout: Duration,
    metrics: Arc<EngineMetrics>,
}

struct Queued {
    commit: Commit,
    answer: oneshot::Sender<Result<CommitOutcome, StoreError>>,
}

impl Committers {
    pub(crate) fn start(store: &Arc<dyn Store>, config: &EngineConfig, metrics: &Arc<EngineMetrics>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let per_shard = config.committers.max(1);
        let count = per_shard * store.shard_count();
        let mut queues = Vec::with_capacity(count);
        let mut running = Vec::with_capacity(count);
        for _ in 0..count {
            let (sender, receiver) = mpsc::channel(config.max_queued.max(1));
            let committer = Committer {
                store: Arc::clone(store),
                queue: receiver,
                stopped: stopped.clone(),
                max_batch: config.max_batch.max(1),
                metrics: Arc::clone(metrics),
            };
            queues.push(sender);
            running.push(tokio::spawn(committer.run()));
        }
        Self {
            store: Arc::clone(store),
            queues,
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
    ) -> impl Future<Output = Result<CommitOutcome, Error>> + Send + use<> {
        let queued = self.queue(commit);
        let timeout = self.timeout;
        async move {
            match tokio::time::timeout(timeout, queued?).await {
                Ok(Ok(outcome)) => Ok(outcome?),
                // The committer went away with it, or is not done yet: it may still be written.
                Ok(Err(_)) | Err(_) => Err(Error::OutcomeUnknown),
            }
        }
    }

    fn queue(&self, commit: Commit) -> Result<oneshot::Receiver<Result<CommitOutcome, StoreError>>, Error> {
        let (answer, outcome) = oneshot::channel();
        let queue = self.queue_of(commit.restaurant_id.bucket())?;
        queue.try_send(Queued { commit, answer }).map_err(|error| match error {
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
    queue: mpsc::Receiver<Queued>,
    stopped: watch::Receiver<bool>,
    max_batch: usize,
    metrics: Arc<EngineMetrics>,
}

impl Committer {
    async fn run(mut self) {
        let mut queued = Vec::with_capacity(self.max_batch);
        loop {
            let received = tokio::select! {
                received = self.queue.recv_many(&mut queued, self.max_batch) => received,
                // Also when the sender is gone: nobody can ask for more then.
                _ = self.stopped.changed(), if !self.queue.is_closed() => {
                    self.queue.close();
                    continue;
                }
            };
            if received == 0 {
                return;
            }
            self.commit(queued.drain(..)).await;
        }
    }

    async fn commit(&self, queued: impl Iterator<Item = Queued>) {
        let (batch, answers): (Vec<_>, Vec<_>) = queued.map(|queued| (queued.commit, queued.answer)).unzip();
        let size = answers.len();
        self.metrics.queue_depth.dec_by(i64::try_from(size).unwrap_or(0));
        #[expect(clippy::cast_precision_loss, reason = "a batch is far smaller than 2^52")]
        self.metrics.batch_size.observe(size as f64);
        let began = Instant::now();
        let outcomes = self.store.commit(batch).await;
        self.metrics.commit_seconds.observe(began.elapsed().as_secs_f64());
        // Whoever has stopped waiting does not take its answer; that is all right.
        match outcomes {
            Ok(outcomes) if outcomes.len() == size => {
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    let _ = answer.send(Ok(outcome));
                }
            }
            Ok(outcomes) => {
                let error = StoreError::Corrupt(format!("{} outcomes for {size} commits", outcomes.len()));
                answer_all(answers, &error);
            }
            Err(error) => answer_all(answers, &error),
        }
    }
}

fn answer_all(answers: Vec<oneshot::Sender<Result<CommitOutcome, StoreError>>>, error: &StoreError) {
    for answer in answers {
        let _ = answer.send(Err(error.clone()));
    }
}
