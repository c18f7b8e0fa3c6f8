//! Measures how many orders per second a database commits, by batch size and number of committers.
//!
//! `cargo run --release -p dabba-store-postgres --example postgres_commit_rate [url]`
//!
//! Without a URL, the example starts a cluster on this machine, durable as in production. `placing`: each commit
//! places a whole order: its row, two events, its idempotency key, a task. `mixed`: half of the commits accept an
//! order that was placed before. All orders belong to one restaurant. Each committer has its own store, as another
//! server would, and waits for each batch before it sends the next.

#![expect(clippy::print_stdout, reason = "the example prints its results")]

use std::{
    collections::VecDeque,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use dabba_domain::{RestaurantId, order::Command};
use dabba_pg_cluster::{Cluster, ClusterOptions};
use dabba_store::{
    CatalogueStore as _, Commit, CommitOutcome, OrderStore as _, Store as _,
    conformance::builders::{World, menu, order_of, staff},
};
use dabba_store_postgres::{Ownership, PostgresOptions, PostgresStore, Randomness};
use tokio::task::JoinSet;

/// Size of a batch, and number of commits to measure it with, over all committers.
const COMMITS: [(usize, usize); 3] = [(1, 4_000), (16, 24_000), (64, 32_000)];

/// Numbers of concurrent committers.
const COMMITTERS: [usize; 3] = [1, 2, 4];

type Batches = Vec<Vec<Commit>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (cluster, url) = if let Some(url) = std::env::args().nth(1) {
        (None, url)
    } else {
        let cluster = Cluster::start(&ClusterOptions::default().durable())?;
        let url = cluster.url(&cluster.create_database()?);
        (Some(cluster), url)
    };
    PostgresStore::migrate(&url, &Ownership::sole()).await?;
    let mut seed = 0;
    for is_mixed in [false, true] {
        for (size, commits) in COMMITS {
            for committers in COMMITTERS {
                let name = if is_mixed { "mixed" } else { "placing" };
                let (rate, conflicts) = measure(&url, &mut seed, is_mixed, size, commits, committers).await?;
                println!(
                    "{name:>8}, batches of {size:>2}, {committers} committers: {rate:>6.0} commits/s, \
                     {conflicts:>5.1} conflicts per 1,000 batches"
                );
            }
        }
    }
    drop(cluster);
    Ok(())
}

/// Returns the commits per second, and the number of conflicting attempts per 1,000 batches.
async fn measure(
    url: &str,
    seed: &mut u64,
    is_mixed: bool,
    size: usize,
    commits: usize,
    committers: usize,
) -> Result<(f64, f64), Box<dyn Error>> {
    let mut stores = Vec::new();
    for _ in 0..committers {
        let store =
            PostgresStore::open(url, &Ownership::sole(), &PostgresOptions::default(), randomness()).await?;
        stores.push(Arc::new(store));
    }
    *seed += 1;
    let mut world = World::new(*seed);
    let restaurant = world.restaurant();
    stores[0].create_restaurant(&restaurant, &menu(&["naan"])).await?;
    let batches_each = commits / size / committers;
    let batches = batches_of(&mut world, restaurant.id, is_mixed, size, (committers, batches_each));
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for (store, batches) in stores.iter().cloned().zip(batches) {
        running.spawn(async move {
            for batch in batches {
                let outcomes = store.commit(batch).await?;
                if outcomes.iter().any(|outcome| *outcome != CommitOutcome::Committed) {
                    return Err("a commit was not written".into());
                }
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        });
    }
    while let Some(ended) = running.join_next().await {
        ended?.map_err(|error| error.to_string())?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let conflicts: u64 = stores
        .iter()
        .map(|store| store.metrics().serialization_failures.get() + store.metrics().deadlocks.get())
        .sum();
    for store in stores {
        store.close().await;
    }
    let batches = f64::from(u32::try_from(batches_each * committers)?);
    let conflicts = f64::from(u32::try_from(conflicts)?);
    Ok((batches * f64::from(u32::try_from(size)?) / seconds, conflicts * 1_000.0 / batches))
}

/// Returns batches of new orders for each committer. If mixed, every second commit accepts an order that the same
/// committer placed in an earlier batch. Ids are drawn in turn, so that the orders of all committers lie next to each
/// other in every index, as with servers that run at the same time.
fn batches_of(
    world: &mut World,
    restaurant: RestaurantId,
    is_mixed: bool,
    size: usize,
    (committers, count): (usize, usize),
) -> Vec<Batches> {
    let mut waiting = vec![VecDeque::new(); committers];
    let mut batches = vec![Batches::new(); committers];
    for number in 0..count {
        for (waiting, batches) in waiting.iter_mut().zip(&mut batches) {
            let mut batch = Vec::new();
            let mut placed = Vec::new();
            for _ in 0..size {
                let is_turn = is_mixed && (batch.len() + number) % 2 == 1;
                let accepted = if is_turn { waiting.pop_front() } else { None };
                let commit = if let Some(order) = accepted {
                    world.act(&order, &Command::Accept { preparation_minutes: 10 }, &staff(&order))
                } else {
                    let customer = world.account_id();
                    let commit = world.place(restaurant, customer);
                    placed.push(order_of(&commit));
                    commit
                };
                batch.push(commit);
            }
            waiting.extend(placed);
            batches.push(batch);
        }
    }
    batches
}

fn randomness() -> Randomness {
    let state = AtomicU64::new(1);
    Arc::new(move || state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed))
}
