//! Previews: `?preview=true` states what a command would do, and changes nothing.

use dabba_engine::{Random as _, SeededRandom};
use dabba_testkit::{HttpResponse, TestAccount, TestServer};
use serde_json::{Value, json};

use crate::{
    suite::payments::{self, until},
    walk_to,
};

/// Sends a command, or its preview.
async fn send(
    server: &TestServer,
    order: &Value,
    command: &str,
    person: &TestAccount,
    body: &Value,
) -> HttpResponse {
    server.command(order, command, person, body).send().await
}

async fn preview(
    server: &TestServer,
    order: &Value,
    command: &str,
    person: &TestAccount,
    body: &Value,
) -> HttpResponse {
    send(server, order, &format!("{command}?preview=true"), person, body).await
}

/// Returns everything that a command could change: the order, its history, the stock, the menu and the parked tasks.
async fn everything(server: &TestServer, order: &Value) -> Vec<Value> {
    let order_path = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    let paths = [
        order_path.clone(),
        format!("{order_path}/events?limit=100"),
        server.restaurant_path("/menu"),
        server.restaurant_path("/stock"),
        "/v1/tasks".to_owned(),
    ];
    let mut found = Vec::new();
    for path in paths {
        found.push(server.get(&path, Some(&server.admin)).await.expect(200));
    }
    found
}

/// Previews a command, carries it out, and compares the two. Returns the preview.
async fn preview_and_do(
    server: &TestServer,
    order: &Value,
    command: &str,
    person: &TestAccount,
    body: &Value,
) -> Value {
    let before = everything(server, order).await;
    let previewed = preview(server, order, command, person, body).await;
    assert_eq!((previewed.header("etag"), previewed.header("idempotency-replayed")), ("", ""), "{command}");
    let previewed = previewed.expect(200);
    assert_eq!(everything(server, order).await, before, "the preview of {command} must change nothing");
    let done = send(server, order, command, person, body).await.expect(200);
    // The clock of the server stands still, so even the times are the same.
    // A courier sees a free order only after taking it.
    let shown = if command == "assign" && person.id == server.courier.id { &Value::Null } else { &done };
    assert_eq!(&previewed["order"], shown, "{command}");
    assert_eq!(previewed["preview"], true);
    let effect = &previewed["effect"];
    assert_eq!(effect["status_from"], before[0]["status"], "{command}");
    assert_eq!((&effect["status_to"], &effect["version"]), (&done["status"], &done["version"]), "{command}");
    previewed
}

/// Returns the effect on money that contains these members.
fn money(mut members: Value) -> Value {
    members["currency"] = json!("GBP");
    members
}

/// Proves for each command of an order in cash: the preview changes nothing, and states the order as it is after the
/// command, and the money that the command moves.
#[tokio::test]
async fn the_preview_of_each_command_in_cash_states_what_happens() {
    let server = crate::start().await;
    let TestServer { customer, staff, courier, admin, .. } = &server;
    let stock = server.restaurant_path("/menu/items/naan/stock");
    server.put(&stock, Some(staff), &json!({"remaining": 50})).send().await.expect(200);
    let order = server.place("1", &TestServer::order()).await;
    for (command, person, body, moved) in [
        ("assign", courier, json!({}), json!({})),
        ("accept", staff, json!({"preparation_minutes": 20}), json!({})),
        ("ready", staff, json!({}), json!({})),
        ("pick-up", courier, json!({}), json!({})),
        ("deliver", courier, json!({}), json!({"captured": 2_518})),
        ("refund", staff, json!({"reason": "late", "amount": 100}), json!({"refunded": 100})),
        ("refund", admin, json!({"reason": "late"}), json!({"refunded": 2_418})),
    ] {
        let previewed = preview_and_do(&server, &order, command, person, &body).await;
        assert_eq!(previewed["effect"]["money"], money(moved), "{command}");
    }
    let items = json!([{"item": "naan", "until": "2026-06-01T15:00:00Z"}]);
    for (command, person, body) in [
        ("cancel", customer, json!({"reason": "changed_mind"})),
        ("cancel", staff, json!({"reason": "item_unavailable", "items": items})),
        ("reject", staff, json!({"reason": "item_unavailable", "items": items})),
    ] {
        let available = json!({"status": "available"});
        let path = server.restaurant_path("/menu/items/naan/availability");
        server.put(&path, Some(staff), &available).send().await.expect(200);
        let key = format!("{command} {}", person.email);
        let order = server.place(&key.replace(' ', "-"), &TestServer::collection()).await;
        let previewed = preview_and_do(&server, &order, command, person, &body).await;
        assert_eq!(previewed["effect"]["money"], money(json!({})), "{command}");
    }
}

/// Proves for orders by card: a preview states the authorization that is voided, the capture and the refund that the
/// payment provider makes afterwards, and nothing is requested from the provider.
#[tokio::test]
async fn the_preview_by_card_states_what_the_provider_will_do() {
    let (server, provider) = payments::start().await;
    let TestServer { customer, staff, admin, .. } = &server;
    let by_card = payments::by_card("tok_succeed");
    let confirmed = async |key: &str| {
        let order = server.place(key, &by_card).await;
        until(&server, &order, |order| order["status"] == "confirmed").await
    };

    let order = confirmed("1").await;
    let total = order["amounts"]["total"].as_i64().unwrap();
    let cancel = json!({"reason": "changed_mind"});
    let previewed = preview_and_do(&server, &order, "cancel", customer, &cancel).await;
    assert_eq!(previewed["effect"]["money"], money(json!({"authorized_voided": total})));
    until(&server, &order, |order| order["payment"]["status"] == "voided").await;

    let order = confirmed("2").await;
    let id = order["id"].as_str().unwrap().parse().unwrap();
    let accept = json!({"preparation_minutes": 20});
    preview(&server, &order, "accept", staff, &accept).await.expect(200);
    assert_eq!(provider.summary(id).captured, 0);
    let previewed = preview_and_do(&server, &order, "accept", staff, &accept).await;
    assert_eq!(previewed["effect"]["money"], money(json!({"captured": total})));
    let order = until(&server, &order, |order| order["payment"]["status"] == "captured").await;

    let cancel = json!({"reason": "suspected_fraud"});
    let previewed = preview_and_do(&server, &order, "cancel", admin, &cancel).await;
    assert_eq!(previewed["effect"]["money"], money(json!({"refund_scheduled": total})));
    let order = until(&server, &order, |order| order["payment"]["status"] == "refunded").await;
    assert_eq!(order["payment"]["refunded"], total);
}

/// Proves that a preview neither stores its idempotency key nor finds a stored one.
#[tokio::test]
async fn a_preview_ignores_the_idempotency_key() {
    let server = crate::start().await;
    let order = server.place("1", &TestServer::order()).await;
    let accept = |path: &str, minutes: u32| {
        let body = json!({"preparation_minutes": minutes});
        server.command(&order, path, &server.staff, &body).key("tap").send()
    };
    accept("accept?preview=true", 45).await.expect(200);
    let accepted = accept("accept", 15).await;
    assert_eq!(accepted.header("idempotency-replayed"), "");
    let accepted = accepted.expect(200);
    // The key belongs to another content. The command is refused because of its key, the preview because of its content.
    accept("accept", 45).await.problem(422, "idempotency_key_reused");
    accept("accept?preview=true", 45).await.problem(409, "already_accepted");
    let repeated = accept("accept?preview=true", 15).await.expect(200);
    assert_eq!(repeated["order"]["version"], accepted["version"]);
    assert_eq!(repeated["effect"]["status_from"], "preparing");
    assert_eq!(repeated["effect"]["money"], money(json!({})));
}

/// Proves that a preview obeys `If-Match`, and that a wrong parameter never carries a command out.
#[tokio::test]
async fn the_parameter_and_the_condition_are_checked() {
    let server = crate::start().await;
    let order = server.place("1", &TestServer::order()).await;
    let body = json!({"preparation_minutes": 15});
    let stale = server.command(&order, "accept?preview=true", &server.staff, &body);
    assert_eq!(
        stale.header("if-match", "\"1\"").send().await.problem(412, "precondition_failed")["current"],
        2
    );
    for (query, parameter) in [
        ("preview=", "preview"),
        ("preview=yes", "preview"),
        ("preview=true&preview=true", "preview"),
        ("previw=true", "previw"),
    ] {
        let answer = send(&server, &order, &format!("accept?{query}"), &server.staff, &body).await;
        assert_eq!(answer.problem(400, "bad_request")["parameter"], parameter, "{query}");
    }
    assert_eq!(payments::read(&server, &order).await["status"], "confirmed");
    send(&server, &order, "accept?preview=false", &server.staff, &body).await.expect(200);
    assert_eq!(payments::read(&server, &order).await["status"], "preparing");
}

/// Returns any command with its body.
fn any_command(server: &TestServer, random: &SeededRandom) -> (&'static str, Value) {
    let couriers = [&server.courier, &server.other_courier, &server.staff];
    let courier = couriers[pick(random, 3)].id.to_string();
    let commands = [
        ("accept", json!({"preparation_minutes": pick(random, 3)})),
        ("accept", json!({"preparation_minutes": 9_999})),
        ("reject", json!({"reason": "too_busy"})),
        ("reject", json!({"reason": "item_unavailable", "items": [{"item": "naan"}]})),
        ("ready", json!({})),
        ("assign", json!({})),
        ("assign", json!({"courier_id": courier})),
        ("assign", json!({"courier_id": courier, "reason": "courier_unable"})),
        ("pick-up", json!({})),
        ("deliver", json!({})),
        ("deliver", json!({"reason": "customer_confirmed"})),
        ("cancel", json!({"reason": "other"})),
        ("cancel", json!({"reason": "changed_mind", "note": "not hungry"})),
        ("refund", json!({"reason": "late", "amount": 1 + pick(random, 400)})),
        ("refund", json!({"reason": "missing_item", "lines": [{"line": 0, "quantity": 1}]})),
        ("refund", json!({"reason": "late"})),
    ];
    commands[pick(random, commands.len())].clone()
}

/// Returns a command that the order allows one of its parties, with its body.
async fn allowed_command<'a>(
    server: &'a TestServer,
    order: &Value,
    random: &SeededRandom,
) -> Option<(&'a TestAccount, String, Value)> {
    let TestServer { customer, staff, courier, admin, .. } = server;
    let person = [customer, staff, courier, admin][pick(random, 4)];
    let path = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    let read = server.get(&path, Some(person)).await;
    let actions = read.json["allowed_actions"].as_array().filter(|actions| !actions.is_empty())?;
    let command = actions[pick(random, actions.len())]["command"].as_str().unwrap().replace('_', "-");
    let (command, body) = match command.as_str() {
        "accept" => ("accept", json!({"preparation_minutes": 10})),
        "reject" => ("reject", json!({"reason": "too_busy"})),
        "mark-ready" => ("ready", json!({})),
        "assign-courier" => ("assign", json!({"courier_id": courier.id.to_string()})),
        "pick-up" => ("pick-up", json!({})),
        "deliver" => ("deliver", json!({})),
        "cancel" => ("cancel", json!({"reason": "other"})),
        "refund" => ("refund", json!({"reason": "late", "amount": 10})),
        other => panic!("unknown command {other}"),
    };
    Some((person, command.to_owned(), body))
}

/// Returns a random number below `count`.
fn pick(random: &SeededRandom, count: usize) -> usize {
    usize::try_from(random.next_u64() % u64::try_from(count).unwrap()).unwrap()
}

/// Proves for random commands by anyone, on orders at any stage: the preview is refused as the command is refused, and
/// otherwise states the order as it is after the command.
#[tokio::test]
async fn a_preview_is_refused_like_its_command() {
    let server = crate::start().await;
    let TestServer { customer, other_customer, staff, other_staff, courier, other_courier, admin, .. } =
        &server;
    let people =
        [customer, other_customer, staff, staff, other_staff, courier, courier, other_courier, admin];
    let (mut done, mut refused) = (0, 0);
    for seed in 0..12 {
        let random = SeededRandom::new(seed);
        let placed = server.place(&format!("random-{seed}"), &TestServer::order()).await;
        let stages = ["", "accept", "assign", "ready", "pick-up", "deliver"];
        let stage = stages[usize::try_from(seed).unwrap() % stages.len()];
        if !stage.is_empty() {
            walk_to(&server, &placed, stage).await;
        }
        for _ in 0..12 {
            let (command, body) = any_command(&server, &random);
            let anything = (people[pick(&random, people.len())], command.to_owned(), body);
            let is_sensible = pick(&random, 2) == 0;
            let sensible = if is_sensible { allowed_command(&server, &placed, &random).await } else { None };
            let (person, command, body) = sensible.unwrap_or(anything);
            let command = command.as_str();
            let before = everything(&server, &placed).await;
            let order_path = format!("/v1/orders/{}", placed["id"].as_str().unwrap());
            let was_hidden = server.get(&order_path, Some(person)).await.status == 404;
            let previewed = preview(&server, &placed, command, person, &body).await;
            assert_eq!(everything(&server, &placed).await, before, "{command} {body}");
            let answer = send(&server, &placed, command, person, &body).await;
            assert_eq!(previewed.status, answer.status, "{command} {body}: {}", previewed.text);
            if answer.status == 200 {
                // A courier sees a free order only after taking it.
                let shown = if was_hidden { &Value::Null } else { &answer.json };
                assert_eq!(&previewed.json["order"], shown, "{command} {body}");
                done += 1;
            } else {
                let without_id = |mut problem: Value| {
                    problem.as_object_mut().unwrap().remove("request_id");
                    problem
                };
                assert_eq!(without_id(previewed.json), without_id(answer.json), "{command} {body}");
                refused += 1;
            }
        }
    }
    assert!(done >= 20 && refused >= 20, "{done} done and {refused} refused");
}
