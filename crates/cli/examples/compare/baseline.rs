//! Comparison of two builds under the same load, to detect a loss of throughput.

use std::{fmt::Write as _, path::Path};

use dabba_pg_cluster::Cluster;

use super::{Arguments, Line, Result, bench, report::spread};

/// Default number of rounds.
pub(super) const ROUNDS: u32 = 5;
/// Minimum median ratio. A figure below it is a loss.
const MINIMUM_RATIO: f64 = 0.97;
/// Compared mixes of `dabba bench`.
const MIXES: [&str; 6] = ["place", "life", "menu", "order", "kitchen", "replay"];

/// The compared stores.
#[derive(Clone, Copy)]
enum Store {
    Postgres,
    Sqlite,
}

impl Store {
    const ALL: [Self; 2] = [Self::Postgres, Self::Sqlite];

    const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Sqlite => "SQLite",
        }
    }
}

/// Results of both builds in one round, for a store and a mix.
struct Pair {
    before: Line,
    after: Line,
}

/// Compares `dabba` with the build `before` in alternating rounds, and returns a table of medians.
///
/// Each build serves, and loads its server with its own `dabba bench`, so that a changed API needs no shared
/// client. Every run has a fresh database. Both builds run one mix directly after each other, since the machine's speed
/// drifts over minutes.
///
/// # Errors
///
/// Fails when a run fails, and when a median ratio is below [`MINIMUM_RATIO`]: the error names each such figure.
pub(super) fn compare(
    arguments: &Arguments,
    cluster: &Cluster,
    before: &Path,
    dabba: &Path,
) -> Result<String> {
    let mut rounds = Vec::new();
    for number in 1..=arguments.rounds.unwrap_or(ROUNDS) {
        let mut round = Vec::new();
        for (store, mix) in figures() {
            // The builds alternate in going first: the second run finds a machine that is still busy with the first
            // one.
            round.push(if number % 2 == 1 {
                let before = measure(arguments, cluster, before, store, mix)?;
                Pair { before, after: measure(arguments, cluster, dabba, store, mix)? }
            } else {
                let after = measure(arguments, cluster, dabba, store, mix)?;
                Pair { before: measure(arguments, cluster, before, store, mix)?, after }
            });
        }
        rounds.push(round);
        eprintln!("round {number} is done");
    }
    let (text, losses) = table(&rounds);
    if losses.is_empty() {
        return Ok(text);
    }
    eprintln!("{text}");
    Err(format!("below {MINIMUM_RATIO} of the build before: {}", losses.join(", ")).into())
}

/// Returns everything that is compared, in the order of the table.
fn figures() -> impl Iterator<Item = (Store, &'static str)> {
    Store::ALL.into_iter().flat_map(|store| MIXES.into_iter().map(move |mix| (store, mix)))
}

/// Runs one mix on one store with one build.
fn measure(
    arguments: &Arguments,
    cluster: &Cluster,
    dabba: &Path,
    store: Store,
    mix: &'static str,
) -> Result<Line> {
    let database = match store {
        Store::Postgres => Some(cluster.create_database()?),
        Store::Sqlite => None,
    };
    // A checkpoint within a run would count against that run alone.
    cluster.execute("postgres", "CHECKPOINT")?;
    let url = database.as_deref().map(|database| cluster.url(database));
    let lines = bench(arguments, dabba, url.as_deref(), &[mix])?;
    if let Some(database) = database {
        // Leftovers of the run must not be written during the next run.
        cluster.execute("postgres", &format!("DROP DATABASE {database} WITH (FORCE)"))?;
    }
    lines.into_iter().next().ok_or_else(|| format!("dabba bench measured no {mix}").into())
}

/// Returns the figures as a Markdown table, and the figures that are a loss.
fn table(rounds: &[Vec<Pair>]) -> (String, Vec<String>) {
    let mut text = format!(
        "Two builds in {} alternating rounds (medians):\n\n\
         | store | mix | before, done/s | after, done/s | p99 before, ms | p99 after, ms | after / before: min | median | max |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        rounds.len()
    );
    let mut losses = Vec::new();
    for (place, (store, mix)) in figures().enumerate() {
        let store = store.name();
        let of = |figure: fn(&Line, &Line) -> f64| {
            let pairs = rounds.iter().filter_map(|round| round.get(place));
            spread(pairs.map(|Pair { before, after }| figure(before, after)).collect())
        };
        let [_, before, _] = of(|before, _| before.per_second);
        let [_, after, _] = of(|_, after| after.per_second);
        let [_, before_p99, _] = of(|before, _| before.p99_ms);
        let [_, after_p99, _] = of(|_, after| after.p99_ms);
        let [min, median, max] = of(|before, after| after.per_second / before.per_second);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {store} | {mix} | {before:.0} | {after:.0} | {before_p99:.1} | {after_p99:.1} | {min:.2} | {median:.2} | {max:.2} |"
        );
        // A run without a result (NaN) is a loss as well.
        if median.is_nan() || median < MINIMUM_RATIO {
            losses.push(format!("{mix} on {store} ({median:.2})"));
        }
    }
    (text, losses)
}
