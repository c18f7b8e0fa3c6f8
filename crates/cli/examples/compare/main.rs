//! Compares placing orders with what the databases can do at most, in the same run on the same machine.
//!
//! In alternating rounds, so that a machine that changes its pace does so for all:
//!
//! | | |
//! |---|---|
//! | a | `pgbench`: one order in a SERIALIZABLE transaction of four inserts, prepared, 8 clients |
//! | b | `pgbench`: 50 orders in such a transaction, 2 clients: the ceiling |
//! | c | Dabba over HTTP on PostgreSQL (`dabba bench`): tokens, prices, keys, stock, tasks |
//! | d | Dabba over HTTP on `SQLite` |
//! | e | a loop that writes the same rows into `SQLite`, one order in a transaction |
//!
//! The tables are Dabba's own with all their indexes, and the rows are those of an order that Dabba placed. Each
//! run has a fresh database. Or, with `--prefill`, compares Dabba on a database with a past with Dabba on an empty one
//! ([`scale`]); or, with `--baseline`, compares Dabba with an earlier build ([`baseline`]). To be run by
//! `scripts/compare`, which builds it and Dabba first.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

mod baseline;
mod embedded;
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

/// Compares Dabba with what the databases can do at most.
#[derive(Parser)]
struct Arguments {
    /// Rounds of all runs. Default 3; with --baseline 5.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Seconds for a run.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections to Dabba.
    #[arg(long, default_value_t = 512)]
    connections: u32,
    /// Compares Dabba on an empty database with Dabba on one that has so many orders, and nothing else.
    #[arg(long, value_name = "ORDERS")]
    prefill: Option<u64>,
    /// Earlier build of `dabba` to compare with, and nothing else. Writes to no page. Fails when a median is below
    /// 0.97 of that build.
    #[arg(long, value_name = "BINARY", conflicts_with = "prefill")]
    baseline: Option<PathBuf>,
    /// Page to put the figures into, between its marks.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

/// Rounds when the caller names no number.
const ROUNDS: u32 = 3;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let dabba = dabba()?;
    // Durable, as in earnest, and else as PostgreSQL comes.
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

/// Prints what came of it, and puts it between these marks of the page.
fn show(arguments: &Arguments, marks: (&str, &str), text: &str) -> Result<()> {
    println!("\n{text}");
    if let Some(page) = &arguments.page {
        report::put_into(page, marks, text)?;
    }
    Ok(())
}

/// The binary that was built beside this program.
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

/// What a load came to.
struct Line {
    per_second: f64,
    p99_ms: f64,
}

/// Loads a Dabba, on the embedded store without a database, for these seconds and over these connections. Answers
/// a line for each mix, in their order.
fn bench(arguments: &Arguments, dabba: &Path, url: Option<&str>, mixes: &[&str]) -> Result<Vec<Line>> {
    let mut command = Command::new(dabba);
    command.args(["bench", "--json", "--mix", &mixes.join(",")]);
    command.args(["--seconds", &arguments.seconds.to_string()]);
    command.args(["--connections", &arguments.connections.to_string()]);
    if arguments.prefill.is_some() || arguments.baseline.is_some() {
        command.arg("--skip-audit");
    }
    if arguments.prefill.is_some() {
        command.arg("--disposable"); // A database with a past is loaded several times.
    }
    if let Some(url) = url {
        command.args(["--database", url]);
    }
    let text = run(&mut command)?;
    let line = |text: &str| -> Result<Line> {
        let line: Value = serde_json::from_str(text)?;
        let number =
            |name: &str| line[name].as_f64().ok_or_else(|| format!("dabba bench said no {name}: {text}"));
        Ok(Line { per_second: number("per_second")?, p99_ms: number("p99_ms")? })
    };
    let lines: Vec<Line> = text.lines().take(mixes.len()).map(line).collect::<Result<_>>()?;
    if lines.len() < mixes.len() {
        return Err(format!("dabba bench has a line too few: {text}").into());
    }
    Ok(lines)
}

/// Orders that Dabba places in a second.
fn placed(arguments: &Arguments, dabba: &Path, url: Option<&str>) -> Result<f64> {
    Ok(bench(arguments, dabba, url, &["place"])?.iter().map(|line| line.per_second).sum())
}

/// What Dabba writes for an order, taken from one that it placed.
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

/// What a command prints; an error when it fails.
fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{} failed: {text}", command.get_program().to_string_lossy()).into())
}
