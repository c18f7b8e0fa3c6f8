//! Rows of statistics.

use std::collections::BTreeMap;

use dabba_domain::statistics::{Histogram, Minute, Statistic, Tally};
use dabba_store::{
    FeedPosition, RollUp, StatisticsKey, StatisticsProgress, StatisticsRange, StatisticsRow, StoreError,
    check_statistics_rows, encoding::clamped_nanoseconds,
};

use crate::{StoredRow, corrupt};

/// Columns of [`statistics_row_of`](crate::statistics::statistics_row_of), in its order.
#[macro_export]
macro_rules! statistics_columns {
    () => {
        "minute, statistic, subject, source, samples, total, highest, histogram"
    };
}

/// Columns of [`progress_of`](crate::statistics::progress_of), in its order.
#[macro_export]
macro_rules! statistics_progress_columns {
    () => {
        "transaction_number, sequence, complete_until_ns"
    };
}

/// Returns the row of statistics in a row with the columns of [`statistics_columns`].
pub fn statistics_row_of<'row>(row: impl StoredRow<'row>) -> Result<StatisticsRow, StoreError> {
    let key = StatisticsKey {
        minute: Minute(row.integer(0)?),
        statistic: row.name(1, Statistic::from_name)?,
        subject: row.text(2)?.to_owned(),
        source: row.text(3)?.to_owned(),
    };
    let tally = Tally {
        count: unsigned(row.integer(4)?)?,
        sum: unsigned(row.integer(5)?)?,
        max: unsigned(row.integer(6)?)?,
        histogram: Histogram::parse(row.text(7)?).map_err(corrupt)?,
    };
    Ok(StatisticsRow { key, tally })
}

/// Returns the progress in a row with the columns of [`statistics_progress_columns`].
pub fn progress_of<'row>(row: impl StoredRow<'row>) -> Result<StatisticsProgress, StoreError> {
    let position =
        FeedPosition { transaction: unsigned(row.integer(0)?)?, sequence: unsigned(row.integer(1)?)? };
    Ok(StatisticsProgress { position, complete_until: row.timestamp(2)? })
}

/// The progress after a roll-up as columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodedProgress {
    /// Column `transaction_number`.
    pub transaction_number: i64,
    /// Column `sequence`.
    pub sequence: i64,
    /// Column `complete_until_ns`.
    pub complete_until_ns: i64,
}

impl EncodedProgress {
    /// Encodes the progress after a roll-up.
    pub fn after(roll_up: &RollUp) -> Result<Self, StoreError> {
        let position = roll_up.to;
        let number = |number: u64| {
            i64::try_from(number)
                .map_err(|_| StoreError::Corrupt(format!("the position {position} is out of range")))
        };
        Ok(Self {
            transaction_number: number(position.transaction)?,
            sequence: number(position.sequence)?,
            complete_until_ns: clamped_nanoseconds(roll_up.complete_until),
        })
    }
}

/// Returns the columns of the key after which a list of a range begins: the minute, the statistic, the subject and the source.
/// Without a key, the list begins before the first row of the range: no stored statistic has an empty name.
pub fn list_after<'key>(
    range: &StatisticsRange,
    after: Option<&'key StatisticsKey>,
) -> (i64, &'key str, &'key str, &'key str) {
    after.map_or((range.from.0, "", "", ""), |key| {
        (key.minute.0, key.statistic.as_str(), key.subject.as_str(), key.source.as_str())
    })
}

/// A row of statistics as columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedStatistics {
    /// Column `minute`.
    pub minute: i64,
    /// Column `statistic`.
    pub statistic: &'static str,
    /// Column `subject`.
    pub subject: String,
    /// Column `source`.
    pub source: String,
    /// Column `samples`.
    pub samples: i64,
    /// Column `total`.
    pub total: i64,
    /// Column `highest`.
    pub highest: i64,
    /// Column `histogram`.
    pub histogram: String,
}

impl EncodedStatistics {
    /// Encodes rows.
    pub fn of(rows: &[StatisticsRow]) -> Result<Vec<Self>, StoreError> {
        check_statistics_rows(rows)?;
        Ok(rows.iter().map(Self::new).collect())
    }

    fn new(row: &StatisticsRow) -> Self {
        let StatisticsRow { key, tally } = row;
        Self {
            minute: key.minute.0,
            statistic: key.statistic.as_str(),
            subject: key.subject.clone(),
            source: key.source.clone(),
            samples: clamped(tally.count),
            total: clamped(tally.sum),
            highest: clamped(tally.max),
            histogram: tally.histogram.to_text(),
        }
    }
}

/// Returns the added rows, each merged with the stored row of the same key.
pub fn merged(stored: Vec<StatisticsRow>, added: &[StatisticsRow]) -> Vec<StatisticsRow> {
    let mut stored: BTreeMap<_, _> = stored.into_iter().map(|row| (row.key, row.tally)).collect();
    let merge = |row: &StatisticsRow| {
        let mut tally = stored.remove(&row.key).unwrap_or_default();
        tally.merge(&row.tally);
        StatisticsRow { key: row.key.clone(), tally }
    };
    added.iter().map(merge).collect()
}

fn clamped(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Corrupt(format!("{number} is negative")))
}
