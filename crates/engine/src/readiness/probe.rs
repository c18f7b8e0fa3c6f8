//! The readiness probe: a part that pings the store in the background, so that a readiness check never waits for a
//! store that does not answer.
//!
//! At most one ping is in flight, however many callers ask. A ping that the store does not answer is not cancelled, so
//! it shows when the store answers again.

use std::{sync::Arc, time::Duration};

use dabba_store::{Health, Need, Store, StoreError, Supervisor};
use tokio::{
    sync::{Mutex, mpsc, watch},
    time::Instant,
};

/// Maximum time that a caller waits for a new answer of the store.
const MAX_WAIT: Duration = Duration::from_millis(300);
/// Maximum age of the last answer that is still used while a new one is awaited. The value is larger than the sum of
/// the polling interval and the time that a store with several shards waits for one shard.
const MAX_AGE: Duration = Duration::from_secs(1);
/// Interval at which a server pings the store without a readiness request.
const INTERVAL: Duration = Duration::from_millis(400);

/// The store's answers so far.
#[derive(Default)]
struct Known {
    /// Number of pings begun, and the number of the last answered ping.
    begun: u64,
    answered: u64,
    /// The last answer, and the time when it arrived.
    last: Option<(Instant, Result<Health, StoreError>)>,
}

/// Pings the store. The part ends when this value is dropped.
pub(crate) struct Probe {
    known: watch::Sender<Known>,
    wake: mpsc::Sender<()>,
}

impl Probe {
    pub(crate) fn start(store: &Arc<dyn Store>, supervisor: &Arc<Supervisor>) -> Self {
        let (wake, woken) = mpsc::channel(1);
        let known = watch::Sender::new(Known::default());
        let (store, supervisor, woken) =
            (Arc::clone(store), Arc::clone(supervisor), Arc::new(Mutex::new(woken)));
        let answers = known.clone();
        tokio::spawn(async move {
            let part = supervisor.part("readiness_probe", Need::Helpful);
            supervisor
                .run(&part, || ping_when_woken(Arc::clone(&store), Arc::clone(&woken), answers.clone()))
                .await;
        });
        Self { known, wake }
    }

    /// Returns the store's answer to a ping that begins now, or the last answer if that takes too long.
    pub(super) async fn health(&self) -> Result<Health, StoreError> {
        let mut known = self.known.subscribe();
        let begun = known.borrow().begun;
        // If the channel is full, a wake-up is already queued, and its ping has not begun either.
        let _ = self.wake.try_send(());
        let answered = tokio::time::timeout(MAX_WAIT, known.wait_for(|known| known.answered > begun)).await;
        if let Ok(Ok(known)) = answered
            && let Some((_, answer)) = &known.last
        {
            return answer.clone();
        }
        let known = self.known.borrow();
        match &known.last {
            Some((at, Ok(health))) if at.elapsed() <= MAX_AGE => Ok(health.clone()),
            Some((_, Err(error))) => Err(error.clone()),
            _ => Err(StoreError::Unavailable(format!("it has not answered within {MAX_WAIT:?}"))),
        }
    }

    /// Pings the store at each [`INTERVAL`] for as long as the future is polled, so that the last answer is recent.
    pub(super) async fn keep_pinging(&self) {
        let mut interval = tokio::time::interval(INTERVAL);
        loop {
            interval.tick().await;
            let _ = self.wake.try_send(());
        }
    }
}

/// Pings the store at each wake-up until the channel is closed.
async fn ping_when_woken(
    store: Arc<dyn Store>,
    woken: Arc<Mutex<mpsc::Receiver<()>>>,
    known: watch::Sender<Known>,
) -> Result<(), String> {
    // Only one run at a time pings. The lock lets the channel survive a run that panics.
    let mut woken = woken.lock().await;
    while woken.recv().await.is_some() {
        let mut number = 0;
        known.send_modify(|known| {
            known.begun += 1;
            number = known.begun;
        });
        let answer = store.ping().await;
        known.send_modify(|known| {
            known.answered = number;
            known.last = Some((Instant::now(), answer));
        });
    }
    Ok(())
}
