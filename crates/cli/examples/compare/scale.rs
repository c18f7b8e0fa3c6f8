//! The cost of many stored orders: the same load on an empty and on a full database.

use std::{
    fmt::Write as _,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use dabba_pg_cluster::Cluster;

use super::{Arguments, Line, ROUNDS, Result, bench, report::spread, run};

/// The compared mixes.
const MIXES: [&str; 4] = ["place", "order", "kitchen", "life"];

/// Compares in rounds, and returns a table.
pub(super) fn compare(arguments: &Arguments, cluster: &Cluster, dabba: &Path, orders: u64) -> Result<String> {
    let full = cluster.url(&cluster.create_database()?);
    let began = Instant::now();
    let mut fill = Command::new(dabba);
    fill.args(["bench", "--json", "--seconds", "1", "--skip-audit", "--database", &full]);
    run(fill.args(["--prefill", &orders.to_string()]))?;
    let took = began.elapsed();
    let mut rounds = Vec::new();
    for number in 1..=arguments.rounds.unwrap_or(ROUNDS) {
        let empty = cluster.url(&cluster.create_database()?);
        let load = |url: &str| bench(arguments, dabba, Some(url), &MIXES);
        // The databases alternate in going first: the second load finds a machine that is still busy with the first
        // one.
        rounds.push(if number % 2 == 1 {
            let empty = load(&empty)?;
            (empty, load(&full)?)
        } else {
            let full = load(&full)?;
            (load(&empty)?, full)
        });
        eprintln!("round {number} is done");
    }
    Ok(text(orders, took, &rounds))
}

fn text(orders: u64, took: Duration, rounds: &[(Vec<Line>, Vec<Line>)]) -> String {
    let mut text = format!(
        "{orders} delivered orders were written in {} s. Then, in {} rounds of a load on each (medians):\n\n\
         | mix | done/s, empty | p99 ms | done/s, full | p99 ms | full / empty: min | median | max |\n\
         |---|---|---|---|---|---|---|---|\n",
        took.as_secs(),
        rounds.len()
    );
    for (place, mix) in MIXES.iter().enumerate() {
        let of = |figure: fn(&Line, &Line) -> f64| {
            let pairs = rounds.iter().filter_map(|(empty, full)| Some((empty.get(place)?, full.get(place)?)));
            spread(pairs.map(|(empty, full)| figure(empty, full)).collect())
        };
        let [_, empty, _] = of(|empty, _| empty.per_second);
        let [_, empty_p99, _] = of(|empty, _| empty.p99_ms);
        let [_, full, _] = of(|_, full| full.per_second);
        let [_, full_p99, _] = of(|_, full| full.p99_ms);
        let [min, median, max] = of(|empty, full| full.per_second / empty.per_second);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {mix} | {empty:.0} | {empty_p99:.1} | {full:.0} | {full_p99:.1} | {min:.2} | {median:.2} | {max:.2} |"
        );
    }
    text
}
