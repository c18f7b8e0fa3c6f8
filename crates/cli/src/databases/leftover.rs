//! An unused embedded database in the data directory although the settings select PostgreSQL.
//!
//! Servers and workers log a warning at start, because an operator who switches to PostgreSQL without `dabba copy`
//! would miss every earlier order.

use std::time::Duration;

use dabba_store::transfer::{CopyState, Origin, Target as _};
use dabba_store_postgres::CopyTarget;
use dabba_store_sqlite::SqliteStore;

use super::{Databases, ShardsFile};
use crate::settings::Settings;

/// Maximum time for which a start waits to learn whether the embedded database was copied.
const FIND_TIMEOUT: Duration = Duration::from_secs(2);

impl Databases {
    /// Logs a warning if the data directory holds an embedded database that is neither empty nor used.
    pub(crate) async fn warn_of_leftover(&self, settings: &Settings) {
        let (Self::Postgres(shards), file) = (self, settings.storage.embedded_database()) else { return };
        if !file.exists() {
            return;
        }
        let origin = match SqliteStore::origin_at(&file) {
            Ok(origin) => origin,
            Err(error) => {
                tracing::debug!(%error, file = %file.display(), "cannot read the embedded database");
                return;
            }
        };
        if origin.is_empty() {
            return;
        }
        let file = file.display();
        let found = tokio::time::timeout(FIND_TIMEOUT, find_copy(shards, &origin)).await;
        if let Some(at) = found.unwrap_or_default() {
            tracing::warn!(
                %file,
                copied_at = at,
                "the data directory holds an unused embedded database; it was copied to the PostgreSQL database, so the \
                 file may be moved away"
            );
        } else {
            tracing::warn!(
                %file,
                "the data directory holds an unused embedded database: its orders, restaurants and accounts are not \
                 served; copy it to an empty PostgreSQL database with `dabba copy --to URL`, or move the file away"
            );
        }
    }
}

/// Returns the time at which this embedded database was copied to one of these shards.
async fn find_copy(shards: &ShardsFile, origin: &Origin) -> Option<String> {
    for shard in shards.iter() {
        let state = match CopyTarget::open(shard.url.as_str(), &shard.ownership()).await {
            Ok(target) => target.state().await,
            Err(error) => Err(error),
        };
        match state {
            Ok(CopyState::Finished(contents, at)) if contents.origin == *origin => {
                return Some(at.to_string());
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, %shard, "cannot find out whether the embedded database was copied");
            }
        }
    }
    None
}
