//! The values of one statistic over some time.

use super::Histogram;

/// Number, sum and maximum of values, and for durations how many have which size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Number of values.
    pub count: u64,
    /// Sum of the values. 0 if the values are only counted.
    pub sum: u64,
    /// The largest value.
    pub max: u64,
    /// Number of values by size. Empty unless the values are durations.
    pub histogram: Histogram,
}

impl Tally {
    /// Returns the tally of one thing that happened.
    pub fn one() -> Self {
        Self { count: 1, ..Self::default() }
    }

    /// Returns the tally of one measurement of a state.
    pub fn state(value: u64) -> Self {
        Self { count: 1, sum: value, max: value, histogram: Histogram::default() }
    }

    /// Returns the tally of one duration.
    pub fn duration(microseconds: u64) -> Self {
        let mut tally = Self::state(microseconds);
        tally.histogram.record(microseconds);
        tally
    }

    /// Adds the values of another tally.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
        self.histogram.merge(&other.histogram);
    }

    /// Adds one duration.
    pub fn record(&mut self, microseconds: u64) {
        self.count = self.count.saturating_add(1);
        self.sum = self.sum.saturating_add(microseconds);
        self.max = self.max.max(microseconds);
        self.histogram.record(microseconds);
    }

    /// Returns a quantile of the durations; see [`Histogram::quantile`]. Never above the maximum, and exactly the
    /// maximum if it is the largest duration, as every quantile of a single one is.
    pub fn quantile(&self, thousandths: u64) -> Option<u64> {
        let is_largest = Histogram::rank(self.count, thousandths) >= u128::from(self.count);
        self.histogram
            .quantile(thousandths)
            .map(|found| if is_largest { self.max } else { found.min(self.max) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_are_merged_by_addition() {
        let mut tally = Tally::duration(30);
        tally.merge(&Tally::duration(10));
        tally.record(10);
        assert_eq!((tally.count, tally.sum, tally.max), (3, 50, 30));
        assert_eq!((tally.quantile(500), tally.quantile(1_000)), (Some(10), Some(30)));
        let mut count = Tally::one();
        count.merge(&Tally::one());
        assert_eq!((count.count, count.sum, count.quantile(500)), (2, 0, None));
        let mut most = Tally { sum: u64::MAX, count: u64::MAX, ..Tally::default() };
        most.merge(&Tally::duration(1));
        assert_eq!((most.count, most.sum), (u64::MAX, u64::MAX));
    }

    /// Proves that the middle of a bucket is not shown if no value was so large, and that the largest value is exact.
    #[test]
    fn a_quantile_is_not_above_the_maximum() {
        for value in [983_041, 1_015_807] {
            let mut tally = Tally::duration(value);
            assert_ne!(tally.histogram.quantile(990), Some(value));
            assert_eq!((tally.quantile(500), tally.quantile(990)), (Some(value), Some(value)));
            tally.record(983_040);
            assert!(tally.quantile(500).unwrap() <= value);
            assert_eq!(tally.quantile(501), Some(value));
        }
    }
}
