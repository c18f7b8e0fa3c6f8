//! Random orders whose every step the domain allows.

use std::sync::Arc;

use dabba_domain::{
    AccountId, Actor, Amount, Money,
    order::{
        CancelReason, ChargebackOutcome, Command, CommandKind, DeclineReason, Fulfilment, InterventionReason,
        Order, OrderStatus, PaymentReference, PaymentReport, RefundFailureReason, RefundReason,
        RefundRequest, RejectReason, allowed_actions,
    },
};
use dabba_sim::audit::{AuditOptions, AuditReport, FindingCode, audit};
use dabba_store::{
    Commit, CommitOutcome, Store,
    conformance::builders::{World, customer, order_of, reference_of, staff, whole_feed},
};

/// Number of orders in a store: more than two pages of the audit.
pub(crate) const ORDERS: usize = 230;

/// Fills a store and audits it. Returns the report and the number of events.
pub(crate) async fn audit_random_orders(store: Arc<dyn Store>) -> (AuditReport, u64) {
    let mut world = World::new(20_261_125);
    fill(&store, &mut world, ORDERS).await;
    let events = whole_feed(&*store).await.len();
    let report = audit(&*store, None, &AuditOptions::new(world.now())).await.unwrap();
    (report, events.try_into().unwrap())
}

/// Panics if the auditor reports a breach or did not read everything.
pub(crate) fn assert_sound((report, events): &(AuditReport, u64)) {
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.orders, report.keys, report.rereads), (ORDERS as u64, ORDERS as u64, 0), "{report}");
    assert!(report.tasks > ORDERS as u64, "{report}");
    // A payment provider may refuse a refund.
    let expected = [FindingCode::RefundRefused, FindingCode::ReviewOpen];
    assert!(report.counts.keys().all(|code| expected.contains(code)), "{report}");
    assert_eq!(report.events, *events, "every event must be audited exactly once");
}

/// Fills a store with this number of random orders.
pub(crate) async fn fill(store: &Arc<dyn Store>, world: &mut World, orders: usize) {
    for number in 0..orders {
        run_random_order(&**store, world, number % 2 == 0).await;
    }
}

/// Places an order and sends random commands and reports. Returns the order.
pub(crate) async fn run_random_order(store: &dyn Store, world: &mut World, by_card: bool) -> Order {
    /// Maximum number of commands and provider reports for one order.
    const MAX_COMMANDS: usize = 9;
    let (restaurant_id, customer_id) = (world.restaurant_id(), world.account_id());
    let mut details = if by_card {
        world.details_by_card(restaurant_id, customer_id)
    } else {
        world.details(restaurant_id, customer_id)
    };
    if world.below(3) == 0 {
        details.fulfilment = Fulfilment::Collection;
    }
    let commit = world.place_with(details);
    let mut order = write(store, commit).await;
    let [courier, admin] = [world.account_id(), world.account_id()];
    for _ in 0..world.below(MAX_COMMANDS) {
        if world.below(2) == 0 {
            let reports = reports(&order);
            let place = world.below(reports.len());
            order = report(store, world, &order, &reports[place]).await;
        }
        let actors = [
            customer(&order),
            staff(&order),
            staff(&order),
            Actor::Courier { account_id: courier },
            Actor::Admin { account_id: admin },
            Actor::System,
        ];
        let actor = actors[world.below(actors.len())];
        let actions = allowed_actions(&order, &actor, Amount::from_minor(100_000).unwrap());
        // Warnings and expiries need their deadline, and the clock of this world hardly advances.
        let is_timed = |kind| matches!(kind, CommandKind::Warn | CommandKind::Expire);
        let kinds: Vec<_> =
            actions.iter().map(|action| action.command).filter(|kind| !is_timed(*kind)).collect();
        if kinds.is_empty() {
            continue;
        }
        let mut command = command_by(&actor, kinds[world.below(kinds.len())], &order, courier);
        if let Command::Refund(request) = &mut command {
            request.amount = request.amount.min(Some(order.refundable()));
        }
        let commit = world.act(&order, &command, &actor);
        if commit.change.is_some() {
            order = write(store, commit).await;
        }
    }
    order
}

/// Returns every report that a payment provider can make about a card order, the likely ones several times.
pub(crate) fn reports(order: &Order) -> Vec<PaymentReport> {
    let reference = || reference_of(order);
    let mut reports = vec![
        PaymentReport::Authorized { reference: reference() },
        PaymentReport::Authorized { reference: reference() },
        PaymentReport::Captured { reference: reference() },
        PaymentReport::Captured { reference: reference() },
        PaymentReport::Voided { reference: reference() },
        PaymentReport::Declined { reason: DeclineReason::InsufficientFunds },
        PaymentReport::NeverRequested,
    ];
    // Changes at the provider without Dabba, after a capture.
    let currency = order.details.currency;
    let money = |minor| Money { amount: Amount::from_minor(minor).unwrap(), currency };
    let (payment, external) = (reference(), |name| PaymentReference::new(name).unwrap());
    reports.push(PaymentReport::CapturedAmount { reference: reference(), money: money(700) });
    reports.push(PaymentReport::ExternalRefund {
        payment: payment.clone(),
        reference: external("re_hand"),
        money: money(300),
    });
    let reason = RefundFailureReason::CardClosed;
    reports.push(PaymentReport::ExternalRefundFailed { reference: external("re_hand"), reason });
    for outcome in [ChargebackOutcome::Open, ChargebackOutcome::Lost, ChargebackOutcome::Won] {
        let (payment, reference) = (payment.clone(), external("dp_1"));
        reports.push(PaymentReport::Chargeback { payment, reference, money: money(400), outcome });
    }
    for state in &order.refunds {
        let number = state.refund.number;
        reports.extend([
            PaymentReport::Refunded { number },
            PaymentReport::RefundRefused { number, reason: RefundFailureReason::Other },
        ]);
    }
    reports
}

/// Writes the events of a provider's report, if there are any. Returns the order.
pub(crate) async fn report(
    store: &dyn Store,
    world: &mut World,
    order: &Order,
    report: &PaymentReport,
) -> Order {
    let commit = world.settle(order, report);
    if commit.change.is_some() { write(store, commit).await } else { order.clone() }
}

/// Returns a command of this kind by this actor, with valid content: an admin states a reason for replacing a
/// courier who has the food.
pub(crate) fn command_by(actor: &Actor, kind: CommandKind, order: &Order, courier_id: AccountId) -> Command {
    let is_carried = matches!(order.status, OrderStatus::OutForDelivery | OrderStatus::Delivered);
    let is_admin = matches!(actor, Actor::Admin { .. });
    let reason = (is_admin && is_carried).then_some(InterventionReason::CourierUnreachable);
    match kind {
        CommandKind::AssignCourier => Command::AssignCourier { courier_id, reason, note: None },
        CommandKind::Deliver => Command::Deliver { reason, note: None },
        CommandKind::Confirm => Command::Confirm,
        CommandKind::Accept => Command::Accept { preparation_minutes: 25 },
        CommandKind::Reject => Command::reject(RejectReason::TooBusy),
        CommandKind::MarkReady => Command::MarkReady,
        CommandKind::PickUp => Command::PickUp,
        CommandKind::Cancel => Command::cancel(CancelReason::Other),
        CommandKind::Warn => Command::Warn,
        CommandKind::Expire => Command::Expire,
        CommandKind::Refund => {
            let amount = Amount::from_minor(700).unwrap();
            Command::Refund(RefundRequest::new(Some(amount), RefundReason::Late))
        }
    }
}

/// Writes a commit. Returns the order.
pub(crate) async fn write(store: &dyn Store, commit: Commit) -> Order {
    let order = order_of(&commit);
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
    order
}
