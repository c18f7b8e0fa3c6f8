//! Orders of any price, delivered and paid.

use dabba_domain::{
    Actor, Timestamp,
    order::{
        Command, Decision, Fulfilment, Order, OrderDetails, PaymentMethod, PaymentReport, RecordedEvent,
        decide, settle,
    },
    pricing::{Amounts, OrderLine},
};
use proptest::prelude::*;

use crate::{
    common::{PAYMENT_TIME, amount, courier, delivery, details, now, placed_with, settings, staff},
    moves::{accept, assign},
    payments::{authorized, captured},
};

/// Amounts and fulfilment of an order.
#[derive(Clone, Debug)]
pub(crate) struct Bill {
    /// Quantity and price of each line.
    pub(crate) lines: Vec<(u32, i64)>,
    pub(crate) tax_rate: u32,
    pub(crate) delivery_fee: i64,
    pub(crate) tip: i64,
    pub(crate) discount: i64,
    pub(crate) method: PaymentMethod,
    pub(crate) collects: bool,
}

impl Bill {
    pub(crate) fn amounts(&self) -> Amounts {
        let subtotal = amount(self.lines.iter().map(|(quantity, price)| i64::from(*quantity) * price).sum());
        let mut amounts = Amounts {
            subtotal,
            tax: subtotal.basis_points(self.tax_rate).unwrap(),
            delivery_fee: amount(self.delivery_fee),
            tip: amount(self.tip),
            discount: amount(self.discount.min(subtotal.minor() / 2)),
            ..Amounts::default()
        };
        amounts.total = amounts.sum().unwrap();
        amounts
    }

    fn details(&self) -> OrderDetails {
        let details = details(if self.collects { Fulfilment::Collection } else { delivery() });
        let line = |(quantity, price): &(u32, i64)| OrderLine {
            quantity: *quantity,
            unit_price: amount(*price),
            total: amount(i64::from(*quantity) * price),
            ..details.lines[0].clone()
        };
        let is_card = self.method == PaymentMethod::Card;
        OrderDetails {
            lines: self.lines.iter().map(line).collect(),
            amounts: self.amounts(),
            payment_method: self.method,
            payment_deadline: is_card.then(|| now() + PAYMENT_TIME),
            ..details
        }
    }

    /// Returns the decision that places the order.
    pub(crate) fn placed(&self) -> Decision {
        placed_with(self.details())
    }

    /// Returns the order after its delivery and payment.
    pub(crate) fn delivered(&self) -> Life {
        let Decision { order, events, .. } = self.placed();
        let mut life = Life { order, history: events };
        let is_card = self.method == PaymentMethod::Card;
        if is_card {
            life.receive(&authorized());
        }
        life.give(&accept(), &staff());
        if is_card {
            life.receive(&captured());
        }
        life.give(&Command::MarkReady, &staff());
        if self.collects {
            life.give(&Command::deliver(), &staff());
        } else {
            life.give(&assign(), &courier());
            life.give(&Command::PickUp, &courier());
            life.give(&Command::deliver(), &courier());
        }
        assert_eq!(life.order.captured, self.amounts().total);
        life
    }
}

/// An order with its history.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) order: Order,
    pub(crate) history: Vec<RecordedEvent>,
}

impl Life {
    fn write(&mut self, decision: Decision) {
        self.order = decision.order;
        self.history.extend(decision.events);
    }

    pub(crate) fn receive(&mut self, report: &PaymentReport) {
        self.write(settle(&self.order, report, &settings(), self.time()).unwrap());
    }

    pub(crate) fn give(&mut self, command: &Command, actor: &Actor) {
        self.write(decide(&self.order, command, actor, &settings(), self.time()).unwrap());
    }

    /// Gives a command that may be refused. Returns whether the command changed the order.
    pub(crate) fn try_give(&mut self, command: &Command, actor: &Actor) -> bool {
        let version = self.order.version;
        if let Ok(decision) = decide(&self.order, command, actor, &settings(), self.time()) {
            self.write(decision);
        }
        self.order.version > version
    }

    fn time(&self) -> Timestamp {
        self.order.updated_at
    }
}

/// Returns any bill with at least one line.
pub(crate) fn any_bill(method: impl Strategy<Value = PaymentMethod>) -> impl Strategy<Value = Bill> {
    let lines = proptest::collection::vec((1_u32..5, 50_i64..2_000), 1..5);
    let tax_rate = prop_oneof![Just(0_u32), Just(2_000), 1_u32..3_000, Just(10_000)];
    let extra = || prop_oneof![Just(0_i64), 1_i64..500];
    (lines, tax_rate, extra(), extra(), extra(), method, any::<bool>()).prop_map(
        |(lines, tax_rate, delivery_fee, tip, discount, method, collects)| {
            // There is no delivery fee on collection.
            let delivery_fee = if collects { 0 } else { delivery_fee };
            Bill { lines, tax_rate, delivery_fee, tip, discount, method, collects }
        },
    )
}

pub(crate) fn any_method() -> impl Strategy<Value = PaymentMethod> {
    prop_oneof![Just(PaymentMethod::Cash), Just(PaymentMethod::Card)]
}
