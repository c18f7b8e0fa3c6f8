//! I9 for the bodies of orders, and for what tracking links show.

use std::sync::Arc;

use dabba_domain::{
    AccountId, Actor,
    order::{
        CancelReason, Closure, DeclineReason, ExpiryReason, Order, OrderStatus, OrderSteps, OrderWithSteps,
        PaymentMethod, PaymentStatus, RefundBearer, RefundFailureReason, RefundState, RefundStatus,
        RejectReason,
    },
    restaurant::Zone,
};
use dabba_engine::{Tracked, TrackedRestaurant};
use dabba_outbound::public::{Audience, PublicOrder, PublicTracking};

use super::{Values, assert_shows};

impl Values {
    /// Returns the order of this number with a unique value in every field; `None` after the last one. The number decides how
    /// the order ended.
    fn order(&mut self, index: usize) -> Option<Order> {
        let method = if index == 0 { PaymentMethod::Cash } else { PaymentMethod::Card };
        let mut details = self.details(method);
        // The order shows the deadline of a payment only while it waits, and never the draws from stock and the parts of
        // lines and fees.
        self.markers.retain(|marker| {
            Some(&marker.text) != details.payment_deadline.map(|at| at.to_string()).as_ref()
        });
        details.payment_deadline = None;
        for draw in std::mem::take(&mut details.stock_drawn) {
            let drawn = [draw.item.to_string(), draw.quantity.to_string()];
            self.markers.retain(|marker| !drawn.contains(&marker.text));
        }
        let of_fees = details.fees.iter_mut().map(|fee| &mut fee.parts);
        for part in
            details.lines.iter_mut().map(|line| &mut line.parts).chain(of_fees).flat_map(std::mem::take)
        {
            let shares = part.taxes.iter().flat_map(|it| [it.tax.to_string(), it.amount.minor().to_string()]);
            let parts: Vec<_> = shares.chain([part.amount.minor().to_string()]).collect();
            self.markers.retain(|marker| !parts.contains(&marker.text));
        }
        let closure = match index {
            0 => None,
            1 => Some(self.cancellation("O", |account_id| Actor::Admin { account_id })),
            2 => {
                let restaurant_id = details.restaurant_id;
                Some(self.cancellation("CRO", |account_id| Actor::Restaurant { account_id, restaurant_id }))
            }
            3 => Some(Closure::Rejected {
                reason: self.fragment("CRKOP", "too_busy", RejectReason::TooBusy),
                note: self.note("CRO"),
                items: self.items(),
            }),
            4 => {
                let waited_for =
                    self.fragment("CRKOP", r#""waited_for":"restaurant""#, ExpiryReason::Restaurant);
                Some(Closure::Expired { waited_for })
            }
            5 => Some(Closure::PaymentFailed {
                reason: self.fragment("CO", "expired_card", DeclineReason::ExpiredCard),
            }),
            _ => return None,
        };
        let mut refunded = RefundState::new(RefundStatus::Paid, self.refund("O"));
        let insufficient = RefundFailureReason::InsufficientFunds;
        refunded.failure = Some(self.fragment("O", "insufficient_funds", insufficient));
        let (placed_at, updated_at) = (self.time("CRKOP"), self.time("CRKOP"));
        Some(Order {
            id: self.world.order_id(details.restaurant_id),
            version: self.count("CRKOP"),
            details: Arc::new(details),
            status: if closure.is_some() { OrderStatus::Cancelled } else { OrderStatus::OutForDelivery },
            payment_status: PaymentStatus::PartiallyRefunded,
            captured: self.amount("CROP"),
            refunded: self.amount("CROP"),
            payment_reference: Some(self.reference("O")),
            refunds: vec![refunded],
            courier_id: Some(self.account("RKO")),
            acceptance_deadline: Some(self.time("CROP")),
            ready_by: Some(self.time("CRKOP")),
            closure,
            placed_at,
            updated_at,
            is_written_by_newer: false,
        })
    }

    fn cancellation(&mut self, note: &'static str, by: impl FnOnce(AccountId) -> Actor) -> Closure {
        Closure::Cancelled {
            by: by(self.account("O")),
            reason: self.fragment("CRKOP", "no_courier", CancelReason::NoCourier),
            note: self.note(note),
            items: self.items(),
            borne_by: self.fragment("RO", r#""borne_by":"everyone""#, RefundBearer::Everyone),
        }
    }
}

/// Proves for every field of an order that exactly the intended audiences see its value.
#[test]
fn each_value_of_an_order_reaches_exactly_its_audiences() {
    for index in 0.. {
        let mut values = Values::new();
        let Some(order) = values.order(index) else { break };
        for audience in Audience::ALL {
            let text = serde_json::to_string(&PublicOrder::new(&order, Vec::new(), audience)).unwrap();
            assert_shows(audience, &text, &values.markers);
        }
    }
}

/// Proves that a tracking link shows no value that the customer does not see, and of the others no account, no contact, no
/// note of the order, no words of anybody and no single refund.
#[test]
fn a_tracking_link_shows_no_value_that_is_not_meant_for_it() {
    for index in 0.. {
        let mut values = Values::new();
        let Some(order) = values.order(index) else { break };
        let details = &order.details;
        let contact = details.contact.as_ref().unwrap();
        let mut forbidden = vec![
            details.customer_id.to_string(),
            order.courier_id.unwrap().to_string(),
            contact.name.to_string(),
            contact.phone.as_ref().unwrap().to_string(),
            details.note.as_ref().unwrap().to_string(),
            details.menu_revision.to_string(),
            details.delivery_zone.as_ref().unwrap().id.to_string(),
            order.payment_reference.as_ref().unwrap().as_str().to_owned(),
        ];
        let refund = &order.refunds[0].refund;
        forbidden.extend([refund.amount.minor().to_string(), refund.note.as_ref().unwrap().to_string()]);
        if let Some(Closure::Cancelled { note, .. } | Closure::Rejected { note, .. }) = &order.closure {
            forbidden.push(note.as_ref().unwrap().to_string());
        }
        for marker in values.markers.iter().filter(|marker| !marker.letters.contains('C')) {
            forbidden.push(marker.text.clone());
        }
        let restaurant = TrackedRestaurant {
            id: details.restaurant_id,
            name: details.restaurant_name.clone(),
            time_zone: Zone::from_name("Europe/London").unwrap(),
            country: Some("GB".to_owned()),
            location: None,
        };
        let (allowed_actions, now) = (Vec::new(), values.world.now());
        let followed = OrderWithSteps { order: order.clone(), steps: OrderSteps::default() };
        let tracked = Tracked { followed, allowed_actions, restaurant, now };
        let text = serde_json::to_string(&PublicTracking::new(&tracked)).unwrap();
        assert!(
            text.contains(&order.id.to_string()) && text.contains(&details.amounts.total.minor().to_string()),
            "{text}"
        );
        for value in forbidden {
            assert!(!text.contains(&value), "{value} in {text}");
        }
    }
}
