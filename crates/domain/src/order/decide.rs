//! From a command to the events that follow from it, or to the reason why not.

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

/// What a command leads to: written in one transaction, or not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The order after the command.
    pub order: Order,
    /// What happened. Empty when the command had been carried out before.
    pub events: Vec<RecordedEvent>,
    /// Work that follows.
    pub tasks: Vec<TaskSpec>,
    /// What goes back to limited stock.
    pub stock_returned: Vec<StockDraw>,
    /// Items that become unavailable with it; one that is unavailable for longer stays so.
    pub unavailable: Vec<UnavailableItem>,
}

/// Work that has to be done later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskSpec {
    /// What.
    pub task: Task,
    /// When, at the earliest.
    pub run_at: Timestamp,
}

/// Why a command was not carried out. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The order is not the actor's: they may not even know that it exists.
    #[error("the order is not theirs")]
    NotTheirs,
    /// Nobody in the actor's role may ever give this command.
    #[error("{command} is not for this role; it is for {}", roles(*command))]
    RoleNotAllowed {
        /// The command.
        command: CommandKind,
    },
    /// The command was carried out before, with other content as far as the order knows;
    /// [`is_repeat`](super::is_repeat) tells.
    #[error("the order has been {} already, with other content", done(*command))]
    Already {
        /// The command.
        command: CommandKind,
    },
    /// The command does not fit the order as it is.
    #[error("{command} is not possible while the order is {status}")]
    IllegalMove {
        /// The command.
        command: CommandKind,
        /// The status in which the order is.
        status: OrderStatus,
    },
    /// What the command says is not what this actor may say, whatever the order is like.
    #[error("{0}")]
    Invalid(Problems),
    /// A refund of nothing, or of more than is left.
    #[error("{}", not_refundable(*refundable))]
    AmountNotRefundable {
        /// What is left to refund, in minor units.
        refundable: Amount,
    },
    /// More than the restaurant's staff may refund of one order.
    #[error("the restaurant may refund {limit} of an order at most; an admin may refund more", limit = limit.minor())]
    RefundLimit {
        /// The limit, in minor units.
        limit: Amount,
    },
    /// A payment by card needs a token, and one in cash has none.
    #[error("a payment by card needs a token, and one in cash has none")]
    PaymentNotUnderstood,
    /// The order has as many events as an order may have.
    #[error("the order has had {MAX_ORDER_VERSION} changes, and takes only commands that end it")]
    HistoryFull,
    /// A newer version of Dabba wrote something about the order that this version does not understand. A server of that
    /// version can carry out what was asked.
    #[error(
        "the order was written by a newer version of Dabba, and only a server of that version may change it"
    )]
    Newer,
    /// The order's stored history does not hold together.
    #[error(transparent)]
    History(#[from] HistoryError),
}

fn not_refundable(refundable: Amount) -> String {
    match refundable.minor() {
        0 => "nothing is left to refund".to_owned(),
        left => format!("the amount must be from 1 to {left}, which is what is left to refund"),
    }
}

/// What an order is after a command.
const fn done(command: CommandKind) -> &'static str {
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

/// Something that the actor may do with an order now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AllowedAction {
    /// The command.
    pub command: CommandKind,
    /// Until when; no limit, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

/// Places an order that has been priced. `system` events follow at once where nothing has to be
/// waited for: an order paid in cash is confirmed, and so is an order by card whose total is zero. Any other
/// order by card, with `card`, has until its payment deadline to be authorized.
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

/// Decides on a command. `settings` are those of the order's restaurant.
///
/// A command that was carried out before with the same content, by whomever, is answered with a decision
/// without events. The order of the checks is: is the order theirs, is the command for their role and for such an
/// order, may they say what it says, is it done, does it fit the order.
/// Nothing is decided on an order of which a newer version of Dabba wrote something ([`Rejection::Newer`]).
///
/// An actor who may not see the order is refused with [`Rejection::NotTheirs`] whatever the command says. The one
/// command that succeeds for them is that of a courier who takes a free order.
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
    if !could_have(order, command.kind(), actor) {
        return Err(Rejection::IllegalMove { command: command.kind(), status: order.status });
    }
    if let Err(invalid) = check_content(order, command, actor, now) {
        // What is wrong would tell that the order is there.
        return Err(if is_theirs(order, actor) { invalid } else { Rejection::NotTheirs });
    }
    match repeat(order, command, actor) {
        Repeat::Same => return Ok(Decision::unchanged(order)),
        Repeat::Other => return Err(Rejection::Already { command: command.kind() }),
        Repeat::Not => {}
    }
    permit(order, command.kind(), actor)?;
    check_room(order, command.kind())?;
    let mut decision = Decision::unchanged(order);
    match command {
        Command::Confirm if order.awaits_payment() => {
            return Err(Rejection::IllegalMove { command: CommandKind::Confirm, status: order.status });
        }
        Command::Confirm => decision.confirm(settings.acceptance_deadline(), now)?,
        Command::Accept { preparation_minutes } => decision.accept(actor, *preparation_minutes, now)?,
        Command::Reject { reason, note, items } => {
            let stock_returned = decision.return_stock_but(items);
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
            let stock_returned = decision.return_stock_but(items);
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

/// What `actor` may do with the order now, in the order of the lifecycle.
///
/// `refund_limit` is the restaurant's; it matters to its staff only. `decide` refuses a command that is
/// listed only for its content (an amount, a courier).
pub fn allowed_actions(order: &Order, actor: &Actor, refund_limit: Amount) -> Vec<AllowedAction> {
    if order.is_newer {
        return Vec::new();
    }
    CommandKind::ALL
        .iter()
        .copied()
        .filter(|command| check_party(order, *command, actor).is_ok())
        .filter(|command| permit(order, *command, actor).is_ok() && check_room(order, *command).is_ok())
        .filter(|command| match command {
            CommandKind::Refund => refundable_by(order, actor, refund_limit) > Amount::ZERO,
            // Who carries the order already has nothing to take over.
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

/// Whether the actor takes a free order: one that is delivered, is in a status in which a courier may take it, and
/// has room for the event. Any other order is not for couriers who do not carry it to know of.
fn claims(order: &Order, command: CommandKind, actor: &Actor) -> bool {
    command == CommandKind::AssignCourier
        && matches!(actor, Actor::Courier { .. })
        && permit(order, command, actor).is_ok()
        && check_room(order, command).is_ok()
}

/// Checks that the order is the actor's, and the command one for their role.
fn check_party(order: &Order, command: CommandKind, actor: &Actor) -> Result<(), Rejection> {
    if !is_theirs(order, actor) && !claims(order, command, actor) {
        return Err(Rejection::NotTheirs);
    }
    if !rules_of(command).any(|rule| rule.who.iter().any(|who| who.has_role_of(actor))) {
        return Err(Rejection::RoleNotAllowed { command });
    }
    Ok(())
}

/// Asks the lifecycle table.
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

/// Whether the actor may give such a command in some status. To repeat a command, one must have been able to
/// give it.
fn could_have(order: &Order, command: CommandKind, actor: &Actor) -> bool {
    rules_for(order, command, actor).next().is_some()
}

/// The rules of a command that name the actor, for such an order.
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

/// Checks that an order with so many events takes such a command.
fn check_room(order: &Order, command: CommandKind) -> Result<(), Rejection> {
    if order.version >= MAX_ORDER_VERSION && !command.ends_order() {
        return Err(Rejection::HistoryFull);
    }
    Ok(())
}

/// Whether the actor is a party to the order, and so may see it.
pub(crate) fn is_theirs(order: &Order, actor: &Actor) -> bool {
    [Who::Customer, Who::Restaurant, Who::AssignedCourier, Who::Admin, Who::System]
        .into_iter()
        .any(|who| who.is(actor, order))
}

impl Order {
    /// Whether `actor` may see this order (I9).
    pub fn is_visible_to(&self, actor: &Actor) -> bool {
        is_theirs(self, actor)
    }

    /// Whether it cannot go on before a payment provider says that the money is set aside.
    pub fn awaits_payment(&self) -> bool {
        self.status == OrderStatus::Created && self.details.needs_provider()
    }

    /// From when on the restaurant can be warned that its time runs out, while it has to accept.
    pub fn warning_time(&self, settings: &Settings) -> Option<Timestamp> {
        let deadline = self.acceptance_deadline.filter(|_| self.status == OrderStatus::Confirmed)?;
        let lead = warning_lead(settings.acceptance_deadline());
        Some(deadline.checked_sub(lead).unwrap_or(Timestamp::MIN))
    }

    /// Until when something has to happen, or the order expires.
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.status {
            OrderStatus::Created => self.details.payment_deadline,
            OrderStatus::Confirmed => self.acceptance_deadline,
            _ => None,
        }
    }
}

/// How long before its acceptance deadline a restaurant is warned that has so much time to accept.
fn warning_lead(time_to_accept: SignedDuration) -> SignedDuration {
    SignedDuration::from_secs(i64::from(MAX_WARNING_LEAD_SECONDS)).min(time_to_accept / 2)
}

/// Who bears what is refunded because an order is cancelled, whether its payment is captured before or after.
/// Where nothing was cooked, and where the restaurant gives up what it has begun, the sale is undone. Where an
/// admin cancels what the restaurant has begun, the restaurant is paid for its work.
fn bearer_of_cancellation(order: &Order, actor: &Actor) -> RefundBearer {
    let is_begun = !matches!(order.status, OrderStatus::Created | OrderStatus::Confirmed);
    match actor {
        Actor::Admin { .. } if is_begun => RefundBearer::Platform,
        _ => RefundBearer::Everyone,
    }
}

/// `duration` after `now`; the last moment there is, when that is beyond it.
fn after(now: Timestamp, duration: SignedDuration) -> Timestamp {
    now.checked_add(duration).unwrap_or(Timestamp::MAX)
}

impl Decision {
    /// That nothing follows: the order stays as it is.
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

    /// Adds work that is to be done from then on.
    pub(super) fn tasks_at(&mut self, run_at: Timestamp, tasks: impl IntoIterator<Item = Task>) {
        self.tasks.extend(tasks.into_iter().map(|task| TaskSpec { task, run_at }));
    }

    pub(super) fn record(&mut self, actor: &Actor, now: Timestamp, event: Event) -> Result<(), Rejection> {
        // Time never runs backwards within an order, even where a server's clock does.
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
        // The warning is followed by the expiry.
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

    /// Gives back what the order took from limited stock, unless the food has been begun. Answers whether anything
    /// went back.
    pub(super) fn return_stock(&mut self) -> bool {
        self.return_stock_but(&[])
    }

    /// The same, but for items that are not there. They become unavailable, also when the food has been begun.
    fn return_stock_but(&mut self, unavailable: &[UnavailableItem]) -> bool {
        self.unavailable.extend_from_slice(unavailable);
        if matches!(self.order.status, OrderStatus::Created | OrderStatus::Confirmed) {
            let is_there = |draw: &&StockDraw| unavailable.iter().all(|named| named.item != draw.item);
            self.stock_returned.extend(self.order.details.stock_drawn.iter().filter(is_there).cloned());
        }
        !self.stock_returned.is_empty()
    }
}
