//! A store whose writes of boards fail, wait and are counted.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use async_trait::async_trait;
use dabba_domain::{RestaurantId, Timestamp};
use dabba_store::{
    ConnectedBoard, Store, StoreError,
    layer::{CallKind, StoreCall, StoreLayer},
};
use tokio::sync::Notify;

use crate::faulty::Fault;

/// A store whose writes of boards fail on request, and are counted.
pub(super) struct BoardsLayer {
    inner: Arc<dyn Store>,
    fault: Mutex<Fault>,
    /// Number of boards that were recorded.
    pub(super) recorded: AtomicU64,
    /// Whether reads of the attendance get no answer.
    pub(super) is_silent: AtomicBool,
    /// Number of checks of unattended restaurants.
    pub(super) checked: AtomicU64,
    /// Whether writes of connected boards wait for `released`, and notify `held` before.
    pub(super) holds: AtomicBool,
    pub(super) held: Notify,
    pub(super) released: Notify,
}

impl BoardsLayer {
    pub(super) fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            fault: Mutex::new(Fault::None),
            recorded: AtomicU64::new(0),
            is_silent: AtomicBool::new(false),
            checked: AtomicU64::new(0),
            holds: AtomicBool::new(false),
            held: Notify::new(),
            released: Notify::new(),
        })
    }

    /// Makes the next write fail.
    pub(super) fn fail(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    fn fail_at(&self, call: StoreCall, fault: Fault) -> Result<(), StoreError> {
        let mut next = self.fault.lock().unwrap();
        if *next == fault && ["record_boards", "disconnect_boards"].contains(&call.method) {
            *next = Fault::None;
            return Err(StoreError::Unavailable("injected by the test".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl StoreLayer for BoardsLayer {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn before(&self, call: StoreCall) -> Result<(), StoreError> {
        if call.method == "attendance" && self.is_silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if call.method == "check_boards" {
            self.checked.fetch_add(1, Ordering::SeqCst);
        }
        if call.method == "record_boards" && self.holds.load(Ordering::SeqCst) {
            self.held.notify_one();
            self.released.notified().await;
        }
        self.fail_at(call, Fault::Before)
    }

    async fn after(&self, call: StoreCall) -> Result<(), StoreError> {
        self.fail_at(call, Fault::After)
    }

    async fn record_boards(
        &self,
        boards: &[ConnectedBoard],
        now: Timestamp,
    ) -> Result<Vec<RestaurantId>, StoreError> {
        self.recorded.fetch_add(boards.len() as u64, Ordering::SeqCst);
        let call = StoreCall { kind: CallKind::Other, method: "record_boards" };
        self.around(call, self.inner.record_boards(boards, now)).await
    }
}
