//! Statistics: roll-ups per minute, which are stored in the shard that they are about.
//!
//! A row has the values of one statistic in one minute. Two kinds of writers exist, which never write the same row:
//!
//! - *The lease holder* of the group [`ConsumerName::statistics`] derives rows from the feed of the shard, and adds them
//!   with [`StatisticsStore::roll_up_statistics`]. The position in the feed is stored in the same transaction, and the
//!   transaction fails if the position is not the expected one. So each event counts exactly once, whatever fails and is
//!   repeated. These rows have no source.
//! - *Everyone else* states the whole content of a row with [`StatisticsStore::set_statistics`]: a process the durations
//!   that it measured in a minute, in rows with its own name as the source, and the lease holder the state of the shard.
//!   A repetition changes nothing.
//!
//! Readers merge the rows of all sources and shards.
//!
//! Positions are stored without an incarnation: a restore takes the position, the rows and the events back to the same
//! moment. A physical copy of a shard continues at the same position. It contains the rows of its original too, but does
//! not return them: the original counts them already.

use std::{cmp::Ordering, collections::BTreeSet};

use async_trait::async_trait;
use dabba_domain::{
    Timestamp,
    statistics::{Minute, Statistic, Tally},
};

use crate::{ConsumerName, FeedLease, FeedPosition, StoreError};

/// Maximum number of rows in one write.
pub const MAX_STATISTICS_ROWS: usize = 10_000;

/// Stores statistics per shard. `shard` is an index as in [`crate::FeedStore`].
#[async_trait]
pub trait StatisticsStore: Send + Sync {
    /// Returns how far the feed of a shard is rolled up; `None` before the first roll-up.
    async fn statistics_progress(&self, shard: usize) -> Result<Option<StatisticsProgress>, StoreError>;

    /// Adds the rows of a roll-up and stores its position, as one transaction, and extends the lease as
    /// [`crate::ConsumerStore::renew_feed_lease`] does. Writes nothing unless the lease is held and the stored position
    /// is [`RollUp::from`]. Roll-ups with invalid rows ([`check_statistics_rows`]) are [`StoreError::Corrupt`].
    ///
    /// After [`StoreError::OutcomeUnknown`], read the progress, or retry with the same roll-up: if the write happened, the
    /// outcome is [`RolledUp::Moved`].
    async fn roll_up_statistics(
        &self,
        shard: usize,
        lease: &FeedLease,
        roll_up: &RollUp,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<RolledUp, StoreError>;

    /// Writes rows, and replaces rows with the same keys. Invalid rows are [`StoreError::Corrupt`].
    async fn set_statistics(&self, shard: usize, rows: &[StatisticsRow]) -> Result<(), StoreError>;

    /// Returns at most `limit` rows of a shard in a range after a key, in the order of their keys.
    async fn statistics(
        &self,
        shard: usize,
        range: &StatisticsRange,
        after: Option<&StatisticsKey>,
        limit: u32,
    ) -> Result<Vec<StatisticsRow>, StoreError>;

    /// Deletes at most `limit` rows of minutes before this one. Returns their number, which is below `limit` only if
    /// there are no more such rows or a shard does not answer.
    async fn delete_old_statistics(&self, before: Minute, limit: u32) -> Result<u32, StoreError>;
}

impl ConsumerName {
    /// Returns the name of the group that rolls up statistics.
    pub fn statistics() -> Self {
        Self::fixed("statistics")
    }
}

/// Identifies a row of a shard. Keys are ordered by minute, then by the texts of the other members.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StatisticsKey {
    /// The minute.
    pub minute: Minute,
    /// The statistic.
    pub statistic: Statistic,
    /// Subject of the values, such as the name of a queue. Empty for a statistic about everything.
    pub subject: String,
    /// The process that measured the values. Empty for what is derived from the shard.
    pub source: String,
}

impl StatisticsKey {
    /// Returns the key of what is derived from the shard.
    pub const fn of_shard(minute: Minute, statistic: Statistic) -> Self {
        Self { minute, statistic, subject: String::new(), source: String::new() }
    }

    const fn order(&self) -> (Minute, &str, &str, &str) {
        (self.minute, self.statistic.as_str(), self.subject.as_str(), self.source.as_str())
    }
}

impl Ord for StatisticsKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for StatisticsKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The values of a statistic in one minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatisticsRow {
    /// Identifies the row.
    pub key: StatisticsKey,
    /// The values. Stored as at most [`i64::MAX`] each.
    pub tally: Tally,
}

/// Rows to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatisticsRange {
    /// The statistics.
    pub statistics: Vec<Statistic>,
    /// The first minute.
    pub from: Minute,
    /// The minute after the last one.
    pub to: Minute,
}

/// How far a shard is rolled up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatisticsProgress {
    /// Position in the feed after the last event that is counted.
    pub position: FeedPosition,
    /// Time up to which all events are counted, except those whose commit took unusually long.
    pub complete_until: Timestamp,
}

/// The values of some events, to be added to the stored ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollUp {
    /// The position that must be stored before; `None` if nothing was rolled up before.
    pub from: Option<FeedPosition>,
    /// Position in the feed after the events.
    pub to: FeedPosition,
    /// Time up to which all events are counted now. A stored later time stays.
    pub complete_until: Timestamp,
    /// The values to add.
    pub rows: Vec<StatisticsRow>,
}

/// Outcome of a roll-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolledUp {
    /// The values are added.
    Added,
    /// The lease is lost or has expired. Nothing was written.
    LeaseLost,
    /// Another position is stored, because this or another roll-up was written before. Nothing was written.
    Moved,
}

/// Refuses too many rows, and rows with the same key. Every store calls this check before it writes.
pub fn check_statistics_rows(rows: &[StatisticsRow]) -> Result<(), StoreError> {
    if rows.len() > MAX_STATISTICS_ROWS {
        return Err(StoreError::Corrupt(format!(
            "{} rows of statistics in one write, at most {MAX_STATISTICS_ROWS} are allowed",
            rows.len()
        )));
    }
    let mut keys = BTreeSet::new();
    match rows.iter().find(|row| !keys.insert(&row.key)) {
        Some(twice) => {
            Err(StoreError::Corrupt(format!("a write of statistics has the key {:?} twice", twice.key)))
        }
        None => Ok(()),
    }
}
