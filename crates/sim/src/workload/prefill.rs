//! Prefills a store with orders that were delivered long ago, to measure a store as it is after years.
//!
//! The prefill writes through the store itself, with the whole history of each order and a few hundred orders
//! per transaction. The orders are small (one dish, collection) and have their own restaurants and customers.

use std::sync::{Arc, atomic::Ordering};

use dabba_domain::{
    AccountId, Actor, Bucket, OrderId, RestaurantId, Timestamp,
    menu::{Menu, MenuDocument},
    order::{Command, OrderDetails, OrderRequest, TERMS_VERSION, decide, place},
    pricing::price,
    restaurant::{RestaurantSettings, SettingsDocument},
};
use dabba_engine::Random;
use dabba_store::{Change, Commit, CommitOutcome, Store, StoreError};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::SignedDuration;
use serde_json::json;

use super::{OperationCount, prepare};

/// Maximum number of orders to write.
pub const MAX_PREFILL: u64 = 100_000_000;
/// Number of restaurants of the orders.
const RESTAURANTS: u64 = 1_000;
/// Number of customers of the orders.
const CUSTOMERS: u64 = 50_000;
/// Number of orders per transaction. All orders of a transaction have the same restaurant.
const BATCH: u64 = 500;
/// Number of concurrent transactions.
const WRITERS: usize = 2;
/// Age of the oldest order.
const PAST: SignedDuration = SignedDuration::from_hours(365 * 24);
/// Age of the newest order. It is long enough for the order to be delivered.
const PRESENT: SignedDuration = SignedDuration::from_hours(2);

/// The reason why a prefill failed.
#[derive(Debug, thiserror::Error)]
pub enum PrefillError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not commit an order.
    #[error("an order was not committed: {0:?}")]
    NotCommitted(CommitOutcome),
    /// The generated orders do not fit the generated menu: a defect.
    #[error("cannot create the orders: {0}")]
    Defect(String),
}

/// Writes this number of delivered orders. The newest is placed shortly before `now`.
pub async fn prefill(
    store: &Arc<dyn Store>,
    random: &dyn Random,
    orders: u64,
    now: Timestamp,
    progress: &OperationCount,
) -> Result<(), PrefillError> {
    let past = Past::new(random, orders, now)?;
    stream::iter(0..orders.div_ceil(BATCH))
        .map(Ok)
        .try_for_each_concurrent(WRITERS, |number| {
            let past = &past;
            async move {
                let commits = past.batch(number, random)?;
                let count = u64::try_from(commits.len()).map_err(defect)?;
                for outcome in store.commit(commits).await? {
                    if outcome != CommitOutcome::Committed {
                        return Err(PrefillError::NotCommitted(outcome));
                    }
                }
                progress.fetch_add(count, Ordering::Relaxed);
                Ok(())
            }
        })
        .await
}

fn defect(error: impl std::fmt::Display) -> PrefillError {
    PrefillError::Defect(error.to_string())
}

/// The data from which the orders are generated.
struct Past {
    settings: RestaurantSettings,
    menu: Menu,
    request: OrderRequest,
    restaurants: Vec<RestaurantId>,
    customers: Vec<AccountId>,
    orders: u64,
    begins: Timestamp,
    /// Time between two orders.
    step: SignedDuration,
}

impl Past {
    fn new(random: &dyn Random, orders: u64, now: Timestamp) -> Result<Self, PrefillError> {
        let settings: SettingsDocument =
            serde_json::from_value(prepare::settings("of the past")).map_err(defect)?;
        let menu: MenuDocument = serde_json::from_value(prepare::menu()).map_err(defect)?;
        let request = json!({
            "lines": [{"item": "dish-100", "quantity": 1}],
            "fulfilment": {"type": "collection"},
            "payment_method": "cash",
        });
        let begins = now.checked_sub(PAST).map_err(defect)?;
        let steps = i32::try_from(orders.max(1)).map_err(defect)?;
        let bucket = || Bucket::from_random(random.next_u64());
        Ok(Self {
            restaurants: (0..RESTAURANTS)
                .map(|_| RestaurantId::generate(begins, bucket(), random.next_u64()))
                .collect(),
            customers: (0..CUSTOMERS)
                .map(|_| AccountId::generate(begins, bucket(), random.next_u64()))
                .collect(),
            settings: settings.validate().map_err(defect)?,
            menu: menu.validate().map_err(defect)?,
            request: serde_json::from_value(request).map_err(defect)?,
            orders,
            begins,
            step: (PAST - PRESENT) / steps,
        })
    }

    /// Returns the orders of one transaction.
    fn batch(&self, number: u64, random: &dyn Random) -> Result<Vec<Commit>, PrefillError> {
        let restaurant_id = pick(&self.restaurants, number);
        let numbers = number * BATCH..((number + 1) * BATCH).min(self.orders);
        numbers.map(|number| self.order(restaurant_id, number, random)).collect()
    }

    /// Returns an order with its whole history.
    fn order(
        &self,
        restaurant_id: RestaurantId,
        number: u64,
        random: &dyn Random,
    ) -> Result<Commit, PrefillError> {
        let number_of_steps = i32::try_from(number).map_err(defect)?;
        let placed_at = self.begins.checked_add(self.step * number_of_steps).map_err(defect)?;
        let customer_id = pick(&self.customers, random.next_u64());
        let priced = price(&self.settings, &self.menu, self.request.cart()).map_err(defect)?;
        let details = OrderDetails {
            terms_version: TERMS_VERSION,
            restaurant_id,
            restaurant_name: self.settings.name.clone(),
            customer_id,
            lines: priced.lines,
            fees: priced.fees,
            taxes: priced.taxes,
            currency: self.settings.currency,
            amounts: priced.amounts,
            fulfilment: self.request.fulfilment.clone(),
            delivery_zone: None,
            contact: None,
            payment_method: self.request.payment_method,
            payment_deadline: None,
            note: None,
            menu_revision: 1,
            stock_drawn: Vec::new(),
        };
        let id = OrderId::generate(placed_at, restaurant_id.bucket(), random.next_u64());
        let mut decision = place(id, details, None, &self.settings, placed_at).map_err(defect)?;
        let kitchen = Actor::Restaurant { account_id: customer_id, restaurant_id };
        for (minutes, command) in [
            (2, Command::Accept { preparation_minutes: 15 }),
            (17, Command::MarkReady),
            (25, Command::deliver()),
        ] {
            let at = placed_at.checked_add(SignedDuration::from_mins(minutes)).map_err(defect)?;
            let next = decide(&decision.order, &command, &kitchen, &self.settings, at).map_err(defect)?;
            decision.order = next.order;
            decision.events.extend(next.events);
        }
        Ok(Commit {
            order_id: id,
            restaurant_id,
            at: decision.order.updated_at,
            expected_version: 0,
            change: Some(Change { order: decision.order, events: decision.events }),
            claim: None,
            catalogue: None,
            stock: Vec::new(),
            unavailable: Vec::new(),
            tasks: Vec::new(),
            completes: None,
        })
    }
}

fn pick<T: Copy>(of: &[T], number: u64) -> T {
    of[super::index_in(number, of.len())]
}
