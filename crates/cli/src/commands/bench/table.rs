//! Rows of the result table.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use dabba_sim::workload::{LoadReport, Mix};
use serde::Serialize;

use crate::{failure::Failure, output};

/// Result of one run.
#[derive(Serialize)]
pub(super) struct Line {
    pub(super) mix: &'static str,
    pub(super) connections: usize,
    /// Operations started per second, in an open loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rate: Option<NonZeroU32>,
    pub(super) per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p90_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
    pub(super) max_ms: f64,
    pub(super) succeeded: u64,
    pub(super) errors: BTreeMap<String, u64>,
}

/// Prints the header of the table.
pub(super) fn begin(json: bool) -> Result<(), Failure> {
    if json {
        return Ok(());
    }
    let [mix, connections, rate, done, p50, p90, p99, p999, max, errors] =
        ["mix", "conn", "rate/s", "done/s", "p50 ms", "p90 ms", "p99 ms", "p99.9", "max ms", "errors"];
    output::line(format_args!(
        "{mix:<8}{connections:>5} {rate:>7} {done:>8} {p50:>7} {p90:>7} {p99:>7} {p999:>7} {max:>7} {errors:>6}"
    ))
}

impl Line {
    pub(super) fn new(mix: Mix, connections: usize, rate: Option<NonZeroU32>, report: &LoadReport) -> Self {
        let at = |share| milliseconds(report.latency_at(share));
        Self {
            mix: mix.as_str(),
            connections,
            rate,
            per_second: report.per_second(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: at(1.0),
            succeeded: report.count(),
            errors: report.errors.clone(),
        }
    }

    pub(super) fn print(&self, json: bool) -> Result<(), Failure> {
        if json {
            return output::json(self);
        }
        let rate = self.rate.map_or("–".to_owned(), |rate| rate.to_string());
        let errors: u64 = self.errors.values().sum();
        output::line(format_args!(
            "{:<8}{:>5} {rate:>7} {:>8.0} {:>7.2} {:>7.2} {:>7.2} {:>7.2} {:>7.2} {errors:>6}",
            self.mix,
            self.connections,
            self.per_second,
            self.p50_ms,
            self.p90_ms,
            self.p99_ms,
            self.p999_ms,
            self.max_ms,
        ))?;
        for (kind, count) in &self.errors {
            output::line(format_args!("         {count} × {kind}"))?;
        }
        Ok(())
    }
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
