//! Sources and targets that `dabba copy` refuses.

use std::fs;

use super::Move;
use crate::{
    postgres::write_shards,
    support::{Server, failure, stdout},
};

/// Proves that a source that changed between two runs is refused with the difference, before and after the copy is complete, and
/// that another source is refused.
#[test]
fn a_source_that_changed_is_refused() {
    let moved = Move::slow();
    moved.kill(1);
    assert!(!moved.is_finished());
    let progress = moved.progress();
    let original = fs::read(moved.file()).unwrap();
    moved.source().execute_batch("UPDATE accounts SET name = 'other' WHERE role = 'admin'").unwrap();
    let text = moved.refused();
    assert!(text.contains("has changed since an unfinished copy: accounts (8 rows, now 8)"), "{text}");
    assert_eq!(moved.progress(), progress);
    fs::write(moved.file(), &original).unwrap();
    moved.succeeds();
    moved.source().execute_batch("DELETE FROM idempotency_keys").unwrap();
    let text = moved.refused();
    assert!(text.contains("has changed since the copy of 20") && text.contains("now 0"), "{text}");

    let other = Move { url: moved.url.clone(), ..Move::migrated() };
    other
        .source()
        .execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM memberships; DELETE FROM accounts")
        .unwrap();
    let text = other.refused();
    assert!(text.contains("of another embedded database"), "{text}");
}

/// Proves that a source is refused that is missing, has an older schema, has an unknown column, is empty, is in use, or breaks an
/// invariant, and that the target stays empty.
#[test]
fn a_source_that_cannot_be_copied_is_refused() {
    let moved = Move::new();
    assert!(moved.refused().contains("run `dabba migrate`"));
    stdout(moved.data(), &["migrate", "--data", moved.data().to_str().unwrap()]);

    let server =
        Server::serve(moved.data(), &["--listen", "127.0.0.1:0", "--log", "error", "--work", "false"]);
    assert!(moved.refused().contains("stop the server"));
    server.stop();

    moved.source().execute_batch("ALTER TABLE orders ADD COLUMN mood TEXT").unwrap();
    assert!(moved.refused().contains("orders.mood"));
    moved.source().execute_batch("ALTER TABLE orders DROP COLUMN mood").unwrap();

    moved
        .source()
        .execute_batch("UPDATE orders SET payment_status = 'captured' WHERE status = 'confirmed'")
        .unwrap();
    assert!(moved.refused().contains("--despite-breaches"));
    assert_eq!(moved.ask("SELECT count(*) FROM orders"), "0");
    let output = moved.command().arg("--despite-breaches").output().unwrap();
    assert!(output.status.success(), "{output:?}");

    let empty = Move::migrated();
    fs::remove_file(empty.file()).unwrap();
    assert!(empty.refused().contains("there is no database"));
    stdout(empty.data(), &["migrate", "--data", empty.data().to_str().unwrap()]);
    assert!(empty.refused().contains("is empty: there is nothing to copy"));
    let server = Server::serve(&empty.data().join("sandbox"), &["--sandbox", "--listen", "127.0.0.1:0"]);
    server.stop();
    let sandbox = empty.data().join("sandbox");
    let text = failure(empty.data(), &["copy", "--to", &empty.url, "--data", sandbox.to_str().unwrap()]);
    assert!(text.contains("is a sandbox"), "{text}");
}

/// Proves that a target is refused that is not empty, belongs to another map, or is too new, and that concurrent writes to the
/// target are detected.
#[test]
fn a_target_that_cannot_be_used_is_refused() {
    let moved = Move::slow();
    let server = Server::serve(
        moved.data(),
        &["--listen", "127.0.0.1:0", "--log", "error", "--work", "false", "--database", &moved.url],
    );
    assert!(moved.refused().contains("use the target"));
    server.stop();
    let account = "INSERT INTO accounts VALUES (gen_random_uuid(), 1, 'e', 'n', 'admin', 'h')";
    moved.ask(account);
    assert!(moved.refused().contains("its table accounts has rows"));
    moved.ask("DELETE FROM accounts");
    moved.kill(1);
    moved.ask("INSERT INTO stock SELECT id, 5, 'not-in-the-source', 1 FROM restaurants LIMIT 1");
    if moved.ask("SELECT count(*) FROM stock WHERE item = 'not-in-the-source'") == "0" {
        moved.ask(account);
    }
    let text = moved.refused();
    assert!(text.contains("differs from the source"), "{text}");
    assert!(!moved.is_finished());

    let older = Move::migrated();
    older
        .cluster
        .execute_script(&older.database, include_str!("../../fixtures/9d8743c/postgres.sql"))
        .unwrap();
    let version = "SELECT max(version) FROM refinery_schema_history";
    let before = older.ask(version);
    assert!(older.refused().contains("its table accounts has rows"));
    assert_eq!(older.ask(version), before, "the schema must not change");

    let sharded = Move::migrated();
    let urls = [(); 2].map(|()| sharded.cluster.url(&sharded.cluster.create_database().unwrap()));
    let map = sharded.data().join("shards.toml");
    write_shards(&map, [&sharded.url, &urls[0], &urls[1]]);
    stdout(sharded.data(), &["migrate", "--shards", map.to_str().unwrap()]);
    assert!(sharded.refused().contains("the map and the database disagree"));

    let newer = Move::migrated();
    stdout(newer.data(), &["migrate", "--database", &newer.url]);
    newer.ask("ALTER TABLE orders ADD COLUMN mood text");
    assert!(newer.refused().contains("orders.mood"));
    newer.ask("INSERT INTO schema_versions VALUES (99, 99); INSERT INTO refinery_schema_history VALUES (99, 'x', 'x', '0')");
    assert!(newer.refused().contains("upgrade it"));
}
