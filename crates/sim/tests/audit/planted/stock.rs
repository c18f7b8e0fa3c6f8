//! Violations in the stock of an order that ends early, and in the items that its end names.

use dabba_domain::{
    Actor,
    menu::UnavailableItem,
    order::{CancelReason, DeclineReason, Event, ExpiryReason, Order, RefundBearer, RejectReason},
};
use dabba_sim::audit::FindingCode;
use dabba_store::conformance::builders::{customer, draw, slug, staff};
use jiff::SignedDuration;

use super::{
    CONSISTENT, Planted, SOON, TASKS_NOT_DUE, admin, append_event, append_event_after, change_details,
    expired,
};
use crate::{
    lives::Stage,
    tampering::{Stored, Tamper},
};

const fn plant(code: FindingCode, stage: Stage, by_card: bool, tamper: Tamper) -> Planted {
    Planted { code, stage, by_card, later: SOON, tamper, gateway: CONSISTENT, lists: TASKS_NOT_DUE }
}

/// Records that the order drew two of each of these items from limited stock.
fn drew(stored: &mut Stored, items: &[&str]) {
    change_details(stored, |details| details.stock_drawn = items.iter().map(|item| draw(item, 2)).collect());
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
    append_event(stored, actor, Event::Cancelled { reason, note: None, items, stock_returned, borne_by });
}

fn rejected(stored: &mut Stored, reason: RejectReason, items: &[&str], stock_returned: bool) {
    let (actor, items) = (staff(&stored.order), named(items));
    append_event(stored, actor, Event::Rejected { reason, note: None, items, stock_returned });
}

fn expires(stored: &mut Stored, waited_for: ExpiryReason, stock_returned: bool) {
    let event = match expired(waited_for) {
        Event::Expired { waited_for, .. } => Event::Expired { waited_for, stock_returned },
        event => event,
    };
    append_event_after(stored, SignedDuration::from_hours(1), Actor::System, event);
}

fn payment_fails(stored: &mut Stored, stock_returned: bool) {
    let reason = DeclineReason::InsufficientFunds;
    append_event(stored, Actor::System, Event::PaymentFailed { reason, stock_returned });
}

const GONE: RejectReason = RejectReason::ItemUnavailable;

pub(super) const PLANTED: &[Planted] = &[
    // Stock that must be returned is kept: after a customer's, staff's or admin's cancellation, a rejection,
    // an expiry or a declined card.
    plant(FindingCode::StockReturned, Stage::Confirmed, false, |stored| {
        drew(stored, &["naan"]);
        cancelled(stored, customer, CancelReason::Other, false);
    }),
    plant(FindingCode::StockReturned, Stage::Confirmed, false, |stored| {
        drew(stored, &["naan"]);
        cancelled(stored, staff, CancelReason::KitchenClosed, false);
    }),
    plant(FindingCode::StockReturned, Stage::Confirmed, false, |stored| {
        drew(stored, &["naan"]);
        cancelled(stored, admin, CancelReason::Duplicate, false);
    }),
    plant(FindingCode::StockReturned, Stage::Confirmed, false, |stored| {
        drew(stored, &["naan"]);
        rejected(stored, RejectReason::TooBusy, &[], false);
    }),
    plant(FindingCode::StockReturned, Stage::Confirmed, false, |stored| {
        drew(stored, &["naan"]);
        expires(stored, ExpiryReason::Restaurant, false);
    }),
    plant(FindingCode::StockReturned, Stage::Created, true, |stored| {
        drew(stored, &["naan"]);
        payment_fails(stored, false);
    }),
    // One of two items is named, but the other item is kept too.
    plant(FindingCode::StockReturned, Stage::Confirmed, false, |stored| {
        drew(stored, &["naan", "onion-bhaji"]);
        rejected(stored, GONE, &["naan"], false);
    }),
    // Stock is returned of an item that is named, of an order that is being prepared, or without having been
    // drawn.
    plant(FindingCode::StockReturned, Stage::Confirmed, false, |stored| {
        drew(stored, &["naan"]);
        rejected(stored, GONE, &["naan"], true);
    }),
    plant(FindingCode::StockReturned, Stage::Preparing, false, |stored| {
        drew(stored, &["naan"]);
        cancelled(stored, staff, CancelReason::Other, true);
    }),
    plant(FindingCode::StockReturned, Stage::Confirmed, false, |stored| {
        cancelled(stored, customer, CancelReason::Other, true);
    }),
    plant(FindingCode::ItemsNamed, Stage::Confirmed, false, |stored| {
        rejected(stored, GONE, &["korma"], false);
    }),
    plant(FindingCode::ItemsNamed, Stage::Confirmed, false, |stored| {
        rejected(stored, GONE, &["naan", "naan"], false);
    }),
    plant(FindingCode::ItemsNamed, Stage::Confirmed, false, |stored| {
        rejected(stored, RejectReason::TooBusy, &["naan"], false);
    }),
    plant(FindingCode::ItemsNamed, Stage::Preparing, false, |stored| {
        cancelled_for(stored, staff, CancelReason::Other, &["naan"], false);
    }),
];

/// Valid cases: the stage, whether the order is paid by card, and the events.
pub(super) const VALID: &[(Stage, bool, Tamper)] = &[
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
        expires(stored, ExpiryReason::Restaurant, true);
    }),
    (Stage::Created, true, |stored| {
        drew(stored, &["naan"]);
        payment_fails(stored, true);
    }),
    // Events as they were recorded before items were named, by staff and by a customer.
    (Stage::Confirmed, false, |stored| {
        drew(stored, &["naan"]);
        rejected(stored, GONE, &[], false);
    }),
    (Stage::Confirmed, false, |stored| {
        drew(stored, &["naan"]);
        cancelled(stored, customer, CancelReason::ItemUnavailable, false);
    }),
];
