//! What people do, and what the provider reports.

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
    rest::{is_owed, next_command},
    world::{World, menu},
};

/// How often somebody repeats a request that has got no answer.
const MAX_TRIES: usize = 40;
/// What people pay with: mostly what works.
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

/// Whether it may have been done, so that whoever asked asks again.
fn is_open(error: &Error) -> bool {
    matches!(error, Error::Unavailable | Error::OutcomeUnknown | Error::Overloaded)
        || matches!(error, Error::Conflict(Conflict::TooManyChanges))
}

impl World {
    /// A customer orders something, and asks until they are told what became of it; now and then once more.
    pub(super) async fn someone_orders(&mut self) {
        let customer = self.a_customer();
        let place = self.below(self.places.len());
        let restaurant_id = self.places[place].id;
        let request = self.order_request();
        let name = format!("order {}", self.placed.len() + self.problems.len());
        let name = format!("{name} {}", self.below(1_000_000_000));
        let Ok(key) = IdempotencyKey::new(&name) else { return };
        let mut known: Option<OrderId> = None;
        for _ in 0..MAX_TRIES {
            let engine = self.server();
            match engine.place(&customer, restaurant_id, &request, key.clone()).await {
                Ok(Answer { order, .. }) => {
                    if known.is_some_and(|before| before != order.id) {
                        self.problems.push(format!("the key of order {} made order {} too", name, order.id));
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
                Err(error) if is_open(&error) => {}
                Err(Error::Internal(text)) => {
                    self.problems.push(format!("placing an order: {text}"));
                    return;
                }
                Err(error) => {
                    if let Some(id) = known {
                        self.problems.push(format!("order {id} was placed, and then refused: {error}"));
                    }
                    return;
                }
            }
        }
        if known.is_none() {
            self.problems.push(format!("{name}: nobody ever said what became of it"));
        }
    }

    fn a_customer(&mut self) -> Principal {
        let place = self.below(self.customers.len());
        self.customers[place]
    }

    fn a_courier(&mut self) -> Principal {
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

    /// Somebody does something with an order: most often what they may do.
    pub(super) async fn someone_acts(&mut self) {
        // Now and then with one that is at an end: a refund, or what is too late.
        let is_late = self.open.is_empty() || self.below(12) == 0;
        let list = if is_late { &self.ended } else { &self.open };
        let Some(count) = std::num::NonZeroUsize::new(list.len()) else { return };
        let place = self.below(count.get());
        let id = if is_late { self.ended[place] } else { self.open[place] };
        let Some(order) = self.look_at(id).await else { return };
        if order.status.is_terminal() && !is_late {
            self.open.swap_remove(place);
            self.ended.push(id);
            return;
        }
        // Half of the time, whose turn it is does what comes next.
        if self.below(2) == 0
            && let Some(kind) = next_command(&order)
            && let who = self.whose_turn(kind, &order)
            && let Some(command) = self.command(kind, &order, who.role)
        {
            self.give(&who, id, command).await;
            return;
        }
        let who = self.someone(&order);
        let Ok(actions) = self.server().allowed_actions(&who, &order).await else { return };
        let kind = if self.below(15) == 0 || actions.is_empty() {
            CommandKind::ALL[self.below(CommandKind::ALL.len())]
        } else {
            actions[self.below(actions.len())].command
        };
        // People give up an order far less often than they go on with it.
        let gives_up = matches!(kind, CommandKind::Cancel | CommandKind::Reject | CommandKind::Refund);
        if gives_up && self.below(4) > 0 {
            return;
        }
        // Now and then an admin does not say why, or somebody else does.
        let role = if self.below(12) == 0 { Role::Admin } else { who.role };
        let Some(command) = self.command(kind, &order, role) else { return };
        self.give(&who, id, command).await;
    }

    /// Gives a command until it is told what became of it.
    pub(super) async fn give(&mut self, who: &Principal, order_id: OrderId, command: Command) {
        let name = format!("command {}", self.below(usize::MAX));
        // Without a key, a refund that is repeated would be another.
        let needs_key = matches!(command, Command::Refund(_)) || self.below(2) == 0;
        let key = if needs_key { IdempotencyKey::new(&name).ok() } else { None };
        let named = self.newly_named(order_id, &command).await;
        let request = CommandRequest { order_id, command, key, expected_versions: None };
        for _ in 0..MAX_TRIES {
            let engine = self.server();
            match engine.act(who, &request).await {
                Err(error) if is_open(&error) => {}
                Err(Error::Internal(text)) => {
                    self.problems.push(format!("{:?} of order {order_id}: {text}", request.command));
                    return;
                }
                Ok(Answer { order, .. }) => return self.check_marks(&order, &named).await,
                Err(_) => return,
            }
        }
    }

    /// The items that a command names, unless the order has ended already.
    async fn newly_named(&mut self, order_id: OrderId, command: &Command) -> Vec<UnavailableItem> {
        let (Command::Reject { items, .. } | Command::Cancel { items, .. }) = command else {
            return Vec::new();
        };
        if items.is_empty() || self.look_at(order_id).await.is_none_or(|order| order.status.is_terminal()) {
            return Vec::new();
        }
        items.clone()
    }

    /// Whether the items that an order's end named are marked, at least as long as it said.
    async fn check_marks(&mut self, order: &Order, named: &[UnavailableItem]) {
        if named.is_empty() {
            return;
        }
        self.ends_for_items += 1;
        match self.store.catalogue(order.details.restaurant_id).await {
            Ok(Some(catalogue)) if catalogue.unavailable.extended(named) == catalogue.unavailable => {}
            Ok(_) => {
                self.problems.push(format!("order {}: the items of its end are not unavailable", order.id));
            }
            Err(error) => self.problems.push(format!("the catalogue of order {}: {error}", order.id)),
        }
    }

    /// The order as it is stored.
    pub(super) async fn look_at(&mut self, id: OrderId) -> Option<Order> {
        match self.store.order(id).await {
            Ok(Some(order)) => Some(order),
            Ok(None) => {
                self.problems.push(format!("order {id} was acknowledged, and is not there"));
                None
            }
            Err(error) => {
                self.problems.push(format!("order {id} cannot be read: {error}"));
                None
            }
        }
    }

    /// Somebody who has to do with the order, or thinks so.
    fn someone(&mut self, order: &Order) -> Principal {
        let place = self.places.iter().position(|place| place.id == order.details.restaurant_id).unwrap_or(0);
        match self.below(12) {
            0 => self.a_customer(),
            1 => {
                let own = order.details.customer_id;
                let customer = self.customers.iter().find(|customer| customer.account_id == own);
                customer.copied().unwrap_or(self.admin)
            }
            2 => self.admin,
            3 => self.a_courier(),
            4..7 => {
                let carries = |courier: &&Principal| Some(courier.account_id) == order.courier_id;
                let courier = self.couriers.iter().find(carries).copied();
                courier.unwrap_or_else(|| self.a_courier())
            }
            _ => self.places[place].staff,
        }
    }

    /// A command of this kind with some content; none, where the system alone gives it.
    pub(super) fn command(&mut self, kind: CommandKind, order: &Order, role: Role) -> Option<Command> {
        let reason = (role == Role::Admin).then_some(InterventionReason::CourierUnreachable);
        Some(match kind {
            CommandKind::Confirm | CommandKind::Warn | CommandKind::Expire => return None,
            CommandKind::Accept => Command::Accept { preparation_minutes: 5 + self.below_u32(30) },
            CommandKind::Reject => {
                let reason = self.one_of(RejectReason::of(&actor_of(order, Role::Restaurant)));
                let items = if reason.names_items() { self.items_of(order) } else { Vec::new() };
                Command::Reject { reason, note: None, items }
            }
            CommandKind::MarkReady => Command::MarkReady,
            CommandKind::AssignCourier => {
                Command::AssignCourier { courier_id: self.a_courier().account_id, reason, note: None }
            }
            CommandKind::PickUp => Command::PickUp,
            CommandKind::Deliver => Command::Deliver { reason, note: None },
            CommandKind::Cancel => {
                let reasons = CancelReason::of(&actor_of(order, role));
                // A courier has no reason, and is refused.
                let reason = self.one_of(if reasons.is_empty() { CancelReason::ALL } else { reasons });
                let items = if reason.names_items() { self.items_of(order) } else { Vec::new() };
                Command::Cancel { reason, note: None, items }
            }
            CommandKind::Refund => Command::Refund(self.refund(order)),
        })
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Some of an order's items, at least one, most of them for a while.
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

    /// Somebody refunds by hand at the provider, or a customer has their bank take money back.
    pub(super) async fn someone_at_the_provider(&mut self) {
        let count = self.placed.len();
        if count == 0 {
            return;
        }
        let place = self.below(count);
        let Some(order_id) = self.placed.values().nth(place).copied() else { return };
        let now = dabba_engine::Clock::now(&*self.clock);
        let what = self.below(4);
        let minor = 1 + i64::from(self.below_u32(900));
        let Some(order) = self.look_at(order_id).await else { return };
        for payment in self.provider.payments(order_id) {
            // Of a capture that it does not know, an order takes it that all was captured.
            let is_of_the_total = payment.amount == order.details.amounts.total;
            if !is_of_the_total && order.captured != payment.amount {
                continue;
            }
            let reference = &payment.reference;
            let happened = match what {
                0 => self.provider.open_chargeback(reference),
                1 => self.provider.close_chargeback(reference, minor % 2 == 0, now),
                _ => match Amount::from_minor(minor) {
                    Ok(amount) => self.provider.refund_by_hand(reference, amount, now),
                    Err(_) => Vec::new(),
                },
            };
            self.keep(happened);
        }
    }

    /// Keeps what the provider reports until it arrives.
    fn keep(&self, happened: Vec<Notification>) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        for notification in happened {
            if self.chaos.is_told(&notification, reports.len()) {
                reports.push(notification);
            }
        }
    }

    /// Every chargeback is decided.
    pub(super) fn banks_decide(&mut self) {
        let now = dabba_engine::Clock::now(&*self.clock);
        let ids: Vec<OrderId> = self.placed.values().copied().collect();
        for (number, order_id) in ids.into_iter().enumerate() {
            for payment in self.provider.payments(order_id) {
                self.keep(self.provider.close_chargeback(&payment.reference, number % 2 == 0, now));
            }
        }
    }

    /// A report of the provider arrives: now and then it will come again, and none comes in order.
    pub(super) async fn the_provider_reports(&mut self) {
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
        for _ in 0..MAX_TRIES {
            match self.server().record_payment(order_id, &report.report.clone().into()).await {
                Err(error) if is_open(&error) => {}
                Err(error) => {
                    self.problems.push(format!("a report on order {order_id}: {error}"));
                    return;
                }
                Ok(()) => return,
            }
        }
    }

    /// Staff changes the menu, or takes a break.
    pub(super) async fn the_restaurant_changes(&mut self) {
        let place = self.below(self.places.len());
        let (id, staff) = (self.places[place].id, self.places[place].staff);
        let engine = self.server();
        let changed = match self.below(4) {
            0 => engine.pause(&staff, id, None).await.map(drop),
            1 => {
                let Ok(item) = Slug::new(self.one_of(&["dosa", "thali", "tea"])) else { return };
                let availability = Availability::default();
                engine.set_availability(&staff, id, &item, availability, None).await.map(drop)
            }
            2 => {
                let edition = self.below(100);
                engine.replace_menu(&staff, id, menu(edition), None).await.map(drop)
            }
            _ => engine.resume(&staff, id).await.map(drop),
        };
        // A break is short, or nobody could order.
        if let Err(error) = engine.resume(&staff, id).await.and(changed)
            && !is_open(&error)
        {
            self.problems.push(format!("the restaurant {id} could not be changed: {error}"));
        }
    }

    /// An admin has what was parked tried again.
    pub(super) async fn an_admin_sees_to_tasks(&mut self) {
        if let Err(error) = self.retry_parked().await {
            self.problems.push(format!("parked tasks cannot be listed: {error}"));
        }
    }

    /// An admin refunds the rest of an order that ended early, after a refund of the order was refused or failed.
    pub(super) async fn give_back_what_is_owed(&mut self, order: &Order) {
        let was_refused = order.refunds.iter().any(|state| !state.status.counts());
        if is_owed(order) && was_refused {
            let admin = self.admin;
            let request = RefundRequest::new(None, RefundReason::OrderEnded);
            self.give(&admin, order.id, Command::Refund(request)).await;
        }
    }

    /// Has all that is parked tried again, resolves what is for people, and says how many that are.
    pub(super) async fn retry_parked(&mut self) -> Result<usize, StoreError> {
        let now = dabba_engine::Clock::now(&*self.clock);
        let parked = self.store.parked_tasks(None, PageSize::DEFAULT).await?.tasks;
        for task in &parked {
            if task.task.task.kind().is_for_people() {
                if let Some(order) = self.look_at(task.task.order_id).await {
                    self.give_back_what_is_owed(&order).await;
                }
                let (at, by, reason) = (now, self.admin.account_id, "seen to".to_owned());
                self.store.resolve_task(task.task.id, &TaskResolution { at, by, reason }).await?;
            } else {
                self.store.retry_task(task.task.id, now).await?;
            }
        }
        Ok(parked.len())
    }
}

/// Somebody of this role who is a party to an order.
fn actor_of(order: &Order, role: Role) -> Actor {
    let (account_id, restaurant_id) = (order.details.customer_id, order.details.restaurant_id);
    match role {
        Role::Customer => Actor::Customer { account_id },
        Role::Restaurant => Actor::Restaurant { account_id, restaurant_id },
        Role::Courier => Actor::Courier { account_id },
        Role::Admin => Actor::Admin { account_id },
    }
}
