//! The actions of users, and the reports of the provider.

use std::{num::NonZeroU32, sync::PoisonError};

use dabba_domain::{
    Actor, Amount, OrderId, Role,
    menu::{Availability, UnavailableItem},
    order::{
        CancelReason, Command, CommandKind, InterventionReason, Order, OrderRequest, RefundBearer,
        RefundLine, RefundReason, RefundRequest, RejectReason,
    },
    text::Slug,
};
use dabba_engine::{Answer, CommandRequest, Conflict, Error, Principal};
use dabba_gateways::simulated::wire::Notification;
use dabba_store::{IdempotencyKey, PageSize, StoreError, TaskResolution};
use jiff::SignedDuration;
use serde_json::json;

use super::{
    rest::{is_refund_owed, next_command},
    world::{World, menu},
};

/// Maximum number of attempts of a request that gets no response.
const MAX_ATTEMPTS: usize = 40;
/// The payment tokens that users choose from; most of them work.
const TOKENS: [&str; 17] = [
    "tok_succeed",
    "tok_refund_fails_late",
    "tok_refund_fails_late",
    "tok_refund_fails_late",
    "tok_succeed",
    "tok_flap",
    "tok_flap",
    "tok_pending",
    "tok_error",
    "tok_error_after_all",
    "tok_timeout_all",
    "tok_decline",
    "tok_fraud",
    "tok_nobody_knows",
    "tok_authorizes_less",
    "tok_authorizes_more",
    "tok_captures_less",
];

/// Returns whether the request may have had an effect, so that the caller retries.
fn is_retryable(error: &Error) -> bool {
    matches!(error, Error::Unavailable | Error::OutcomeUnknown | Error::Overloaded)
        || matches!(error, Error::Conflict(Conflict::TooManyChanges))
}

impl World {
    /// Places an order as a random customer, and retries until the outcome is known; sometimes repeats it
    /// after that.
    pub(super) async fn place_random_order(&mut self) {
        let customer = self.random_customer();
        let place = self.below(self.places.len());
        let restaurant_id = self.places[place].id;
        let request = self.order_request();
        let name = format!("order {}", self.placed.len() + self.problems.len());
        let name = format!("{name} {}", self.below(1_000_000_000));
        let Ok(key) = IdempotencyKey::new(&name) else { return };
        let mut known: Option<OrderId> = None;
        for _ in 0..MAX_ATTEMPTS {
            let engine = self.server();
            match engine.place(&customer, restaurant_id, &request, key.clone()).await {
                Ok(Answer { order, .. }) => {
                    if known.is_some_and(|before| before != order.id) {
                        self.problems.push(format!("the key of {} placed a second order {}", name, order.id));
                    }
                    if known.is_none() {
                        self.placed.insert(name.clone(), order.id);
                        self.open.push(order.id);
                    }
                    known = Some(order.id);
                    if self.below(10) > 0 {
                        return;
                    }
                }
                Err(error) if is_retryable(&error) => {}
                Err(Error::Internal(text)) => {
                    self.problems.push(format!("placing an order failed: {text}"));
                    return;
                }
                Err(error) => {
                    if let Some(id) = known {
                        self.problems
                            .push(format!("order {id} was placed, and a retry was refused: {error}"));
                    }
                    return;
                }
            }
        }
        if known.is_none() {
            self.problems.push(format!("{name}: no attempt returned the outcome"));
        }
    }

    fn random_customer(&mut self) -> Principal {
        let place = self.below(self.customers.len());
        self.customers[place]
    }

    fn random_courier(&mut self) -> Principal {
        let place = self.below(self.couriers.len());
        self.couriers[place]
    }

    fn order_request(&mut self) -> OrderRequest {
        let mut lines = vec![json!({"item": "tea", "quantity": 1 + self.below(3)})];
        if self.below(2) == 0 {
            lines.push(json!({"item": "thali", "quantity": 1 + self.below(2)}));
        }
        if self.below(3) > 0 {
            let filling = ["potato", "paneer"][self.below(2)];
            let options = json!([{"group": "filling", "option": filling}]);
            lines.push(json!({"item": "dosa", "quantity": 1 + self.below(4), "options": options}));
        }
        let is_of_nothing = self.below(16) == 0;
        let address = json!({"line1": "1 Lunchbox Lane", "city": "London"});
        let fulfilment = match self.below(3) {
            0 => json!({"type": "collection"}),
            _ => json!({"type": "delivery", "address": address}),
        };
        let mut request = json!({
            "lines": lines, "fulfilment": fulfilment, "tip": 50 * self.below(4), "payment_method": "cash",
        });
        if is_of_nothing {
            request["lines"] = json!([{"item": "water", "quantity": 1 + self.below(3)}]);
            (request["fulfilment"], request["tip"]) = (json!({"type": "collection"}), json!(0));
        }
        if self.below(4) > 0 {
            request["payment_method"] = json!("card");
            request["payment_token"] = json!(TOKENS[self.below(TOKENS.len())]);
        }
        serde_json::from_value(request).unwrap_or_else(|error| unreachable!("an order: {error}"))
    }

    /// Sends a random command for an order, most often an allowed one.
    pub(super) async fn send_random_command(&mut self) {
        // Sometimes it is an order that has ended: a refund, or a command that comes too late.
        let is_late = self.open.is_empty() || self.below(12) == 0;
        let list = if is_late { &self.ended } else { &self.open };
        let Some(count) = std::num::NonZeroUsize::new(list.len()) else { return };
        let place = self.below(count.get());
        let id = if is_late { self.ended[place] } else { self.open[place] };
        let Some(order) = self.read_order(id).await else { return };
        if order.status.is_terminal() && !is_late {
            self.open.swap_remove(place);
            self.ended.push(id);
            return;
        }
        // In half of the cases the next command of the order's life, by its proper actor.
        if self.below(2) == 0
            && let Some(kind) = next_command(&order)
            && let who = self.actor_for(kind, &order)
            && let Some(command) = self.command(kind, &order, who.role)
        {
            self.send_command(&who, id, command).await;
            return;
        }
        let who = self.random_actor(&order);
        let Ok(actions) = self.server().allowed_actions(&who, &order).await else { return };
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
    pub(super) async fn send_command(&mut self, who: &Principal, order_id: OrderId, command: Command) {
        let name = format!("command {}", self.below(usize::MAX));
        // Without a key, a retry of a refund would be another refund.
        let needs_key = matches!(command, Command::Refund(_)) || self.below(2) == 0;
        let key = if needs_key { IdempotencyKey::new(&name).ok() } else { None };
        let named = self.newly_named_items(order_id, &command).await;
        let request = CommandRequest { order_id, command, key, expected_versions: None };
        for _ in 0..MAX_ATTEMPTS {
            let engine = self.server();
            match engine.act(who, &request).await {
                Err(error) if is_retryable(&error) => {}
                Err(Error::Internal(text)) => {
                    self.problems
                        .push(format!("command {:?} on order {order_id} failed: {text}", request.command));
                    return;
                }
                Ok(Answer { order, .. }) => return self.check_marks(&order, &named).await,
                Err(_) => return,
            }
        }
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
        if named.is_empty() {
            return;
        }
        self.ends_for_items += 1;
        match self.store.catalogue(order.details.restaurant_id).await {
            Ok(Some(catalogue)) if catalogue.unavailable.extended(named) == catalogue.unavailable => {}
            Ok(_) => {
                self.problems
                    .push(format!("order {}: items that its end named are still available", order.id));
            }
            Err(error) => {
                self.problems.push(format!("cannot read the catalogue of order {}: {error}", order.id));
            }
        }
    }

    /// Returns the stored order.
    pub(super) async fn read_order(&mut self, id: OrderId) -> Option<Order> {
        match self.store.order(id).await {
            Ok(Some(order)) => Some(order),
            Ok(None) => {
                self.problems.push(format!("order {id} was acknowledged but does not exist"));
                None
            }
            Err(error) => {
                self.problems.push(format!("cannot read order {id}: {error}"));
                None
            }
        }
    }

    /// Returns a random actor for the order, most often one who is a party to it.
    fn random_actor(&mut self, order: &Order) -> Principal {
        let place = self.places.iter().position(|place| place.id == order.details.restaurant_id).unwrap_or(0);
        match self.below(12) {
            0 => self.random_customer(),
            1 => {
                let own = order.details.customer_id;
                let customer = self.customers.iter().find(|customer| customer.account_id == own);
                customer.copied().unwrap_or(self.admin)
            }
            2 => self.admin,
            3 => self.random_courier(),
            4..7 => {
                let carries = |courier: &&Principal| Some(courier.account_id) == order.courier_id;
                let courier = self.couriers.iter().find(carries).copied();
                courier.unwrap_or_else(|| self.random_courier())
            }
            _ => self.places[place].staff,
        }
    }

    /// Returns a command of this kind with random content; `None` if only the system may send it.
    pub(super) fn command(&mut self, kind: CommandKind, order: &Order, role: Role) -> Option<Command> {
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

    fn random_choice<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Returns a random selection of an order's items, at least one; most of them are unavailable for a
    /// limited time.
    fn items_of(&mut self, order: &Order) -> Vec<UnavailableItem> {
        let mut items: Vec<Slug> = order.details.lines.iter().map(|line| line.item.clone()).collect();
        let count = 1 + self.below(items.len());
        let now = dabba_engine::Clock::now(&*self.clock);
        (0..count)
            .map(|_| {
                let item = items.swap_remove(self.below(items.len()));
                let seconds = 60 + i64::from(self.below_u32(1_800));
                let until = (self.below(5) > 0).then(|| now + SignedDuration::from_secs(seconds));
                UnavailableItem { item, until }
            })
            .collect()
    }

    fn below_u32(&mut self, bound: usize) -> u32 {
        u32::try_from(self.below(bound)).unwrap_or(0)
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

    /// Refunds a payment by hand at the provider, or opens or closes a chargeback.
    pub(super) async fn change_payment_at_provider(&mut self) {
        let count = self.placed.len();
        if count == 0 {
            return;
        }
        let place = self.below(count);
        let Some(order_id) = self.placed.values().nth(place).copied() else { return };
        let now = dabba_engine::Clock::now(&*self.clock);
        let what = self.below(4);
        let minor = 1 + i64::from(self.below_u32(900));
        let Some(order) = self.read_order(order_id).await else { return };
        for payment in self.provider.payments(order_id) {
            // An order assumes that a capture that it does not know was of the whole total, so other amounts
            // are skipped.
            let is_of_the_total = payment.amount == order.details.amounts.total;
            if !is_of_the_total && order.captured != payment.amount {
                continue;
            }
            let reference = &payment.reference;
            let happened = match what {
                0 => self.provider.open_chargeback(reference),
                1 => self.provider.close_chargeback(reference, minor % 2 == 0, now),
                _ => match Amount::from_minor(minor) {
                    Ok(amount) => self.provider.refund_manually(reference, amount, now),
                    Err(_) => Vec::new(),
                },
            };
            self.queue_reports(happened);
        }
    }

    /// Queues reports of the provider.
    fn queue_reports(&self, happened: Vec<Notification>) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        for notification in happened {
            if self.chaos.is_delivered_later(&notification, reports.len()) {
                reports.push(notification);
            }
        }
    }

    /// Decides all open chargebacks.
    pub(super) fn decide_chargebacks(&mut self) {
        let now = dabba_engine::Clock::now(&*self.clock);
        let ids: Vec<OrderId> = self.placed.values().copied().collect();
        for (number, order_id) in ids.into_iter().enumerate() {
            for payment in self.provider.payments(order_id) {
                self.queue_reports(self.provider.close_chargeback(&payment.reference, number % 2 == 0, now));
            }
        }
    }

    /// Delivers a random report of the provider. Sometimes the report is delivered again later.
    pub(super) async fn deliver_random_report(&mut self) {
        let count = self.reports.lock().unwrap_or_else(PoisonError::into_inner).len();
        if count == 0 {
            return;
        }
        let (place, comes_again) = (self.below(count), self.below(4) == 0);
        let report = {
            let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
            if comes_again { reports[place].clone() } else { reports.swap_remove(place) }
        };
        self.report(report).await;
    }

    pub(super) async fn report(&mut self, report: Notification) {
        let order_id = report.order_id;
        for _ in 0..MAX_ATTEMPTS {
            match self.server().record_payment(order_id, &report.report.clone().into()).await {
                Err(error) if is_retryable(&error) => {}
                Err(error) => {
                    self.problems.push(format!("a report about order {order_id} failed: {error}"));
                    return;
                }
                Ok(()) => return,
            }
        }
    }

    /// Changes a restaurant as its staff: pauses it, or changes its menu.
    pub(super) async fn change_restaurant(&mut self) {
        let place = self.below(self.places.len());
        let (id, staff) = (self.places[place].id, self.places[place].staff);
        let engine = self.server();
        let changed = match self.below(4) {
            0 => engine.pause(&staff, id, None).await.map(drop),
            1 => {
                let Ok(item) = Slug::new(self.random_choice(&["dosa", "thali", "tea"])) else { return };
                let availability = Availability::default();
                engine.set_availability(&staff, id, &item, availability, None).await.map(drop)
            }
            2 => {
                let edition = self.below(100);
                engine.replace_menu(&staff, id, menu(edition), None).await.map(drop)
            }
            _ => engine.resume(&staff, id).await.map(drop),
        };
        // The restaurant resumes at once; otherwise nobody could order.
        if let Err(error) = engine.resume(&staff, id).await.and(changed)
            && !is_retryable(&error)
        {
            self.problems.push(format!("cannot change restaurant {id}: {error}"));
        }
    }

    /// Retries parked tasks as an admin.
    pub(super) async fn retry_tasks_as_admin(&mut self) {
        if let Err(error) = self.retry_parked().await {
            self.problems.push(format!("cannot list the parked tasks: {error}"));
        }
    }

    /// Refunds the rest of an order that ended early, as an admin, if a refund of the order was refused or
    /// failed.
    pub(super) async fn refund_rest_if_owed(&mut self, order: &Order) {
        let was_refused = order.refunds.iter().any(|state| !state.status.counts());
        if is_refund_owed(order) && was_refused {
            let admin = self.admin;
            let request = RefundRequest::new(None, RefundReason::OrderEnded);
            self.send_command(&admin, order.id, Command::Refund(request)).await;
        }
    }

    /// Retries all parked tasks, resolves those for people, and returns the number of parked tasks.
    pub(super) async fn retry_parked(&mut self) -> Result<usize, StoreError> {
        let now = dabba_engine::Clock::now(&*self.clock);
        let parked = self.store.parked_tasks(None, PageSize::DEFAULT).await?.tasks;
        for task in &parked {
            if task.task.task.kind().needs_admin() {
                if let Some(order) = self.read_order(task.task.order_id).await {
                    self.refund_rest_if_owed(&order).await;
                }
                let (at, by, reason) = (now, self.admin.account_id, "resolved by the simulation".to_owned());
                self.store.resolve_task(task.task.id, &TaskResolution { at, by, reason }).await?;
            } else {
                self.store.retry_task(task.task.id, now).await?;
            }
        }
        Ok(parked.len())
    }
}

/// Returns an actor of this role who is a party to an order.
fn actor_of(order: &Order, role: Role) -> Actor {
    let (account_id, restaurant_id) = (order.details.customer_id, order.details.restaurant_id);
    match role {
        Role::Customer => Actor::Customer { account_id },
        Role::Restaurant => Actor::Restaurant { account_id, restaurant_id },
        Role::Courier => Actor::Courier { account_id },
        Role::Admin => Actor::Admin { account_id },
    }
}
