//! Histograms with fixed bounds, so that any two of them can be merged by addition.

use std::{collections::BTreeMap, fmt::Write as _};

/// Binary digits of the number of buckets per power of two.
const PRECISION: u32 = 4;

/// Number of buckets per power of two, and number of the first buckets, which hold one value each.
const PER_OCTAVE: u64 = 1 << PRECISION;

/// Largest value that has a bucket of its own size: about 139 years in microseconds. Larger values count as this one.
const MAX_VALUE: u64 = (1 << 52) - 1;

/// Number of buckets.
const BUCKETS: u16 = bucket_of(MAX_VALUE) + 1;

/// Maximum relative error of a quantile: half the width of a bucket, relative to its lower bound.
pub const MAX_RELATIVE_ERROR: f64 = 1.0 / 32.0;

/// [`MAX_RELATIVE_ERROR`] follows from this number.
const _: () = assert!(2 * PER_OCTAVE == 32);

/// Returns the bucket of a value: values below 16 have a bucket each, and each power of two from 16 on has 16 buckets.
#[expect(clippy::cast_possible_truncation, reason = "there are fewer than 1,000 buckets")]
const fn bucket_of(value: u64) -> u16 {
    let value = if value > MAX_VALUE { MAX_VALUE } else { value };
    if value < PER_OCTAVE {
        return value as u16;
    }
    let octave = value.ilog2() - PRECISION;
    (octave as u64 * PER_OCTAVE + (value >> octave)) as u16
}

/// Returns the lower bound of a bucket, and the number of its values.
const fn bounds_of(bucket: u16) -> (u64, u64) {
    let bucket = bucket as u64;
    if bucket < PER_OCTAVE {
        return (bucket, 1);
    }
    let octave = bucket / PER_OCTAVE - 1;
    ((PER_OCTAVE + bucket % PER_OCTAVE) << octave, 1 << octave)
}

/// Number of values per bucket. Only buckets with values take memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: BTreeMap<u16, u64>,
}

/// Error: a text is not a stored [`Histogram`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a histogram consists of runs of adjacent buckets in ascending order, each with its first bucket and its counts, such as 12:3,5 40:1"
)]
pub struct HistogramError;

impl Histogram {
    /// Adds one value.
    pub fn record(&mut self, value: u64) {
        let count = self.buckets.entry(bucket_of(value)).or_default();
        *count = count.saturating_add(1);
    }

    /// Adds all values of another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.buckets {
            let merged = self.buckets.entry(*bucket).or_default();
            *merged = merged.saturating_add(*count);
        }
    }

    /// Returns whether the histogram has no value.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Returns the quantile with this number of thousandths, such as 990 for the p99, by the method of the nearest
    /// rank; `None` without values. The result is the middle of the value's bucket.
    pub fn quantile(&self, thousandths: u64) -> Option<u64> {
        let total: u128 = self.buckets.values().map(|count| u128::from(*count)).sum();
        let rank = Self::rank(u64::try_from(total).unwrap_or(u64::MAX), thousandths);
        let mut seen = 0;
        self.buckets.iter().find_map(|(bucket, count)| {
            seen += u128::from(*count);
            let (lower, width) = bounds_of(*bucket);
            (seen >= rank).then_some(lower + width / 2)
        })
    }

    /// Returns the rank of a quantile among this number of values, from 1.
    pub(super) fn rank(count: u64, thousandths: u64) -> u128 {
        (u128::from(count) * u128::from(thousandths)).div_ceil(1_000).max(1)
    }

    /// Returns the form in which the histogram is stored: runs of adjacent buckets, each with the first bucket and the
    /// counts. Most buckets with values are adjacent, so this form takes less than half of one number per bucket more.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let mut adjacent = None;
        for (bucket, count) in &self.buckets {
            let separator = if text.is_empty() { "" } else { " " };
            // Writing to a String cannot fail.
            let _ = if adjacent == Some(*bucket) {
                write!(text, ",{count}")
            } else {
                write!(text, "{separator}{bucket}:{count}")
            };
            adjacent = bucket.checked_add(1);
        }
        text
    }

    /// Returns the histogram with this stored form.
    pub fn parse(text: &str) -> Result<Self, HistogramError> {
        let mut buckets = BTreeMap::new();
        for run in text.split(' ').filter(|run| !run.is_empty()) {
            let (first, counts) = run.split_once(':').ok_or(HistogramError)?;
            let first: u16 = first.parse().map_err(|_| HistogramError)?;
            for (bucket, count) in (first..=u16::MAX).zip(counts.split(',')) {
                let count: u64 = count.parse().map_err(|_| HistogramError)?;
                let is_ascending = buckets.last_key_value().is_none_or(|(last, _)| *last < bucket);
                if bucket >= BUCKETS || count == 0 || !is_ascending {
                    return Err(HistogramError);
                }
                buckets.insert(bucket, count);
            }
        }
        Ok(Self { buckets })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for value in values {
            histogram.record(*value);
        }
        histogram
    }

    /// Values of every size.
    fn value() -> impl Strategy<Value = u64> {
        (0_u32..52, any::<u64>()).prop_map(|(digits, random)| random % (1 << (digits + 1)))
    }

    /// Proves that the buckets cover all values without a gap.
    #[test]
    fn the_buckets_are_adjacent() {
        let mut next = 0;
        for bucket in 0..BUCKETS {
            let (lower, width) = bounds_of(bucket);
            assert_eq!(lower, next, "{bucket}");
            assert_eq!((bucket_of(lower), bucket_of(lower + width - 1)), (bucket, bucket));
            next = lower + width;
        }
        assert_eq!(next, MAX_VALUE + 1);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    proptest! {
        /// Proves that merging is independent of how the values are distributed, and of the order.
        #[test]
        fn merging_equals_recording_everything(
            values in proptest::collection::vec((value(), 0_usize..4), 0..200),
        ) {
            let mut parts = vec![Histogram::default(); 4];
            for (value, part) in &values {
                parts[*part].record(*value);
            }
            let all = of(&values.iter().map(|(value, _)| *value).collect::<Vec<_>>());
            let mut forwards = Histogram::default();
            for part in &parts {
                forwards.merge(part);
            }
            let mut backwards = Histogram::default();
            for part in parts.iter().rev() {
                backwards.merge(part);
            }
            prop_assert_eq!(&forwards, &all);
            prop_assert_eq!(&backwards, &all);
            prop_assert_eq!(Histogram::parse(&all.to_text()), Ok(all));
        }

        /// Proves that a quantile differs from the exact one by no more than the documented relative error.
        #[test]
        fn a_quantile_is_almost_exact(
            mut values in proptest::collection::vec(value(), 1..300),
            thousandths in 0_u64..=1_000,
        ) {
            let found = of(&values).quantile(thousandths).unwrap();
            values.sort_unstable();
            let rank = (values.len() * usize::try_from(thousandths).unwrap()).div_ceil(1_000).max(1);
            let exact = values[rank - 1];
            #[expect(clippy::cast_precision_loss, reason = "the values have at most 52 digits")]
            let (difference, allowed) = (found.abs_diff(exact) as f64, exact as f64 * MAX_RELATIVE_ERROR);
            prop_assert!(difference <= allowed, "{} instead of {}", found, exact);
        }

        /// Proves that no text makes the parser panic, and that a parsed text is the histogram's own form.
        #[test]
        fn a_text_is_parsed_or_refused(text in "[0-9:, ]{0,20}") {
            if let Ok(histogram) = Histogram::parse(&text) {
                prop_assert_eq!(Histogram::parse(&histogram.to_text()), Ok(histogram));
            }
        }
    }

    /// Proves that adjacent buckets share a run, and that a run of one bucket each, as in earlier rows, is the same.
    #[test]
    fn adjacent_buckets_are_a_run() {
        let histogram = of(&[12, 12, 12, 13, 15]);
        assert_eq!(histogram.to_text(), "12:3,1 15:1");
        assert_eq!(Histogram::parse("12:3 13:1 15:1"), Ok(histogram));
    }

    #[test]
    fn invalid_texts_are_refused() {
        for text in [
            "1",
            "1:",
            ":1",
            "x:1",
            "1:x",
            "1:0",
            "2:1 1:1",
            "1:1 1:1",
            "1:-1",
            "9999:1",
            "1:1,2:1",
            "1:1,",
            "1:,1",
            "1:1,1 2:1",
            "65535:1,1",
        ] {
            assert_eq!(Histogram::parse(text), Err(HistogramError), "{text}");
        }
        assert_eq!(Histogram::parse(""), Ok(Histogram::default()));
        assert_eq!(Histogram::default().quantile(500), None);
    }
}
