//! Commands to orders, and their random contents.

use std::{num::NonZeroU32, time::Duration};

use dabba_domain::{
    Actor, Amount, OrderId, Role,
    menu::UnavailableItem,
    order::{
        CancelReason, Command, CommandKind, InterventionReason, Order, RefundBearer, RefundLine,
        RefundReason, RefundRequest, RejectReason,
    },
    text::Slug,
};
use dabba_engine::{CommandRequest, Error, OrderAnswer, Principal};
use dabba_store::IdempotencyKey;
use jiff::SignedDuration;
use tokio::time::Instant;

use super::{MAX_ATTEMPTS, User, acknowledge, is_retryable};
use crate::simulation::{problem::Problem, rest::next_command};

/// Time after which a command's marks of unavailable items may have ended, so that nothing is verified.
const MARKS_HOLD_FOR: Duration = Duration::from_secs(30);

impl User {
    /// Sends a random command for an order, most often an allowed one.
    pub(in crate::simulation) async fn send_random_command(&mut self) {
        let is_late = self.below(12) == 0;
        let Some((id, is_late)) = self.random_order(is_late) else { return };
        let Some(order) = self.read_order(id).await else { return };
        if order.status.is_terminal() && !is_late {
            let mut state = self.world.state();
            if let Some(place) = state.open.iter().position(|open| *open == id) {
                state.open.swap_remove(place);
                state.ended.push(id);
            }
            return;
        }
        // In half of the cases the next command of the order's life, by its proper actor.
        if self.below(2) == 0
            && let Some(kind) = next_command(&order)
            && let who = self.world.actor_for(kind, &order)
            && let Some(command) = self.command(kind, &order, who.role)
        {
            self.send_command(&who, id, command).await;
            return;
        }
        let who = self.random_actor(&order);
        let server = self.server();
        let asked = server.engine.orders.allowed_actions(&who, &order);
        let Ok(actions) = self.ask(&server, asked).await else { return };
        let kind = if self.below(15) == 0 || actions.is_empty() {
            CommandKind::ALL[self.below(CommandKind::ALL.len())]
        } else {
            actions[self.below(actions.len())].command
        };
        // Orders are rarely cancelled, rejected or refunded.
        let gives_up = matches!(kind, CommandKind::Cancel | CommandKind::Reject | CommandKind::Refund);
        if gives_up && self.below(4) > 0 {
            return;
        }
        // Sometimes an admin states no reason, or another role states one.
        let role = if self.below(12) == 0 { Role::Admin } else { who.role };
        let Some(command) = self.command(kind, &order, role) else { return };
        self.send_command(&who, id, command).await;
    }

    /// Sends a command and retries until the outcome is known.
    pub(in crate::simulation) async fn send_command(
        &mut self,
        who: &Principal,
        order_id: OrderId,
        command: Command,
    ) {
        let name = format!("command {}", self.below(usize::MAX));
        // Without a key, a retry of a refund would be another refund.
        let needs_key = matches!(command, Command::Refund(_)) || self.below(2) == 0;
        let key = if needs_key { IdempotencyKey::new(&name).ok() } else { None };
        let named = self.newly_named_items(order_id, &command).await;
        let began = Instant::now();
        let changes = if named.is_empty() { None } else { self.availability_changes(order_id).await };
        let request = CommandRequest { order_id, command, key, expected_versions: None };
        for attempt in 0..MAX_ATTEMPTS {
            let server = self.server();
            match self.ask(&server, server.engine.orders.act(who, &request)).await {
                Err(error) if is_retryable(&error) => {}
                Err(Error::Internal(text)) => {
                    let problem = format!("command {:?} on order {order_id} failed: {text}", request.command);
                    return self.world.report_problem(problem);
                }
                Ok(OrderAnswer { order, .. }) => {
                    acknowledge(&self.world, &order);
                    // Staff who make an item available again end its mark, and others may have ended the order before.
                    let are_untouched =
                        changes.is_some() && changes == self.availability_changes(order_id).await;
                    let is_own_end = order.closure.as_ref().is_some_and(|closure| closure.items() == named);
                    if are_untouched && is_own_end && began.elapsed() < MARKS_HOLD_FOR {
                        self.check_marks(&order, &named).await;
                    }
                    return;
                }
                Err(_) => return,
            }
            self.pause(attempt).await;
        }
    }

    /// Returns how often staff have changed the availability of items at the order's restaurant; `None` while a change
    /// is under way.
    async fn availability_changes(&self, order_id: OrderId) -> Option<u64> {
        let order = self.read_order(order_id).await?;
        let state = self.world.state();
        let changes = state.availability_changes.get(&order.details.restaurant_id);
        let (begun, finished) = changes.copied().unwrap_or_default();
        (begun == finished).then_some(begun)
    }

    /// Returns the items that a command names as unavailable; none if the order has already ended.
    async fn newly_named_items(&mut self, order_id: OrderId, command: &Command) -> Vec<UnavailableItem> {
        let (Command::Reject { items, .. } | Command::Cancel { items, .. }) = command else {
            return Vec::new();
        };
        if items.is_empty() || self.read_order(order_id).await.is_none_or(|order| order.status.is_terminal())
        {
            return Vec::new();
        }
        items.clone()
    }

    /// Verifies that the items that a rejection or cancellation named are unavailable, at least for the
    /// stated time.
    async fn check_marks(&mut self, order: &Order, named: &[UnavailableItem]) {
        self.world.state().ends_for_items += 1;
        match self.world.store.catalogue(order.details.restaurant_id).await {
            Ok(Some(catalogue)) if catalogue.unavailable.extended(named) == catalogue.unavailable => {}
            Ok(_) => {
                let text = format!("order {}: items that its end named are still available", order.id);
                self.world.report_problem(Problem::violating("I3", text));
            }
            Err(error) => {
                self.world
                    .report_problem(format!("cannot read the catalogue of order {}: {error}", order.id));
            }
        }
    }

    /// Returns a random actor for the order, most often one who is a party to it.
    fn random_actor(&mut self, order: &Order) -> Principal {
        let place =
            self.world.places.iter().position(|place| place.id == order.details.restaurant_id).unwrap_or(0);
        match self.below(12) {
            0 => self.random_customer(),
            1 => {
                let own = order.details.customer_id;
                let customer = self.world.customers.iter().find(|customer| customer.account_id == own);
                customer.copied().unwrap_or(self.world.admin)
            }
            2 => self.world.admin,
            3 => self.random_courier(),
            4..7 => {
                let carries = |courier: &&Principal| Some(courier.account_id) == order.courier_id;
                let courier = self.world.couriers.iter().find(carries).copied();
                courier.unwrap_or_else(|| self.random_courier())
            }
            _ => self.world.places[place].staff,
        }
    }

    /// Returns a command of this kind with random content; `None` if only the system may send it.
    pub(in crate::simulation) fn command(
        &mut self,
        kind: CommandKind,
        order: &Order,
        role: Role,
    ) -> Option<Command> {
        let reason = (role == Role::Admin).then_some(InterventionReason::CourierUnreachable);
        Some(match kind {
            CommandKind::Confirm | CommandKind::Warn | CommandKind::Expire => return None,
            CommandKind::Accept => Command::Accept { preparation_minutes: 5 + self.below_u32(30) },
            CommandKind::Reject => {
                let reason = self.random_choice(RejectReason::of(&actor_of(order, Role::Restaurant)));
                let items = if reason.names_items() { self.items_of(order) } else { Vec::new() };
                Command::Reject { reason, note: None, items }
            }
            CommandKind::MarkReady => Command::MarkReady,
            CommandKind::AssignCourier => {
                Command::AssignCourier { courier_id: self.random_courier().account_id, reason, note: None }
            }
            CommandKind::PickUp => Command::PickUp,
            CommandKind::Deliver => Command::Deliver { reason, note: None },
            CommandKind::Cancel => {
                let reasons = CancelReason::of(&actor_of(order, role));
                // No cancellation reason fits a courier, whose cancellation is refused anyway.
                let reason = self.random_choice(if reasons.is_empty() { CancelReason::ALL } else { reasons });
                let items = if reason.names_items() { self.items_of(order) } else { Vec::new() };
                Command::Cancel { reason, note: None, items }
            }
            CommandKind::Refund => Command::Refund(self.refund(order)),
        })
    }

    /// Returns a random selection of an order's items, at least one; most of them are unavailable for a
    /// limited time.
    fn items_of(&mut self, order: &Order) -> Vec<UnavailableItem> {
        let mut items: Vec<Slug> = order.details.lines.iter().map(|line| line.item.clone()).collect();
        let count = 1 + self.below(items.len());
        let now = self.world.now();
        (0..count)
            .map(|_| {
                let item = items.swap_remove(self.below(items.len()));
                let seconds = 60 + i64::from(self.below_u32(1_800));
                let until = (self.below(5) > 0).then(|| now + SignedDuration::from_secs(seconds));
                UnavailableItem { item, until }
            })
            .collect()
    }

    fn refund(&mut self, order: &Order) -> RefundRequest {
        let mut request = RefundRequest::new(None, RefundReason::ALL[self.below(RefundReason::ALL.len())]);
        match self.below(3) {
            0 => {}
            1 => {
                let minor = 1 + i64::from(self.below_u32(1_500));
                request.amount = Amount::from_minor(minor).ok();
            }
            _ => {
                let line = self.below_u32(order.details.lines.len());
                let quantity = NonZeroU32::MIN.get() + self.below_u32(2);
                request.lines = vec![RefundLine { line, quantity }];
            }
        }
        if self.below(3) == 0 {
            request.borne_by = Some(RefundBearer::ALL[self.below(RefundBearer::ALL.len())]);
        }
        request
    }
}

/// Returns an actor of this role who is a party to an order.
fn actor_of(order: &Order, role: Role) -> Actor {
    let (account_id, restaurant_id) = (order.details.customer_id, order.details.restaurant_id);
    match role {
        Role::Customer => Actor::customer(account_id),
        Role::Restaurant => Actor::Restaurant { account_id, restaurant_id },
        Role::Courier => Actor::Courier { account_id },
        Role::Admin => Actor::Admin { account_id },
    }
}
