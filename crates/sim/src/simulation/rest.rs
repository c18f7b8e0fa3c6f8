//! The end of a simulation: everything that has begun is completed.

use std::{sync::PoisonError, time::Duration};

use dabba_domain::{
    Amount, OrderId,
    order::{CommandKind, Order, OrderStatus, PaymentStatus, RefundStatus},
};
use dabba_engine::Principal;
use dabba_gateways::simulated::ProviderHealth;
use dabba_store::Resource;
use tokio::time::sleep;

use super::{
    Simulation, SimulationError, problem::Problem, users::User, verify::lost_versions, world::World,
};

/// Maximum number of rounds until everything must have ended. A failed task is retried after at most half a minute, a
/// payment expires after ten minutes, and a round is half a minute.
const MAX_ROUNDS: u32 = 60;
/// Number of rounds without any change after which the simulation counts as settled. They last longer than a
/// refund takes to fail late.
const QUIET_ROUNDS: u32 = 3;
/// Virtual duration of a round.
pub(super) const ROUND: Duration = Duration::from_secs(30);
/// Virtual time after which nothing that began earlier has an effect. Longer than a shard hangs and a server is down.
const LAST_EFFECTS: Duration = Duration::from_secs(90);
/// Maximum number of problems in the result.
pub(super) const MAX_PROBLEMS: usize = 20;

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
        self.world.site.provider.set_health(ProviderHealth::Up);
        for server in self.world.servers() {
            server.set_skew(0);
        }
        while !self.actions.is_empty() {
            self.finish_action().await;
        }
        // Commits of the last requests may still wait for a shard, and servers for their restart.
        sleep(LAST_EFFECTS).await;
        self.find_unnoticed_orders().await;
        let mut user = self.user();
        user.enable_webhooks_again().await;
        user.decide_chargebacks();
        let all: Vec<OrderId> = self.world.state().placed.values().copied().collect();
        let mut unsettled = self.advance_orders(&mut user, all.clone()).await;
        let mut quiet_rounds = 0;
        for _ in 0..MAX_ROUNDS {
            self.deliver_reports(&mut user).await;
            let parked = match user.retry_parked().await {
                Ok(parked) => parked,
                Err(error) => return Err(self.error([format!("cannot list the parked tasks: {error}")])),
            };
            // A settled order may change again, because a refund can fail late.
            let ids = match unsettled.as_slice() {
                [] => all.clone(),
                unsettled => unsettled.iter().map(|order| order.id).collect(),
            };
            unsettled = self.advance_orders(&mut user, ids).await;
            let is_quiet = unsettled.is_empty() && parked == 0;
            quiet_rounds = if is_quiet { quiet_rounds + 1 } else { 0 };
            if quiet_rounds >= QUIET_ROUNDS {
                self.await_deliveries().await;
                self.shut_down().await;
                return Ok(());
            }
            // The workers work meanwhile.
            sleep(ROUND).await;
        }
        self.shut_down().await;
        let describe = |order: &Order| {
            format!(
                "order {} is still not settled: status {}, payment status {}",
                order.id, order.status, order.payment_status
            )
        };
        let unsettled = unsettled.iter().take(MAX_PROBLEMS / 2);
        let mut problems: Vec<Problem> = unsettled.map(|order| describe(order).into()).collect();
        match self.world.all_orders().await {
            Ok(orders) => problems.extend(lost_versions(&orders, &self.world.state().acknowledged)),
            Err(problem) => problems.push(problem.into()),
        }
        problems.extend(self.audit().await);
        Err(self.error(problems))
    }

    /// Stops the servers.
    async fn shut_down(&mut self) {
        self.guardians.shutdown().await;
        for server in self.world.servers() {
            server.stop();
        }
        sleep(LAST_EFFECTS).await;
    }

    /// Returns the error with the problems found so far and with these.
    pub(super) fn error(&self, problems: impl IntoIterator<Item = impl Into<Problem>>) -> SimulationError {
        let mut known = std::mem::take(&mut self.world.state().problems);
        known.extend(problems.into_iter().map(Into::into));
        SimulationError::new(self.options.seed, known)
    }

    /// Adds the orders whose customers were refused after an attempt that had an effect, or had it later.
    async fn find_unnoticed_orders(&mut self) {
        let refused = std::mem::take(&mut self.world.state().refused);
        for (customer, restaurant_id, key) in refused {
            match self.world.store.find_claim(customer.account_id, restaurant_id, &key).await {
                Ok(Some(claim)) => {
                    let Resource::Order(id) = claim.resource else { continue };
                    self.world.state().placed.insert(key.as_str().to_owned(), id);
                }
                Ok(None) => {}
                Err(error) => self.world.report_problem(format!("cannot read a key: {error}")),
            }
        }
    }

    async fn deliver_reports(&self, user: &mut User) {
        let site = &self.world.site;
        let mut reports = std::mem::take(&mut *site.reports.lock().unwrap_or_else(PoisonError::into_inner));
        let decided = site.provider.settle(self.world.now());
        reports.extend(decided.into_iter().filter(|report| self.world.chaos.is_delivered_later(report, 0)));
        for report in reports {
            user.report(report).await;
        }
    }

    /// Sends the next command of each order, and returns the orders that are not settled.
    async fn advance_orders(&self, user: &mut User, ids: Vec<OrderId>) -> Vec<Order> {
        let mut unsettled = Vec::new();
        for id in ids {
            let Some(order) = user.read_order(id).await else { continue };
            if let Some(kind) = next_command(&order)
                && let who = self.world.actor_for(kind, &order)
                && let Some(command) = user.command(kind, &order, who.role)
            {
                user.send_command(&who, id, command).await;
            }
            user.refund_rest_if_owed(&order).await;
            if !is_at_rest(&order) {
                unsettled.push(order);
            }
        }
        unsettled
    }
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
}
