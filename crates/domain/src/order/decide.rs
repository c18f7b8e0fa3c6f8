//! Decisions on commands: the events that follow from a command, or the reason why it is refused.

use std::sync::Arc;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{
    Awaited, Command, CommandKind, Event, Order, OrderDetails, OrderStatus, PaymentMethod, PaymentStatus,
    PaymentToken, RecordedEvent, RefundBearer, StockDraw, Task,
    content::check_content,
    event::HistoryError,
    evolve,
    lifecycle::{Rule, Who, roles, rules_of},
    refund::{refund_of, refundable_by},
    repeat::{Repeat, repeat},
};
use crate::{
    Actor, Amount, OrderId, Problems, Timestamp,
    limits::{MAX_ORDER_VERSION, MAX_WARNING_LEAD_SECONDS},
    menu::UnavailableItem,
    restaurant::Settings,
};

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

/// Reason why a command is refused. A refused command changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The actor is not a party to the order, and must not learn that it exists.
    #[error("the caller is not a party to the order")]
    NotTheirs,
    /// No actor in this role may ever give this command.
    #[error("{command} is not allowed for this role; allowed for {}", roles(*command))]
    RoleNotAllowed {
        /// The command.
        command: CommandKind,
    },
    /// The command was carried out before. Its content was different, as far as the order shows;
    /// [`is_repeat`](super::is_repeat) decides with the order's history.
    #[error("the order has already been {}, with different content", participle(*command))]
    Already {
        /// The command.
        command: CommandKind,
    },
    /// The command is not possible in the current status of the order.
    #[error("{command} is not possible while the order is {status}")]
    IllegalMove {
        /// The command.
        command: CommandKind,
        /// Status of the order.
        status: OrderStatus,
    },
    /// The content of the command is invalid for this actor, regardless of the order's status.
    #[error("{0}")]
    Invalid(Problems),
    /// The refund is zero, or more than is left to refund.
    #[error("{}", not_refundable(*refundable))]
    AmountNotRefundable {
        /// Amount that is left to refund, in minor units.
        refundable: Amount,
    },
    /// The refund exceeds the limit up to which the restaurant's staff may refund one order.
    #[error("the restaurant may refund at most {limit} minor units of an order; an admin may refund more", limit = limit.minor())]
    RefundLimit {
        /// The limit, in minor units.
        limit: Amount,
    },
    /// A payment by card requires a token, and a payment in cash must not have one.
    #[error("payment_token is required for a payment by card and must be absent for a payment in cash")]
    PaymentNotUnderstood,
    /// The order has the maximum number of events.
    #[error(
        "the order has the maximum of {MAX_ORDER_VERSION} events; it accepts only commands that end it, and refunds"
    )]
    HistoryFull,
    /// A newer version of Dabba wrote something about the order that this version does not understand. A server of the
    /// newer version can carry out the command.
    #[error("a newer version of Dabba wrote this order; only a server of that version may change it")]
    Newer,
    /// The stored history of the order is inconsistent.
    #[error(transparent)]
    History(#[from] HistoryError),
}

fn not_refundable(refundable: Amount) -> String {
    match refundable.minor() {
        0 => "nothing is left to refund".to_owned(),
        left => format!("the amount must be from 1 to {left} minor units, the amount that is left to refund"),
    }
}

/// Returns the participle that describes an order after a command.
const fn participle(command: CommandKind) -> &'static str {
    match command {
        CommandKind::Confirm => "confirmed",
        CommandKind::Accept => "accepted",
        CommandKind::Reject => "rejected",
        CommandKind::MarkReady => "marked as ready",
        CommandKind::AssignCourier => "assigned",
        CommandKind::PickUp => "picked up",
        CommandKind::Deliver => "delivered",
        CommandKind::Cancel => "cancelled",
        CommandKind::Warn => "warned of",
        CommandKind::Expire => "expired",
        CommandKind::Refund => "refunded",
    }
}

/// An action that the actor may take on an order now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AllowedAction {
    /// The command.
    pub command: CommandKind,
    /// Time until which the command is possible. Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

/// Places a priced order. An order in cash is confirmed at once by the system, and so is an order by card whose total
/// is zero. Any other order by card needs `card`, and must be authorized by its payment deadline.
pub fn place(
    id: OrderId,
    details: OrderDetails,
    card: Option<&PaymentToken>,
    settings: &Settings,
    now: Timestamp,
) -> Result<Decision, Rejection> {
    let customer = Actor::Customer { account_id: details.customer_id };
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
            return Err(Rejection::PaymentNotUnderstood);
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
/// If a newer version of Dabba wrote something about the order, `decide` refuses every command ([`Rejection::Newer`]).
///
/// An actor who may not see the order gets [`Rejection::NotTheirs`], regardless of the content. One command of such an
/// actor succeeds: a courier may take a free order.
pub fn decide(
    order: &Order,
    command: &Command,
    actor: &Actor,
    settings: &Settings,
    now: Timestamp,
) -> Result<Decision, Rejection> {
    check_party(order, command.kind(), actor)?;
    if order.is_newer {
        return Err(Rejection::Newer);
    }
    if !may_ever_give(order, command.kind(), actor) {
        return Err(Rejection::IllegalMove { command: command.kind(), status: order.status });
    }
    if let Err(invalid) = check_content(order, command, actor, now) {
        // A problem of the content would reveal that the order exists.
        return Err(if is_party(order, actor) { invalid } else { Rejection::NotTheirs });
    }
    match repeat(order, command, actor) {
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

/// Returns the actions that `actor` may take on the order now, in the order of the lifecycle.
///
/// `refund_limit` is the limit of the order's restaurant and matters only to its staff. `decide` refuses a listed
/// action only because of its content (an amount, a courier).
pub fn allowed_actions(order: &Order, actor: &Actor, refund_limit: Amount) -> Vec<AllowedAction> {
    if order.is_newer {
        return Vec::new();
    }
    CommandKind::ALL
        .iter()
        .copied()
        .filter(|command| check_party(order, *command, actor).is_ok())
        .filter(|command| {
            permit(order, *command, actor).is_ok() && check_event_limit(order, *command).is_ok()
        })
        .filter(|command| match command {
            CommandKind::Refund => refundable_by(order, actor, refund_limit) > Amount::ZERO,
            // The courier who already carries the order has nothing to take over.
            CommandKind::AssignCourier => !Who::AssignedCourier.is(actor, order),
            CommandKind::Confirm => !order.awaits_payment(),
            _ => true,
        })
        .map(|command| {
            let deadline = match command {
                CommandKind::Accept | CommandKind::Reject | CommandKind::Expire => order.deadline(),
                _ => None,
            };
            AllowedAction { command, deadline }
        })
        .collect()
}

/// Whether the actor is a courier who may take this free order: the order is for delivery, is in a status in which a
/// courier may take it, and has room for the event. Any other order stays hidden from couriers who do not carry it.
fn may_claim(order: &Order, command: CommandKind, actor: &Actor) -> bool {
    command == CommandKind::AssignCourier
        && matches!(actor, Actor::Courier { .. })
        && permit(order, command, actor).is_ok()
        && check_event_limit(order, command).is_ok()
}

/// Checks that the actor is a party to the order, and that the actor's role may give the command.
fn check_party(order: &Order, command: CommandKind, actor: &Actor) -> Result<(), Rejection> {
    if !is_party(order, actor) && !may_claim(order, command, actor) {
        return Err(Rejection::NotTheirs);
    }
    if !rules_of(command).any(|rule| rule.who.iter().any(|who| who.has_role_of(actor))) {
        return Err(Rejection::RoleNotAllowed { command });
    }
    Ok(())
}

/// Checks the command against the lifecycle table.
fn permit(order: &Order, command: CommandKind, actor: &Actor) -> Result<(), Rejection> {
    if rules_for(order, command, actor).any(|rule| rule.from.contains(&order.status)) {
        return Ok(());
    }
    if command == CommandKind::Refund && order.status == OrderStatus::Refunded {
        Err(Rejection::AmountNotRefundable { refundable: Amount::ZERO })
    } else {
        Err(Rejection::IllegalMove { command, status: order.status })
    }
}

/// Whether the actor may give the command for such an order in some status. Only such an actor may repeat the command.
fn may_ever_give(order: &Order, command: CommandKind, actor: &Actor) -> bool {
    rules_for(order, command, actor).next().is_some()
}

/// Returns the rules of the command that apply to the actor and to the order's kind of fulfilment.
fn rules_for<'a>(
    order: &'a Order,
    command: CommandKind,
    actor: &'a Actor,
) -> impl Iterator<Item = &'static Rule> + use<'a> {
    let fulfilment = order.details.fulfilment.kind();
    rules_of(command).filter(move |rule| {
        rule.only.is_none_or(|only| only == fulfilment) && rule.who.iter().any(|who| who.is(actor, order))
    })
}

/// Checks that an order with this number of events still accepts the command.
fn check_event_limit(order: &Order, command: CommandKind) -> Result<(), Rejection> {
    if order.version >= MAX_ORDER_VERSION && !command.ends_order() {
        return Err(Rejection::HistoryFull);
    }
    Ok(())
}

/// Whether the actor is a party to the order. Only parties may see it.
pub(crate) fn is_party(order: &Order, actor: &Actor) -> bool {
    [Who::Customer, Who::Restaurant, Who::AssignedCourier, Who::Admin, Who::System]
        .into_iter()
        .any(|who| who.is(actor, order))
}

impl Order {
    /// Whether `actor` may see this order (I9).
    pub fn is_visible_to(&self, actor: &Actor) -> bool {
        is_party(self, actor)
    }

    /// Whether the order needs an authorization by the payment provider before it can be confirmed.
    pub fn awaits_payment(&self) -> bool {
        self.status == OrderStatus::Created && self.details.needs_provider()
    }

    /// Returns the time from which the restaurant can be warned that its time to accept is running out; `None` unless
    /// the order waits for the restaurant.
    pub fn warning_time(&self, settings: &Settings) -> Option<Timestamp> {
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
        let waited_for = if self.order.awaits_payment() { Awaited::Payment } else { Awaited::Restaurant };
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
