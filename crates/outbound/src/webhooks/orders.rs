//! The whole orders in deliveries with the payload `order`: each event carries the order after it.
//!
//! The order after an event follows from the order's history alone, so a delivery that is late or repeated contains the
//! same state. A session keeps the latest states: an event that directly follows a kept state, and the first event of
//! an order, need no read. Any other delivery reads the missing part of each order's history once.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use dabba_domain::{
    Actor, OrderId,
    order::{Order, RecordedEvent, Version, evolve},
};
use dabba_store::{FeedEvent, Store, StoreError, panicked};
use futures::{FutureExt as _, future::try_join_all};
use serde_json::value::RawValue;
use tokio::{sync::Semaphore, time::timeout};

use super::{
    limits::{MAX_BATCH_BYTES, MAX_HISTORY_READS, MAX_ORDER_STATES, ORDERS_TIMEOUT, STORE_TIMEOUT},
    target::size_of_event,
};

/// Represents orders for the owners of endpoints.
#[async_trait]
pub trait OrderRenderer: Send + Sync {
    /// Returns the JSON of an order at its version, with what `viewer` may see. The error is a text for the owner of
    /// the endpoint.
    async fn render(&self, order: &Order, viewer: &Actor) -> Result<Box<RawValue>, String>;
}

/// The events of a delivery that belong to one order, by version.
type Wanted<'a> = BTreeMap<Version, &'a FeedEvent>;

/// States of orders, by order and version.
type States = BTreeMap<(OrderId, Version), Arc<Order>>;

/// The states of orders, for the deliveries of a session.
pub(super) struct OrderStates {
    store: Arc<dyn Store>,
    kept: Mutex<Kept>,
    reads: Semaphore,
}

/// The latest states. At most [`MAX_ORDER_STATES`].
#[derive(Default)]
struct Kept {
    states: States,
    /// The keys of the states, oldest first.
    ages: VecDeque<(OrderId, Version)>,
}

impl Kept {
    fn insert(&mut self, state: &Arc<Order>) {
        let key = (state.id, state.version);
        if self.states.insert(key, Arc::clone(state)).is_some() {
            return;
        }
        self.ages.push_back(key);
        if self.ages.len() > MAX_ORDER_STATES
            && let Some(oldest) = self.ages.pop_front()
        {
            self.states.remove(&oldest);
        }
    }

    /// Returns the latest state of an order up to a version.
    fn nearest(&self, order: OrderId, version: Version) -> Option<Arc<Order>> {
        self.states.range((order, 0)..=(order, version)).next_back().map(|(_, state)| Arc::clone(state))
    }
}

impl OrderStates {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, kept: Mutex::default(), reads: Semaphore::new(MAX_HISTORY_READS) }
    }

    /// Returns the JSON of the order after each of the first events, as many as fit in [`MAX_BATCH_BYTES`] with their
    /// orders, at least one; or why an order cannot be represented: a text for the owner of the endpoint. Never panics,
    /// and ends within [`ORDERS_TIMEOUT`].
    pub(super) async fn rendered(
        &self,
        renderer: &dyn OrderRenderer,
        viewer: &Actor,
        events: &[Arc<FeedEvent>],
    ) -> Result<Vec<Box<RawValue>>, String> {
        let rendering = AssertUnwindSafe(self.render_all(renderer, viewer, events)).catch_unwind();
        match timeout(ORDERS_TIMEOUT, rendering).await {
            Ok(Ok(rendered)) => rendered,
            Ok(Err(panic)) => {
                tracing::error!(
                    panic = panicked(&*panic),
                    "the representation of an order for a webhook panicked"
                );
                Err("the order could not be represented because of an error in the server".to_owned())
            }
            Err(_) => Err("the order could not be read in time".to_owned()),
        }
    }

    async fn render_all(
        &self,
        renderer: &dyn OrderRenderer,
        viewer: &Actor,
        events: &[Arc<FeedEvent>],
    ) -> Result<Vec<Box<RawValue>>, String> {
        let mut wanted = BTreeMap::<OrderId, Wanted<'_>>::new();
        for event in events {
            wanted.entry(event.order_id).or_default().insert(event.version, event);
        }
        let reads = wanted.iter().map(|(order, events)| self.after(*order, events));
        let states: States = try_join_all(reads).await?.into_iter().flatten().collect();
        let (mut rendered, mut bytes) = (Vec::with_capacity(events.len()), 0_usize);
        for event in events {
            let (order, version) = (event.order_id, event.version);
            let state = states.get(&(order, version)).ok_or_else(|| damaged(order, version))?;
            let json = renderer.render(state, viewer).await;
            let json = json.map_err(|error| unsendable(order, version, &error))?;
            bytes += size_of_event(event) + json.get().len();
            if bytes > MAX_BATCH_BYTES && !rendered.is_empty() {
                break;
            }
            rendered.push(json);
        }
        Ok(rendered)
    }

    /// Returns the state of an order after each of these events. Reads its history at most once.
    async fn after(&self, order: OrderId, wanted: &Wanted<'_>) -> Result<States, String> {
        let bounds = wanted.first_key_value().zip(wanted.last_key_value());
        let Some(((first, _), (last, event))) = bounds else { return Ok(States::new()) };
        if event.is_newer {
            return Err(of_newer(order, *last));
        }
        let nearest = self.kept.lock().unwrap_or_else(PoisonError::into_inner).nearest(order, *first);
        let is_wanted = |state: &&Arc<Order>| wanted.contains_key(&state.version);
        let mut states: States = nearest
            .iter()
            .filter(is_wanted)
            .map(|state| ((order, state.version), Arc::clone(state)))
            .collect();
        let from = nearest.as_ref().map_or(0, |state| state.version);
        let mut state = nearest.map(Arc::unwrap_or_clone);
        for recorded in self.events(order, from, *last, wanted).await? {
            let next = evolve(state.take(), &recorded).map_err(|error| {
                tracing::error!(%order, %error, "the history of an order is damaged: run dabba audit");
                damaged(order, *last)
            })?;
            if next.is_written_by_newer {
                return Err(of_newer(order, recorded.version));
            }
            if wanted.contains_key(&next.version) {
                states.insert((order, next.version), Arc::new(next.clone()));
            }
            state = Some(next);
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for state in states.values() {
            kept.insert(state);
        }
        Ok(states)
    }

    /// Returns the events of an order after version `from` up to `last`: without a read, if all of them are wanted.
    async fn events(
        &self,
        order: OrderId,
        from: Version,
        last: Version,
        wanted: &Wanted<'_>,
    ) -> Result<Vec<RecordedEvent>, String> {
        let missing = last.saturating_sub(from);
        let following: Vec<&FeedEvent> =
            wanted.iter().filter(|(version, _)| **version > from).map(|(_, event)| *event).collect();
        let read = if following.len() == missing as usize {
            following.into_iter().map(FeedEvent::decode).collect()
        } else {
            self.read(order, from, missing).await
        };
        read.map_err(|error| {
            tracing::warn!(%order, %error, "the history of an order cannot be read for a webhook");
            match error {
                StoreError::WrittenByNewer(_) => of_newer(order, last),
                StoreError::Corrupt(_) => damaged(order, last),
                _ => unsendable(order, last, "its history cannot be read now"),
            }
        })
    }

    async fn read(
        &self,
        order: OrderId,
        from: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let closed = |_| StoreError::Unavailable("the sender of webhooks stops".into());
        let _permit = self.reads.acquire().await.map_err(closed)?;
        let late = |_| StoreError::Unavailable("it did not return the history of an order in time".into());
        timeout(STORE_TIMEOUT, self.store.public_events(order, from, limit)).await.map_err(late)?
    }
}

fn unsendable(order: OrderId, version: Version, reason: &str) -> String {
    format!("the order {order} cannot be sent at version {version}: {reason}")
}

fn damaged(order: OrderId, version: Version) -> String {
    unsendable(order, version, "its history is damaged; report this to the operator of the server")
}

fn of_newer(order: OrderId, version: Version) -> String {
    unsendable(order, version, "a newer version of Dabba wrote to it; the operator must upgrade this server")
}

#[cfg(test)]
mod tests {
    use dabba_domain::Timestamp;
    use dabba_store::{
        FeedPosition, FeedStore as _, OrderStore as _,
        conformance::builders::{World, order_of},
    };
    use dabba_store_sqlite::{SqliteOptions, SqliteStore};

    use super::*;

    /// Represents an order by its version.
    struct Versions;

    #[async_trait]
    impl OrderRenderer for Versions {
        async fn render(&self, order: &Order, _viewer: &Actor) -> Result<Box<RawValue>, String> {
            Ok(RawValue::from_string(order.version.to_string()).unwrap())
        }
    }

    /// Proves that an order to which a newer version wrote, a damaged event and an incomplete history are refused with
    /// a text that names the order and the cause, and that an event of another order is not.
    #[tokio::test]
    async fn an_order_that_cannot_be_replayed_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dabba.db");
        SqliteStore::migrate(&path).unwrap();
        let store = SqliteStore::open(&path, &SqliteOptions::default()).unwrap();
        let mut world = World::new(2);
        let (restaurant, account) = (world.restaurant_id(), world.account_id());
        store.commit(vec![world.place(restaurant, account)]).await.unwrap();
        let page = store.feed(0, FeedPosition::START, 10).await.unwrap();
        let [placed, confirmed] = &page.events[..] else { panic!("{page:?}") };
        let states = OrderStates::new(Arc::new(store));
        let render = async |event: FeedEvent| {
            let rendered = states.rendered(&Versions, &Actor::System, &[Arc::new(event)]).await;
            rendered.map(|orders| orders[0].get().to_owned())
        };
        let newer = FeedEvent { is_newer: true, ..confirmed.clone() };
        let damaged = FeedEvent { data: Some("{".into()), ..placed.clone() };
        let missing = FeedEvent { version: 5, ..confirmed.clone() };
        for (event, cause) in [(newer, "newer version"), (damaged, "is damaged"), (missing, "is damaged")] {
            let (order, version) = (event.order_id, event.version);
            let error = render(event).await.unwrap_err();
            assert!(error.contains(cause), "{error}");
            assert!(
                error.starts_with(&format!("the order {order} cannot be sent at version {version}")),
                "{error}"
            );
        }
        assert_eq!(render(confirmed.clone()).await, Ok("2".to_owned()));
        assert_eq!(render(placed.clone()).await, Ok("1".to_owned()));
    }

    /// Proves that the number of kept states is limited, that the oldest state leaves first, and that a state of a
    /// later version or of another order is not the nearest one.
    #[test]
    fn kept_states_are_limited() {
        let mut world = World::new(1);
        let (restaurant, account) = (world.restaurant_id(), world.account_id());
        let [first, other] = [(); 2].map(|()| order_of(&world.place(restaurant, account)));
        let at = |version| Arc::new(Order { version, updated_at: Timestamp::UNIX_EPOCH, ..first.clone() });
        let mut kept = Kept::default();
        kept.insert(&Arc::new(other.clone()));
        for version in 3..=u32::try_from(MAX_ORDER_STATES).unwrap() + 2 {
            kept.insert(&at(version));
            kept.insert(&at(version));
        }
        assert_eq!((kept.states.len(), kept.ages.len()), (MAX_ORDER_STATES, MAX_ORDER_STATES));
        assert_eq!(kept.nearest(other.id, 9), None);
        assert_eq!(kept.nearest(first.id, 2), None);
        assert_eq!(kept.nearest(first.id, 7).map(|order| order.version), Some(7));
        kept.insert(&at(9_999));
        assert_eq!(kept.nearest(first.id, 3), None);
    }
}
