//! The embedded database, removed or replaced under a server that is busy.

use std::{fs, path::Path, process::Stdio, time::Duration};

use dabba_store_sqlite::{SqliteOptions, SqliteStore};

use super::{
    placing::{Placing, whole_orders},
    support::{Server, block_on, dabba, failure, free_address, stdout},
};

/// Orders that are acknowledged before and after each loss.
const ORDERS: u64 = 30;
/// Customers who place orders meanwhile.
const CUSTOMERS: usize = 4;

/// The status of the answer to a readiness check.
async fn readiness(server: &Server) -> u16 {
    reqwest::get(format!("{}/readyz", server.said("/address"))).await.unwrap().status().as_u16()
}

/// Takes the file away, and puts another database there if told so. Proves that neither readiness nor an order is granted.
async fn lose(server: &Server, file: &Path, aside: &Path, replacement: Option<&Path>) {
    fs::rename(file, aside).unwrap();
    if let Some(replacement) = replacement {
        fs::copy(replacement, file).unwrap();
    }
    assert_eq!(readiness(server).await, 503);
    let path = format!("/v1/restaurants/{}/orders", server.said("/restaurant_id"));
    let order = &server.announcement["order"];
    let refused =
        server.client("customer").post(&path).idempotency_key("lost").json(order).send().await.unwrap_err();
    assert_eq!(refused.problem().map(|problem| problem.status), Some(503), "{refused}");
}

/// Proves I2 while the database is removed and replaced under load: nothing is acknowledged meanwhile, the server goes on
/// once the file is back, a killed server's log is not applied to the file that replaced the database, and every
/// acknowledged order is in the original.
#[tokio::test(flavor = "multi_thread")]
async fn no_order_is_acknowledged_into_a_lost_file() {
    let data = tempfile::tempdir().unwrap();
    let (file, aside) = (data.path().join("dabba.db"), data.path().join("aside.db"));
    let other = data.path().join("other.db");
    SqliteStore::migrate(&other).unwrap();
    let address = free_address();
    let start = || tokio::task::block_in_place(|| Server::start_at(&address, data.path(), &[]));
    let server = start();
    let restaurants = [server.said("/restaurant_id")];
    let order = server.announcement["order"].clone();
    let placing = Placing::start("lost", CUSTOMERS, &server.client("customer"), &restaurants, &order);
    for replacement in [None, Some(other.as_path())] {
        placing.wait_for(ORDERS).await;
        lose(&server, &file, &aside, replacement).await;
        fs::rename(&aside, &file).unwrap();
        assert_eq!(readiness(&server).await, 200);
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

/// Proves that a server that is killed at any moment of its start, with orders in its log, leaves a database that every command
/// opens, with all orders.
#[test]
fn a_server_that_is_killed_while_it_starts_loses_nothing() {
    const ROUNDS: u64 = 30;
    let data = tempfile::tempdir().unwrap();
    let mut orders = 0;
    for round in 0..ROUNDS {
        if round % 10 == 0 {
            let server = Server::start(data.path(), &[]);
            block_on(async {
                let path = format!("/v1/restaurants/{}/orders", server.said("/restaurant_id"));
                let key = format!("order-{round}");
                let order = &server.announcement["order"];
                server.client("customer").post(&path).idempotency_key(&key).json(order).send().await.unwrap();
            });
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

/// Proves that the auditor finds damage in the file itself, in a part that no order is read from.
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
