//! Bodies of receipts.

use dabba_domain::{
    Amount, Currency, DisplayCode, OrderId, RestaurantId, Timestamp,
    order::{Order, PaymentMethod, PaymentStatus, RefundNumber, RefundState, RefundStatus},
    pricing::{Amounts, FulfilmentKind, OrderFee, OrderLine, OrderLineOption, OrderTax, TaxShare, TaxedPart},
    text::{Name, Slug},
};
use serde::Serialize;
use utoipa::ToSchema;

/// The receipt of an order: what was sold, each fee and tax, and what was paid and returned.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Receipt)]
pub(crate) struct ReceiptBody<'a> {
    order_id: OrderId,
    /// Short name of the order for people, as in `Order`.
    #[schema(value_type = String, pattern = "^[0-9A-HJKMNP-TV-Z]{5}$")]
    display_code: DisplayCode,
    restaurant_id: RestaurantId,
    /// Name of the restaurant when the order was placed.
    restaurant_name: &'a Name,
    placed_at: Timestamp,
    fulfilment: FulfilmentKind,
    /// The currency of every amount.
    currency: Currency,
    lines: Vec<ReceiptLine<'a>>,
    /// The fees. Absent without fees, and for orders of older versions of Dabba, whose only fee is in the amounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    fees: Vec<ReceiptFee<'a>>,
    /// The taxes, each with its base. Absent without taxes, and for orders of older versions of Dabba, whose only tax is in
    /// the amounts.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    taxes: &'a [OrderTax],
    amounts: Amounts,
    payment: ReceiptPayment<'a>,
}

/// A line of a receipt.
#[derive(Debug, Serialize, ToSchema)]
struct ReceiptLine<'a> {
    /// The item's id in the menu.
    item: &'a Slug,
    /// The item's name.
    name: &'a Name,
    #[schema(minimum = 1, maximum = 99)]
    quantity: u32,
    /// Price of one item with its options.
    unit_price: Amount,
    /// `unit_price` × `quantity`.
    total: Amount,
    /// Chosen options. Absent if there are none.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    options: &'a [OrderLineOption],
    /// Parts of the total that are taxed alike, with their taxes. Absent if no tax applies to the line.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    parts: &'a [TaxedPart],
}

/// A fee of a receipt.
#[derive(Debug, Serialize, ToSchema)]
struct ReceiptFee<'a> {
    id: &'a Slug,
    name: &'a Name,
    /// Amount, with the taxes that it includes.
    amount: Amount,
    /// Parts of the fee that are taxed alike, with their taxes. Absent if no tax applies to the fee.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    parts: &'a [TaxedPart],
}

/// What was paid for an order, and what was returned.
#[derive(Debug, Serialize, ToSchema)]
struct ReceiptPayment<'a> {
    method: PaymentMethod,
    status: PaymentStatus,
    /// The captured amount.
    captured: Amount,
    /// The refunded part of the captured amount.
    refunded: Amount,
    /// Refunds that were paid, oldest first. Absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    refunds: Vec<ReceiptRefund<'a>>,
}

/// A refund that was paid.
#[derive(Debug, Serialize, ToSchema)]
struct ReceiptRefund<'a> {
    #[schema(value_type = u32, minimum = 1)]
    number: RefundNumber,
    /// Refunded amount.
    amount: Amount,
    /// Taxes that the refund of lines returned. Absent for other refunds, and if the order does not state its taxes.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    taxes: &'a [TaxShare],
}

impl<'a> ReceiptBody<'a> {
    pub(crate) fn new(order: &'a Order) -> Self {
        let details = &*order.details;
        let paid = |state: &&RefundState| state.status == RefundStatus::Paid;
        let refund = |state: &'a RefundState| ReceiptRefund {
            number: state.refund.number,
            amount: state.refund.amount,
            taxes: &state.refund.taxes,
        };
        Self {
            order_id: order.id,
            display_code: order.id.display_code(),
            restaurant_id: details.restaurant_id,
            restaurant_name: &details.restaurant_name,
            placed_at: order.placed_at,
            fulfilment: details.fulfilment.kind(),
            currency: details.currency,
            lines: details.lines.iter().map(ReceiptLine::new).collect(),
            fees: details.fees.iter().map(ReceiptFee::new).collect(),
            taxes: &details.taxes,
            amounts: details.amounts,
            payment: ReceiptPayment {
                method: details.payment_method,
                status: order.payment_status,
                captured: order.captured,
                refunded: order.refunded,
                refunds: order.refunds.iter().filter(paid).map(refund).collect(),
            },
        }
    }
}

impl<'a> ReceiptLine<'a> {
    fn new(line: &'a OrderLine) -> Self {
        Self {
            item: &line.item,
            name: &line.name,
            quantity: line.quantity,
            unit_price: line.unit_price,
            total: line.total,
            options: &line.options,
            parts: &line.parts,
        }
    }
}

impl<'a> ReceiptFee<'a> {
    fn new(fee: &'a OrderFee) -> Self {
        Self { id: &fee.id, name: &fee.name, amount: fee.amount, parts: &fee.parts }
    }
}
