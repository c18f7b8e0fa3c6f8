//! What the process is, and what it uses of its machine, under the names that all exporters of Prometheus share.
//!
//! Read from `/proc` when the measurements are asked for: the kernel answers at once, whatever the databases do. Elsewhere than
//! on Linux nothing is shown.

mod usage;

use std::fmt;

use dabba_http::Registry;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, info::Info},
};

use self::usage::{Usage, to_float};
use crate::build::{BUILD, Build};

/// Registers what the process uses, and the build that it runs.
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
        let help = "Time that the process spent on processors, in user and system mode.";
        let family = encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
        ConstCounter::new(cpu_seconds).encode(family)?;
        // `None`: there is no limit.
        let limit = max_files.map_or(f64::INFINITY, to_float);
        let start = "Time at which the process was started, in seconds since 1970.";
        gauge(&mut encoder, "process_start_time_seconds", start, start_seconds)?;
        gauge(
            &mut encoder,
            "process_resident_memory_bytes",
            "Memory that the process holds.",
            resident_bytes,
        )?;
        gauge(
            &mut encoder,
            "process_open_fds",
            "Open files of the process, sockets among them.",
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
