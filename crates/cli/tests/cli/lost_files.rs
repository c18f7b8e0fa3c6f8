//! The embedded database, removed or replaced under a busy server.

use std::{fs, path::Path, process::Stdio, time::Duration};

use dabba_store_sqlite::{SqliteOptions, SqliteStore};

use super::{
    placing::{Placing, whole_orders},
    support::{Server, block_on, dabba, failure, free_address, stdout},
};

/// Number of orders acknowledged before and after each loss.
const ORDERS: u64 = 30;
/// Number of customers who place orders concurrently.
const CUSTOMERS: usize = 4;

/// Moves the database file away, and puts another database there if one is given. Proves that the server is not ready and
/// acknowledges no order.
async fn lose(server: &Server, file: &Path, aside: &Path, replacement: Option<&Path>) {
    fs::rename(file, aside).unwrap();
    if let Some(replacement) = replacement {
        fs::copy(replacement, file).unwrap();
    }
    assert_eq!(server.readiness().await, 503);
    let path = server.orders_path();
    let order = &server.announcement["order"];
    let refused =
        server.client("customer").post(&path).idempotency_key("lost").json(order).send().await.unwrap_err();
    assert_eq!(refused.problem().map(|problem| problem.status), Some(503), "{refused}");
}

/// Proves I2 while the database is removed and replaced under load: no order is acknowledged without the file, the server
/// continues once the file is back, the log of a killed server is not applied to the file that replaced the database, and the
/// original contains every acknowledged order.
#[tokio::test(flavor = "multi_thread")]
async fn no_order_is_acknowledged_into_a_lost_file() {
    let data = tempfile::tempdir().unwrap();
    let (file, aside) = (data.path().join("dabba.db"), data.path().join("aside.db"));
    let other = data.path().join("other.db");
    SqliteStore::migrate(&other).unwrap();
    let address = free_address();
    let start = || tokio::task::block_in_place(|| Server::start_at(&address, data.path(), &[]));
    let server = start();
    let restaurants = [server.announced_text("/restaurant_id")];
    let order = server.announcement["order"].clone();
    let placing = Placing::start("lost", CUSTOMERS, &server.client("customer"), &restaurants, &order);
    for replacement in [None, Some(other.as_path())] {
        placing.wait_for(ORDERS).await;
        lose(&server, &file, &aside, replacement).await;
        fs::rename(&aside, &file).unwrap();
        assert_eq!(server.readiness().await, 200);
    }
    placing.wait_for(ORDERS).await;
    lose(&server, &file, &aside, Some(&other)).await;
    tokio::task::block_in_place(|| server.kill());
    let untouched = fs::read(&file).unwrap();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data", data.path().to_str().unwrap()];
    let text = tokio::task::block_in_place(|| failure(data.path(), &arguments));
    assert!(text.contains("dabba.db-wal") && text.contains("put the original file back"), "{text}");
    assert_eq!(fs::read(&file).unwrap(), untouched);

    fs::rename(&aside, &file).unwrap();
    let server = start();
    placing.wait_for(1).await;
    let acknowledged = placing.finish().await;
    tokio::task::block_in_place(|| server.stop());
    let store = SqliteStore::open(&file, &SqliteOptions::default()).unwrap();
    let stored = whole_orders(&store).await;
    for (key, id) in &acknowledged {
        assert!(stored.contains(id), "{key} is lost");
    }
    assert!(acknowledged.len() as u64 > 3 * ORDERS);
}

/// Proves that a server killed at any moment of its start, with orders in its log, leaves a database that every command opens,
/// with all orders.
#[test]
fn a_server_that_is_killed_while_it_starts_loses_nothing() {
    const ROUNDS: u64 = 30;
    let data = tempfile::tempdir().unwrap();
    let mut orders = 0;
    for round in 0..ROUNDS {
        if round % 10 == 0 {
            let server = Server::start(data.path(), &[]);
            block_on(server.place(&format!("order-{round}")));
            orders += 1;
            server.kill();
        }
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--data", data.path().to_str().unwrap()];
        let mut command = dabba(data.path(), &arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::park_timeout(Duration::from_millis(2 * round));
        let _ = child.kill();
        child.wait().unwrap();
        let audit = ["audit", "--json", "--data", data.path().to_str().unwrap()];
        let report: serde_json::Value = serde_json::from_str(&stdout(data.path(), &audit)).unwrap();
        assert_eq!(report["orders"], orders, "round {round}");
    }
}

/// Proves that the audit finds physical damage in a part of the file that contains no order.
#[test]
fn the_auditor_finds_a_damaged_file() {
    let data = tempfile::tempdir().unwrap();
    Server::start(data.path(), &[]).stop();
    let file = data.path().join("dabba.db");
    let connection = rusqlite::Connection::open(&file).unwrap();
    let page: u32 = connection
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'orders_of_courier'", [], |row| {
            row.get(0)
        })
        .unwrap();
    let size: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
    connection.close().unwrap();
    let mut content = fs::read(&file).unwrap();
    let start = usize::try_from((page - 1) * size).unwrap();
    content[start..start + 64].fill(0xa5);
    fs::write(&file, content).unwrap();
    let output = super::support::run(data.path(), &["audit", "--data", data.path().to_str().unwrap()]);
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success() && report.contains("storage_damaged"), "{report}");
}
