//! A store that counts its calls.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use dabba_store::{
    Store, StoreError,
    layer::{StoreCall, StoreLayer},
};

/// See the documentation of this module.
pub(crate) struct CountedStore {
    inner: Arc<dyn Store>,
    calls: AtomicU64,
}

impl CountedStore {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, calls: AtomicU64::new(0) }
    }

    /// Returns the number of calls that have begun.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl StoreLayer for CountedStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn before(&self, _call: StoreCall) -> Result<(), StoreError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
