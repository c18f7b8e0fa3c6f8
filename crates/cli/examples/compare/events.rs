//! The cost of consumers of events, and what bad consumers cost the others: alternating runs of `dabba bench --mix
//! events`.
//!
//! Processor time is that of the server and of PostgreSQL with all its processes, from the kernel. Statements are those
//! of `pg_stat_statements`, over the whole run with its preparation.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use dabba_pg_cluster::{Cluster, ClusterOptions};
use serde_json::Value;

use super::{Arguments, Result, report::spread, run};

/// Default number of rounds.
const ROUNDS: u32 = 5;
/// Statements that read or write data of webhook endpoints or consumers.
const OF_WEBHOOKS: &str = "query ~* 'webhook|feed_leases|feed_consumers'";

/// A run of a comparison.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// Options of the load.
    pub(super) load: &'static [&'static str],
    /// Options of the receivers, where they differ from the load's.
    pub(super) receivers: &'static [&'static str],
}

/// Runs that are compared, and how.
pub(super) struct Plan {
    pub(super) scenarios: &'static [Scenario],
    pub(super) columns: &'static [Column],
    pub(super) ratios: &'static [Ratio],
}

/// Whole lives at 250 per second are about 2,000 events per second.
const LIVES: &[&str] = &["--rate", "250", "--restaurants", "1000", "--restaurant-endpoints", "1000"];
/// Only new orders, and no receiver but the endpoints of restaurants.
const PLACING: &[&str] = &[
    "--only-place",
    "--rate",
    "1000",
    "--restaurants",
    "600",
    "--platform-endpoints",
    "0",
    "--streams",
    "0",
];

const HEALTHY: Scenario =
    Scenario { name: "1,000 endpoints of restaurants, 1 of the platform", load: LIVES, receivers: &[] };
const WITH_BAD: Scenario = Scenario {
    name: "the same, 10 that hang and 100 that refuse connections",
    load: LIVES,
    receivers: &["--hanging-endpoints", "10", "--dead-endpoints", "100"],
};
const NONE: Scenario =
    Scenario { name: "no endpoint", load: PLACING, receivers: &["--restaurant-endpoints", "0"] };
const TENTH: Scenario = Scenario {
    name: "endpoints that match 10 % of the events",
    load: PLACING,
    receivers: &["--restaurant-endpoints", "60"],
};
const UNMATCHED: Scenario = Scenario {
    name: "10,000 endpoints that match nothing",
    load: PLACING,
    receivers: &["--restaurant-endpoints", "0", "--unmatched-endpoints", "10000"],
};

/// With and without endpoints of webhooks.
pub(super) const PLAN: Plan = Plan {
    scenarios: &[HEALTHY, WITH_BAD, NONE, TENTH, UNMATCHED],
    columns: &[
        ("p99 of an operation, ms", 1, |run| run.p99_ms),
        ("p99 to restaurants, ms", 1, |run| run.restaurant_p99_ms),
        ("p99 to the platform, ms", 1, |run| run.platform_p99_ms),
        ("server, µs/order", 0, |run| run.server_us),
        ("PostgreSQL, µs/order", 0, |run| run.database_us),
        ("statements/order with the preparation", 2, |run| run.statements),
        ("of webhooks/order with the preparation", 2, |run| run.webhook_statements),
    ],
    ratios: &[
        ("p99 to restaurants, with endpoints that hang and refuse", 1, 0, |run| run.restaurant_p99_ms, 1.2),
        ("processor time per order, 10 % of the events match", 3, 2, Measured::processor_us, 1.1),
        ("p99 of placing, 10 % of the events match", 3, 2, |run| run.p99_ms, 1.2),
        ("processor time per order, 10,000 endpoints match nothing", 4, 2, Measured::processor_us, 1.05),
    ],
};

/// A column of the table: its head, its decimals and its figure.
pub(super) type Column = (&'static str, usize, fn(&Measured) -> f64);

/// A ratio of two runs: its name, the indexes of the runs, its figure and its goal.
pub(super) type Ratio = (&'static str, usize, usize, fn(&Measured) -> f64, f64);

/// Figures of a run. Those of receivers that the run does not have are not numbers.
pub(super) struct Measured {
    /// p99 of the operations: placing, or a whole life.
    pub(super) p99_ms: f64,
    restaurant_p99_ms: f64,
    platform_p99_ms: f64,
    pub(super) board_p50_ms: f64,
    pub(super) board_p99_ms: f64,
    pub(super) server_us: f64,
    pub(super) database_us: f64,
    pub(super) statements: f64,
    webhook_statements: f64,
}

impl Measured {
    pub(super) fn processor_us(&self) -> f64 {
        self.server_us + self.database_us
    }
}

/// Returns the options of a durable cluster that counts statements.
pub(super) fn cluster_options() -> ClusterOptions {
    ClusterOptions::default().durable().with_setting("shared_preload_libraries", "pg_stat_statements")
}

/// Compares the runs of a plan in alternating rounds, and returns tables.
pub(super) fn compare(arguments: &Arguments, plan: &Plan, cluster: &Cluster, dabba: &Path) -> Result<String> {
    cluster.execute("postgres", "CREATE EXTENSION IF NOT EXISTS pg_stat_statements")?;
    let mut rounds: Vec<Vec<Measured>> = Vec::new();
    for number in 1..=arguments.rounds.unwrap_or(ROUNDS) {
        let mut round: Vec<(usize, Measured)> = Vec::new();
        // Every second round is reversed: a run finds a machine that is still busy with the run before.
        let order: Vec<usize> = if number % 2 == 1 {
            (0..plan.scenarios.len()).collect()
        } else {
            (0..plan.scenarios.len()).rev().collect()
        };
        for scenario in order {
            round.push((scenario, measure(arguments, cluster, dabba, &plan.scenarios[scenario])?));
        }
        round.sort_by_key(|(scenario, _)| *scenario);
        rounds.push(round.into_iter().map(|(_, measured)| measured).collect());
        eprintln!("round {number} is done");
    }
    Ok(text(arguments, plan, &rounds))
}

fn measure(arguments: &Arguments, cluster: &Cluster, dabba: &Path, scenario: &Scenario) -> Result<Measured> {
    let database = cluster.create_database()?;
    // A checkpoint within a run would count against that run alone.
    cluster.execute("postgres", "CHECKPOINT")?;
    cluster.execute("postgres", "SELECT pg_stat_statements_reset()")?;
    let mut command = Command::new(dabba);
    command.args(["bench", "--mix", "events", "--json", "--skip-audit", "--connections", "64"]);
    command.args(["--seconds", &arguments.seconds.to_string(), "--database", &cluster.url(&database)]);
    command.args(["--database-pid", &postmaster(cluster)?]).args(scenario.load).args(scenario.receivers);
    let text = run(&mut command)?;
    let counted = |condition: &str| -> Result<f64> {
        let sql = format!(
            "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE \
             datname = '{database}') AND {condition}"
        );
        Ok(cluster.execute("postgres", &sql)?.trim().parse()?)
    };
    let (all, of_webhooks) = (counted("true")?, counted(OF_WEBHOOKS)?);
    cluster.execute("postgres", &format!("DROP DATABASE {database} WITH (FORCE)"))?;
    let lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let [load, events, ..] = lines.as_slice() else {
        return Err(format!("the output of dabba bench lacks a line: {text}").into());
    };
    let orders = load["succeeded"].as_f64().unwrap_or(f64::NAN);
    let number = |of: &Value, name: &str| of[name].as_f64().unwrap_or(f64::NAN);
    let of = |receiver: &str, name: &str| {
        let mut rows = events["receivers"].as_array().into_iter().flatten();
        rows.find(|row| row["receiver"] == receiver).map_or(f64::NAN, |row| number(row, name))
    };
    Ok(Measured {
        p99_ms: number(load, "p99_ms"),
        restaurant_p99_ms: of("restaurant", "p99_ms"),
        platform_p99_ms: of("platform", "p99_ms"),
        board_p50_ms: of("board", "p50_ms"),
        board_p99_ms: of("board", "p99_ms"),
        server_us: number(events, "server_us_per_order"),
        database_us: number(events, "database_us_per_order"),
        statements: all / orders,
        webhook_statements: of_webhooks / orders,
    })
}

/// Returns the process of the cluster's postmaster.
fn postmaster(cluster: &Cluster) -> Result<String> {
    let text = fs::read_to_string(cluster.data_directory().join("postmaster.pid"))?;
    Ok(text.lines().next().ok_or("postmaster.pid is empty")?.to_owned())
}

fn text(arguments: &Arguments, plan: &Plan, rounds: &[Vec<Measured>]) -> String {
    let of = |scenario: usize, figure: fn(&Measured) -> f64| {
        let [_, median, _] = spread(rounds.iter().map(|round| figure(&round[scenario])).collect());
        median
    };
    let Plan { scenarios, columns, ratios } = plan;
    let heads: Vec<&str> = columns.iter().map(|(head, _, _)| *head).collect();
    let mut text = format!(
        "{} alternating rounds of {} s (medians).\n\n| run | {} |\n|---|{}\n",
        rounds.len(),
        arguments.seconds,
        heads.join(" | "),
        "---|".repeat(columns.len())
    );
    for (index, Scenario { name, .. }) in scenarios.iter().enumerate() {
        let figures: Vec<String> = columns
            .iter()
            .map(|(_, decimals, figure)| {
                let figure = of(index, *figure);
                // A run without such receivers.
                if figure.is_nan() { "–".to_owned() } else { format!("{figure:.decimals$}") }
            })
            .collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {name} | {} |", figures.join(" | "));
    }
    text.push_str("\n| ratio | min | median | max | goal |\n|---|---|---|---|---|\n");
    for (name, after, before, figure, goal) in *ratios {
        let pairs = rounds.iter().map(|round| figure(&round[*after]) / figure(&round[*before]));
        let [min, median, max] = spread(pairs.collect());
        let _ = writeln!(text, "| {name} | {min:.2} | {median:.2} | {max:.2} | ≤ {goal:.2} |");
    }
    text
}
