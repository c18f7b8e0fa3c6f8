//! The databases of orders: the embedded database of the data directory, one PostgreSQL database, or several PostgreSQL databases
//! that share the orders among them.

mod copied;
mod leftover;
mod opening;
mod shards_file;

use std::path::{Path, PathBuf};

use dabba_store::StoreError;
use dabba_store_postgres::{PostgresOptions, PostgresStore};
use dabba_store_sqlite::SqliteStore;
use futures::future::join_all;

pub(crate) use self::{
    copied::{mark as mark_as_copied, remove_mark as remove_copied_mark},
    opening::Opened,
    shards_file::{Shard, ShardsFile},
};
use crate::{
    data,
    failure::Failure,
    named_file,
    settings::{Bounded, Settings},
};

/// Number of files per connection to the embedded database: the database, its write-ahead log, and the index of that log.
const FILES_PER_CONNECTION: usize = 3;

/// The databases that the settings select.
pub(crate) enum Databases {
    /// The embedded database in this file.
    Embedded(PathBuf),
    /// PostgreSQL databases.
    Postgres(ShardsFile),
}

/// Result of migrating one database.
pub(crate) struct Migrated {
    /// Name of the database, for messages.
    pub(crate) place: String,
    /// Number of migrations applied.
    pub(crate) count: usize,
}

impl Databases {
    /// Returns the databases that the settings select. Reads the shards file if there is one.
    pub(crate) fn from_settings(settings: &Settings) -> Result<Self, Failure> {
        match (&settings.storage.database, &settings.storage.shards) {
            (Some(_), Some(_)) => Err(Failure::new(
                "the settings database and shards exclude each other: database is the URL of a single database, shards a \
                 file that lists several; give only one of them",
            )),
            (Some(url), None) => {
                Ok(Self::Postgres(ShardsFile::sole(url.clone(), settings.storage.replica_database.clone())))
            }
            (None, Some(file)) => Self::read(file, settings),
            (None, None) if settings.storage.replica_database.is_some() => Err(Failure::new(
                "the setting replica_database needs database: give the URL of the primary there, or leave replica_database out",
            )),
            (None, None) => {
                let file = settings.storage.embedded_database();
                named_file::is_there(&file).map_err(Failure::during("the embedded database"))?;
                Ok(Self::Embedded(file))
            }
        }
    }

    fn read(file: &Path, settings: &Settings) -> Result<Self, Failure> {
        if settings.storage.replica_database.is_some() {
            let text = "the setting replica_database applies to database only: with shards, give replica_url in the \
                        shards file";
            return Err(Failure::new(text));
        }
        ShardsFile::read(file).map(Self::Postgres)
    }

    /// Returns the shards, for commands that only work on shards.
    pub(crate) fn into_shards(self) -> Result<ShardsFile, Failure> {
        match self {
            Self::Postgres(shards) => Ok(shards),
            Self::Embedded(_) => Err(Failure::new(
                "the embedded database has no shards: select PostgreSQL databases with --database or --shards",
            )),
        }
    }

    /// Returns the default number of committers per shard. The embedded database has a single writer. On PostgreSQL, a second
    /// committer uses the time in which the first waits for the disk.
    pub(crate) const fn default_committers(&self) -> usize {
        match self {
            Self::Embedded(_) => 1,
            Self::Postgres(_) => 2,
        }
    }

    /// Returns the maximum number of files that the databases need: connections to PostgreSQL, or the files of the embedded
    /// database.
    pub(crate) fn open_files(&self, settings: &Settings) -> usize {
        match self {
            Self::Embedded(_) => (settings.storage.reader_connections.size() + 1) * FILES_PER_CONNECTION,
            Self::Postgres(shards) => {
                let pools = shards.iter().map(|shard| {
                    let options = options(&shard, settings);
                    let size = usize::try_from(options.pool_size).unwrap_or(usize::MAX);
                    if options.replica_url.is_some() { size.saturating_mul(2) } else { size }
                });
                pools.fold(0, usize::saturating_add)
            }
        }
    }

    /// Fails if the embedded database is selected and does not exist: most likely the operator means another directory.
    pub(crate) fn require(&self) -> Result<(), Failure> {
        match self {
            Self::Embedded(file) if !file.exists() => Err(Failure::new(format!(
                "there is no database at {}: give its directory with --data, or create a database there with `dabba migrate`",
                file.display()
            ))),
            Self::Embedded(_) | Self::Postgres(_) => Ok(()),
        }
    }

    /// Migrates all databases to the newest schema, and verifies that each database matches the shard map. If one migration
    /// fails, the other databases are migrated nevertheless.
    pub(crate) async fn migrate(&self, settings: &Settings) -> Result<Vec<Migrated>, Failure> {
        match self {
            Self::Embedded(file) => {
                data::make_directory(settings)?;
                let place = file.display().to_string();
                let count =
                    SqliteStore::migrate(file).map_err(Failure::during(format!("migrating {place}")))?;
                Ok(vec![Migrated { place, count }])
            }
            Self::Postgres(shards) => {
                let migrations = shards.iter().map(async |shard: Shard<'_>| {
                    let count =
                        migrate_shard(&shard).await.map_err(Failure::during(format!("migrating {shard}")))?;
                    Ok(Migrated { place: shard.to_string(), count })
                });
                join_all(migrations).await.into_iter().collect()
            }
        }
    }
}

/// Environment variable that limits a server to an earlier schema, as if the server knew no newer one. For tests of upgrades, and
/// therefore not a setting.
pub(crate) const TEST_KNOWN_SCHEMA: &str = "DABBA_TEST_KNOWN_SCHEMA";

/// Returns the newest schema of a PostgreSQL database that this process knows.
fn known_schema() -> u32 {
    let restricted = std::env::var(TEST_KNOWN_SCHEMA).ok().and_then(|version| version.parse().ok());
    restricted.unwrap_or(PostgresOptions::NEWEST_SCHEMA)
}

/// Migrates a shard's database to the newest schema that this process knows. Returns the number of migrations applied.
async fn migrate_shard(shard: &Shard<'_>) -> Result<usize, StoreError> {
    PostgresStore::migrate_to(shard.url.as_str(), &shard.ownership(), known_schema()).await
}

/// Returns the options of a shard's database: the settings, overridden by the shard's entry in the shards file.
fn options(shard: &Shard<'_>, settings: &Settings) -> PostgresOptions {
    let (pool, defaults) = (shard.pool(), settings.pools.postgres_options());
    PostgresOptions {
        pool_size: pool.size.map_or(defaults.pool_size, Bounded::small),
        pool_wait_timeout: pool.wait_milliseconds.map_or(defaults.pool_wait_timeout, Bounded::milliseconds),
        connect_timeout: pool
            .connect_timeout_milliseconds
            .map_or(defaults.connect_timeout, Bounded::milliseconds),
        idle_timeout: pool.idle_seconds.map_or(defaults.idle_timeout, Bounded::seconds),
        max_connection_age: pool.lifetime_seconds.map_or(defaults.max_connection_age, Bounded::seconds),
        statement_timeout: pool
            .statement_timeout_milliseconds
            .map_or(defaults.statement_timeout, Bounded::milliseconds),
        replica_url: shard.replica_url.map(|url| url.as_str().to_owned()),
        known_schema: known_schema(),
        ..defaults
    }
}

#[cfg(test)]
mod tests {
    use confique::Layer as _;

    use super::*;
    use crate::settings::Layer;

    /// Proves that the pools of replicas count as well.
    #[test]
    fn open_files_counts_every_pool() {
        let settings = |set: fn(&mut Layer)| {
            let mut layer = Layer::empty();
            layer.pools.pool_size = "20".parse().ok();
            set(&mut layer);
            Settings::load_with_databases_of_flags(layer, None).unwrap().0
        };
        let count = |settings: &Settings| Databases::from_settings(settings).unwrap().open_files(settings);
        let url = || "postgresql://h/d".parse().ok();
        assert_eq!(count(&settings(|_| {})), (4 + 1) * FILES_PER_CONNECTION);
        assert_eq!(count(&settings(|layer| layer.storage.database = "postgresql://h/d".parse().ok())), 20);
        let mut both = settings(|_| {});
        (both.storage.database, both.storage.replica_database) = (url(), url());
        assert_eq!(count(&both), 40);
    }
}
