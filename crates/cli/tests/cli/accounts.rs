//! `dabba accounts`, and its effect on running servers.

use std::{
    fs,
    time::{Duration, Instant},
};

use dabba_pg_cluster::Cluster;
use dabba_sim::{Client, ClientError};
use dabba_testkit::{equal, eventually_within};
use serde_json::{Value, json};

use super::support::{Server, block_on, failure, stdout};

/// Documented maximum time until every server refuses a revoked token. The servers poll once in a second.
const BOUND: Duration = Duration::from_secs(5);

fn status(result: Result<dabba_sim::ClientResponse, ClientError>) -> (u16, String) {
    match result {
        Ok(answer) => (answer.status, String::new()),
        Err(error) => {
            let problem = error.problem().unwrap();
            (problem.status, problem.code.clone())
        }
    }
}

fn me(server: &Server, token: &str) -> (u16, String) {
    let client = Client::new(&server.announced_text("/address")).unwrap().with_token(token);
    block_on(async { status(client.get("/v1/accounts/me").send().await) })
}

fn login(server: &Server, email: &str, password: &str) -> (u16, String) {
    let client = Client::new(&server.announced_text("/address")).unwrap();
    let body = json!({"email": email, "password": password});
    block_on(async { status(client.post("/v1/tokens").json(&body).send().await) })
}

/// Proves that every server of a database refuses a token within five seconds after it is revoked through one server or in the
/// database, and that servers accept a token issued afterwards at once.
#[test]
fn a_revocation_reaches_every_server() {
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let on_database = ["--database", url.as_str()];
    let (first, second) =
        (Server::start(data.path(), &on_database), Server::start(data.path(), &on_database));
    let courier = first.announced_text("/courier_id");
    let token = || {
        let arguments =
            ["token", "--role", "courier", "--account", &courier, "--data", path, "--database", &url];
        stdout(data.path(), &arguments).trim().to_owned()
    };
    let admin = stdout(data.path(), &["token", "--role", "admin", "--data", path]).trim().to_owned();
    let address = first.announced_text("/address");
    for place in
        [&["--server", address.as_str(), "--token", &admin][..], &["--data", path, "--database", &url]]
    {
        let token = token();
        for server in [&first, &second] {
            assert_eq!(me(server, &token).0, 200);
        }
        stdout(data.path(), &[&["accounts", "revoke-tokens", &courier], place].concat());
        let begun = Instant::now();
        for server in [&first, &second] {
            let limit = BOUND.saturating_sub(begun.elapsed());
            eventually_within(limit, "every server refuses the token", || {
                let answer = me(server, &token);
                assert!(matches!(answer.0, 200 | 401), "{answer:?}");
                equal(answer, &(401, "token_revoked".to_owned()))
            });
        }
    }
    let token = token();
    for server in [&first, &second] {
        assert_eq!(me(server, &token).0, 200);
    }
}

/// Proves each subcommand on the embedded database: directly while no server runs, and through a running server.
#[test]
fn accounts_are_managed_at_the_command_line() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let place = ["--data", path];
    let accounts = |arguments: &[&str]| stdout(data.path(), &[&["accounts"], arguments, &place[..]].concat());
    let server = Server::start(data.path(), &[]);
    let courier = server.announced_text("/courier_id");
    let text = failure(data.path(), &["accounts", "disable", &courier, "--data", path]);
    assert!(text.contains("--server URL"), "{text}");
    server.stop();

    let listed = accounts(&["list"]);
    assert!(listed.contains("courier@dabba.example") && listed.contains("enabled"), "{listed}");
    let one: Value =
        serde_json::from_str(&accounts(&["list", "--email", "Courier@dabba.example", "--json"])).unwrap();
    assert_eq!((&one["id"], &one["role"]), (&json!(courier), &json!("courier")));
    assert_eq!(accounts(&["list", "--email", "nobody@dabba.example"]).trim(), "no account matches");
    let disabled: Value = serde_json::from_str(&accounts(&["disable", &courier])).unwrap();
    assert!(disabled["disabled_at"].is_string(), "{disabled}");
    let token = ["token", "--role", "courier", "--account", &courier, "--data", path];
    let text = failure(data.path(), &token);
    assert!(text.contains("is disabled") && text.contains("dabba accounts enable"), "{text}");
    accounts(&["enable", &courier]);
    stdout(data.path(), &token);
    accounts(&["set-role", &courier, "--role", "customer"]);
    let text = failure(data.path(), &token);
    assert!(text.contains("has the role customer"), "{text}");
    accounts(&["set-role", &courier, "--role", "courier"]);
    let password = data.path().join("password");
    fs::write(&password, "seven green kettles\n").unwrap();
    let set = |text: &str| {
        fs::write(&password, text).unwrap();
        ["accounts", "set-password", &courier, "--data", path, "--password-file", password.to_str().unwrap()]
            .map(str::to_owned)
    };
    let short = set("short\n");
    let text = failure(data.path(), &short.each_ref().map(String::as_str));
    assert!(text.contains("at least 8 characters"), "{text}");
    stdout(data.path(), &set("seven green kettles\n").each_ref().map(String::as_str));

    let only = accounts(&["list", "--role", "admin", "--json"]);
    let only: Value = serde_json::from_str(&only).unwrap();
    let text = failure(data.path(), &["accounts", "delete", only["id"].as_str().unwrap(), "--data", path]);
    assert!(text.contains("only enabled admin"), "{text}");

    let server = Server::start(data.path(), &[]);
    assert_eq!(login(&server, "courier@dabba.example", "seven green kettles").0, 200);
    let admin = stdout(data.path(), &["token", "--role", "admin", "--data", path]);
    let through =
        ["--server", &server.announced_text("/address"), "--token", admin.trim()].map(str::to_owned);
    let through = through.each_ref().map(String::as_str);
    let at_server =
        |arguments: &[&str]| stdout(data.path(), &[&["accounts"], arguments, &through[..]].concat());
    assert!(at_server(&["list", "--email", "courier@dabba.example"]).contains(&courier));
    at_server(&["delete", &courier]);
    let shown: Value = serde_json::from_str(&at_server(&["show", &courier])).unwrap();
    assert!(shown["deleted_at"].is_string() && shown.get("email").is_none(), "{shown}");
    assert_eq!(
        login(&server, "courier@dabba.example", "seven green kettles"),
        (401, "wrong_credentials".to_owned())
    );
    let text = failure(data.path(), &[&["accounts", "enable", &courier], &through[..]].concat());
    assert!(text.contains("there is no such account"), "{text}");
    let text = failure(data.path(), &token);
    assert!(text.contains("is permanently deleted") && !text.contains("enable"), "{text}");
}

/// Proves that a token for an id without an account is accepted, also if it is issued after the id was revoked.
#[test]
fn a_revoked_id_without_an_account_gets_a_new_token() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let server = Server::start(data.path(), &[]);
    let id = "01930000-0000-7000-8000-000000000000";
    let token = || {
        let arguments = ["token", "--role", "admin", "--account", id, "--data", path];
        stdout(data.path(), &arguments).trim().to_owned()
    };
    let list = |token: &str| {
        let client = Client::new(&server.announced_text("/address")).unwrap().with_token(token);
        block_on(async { status(client.get("/v1/accounts").send().await) })
    };
    let first = token();
    assert_eq!(list(&first).0, 200);
    stdout(
        data.path(),
        &["accounts", "revoke-tokens", id, "--server", &server.announced_text("/address"), "--token", &first],
    );
    assert_eq!(list(&first), (401, "token_revoked".to_owned()));
    assert_eq!(list(&token()).0, 200);
}

/// Proves that a revocation after the restore of a backup is effective, also for tokens issued after an earlier revocation that
/// the backup lacks.
#[test]
fn a_restored_backup_revokes_tokens_issued_before() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let backup = data.path().join("backup.db");
    let backup = backup.to_str().unwrap();
    let server = Server::start(data.path(), &[]);
    let courier = server.announced_text("/courier_id");
    server.stop();
    let token = || {
        let arguments = ["token", "--role", "courier", "--account", &courier, "--data", path];
        stdout(data.path(), &arguments).trim().to_owned()
    };
    let revoke = || stdout(data.path(), &["accounts", "revoke-tokens", &courier, "--data", path]);
    stdout(data.path(), &["backup", backup, "--data", path]);
    revoke();
    let between = token();
    stdout(data.path(), &["restore", backup, "--data", path, "--replace"]);
    revoke();
    let after = token();
    let server = Server::start(data.path(), &[]);
    assert_eq!(me(&server, &between), (401, "token_revoked".to_owned()));
    assert_eq!(me(&server, &after).0, 200);
}
