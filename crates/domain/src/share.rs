//! Division of an amount into whole minor units, so that the parts always add up to the amount.

use std::cmp::Reverse;

/// Returns `part` × `amount` / `whole`, rounded half up; zero if `whole` is not positive.
pub(crate) fn portion(part: i64, amount: i64, whole: i64) -> i64 {
    if whole <= 0 {
        return 0;
    }
    let (part, amount, whole) = (i128::from(part), i128::from(amount), i128::from(whole));
    i64::try_from((2 * part * amount + whole) / (2 * whole)).unwrap_or(i64::MAX)
}

/// Divides an amount in proportion to weights by the largest-remainder method. Of equal remainders, the first comes
/// first. The parts add up to the amount. If the amount does not exceed the sum of the weights, no part exceeds its
/// weight.
///
/// A negative weight counts as zero. Without a positive weight, every part is zero, so the caller must know that the
/// amount is zero too.
pub(crate) fn divide<const N: usize>(amount: i64, weights: [i64; N]) -> [i64; N] {
    let mut parts = [(0, Fraction::ZERO); N];
    divide_into(amount, &weights, &mut parts);
    parts.map(|(part, _)| i64::try_from(part).unwrap_or(i64::MAX))
}

/// Divides an amount like [`divide`], in proportion to any number of weights.
pub(crate) fn divide_all(amount: i64, weights: &[i64]) -> Vec<i64> {
    let mut parts = vec![(0, Fraction::ZERO); weights.len()];
    divide_into(amount, weights, &mut parts);
    parts.into_iter().map(|(part, _)| i64::try_from(part).unwrap_or(i64::MAX)).collect()
}

fn divide_into(amount: i64, weights: &[i64], parts: &mut [(i128, Fraction)]) {
    let weight = |weight: &i64| i128::from((*weight).max(0));
    let (amount, whole) = (i128::from(amount), weights.iter().map(weight).sum::<i128>());
    if whole == 0 {
        return;
    }
    for (part, exact) in parts.iter_mut().zip(weights.iter().map(|it| amount * weight(it))) {
        *part = (exact / whole, Fraction::new(exact % whole, whole));
    }
    round_up_largest(amount, parts);
}

/// A number from 0 to 1, less than 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fraction {
    numerator: i128,
    denominator: i128,
}

impl Fraction {
    /// Zero.
    pub(crate) const ZERO: Self = Self::new(0, 1);

    /// Returns the fraction. Both numbers are below 2^63, so that products of two of them do not overflow.
    pub(crate) const fn new(numerator: i128, denominator: i128) -> Self {
        Self { numerator, denominator }
    }

    pub(crate) const fn is_zero(self) -> bool {
        self.numerator == 0
    }

    pub(crate) const fn numerator(self) -> i128 {
        self.numerator
    }

    pub(crate) const fn denominator(self) -> i128 {
        self.denominator
    }
}

impl Ord for Fraction {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.numerator * other.denominator).cmp(&(other.numerator * self.denominator))
    }
}

impl PartialOrd for Fraction {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Rounds parts, given as whole numbers and fractions, so that they add up to `total`: the parts with the largest
/// fractions are rounded up. Of equal fractions, the first comes first.
pub(crate) fn round_up_largest(total: i128, parts: &mut [(i128, Fraction)]) {
    let missing = total - parts.iter().map(|(whole, _)| whole).sum::<i128>();
    let missing = usize::try_from(missing).unwrap_or(0);
    if missing == 0 {
        return;
    }
    let mut by_fraction: Vec<usize> = (0..parts.len()).collect();
    by_fraction.sort_by_key(|index| Reverse(parts[*index].1));
    for index in by_fraction.into_iter().take(missing) {
        parts[index].0 += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_amount_is_divided_by_the_largest_remainder() {
        for (amount, weights, parts) in [
            (10, [1, 1, 1], [4, 3, 3]),
            (10, [0, 5, 5], [0, 5, 5]),
            (1, [0, 1, 2], [0, 0, 1]),
            (0, [1, 2, 3], [0, 0, 0]),
            (0, [0, 0, 0], [0, 0, 0]),
            (7, [-3, 7, 0], [0, 7, 0]),
        ] {
            assert_eq!(divide(amount, weights), parts, "{amount} by {weights:?}");
        }
    }

    #[test]
    fn a_portion_is_rounded_half_up() {
        for (part, amount, whole, portion_of) in [(1, 1, 2, 1), (1, 1, 3, 0), (2, 1, 3, 1), (5, 7, 0, 0)] {
            assert_eq!(portion(part, amount, whole), portion_of, "{part} × {amount} / {whole}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Proves that the parts add up to the amount, differ from the exact parts by less than one, and do not exceed
        /// their weights if the amount does not exceed the sum.
        #[test]
        fn parts_add_up(weights in proptest::array::uniform5(0_i64..1_000_000_000_000), share in 0.0..1.0_f64) {
            let whole: i64 = weights.iter().sum();
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "any amount will do")]
            let amount = (whole as f64 * share) as i64;
            let parts = divide(amount, weights);
            if whole > 0 {
                prop_assert_eq!(parts.iter().sum::<i64>(), amount);
            }
            for (part, weight) in parts.iter().zip(&weights) {
                prop_assert!(*part <= *weight && *part >= 0);
                let exact = i128::from(amount) * i128::from(*weight);
                let whole = i128::from(whole.max(1));
                prop_assert!((i128::from(*part) * whole - exact).abs() < whole);
            }
        }
    }
}
