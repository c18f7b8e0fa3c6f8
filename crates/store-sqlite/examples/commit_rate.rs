//! Measures the number of orders per second that this machine commits, by batch size.
//!
//! `cargo run --release -p dabba-store-sqlite --example commit_rate [directory]`
//!
//! Each order is complete: its row, two events, its idempotency key, a task, and a draw from stock. One
//! caller waits for each batch before it sends the next, so the result is the rate of one committer. For
//! batches of one order, the disk's sync limits the rate.

#![expect(clippy::print_stdout, reason = "the example prints its results")]

use std::{error::Error, path::PathBuf, time::Instant};

use dabba_store::{
    CatalogueStore as _, Commit, CommitOutcome, OrderStore as _, Store as _,
    conformance::builders::{World, menu, slug},
};
use dabba_store_sqlite::{SqliteOptions, SqliteStore};

/// Batch sizes, and the number of orders for each.
const ORDERS: [(usize, usize); 4] = [(1, 2_000), (16, 20_000), (64, 40_000), (256, 40_000)];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = match std::env::args_os().nth(1) {
        Some(parent) => tempfile::tempdir_in(PathBuf::from(parent))?,
        None => tempfile::tempdir()?,
    };
    let path = directory.path().join("dabba.db");
    SqliteStore::migrate(&path)?;
    let store = SqliteStore::open(&path, &SqliteOptions::default())?;
    let mut world = World::new(1);
    let restaurant = world.restaurant();
    store.create_restaurant(&restaurant, &menu(&["naan"])).await?;
    store.set_stock(restaurant.id, &slug("naan"), Some(1_000_000)).await?;
    for (size, count) in ORDERS {
        let batches: Vec<Vec<Commit>> = (0..count / size)
            .map(|_| (0..size).map(|_| world.place_taking(restaurant.id, &[("naan", 1)])).collect())
            .collect();
        let orders = batches.len() * size;
        let begun = Instant::now();
        for batch in batches {
            let outcomes = store.commit(batch).await?;
            if outcomes.iter().any(|outcome| *outcome != CommitOutcome::Committed) {
                return Err("an order was not committed".into());
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        let orders = f64::from(u32::try_from(orders)?);
        println!("batches of {size:>3}: {:>7.0} orders/s", orders / seconds);
    }
    store.close().await;
    Ok(())
}
