//! Base backups, the WAL archive, and clusters restored from both.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use crate::{Cluster, ClusterError, ClusterOptions, cluster::Settings, replication::settings};

impl Cluster {
    /// Returns the directory of archived WAL segments: in the cluster's own directory, beside its data.
    pub fn archive(&self) -> PathBuf {
        self.directory().join("archive")
    }

    /// Makes a base backup of the running cluster and verifies it. Returns the backup's path, which is in the
    /// cluster's own directory, beside its data.
    pub fn base_backup(&self, name: &str) -> Result<PathBuf, ClusterError> {
        let backup = self.directory().join(format!("backup-{name}"));
        self.copy_to(&backup, &[])?;
        self.installation().run("pg_verifybackup", &[backup.as_os_str()], self.directory())?;
        Ok(backup)
    }

    /// Ends the current WAL segment, and returns when everything written so far is archived.
    pub fn archive_all(&self) -> Result<(), ClusterError> {
        // Name of the segment that holds what was written last. PostgreSQL does not switch segments if nothing was
        // written since the last switch.
        let last = self.execute("postgres", "SELECT pg_walfile_name(pg_switch_wal())")?;
        let sql = format!("SELECT last_archived_wal >= '{last}' FROM pg_stat_archiver");
        self.wait_for_result("postgres", &sql, "t")
    }

    /// Creates and starts a new cluster from a base backup of this cluster and its WAL archive, restored to the
    /// time `until`, in the format of a `timestamptz`. Returns when the new cluster accepts writes. This cluster
    /// need not run, and its data directory may be gone.
    ///
    /// Fails if the archive does not reach that time.
    pub fn restore(
        &self,
        backup: &Path,
        until: &str,
        options: &ClusterOptions,
    ) -> Result<Self, ClusterError> {
        let restored = Self::make(options, |restored| {
            restored.copy(backup, &restored.data_directory())?;
            restored.write_data_file("recovery.signal", b"")?;
            let restore = format!("cp \"{}/%f\" \"%p\"", self.archive().display());
            Ok(settings([
                ("restore_command", &restore),
                ("recovery_target_time", until),
                ("recovery_target_action", "promote"),
            ]))
        })?;
        restored.eventually("the cluster is restored", || {
            // If recovery fails, the server exits. The server's log gives the reason; a client's error does not.
            let gone = |_| ClusterError::Program { program: "postgres".to_owned(), output: restored.log() };
            Ok(!restored.is_in_recovery().map_err(gone)?)
        })?;
        Ok(restored)
    }

    /// Returns the settings of a cluster that archives its WAL, and creates the archive directory.
    pub(crate) fn archiving(&self) -> Result<Settings, ClusterError> {
        let archive = self.archive();
        fs::create_dir_all(&archive)
            .map_err(ClusterError::system(format!("creating {}", archive.display())))?;
        self.installation().chown(&archive)?;
        // An existing segment must never be overwritten. A segment that is copied only in part must not look
        // complete, so the command renames the copy when it is finished.
        let path = archive.display();
        let command = format!(
            "test ! -f \"{path}/%f\" && cp \"%p\" \"{path}/%f.part\" && mv \"{path}/%f.part\" \"{path}/%f\""
        );
        Ok(settings([("archive_mode", "on"), ("archive_command", &command)]))
    }

    /// Returns the disk usage of a directory in bytes, as `du` counts it.
    pub fn size_of(&self, directory: &Path) -> Result<u64, ClusterError> {
        let arguments = [OsStr::new("-sk"), directory.as_os_str()];
        let output = self.installation().run_program("du", &arguments, self.directory())?;
        let kibibytes = output.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
        kibibytes
            .map(|kibibytes| kibibytes * 1_024)
            .ok_or_else(|| ClusterError::Program { program: "du".to_owned(), output })
    }
}
