//! Administration of databases: inspection, and the move of a bucket range to another database.
//!
//! A shard is split with PostgreSQL's own replication. A physical replica of the database becomes the new shard. The
//! replica has all data already, so no user waits for a copy.
//!
//! 1. The database records that it holds only the buckets that it keeps, and the name of the new shard. From here on,
//!    nothing is written for the moving buckets (the module `shard` explains why).
//! 2. The replica replays the WAL up to that point, which [`Administration::position`] shows, and then states the
//!    same.
//! 3. [`Administration::promote`] makes the replica an independent database. The replica gets a random name, and the
//!    first database decides for that name.
//! 4. The new database records that it holds the moved buckets; then the first database completes the move.
//! 5. Servers are started with the new map. [`Administration::purge`] removes, from each of the two databases, the
//!    rows that belong to the other.
//!
//! Each step is an [`Administration::step`] from one [`ShardState`] to the next, or is refused. So any command can
//! repeat a step, and a command that does not know the last step cannot make the next one. Until the first database
//! has decided, it can take the buckets back, whatever has happened to the replica: the same row records both, so
//! only one of them can happen. After the decision, only the chosen database can take over the buckets, and no other
//! replica or promoted copy.
//!
//! A command holds [`Administration::lock`] of both databases from its first read on. The lock keeps commands of
//! several operators apart. The guarantee that no bucket is held twice does not depend on the lock.

mod purge;

use std::time::Duration;

use dabba_store::{BucketRange, StoreError};
use tokio_postgres::{Row, types::ToSql};

pub use self::purge::Purged;
#[cfg(test)]
pub(crate) use self::purge::statements;
use crate::{
    Ownership, PostgresOptions,
    codec::read,
    failure::Failure,
    pool::{Connection, Connections},
    shard::{find_ownership, numbers, ownership_of},
    tls::ConnectionTarget,
};

/// Maximum time of one statement: counting and purging read many rows.
const STATEMENT_TIMEOUT: Duration = Duration::from_mins(1);

/// Name of the connections in `pg_stat_activity`.
const APPLICATION_NAME: &str = "dabba shards";

/// Maximum time that a change of the buckets waits for running writes, in milliseconds. New writes wait behind the
/// change, so this is also the maximum delay of those writes.
const FENCE_TIMEOUT_MS: u32 = 2_000;

/// Maximum time of a promotion, in seconds. Less than [`STATEMENT_TIMEOUT`], which would hide the result.
const PROMOTION_TIMEOUT_S: i32 = 45;

/// Maximum size of the table of orders, in bytes, up to which its rows are counted. For a larger table the planner's
/// estimate is used.
const MAX_COUNTED_BYTES: i64 = 256 * 1_024 * 1_024;

/// Lists all tables except those that a migration fills.
const FIND_TABLES: &str = "\
    SELECT format('%I.%I', spaces.nspname, tables.relname), tables.relname::text FROM pg_class AS tables \
    JOIN pg_namespace AS spaces ON spaces.oid = tables.relnamespace \
    WHERE tables.relkind IN ('r', 'p') AND spaces.nspname <> 'information_schema' AND spaces.nspname NOT LIKE 'pg\\_%' \
        AND tables.relname NOT IN ('refinery_schema_history', 'schema_versions', 'shard', 'copies', 'feed_state') \
    ORDER BY tables.relname";

const FIND_POSITION: &str = "\
    SELECT pg_is_in_recovery(), system_identifier::text, current_database()::text, \
        (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END \
            - '0/0'::pg_lsn)::bigint, \
        extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 \
    FROM pg_control_system()";

const FIND_SYNCHRONOUS_STANDBYS: &str = "SELECT current_setting('synchronous_standby_names')";

/// Key of the advisory lock that a command holds on a shard which it changes: `shards` in ASCII.
const LOCK: i64 = 0x73_68_61_72_64_73;

const TRY_LOCK: &str = "SELECT pg_try_advisory_lock($1)";

const MAY_PROMOTE: &str = "SELECT has_function_privilege('pg_promote(boolean, integer)', 'EXECUTE')";

const MAY_CHANGE_BUCKETS: &str = "SELECT has_table_privilege('shard', 'UPDATE')";

const FIND_ARCHIVE: &str = "\
    SELECT current_setting('archive_mode'), current_setting('archive_command'), \
        coalesce(current_setting('archive_library', true), '')";

const FIND_REPLAY: &str = "\
    SELECT EXISTS (SELECT FROM pg_stat_wal_receiver), pg_is_wal_replay_paused(), \
        (SELECT setting <> '0' FROM pg_settings WHERE name = 'recovery_min_apply_delay')";

const FIND_SLOT: &str = "SELECT slot_name::text FROM pg_stat_wal_receiver";

const FIND_SYNC_STATE: &str = "\
    SELECT replication.sync_state FROM pg_stat_replication AS replication \
    JOIN pg_replication_slots AS slot ON slot.active_pid = replication.pid WHERE slot.slot_name = $1";

const COUNT_RESTAURANTS: &str = "\
    SELECT count(*), count(*) FILTER (WHERE bucket_of(id) NOT BETWEEN $1 AND $2) FROM restaurants";

const SIZE_OF_ORDERS: &str = "\
    SELECT pg_table_size('orders'), reltuples::bigint FROM pg_class WHERE oid = 'orders'::regclass";

const COUNT_ORDERS: &str = "SELECT count(*) FROM orders";

/// Position of a database in its WAL, and its role.
#[derive(Clone, Debug, PartialEq)]
pub struct WalPosition {
    /// Whether the database is a replica.
    pub is_replica: bool,
    /// Identifies the cluster; a physical copy has the identifier of its original.
    pub system_identifier: String,
    /// Name of the database within its cluster.
    pub database: String,
    /// Position up to which the WAL is written, or replayed on a replica: bytes from the start.
    pub log_bytes: u64,
    /// Time since the last transaction that a replica has replayed, in seconds. Grows while nothing is written.
    pub replayed_seconds_ago: Option<f64>,
}

/// Archive of a database's WAL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Value of the setting `archive_command`, or of `archive_library` if that is set.
    pub command: String,
}

/// Replication status of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicationStatus {
    /// Whether the replica streams the WAL.
    pub is_streaming: bool,
    /// Whether replay is paused until it is resumed explicitly.
    pub is_paused: bool,
    /// Whether replay is delayed on purpose.
    pub is_delayed: bool,
}

/// A lock that keeps other commands from changing a shard, until it is dropped.
pub struct AdministrationLock {
    #[expect(dead_code, reason = "the session holds the lock")]
    session: Connection,
}

/// Ownership that a database states, and its progress in moving buckets to another database. A replica states the
/// same as its primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardState {
    /// Ownership of the database.
    pub ownership: Ownership,
    /// Name of the new shard that receives the buckets.
    pub receiver: Option<String>,
    /// Random name of the one database that receives the buckets. Once it is set, the move cannot be cancelled.
    pub decided_for: Option<String>,
}

impl ShardState {
    /// Returns the state of a database that moves no buckets.
    pub const fn of(ownership: Ownership) -> Self {
        Self { ownership, receiver: None, decided_for: None }
    }
}

impl std::fmt::Display for ShardState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.ownership)?;
        match (&self.receiver, &self.decided_for) {
            (Some(name), None) => write!(formatter, ", which is giving buckets to {name:?}"),
            (Some(name), Some(_)) => write!(formatter, ", which has decided to give buckets to {name:?}"),
            _ => Ok(()),
        }
    }
}

/// Amount of data in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowCounts {
    /// Number of restaurants.
    pub restaurants: u64,
    /// Number of restaurants here that belong to another shard; a purge removes them.
    pub foreign_restaurants: u64,
    /// Number of orders.
    pub orders: u64,
    /// Whether the number of orders is an estimate.
    pub is_estimate: bool,
}

/// A database, for its operator.
pub struct Administration {
    connections: Connections,
}

impl Administration {
    /// Creates the administration of the database at `url`. Connects on first use.
    pub fn new(url: &str) -> Result<Self, StoreError> {
        let options = PostgresOptions {
            // One connection for the command's statements, one for concurrent reads, and one that holds the lock.
            pool_size: 3,
            statement_timeout: STATEMENT_TIMEOUT,
            application_name: APPLICATION_NAME.to_owned(),
            ..PostgresOptions::default()
        };
        Ok(Self { connections: Connections::new(ConnectionTarget::parse(url)?, &options, None)? })
    }

    async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&Connection) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let run = async { work(&self.connections.get().await?).await };
        run.await.map_err(Failure::into_store_error)
    }

    /// Returns the name of a table that has rows, of Dabba or of another program; `None` if the database contains no
    /// data. Rows that a migration writes do not count.
    pub async fn table_with_rows(&self) -> Result<Option<String>, StoreError> {
        self.run(async |connection| {
            let client = connection.client()?;
            for row in client.query(FIND_TABLES, &[]).await? {
                let (table, name): (String, String) = (read(&row, 0)?, read(&row, 1)?);
                let sql = format!("SELECT EXISTS (SELECT FROM {table})");
                if read(&client.query_one(&sql, &[]).await?, 0)? {
                    return Ok(Some(name));
                }
            }
            Ok(None)
        })
        .await
    }

    /// Returns the ownership that the database states; `None` if it belongs to no shard map.
    ///
    /// Fails with [`StoreError::Unfit`] if the schema is not compatible with this program.
    pub async fn ownership(&self) -> Result<Option<Ownership>, StoreError> {
        self.run(async |connection| {
            crate::migrate::check_schema(connection, crate::migrate::NEWEST).await?;
            crate::import::refuse_unfinished(connection.client()?).await?;
            find_ownership(connection.client()?).await
        })
        .await
    }

    /// Fails with [`StoreError::Unfit`] if the schema is newer than this program knows, even if it is compatible.
    pub async fn require_known_schema(&self) -> Result<(), StoreError> {
        self.run(async |connection| crate::migrate::refuse_newer_schema(connection).await).await
    }

    /// Locks the database against other commands that change its buckets. `None` while another command holds the
    /// lock. The lock ends with the session, so also with this process.
    pub async fn lock(&self) -> Result<Option<AdministrationLock>, StoreError> {
        let lock = async {
            let session = self.connections.get().await?;
            session.close_when_dropped();
            // The session is idle while the command works.
            session.query("SELECT set_config('idle_session_timeout', '0', false)", &[]).await?;
            let rows = session.query(TRY_LOCK, &[&LOCK]).await?;
            Ok(read::<bool>(only(&rows)?, 0)?.then_some(AdministrationLock { session }))
        };
        lock.await.map_err(Failure::into_store_error)
    }

    /// Returns whether the user of the URL may promote the replica.
    pub async fn may_promote(&self) -> Result<bool, StoreError> {
        self.run(async |connection| read(only(&connection.query(MAY_PROMOTE, &[]).await?)?, 0)).await
    }

    /// Returns whether the user of the URL may change the database's buckets.
    pub async fn may_change_buckets(&self) -> Result<bool, StoreError> {
        self.run(async |connection| read(only(&connection.query(MAY_CHANGE_BUCKETS, &[]).await?)?, 0)).await
    }

    /// Returns the archive to which the database archives its WAL, or would after a promotion; `None` if there is
    /// none.
    pub async fn archive(&self) -> Result<Option<Archive>, StoreError> {
        self.run(async |connection| {
            let rows = connection.query(FIND_ARCHIVE, &[]).await?;
            let (mode, command, library): (String, String, String) =
                (read(only(&rows)?, 0)?, read(only(&rows)?, 1)?, read(only(&rows)?, 2)?);
            let command = if library.is_empty() { command } else { library };
            Ok((mode != "off" && !command.is_empty()).then_some(Archive { command }))
        })
        .await
    }

    /// Returns the replication status of a replica.
    pub async fn replication_status(&self) -> Result<ReplicationStatus, StoreError> {
        self.run(async |connection| {
            let rows = connection.query(FIND_REPLAY, &[]).await?;
            let row = only(&rows)?;
            Ok(ReplicationStatus {
                is_streaming: read(row, 0)?,
                is_paused: read(row, 1)?,
                is_delayed: read(row, 2)?,
            })
        })
        .await
    }

    /// Returns the replication slot that a replica uses, if there is one and the user may see it.
    pub async fn slot(&self) -> Result<Option<String>, StoreError> {
        self.run(async |connection| {
            let rows = connection.query(FIND_SLOT, &[]).await?;
            rows.first().map_or(Ok(None), |row| read(row, 0))
        })
        .await
    }

    /// Returns whether commits wait for the standby behind a slot, or would if another standby were lost. `None` if
    /// that is unknown.
    pub async fn waits_for_slot(&self, slot: &str) -> Result<Option<bool>, StoreError> {
        self.run(async |connection| {
            let rows = connection.query(FIND_SYNC_STATE, &[&slot]).await?;
            let state: Option<String> = rows.first().map_or(Ok(None), |row| read(row, 0))?;
            Ok(state.map(|state| state != "async"))
        })
        .await
    }

    /// Returns the database's position in its WAL.
    pub async fn position(&self) -> Result<WalPosition, StoreError> {
        self.run(async |connection| {
            let rows = connection.query(FIND_POSITION, &[]).await?;
            position_of(only(&rows)?)
        })
        .await
    }

    /// Returns the standbys that commits wait for, as `synchronous_standby_names` lists them; `None` if commits wait
    /// for none.
    pub async fn synchronous_standbys(&self) -> Result<Option<String>, StoreError> {
        self.run(async |connection| {
            let rows = connection.query(FIND_SYNCHRONOUS_STANDBYS, &[]).await?;
            let names: String = read(only(&rows)?, 0)?;
            Ok((!names.is_empty()).then_some(names))
        })
        .await
    }

    /// Returns the amount of data, inside and outside the given buckets.
    pub async fn row_counts(&self, buckets: BucketRange) -> Result<RowCounts, StoreError> {
        self.run(async |connection| {
            let (first, last) = numbers(buckets);
            let rows = connection.query(COUNT_RESTAURANTS, &[&first, &last]).await?;
            let (restaurants, foreign) = (read::<i64>(only(&rows)?, 0)?, read::<i64>(only(&rows)?, 1)?);
            let rows = connection.query(SIZE_OF_ORDERS, &[]).await?;
            let (bytes, estimate) = (read::<i64>(only(&rows)?, 0)?, read::<i64>(only(&rows)?, 1)?);
            let is_estimate = bytes > MAX_COUNTED_BYTES && estimate >= 0;
            let orders =
                if is_estimate { estimate } else { connection.query_number(COUNT_ORDERS, &[]).await? };
            let number = |number: i64| u64::try_from(number).unwrap_or(0);
            Ok(RowCounts {
                restaurants: number(restaurants),
                foreign_restaurants: number(foreign),
                orders: number(orders),
                is_estimate,
            })
        })
        .await
    }

    /// Returns the ownership that the database states, and its progress in moving buckets; `None` if it belongs to no
    /// shard map.
    pub async fn shard_state(&self) -> Result<Option<ShardState>, StoreError> {
        self.run(async |connection| {
            crate::migrate::check_schema(connection, crate::migrate::NEWEST).await?;
            find_shard_state(connection).await
        })
        .await
    }

    /// Makes one step: changes the database's state from `from` to `to`, in one transaction that waits for running
    /// writes. If the current state is not `from`, changes nothing and fails with [`StoreError::Unfit`].
    pub async fn step(&self, from: &ShardState, to: &ShardState) -> Result<(), StoreError> {
        self.change(from, to).await
    }

    /// Promotes a replica to an independent database, and waits until the promotion is complete.
    pub async fn promote(&self) -> Result<(), StoreError> {
        self.run(async |connection| {
            let rows = connection.query("SELECT pg_promote(true, $1)", &[&PROMOTION_TIMEOUT_S]).await?;
            if read(only(&rows)?, 0)? {
                return Ok(());
            }
            let text = format!("the replica was not promoted within {PROMOTION_TIMEOUT_S} seconds");
            Err(Failure::Store(StoreError::Unavailable(text)))
        })
        .await
    }

    /// Changes the database's state while no write is running. If the current state is not `from`, changes
    /// nothing and fails with [`StoreError::Unfit`].
    async fn change(&self, from: &ShardState, to: &ShardState) -> Result<(), StoreError> {
        self.run(async |connection| {
            let fence = format!(
                "BEGIN READ WRITE; SET LOCAL lock_timeout = {FENCE_TIMEOUT_MS}; LOCK TABLE shard IN ACCESS EXCLUSIVE MODE"
            );
            let change = async {
                connection.begin(&fence).await?;
                let found = find_shard_state(connection).await?;
                if found.as_ref() != Some(from) {
                    let found = found.map_or_else(|| "in no map".to_owned(), |found| found.to_string());
                    let text = format!("the database is {found}, not {from}");
                    return Err(Failure::Store(StoreError::Unfit(text)));
                }
                let ShardState { ownership, receiver, decided_for } = to;
                let (first, last) = numbers(ownership.buckets);
                let parameters: [&(dyn ToSql + Sync); 6] =
                    [&ownership.name, &first, &last, &ownership.is_directory, receiver, decided_for];
                connection.execute(UPDATE_SHARD, &parameters).await?;
                connection.commit().await
            };
            let changed = change.await;
            if changed.is_err() {
                connection.rollback().await;
            }
            changed
        })
        .await
    }

    /// Gives the database a new incarnation after a restore: every cursor of the feed that was made before is then
    /// void. Waits for running writes; fails with [`StoreError::Unfit`] if the database has no schema of this program.
    pub async fn renew_incarnation(&self) -> Result<(), StoreError> {
        self.run(async |connection| {
            crate::migrate::check_schema(connection, crate::migrate::NEWEST).await?;
            let renewed = connection.write(RENEW_INCARNATION, &[]).await?;
            if renewed == 1 {
                return Ok(());
            }
            Err(Failure::corrupt("the database has no incarnation"))
        })
        .await
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.connections.close().await;
    }
}

const RENEW_INCARNATION: &str = "\
    UPDATE feed_state SET incarnation = left(uuid, 8) || right(uuid, 8) \
    FROM (SELECT gen_random_uuid()::text AS uuid) AS random WHERE is_the_only_row";

const UPDATE_SHARD: &str = "\
    UPDATE shard SET name = $1, first_bucket = $2, last_bucket = $3, is_directory = $4, giving_to = $5, decided_for = $6 \
    WHERE is_the_only_row";

const FIND_SHARD_STATE: &str = "\
    SELECT name, first_bucket, last_bucket, is_directory, giving_to, decided_for FROM shard WHERE is_the_only_row";

async fn find_shard_state(connection: &Connection) -> Result<Option<ShardState>, Failure> {
    let rows = connection.query(FIND_SHARD_STATE, &[]).await?;
    let state = |row: &Row| {
        let (receiver, decided_for) = (read(row, 4)?, read(row, 5)?);
        Ok(ShardState { ownership: ownership_of(row)?, receiver, decided_for })
    };
    rows.first().map(state).transpose()
}

fn only(rows: &[Row]) -> Result<&Row, Failure> {
    rows.first().ok_or_else(|| Failure::corrupt("the database returned no row"))
}

fn position_of(row: &Row) -> Result<WalPosition, Failure> {
    Ok(WalPosition {
        is_replica: read(row, 0)?,
        system_identifier: read(row, 1)?,
        database: read(row, 2)?,
        log_bytes: u64::try_from(read::<i64>(row, 3)?).unwrap_or(0),
        replayed_seconds_ago: read(row, 4)?,
    })
}
