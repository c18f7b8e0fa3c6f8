//! The bucket range that a database holds, and the fence that keeps writes for other buckets out.
//!
//! The single row of the table `shard` stores the range. The servers' shard map states the range too, and a server
//! whose map differs does not start. This check alone is not enough, because a range can be moved to another database
//! while servers run that do not know of the move ([`crate::admin`]). So:
//!
//! - *Writes are fenced.* A transaction that writes locks the table before its snapshot is taken
//!   ([`crate::pool::BEGIN_SERIALIZABLE`]), and reads the row. A change of the row takes a lock that excludes those
//!   transactions. So every write either commits before the change, and moves with its range, or sees the change and
//!   is refused. Without the lock, a transaction with an older snapshot than the change could still commit after the
//!   change, because SERIALIZABLE only guarantees that some serial order exists.
//! - *Reads follow within [`crate::monitor::INTERVAL`].* The store caches the range. It refreshes the cache in that
//!   interval, and whenever a batch is planned with a view. After that, reads of a moved bucket are refused as
//!   unavailable instead of returning stale data, and lists are marked as incomplete.
//! - *The feed is read with the present range only.* A server with the old map gets an error instead of a page; see
//!   [`crate::feed`].
//! - *Lists, the feed and task claims skip rows outside the range.* Those rows still exist until they are purged.
//!
//! The same check notices an address that leads to the database of another shard while the server runs, for example after a
//! wrong failover: the store then refuses to work until the database is the shard's again.

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use dabba_domain::Bucket;
use dabba_store::{BucketRange, StoreError};
use tokio_postgres::{Client, Row};

use crate::{codec::read, failure::Failure, pool::Connection};

/// Reads the whole row.
pub(crate) const FIND_OWNERSHIP: &str =
    "SELECT name, first_bucket, last_bucket, is_directory FROM shard WHERE is_the_only_row";

/// Reads the range, which every write checks.
pub(crate) const FIND_BUCKETS: &str = "SELECT first_bucket, last_bucket FROM shard WHERE is_the_only_row";

/// Reads whether the database is the directory.
const FIND_DIRECTORY: &str = "SELECT is_directory FROM shard WHERE is_the_only_row";

/// Inserts the row if there is none, unless the database has restaurants outside the range.
const CLAIM: &str = "\
    INSERT INTO shard (name, first_bucket, last_bucket, is_directory) \
    SELECT $1, $2, $3, $4 WHERE NOT EXISTS (SELECT FROM restaurants WHERE bucket_of(id) NOT BETWEEN $2 AND $3) \
    ON CONFLICT (is_the_only_row) DO NOTHING";

/// Every read of this module, for the test of query plans.
#[cfg(test)]
pub(crate) const STATEMENTS: &[(&str, &str)] =
    &[("find_ownership", FIND_OWNERSHIP), ("find_buckets", FIND_BUCKETS), ("find_directory", FIND_DIRECTORY)];

/// Role of a database in a shard map. The database and the map must agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// Name of the shard.
    pub name: String,
    /// Buckets that the database holds.
    pub buckets: BucketRange,
    /// Whether the database stores accounts and memberships.
    pub is_directory: bool,
}

impl Ownership {
    /// Name of the only database of an installation.
    pub const SOLE_NAME: &str = "main";

    /// Returns the ownership of the only database: it holds everything.
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

/// Returns the ownership that the database states; `None` if it belongs to no shard map yet.
pub(crate) async fn find_ownership(client: &Client) -> Result<Option<Ownership>, Failure> {
    client.query_opt(FIND_OWNERSHIP, &[]).await?.as_ref().map(ownership_of).transpose()
}

/// Decodes the ownership in a row of [`FIND_OWNERSHIP`].
pub(crate) fn ownership_of(row: &Row) -> Result<Ownership, Failure> {
    Ok(Ownership { name: read(row, 0)?, buckets: buckets_of(row, 1)?, is_directory: read(row, 3)? })
}

/// Decodes a range of buckets from two columns of a row.
pub(crate) fn buckets_of(row: &Row, column: usize) -> Result<BucketRange, Failure> {
    let bucket = |column| -> Result<Option<Bucket>, Failure> {
        Ok(u16::try_from(read::<i32>(row, column)?).ok().and_then(Bucket::new))
    };
    let range = bucket(column)?.zip(bucket(column + 1)?);
    range
        .and_then(|(first, last)| BucketRange::new(first, last))
        .ok_or_else(|| Failure::corrupt("the bucket range of the shard is invalid"))
}

/// Returns the buckets in the result of [`FIND_BUCKETS`].
pub(crate) fn only_buckets(rows: &[Row]) -> Result<BucketRange, Failure> {
    rows.first().map_or_else(|| Err(belongs_to_no_map()), |row| buckets_of(row, 0))
}

const BELONGS_TO_NO_MAP: &str = "the database does not belong to a shard map yet: run `dabba migrate`";

fn belongs_to_no_map() -> Failure {
    Failure::Store(StoreError::Unfit(BELONGS_TO_NO_MAP.to_owned()))
}

/// Records the ownership in a database that belongs to no shard map yet, and checks that the database agrees with the
/// map. Returns whether the ownership was recorded just now.
pub(crate) async fn claim(client: &Client, expected: &Ownership) -> Result<bool, Failure> {
    // A database that belongs to a map is only read, so that the user needs no right to write this table.
    if find_ownership(client).await?.is_some() {
        return check(client, expected).await.map(|()| false);
    }
    let Ownership { name, buckets, is_directory } = expected;
    let (first, last) = numbers(*buckets);
    let claimed = client.execute(CLAIM, &[name, &first, &last, is_directory]).await?;
    if claimed == 0 && find_ownership(client).await?.is_none() {
        return Err(Failure::Store(StoreError::Unfit(format!(
            "the database contains restaurants outside the buckets {buckets}"
        ))));
    }
    check(client, expected).await?;
    Ok(claimed == 1)
}

/// Checks that a database agrees with the map.
pub(crate) async fn check(client: &Client, expected: &Ownership) -> Result<(), Failure> {
    refuse(mismatch(client, expected).await?)
}

/// Checks that a database is the one of a store, as [`Held::verify`] says.
pub(crate) async fn verify(client: &Client, held: &Held) -> Result<(), Failure> {
    let found = find_ownership(client).await?;
    refuse(held.verify(found.as_ref()))
}

/// Refuses a database that differs from the map.
fn refuse(difference: Option<String>) -> Result<(), Failure> {
    difference.map_or(Ok(()), |text| Err(Failure::Store(StoreError::Unfit(text))))
}

/// Returns how the map and the database differ; `None` if they agree.
pub(crate) async fn mismatch(client: &Client, expected: &Ownership) -> Result<Option<String>, Failure> {
    Ok(difference(expected, find_ownership(client).await?.as_ref()))
}

fn difference(expected: &Ownership, found: Option<&Ownership>) -> Option<String> {
    match found {
        None => Some(BELONGS_TO_NO_MAP.to_owned()),
        Some(found) if found == expected => None,
        Some(found) => Some(format!(
            "the map and the database disagree: by the map it is {expected}; the database says that it is {found}"
        )),
    }
}

/// Refuses a write for a bucket that the database does not hold. Runs within a transaction that
/// [`crate::pool::BEGIN_SERIALIZABLE`] began.
pub(crate) async fn require(connection: &Connection, bucket: Bucket) -> Result<(), Failure> {
    let held = only_buckets(&connection.query(FIND_BUCKETS, &[]).await?)?;
    if held.contains(bucket) { Ok(()) } else { Err(Failure::Store(moved(bucket))) }
}

/// Returns whether the database is the directory.
pub(crate) async fn is_directory(connection: &Connection) -> Result<bool, Failure> {
    let rows = connection.query(FIND_DIRECTORY, &[]).await?;
    rows.first().map_or_else(|| Err(belongs_to_no_map()), |row| read(row, 0))
}

/// Refuses a write to a database that is not the directory. Runs within a transaction like [`require`].
pub(crate) async fn require_directory(connection: &Connection) -> Result<(), Failure> {
    if is_directory(connection).await? {
        return Ok(());
    }
    Err(Failure::Store(StoreError::Unavailable(
        "the database is not the directory: restart with the new shard map".to_owned(),
    )))
}

fn moved(bucket: Bucket) -> StoreError {
    let number = bucket.number();
    StoreError::Unavailable(format!(
        "bucket {number} was moved to another shard: restart with the new shard map"
    ))
}

/// Returns the first and the last bucket of a range, as parameters of a statement.
pub(crate) fn numbers(buckets: BucketRange) -> (i32, i32) {
    (buckets.first().number().into(), buckets.last().number().into())
}

/// The cached bucket range of the database, for reads.
pub(crate) struct Held {
    expected: Ownership,
    /// The first bucket in the upper 16 bits, the last one in the lower, so that a range is read and written
    /// atomically.
    now: AtomicU32,
    /// Whether the database agreed with the map once.
    was_verified: AtomicBool,
}

impl Held {
    pub(crate) fn new(expected: Ownership) -> Self {
        Self { now: AtomicU32::new(packed(expected.buckets)), was_verified: AtomicBool::new(false), expected }
    }

    /// Returns why a store must not work in a database with this record; `None` if it may. The first database must agree
    /// with the map. A later one, after a wrong database, must only be the shard's: its buckets may have moved since the
    /// store was opened, which the fence takes care of.
    fn verify(&self, found: Option<&Ownership>) -> Option<String> {
        if self.was_verified.load(Ordering::Relaxed) && self.observe(found) {
            return None;
        }
        let difference = difference(&self.expected, found);
        if difference.is_none() {
            self.was_verified.store(true, Ordering::Relaxed);
        }
        difference
    }

    /// Returns the ownership that the map states.
    pub(crate) const fn expected(&self) -> &Ownership {
        &self.expected
    }

    /// Returns the buckets that the database holds, as last read.
    pub(crate) fn buckets(&self) -> BucketRange {
        let packed = self.now.load(Ordering::Relaxed);
        let bucket = |number: u32| u16::try_from(number & 0xffff).ok().and_then(Bucket::new);
        let range = bucket(packed >> 16).zip(bucket(packed));
        // Only valid ranges are packed.
        range.and_then(|(first, last)| BucketRange::new(first, last)).unwrap_or(self.expected.buckets)
    }

    /// Returns whether the database holds exactly the buckets that the map states.
    pub(crate) fn is_as_expected(&self) -> bool {
        self.buckets() == self.expected.buckets
    }

    /// Updates the cached range from the database's record. Returns `false`, and changes nothing, if the database belongs to
    /// another shard or to none: then its range says nothing about this shard.
    pub(crate) fn observe(&self, found: Option<&Ownership>) -> bool {
        let Ownership { name, is_directory, .. } = &self.expected;
        let own = found.filter(|found| found.name == *name && found.is_directory == *is_directory);
        if let Some(own) = own {
            self.update(own.buckets);
        }
        own.is_some()
    }

    /// Updates the cached range.
    pub(crate) fn update(&self, buckets: BucketRange) {
        if self.now.swap(packed(buckets), Ordering::Relaxed) != packed(buckets) {
            tracing::warn!(
                by_the_map = %self.expected.buckets,
                by_the_database = %buckets,
                "the bucket range of the shard has changed; requests for buckets that it does not hold are refused"
            );
        }
    }

    /// Refuses a read of a bucket that the database does not hold.
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

    /// The range of another shard's database is not adopted.
    #[test]
    fn only_the_own_database_updates_the_range() {
        let held = Held::new(Ownership::sole());
        let half = Ownership { buckets: "0-2047".parse().unwrap(), ..Ownership::sole() };
        let named = Ownership { name: "north".to_owned(), ..half.clone() };
        let no_directory = Ownership { is_directory: false, ..half.clone() };
        for other in [None, Some(&named), Some(&no_directory)] {
            assert!(!held.observe(other) && held.is_as_expected(), "{other:?}");
        }
        assert!(held.observe(Some(&half)));
        assert_eq!(held.buckets(), half.buckets);
    }

    /// The first database agrees with the map. A later one may have fewer buckets, but is the same shard's.
    #[test]
    fn only_the_first_database_needs_all_buckets() {
        let held = Held::new(Ownership::sole());
        let half = Ownership { buckets: "0-2047".parse().unwrap(), ..Ownership::sole() };
        let named = Ownership { name: "north".to_owned(), ..half.clone() };
        assert!(held.verify(Some(&half)).is_some() && held.is_as_expected());
        assert_eq!(held.verify(Some(&Ownership::sole())), None);
        assert!(held.verify(Some(&named)).is_some() && held.verify(None).is_some());
        assert_eq!(held.verify(Some(&half)), None);
        assert_eq!(held.buckets(), half.buckets);
    }

    proptest! {
        /// The cached range equals the last update, for every range.
        #[test]
        fn the_cached_range_equals_the_update(first in 0_u16..4_096, length in 0_u16..4_096) {
            let last = first.saturating_add(length).min(4_095);
            let range = BucketRange::new(Bucket::new(first).unwrap(), Bucket::new(last).unwrap()).unwrap();
            let held = Held::new(Ownership::sole());
            held.update(range);
            prop_assert_eq!(held.buckets(), range);
            prop_assert_eq!(held.is_as_expected(), range == BucketRange::WHOLE);
            for number in [first, last, first.wrapping_sub(1), last + 1] {
                let Some(bucket) = Bucket::new(number) else { continue };
                prop_assert_eq!(held.check(bucket).is_ok(), range.contains(bucket));
            }
        }
    }
}
