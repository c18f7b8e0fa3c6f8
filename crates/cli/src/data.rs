//! The data directory: the embedded store in it, and an engine on that.

use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt as _, sync::Arc};

use dabba_engine::{Engine, EngineConfig, SystemClock, SystemRandom};
use dabba_store::Store;
use dabba_store_sqlite::{SqliteOptions, SqliteStore};
use jiff::SignedDuration;

use crate::{failure::Failure, settings::Settings};

/// Makes the data directory, for its owner only, when it is not there.
pub(crate) fn make_directory(settings: &Settings) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&settings.data);
    made.map_err(Failure::during(format_args!("making the data directory {}", settings.data.display())))
}

/// Brings the database to the newest schema. Answers how many migrations were needed.
pub(crate) fn migrate(settings: &Settings) -> Result<usize, Failure> {
    let during = Failure::during(format!("migrating {}", settings.database().display()));
    SqliteStore::migrate(&settings.database()).map_err(during)
}

/// Opens the store, migrated first if the settings say so.
pub(crate) fn open(settings: &Settings) -> Result<Arc<dyn Store>, Failure> {
    make_directory(settings)?;
    if settings.migrate {
        let count = migrate(settings)?;
        if count > 0 {
            tracing::info!(count, "migrated the database");
        }
    }
    let options =
        SqliteOptions { reader_connections: settings.reader_connections.small(), ..SqliteOptions::default() };
    let during = Failure::during(format!(
        "opening {} (the embedded store serves one process at a time)",
        settings.database().display()
    ));
    Ok(Arc::new(SqliteStore::open(&settings.database(), &options).map_err(during)?))
}

/// Starts the engine on a store.
pub(crate) fn start_engine(store: &Arc<dyn Store>, settings: &Settings) -> Arc<Engine> {
    let retention = i64::try_from(settings.idempotency_retention_seconds.get()).unwrap_or(i64::MAX);
    let config = EngineConfig {
        max_batch: settings.commit_batch_limit.size(),
        max_queued: settings.commit_queue_limit.size(),
        key_retention: SignedDuration::from_secs(retention),
        ..EngineConfig::default()
    };
    Engine::start(Arc::clone(store), Arc::new(SystemClock), Arc::new(SystemRandom), config)
}
