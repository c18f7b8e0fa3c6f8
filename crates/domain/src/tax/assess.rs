//! The amounts of taxes on the goods of an order.

use num_integer::Integer;
use num_rational::BigRational;

use super::{Inclusion, Rate, Tax, TaxRounding, TaxSet};
use crate::{
    Amount,
    money::AmountError,
    share::{Fraction, round_up_largest},
};

/// A sum that taxes apply to: a part of a line, a charge, or a part of a fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Good {
    /// The sum, after the discounts that reduce the base of taxes.
    pub amount: Amount,
    /// Its taxes.
    pub taxes: TaxSet,
}

/// The amounts of the taxes on the goods of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// The taxes whose goods reach their thresholds.
    pub due: TaxSet,
    /// For each tax of the list: the sum of its goods, with included taxes; zero if the tax does not apply.
    pub bases: Vec<Amount>,
    /// For each tax of the list: its amount.
    pub amounts: Vec<Amount>,
    /// For each tax of the list: its amount on each of the goods.
    pub shares: Vec<Vec<Amount>>,
}

/// The exact tax on a good without the tax.
const NOTHING: (i128, Fraction) = (0, Fraction::ZERO);

/// Returns the amounts of taxes on goods. See the rules in the description of the module [`tax`](super).
///
/// The sets of the goods contain only positions of the list. The error says that an amount is out of range.
pub fn assess(taxes: &[Tax], rounding: TaxRounding, goods: &[Good]) -> Result<Assessment, AmountError> {
    let due = due(taxes, goods)?;
    let mut assessment = Assessment {
        due,
        bases: Vec::with_capacity(taxes.len()),
        amounts: Vec::with_capacity(taxes.len()),
        shares: Vec::with_capacity(taxes.len()),
    };
    for (position, tax) in taxes.iter().enumerate() {
        let is_on = |good: &&Good| due.contains(position) && good.taxes.contains(position);
        let base = Amount::sum(goods.iter().filter(is_on).map(|good| good.amount))?;
        let parts =
            goods.iter().map(|good| if is_on(&good) { exact(taxes, tax, due, good) } else { NOTHING });
        let mut parts: Vec<_> = parts.collect();
        round_up_largest(round(&parts, rounding), &mut parts);
        let shares = parts.iter().map(|(share, _)| i64::try_from(*share).map_err(|_| AmountError));
        let shares = shares.map(|share| share.and_then(Amount::from_minor)).collect::<Result<Vec<_>, _>>()?;
        assessment.bases.push(base);
        assessment.amounts.push(Amount::sum(shares.iter().copied())?);
        assessment.shares.push(shares);
    }
    Ok(assessment)
}

/// Returns the taxes whose goods reach their thresholds.
fn due(taxes: &[Tax], goods: &[Good]) -> Result<TaxSet, AmountError> {
    let mut due = TaxSet::EMPTY;
    for (position, tax) in taxes.iter().enumerate() {
        let named = goods.iter().filter(|good| good.taxes.contains(position));
        let sum = Amount::sum(named.map(|good| good.amount))?;
        if tax.from.is_none_or(|from| sum >= from) {
            due = due.with(position);
        }
    }
    Ok(due)
}

/// Returns the exact tax on one of its goods, as a whole number and a fraction. `due` are the taxes that apply.
fn exact(taxes: &[Tax], tax: &Tax, due: TaxSet, good: &Good) -> (i128, Fraction) {
    let whole = i128::from(Rate::WHOLE.millionths());
    let rates = |included: Inclusion| -> i128 {
        let on_good = taxes.iter().enumerate().filter(|(position, tax)| {
            tax.included == included && due.contains(*position) && good.taxes.contains(*position)
        });
        on_good.map(|(_, tax)| i128::from(tax.rate.millionths())).sum()
    };
    let product = i128::from(good.amount.minor()) * i128::from(tax.rate.millionths());
    let (numerator, denominator) = match tax.included {
        Inclusion::No | Inclusion::Gross => (product, whole),
        Inclusion::Net => match rates(Inclusion::Gross) {
            0 => (product, whole + rates(Inclusion::Net)),
            // The validation of the settings keeps the sum below 100 %.
            gross => (product * (whole - gross).max(0), (whole + rates(Inclusion::Net)) * whole),
        },
    };
    (numerator / denominator, Fraction::new(numerator % denominator, denominator))
}

/// Returns the rounded sum of exact parts.
fn round(parts: &[(i128, Fraction)], rounding: TaxRounding) -> i128 {
    let whole: i128 = parts.iter().map(|(whole, _)| whole).sum();
    let mut fractions = parts.iter().map(|(_, fraction)| *fraction).filter(|fraction| !fraction.is_zero());
    let Some(first) = fractions.next() else { return whole };
    let denominator = first.denominator();
    let sum = fractions.try_fold(first.numerator(), |sum, fraction| {
        (fraction.denominator() == denominator).then(|| sum + fraction.numerator())
    });
    if let Some(sum) = sum {
        return round_quotient(&(whole * denominator + sum), &denominator, rounding);
    }
    // The common denominator of different ones may exceed every integer of fixed size.
    let sum = parts.iter().fold(BigRational::from_integer(whole.into()), |sum, (_, fraction)| {
        sum + BigRational::new(fraction.numerator().into(), fraction.denominator().into())
    });
    i128::try_from(round_quotient(sum.numer(), sum.denom(), rounding)).unwrap_or(i128::MAX)
}

/// Returns a quotient of numbers that are not negative, rounded to a whole number.
fn round_quotient<T: Integer + Clone>(numerator: &T, denominator: &T, rounding: TaxRounding) -> T {
    let (quotient, rest) = numerator.div_rem(denominator);
    let twice = rest.clone() + rest;
    let is_up = match rounding {
        TaxRounding::HalfUp => twice >= *denominator,
        TaxRounding::HalfEven => twice > *denominator || (twice == *denominator && quotient.is_odd()),
        TaxRounding::Down => false,
    };
    if is_up { quotient + T::one() } else { quotient }
}
