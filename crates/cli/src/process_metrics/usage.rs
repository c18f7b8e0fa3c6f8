//! Resource usage of the process, as the kernel reports it.

/// Resource usage of the process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// User and system mode together.
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) open_files: u64,
    /// `None` if there is no limit.
    pub(super) max_files: Option<u64>,
    /// Seconds since 1970.
    pub(super) start_seconds: f64,
}

/// Returns the current usage of the process; `None` if the kernel does not report it.
#[cfg(target_os = "linux")]
pub(super) fn now() -> Option<Usage> {
    use procfs::process::{LimitValue, Process};

    let process = Process::myself().ok()?;
    let (stat, limits) = (process.stat().ok()?, process.limits().ok()?);
    let seconds = |ticks: u64| to_float(ticks) / to_float(procfs::ticks_per_second());
    Some(Usage {
        cpu_seconds: seconds(stat.utime.saturating_add(stat.stime)),
        resident_bytes: stat.rss.saturating_mul(procfs::page_size()),
        open_files: u64::try_from(process.fd_count().ok()?).ok()?,
        max_files: match limits.max_open_files.soft_limit {
            LimitValue::Unlimited => None,
            LimitValue::Value(limit) => Some(limit),
        },
        start_seconds: to_float(procfs::boot_time_secs().ok()?) + seconds(stat.starttime),
    })
}

/// Returns `None`: only the usage on Linux is implemented.
#[cfg(not(target_os = "linux"))]
pub(super) const fn now() -> Option<Usage> {
    None
}

/// Converts a number that a measurement can represent exactly.
#[expect(clippy::cast_precision_loss, reason = "2^53 ticks, files or seconds are not reached")]
pub(super) const fn to_float(number: u64) -> f64 {
    number as f64
}
