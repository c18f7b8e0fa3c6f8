//! Orders that nobody accepts.

use std::time::Duration;

use dabba_testkit::TestServer;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{allowed, metric};

/// Longest time to wait for what has to happen.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server that looks for tasks often.
async fn start() -> TestServer {
    let often = Duration::from_millis(5);
    crate::builder().engine(|engine| engine.tasks.poll_interval = often).start().await
}

async fn read(server: &TestServer, order: &Value) -> Value {
    let path = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    server.get(&path, Some(&server.admin)).await.expect(200)
}

/// Waits until so many tasks have been completed.
async fn completed(server: &TestServer, count: u64) {
    let line = "dabba_tasks_total{kind=\"expire_unaccepted\",outcome=\"completed\"}";
    let wait = async {
        loop {
            let metrics = server.get("/metrics", None).await;
            // There is no such line before the first.
            if metrics.text.contains(line) && metric(&metrics, line) >= count {
                return;
            }
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "{count} tasks are never completed");
}

/// Proves that an order which the restaurant does not accept within its 8 minutes is cancelled, says why,
/// gives its stock back, and can no longer be accepted; and that one that was accepted goes on.
#[tokio::test]
async fn an_order_that_nobody_accepts_is_cancelled() {
    let server = start().await;
    let stock = server.restaurant_path("/menu/items/naan/stock");
    server.put(&stock, Some(&server.staff), &json!({"remaining": 10})).send().await.expect(200);
    let waiting = server.place("waiting", &TestServer::collection()).await;
    let accepted = server.place("accepted", &TestServer::collection()).await;
    let minutes = json!({"preparation_minutes": 20});
    let accepted = server.command(&accepted, "accept", &server.staff, &minutes).send().await.expect(200);
    assert_eq!(waiting["acceptance_deadline"], "2026-06-01T12:08:00Z");

    server.advance(SignedDuration::from_mins(8) - SignedDuration::from_secs(1));
    assert_eq!(read(&server, &waiting).await["status"], "confirmed");
    server.advance(SignedDuration::from_secs(1));
    completed(&server, 2).await;

    let expired = read(&server, &waiting).await;
    assert_eq!((&expired["status"], &expired["closure"]), (&json!("cancelled"), &json!({"how": "expired"})));
    assert_eq!(expired["payment"]["status"], "voided");
    assert_eq!(expired["updated_at"], "2026-06-01T12:08:00Z");
    assert_eq!(allowed(&expired), [""; 0], "nothing was captured, so not even a refund");
    let refused = server.command(&waiting, "accept", &server.staff, &minutes).send().await;
    assert_eq!(refused.problem(409, "illegal_move")["order_status"], "cancelled");
    assert_eq!(read(&server, &accepted).await["version"], accepted["version"]);

    let path = format!("/v1/orders/{}/events", waiting["id"].as_str().unwrap());
    let events = server.get(&path, Some(&server.customer)).await.expect(200);
    let last = events["events"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["type"], &last["actor"]["role"]), (&json!("expired"), &json!("system")), "{last}");
    let left = server.get(&server.restaurant_path("/stock"), Some(&server.staff)).await.expect(200);
    assert_eq!(left.to_string().matches("\"remaining\":9").count(), 1, "only one is sold: {left}");
}

/// Proves that what expires while no server runs is cancelled when one runs again.
#[tokio::test]
async fn an_order_expires_after_a_restart() {
    let mut server = start().await;
    let order = server.place("1", &TestServer::order()).await;
    server.stop().await;
    server.advance(SignedDuration::from_hours(1));
    server.restart().await;
    completed(&server, 1).await;
    assert_eq!(read(&server, &order).await["status"], "cancelled");
}
