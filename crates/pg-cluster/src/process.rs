//! The processes of a server, and their sudden end.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::Path,
};

use crate::{Cluster, ClusterError};

impl Cluster {
    /// Ends the server as a machine that loses its power does: all its processes are killed at once, and
    /// none of them can say or write anything more. Returns when they are gone. [`Cluster::start_again`]
    /// recovers from the log.
    pub fn kill(&self) -> Result<(), ClusterError> {
        self.eventually("the server's processes are gone", || {
            let processes = self.processes()?;
            if processes.is_empty() {
                return Ok(true);
            }
            // Those that have ended meanwhile make it fail, which says nothing: the next look does. The
            // shell has a `kill` of its own on every machine.
            let script = [OsStr::new("-c"), OsStr::new("kill -KILL \"$@\""), OsStr::new("kill")];
            let arguments: Vec<&OsStr> =
                script.into_iter().chain(processes.iter().map(OsString::as_os_str)).collect();
            let _ = self.installation().run_program("sh", &arguments, Path::new("/"));
            Ok(false)
        })?;
        self.forget_processes()
    }

    /// Removes what the end of the machine would have taken with it: a small block of shared memory, and the
    /// notes of who the postmaster is. Its number can stay in use for as long as nobody has asked how that
    /// process ended, and then the next one believes that it still runs.
    fn forget_processes(&self) -> Result<(), ClusterError> {
        /// The line of `postmaster.pid` with the key and the number of the block of shared memory.
        const MEMORY_LINE: usize = 7;
        let path = self.data_directory().join("postmaster.pid");
        // A server that was not running has none.
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

    /// The server's processes, which are those that work in its data directory: the postmaster, and those
    /// that it has started, also when it is gone itself.
    fn processes(&self) -> Result<Vec<OsString>, ClusterError> {
        let data = self.data_directory();
        let doing = "looking for the server's processes";
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").map_err(ClusterError::system(doing))? {
            let entry = entry.map_err(ClusterError::system(doing))?;
            // A process that has ended, or that belongs to somebody else, cannot be looked at.
            if fs::read_link(entry.path().join("cwd")).is_ok_and(|directory| directory == data) {
                found.push(entry.file_name());
            }
        }
        Ok(found)
    }
}
