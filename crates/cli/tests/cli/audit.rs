//! `dabba audit`, on the data of a server.

use dabba_pg_cluster::Cluster;
use serde_json::{Value, json};

use super::{
    postgres::write_shards,
    support::{Server, block_on, failure, run, stdout},
};

/// Places this many orders; the first one is accepted, the second one cancelled. Returns their ids.
fn place(server: &Server, count: usize) -> Vec<String> {
    let path = server.orders_path();
    let (customer, kitchen) = (server.client("customer"), server.client("restaurant"));
    let order = &server.announcement["order"];
    block_on(async {
        let mut ids = Vec::new();
        for number in 0..count {
            let key = format!("audit-{number}");
            let placed = customer.post(&path).idempotency_key(&key).json(order).send().await.unwrap();
            ids.push(placed.body["id"].as_str().unwrap().to_owned());
        }
        let minutes = json!({"preparation_minutes": 10});
        kitchen.post(&format!("/v1/orders/{}/accept", ids[0])).json(&minutes).send().await.unwrap();
        let reason = json!({"reason": "changed_mind"});
        customer.post(&format!("/v1/orders/{}/cancel", ids[1])).json(&reason).send().await.unwrap();
        ids
    })
}

/// Proves that the audit of a demo's orders in the embedded store is clean, as text and as JSON, and that the store
/// must exist and must not be in use.
#[test]
fn the_embedded_store_is_audited_when_no_server_uses_it() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let arguments = ["audit", "--data", data.to_str().unwrap()];
    assert!(failure(directory.path(), &arguments).contains("there is no database"));
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0, "an audit must create nothing");

    let server = Server::start(&data, &[]);
    place(&server, 3);
    assert!(failure(directory.path(), &arguments).contains("one process at a time"));
    server.stop();

    let text = stdout(directory.path(), &arguments);
    assert!(text.ends_with("orders: 3, events: 8, breaches: 0, warnings: 0\n"), "{text}");
    let report = stdout(directory.path(), &[&arguments[..], &["--json"]].concat());
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(
        (&report["orders"], &report["breaches"], &report["counts"]),
        (&json!(3), &json!(0), &json!({}))
    );
}

/// Proves that manual changes to a database, beside a running server, are reported per order with the stored and the
/// expected value, and with an exit status for scripts; and that an unreadable order fails the audit, which names it.
#[test]
fn manual_changes_are_found_in_postgresql() {
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--database", &url]);
    let ids = place(&server, 3);
    let arguments = ["audit", "--database", &url];
    let text = stdout(directory.path(), &arguments);
    assert_eq!(text.lines().last(), Some("orders: 3, events: 8, breaches: 0, warnings: 0"), "{text}");

    let (moved, unpaid) = (&ids[0], &ids[1]);
    let sql = format!("UPDATE orders SET status = 'ready_for_pickup' WHERE id = '{moved}'");
    cluster.execute(&database, &sql).unwrap();
    let sql = format!("UPDATE orders SET payment_status = 'captured' WHERE id = '{unpaid}'");
    cluster.execute(&database, &sql).unwrap();
    let output = run(directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |id: &str| text.lines().find(|line| line.contains(id)).unwrap();
    assert!(line(moved).contains("state_differs") && line(moved).contains("Preparing"), "{text}");
    assert!(line(unpaid).contains("payment_status") && line(unpaid).contains("should be voided"), "{text}");
    assert!(text.ends_with("orders: 3, events: 8, breaches: 2, warnings: 0\n"), "{text}");

    let output = run(directory.path(), &[&arguments[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["counts"], json!({"state_differs": 1, "payment_status": 1}));
    assert_eq!(report["findings"][0]["severity"], "breach");

    // Pages are newest first and read one order ahead: the unreadable order is one of the two behind.
    cluster.execute(&database, &format!("UPDATE orders SET status = 'eaten' WHERE id = '{moved}'")).unwrap();
    let output = run(directory.path(), &arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{errors}");
    assert!(errors.contains(&format!("older than {}", ids[2])), "{errors}");
    assert!(errors.contains(&format!("order {moved} cannot be decoded: eaten")), "{errors}");
    server.stop();
}

/// Proves that an audit of several shards fails without a report if one shard does not answer.
#[test]
fn an_unreachable_shard_fails_the_audit() {
    let cluster = Cluster::shared().unwrap();
    let urls = [(); 3].map(|()| cluster.url(&cluster.create_database().unwrap()));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shards.toml");
    let arguments = ["audit", "--shards", file.to_str().unwrap()];
    write_shards(&file, urls.each_ref().map(String::as_str));
    stdout(directory.path(), &["migrate", "--shards", file.to_str().unwrap()]);
    let empty = "tasks: 0, keys: 0, limited items: 0\norders: 0, events: 0, breaches: 0, warnings: 0\n";
    assert_eq!(stdout(directory.path(), &arguments), empty);

    // No process listens on port 9 (discard).
    write_shards(&file, [&urls[0], "postgres://dabba@127.0.0.1:9/dabba", &urls[2]]);
    let output = run(directory.path(), &arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{errors}");
    assert!(errors.contains("could not read everything"), "{errors}");
}
