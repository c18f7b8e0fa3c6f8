//! Whether an order's events are a history, a legal one, and lead to the order that is stored.

use std::{fmt, sync::Arc};

use dabba_domain::{
    AccountId, Actor, Timestamp,
    order::{Closure, Event, Order, OrderDetails, OrderStatus, RecordedEvent},
};

use super::{
    Code, Findings,
    moves::{Illegal, Position},
};

pub(super) fn check(order: &Order, events: &[RecordedEvent], findings: &mut Findings) {
    let (home, restaurant_home) = (order.id.bucket(), order.details.restaurant_id.bucket());
    if home != restaurant_home {
        let text = format!(
            "it is in bucket {}; its restaurant {} is in {}",
            home.number(),
            order.details.restaurant_id,
            restaurant_home.number()
        );
        findings.add(Code::WrongBucket, text);
    }
    let Some(mut replay) = begin(order, events, findings) else { return };
    for recorded in &events[1..] {
        replay.step(recorded, findings);
    }
    replay.finish(findings);
    let version_fits = u32::try_from(events.len()) == Ok(order.version);
    if version_fits {
        replay.compare(order, findings);
    } else {
        let text = format!("it is at version {}, and has {} events", order.version, events.len());
        findings.add(Code::HistoryVersion, text);
    }
}

/// Whether these can be events of one order at all, and if so the order as it was placed.
fn begin<'a>(order: &Order, events: &'a [RecordedEvent], findings: &mut Findings) -> Option<Replay<'a>> {
    let Some(first) = events.first() else {
        findings.add(Code::HistoryMissing, format!("it is at version {}, and has no events", order.version));
        return None;
    };
    if let Some(foreign) = events.iter().find(|event| event.order_id != order.id) {
        let text = format!("its event {} says that it belongs to {}", foreign.version, foreign.order_id);
        findings.add(Code::HistoryForeign, text);
        return None;
    }
    if let Some((expected, found)) = (1..).zip(events).find(|(expected, event)| event.version != *expected) {
        let text = format!("event {expected} has the number {}", found.version);
        findings.add(Code::HistoryNumbering, text);
        return None;
    }
    let late = events[1..].iter().find(|event| matches!(event.event, Event::Placed(_)));
    let (Event::Placed(details), None) = (&first.event, late) else {
        let text = late.map_or_else(
            || format!("its first event is {}, not placed", first.event.name()),
            |late| format!("its event {} places it again", late.version),
        );
        findings.add(Code::HistoryStart, text);
        return None;
    };
    if first.actor != (Actor::Customer { account_id: details.customer_id }) {
        let text = format!("it was placed by {}, not by its customer", name(&first.actor));
        findings.add(Code::IllegalActor, text);
    }
    Some(Replay::new(first, details))
}

/// An order in words that are the auditor's own, as its events make it.
struct Replay<'a> {
    details: &'a Arc<OrderDetails>,
    placed_at: Timestamp,
    updated_at: Timestamp,
    status: OrderStatus,
    courier_id: Option<AccountId>,
    acceptance_deadline: Option<Timestamp>,
    ready_by: Option<Timestamp>,
    closure: Option<Closure>,
    captured: i128,
    refunded: i128,
    /// How often money was collected, and the event that did so before the food was handed over.
    captures: u32,
    early_capture: Option<u32>,
}

impl<'a> Replay<'a> {
    const fn new(first: &RecordedEvent, details: &'a Arc<OrderDetails>) -> Self {
        Self {
            details,
            placed_at: first.at,
            updated_at: first.at,
            status: OrderStatus::Created,
            courier_id: None,
            acceptance_deadline: None,
            ready_by: None,
            closure: None,
            captured: 0,
            refunded: 0,
            captures: 0,
            early_capture: None,
        }
    }

    /// Judges an event, and takes it for what it says, so that one wrong move is found once.
    fn step(&mut self, recorded: &RecordedEvent, findings: &mut Findings) {
        let RecordedEvent { version, at, actor, event, .. } = recorded;
        if *at < self.updated_at {
            let text = format!("event {version} is of {at}, the one before it of {}", self.updated_at);
            findings.add(Code::HistoryTime, text);
        }
        if let Event::PaymentCaptured { .. } = event {
            self.captures += 1;
            if self.status != OrderStatus::Delivered {
                self.early_capture.get_or_insert(*version);
            }
        } else {
            self.judge(recorded, findings);
        }
        self.updated_at = *at;
        self.take(event, actor);
    }

    fn judge(&self, recorded: &RecordedEvent, findings: &mut Findings) {
        let RecordedEvent { version, at, actor, event, .. } = recorded;
        let position = Position { details: self.details, status: self.status, courier_id: self.courier_id };
        let (name, by, status) = (event.name(), name(actor), self.status);
        match position.judge(event, actor) {
            Ok(()) => {}
            Err(Illegal::Move) => {
                let text = format!("event {version} is {name}, which nobody may do while it is {status}");
                findings.add(Code::IllegalMove, text);
            }
            Err(Illegal::Actor) => {
                let text = format!("event {version} is {name} by {by}, who may not while it is {status}");
                findings.add(Code::IllegalActor, text);
            }
            Err(Illegal::AfterEnd) => {
                let text = format!("event {version} is {name}, after the order was {status}");
                findings.add(Code::MovedAfterEnd, text);
            }
        }
        if let (Event::Expired { .. }, Some(deadline)) = (event, self.acceptance_deadline)
            && *at < deadline
        {
            let text = format!("it expired at {at}; the restaurant had time until {deadline}");
            findings.add(Code::ExpiredEarly, text);
        }
    }

    fn take(&mut self, event: &Event, actor: &Actor) {
        let ended = |closure| (OrderStatus::Cancelled, Some(closure));
        match event {
            Event::Placed(_) => {}
            Event::Confirmed { acceptance_deadline } => {
                (self.status, self.acceptance_deadline) =
                    (OrderStatus::Confirmed, Some(*acceptance_deadline));
            }
            Event::Accepted { ready_by, .. } => {
                (self.status, self.ready_by) = (OrderStatus::Preparing, Some(*ready_by));
            }
            Event::Rejected { reason, note, .. } => {
                (self.status, self.closure) =
                    ended(Closure::Rejected { reason: *reason, note: note.clone() });
            }
            Event::MarkedReady => self.status = OrderStatus::ReadyForPickup,
            Event::CourierAssigned { courier_id } => self.courier_id = Some(*courier_id),
            Event::PickedUp => self.status = OrderStatus::OutForDelivery,
            Event::Delivered => self.status = OrderStatus::Delivered,
            Event::Cancelled { reason, note, .. } => {
                (self.status, self.closure) =
                    ended(Closure::Cancelled { by: *actor, reason: *reason, note: note.clone() });
            }
            Event::Expired { .. } => (self.status, self.closure) = ended(Closure::Expired),
            Event::PaymentCaptured { amount } => self.captured = amount.minor().into(),
            Event::Refunded { amount, .. } => {
                self.refunded += i128::from(amount.minor());
                if self.refunded == self.captured {
                    self.status = OrderStatus::Refunded;
                }
            }
        }
    }

    fn finish(&self, findings: &mut Findings) {
        if self.captures > 1 {
            let text = format!("its money was collected {} times", self.captures);
            findings.add(Code::CapturedTwice, text);
        }
        // Of an order that ended early it only matters that the money is back.
        if let (Some(version), None) = (self.early_capture, &self.closure) {
            let text = format!("event {version} collects the money before the food was handed over");
            findings.add(Code::CapturedEarly, text);
        }
    }

    /// Compares with the order that is stored. The payment status follows from the rest, and is judged
    /// with the money.
    fn compare(&self, order: &Order, findings: &mut Findings) {
        let (captured, refunded) = (order.captured.minor().into(), order.refunded.minor().into());
        let mut differences: Vec<String> = [
            difference("status", &order.status, &self.status),
            difference("captured", &captured, &self.captured),
            difference("refunded", &refunded, &self.refunded),
            difference("courier_id", &order.courier_id, &self.courier_id),
            difference("acceptance_deadline", &order.acceptance_deadline, &self.acceptance_deadline),
            difference("ready_by", &order.ready_by, &self.ready_by),
            difference("placed_at", &order.placed_at, &self.placed_at),
            difference("updated_at", &order.updated_at, &self.updated_at),
        ]
        .into_iter()
        .flatten()
        .collect();
        // What people wrote, where they live and what they are called does not belong in a report.
        if order.closure != self.closure {
            differences.push("closure is not how its events end it".to_owned());
        }
        if order.details != *self.details {
            differences.push("details are not those with which it was placed".to_owned());
        }
        if !differences.is_empty() {
            findings.add(Code::StateDiffers, differences.join("; "));
        }
    }
}

fn difference<T: PartialEq + fmt::Debug>(field: &str, stored: &T, replayed: &T) -> Option<String> {
    (stored != replayed).then(|| format!("{field} is {stored:?}, its events make it {replayed:?}"))
}

/// An actor in words.
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
