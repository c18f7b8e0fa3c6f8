//! `dabba work`, and servers without workers.

use dabba_pg_cluster::Cluster;
use serde_json::{Value, json};

use super::support::{Server, Working, block_on, failure, stdout};

/// Proves that a server can leave its tasks to other processes, and that such a process handles them on the same
/// database: the task of an accepted order is completed and removed; the task of a waiting order is postponed to the
/// order's deadline, whatever the writer's clock was.
#[test]
fn a_worker_processes_the_tasks_of_a_server_without_workers() {
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--database", &url, "--work", "false"]);
    block_on(async {
        let accepted = server.place("accepted").await;
        server.place("waiting").await;
        let path = format!("/v1/orders/{}/accept", accepted["id"].as_str().unwrap());
        let minutes = json!({"preparation_minutes": 10});
        server.client("restaurant").post(&path).json(&minutes).send().await.unwrap();
    });
    // Simulates tasks that were written with too early a time.
    cluster.execute(&database, "UPDATE tasks SET run_at_ns = 0").unwrap();

    let working = Working::start(data.path(), &["--database", &url]);
    let sql = "SELECT count(*), min(run_at_ns) > 0, min(attempts) FROM tasks";
    cluster.wait_for_result(&database, sql, "1|t|1").unwrap();
    working.stop("TERM");
    server.stop();
}

/// Proves that the tasks of the embedded database can be processed while no server runs, that both signals end the
/// worker in order, and that a worker beside a running server is refused with the reason and does not disturb the
/// server.
#[test]
fn only_one_process_at_a_time_uses_the_embedded_database() {
    let data = tempfile::tempdir().unwrap();
    stdout(data.path(), &["migrate", "--data", data.path().to_str().unwrap()]);
    for signal in ["TERM", "INT"] {
        Working::start(data.path(), &[]).stop(signal);
    }
    let server = Server::start(data.path(), &[]);
    let text = failure(data.path(), &["work", "--data", data.path().to_str().unwrap()]);
    assert!(text.contains("dabba.db") && text.contains("one process at a time"), "{text}");
    server.stop();
}

/// Proves that `dabba tasks` shows parked tasks with all their failures, retries one and resolves another with a
/// reason; in the database itself and through a server.
#[test]
fn parked_tasks_are_listed_retried_and_resolved() {
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--database", &url, "--work", "false"]);
    block_on(async {
        for key in ["one", "two"] {
            server.place(key).await;
        }
    });
    cluster
        .execute(
            &database,
            "UPDATE tasks SET attempts = 16, parked_at_ns = 1780315200000000000, failures = \
             '[{\"attempt\": 15, \"at_ns\": 1, \"error\": \"first\"}, {\"attempt\": 16, \"at_ns\": 2, \"error\": \"last\"}]'",
        )
        .unwrap();

    let at_database = ["--database", &url];
    let (address, token) = (server.announced_text("/address"), server.announced_text("/tokens/admin"));
    let at_server = ["--server", &address, "--token", &token];
    let tasks =
        |arguments: &[&str], place: &[&str]| stdout(data.path(), &[&["tasks"], arguments, place].concat());
    let listed = tasks(&["--json"], &at_database);
    assert_eq!(listed, tasks(&["--json"], &at_server));
    let listed: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let id = |index: usize| listed[index]["id"].as_str().unwrap();
    assert_eq!((listed.len(), &listed[0]["attempts"]), (2, &json!(16)));
    assert_eq!(listed[0]["parked_at"], "2026-06-01T12:00:00Z");
    assert_eq!(listed[0]["failures"][0]["error"], "first");
    let table = tasks(&[], &at_database);
    assert!(table.contains(id(0)) && table.contains("last") && !table.contains("first"), "{table}");

    let unknown =
        failure(data.path(), &["tasks", "resolve", id(0), at_server[0], at_server[1], at_server[2], &token]);
    assert!(unknown.contains("--reason"), "{unknown}");
    let resolved = tasks(&["resolve", id(0), "--reason", "rang them up", "--json"], &at_server);
    assert!(resolved.contains("\"outcome\":\"resolved\""), "{resolved}");
    let sql = "SELECT resolution FROM tasks WHERE resolved_at_ns IS NOT NULL";
    cluster.wait_for_result(&database, sql, "rang them up").unwrap();
    assert!(tasks(&["retry", id(1)], &at_database).contains("is queued for a retry"));
    assert_eq!(tasks(&[], &at_database).trim(), "no task is parked");
    for action in [&["tasks", "retry", id(1)][..], &["tasks", "resolve", id(0), "--reason", "again"]] {
        for place in [&at_database[..], &at_server] {
            let text = failure(data.path(), &[action, place].concat());
            assert!(text.contains("no parked task has this id"), "{text}");
        }
    }
    // At a wrong path, the server has no tasks: the text must not say anything about the task.
    let elsewhere = format!("{address}/elsewhere");
    let place = ["--server", &elsewhere, "--token", &token];
    let text = failure(data.path(), &[&["tasks", "retry", id(1)], &place[..]].concat());
    assert!(text.contains("not_found") && !text.contains("no parked task"), "{text}");
    // The task is not due: the worker postpones it without a further failure.
    let working = Working::start(data.path(), &["--database", &url]);
    let sql = "SELECT attempts, jsonb_array_length(failures) FROM tasks WHERE parked_at_ns IS NULL";
    cluster.wait_for_result(&database, sql, "17|2").unwrap();
    working.stop("TERM");
    server.stop();
}
