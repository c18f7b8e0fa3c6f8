//! `SQLite` without Dabba: a loop writes the rows of an order, one order per transaction.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use rusqlite::{Connection, params};

use super::{Result, pgbench::Sample, run};

/// Returns the number of orders per second.
pub(super) fn single(dabba: &Path, sample: &Sample, seconds: u64) -> Result<f64> {
    let directory = tempfile::tempdir()?;
    run(Command::new(dabba).args(["migrate", "--data"]).arg(directory.path()))?;
    let mut connection = Connection::open(directory.path().join("dabba.db"))?;
    // Dabba opens the database with the same settings.
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
    let (begun, limit) = (Instant::now(), Duration::from_secs(seconds));
    let mut count: u32 = 0;
    while begun.elapsed() < limit {
        count += 1;
        place(&mut connection, sample, count)?;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}

fn place(connection: &mut Connection, sample: &Sample, number: u32) -> Result<()> {
    let mut id = [0_u8; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    let now = 1_790_000_000_000_000_000_i64 + i64::from(number);
    let Sample { details, actor, confirmed } = sample;
    let transaction = connection.transaction()?;
    transaction
        .prepare_cached(
            "INSERT INTO orders (id, restaurant_id, customer_id, status, is_terminal, payment_status, version, \
             currency, total, captured, refunded, acceptance_deadline_ns, placed_at_ns, updated_at_ns, details) \
             VALUES (?1, ?1, ?1, 'confirmed', 0, 'pending', 2, 'GBP', 3299, 0, 0, ?2, ?2, ?2, ?3)",
        )?
        .execute(params![id, now, details])?;
    for (version, name, data) in [(1, "placed", details), (2, "confirmed", confirmed)] {
        transaction
            .prepare_cached(
                "INSERT INTO order_events (order_id, version, type, data, actor, at_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![id, version, name, data, actor, now])?;
    }
    transaction
        .prepare_cached(
            "INSERT INTO idempotency_keys (account_id, restaurant_id, key, fingerprint, order_id, version, \
             claimed_at_ns) VALUES (?1, ?1, ?2, ?3, ?1, 2, ?4)",
        )?
        .execute(params![id, format!("bench-0123456789-{number}"), [7_u8; 32], now])?;
    transaction
        .prepare_cached(
            "INSERT INTO tasks (id, order_id, queue, kind, run_at_ns) VALUES (?1, ?1, 'deadlines', 'warn_unaccepted', ?2)",
        )?
        .execute(params![id, now])?;
    transaction.commit()?;
    Ok(())
}
