//! Checks of the stock of an order that ends early, and of the items that its end names.

use std::collections::HashSet;

use dabba_domain::{
    menu::UnavailableItem,
    order::{CancelReason, Event, OrderDetails, OrderStatus, RecordedEvent, RejectReason},
    text::Slug,
};

use super::{FindingCode, Findings};

/// The items and the stock of an event that ends an order early.
struct End<'a> {
    /// Whether the reason is that items are unavailable.
    for_items: bool,
    items: &'a [UnavailableItem],
    stock_returned: bool,
    /// Whether the order had ended before, so that this event returns nothing.
    is_late: bool,
}

impl<'a> End<'a> {
    fn of(event: &'a Event, status: OrderStatus) -> Option<Self> {
        let (for_items, items, stock_returned): (_, &[_], _) = match event {
            Event::Rejected { reason, items, stock_returned, .. } => {
                (*reason == RejectReason::ItemUnavailable, items, *stock_returned)
            }
            Event::Cancelled { reason, items, stock_returned, .. } => {
                (*reason == CancelReason::ItemUnavailable, items, *stock_returned)
            }
            Event::Expired { stock_returned, .. } | Event::PaymentFailed { stock_returned, .. } => {
                (false, &[], *stock_returned)
            }
            _ => return None,
        };
        let is_late =
            matches!(status, OrderStatus::Delivered | OrderStatus::Cancelled | OrderStatus::Refunded);
        Some(Self { for_items, items, stock_returned, is_late })
    }
}

/// Checks an event against the stock that the order drew and the status of the order before the event.
pub(super) fn judge(
    details: &OrderDetails,
    status: OrderStatus,
    recorded: &RecordedEvent,
    findings: &mut Findings,
) {
    let RecordedEvent { version, event, .. } = recorded;
    let Some(end) = End::of(event, status) else { return };
    let name = event.name();
    judge_items(details, &end, |text| {
        findings.add(FindingCode::ItemsNamed, format!("event {version}, {name}, {text}"));
    });
    // Before events named items, the reason that an item was unavailable kept all stock.
    if end.for_items && end.items.is_empty() && !end.stock_returned {
        return;
    }
    let is_unbegun = matches!(status, OrderStatus::Created | OrderStatus::Confirmed);
    let named: HashSet<&Slug> = end.items.iter().map(|named| &named.item).collect();
    let goes_back = details.stock_drawn.iter().filter(|draw| !named.contains(&draw.item)).count();
    let expected = is_unbegun && !end.is_late && goes_back > 0;
    if end.stock_returned != expected {
        let (says, is) = if expected {
            ("was not returned", format!("the order drew {goes_back} items that must be returned"))
        } else {
            ("was returned", "there was none to return".to_owned())
        };
        let text =
            format!("event {version} is {name} while the order is {status} and says that stock {says}; {is}");
        findings.add(FindingCode::StockReturned, text);
    }
}

/// Checks the named items: with the reason for items, each is in the order and named once; with another
/// reason, none is named.
fn judge_items(details: &OrderDetails, end: &End<'_>, mut add: impl FnMut(String)) {
    if !end.for_items && !end.items.is_empty() {
        add("names unavailable items but has another reason".to_owned());
    }
    let mut named = HashSet::new();
    for UnavailableItem { item, .. } in end.items {
        if !details.lines.iter().any(|line| line.item == *item) {
            add(format!("names {item}, which is not in the order"));
        }
        if !named.insert(item) {
            add(format!("names {item} twice"));
        }
    }
}
