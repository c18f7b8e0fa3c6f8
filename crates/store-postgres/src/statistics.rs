//! Statistics per minute.
//!
//! Rows that are derived from the feed are written under the lease of the group, whose row is locked until the
//! transaction ends. So no other transaction writes these rows between the read of the stored values and the write of
//! the merged ones.

use async_trait::async_trait;
use dabba_domain::{Timestamp, statistics::Minute};
use dabba_store::{
    FeedLease, FeedPosition, RollUp, RolledUp, StatisticsKey, StatisticsProgress, StatisticsRange,
    StatisticsRow, StatisticsStore, StoreError, check_statistics_rows,
};
use dabba_store_sql::{
    statistics::{EncodedProgress, EncodedStatistics, list_after, merged, progress_of, statistics_row_of},
    statistics_columns, statistics_progress_columns,
};
use tokio_postgres::types::ToSql;

use crate::{
    PostgresStore,
    codec::{collect, first},
    failure::Failure,
    pool::Connection,
};

/// First schema version with statistics.
const SCHEMA: u32 = 19;

/// Returns the name of the shard, whose rows this database returns and writes.
macro_rules! this_shard {
    () => {
        "(SELECT name FROM shard WHERE is_the_only_row)"
    };
}

const FIND_PROGRESS: &str =
    concat!("SELECT ", statistics_progress_columns!(), " FROM statistics_progress WHERE is_the_only_row");

const SET_PROGRESS: &str = concat!(
    "INSERT INTO statistics_progress (",
    statistics_progress_columns!(),
    ") VALUES ($1, $2, $3) ON CONFLICT (is_the_only_row) DO UPDATE SET \
         transaction_number = excluded.transaction_number, sequence = excluded.sequence, \
         complete_until_ns = greatest(statistics_progress.complete_until_ns, excluded.complete_until_ns)"
);

/// Finds the rows without a source that have these keys. Parameters: arrays of minutes, statistics and subjects.
const FIND_STORED: &str = concat!(
    "SELECT ",
    statistics_columns!(),
    " FROM unnest($1::bigint[], $2::text[], $3::text[]) AS wanted (at, of, about) CROSS JOIN LATERAL ( \
         SELECT * FROM statistics \
         WHERE minute = wanted.at AND statistic = wanted.of AND subject = wanted.about AND source = '' \
             AND shard_name = ",
    this_shard!(),
    " LIMIT 1) AS stored"
);

/// Takes the rows as arrays, one per column.
const SAVE: &str = concat!(
    "INSERT INTO statistics (",
    statistics_columns!(),
    ", shard_name) SELECT given.*, ",
    this_shard!(),
    " FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[]) \
         AS given \
     ON CONFLICT (minute, statistic, subject, source, shard_name) DO UPDATE SET samples = excluded.samples, \
         total = excluded.total, highest = excluded.highest, histogram = excluded.histogram"
);

/// Lists rows after a key. Parameters: the key, the minute after the last one, statistics, limit.
const LIST: &str = concat!(
    "SELECT ",
    statistics_columns!(),
    " FROM statistics \
     WHERE (minute, statistic, subject, source) > ($1, $2, $3, $4) AND minute < $5 AND statistic = ANY ($6::text[]) \
         AND shard_name = ",
    this_shard!(),
    " ORDER BY minute, statistic, subject, source LIMIT $7"
);

/// Deletes the oldest rows, including those of an original of this database.
const DELETE_OLD: &str = "\
    DELETE FROM statistics WHERE ctid = ANY (ARRAY( \
        SELECT ctid FROM statistics WHERE minute < $1 ORDER BY minute LIMIT $2))";

/// Every statement of this module that searches for rows, for the test of query plans.
#[cfg(test)]
pub(crate) const STATEMENTS: &[(&str, &str)] = &[
    ("find_statistics_progress", FIND_PROGRESS),
    ("find_stored_statistics", FIND_STORED),
    ("all_statistics", LIST),
    ("delete_old_statistics", DELETE_OLD),
];

#[async_trait]
impl StatisticsStore for PostgresStore {
    async fn statistics_progress(&self, _shard: usize) -> Result<Option<StatisticsProgress>, StoreError> {
        self.require_statistics()?;
        self.read(async |connection| first(&connection.query(FIND_PROGRESS, &[]).await?, progress_of)).await
    }

    async fn roll_up_statistics(
        &self,
        _shard: usize,
        lease: &FeedLease,
        roll_up: &RollUp,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<RolledUp, StoreError> {
        self.require_statistics()?;
        check_statistics_rows(&roll_up.rows)?;
        let progress = &EncodedProgress::after(roll_up)?;
        self.in_transaction(|connection| async move {
            if !self.extend(&connection, lease, now, until).await? {
                return Ok(RolledUp::LeaseLost);
            }
            if stored_position(&connection).await? != roll_up.from {
                return Ok(RolledUp::Moved);
            }
            let stored = find_stored(&connection, &roll_up.rows).await?;
            save(&connection, &EncodedStatistics::of(&merged(stored, &roll_up.rows))?).await?;
            let EncodedProgress { transaction_number, sequence, complete_until_ns } = progress;
            connection.execute(SET_PROGRESS, &[transaction_number, sequence, complete_until_ns]).await?;
            Ok(RolledUp::Added)
        })
        .await
    }

    async fn set_statistics(&self, _shard: usize, rows: &[StatisticsRow]) -> Result<(), StoreError> {
        self.require_statistics()?;
        let rows = &EncodedStatistics::of(rows)?;
        if rows.is_empty() {
            return Ok(());
        }
        self.in_transaction(|connection| async move { save(&connection, rows).await }).await
    }

    async fn statistics(
        &self,
        _shard: usize,
        range: &StatisticsRange,
        after: Option<&StatisticsKey>,
        limit: u32,
    ) -> Result<Vec<StatisticsRow>, StoreError> {
        self.require_statistics()?;
        let names: Vec<&str> = range.statistics.iter().map(|statistic| statistic.as_str()).collect();
        let (minute, statistic, subject, source) = list_after(range, after);
        let limit = i64::from(limit);
        self.read(async |connection| {
            let parameters: [&(dyn ToSql + Sync); 7] =
                [&minute, &statistic, &subject, &source, &range.to.0, &names, &limit];
            collect(&connection.query(LIST, &parameters).await?, statistics_row_of)
        })
        .await
    }

    async fn delete_old_statistics(&self, before: Minute, limit: u32) -> Result<u32, StoreError> {
        if self.known_schema < SCHEMA {
            return Ok(0);
        }
        let deleted = self
            .in_transaction(|connection| async move {
                connection.execute(DELETE_OLD, &[&before.0, &i64::from(limit)]).await
            })
            .await?;
        Ok(u32::try_from(deleted).unwrap_or(limit))
    }
}

impl PostgresStore {
    /// Refuses calls of a server that knows only an earlier schema. Only the test of upgrades has such servers.
    fn require_statistics(&self) -> Result<(), StoreError> {
        if self.known_schema >= SCHEMA {
            return Ok(());
        }
        Err(StoreError::Unfit(format!("only a server that knows schema version {SCHEMA} stores statistics")))
    }
}

async fn stored_position(connection: &Connection) -> Result<Option<FeedPosition>, Failure> {
    let progress = first(&connection.query(FIND_PROGRESS, &[]).await?, progress_of)?;
    Ok(progress.map(|progress: StatisticsProgress| progress.position))
}

async fn find_stored(connection: &Connection, rows: &[StatisticsRow]) -> Result<Vec<StatisticsRow>, Failure> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let minutes: Vec<i64> = rows.iter().map(|row| row.key.minute.0).collect();
    let statistics: Vec<&str> = rows.iter().map(|row| row.key.statistic.as_str()).collect();
    let subjects: Vec<&str> = rows.iter().map(|row| row.key.subject.as_str()).collect();
    collect(&connection.query(FIND_STORED, &[&minutes, &statistics, &subjects]).await?, statistics_row_of)
}

async fn save(connection: &Connection, rows: &[EncodedStatistics]) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        ($column:ident) => {
            &rows.iter().map(|row| &row.$column).collect::<Vec<_>>()
        };
    }
    let parameters: [&(dyn ToSql + Sync); 8] = [
        column!(minute),
        column!(statistic),
        column!(subject),
        column!(source),
        column!(samples),
        column!(total),
        column!(highest),
        column!(histogram),
    ];
    connection.execute(SAVE, &parameters).await?;
    Ok(())
}
