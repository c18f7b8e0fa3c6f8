//! Opening the databases of a server.
//!
//! A database that does not match the shard map prevents the start. With several databases, an unreachable one does not: its
//! restaurants are unavailable until it answers, and the others are served. The store verifies such a database when it answers,
//! before its first use.

use std::sync::Arc;

use dabba_engine::{Random as _, SystemRandom};
use dabba_store::{ShardedStore, Store, StoreError};
use dabba_store_postgres::{PostgresMetrics, PostgresOptions, PostgresStore, Randomness};
use dabba_store_sqlite::{SqliteOptions, SqliteStore};
use dabba_web::Registry;
use futures::future::join_all;

use super::{Databases, Shard, ShardsFile, copied, migrate_shard, options};
use crate::{data, failure::Failure, settings::Settings};

/// An open store and its context.
pub(crate) struct Opened {
    /// The store.
    pub(crate) store: Arc<dyn Store>,
    /// Metrics of the store.
    pub(crate) metrics: Registry,
    /// Location of the store, for messages.
    pub(crate) place: String,
}

impl Databases {
    /// Opens all databases, and migrates them first if the settings say so. Fails for an embedded database that was copied.
    pub(crate) async fn open(&self, settings: &Settings) -> Result<Opened, Failure> {
        match self {
            Self::Embedded(file) => {
                copied::refuse(file)?;
                let opened = self.open_embedded(settings).await?;
                // The second check happens while the database is locked: a copy may have ended before the lock.
                if let Err(failure) = copied::refuse(file) {
                    opened.store.close().await;
                    return Err(failure);
                }
                Ok(opened)
            }
            Self::Postgres(shards) => open_postgres(shards, settings, false).await,
        }
    }

    /// Opens the databases for a command that writes nothing. Also opens an embedded database that was copied, and accepts a
    /// PostgreSQL user with read access only.
    pub(crate) async fn open_to_read(&self, settings: &Settings) -> Result<Opened, Failure> {
        match self {
            Self::Embedded(_) => self.open_embedded(settings).await,
            Self::Postgres(shards) => open_postgres(shards, settings, true).await,
        }
    }

    async fn open_embedded(&self, settings: &Settings) -> Result<Opened, Failure> {
        data::make_directory(settings)?;
        if settings.storage.migrate {
            for migrated in self.migrate(settings).await? {
                log_migrations(&migrated.place, migrated.count);
            }
        }
        let options = SqliteOptions {
            reader_connections: settings.storage.reader_connections.small(),
            ..SqliteOptions::default()
        };
        let file = settings.storage.embedded_database();
        let store = SqliteStore::open(&file, &options).map_err(|error| {
            let place = file.display();
            match &error {
                error if SqliteStore::is_in_use(error) => {
                    Failure::in_use(format!("opening {place} (the embedded store serves one process at a time): {error}"))
                }
                StoreError::Corrupt(text) => Failure::new(format!(
                    "opening {place}: the file is damaged, or is not a Dabba database ({text}); replace it with a backup \
                     (`dabba restore`)"
                )),
                _ => Failure::during(format_args!("opening {place}"))(error),
            }
        })?;
        Ok(Opened {
            store: Arc::new(store),
            metrics: Registry::default(),
            place: format!("data in {}", settings.storage.data.display()),
        })
    }
}

async fn open_postgres(
    shards: &ShardsFile,
    settings: &Settings,
    reads_only: bool,
) -> Result<Opened, Failure> {
    let randomness: Randomness = Arc::new(|| SystemRandom.next_u64());
    let mut metrics = Registry::default();
    let (mut stores, mut counted) = (Vec::new(), Vec::new());
    for shard in shards.iter() {
        let options = PostgresOptions { reads_only, ..options(&shard, settings) };
        let store =
            PostgresStore::new(shard.url.as_str(), &shard.ownership(), &options, Arc::clone(&randomness));
        let store = store.map_err(Failure::during(format!("opening {shard}")))?;
        counted.push((shard.name.to_owned(), store.metrics().clone()));
        stores.push(store);
    }
    PostgresMetrics::register(counted, &mut metrics);
    verify(shards, &stores, settings).await?;
    let place = match shards.iter().collect::<Vec<_>>().as_slice() {
        [sole] => format!("orders in {sole}"),
        several => format!("orders in {} PostgreSQL databases", several.len()),
    };
    let store: Arc<dyn Store> = if stores.len() == 1 {
        Arc::new(stores.remove(0))
    } else {
        let stores = stores.into_iter().map(|store| Arc::new(store) as Arc<dyn Store>).collect();
        let sharded = ShardedStore::new(shards.map().clone(), stores)
            .and_then(|store| store.with_directory(shards.directory()));
        Arc::new(sharded.map_err(Failure::during("combining the shards"))?)
    };
    Ok(Opened { store, metrics, place })
}

/// Migrates the databases if the settings say so, and verifies that each matches the shard map.
async fn verify(shards: &ShardsFile, stores: &[PostgresStore], settings: &Settings) -> Result<(), Failure> {
    let checks = shards.iter().zip(stores).map(async |(shard, store): (Shard<'_>, &PostgresStore)| {
        let check = async {
            if settings.storage.migrate {
                let count = migrate_shard(&shard).await?;
                log_migrations(&shard.to_string(), count);
            }
            store.verify().await
        };
        (shard, check.await)
    });
    let mut missing = Vec::new();
    for (shard, verified) in join_all(checks).await {
        match verified {
            Ok(()) => {}
            Err(StoreError::Unavailable(text)) => missing.push(format!("{shard}: {text}")),
            Err(error) => return Err(Failure::during(shard)(error)),
        }
    }
    if missing.len() == stores.len() {
        return Err(Failure::new(format!("none of the databases can be used: {}", missing.join("; "))));
    }
    for text in missing {
        tracing::warn!("a shard does not answer; its restaurants are unavailable until it does: {text}");
    }
    Ok(())
}

fn log_migrations(place: &str, count: usize) {
    if count > 0 {
        tracing::info!(place, count, "migrated the database");
    }
}
