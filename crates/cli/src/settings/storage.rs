//! The databases and the data directory.

mod database_url;

use std::path::PathBuf;

use confique::Config;
use dabba_engine::ClockConfig;

pub(crate) use self::database_url::{DatabaseUrl, is_database_url};
use super::{Bounded, Layer};

/// Settings that select the databases.
pub(crate) const DATABASE_SETTINGS: [&str; 3] = ["database", "replica_database", "shards"];

/// Storage.
#[derive(Config, Debug)]
#[config(layer_attr(derive(clap::Args, Debug)))]
#[config(layer_attr(command(next_help_heading = "Settings: storage")))]
pub(crate) struct Storage {
    /// Directory of the embedded database, of the signing key and of the secrets key. Created if it does not exist.
    #[config(env = "DABBA_DATA", default = "dabba-data")]
    #[config(layer_attr(arg(long, value_name = "DIRECTORY")))]
    pub(crate) data: PathBuf,

    /// URL of the PostgreSQL database that stores all orders, such as `postgresql://user@host/database?sslmode=verify-full`, or
    /// `file:PATH` for a file that contains the URL. Other users of the machine can read the arguments of a process, so put a URL
    /// with a password into such a file or into the environment. By default, and without `shards`, the embedded database is used.
    #[config(env = "DABBA_DATABASE")]
    #[config(layer_attr(arg(long, value_name = "URL")))]
    pub(crate) database: Option<DatabaseUrl>,

    /// URL of a replica of `database`, for reads that tolerate stale data; default none.
    #[config(env = "DABBA_REPLICA_DATABASE")]
    #[config(layer_attr(arg(long, value_name = "URL")))]
    pub(crate) replica_database: Option<DatabaseUrl>,

    /// File (TOML) that lists several PostgreSQL databases and the orders that each of them stores; default none. In
    /// the entry of a shard, `split_from` names the shard of which its database began as a copy, or its former name, so
    /// that cursors of the events stay valid.
    #[config(env = "DABBA_SHARDS")]
    #[config(layer_attr(arg(long, value_name = "FILE")))]
    pub(crate) shards: Option<PathBuf>,

    /// Whether to migrate the database to the newest schema before serving.
    #[config(env = "DABBA_MIGRATE", default = true)]
    #[config(layer_attr(arg(long, value_name = "true|false")))]
    pub(crate) migrate: bool,

    /// Number of connections that read from the embedded database, each on its own thread. 1 to 64; default 4.
    #[config(env = "DABBA_READER_CONNECTIONS", default = 4)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) reader_connections: Bounded<1, 64>,

    /// Maximum difference between the clock of this machine and the clock of the PostgreSQL database that keeps the accounts, in
    /// seconds. 1 to 3,600; default 5. Beyond the limit, a server does not start; a running server is not ready and processes no
    /// tasks.
    #[config(env = "DABBA_CLOCK_SKEW_LIMIT_SECONDS", default = 5)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) clock_skew_limit_seconds: Bounded<1, 3_600>,
}

impl Storage {
    /// Returns the file of the embedded database.
    pub(crate) fn embedded_database(&self) -> PathBuf {
        self.data.join("dabba.db")
    }

    /// Returns the configuration of the server's clock.
    pub(crate) fn clock_config(&self) -> ClockConfig {
        ClockConfig { skew_limit: self.clock_skew_limit_seconds.seconds(), ..ClockConfig::default() }
    }

    /// Returns the error in these settings that no single value has.
    pub(super) fn inconsistency(&self) -> Option<String> {
        if is_database_url(&self.data.to_string_lossy()) {
            return Some(
                "data must be a directory, not the URL of a database: give the URL with --database, DABBA_DATABASE or database"
                    .to_owned(),
            );
        }
        (self.data.exists() && !self.data.is_dir()).then(|| {
            format!(
                "data must be a directory, and {} is not one: give the directory of the embedded database",
                self.data.display()
            )
        })
    }
}

/// Removes the [`DATABASE_SETTINGS`] from a source. Returns whether the source had any.
pub(super) fn take_databases(layer: &mut Layer) -> bool {
    let storage = &mut layer.storage;
    let taken = [
        storage.database.take().is_some(),
        storage.replica_database.take().is_some(),
        storage.shards.take().is_some(),
    ];
    taken.contains(&true)
}
