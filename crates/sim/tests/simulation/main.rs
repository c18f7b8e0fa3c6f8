//! Seeded simulations with injected failures, after which everything must be correct.

#![expect(clippy::unwrap_used, reason = "the helpers of the tests fail a test by panicking")]

use std::{path::Path, sync::Arc, time::Instant};

use dabba_sim::{Plant, SimulationError, SimulationOptions, SimulationReport, simulate};
use dabba_store::Store as _;
use dabba_store_sqlite::{SqliteOptions, SqliteStore};

/// Number of orders in a simulation that must find no problem.
const ORDERS: u32 = 1_000;
/// Number of orders in a simulation that must find a problem.
const FEW_ORDERS: u32 = 150;
/// Seeds that are tried until a defect is found.
const SEEDS: std::ops::Range<u64> = 1..6;

async fn run(options: SimulationOptions) -> Result<SimulationReport, SimulationError> {
    // Uses memory if there is such a directory. The test kills no process, so it does not need to wait for a
    // disk.
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let directory = tempfile::tempdir_in(place).unwrap();
    let path = directory.path().join("dabba.db");
    SqliteStore::migrate(&path).unwrap();
    let store = Arc::new(SqliteStore::open(&path, &SqliteOptions::default()).unwrap());
    let begun = Instant::now();
    let result = simulate(Arc::clone(&store) as _, &options).await;
    store.close().await;
    if let Ok(report) = &result {
        eprintln!("{report:?} in {:.1?}", begun.elapsed());
    }
    result
}

fn options(seed: u64, orders: u32, plant: Option<Plant>) -> SimulationOptions {
    SimulationOptions { seed, orders, plant }
}

/// Proves that with all failures injected, every order ends, its money is correct, and the auditor finds
/// nothing. `DABBA_SIMULATION_SEED` selects another seed.
#[tokio::test]
async fn after_all_failures_everything_is_correct() {
    let seed = std::env::var("DABBA_SIMULATION_SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut reversed_of_ended = 0;
    for seed in [seed, seed + 1] {
        let report = run(options(seed, ORDERS, None)).await.unwrap_or_else(|error| panic!("{error}"));
        assert!(report.orders > u64::from(ORDERS) / 2, "{report:?}");
        assert!(report.delivered > 100 && report.failures > 100, "{report:?}");
        assert!(report.external_refunds > 0, "{report:?}");
        assert!(report.other_amounts > 0 && report.of_nothing > 0, "{report:?}");
        assert!(report.reversed_refunds > 0, "{report:?}");
        assert!(report.ends_for_items > 0, "{report:?}");
        reversed_of_ended += report.reversed_refunds_of_ended_orders;
        assert!(report.deaths > 10 && report.hangs > 10 && report.restarts > 10, "{report:?}");
    }
    // This case is rare: an order ends after its payment was captured, and the provider reverses the refund.
    assert!(reversed_of_ended > 0, "no refund of an ended order was reversed");
}

/// Proves that the same seed has the same result.
#[tokio::test]
async fn the_same_seed_has_the_same_result() {
    let first = run(options(7, FEW_ORDERS, None)).await.unwrap();
    let again = run(options(7, FEW_ORDERS, None)).await.unwrap();
    assert_eq!(first, again);
    let other = run(options(8, FEW_ORDERS, None)).await.unwrap();
    assert_ne!(first.digest, other.digest);
}

/// Proves that the simulation finds defects. Without this test, a simulation without problems would prove
/// nothing.
#[tokio::test]
async fn planted_defects_are_found() {
    for plant in Plant::ALL {
        let mut found = None;
        for seed in SEEDS {
            if let Err(error) = run(options(seed, FEW_ORDERS, Some(plant))).await {
                found = Some(error);
                break;
            }
        }
        let error = found.unwrap_or_else(|| panic!("{plant:?} is not found"));
        eprintln!("{plant:?}: {error}");
        assert!(!error.problems.is_empty());
        let again = run(options(error.seed, FEW_ORDERS, Some(plant))).await.unwrap_err();
        assert_eq!(again.problems, error.problems, "the same seed must find the same problems");
    }
}
