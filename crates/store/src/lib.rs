//! The storage contract: what a store of Dabba promises, in types.
//!
//! A store keeps orders with their history ([`OrderStore`]), the work that waits ([`TaskStore`]),
//! restaurants with menus and stock ([`CatalogueStore`]), and accounts ([`AccountStore`]). Nothing
//! here names a database; nothing above here may notice which one is used.
//!
//! The promises that types cannot express are the [`conformance`] suite (feature `conformance`):
//! one function per property, and a macro that runs them all. A store that passes it is a store.
//! To add a property: a function in the suite and its name in the macro's list.

mod account;
mod catalogue;
mod commit;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod query;
mod task;

pub use account::{Account, AccountCreation, AccountStore};
pub use catalogue::{Catalogue, CatalogueStore, CatalogueUpdate, StockLevel};
pub use commit::{
    CatalogueGuard, Change, Claim, ClaimRecord, Commit, CommitOutcome, Fingerprint, IdempotencyKey,
    IdempotencyKeyError, StockChange, StockShortage,
};
pub use error::StoreError;
pub use query::{
    FeedCursor, FeedEntry, OrderCursor, OrderPage, OrderQuery, OrderScope, OrderStore, PageSize,
};
pub use task::{ClaimedTask, NewTask, TaskLease, TaskStore};

/// A whole store.
#[async_trait::async_trait]
pub trait Store: OrderStore + TaskStore + CatalogueStore + AccountStore {
    /// Whether the store answers, asked by a real question to it.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Finishes what was begun and lets go of all resources. Later calls answer
    /// [`StoreError::Unavailable`].
    async fn close(&self);
}
