//! Notifications from a store about changes.

use dabba_domain::{RestaurantId, task::TaskQueue};

/// Notification of a recent change. [`crate::Store::hints`] states its guarantees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hint {
    /// A restaurant, its menu, or the set of its limited items changed.
    Catalogue(RestaurantId),
    /// Tasks of this queue may be due now.
    Tasks(TaskQueue),
    /// The feed of a shard has new events.
    Events {
        /// Index of the shard in the store that sends the hint.
        shard: usize,
    },
}
