//! The probe: a part that asks the store how it is, so that no question about readiness waits for a store that does not answer.
//!
//! One question to the store is under way at a time, however many callers ask. A question that the store does not answer is not
//! given up: it shows when the store answers again.

use std::{sync::Arc, time::Duration};

use dabba_store::{Health, Need, Store, StoreError, Supervisor};
use tokio::{
    sync::{Mutex, mpsc, watch},
    time::Instant,
};

/// Maximum time that a caller waits for a new answer of the store.
const MAX_WAIT: Duration = Duration::from_millis(300);
/// Age up to which the last answer holds while a new one is awaited: readiness is known to be no older. Above the interval at which
/// a server asks and the time that a store with several shards waits for one of them, together.
const MAX_AGE: Duration = Duration::from_secs(1);
/// Interval at which a server asks without being asked.
const INTERVAL: Duration = Duration::from_millis(400);

/// What the store has answered.
#[derive(Default)]
struct Known {
    /// Number of questions begun, and the number of the last one that was answered.
    begun: u64,
    answered: u64,
    /// The last answer, and since when it is known.
    last: Option<(Instant, Result<Health, StoreError>)>,
}

/// Asks the store. The part ends when this is dropped.
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
            supervisor.run(&part, || ask(Arc::clone(&store), Arc::clone(&woken), answers.clone())).await;
        });
        Self { known, wake }
    }

    /// Returns how the store is by an answer to a question that begins now, or, if that takes too long, by the last answer.
    pub(super) async fn health(&self) -> Result<Health, StoreError> {
        let mut known = self.known.subscribe();
        let begun = known.borrow().begun;
        // When the queue is full, the next question is one that has not begun either.
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
            _ => Err(StoreError::Unavailable(format!("it has not answered for more than {MAX_WAIT:?}"))),
        }
    }

    /// Asks again and again, for as long as the future is polled, so that the last answer is a recent one.
    pub(super) async fn keep_asking(&self) {
        let mut interval = tokio::time::interval(INTERVAL);
        loop {
            interval.tick().await;
            let _ = self.wake.try_send(());
        }
    }
}

/// Asks whenever it is woken, until it can no longer be.
async fn ask(
    store: Arc<dyn Store>,
    woken: Arc<Mutex<mpsc::Receiver<()>>>,
    known: watch::Sender<Known>,
) -> Result<(), String> {
    // Only one run at a time asks; the lock lets the queue outlive a run that panics.
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
