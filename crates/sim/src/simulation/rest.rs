//! How a simulation comes to rest, and what has to be so then.

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

/// Rounds until everything is at an end. A failed task comes back after five minutes at the longest, the
/// longest deadline is an hour, and each round is half a minute.
const MAX_ROUNDS: u32 = 400;
/// Rounds in which nothing happens any more, before everything is taken to be at rest: more than a refund takes to
/// fail late.
const QUIET_ROUNDS: u32 = 3;
/// How long a round is, in seconds.
const ROUND_SECONDS: i64 = 30;
/// Tasks that are worked in a round, at most.
const MAX_TASKS_A_ROUND: u32 = 100_000;
/// Problems that are told.
const MAX_PROBLEMS: usize = 20;

/// Whether nothing has to happen to an order any more.
fn is_at_rest(order: &Order) -> bool {
    let is_pending = order.refunds.iter().any(|state| state.status == RefundStatus::Pending);
    let is_open = matches!(order.payment_status, PaymentStatus::Pending | PaymentStatus::Authorized);
    order.status.is_terminal() && !is_pending && !is_open && !is_owed(order)
}

/// Whether an order ended early and money of the customer's is still here.
pub(super) fn is_owed(order: &Order) -> bool {
    order.closure.is_some() && order.refundable() > Amount::ZERO
}

/// The next thing that somebody does so that an order comes to its end.
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
    /// Nothing fails any more, and everybody finishes what they have begun.
    pub(super) async fn come_to_rest(&mut self) -> Result<(), SimulationError> {
        self.world.chaos.set_calm(true);
        self.world.provider.set_health(Health::Up);
        self.finish_hanging().await;
        self.world.banks_decide();
        let all: Vec<OrderId> = self.world.open.iter().chain(&self.world.ended).copied().collect();
        let mut unsettled = self.go_on_with(all.clone()).await;
        let mut quiet_rounds = 0;
        for _ in 0..MAX_ROUNDS {
            self.deliver_reports().await;
            self.work_off().await;
            let parked = match self.world.retry_parked().await {
                Ok(parked) => parked,
                Err(error) => return Err(self.error([format!("parked tasks cannot be listed: {error}")])),
            };
            // What was at rest may not stay so: a refund fails late.
            let ids = match unsettled.as_slice() {
                [] => all.clone(),
                unsettled => unsettled.iter().map(|order| order.id).collect(),
            };
            unsettled = self.go_on_with(ids).await;
            let is_quiet = unsettled.is_empty() && parked == 0;
            quiet_rounds = if is_quiet { quiet_rounds + 1 } else { 0 };
            if quiet_rounds >= QUIET_ROUNDS {
                return Ok(());
            }
            self.pass(ROUND_SECONDS);
        }
        let describe = |order: &Order| {
            format!(
                "order {} never comes to rest: it is {}, its payment {}",
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
        reports.extend(decided.into_iter().filter(|report| self.world.chaos.is_told(report, 0)));
        for report in reports {
            self.world.report(report).await;
        }
    }

    async fn work_off(&mut self) {
        let engine = Arc::clone(&self.world.engines[0]);
        for queue in TaskQueue::ALL {
            for _ in 0..MAX_TASKS_A_ROUND {
                match engine.work_next(*queue).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        self.world.problems.push(format!("tasks are not handed out: {error}"));
                        break;
                    }
                }
            }
        }
    }

    /// Brings these orders a step further, and gives those that are not at rest.
    async fn go_on_with(&mut self, ids: Vec<OrderId>) -> Vec<Order> {
        let mut unsettled = Vec::new();
        for id in ids {
            let Some(order) = self.world.look_at(id).await else { continue };
            if let Some(kind) = next_command(&order)
                && let who = self.world.whose_turn(kind, &order)
                && let Some(command) = self.world.command(kind, &order, who.role)
            {
                self.world.give(&who, id, command).await;
            }
            self.world.give_back_what_is_owed(&order).await;
            if !is_at_rest(&order) {
                unsettled.push(order);
            }
        }
        unsettled
    }

    /// Whether everything is as it must be.
    pub(super) async fn judge(mut self) -> Result<SimulationReport, SimulationError> {
        let orders = self.world.all_orders().await.map_err(|problem| self.error([problem]))?;
        let mut problems = std::mem::take(&mut self.world.problems);
        let known: HashSet<OrderId> = self.world.placed.values().copied().collect();
        let strangers = orders.iter().filter(|order| !known.contains(&order.id));
        problems.extend(strangers.map(|order| format!("order {} was placed by no known key", order.id)));
        if known.len() != self.world.placed.len() {
            problems.push("two keys stand for one order".to_owned());
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
        // All is at rest, so what the order does not know of the provider by now it never will.
        let now = self.world.clock.now();
        let options = AuditOptions { payment_open_after: SignedDuration::ZERO, ..AuditOptions::at(now) };
        let mut problems = match audit(&*self.world.store, Some(&ledger), &options).await {
            Ok(report) => report.findings.iter().map(describe).collect(),
            Err(error) => vec![error.to_string()],
        };
        // The auditor keeps no order among them.
        problems.sort_unstable();
        problems
    }

    /// Whether of what is limited there is left what was not sold, or came back.
    async fn check_stock(&self, orders: &[Order]) -> Vec<String> {
        let mut sold: BTreeMap<RestaurantId, i64> = BTreeMap::new();
        for order in orders {
            let events = match self.world.store.events(order.id, 0, order.version).await {
                Ok(events) => events,
                Err(error) => return vec![error.to_string()],
            };
            let drawn = &order.details.stock_drawn;
            let came_back = events.iter().flat_map(|recorded| recorded.event.stock_given_back(drawn));
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
                    .push(format!("of {LIMITED} at {}, {expected} must be left, not {found:?}", place.id));
            }
        }
        problems
    }
}

/// A number that is the same when every order went the same way.
fn digest(orders: &[Order]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for order in orders {
        (order.id.to_string(), order.version, order.status, order.payment_status).hash(&mut hasher);
        (order.captured, order.refunded, order.updated_at.as_nanosecond()).hash(&mut hasher);
    }
    hasher.finish()
}

impl World {
    /// Who brings an order further.
    pub(super) fn whose_turn(&self, kind: CommandKind, order: &Order) -> Principal {
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

/// The simulated provider's books, for the auditor.
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
