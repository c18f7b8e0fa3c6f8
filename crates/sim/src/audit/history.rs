//! Checks that the events of an order are a legal history that leads to the stored order.

use std::{fmt, sync::Arc};

use dabba_domain::{
    AccountId, Actor, Timestamp,
    order::{
        Closure, Event, ExpiryReason, Order, OrderDetails, OrderStatus, PaymentMethod, RecordedEvent,
        RefundBearer,
    },
};

use super::{
    FindingCode, Findings,
    moves::{Illegal, Position},
    payment::Payment,
    returns,
};

pub(super) fn check(order: &Order, events: &[RecordedEvent], findings: &mut Findings) {
    let (home, restaurant_home) = (order.id.bucket(), order.details.restaurant_id.bucket());
    if home != restaurant_home {
        let text = format!(
            "the order is in bucket {}, its restaurant {} in bucket {}",
            home.number(),
            order.details.restaurant_id,
            restaurant_home.number()
        );
        findings.add(FindingCode::WrongBucket, text);
    }
    let Some(mut replay) = begin(order, events, findings) else { return };
    for recorded in &events[1..] {
        replay.step(recorded, findings);
    }
    replay.payment.finish(replay.closure.is_some(), findings);
    if check_version(order, events, findings) {
        replay.compare(order, findings);
    }
}

/// Checks an order with data of a newer version, as far as possible: its events are numbered without a gap up
/// to its version, and the first event places the order.
pub(super) fn check_numbering(order: &Order, events: &[RecordedEvent], findings: &mut Findings) {
    if begin(order, events, findings).is_some() {
        check_version(order, events, findings);
    }
}

/// Checks that the order's version is the version of its last event.
fn check_version(order: &Order, events: &[RecordedEvent], findings: &mut Findings) -> bool {
    let fits = u32::try_from(events.len()) == Ok(order.version);
    if !fits {
        let text = format!("it is at version {} but has {} events", order.version, events.len());
        findings.add(FindingCode::HistoryVersion, text);
    }
    fits
}

/// Checks that the events can be the history of one order. Returns the order as it was placed, or `None`.
fn begin<'a>(order: &Order, events: &'a [RecordedEvent], findings: &mut Findings) -> Option<Replay<'a>> {
    let Some(first) = events.first() else {
        findings.add(
            FindingCode::HistoryMissing,
            format!("it is at version {} but has no events", order.version),
        );
        return None;
    };
    if let Some(foreign) = events.iter().find(|event| event.order_id != order.id) {
        let text = format!("its event {} names order {}", foreign.version, foreign.order_id);
        findings.add(FindingCode::HistoryForeign, text);
        return None;
    }
    if let Some((expected, found)) = (1..).zip(events).find(|(expected, event)| event.version != *expected) {
        let text = format!("event {expected} has the number {}", found.version);
        findings.add(FindingCode::HistoryNumbering, text);
        return None;
    }
    let late = events[1..].iter().find(|event| matches!(event.event, Event::Placed(_)));
    let (Event::Placed(details), None) = (&first.event, late) else {
        let text = late.map_or_else(
            || format!("its first event is {}, not placed", first.event.name()),
            |late| format!("its event {} places it again", late.version),
        );
        findings.add(FindingCode::HistoryStart, text);
        return None;
    };
    if first.actor != Actor::customer(details.customer_id) {
        let text = format!("it was placed by {}, not by its customer", name(&first.actor));
        findings.add(FindingCode::IllegalActor, text);
    }
    Some(Replay::new(first, details))
}

/// The order that the auditor computes from the events.
struct Replay<'a> {
    details: &'a Arc<OrderDetails>,
    placed_at: Timestamp,
    updated_at: Timestamp,
    status: OrderStatus,
    courier_id: Option<AccountId>,
    acceptance_deadline: Option<Timestamp>,
    ready_by: Option<Timestamp>,
    closure: Option<Closure>,
    /// The actor of the last event, if that event requires a refund: it ended the order early after a
    /// capture, or it captured after the early end.
    unwound_by: Option<Actor>,
    payment: Payment,
}

impl<'a> Replay<'a> {
    fn new(first: &RecordedEvent, details: &'a Arc<OrderDetails>) -> Self {
        Self {
            details,
            placed_at: first.at,
            updated_at: first.at,
            status: OrderStatus::Created,
            courier_id: None,
            acceptance_deadline: None,
            ready_by: None,
            closure: None,
            unwound_by: None,
            payment: Payment::new(details),
        }
    }

    /// Checks an event and applies it even if it is wrong, so that one wrong move causes one finding.
    fn step(&mut self, recorded: &RecordedEvent, findings: &mut Findings) {
        let RecordedEvent { version, at, actor, event, .. } = recorded;
        if *at < self.updated_at {
            let text =
                format!("event {version} is dated {at}, before the previous event at {}", self.updated_at);
            findings.add(FindingCode::HistoryTime, text);
        }
        let in_cash = self.details.payment_method == PaymentMethod::Cash;
        // The time and actor of a capture in cash are checked with the delivery.
        if !(in_cash && matches!(event, Event::PaymentCaptured { .. })) {
            self.judge(recorded, findings);
        }
        self.payment.step(recorded, self.status, findings);
        self.updated_at = *at;
        let had_ended = self.closure.is_some();
        self.apply(event, actor);
        let unwinds = matches!(event, Event::PaymentCaptured { .. }) || !had_ended;
        self.unwound_by = (unwinds && self.closure.is_some()).then_some(*actor);
    }

    fn judge(&self, recorded: &RecordedEvent, findings: &mut Findings) {
        let RecordedEvent { version, at, actor, event, .. } = recorded;
        let position = Position {
            details: self.details,
            status: self.status,
            courier_id: self.courier_id,
            unwound_by: self.unwound_by,
        };
        let (name, by, status) = (event.name(), name(actor), self.status);
        match position.judge(event, actor) {
            Ok(()) => {}
            Err(Illegal::Move) => {
                let text =
                    format!("event {version} is {name}, which is not possible while the order is {status}");
                findings.add(FindingCode::IllegalMove, text);
            }
            Err(Illegal::Actor) => {
                let text = format!(
                    "event {version} is {name} by {by}, who may not do that while the order is {status}"
                );
                findings.add(FindingCode::IllegalActor, text);
            }
            Err(Illegal::AfterEnd) => {
                let text = format!("event {version} is {name}, after the order was {status}");
                findings.add(FindingCode::MovedAfterEnd, text);
            }
        }
        self.judge_deadline(*version, *at, event, findings);
        self.judge_bearer(recorded, findings);
        returns::judge(self.details, self.status, recorded, findings);
    }

    /// Checks who bears an early end. Everyone bears it, except that the platform bears an admin's
    /// cancellation of an order that the restaurant has begun. Staff cannot name another bearer for an early
    /// end, and can name only the restaurant for other refunds.
    fn judge_bearer(&self, recorded: &RecordedEvent, findings: &mut Findings) {
        let RecordedEvent { version, actor, event, .. } = recorded;
        let (bearer, is_right) = match event {
            Event::Cancelled { borne_by, .. } => match borne_by {
                // Older cancellations do not name a bearer.
                RefundBearer::Everyone => return,
                RefundBearer::Platform => (borne_by, self.is_begun_and_by_admin(actor)),
                RefundBearer::Restaurant => (borne_by, false),
            },
            Event::RefundRequested(refund) if self.unwound_by == Some(*actor) => {
                (&refund.borne_by, self.may_bear_the_end(refund.borne_by, actor))
            }
            Event::RefundRequested(refund) | Event::Refunded(refund)
                if matches!(actor, Actor::Restaurant { .. }) =>
            {
                // Older refunds by staff name the restaurant also for orders that ended early.
                let is_right = refund.borne_by == RefundBearer::Restaurant
                    || (self.closure.is_some() && self.may_bear_the_end(refund.borne_by, actor));
                (&refund.borne_by, is_right)
            }
            _ => return,
        };
        if !is_right {
            let text = format!(
                "event {version}, {}, names {bearer} as the bearer, which is not allowed",
                event.name()
            );
            findings.add(FindingCode::IllegalPayment, text);
        }
    }

    fn is_begun_and_by_admin(&self, by: &Actor) -> bool {
        matches!(by, Actor::Admin { .. }) && self.ready_by.is_some()
    }

    /// Returns whether this may be the bearer of an actor's refund because of an early end.
    fn may_bear_the_end(&self, bearer: RefundBearer, actor: &Actor) -> bool {
        match &self.closure {
            // Older cancellations do not name a bearer. The platform bears the refund that the admin's own
            // decision caused for an earlier capture. Everyone bears the refund that the system caused for a
            // later capture.
            Some(Closure::Cancelled { by, borne_by: RefundBearer::Everyone, .. })
                if self.is_begun_and_by_admin(by) =>
            {
                let is_their_own = matches!(actor, Actor::Admin { .. });
                bearer == RefundBearer::Platform || (bearer == RefundBearer::Everyone && !is_their_own)
            }
            Some(Closure::Cancelled { borne_by, .. }) => bearer == *borne_by,
            _ => bearer == RefundBearer::Everyone,
        }
    }

    /// Checks that an event about a deadline names the order's deadline, and is not too early.
    fn judge_deadline(&self, version: u32, at: Timestamp, event: &Event, findings: &mut Findings) {
        let status = self.status;
        let (deadline, awaited) = match status {
            OrderStatus::Created => (self.details.payment_deadline, ExpiryReason::Payment),
            OrderStatus::Confirmed => (self.acceptance_deadline, ExpiryReason::Restaurant),
            // No other status has such a move.
            _ => return,
        };
        match event {
            Event::AcceptanceDue { acceptance_deadline } if deadline != Some(*acceptance_deadline) => {
                let text = format!(
                    "event {version} warns of the deadline {acceptance_deadline}, which is not the order's deadline"
                );
                findings.add(FindingCode::IllegalMove, text);
            }
            Event::Expired { waited_for, .. } if *waited_for != awaited => {
                let text = format!(
                    "event {version} says that the order waited for {waited_for:?} while it was {status}"
                );
                findings.add(FindingCode::IllegalMove, text);
            }
            Event::Expired { .. } => match deadline {
                Some(deadline) if at >= deadline => {}
                Some(deadline) => {
                    let text = format!("it expired at {at}, before its deadline {deadline}");
                    findings.add(FindingCode::ExpiredEarly, text);
                }
                None => {
                    let text = format!(
                        "event {version} is an expiry, but the order has no deadline while it is {status}"
                    );
                    findings.add(FindingCode::IllegalMove, text);
                }
            },
            _ => {}
        }
    }

    fn apply(&mut self, event: &Event, actor: &Actor) {
        let ended = |closure| (OrderStatus::Cancelled, Some(closure));
        match event {
            Event::Placed(_)
            | Event::AcceptanceDue { .. }
            | Event::PaymentAuthorized { .. }
            | Event::PaymentVoided
            | Event::PaymentCaptured { .. }
            | Event::RefundRequested(_)
            | Event::RefundFailed { .. }
            | Event::ChargebackOpened(_)
            | Event::PaymentDiffers { .. }
            | Event::Unknown(_) => {}
            Event::Confirmed { acceptance_deadline } => {
                (self.status, self.acceptance_deadline) =
                    (OrderStatus::Confirmed, Some(*acceptance_deadline));
            }
            Event::Accepted { ready_by, .. } => {
                (self.status, self.ready_by) = (OrderStatus::Preparing, Some(*ready_by));
            }
            Event::Rejected { reason, note, items, .. } => {
                let (reason, note, items) = (*reason, note.clone(), items.clone());
                (self.status, self.closure) = ended(Closure::Rejected { reason, note, items });
            }
            Event::MarkedReady => self.status = OrderStatus::ReadyForPickup,
            Event::CourierAssigned { courier_id, .. } => self.courier_id = Some(*courier_id),
            Event::PickedUp => self.status = OrderStatus::OutForDelivery,
            Event::Delivered { .. } => self.status = OrderStatus::Delivered,
            Event::Cancelled { reason, note, items, borne_by, .. } => {
                // The state names the customer alone, whatever way the customer's command took.
                let by = match *actor {
                    Actor::Customer { account_id, .. } => Actor::customer(account_id),
                    other => other,
                };
                let (reason, note, borne_by) = (*reason, note.clone(), *borne_by);
                let items = items.clone();
                (self.status, self.closure) = ended(Closure::Cancelled { by, reason, note, items, borne_by });
            }
            Event::Expired { waited_for, .. } => {
                (self.status, self.closure) = ended(Closure::Expired { waited_for: *waited_for });
            }
            // A failed payment may be reported after the end, which then stays unchanged.
            Event::PaymentFailed { reason, .. } => {
                if !matches!(
                    self.status,
                    OrderStatus::Delivered | OrderStatus::Cancelled | OrderStatus::Refunded
                ) {
                    (self.status, self.closure) = ended(Closure::PaymentFailed { reason: *reason });
                }
            }
            // Not the full amount is refunded any more, so the order returns to its status before the full
            // refund.
            Event::RefundReversed { .. } | Event::ChargebackWon { .. } => {
                if self.status == OrderStatus::Refunded && self.payment.refunded < self.payment.captured {
                    self.status = match self.closure {
                        Some(_) => OrderStatus::Cancelled,
                        None => OrderStatus::Delivered,
                    };
                }
            }
            // The order continues while the food is on its way.
            Event::Refunded(_) | Event::ChargebackLost { .. } => {
                let is_over = matches!(self.status, OrderStatus::Delivered | OrderStatus::Cancelled);
                if is_over && self.payment.refunded >= self.payment.captured {
                    self.status = OrderStatus::Refunded;
                }
            }
        }
    }

    /// Compares the replayed order with the stored one. The payment status of an order in cash follows from
    /// the amounts and is checked there.
    fn compare(&self, order: &Order, findings: &mut Findings) {
        let (captured, refunded) = (order.captured.minor().into(), order.refunded.minor().into());
        let mut differences: Vec<String> = [
            difference("status", &order.status, &self.status),
            difference("captured", &captured, &self.payment.captured),
            difference("refunded", &refunded, &self.payment.refunded),
            difference("payment_reference", &order.payment_reference, &self.payment.reference),
            difference("courier_id", &order.courier_id, &self.courier_id),
            difference("acceptance_deadline", &order.acceptance_deadline, &self.acceptance_deadline),
            difference("ready_by", &order.ready_by, &self.ready_by),
            difference("placed_at", &order.placed_at, &self.placed_at),
            difference("updated_at", &order.updated_at, &self.updated_at),
        ]
        .into_iter()
        .flatten()
        .collect();
        // A report must not contain texts, addresses or names of people.
        if order.closure != self.closure {
            differences.push("closure differs from its events".to_owned());
        }
        if order.details != *self.details {
            differences.push("details differ from the placed order".to_owned());
        }
        if order.refunds != self.payment.refunds {
            differences.push("refunds differ from its events".to_owned());
        }
        let (payment, replayed) = (order.payment_status, self.payment.status());
        if self.details.payment_method == PaymentMethod::Card && payment != replayed {
            let text = format!("its payment is {payment}; according to its events it is {replayed}");
            findings.add(FindingCode::PaymentStatus, text);
        }
        if !differences.is_empty() {
            findings.add(FindingCode::StateDiffers, differences.join("; "));
        }
    }
}

fn difference<T: PartialEq + fmt::Debug>(field: &str, stored: &T, replayed: &T) -> Option<String> {
    (stored != replayed).then(|| format!("{field} is {stored:?}; according to its events it is {replayed:?}"))
}

/// Returns an actor as text.
fn name(actor: &Actor) -> String {
    let role = match actor {
        Actor::Customer { .. } => "customer",
        Actor::Restaurant { restaurant_id, account_id } => {
            return format!("{account_id} of restaurant {restaurant_id}");
        }
        Actor::Courier { .. } => "courier",
        Actor::Admin { .. } => "admin",
        Actor::System => return "the system".to_owned(),
    };
    actor.account_id().map_or(role.to_owned(), |account_id| format!("{role} {account_id}"))
}
