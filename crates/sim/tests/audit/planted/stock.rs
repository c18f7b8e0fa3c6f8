//! What can be wrong with the stock of an order that ends early, and with the items that its end names.

use dabba_domain::{
    Actor,
    menu::UnavailableItem,
    order::{Awaited, CancelReason, DeclineReason, Event, Order, RefundBearer, RejectReason},
};
use dabba_sim::audit::Code;
use dabba_store::conformance::builders::{customer, draw, slug, staff};
use jiff::SignedDuration;

use super::{AGREES, Planted, SOON, UNHURRIED, admin, agree, expired, happen, happen_after};
use crate::{
    lives::Stage,
    tampering::{Stored, Tamper},
};

const fn plant(code: Code, stage: Stage, by_card: bool, tamper: Tamper) -> Planted {
    Planted { code, stage, by_card, later: SOON, tamper, gateway: AGREES, lists: UNHURRIED }
}

/// Lets the order have drawn these items from limited stock, two of each.
fn drew(stored: &mut Stored, items: &[&str]) {
    agree(stored, |details| details.stock_drawn = items.iter().map(|item| draw(item, 2)).collect());
}

fn named(items: &[&str]) -> Vec<UnavailableItem> {
    items.iter().map(|item| UnavailableItem { item: slug(item), until: None }).collect()
}

fn cancelled(stored: &mut Stored, by: fn(&Order) -> Actor, reason: CancelReason, stock_returned: bool) {
    cancelled_for(stored, by, reason, &[], stock_returned);
}

fn cancelled_for(
    stored: &mut Stored,
    by: fn(&Order) -> Actor,
    reason: CancelReason,
    items: &[&str],
    stock_returned: bool,
) {
    let (actor, items) = (by(&stored.order), named(items));
    let borne_by = RefundBearer::Everyone;
    happen(stored, actor, Event::Cancelled { reason, note: None, items, stock_returned, borne_by });
}

fn rejected(stored: &mut Stored, reason: RejectReason, items: &[&str], stock_returned: bool) {
    let (actor, items) = (staff(&stored.order), named(items));
    happen(stored, actor, Event::Rejected { reason, note: None, items, stock_returned });
}

fn expires(stored: &mut Stored, waited_for: Awaited, stock_returned: bool) {
    let event = match expired(waited_for) {
        Event::Expired { waited_for, .. } => Event::Expired { waited_for, stock_returned },
        event => event,
    };
    happen_after(stored, SignedDuration::from_hours(1), Actor::System, event);
}

fn payment_fails(stored: &mut Stored, stock_returned: bool) {
    let reason = DeclineReason::InsufficientFunds;
    happen(stored, Actor::System, Event::PaymentFailed { reason, stock_returned });
}

const GONE: RejectReason = RejectReason::ItemUnavailable;

pub(super) const PLANTED: &[Planted] = &[
    // Stock that has to go back is kept: by a customer, by staff, by an admin, by the clock, by a declined card.
    plant(Code::StockReturned, Stage::Confirmed, false, |stored| {
        drew(stored, &["naan"]);
        cancelled(stored, customer, CancelReason::Other, false);
    }),
    plant(Code::StockReturned, Stage::Confirmed, false, |stored| {
        drew(stored, &["naan"]);
        cancelled(stored, staff, CancelReason::KitchenClosed, false);
    }),
    plant(Code::StockReturned, Stage::Confirmed, false, |stored| {
        drew(stored, &["naan"]);
        cancelled(stored, admin, CancelReason::Duplicate, false);
    }),
    plant(Code::StockReturned, Stage::Confirmed, false, |stored| {
        drew(stored, &["naan"]);
        rejected(stored, RejectReason::TooBusy, &[], false);
    }),
    plant(Code::StockReturned, Stage::Confirmed, false, |stored| {
        drew(stored, &["naan"]);
        expires(stored, Awaited::Restaurant, false);
    }),
    plant(Code::StockReturned, Stage::Created, true, |stored| {
        drew(stored, &["naan"]);
        payment_fails(stored, false);
    }),
    // One of two items is named, and the other is kept as well.
    plant(Code::StockReturned, Stage::Confirmed, false, |stored| {
        drew(stored, &["naan", "onion-bhaji"]);
        rejected(stored, GONE, &["naan"], false);
    }),
    // Stock goes back that is named, that was cooked, or that was never drawn.
    plant(Code::StockReturned, Stage::Confirmed, false, |stored| {
        drew(stored, &["naan"]);
        rejected(stored, GONE, &["naan"], true);
    }),
    plant(Code::StockReturned, Stage::Preparing, false, |stored| {
        drew(stored, &["naan"]);
        cancelled(stored, staff, CancelReason::Other, true);
    }),
    plant(Code::StockReturned, Stage::Confirmed, false, |stored| {
        cancelled(stored, customer, CancelReason::Other, true);
    }),
    plant(Code::ItemsNamed, Stage::Confirmed, false, |stored| rejected(stored, GONE, &["korma"], false)),
    plant(Code::ItemsNamed, Stage::Confirmed, false, |stored| {
        rejected(stored, GONE, &["naan", "naan"], false);
    }),
    plant(Code::ItemsNamed, Stage::Confirmed, false, |stored| {
        rejected(stored, RejectReason::TooBusy, &["naan"], false);
    }),
    plant(Code::ItemsNamed, Stage::Preparing, false, |stored| {
        cancelled_for(stored, staff, CancelReason::Other, &["naan"], false);
    }),
];

/// What is right: the stage, whether it is paid by card, and what happens.
pub(super) const RIGHT: &[(Stage, bool, Tamper)] = &[
    (Stage::Confirmed, false, |stored| {
        drew(stored, &["naan", "onion-bhaji"]);
        cancelled(stored, customer, CancelReason::TooSlow, true);
    }),
    (Stage::Confirmed, false, |stored| {
        drew(stored, &["naan", "onion-bhaji"]);
        rejected(stored, GONE, &["naan"], true);
    }),
    (Stage::Confirmed, false, |stored| {
        drew(stored, &["naan"]);
        rejected(stored, GONE, &["naan", "onion-bhaji"], false);
    }),
    (Stage::Preparing, false, |stored| {
        drew(stored, &["naan", "onion-bhaji"]);
        cancelled_for(stored, staff, CancelReason::ItemUnavailable, &["naan"], false);
    }),
    (Stage::Confirmed, false, |stored| {
        drew(stored, &["naan"]);
        expires(stored, Awaited::Restaurant, true);
    }),
    (Stage::Created, true, |stored| {
        drew(stored, &["naan"]);
        payment_fails(stored, true);
    }),
    // As it was recorded before items were named, by whomever.
    (Stage::Confirmed, false, |stored| {
        drew(stored, &["naan"]);
        rejected(stored, GONE, &[], false);
    }),
    (Stage::Confirmed, false, |stored| {
        drew(stored, &["naan"]);
        cancelled(stored, customer, CancelReason::ItemUnavailable, false);
    }),
];
