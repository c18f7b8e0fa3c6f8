//! Standbys.

use std::{
    ffi::OsStr,
    time::{Duration, Instant},
};

use crate::{
    Cluster, ClusterError, ClusterOptions,
    cluster::{Settings, USER},
};

/// How long anything that a cluster does by itself is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

impl Cluster {
    /// Makes a standby of this cluster, which streams its log, and starts it.
    ///
    /// The name is what this cluster calls it in `synchronous_standby_names`: letters, digits and
    /// underscores. A slot of that name keeps what it has not received yet. The standby has the durability
    /// and listens as its own options say; it must not be given less room than this cluster.
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

    /// Makes a primary of a standby. Returns when it can be written to.
    pub fn promote(&self) -> Result<(), ClusterError> {
        self.pg_ctl(&["promote", "--wait"])
    }

    /// Whether this is a standby, or has not been restored to the end.
    pub fn is_in_recovery(&self) -> Result<bool, ClusterError> {
        Ok(self.execute("postgres", "SELECT pg_is_in_recovery()")? == "t")
    }

    /// Changes a setting of the running server, one that needs no restart.
    pub fn set(&self, name: &str, value: &str) -> Result<(), ClusterError> {
        // Without a transaction around them, which ALTER SYSTEM refuses.
        self.execute("postgres", &format!("ALTER SYSTEM SET {name} = '{}'", value.replace('\'', "''")))?;
        self.execute("postgres", "SELECT pg_reload_conf()")?;
        // The postmaster reads the file when it comes to it, and a new session knows what it knows.
        self.eventually(&format!("{name} is {value}"), || {
            Ok(self.execute("postgres", &format!("SHOW {name}"))? == value)
        })
    }

    /// Returns when the standby of that name is one for which commits wait.
    pub fn wait_until_synchronous(&self, name: &str) -> Result<(), ClusterError> {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_replication WHERE application_name = '{}' \
             AND state = 'streaming' AND sync_state IN ('sync', 'quorum')",
            name.replace('\'', "''")
        );
        self.eventually(&format!("{name} is synchronous"), || Ok(self.execute("postgres", &sql)? == "1"))
    }

    /// Copies the running cluster's data into a directory that is not there yet, with the log that belongs
    /// to it.
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
            // Nothing here outlives the machine, and waiting for the disk takes seconds.
            OsStr::new("--no-sync"),
        ];
        let arguments: Vec<&OsStr> = fixed.into_iter().chain(more.iter().map(OsStr::new)).collect();
        self.installation().run("pg_basebackup", &arguments, self.directory())?;
        Ok(())
    }

    /// Waits until something is so.
    pub(crate) fn eventually(
        &self,
        what: &str,
        mut is_so: impl FnMut() -> Result<bool, ClusterError>,
    ) -> Result<(), ClusterError> {
        let begun = Instant::now();
        // Each look starts a program or reads a directory: it takes its time by itself.
        while !is_so()? {
            if begun.elapsed() > PATIENCE {
                return Err(ClusterError::TimedOut { what: what.to_owned(), log: self.log() });
            }
            std::thread::yield_now();
        }
        Ok(())
    }
}

/// Settings, owned.
pub(crate) fn settings<const N: usize>(pairs: [(&str, &str); N]) -> Settings {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}
