//! Metrics of the process: its build and its use of the machine, under the names that all Prometheus exporters share.
//!
//! The values come from `/proc` on each scrape: the kernel answers at once, even if a database hangs. On systems other than
//! Linux, the process metrics are omitted.

mod usage;

use std::fmt;

use dabba_web::Registry;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, info::Info},
};

use self::usage::{Usage, to_float};
use crate::build::{BUILD, Build};

/// Registers the build information and the resource usage of the process.
pub(crate) fn register(registry: &mut Registry) {
    let Build { version, commit, profile, target, rustc } = BUILD;
    let build = [
        ("version", version),
        ("commit", commit),
        ("profile", profile),
        ("target", target),
        ("rustc", rustc),
    ];
    registry.register("dabba_build", "Build of the process", Info::new(build));
    registry.register_collector(Box::new(ProcessCollector));
}

#[derive(Debug)]
struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(usage) = usage::now() else { return Ok(()) };
        let Usage { cpu_seconds, resident_bytes, open_files, max_files, start_seconds } = usage;
        let help = "CPU time of the process in user and system mode, in seconds.";
        let family = encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
        ConstCounter::new(cpu_seconds).encode(family)?;
        // `None` means no limit.
        let limit = max_files.map_or(f64::INFINITY, to_float);
        let start = "Start time of the process, in seconds since 1970.";
        gauge(&mut encoder, "process_start_time_seconds", start, start_seconds)?;
        gauge(
            &mut encoder,
            "process_resident_memory_bytes",
            "Resident memory of the process, in bytes.",
            resident_bytes,
        )?;
        gauge(
            &mut encoder,
            "process_open_fds",
            "Number of open files of the process, including sockets.",
            open_files,
        )?;
        gauge(&mut encoder, "process_max_fds", "Maximum number of open files of the process.", limit)
    }
}

fn gauge<V: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: V,
) -> Result<(), fmt::Error> {
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}
