//! The text policy at the API: which texts are refused, accepted and normalized.

use dabba_testkit::{TestServer, settings};
use serde_json::{Value, json};

/// Proves that notes keep their lines, whatever the line endings, and that texts are stored in one normal form.
#[tokio::test]
async fn notes_keep_their_lines() {
    let server = crate::start().await;
    let mut order = TestServer::order();
    order["note"] = json!("two bags\r\nleft\rring\u{2028}twice\tplease\r\n");
    order["lines"][0]["note"] = json!("no\r\ncoriander");
    order["contact"] = json!({"name": "Zoe\u{308}", "phone": " +44\u{a0}161 496 0000 "});
    order["fulfilment"]["address"]["instructions"] = json!("door\r\nleft");
    let placed = server.place("1", &order).await;
    assert_eq!(placed["note"], "two bags\nleft\nring\ntwice please");
    assert_eq!(placed["lines"][0]["note"], "no\ncoriander");
    assert_eq!(placed["contact"], json!({"name": "Zo\u{eb}", "phone": "+44 161 496 0000"}));
    assert_eq!(placed["fulfilment"]["address"]["instructions"], "door\nleft");
    // The same text in another form is the same request.
    order["contact"]["name"] = json!("Zo\u{eb}");
    order["note"] = json!("two bags\nleft\nring\ntwice please");
    let again = server.post(&server.orders_path(), Some(&server.customer), &order).key("1").send().await;
    assert_eq!(again.header("idempotency-replayed"), "true");
}

/// Proves that no field of an order accepts forged lines on a ticket or invisible characters, and that the refusal
/// names the code point.
#[tokio::test]
async fn invisible_characters_are_refused_by_their_code_point() {
    let server = crate::start().await;
    for (pointer, text, code_point) in [
        ("/contact/name", "Asha\n2 x Lobster", "U+000A"),
        ("/contact/name", "Asha\u{202e}", "U+202E"),
        ("/contact/name", "A\u{200b}sha", "U+200B"),
        ("/contact/phone", "0161 496\r\nPaid", "U+000D"),
        ("/contact/phone", "0161\u{2066} 496", "U+2066"),
        ("/fulfilment/address/line1", "1 Curry Mile\u{feff}", "U+FEFF"),
        ("/fulfilment/address/city", "Man\u{e0041}chester", "U+E0041"),
        ("/note", "no\u{ad}salt", "U+00AD"),
        ("/note", "\u{202e}5 £", "U+202E"),
        ("/lines/0/note", "a\u{7}b", "U+0007"),
    ] {
        let mut order = TestServer::order();
        order["contact"] = json!({"name": "Asha", "phone": "0161 496 0000"});
        order["note"] = json!("none");
        order["lines"][0]["note"] = json!("none");
        *order.pointer_mut(pointer).unwrap() = json!(text);
        let refused =
            server.post(&server.orders_path(), Some(&server.customer), &order).key("1").send().await;
        let problem = refused.problem(422, "invalid");
        let detail = problem["errors"][0]["detail"].as_str().unwrap();
        assert!(detail.contains(code_point), "{pointer}: {detail}");
    }
    for (name, code_point) in
        [("\u{3164}\u{3164}", "visible"), ("Curry\u{2067}Mile", "U+2067"), ("a\u{2029}b", "U+2029")]
    {
        let created = server.post("/v1/restaurants", Some(&server.admin), &settings(name)).send().await;
        let problem = created.problem(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], "/name");
        assert!(problem["errors"][0]["detail"].as_str().unwrap().contains(code_point), "{problem}");
    }
}

/// Proves that joiners are kept where languages and emoji need them, in names and in the menu.
#[tokio::test]
async fn every_language_can_be_written() {
    let server = crate::start().await;
    for name in ["می‌خواهم", "क्‍ष", "ක්‍රි", "👩‍🍳 Zoë", "葛\u{e0100}城"]
    {
        let created = server.post("/v1/restaurants", Some(&server.admin), &settings(name)).send().await;
        assert_eq!(created.expect(201)["name"], name);
    }
}

/// Proves that a password in another normal form is the same password, and that an address in another script is refused
/// with the allowed characters.
#[tokio::test]
async fn a_password_is_the_same_in_every_normal_form() {
    let server = crate::start().await;
    let (composed, decomposed) = ("cr\u{e8}me br\u{fb}l\u{e9}e", "cre\u{300}me bru\u{302}le\u{301}e");
    let account = |email: &str, password: &str| json!({"email": email, "name": "Zoë", "password": password});
    let login = |email: &str, password: &str| json!({"email": email, "password": password});
    for (email, registered) in [("a@example.org", composed), ("b@example.org", decomposed)] {
        server.post("/v1/accounts", None, &account(email, registered)).send().await.expect(201);
        for typed in [composed, decomposed] {
            server.post("/v1/tokens", None, &login(email, typed)).send().await.expect(200);
        }
        let wrong = server.post("/v1/tokens", None, &login(email, "creme brulee")).send().await;
        wrong.problem(401, "wrong_credentials");
    }
    for email in ["zoë@example.org", "zoe@exämple.org"] {
        let refused = server.post("/v1/accounts", None, &account(email, composed)).send().await;
        let problem = refused.problem(422, "invalid");
        let error: &Value = &problem["errors"][0];
        assert_eq!(error["pointer"], "/email");
        assert!(error["detail"].as_str().unwrap().contains("ASCII"), "{error}");
    }
}

/// Proves that a byte-order mark before a body is skipped.
#[tokio::test]
async fn a_byte_order_mark_is_skipped() {
    let server = crate::start().await;
    let quote = json!({"lines": [{"item": "naan", "quantity": 4}], "fulfilment": "collection"});
    let path = server.restaurant_path("/quotes");
    let body = format!("\u{feff}{quote}");
    let request = server.request(reqwest::Method::POST, &path).body(Some("application/json"), body);
    request.send().await.expect(200);
}
