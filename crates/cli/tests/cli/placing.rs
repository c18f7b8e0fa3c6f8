//! Customers who place orders and retry each one under its own key until it is acknowledged, while the server may be
//! killed or stopped.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use dabba_domain::{Timestamp, order::fold};
use dabba_sim::{AuditOptions, Client, audit};
use dabba_store::{OrderQuery, OrderScope, PageSize, Store};
use dabba_testkit::PATIENCE;
use serde_json::Value;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

/// Pause of a customer before a retry, so that a server that starts gets the processor.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Maximum number of events of a new order, with a margin.
const MAX_EVENTS: u32 = 100;

/// Running customers.
pub(crate) struct Placing {
    stop: Arc<AtomicBool>,
    progress: Arc<Progress>,
    customers: JoinSet<BTreeMap<String, String>>,
}

/// Progress of all customers of a restaurant.
struct Progress {
    acknowledged: watch::Sender<u64>,
    /// Time of the latest acknowledgement, and the longest time between two of them.
    pauses: Mutex<(Instant, Duration)>,
}

impl Progress {
    fn acknowledge(&self) {
        let now = Instant::now();
        {
            let (latest, longest) = &mut *self.pauses.lock().unwrap();
            *longest = now.duration_since(*latest).max(*longest);
            *latest = now;
        }
        self.acknowledged.send_modify(|orders| *orders += 1);
    }
}

impl Placing {
    /// Starts this many customers, named in their keys, who place this order at these restaurants in turn.
    pub(crate) fn start(
        name: &str,
        customers: usize,
        client: &Client,
        restaurants: &[String],
        order: &Value,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let pauses = Mutex::new((Instant::now(), Duration::ZERO));
        let progress = Arc::new(Progress { acknowledged: watch::Sender::new(0), pauses });
        let mut running = JoinSet::new();
        for customer in 0..customers {
            let (stop, progress) = (Arc::clone(&stop), Arc::clone(&progress));
            let (client, order, name) = (client.clone(), order.clone(), name.to_owned());
            let restaurants = restaurants.to_vec();
            running.spawn(async move {
                let mut orders = BTreeMap::new();
                for number in 0_usize.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let restaurant = &restaurants[(customer + number) % restaurants.len()];
                    let path = format!("/v1/restaurants/{restaurant}/orders");
                    let key = format!("{name}-{customer}-{number}");
                    if let Some(id) = place(&client, &path, &key, &order, &stop).await {
                        progress.acknowledge();
                        orders.insert(key, id);
                    }
                }
                orders
            });
        }
        Self { stop, progress, customers: running }
    }

    /// Waits until this many more orders are acknowledged.
    pub(crate) async fn wait_for(&self, more: u64) {
        let mut acknowledged = self.progress.acknowledged.subscribe();
        let until = *acknowledged.borrow() + more;
        let wait = timeout(PATIENCE, acknowledged.wait_for(|orders| *orders >= until));
        assert!(wait.await.is_ok(), "no further orders are acknowledged");
    }

    /// Returns the longest time in which no order was acknowledged.
    pub(crate) fn longest_pause(&self) -> Duration {
        self.progress.pauses.lock().unwrap().1
    }

    /// Stops the customers. Returns the acknowledged orders by key.
    pub(crate) async fn finish(self) -> BTreeMap<String, String> {
        self.stop.store(true, Ordering::Relaxed);
        self.customers.join_all().await.into_iter().flatten().collect()
    }
}

/// Places an order under a key until it is acknowledged or the customer is stopped. Panics on a refusal for another
/// reason than an unavailable server.
async fn place(client: &Client, path: &str, key: &str, order: &Value, stop: &AtomicBool) -> Option<String> {
    while !stop.load(Ordering::Relaxed) {
        match client.post(path).idempotency_key(key).json(order).send().await {
            Ok(answer) => return Some(answer.body["id"].as_str().unwrap().to_owned()),
            Err(error) => {
                let is_passing = error.problem().is_none_or(|problem| problem.status == 503);
                assert!(is_passing, "{key}: {error}");
                sleep(RETRY_PAUSE).await;
            }
        }
    }
    None
}

/// Proves that every order in a store is complete: its events are numbered without a gap and produce its state, and the
/// audit finds nothing. Returns the ids of the orders.
pub(crate) async fn whole_orders(store: &dyn Store) -> Vec<String> {
    let report = audit(store, None, &AuditOptions::new(Timestamp::MIN)).await.unwrap();
    assert!(report.is_clean(), "{report}");
    let mut query =
        OrderQuery { scope: OrderScope::All, statuses: Vec::new(), after: None, limit: PageSize::DEFAULT };
    let mut ids = Vec::new();
    loop {
        let page = store.list_orders(&query).await.unwrap();
        assert!(!page.incomplete);
        for order in page.orders {
            let events = store.events(order.id, 0, MAX_EVENTS).await.unwrap();
            assert_eq!(fold(&events).unwrap().as_ref(), Some(&order));
            ids.push(order.id.to_string());
        }
        if page.next.is_none() {
            assert_eq!(report.orders, ids.len() as u64);
            return ids;
        }
        query.after = page.next;
    }
}
