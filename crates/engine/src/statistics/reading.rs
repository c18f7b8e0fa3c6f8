//! The use case that reads statistics.

use std::collections::BTreeMap;

use dabba_domain::{
    Timestamp,
    statistics::{Minute, Statistic, StatisticKind, Tally},
    task::TaskQueue,
};
use dabba_store::{StatisticsRange, StoreError};
use futures::future::join_all;
use jiff::SignedDuration;

use super::{
    STATISTICS_RETENTION, Statistics,
    merging::{Merged, step_of},
};
use crate::{Error, Principal, Scope};

/// Maximum length of a range: as long as statistics are stored.
pub const MAX_STATISTICS_RANGE: SignedDuration = STATISTICS_RETENTION;

/// Maximum number of steps of a range, which begins with a whole step, and so of points per series.
pub const MAX_STATISTICS_POINTS: i64 = 1_500;

/// Length of a range without a start.
pub const DEFAULT_STATISTICS_RANGE: SignedDuration = SignedDuration::from_hours(24);

/// Length of a step if the request states none.
pub const DEFAULT_STATISTICS_STEP_SECONDS: u32 = 300;

/// Maximum length of a step: a day. A longer step would begin far before its range.
pub const MAX_STATISTICS_STEP_SECONDS: u32 = 86_400;

/// Maximum number of rows per read of a shard.
const PAGE: u32 = 2_000;

/// A valid range of statistics to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatisticsQuery {
    statistics: Vec<Statistic>,
    from: Timestamp,
    to: Timestamp,
    /// Length of a step, in minutes.
    minutes: i64,
}

/// Error: a request states an invalid range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatisticsQueryError {
    /// The step is not a multiple of a minute, or is longer than a day.
    #[error("must be a multiple of 60 from 60 to 86400")]
    Step,
    /// The range begins in the future.
    #[error("must not be in the future")]
    Future,
    /// The range is empty.
    #[error("must be before to")]
    Empty,
    /// The range is too long.
    #[error("must be at most 30 days before to, because statistics are kept for 30 days")]
    TooLong,
    /// No whole step of the range is stored any more.
    #[error("must be later: statistics are kept for 30 days, and the range has no whole step within them")]
    TooOld,
    /// The range has too many steps.
    #[error("must be so large that the range has at most 1500 steps")]
    TooManySteps,
}

/// The texts of [`StatisticsQueryError`] state these numbers.
const _: () = assert!(
    MAX_STATISTICS_POINTS == 1_500
        && MAX_STATISTICS_RANGE.as_hours() == 30 * 24
        && MAX_STATISTICS_STEP_SECONDS == 86_400
);

impl StatisticsQueryError {
    /// Returns the name of the parameter that the text is about.
    pub const fn parameter(self) -> &'static str {
        match self {
            Self::Step | Self::TooManySteps => "step",
            Self::Future | Self::Empty | Self::TooLong => "from",
            Self::TooOld => "to",
        }
    }
}

impl StatisticsQuery {
    /// Returns the query for these statistics, or for all if there are none, with the defaults for what is `None`. The
    /// range begins with a whole step: `from` moves to the start of its step, counted from 1970, or to the start of the
    /// first step that is stored as a whole. Returns every problem otherwise.
    pub fn new(
        statistics: Vec<Statistic>,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        step_seconds: Option<u32>,
        now: Timestamp,
    ) -> Result<Self, Vec<StatisticsQueryError>> {
        let step = step_seconds.unwrap_or(DEFAULT_STATISTICS_STEP_SECONDS);
        let to = to.unwrap_or(now);
        let from = from.unwrap_or_else(|| before(to.min(now), DEFAULT_STATISTICS_RANGE));
        let length = to.duration_since(from);
        let mut errors = Vec::new();
        if from > now {
            errors.push(StatisticsQueryError::Future);
        } else if !length.is_positive() {
            errors.push(StatisticsQueryError::Empty);
        } else if length > MAX_STATISTICS_RANGE {
            errors.push(StatisticsQueryError::TooLong);
        }
        if !Self::is_step(step) {
            errors.push(StatisticsQueryError::Step);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let minutes = i64::from(step) / Minute::SECONDS;
        let from = first_step(from, before(to.max(now), MAX_STATISTICS_RANGE), minutes);
        let seconds = to.duration_since(from).as_secs();
        if from >= to {
            return Err(vec![StatisticsQueryError::TooOld]);
        }
        if seconds.saturating_add(i64::from(step) - 1) / i64::from(step) > MAX_STATISTICS_POINTS {
            return Err(vec![StatisticsQueryError::TooManySteps]);
        }
        let mut statistics = if statistics.is_empty() { Statistic::ALL.to_vec() } else { statistics };
        statistics.sort_unstable();
        statistics.dedup();
        Ok(Self { statistics, from, to, minutes })
    }

    /// Returns whether a number of seconds is the length of a step: whole minutes, at most a day.
    pub fn is_step(seconds: u32) -> bool {
        (1..=MAX_STATISTICS_STEP_SECONDS).contains(&seconds) && i64::from(seconds) % Minute::SECONDS == 0
    }

    fn range(&self) -> StatisticsRange {
        // The last minute belongs to the range, unless the range ends with the minute before.
        let to = Minute::of(self.to);
        let to = if to.start() < self.to { Minute(to.0.saturating_add(1)) } else { to };
        StatisticsRange { statistics: self.statistics.clone(), from: Minute::of(self.from), to }
    }
}

/// Returns the time that is `by` before another one.
fn before(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// Returns the start of the step that contains `from`, or of the first step that does not begin before the minute of `oldest`.
fn first_step(from: Timestamp, oldest: Timestamp, minutes: i64) -> Timestamp {
    let (first, oldest) = (step_of(Minute::of(from), minutes), Minute::of(oldest));
    let first_whole = step_of(Minute(oldest.0.saturating_add(minutes - 1)), minutes);
    Minute(first.max(first_whole)).start()
}

/// Statistics of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatisticsAnswer {
    /// Start of the range: the start of its first step.
    pub from: Timestamp,
    /// End of the range.
    pub to: Timestamp,
    /// Length of a step, in seconds.
    pub step_seconds: i64,
    /// Time up to which every shard has counted its events; at most the start of the range if a shard did not answer, or has
    /// counted none yet.
    pub complete_until: Timestamp,
    /// The same of the shards that answered.
    pub counted_until: Timestamp,
    /// The shards that did not answer, by name. Their values are missing.
    pub missing_shards: Vec<String>,
    /// The series, ordered by statistic and subject.
    pub series: Vec<StatisticsSeries>,
}

/// The values of a statistic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatisticsSeries {
    /// The statistic.
    pub statistic: Statistic,
    /// The queue, for a statistic about queues.
    pub queue: Option<String>,
    /// The steps with values, in the order of time.
    pub points: Vec<StatisticsPoint>,
}

/// The values of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatisticsPoint {
    /// Start of the step.
    pub at: Timestamp,
    /// The values.
    pub tally: Tally,
}

impl Statistics {
    /// Returns statistics of the platform. For admins. Leaves out shards that do not answer; fails if no shard answers.
    pub async fn read(
        &self,
        principal: &Principal,
        query: &StatisticsQuery,
    ) -> Result<StatisticsAnswer, Error> {
        principal.require(Scope::ReadOrders)?;
        principal.require_admin("read statistics")?;
        let permit = self.reads.acquire().await;
        let _permit = permit.map_err(|error| Error::Internal(error.to_string()))?;
        let range = query.range();
        let shards = (0..self.store.shard_count()).map(|shard| self.read_shard(shard, &range, query.minutes));
        let read = join_all(shards).await;
        let (mut merged, mut counted_until, mut failure) = (Merged::default(), None, None);
        let mut missing_shards = Vec::new();
        for (name, read) in self.store.shard_names().into_iter().zip(read) {
            match read {
                Ok((of_shard, until)) => {
                    merged.merge(of_shard);
                    let until = until.unwrap_or(query.from);
                    counted_until = Some(counted_until.map_or(until, |least: Timestamp| least.min(until)));
                }
                Err(error) => {
                    missing_shards.push(name);
                    failure.get_or_insert(error);
                }
            }
        }
        let Some(counted_until) = counted_until else {
            return Err(failure.map_or(Error::Unavailable, Error::from));
        };
        let complete_until =
            if missing_shards.is_empty() { counted_until } else { counted_until.min(query.from) };
        Ok(StatisticsAnswer {
            from: query.from,
            to: query.to,
            step_seconds: query.minutes.saturating_mul(Minute::SECONDS),
            complete_until,
            counted_until,
            missing_shards,
            series: series(query, merged),
        })
    }

    /// Returns the values of a shard, and the time up to which they are complete.
    async fn read_shard(
        &self,
        shard: usize,
        range: &StatisticsRange,
        minutes: i64,
    ) -> Result<(Merged, Option<Timestamp>), StoreError> {
        // Read first, so that the rows contain what the time promises.
        let progress = self.store.statistics_progress(shard).await?;
        let (mut merged, mut after) = (Merged::default(), None);
        loop {
            let rows = self.store.statistics(shard, range, after.as_ref(), PAGE).await?;
            let is_last = rows.len() < PAGE as usize;
            after = rows.last().map(|row| row.key.clone());
            for row in rows {
                merged.add(row, minutes);
            }
            if is_last {
                return Ok((merged, progress.map(|progress| progress.complete_until)));
            }
        }
    }
}

/// Returns the series of a query: each statistic once, and those about queues once for each queue.
fn series(query: &StatisticsQuery, merged: Merged) -> Vec<StatisticsSeries> {
    let mut all: BTreeMap<_, BTreeMap<i64, Tally>> = BTreeMap::new();
    for statistic in &query.statistics {
        let subjects: Vec<&str> = match statistic.kind() {
            StatisticKind::Gauge => TaskQueue::ALL.iter().map(|queue| queue.as_str()).collect(),
            StatisticKind::Count | StatisticKind::Distribution => vec![""],
        };
        for subject in subjects {
            all.insert((*statistic, subject.to_owned()), BTreeMap::new());
        }
    }
    all.extend(merged.into_steps(query.minutes));
    let point = |(step, tally)| StatisticsPoint { at: Minute(step).start(), tally };
    let series =
        |((statistic, subject), steps): ((Statistic, String), BTreeMap<i64, Tally>)| StatisticsSeries {
            statistic,
            queue: Some(subject).filter(|subject| !subject.is_empty()),
            points: steps.into_iter().map(point).collect(),
        };
    all.into_iter().map(series).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    const DAY: i64 = 24 * 3_600;

    /// Returns the query of a range, 30 days after the beginning of time.
    fn query(from: i64, to: i64, step: u32) -> Result<StatisticsQuery, Vec<StatisticsQueryError>> {
        StatisticsQuery::new(Vec::new(), Some(at(from)), Some(at(to)), Some(step), at(30 * DAY))
    }

    #[test]
    fn a_query_has_defaults() {
        let query = StatisticsQuery::new(Vec::new(), None, None, None, at(30)).unwrap();
        assert_eq!((query.from, query.to, query.minutes), (at(-24 * 3_600), at(30), 5));
        assert_eq!(query.statistics, Statistic::ALL);
        // A range that ends in the future begins in the past.
        let query = StatisticsQuery::new(Vec::new(), None, Some(at(2 * DAY)), None, at(30)).unwrap();
        assert_eq!((query.from, query.to), (at(-24 * 3_600), at(2 * DAY)));
        let twice = vec![Statistic::TaskAge, Statistic::Lateness, Statistic::TaskAge];
        let query = StatisticsQuery::new(twice, None, None, None, at(30)).unwrap();
        assert_eq!(query.statistics, [Statistic::Lateness, Statistic::TaskAge]);
    }

    #[test]
    fn a_range_begins_with_a_step_and_contains_its_last_minute() {
        let range = |from, to, step| {
            let range = query(from, to, step).unwrap().range();
            (range.from.start(), range.to.start())
        };
        assert_eq!(range(0, 60, 60), (at(0), at(60)));
        assert_eq!(range(59, 61, 60), (at(0), at(120)));
        assert_eq!(range(299, 300, 300), (at(0), at(300)));
    }

    #[test]
    fn invalid_ranges_are_refused() {
        use StatisticsQueryError::{Empty, Future, Step, TooLong, TooManySteps, TooOld};
        for (from, to, step, expected) in [
            (0, 60, 0, vec![Step]),
            (0, 60, 59, vec![Step]),
            (0, 60, 86_460, vec![Step]),
            (0, 60, u32::MAX, vec![Step]),
            (0, 0, 60, vec![Empty]),
            (60, 0, 60, vec![Empty]),
            (60, 0, 90, vec![Empty, Step]),
            (-1, 30 * DAY, 86_400, vec![TooLong]),
            (30 * DAY + 1, 30 * DAY + 60, 60, vec![Future]),
            (30 * DAY + 1, 30 * DAY, 1, vec![Future, Step]),
            (0, 1_500 * 60 + 1, 60, vec![TooManySteps]),
            (59, 1_500 * 60 + 59, 60, vec![TooManySteps]),
            (0, 30 * DAY, 1_680, vec![TooManySteps]),
            (-DAY, -60, 60, vec![TooOld]),
            (-DAY, 0, 60, vec![TooOld]),
            // The day of this range began before the kept time.
            (60, 120, 86_400, vec![TooOld]),
        ] {
            assert_eq!(query(from, to, step), Err(expected), "{from} to {to} in {step}");
        }
        for (from, to, step) in [
            (0, 1_500 * 60, 60),
            (59, 1_500 * 60, 60),
            (0, 30 * DAY, 1_740),
            (0, 1, 60),
            (30 * DAY, 30 * DAY + 1, 60),
        ] {
            assert!(query(from, to, step).is_ok(), "{from} to {to} in {step}");
        }
    }

    /// Proves that no range begins with a step of which a part is deleted, and that every other range begins with the step of its
    /// start.
    #[test]
    fn a_range_begins_within_the_kept_time() {
        let midnight = |from: i64, to: i64| query(from, to, 86_400).unwrap().from;
        // The beginning of time is 8 hours after midnight.
        assert_eq!(midnight(0, 30 * DAY), at(16 * 3_600));
        assert_eq!(midnight(-DAY, 29 * DAY), at(16 * 3_600));
        assert_eq!(midnight(DAY, 30 * DAY), at(16 * 3_600));
        assert_eq!(midnight(30 * DAY - 60, 30 * DAY), at(29 * DAY + 16 * 3_600));
        assert_eq!(query(1, 30 * DAY, 3_600).unwrap().from, at(0));
        // The range is 30 days long at most, also if it ends in the future.
        assert_eq!(midnight(DAY, 31 * DAY), at(DAY + 16 * 3_600));
    }
}
