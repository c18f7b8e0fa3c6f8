//! A payment provider of a few lines, and what holds for an order whatever the two do to each other.
//!
//! The provider is asked by the order's tasks, as the engine does it: a task is repeated until its answer has
//! been recorded. Answers get lost; and of all that happens the provider also reports unasked, late, twice
//! and in any order.

use std::collections::BTreeMap;

use dabba_domain::{
    Actor, Amount, Timestamp,
    order::{
        Command, Decision, DeclineReason, Event, Order, OrderStatus, PaymentReport, PaymentStatus,
        RecordedEvent, RefundNumber, Task, TaskQueue, decide, fold, settle,
    },
};
use jiff::SignedDuration;
use proptest::prelude::*;

use crate::{
    common::{admin, courier, customer, delivery, now, placed_by_card, settings, staff},
    moves::{accept, any_command, assign, cancel, everyone, refund, reject},
    payments::{authorized, captured, declined, paid_back, refused, voided},
};

/// What the provider holds of the order's payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Money {
    NeverAsked,
    Declined,
    SetAside,
    LetGo,
    Collected,
}

struct Provider {
    money: Money,
    /// What it decided on each refund, by number.
    refunds: BTreeMap<RefundNumber, Option<Amount>>,
    collected: u32,
    /// All that it has to report unasked.
    reports: Vec<PaymentReport>,
}

impl Provider {
    const fn new() -> Self {
        Self { money: Money::NeverAsked, refunds: BTreeMap::new(), collected: 0, reports: Vec::new() }
    }

    /// What has become of the payment.
    fn state(&self) -> PaymentReport {
        match self.money {
            Money::NeverAsked => PaymentReport::NeverRequested,
            Money::Declined => declined(),
            Money::SetAside => authorized(),
            Money::LetGo => voided(),
            Money::Collected => captured(),
        }
    }

    fn becomes(&mut self, money: Money) {
        self.money = money;
        self.reports.push(self.state());
    }

    fn given_back(&self) -> Amount {
        Amount::sum(self.refunds.values().copied().flatten()).unwrap()
    }

    /// Does what a task asks for, unless it was done before, and answers.
    fn asked(&mut self, task: &Task, order: &Order, agrees: bool) -> PaymentReport {
        match (task, self.money) {
            (Task::AuthorizePayment { .. }, Money::NeverAsked) => {
                self.becomes(if agrees { Money::SetAside } else { Money::Declined });
            }
            (Task::CapturePayment, Money::SetAside) => {
                self.collected += 1;
                self.becomes(Money::Collected);
            }
            (Task::VoidPayment, Money::SetAside) => self.becomes(Money::LetGo),
            (Task::RefundPayment { number }, Money::Collected) => return self.refund(*number, order, agrees),
            _ => {}
        }
        self.state()
    }

    fn refund(&mut self, number: RefundNumber, order: &Order, agrees: bool) -> PaymentReport {
        if !self.refunds.contains_key(&number) {
            let amount = order.pending_refund(number).unwrap().amount;
            let left = order.details.amounts.total.minus(self.given_back()).unwrap();
            assert!(amount <= left, "more is to be given back than there is");
            self.refunds.insert(number, agrees.then_some(amount));
        }
        let report =
            if self.refunds[&number].is_some() { paid_back(number.get()) } else { refused(number.get()) };
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

    /// Lets go of money that nobody has collected for a long time.
    fn loses_patience(&mut self) {
        if self.money == Money::SetAside {
            self.becomes(Money::LetGo);
        }
    }
}

struct Scene {
    order: Order,
    history: Vec<RecordedEvent>,
    /// What is to be done, and how often it was begun.
    tasks: Vec<(Task, u32)>,
    provider: Provider,
    time: Timestamp,
}

/// How a task fares.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Done,
    /// The provider was asked, but its answer was lost.
    AnswerLost,
    /// The provider was never asked.
    CallLost,
}

#[derive(Clone, Debug)]
enum Step {
    Give(Command, usize),
    Work { task: usize, fate: Fate, agrees: bool },
    Report { report: usize, again: bool },
    LosePatience,
    FailLate(usize),
    Wait(i64),
}

impl Scene {
    fn new() -> Self {
        let Decision { order, events, tasks, .. } = placed_by_card(delivery());
        let tasks = tasks.into_iter().map(|spec| (spec.task, 0)).collect();
        Self { order, history: events, tasks, provider: Provider::new(), time: now() }
    }

    /// Records a decision, and makes sure of all that has to hold at any time.
    fn write(&mut self, decision: Decision) {
        let before = std::mem::replace(&mut self.order, decision.order);
        self.history.extend(decision.events);
        self.tasks.extend(decision.tasks.into_iter().map(|spec| (spec.task, 0)));
        let order = &self.order;
        assert_eq!(fold(&self.history).unwrap().as_ref(), Some(order));
        let captures =
            self.history.iter().filter(|it| matches!(it.event, Event::PaymentCaptured { .. })).count();
        assert!(captures <= 1 && self.provider.collected <= 1, "collected more than once");
        assert!(order.captured.is_zero() || order.captured == order.details.amounts.total);
        let back = order.refunded.plus(order.pending_refunds()).unwrap();
        assert!(back <= order.captured, "more is given back than was collected");
        if before.status == OrderStatus::Refunded && order.status != before.status {
            let ended_early = order.closure.is_some();
            let expected = if ended_early { OrderStatus::Cancelled } else { OrderStatus::Delivered };
            assert_eq!(order.status, expected);
            assert!(order.refunded < before.refunded, "a refund was reversed");
        } else if before.status.is_terminal() && order.status != before.status {
            assert_eq!((order.status, order.refunded), (OrderStatus::Refunded, order.captured));
        }
    }

    fn hear(&mut self, report: &PaymentReport) {
        let decision = settle(&self.order, report, &settings(), self.time).unwrap();
        self.write(decision);
    }

    fn give(&mut self, command: &Command, actor: &Actor) {
        if let Ok(decision) = decide(&self.order, command, actor, &settings(), self.time) {
            self.write(decision);
        }
    }

    /// Works a task as the engine does: `agrees` is the provider's mood.
    fn work(&mut self, place: usize, fate: Fate, agrees: bool) {
        let (task, begun) = &mut self.tasks[place];
        *begun += 1;
        let (task, is_first) = (task.clone(), *begun == 1);
        let report = match self.next(&task, is_first) {
            Next::Nothing => None,
            Next::Record(report) => Some(report),
            Next::Call if matches!(fate, Fate::CallLost) => return,
            Next::Call => Some(self.provider.asked(&task, &self.order, agrees)),
        };
        if !matches!(fate, Fate::Done) {
            return;
        }
        if let Some(report) = report {
            let version = self.order.version;
            self.hear(&report);
            assert_ne!(self.order.version, version, "{task:?} was answered with {report:?}, to no effect");
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

    fn take(&mut self, step: &Step) {
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
                self.hear(&report);
            }
            Step::Report { .. } => {}
            Step::LosePatience => self.provider.loses_patience(),
            Step::FailLate(place) => self.provider.fails_late(*place),
            Step::Wait(seconds) => self.time += SignedDuration::from_secs(*seconds),
        }
    }

    /// Where the payment tasks are among the tasks.
    fn payment_tasks(&self) -> Vec<usize> {
        let is_payment = |task: &Task| task.kind().queue() == TaskQueue::Payments;
        let places = self.tasks.iter().enumerate();
        places.filter(|(_, (task, _))| is_payment(task)).map(|(place, _)| place).collect()
    }

    /// Has everything arrive and every payment task done.
    fn settle_down(&mut self) {
        loop {
            if let Some(report) = self.provider.reports.pop() {
                self.hear(&report);
            } else if let Some(place) = self.payment_tasks().first() {
                self.work(*place, Fate::Done, true);
            } else {
                return;
            }
        }
    }

    /// That the order and the provider say the same, once nothing is to be done any more.
    fn agrees(&self) {
        let order = &self.order;
        let held = self.provider.money;
        let expected: &[PaymentStatus] = match held {
            Money::NeverAsked | Money::LetGo => &[PaymentStatus::Voided, PaymentStatus::Failed],
            Money::Declined => &[PaymentStatus::Failed],
            Money::SetAside => &[PaymentStatus::Authorized],
            Money::Collected if order.refunded.is_zero() => &[PaymentStatus::Captured],
            Money::Collected if order.refunded < order.captured => &[PaymentStatus::PartiallyRefunded],
            Money::Collected => &[PaymentStatus::Refunded],
        };
        assert!(expected.contains(&order.payment_status), "{}, but it is {held:?}", order.payment_status);
        let has_ended = matches!(order.status, OrderStatus::Cancelled | OrderStatus::Refunded);
        assert!(!has_ended || held != Money::SetAside, "money is set aside for an order that has ended");
        assert_eq!(!order.captured.is_zero(), held == Money::Collected);
        let was_refused = order.refunds.iter().any(|state| !state.status.counts());
        let is_kept = order.status == OrderStatus::Cancelled && held == Money::Collected;
        assert!(!is_kept || was_refused, "money is kept for an order that has ended");
        assert_eq!((order.refunded, order.pending_refunds()), (self.provider.given_back(), Amount::ZERO));
        assert_ne!(order.status, OrderStatus::Created, "its payment is decided");
    }
}

/// What the engine does about a task.
enum Next {
    Nothing,
    Record(PaymentReport),
    Call,
}

/// A command that moves an order on, given by who may.
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
        1 => Just(Step::LosePatience),
        2 => (0_usize..8).prop_map(Step::FailLate),
        2 => (0_i64..400).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever anyone asks, whatever the provider answers, and whatever gets lost on the way: the history
    /// makes the order, money is collected once at most and never given back twice, and in the end the order
    /// and the provider agree, and no money is set aside for an order that has ended.
    #[test]
    fn an_order_and_its_provider_come_to_agree(steps in proptest::collection::vec(any_step(), 1..60)) {
        let mut scene = Scene::new();
        for step in &steps {
            scene.take(step);
        }
        scene.settle_down();
        scene.agrees();
        // What was not accepted in time expires, and then too all is as it should be.
        scene.time += SignedDuration::from_hours(24);
        scene.give(&Command::Expire, &Actor::System);
        scene.settle_down();
        scene.agrees();
        prop_assert_ne!(scene.order.status, OrderStatus::Confirmed);
    }
}

/// The model would notice: an order that never hears of the provider does not agree with it.
#[test]
fn a_report_that_never_arrives_would_be_noticed() {
    let mut scene = Scene::new();
    scene.work(0, Fate::AnswerLost, true);
    scene.provider.reports.clear();
    scene.tasks.clear();
    scene.settle_down();
    let agreement = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scene.agrees()));
    assert!(agreement.is_err());
}

/// A decline that comes after the order was cancelled says why nothing was collected.
#[test]
fn a_cancelled_order_whose_payment_is_declined_stays_cancelled() {
    let mut scene = Scene::new();
    scene.give(&cancel(), &customer());
    scene.hear(&PaymentReport::Declined { reason: DeclineReason::ExpiredCard });
    assert_eq!(scene.order.payment_status, PaymentStatus::Failed);
    assert!(matches!(scene.order.closure, Some(dabba_domain::order::Closure::Cancelled { .. })));
}
