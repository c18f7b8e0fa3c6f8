//! Description of the machine of the measurement.

use std::fs;

use dabba_pg_cluster::Cluster;

use super::Result;

/// Returns a short description of the machine and the databases.
pub(super) fn describe(cluster: &Cluster) -> Result<String> {
    let line = |file: &str, begin: &str| -> Option<String> {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(begin))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = std::thread::available_parallelism()?;
    let model = line("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".into());
    let memory = line("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown memory".into());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version = cluster.execute("postgres", "SHOW server_version")?;
    Ok(format!(
        "{cores} cores of {model}, {memory}, Linux {}; PostgreSQL {} and SQLite {} with everything flushed to disk; load, \
         server and database on the same machine",
        kernel.trim(),
        version.trim(),
        rusqlite::version()
    ))
}
