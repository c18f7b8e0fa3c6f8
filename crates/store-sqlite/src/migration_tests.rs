//! Migrations of databases of older programs.

use std::{path::Path, sync::Arc};

use dabba_domain::{TaskId, order::PaymentStatus};
use dabba_store::{
    Store as _,
    conformance::{
        builders::World,
        past::{
            MENU_WITH_AVAILABILITY, OLD_MENU, PastOrder, past_availability_is_kept, past_orders,
            past_orders_are_whole, past_task_is_leased,
        },
    },
    encoding::exact_nanoseconds,
};
use refinery::{Runner, Target};
use rusqlite::{Connection, params};

use crate::{
    SqliteOptions, SqliteStore,
    codec::id_bytes,
    migrate::{MIGRATIONS, NEWEST},
};

/// The last version before card payments.
const BEFORE_CARD_PAYMENTS: i32 = 2;

/// Returns the number of migrations after a version.
fn newer_than(version: i32) -> usize {
    MIGRATIONS.0.len() - usize::try_from(version).unwrap()
}

/// The last version whose menus contained the availability of their items.
const BEFORE_AVAILABILITY: i32 = 4;

fn database_at(path: &Path, version: i32) -> Connection {
    let mut connection = Connection::open(path).unwrap();
    let migrations = MIGRATIONS.up_to(NEWEST).unwrap();
    Runner::new(&migrations).set_target(Target::Version(version)).run(&mut connection).unwrap();
    connection
}

/// Writes an order in the form from before card payments.
fn insert(connection: &Connection, past: &PastOrder) {
    let PastOrder { order, details, closure, events } = past;
    connection
        .execute(
            "INSERT INTO orders (id, restaurant_id, customer_id, courier_id, status, is_terminal, payment_status, \
                version, currency, total, captured, refunded, acceptance_deadline_ns, ready_by_ns, closure, \
                placed_at_ns, updated_at_ns, details) \
             VALUES (?1, ?2, ?3, NULL, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
            params![
                id_bytes(order.id),
                id_bytes(order.details.restaurant_id),
                id_bytes(order.details.customer_id),
                order.status.as_str(),
                order.status.is_terminal(),
                order.payment_status.as_str(),
                order.version,
                order.details.currency.code(),
                order.details.amounts.total.minor(),
                order.captured.minor(),
                order.refunded.minor(),
                order.acceptance_deadline.map(|at| exact_nanoseconds(at).unwrap()),
                order.ready_by.map(|at| exact_nanoseconds(at).unwrap()),
                closure,
                exact_nanoseconds(order.placed_at).unwrap(),
                exact_nanoseconds(order.updated_at).unwrap(),
                details,
            ],
        )
        .unwrap();
    for event in events {
        connection
            .execute(
                "INSERT INTO order_events (order_id, version, type, data, actor, at_ns) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![id_bytes(order.id), event.version, event.name, event.data, event.actor, event.at_ns],
            )
            .unwrap();
    }
}

/// Proves that cash orders, refunded or not, equal the fold of their events after the migration, and that
/// waiting tasks are still leased.
#[tokio::test]
async fn orders_from_before_card_payments_are_complete_after_the_migration() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("old.db");
    let mut world = World::new(111);
    let past = past_orders(&mut world);
    assert!(past.iter().any(|past| past.order.payment_status == PaymentStatus::Refunded));
    let task_id: TaskId = world.task_id(past[0].order.id);
    let connection = database_at(&path, BEFORE_CARD_PAYMENTS);
    for past in &past {
        insert(&connection, past);
    }
    connection
        .execute(
            "INSERT INTO tasks (id, order_id, kind, run_at_ns) VALUES (?1, ?2, 'expire_unaccepted', 1)",
            params![id_bytes(task_id), id_bytes(past[0].order.id)],
        )
        .unwrap();
    drop(connection);

    assert_eq!(SqliteStore::migrate(&path), Ok(newer_than(BEFORE_CARD_PAYMENTS)));
    let store = Arc::new(SqliteStore::open(&path, &SqliteOptions::default()).unwrap());
    past_orders_are_whole(store.clone(), &mut world, &past).await;
    past_task_is_leased(store.clone(), &world, task_id).await;
    store.close().await;
}

/// Proves that items that were unavailable in the current stored menu are unavailable after the migration;
/// earlier menus do not matter.
#[tokio::test]
async fn unavailable_items_stay_unavailable_after_the_migration() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("old.db");
    let mut world = World::new(112);
    let connection = database_at(&path, BEFORE_AVAILABILITY);
    let restaurants = [world.restaurant(), world.restaurant()];
    for restaurant in &restaurants {
        let settings = serde_json::to_string(&restaurant.settings).unwrap();
        let parameters = params![id_bytes(restaurant.id), settings];
        let insert = "INSERT INTO restaurants (id, revision, menu_revision, name, created_at_ns, settings) \
            VALUES (?1, 1, 3, 'Old', 0, ?2)";
        connection.execute(insert, parameters).unwrap();
        for (revision, menu) in [(1, OLD_MENU), (2, MENU_WITH_AVAILABILITY)] {
            let insert = "INSERT INTO menus (restaurant_id, revision, menu) VALUES (?1, ?2, ?3)";
            connection.execute(insert, params![id_bytes(restaurant.id), revision, menu]).unwrap();
        }
    }
    drop(connection);
    SqliteStore::migrate(&path).unwrap();
    let store = Arc::new(SqliteStore::open(&path, &SqliteOptions::default()).unwrap());
    for restaurant in restaurants {
        past_availability_is_kept(store.clone(), restaurant.id).await;
    }
    store.close().await;
}
