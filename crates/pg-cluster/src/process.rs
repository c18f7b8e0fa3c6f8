//! The server's processes, and how a power failure and a server that hangs are simulated.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::Path,
};

use crate::{Cluster, ClusterError};

/// A server that hangs. Dropping it makes the server continue.
#[must_use]
pub struct Frozen<'a>(&'a Cluster);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        // The test that uses the server fails if it still hangs.
        let _ = self.0.signal("CONT");
    }
}

impl Cluster {
    /// Simulates a power failure: kills all of the server's processes at once, so that none of them can send or
    /// write anything more. Returns when the processes are gone. [`Cluster::restart`] recovers from the WAL.
    pub fn kill(&self) -> Result<(), ClusterError> {
        self.eventually("the server's processes are gone", || {
            // The next iteration reads the list of processes again.
            Ok(self.signal("KILL")?.is_empty())
        })?;
        self.remove_process_traces()
    }

    /// Makes the server hang: it answers nothing and refuses nothing until the returned value is dropped. New connections
    /// wait, too.
    pub fn freeze(&self) -> Result<Frozen<'_>, ClusterError> {
        let frozen = Frozen(self);
        // The first signal stops the postmaster, so it starts no further process. The second signal stops the processes
        // that the postmaster started before.
        self.signal("STOP")?;
        self.signal("STOP")?;
        Ok(frozen)
    }

    /// Sends a signal to the server's processes, and returns them.
    fn signal(&self, name: &str) -> Result<Vec<OsString>, ClusterError> {
        let processes = self.processes()?;
        if !processes.is_empty() {
            // `kill` fails if a process has ended in the meantime, so its error is ignored. `kill` is a shell builtin,
            // so every machine has it.
            let kill = format!("kill -{name} \"$@\"");
            let script = [OsStr::new("-c"), OsStr::new(&kill), OsStr::new("kill")];
            let arguments: Vec<&OsStr> =
                script.into_iter().chain(processes.iter().map(OsString::as_os_str)).collect();
            let _ = self.installation().run_program("sh", &arguments, Path::new("/"));
        }
        Ok(processes)
    }

    /// Removes what a power failure would have removed: a small block of shared memory, the postmaster's PID file,
    /// the socket and its lock file. The postmaster's process id stays in use until its parent has reaped the
    /// process, and the next postmaster would believe that the old one still runs.
    fn remove_process_traces(&self) -> Result<(), ClusterError> {
        /// Line of `postmaster.pid` that contains the key and the id of the shared memory block.
        const MEMORY_LINE: usize = 7;
        let path = self.data_directory().join("postmaster.pid");
        // A server that was not running has no PID file.
        let Ok(lines) = fs::read_to_string(&path) else { return Ok(()) };
        let memory = lines.lines().nth(MEMORY_LINE - 1).and_then(|line| line.split_whitespace().nth(1));
        if let Some(memory) = memory {
            let arguments = ["--shmem-id", memory].map(OsStr::new);
            self.installation().run_program("ipcrm", &arguments, Path::new("/"))?;
        }
        let socket = self.socket();
        for path in [path, socket.with_added_extension("lock"), socket] {
            fs::remove_file(&path).map_err(ClusterError::system(format!("removing {}", path.display())))?;
        }
        Ok(())
    }

    /// Returns the server's processes: those whose working directory is the data directory. These are the
    /// postmaster and its children, even if the postmaster itself is gone.
    fn processes(&self) -> Result<Vec<OsString>, ClusterError> {
        let data = self.data_directory();
        let doing = "listing the server's processes";
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").map_err(ClusterError::system(doing))? {
            let entry = entry.map_err(ClusterError::system(doing))?;
            // The working directory of a process that has ended or that belongs to another user cannot be read.
            if fs::read_link(entry.path().join("cwd")).is_ok_and(|directory| directory == data) {
                found.push(entry.file_name());
            }
        }
        Ok(found)
    }
}
