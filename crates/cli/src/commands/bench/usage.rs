//! Processor time and memory of the measured processes, as the kernel reports them.

use std::time::Duration;

/// Usage of a process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// User and system mode together.
    pub(super) processor: Duration,
    pub(super) resident_bytes: u64,
}

/// Returns the usage of a process; `None` if the kernel does not report it.
#[cfg(target_os = "linux")]
pub(super) fn of_process(id: u32) -> Option<Usage> {
    use procfs::process::Process;

    let stat = Process::new(i32::try_from(id).ok()?).ok()?.stat().ok()?;
    Some(Usage {
        processor: time(stat.utime.saturating_add(stat.stime)),
        resident_bytes: stat.rss.saturating_mul(procfs::page_size()),
    })
}

/// Returns the processor time of a process and its children, those that have ended included: of a PostgreSQL server, if
/// the process is its postmaster.
#[cfg(target_os = "linux")]
pub(super) fn of_family(id: u32) -> Option<Duration> {
    use procfs::process::{Process, all_processes};

    let id = i32::try_from(id).ok()?;
    let parent = Process::new(id).ok()?.stat().ok()?;
    let ended = u64::try_from(parent.cutime.saturating_add(parent.cstime)).unwrap_or(0);
    let mut ticks = ended.saturating_add(parent.utime).saturating_add(parent.stime);
    // A process may end between the listing and the read.
    let stats = all_processes().ok()?.filter_map(|process| process.ok()?.stat().ok());
    for stat in stats.filter(|stat| stat.ppid == id) {
        ticks = ticks.saturating_add(stat.utime).saturating_add(stat.stime);
    }
    Some(time(ticks))
}

#[cfg(target_os = "linux")]
fn time(ticks: u64) -> Duration {
    Duration::from_millis(ticks.saturating_mul(1_000) / procfs::ticks_per_second().max(1))
}

/// Returns `None`: only the usage on Linux is implemented.
#[cfg(not(target_os = "linux"))]
pub(super) const fn of_process(_: u32) -> Option<Usage> {
    None
}

/// Returns `None`: only the usage on Linux is implemented.
#[cfg(not(target_os = "linux"))]
pub(super) const fn of_family(_: u32) -> Option<Duration> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Proves that the usage of a running process is found, and that an unknown process has none.
    #[test]
    fn usage_is_read_from_the_kernel() {
        let usage = of_process(std::process::id()).unwrap();
        assert!(usage.resident_bytes > 0);
        assert!(of_family(std::process::id()).unwrap() >= usage.processor);
        assert!(of_process(u32::MAX).is_none() && of_family(u32::MAX).is_none());
    }
}
