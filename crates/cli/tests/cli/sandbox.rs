//! `dabba serve --sandbox`: the adjustable clock, and the protection against accidental sandboxes.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
};

use dabba_domain::Timestamp;
use dabba_pg_cluster::Cluster;
use dabba_sim::{Client, OpenResponse};
use dabba_testkit::eventually;
use serde_json::{Value, json};

use super::{
    postgres::{a_restaurant_in_each, order},
    provider::{Provider, counted, place_by_card, wait_until, webhook_secret},
    support::{Server, block_on, dabba, failure, free_address, stdout},
};

/// Time that a restaurant has for accepting an order, in seconds.
const ACCEPTANCE_SECONDS: u32 = 480;
/// A time longer than the lifetime of a token, in seconds.
const A_DAY: u32 = 86_400;

/// Returns all files of a directory with their contents.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// Places an order at a restaurant with the usual time for accepting it.
async fn place(server: &Server) -> Value {
    let restaurant = a_restaurant_in_each(server, &[(0, 4_095)]).await.remove(0);
    let path = format!("/v1/restaurants/{restaurant}/orders");
    let request = server.client("customer").post(&path).idempotency_key("sandbox");
    request.json(&order()).send().await.unwrap().body
}

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// Advances the clock, and returns its new time.
async fn advance(admin: &Client, seconds: u32) -> Timestamp {
    let request = admin.post("/v1/sandbox/clock/advance").json(&json!({"seconds": seconds}));
    time(&request.send().await.unwrap().body["now"])
}

async fn clock(admin: &Client) -> Timestamp {
    time(&admin.get("/v1/sandbox/clock").send().await.unwrap().body["now"])
}

/// Returns the status of a request for the sandbox's clock.
async fn clock_status(server: &Server) -> u16 {
    let answer = server.client("admin").get("/v1/sandbox/clock").send().await;
    answer.map_or_else(|error| error.problem().unwrap().status, |answer| answer.status)
}

/// Id of a device that shows a board.
const DEVICE: &str = "7f3c1f6e-2b4d-4c8a-9d3e-5a6b7c8d9e0f";

/// Opens the board of a restaurant as its staff, and waits until the connection is recorded.
async fn open_board(server: &Server, restaurant: &str) -> (OpenResponse, Value) {
    let (admin, staff) = (server.client("admin"), server.client("restaurant"));
    let account = staff.get("/v1/accounts/me").send().await.unwrap().body;
    let member = format!("/v1/restaurants/{restaurant}/members/{}", account["id"].as_str().unwrap());
    admin.put(&member).send().await.unwrap();
    let path = format!("/v1/restaurants/{restaurant}/board/stream?device_id={DEVICE}");
    let stream = staff.get(&path).open().await.unwrap();
    let recorded = eventually("the board is recorded as connected", async || {
        let found = boards(&admin, restaurant).await;
        if found["boards"][0]["connected"] == true { Ok(found) } else { Err(found) }
    });
    (stream, recorded.await)
}

async fn boards(admin: &Client, restaurant: &str) -> Value {
    admin.get(&format!("/v1/restaurants/{restaurant}/boards")).send().await.unwrap().body
}

/// Proves that the board of a server that was killed counts as disconnected since it was last seen, and as connected once it
/// has connected to the restarted server.
#[test]
fn the_board_of_a_killed_server_leaves_its_restaurant_unattended() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--sandbox"]);
    let (restaurant, seen) = block_on(async {
        let restaurant = a_restaurant_in_each(&server, &[(0, 4_095)]).await.remove(0);
        let (_stream, seen) = open_board(&server, &restaurant).await;
        server.kill();
        (restaurant, seen)
    });

    let server = Server::start(data.path(), &["--sandbox"]);
    block_on(async {
        let admin = server.client("admin");
        advance(&admin, 120).await;
        let found = boards(&admin, &restaurant).await;
        assert_eq!(found["boards"][0]["connected"], false);
        assert_eq!(found["unattended_since"], found["boards"][0]["last_seen_at"]);
        assert!(time(&found["unattended_since"]) >= time(&seen["boards"][0]["connected_at"]));
        let (_stream, found) = open_board(&server, &restaurant).await;
        assert_eq!(found.get("unattended_since"), None);
    });
    server.stop();
}

/// Proves that a board that is connected while the clock is advanced stays connected, so that its restaurant is attended all the
/// time.
#[test]
fn a_board_stays_connected_while_the_clock_is_advanced() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--sandbox", "--unattended-pause-minutes", "1"]);
    block_on(async {
        let admin = server.client("admin");
        let restaurant = a_restaurant_in_each(&server, &[(0, 4_095)]).await.remove(0);
        let (_stream, _) = open_board(&server, &restaurant).await;
        for _ in 0..4 {
            let now = advance(&admin, ACCEPTANCE_SECONDS).await;
            let found = boards(&admin, &restaurant).await;
            let board = &found["boards"][0];
            assert!(board["connected"] == true && time(&board["last_seen_at"]) >= now, "{found}");
            assert_eq!(found.get("unattended_since"), None);
        }
    });
    server.stop();
}

/// Proves that an order in a sandbox that nobody accepts expires at once when the clock is advanced, and that the clock
/// does not go back when the server is restarted or killed.
#[test]
fn an_advanced_clock_expires_orders_and_never_goes_back() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--sandbox"]);
    let later = block_on(async {
        let order = place(&server).await;
        let admin = server.client("admin");
        advance(&admin, ACCEPTANCE_SECONDS - 60).await;
        assert_eq!(wait_until(&server, &order, |_| true).await["status"], "confirmed");
        advance(&admin, 60).await;
        let expired = wait_until(&server, &order, |order| order["status"] == "cancelled").await;
        assert_eq!(expired["closure"]["how"], "expired");
        advance(&admin, A_DAY).await
    });
    server.kill();

    let server = Server::start(data.path(), &["--sandbox"]);
    let again = block_on(clock(&server.client("admin")));
    assert!(again >= later, "{again} is before {later}");
    server.stop();
    let text = stdout(data.path(), &["audit", "--data", data.path().to_str().unwrap()]);
    assert!(text.contains("orders: 1,") && text.contains("breaches: 0,"), "{text}");
}

/// Proves that a sandbox is not served without `--sandbox`, with or without a demo, whatever the settings are, and that
/// the attempt changes nothing.
#[test]
fn a_sandbox_is_served_only_with_the_flag() {
    let data = tempfile::tempdir().unwrap();
    Server::start(data.path(), &["--sandbox"]).stop();
    let before = files(data.path());
    let path = data.path().to_str().unwrap();
    for more in [&[][..], &["--demo"], &["--migrate", "false"]] {
        let text = failure(data.path(), &[&["serve", "--data", path], more].concat());
        assert!(text.contains("is a sandbox") && text.contains("--sandbox"), "{text}");
    }
    assert_eq!(files(data.path()), before);
}

/// Proves that a worker, like the server, refuses a live key in a sandbox.
#[test]
fn a_sandboxs_worker_moves_no_real_money() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    fs::create_dir(&data).unwrap();
    Server::start(&data, &["--sandbox"]).stop();
    fs::write(directory.path().join("live"), "sk_live_51abc").unwrap();
    let settings = "data = \"data\"\npayment_gateway = \"stripe\"\npayment_key_file = \"live\"\n";
    fs::write(directory.path().join("dabba.toml"), settings).unwrap();
    assert!(failure(directory.path(), &["work"]).contains("a sandbox refuses a live key"));
}

/// Proves that data created without `--sandbox` never becomes a sandbox, and that the attempt changes nothing.
#[test]
fn existing_data_never_becomes_a_sandbox() {
    let data = tempfile::tempdir().unwrap();
    Server::start(data.path(), &[]).stop();
    let before = files(data.path());
    let path = data.path().to_str().unwrap();
    let text = failure(data.path(), &["serve", "--sandbox", "--demo", "--data", path]);
    assert!(text.contains("has a database that is not a sandbox"), "{text}");
    assert_eq!(files(data.path()), before);

    let server = Server::start(data.path(), &[]);
    assert_eq!(block_on(clock_status(&server)), 404);
    server.stop();
}

/// Proves that there is no sandbox on PostgreSQL, even if the data directory is a sandbox.
#[test]
fn there_is_no_sandbox_on_postgresql() {
    let cluster = Cluster::shared().unwrap();
    let url = cluster.url(&cluster.create_database().unwrap());
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let arguments = ["serve", "--sandbox", "--demo", "--data", path, "--database", &url];
    let text = failure(data.path(), &arguments);
    assert!(text.contains("--sandbox works only with the embedded database"), "{text}");
    assert_eq!(files(data.path()), BTreeMap::new());

    Server::start(data.path(), &["--sandbox"]).stop();
    assert!(failure(data.path(), &arguments).contains("--sandbox works only with the embedded database"));
    let server = Server::start(data.path(), &["--database", &url]);
    assert_eq!(block_on(clock_status(&server)), 404);
}

/// Proves that a printed token is valid by the sandbox's clock, which is a day ahead, although older tokens have
/// expired by that clock.
#[test]
fn a_printed_token_is_valid_by_the_sandboxs_clock() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--sandbox"]);
    let path = data.path().to_str().unwrap();
    let printed = || stdout(data.path(), &["token", "--role", "admin", "--data", path]);
    block_on(async {
        let before = server.client("admin");
        advance(&before, A_DAY).await;
        let error = before.get("/v1/sandbox/clock").send().await.unwrap_err();
        assert_eq!(error.problem().unwrap().status, 401, "{error}");
        clock(&before.with_token(printed().trim())).await;
    });
}

/// Proves that only the flag creates a sandbox: neither the environment nor the settings file does.
#[test]
fn only_the_flag_creates_a_sandbox() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = dabba(directory.path(), &["serve", "--json", "--listen", "127.0.0.1:0"]);
    let command = command.env("DABBA_SANDBOX", "true").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    let text = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    assert!(text.contains("DABBA_SANDBOX") && text.contains("looks like a setting but is not one"), "{text}");
    let made = files(&directory.path().join("dabba-data"));
    assert!(made.contains_key("dabba.db") && !made.contains_key("sandbox.json"), "{:?}", made.keys());

    fs::write(directory.path().join("dabba.toml"), "sandbox = true\n").unwrap();
    let text = failure(directory.path(), &["serve"]);
    assert!(
        text.contains("dabba.toml") && text.contains("line 1: there is no setting \"sandbox\""),
        "{text}"
    );
}

/// Proves that webhooks reach a sandbox that is far ahead, although an external provider signs them by the real time.
#[test]
fn a_provider_reports_to_a_sandbox_that_is_ahead() {
    let data = tempfile::tempdir().unwrap();
    let (address, secret) = (free_address(), webhook_secret(data.path()));
    let provider = Provider::reporting_to(&address, &secret);
    let arguments = [
        ["--payment-gateway", "simulated"],
        ["--payment-url", &provider.address()],
        ["--payment-webhook-secret-file", secret.to_str().unwrap()],
    ];
    let arguments = [&["--sandbox"], arguments.as_flattened()].concat();
    let server = Server::start_at(&address, data.path(), &arguments);
    block_on(async {
        advance(&server.client("admin"), ACCEPTANCE_SECONDS).await;
        let order = place_by_card(&server, "tok_succeed").await;
        wait_until(&server, &order, |order| order["status"] == "confirmed").await;
        eventually("the provider posts a webhook", async || {
            let posted = counted(&server, &["/v1/webhooks/payments", "204"]).await;
            if posted == 0 { Err(posted) } else { Ok(()) }
        })
        .await;
        assert_eq!(counted(&server, &["/v1/webhooks/payments", "400"]).await, 0);
    });
}
