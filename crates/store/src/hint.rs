//! What a store may tell unasked.

use dabba_domain::{RestaurantId, order::TaskQueue};

/// Something has just changed. See [`crate::Store::hints`] for what that is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hint {
    /// A restaurant, its menu, or which of its items are limited.
    Catalogue(RestaurantId),
    /// There may be tasks of this queue to do at once.
    Tasks(TaskQueue),
}
