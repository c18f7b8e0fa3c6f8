//! Migrations of databases of older programs.

use std::sync::Arc;

use dabba_domain::{TaskId, order::PaymentStatus};
use dabba_pg_cluster::Cluster;
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
use tokio_postgres::{Client, NoTls};

use crate::{
    Ownership, PostgresOptions, PostgresStore,
    migrate::{MIGRATIONS, NEWEST},
};

/// Last schema version without card payments.
const BEFORE_CARD_PAYMENTS: i32 = 3;

/// Returns the number of migrations after a version.
fn newer_than(version: i32) -> usize {
    MIGRATIONS.0.len() - usize::try_from(version).unwrap()
}

/// Last schema version whose menus contained the availability of their items.
const BEFORE_AVAILABILITY: i32 = 5;

async fn database_at(url: &str, version: i32) -> Client {
    let (mut client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let migrations = MIGRATIONS.up_to(NEWEST).unwrap();
    let runner = Runner::new(&migrations).set_target(Target::Version(version));
    runner.run_async(&mut client).await.unwrap();
    client
}

/// Writes an order in the schema without card payments.
async fn insert(client: &Client, past: &PastOrder) {
    let PastOrder { order, closure, events, .. } = past;
    let nanoseconds = |at| exact_nanoseconds(at).unwrap();
    client
        .execute(
            "INSERT INTO orders (id, restaurant_id, customer_id, version, total, captured, refunded, \
                acceptance_deadline_ns, ready_by_ns, placed_at_ns, updated_at_ns, is_terminal, status, \
                payment_status, currency, closure) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16::text::json)",
            &[
                &order.id.uuid(),
                &order.details.restaurant_id.uuid(),
                &order.details.customer_id.uuid(),
                &i64::from(order.version),
                &order.details.amounts.total.minor(),
                &order.captured.minor(),
                &order.refunded.minor(),
                &order.acceptance_deadline.map(nanoseconds),
                &order.ready_by.map(nanoseconds),
                &nanoseconds(order.placed_at),
                &nanoseconds(order.updated_at),
                &order.status.is_terminal(),
                &order.status.as_str(),
                &order.payment_status.as_str(),
                &order.details.currency.code(),
                closure,
            ],
        )
        .await
        .unwrap();
    for event in events {
        client
            .execute(
                "INSERT INTO order_events (order_id, version, at_ns, type, actor, data) \
                 VALUES ($1, $2, $3, $4, $5::text::json, $6::text::json)",
                &[
                    &order.id.uuid(),
                    &i64::from(event.version),
                    &event.at_ns,
                    &event.name,
                    &event.actor,
                    &event.data,
                ],
            )
            .await
            .unwrap();
    }
}

/// After the migration, cash orders, refunded or not, match their events, and waiting tasks can still be claimed.
#[tokio::test]
async fn orders_from_before_card_payments_are_whole_after_the_migration() {
    let cluster = Cluster::shared().unwrap();
    let url = cluster.url(&cluster.create_database().unwrap());
    let mut world = World::new(111);
    let past = past_orders(&mut world);
    assert!(past.iter().any(|past| past.order.payment_status == PaymentStatus::Refunded));
    let task_id: TaskId = world.task_id(past[0].order.id);
    let client = database_at(&url, BEFORE_CARD_PAYMENTS).await;
    for past in &past {
        insert(&client, past).await;
    }
    let old_task =
        "INSERT INTO tasks (id, order_id, kind, run_at_ns) VALUES ($1, $2, 'expire_unaccepted', 1)";
    client.execute(old_task, &[&task_id.uuid(), &past[0].order.id.uuid()]).await.unwrap();

    assert_eq!(PostgresStore::migrate(&url, &Ownership::sole()).await, Ok(newer_than(BEFORE_CARD_PAYMENTS)));
    let options = PostgresOptions::default();
    let store = PostgresStore::open(&url, &Ownership::sole(), &options, Arc::new(|| 0)).await.unwrap();
    let store = Arc::new(store);
    past_orders_are_whole(store.clone(), &mut world, &past).await;
    past_task_is_leased(store.clone(), &world, task_id).await;
    store.close().await;
}

/// Items that were sold out in the current stored menu are unavailable after the migration; earlier menus are
/// ignored.
#[tokio::test]
async fn sold_out_items_are_unavailable_after_the_migration() {
    let cluster = Cluster::shared().unwrap();
    let url = cluster.url(&cluster.create_database().unwrap());
    let mut world = World::new(112);
    let client = database_at(&url, BEFORE_AVAILABILITY).await;
    let restaurants = [world.restaurant(), world.restaurant()];
    for restaurant in &restaurants {
        let settings = serde_json::to_string(&restaurant.settings).unwrap();
        let insert = "INSERT INTO restaurants (id, revision, menu_revision, name, created_at_ns, settings) \
            VALUES ($1, 1, 3, 'Old', 0, $2::text::json)";
        client.execute(insert, &[&restaurant.id.uuid(), &settings]).await.unwrap();
        for (revision, menu) in [(1_i64, OLD_MENU), (2, MENU_WITH_AVAILABILITY)] {
            let insert = "INSERT INTO menus (restaurant_id, revision, menu) VALUES ($1, $2, $3::text::json)";
            client.execute(insert, &[&restaurant.id.uuid(), &revision, &menu]).await.unwrap();
        }
    }
    PostgresStore::migrate(&url, &Ownership::sole()).await.unwrap();
    let options = PostgresOptions::default();
    let store = PostgresStore::open(&url, &Ownership::sole(), &options, Arc::new(|| 0)).await.unwrap();
    let store = Arc::new(store);
    for restaurant in restaurants {
        past_availability_is_kept(store.clone(), restaurant.id).await;
    }
    store.close().await;
}
