//! A small model of a payment provider, and the properties that hold for an order and its provider in any sequence of
//! steps.
//!
//! The order's tasks call the provider, as in the engine: a task is repeated until its answer has been recorded.
//! Answers get lost. The provider also reports everything that happens by itself: late, repeatedly and in any order.

use std::collections::BTreeMap;

use dabba_domain::{
    Actor, Amount, Timestamp,
    order::{
        Command, Decision, DeclineReason, Event, Order, OrderStatus, PaymentReport, PaymentStatus,
        RecordedEvent, RefundNumber, decide, fold, settle,
    },
    task::{Task, TaskQueue},
};
use jiff::SignedDuration;
use proptest::prelude::*;

use crate::{
    common::{admin, courier, customer, delivery, now, placed_by_card, settings, staff},
    moves::{accept, any_command, assign, cancel, everyone, refund, reject},
    payments::{authorized, captured, declined, refund_paid, refused, voided},
};

/// State of the order's payment at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProviderPayment {
    NeverRequested,
    Declined,
    Authorized,
    Voided,
    Captured,
}

struct Provider {
    money: ProviderPayment,
    /// Result of each refund, by number.
    refunds: BTreeMap<RefundNumber, Option<Amount>>,
    captures: u32,
    /// Reports that the provider has not sent yet.
    reports: Vec<PaymentReport>,
}

impl Provider {
    const fn new() -> Self {
        Self {
            money: ProviderPayment::NeverRequested,
            refunds: BTreeMap::new(),
            captures: 0,
            reports: Vec::new(),
        }
    }

    /// Returns the report of the payment's state.
    fn state(&self) -> PaymentReport {
        match self.money {
            ProviderPayment::NeverRequested => PaymentReport::NeverRequested,
            ProviderPayment::Declined => declined(),
            ProviderPayment::Authorized => authorized(),
            ProviderPayment::Voided => voided(),
            ProviderPayment::Captured => captured(),
        }
    }

    fn change_to(&mut self, money: ProviderPayment) {
        self.money = money;
        self.reports.push(self.state());
    }

    fn refunded(&self) -> Amount {
        Amount::sum(self.refunds.values().copied().flatten()).unwrap()
    }

    /// Carries out a task's request, unless it was carried out before, and returns the answer.
    fn carry_out(&mut self, task: &Task, order: &Order, agrees: bool) -> PaymentReport {
        match (task, self.money) {
            (Task::AuthorizePayment { .. }, ProviderPayment::NeverRequested) => {
                self.change_to(if agrees { ProviderPayment::Authorized } else { ProviderPayment::Declined });
            }
            (Task::CapturePayment, ProviderPayment::Authorized) => {
                self.captures += 1;
                self.change_to(ProviderPayment::Captured);
            }
            (Task::VoidPayment, ProviderPayment::Authorized) => self.change_to(ProviderPayment::Voided),
            (Task::RefundPayment { number }, ProviderPayment::Captured) => {
                return self.refund(*number, order, agrees);
            }
            _ => {}
        }
        self.state()
    }

    fn refund(&mut self, number: RefundNumber, order: &Order, agrees: bool) -> PaymentReport {
        if !self.refunds.contains_key(&number) {
            let amount = order.pending_refund(number).unwrap().amount;
            let left = order.details.amounts.total.minus(self.refunded()).unwrap();
            assert!(amount <= left, "a refund exceeds the remaining amount");
            self.refunds.insert(number, agrees.then_some(amount));
        }
        let report =
            if self.refunds[&number].is_some() { refund_paid(number.get()) } else { refused(number.get()) };
        self.reports.push(report.clone());
        report
    }

    /// The customer's bank reports that a refund did not reach the customer.
    fn fails_late(&mut self, place: usize) {
        let paid: Vec<_> = self.refunds.iter().filter(|(_, amount)| amount.is_some()).collect();
        if let Some((number, _)) = paid.get(place % paid.len().max(1)) {
            let number = **number;
            self.refunds.insert(number, None);
            self.reports.push(refused(number.get()));
        }
    }

    /// Voids an authorization that was not captured for a long time.
    fn expire_authorization(&mut self) {
        if self.money == ProviderPayment::Authorized {
            self.change_to(ProviderPayment::Voided);
        }
    }
}

struct Scene {
    order: Order,
    history: Vec<RecordedEvent>,
    /// Tasks to be done, and the number of attempts of each.
    tasks: Vec<(Task, u32)>,
    provider: Provider,
    time: Timestamp,
}

/// Result of an attempt.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Done,
    /// The provider was called, but its answer was lost.
    AnswerLost,
    /// The call never reached the provider.
    CallLost,
}

#[derive(Clone, Debug)]
enum Step {
    Give(Command, usize),
    Work { task: usize, fate: Fate, agrees: bool },
    Report { report: usize, again: bool },
    ExpireAuthorization,
    FailLate(usize),
    Wait(i64),
}

impl Scene {
    fn new() -> Self {
        let Decision { order, events, tasks, .. } = placed_by_card(delivery());
        let tasks = tasks.into_iter().map(|spec| (spec.task, 0)).collect();
        Self { order, history: events, tasks, provider: Provider::new(), time: now() }
    }

    /// Records a decision, and checks everything that must hold at any time.
    fn write(&mut self, decision: Decision) {
        let before = std::mem::replace(&mut self.order, decision.order);
        self.history.extend(decision.events);
        self.tasks.extend(decision.tasks.into_iter().map(|spec| (spec.task, 0)));
        let order = &self.order;
        assert_eq!(fold(&self.history).unwrap().as_ref(), Some(order));
        let captures =
            self.history.iter().filter(|it| matches!(it.event, Event::PaymentCaptured { .. })).count();
        assert!(captures <= 1 && self.provider.captures <= 1, "captured more than once");
        assert!(order.captured.is_zero() || order.captured == order.details.amounts.total);
        let back = order.refunded.plus(order.pending_refunds()).unwrap();
        assert!(back <= order.captured, "more is refunded than was captured");
        if before.status == OrderStatus::Refunded && order.status != before.status {
            let ended_early = order.closure.is_some();
            let expected = if ended_early { OrderStatus::Cancelled } else { OrderStatus::Delivered };
            assert_eq!(order.status, expected);
            assert!(order.refunded < before.refunded, "a refund was reversed");
        } else if before.status.is_terminal() && order.status != before.status {
            assert_eq!((order.status, order.refunded), (OrderStatus::Refunded, order.captured));
        }
    }

    fn receive(&mut self, report: &PaymentReport) {
        let decision = settle(&self.order, report, &settings(), self.time).unwrap();
        self.write(decision);
    }

    fn give(&mut self, command: &Command, actor: &Actor) {
        if let Ok(decision) = decide(&self.order, command, actor, &settings(), self.time) {
            self.write(decision);
        }
    }

    /// Processes a task as the engine does. `agrees` states whether the provider accepts the request.
    fn work(&mut self, place: usize, fate: Fate, agrees: bool) {
        let (task, begun) = &mut self.tasks[place];
        *begun += 1;
        let (task, is_first) = (task.clone(), *begun == 1);
        let report = match self.next(&task, is_first) {
            Next::Nothing => None,
            Next::Record(report) => Some(report),
            Next::Call if matches!(fate, Fate::CallLost) => return,
            Next::Call => Some(self.provider.carry_out(&task, &self.order, agrees)),
        };
        if !matches!(fate, Fate::Done) {
            return;
        }
        if let Some(report) = report {
            let version = self.order.version;
            self.receive(&report);
            assert_ne!(self.order.version, version, "the report {report:?} for {task:?} had no effect");
        }
        self.tasks.remove(place);
    }

    fn next(&self, task: &Task, is_first: bool) -> Next {
        let has_ended = self.order.status == OrderStatus::Cancelled;
        match (task, self.order.payment_status) {
            (Task::AuthorizePayment { .. }, PaymentStatus::Pending) if has_ended && is_first => {
                Next::Record(PaymentReport::NeverRequested)
            }
            (Task::AuthorizePayment { .. }, PaymentStatus::Pending) => Next::Call,
            (Task::CapturePayment, PaymentStatus::Authorized) if !has_ended => Next::Call,
            (Task::VoidPayment, PaymentStatus::Authorized) if has_ended => Next::Call,
            (Task::RefundPayment { number }, _) if self.order.pending_refund(*number).is_some() => Next::Call,
            _ => Next::Nothing,
        }
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Give(command, actor) => self.give(command, &everyone()[*actor].1),
            Step::Work { task, fate, agrees } => {
                let places = self.payment_tasks();
                if !places.is_empty() {
                    self.work(places[task % places.len()], *fate, *agrees);
                }
            }
            Step::Report { report, again } if !self.provider.reports.is_empty() => {
                let place = report % self.provider.reports.len();
                let report = self.provider.reports[place].clone();
                if !again {
                    self.provider.reports.swap_remove(place);
                }
                self.receive(&report);
            }
            Step::Report { .. } => {}
            Step::ExpireAuthorization => self.provider.expire_authorization(),
            Step::FailLate(place) => self.provider.fails_late(*place),
            Step::Wait(seconds) => self.time += SignedDuration::from_secs(*seconds),
        }
    }

    /// Returns the positions of the payment tasks.
    fn payment_tasks(&self) -> Vec<usize> {
        let is_payment = |task: &Task| task.kind().queue() == TaskQueue::Payments;
        let places = self.tasks.iter().enumerate();
        places.filter(|(_, (task, _))| is_payment(task)).map(|(place, _)| place).collect()
    }

    /// Delivers all reports and completes all payment tasks.
    fn complete_all(&mut self) {
        loop {
            if let Some(report) = self.provider.reports.pop() {
                self.receive(&report);
            } else if let Some(place) = self.payment_tasks().first() {
                self.work(*place, Fate::Done, true);
            } else {
                return;
            }
        }
    }

    /// Checks that order and provider agree, once no task is left.
    fn check_agreement(&self) {
        let order = &self.order;
        let held = self.provider.money;
        let expected: &[PaymentStatus] = match held {
            ProviderPayment::NeverRequested | ProviderPayment::Voided => {
                &[PaymentStatus::Voided, PaymentStatus::Failed]
            }
            ProviderPayment::Declined => &[PaymentStatus::Failed],
            ProviderPayment::Authorized => &[PaymentStatus::Authorized],
            ProviderPayment::Captured if order.refunded.is_zero() => &[PaymentStatus::Captured],
            ProviderPayment::Captured if order.refunded < order.captured => {
                &[PaymentStatus::PartiallyRefunded]
            }
            ProviderPayment::Captured => &[PaymentStatus::Refunded],
        };
        assert!(
            expected.contains(&order.payment_status),
            "the order is {}, the provider is {held:?}",
            order.payment_status
        );
        let has_ended = matches!(order.status, OrderStatus::Cancelled | OrderStatus::Refunded);
        assert!(!has_ended || held != ProviderPayment::Authorized, "an ended order has an authorization");
        assert_eq!(!order.captured.is_zero(), held == ProviderPayment::Captured);
        let was_refused = order.refunds.iter().any(|state| !state.status.counts());
        let is_kept = order.status == OrderStatus::Cancelled && held == ProviderPayment::Captured;
        assert!(!is_kept || was_refused, "an ended order has captured money");
        assert_eq!((order.refunded, order.pending_refunds()), (self.provider.refunded(), Amount::ZERO));
        assert_ne!(order.status, OrderStatus::Created, "the payment is decided");
    }
}

/// The engine's next step for a task.
enum Next {
    Nothing,
    Record(PaymentReport),
    Call,
}

/// Returns a command that moves an order forward, with an actor who may give it.
fn fitting_command() -> impl Strategy<Value = Step> {
    let place = |actor: Actor| everyone().iter().position(|(_, it)| *it == actor).unwrap();
    let give = |command: Command, actor| Just(Step::Give(command, place(actor)));
    prop_oneof![
        4 => give(accept(), staff()),
        2 => give(Command::MarkReady, staff()),
        2 => give(assign(), courier()),
        2 => give(Command::PickUp, courier()),
        2 => give(Command::deliver(), courier()),
        1 => give(cancel(), customer()),
        1 => give(cancel(), admin()),
        1 => give(reject(), staff()),
        2 => give(refund(Some(700)), admin()),
        1 => give(refund(None), admin()),
        1 => give(refund(Some(200)), staff()),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![4 => Just(Fate::Done), 1 => Just(Fate::AnswerLost), 1 => Just(Fate::CallLost)];
    prop_oneof![
        6 => fitting_command(),
        2 => (any_command(), 0_usize..8).prop_map(|(command, actor)| Step::Give(command, actor)),
        6 => (0_usize..8, fate, proptest::bool::weighted(0.8))
            .prop_map(|(task, fate, agrees)| Step::Work { task, fate, agrees }),
        3 => (0_usize..20, any::<bool>()).prop_map(|(report, again)| Step::Report { report, again }),
        1 => Just(Step::ExpireAuthorization),
        2 => (0_usize..8).prop_map(Step::FailLate),
        2 => (0_i64..400).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Proves for any commands, any answers of the provider and any losses: the history folds to the order, the payment
    /// is captured at most once and never refunded twice, in the end order and provider agree, and an ended order has
    /// no authorization.
    #[test]
    fn an_order_and_its_provider_agree_in_the_end(steps in proptest::collection::vec(any_step(), 1..60)) {
        let mut scene = Scene::new();
        for step in &steps {
            scene.run(step);
        }
        scene.complete_all();
        scene.check_agreement();
        // An order that was not accepted in time expires, and order and provider still agree.
        scene.time += SignedDuration::from_hours(24);
        scene.give(&Command::Expire, &Actor::System);
        scene.complete_all();
        scene.check_agreement();
        prop_assert_ne!(scene.order.status, OrderStatus::Confirmed);
    }
}

/// Proves that the model detects an order that never receives the provider's reports.
#[test]
fn the_model_detects_a_report_that_never_arrives() {
    let mut scene = Scene::new();
    scene.work(0, Fate::AnswerLost, true);
    scene.provider.reports.clear();
    scene.tasks.clear();
    scene.complete_all();
    let agreement = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scene.check_agreement()));
    assert!(agreement.is_err());
}

/// Proves that a decline after the cancellation is recorded as the result of the payment.
#[test]
fn a_cancelled_order_whose_payment_is_declined_stays_cancelled() {
    let mut scene = Scene::new();
    scene.give(&cancel(), &customer());
    scene.receive(&PaymentReport::Declined { reason: DeclineReason::ExpiredCard });
    assert_eq!(scene.order.payment_status, PaymentStatus::Failed);
    assert!(matches!(scene.order.closure, Some(dabba_domain::order::Closure::Cancelled { .. })));
}
