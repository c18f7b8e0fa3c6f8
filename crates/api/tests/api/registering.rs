//! Idempotent registration of restaurants and accounts, and permanent closing of restaurants.

use dabba_testkit::{PASSWORD, TestServer, settings};
use serde_json::{Value, json};

fn with_external_id(name: &str, external_id: &str) -> Value {
    let mut settings = settings(name);
    settings["external_id"] = json!(external_id);
    settings
}

/// Proves that a retry of a registration gets the restaurant that exists, and that a key belongs to one request.
#[tokio::test]
async fn a_restaurant_is_registered_once_per_key() {
    let server = crate::start().await;
    let create = |name: &str, key: &str| {
        server.post("/v1/restaurants", Some(&server.admin), &settings(name)).key(key).send()
    };
    let first = create("Dosa House", "a").await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, ""));
    let again = create("Dosa House", "a").await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"));
    assert_eq!((again.header("location"), &again.json), (first.header("location"), &first.json));
    create("Idli House", "a").await.problem(422, "idempotency_key_reused");
    assert_ne!(create("Dosa House", "b").await.expect(201)["id"], first.json["id"]);
    create("Dosa House", "two words").await.problem(400, "idempotency_key_invalid");
}

/// Proves that an external id belongs to one restaurant, can be used to find it, and does not change.
#[tokio::test]
async fn an_external_id_belongs_to_one_restaurant() {
    let server = crate::start().await;
    let create = |settings: Value| server.post("/v1/restaurants", Some(&server.admin), &settings).send();
    let first = create(with_external_id("Dosa House", "POS-7/b")).await.expect(201);
    assert_eq!(first["external_id"], "POS-7/b");
    let taken = create(with_external_id("Another", "POS-7/b")).await.problem(409, "external_id_taken");
    assert_eq!(taken["restaurant_id"], first["id"]);
    assert_eq!(create(with_external_id("Another", "")).await.pointers(), ["/external_id"]);
    let listed = server.get("/v1/restaurants?external_id=POS-7%2Fb", None).await.expect(200);
    assert_eq!(listed["restaurants"], json!([first]));
    let nobody = server.get("/v1/restaurants?external_id=POS-8", None).await.expect(200);
    assert_eq!(nobody["restaurants"], json!([]));
    server.get("/v1/restaurants?external_id=two%20words", None).await.problem(400, "bad_request");
    let path = format!("/v1/restaurants/{}", first["id"].as_str().unwrap());
    let put =
        |settings: Value| server.put(&path, Some(&server.admin), &settings).header("if-match", "*").send();
    let unchanged = put(settings("Dosa House")).await.expect(200);
    assert_eq!((&unchanged["external_id"], &unchanged["revision"]), (&json!("POS-7/b"), &json!(1)));
    assert_eq!(put(with_external_id("Dosa House", "POS-9")).await.pointers(), ["/external_id"]);
}

/// Proves that an account is registered once per key, and that a retry must have the same password.
#[tokio::test]
async fn an_account_is_registered_once_per_key() {
    let server = crate::start().await;
    let register = |password: &str, key: &str| {
        let body = json!({"email": "Noor@example.com", "name": "Noor", "password": password});
        server.request(reqwest::Method::POST, "/v1/accounts").json(&body).key(key).send()
    };
    let first = register(PASSWORD, "a").await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, ""));
    let again = register(PASSWORD, "a").await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"));
    assert_eq!(again.json, first.json);
    register("another password", "a").await.problem(409, "email_taken");
    register(PASSWORD, "b").await.problem(409, "email_taken");
}

/// Proves that the password rules, which an earlier version did not have, do not apply to a retry, by a stranger or by an admin;
/// and that they apply to the same request without its key.
#[tokio::test]
async fn a_retry_of_a_registration_may_have_an_easy_password() {
    let server = crate::start().await;
    let register = |by: Option<&dabba_testkit::TestAccount>, password: &str, key: &str| {
        let email = if by.is_some() { "by-admin@example.com" } else { "noor@example.com" };
        let body = json!({"email": email, "name": "Noor", "password": password});
        server.post("/v1/accounts", by, &body).key(key).send()
    };
    let cost = argon2::Params::new(8, 1, 1, None).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, cost);
    let hash = argon2::PasswordHasher::hash_password_with_salt(&argon2, b"password1", b"0123456789abcdef");
    let hash = hash.unwrap().to_string();
    for by in [None, Some(&server.admin)] {
        let made = register(by, PASSWORD, "a").await.expect(201);
        // The password as an earlier version stored it.
        let edit = dabba_store::AccountEdit {
            id: made["id"].as_str().unwrap().parse().unwrap(),
            change: dabba_store::AccountChange::Password { hash: hash.clone() },
            expected: None,
            by: None,
            at: server.now(),
        };
        server.store().edit_account(&edit).await.unwrap();
        let again = register(by, "password1", "a").await;
        assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"));
        assert_eq!(again.json["id"], made["id"]);
        for (password, key) in [("password1", "b"), ("password2", "a")] {
            assert_eq!(register(by, password, key).await.pointers(), ["/password"]);
        }
    }
}

/// Proves that an admin's retry gets the account of the first request even after its deletion, and that an anonymous caller's key
/// is deleted with its account.
#[tokio::test]
async fn a_registration_can_be_retried_after_the_account_is_deleted() {
    let server = crate::start().await;
    for by in [None, Some(&server.admin)] {
        let register = || {
            let body = json!({"email": "noor@example.com", "name": "Noor", "password": PASSWORD});
            server.post("/v1/accounts", by, &body).key("a").send()
        };
        let id = register().await.expect(201)["id"].as_str().unwrap().to_owned();
        let delete =
            || server.request(reqwest::Method::DELETE, &format!("/v1/accounts/{id}")).by(&server.admin);
        delete().send().await.expect(204);
        let again = register().await;
        if by.is_some() {
            assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"));
            assert_eq!(again.json["id"], id);
            assert!(again.json["deleted_at"].is_string() && again.json.get("email").is_none());
        } else {
            assert_eq!(again.header("idempotency-replayed"), "");
            let new = again.expect(201)["id"].as_str().unwrap().to_owned();
            assert_ne!(new, id);
            let path = format!("/v1/accounts/{new}");
            server.request(reqwest::Method::DELETE, &path).by(&server.admin).send().await.expect(204);
        }
    }
}

/// Proves that a permanently closed restaurant takes no orders, that all responses report the closing, and that the restaurant's
/// orders stay.
#[tokio::test]
async fn a_restaurant_is_closed_permanently() {
    let server = crate::start().await;
    let order = server.place("before", &TestServer::order()).await;
    let close = |reason: &str| {
        let body = json!({"reason": reason});
        server.post(&server.restaurant_path("/close"), Some(&server.admin), &body).send()
    };
    let missing =
        server.post(&server.restaurant_path("/close"), Some(&server.admin), &json!({})).send().await;
    assert_eq!(missing.pointers(), ["/reason"]);
    assert_eq!(close(" ").await.pointers(), ["/reason"]);
    let closed = close("The lease has ended.").await.expect(200);
    assert_eq!(closed["closed"]["reason"], "The lease has ended.");
    assert_eq!((&closed["accepting"], &closed["revision"]), (&json!(false), &json!(2)));
    assert_eq!(
        close("The lease has ended.").await.expect(200),
        closed,
        "a repeated closing must change nothing"
    );
    let other = close("Another reason.").await.problem(409, "already_closed");
    assert_eq!(other["since"], closed["closed"]["at"]);
    assert_eq!(server.get(&server.restaurant_path(""), None).await.expect(200), closed);

    let refused =
        server.post(&server.orders_path(), Some(&server.customer), &TestServer::order()).key("after");
    let refused = refused.send().await.problem(409, "restaurant_closed_permanently");
    assert_eq!(refused["since"], closed["closed"]["at"]);
    let cart = json!({"lines": [{"item": "naan", "quantity": 1}], "fulfilment": "collection"});
    let quote = server.post(&server.restaurant_path("/quotes"), None, &cart).send().await.expect(200);
    assert_eq!(
        (&quote["orderable"], &quote["obstacles"][0]["code"]),
        (&json!(false), &json!("restaurant_closed_permanently"))
    );

    let listed = async |query: &str| {
        let page = server.get(&format!("/v1/restaurants{query}"), None).await.expect(200);
        page["restaurants"].as_array().unwrap().iter().any(|restaurant| restaurant["id"] == closed["id"])
    };
    for (query, is_there) in [("", true), ("?closed=true", true), ("?closed=false", false)] {
        assert_eq!(listed(query).await, is_there, "{query}");
    }
    server.get("/v1/restaurants?closed=maybe", None).await.problem(400, "bad_request");

    // Staff see the order and complete it.
    let orders = server.get(&server.orders_path(), Some(&server.staff)).await.expect(200);
    assert_eq!(crate::ids(&orders), [order["id"].as_str().unwrap()]);
    crate::walk_to(&server, &order, "deliver").await;
    let refund = server.command(&order, "refund", &server.staff, &json!({"reason": "late", "amount": 100}));
    refund.send().await.expect(200);
    let reopened =
        server.request(reqwest::Method::POST, &server.restaurant_path("/reopen")).by(&server.admin);
    assert_eq!(reopened.send().await.expect(200)["accepting"], true);
}

/// Proves that pausing and resuming can require a revision, and happen once per key.
#[tokio::test]
async fn a_pause_can_require_a_revision_and_a_key() {
    let server = crate::start().await;
    let send = |what: &str, tag: &str, key: &str| {
        let request = server.request(reqwest::Method::POST, &server.restaurant_path(what)).by(&server.staff);
        request.header("if-match", tag).key(key).send()
    };
    let stale = send("/pause", "\"9\"", "a").await.problem(412, "precondition_failed");
    assert_eq!(stale["current"], 1);
    assert_eq!(send("/pause", "\"8\", \"1\"", "a").await.header("etag"), "\"2\"");
    send("/resume", "\"1\"", "b").await.problem(412, "precondition_failed");
    assert_eq!(send("/resume", "\"2\"", "b").await.header("etag"), "\"3\"");
    let late = send("/pause", "*", "c").await.expect(200);
    assert_eq!(late["revision"], 4);
    send("/resume", "*", "d").await.expect(200);
    let retried = send("/pause", "*", "c").await;
    assert_eq!((retried.header("idempotency-replayed"), &retried.json["accepting"]), ("true", &json!(true)));
    send("/resume", "*", "c").await.problem(422, "idempotency_key_reused");
}
