//! Reads for all boards of a shard what has changed: each state once, whatever the number of boards.

use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};

use dabba_domain::{OrderId, RestaurantId, order::Order};
use dabba_engine::Error;
use dabba_store::{PageSize, StoreError};
use futures::{StreamExt as _, stream};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::{
    super::{
        Shared,
        follower::{PAUSES, READ_TIMEOUT},
        mailbox::EndReason,
    },
    kitchen::Kitchen,
    rooms::{Rooms, Unread},
};

/// Maximum number of restaurants of a shard that are read concurrently.
const KITCHENS_AT_ONCE: usize = 4;

/// Minimum time between two reads of the restaurants of a shard, so that frequent changes share a read.
const MIN_KITCHEN_INTERVAL: Duration = Duration::from_millis(100);

impl Shared {
    /// Reads for the boards of a shard. Never returns.
    pub(in crate::live) async fn read_boards(&self, rooms: &Rooms) -> Result<(), String> {
        // A restaurant that is read slowly does not delay the orders.
        tokio::select! {
            never = self.read_orders(rooms) => match never {},
            never = self.read_kitchens(rooms) => match never {},
        }
    }

    async fn read_orders(&self, rooms: &Rooms) -> Infallible {
        let mut failures = 0;
        loop {
            let unread = rooms.unread();
            if unread.is_empty() {
                rooms.orders_due.notified().await;
                continue;
            }
            let missing = self.deliver_recent(rooms, unread);
            let mut outcome = Ok(());
            for orders in missing.chunks(PageSize::MAX as usize) {
                outcome = outcome.and(self.deliver_from_store(rooms, orders).await);
            }
            let Err(error) = outcome else {
                failures = 0;
                continue;
            };
            failures += 1;
            tracing::debug!(%error, "changed orders cannot be read for boards");
            sleep(PAUSES.pause(failures, self.engine.random_u64())).await;
        }
    }

    /// Delivers the orders that this process has just written. Returns the others.
    fn deliver_recent(&self, rooms: &Rooms, unread: Vec<(OrderId, Unread)>) -> Vec<(OrderId, Unread)> {
        let is_missing =
            |(id, unread): &(OrderId, Unread)| match self.engine.orders.recent_order(*id, unread.version) {
                Some(order) => {
                    rooms.deliver(&order);
                    false
                }
                None => true,
            };
        unread.into_iter().filter(is_missing).collect()
    }

    /// Reads at most [`PageSize::MAX`] orders in one statement, and delivers them.
    async fn deliver_from_store(
        &self,
        rooms: &Rooms,
        unread: &[(OrderId, Unread)],
    ) -> Result<(), StoreError> {
        let ids: Vec<_> = unread.iter().map(|(id, _)| *id).collect();
        let mut found: HashMap<_, _> = match in_time(self.store.orders(&ids)).await {
            Ok(found) => found.into_iter().map(|order| (order.id, order)).collect(),
            Err(StoreError::Corrupt(_)) => self.readable(rooms, &ids).await?,
            Err(error) => return Err(error),
        };
        for (id, unread) in unread {
            match found.remove(id) {
                Some(order) if order.version >= unread.version => rooms.deliver(&Arc::new(order)),
                // The database has lost an event that was published: a standby that lacked it was promoted, or the
                // database was restored. Each board begins anew.
                _ => rooms.give_up(*id, Some(EndReason::Lagging)),
            }
        }
        Ok(())
    }

    /// Reads orders one by one, because one of them is damaged. Boards keep the state of a damaged order that they have.
    async fn readable(&self, rooms: &Rooms, ids: &[OrderId]) -> Result<HashMap<OrderId, Order>, StoreError> {
        let mut found = HashMap::new();
        for id in ids {
            match in_time(self.store.order(*id)).await {
                Ok(order) => found.extend(order.map(|order| (*id, order))),
                Err(error @ StoreError::Corrupt(_)) => {
                    tracing::warn!(order = %id, %error, "a damaged order is not updated on boards");
                    rooms.give_up(*id, None);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    async fn read_kitchens(&self, rooms: &Rooms) -> Infallible {
        let mut ticker = interval(self.config.heartbeat.max(MIN_KITCHEN_INTERVAL));
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = rooms.kitchens_due.notified() => {}
                // Other processes change the stock without a notification, and a catalogue that is no longer cached is
                // not polled.
                _ = ticker.tick() => rooms.all_kitchens_due(),
            }
            let due = stream::iter(rooms.take_due_kitchens());
            due.for_each_concurrent(KITCHENS_AT_ONCE, |id| self.deliver_kitchen(rooms, id)).await;
            sleep(MIN_KITCHEN_INTERVAL).await;
        }
    }

    async fn deliver_kitchen(&self, rooms: &Rooms, id: RestaurantId) {
        match Kitchen::read(&self.engine, &*self.store, id).await {
            Ok(kitchen) => rooms.deliver_kitchen(id, &Arc::new(kitchen)),
            // The next tick reads it again. Boards keep the state that they have.
            Err(error @ (Error::Unavailable | Error::WrittenByNewer)) => {
                tracing::debug!(restaurant = %id, %error, "a restaurant cannot be read for its boards");
            }
            Err(error) => {
                tracing::warn!(restaurant = %id, %error, "a restaurant cannot be read for its boards");
            }
        }
    }
}

async fn in_time<T>(reading: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(READ_TIMEOUT, reading)
        .await
        .unwrap_or_else(|_| Err(StoreError::Unavailable("the orders were not read in time".to_owned())))
}
