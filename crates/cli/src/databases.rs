//! Where orders are kept: in the embedded database of the data directory, in one PostgreSQL database, or
//! in several that share all orders among them.

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
use crate::{data, failure::Failure, named_file, settings::Settings};

/// Files of one connection to the embedded database: the database, its log, and the log's index.
const FILES_PER_CONNECTION: usize = 3;

/// Where orders are kept, as the settings say.
pub(crate) enum Databases {
    /// In the embedded database, in this file.
    Embedded(PathBuf),
    /// In PostgreSQL databases.
    Postgres(ShardsFile),
}

/// What a migration did to one database.
pub(crate) struct Migrated {
    /// Which database.
    pub(crate) place: String,
    /// How many migrations were needed.
    pub(crate) count: usize,
}

impl Databases {
    /// Finds out what the settings say, and reads the file of the shards if there is one.
    pub(crate) fn from_settings(settings: &Settings) -> Result<Self, Failure> {
        match (&settings.database, &settings.shards) {
            (Some(_), Some(_)) => Err(Failure::new(
                "the settings database and shards exclude each other: one names a single database, the other a \
                 file that lists several",
            )),
            (Some(url), None) => {
                Ok(Self::Postgres(ShardsFile::sole(url.clone(), settings.replica_database.clone())))
            }
            (None, Some(file)) => Self::read(file, settings),
            (None, None) if settings.replica_database.is_some() => Err(Failure::new(
                "the setting replica_database needs database: give the URL of the primary there, or leave replica_database out",
            )),
            (None, None) => {
                let file = settings.embedded_database();
                named_file::is_there(&file).map_err(Failure::during("the embedded database"))?;
                Ok(Self::Embedded(file))
            }
        }
    }

    fn read(file: &Path, settings: &Settings) -> Result<Self, Failure> {
        if settings.replica_database.is_some() {
            let text = "the setting replica_database belongs to database; the file of the shards has a \
                        replica_url for each";
            return Err(Failure::new(text));
        }
        ShardsFile::read(file).map(Self::Postgres)
    }

    /// The shards, for commands that are about them alone.
    pub(crate) fn into_shards(self) -> Result<ShardsFile, Failure> {
        match self {
            Self::Postgres(shards) => Ok(shards),
            Self::Embedded(_) => Err(Failure::new(
                "the embedded database has no shards: name PostgreSQL databases with --database or --shards",
            )),
        }
    }

    /// Committers of each shard, when the settings do not say. The embedded database has one writer; with
    /// PostgreSQL a second one fills the time in which the first waits for the disk.
    pub(crate) const fn default_committers(&self) -> usize {
        match self {
            Self::Embedded(_) => 1,
            Self::Postgres(_) => 2,
        }
    }

    /// Maximum number of files that the databases need: connections to PostgreSQL, or the files of the embedded database.
    pub(crate) fn open_files(&self, settings: &Settings) -> usize {
        match self {
            Self::Embedded(_) => (settings.reader_connections.size() + 1) * FILES_PER_CONNECTION,
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

    /// Fails if the embedded database is used and is not there: most likely another directory is meant.
    pub(crate) fn require(&self) -> Result<(), Failure> {
        match self {
            Self::Embedded(file) if !file.exists() => Err(Failure::new(format!(
                "there is no database at {}: name its directory with --data, or make a database there with `dabba migrate`",
                file.display()
            ))),
            Self::Embedded(_) | Self::Postgres(_) => Ok(()),
        }
    }

    /// Brings all databases to the newest schema, and makes sure that each is what the map says. Fails
    /// when one of them cannot be migrated; the others are by then.
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

/// The environment variable that restricts a server to an earlier schema, as if it knew no newer one. For tests of
/// upgrades, and so no setting.
pub(crate) const TEST_KNOWN_SCHEMA: &str = "DABBA_TEST_KNOWN_SCHEMA";

/// The newest schema of a PostgreSQL database that this process knows.
fn known_schema() -> u32 {
    let restricted = std::env::var(TEST_KNOWN_SCHEMA).ok().and_then(|version| version.parse().ok());
    restricted.unwrap_or(PostgresOptions::NEWEST_SCHEMA)
}

/// Brings a shard's database to the newest schema that this process knows. Returns the number of migrations applied.
async fn migrate_shard(shard: &Shard<'_>) -> Result<usize, StoreError> {
    PostgresStore::migrate_to(shard.url.as_str(), &shard.ownership(), known_schema()).await
}

/// How a shard's database is used: as the settings say, but for what the file of the shards says of it.
fn options(shard: &Shard<'_>, settings: &Settings) -> PostgresOptions {
    let pool = shard.pool();
    PostgresOptions {
        pool_size: pool.size.unwrap_or(settings.pool_size).small(),
        pool_wait_timeout: pool.wait_milliseconds.unwrap_or(settings.pool_wait_milliseconds).milliseconds(),
        connect_timeout: pool
            .connect_timeout_milliseconds
            .unwrap_or(settings.connect_timeout_milliseconds)
            .milliseconds(),
        idle_timeout: pool.idle_seconds.unwrap_or(settings.pool_idle_seconds).seconds(),
        max_connection_age: pool.lifetime_seconds.unwrap_or(settings.pool_lifetime_seconds).seconds(),
        statement_timeout: pool
            .statement_timeout_milliseconds
            .unwrap_or(settings.statement_timeout_milliseconds)
            .milliseconds(),
        replica_url: shard.replica_url.map(|url| url.as_str().to_owned()),
        resolve_timeout: settings.resolve_timeout_milliseconds.milliseconds(),
        max_replica_lag: settings.replica_lag_limit_milliseconds.milliseconds(),
        application_name: settings.application_name.as_str().to_owned(),
        max_attempts: settings.transaction_attempts.small(),
        known_schema: known_schema(),
        ..PostgresOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use confique::Layer as _;

    use super::*;
    use crate::settings::Layer;

    /// Proves that the files of all pools are counted, those of replicas too.
    #[test]
    fn every_pool_needs_files() {
        let settings = |set: fn(&mut Layer)| {
            let mut layer = Layer::empty();
            layer.pool_size = "20".parse().ok();
            set(&mut layer);
            Settings::load_with_databases_of_flags(layer, None).unwrap().0
        };
        let count = |settings: &Settings| Databases::from_settings(settings).unwrap().open_files(settings);
        let url = || "postgresql://h/d".parse().ok();
        assert_eq!(count(&settings(|_| {})), (4 + 1) * FILES_PER_CONNECTION);
        assert_eq!(count(&settings(|layer| layer.database = "postgresql://h/d".parse().ok())), 20);
        let mut both = settings(|_| {});
        (both.database, both.replica_database) = (url(), url());
        assert_eq!(count(&both), 40);
    }
}
