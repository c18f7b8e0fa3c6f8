//! SIGINT and SIGTERM: the first signal requests an orderly shutdown, the second one ends the process at once.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

use crate::failure::Failure;

/// Exit status that a shell reports for a program that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// Listener for signals.
pub(crate) struct Signals {
    first: oneshot::Receiver<()>,
    stopping_since: Arc<OnceLock<Instant>>,
}

impl Signals {
    /// Installs the signal handlers.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let during = "listening for signals";
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::during(during))?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::during(during))?;
        let (sender, first) = oneshot::channel();
        let stopping_since = Arc::new(OnceLock::new());
        let since = Arc::clone(&stopping_since);
        tokio::spawn(async move {
            either(&mut interrupt, &mut terminate).await;
            tracing::info!("stopping; a second signal ends the process at once");
            // Both are written only once, here. A dropped receiver is not an error.
            let _ = since.set(Instant::now());
            let _ = sender.send(());
            either(&mut interrupt, &mut terminate).await;
            std::process::exit(INTERRUPTED);
        });
        Ok(Self { first, stopping_since })
    }

    /// Returns when the first signal arrived.
    pub(crate) fn stopping_since(&self) -> Arc<OnceLock<Instant>> {
        Arc::clone(&self.stopping_since)
    }

    /// Runs a future; returns `None` and drops the future if the first signal arrives before it ends.
    pub(crate) async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            _ = &mut self.first => {
                tracing::info!("stopped before the start was complete");
                None
            }
        }
    }

    /// Waits for the first signal.
    pub(crate) async fn first(self) {
        // The sender lives until it has sent.
        let _ = self.first.await;
    }
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
