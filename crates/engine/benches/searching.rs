//! Measures the search for restaurants that deliver to a place.
//!
//! `cargo bench -p dabba-engine --bench searching`

#![expect(clippy::unwrap_used, reason = "a panic fails the benchmark")]

#[expect(dead_code, reason = "shared with the tests, which use more of it")]
#[path = "../tests/engine/faulty.rs"]
mod faulty;
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
#[path = "../tests/engine/world.rs"]
mod world;

use std::{f64::consts::TAU, sync::Arc};

use dabba_domain::{
    menu::MenuDocument,
    restaurant::{Location, SettingsDocument},
};
use dabba_engine::{Engine, RestaurantSearch};
use divan::{Bencher, black_box};
use serde_json::json;
use tokio::{runtime::Runtime, task::JoinSet};

use crate::world::World;

/// Number of restaurants. A run of the tests builds without optimization, and only checks that the benchmark works.
const RESTAURANTS: u32 = if cfg!(debug_assertions) { 100 } else { 10_000 };

/// Number of positions of the outline of a zone.
const OUTLINE: u32 = 60;

fn main() {
    divan::main();
}

/// Returns the settings of a restaurant at a place of a city of 40 by 40 km, with weekly opening hours and an outline of
/// about 3 km around it.
fn settings(number: u32) -> SettingsDocument {
    let share = |factor: u32| f64::from(number.wrapping_mul(factor) % 10_007) / 10_007.0;
    let (lat, lng) = (51.3 + 0.36 * share(7_919), -0.4 + 0.58 * share(104_729));
    let position = |step: u32| {
        let (angle, radius) =
            (TAU * f64::from(step) / f64::from(OUTLINE), 0.027 + 0.003 * f64::from(step % 2));
        json!([lng + 1.6 * radius * angle.cos(), lat + radius * angle.sin()])
    };
    let outline: Vec<_> = (0..OUTLINE).chain([0]).map(position).collect();
    let hours = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
        .map(|day| json!({"day": day, "opens": "11:00", "closes": "23:00"}));
    let document = json!({
        "name": format!("Restaurant {number}"), "currency": "GBP", "time_zone": "Europe/London",
        "location": {"lat": lat, "lng": lng}, "opening_hours": hours,
        "zones": [{"id": "all", "area": {"type": "Polygon", "coordinates": [outline]}, "fee": 250, "minutes": 30}],
    });
    serde_json::from_value(document).unwrap()
}

/// Returns a server that knows all restaurants.
fn server(runtime: &Runtime) -> (World, Arc<Engine>, JoinSet<()>) {
    runtime.block_on(async {
        let world = World::new().await;
        for number in 0..RESTAURANTS {
            let created = world.engine.catalogue.create_restaurant(
                &world.admin,
                settings(number),
                MenuDocument::default(),
            );
            created.await.unwrap();
        }
        let engine = world.second_engine();
        let mut following = JoinSet::new();
        following.spawn(Arc::clone(&engine.catalogue).follow_restaurants());
        while engine.catalogue.search(&search(0)).incomplete {
            tokio::task::yield_now().await;
        }
        (world, engine, following)
    })
}

/// A search for open restaurants somewhere in the city.
fn search(number: u32) -> RestaurantSearch {
    let share = |factor: u32| f64::from(number.wrapping_mul(factor) % 9_973) / 9_973.0;
    let place = Location { lat: 51.33 + 0.3 * share(6_007), lng: -0.35 + 0.48 * share(3_001) };
    RestaurantSearch { place, is_open: Some(true), text: None, after: None, limit: 50 }
}

/// Searches a page of open restaurants.
#[divan::bench(sample_count = 1_000)]
fn page(bencher: Bencher<'_, '_>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_world, engine, _following) = server(&runtime);
    assert!(!engine.catalogue.search(&search(1)).restaurants.is_empty());
    let mut number = 0;
    bencher
        .with_inputs(|| {
            number += 1;
            search(number)
        })
        .bench_local_values(|search| engine.catalogue.search(black_box(&search)));
}
