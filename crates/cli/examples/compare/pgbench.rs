//! PostgreSQL without Dabba: `pgbench` writes the rows of an order.

use std::{fmt::Write as _, fs, path::PathBuf, process::Command};

use dabba_pg_cluster::Cluster;

use super::{Result, run};

/// Number of orders per transaction in the batched measurement, which is the ceiling.
const BATCH: u32 = 50;

/// The parts of an order's rows other than numbers, ids and times.
pub(super) struct Sample {
    /// Details of the order, as JSON.
    pub(super) details: String,
    /// The actor who placed the order, as JSON.
    pub(super) actor: String,
    /// The content of the second event, as JSON.
    pub(super) confirmed: String,
}

/// Returns the number of orders per second with one order per transaction.
pub(super) fn single(cluster: &Cluster, database: &str, sample: &Sample, seconds: u64) -> Result<f64> {
    // Ids grow with each order, like Dabba's.
    let id = "(lpad(to_hex(:first::bigint), 12, '0') || '70008000' || lpad(to_hex(:client_id::bigint), 12, '0'))::uuid";
    let script =
        script(sample, "\\set n :n + 1\n\\set first :base + :n\n", &format!("(SELECT {id} AS id) AS one"));
    pgbench(cluster, database, &script, 8, seconds)
}

/// Returns the number of orders per second with [`BATCH`] orders per transaction.
pub(super) fn batched(cluster: &Cluster, database: &str, sample: &Sample, seconds: u64) -> Result<f64> {
    let id = "(lpad(to_hex(:first::bigint + number), 12, '0') || '70008000' || lpad(to_hex(:client_id::bigint), 12, '0'))::uuid";
    let source = format!("(SELECT {id} AS id FROM generate_series(1, {BATCH}) AS number) AS many");
    let script = script(sample, &format!("\\set n :n + {BATCH}\n\\set first :base + :n\n"), &source);
    Ok(pgbench(cluster, database, &script, 2, seconds)? * f64::from(BATCH))
}

/// Returns a script with four inserts: the order, its two events, its key and its task.
fn script(sample: &Sample, count: &str, source: &str) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let (details, actor) = (quoted(&sample.details), quoted(&sample.actor));
    let confirmed = quoted(&sample.confirmed);
    let now = "1790000000000000000::bigint + :n::bigint";
    let mut script = format!("{count}BEGIN ISOLATION LEVEL SERIALIZABLE;\n");
    for insert in [
        format!(
            "INSERT INTO orders (id, restaurant_id, customer_id, version, total, captured, refunded, \
             acceptance_deadline_ns, placed_at_ns, updated_at_ns, is_terminal, status, payment_status, currency) \
             SELECT id, id, id, 2, 3299, 0, 0, {now}, {now}, {now}, false, 'confirmed', 'pending', 'GBP' FROM {source}"
        ),
        format!(
            "INSERT INTO order_events (order_id, version, at_ns, type, actor, data) \
             SELECT id, version, {now}, CASE version WHEN 1 THEN 'placed' ELSE 'confirmed' END, {actor}, \
             CASE version WHEN 1 THEN {details} ELSE {confirmed} END::json \
             FROM {source}, generate_series(1, 2) AS version"
        ),
        format!(
            "INSERT INTO idempotency_keys (account_id, restaurant_id, order_id, version, claimed_at_ns, key, \
             fingerprint) SELECT id, id, id, 2, {now}, 'bench-0123456789-' || id, \
             sha256(convert_to(id::text, 'UTF8')) FROM {source} ON CONFLICT DO NOTHING"
        ),
        format!(
            "INSERT INTO tasks (id, order_id, run_at_ns, kind, queue) \
             SELECT id, id, {now}, 'warn_unaccepted', 'deadlines' FROM {source}"
        ),
    ] {
        // Writing to a String cannot fail.
        let _ = writeln!(script, "{insert};");
    }
    script + "COMMIT;\n"
}

/// Returns the number of transactions per second.
fn pgbench(cluster: &Cluster, database: &str, script: &str, clients: u32, seconds: u64) -> Result<f64> {
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), script)?;
    let mut command = Command::new(program());
    command.args(["--no-vacuum", "--protocol", "prepared", "--jobs", "2", "--max-tries", "100"]);
    command.args(["--client", &clients.to_string(), "--time", &seconds.to_string()]);
    command.args(["--define", "n=0", "--define", "base=1790000000000", "--file"]).arg(file.path());
    command.arg(cluster.url(database));
    let text = run(&mut command)?;
    let tps = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    tps.ok_or_else(|| format!("the output of pgbench has no result: {text}").into())
}

/// Returns the `pgbench` of the newest installed PostgreSQL.
fn program() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let programs = versions.map(|version| version.path().join("bin/pgbench")).filter(|path| path.is_file());
    programs.max().unwrap_or_else(|| PathBuf::from("pgbench"))
}
