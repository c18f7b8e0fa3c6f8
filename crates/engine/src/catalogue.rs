//! Catalogues: restaurants with their settings, menus, availability and stock.

mod cache;
mod registering;
mod restaurants;
mod search;
mod signals;
mod stock;
mod unattended;
mod watch;

use std::{sync::Arc, time::Duration};

use dabba_store::{Store, Supervisor};
use jiff::SignedDuration;

pub(crate) use cache::CatalogueCache;
pub use cache::CatalogueEntry;
pub use registering::RestaurantAnswer;
pub use restaurants::{Conditional, ExpectedMenu};
pub(crate) use search::RestaurantIndex;
pub use search::{
    DEFAULT_REACH_METRES, FoundRestaurant, MAX_INDEXED_POSITIONS, MAX_INDEXED_RESTAURANTS, RestaurantSearch,
    SearchPage, SearchPosition,
};
pub use signals::{CatalogueListener, CatalogueSubscription};
pub use stock::{StockAdjustment, StockAnswer};

use crate::{Clock, CommitSignals, EngineMetrics, Random, accounts::Accounts, work::WorkerSignals};

/// Use cases of restaurants, their menus and their stock.
pub struct Catalogues {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) metrics: Arc<EngineMetrics>,
    pub(crate) supervisor: Arc<Supervisor>,
    pub(crate) catalogue_cache: Arc<CatalogueCache>,
    pub(crate) accounts: Arc<Accounts>,
    /// Receives the hints of the store that tasks are due.
    pub(crate) signals: Arc<WorkerSignals>,
    /// Receives the hints of the store that other processes have written events.
    pub(crate) commit_signals: Arc<CommitSignals>,
    /// Maximum number of attempts of a change whose catalogue changes before the write.
    pub(crate) max_attempts: u32,
    /// Time after which an unattended restaurant is paused; `None`: never.
    pub(crate) unattended_pause: Option<SignedDuration>,
    /// Interval at which the revisions of the cached catalogues are polled.
    pub(crate) poll_interval: Duration,
    /// Interval at which the index of restaurants is compared with the store.
    pub(crate) sweep_interval: Duration,
}
