//! Base backups, the archive of the log, and what is made of both.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use crate::{Cluster, ClusterError, ClusterOptions, cluster::Settings, replication::settings};

impl Cluster {
    /// Where a cluster that archives its log keeps the segments: in its own directory, beside its data.
    pub fn archive(&self) -> PathBuf {
        self.directory().join("archive")
    }

    /// Makes a base backup of the running cluster, and checks it. Answers where it is: in the cluster's own
    /// directory, beside its data.
    pub fn base_backup(&self, name: &str) -> Result<PathBuf, ClusterError> {
        let backup = self.directory().join(format!("backup-{name}"));
        self.copy_to(&backup, &[])?;
        self.installation().run("pg_verifybackup", &[backup.as_os_str()], self.directory())?;
        Ok(backup)
    }

    /// Ends the segment that is being written, and returns when everything up to here is in the archive.
    pub fn archive_all(&self) -> Result<(), ClusterError> {
        // The name of the segment that holds what has been written. Nothing is switched where nothing was
        // written since the last time.
        let last = self.execute("postgres", "SELECT pg_walfile_name(pg_switch_wal())")?;
        let sql = format!("SELECT last_archived_wal >= '{last}' FROM pg_stat_archiver");
        self.eventually(&format!("{last} is archived"), || Ok(self.execute("postgres", &sql)? == "t"))
    }

    /// Makes a new cluster of a base backup of this one and its archive, as it was at a time in the format of
    /// a `timestamptz`, and starts it. Returns when it can be written to. This cluster need not run, and its
    /// data need not be there any more.
    ///
    /// Fails when the archive does not reach to that time.
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
            // A server that cannot be restored to that time ends. Its log says why, which a client cannot.
            let gone = |_| ClusterError::Program { program: "postgres".to_owned(), output: restored.log() };
            Ok(!restored.is_in_recovery().map_err(gone)?)
        })?;
        Ok(restored)
    }

    /// The settings of a cluster that archives.
    pub(crate) fn archiving(&self) -> Result<Settings, ClusterError> {
        let archive = self.archive();
        fs::create_dir_all(&archive)
            .map_err(ClusterError::system(format!("making {}", archive.display())))?;
        self.installation().give(&archive)?;
        // A segment that is there already must never be written over, and one that is half written must not
        // look whole.
        let path = archive.display();
        let command = format!(
            "test ! -f \"{path}/%f\" && cp \"%p\" \"{path}/%f.part\" && mv \"{path}/%f.part\" \"{path}/%f\""
        );
        Ok(settings([("archive_mode", "on"), ("archive_command", &command)]))
    }

    /// How many bytes a directory of the cluster takes, as `du` counts them.
    pub fn size_of(&self, directory: &Path) -> Result<u64, ClusterError> {
        let arguments = [OsStr::new("-sk"), directory.as_os_str()];
        let output = self.installation().run_program("du", &arguments, self.directory())?;
        let kibibytes = output.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
        kibibytes
            .map(|kibibytes| kibibytes * 1_024)
            .ok_or_else(|| ClusterError::Program { program: "du".to_owned(), output })
    }
}
