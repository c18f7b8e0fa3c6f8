//! Values that a store records, and whose changes tests wait for.

use std::time::Duration;

use tokio::sync::watch;

/// Maximum time to wait for an expected value.
const MAX_WAIT: Duration = Duration::from_mins(1);

/// A value that wakes the tests that wait for it when it changes.
pub(crate) struct Watched<T>(watch::Sender<T>);

impl<T> Watched<T> {
    pub(super) fn new(value: T) -> Self {
        Self(watch::Sender::new(value))
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut T)) {
        self.0.send_modify(change);
    }

    /// Waits until the value meets the condition.
    pub(crate) async fn until(&self, what: &str, holds: impl FnMut(&T) -> bool) {
        let mut values = self.0.subscribe();
        let wait = tokio::time::timeout(MAX_WAIT, values.wait_for(holds));
        assert!(wait.await.is_ok(), "never: {what}");
    }
}

impl<T: Clone> Watched<T> {
    pub(crate) fn get(&self) -> T {
        self.0.borrow().clone()
    }
}
