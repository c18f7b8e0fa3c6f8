//! `dabba work`, and servers that leave the work to it.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use dabba_pg_cluster::Cluster;
use serde_json::{Value, json};

use super::support::{PATIENCE, Server, block_on, dabba, failure, pause};

/// A process that works. Killed when dropped.
struct Working(Child);

impl Working {
    /// Starts one, and waits until it says that it works.
    fn start(data: &Path, more: &[&str]) -> Self {
        let arguments = [&["work", "--data", data.to_str().unwrap()], more].concat();
        let mut child = dabba(data, &arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("Dabba works the tasks"), "{line:?}");
        Self(child)
    }

    /// Ends it in order.
    fn stop(mut self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            pause();
        };
        assert!(status.success(), "{status}");
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until a query has this answer.
fn becomes(database: &str, sql: &str, expected: &str) {
    let begun = Instant::now();
    loop {
        let found = Cluster::shared().unwrap().execute(database, sql).unwrap();
        if found.trim() == expected {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{sql} stays at {found:?}");
        pause();
    }
}

async fn place(server: &Server, key: &str) -> Value {
    let path = format!("/v1/restaurants/{}/orders", server.said("/restaurant_id"));
    let order = &server.announcement["order"];
    server.client("customer").post(&path).idempotency_key(key).json(order).send().await.unwrap().body
}

/// Proves that a server can leave its tasks to other processes, and that such a process works them on the
/// same database: the task of an order that was accepted is done and gone; that of one that still waits is
/// put off to the order's deadline, whatever the clock of who wrote it said.
#[test]
fn tasks_are_worked_beside_a_server_that_leaves_them() {
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--database", &url, "--work", "false"]);
    block_on(async {
        let accepted = place(&server, "accepted").await;
        place(&server, "waiting").await;
        let path = format!("/v1/orders/{}/accept", accepted["id"].as_str().unwrap());
        let minutes = json!({"preparation_minutes": 10});
        server.client("restaurant").post(&path).json(&minutes).send().await.unwrap();
    });
    // As if they had been written with too early a time.
    cluster.execute(&database, "UPDATE tasks SET run_at_ns = 0").unwrap();

    let working = Working::start(data.path(), &["--database", &url]);
    becomes(&database, "SELECT count(*), min(run_at_ns) > 0, min(attempts) FROM tasks", "1|t|1");
    working.stop("TERM");
    server.stop();
}

/// Proves that the tasks of the embedded database can be worked while no server runs, that both signals end
/// that in order, and that a running server is not disturbed: who comes second is told why it cannot work.
#[test]
fn the_embedded_database_is_worked_by_one_process_at_a_time() {
    let data = tempfile::tempdir().unwrap();
    for signal in ["TERM", "INT"] {
        Working::start(data.path(), &[]).stop(signal);
    }
    let server = Server::start(data.path(), &[]);
    let text = failure(data.path(), &["work", "--data", data.path().to_str().unwrap()]);
    assert!(text.contains("dabba.db") && text.contains("one process at a time"), "{text}");
    server.stop();
}
