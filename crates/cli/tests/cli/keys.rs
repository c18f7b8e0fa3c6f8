//! `dabba keys`, in the database and through a server.

use dabba_sim::Client;
use serde_json::Value;

use super::support::{Server, block_on, failure, stdout};

/// Proves that a key that the command creates in the database works at a server until the command revokes it through the
/// server, that only the first output contains the key, and that a service account gets no token.
#[test]
fn keys_are_managed_at_the_command_line() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let keys = |arguments: &[&str]| stdout(data.path(), &[&["keys"], arguments].concat());
    let server = Server::start(data.path(), &[]);
    let restaurant = server.announced_text("/restaurant_id");
    server.stop();

    let create = ["create", "--name", "Till 1", "--role", "restaurant", "--restaurant", &restaurant];
    let restricted = ["--scope", "orders:read", "--scope", "accounts:read", "--json", "--data", path];
    let created: Value = serde_json::from_str(&keys(&[&create[..], &restricted].concat())).unwrap();
    let (account, id) = (created["account_id"].as_str().unwrap(), created["id"].as_str().unwrap());
    let secret = created["secret"].as_str().unwrap();
    let second = keys(&["create", "--name", "Till 1b", "--account", account, "--data", path]);
    assert!(second.starts_with("dk_") && second.trim().len() == 41, "{second}");
    let wrong = ["keys", "create", "--name", "X", "--account", account, "--scope", "orders", "--data", path];
    assert!(failure(data.path(), &wrong).contains("orders:read"));
    let token = ["token", "--role", "restaurant", "--account", account, "--data", path];
    assert!(failure(data.path(), &token).contains("dabba keys create"));

    let server = Server::start(data.path(), &[]);
    let address = server.announced_text("/address");
    let till = Client::new(&address).unwrap().with_token(secret);
    let orders = format!("/v1/restaurants/{restaurant}/orders");
    let read = || block_on(till.get(&orders).send());
    assert_eq!(read().unwrap().status, 200);
    let admin = stdout(data.path(), &["token", "--role", "admin", "--data", path]);
    let through = ["--server", &address, "--token", admin.trim()];
    let listed = keys(&[&["list", "--account", account], &through[..]].concat());
    assert!(listed.contains(id) && listed.contains("Till 1b") && !listed.contains(&secret[3..]), "{listed}");
    keys(&[&["revoke", id, "--account", account], &through[..]].concat());
    assert_eq!(read().unwrap_err().problem().unwrap().code, "token_revoked");
    let services =
        stdout(data.path(), &[&["accounts", "list", "--holder", "service"], &through[..]].concat());
    assert!(services.contains(account) && services.contains("(service account)"), "{services}");
}
