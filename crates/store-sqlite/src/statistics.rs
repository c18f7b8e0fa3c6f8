//! Statistics per minute.

use async_trait::async_trait;
use dabba_domain::{Timestamp, statistics::Minute};
use dabba_store::{
    FeedLease, RollUp, RolledUp, StatisticsKey, StatisticsProgress, StatisticsRange, StatisticsRow,
    StatisticsStore, StoreError, check_statistics_rows,
};
use dabba_store_sql::{
    statistics::{EncodedProgress, EncodedStatistics, list_after, merged, progress_of, statistics_row_of},
    statistics_columns, statistics_progress_columns,
};
use rusqlite::{Connection, Transaction, params};

use crate::{
    SqliteStore,
    codec::{collect, first},
    consumers::extend,
    failure::Failure,
};

pub(crate) const FIND_PROGRESS: &str =
    concat!("SELECT ", statistics_progress_columns!(), " FROM statistics_progress WHERE is_the_only_row = 1");

const SET_PROGRESS: &str = concat!(
    "INSERT INTO statistics_progress (is_the_only_row, ",
    statistics_progress_columns!(),
    ") VALUES (1, ?1, ?2, ?3) ON CONFLICT (is_the_only_row) DO UPDATE SET \
         transaction_number = excluded.transaction_number, sequence = excluded.sequence, \
         complete_until_ns = max(statistics_progress.complete_until_ns, excluded.complete_until_ns)"
);

pub(crate) const FIND_STORED: &str = concat!(
    "SELECT ",
    statistics_columns!(),
    " FROM statistics WHERE minute = ?1 AND statistic = ?2 AND subject = ?3 AND source = ''"
);

const SAVE: &str = concat!(
    "INSERT INTO statistics (",
    statistics_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
     ON CONFLICT (minute, statistic, subject, source) DO UPDATE SET samples = excluded.samples, \
         total = excluded.total, highest = excluded.highest, histogram = excluded.histogram"
);

/// Lists rows after a key. Parameters: the key, the minute after the last one, a JSON array of statistics, limit.
pub(crate) const LIST: &str = concat!(
    "SELECT ",
    statistics_columns!(),
    " FROM statistics \
     WHERE (minute, statistic, subject, source) > (?1, ?2, ?3, ?4) AND minute < ?5 \
         AND instr(?6, '\"' || statistic || '\"') > 0 \
     ORDER BY minute, statistic, subject, source LIMIT ?7"
);

pub(crate) const DELETE_OLD: &str = "\
    DELETE FROM statistics WHERE (minute, statistic, subject, source) IN ( \
        SELECT minute, statistic, subject, source FROM statistics WHERE minute < ?1 ORDER BY minute LIMIT ?2)";

#[async_trait]
impl StatisticsStore for SqliteStore {
    async fn statistics_progress(&self, _shard: usize) -> Result<Option<StatisticsProgress>, StoreError> {
        self.readers.read(|connection| progress(connection)).await
    }

    async fn roll_up_statistics(
        &self,
        _shard: usize,
        lease: &FeedLease,
        roll_up: &RollUp,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<RolledUp, StoreError> {
        check_statistics_rows(&roll_up.rows)?;
        let (lease, added) = (lease.clone(), roll_up.clone());
        self.writer
            .write(move |transaction| {
                if !extend(transaction, &lease, now, until)? {
                    return Ok(RolledUp::LeaseLost);
                }
                add(transaction, &added)
            })
            .await
    }

    async fn set_statistics(&self, _shard: usize, rows: &[StatisticsRow]) -> Result<(), StoreError> {
        let rows = EncodedStatistics::of(rows)?;
        if rows.is_empty() {
            return Ok(());
        }
        self.writer.write(move |transaction| save(transaction, &rows)).await
    }

    async fn statistics(
        &self,
        _shard: usize,
        range: &StatisticsRange,
        after: Option<&StatisticsKey>,
        limit: u32,
    ) -> Result<Vec<StatisticsRow>, StoreError> {
        let names: Vec<String> =
            range.statistics.iter().map(|statistic| format!("\"{statistic}\"")).collect();
        let (range, after) = (range.clone(), after.cloned());
        self.readers
            .read(move |connection| {
                let (minute, statistic, subject, source) = list_after(&range, after.as_ref());
                let mut statement = connection.prepare_cached(LIST)?;
                let parameters =
                    params![minute, statistic, subject, source, range.to.0, names.concat(), limit];
                collect(statement.query(parameters)?, |row| statistics_row_of(row))
            })
            .await
    }

    async fn delete_old_statistics(&self, before: Minute, limit: u32) -> Result<u32, StoreError> {
        self.writer
            .write(move |transaction| {
                let deleted = transaction.prepare_cached(DELETE_OLD)?.execute(params![before.0, limit])?;
                Ok(u32::try_from(deleted).unwrap_or(limit))
            })
            .await
    }
}

fn progress(connection: &Connection) -> Result<Option<StatisticsProgress>, Failure> {
    let mut statement = connection.prepare_cached(FIND_PROGRESS)?;
    first(statement.query([])?, |row| progress_of(row))
}

fn add(transaction: &Transaction<'_>, roll_up: &RollUp) -> Result<RolledUp, Failure> {
    if progress(transaction)?.map(|progress| progress.position) != roll_up.from {
        return Ok(RolledUp::Moved);
    }
    let mut stored = Vec::new();
    for row in &roll_up.rows {
        let mut statement = transaction.prepare_cached(FIND_STORED)?;
        let key = params![row.key.minute.0, row.key.statistic.as_str(), row.key.subject];
        stored.extend(first(statement.query(key)?, |row| statistics_row_of(row))?);
    }
    save(transaction, &EncodedStatistics::of(&merged(stored, &roll_up.rows))?)?;
    let progress = EncodedProgress::after(roll_up)?;
    transaction.prepare_cached(SET_PROGRESS)?.execute(params![
        progress.transaction_number,
        progress.sequence,
        progress.complete_until_ns
    ])?;
    Ok(RolledUp::Added)
}

fn save(transaction: &Transaction<'_>, rows: &[EncodedStatistics]) -> Result<(), Failure> {
    let mut statement = transaction.prepare_cached(SAVE)?;
    for row in rows {
        statement.execute(params![
            row.minute,
            row.statistic,
            row.subject,
            row.source,
            row.samples,
            row.total,
            row.highest,
            row.histogram
        ])?;
    }
    Ok(())
}
