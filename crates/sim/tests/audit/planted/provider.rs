//! Payment provider records that contradict an order.

use dabba_domain::{
    Actor,
    order::{Event, External, ExternalKind, Refund, RefundBearer},
};
use dabba_sim::audit::FindingCode;
use dabba_store::conformance::builders::{amount, reference_of, staff};
use jiff::SignedDuration;

use super::{Planted, SOON, TASKS_NOT_DUE, append_event, refund_of};
use crate::{gateway::TamperSummary, lives::Stage, tampering::Tamper};

const fn plant(code: FindingCode, stage: Stage, gateway: TamperSummary) -> Planted {
    Planted { code, stage, by_card: true, later: SOON, tamper: |_| {}, gateway, lists: TASKS_NOT_DUE }
}

/// The provider did something, and hours later the order still does not know it.
const fn ahead(stage: Stage, tamper: Tamper, gateway: TamperSummary) -> Planted {
    let later = SignedDuration::from_hours(2);
    Planted {
        code: FindingCode::GatewayAhead,
        stage,
        by_card: true,
        later,
        tamper,
        gateway,
        lists: TASKS_NOT_DUE,
    }
}

pub(super) const PLANTED: &[Planted] = &[
    plant(FindingCode::GatewayTwice, Stage::Confirmed, |summary| {
        summary.authorizations = 2;
        summary.authorized *= 2;
    }),
    plant(FindingCode::GatewayTwice, Stage::Delivered, |summary| summary.captures = 2),
    plant(FindingCode::GatewayDiffers, Stage::Confirmed, |summary| {
        (summary.authorizations, summary.authorized) = (0, 0);
    }),
    plant(FindingCode::GatewayDiffers, Stage::Delivered, |summary| summary.captured = 0),
    plant(FindingCode::GatewayDiffers, Stage::Delivered, |summary| summary.captured += 1),
    plant(FindingCode::GatewayDiffers, Stage::Delivered, |summary| summary.refunded = 1),
    plant(FindingCode::GatewayDiffers, Stage::Cancelled, |summary| {
        (summary.captured, summary.captures, summary.voided) = (summary.voided, 1, 0);
    }),
    plant(FindingCode::GatewayHolds, Stage::Cancelled, |summary| summary.voided = 0),
    ahead(
        Stage::Confirmed,
        |stored| {
            let (actor, ready_by) = (staff(&stored.order), stored.order.updated_at);
            append_event(stored, actor, Event::Accepted { preparation_minutes: 0, ready_by });
        },
        |summary| (summary.captured, summary.captures) = (summary.authorized, 1),
    ),
    ahead(
        Stage::Delivered,
        |stored| {
            let actor = Actor::Admin { account_id: stored.order.details.customer_id };
            append_event(stored, actor, Event::RefundRequested(refund_of(1, amount(700))));
        },
        |summary| summary.refunded = 700,
    ),
    // A refund in the provider's dashboard and a lost chargeback: the order does not know them.
    plant(FindingCode::GatewayDiffers, Stage::Delivered, |summary| summary.refunded = 600),
    ahead(
        Stage::Delivered,
        |stored| {
            let refund = refund_of(1, amount(700));
            let reference = reference_of(&stored.order);
            let external = Some(External { kind: ExternalKind::Chargeback, reference, money: None });
            let opened =
                Event::ChargebackOpened(Refund { external, borne_by: RefundBearer::Platform, ..refund });
            append_event(stored, Actor::System, opened);
        },
        |summary| summary.refunded = 700,
    ),
];
