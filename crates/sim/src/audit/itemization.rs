//! The auditor's own pricing of options and taxes: single units, exact fractions, and no function of the domain.

use std::collections::HashSet;

use dabba_domain::{
    fee::FeeKind,
    limits::MAX_OPTION_QUANTITY,
    menu::PriceBy,
    order::{Order, OrderDetails, Refund, RefundState, RefundStatus},
    pricing::{OrderLine, OrderTax, TaxedPart},
    tax::{Inclusion, Rate, TaxRounding},
    text::Slug,
};
use num_bigint::BigInt;
use num_rational::BigRational;

use super::{FindingCode, Findings, money::wide};

/// Checks the options of an order, and the fees and taxes of an order that states them.
pub(super) fn check(details: &OrderDetails, findings: &mut Findings) {
    for line in &details.lines {
        check_options(line, findings);
    }
    if details.terms_version == 1 {
        return check_old(details, findings);
    }
    check_parts(details, findings);
    check_sums(details, findings);
    let parts: Vec<&TaxedPart> = all_parts(details).collect();
    for tax in &details.taxes {
        check_tax(&details.taxes, tax, &parts, findings);
    }
    let known = |id: &Slug| details.taxes.iter().any(|tax| tax.id == *id);
    if let Some(share) = parts.iter().flat_map(|part| &part.taxes).find(|share| !known(&share.tax)) {
        findings.add(
            FindingCode::Taxes,
            format!("a part has the tax {}, which the order does not have", share.tax),
        );
    }
}

/// Prices the options of a line again, group by group, from single units.
fn check_options(line: &OrderLine, findings: &mut Findings) {
    let of_options = line.options.iter().map(|option| &option.group);
    let groups = of_options.chain(line.rules.iter().map(|rule| &rule.group));
    let mut checked: HashSet<&Slug> = HashSet::new();
    for group in groups.filter(|group| checked.insert(*group)) {
        let mut units: Vec<i128> = Vec::new();
        let (mut charged, mut price) = (0, 0);
        for option in line.options.iter().filter(|option| option.group == *group) {
            let quantity = option.quantity.unwrap_or(1);
            if quantity > MAX_OPTION_QUANTITY {
                let text = format!("{} has {quantity} {}, more than allowed", line.item, option.option);
                return findings.add(FindingCode::LineTotal, text);
            }
            units.extend((0..quantity).map(|_| wide(option.price)));
            let of_option = i128::from(option.charged.unwrap_or(quantity));
            if of_option > i128::from(quantity) {
                let text = format!("{} charges {of_option} of {quantity} {}", line.item, option.option);
                findings.add(FindingCode::LineTotal, text);
            }
            charged += of_option;
            price += of_option * wide(option.price);
        }
        units.sort_unstable();
        let rule = line.rules.iter().find(|rule| rule.group == *group);
        let expected: &[i128] = match rule {
            None => &units,
            Some(rule) => match rule.price_by {
                // The highest price is the last one.
                PriceBy::Highest => &units[units.len().saturating_sub(1)..],
                PriceBy::Sum => &units[units.len().min(usize::try_from(rule.free).unwrap_or(usize::MAX))..],
            },
        };
        let sum: i128 = expected.iter().sum();
        let count = i128::try_from(expected.len()).unwrap_or(i128::MAX);
        if (charged, price) != (count, sum) {
            let text = format!(
                "{} charges {charged} units of {group} for {price}; it must charge {count} units for {sum}",
                line.item
            );
            findings.add(FindingCode::LineTotal, text);
        }
    }
}

/// Checks that an order of the first version does not state what only newer versions have.
fn check_old(details: &OrderDetails, findings: &mut Findings) {
    let has_parts = details.lines.iter().any(|line| !line.parts.is_empty());
    if has_parts
        || !details.fees.is_empty()
        || !details.taxes.is_empty()
        || !details.amounts.other_fees.is_zero()
    {
        findings
            .add(FindingCode::Parts, "its terms are of version 1, but it states fees or taxes".to_owned());
    }
}

fn all_parts(details: &OrderDetails) -> impl Iterator<Item = &TaxedPart> {
    let of_lines = details.lines.iter().flat_map(|line| &line.parts);
    of_lines.chain(details.fees.iter().flat_map(|fee| &fee.parts))
}

fn check_parts(details: &OrderDetails, findings: &mut Findings) {
    let lines = details.lines.iter().map(|line| (&line.item, &line.parts, wide(line.total)));
    let fees = details.fees.iter().map(|fee| (&fee.id, &fee.parts, wide(fee.amount)));
    for (id, parts, whole) in lines.chain(fees) {
        let sum: i128 = parts.iter().map(|part| wide(part.amount)).sum();
        if !parts.is_empty() && sum != whole {
            findings.add(FindingCode::Parts, format!("the parts of {id} add up to {sum}; it costs {whole}"));
        }
    }
}

fn check_sums(details: &OrderDetails, findings: &mut Findings) {
    let amounts = &details.amounts;
    let fees = |is_delivery: bool| -> i128 {
        let of_kind = details.fees.iter().filter(|fee| (fee.kind == FeeKind::Delivery) == is_delivery);
        of_kind.map(|fee| wide(fee.amount)).sum()
    };
    let added = details.taxes.iter().filter(|tax| tax.included == Inclusion::No);
    let added: i128 = added.map(|tax| wide(tax.amount)).sum();
    for (code, name, stated, sum) in [
        (FindingCode::Parts, "delivery fee", wide(amounts.delivery_fee), fees(true)),
        (FindingCode::Parts, "sum of other fees", wide(amounts.other_fees), fees(false)),
        (FindingCode::Taxes, "sum of added taxes", wide(amounts.tax), added),
    ] {
        if stated != sum {
            findings.add(code, format!("the {name} is {stated}; it must be {sum}"));
        }
    }
}

/// Checks the base, the amount and the shares of a tax.
fn check_tax(taxes: &[OrderTax], tax: &OrderTax, parts: &[&TaxedPart], findings: &mut Findings) {
    let taxed = parts.iter().filter_map(|part| {
        let share = part.taxes.iter().find(|share| share.tax == tax.id)?;
        Some((wide(part.amount), exact(taxes, tax, part), wide(share.amount)))
    });
    let taxed: Vec<_> = taxed.collect();
    let base: i128 = taxed.iter().map(|(amount, ..)| amount).sum();
    if base != wide(tax.base) {
        let text = format!("the base of {} is {}; its parts add up to {base}", tax.id, tax.base.minor());
        findings.add(FindingCode::Taxes, text);
    }
    let exact: Vec<BigRational> = taxed.iter().map(|(_, exact, _)| exact.clone()).collect();
    let amount = rounded(&exact.iter().sum(), tax.rounding);
    if amount != BigInt::from(wide(tax.amount)) {
        let text = format!("the tax {} is {}; it must be {amount}", tax.id, tax.amount.minor());
        return findings.add(FindingCode::Taxes, text);
    }
    let expected = divided(&amount, &exact);
    let found = taxed.iter().map(|(.., share)| BigInt::from(*share));
    if let Some((expected, found)) = expected.iter().zip(found).find(|(expected, found)| *expected != found) {
        let text = format!("a share of the tax {} is {found}; it must be {expected}", tax.id);
        findings.add(FindingCode::Taxes, text);
    }
}

fn ratio(numerator: i128, denominator: i128) -> BigRational {
    BigRational::new(numerator.into(), denominator.into())
}

fn rate(tax: &OrderTax) -> BigRational {
    ratio(tax.rate.millionths().into(), Rate::WHOLE.millionths().into())
}

/// Returns the exact tax on a part.
fn exact(taxes: &[OrderTax], tax: &OrderTax, part: &TaxedPart) -> BigRational {
    let amount = ratio(wide(part.amount), 1);
    if tax.included != Inclusion::Net {
        return amount * rate(tax);
    }
    let sum_of = |included: Inclusion| -> BigRational {
        let on_part = taxes.iter().filter(|tax| part.taxes.iter().any(|share| share.tax == tax.id));
        on_part.filter(|tax| tax.included == included).map(rate).sum()
    };
    let one = ratio(1, 1);
    // What is left after the taxes on the gross price is the net price with its taxes.
    let with_net_taxes = amount * (one.clone() - sum_of(Inclusion::Gross));
    with_net_taxes / (one + sum_of(Inclusion::Net)) * rate(tax)
}

fn rounded(exact: &BigRational, rounding: TaxRounding) -> BigInt {
    let (below, half) = (exact.floor(), ratio(1, 2));
    let rest = exact - &below;
    let below = below.to_integer();
    let is_up = match rounding {
        TaxRounding::Down => false,
        TaxRounding::HalfUp => rest >= half,
        TaxRounding::HalfEven => rest > half || (rest == half && below.bit(0)),
    };
    below + i32::from(is_up)
}

/// Divides a tax over its exact parts: to each its part rounded down, and the rest, one unit each, to the parts that lost
/// most; of equal losses, to the first.
fn divided(amount: &BigInt, exact: &[BigRational]) -> Vec<BigInt> {
    let mut shares: Vec<BigInt> = exact.iter().map(|part| part.floor().to_integer()).collect();
    let mut losses: Vec<BigRational> = exact.iter().map(|part| part - part.floor()).collect();
    while shares.iter().sum::<BigInt>() < *amount {
        let Some(most) =
            (0..losses.len()).reduce(|most, it| if losses[it] > losses[most] { it } else { most })
        else {
            break;
        };
        shares[most] += 1;
        losses[most] = ratio(-1, 1);
    }
    shares
}

/// Checks the amounts and taxes of the refunds of lines of an order that states its taxes.
pub(super) fn check_refunds(order: &Order, findings: &mut Findings) {
    let details = &order.details;
    if details.terms_version == 1 {
        return;
    }
    for state in &order.refunds {
        check_refund(details, &state.refund, findings);
    }
    let of_lines: Vec<_> = order.refunds.iter().filter(|state| !state.refund.lines.is_empty()).collect();
    let counts = |state: &&&RefundState| matches!(state.status, RefundStatus::Pending | RefundStatus::Paid);
    let counted: Vec<&Refund> = of_lines.iter().filter(counts).map(|state| &state.refund).collect();
    let has_failed = counted.len() < of_lines.len();
    for tax in &details.taxes {
        check_returned(details, &tax.id, &counted, has_failed, findings);
    }
}

/// Checks what refunds of lines return of a tax. If one has failed, the others depend on what had failed before them, so
/// only their sum is checked.
fn check_returned(
    details: &OrderDetails,
    id: &Slug,
    refunds: &[&Refund],
    has_failed: bool,
    findings: &mut Findings,
) {
    let on_lines: Vec<i128> = details.lines.iter().map(|line| share(&line.parts, id)).collect();
    let mut quantities = vec![0_i128; on_lines.len()];
    let mut returned = 0;
    for refund in refunds {
        for it in &refund.lines {
            if let Some(quantity) = usize::try_from(it.line).ok().and_then(|line| quantities.get_mut(line)) {
                *quantity += i128::from(it.quantity);
            }
        }
        let lines = details.lines.iter().zip(&on_lines).zip(&quantities);
        let until_now: i128 = lines
            .map(|((line, tax), quantity)| {
                // A line without a quantity is no line. Its total is zero, and so are its taxes.
                let ordered = i128::from(line.quantity).max(1);
                (2 * tax * quantity + ordered) / (2 * ordered)
            })
            .sum();
        let shares = refund.taxes.iter().filter(|share| share.tax == *id);
        let found: i128 = shares.map(|share| wide(share.amount)).sum();
        if !has_failed && found != until_now - returned {
            let text = format!(
                "refund {} returns {found} of the tax {id}; it must return {}",
                refund.number,
                until_now - returned
            );
            return findings.add(FindingCode::RefundTaxes, text);
        }
        returned += found;
    }
    let all: i128 = on_lines.iter().sum();
    if returned > all {
        let text = format!("refunds of lines return {returned} of the tax {id}; the lines have {all}");
        findings.add(FindingCode::RefundTaxes, text);
    }
}

/// Returns the share of a tax in these parts.
fn share(parts: &[TaxedPart], id: &Slug) -> i128 {
    let shares = parts.iter().flat_map(|part| &part.taxes).filter(|share| share.tax == *id);
    shares.map(|share| wide(share.amount)).sum()
}

/// Checks that the amount of a refund is the price of its lines and the added taxes that it returns.
fn check_refund(details: &OrderDetails, refund: &Refund, findings: &mut Findings) {
    let number = refund.number;
    if refund.lines.is_empty() {
        if !refund.taxes.is_empty() {
            findings.add(FindingCode::RefundTaxes, format!("refund {number} states taxes without lines"));
        }
        return;
    }
    let price = |(line, quantity): (u32, u32)| {
        let line = usize::try_from(line).ok().and_then(|line| details.lines.get(line));
        line.map_or(0, |line| wide(line.unit_price) * i128::from(quantity))
    };
    let goods: i128 = refund.lines.iter().map(|it| price((it.line, it.quantity))).sum();
    let is_added = |id: &Slug| details.taxes.iter().any(|tax| tax.id == *id && tax.included == Inclusion::No);
    let added: i128 =
        refund.taxes.iter().filter(|share| is_added(&share.tax)).map(|share| wide(share.amount)).sum();
    if wide(refund.amount) != goods + added {
        let text = format!(
            "refund {number} is {}; its lines cost {goods} and their added taxes are {added}",
            refund.amount.minor()
        );
        findings.add(FindingCode::RefundTaxes, text);
    }
}

#[cfg(test)]
mod tests {
    use dabba_domain::{Amount, pricing::TaxShare};
    use dabba_store::conformance::builders::{World, amount};

    use super::*;

    type Plant<'a> = (FindingCode, &'a dyn Fn(&mut OrderDetails));

    fn details() -> OrderDetails {
        let mut world = World::new(23);
        let (restaurant_id, customer_id) = (world.restaurant_id(), world.account_id());
        world.details(restaurant_id, customer_id)
    }

    fn found(details: &OrderDetails) -> Vec<FindingCode> {
        let mut world = World::new(24);
        let commit = world.place_with(details.clone());
        let mut findings = Findings::of(commit.change.unwrap().events[0].order_id);
        check(details, &mut findings);
        findings.all.iter().map(|finding| finding.code).collect()
    }

    /// Proves that the smallest error in a stated amount is found.
    #[test]
    fn every_error_of_one_unit_is_found() {
        assert_eq!(found(&details()), []);
        let add = |amount: &mut Amount| *amount = amount.plus(Amount::from_minor(1).unwrap()).unwrap();
        let plants: [Plant<'_>; 8] = [
            (FindingCode::Parts, &|details| add(&mut details.amounts.delivery_fee)),
            (FindingCode::Parts, &|details| add(&mut details.amounts.other_fees)),
            (FindingCode::Parts, &|details| add(&mut details.fees[0].amount)),
            (FindingCode::Parts, &|details| add(&mut details.lines[0].total)),
            (FindingCode::Taxes, &|details| add(&mut details.amounts.tax)),
            (FindingCode::Taxes, &|details| add(&mut details.taxes[0].base)),
            (FindingCode::Taxes, &|details| {
                add(&mut details.taxes[0].amount);
                add(&mut details.amounts.tax);
            }),
            (FindingCode::Taxes, &|details| {
                let [first, second] = details.lines.as_mut_slice() else { panic!("two lines") };
                add(&mut first.parts[0].taxes[0].amount);
                let share = &mut second.parts[0].taxes[0].amount;
                *share = share.minus(amount(1)).unwrap();
            }),
        ];
        for (index, (code, plant)) in plants.into_iter().enumerate() {
            let mut details = details();
            plant(&mut details);
            assert_eq!(found(&details), [code], "plant {index}");
        }
    }

    #[test]
    fn a_tax_that_the_order_does_not_have_is_found() {
        let mut details = details();
        let tax = Slug::new("other").unwrap();
        details.lines[0].parts[0].taxes.push(TaxShare { tax, amount: Amount::ZERO });
        assert_eq!(found(&details), [FindingCode::Taxes]);
    }

    #[test]
    fn old_terms_state_no_taxes() {
        let mut details = details();
        details.terms_version = 1;
        assert_eq!(found(&details), [FindingCode::Parts]);
        details.fees.clear();
        details.taxes.clear();
        details.lines.iter_mut().for_each(|line| line.parts.clear());
        assert_eq!(found(&details), []);
    }
}
