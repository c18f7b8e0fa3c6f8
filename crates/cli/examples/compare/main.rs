//! Compares Dabba's throughput of placed orders with the maximum of the databases, in the same run on the same machine.
//!
//! The measurements run in alternating rounds, so that changes of the machine's speed affect all of them:
//!
//! | | |
//! |---|---|
//! | a | `pgbench`: one order in a SERIALIZABLE transaction of four inserts, prepared, 8 clients |
//! | b | `pgbench`: 50 orders in such a transaction, 2 clients: the ceiling |
//! | c | Dabba over HTTP on PostgreSQL (`dabba bench`): tokens, prices, keys, stock, tasks |
//! | d | Dabba over HTTP on `SQLite` |
//! | e | a loop that writes the same rows into `SQLite`, one order in a transaction |
//!
//! The tables are Dabba's own with all their indexes, and the rows come from an order that Dabba placed. Each run has a
//! fresh database. With `--prefill`, the program compares Dabba on a database with many orders with Dabba on an empty
//! one ([`scale`]); with `--baseline`, it compares Dabba with an earlier build ([`baseline`]); with `--events`, it
//! compares Dabba with and without consumers of events ([`events`]); with `--boards`, with and without boards
//! ([`boards`]). Run it with `scripts/compare`, which builds it and Dabba first.
#![expect(clippy::print_stdout, reason = "the program prints its results")]

mod baseline;
mod boards;
mod embedded;
mod events;
mod machine;
mod pgbench;
mod report;
mod scale;

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::Parser;
use dabba_pg_cluster::{Cluster, ClusterOptions};
use serde_json::Value;

use self::{pgbench::Sample, report::Round};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Compares Dabba's throughput with the maximum of the databases.
#[derive(Parser)]
struct Arguments {
    /// Number of rounds. Default 3; with --baseline, --events and --boards 5.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Duration of a run, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Number of connections to Dabba.
    #[arg(long, default_value_t = 512)]
    connections: u32,
    /// Only compares Dabba on an empty database with Dabba on a database with this many orders.
    #[arg(long, value_name = "ORDERS")]
    prefill: Option<u64>,
    /// Only compares with this earlier build of `dabba`. Does not write to a page. Fails if a median is below 0.97 of
    /// that build.
    #[arg(long, value_name = "BINARY", conflicts_with = "prefill")]
    baseline: Option<PathBuf>,
    /// Only compares Dabba with and without consumers of events.
    #[arg(long, conflicts_with_all = ["prefill", "baseline"])]
    events: bool,
    /// Only compares Dabba with and without boards of restaurants.
    #[arg(long, conflicts_with_all = ["prefill", "baseline", "events"])]
    boards: bool,
    /// Page to write the figures to, between its markers.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

/// Default number of rounds.
const ROUNDS: u32 = 3;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let dabba = dabba()?;
    let plan = match (arguments.events, arguments.boards) {
        (true, _) => Some((events::PLAN, report::EVENT_MARKS)),
        (_, true) => Some((boards::PLAN, report::BOARD_MARKS)),
        _ => None,
    };
    if let Some((plan, marks)) = plan {
        let cluster = Cluster::start(&events::cluster_options())?;
        let machine = machine::describe(&cluster)?;
        let text = events::compare(&arguments, &plan, &cluster, &dabba)?;
        return show(&arguments, marks, &format!("On {machine}: {text}"));
    }
    // Durable, as in production, and otherwise with PostgreSQL's defaults.
    let cluster = Cluster::start(&ClusterOptions::default().durable())?;
    let machine = machine::describe(&cluster)?;
    if let Some(before) = &arguments.baseline {
        let text = baseline::compare(&arguments, &cluster, before, &dabba)?;
        println!("On {machine}: {text}");
        return Ok(());
    }
    if let Some(orders) = arguments.prefill {
        let text = scale::compare(&arguments, &cluster, &dabba, orders)?;
        return show(&arguments, report::SCALE_MARKS, &format!("On {machine}: {text}"));
    }
    let sample = sample(&cluster, &dabba)?;
    let mut rounds = Vec::new();
    for number in 1..=arguments.rounds.unwrap_or(ROUNDS) {
        let round = round(&arguments, &cluster, &dabba, &sample)?;
        println!("round {number}: {round}");
        rounds.push(round);
    }
    show(&arguments, report::MARKS, &report::text(&rounds, &machine))
}

/// Prints the results, and writes them between these markers of the page.
fn show(arguments: &Arguments, marks: (&str, &str), text: &str) -> Result<()> {
    println!("\n{text}");
    if let Some(page) = &arguments.page {
        report::put_into(page, marks, text)?;
    }
    Ok(())
}

/// Returns the path of the `dabba` binary that was built with this program.
fn dabba() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let beside = program.parent().and_then(Path::parent).map(|directory| directory.join("dabba"));
    beside.filter(|path| path.is_file()).ok_or_else(|| "dabba is not built: use scripts/compare".into())
}

fn round(arguments: &Arguments, cluster: &Cluster, dabba: &Path, sample: &Sample) -> Result<Round> {
    let fresh = || -> Result<String> {
        let database = cluster.create_database()?;
        run(Command::new(dabba).args(["migrate", "--database", &cluster.url(&database)]))?;
        Ok(database)
    };
    Ok(Round {
        single: pgbench::single(cluster, &fresh()?, sample, arguments.seconds)?,
        batched: pgbench::batched(cluster, &fresh()?, sample, arguments.seconds)?,
        dabba: placed(arguments, dabba, Some(&cluster.url(&cluster.create_database()?)))?,
        embedded: placed(arguments, dabba, None)?,
        embedded_loop: embedded::single(dabba, sample, arguments.seconds)?,
    })
}

/// Result of a load.
struct Line {
    per_second: f64,
    p99_ms: f64,
}

/// Loads a Dabba server with `dabba bench`; without a URL, on the embedded store. Returns a line per mix, in the order
/// of the mixes.
fn bench(arguments: &Arguments, dabba: &Path, url: Option<&str>, mixes: &[&str]) -> Result<Vec<Line>> {
    let mut command = Command::new(dabba);
    command.args(["bench", "--json", "--mix", &mixes.join(",")]);
    command.args(["--seconds", &arguments.seconds.to_string()]);
    command.args(["--connections", &arguments.connections.to_string()]);
    if arguments.prefill.is_some() || arguments.baseline.is_some() {
        command.arg("--skip-audit");
    }
    if arguments.prefill.is_some() {
        command.arg("--disposable"); // The same full database is loaded several times.
    }
    if let Some(url) = url {
        command.args(["--database", url]);
    }
    let text = run(&mut command)?;
    let line = |text: &str| -> Result<Line> {
        let line: Value = serde_json::from_str(text)?;
        let number = |name: &str| {
            line[name].as_f64().ok_or_else(|| format!("the output of dabba bench lacks {name}: {text}"))
        };
        Ok(Line { per_second: number("per_second")?, p99_ms: number("p99_ms")? })
    };
    let lines: Vec<Line> = text.lines().take(mixes.len()).map(line).collect::<Result<_>>()?;
    if lines.len() < mixes.len() {
        return Err(format!("the output of dabba bench lacks a line: {text}").into());
    }
    Ok(lines)
}

/// Returns the number of orders per second that Dabba places.
fn placed(arguments: &Arguments, dabba: &Path, url: Option<&str>) -> Result<f64> {
    Ok(bench(arguments, dabba, url, &["place"])?.iter().map(|line| line.per_second).sum())
}

/// Returns the data that Dabba writes for an order, taken from an order that it placed.
fn sample(cluster: &Cluster, dabba: &Path) -> Result<Sample> {
    let database = cluster.create_database()?;
    let url = cluster.url(&database);
    run(Command::new(dabba).args(["bench", "--json", "--rate", "10", "--seconds", "1", "--database", &url]))?;
    let one = |sql: &str| -> Result<String> { Ok(cluster.execute(&database, sql)?.trim().to_owned()) };
    Ok(Sample {
        details: one("SELECT data FROM order_events WHERE type = 'placed' LIMIT 1")?,
        actor: one("SELECT actor FROM order_events WHERE type = 'placed' LIMIT 1")?,
        confirmed: one("SELECT data FROM order_events WHERE type = 'confirmed' LIMIT 1")?,
    })
}

/// Returns the standard output of a command. Fails if the command fails.
fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{} failed: {text}", command.get_program().to_string_lossy()).into())
}
