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
    assert!(listed.contains("used at ") && listed.contains("no use recorded"), "{listed}");
    let revoke = [&["revoke", id, "--account", account], &through[..]].concat();
    assert_eq!(keys(&revoke), format!("{id} is revoked\n"));
    assert!(keys(&revoke).starts_with(&format!("{id} was already revoked at ")));
    assert_eq!(read().unwrap_err().problem().unwrap().code, "token_revoked");
    let services =
        stdout(data.path(), &[&["accounts", "list", "--holder", "service"], &through[..]].concat());
    assert!(services.contains(account) && services.contains("(service account)"), "{services}");
}

/// Proves that wrong arguments of `keys create` are refused with what is allowed, each problem once, and before an
/// account is created; in the database and through a server.
#[test]
fn a_wrong_key_leaves_no_account_behind() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let server = Server::start(data.path(), &[]);
    let (address, token) = (server.announced_text("/address"), server.announced_text("/tokens/admin"));
    let unknown = "0195c2d4-0000-7000-8000-000000000000";
    let check = |place: &[&str]| {
        for (arguments, expected) in [
            (&["--name", "X"][..], "--role"),
            (&["--name", "X", "--role", "restaurant", "--expires", "tomorrow"], "2027-01-31T00:00:00Z"),
            (&["--name", "X", "--role", "restaurant", "--expires", "2020-01-31T00:00:00Z"], "ten years"),
            (&["--name", "X", "--role", "courier", "--restaurant", unknown], "role restaurant"),
            (&["--name", "X", "--role", "restaurant", "--restaurant", unknown], unknown),
            (&["--name", "", "--role", "restaurant"], "/name"),
        ] {
            let text = failure(data.path(), &[&["keys", "create"], arguments, place].concat());
            assert_eq!(text.matches(expected).count(), 1, "{arguments:?}: {text}");
            assert!(!text.contains("--token <"), "{text}");
        }
        let list = [&["accounts", "list", "--holder", "service", "--json"], place].concat();
        assert_eq!(stdout(data.path(), &list), "");
    };
    check(&["--server", &address, "--token", &token]);
    server.stop();
    check(&["--data", path]);
}

/// Proves that the use of a key is shown right after it, although it is written in the background, also after a stop.
#[test]
fn a_use_is_recorded_before_the_server_stops() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let server = Server::start(data.path(), &[]);
    let (address, token) = (server.announced_text("/address"), server.announced_text("/tokens/admin"));
    let create = ["keys", "create", "--name", "X", "--role", "courier", "--json"];
    let through = ["--server", &address, "--token", &token];
    let created: Value =
        serde_json::from_str(&stdout(data.path(), &[&create[..], &through].concat())).unwrap();
    let key = Client::new(&address).unwrap().with_token(created["secret"].as_str().unwrap());
    block_on(key.get("/v1/accounts/me").send()).unwrap();
    server.stop();
    let list = ["keys", "list", "--account", created["account_id"].as_str().unwrap(), "--data", path];
    let listed = stdout(data.path(), &list);
    assert!(listed.contains("used at "), "{listed}");
}
