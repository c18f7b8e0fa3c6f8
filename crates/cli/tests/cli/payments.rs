//! Card payments with simulated providers, in the server itself and in another process.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use dabba_gateways::simulated::{ProviderHealth, ledger::Summary, tokens};
use dabba_pg_cluster::Cluster;
use dabba_testkit::{equal, eventually};
use serde_json::{Value, json};

use super::{
    provider::{Provider, command, counted, place_by_card, wait_until, webhook_secret},
    support::{Server, Working, block_on, dabba, failure, free_address},
};

/// Decline reasons of the tokens that are declined.
const DECLINES: [(&str, &str); 5] = [
    ("tok_decline", "card_declined"),
    ("tok_insufficient_funds", "insufficient_funds"),
    ("tok_expired_card", "expired_card"),
    ("tok_fraud", "suspected_fraud"),
    ("tok_nobody_knows", "invalid_token"),
];

/// Time for which an order waits for its payment, in seconds.
const PAYMENT_DEADLINE_SECONDS: u32 = 600;

/// Labels of the metrics of webhook requests.
const WEBHOOKS: [&str; 2] = ["dabba_http_requests_total", "/v1/webhooks/payments"];

/// Returns the arguments of a server for a provider that is slow and sometimes fails. The circuit breaker stays closed.
fn paying_through(provider: &Provider) -> Vec<String> {
    let address = provider.address();
    let arguments = [
        ["--payment-gateway", "simulated"],
        ["--payment-url", &address],
        ["--payment-timeout-seconds", "1"],
        ["--payment-breaker-failures", "1000"],
        ["--task-poll-milliseconds", "50"],
    ];
    arguments.iter().flatten().map(|argument| (*argument).to_owned()).collect()
}

fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// Returns the provider's expected records, derived from an order.
fn expected(order: &Value) -> Summary {
    let payment = &order["payment"];
    let amount = |name: &str| payment[name].as_i64().unwrap();
    let (captured, refunded) = (amount("captured"), amount("refunded"));
    let once = |amount: i64| u32::from(amount > 0);
    Summary {
        authorized: captured,
        captured,
        refunded,
        authorizations: once(captured),
        captures: once(captured),
        refunds: once(refunded),
        declines: u32::from(payment["status"] == "failed"),
        ..Summary::default()
    }
}

/// Waits for the outcome of an order's token. If the order is paid, the restaurant accepts it, and cancels it after the capture.
async fn walk(server: &Server, token: &str, order: &Value) -> Value {
    let decided = wait_until(server, order, |order| order["status"] != "created").await;
    if let Some((_, reason)) = DECLINES.iter().find(|(declined, _)| *declined == token) {
        let (status, closure) = (&decided["status"], &decided["closure"]);
        assert_eq!(
            (status, closure),
            (&json!("cancelled"), &json!({"how": "payment_failed", "reason": reason}))
        );
        return decided;
    }
    assert_eq!((&decided["status"], token), (&json!("confirmed"), token));
    command(server, order, "restaurant", "accept", json!({"preparation_minutes": 10})).await;
    let captured = wait_until(server, order, |order| order["payment"]["status"] == "captured").await;
    assert_eq!(captured["payment"]["captured"], captured["amounts"]["total"]);
    command(server, order, "restaurant", "cancel", json!({"reason": "kitchen_closed"})).await;
    let ended = wait_until(server, order, |order| order["payment"]["status"] == "refunded").await;
    assert_eq!(
        (&ended["status"], &ended["payment"]["refunded"]),
        (&json!("refunded"), &ended["amounts"]["total"])
    );
    ended
}

/// Proves that with a provider in another process every card leads to its documented outcome, however the provider behaves; that
/// the provider's records match each order exactly once; and that all its webhooks, some of them late or duplicated, are accepted
/// and change nothing that is known.
#[test]
fn every_card_has_its_documented_outcome() {
    let data = tempfile::tempdir().unwrap();
    let (address, secret) = (free_address(), webhook_secret(data.path()));
    let provider = Provider::reporting_to(&address, &secret);
    let mut arguments = paying_through(&provider);
    arguments.extend(["--payment-webhook-secret-file", secret.to_str().unwrap()].map(str::to_owned));
    let server = Server::start_at(&address, data.path(), &borrowed(&arguments));
    block_on(async {
        let mut placed = Vec::new();
        for token in tokens::exact().chain(["tok_nobody_knows"]) {
            placed.push((token, place_by_card(&server, token).await));
        }
        let (mut ended, mut reports) = (Vec::new(), 0);
        for (token, order) in &placed {
            let order = walk(&server, token, order).await;
            let Summary { authorizations, captures, refunds, declines, .. } = expected(&order);
            reports += u64::from(authorizations + captures + refunds + declines);
            ended.push(order);
        }
        eventually("the provider has posted all webhooks", async || {
            let posted = counted(&server, &[WEBHOOKS[0], WEBHOOKS[1], "204"]).await;
            if posted < reports { Err(posted) } else { Ok(()) }
        })
        .await;
        let all = counted(&server, &WEBHOOKS).await;
        let taken = counted(&server, &[WEBHOOKS[0], WEBHOOKS[1], "204"]).await;
        assert!(taken >= all, "a webhook was refused");
        for (order, (token, _)) in ended.iter().zip(&placed) {
            assert_eq!(provider.summary(order).await, expected(order), "{token}");
            assert_eq!(wait_until(&server, order, |_| true).await["version"], order["version"], "{token}");
        }
    });
    server.stop();
    provider.stop();
}

/// Proves that another process can process payments for a server that does not, if both use the same provider.
#[test]
fn a_worker_processes_the_payments_of_a_server_without_workers() {
    let cluster = Cluster::shared().unwrap();
    let url = cluster.url(&cluster.create_database().unwrap());
    let data = tempfile::tempdir().unwrap();
    let provider = Provider::start(&[]);
    let settings = format!(
        "database = \"{url}\"\npayment_gateway = \"simulated\"\npayment_url = \"{}\"\n\
         task_poll_milliseconds = 50\n",
        provider.address()
    );
    let file = data.path().join("payments.toml");
    fs::write(&file, settings).unwrap();
    let arguments = ["--config", file.to_str().unwrap()];
    let server = Server::start(data.path(), &[&arguments[..], &["--work", "false"]].concat());
    block_on(async {
        let order = place_by_card(&server, "tok_succeed").await;
        assert_eq!((&order["status"], &order["payment"]["status"]), (&json!("created"), &json!("pending")));
        let working = Working::start(data.path(), &arguments);
        let ended = walk(&server, "tok_succeed", &order).await;
        assert_eq!(provider.summary(&order).await, expected(&ended));
        assert_eq!(
            counted(&server, &["dabba_payment_calls_total"]).await,
            0,
            "the server has called the provider"
        );
        working.stop("TERM");
    });
    server.stop();
}

/// Proves that the circuit breaker opens for a provider that does not answer, while orders are accepted and cash orders continue;
/// that an order whose payment is not certain in time expires without an authorization left; and that payments continue without
/// intervention when the provider answers again.
#[test]
fn orders_continue_while_the_provider_does_not_answer() {
    let data = tempfile::tempdir().unwrap();
    let provider = Provider::start(&[]);
    let address = provider.address();
    let arguments = ["--sandbox", "--payment-gateway", "simulated", "--payment-url", &address];
    let server = Server::start(data.path(), &[&arguments[..], &["--payment-breaker-failures", "1"]].concat());
    let breaker = async |state: &str| counted(&server, &["dabba_payment_breaker{", state]).await;
    let advance = async |seconds: u32| {
        let admin = server.client("admin");
        let body = json!({"seconds": seconds});
        admin.post("/v1/sandbox/clock/advance").json(&body).send().await.unwrap();
    };
    block_on(async {
        provider.set_health(ProviderHealth::Down).await;
        let unpaid = place_by_card(&server, "tok_succeed").await;
        eventually("the circuit breaker opens", async || equal(breaker("\"open\"").await > 0, &true)).await;
        let waiting = place_by_card(&server, "tok_slow").await;
        assert_eq!(
            (&waiting["status"], &waiting["payment"]["status"]),
            (&json!("created"), &json!("pending"))
        );
        let in_cash = server.place("cash").await;
        assert_eq!(in_cash["status"], "confirmed");

        advance(PAYMENT_DEADLINE_SECONDS).await;
        let expired = wait_until(&server, &unpaid, |order| order["status"] == "cancelled").await;
        assert_eq!(
            (&expired["closure"]["how"], &expired["payment"]["status"]),
            (&json!("expired"), &json!("pending"))
        );
        provider.set_health(ProviderHealth::Up).await;
        advance(PAYMENT_DEADLINE_SECONDS).await;
        wait_until(&server, &unpaid, |order| order["payment"]["status"] == "voided").await;
        let done = provider.summary(&unpaid).await;
        assert_eq!((done.authorizations, done.authorized, done.captured), (1, done.voided, 0));
        let later = place_by_card(&server, "tok_pending").await;
        wait_until(&server, &later, |order| order["status"] == "confirmed").await;
        assert_eq!(breaker("\"closed\"").await, 1);
    });
}

/// Proves that a demo accepts cards without settings, and that the log states that no money moves.
#[test]
fn a_demo_simulates_the_provider_and_logs_it() {
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("log");
    let arguments = ["serve", "--demo", "--listen", "127.0.0.1:0"];
    let mut command = dabba(data.path(), &arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.starts_with("curl ")).unwrap();
    let line = line
        .replace(r#""payment_method":"cash""#, r#""payment_method":"card","payment_token":"tok_succeed""#);
    let placed = std::process::Command::new("bash").args(["-c", &line]).output().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let placed: Value = serde_json::from_slice(&placed.stdout).unwrap();
    assert_eq!((&placed["status"], &placed["payment"]["method"]), (&json!("created"), &json!("card")));
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("card payments are simulated: no money moves"), "{text}");

    let server = Server::start(data.path(), &[]);
    let order = block_on(async {
        let order = place_by_card(&server, "tok_succeed").await;
        wait_until(&server, &order, |order| order["status"] == "confirmed").await
    });
    assert_eq!(order["payment"]["status"], "authorized");
}

/// Proves that a server without a provider refuses cards with a message.
#[test]
fn without_a_provider_cards_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let demo = Server::start(data.path(), &[]);
    let announcement = demo.announcement.clone();
    demo.stop();
    let server = Server::start_without_demo(&announcement, data.path(), &[]);
    block_on(async {
        let path = server.orders_path();
        let order = super::provider::by_card(&server, "tok_succeed");
        let request = server.client("customer").post(&path).idempotency_key("card").json(&order);
        let error = request.send().await.unwrap_err();
        assert!(error.to_string().contains("this server accepts no cards"), "{error}");
    });
}

/// Proves that inconsistent settings of payments are refused by name before anything is served.
#[test]
fn inconsistent_payment_settings_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("live", "sk_live_51abc\n"),
        ("empty", " \n"),
        ("short", "secret\n"),
        ("played.toml", "payment_gateway = \"simulated\"\n"),
    ] {
        fs::write(directory.path().join(name), content).unwrap();
    }
    let somewhere = "http://127.0.0.1:9";
    for (command, parts) in [
        (format!("serve --payment-url {somewhere}"), ["payment_url", "without payment_gateway"]),
        (
            "serve --payment-webhook-secret-file short".into(),
            ["payment_webhook_secret_file", "without payment_gateway"],
        ),
        ("serve --payment-gateway stripe".into(), ["stripe", "payment_key_file"]),
        ("serve --payment-gateway cheque".into(), ["--payment-gateway", "stripe or simulated"]),
        ("serve --payment-gateway stripe --payment-key-file empty".into(), ["empty", "is empty"]),
        (
            "serve --payment-gateway stripe --payment-key-file absent".into(),
            ["the file absent", "does not exist"],
        ),
        (
            format!("serve --payment-gateway stripe --payment-key-file live --payment-url {somewhere}"),
            ["payment provider", "live key is only sent over https"],
        ),
        ("serve --demo --payment-webhook-secret-file empty".into(), ["empty", "is empty"]),
        (
            "serve --demo --payment-webhook-secret-file short".into(),
            ["payment_webhook_secret_file", "at least 16 characters"],
        ),
        (
            "serve --sandbox --data sandbox --payment-gateway stripe --payment-key-file live".into(),
            ["sandbox", "live key"],
        ),
        ("work --config played.toml".into(), ["payment_url", "dabba simulate-payments"]),
        (
            "serve --payment-timeout-seconds 5 --task-lease-seconds 5".into(),
            ["payment_timeout_seconds (5)", "task_lease_seconds (5)"],
        ),
        (format!("simulate-payments --webhook-url {somewhere}"), ["--webhook-secret-file", "required"]),
        (
            format!("simulate-payments --webhook-url {somewhere} --webhook-secret-file short"),
            ["short", "at least 16 characters"],
        ),
    ] {
        let arguments: Vec<&str> = command.split(' ').collect();
        let text = failure(directory.path(), &arguments);
        assert!(parts.iter().all(|part| text.contains(part)), "{command}: {text}");
    }
}
