//! For those who run the databases: what each of them is and holds, and how a part of one is given to
//! another.
//!
//! A shard is split with PostgreSQL's own means. A physical replica of it becomes the new shard: it has
//! everything already, so nothing is copied while anyone waits.
//!
//! 1. The database says that it holds only what it keeps, and to whom it gives the rest. From here on nothing is
//!    written for what moves (the module `shard` says why that is certain).
//! 2. The replica follows up to that moment, which is where its log has come to
//!    [`Administration::position`], and says the same.
//! 3. [`Administration::promote`]: the replica is a database of its own. It is given a random name, and the first
//!    database decides for that name.
//! 4. The new database says that it holds what moved; then the first one is done with it.
//! 5. Servers are started with the new map. [`Administration::purge`] removes, from either, what the other
//!    holds.
//!
//! Each step is an [`Administration::step`] from one [`Standing`] to the next, or is refused: so each can be repeated by any
//! command, and none can be made by a command that does not know of the last one. Until the first database has decided, the
//! buckets can be taken back, whatever has become of the replica: the same row decides, so it is one or the other. From then
//! on only that one database takes them over, and no other replica or promoted copy.
//!
//! A command holds [`Administration::lock`] of both databases from its first look on. The lock spares people commands that
//! get in each other's way; that no bucket is held twice does not depend on it.

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
    tls::Target,
};

/// How long one statement may take: counting and purging go through many rows.
const STATEMENT_TIMEOUT: Duration = Duration::from_mins(1);

/// By what name the connections are seen in `pg_stat_activity`.
const APPLICATION_NAME: &str = "dabba shards";

/// How long writes that have begun may keep a change of the buckets waiting. Writes that come meanwhile
/// wait behind it, so this is how long they may be held up.
const FENCE_TIMEOUT_MS: u32 = 2_000;

/// Maximum time for a replica to become a database of its own, in seconds. Below [`STATEMENT_TIMEOUT`], which would
/// hide the answer.
const PROMOTION_TIMEOUT_S: i32 = 45;

/// Up to this size orders are counted; a larger table's number of rows is the planner's estimate.
const MAX_COUNTED_BYTES: i64 = 256 * 1_024 * 1_024;

/// All tables but those in which a migration writes.
const FIND_TABLES: &str = "\
    SELECT format('%I.%I', spaces.nspname, tables.relname), tables.relname::text FROM pg_class AS tables \
    JOIN pg_namespace AS spaces ON spaces.oid = tables.relnamespace \
    WHERE tables.relkind IN ('r', 'p') AND spaces.nspname <> 'information_schema' AND spaces.nspname NOT LIKE 'pg\\_%' \
        AND tables.relname NOT IN ('refinery_schema_history', 'schema_versions', 'shard', 'copies') \
    ORDER BY tables.relname";

const FIND_POSITION: &str = "\
    SELECT pg_is_in_recovery(), system_identifier::text, current_database()::text, \
        (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END \
            - '0/0'::pg_lsn)::bigint, \
        extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 \
    FROM pg_control_system()";

const FIND_SYNCHRONOUS_STANDBYS: &str = "SELECT current_setting('synchronous_standby_names')";

/// The name, as a number, of the lock that a command holds on a shard which it changes: `shards` in ASCII.
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

/// Where a database is in its log, and as what.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    /// Whether it follows another one.
    pub is_replica: bool,
    /// Tells clusters apart; a physical copy has the one of its original.
    pub system_identifier: String,
    /// The database's name within its cluster.
    pub database: String,
    /// Up to where the log has been written, or followed by a replica: bytes since its beginning.
    pub log_bytes: u64,
    /// How long ago the last transaction was made that a replica has followed, in seconds. Grows while
    /// nothing is written.
    pub replayed_seconds_ago: Option<f64>,
}

/// Where a database archives its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The setting `archive_command`, or `archive_library` where that is used.
    pub command: String,
}

/// How a replica follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Following {
    /// Whether it receives the log as it is written.
    pub is_streaming: bool,
    /// Whether what it receives is not replayed until somebody says so.
    pub is_paused: bool,
    /// Whether what it receives is replayed later on purpose.
    pub is_delayed: bool,
}

/// Keeps other commands from changing a shard, until it is dropped.
pub struct AdministrationLock {
    #[expect(dead_code, reason = "to hold the session is to hold the lock")]
    session: Connection,
}

/// What a database says that it is, and how far it has come in giving buckets away. A replica says what its original said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it is.
    pub ownership: Ownership,
    /// Name of the new shard that receives the buckets.
    pub giving_to: Option<String>,
    /// The one database that gets them, by a random name; from then on nothing is taken back.
    pub decided_for: Option<String>,
}

impl Standing {
    /// Of a database that gives nothing away.
    pub const fn of(ownership: Ownership) -> Self {
        Self { ownership, giving_to: None, decided_for: None }
    }
}

impl std::fmt::Display for Standing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.ownership)?;
        match (&self.giving_to, &self.decided_for) {
            (Some(name), None) => write!(formatter, ", which is giving buckets to {name:?}"),
            (Some(name), Some(_)) => write!(formatter, ", which has decided to give buckets to {name:?}"),
            _ => Ok(()),
        }
    }
}

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Restaurants.
    pub restaurants: u64,
    /// Restaurants that are here and belong to another shard: what a purge removes.
    pub foreign_restaurants: u64,
    /// Orders.
    pub orders: u64,
    /// Whether the number of orders is an estimate.
    pub is_estimate: bool,
}

/// A database, for its operator.
pub struct Administration {
    connections: Connections,
}

impl Administration {
    /// For the database at `url`. Connects when it is asked something.
    pub fn new(url: &str) -> Result<Self, StoreError> {
        let options = PostgresOptions {
            // One for what is asked, one for looking meanwhile, and one that holds the lock.
            pool_size: 3,
            statement_timeout: STATEMENT_TIMEOUT,
            application_name: APPLICATION_NAME.to_owned(),
            ..PostgresOptions::default()
        };
        Ok(Self { connections: Connections::new(Target::parse(url)?, &options, None)? })
    }

    async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&Connection) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let run = async { work(&self.connections.get().await?).await };
        run.await.map_err(Failure::into_store_error)
    }

    /// A table that has rows, of Dabba or of anybody else; `None` if the database contains no data. What a migration writes
    /// does not count.
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

    /// What the database says that it is; `None` when it is in no map.
    ///
    /// [`StoreError::Unfit`] when it has another schema than this program knows.
    pub async fn ownership(&self) -> Result<Option<Ownership>, StoreError> {
        self.run(async |connection| {
            crate::migrate::check_schema(connection, crate::migrate::NEWEST).await?;
            crate::import::refuse_unfinished(connection.client()?).await?;
            find_ownership(connection.client()?).await
        })
        .await
    }

    /// Locks the database against other commands that change what it holds. `None` while another one holds the lock. The
    /// lock ends with the session, so with this process too.
    pub async fn lock(&self) -> Result<Option<AdministrationLock>, StoreError> {
        let lock = async {
            let session = self.connections.get().await?;
            session.close_when_dropped();
            // The session waits for as long as the command works.
            session.query("SELECT set_config('idle_session_timeout', '0', false)", &[]).await?;
            let rows = session.query(TRY_LOCK, &[&LOCK]).await?;
            Ok(read::<bool>(only(&rows)?, 0)?.then_some(AdministrationLock { session }))
        };
        lock.await.map_err(Failure::into_store_error)
    }

    /// Whether the user of the URL may promote the replica.
    pub async fn may_promote(&self) -> Result<bool, StoreError> {
        self.run(async |connection| read(only(&connection.query(MAY_PROMOTE, &[]).await?)?, 0)).await
    }

    /// Whether the user of the URL may change what the database holds.
    pub async fn may_change_buckets(&self) -> Result<bool, StoreError> {
        self.run(async |connection| read(only(&connection.query(MAY_CHANGE_BUCKETS, &[]).await?)?, 0)).await
    }

    /// Where the database archives its log, or would once it is promoted; `None` when nowhere.
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

    /// How a replica follows.
    pub async fn following(&self) -> Result<Following, StoreError> {
        self.run(async |connection| {
            let rows = connection.query(FIND_REPLAY, &[]).await?;
            let row = only(&rows)?;
            Ok(Following { is_streaming: read(row, 0)?, is_paused: read(row, 1)?, is_delayed: read(row, 2)? })
        })
        .await
    }

    /// The slot through which a replica receives the log, if it uses one and the user may know.
    pub async fn slot(&self) -> Result<Option<String>, StoreError> {
        self.run(async |connection| {
            let rows = connection.query(FIND_SLOT, &[]).await?;
            rows.first().map_or(Ok(None), |row| read(row, 0))
        })
        .await
    }

    /// Whether commits wait for the standby behind a slot, or would if another one were lost. `None` when that is not
    /// known.
    pub async fn waits_for_slot(&self, slot: &str) -> Result<Option<bool>, StoreError> {
        self.run(async |connection| {
            let rows = connection.query(FIND_SYNC_STATE, &[&slot]).await?;
            let state: Option<String> = rows.first().map_or(Ok(None), |row| read(row, 0))?;
            Ok(state.map(|state| state != "async"))
        })
        .await
    }

    /// Where the database is in its log.
    pub async fn position(&self) -> Result<Position, StoreError> {
        self.run(async |connection| {
            let rows = connection.query(FIND_POSITION, &[]).await?;
            position_of(only(&rows)?)
        })
        .await
    }

    /// The standbys for which commits wait, as `synchronous_standby_names` names them; `None` when they
    /// wait for none.
    pub async fn synchronous_standbys(&self) -> Result<Option<String>, StoreError> {
        self.run(async |connection| {
            let rows = connection.query(FIND_SYNCHRONOUS_STANDBYS, &[]).await?;
            let names: String = read(only(&rows)?, 0)?;
            Ok((!names.is_empty()).then_some(names))
        })
        .await
    }

    /// How much there is, of the buckets that it should hold and of others.
    pub async fn holdings(&self, buckets: BucketRange) -> Result<Holdings, StoreError> {
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
            Ok(Holdings {
                restaurants: number(restaurants),
                foreign_restaurants: number(foreign),
                orders: number(orders),
                is_estimate,
            })
        })
        .await
    }

    /// What the database says that it is, and how far it has come in giving buckets away; `None` when it is in no map.
    pub async fn standing(&self) -> Result<Option<Standing>, StoreError> {
        self.run(async |connection| {
            crate::migrate::check_schema(connection, crate::migrate::NEWEST).await?;
            find_standing(connection).await
        })
        .await
    }

    /// Makes one step: the database, which says `from`, says `to` from now on, in one transaction behind the writes that have
    /// begun. Nothing happens when it says something else than `from`, which is [`StoreError::Unfit`].
    pub async fn step(&self, from: &Standing, to: &Standing) -> Result<(), StoreError> {
        self.change(from, to).await
    }

    /// Makes a replica a database of its own, and waits until it is.
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

    /// Changes what the database says that it is, when no write is under way. Nothing happens when it
    /// says something else than `from`, which is [`StoreError::Unfit`].
    async fn change(&self, from: &Standing, to: &Standing) -> Result<(), StoreError> {
        self.run(async |connection| {
            let fence = format!(
                "BEGIN READ WRITE; SET LOCAL lock_timeout = {FENCE_TIMEOUT_MS}; LOCK TABLE shard IN ACCESS EXCLUSIVE MODE"
            );
            let change = async {
                connection.begin(&fence).await?;
                let found = find_standing(connection).await?;
                if found.as_ref() != Some(from) {
                    let found = found.map_or_else(|| "in no map".to_owned(), |found| found.to_string());
                    let text = format!("the database is {found}, not {from}");
                    return Err(Failure::Store(StoreError::Unfit(text)));
                }
                let Standing { ownership, giving_to, decided_for } = to;
                let (first, last) = numbers(ownership.buckets);
                let parameters: [&(dyn ToSql + Sync); 6] =
                    [&ownership.name, &first, &last, &ownership.is_directory, giving_to, decided_for];
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

    /// Lets go of all connections.
    pub async fn close(&self) {
        self.connections.close().await;
    }
}

const UPDATE_SHARD: &str = "\
    UPDATE shard SET name = $1, first_bucket = $2, last_bucket = $3, is_directory = $4, giving_to = $5, decided_for = $6 \
    WHERE is_the_only_row";

const FIND_STANDING: &str = "\
    SELECT name, first_bucket, last_bucket, is_directory, giving_to, decided_for FROM shard WHERE is_the_only_row";

async fn find_standing(connection: &Connection) -> Result<Option<Standing>, Failure> {
    let rows = connection.query(FIND_STANDING, &[]).await?;
    let standing = |row: &Row| {
        let (giving_to, decided_for) = (read(row, 4)?, read(row, 5)?);
        Ok(Standing { ownership: ownership_of(row)?, giving_to, decided_for })
    };
    rows.first().map(standing).transpose()
}

fn only(rows: &[Row]) -> Result<&Row, Failure> {
    rows.first().ok_or_else(|| Failure::corrupt("an answer went missing"))
}

fn position_of(row: &Row) -> Result<Position, Failure> {
    Ok(Position {
        is_replica: read(row, 0)?,
        system_identifier: read(row, 1)?,
        database: read(row, 2)?,
        log_bytes: u64::try_from(read::<i64>(row, 3)?).unwrap_or(0),
        replayed_seconds_ago: read(row, 4)?,
    })
}
