//! Taxes: properties against exact fractions of a second implementation, and real cases.

use dabba_domain::{
    tax::{Good, Inclusion, Rate, Remitter, Tax, TaxRounding, TaxSet, assess},
    text::{Name, Slug},
};
use num_bigint::BigInt;
use num_rational::BigRational;
use proptest::prelude::*;

use crate::common::amount;

fn tax(id: &str, rate: &str, included: Inclusion, from: Option<i64>) -> Tax {
    Tax {
        id: Slug::new(id).unwrap(),
        name: Name::new("Tax").unwrap(),
        authority: Name::new("Authority").unwrap(),
        rate: Rate::new(rate).unwrap(),
        included,
        from: from.map(amount),
        remitted_by: Remitter::Restaurant,
    }
}

/// Proves the amounts of real taxes. Each case states rates, whether prices include them, the rounding rule, and goods with
/// the positions of their taxes.
#[test]
fn real_taxes() {
    use Inclusion::{Gross, Net, No};
    use TaxRounding::{Down, HalfUp};
    type Case<'a> = (&'a str, &'a [(&'a str, Inclusion)], TaxRounding, &'a [(i64, &'a [usize])], &'a [i64]);
    let cases: &[Case<'_>] = &[
        ("New York", &[("8.875", No)], HalfUp, &[(1_249, &[0]), (675, &[0])], &[171]),
        ("Quebec", &[("5", No), ("9.975", No)], HalfUp, &[(1_395, &[0, 1]), (399, &[0, 1])], &[90, 179]),
        ("Germany", &[("19", Net), ("7", Net)], HalfUp, &[(750, &[1]), (390, &[0])], &[62, 49]),
        ("India", &[("2.5", Net), ("2.5", Net)], HalfUp, &[(9_500, &[0, 1])], &[226, 226]),
        ("Brazil", &[("3.2", Gross), ("0.65", Gross)], HalfUp, &[(1_190, &[0, 1])], &[38, 8]),
        ("Japan", &[("8", Net), ("10", Net)], Down, &[(980, &[0]), (550, &[1])], &[72, 50]),
        ("Switzerland", &[("2.6", Net), ("8.1", Net)], HalfUp, &[(1_850, &[0]), (581, &[1])], &[47, 44]),
    ];
    for (name, rates, rounding, goods, amounts) in cases {
        let taxes = rates.iter().enumerate();
        let taxes: Vec<_> =
            taxes.map(|(index, (rate, included))| tax(&format!("t{index}"), rate, *included, None)).collect();
        let goods = goods.iter().map(|(minor, named)| {
            let taxes = named.iter().fold(TaxSet::EMPTY, |set, position| set.with(*position));
            Good { amount: amount(*minor), taxes }
        });
        let assessment = assess(&taxes, *rounding, &goods.collect::<Vec<_>>()).unwrap();
        let found: Vec<_> = assessment.amounts.iter().map(|amount| amount.minor()).collect();
        assert_eq!(found, *amounts, "{name}");
    }
}

/// Proves that a tax applies from its threshold, and that the other taxes then share the price with it: 999 × 5 / 105 is
/// 47.57, 1,000 × 5 / 115 is 43.48, and 1,000 × 10 / 115 is 86.96.
#[test]
fn a_tax_may_apply_from_a_threshold() {
    let taxes = [tax("low", "5", Inclusion::Net, None), tax("extra", "10", Inclusion::Net, Some(1_000))];
    for (price, amounts) in [(999, [48, 0]), (1_000, [43, 87])] {
        let good = Good { amount: amount(price), taxes: TaxSet::EMPTY.with(0).with(1) };
        let assessment = assess(&taxes, TaxRounding::HalfUp, &[good]).unwrap();
        assert_eq!(assessment.amounts, amounts.map(amount), "{price}");
    }
}

fn any_tax() -> impl Strategy<Value = (u32, Inclusion, Option<i64>)> {
    let rate = prop_oneof![Just(0), 1_u32..1_000_000, (1_u32..30).prop_map(|percent| percent * 10_000)];
    let included = prop_oneof![Just(Inclusion::No), Just(Inclusion::Net), Just(Inclusion::Gross)];
    (rate, included, proptest::option::weighted(0.2, 0_i64..20_000))
}

fn any_rounding() -> impl Strategy<Value = TaxRounding> {
    prop_oneof![Just(TaxRounding::HalfUp), Just(TaxRounding::HalfEven), Just(TaxRounding::Down)]
}

fn ratio(numerator: i64, denominator: i64) -> BigRational {
    BigRational::new(BigInt::from(numerator), BigInt::from(denominator))
}

/// Returns a number rounded to a whole one, by a rule of its own: it compares the distances to both neighbours.
fn rounded(exact: &BigRational, rounding: TaxRounding) -> BigInt {
    let (down, up) = (exact.floor().to_integer(), exact.ceil().to_integer());
    let (below, above) = (exact - BigRational::from(down.clone()), BigRational::from(up.clone()) - exact);
    let is_down = match rounding {
        TaxRounding::Down => true,
        TaxRounding::HalfUp => below < above,
        TaxRounding::HalfEven => below < above || (below == above && &down % 2 == BigInt::from(0)),
    };
    if is_down { down } else { up }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Proves for any taxes and goods: each tax is the exact sum over its goods, rounded once; its shares are not
    /// negative, add up to it, and differ from the exact ones by less than one; and included taxes are never more than
    /// the price.
    #[test]
    fn a_tax_is_rounded_once_and_divided_exactly(
        taxes in proptest::collection::vec(any_tax(), 1..6),
        goods in proptest::collection::vec((0_i64..100_000, proptest::collection::vec(any::<bool>(), 5)), 0..8),
        rounding in any_rounding(),
    ) {
        // Together, the rates on the gross price are below 100 %, as the validation of settings demands.
        let gross = taxes.iter().filter(|(_, included, _)| *included == Inclusion::Gross).count();
        let taxes: Vec<Tax> = taxes.iter().enumerate().map(|(index, (millionths, included, from))| {
            let millionths = if *included == Inclusion::Gross { millionths / u32::try_from(gross + 1).unwrap() } else { *millionths };
            let rate = format!("{}.{:04}", millionths / 10_000, millionths % 10_000);
            tax(&format!("t{index}"), &rate, *included, *from)
        }).collect();
        let goods: Vec<Good> = goods.iter().map(|(minor, named)| {
            let named = named.iter().enumerate().filter(|(index, is_named)| **is_named && *index < taxes.len());
            Good { amount: amount(*minor), taxes: named.fold(TaxSet::EMPTY, |set, (index, _)| set.with(index)) }
        }).collect();
        let assessment = assess(&taxes, rounding, &goods).unwrap();

        let sum = |index: usize| goods.iter().filter(|good| good.taxes.contains(index)).map(|good| good.amount.minor()).sum::<i64>();
        let applies = |index: usize| taxes[index].from.is_none_or(|from| sum(index) >= from.minor());
        let rates = |good: &Good, included| -> BigRational {
            let on_it = (0..taxes.len()).filter(|index| {
                taxes[*index].included == included && good.taxes.contains(*index) && applies(*index)
            });
            on_it.fold(ratio(0, 1), |sum, index| sum + ratio(taxes[index].rate.millionths().into(), 1_000_000))
        };
        for (index, tax) in taxes.iter().enumerate() {
            let rate = ratio(tax.rate.millionths().into(), 1_000_000);
            let exact: Vec<BigRational> = goods.iter().map(|good| {
                if !good.taxes.contains(index) || !applies(index) {
                    return ratio(0, 1);
                }
                let price = ratio(good.amount.minor(), 1);
                let one = ratio(1, 1);
                match tax.included {
                    Inclusion::No | Inclusion::Gross => price * &rate,
                    Inclusion::Net => {
                        let net = price * (&one - rates(good, Inclusion::Gross)) / (one + rates(good, Inclusion::Net));
                        net * &rate
                    }
                }
            }).collect();
            let total = exact.iter().fold(ratio(0, 1), |sum, exact| sum + exact);
            prop_assert_eq!(BigInt::from(assessment.amounts[index].minor()), rounded(&total, rounding));
            let shares = &assessment.shares[index];
            prop_assert_eq!(shares.iter().map(|share| share.minor()).sum::<i64>(), assessment.amounts[index].minor());
            for (share, exact) in shares.iter().zip(&exact) {
                let off = ratio(share.minor(), 1) - exact;
                prop_assert!(off < ratio(1, 1) && off > ratio(-1, 1));
            }
            let base = if applies(index) { sum(index) } else { 0 };
            prop_assert_eq!(assessment.bases[index].minor(), base);
        }
    }
}
