//! `dabba simulate`

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use dabba_engine::{Random as _, SystemRandom};
use dabba_sim::{Plant, SHARDS, SimulationOptions, SimulationReport, simulate};
use dabba_store::Store;
use dabba_store_sqlite::{SqliteOptions, SqliteStore};
use serde::Serialize;
use tempfile::TempDir;

use crate::{failure::Failure, output};

/// Directory for files in memory, on systems that have it.
const MEMORY: &str = "/dev/shm";

/// Arguments of the command.
#[derive(clap::Args)]
#[command(
    after_help = "A simulation that finds an error prints its seed; --seed repeats that simulation exactly."
)]
pub(crate) struct Arguments {
    /// Seed of the first simulation; default random.
    #[arg(long)]
    seed: Option<u64>,
    /// Number of orders per simulation.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    orders: u32,
    /// Time for which further simulations are started, each with the next seed, in seconds. By default, a single
    /// simulation.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Defect to plant, to verify that the simulation finds it, such as lost-tasks. An unknown name lists all defects.
    #[arg(long, value_parser = plant)]
    plant: Option<Plant>,
    /// Prints one JSON object per simulation.
    #[arg(long)]
    json: bool,
}

fn plant(name: &str) -> Result<Plant, String> {
    Plant::from_name(name).ok_or_else(|| {
        let names: Vec<_> = Plant::ALL.iter().map(|plant| plant.as_str()).collect();
        format!("must be one of {}", names.join(", "))
    })
}

/// Result of a simulation without errors, with its duration.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    report: SimulationReport,
    seconds: f64,
    orders_per_second: f64,
}

/// Simulates until the time is over, or until a simulation finds an error.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (begun, limit) = (Instant::now(), Duration::from_secs(arguments.seconds.unwrap_or(0)));
    let mut seed = arguments.seed.unwrap_or_else(|| SystemRandom.next_u64() >> 32);
    loop {
        let options = SimulationOptions { seed, orders: arguments.orders, plant: arguments.plant };
        print(&run_one(&options)?, arguments.json)?;
        if begun.elapsed() >= limit {
            return Ok(());
        }
        seed = seed.wrapping_add(1);
    }
}

fn run_one(options: &SimulationOptions) -> Result<Line, Failure> {
    let directory = directory().map_err(Failure::during("creating a directory for the stores"))?;
    let mut stores: Vec<Arc<dyn Store>> = Vec::with_capacity(SHARDS);
    for shard in 0..SHARDS {
        let path = directory.path().join(format!("dabba-{shard}.db"));
        SqliteStore::migrate(&path).map_err(Failure::during("creating a store"))?;
        let store = SqliteStore::open(&path, &SqliteOptions::default());
        stores.push(Arc::new(store.map_err(Failure::during("opening a store"))?));
    }
    let begun = Instant::now();
    let report = simulate(&stores, options).map_err(|error| Failure::new(error.to_string()))?;
    let seconds = begun.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let orders_per_second = report.orders as f64 / seconds;
    Ok(Line { report, seconds, orders_per_second })
}

/// Creates a directory, in memory if the system supports it: the files are not needed afterwards.
fn directory() -> std::io::Result<TempDir> {
    let memory = Path::new(MEMORY);
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
}

fn print(line: &Line, json: bool) -> Result<(), Failure> {
    if json {
        return output::json(line);
    }
    let Line { report, seconds, orders_per_second } = line;
    output::line(format_args!(
        "seed {}: {} orders ({} delivered, {} events, {} webhook deliveries) through {} failures, {} deaths, {} hangs \
         and {} restarts; {} s of virtual time in {seconds:.1} s, {orders_per_second:.0} orders/s; nothing is wrong",
        report.seed,
        report.orders,
        report.delivered,
        report.events,
        report.deliveries,
        report.failures,
        report.deaths,
        report.hangs,
        report.restarts,
        report.simulated_seconds,
    ))?;
    output::line(format_args!(
        "  batches with several commits: {} of {}; hash of all events: {:016x}",
        report.shared_batches, report.batches, report.event_hash,
    ))?;
    let marks: Vec<_> =
        report.marks.iter().map(|(mark, times)| format!("{} {times}", mark.as_str())).collect();
    output::line(format_args!("  coverage marks: {}", marks.join(", ")))
}
