//! Decisions on commands: the events, tasks and stock movements that follow from a command.

use std::sync::Arc;

use super::{
    Command, CommandKind, Event, ExpiryReason, Order, OrderDetails, OrderStatus, PaymentMethod,
    PaymentStatus, PaymentToken, RecordedEvent, RefundBearer, Rejection, StockDraw, evolve,
    permission::{check_event_limit, check_party, is_party, may_ever_give, permit},
    refund_request::refund_of,
    repeat::{Repeat, repeat},
    validation::check_content,
};
use crate::{
    Actor, OrderId, Timestamp, limits::MAX_WARNING_LEAD_SECONDS, menu::UnavailableItem,
    restaurant::RestaurantSettings, task::Task,
};
use jiff::SignedDuration;

/// Result of a command, written completely in one transaction or not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The order after the command.
    pub order: Order,
    /// New events. Empty if the command was carried out before.
    pub events: Vec<RecordedEvent>,
    /// Tasks that follow from the command.
    pub tasks: Vec<TaskSpec>,
    /// Quantities that return to limited stock.
    pub stock_returned: Vec<StockDraw>,
    /// Items that become unavailable. An item that is already unavailable for longer keeps its end.
    pub unavailable: Vec<UnavailableItem>,
}

/// A task to be written with the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskSpec {
    /// The task.
    pub task: Task,
    /// Earliest time at which the task may run.
    pub run_at: Timestamp,
}

/// Places a priced order. An order in cash is confirmed at once by the system, and so is an order by card whose total
/// is zero. Any other order by card needs `card`, and must be authorized by its payment deadline.
pub fn place(
    id: OrderId,
    details: OrderDetails,
    card: Option<&PaymentToken>,
    settings: &RestaurantSettings,
    now: Timestamp,
) -> Result<Decision, Rejection> {
    let customer = Actor::customer(details.customer_id);
    let payment_deadline = details.payment_deadline;
    let placed = RecordedEvent {
        order_id: id,
        version: 1,
        at: now,
        actor: customer,
        event: Event::Placed(Arc::new(details)),
    };
    let order = evolve(None, &placed)?;
    let mut decision = Decision { events: vec![placed], ..Decision::of(order) };
    match (decision.order.details.payment_method, card) {
        (PaymentMethod::Cash, None) => decision.confirm(settings.acceptance_deadline(), now)?,
        // There is nothing to capture.
        (PaymentMethod::Card, Some(_)) if !decision.order.details.needs_provider() => {
            decision.confirm(settings.acceptance_deadline(), now)?;
        }
        (PaymentMethod::Card, Some(token)) => {
            decision.tasks_at(now, [Task::AuthorizePayment { token: token.clone() }]);
            if let Some(deadline) = payment_deadline {
                decision.tasks_at(deadline, [Task::ExpireUnpaid]);
            }
        }
        (PaymentMethod::Cash, Some(_)) | (PaymentMethod::Card, None) => {
            return Err(Rejection::PaymentTokenMismatch);
        }
    }
    Ok(decision)
}

/// Decides on a command. `settings` are the settings of the order's restaurant.
///
/// If the command was carried out before with the same content, by any actor, the decision contains no events.
///
/// The checks run in this order:
/// 1. Is the actor a party to the order?
/// 2. May the actor's role give the command for such an order?
/// 3. Is the content valid for the actor?
/// 4. Was the command carried out before?
/// 5. Does the command fit the order's status?
///
/// If a newer version of Dabba wrote something about the order, `decide` refuses every command
/// ([`Rejection::WrittenByNewer`]).
///
/// An actor who may not see the order gets [`Rejection::NotAParty`], regardless of the content. One command of such an
/// actor succeeds: a courier may take a free order.
pub fn decide(
    order: &Order,
    command: &Command,
    actor: &Actor,
    settings: &RestaurantSettings,
    now: Timestamp,
) -> Result<Decision, Rejection> {
    check_party(order, command.kind(), actor)?;
    if order.is_written_by_newer {
        return Err(Rejection::WrittenByNewer);
    }
    if !may_ever_give(order, command.kind(), actor) {
        return Err(Rejection::IllegalMove { command: command.kind(), status: order.status });
    }
    if let Err(invalid) = check_content(order, command, actor, now) {
        // A problem of the content would reveal that the order exists.
        return Err(if is_party(order, actor) { invalid } else { Rejection::NotAParty });
    }
    match repeat(order, command) {
        Repeat::Same => return Ok(Decision::unchanged(order)),
        Repeat::Other => return Err(Rejection::Already { command: command.kind() }),
        Repeat::Not => {}
    }
    permit(order, command.kind(), actor)?;
    check_event_limit(order, command.kind())?;
    let mut decision = Decision::unchanged(order);
    match command {
        Command::Confirm if order.awaits_payment() => {
            return Err(Rejection::IllegalMove { command: CommandKind::Confirm, status: order.status });
        }
        Command::Confirm => decision.confirm(settings.acceptance_deadline(), now)?,
        Command::Accept { preparation_minutes } => decision.accept(actor, *preparation_minutes, now)?,
        Command::Reject { reason, note, items } => {
            let stock_returned = decision.return_stock_except(items);
            let (reason, note, items) = (*reason, note.clone(), items.clone());
            decision.record(actor, now, Event::Rejected { reason, note, items, stock_returned })?;
            decision.unwind_payment(actor, now)?;
        }
        Command::MarkReady => decision.record(actor, now, Event::MarkedReady)?,
        Command::AssignCourier { courier_id, reason, note } => {
            let (courier_id, reason, note) = (*courier_id, *reason, note.clone());
            decision.record(actor, now, Event::CourierAssigned { courier_id, reason, note })?;
        }
        Command::PickUp => decision.record(actor, now, Event::PickedUp)?,
        Command::Deliver { reason, note } => {
            decision.record(actor, now, Event::Delivered { reason: *reason, note: note.clone() })?;
            if order.details.payment_method == PaymentMethod::Cash {
                let amount = order.details.amounts.total;
                decision.record(actor, now, Event::PaymentCaptured { amount })?;
            }
        }
        Command::Cancel { reason, note, items } => {
            let stock_returned = decision.return_stock_except(items);
            let (reason, note, items) = (*reason, note.clone(), items.clone());
            let borne_by = bearer_of_cancellation(order, actor);
            decision.record(
                actor,
                now,
                Event::Cancelled { reason, note, items, stock_returned, borne_by },
            )?;
            decision.unwind_payment(actor, now)?;
        }
        Command::Warn => {
            if order.warning_time(settings).is_none_or(|time| now < time) {
                return Err(Rejection::IllegalMove { command: CommandKind::Warn, status: order.status });
            }
            if let Some(acceptance_deadline) = order.acceptance_deadline {
                decision.record(actor, now, Event::AcceptanceDue { acceptance_deadline })?;
                decision.tasks_at(acceptance_deadline, [Task::ExpireUnaccepted]);
            }
        }
        Command::Expire => decision.expire(actor, now)?,
        Command::Refund(request) => {
            let refund = refund_of(order, request, actor, settings.refund_limit)?;
            decision.request_refund(actor, refund, now)?;
        }
    }
    Ok(decision)
}

impl Order {
    /// Returns whether the order needs an authorization by the payment provider before it can be confirmed.
    pub fn awaits_payment(&self) -> bool {
        self.status == OrderStatus::Created && self.details.needs_provider()
    }

    /// Returns the time from which the restaurant can be warned that its time to accept is running out; `None` unless
    /// the order waits for the restaurant.
    pub fn warning_time(&self, settings: &RestaurantSettings) -> Option<Timestamp> {
        let deadline = self.acceptance_deadline.filter(|_| self.status == OrderStatus::Confirmed)?;
        let lead = warning_lead(settings.acceptance_deadline());
        Some(deadline.checked_sub(lead).unwrap_or(Timestamp::MIN))
    }

    /// Returns the deadline at which the order expires, if it has one in its current status.
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.status {
            OrderStatus::Created => self.details.payment_deadline,
            OrderStatus::Confirmed => self.acceptance_deadline,
            _ => None,
        }
    }
}

impl Order {
    /// Returns whether the restaurant was warned that its time to accept is running out, and still has to accept. The
    /// warning is the order's only event after its warning time, unless the payment provider reports a difference then.
    pub fn is_acceptance_due(&self, settings: &RestaurantSettings) -> bool {
        self.warning_time(settings).is_some_and(|time| self.updated_at >= time)
    }
}

/// Returns the lead time of the warning before the acceptance deadline, for a restaurant with this time to accept.
fn warning_lead(time_to_accept: SignedDuration) -> SignedDuration {
    SignedDuration::from_secs(i64::from(MAX_WARNING_LEAD_SECONDS)).min(time_to_accept / 2)
}

/// Returns who bears the refund that follows from a cancellation, whether the payment is captured before or after it.
/// If the kitchen has not begun, or if the restaurant itself cancels after it has begun, everyone bears the refund and
/// the sale is undone. If an admin cancels after the kitchen has begun, the platform bears the refund and the
/// restaurant is paid for its work.
fn bearer_of_cancellation(order: &Order, actor: &Actor) -> RefundBearer {
    let is_begun = !matches!(order.status, OrderStatus::Created | OrderStatus::Confirmed);
    match actor {
        Actor::Admin { .. } if is_begun => RefundBearer::Platform,
        _ => RefundBearer::Everyone,
    }
}

/// Returns `now` plus `duration`, limited to the last possible moment.
fn after(now: Timestamp, duration: SignedDuration) -> Timestamp {
    now.checked_add(duration).unwrap_or(Timestamp::MAX)
}

impl Decision {
    /// Returns the decision that changes nothing.
    pub fn unchanged(order: &Order) -> Self {
        Self::of(order.clone())
    }

    const fn of(order: Order) -> Self {
        Self {
            order,
            events: Vec::new(),
            tasks: Vec::new(),
            stock_returned: Vec::new(),
            unavailable: Vec::new(),
        }
    }

    /// Adds tasks that become due at `run_at`.
    pub(super) fn tasks_at(&mut self, run_at: Timestamp, tasks: impl IntoIterator<Item = Task>) {
        self.tasks.extend(tasks.into_iter().map(|task| TaskSpec { task, run_at }));
    }

    pub(super) fn record(&mut self, actor: &Actor, now: Timestamp, event: Event) -> Result<(), Rejection> {
        // Time never runs backwards within an order, even if the clock of a server does.
        let at = now.max(self.order.updated_at);
        let version = self.order.version + 1;
        let recorded = RecordedEvent { order_id: self.order.id, version, at, actor: *actor, event };
        self.order = evolve(Some(self.order.clone()), &recorded)?;
        self.events.push(recorded);
        Ok(())
    }

    pub(super) fn confirm(
        &mut self,
        time_to_accept: SignedDuration,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let acceptance_deadline = after(now, time_to_accept);
        // The task of the warning later adds the task of the expiry.
        self.tasks_at(after(now, time_to_accept - warning_lead(time_to_accept)), [Task::WarnUnaccepted]);
        self.record(&Actor::System, now, Event::Confirmed { acceptance_deadline })
    }

    fn accept(&mut self, actor: &Actor, preparation_minutes: u32, now: Timestamp) -> Result<(), Rejection> {
        let ready_by = after(now, SignedDuration::from_mins(i64::from(preparation_minutes)));
        self.record(actor, now, Event::Accepted { preparation_minutes, ready_by })?;
        if self.order.payment_status == PaymentStatus::Authorized {
            self.tasks_at(now, [Task::CapturePayment]);
        }
        Ok(())
    }

    fn expire(&mut self, actor: &Actor, now: Timestamp) -> Result<(), Rejection> {
        let status = self.order.status;
        if self.order.deadline().is_none_or(|deadline| now < deadline) {
            return Err(Rejection::IllegalMove { command: CommandKind::Expire, status });
        }
        let waited_for =
            if self.order.awaits_payment() { ExpiryReason::Payment } else { ExpiryReason::Restaurant };
        let stock_returned = self.return_stock();
        self.record(actor, now, Event::Expired { waited_for, stock_returned })?;
        self.unwind_payment(actor, now)
    }

    /// Adds the order's draws from limited stock to the returned stock, unless the kitchen has begun. Returns whether any
    /// stock is returned.
    pub(super) fn return_stock(&mut self) -> bool {
        self.return_stock_except(&[])
    }

    /// Same as `return_stock`, but keeps the draws of unavailable items, and marks these items as unavailable, even if the
    /// kitchen has begun.
    fn return_stock_except(&mut self, unavailable: &[UnavailableItem]) -> bool {
        self.unavailable.extend_from_slice(unavailable);
        if matches!(self.order.status, OrderStatus::Created | OrderStatus::Confirmed) {
            let is_there = |draw: &&StockDraw| unavailable.iter().all(|named| named.item != draw.item);
            self.stock_returned.extend(self.order.details.stock_drawn.iter().filter(is_there).cloned());
        }
        !self.stock_returned.is_empty()
    }
}
