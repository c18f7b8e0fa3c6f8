//! Faults of calls, and gates at which calls wait.

use std::sync::Mutex;

use dabba_store::StoreError;
use tokio::sync::Semaphore;

/// Fault of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No fault: the call is executed.
    None,
    /// The store is unavailable: the call is not executed.
    Before,
    /// The call is executed, and its answer is lost.
    After,
    /// Every commit of a batch is answered with a version conflict. For batches only.
    Conflict,
    /// The store reports corrupt data.
    Damage,
    /// The call panics before it is executed.
    Panic,
}

type FaultPlan = Box<dyn FnMut() -> Fault + Send>;

/// Faults of one kind of call.
pub(crate) struct Faults(Mutex<FaultPlan>);

impl Faults {
    pub(super) fn none() -> Self {
        Self(Mutex::new(Box::new(|| Fault::None)))
    }

    /// Calls `plan` for the fault of each call from now on.
    pub(crate) fn plan(&self, plan: impl FnMut() -> Fault + Send + 'static) {
        *self.0.lock().unwrap() = Box::new(plan);
    }

    /// Injects this fault into the next call only.
    pub(crate) fn fail_once(&self, fault: Fault) {
        let mut next = Some(fault);
        self.plan(move || next.take().unwrap_or(Fault::None));
    }

    pub(super) fn next(&self) -> Fault {
        (self.0.lock().unwrap())()
    }

    /// Executes the next call with its fault.
    pub(super) async fn around<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        Self::apply(self.next(), call).await
    }

    pub(super) async fn apply<T>(
        fault: Fault,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let text = "injected by the test".to_owned();
        match fault {
            Fault::None | Fault::Conflict => call.await,
            Fault::Before => Err(StoreError::Unavailable(text)),
            Fault::After => {
                call.await?;
                Err(StoreError::OutcomeUnknown(text))
            }
            Fault::Damage => Err(StoreError::Corrupt(text)),
            Fault::Panic => std::panic::resume_unwind(Box::new(text)),
        }
    }
}

/// A gate at which calls wait while it is shut.
pub(crate) struct Gate {
    open: Semaphore,
    waiting: Semaphore,
}

impl Gate {
    pub(crate) const fn new() -> Self {
        Self { open: Semaphore::const_new(Semaphore::MAX_PERMITS), waiting: Semaphore::const_new(0) }
    }

    /// Makes calls wait until [`Gate::open`].
    pub(crate) fn shut(&self) {
        self.open.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn open(&self) {
        self.open.add_permits(Semaphore::MAX_PERMITS);
    }

    /// Waits until a call waits at the shut gate.
    pub(crate) async fn until_blocked(&self) {
        self.waiting.acquire().await.unwrap().forget();
    }

    pub(crate) async fn pass(&self) {
        if self.open.available_permits() == 0 {
            self.waiting.add_permits(1);
        }
        drop(self.open.acquire().await.unwrap());
    }
}
