//! Commands: who may, when, and under which condition.

use dabba_testkit::TestServer;
use serde_json::json;

use crate::{allowed, walk_to};

/// Proves that a command that does not fit is refused with what would fit.
#[tokio::test]
async fn an_illegal_move_names_what_is_possible() {
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

/// Proves that wrong bodies of commands are refused with the place of what is wrong.
#[tokio::test]
async fn the_body_of_a_command_is_checked() {
    let server = crate::start().await;
    let order = server.place("1", &TestServer::order()).await;
    for (command, body, pointer) in [
        ("accept", json!({"preparation_minutes": 1_441}), "/preparation_minutes"),
        ("accept", json!({"preparation_minutes": -1}), "/preparation_minutes"),
        ("accept", json!({}), ""),
        ("accept", json!({"preparation_minutes": 1, "note": "x"}), "/note"),
        ("reject", json!({"reason": "bored"}), "/reason"),
        ("cancel", json!({"reason": "other", "note": ""}), "/note"),
        ("refund", json!({"reason": "late", "amount": 1.5}), "/amount"),
    ] {
        let answer = server.command(&order, command, &server.staff, &body).send().await;
        assert_eq!(answer.pointers(), [pointer], "{command} {body}");
    }
}

/// Proves that a customer cannot destroy stock by a reason that is the kitchen's, and is told which reasons
/// there are.
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

/// Proves that a command with a condition is carried out on that version or not at all.
#[tokio::test]
async fn a_command_can_insist_on_a_version() {
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

/// Proves that money goes back in parts, within the restaurant's limit, and not beyond what was paid.
#[tokio::test]
async fn refunds_have_limits() {
    let server = crate::start().await;
    let order = server.place("1", &TestServer::order()).await;
    let refund = |person, body| server.command(&order, "refund", person, &body).send();
    refund(&server.staff, json!({"reason": "late"})).await.problem(409, "illegal_move");
    walk_to(&server, &order, "deliver").await;
    refund(&server.staff, json!({"amount": 0, "reason": "late"})).await.problem(409, "nothing_refundable");
    refund(&server.staff, json!({"amount": 501, "reason": "late"})).await.problem(409, "refund_limit");
    refund(&server.staff, json!({"amount": 500, "reason": "late"})).await.expect(200);
    refund(&server.admin, json!({"amount": 2_019, "reason": "late"}))
        .await
        .problem(409, "nothing_refundable");
    let rest = refund(&server.admin, json!({"reason": "not_delivered"})).await.expect(200);
    assert_eq!((&rest["status"], &rest["payment"]["refunded"]), (&json!("refunded"), &json!(2518)));
}

/// Proves that an order for collection is handed over by the restaurant, and has no courier.
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

/// Proves who can give an order to which courier.
#[tokio::test]
async fn a_courier_is_assigned() {
    let server = crate::start().await;
    let order = server.place("1", &TestServer::order()).await;
    let assign = |person, body| server.command(&order, "assign", person, &body).send();
    assert_eq!(assign(&server.admin, json!({})).await.pointers(), ["/courier_id"]);
    let not_a_courier = json!({"courier_id": server.staff.id.to_string()});
    assert_eq!(assign(&server.admin, not_a_courier).await.pointers(), ["/courier_id"]);
    let other = json!({"courier_id": server.other_courier.id.to_string()});
    assert_eq!(assign(&server.courier, other.clone()).await.pointers(), ["/courier_id"]);
    assign(&server.courier, json!({"courier_id": server.courier.id.to_string()})).await.expect(200);
    assign(&server.other_courier, json!({})).await.problem(404, "not_found");
    let reassigned = assign(&server.admin, other).await.expect(200);
    assert_eq!(reassigned["courier_id"], server.other_courier.id.to_string());
}
