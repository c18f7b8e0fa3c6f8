//! The layer around the store: it observes the calls and injects faults.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use async_trait::async_trait;
use dabba_domain::Timestamp;
use dabba_store::{
    Checkpoint, DueFailures, FeedLease, Store, StoreError, WebhookFailure,
    layer::{CallKind, StoreCall, StoreLayer},
};
use tokio::sync::Notify;

/// What the layer around the store observes, and the faults that it injects.
#[derive(Default)]
pub(crate) struct Probe {
    /// Number of calls of each method of the store.
    pub(crate) calls: Mutex<BTreeMap<&'static str, usize>>,
    traps: Mutex<Vec<Trap>>,
    /// Number of checkpoints that the store refused because the lease was lost.
    refused: AtomicUsize,
    /// Number of due failures in the first answer that had any.
    first_due: AtomicUsize,
    /// The store that has taken over.
    standby: OnceLock<Arc<dyn Store>>,
}

/// A fault in the next call of a method.
struct Trap {
    method: &'static str,
    moment: Moment,
    fault: Fault,
    /// Notified when the call arrives.
    sprung: Arc<Notify>,
}

/// When a fault happens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before the store executes the call.
    Before,
    /// After the store has executed the call, before the response.
    After,
}

/// A fault.
#[derive(Clone)]
pub(crate) enum Fault {
    /// The call fails.
    Fails,
    /// The call waits until it is released.
    Waits(Arc<Notify>),
    /// The call takes this time.
    Slow(Duration),
}

impl Probe {
    /// Injects a fault into the next call of a method. The result is notified when the call arrives.
    pub(crate) fn trap(&self, method: &'static str, moment: Moment, fault: Fault) -> Arc<Notify> {
        let sprung = Arc::<Notify>::default();
        let trap = Trap { method, moment, fault, sprung: Arc::clone(&sprung) };
        self.traps.lock().unwrap().push(trap);
        sprung
    }

    /// Removes all faults that have not happened.
    pub(crate) fn clear(&self) {
        self.traps.lock().unwrap().clear();
    }

    /// Lets a standby take over: all further calls go to it.
    pub(crate) fn fail_over(&self, standby: Arc<dyn Store>) {
        assert!(self.standby.set(standby).is_ok(), "a standby has taken over before");
    }

    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    pub(crate) fn first_due(&self) -> usize {
        self.first_due.load(Ordering::Relaxed)
    }

    /// Returns the number of calls of all methods.
    pub(crate) fn all_calls(&self) -> usize {
        self.calls.lock().unwrap().values().sum()
    }

    async fn spring(&self, method: &str, moment: Moment) -> Result<(), StoreError> {
        let trap = {
            let mut traps = self.traps.lock().unwrap();
            let place = traps.iter().position(|trap| trap.method == method && trap.moment == moment);
            place.map(|place| traps.remove(place))
        };
        let Some(trap) = trap else { return Ok(()) };
        trap.sprung.notify_one();
        match trap.fault {
            Fault::Waits(released) => {
                released.notified().await;
                Ok(())
            }
            Fault::Slow(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Fault::Fails if moment == Moment::Before => {
                Err(StoreError::Unavailable("a planted fault".into()))
            }
            Fault::Fails => Err(StoreError::OutcomeUnknown("a planted fault".into())),
        }
    }
}

/// Keeps the virtual time still during calls of the store, which runs on threads of its own, and observes them.
pub(crate) struct Still(pub(crate) Arc<dyn Store>, pub(crate) Arc<Probe>);

#[async_trait]
impl StoreLayer for Still {
    fn inner(&self) -> &dyn Store {
        &**self.1.standby.get().unwrap_or(&self.0)
    }

    async fn checkpoint_feed(
        &self,
        shard: usize,
        lease: &FeedLease,
        checkpoint: &Checkpoint,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let call = StoreCall { kind: CallKind::Other, method: "checkpoint_feed" };
        let written =
            self.around(call, self.inner().checkpoint_feed(shard, lease, checkpoint, now, until)).await?;
        self.1.refused.fetch_add(usize::from(!written), Ordering::Relaxed);
        Ok(written)
    }

    async fn due_webhook_failures(
        &self,
        shard: usize,
        lease: &FeedLease,
        due: &DueFailures,
        now: Timestamp,
    ) -> Result<Option<Vec<WebhookFailure>>, StoreError> {
        let call = StoreCall { kind: CallKind::Other, method: "due_webhook_failures" };
        let found = self.around(call, self.inner().due_webhook_failures(shard, lease, due, now)).await?;
        let count = found.as_ref().map_or(0, Vec::len);
        let _ = self.1.first_due.compare_exchange(0, count, Ordering::Relaxed, Ordering::Relaxed);
        Ok(found)
    }

    async fn around<T, F>(&self, call: StoreCall, made: F) -> Result<T, StoreError>
    where
        T: Send,
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        *self.1.calls.lock().unwrap().entry(call.method).or_default() += 1;
        self.1.spring(call.method, Moment::Before).await?;
        let (end, ended) = mpsc::channel::<()>();
        // Tokio does not advance the time while a blocking task runs. The task ends when `end` is dropped.
        let _blocking = tokio::task::spawn_blocking(move || ended.recv());
        let answer = made.await;
        drop(end);
        let answer = answer?;
        self.1.spring(call.method, Moment::After).await?;
        Ok(answer)
    }
}
