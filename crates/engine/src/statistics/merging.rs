//! Values of several minutes and shards, merged into steps.

use std::collections::BTreeMap;

use dabba_domain::statistics::{AcrossShards, Minute, Statistic, StatisticKind, Tally};
use dabba_store::StatisticsRow;

/// A series: a statistic, and what it is about.
pub(super) type SeriesKey = (Statistic, String);

/// Merged values of a range.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// Counts and durations, by step.
    steps: BTreeMap<SeriesKey, BTreeMap<i64, Tally>>,
    /// States, by minute: those of the shards in the same minute are one state of the platform.
    states: BTreeMap<SeriesKey, BTreeMap<Minute, u64>>,
}

/// Returns the step of a minute: the minutes since 1970 at which it begins.
pub(super) const fn step_of(minute: Minute, minutes: i64) -> i64 {
    minute.0.div_euclid(minutes).saturating_mul(minutes)
}

impl Merged {
    /// Adds a row of a shard. `minutes` is the length of a step.
    pub(super) fn add(&mut self, row: StatisticsRow, minutes: i64) {
        let StatisticsRow { key, tally } = row;
        let series = (key.statistic, key.subject);
        if key.statistic.kind() == StatisticKind::Gauge {
            self.add_state(series, key.minute, tally.sum);
        } else {
            let steps = self.steps.entry(series).or_default();
            steps.entry(step_of(key.minute, minutes)).or_default().merge(&tally);
        }
    }

    fn add_state(&mut self, series: SeriesKey, minute: Minute, value: u64) {
        let across = series.0.across_shards();
        let state = self.states.entry(series).or_default().entry(minute).or_default();
        *state = match across {
            AcrossShards::Sum => state.saturating_add(value),
            AcrossShards::Max => value.max(*state),
        };
    }

    /// Adds the values of another shard.
    pub(super) fn merge(&mut self, other: Self) {
        for (series, steps) in other.steps {
            let merged = self.steps.entry(series).or_default();
            for (step, tally) in steps {
                merged.entry(step).or_default().merge(&tally);
            }
        }
        for (series, states) in other.states {
            for (minute, value) in states {
                self.add_state(series.clone(), minute, value);
            }
        }
    }

    /// Returns the values of each series, by step.
    pub(super) fn into_steps(self, minutes: i64) -> BTreeMap<SeriesKey, BTreeMap<i64, Tally>> {
        let mut all = self.steps;
        for (series, states) in self.states {
            let steps = all.entry(series).or_default();
            for (minute, value) in states {
                steps.entry(step_of(minute, minutes)).or_default().merge(&Tally::state(value));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use dabba_store::StatisticsKey;
    use proptest::prelude::*;

    use super::*;

    fn row(minute: i64, statistic: Statistic, subject: &str, tally: Tally) -> StatisticsRow {
        let key = StatisticsKey {
            subject: subject.to_owned(),
            ..StatisticsKey::of_shard(Minute(minute), statistic)
        };
        StatisticsRow { key, tally }
    }

    fn of(rows: &[StatisticsRow]) -> Merged {
        let mut merged = Merged::default();
        for row in rows {
            merged.add(row.clone(), 5);
        }
        merged
    }

    /// Proves that waiting tasks of shards add up within a minute, that the oldest task of all shards counts, and that
    /// the minutes of a step do not add up to more waiting tasks.
    #[test]
    fn states_of_shards_are_one_state_per_minute() {
        let shard = |waiting: [u64; 2]| {
            let rows = [0, 1].map(|minute| {
                let value = waiting[usize::try_from(minute).unwrap()];
                [Statistic::TasksWaiting, Statistic::TaskAge]
                    .map(|statistic| row(minute, statistic, "payments", Tally::state(value)))
            });
            of(&rows.concat())
        };
        let mut merged = shard([4, 1]);
        merged.merge(shard([2, 5]));
        let steps = merged.into_steps(5);
        let tally = |statistic| {
            let tally = &steps[&(statistic, "payments".to_owned())][&0];
            (tally.count, tally.sum, tally.max)
        };
        assert_eq!(tally(Statistic::TasksWaiting), (2, 12, 6));
        assert_eq!(tally(Statistic::TaskAge), (2, 9, 5));
    }

    #[test]
    fn a_step_contains_its_minutes() {
        for (minute, step) in [(0, 0), (4, 0), (5, 5), (-1, -5), (-5, -5)] {
            assert_eq!(step_of(Minute(minute), 5), step);
        }
    }

    proptest! {
        /// Proves that the result does not depend on which shard has which rows, nor on the order of the shards.
        #[test]
        fn merging_shards_equals_one_shard(
            rows in proptest::collection::vec((0_i64..20, 0_usize..3, 0_u64..1_000, 0_usize..3), 0..60),
        ) {
            let statistics = [Statistic::OrdersPlaced, Statistic::Lateness, Statistic::TasksWaiting];
            let rows: Vec<_> = rows
                .into_iter()
                .map(|(minute, which, value, shard)| {
                    let tally = [Tally::one(), Tally::duration(value), Tally::state(value)][which].clone();
                    (shard, row(minute, statistics[which], "", tally))
                })
                .collect();
            let shard = |index: usize| {
                let here = rows.iter().filter(|(shard, _)| *shard == index);
                of(&here.map(|(_, row)| row.clone()).collect::<Vec<_>>())
            };
            let whole = of(&rows.iter().map(|(_, row)| row.clone()).collect::<Vec<_>>()).into_steps(5);
            for order in [[0, 1, 2], [2, 0, 1]] {
                let mut merged = Merged::default();
                for index in order {
                    merged.merge(shard(index));
                }
                prop_assert_eq!(&merged.into_steps(5), &whole);
            }
        }
    }
}
