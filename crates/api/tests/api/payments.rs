//! Payments by card: authorization, capture, refunds, webhooks, and the ledger.

use std::{sync::Arc, time::Duration};

use dabba_engine::{Clock as _, ManualClock, PaymentGateway, Random, SeededRandom, SystemClock};
use dabba_gateways::{
    SimulatedWebhooks,
    simulated::{InProcessGateway, Provider, WebhookSecret, signature::SIGNATURE_HEADER},
};
use dabba_testkit::{HttpResponse, TestServer, eventually};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

pub(super) const SECRET: &str = "the provider and the server know this";

pub(super) fn secret() -> WebhookSecret {
    WebhookSecret::new(SECRET).unwrap()
}

/// Returns a gateway to a simulated provider; no money moves.
pub(super) fn gateway() -> Arc<dyn PaymentGateway> {
    gateway_to(&Arc::new(Provider::new(Arc::new(SeededRandom::new(5)))))
}

pub(super) fn gateway_to(provider: &Arc<Provider>) -> Arc<dyn PaymentGateway> {
    Arc::new(InProcessGateway::new(Arc::clone(provider), Arc::new(SystemClock)))
}

/// Starts a server that takes cards, with the simulated provider.
pub(super) async fn start() -> (TestServer, Arc<Provider>) {
    let random: Arc<dyn Random> = Arc::new(SeededRandom::new(5));
    let provider = Arc::new(Provider::new(random));
    let server = crate::builder()
        .gateway(gateway_to(&provider))
        .api(|api| api.webhooks = Some(Arc::new(SimulatedWebhooks::new(secret()))))
        .start()
        .await;
    (server, provider)
}

/// Returns an order by card: 9.45 twice, 20 % tax, 2.50 for the delivery, 1.00 for the courier.
pub(super) fn by_card(token: &str) -> Value {
    let mut order = TestServer::order();
    order["payment_method"] = json!("card");
    order["payment_token"] = json!(token);
    order["tip"] = json!(100);
    order
}

pub(super) async fn read(server: &TestServer, order: &Value) -> Value {
    let path = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    server.get(&path, Some(&server.admin)).await.expect(200)
}

/// Waits until the order meets a condition.
pub(super) async fn until(server: &TestServer, order: &Value, is_met: impl Fn(&Value) -> bool) -> Value {
    eventually("the order meets the condition", async || {
        let order = read(server, order).await;
        if is_met(&order) { Ok(order) } else { Err(order) }
    })
    .await
}

/// Places an order that is paid by card and delivered.
async fn delivered(server: &TestServer, key: &str) -> Value {
    delivered_with(server, key, "tok_succeed").await
}

/// Places an order that is paid with this token and delivered.
async fn delivered_with(server: &TestServer, key: &str, token: &str) -> Value {
    let order = server.place(key, &by_card(token)).await;
    until(server, &order, |order| order["status"] == "confirmed").await;
    for (command, person, body) in [
        ("assign", &server.courier, json!({})),
        ("accept", &server.staff, json!({"preparation_minutes": 20})),
        ("ready", &server.staff, json!({})),
        ("pick-up", &server.courier, json!({})),
        ("deliver", &server.courier, json!({})),
    ] {
        server.command(&order, command, person, &body).send().await.expect(200);
    }
    until(server, &order, |order| order["payment"]["status"] == "captured").await
}

/// Returns the balance of every account in a ledger.
fn balances(ledger: &Value) -> Value {
    let mut sums = serde_json::Map::new();
    for posting in ledger["postings"].as_array().unwrap() {
        let entries = posting["entries"].as_array().unwrap();
        let sum: i64 = entries.iter().map(|entry| entry["amount"].as_i64().unwrap()).sum();
        assert_eq!(sum, 0, "{posting}");
        for entry in entries {
            let sum = sums.entry(entry["account"].as_str().unwrap()).or_insert(json!(0));
            *sum = json!(sum.as_i64().unwrap() + entry["amount"].as_i64().unwrap());
        }
    }
    Value::Object(sums)
}

/// Proves that a card is charged when the restaurant accepts and not before; that no response contains the token; and
/// that the ledger has the expected balances.
#[tokio::test]
async fn a_card_is_charged_when_the_restaurant_accepts() {
    let (server, provider) = start().await;
    let placed = server.place("1", &by_card("tok_succeed")).await;
    assert_eq!((&placed["status"], &placed["payment"]["status"]), (&json!("created"), &json!("pending")));
    assert_eq!(placed["payment"]["deadline"], "2026-06-01T12:10:00Z");
    let confirmed = until(&server, &placed, |order| order["status"] == "confirmed").await;
    assert_eq!(confirmed["payment"]["status"], "authorized");
    assert_eq!(
        confirmed["payment"].get("deadline"),
        None,
        "the deadline must be absent once the payment is authorized"
    );
    let order_id = placed["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(provider.summary(order_id).captured, 0);

    let delivered = delivered(&server, "2").await;
    let path = format!("/v1/orders/{}", delivered["id"].as_str().unwrap());
    let events = server.get(&format!("{path}/events"), Some(&server.admin)).await.expect(200);
    assert!(!events.to_string().contains("tok_succeed") && !delivered.to_string().contains("tok_succeed"));
    let ledger = server.get(&format!("{path}/ledger"), Some(&server.staff)).await.expect(200);
    let expected =
        json!({"customer": -2618, "restaurant": 1890, "tax": 378, "platform": 250, "courier": 100});
    assert_eq!((balances(&ledger), &ledger["currency"]), (expected, &json!("GBP")));
}

/// Proves that refunds by amount and by lines add up to the whole amount and never exceed it, that the provider's state
/// agrees, and that the ledger charges the party that bears each refund.
#[tokio::test]
async fn refunds_by_amount_and_by_lines_add_up_to_the_whole() {
    let (server, provider) = start().await;
    let order = delivered(&server, "1").await;
    let refund = async |body: Value| -> HttpResponse {
        server.command(&order, "refund", &server.admin, &body).send().await
    };
    let asked = refund(json!({"reason": "missing_item", "lines": [{"line": 0, "quantity": 1}]})).await;
    let asked = asked.expect(200);
    assert_eq!(
        asked["payment"]["refunds"][0]["amount"],
        945 + 189,
        "the refund of a line must include its tax"
    );
    assert_eq!(asked["payment"]["refunds"][0]["status"], "pending");
    let paid = until(&server, &order, |order| order["payment"]["refunds"][0]["status"] == "paid").await;
    assert_eq!((&paid["payment"]["refunded"], &paid["status"]), (&json!(1134), &json!("delivered")));

    let bad = json!({"reason": "late", "lines": [{"line": 0, "quantity": 2}, {"line": 7, "quantity": 1}]});
    let problem = refund(bad).await.problem(422, "invalid");
    let pointers: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].clone()).collect();
    assert_eq!(pointers, [json!("/lines/0/quantity"), json!("/lines/1/line")]);
    let both = json!({"reason": "late", "amount": 1, "lines": [{"line": 0, "quantity": 1}]});
    refund(both).await.problem(422, "invalid");
    refund(json!({"reason": "late", "amount": 1485})).await.problem(409, "nothing_refundable");

    refund(json!({"reason": "late", "amount": 84, "borne_by": "platform"})).await.expect(200);
    // The ledger depends on the order in which the refunds are paid.
    until(&server, &order, |order| order["payment"]["refunds"][1]["status"] == "paid").await;
    refund(json!({"reason": "quality"})).await.expect(200);
    let back = until(&server, &order, |order| order["payment"]["status"] == "refunded").await;
    assert_eq!((&back["status"], &back["payment"]["refunded"]), (&json!("refunded"), &json!(2618)));
    let summary = provider.summary(order["id"].as_str().unwrap().parse().unwrap());
    assert_eq!((summary.captured, summary.refunded, summary.refunds), (2618, 2618, 3));
    let path = format!("/v1/orders/{}/ledger", order["id"].as_str().unwrap());
    let balances = balances(&server.get(&path, Some(&server.admin)).await.expect(200));
    assert_eq!((&balances["customer"], &balances["refunds"]), (&json!(-2618), &json!(2618)));
    // Of the 84 that the platform bears, 11 are tax, which is taken from the tax account.
    assert_eq!((&balances["platform"], &balances["courier"]), (&json!(250 - (84 - 11)), &json!(100)));
    assert_eq!(balances["tax"], 0);
}

/// Proves that staff can refund only at the restaurant's expense, and only up to their limit.
#[tokio::test]
async fn staff_refund_within_their_limit() {
    let (server, _) = start().await;
    let order = delivered(&server, "1").await;
    let refund = async |body: Value| -> HttpResponse {
        server.command(&order, "refund", &server.staff, &body).send().await
    };
    let platform = json!({"reason": "late", "amount": 100, "borne_by": "platform"});
    assert_eq!(refund(platform).await.problem(422, "invalid")["errors"][0]["pointer"], "/borne_by");
    refund(json!({"reason": "late", "amount": 501})).await.problem(409, "refund_limit");
    refund(json!({"reason": "late", "amount": 400})).await.expect(200);
    refund(json!({"reason": "late", "amount": 101})).await.problem(409, "refund_limit");
}

/// Proves that a declined card cancels the order with the reason.
#[tokio::test]
async fn a_declined_card_cancels_the_order() {
    let (server, _) = start().await;
    let placed = server.place("1", &by_card("tok_insufficient_funds")).await;
    let ended = until(&server, &placed, |order| order["status"] == "cancelled").await;
    assert_eq!(ended["closure"], json!({"how": "payment_failed", "reason": "insufficient_funds"}));
    assert_eq!(ended["payment"]["status"], "failed");
}

/// Proves that method and token must match, and that a token must have a valid form.
#[tokio::test]
async fn a_card_needs_a_token_and_cash_has_none() {
    let (server, _) = start().await;
    for (method, token, pointer) in [
        ("card", json!(null), "/payment_token"),
        ("cash", json!("tok_succeed"), "/payment_token"),
        ("card", json!("4242 4242"), "/payment_token"),
        ("card", json!("x".repeat(256)), "/payment_token"),
    ] {
        let mut order = TestServer::order();
        order["payment_method"] = json!(method);
        order["payment_token"] = token.clone();
        let path = server.orders_path();
        let refused = server.post(&path, Some(&server.customer), &order).key("k").send().await;
        let problem = refused.problem(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{method} {token}");
        assert!(
            !problem.to_string().contains("4242"),
            "a refusal must not repeat a text that may be a card number"
        );
    }
}

/// Proves that a signed report is recorded once however often it arrives, and that a report that is old or not signed
/// by the provider is refused.
#[tokio::test]
async fn only_the_provider_reports_payments() {
    let (server, _) = start().await;
    let placed = server.place("1", &by_card("tok_succeed")).await;
    let confirmed = until(&server, &placed, |order| order["status"] == "confirmed").await;
    let reference = &confirmed["payment"]["reference"];
    let post = async |body: &Value, signature: Option<String>| -> HttpResponse {
        let mut request = server.request(Method::POST, "/v1/webhooks/payments").json(body);
        if let Some(signature) = signature {
            request = request.header(SIGNATURE_HEADER, &signature);
        }
        request.send().await
    };
    let report =
        |id: &Value, kind: &str| json!({"order_id": id, "report": {"type": kind, "reference": reference}});
    let sign = |body: &Value| secret().sign(body.to_string().as_bytes(), server.now());

    let captured = report(&placed["id"], "captured");
    post(&captured, None).await.problem(400, "bad_request");
    post(&captured, Some("t=1,v1=00".into())).await.problem(400, "bad_request");
    post(&captured, Some(sign(&json!({"another": "body"})))).await.problem(400, "bad_request");
    let old = secret().sign(captured.to_string().as_bytes(), server.now() - SignedDuration::from_mins(6));
    post(&captured, Some(old)).await.problem(400, "bad_request");
    assert_eq!(read(&server, &placed).await["version"], confirmed["version"]);

    for kind in ["captured", "captured", "authorized", "captured"] {
        let body = report(&placed["id"], kind);
        post(&body, Some(sign(&body))).await.expect(204);
    }
    let now = read(&server, &placed).await;
    assert_eq!((&now["payment"]["status"], &now["status"]), (&json!("captured"), &json!("confirmed")));
    assert_eq!(now["version"], json!(confirmed["version"].as_u64().unwrap() + 1), "recorded once");

    let stranger = report(&json!("019e830e-1a00-7bcb-bf6c-ac589075e35b"), "captured");
    post(&stranger, Some(sign(&stranger))).await.expect(204);
}

/// Proves that only an admin can advance the clock of a sandbox, and that tasks that are due then are carried out at
/// once.
#[tokio::test]
async fn the_clock_of_a_sandbox_is_advanced_by_admins() {
    let clock = Arc::new(ManualClock::new("2026-06-01T12:00:00Z".parse().unwrap()));
    let shared = Arc::clone(&clock);
    let server = crate::builder()
        .clock(clock)
        .api(move |api| api.sandbox = Some(shared))
        .engine(|engine| engine.tasks.poll_interval = Duration::from_hours(1))
        .start()
        .await;
    let order = server.place("1", &TestServer::order()).await;
    let advance = async |person, body: Value| -> HttpResponse {
        server.post("/v1/sandbox/clock/advance", Some(person), &body).send().await
    };
    advance(&server.staff, json!({"seconds": 480})).await.problem(403, "forbidden");
    for seconds in [json!(0), json!(31_536_001_u32), json!(-1), json!("8 minutes")] {
        let refused = advance(&server.admin, json!({"seconds": seconds})).await;
        assert!([400, 422].contains(&refused.status), "{seconds}: {}", refused.text);
    }
    let now = advance(&server.admin, json!({"seconds": 480})).await.expect(200);
    assert_eq!(now["now"], "2026-06-01T12:08:00Z");
    let expired = until(&server, &order, |order| order["status"] == "cancelled").await;
    assert_eq!(expired["closure"]["how"], "expired");
    let read = server.get("/v1/sandbox/clock", Some(&server.admin)).await.expect(200);
    assert_eq!(read["now"], "2026-06-01T12:08:00Z");
}

/// Creates a restaurant with prices in another currency, with one cheap item.
pub(super) async fn restaurant_in(server: &TestServer, currency: &str, price: i64) -> String {
    let settings = json!({
        "name": "Kuwait Kitchen", "currency": currency, "time_zone": "UTC", "refund_limit": 100_000,
    });
    let created = server.post("/v1/restaurants", Some(&server.admin), &settings).send().await.expect(201);
    let menu = json!({"categories": [{"name": "All", "items": [{"id": "tea", "name": "Tea", "price_minor": price}]}]});
    let path = format!("/v1/restaurants/{}/menu", created["id"].as_str().unwrap());
    server.put(&path, Some(&server.admin), &menu).header("if-match", "*").send().await.expect(200);
    created["id"].as_str().unwrap().to_owned()
}

/// Proves that an order that the payment provider can never accept is refused before it is placed, with the amount and
/// the limits, and that the quote reports the same; in cash the order is placed.
#[tokio::test]
async fn an_order_that_cannot_be_paid_by_card_is_not_placed() {
    let (server, provider) = start().await;
    let rows = [
        ("USD", 29, Some((30, 99_999_999, 1))),
        ("USD", 100_000_000, Some((30, 99_999_999, 1))),
        ("KWD", 1_234, Some((300, 99_999_999, 10))),
        ("KWD", 9, Some((300, 99_999_999, 10))),
        ("JPY", 1, Some((30, 99_999_999, 1))),
        ("XAU", 500, None),
    ];
    for (currency, price, limits) in rows {
        let id = restaurant_in(&server, currency, price).await;
        let mut order = json!({
            "lines": [{"item": "tea", "quantity": 1}], "fulfilment": {"type": "collection"},
            "payment_method": "card", "payment_token": "tok_succeed",
        });
        let path = format!("/v1/restaurants/{id}/orders");
        let place = async |key: &str, order: &Value| {
            server.post(&path, Some(&server.customer), order).header("idempotency-key", key).send().await
        };
        let key = format!("{currency}-{price}");
        let problem = place(&key, &order).await.problem(409, "not_payable_by_card");
        let cart = json!({"lines": order["lines"], "fulfilment": "collection", "payment_method": "card"});
        let quote = format!("/v1/restaurants/{id}/quotes");
        let quoted = server.post(&quote, None, &cart).send().await.expect(200);
        assert_eq!(quoted["orderable"], false, "{quoted}");
        for refusal in [&problem, &quoted["obstacles"][0]] {
            assert_eq!(refusal["code"], "not_payable_by_card");
            assert_eq!((&refusal["amount"], &refusal["currency"]), (&json!(price), &json!(currency)));
            let stated = ["minimum", "maximum", "multiple_of"].map(|name| refusal.get(name).cloned());
            let expected = limits.map_or([const { None }; 3], |(minimum, maximum, multiple_of)| {
                [minimum, maximum, multiple_of].map(|limit| Some(json!(limit)))
            });
            assert_eq!(stated, expected, "{refusal}");
            assert!(refusal["detail"].as_str().unwrap().contains(currency), "{refusal}");
        }
        order["payment_method"] = json!("cash");
        order.as_object_mut().unwrap().remove("payment_token");
        place(&format!("{key}-in-cash"), &order).await.expect(201);
        let in_cash = json!({"lines": order["lines"], "fulfilment": "collection", "payment_method": "cash"});
        assert_eq!(server.post(&quote, None, &in_cash).send().await.expect(200)["orderable"], true);
    }
    assert_eq!(provider.ledger(0, 1), []);
    assert_eq!(provider.health(), dabba_gateways::simulated::ProviderHealth::Up);
}

/// Proves that a refund that the payment provider can never make is refused before it is recorded.
#[tokio::test]
async fn a_refund_that_can_never_be_made_is_not_recorded() {
    let (server, _provider) = start().await;
    let id = restaurant_in(&server, "KWD", 1_230).await;
    let order = json!({
        "lines": [{"item": "tea", "quantity": 2}], "fulfilment": {"type": "collection"},
        "payment_method": "card", "payment_token": "tok_succeed",
    });
    let path = format!("/v1/restaurants/{id}/orders");
    let placed = server
        .post(&path, Some(&server.customer), &order)
        .header("idempotency-key", "1")
        .send()
        .await
        .expect(201);
    until(&server, &placed, |order| order["status"] == "confirmed").await;
    let person = &server.admin;
    let member = format!("/v1/restaurants/{id}/members/{}", server.staff.id);
    server.request(Method::PUT, &member).by(person).send().await.expect(200);
    server
        .command(&placed, "accept", &server.staff, &json!({"preparation_minutes": 5}))
        .send()
        .await
        .expect(200);
    server.command(&placed, "ready", &server.staff, &json!({})).send().await.expect(200);
    server.command(&placed, "deliver", &server.staff, &json!({})).send().await.expect(200);
    until(&server, &placed, |order| order["payment"]["status"] == "captured").await;
    let refund = async |body: Value| server.command(&placed, "refund", person, &body).send().await;
    let problem = refund(json!({"reason": "late", "amount": 1_234})).await.problem(422, "invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/amount");
    assert!(problem["detail"].as_str().unwrap().contains("multiple of 10"), "{problem}");
    assert_eq!(
        read(&server, &placed).await["payment"].get("refunds"),
        None,
        "the refused refund must not be recorded"
    );
    refund(json!({"reason": "late", "amount": 10})).await.expect(200);
    refund(json!({"reason": "late", "lines": [{"line": 0, "quantity": 1}]})).await.expect(200);
    refund(json!({"reason": "late"})).await.expect(200);
    until(&server, &placed, |order| order["status"] == "refunded").await;
}

/// Sends a signed report of the provider.
pub(super) async fn report(server: &TestServer, body: &Value) {
    let signature = secret().sign(body.to_string().as_bytes(), server.now());
    let request = server.request(Method::POST, "/v1/webhooks/payments").json(body);
    request.header(SIGNATURE_HEADER, &signature).send().await.expect(204);
}

/// Proves that a refund that fails after it was reported as paid can be refunded again, and that an admin finds a
/// review with the reason, cannot retry it, and resolves it.
#[tokio::test]
async fn a_refund_that_fails_late_is_reversed_and_reviewed() {
    let (server, provider) = start().await;
    let order = delivered_with(&server, "1", "tok_refund_fails_late").await;
    let refund = json!({"reason": "quality"});
    server.command(&order, "refund", &server.admin, &refund).send().await.expect(200);
    until(&server, &order, |order| order["status"] == "refunded").await;
    let order_id = order["id"].as_str().unwrap().parse().unwrap();
    let failed = json!({"order_id": order["id"], "report": {"type": "refund_refused", "number": 1, "reason": "card_closed"}});
    // The provider learns of the failure, and reports it twice.
    provider.settle(SystemClock.now() + SignedDuration::from_mins(1));
    for _ in 0..2 {
        report(&server, &failed).await;
    }
    let reversed = read(&server, &order).await;
    assert_eq!(
        (&reversed["status"], &reversed["payment"]["status"]),
        (&json!("delivered"), &json!("captured"))
    );
    assert_eq!(
        (&reversed["payment"]["refunded"], &reversed["payment"]["refunds"][0]["status"]),
        (&json!(0), &json!("reversed"))
    );
    assert_eq!(reversed["payment"]["refunds"][0]["failure"], "card_closed");
    let tasks = server.get("/v1/tasks", Some(&server.admin)).await.expect(200);
    let [review] = tasks["tasks"].as_array().unwrap().as_slice() else { panic!("{tasks}") };
    assert_eq!(
        (&review["kind"], &review["order_id"], &review["attempts"]),
        (&json!("review"), &order["id"], &json!(0))
    );
    assert_eq!(review["reason"], json!({"type": "refund_reversed", "number": 1, "reason": "card_closed"}));
    assert!(review["detail"].as_str().unwrap().contains("refund 1 failed"), "{review}");
    let path = format!("/v1/tasks/{}", review["id"].as_str().unwrap());
    let retry = server.request(Method::POST, &format!("{path}/retry")).by(&server.admin).send().await;
    retry.problem(409, "review_not_retryable");
    let resolution = json!({"reason": "refunded again"});
    let resolved = server.post(&format!("{path}/resolve"), Some(&server.admin), &resolution).send().await;
    assert_eq!(resolved.status, 204);
    server.command(&order, "refund", &server.admin, &refund).send().await.expect(200);
    until(&server, &order, |order| order["status"] == "refunded").await;
    assert!(provider.summary(order_id).refunds >= 2);
}

/// Proves that a refund in the provider's dashboard and a chargeback are recorded once, cannot be refunded again, and
/// appear in the reviews and in the ledger.
#[tokio::test]
async fn changes_at_the_provider_are_recorded() {
    let (server, _provider) = start().await;
    let order = delivered(&server, "1").await;
    let reference = &order["payment"]["reference"];
    let money = |minor: i64| json!({"amount": minor, "currency": "GBP"});
    let about = |report: Value| json!({"order_id": order["id"], "report": report});
    let by_hand = about(json!({
        "type": "refunded_elsewhere", "payment": reference, "reference": "re_hand", "money": money(600),
    }));
    let chargeback = |outcome: &str| {
        about(json!({
            "type": "chargeback", "payment": reference, "reference": "dp_1", "money": money(1_000),
            "outcome": outcome,
        }))
    };
    for body in [by_hand.clone(), by_hand, chargeback("open"), chargeback("lost"), chargeback("open")] {
        report(&server, &body).await;
    }
    let now = read(&server, &order).await;
    let payment = &now["payment"];
    assert_eq!((&payment["status"], &payment["refunded"]), (&json!("partially_refunded"), &json!(1_600)));
    assert_eq!(payment["refunds"][0]["external"], json!({"kind": "refund", "reference": "re_hand"}));
    assert_eq!(payment["refunds"][1]["external"]["kind"], "chargeback");
    let too_much = json!({"reason": "late", "amount": 2_618 - 1_600 + 1});
    server
        .command(&order, "refund", &server.admin, &too_much)
        .send()
        .await
        .problem(409, "nothing_refundable");
    let tasks = server.get("/v1/tasks", Some(&server.admin)).await.expect(200);
    let reasons: Vec<_> = tasks["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["reason"]["type"].as_str().unwrap())
        .collect();
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    for reason in ["refunded_at_provider", "chargeback_opened", "chargeback_lost"] {
        assert!(reasons.contains(&reason), "{reasons:?}");
    }
    let path = format!("/v1/orders/{}/ledger", order["id"].as_str().unwrap());
    let ledger = server.get(&path, Some(&server.admin)).await.expect(200);
    assert_eq!(balances(&ledger)["refunds"], 1_600, "{ledger}");
    server.command(&order, "refund", &server.admin, &json!({"reason": "late"})).send().await.expect(200);
    until(&server, &order, |order| order["status"] == "refunded").await;
}
