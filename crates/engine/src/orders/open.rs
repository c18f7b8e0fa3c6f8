//! Maximum number of open orders per customer, so that a customer cannot block a restaurant's stock without paying.
//!
//! The limit is approximate and per server: each server counts, in memory, the orders that it has placed, so that
//! placing an order reads nothing. The committer counts an order when it is written, and stops counting it when it
//! ends. An order that another server has ended still counts here. So before a server refuses an order, it reads the
//! customer's counted orders, at most once every [`READ_INTERVAL`]. After a restart a server counts from zero.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dabba_domain::{AccountId, OrderId, Timestamp, order::Order};
use futures::future::join_all;
use hashlink::LruCache;
use jiff::SignedDuration;

use super::Orders;
use crate::{Conflict, Error};

/// Maximum number of customers whose open orders are counted. Beyond it, the customer who least recently placed, tried
/// to place, or ended an order is no longer counted.
const MAX_CUSTOMERS: usize = 50_000;
/// Age after which an order no longer counts. Without this limit, an order that nobody ends would block its customer
/// for ever.
const COUNTED_FOR: SignedDuration = SignedDuration::from_hours(24);
/// Minimum time between two reads of a customer's counted orders.
const READ_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// The number of open orders of each customer that this server has placed.
pub(crate) struct OpenOrders {
    limit: Option<NonZeroUsize>,
    customers: Mutex<LruCache<AccountId, Customer>>,
}

#[derive(Default)]
struct Customer {
    orders: Vec<OrderId>,
    /// Number of requests that are placing an order.
    placing: usize,
    read_at: Option<Timestamp>,
}

/// Effect of a written decision on the count.
pub(crate) enum OpenChange {
    Placed(AccountId, OrderId),
    Ended(AccountId, OrderId),
}

/// Error: the customer has reached the limit of open orders.
struct Full {
    open: usize,
    limit: usize,
    /// The orders to read before the customer is refused; `None` if they were read within [`READ_INTERVAL`].
    to_read: Option<Vec<OrderId>>,
}

impl OpenOrders {
    pub(crate) fn new(limit: Option<NonZeroUsize>) -> Self {
        Self { limit, customers: Mutex::new(LruCache::new(MAX_CUSTOMERS)) }
    }

    /// Returns how writing this order changes the count; `None` if the count does not change or is disabled.
    pub(crate) fn change(&self, order: &Order, is_new: bool) -> Option<OpenChange> {
        self.limit?;
        let customer = order.details.customer_id;
        if order.status.is_terminal() {
            return Some(OpenChange::Ended(customer, order.id));
        }
        is_new.then_some(OpenChange::Placed(customer, order.id))
    }

    /// Adds a placed order to the count, or removes an ended one.
    pub(crate) fn apply(&self, change: &OpenChange) {
        let mut customers = self.lock();
        match change {
            OpenChange::Placed(customer, order) => {
                customers.entry(*customer).or_insert_with(Customer::default).orders.push(*order);
            }
            OpenChange::Ended(customer, order) => {
                if let Some(counted) = customers.get_mut(customer) {
                    counted.orders.retain(|open| open != order);
                }
            }
        }
    }

    /// Reserves a place for one more order of a customer.
    fn reserve(self: &Arc<Self>, customer: AccountId, now: Timestamp) -> Result<Reservation, Full> {
        let Some(limit) = self.limit.map(NonZeroUsize::get) else { return Ok(Reservation(None)) };
        let mut customers = self.lock();
        let counted = customers.entry(customer).or_insert_with(Customer::default);
        if counted.orders.len() + counted.placing >= limit {
            counted.orders.retain(|order| now.duration_since(order.created_at()) < COUNTED_FOR);
        }
        let open = counted.orders.len() + counted.placing;
        if open < limit {
            counted.placing += 1;
            return Ok(Reservation(Some((Arc::clone(self), customer))));
        }
        let is_due = counted.read_at.is_none_or(|last| now.duration_since(last).abs() >= READ_INTERVAL);
        let to_read = is_due.then(|| {
            counted.read_at = Some(now);
            counted.orders.clone()
        });
        Err(Full { open, limit, to_read })
    }

    fn release(&self, customer: AccountId) {
        if let Some(counted) = self.lock().get_mut(&customer) {
            counted.placing = counted.placing.saturating_sub(1);
        }
    }

    /// The lock must not be held across an `await`.
    fn lock(&self) -> MutexGuard<'_, LruCache<AccountId, Customer>> {
        self.customers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reserved place for an order that is being placed. Dropping the reservation frees the place; by then a placed order
/// is counted itself.
#[must_use]
pub(super) struct Reservation(Option<(Arc<OpenOrders>, AccountId)>);

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some((orders, customer)) = &self.0 {
            orders.release(*customer);
        }
    }
}

impl Orders {
    /// Reserves a place for one more order of a customer. Refuses if the customer has too many open orders.
    pub(super) async fn reserve_order(&self, customer: AccountId) -> Result<Reservation, Error> {
        let full = match self.open.reserve(customer, self.clock.now()) {
            Ok(reservation) => return Ok(reservation),
            Err(full) => full,
        };
        let Some(to_read) = full.to_read else { return Err(too_many(full.open, full.limit)) };
        Box::pin(self.recount(customer, &to_read)).await;
        let reserved = self.open.reserve(customer, self.clock.now());
        reserved.map_err(|Full { open, limit, .. }| too_many(open, limit))
    }

    /// Removes the orders that have ended elsewhere from a customer's count. An order that cannot be read still counts.
    async fn recount(&self, customer: AccountId, orders: &[OrderId]) {
        let read = join_all(orders.iter().map(|id| self.store.order(*id))).await;
        for (id, order) in orders.iter().zip(read) {
            if order.is_ok_and(|order| order.is_none_or(|order| order.status.is_terminal())) {
                self.open.apply(&OpenChange::Ended(customer, *id));
            }
        }
    }
}

fn too_many(open: usize, limit: usize) -> Error {
    Conflict::TooManyOpenOrders { open, limit }.into()
}

#[cfg(test)]
mod tests {
    use dabba_domain::Bucket;

    use super::*;

    fn now() -> Timestamp {
        "2026-06-01T12:00:00Z".parse().unwrap()
    }

    fn order(at: Timestamp, random: u64) -> OrderId {
        OrderId::generate(at, Bucket::from_random(1), random << 2)
    }

    fn customer(random: u64) -> AccountId {
        AccountId::generate(now(), Bucket::from_random(1), random << 2)
    }

    /// Proves that requests in flight count, so that a burst does not exceed the limit, and that each customer has a
    /// separate count.
    #[test]
    fn orders_being_placed_count() {
        let open = Arc::new(OpenOrders::new(NonZeroUsize::new(2)));
        let (first, second) = (open.reserve(customer(1), now()), open.reserve(customer(1), now()));
        assert!(first.is_ok() && second.is_ok());
        let full = open.reserve(customer(1), now()).err().unwrap();
        assert_eq!((full.open, full.limit, full.to_read), (2, 2, Some(Vec::new())));
        assert!(open.reserve(customer(2), now()).is_ok());
        open.apply(&OpenChange::Placed(customer(1), order(now(), 1)));
        drop(first);
        assert!(open.reserve(customer(1), now()).is_err(), "the placed order counts");
        drop(second);
        assert!(open.reserve(customer(1), now()).is_ok());
    }

    /// Proves that an order counts until it ends, or for one day.
    #[test]
    fn an_order_counts_until_it_ends() {
        let open = Arc::new(OpenOrders::new(NonZeroUsize::new(1)));
        open.apply(&OpenChange::Placed(customer(1), order(now(), 1)));
        let full = open.reserve(customer(1), now()).err().unwrap();
        assert_eq!(full.to_read, Some(vec![order(now(), 1)]));
        let full = open.reserve(customer(1), now() + SignedDuration::from_secs(9)).err().unwrap();
        assert_eq!(full.to_read, None, "the orders were read less than READ_INTERVAL before");
        let almost = now() + COUNTED_FOR - SignedDuration::from_secs(1);
        assert!(open.reserve(customer(1), almost).is_err());
        assert!(open.reserve(customer(1), now() + COUNTED_FOR).is_ok());
        open.apply(&OpenChange::Placed(customer(1), order(now(), 2)));
        open.apply(&OpenChange::Ended(customer(1), order(now(), 2)));
        open.apply(&OpenChange::Ended(customer(1), order(now(), 2)));
        assert!(open.reserve(customer(1), now()).is_ok());
    }

    /// Proves that nothing is counted without a limit.
    #[test]
    fn without_a_limit_nothing_is_counted() {
        let open = Arc::new(OpenOrders::new(None));
        assert!(open.reserve(customer(1), now()).is_ok());
        assert_eq!(open.lock().len(), 0);
    }
}
