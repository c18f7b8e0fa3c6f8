//! Measurement of the shards: `/metrics` while databases answer, fail and hang.

use std::{sync::Arc, time::Duration};

use dabba_engine::{Engine, EngineConfig};
use jiff::SignedDuration;
use prometheus_client::{encoding::text::encode, registry::Registry};

use crate::{
    faulty::Fault,
    working::eventually,
    world::{World, config, dal},
};

fn page(engine: &Engine) -> String {
    let (mut registry, mut text) = (Registry::default(), String::new());
    engine.register_metrics(&mut registry);
    encode(&mut text, &registry).unwrap();
    text
}

/// Returns the value of a series; `None` if it is not exported.
fn shown(engine: &Engine, series: &str) -> Option<f64> {
    let page = page(engine);
    let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map(|value| value.parse().unwrap())
}

const UP: &str = "dabba_shard_up{shard=\"main\"}";
const DIRECTORY: &str = "dabba_directory_up";
const AT: &str = "dabba_shard_measured_timestamp_seconds{shard=\"main\"}";
const OVERDUE: &str = "dabba_task_oldest_overdue_seconds{shard=\"main\",queue=\"deadlines\"}";

/// Proves that nothing is exported before the first measurement, that a shard that fails is down while its last
/// measurement and its time stay, and that it is up again after the next measurement.
#[tokio::test]
async fn a_shard_that_fails_is_down_and_keeps_its_last_measurement() {
    let world = World::new().await;
    let engine = &world.engine;
    assert_eq!((shown(engine, UP), shown(engine, AT), shown(engine, OVERDUE)), (None, None, None));
    world.place(&dal(1), "a").await.unwrap();
    engine.measure_shard(0).await.unwrap();
    let first = shown(engine, AT).unwrap();
    assert_eq!((shown(engine, UP), shown(engine, DIRECTORY)), (Some(1.0), Some(1.0)));
    assert_eq!(shown(engine, OVERDUE), Some(0.0));
    assert_eq!(shown(engine, "dabba_tasks_parked{shard=\"main\",kind=\"review\"}"), Some(0.0));

    world.clock.advance(SignedDuration::from_hours(1));
    world.store.measurements.fail_once(Fault::Before);
    assert!(engine.measure_shard(0).await.is_err());
    assert_eq!((shown(engine, UP), shown(engine, DIRECTORY)), (Some(0.0), Some(0.0)));
    assert_eq!((shown(engine, AT), shown(engine, OVERDUE)), (Some(first), Some(0.0)));

    engine.measure_shard(0).await.unwrap();
    assert_eq!((shown(engine, UP), shown(engine, AT)), (Some(1.0), Some(first + 3_600.0)));
    assert!(shown(engine, OVERDUE).unwrap() > 1_000.0, "the deadline's task is long overdue");
}

/// Proves that a database that hangs is down after the timeout of a measurement, that `/metrics` is answered in the
/// meantime, and that the background measurement continues once the database answers, also after a panic.
#[tokio::test]
async fn a_shard_that_hangs_is_down() {
    let world = World::with(EngineConfig {
        measurement_interval: Duration::from_millis(1),
        measurement_timeout: Duration::from_millis(20),
        ..config()
    })
    .await;
    let engine = &world.engine;
    let background = tokio::spawn(Arc::clone(engine).measure_shards());
    eventually("the shard is up", async || shown(engine, UP) == Some(1.0)).await;
    world.store.measurement_gate.shut();
    eventually("the shard is down", async || shown(engine, UP) == Some(0.0)).await;
    world.store.measurements.fail_once(Fault::Panic);
    world.store.measurement_gate.open();
    eventually("the shard is up again", async || shown(engine, UP) == Some(1.0)).await;
    assert!(
        page(engine).contains("dabba_part_failures_total{part=\"measurer_0\"} 1"),
        "the panic is counted"
    );
    background.abort();
}
