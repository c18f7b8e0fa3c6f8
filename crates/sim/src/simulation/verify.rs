//! The checks after the end of a simulation, and its report.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use dabba_domain::{
    OrderId, RestaurantId,
    order::{Event, Order, OrderStatus, PaymentMethod, RefundStatus, StockDraw, Version},
};
use dabba_gateways::simulated::Provider;
use dabba_store::{OrderQuery, OrderScope, PageSize};
use jiff::SignedDuration;

use super::{
    Simulation, SimulationError, SimulationReport,
    coverage::Mark,
    problem::Problem,
    world::{LIMITED, State, World},
};
use crate::audit::{AuditOptions, GatewayLedger, GatewaySummary, audit};

impl Simulation {
    /// Verifies the final state.
    pub(super) async fn verify(mut self) -> Result<SimulationReport, SimulationError> {
        let orders = self.world.all_orders().await.map_err(|problem| self.error([problem]))?;
        let State { placed, acknowledged, ends_for_items, mut problems, .. } =
            std::mem::take(&mut *self.world.state());
        let known: HashSet<OrderId> = placed.values().copied().collect();
        let strangers = orders.iter().filter(|order| !known.contains(&order.id));
        problems.extend(strangers.map(|order| {
            Problem::violating("I1", format!("order {} was not placed with a known key", order.id))
        }));
        if known.len() != placed.len() {
            problems.push(Problem::violating("I1", "two keys placed the same order".to_owned()));
        }
        problems.extend(lost_versions(&orders, &acknowledged));
        problems.extend(self.audit().await);
        problems.extend(self.check_stock(&orders).await);
        problems.extend(self.check_deliveries().await);
        if !problems.is_empty() {
            return Err(SimulationError::new(self.options.seed, problems));
        }
        let event_hash = self.hash_events(&orders).await.map_err(|problem| self.error([problem]))?;
        self.count_orders(&orders);
        let (chaos, report) = (&self.world.chaos, &mut self.report);
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let counts = &chaos.counts;
        (report.failures, report.deaths) = (read(&counts.failures), read(&counts.deaths));
        (report.hangs, report.restarts) = (read(&counts.hangs), read(&counts.restarts));
        (report.batches, report.shared_batches) = (read(&counts.batches), read(&counts.shared_batches));
        report.ends_for_items = ends_for_items;
        report.simulated_seconds = i64::try_from(self.world.site.clock.elapsed().as_secs()).unwrap_or(0);
        report.digest = digest(&orders);
        report.event_hash = event_hash;
        report.call_hash = chaos.call_hash();
        (report.deliveries, report.delivery_hash) = self.world.site.receivers.summary();
        for (mark, times) in [
            (Mark::EndedForItems, ends_for_items),
            (Mark::RefundReversed, report.reversed_refunds),
            (Mark::RefundOfEndedReversed, report.reversed_refunds_of_ended_orders),
            (Mark::ExternalRefund, report.external_refunds),
            (Mark::OtherAmount, report.other_amounts),
            (Mark::NothingToPay, report.of_nothing),
        ] {
            chaos.coverage.pass_times(mark, times);
        }
        report.marks = chaos.coverage.counts();
        Ok(self.report)
    }

    /// Counts the orders by their ends.
    fn count_orders(&mut self, orders: &[Order]) {
        let (provider, report) = (&self.world.site.provider, &mut self.report);
        let count =
            |is_so: &dyn Fn(&Order) -> bool| orders.iter().filter(|order| is_so(order)).count() as u64;
        let is_delivered = |order: &Order| order.status == OrderStatus::Delivered;
        report.orders = orders.len() as u64;
        report.events = orders.iter().map(|order| u64::from(order.version)).sum();
        report.delivered = count(&is_delivered);
        let reversed = |order: &Order| {
            let refunds = order.refunds.iter().filter(|state| state.status == RefundStatus::Reversed);
            refunds.count() as u64
        };
        let (ended, others): (Vec<_>, Vec<_>) = orders.iter().partition(|order| order.closure.is_some());
        report.reversed_refunds = others.into_iter().map(reversed).sum();
        report.reversed_refunds_of_ended_orders = ended.into_iter().map(reversed).sum();
        let external = |order: &Order| {
            order.refunds.iter().filter(|state| state.refund.external.is_some()).count() as u64
        };
        report.external_refunds = orders.iter().map(external).sum();
        report.other_amounts = count(&|order| {
            let (done, total) = (provider.summary(order.id), order.details.amounts.total.minor());
            [done.authorized, done.captured].into_iter().any(|moved| moved != 0 && moved != total)
        });
        report.of_nothing = count(&|order| {
            let details = &order.details;
            let is_by_card = details.payment_method == PaymentMethod::Card;
            is_by_card && details.amounts.total.is_zero() && is_delivered(order)
        });
    }

    /// Returns a hash of all events of the orders, and counts the orders that expired.
    async fn hash_events(&self, orders: &[Order]) -> Result<u64, String> {
        let mut hasher = DefaultHasher::new();
        for order in orders {
            let events = self.world.store.events(order.id, 0, order.version).await;
            for event in &events.map_err(|error| error.to_string())? {
                if matches!(event.event, Event::Expired { .. }) {
                    self.world.chaos.coverage.pass(Mark::Expired);
                }
                serde_json::to_string(event).map_err(|error| error.to_string())?.hash(&mut hasher);
            }
        }
        Ok(hasher.finish())
    }

    pub(super) async fn audit(&self) -> Vec<Problem> {
        let ledger = ProviderLedger(Arc::clone(&self.world.site.provider));
        // All orders are settled, so every difference between an order and the provider is a problem.
        let now = self.world.now();
        let options = AuditOptions { payment_open_after: SignedDuration::ZERO, ..AuditOptions::new(now) };
        let mut problems: Vec<Problem> = match audit(&*self.world.store, Some(&ledger), &options).await {
            Ok(report) => report.findings.iter().map(Problem::from).collect(),
            Err(error) => vec![error.to_string().into()],
        };
        // The auditor does not sort its findings.
        problems.sort_unstable_by(|one, other| one.text.cmp(&other.text));
        problems
    }

    /// Verifies that the stock of the limited item is the initial stock minus the sold items plus the
    /// returned items.
    async fn check_stock(&self, orders: &[Order]) -> Vec<Problem> {
        let mut sold: BTreeMap<RestaurantId, i64> = BTreeMap::new();
        for order in orders {
            let events = match self.world.store.events(order.id, 0, order.version).await {
                Ok(events) => events,
                Err(error) => return vec![error.to_string().into()],
            };
            let drawn = &order.details.stock_drawn;
            let came_back = events.iter().flat_map(|recorded| recorded.event.returned_stock(drawn));
            let count = |draw: &StockDraw| i64::from(draw.quantity);
            *sold.entry(order.details.restaurant_id).or_default() +=
                drawn.iter().map(count).sum::<i64>() - came_back.map(count).sum::<i64>();
        }
        let mut problems = Vec::new();
        for place in &self.world.places {
            let levels = self.world.store.stock(place.id).await.unwrap_or_default();
            let left: HashMap<&str, u32> =
                levels.iter().map(|level| (level.item.as_str(), level.remaining)).collect();
            let expected = i64::from(self.world.stock) - sold.get(&place.id).copied().unwrap_or(0);
            let found = left.get(LIMITED).map(|left| i64::from(*left));
            if found != Some(expected) {
                let text = format!("stock of {LIMITED} at {} must be {expected}, but is {found:?}", place.id);
                problems.push(Problem::violating("I7", text));
            }
        }
        problems
    }
}

/// Returns the orders that are at an older version than a response contained.
pub(super) fn lost_versions(orders: &[Order], acknowledged: &BTreeMap<OrderId, Version>) -> Vec<Problem> {
    let stored: HashMap<OrderId, Version> = orders.iter().map(|order| (order.id, order.version)).collect();
    let lost = acknowledged.iter().filter_map(|(id, version)| {
        let found = stored.get(id).copied().unwrap_or(0);
        (found < *version).then(|| {
            let text =
                format!("version {version} of order {id} was acknowledged, but the order is at {found}");
            Problem::violating("I2", text)
        })
    });
    lost.collect()
}

/// Returns a hash of the orders. Equal orders have equal digests.
fn digest(orders: &[Order]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for order in orders {
        (order.id.to_string(), order.version, order.status, order.payment_status).hash(&mut hasher);
        (order.captured, order.refunded, order.updated_at.as_nanosecond()).hash(&mut hasher);
    }
    hasher.finish()
}

impl World {
    /// Returns all orders of all shards.
    pub(super) async fn all_orders(&self) -> Result<Vec<Order>, String> {
        let mut orders = Vec::new();
        let mut after = None;
        loop {
            let limit = PageSize::new(PageSize::MAX).unwrap_or(PageSize::DEFAULT);
            let query = OrderQuery { scope: OrderScope::All, statuses: Vec::new(), after, limit };
            let page = self.store.list_orders(&query).await.map_err(|error| error.to_string())?;
            orders.extend(page.orders);
            after = page.next;
            if after.is_none() {
                return Ok(orders);
            }
        }
    }
}

/// The ledger of the simulated provider, for the auditor.
struct ProviderLedger(Arc<Provider>);

#[async_trait]
impl GatewayLedger for ProviderLedger {
    async fn summary(&self, order_id: OrderId) -> Result<Option<GatewaySummary>, String> {
        let done = GatewaySummary::from(self.0.summary(order_id));
        Ok((done != GatewaySummary::default()).then_some(done))
    }
}
