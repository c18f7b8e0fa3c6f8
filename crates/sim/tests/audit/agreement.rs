//! Proves that the auditor's table of moves and the domain's table, which were written independently, are
//! equal.

use std::sync::Arc;

use dabba_domain::{
    Actor, Amount, Money, TaskId, Timestamp,
    order::{
        CancelReason, Command, CommandKind, Decision, DeclineReason, Event, ExpiryReason, Fulfilment, Order,
        OrderStatus, PaymentMethod, PaymentReference, PaymentReport, PaymentToken, RecordedEvent, Refund,
        RefundBearer, RefundFailureReason, RefundNumber, RefundReason, RefundRequest, RefundStatus,
        RejectReason, ReviewReason, decide, settle,
    },
    task::{Task, TaskSubject},
};
use dabba_sim::audit::{AuditOptions, audit};
use dabba_store::{
    NewTask, Store, StoredTask,
    conformance::builders::{World, amount, customer, reference_of, settings, staff},
};
use jiff::SignedDuration;

use crate::{
    embedded,
    lives::{Stage, put_by_card, put_with},
    random::{command_by, report, reports, run_random_order, write},
    tampering::Tampering,
};

const STAGES: [Stage; 7] = [
    Stage::Created,
    Stage::Confirmed,
    Stage::Preparing,
    Stage::Ready,
    Stage::OutForDelivery,
    Stage::Delivered,
    Stage::Cancelled,
];

/// Returns the parties to an order, and actors of the same roles who are not parties.
fn actors(order: &Order, world: &mut World) -> Vec<Actor> {
    let other = world.account_id();
    let mut actors = vec![
        customer(order),
        Actor::customer(other),
        staff(order),
        Actor::Restaurant { account_id: other, restaurant_id: world.restaurant_id() },
        Actor::Courier { account_id: other },
        Actor::Admin { account_id: other },
        Actor::System,
    ];
    actors.extend(order.courier_id.map(|account_id| Actor::Courier { account_id }));
    actors
}

/// Returns the next refund of an order.
fn next_refund(order: &Order, amount: Amount, reason: RefundReason, borne_by: RefundBearer) -> Refund {
    let number = order.refunds.last().map_or(RefundNumber::MIN, |last| last.refund.number.saturating_add(1));
    Refund {
        number,
        amount,
        lines: Vec::new(),
        taxes: Vec::new(),
        reason,
        note: None,
        borne_by,
        external: None,
    }
}

/// Returns the event of an early end together with the refund that must follow if money was captured.
fn unwound(order: &Order, event: Event) -> Vec<Event> {
    let bearer = match &event {
        Event::Cancelled { borne_by, .. } => *borne_by,
        _ => RefundBearer::Everyone,
    };
    let mut events = vec![event];
    if order.captured > Amount::ZERO {
        let refund = next_refund(order, order.refundable(), RefundReason::OrderEnded, bearer);
        events.push(Event::RefundRequested(refund));
    }
    events
}

/// Returns the events of a command without checking whether the command is allowed.
fn events(command: &Command, order: &Order, actor: &Actor, at: Timestamp) -> Vec<Event> {
    let (note, stock_returned) = (None, false);
    let by_card = order.details.payment_method == PaymentMethod::Card;
    match command.clone() {
        Command::Confirm => vec![Event::Confirmed { acceptance_deadline: at }],
        Command::Accept { .. } => vec![Event::Accepted { preparation_minutes: 25, ready_by: at }],
        Command::Reject { .. } => unwound(
            order,
            Event::Rejected { reason: RejectReason::TooBusy, note, items: Vec::new(), stock_returned },
        ),
        Command::MarkReady => vec![Event::MarkedReady],
        Command::AssignCourier { courier_id, reason, note } => {
            vec![Event::CourierAssigned { courier_id, reason, note }]
        }
        Command::PickUp => vec![Event::PickedUp],
        Command::Deliver { reason, note } if by_card => vec![Event::Delivered { reason, note }],
        Command::Deliver { reason, note } => {
            vec![
                Event::Delivered { reason, note },
                Event::PaymentCaptured { amount: order.details.amounts.total },
            ]
        }
        Command::Cancel { .. } => {
            // If an admin cancels, the restaurant is paid for what it has begun.
            let is_at_the_platforms_cost = matches!(actor, Actor::Admin { .. }) && order.ready_by.is_some();
            let borne_by =
                if is_at_the_platforms_cost { RefundBearer::Platform } else { RefundBearer::Everyone };
            let reason = CancelReason::TooSlow;
            unwound(order, Event::Cancelled { reason, note, items: Vec::new(), stock_returned, borne_by })
        }
        Command::Warn => {
            vec![Event::AcceptanceDue { acceptance_deadline: order.acceptance_deadline.unwrap_or(at) }]
        }
        Command::Expire => {
            let waited_for =
                if order.awaits_payment() { ExpiryReason::Payment } else { ExpiryReason::Restaurant };
            unwound(order, Event::Expired { waited_for, stock_returned })
        }
        Command::Refund(_) => {
            let refund = next_refund(order, amount(700), RefundReason::Late, RefundBearer::Restaurant);
            vec![if by_card { Event::RefundRequested(refund) } else { Event::Refunded(refund) }]
        }
    }
}

/// Returns all tasks that the order could need, so that an illegal move causes no finding about tasks.
fn every_task(order: &Order) -> Vec<Task> {
    let last = order.refunds.last().map_or(RefundNumber::MIN, |last| last.refund.number);
    let mut tasks = vec![
        Task::WarnUnaccepted,
        Task::AuthorizePayment { token: PaymentToken::new("tok").unwrap() },
        Task::CapturePayment,
        Task::VoidPayment,
        Task::RefundPayment { number: last.saturating_add(1) },
    ];
    for number in order.refunds.iter().map(|state| state.refund.number) {
        let reason = RefundFailureReason::Other;
        tasks.push(Task::RefundPayment { number });
        tasks.push(Task::Review { reason: ReviewReason::RefundReversed { number, reason } });
    }
    tasks
}

/// Audits the order with these additional events and tasks. Returns whether there is no breach, and the
/// report.
async fn is_clean_with(
    store: &Arc<dyn Store>,
    order: &Order,
    events: &[Event],
    tasks: Vec<Task>,
    actor: Actor,
    at: Timestamp,
) -> (bool, String) {
    let (events, order_id) = (events.to_vec(), order.id);
    let tampering = Tampering::new(Arc::clone(store), move |stored| {
        for event in events.clone() {
            let version = stored.events.last().unwrap().version + 1;
            stored.events.push(RecordedEvent { order_id, version, at, actor, event });
        }
        stored.refold();
    })
    .with_lists(move |lists| {
        lists.tasks.extend((0..).zip(tasks.clone()).map(|(random, task)| {
            let id = TaskId::generate(at, order_id.bucket(), random);
            let task = NewTask { id, subject: TaskSubject::Order(order_id), task, run_at: at };
            StoredTask {
                task: task.into(),
                attempts: 0,
                leased_until: None,
                parked_at: None,
                resolved_at: None,
            }
        }));
    });
    let report = audit(&tampering, None, &AuditOptions::new(at)).await.unwrap();
    (report.is_clean(), report.to_string())
}

/// Returns the tasks of a decision.
fn tasks_of(decision: &Decision) -> Vec<Task> {
    decision.tasks.iter().map(|spec| spec.task.clone()).collect()
}

/// Compares every command by every actor on an order. Returns the numbers of legal and of illegal commands.
async fn compare(store: &Arc<dyn Store>, world: &mut World, order: &Order) -> (u32, u32) {
    let (mut legal, mut illegal) = (0, 0);
    // Late enough for an expiry.
    let at = order.updated_at + SignedDuration::from_hours(1);
    for actor in actors(order, world) {
        for kind in CommandKind::ALL {
            let courier_id = actor.account_id().unwrap_or(order.details.customer_id);
            let command = command_by(&actor, *kind, order, courier_id);
            let decided = decide(order, &command, &actor, &settings(), at);
            if decided.as_ref().is_ok_and(|decision| decision.events.is_empty()) {
                continue; // A repeated command has no events.
            }
            let events = events(&command, order, &actor, at);
            let tasks = decided.as_ref().map_or_else(|_| every_task(order), tasks_of);
            let (is_clean, report) = is_clean_with(store, order, &events, tasks, actor, at).await;
            let case = format!("{kind} by {actor:?} on {order:?}: {decided:?}\n{report}");
            assert_eq!(is_clean, decided.is_ok(), "{case}");
            *(if decided.is_ok() { &mut legal } else { &mut illegal }) += 1;
        }
    }
    (legal, illegal)
}

/// Proves, for every command by every actor at every stage of an order, for delivery and collection, that the
/// auditor reports a breach exactly if the domain refuses the command.
#[tokio::test]
async fn the_auditor_and_the_domain_agree_on_every_move() {
    let (mut legal, mut illegal) = (0, 0);
    let ways = [(false, false), (true, false), (false, true), (true, true)];
    for (stage, (is_collected, by_card)) in
        STAGES.into_iter().flat_map(|stage| ways.into_iter().map(move |way| (stage, way)))
    {
        let (store, _directory) = embedded().await;
        let mut world = World::new(6);
        let (restaurant_id, customer_id) = (world.restaurant_id(), world.account_id());
        let mut details = world.details(restaurant_id, customer_id);
        if by_card {
            details = world.details_by_card(restaurant_id, customer_id);
        }
        if is_collected {
            details.fulfilment = Fulfilment::Collection;
        }
        let order = put_with(&*store, &mut world, stage, details).await;
        let (more_legal, more_illegal) = compare(&store, &mut world, &order).await;
        legal += more_legal;
        illegal += more_illegal;
    }
    assert!(legal > 80 && illegal > 1_200, "{legal} legal, {illegal} illegal");
}

/// Returns every step of a card payment, as it would be recorded on an order.
fn payment_steps(order: &Order) -> Vec<Event> {
    let stock_returned = false;
    let mut steps = vec![
        Event::PaymentAuthorized { reference: reference_of(order) },
        Event::PaymentFailed { reason: DeclineReason::InsufficientFunds, stock_returned },
        Event::PaymentFailed { reason: DeclineReason::CalledOff, stock_returned },
        Event::PaymentVoided,
        Event::PaymentCaptured { amount: order.details.amounts.total },
    ];
    for state in &order.refunds {
        // Refunds without Dabba have their own reports.
        if state.refund.external.is_some() {
            continue;
        }
        let (number, reason) = (state.refund.number, RefundFailureReason::Other);
        steps.push(Event::RefundFailed { number, reason: Some(reason) });
        // Only a paid refund can be reversed; no valid history contains anything else.
        if state.status == RefundStatus::Paid {
            steps.push(Event::RefundReversed { number, reason });
        }
        // After a full refund, no history can record a second payment of a refund.
        if state.status == RefundStatus::Pending || order.status != OrderStatus::Refunded {
            steps.push(Event::Refunded(state.refund.clone()));
        }
    }
    steps
}

/// Proves that, at every stage of an order, the auditor accepts exactly the payment steps that follow from a
/// report of the payment provider, and reports a breach for every other step.
#[tokio::test]
async fn the_auditor_and_the_domain_agree_on_every_step_of_a_payment() {
    const LIVES: u32 = 60;
    let (mut legal, mut illegal) = (0, 0);
    let mut world = World::new(12);
    for _ in 0..LIVES {
        let (store, _directory) = embedded().await;
        let order = run_random_order(&*store, &mut world, true).await;
        let at = world.now();
        let settled: Vec<(Vec<Event>, Vec<Task>)> = reports(&order)
            .iter()
            .map(|report| settle(&order, report, &settings(), at).unwrap())
            .filter(|decision| !decision.events.is_empty())
            .map(|decision| {
                let tasks = tasks_of(&decision);
                (decision.events.into_iter().map(|recorded| recorded.event).collect(), tasks)
            })
            .collect();
        for (events, tasks) in &settled {
            let (is_clean, report) =
                is_clean_with(&store, &order, events, tasks.clone(), Actor::System, at).await;
            assert!(is_clean, "{events:?} on {order:?}: {report}");
            legal += 1;
        }
        for step in payment_steps(&order) {
            let is_refund = matches!(
                step,
                Event::Refunded(_) | Event::RefundFailed { .. } | Event::RefundReversed { .. }
            );
            let is_step = |settled: &Event| *settled == step || (!is_refund && settled.name() == step.name());
            if !settled.iter().any(|(events, _)| is_step(&events[0])) {
                let (is_clean, report) = is_clean_with(
                    &store,
                    &order,
                    std::slice::from_ref(&step),
                    every_task(&order),
                    Actor::System,
                    at,
                )
                .await;
                assert!(!is_clean, "{step:?} on {order:?}: {report}");
                illegal += 1;
            }
        }
    }
    assert!(legal > 60 && illegal > 200, "{legal} legal, {illegal} illegal");
}

/// Proves that a requested refund may be paid or fail after the whole amount went back without Dabba: the order is refunded
/// already while this refund is pending.
#[tokio::test]
async fn a_requested_refund_may_end_after_the_money_went_back_without_dabba() {
    let (store, _directory) = embedded().await;
    let mut world = World::new(13);
    let order = put_by_card(&*store, &mut world, Stage::Delivered).await;
    let request = RefundRequest::new(Some(amount(100)), RefundReason::Late);
    let commit = world.act(&order, &Command::Refund(request), &staff(&order));
    let order = write(&*store, commit).await;
    let number = order.refunds[0].refund.number;
    let all = Money { amount: order.captured, currency: order.details.currency };
    let (payment, by_hand) = (reference_of(&order), PaymentReference::new("re_hand").unwrap());
    let elsewhere = PaymentReport::ExternalRefund { payment, reference: by_hand, money: all };
    let order = report(&*store, &mut world, &order, &elsewhere).await;
    assert_eq!(order.status, OrderStatus::Refunded);
    let reason = RefundFailureReason::Other;
    for ending in [PaymentReport::Refunded { number }, PaymentReport::RefundRefused { number, reason }] {
        let at = world.now();
        let decision = settle(&order, &ending, &settings(), at).unwrap();
        let tasks = tasks_of(&decision);
        let events: Vec<_> = decision.events.into_iter().map(|recorded| recorded.event).collect();
        assert_eq!(events.len(), 1, "{ending:?}");
        let (is_clean, report) = is_clean_with(&store, &order, &events, tasks, Actor::System, at).await;
        assert!(is_clean, "{ending:?}: {report}");
    }
}
