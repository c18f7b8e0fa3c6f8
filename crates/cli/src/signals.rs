//! SIGINT and SIGTERM: the first ends what runs until it is told to stop in order, the second at once.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

use crate::failure::Failure;

/// What a shell answers for a program that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// Waits for signals from the moment it is made.
pub(crate) struct Signals {
    first: oneshot::Receiver<()>,
    stopping_since: Arc<OnceLock<Instant>>,
}

impl Signals {
    /// Takes the signals over.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let during = "listening for signals";
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::during(during))?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::during(during))?;
        let (sender, first) = oneshot::channel();
        let stopping_since = Arc::new(OnceLock::new());
        let since = Arc::clone(&stopping_since);
        tokio::spawn(async move {
            either(&mut interrupt, &mut terminate).await;
            tracing::info!("stopping; a second signal ends at once");
            // Set once, here, and sent once; that nobody waits yet or any more is no fault.
            let _ = since.set(Instant::now());
            let _ = sender.send(());
            either(&mut interrupt, &mut terminate).await;
            std::process::exit(INTERRUPTED);
        });
        Ok(Self { first, stopping_since })
    }

    /// When the first signal came.
    pub(crate) fn stopping_since(&self) -> Arc<OnceLock<Instant>> {
        Arc::clone(&self.stopping_since)
    }

    /// Does something, unless the first signal comes before it is done; `None` then. What is under way is given up.
    pub(crate) async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            _ = &mut self.first => {
                tracing::info!("stopped before it had started");
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
