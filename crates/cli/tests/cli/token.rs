//! `dabba token`

use dabba_sim::Client;

use super::support::{Server, block_on, failure, stdout};

#[test]
fn a_printed_token_works_while_the_server_runs() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let path = data.path().to_str().unwrap();
    let admin = stdout(data.path(), &["token", "--role", "admin", "--data", path]);
    let arguments =
        ["token", "--role", "courier", "--account", &server.announced_text("/courier_id"), "--data", path];
    let courier = stdout(data.path(), &arguments);
    block_on(async {
        let client = Client::new(&server.announced_text("/address")).unwrap();
        client.with_token(admin.trim()).get("/v1/orders").send().await.unwrap();
        let me = client.with_token(courier.trim()).get("/v1/accounts/me").send().await.unwrap();
        assert_eq!(me.body["email"], "courier@dabba.example");
        let nobody = client.with_token("not a token").get("/v1/orders").send().await.unwrap_err();
        assert_eq!(nobody.problem().unwrap().status, 401);
    });
}

#[test]
fn a_token_needs_a_key_and_an_account() {
    let directory = tempfile::tempdir().unwrap();
    assert!(failure(directory.path(), &["token", "--role", "admin"]).contains("no signing key at"));
    assert!(failure(directory.path(), &["token", "--role", "customer"]).contains("--account ID"));
    assert!(failure(directory.path(), &["token", "--role", "king"]).contains("--role"));
    let short = directory.path().join("short");
    std::fs::write(&short, "abcd").unwrap();
    let arguments = ["token", "--role", "admin", "--signing-key-file", short.to_str().unwrap()];
    assert!(failure(directory.path(), &arguments).contains("at least 32 bytes"));
}

/// Proves that a token for an account in a database that is not migrated is refused with the remedy.
#[test]
fn a_token_for_an_account_needs_a_migrated_database() {
    let directory = tempfile::tempdir().unwrap();
    let database = rusqlite::Connection::open(directory.path().join("dabba.db")).unwrap();
    database.execute_batch(include_str!("../fixtures/9d8743c/sqlite.sql")).unwrap();
    drop(database);
    std::fs::write(directory.path().join("signing-key"), "07".repeat(32)).unwrap();
    let account = "01930000-0000-7000-8000-000000000000";
    let path = directory.path().to_str().unwrap();
    let message =
        failure(directory.path(), &["token", "--role", "courier", "--account", account, "--data", path]);
    assert!(message.contains("run `dabba migrate`"), "{message}");
}
