//! The background parts that run beside the requests for the lifetime of an engine, and their orderly shutdown.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use dabba_engine::{Engine, ServerClock};
use dabba_outbound::broker::BrokerPublisher;
use dabba_store::Store;
use tokio::{
    sync::oneshot,
    task::{JoinHandle, JoinSet},
};

use crate::{failure::Failure, webhooks::Webhooks};

/// Minimum time for the worker to finish, and for the store to close, even if the requests used up the grace period.
const LEAST_CLOSING_TIME: Duration = Duration::from_secs(1);

/// Maximum time of the last writes: the times of the last uses of API keys, the boards that were connected, and the latest
/// durations for the statistics.
const LAST_WRITES_TIME: Duration = Duration::from_secs(2);

/// An engine with its background parts.
pub(crate) struct Background {
    engine: Arc<Engine>,
    worker: Option<Stoppable>,
    webhooks: Option<Stoppable>,
    publisher: Option<Arc<BrokerPublisher>>,
    /// Parts that can be aborted at any moment and leave nothing behind.
    others: JoinSet<()>,
}

/// A running part that finishes its work in hand when it is stopped.
struct Stoppable {
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Stoppable {
    fn start<F: Future<Output = ()> + Send + 'static>(
        run: impl FnOnce(futures::future::BoxFuture<'static, ()>) -> F,
    ) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            // Dropping the sender stops the part, too.
            let _ = stopped.await;
        };
        Self { stop, running: tokio::spawn(run(Box::pin(stopped))) }
    }

    /// Stops the part, and waits until it has ended, for at most this time. `consequence` says what happens to the rest
    /// of its work.
    async fn close(self, within: Duration, name: &str, consequence: &str) {
        let Self { stop, mut running } = self;
        // The part listens as long as it runs. The code below logs how it ended.
        let _ = stop.send(());
        match tokio::time::timeout(within, &mut running).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the {name} failed"),
            Err(_) => {
                running.abort();
                tracing::warn!("{consequence}");
            }
        }
    }
}

impl Background {
    /// Starts the background parts: catalogue watcher, index of restaurants, revocation watcher, writer of uses of API keys, recorder of
    /// boards, database clock, maintenance, readiness probe, shard measurement, statistics, the publisher to a broker
    /// if there is one, and if `works` is true, the worker and the sender of webhooks.
    pub(crate) fn start(
        engine: &Arc<Engine>,
        clock: &Arc<ServerClock>,
        store: &Arc<dyn Store>,
        publisher: Option<Arc<BrokerPublisher>>,
        webhooks: Option<Webhooks>,
        works: bool,
    ) -> Self {
        let mut others = JoinSet::new();
        others.spawn(Arc::clone(clock).follow(Arc::clone(store), Arc::clone(engine.supervisor())));
        others.spawn(Arc::clone(&engine.work).maintain());
        others.spawn(Arc::clone(&engine.catalogue).watch_catalogues());
        others.spawn(Arc::clone(&engine.catalogue).follow_restaurants());
        others.spawn(Arc::clone(engine).watch_readiness());
        others.spawn(Arc::clone(engine).measure_shards());
        others.spawn(Arc::clone(&engine.statistics).run());
        others.spawn(Arc::clone(&engine.accounts).watch_revocations());
        others.spawn(Arc::clone(&engine.accounts).write_key_uses());
        others.spawn(Arc::clone(&engine.boards).record());
        if let Some(publisher) = publisher.clone() {
            let supervisor = Arc::clone(engine.supervisor());
            others.spawn(async move { publisher.run(&supervisor).await });
        }
        let work = Arc::clone(&engine.work);
        let worker = works.then(|| Stoppable::start(|stopped| work.run(stopped)));
        let webhooks = webhooks.filter(|_| works);
        let webhooks = webhooks.map(|webhooks| Stoppable::start(|stopped| webhooks.run(stopped)));
        Self { engine: Arc::clone(engine), worker, webhooks, publisher, others }
    }

    /// Runs another part that can be aborted at any moment.
    pub(crate) fn spawn(&mut self, part: impl Future<Output = ()> + Send + 'static) {
        self.others.spawn(part);
    }

    /// Shuts down in order: finishes the running tasks and the webhooks in flight, makes the last writes, writes the queued
    /// commits, closes the store. The grace period for all of this began at the first signal.
    pub(crate) async fn close(
        mut self,
        grace: Duration,
        stopping_since: &OnceLock<Instant>,
    ) -> Result<(), Failure> {
        self.others.shutdown().await;
        if let Some(publisher) = &self.publisher {
            // Another process then continues at once.
            publisher.release().await;
        }
        let left = || {
            let spent = stopping_since.get().map_or(Duration::ZERO, Instant::elapsed);
            grace.saturating_sub(spent).max(LEAST_CLOSING_TIME)
        };
        let closing_worker = async {
            if let Some(worker) = self.worker {
                let consequence = "running tasks are aborted; workers retry them when their leases expire";
                worker.close(left(), "worker", consequence).await;
            }
        };
        let closing_webhooks = async {
            if let Some(webhooks) = self.webhooks {
                let consequence =
                    "webhooks in flight are aborted; events since the last second are sent again";
                webhooks.close(left(), "sender of webhooks", consequence).await;
            }
        };
        tokio::join!(closing_worker, closing_webhooks);
        write_last(&self.engine, left().min(LAST_WRITES_TIME)).await;
        if self.engine.shut_down(left()).await {
            tracing::info!("stopped");
            Ok(())
        } else {
            Err(Failure::new("the store did not close in time; no acknowledged write is lost"))
        }
    }
}

/// Makes the last writes, all at the same time: a shard that does not answer delays the close of the store once, and not
/// once for each kind of write. What is not written within the limit is lost.
async fn write_last(engine: &Engine, limit: Duration) {
    let writing_uses = async {
        if tokio::time::timeout(limit, engine.accounts.write_pending_uses()).await.is_err() {
            tracing::warn!("the times of the last uses of API keys are not recorded");
        }
    };
    let recording_boards = async {
        match tokio::time::timeout(limit, engine.boards.write_connections(false)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the ends of the connections of boards are not recorded");
            }
            Err(_) => tracing::warn!("the ends of the connections of boards are not recorded in time"),
        }
    };
    tokio::join!(writing_uses, recording_boards, engine.statistics.finish(limit));
}
