//! What runs beside the requests for as long as an engine does, and how all of it ends in order.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use dabba_engine::{Engine, ServerClock};
use dabba_store::Store;
use tokio::{
    sync::oneshot,
    task::{JoinHandle, JoinSet},
};

use crate::failure::Failure;

/// Time that a worker has to finish, and the store to close, however long the requests took to finish.
const LEAST_CLOSING_TIME: Duration = Duration::from_secs(1);

/// An engine with what runs beside its requests.
pub(crate) struct Background {
    engine: Arc<Engine>,
    worker: Option<Worker>,
    /// What ends at once and leaves nothing behind.
    others: JoinSet<()>,
}

struct Worker {
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Background {
    /// Begins: keeping up with other servers, following the database's clock, forgetting old keys, watching the store, and working tasks, if that
    /// is wanted.
    pub(crate) fn start(
        engine: &Arc<Engine>,
        clock: &Arc<ServerClock>,
        store: &Arc<dyn Store>,
        works: bool,
    ) -> Self {
        let mut others = JoinSet::new();
        others.spawn(Arc::clone(clock).follow(Arc::clone(store), Arc::clone(engine.supervisor())));
        others.spawn(Arc::clone(engine).maintain());
        others.spawn(Arc::clone(engine).watch_catalogues());
        others.spawn(Arc::clone(engine).watch_readiness());
        others.spawn(Arc::clone(engine).measure_shards());
        others.spawn(Arc::clone(engine).watch_revocations());
        let worker = works.then(|| {
            let (stop, stopped) = oneshot::channel::<()>();
            let stopped = async {
                // Whoever forgets the worker wants it to stop as well.
                let _ = stopped.await;
            };
            Worker { stop, running: tokio::spawn(Arc::clone(engine).work(stopped)) }
        });
        Self { engine: Arc::clone(engine), worker, others }
    }

    /// Ends in order: the tasks in hand are finished, then what is queued is written, then the store is
    /// closed. All that within the grace, which has begun at the first signal.
    pub(crate) async fn close(
        mut self,
        grace: Duration,
        stopping_since: &OnceLock<Instant>,
    ) -> Result<(), Failure> {
        self.others.shutdown().await;
        let left = || {
            let spent = stopping_since.get().map_or(Duration::ZERO, Instant::elapsed);
            grace.saturating_sub(spent).max(LEAST_CLOSING_TIME)
        };
        if let Some(Worker { stop, mut running }) = self.worker {
            // It listens for as long as it runs; how it ended is told below.
            let _ = stop.send(());
            match tokio::time::timeout(left(), &mut running).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "the worker ended badly"),
                Err(_) => {
                    running.abort();
                    tracing::warn!("tasks in hand are broken off; they come back when their leases run out");
                }
            }
        }
        if self.engine.shut_down(left()).await {
            tracing::info!("stopped");
            Ok(())
        } else {
            Err(Failure::new("the store did not close in time; nothing that was acknowledged is lost"))
        }
    }
}
