//! Commands: authorization, legal moves, and conditions.

use dabba_testkit::TestServer;
use serde_json::json;

use crate::{allowed, walk_to};

/// Proves that a command that the order's status does not allow is refused with the allowed actions.
#[tokio::test]
async fn an_illegal_move_names_the_allowed_actions() {
    let server = crate::start().await;
    let order = server.place("1", &TestServer::order()).await;
    let refused =
        server.command(&order, "ready", &server.staff, &json!({})).send().await.problem(409, "illegal_move");
    assert_eq!(refused["order_status"], "confirmed");
    assert_eq!(allowed(&refused), ["accept", "reject", "cancel"]);
    let cancelled = json!({"reason": "changed_mind", "note": "not hungry"});
    let cancelled = server.command(&order, "cancel", &server.customer, &cancelled).send().await.expect(200);
    assert_eq!(cancelled["closure"]["how"], "cancelled");
    assert_eq!(cancelled["closure"]["by"]["role"], "customer");
    let accept = json!({"preparation_minutes": 5});
    let refused =
        server.command(&order, "accept", &server.staff, &accept).send().await.problem(409, "illegal_move");
    assert_eq!(allowed(&refused), Vec::<&str>::new());
}

/// Proves that wrong bodies of commands are refused with a JSON Pointer to the problem, at any state of the order.
#[tokio::test]
async fn the_body_of_a_command_is_checked() {
    let server = crate::start().await;
    let order = server.place("1", &TestServer::order()).await;
    for (command, body, pointer) in [
        ("accept", json!({"preparation_minutes": 1_441}), "/preparation_minutes"),
        ("accept", json!({"preparation_minutes": -1}), "/preparation_minutes"),
        ("accept", json!({}), "/preparation_minutes"),
        ("accept", json!({"preparation_minutes": 1, "note": "x"}), "/note"),
        ("reject", json!({"reason": "bored"}), "/reason"),
        ("cancel", json!({"reason": "other", "note": ""}), "/note"),
        ("refund", json!({"reason": "late", "amount": 1.5}), "/amount"),
    ] {
        for version in ["*", "\"99\""] {
            let request = server.command(&order, command, &server.staff, &body).header("if-match", version);
            assert_eq!(request.send().await.pointers(), [pointer], "{command} {body}");
        }
    }
}

/// Proves that a customer cannot destroy stock with a reason for the kitchen, and that the refusal names the caller's
/// reasons.
#[tokio::test]
async fn each_actor_has_their_own_reasons() {
    let server = crate::start().await;
    let order = server.place("1", &TestServer::order()).await;
    let cancel = async |person, reason: &str| {
        server.command(&order, "cancel", person, &json!({"reason": reason})).send().await
    };
    for (person, reason) in [(&server.customer, "item_unavailable"), (&server.staff, "changed_mind")] {
        let problem = cancel(person, reason).await.problem(422, "invalid");
        let error = &problem["errors"][0];
        assert_eq!(error["pointer"], "/reason");
        let detail = error["detail"].as_str().unwrap();
        assert!(detail.starts_with(reason) && detail.contains("wrong_address, "), "{detail}");
    }
    assert_eq!(cancel(&server.admin, "bored").await.pointers(), ["/reason"]);
    let cancelled = cancel(&server.customer, "too_slow").await.expect(200);
    assert_eq!(cancelled["closure"]["reason"], "too_slow");
}

/// Proves that a command with a condition is carried out at that version or not at all.
#[tokio::test]
async fn a_command_can_require_a_version() {
    let server = crate::start().await;
    let order = server.place("1", &TestServer::order()).await;
    let accept = |if_match: &str| {
        let body = json!({"preparation_minutes": 5});
        server.command(&order, "accept", &server.staff, &body).header("if-match", if_match).send()
    };
    for stale in ["\"1\"", "\"1\", \"3\"", "W/\"2\"", "\"2.0\""] {
        assert_eq!(accept(stale).await.problem(412, "precondition_failed")["current"], 2, "{stale}");
    }
    for unreadable in ["2", "\"2", ""] {
        accept(unreadable).await.problem(400, "bad_request");
    }
    accept("\"1\", \"2\"").await.expect(200);
    let ready = server.command(&order, "ready", &server.staff, &json!({}));
    ready.header("if-match", "*").send().await.expect(200);
}

/// Proves that partial refunds stay within the restaurant's limit and the paid amount.
#[tokio::test]
async fn refunds_have_limits() {
    let server = crate::start().await;
    let order = server.place("1", &TestServer::order()).await;
    let refund = |person, body| server.command(&order, "refund", person, &body).send();
    refund(&server.staff, json!({"reason": "late"})).await.problem(409, "illegal_move");
    walk_to(&server, &order, "deliver").await;
    for (body, pointer) in [
        (json!({"amount": 0, "reason": "late"}), "/amount"),
        (json!({"lines": [], "reason": "late"}), "/lines"),
        (json!({"lines": [], "amount": 1, "reason": "late"}), "/lines"),
        (json!({"reason": "order_ended"}), "/reason"),
    ] {
        assert_eq!(refund(&server.staff, body.clone()).await.pointers(), [pointer], "{body}");
        assert_eq!(refund(&server.admin, body.clone()).await.pointers(), [pointer], "{body}");
    }
    let unknown = json!({"lines": [{"line": 9, "quantity": 1}], "reason": "late"});
    refund(&server.admin, unknown.clone()).await.problem(422, "invalid");
    let above = json!({"amount": 501, "reason": "late"});
    assert_eq!(refund(&server.staff, above).await.problem(409, "refund_limit")["limit"], 500);
    refund(&server.staff, json!({"amount": 500, "reason": "late"})).await.expect(200);
    let above = json!({"amount": 2_019, "reason": "late"});
    assert_eq!(refund(&server.admin, above).await.problem(409, "nothing_refundable")["refundable"], 2_018);
    let rest = refund(&server.admin, json!({"reason": "not_delivered"})).await.expect(200);
    assert_eq!((&rest["status"], &rest["payment"]["refunded"]), (&json!("refunded"), &json!(2518)));
    // Nothing is refundable, but problems of the content are reported first.
    for body in [json!({"reason": "late"}), json!({"amount": 1, "reason": "late"})] {
        let refused = refund(&server.admin, body).await.problem(409, "nothing_refundable");
        assert_eq!(refused["order_status"], "refunded");
    }
    let both = json!({"amount": 1, "lines": [{"line": 9, "quantity": 1}], "reason": "late"});
    let refused = refund(&server.admin, both).await;
    assert_eq!(refused.pointers(), ["/amount", "/lines/0/line"]);
}

/// Proves that a repeated command succeeds with the same content at every later status, and is refused with other
/// content; and that the key of a command that changed nothing is not stored.
#[tokio::test]
async fn a_repeated_command_is_compared() {
    let server = crate::start().await;
    let order = server.place("1", &TestServer::order()).await;
    let accept = |minutes: u32| {
        server.command(&order, "accept", &server.staff, &json!({"preparation_minutes": minutes}))
    };
    let accepted = accept(15).send().await.expect(200);
    for stage in ["accept", "ready", "assign", "pick-up", "deliver"] {
        if stage != "accept" {
            let person = if stage == "ready" { &server.staff } else { &server.courier };
            server.command(&order, stage, person, &json!({})).send().await.expect(200);
        }
        let again = accept(15).send().await.expect(200);
        assert_eq!(again["ready_by"], accepted["ready_by"], "after {stage}");
        let other = accept(45).send().await.problem(409, "already_accepted");
        assert_eq!(other["order_status"], again["status"], "after {stage}");
    }
    let done = accept(15).key("a").send().await;
    assert_eq!((done.status, done.header("idempotency-replayed")), (200, ""));
    accept(45).key("a").send().await.problem(409, "already_accepted");

    let ended = server.place("2", &TestServer::order()).await;
    let cancel = |body| server.command(&ended, "cancel", &server.customer, &body).send();
    let why = json!({"reason": "too_slow", "note": "an hour"});
    cancel(why.clone()).await.expect(200);
    cancel(why).await.expect(200);
    cancel(json!({"reason": "too_slow"})).await.problem(409, "already_cancelled");
    cancel(json!({"reason": "duplicate", "note": "an hour"})).await.problem(409, "already_cancelled");
    let rejected = server.place("3", &TestServer::order()).await;
    let reject = |body| server.command(&rejected, "reject", &server.staff, &body).send();
    reject(json!({"reason": "too_busy"})).await.expect(200);
    reject(json!({"reason": "too_busy"})).await.expect(200);
    reject(json!({"reason": "other"})).await.problem(409, "already_rejected");
}

/// Proves that an admin can deliver or reassign an order whose courier has disappeared, and must state a reason.
#[tokio::test]
async fn an_admin_steps_in_for_a_courier_who_has_the_food() {
    let server = crate::start().await;
    for (number, command) in ["deliver", "assign"].into_iter().enumerate() {
        let order = server.place(&number.to_string(), &TestServer::order()).await;
        walk_to(&server, &order, "pick-up").await;
        let mut body = json!({});
        if command == "assign" {
            body["courier_id"] = json!(server.other_courier.id.to_string());
        }
        let give = |person, body| server.command(&order, command, person, &body).send();
        assert_eq!(give(&server.admin, body.clone()).await.pointers(), ["/reason"]);
        body["note"] = json!("no answer since six");
        assert_eq!(give(&server.admin, body.clone()).await.pointers(), ["/reason", "/note"]);
        body["reason"] = json!("courier_unreachable");
        let moved = give(&server.admin, body.clone()).await.expect(200);
        give(&server.admin, body.clone()).await.expect(200);
        let mut other = body.clone();
        other["reason"] = json!("other");
        let code = if command == "deliver" { "already_delivered" } else { "already_assigned" };
        give(&server.admin, other).await.problem(409, code);
        let path = format!("/v1/orders/{}/events", order["id"].as_str().unwrap());
        let events = server.get(&path, Some(&server.admin)).await.expect(200);
        let events = events["events"].as_array().unwrap().clone();
        let recorded = events.iter().rfind(|event| event["data"]["reason"].is_string()).unwrap();
        assert_eq!(recorded["data"]["reason"], "courier_unreachable", "{recorded}");
        assert_eq!(recorded["data"]["note"], "no answer since six");
        if command == "assign" {
            assert_eq!(moved["courier_id"], server.other_courier.id.to_string());
            server
                .command(&order, "deliver", &server.courier, &json!({}))
                .send()
                .await
                .problem(404, "not_found");
            server.command(&order, "deliver", &server.other_courier, &json!({})).send().await.expect(200);
        } else {
            assert_eq!(moved["status"], "delivered");
        }
    }
}

/// Proves that `If-Match` also applies to a courier who takes a free order.
#[tokio::test]
async fn a_courier_takes_a_free_order_at_a_version() {
    let server = crate::start().await;
    let order = server.place("1", &TestServer::order()).await;
    let take = |if_match: &str| {
        server.command(&order, "assign", &server.courier, &json!({})).header("if-match", if_match).send()
    };
    for stale in ["\"1\"", "\"1\", \"3\"", "W/\"2\"", "\"1\", W/\"2\"", "\"x\""] {
        assert_eq!(take(stale).await.problem(412, "precondition_failed")["current"], 2, "{stale}");
    }
    let taken = take("\"1\",, \"2\"").await.expect(200);
    assert_eq!(taken["courier_id"], server.courier.id.to_string());
    take("*").await.expect(200);
    let stranger = server.command(&order, "assign", &server.other_courier, &json!({}));
    stranger.header("if-match", "\"1\"").send().await.problem(404, "not_found");
}

/// Proves that the restaurant hands over an order for collection, which has no courier.
#[tokio::test]
async fn a_customer_can_collect() {
    let server = crate::start().await;
    let order = server.place("1", &TestServer::collection()).await;
    server.command(&order, "assign", &server.courier, &json!({})).send().await.problem(404, "not_found");
    let accept = json!({"preparation_minutes": 0});
    server.command(&order, "accept", &server.staff, &accept).send().await.expect(200);
    server.command(&order, "ready", &server.staff, &json!({})).send().await.expect(200);
    let delivered = server.command(&order, "deliver", &server.staff, &json!({})).send().await.expect(200);
    assert_eq!(delivered["status"], "delivered");
}

/// Proves who can assign an order to which courier.
#[tokio::test]
async fn a_courier_is_assigned() {
    let server = crate::start().await;
    let order = server.place("1", &TestServer::order()).await;
    let assign = |person, body| server.command(&order, "assign", person, &body).send();
    assert_eq!(assign(&server.admin, json!({})).await.pointers(), ["/courier_id"]);
    let not_a_courier = json!({"courier_id": server.staff.id.to_string()});
    assert_eq!(assign(&server.admin, not_a_courier).await.pointers(), ["/courier_id"]);
    let other = json!({"courier_id": server.other_courier.id.to_string()});
    assign(&server.courier, other.clone()).await.problem(404, "not_found");
    assign(&server.courier, json!({"courier_id": server.courier.id.to_string()})).await.expect(200);
    assert_eq!(assign(&server.courier, other.clone()).await.pointers(), ["/courier_id"]);
    assign(&server.other_courier, json!({})).await.problem(404, "not_found");
    let reassigned = assign(&server.admin, other).await.expect(200);
    assert_eq!(reassigned["courier_id"], server.other_courier.id.to_string());
}
