//! Fees, taxes and amounts of a cart whose lines are priced.

use super::{
    Amounts, CartRef, OrderFee, OrderLine, OrderTax, PricedCart, TaxShare, TaxedPart,
    fulfilment::{delivery_fee, distance_metres},
    terms::TaxTerms,
};
use crate::{
    Amount,
    fee::{Fee, FeeKind, FeeReceiver},
    money::AmountError,
    restaurant::RestaurantSettings,
    share::divide_all,
    tax::{Assessment, Good, Tax, TaxSet, assess},
    text::{Name, Slug},
};

/// A line or a fee with its goods: the amounts that are taxed alike.
pub(super) struct Charged<T> {
    pub(super) charge: T,
    pub(super) goods: Vec<Good>,
}

/// Adds fees and taxes to the lines, and adds everything up.
pub(super) fn total_up(
    settings: &RestaurantSettings,
    terms: &TaxTerms<'_>,
    cart: CartRef<'_>,
    lines: Vec<Charged<OrderLine>>,
) -> Result<PricedCart, AmountError> {
    let subtotal = Amount::sum(lines.iter().map(|line| line.charge.total))?;
    let goods: Vec<Good> = lines.iter().flat_map(|line| &line.goods).copied().collect();
    let fees = fees(settings, terms, cart, subtotal, &goods)?;
    let goods: Vec<Good> = goods.into_iter().chain(fees.iter().flat_map(|fee| &fee.goods).copied()).collect();
    let assessment = assess(&terms.taxes, settings.tax_rounding, &goods)?;
    let mut first = 0;
    let mut parts_of = |goods: &[Good]| {
        let parts = taxed_parts(&terms.taxes, &assessment, goods, first);
        first += goods.len();
        parts
    };
    let lines: Vec<_> = lines
        .into_iter()
        .map(|Charged { charge, goods }| OrderLine { parts: parts_of(&goods), ..charge })
        .collect();
    let fees: Vec<_> = fees
        .into_iter()
        .map(|Charged { charge, goods }| OrderFee { parts: parts_of(&goods), ..charge })
        .collect();
    let taxes = order_taxes(settings, terms, &assessment, &goods);
    let added = taxes.iter().filter(|tax| !tax.included.is_included());
    let sum_of = |is_delivery: bool| {
        let fees = fees.iter().filter(|fee| (fee.kind == FeeKind::Delivery) == is_delivery);
        Amount::sum(fees.map(|fee| fee.amount))
    };
    let mut amounts = Amounts {
        subtotal,
        tax: Amount::sum(added.map(|tax| tax.amount))?,
        delivery_fee: sum_of(true)?,
        other_fees: sum_of(false)?,
        tip: cart.tip,
        ..Amounts::default()
    };
    amounts.total = amounts.sum()?;
    Ok(PricedCart { lines, fees, taxes, amounts })
}

/// Returns the fees of an order, in the order of the settings; the fee for delivery comes first.
fn fees(
    settings: &RestaurantSettings,
    terms: &TaxTerms<'_>,
    cart: CartRef<'_>,
    subtotal: Amount,
    goods: &[Good],
) -> Result<Vec<Charged<OrderFee>>, AmountError> {
    let taxes = terms.taxes.iter().enumerate().filter(|(_, tax)| !tax.rate.is_zero());
    let is_any_line_taxed =
        taxes.into_iter().any(|(position, _)| goods.iter().any(|good| good.taxes.contains(position)));
    let mut fees = Vec::new();
    let mut charge = |fee: Option<&Fee>, amount: Amount| {
        if !amount.is_zero() {
            fees.push(Charged {
                charge: order_fee(fee, amount),
                goods: fee_goods(terms, fee, amount, goods),
            });
        }
    };
    let delivery = settings.fees.iter().find(|fee| fee.kind == FeeKind::Delivery);
    charge(delivery, delivery_fee(settings, cart, subtotal));
    let metres = distance_metres(settings, cart);
    for fee in settings.fees.iter().filter(|fee| fee.kind != FeeKind::Delivery) {
        if fee.when.are_met(cart.fulfilment, subtotal, is_any_line_taxed) {
            charge(Some(fee), fee.amount_on(subtotal, metres)?);
        }
    }
    Ok(fees)
}

/// Returns a fee as the order keeps it. Without an entry in the settings, it is the fee for delivery.
fn order_fee(fee: Option<&Fee>, amount: Amount) -> OrderFee {
    let parts = Vec::new();
    match fee {
        Some(Fee { id, name, kind, receiver, .. }) => {
            OrderFee { id: id.clone(), name: name.clone(), kind: *kind, amount, receiver: *receiver, parts }
        }
        None => OrderFee {
            id: Slug::from_stored(Fee::DELIVERY),
            name: Name::from_stored("Delivery"),
            kind: FeeKind::Delivery,
            amount,
            receiver: FeeReceiver::Platform,
            parts,
        },
    }
}

/// Returns the parts of a fee that are taxed alike.
fn fee_goods(terms: &TaxTerms<'_>, fee: Option<&Fee>, amount: Amount, goods: &[Good]) -> Vec<Good> {
    let Some(fee) = fee else { return vec![Good { amount, taxes: TaxSet::EMPTY }] };
    if !fee.taxed_as_goods {
        // The validation of the settings refuses an unknown id.
        return vec![Good { amount, taxes: terms.find(&fee.taxes).unwrap_or_default() }];
    }
    let mut sums: Vec<(TaxSet, i64)> = Vec::new();
    for good in goods {
        match sums.iter_mut().find(|(taxes, _)| *taxes == good.taxes) {
            Some((_, sum)) => *sum += good.amount.minor(),
            None => sums.push((good.taxes, good.amount.minor())),
        }
    }
    if sums.iter().all(|(_, sum)| *sum == 0) {
        // Goods without a price have no proportion. The taxes of the first line decide.
        return vec![Good { amount, taxes: sums.first().map(|(taxes, _)| *taxes).unwrap_or_default() }];
    }
    let weights: Vec<i64> = sums.iter().map(|(_, sum)| *sum).collect();
    let parts = divide_all(amount.minor(), &weights);
    let parts = sums.iter().zip(parts).filter(|(_, part)| *part != 0);
    // A part of an amount is not out of range.
    parts
        .map(|((taxes, _), part)| Good { amount: Amount::from_minor(part).unwrap_or(amount), taxes: *taxes })
        .collect()
}

/// Returns the parts of a line or a fee with their taxes; empty if no tax applies to any part. `first` is the position of
/// the first of its goods among all goods.
fn taxed_parts(taxes: &[Tax], assessment: &Assessment, goods: &[Good], first: usize) -> Vec<TaxedPart> {
    let parts = goods.iter().zip(first..).map(|(good, place)| {
        let on_part = taxes
            .iter()
            .enumerate()
            .filter(|(position, _)| good.taxes.contains(*position) && assessment.due.contains(*position));
        let shares = on_part.map(|(position, tax)| TaxShare {
            tax: tax.id.clone(),
            amount: assessment.shares[position][place],
        });
        TaxedPart { amount: good.amount, taxes: shares.collect() }
    });
    let parts: Vec<_> = parts.collect();
    if parts.iter().all(|part| part.taxes.is_empty()) { Vec::new() } else { parts }
}

/// Returns the taxes that apply to at least one of the goods.
fn order_taxes(
    settings: &RestaurantSettings,
    terms: &TaxTerms<'_>,
    assessment: &Assessment,
    goods: &[Good],
) -> Vec<OrderTax> {
    let applies = |position: usize| {
        assessment.due.contains(position) && goods.iter().any(|good| good.taxes.contains(position))
    };
    let taxes = terms.taxes.iter().enumerate().filter(|(position, _)| applies(*position));
    let order_tax = |(position, tax): (usize, &Tax)| OrderTax {
        id: tax.id.clone(),
        name: tax.name.clone(),
        authority: tax.authority.clone(),
        rate: tax.rate,
        included: tax.included,
        remitted_by: tax.remitted_by,
        rounding: settings.tax_rounding,
        base: assessment.bases[position],
        amount: assessment.amounts[position],
    };
    taxes.map(order_tax).collect()
}
