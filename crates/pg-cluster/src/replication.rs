//! Standbys of a cluster.

use std::{
    ffi::OsStr,
    time::{Duration, Instant},
};

use crate::{
    Cluster, ClusterError, ClusterOptions,
    cluster::{Settings, USER},
};

/// Timeout of every wait for something that a cluster does by itself.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Pause after the first check of a condition. Each further pause is twice as long, up to [`LONGEST_PAUSE`]: the caller
/// notices at once a condition that is met soon, and a long wait leaves the processor to the cluster.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// Maximum pause between two checks of a condition.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

impl Cluster {
    /// Creates and starts a standby of this cluster that streams its WAL.
    ///
    /// `name` is the standby's name in `synchronous_standby_names`: letters, digits and underscores. A replication
    /// slot of the same name keeps the WAL that the standby has not received yet. `options` set the standby's
    /// durability and TCP port. The standby must not have lower limits than this cluster.
    pub fn start_standby(&self, name: &str, options: &ClusterOptions) -> Result<Self, ClusterError> {
        Self::make(options, |standby| {
            self.copy_to(&standby.data_directory(), &["--create-slot", "--slot", name])?;
            standby.write_data_file("standby.signal", b"")?;
            let socket = self.directory().to_string_lossy();
            let port = self.port();
            let primary =
                format!("host='{socket}' port={port} user={USER} application_name={name} sslmode=disable");
            Ok(settings([
                ("cluster_name", name),
                ("primary_conninfo", &primary),
                ("primary_slot_name", name),
            ]))
        })
    }

    /// Promotes a standby to a primary. Returns when the new primary accepts writes.
    pub fn promote(&self) -> Result<(), ClusterError> {
        self.pg_ctl(&["promote", "--wait"])
    }

    /// Returns whether this cluster is a standby, or is still being restored.
    pub fn is_in_recovery(&self) -> Result<bool, ClusterError> {
        Ok(self.execute("postgres", "SELECT pg_is_in_recovery()")? == "t")
    }

    /// Changes a setting of the running server that needs no restart.
    pub fn set(&self, name: &str, value: &str) -> Result<(), ClusterError> {
        // Separate statements, because ALTER SYSTEM refuses to run inside a transaction.
        self.execute("postgres", &format!("ALTER SYSTEM SET {name} = '{}'", value.replace('\'', "''")))?;
        self.execute("postgres", "SELECT pg_reload_conf()")?;
        // The postmaster reloads the file some time later. A new session has the postmaster's values.
        self.eventually(&format!("{name} is {value}"), || {
            Ok(self.execute("postgres", &format!("SHOW {name}"))? == value)
        })
    }

    /// Returns when the named standby is one that commits wait for.
    pub fn wait_until_synchronous(&self, name: &str) -> Result<(), ClusterError> {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_replication WHERE application_name = '{}' \
             AND state = 'streaming' AND sync_state IN ('sync', 'quorum')",
            name.replace('\'', "''")
        );
        self.wait_for_result("postgres", &sql, "1")
    }

    /// Returns when a query returns this result, in the format of [`Cluster::execute`].
    pub fn wait_for_result(&self, database: &str, sql: &str, expected: &str) -> Result<(), ClusterError> {
        self.eventually(&format!("the result of {sql} is {expected}"), || {
            Ok(self.execute(database, sql)? == expected)
        })
    }

    /// Copies the running cluster's data, and the WAL that belongs to it, into a directory that does not exist yet.
    pub(crate) fn copy_to(&self, directory: &std::path::Path, more: &[&str]) -> Result<(), ClusterError> {
        let port = self.port().to_string();
        let fixed = [
            OsStr::new("--host"),
            self.directory().as_os_str(),
            OsStr::new("--port"),
            OsStr::new(&port),
            OsStr::new("--username"),
            OsStr::new(USER),
            OsStr::new("--pgdata"),
            directory.as_os_str(),
            OsStr::new("--wal-method=stream"),
            OsStr::new("--checkpoint=fast"),
            // Nothing here needs to survive a crash of the machine, and a sync takes seconds.
            OsStr::new("--no-sync"),
        ];
        let arguments: Vec<&OsStr> = fixed.into_iter().chain(more.iter().map(OsStr::new)).collect();
        self.installation().run("pg_basebackup", &arguments, self.directory())?;
        Ok(())
    }

    /// Waits until a condition is met.
    pub(crate) fn eventually(
        &self,
        what: &str,
        mut condition: impl FnMut() -> Result<bool, ClusterError>,
    ) -> Result<(), ClusterError> {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        while !condition()? {
            if begun.elapsed() > TIMEOUT {
                return Err(ClusterError::TimedOut { what: what.to_owned(), log: self.log() });
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }
}

/// Returns settings with owned names and values.
pub(crate) fn settings<const N: usize>(pairs: [(&str, &str); N]) -> Settings {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}
