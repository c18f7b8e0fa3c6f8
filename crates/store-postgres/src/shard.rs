//! Which part of all orders a database holds, and what keeps everybody else's writes out of the rest.
//!
//! The database says it in the one row of its table `shard`; the servers' map says it too, and a server
//! whose map disagrees does not start. That alone is not enough, since a part can be given to another
//! database while servers run that do not know of it ([`crate::admin`]). So:
//!
//! - *Writes are fenced.* A transaction that writes takes a lock on the table before its snapshot is
//!   made ([`crate::pool::BEGIN_SERIALIZABLE`]), and reads the row. To change the row takes a lock that
//!   excludes those. Hence every write either commits before the change, and goes along with what is
//!   given away, or sees the change, and is refused. Without the lock a transaction whose snapshot is
//!   older than the change could still commit after it: SERIALIZABLE only promises that it could have
//!   been before.
//! - *Reads follow within [`crate::monitor::INTERVAL`].* What is held is remembered, and looked up anew
//!   in that interval and whenever a commit meets a change. What has been given away is then refused as
//!   unavailable instead of being shown as it was, and lists say that they are incomplete.
//! - *Lists, the feed and the handing out of tasks pass over what is not held*, which is still there
//!   until it is purged.

use std::{
    fmt,
    sync::atomic::{AtomicU32, Ordering},
};

use dabba_domain::Bucket;
use dabba_store::{BucketRange, StoreError};
use tokio_postgres::{Client, Row};

use crate::{codec::read, failure::Failure, pool::Connection};

/// The whole row.
pub(crate) const FIND_OWNERSHIP: &str =
    "SELECT name, first_bucket, last_bucket, is_directory FROM shard WHERE is_the_only_row";

/// What every write looks at.
pub(crate) const FIND_BUCKETS: &str = "SELECT first_bucket, last_bucket FROM shard WHERE is_the_only_row";

/// Writes the row where there is none, unless there are restaurants that would not belong.
const CLAIM: &str = "\
    INSERT INTO shard (name, first_bucket, last_bucket, is_directory) \
    SELECT $1, $2, $3, $4 WHERE NOT EXISTS (SELECT FROM restaurants WHERE bucket_of(id) NOT BETWEEN $2 AND $3) \
    ON CONFLICT (is_the_only_row) DO NOTHING";

/// Every read of this part, for the test that looks at their plans.
#[cfg(test)]
pub(crate) const STATEMENTS: &[(&str, &str)] =
    &[("find_ownership", FIND_OWNERSHIP), ("find_buckets", FIND_BUCKETS)];

/// What a database is in a shard map. The database and the map have to say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The shard's name.
    pub name: String,
    /// The buckets that it holds.
    pub buckets: BucketRange,
    /// Whether it keeps accounts and memberships.
    pub is_directory: bool,
}

impl Ownership {
    /// The name of a database that is the only one.
    pub const SOLE_NAME: &str = "main";

    /// Of a database that is the only one: it holds everything.
    pub fn sole() -> Self {
        Self { name: Self::SOLE_NAME.to_owned(), buckets: BucketRange::WHOLE, is_directory: true }
    }
}

impl fmt::Display for Ownership {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = if self.is_directory { "the directory" } else { "not the directory" };
        write!(formatter, "shard {:?} with the buckets {}, {directory}", self.name, self.buckets)
    }
}

/// What the database says of itself; `None` when it belongs to no map yet.
pub(crate) async fn find_ownership(client: &Client) -> Result<Option<Ownership>, Failure> {
    client.query_opt(FIND_OWNERSHIP, &[]).await?.as_ref().map(ownership_of).transpose()
}

/// The ownership in a row of [`FIND_OWNERSHIP`].
pub(crate) fn ownership_of(row: &Row) -> Result<Ownership, Failure> {
    Ok(Ownership { name: read(row, 0)?, buckets: buckets_of(row, 1)?, is_directory: read(row, 3)? })
}

/// A range of buckets in two columns of a row.
fn buckets_of(row: &Row, column: usize) -> Result<BucketRange, Failure> {
    let bucket = |column| -> Result<Option<Bucket>, Failure> {
        Ok(u16::try_from(read::<i32>(row, column)?).ok().and_then(Bucket::new))
    };
    let range = bucket(column)?.zip(bucket(column + 1)?);
    range
        .and_then(|(first, last)| BucketRange::new(first, last))
        .ok_or_else(|| Failure::corrupt("the range of the shard is none"))
}

/// The buckets in the answer to [`FIND_BUCKETS`].
pub(crate) fn only_buckets(rows: &[Row]) -> Result<BucketRange, Failure> {
    rows.first().map_or_else(|| Err(belongs_to_no_map()), |row| buckets_of(row, 0))
}

fn belongs_to_no_map() -> Failure {
    Failure::Store(StoreError::Unfit(
        "the database does not belong to a shard map yet: run `dabba migrate`".to_owned(),
    ))
}

/// Takes a database into a map, if it is in none, and makes sure that it is what the map says. Answers
/// whether it was taken just now.
pub(crate) async fn claim(client: &Client, expected: &Ownership) -> Result<bool, Failure> {
    // A database that is in a map is only read, so that a user who may not write this table can serve it.
    if find_ownership(client).await?.is_some() {
        return check(client, expected).await.map(|()| false);
    }
    let Ownership { name, buckets, is_directory } = expected;
    let (first, last) = numbers(*buckets);
    let claimed = client.execute(CLAIM, &[name, &first, &last, is_directory]).await?;
    if claimed == 0 && find_ownership(client).await?.is_none() {
        return Err(Failure::Store(StoreError::Unfit(format!(
            "the database holds restaurants of other buckets than {buckets}"
        ))));
    }
    check(client, expected).await?;
    Ok(claimed == 1)
}

/// Makes sure that a database is what the map says.
pub(crate) async fn check(client: &Client, expected: &Ownership) -> Result<(), Failure> {
    match find_ownership(client).await? {
        None => Err(belongs_to_no_map()),
        Some(found) if found == *expected => Ok(()),
        Some(found) => Err(Failure::Store(StoreError::Unfit(format!(
            "the map and the database disagree: by the map it is {expected}; the database says that it is {found}"
        )))),
    }
}

/// Refuses a write for a bucket that the database does not hold, within a transaction that
/// [`crate::pool::BEGIN_SERIALIZABLE`] began.
pub(crate) async fn require(connection: &Connection, bucket: Bucket) -> Result<(), Failure> {
    let held = only_buckets(&connection.query(FIND_BUCKETS, &[]).await?)?;
    if held.contains(bucket) { Ok(()) } else { Err(Failure::Store(moved(bucket))) }
}

fn moved(bucket: Bucket) -> StoreError {
    let number = bucket.number();
    StoreError::Unavailable(format!(
        "bucket {number} has been given to another shard: restart with the new map"
    ))
}

/// The first and the last bucket of a range, for a statement.
pub(crate) fn numbers(buckets: BucketRange) -> (i32, i32) {
    (buckets.first().number().into(), buckets.last().number().into())
}

/// What is known of the buckets that the database holds, for what reads.
pub(crate) struct Held {
    expected: Ownership,
    /// The first bucket in the upper half, the last one in the lower: a range is read and written whole.
    now: AtomicU32,
}

impl Held {
    pub(crate) fn new(expected: Ownership) -> Self {
        Self { now: AtomicU32::new(packed(expected.buckets)), expected }
    }

    /// What the map says of the database.
    pub(crate) const fn expected(&self) -> &Ownership {
        &self.expected
    }

    /// The buckets that the database holds, as far as is known.
    pub(crate) fn buckets(&self) -> BucketRange {
        let packed = self.now.load(Ordering::Relaxed);
        let bucket = |number: u32| u16::try_from(number & 0xffff).ok().and_then(Bucket::new);
        let range = bucket(packed >> 16).zip(bucket(packed));
        // Only ranges are ever packed.
        range.and_then(|(first, last)| BucketRange::new(first, last)).unwrap_or(self.expected.buckets)
    }

    /// Whether it holds all that the map says.
    pub(crate) fn is_as_expected(&self) -> bool {
        self.buckets() == self.expected.buckets
    }

    /// Remembers what the database says.
    pub(crate) fn learn(&self, buckets: BucketRange) {
        if self.now.swap(packed(buckets), Ordering::Relaxed) != packed(buckets) {
            tracing::warn!(
                by_the_map = %self.expected.buckets,
                by_the_database = %buckets,
                "the buckets of a shard have changed; what it does not hold any more is refused"
            );
        }
    }

    /// Refuses to read what is not held.
    pub(crate) fn check(&self, bucket: Bucket) -> Result<(), StoreError> {
        if self.buckets().contains(bucket) { Ok(()) } else { Err(moved(bucket)) }
    }
}

fn packed(buckets: BucketRange) -> u32 {
    u32::from(buckets.first().number()) << 16 | u32::from(buckets.last().number())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What was learnt is what is known, for every range.
        #[test]
        fn a_range_is_remembered(first in 0_u16..4_096, length in 0_u16..4_096) {
            let last = first.saturating_add(length).min(4_095);
            let range = BucketRange::new(Bucket::new(first).unwrap(), Bucket::new(last).unwrap()).unwrap();
            let held = Held::new(Ownership::sole());
            held.learn(range);
            prop_assert_eq!(held.buckets(), range);
            prop_assert_eq!(held.is_as_expected(), range == BucketRange::WHOLE);
            for number in [first, last, first.wrapping_sub(1), last + 1] {
                let Some(bucket) = Bucket::new(number) else { continue };
                prop_assert_eq!(held.check(bucket).is_ok(), range.contains(bucket));
            }
        }
    }
}
