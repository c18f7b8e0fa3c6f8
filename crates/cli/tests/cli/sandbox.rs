//! `dabba serve --sandbox`: a clock that is put forward, and how hard it is to get one by accident.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
    time::Instant,
};

use dabba_domain::Timestamp;
use dabba_pg_cluster::Cluster;
use dabba_sim::Client;
use serde_json::{Value, json};

use super::{
    postgres::{a_restaurant_in_each, order},
    provider::{Provider, counted, place_by_card, until, webhook_secret},
    support::{PATIENCE, Server, block_on, dabba, failure, free_address, stdout},
};

/// The time that a restaurant has for accepting an order, in seconds.
const ACCEPTANCE_SECONDS: u32 = 480;
/// Longer than a token is valid, in seconds.
const A_DAY: u32 = 86_400;

/// All files of a directory with what they hold.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// Places an order at a restaurant that has as long as is usual for accepting it.
async fn place(server: &Server) -> Value {
    let restaurant = a_restaurant_in_each(server, &[(0, 4_095)]).await.remove(0);
    let path = format!("/v1/restaurants/{restaurant}/orders");
    let request = server.client("customer").post(&path).idempotency_key("sandbox");
    request.json(&order()).send().await.unwrap().body
}

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// Puts the clock forward, and answers what it shows then.
async fn advance(admin: &Client, seconds: u32) -> Timestamp {
    let request = admin.post("/v1/sandbox/clock/advance").json(&json!({"seconds": seconds}));
    time(&request.send().await.unwrap().body["now"])
}

async fn clock(admin: &Client) -> Timestamp {
    time(&admin.get("/v1/sandbox/clock").send().await.unwrap().body["now"])
}

/// The status with which a request for the sandbox's clock is answered.
async fn clock_status(server: &Server) -> u16 {
    let answer = server.client("admin").get("/v1/sandbox/clock").send().await;
    answer.map_or_else(|error| error.problem().unwrap().status, |answer| answer.status)
}

/// Proves that in a sandbox an order expires in a moment for which nobody accepts, and that the clock does not
/// go back when the server is started again, or killed.
#[test]
fn eight_minutes_pass_in_a_moment_and_stay_passed() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--sandbox"]);
    let later = block_on(async {
        let order = place(&server).await;
        let admin = server.client("admin");
        advance(&admin, ACCEPTANCE_SECONDS - 60).await;
        assert_eq!(until(&server, &order, |_| true).await["status"], "confirmed");
        advance(&admin, 60).await;
        let expired = until(&server, &order, |order| order["status"] == "cancelled").await;
        assert_eq!(expired["closure"]["how"], "expired");
        advance(&admin, A_DAY).await
    });
    server.kill();

    let server = Server::start(data.path(), &["--sandbox"]);
    let again = block_on(clock(&server.client("admin")));
    assert!(again >= later, "{again} is before {later}");
    server.stop();
    let text = stdout(data.path(), &["audit", "--data", data.path().to_str().unwrap()]);
    assert!(text.contains("1 orders") && text.contains("0 breaches"), "{text}");
}

/// Proves that a sandbox is not served as if it were none, by a server with or without a demo, whatever the
/// settings say, and that nothing is changed by trying.
#[test]
fn a_sandbox_is_served_as_one_only() {
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

/// Proves that a worker takes no live key in a sandbox, as little as its server does.
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

/// Proves that what was begun without `--sandbox` never becomes a sandbox, and that nothing is changed by
/// trying.
#[test]
fn what_was_begun_without_stays_without() {
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

/// Proves that there is no sandbox on PostgreSQL, even where the data directory is one's.
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

/// Proves that a printed token is valid by the sandbox's clock, a day ahead as it is, by which those that were
/// given before have run out.
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

/// Proves that neither the environment nor the settings file makes a sandbox: the flag alone does.
#[test]
fn only_the_flag_makes_a_sandbox() {
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

/// Proves that a provider elsewhere reports to a sandbox that is far ahead of it: what it posts is signed by
/// the time of the world.
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
        until(&server, &order, |order| order["status"] == "confirmed").await;
        let begun = Instant::now();
        while counted(&server, &["/v1/webhooks/payments", "204"]).await == 0 {
            assert!(begun.elapsed() < PATIENCE, "the provider does not report");
        }
        assert_eq!(counted(&server, &["/v1/webhooks/payments", "400"]).await, 0);
    });
}
