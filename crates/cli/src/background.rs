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

use crate::failure::Failure;

/// Minimum time for the worker to finish, and for the store to close, even if the requests used up the grace period.
const LEAST_CLOSING_TIME: Duration = Duration::from_secs(1);

/// Maximum time to write the times of the last uses of API keys.
const KEY_USES_TIME: Duration = Duration::from_secs(2);

/// An engine with its background parts.
pub(crate) struct Background {
    engine: Arc<Engine>,
    worker: Option<Worker>,
    publisher: Option<Arc<BrokerPublisher>>,
    /// Parts that can be aborted at any moment and leave nothing behind.
    others: JoinSet<()>,
}

struct Worker {
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Background {
    /// Starts the background parts: catalogue watcher, revocation watcher, writer of uses of API keys, database clock,
    /// maintenance, readiness probe, shard measurement, the publisher to a broker if there is one, and the worker if
    /// `works` is true.
    pub(crate) fn start(
        engine: &Arc<Engine>,
        clock: &Arc<ServerClock>,
        store: &Arc<dyn Store>,
        publisher: Option<Arc<BrokerPublisher>>,
        works: bool,
    ) -> Self {
        let mut others = JoinSet::new();
        others.spawn(Arc::clone(clock).follow(Arc::clone(store), Arc::clone(engine.supervisor())));
        others.spawn(Arc::clone(&engine.work).maintain());
        others.spawn(Arc::clone(&engine.catalogue).watch_catalogues());
        others.spawn(Arc::clone(engine).watch_readiness());
        others.spawn(Arc::clone(engine).measure_shards());
        others.spawn(Arc::clone(&engine.accounts).watch_revocations());
        others.spawn(Arc::clone(&engine.accounts).write_key_uses());
        if let Some(publisher) = publisher.clone() {
            let supervisor = Arc::clone(engine.supervisor());
            others.spawn(async move { publisher.run(&supervisor).await });
        }
        let worker = works.then(|| {
            let (stop, stopped) = oneshot::channel::<()>();
            let stopped = async {
                // Dropping the sender stops the worker, too.
                let _ = stopped.await;
            };
            Worker { stop, running: tokio::spawn(Arc::clone(&engine.work).run(stopped)) }
        });
        Self { engine: Arc::clone(engine), worker, publisher, others }
    }

    /// Shuts down in order: finishes the running tasks, writes the queued commits, closes the store. The grace period for all of
    /// this began at the first signal.
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
        if let Some(Worker { stop, mut running }) = self.worker {
            // The worker listens as long as it runs. The code below logs how it ended.
            let _ = stop.send(());
            match tokio::time::timeout(left(), &mut running).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "the worker failed"),
                Err(_) => {
                    running.abort();
                    tracing::warn!("running tasks are aborted; workers retry them when their leases expire");
                }
            }
        }
        // What is not written in this time is lost: the times of the last uses of some API keys.
        let writing = self.engine.accounts.write_pending_key_uses();
        if tokio::time::timeout(left().min(KEY_USES_TIME), writing).await.is_err() {
            tracing::warn!("the times of the last uses of API keys are not recorded");
        }
        if self.engine.shut_down(left()).await {
            tracing::info!("stopped");
            Ok(())
        } else {
            Err(Failure::new("the store did not close in time; no acknowledged write is lost"))
        }
    }
}
