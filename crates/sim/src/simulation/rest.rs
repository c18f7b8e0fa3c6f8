//! The end of a simulation and its final checks.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, PoisonError},
};

use async_trait::async_trait;
use dabba_domain::{
    Amount, OrderId, RestaurantId,
    order::{
        CommandKind, Order, OrderStatus, PaymentMethod, PaymentStatus, RefundStatus, StockDraw, TaskQueue,
    },
};
use dabba_engine::{Clock as _, Principal};
use dabba_gateways::simulated::{Health, Provider};
use dabba_store::{OrderQuery, OrderScope, PageSize};
use jiff::SignedDuration;

use super::{
    Simulation, SimulationError, SimulationReport,
    world::{LIMITED, STOCK, World},
};
use crate::audit::{AuditOptions, Finding, GatewayLedger, GatewaySummary, audit};

/// Maximum number of rounds until everything must have ended. A failed task is retried after at most five
/// minutes, the longest deadline is an hour, and a round is half a minute.
const MAX_ROUNDS: u32 = 400;
/// Number of rounds without any change after which the simulation counts as settled. They last longer than a
/// refund takes to fail late.
const QUIET_ROUNDS: u32 = 3;
/// Virtual duration of a round, in seconds.
const ROUND_SECONDS: i64 = 30;
/// Maximum number of tasks per round.
const MAX_TASKS_A_ROUND: u32 = 100_000;
/// Maximum number of problems in the result.
const MAX_PROBLEMS: usize = 20;

/// Returns whether the order needs no further step.
fn is_at_rest(order: &Order) -> bool {
    let is_pending = order.refunds.iter().any(|state| state.status == RefundStatus::Pending);
    let is_open = matches!(order.payment_status, PaymentStatus::Pending | PaymentStatus::Authorized);
    order.status.is_terminal() && !is_pending && !is_open && !is_refund_owed(order)
}

/// Returns whether an order ended early and the customer's money is not refunded yet.
pub(super) fn is_refund_owed(order: &Order) -> bool {
    order.closure.is_some() && order.refundable() > Amount::ZERO
}

/// Returns the next command that brings an order closer to its end.
pub(super) fn next_command(order: &Order) -> Option<CommandKind> {
    use dabba_domain::pricing::FulfilmentKind::Collection;
    let is_collected = order.details.fulfilment.kind() == Collection;
    match order.status {
        OrderStatus::Confirmed => Some(CommandKind::Accept),
        OrderStatus::Preparing => Some(CommandKind::MarkReady),
        OrderStatus::ReadyForPickup if is_collected => Some(CommandKind::Deliver),
        OrderStatus::ReadyForPickup if order.courier_id.is_none() => Some(CommandKind::AssignCourier),
        OrderStatus::ReadyForPickup => Some(CommandKind::PickUp),
        OrderStatus::OutForDelivery => Some(CommandKind::Deliver),
        OrderStatus::Created | OrderStatus::Delivered | OrderStatus::Cancelled | OrderStatus::Refunded => {
            None
        }
    }
}

impl Simulation {
    /// Stops the failures and completes everything that has begun.
    pub(super) async fn settle(&mut self) -> Result<(), SimulationError> {
        self.world.chaos.set_calm(true);
        self.world.provider.set_health(Health::Up);
        self.finish_hanging().await;
        self.world.decide_chargebacks();
        let all: Vec<OrderId> = self.world.open.iter().chain(&self.world.ended).copied().collect();
        let mut unsettled = self.advance_orders(all.clone()).await;
        let mut quiet_rounds = 0;
        for _ in 0..MAX_ROUNDS {
            self.deliver_reports().await;
            self.work_due_tasks().await;
            let parked = match self.world.retry_parked().await {
                Ok(parked) => parked,
                Err(error) => return Err(self.error([format!("cannot list the parked tasks: {error}")])),
            };
            // A settled order may change again, because a refund can fail late.
            let ids = match unsettled.as_slice() {
                [] => all.clone(),
                unsettled => unsettled.iter().map(|order| order.id).collect(),
            };
            unsettled = self.advance_orders(ids).await;
            let is_quiet = unsettled.is_empty() && parked == 0;
            quiet_rounds = if is_quiet { quiet_rounds + 1 } else { 0 };
            if quiet_rounds >= QUIET_ROUNDS {
                return Ok(());
            }
            self.pass(ROUND_SECONDS);
        }
        let describe = |order: &Order| {
            format!(
                "order {} is still not settled: status {}, payment status {}",
                order.id, order.status, order.payment_status
            )
        };
        let mut problems: Vec<String> = unsettled.iter().map(describe).collect();
        problems.extend(self.audit().await);
        Err(self.error(problems))
    }

    fn error(&self, problems: impl IntoIterator<Item = String>) -> SimulationError {
        let problems = self.world.problems.iter().cloned().chain(problems).take(MAX_PROBLEMS).collect();
        SimulationError { seed: self.options.seed, problems }
    }

    async fn deliver_reports(&mut self) {
        let now = self.world.clock.now();
        let mut reports =
            std::mem::take(&mut *self.world.reports.lock().unwrap_or_else(PoisonError::into_inner));
        let decided = self.world.provider.settle(now);
        reports.extend(decided.into_iter().filter(|report| self.world.chaos.is_delivered_later(report, 0)));
        for report in reports {
            self.world.report(report).await;
        }
    }

    async fn work_due_tasks(&mut self) {
        let engine = Arc::clone(&self.world.engines[0]);
        for queue in TaskQueue::ALL {
            for _ in 0..MAX_TASKS_A_ROUND {
                match engine.work_next(*queue).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        self.world.problems.push(format!("cannot claim tasks: {error}"));
                        break;
                    }
                }
            }
        }
    }

    /// Sends the next command of each order, and returns the orders that are not settled.
    async fn advance_orders(&mut self, ids: Vec<OrderId>) -> Vec<Order> {
        let mut unsettled = Vec::new();
        for id in ids {
            let Some(order) = self.world.read_order(id).await else { continue };
            if let Some(kind) = next_command(&order)
                && let who = self.world.actor_for(kind, &order)
                && let Some(command) = self.world.command(kind, &order, who.role)
            {
                self.world.send_command(&who, id, command).await;
            }
            self.world.refund_rest_if_owed(&order).await;
            if !is_at_rest(&order) {
                unsettled.push(order);
            }
        }
        unsettled
    }

    /// Verifies the final state.
    pub(super) async fn verify(mut self) -> Result<SimulationReport, SimulationError> {
        let orders = self.world.all_orders().await.map_err(|problem| self.error([problem]))?;
        let mut problems = std::mem::take(&mut self.world.problems);
        let known: HashSet<OrderId> = self.world.placed.values().copied().collect();
        let strangers = orders.iter().filter(|order| !known.contains(&order.id));
        problems.extend(strangers.map(|order| format!("order {} was not placed with a known key", order.id)));
        if known.len() != self.world.placed.len() {
            problems.push("two keys placed the same order".to_owned());
        }
        problems.extend(self.audit().await);
        problems.extend(self.check_stock(&orders).await);
        if !problems.is_empty() {
            problems.truncate(MAX_PROBLEMS);
            return Err(SimulationError { seed: self.options.seed, problems });
        }
        let is_delivered = |order: &&Order| order.status == OrderStatus::Delivered;
        self.report.orders = orders.len() as u64;
        self.report.events = orders.iter().map(|order| u64::from(order.version)).sum();
        self.report.delivered = orders.iter().filter(is_delivered).count() as u64;
        let reversed = |order: &Order| {
            let refunds = order.refunds.iter().filter(|state| state.status == RefundStatus::Reversed);
            refunds.count() as u64
        };
        let (ended, delivered): (Vec<_>, Vec<_>) = orders.iter().partition(|order| order.closure.is_some());
        self.report.reversed_refunds = delivered.into_iter().map(reversed).sum();
        self.report.reversed_refunds_of_ended_orders = ended.into_iter().map(reversed).sum();
        let external = |order: &Order| {
            order.refunds.iter().filter(|state| state.refund.external.is_some()).count() as u64
        };
        self.report.external_refunds = orders.iter().map(external).sum();
        let differs = |order: &&Order| {
            let (done, total) = (self.world.provider.summary(order.id), order.details.amounts.total.minor());
            [done.authorized, done.captured].into_iter().any(|moved| moved != 0 && moved != total)
        };
        self.report.other_amounts = orders.iter().filter(differs).count() as u64;
        let is_of_nothing = |order: &&Order| {
            let details = &order.details;
            let is_by_card = details.payment_method == PaymentMethod::Card;
            is_by_card && details.amounts.total.is_zero() && order.status == OrderStatus::Delivered
        };
        self.report.of_nothing = orders.iter().filter(is_of_nothing).count() as u64;
        self.report.ends_for_items = self.world.ends_for_items;
        self.report.failures = self.world.chaos.failures();
        let passed = self.world.clock.now().duration_since(World::start());
        self.report.simulated_seconds = passed.as_secs();
        self.report.digest = digest(&orders);
        Ok(self.report)
    }

    async fn audit(&self) -> Vec<String> {
        let ledger = ProviderLedger(Arc::clone(&self.world.provider));
        // All orders are settled, so every difference between an order and the provider is a problem.
        let now = self.world.clock.now();
        let options = AuditOptions { payment_open_after: SignedDuration::ZERO, ..AuditOptions::at(now) };
        let mut problems = match audit(&*self.world.store, Some(&ledger), &options).await {
            Ok(report) => report.findings.iter().map(describe).collect(),
            Err(error) => vec![error.to_string()],
        };
        // The auditor does not sort its findings.
        problems.sort_unstable();
        problems
    }

    /// Verifies that the stock of the limited item is the initial stock minus the sold items plus the
    /// returned items.
    async fn check_stock(&self, orders: &[Order]) -> Vec<String> {
        let mut sold: BTreeMap<RestaurantId, i64> = BTreeMap::new();
        for order in orders {
            let events = match self.world.store.events(order.id, 0, order.version).await {
                Ok(events) => events,
                Err(error) => return vec![error.to_string()],
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
            let expected = i64::from(STOCK) - sold.get(&place.id).copied().unwrap_or(0);
            let found = left.get(LIMITED).map(|left| i64::from(*left));
            if found != Some(expected) {
                problems
                    .push(format!("stock of {LIMITED} at {} must be {expected}, but is {found:?}", place.id));
            }
        }
        problems
    }
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
    /// Returns the actor of a command.
    pub(super) fn actor_for(&self, kind: CommandKind, order: &Order) -> Principal {
        let staff = self.places.iter().find(|place| place.id == order.details.restaurant_id);
        let staff = staff.map_or(self.admin, |place| place.staff);
        let carries = |courier: &&Principal| Some(courier.account_id) == order.courier_id;
        match kind {
            CommandKind::PickUp | CommandKind::Deliver => {
                self.couriers.iter().find(carries).copied().unwrap_or(staff)
            }
            CommandKind::AssignCourier => self.admin,
            _ => staff,
        }
    }

    async fn all_orders(&self) -> Result<Vec<Order>, String> {
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

fn describe(finding: &Finding) -> String {
    match finding.order_id {
        Some(id) => format!("{} of order {id}: {}", finding.code.as_str(), finding.text),
        None => format!("{}: {}", finding.code.as_str(), finding.text),
    }
}
