//! The bearer of a refund that names none.

use dabba_domain::{
    Actor,
    order::{
        Command, Event, Order, PaymentMethod, PaymentReport, RecordedEvent, RefundBearer, RefundReason,
        RefundRequest, RefundStatus, Rejection, evolve,
    },
};
use serde_json::json;

use crate::{
    bill::Bill,
    common::{admin, customer, delivery, now, placed_by_card, settings, staff},
    moves::{accept, act, cancel, must, refund, reject},
    payments::{authorized, captured, refund_paid, refused, settled},
};

fn by(borne_by: Option<RefundBearer>) -> Command {
    Command::Refund(RefundRequest { borne_by, ..RefundRequest::new(None, RefundReason::OrderEnded) })
}

/// Returns orders that ended early after their payment was captured, with the bearer of the end.
fn ended() -> Vec<(&'static str, Order, RefundBearer)> {
    let confirmed = settled(&settled(&placed_by_card(delivery()).order, &authorized()), &captured());
    let preparing = must(&confirmed, &staff(), &accept());
    // The payment of the following orders is captured after the end.
    let unpaid = settled(&placed_by_card(delivery()).order, &authorized());
    let begun = must(&unpaid, &staff(), &accept());
    let late =
        |order: &Order, actor: Actor, command: Command| settled(&must(order, &actor, &command), &captured());
    let expired = {
        let deadline = confirmed.acceptance_deadline.unwrap();
        let decided =
            dabba_domain::order::decide(&confirmed, &Command::Expire, &Actor::System, &settings(), deadline);
        decided.unwrap().order
    };
    let (everyone, platform) = (RefundBearer::Everyone, RefundBearer::Platform);
    vec![
        ("the customer cancels", must(&confirmed, &customer(), &cancel()), everyone),
        ("the restaurant rejects", must(&confirmed, &staff(), &reject()), everyone),
        ("the restaurant gives up", must(&preparing, &staff(), &cancel()), everyone),
        ("an admin cancels", must(&confirmed, &admin(), &cancel()), everyone),
        ("an admin cancels after the kitchen has begun", must(&preparing, &admin(), &cancel()), platform),
        ("nobody accepts", expired, everyone),
        ("the customer cancels in flight", late(&unpaid, customer(), cancel()), everyone),
        ("the restaurant rejects in flight", late(&unpaid, staff(), reject()), everyone),
        ("an admin cancels in flight after the kitchen has begun", late(&begun, admin(), cancel()), platform),
    ]
}

/// Proves that a repeated refund has the bearer of the automatic refund, whether the automatic refund failed at once or
/// later. Staff name this bearer or none; an admin may name any.
#[test]
fn a_repeated_refund_is_borne_by_the_bearer_of_the_end() {
    let failures: [(RefundStatus, &[PaymentReport]); 2] =
        [(RefundStatus::Failed, &[refused(1)]), (RefundStatus::Reversed, &[refund_paid(1), refused(1)])];
    for (what, order, bearer) in ended() {
        assert_eq!(order.refunds[0].refund.borne_by, bearer, "{what}");
        for (status, reports) in &failures {
            let failed = reports.iter().fold(order.clone(), |order, report| settled(&order, report));
            assert_eq!((failed.refunds[0].status, failed.refundable()), (*status, failed.captured), "{what}");
            let mut generous = settings();
            generous.refund_limit = failed.captured;
            let give = |actor: &Actor, command: &Command| {
                dabba_domain::order::decide(&failed, command, actor, &generous, now())
            };
            for actor in [staff(), admin()] {
                for stated in [None, Some(bearer)] {
                    let again = give(&actor, &by(stated)).unwrap().order;
                    let refund = &again.refunds.last().unwrap().refund;
                    assert_eq!((refund.borne_by, refund.amount), (bearer, failed.captured), "{what}");
                }
            }
            for other in RefundBearer::ALL.iter().filter(|other| **other != bearer) {
                assert_eq!(
                    give(&admin(), &by(Some(*other))).unwrap().order.refunds[1].refund.borne_by,
                    *other
                );
                let Err(Rejection::Invalid(problems)) = give(&staff(), &by(Some(*other))) else {
                    panic!("{what}: staff names {other}")
                };
                let problem = &problems.as_slice()[0];
                assert_eq!(problem.pointer, "/borne_by");
                let names = [bearer.as_str(), other.as_str()];
                assert!(names.iter().all(|name| problem.detail.contains(name)), "{}", problem.detail);
            }
        }
    }
}

/// Proves that the restaurant bears refunds of a delivered order, which has no early end.
#[test]
fn the_restaurant_bears_refunds_of_delivered_orders() {
    let bill = Bill {
        lines: vec![(2, 650)],
        tax_rate: 2_000,
        delivery_fee: 250,
        tip: 100,
        discount: 0,
        method: PaymentMethod::Card,
        collects: false,
    };
    let delivered = bill.delivered().order;
    for actor in [staff(), admin()] {
        let refunded = act(&delivered, &actor, &refund(Some(100))).unwrap().order;
        assert_eq!(refunded.refunds[0].refund.borne_by, RefundBearer::Restaurant);
    }
    assert!(matches!(
        act(&delivered, &staff(), &by(Some(RefundBearer::Everyone))),
        Err(Rejection::Invalid(_))
    ));
}

/// Proves the rule for old cancellations, which did not record their bearer: the refund that followed did.
#[test]
fn an_old_cancellation_has_the_bearer_of_its_refund() {
    let confirmed = settled(&settled(&placed_by_card(delivery()).order, &authorized()), &captured());
    let preparing = must(&confirmed, &staff(), &accept());
    let old = json!({"type": "cancelled", "data": {"reason": "other", "stock_returned": false}});
    let requested = json!({"type": "refund_requested", "data": {
        "number": 1, "amount": preparing.captured, "reason": "order_ended", "borne_by": "platform",
    }});
    let happened = |order: Order, event: serde_json::Value| {
        let event: Event = serde_json::from_value(event).unwrap();
        let (order_id, version, at) = (order.id, order.version + 1, now());
        let recorded = RecordedEvent { order_id, version, at, actor: admin(), event };
        evolve(Some(order), &recorded).unwrap()
    };
    let failed = settled(&happened(happened(preparing, old), requested), &refused(1));
    let again = act(&failed, &admin(), &by(None)).unwrap().order;
    assert_eq!(again.refunds[1].refund.borne_by, RefundBearer::Platform);
}

/// Proves that the stored form of a cancellation names its bearer, except everyone, and is read back as it was.
#[test]
fn the_stored_cancellation_names_an_unusual_bearer() {
    let confirmed = settled(&settled(&placed_by_card(delivery()).order, &authorized()), &captured());
    let preparing = must(&confirmed, &staff(), &accept());
    for (order, stored) in [(&confirmed, None), (&preparing, Some("platform"))] {
        let decision = act(order, &admin(), &cancel()).unwrap();
        let event = &decision.events[0].event;
        let json = serde_json::to_value(event).unwrap();
        assert_eq!(json["data"]["borne_by"].as_str(), stored, "{json}");
        assert_eq!(serde_json::from_value::<Event>(json).unwrap(), *event);
        let closure = serde_json::to_value(&decision.order.closure).unwrap();
        assert_eq!(closure["borne_by"].as_str(), stored, "{closure}");
    }
}
