//! Revoking access: disabling, demoting and deleting accounts, setting passwords, and revoking tokens.

use dabba_testkit::{HttpResponse, PASSWORD, TestAccount, TestServer};
use reqwest::Method;
use serde_json::{Value, json};

fn path(person: &TestAccount, rest: &str) -> String {
    format!("/v1/accounts/{}{rest}", person.id)
}

async fn patch(server: &TestServer, person: &TestAccount, by: &TestAccount, body: &Value) -> HttpResponse {
    server.request(Method::PATCH, &path(person, "")).by(by).json(body).send().await
}

async fn login(server: &TestServer, person: &TestAccount, password: &str) -> HttpResponse {
    server.post("/v1/tokens", None, &json!({"email": person.email, "password": password})).send().await
}

async fn me(server: &TestServer, token: &str) -> HttpResponse {
    server.request(Method::GET, "/v1/accounts/me").token(token).send().await
}

/// Proves that each way to revoke access ends tokens at once, also a token of a later login, and that each way allows or refuses
/// later logins as specified.
#[tokio::test]
async fn each_way_to_revoke_access_ends_tokens() {
    let server = crate::start().await;
    let (person, admin) = (&server.courier, &server.admin);
    let other = "a better password";
    let mut password = PASSWORD;
    let mut token = person.token.clone();
    for way in ["revoke", "disable", "demote", "password"] {
        me(&server, &token).await.expect(200);
        match way {
            "revoke" => {
                let revoke = server.request(Method::POST, &path(person, "/revoke-tokens")).by(admin);
                revoke.send().await.expect(204);
            }
            "disable" => drop(patch(&server, person, admin, &json!({"disabled": true})).await.expect(200)),
            "demote" => drop(patch(&server, person, admin, &json!({"role": "customer"})).await.expect(200)),
            _ => {
                let body = json!({"password": other});
                server.post(&path(person, "/password"), Some(admin), &body).send().await.expect(204);
                password = other;
            }
        }
        for _ in 0..2 {
            let refused = me(&server, &token).await;
            assert!(refused.header("www-authenticate").starts_with("Bearer"), "{way}");
            refused.problem(401, "token_revoked");
        }
        // Operations for everyone do not depend on the token.
        server.request(Method::GET, "/v1/restaurants").token(&token).send().await.expect(200);
        if way == "disable" {
            login(&server, person, password).await.problem(401, "wrong_credentials");
            patch(&server, person, admin, &json!({"disabled": false})).await.expect(200);
            // Enabling the account does not make old tokens valid again.
            me(&server, &token).await.problem(401, "token_revoked");
        }
        let signed_in = login(&server, person, password).await;
        token = signed_in.text_at("/access_token");
    }
    login(&server, person, PASSWORD).await.problem(401, "wrong_credentials");
    assert_eq!(me(&server, &token).await.expect(200)["role"], "customer");
}

/// Proves that the owner changes name and password but no member that only admins change, and that others get 404 for the
/// account.
#[tokio::test]
async fn owners_change_their_name_and_password_only() {
    let server = crate::start().await;
    let customer = &server.customer;
    let renamed = patch(&server, customer, customer, &json!({"name": " Asha "})).await;
    assert_eq!(renamed.header("etag"), "\"2\"");
    assert_eq!(renamed.expect(200)["name"], "Asha");
    me(&server, &customer.token).await.expect(200);
    for (body, pointer) in [(json!({"role": "admin"}), "/role"), (json!({"disabled": true}), "/disabled")] {
        let refused = patch(&server, customer, customer, &body).await.problem(403, "forbidden");
        assert_eq!(refused["errors"][0]["pointer"], pointer);
    }
    for body in [json!({}), json!({"name": " "}), json!({"role": "king"}), json!({"email": "a@b.c"})] {
        patch(&server, customer, customer, &body).await.problem(422, "invalid");
    }
    for by in [&server.other_customer, &server.staff] {
        patch(&server, customer, by, &json!({"name": "X"})).await.problem(404, "not_found");
        server.get(&path(customer, ""), Some(by)).await.problem(404, "not_found");
    }

    let new = "a better password";
    let set =
        async |body: Value| server.post(&path(customer, "/password"), Some(customer), &body).send().await;
    for body in [json!({"password": new}), json!({"password": new, "current_password": "wrong horse"})] {
        assert_eq!(set(body).await.pointers(), ["/current_password"]);
    }
    let short = set(json!({"password": "short", "current_password": PASSWORD})).await;
    assert_eq!(short.pointers(), ["/password"]);
    me(&server, &customer.token).await.expect(200);
    set(json!({"password": new, "current_password": PASSWORD})).await.expect(204);
    me(&server, &customer.token).await.problem(401, "token_revoked");
    login(&server, customer, PASSWORD).await.problem(401, "wrong_credentials");
    login(&server, customer, new).await.expect(200);
}

/// Proves that a retry of a change of the caller's own password gets the response to the first request, with the token that the
/// change has ended and with a new one, until the account changes again; and that the ended token is valid for nothing else.
#[tokio::test]
async fn a_change_of_the_own_password_can_be_retried() {
    let server = crate::start().await;
    let customer = &server.customer;
    let new = "a better password";
    let set = |token: &str, key: Option<&str>, password: &str| {
        let body = json!({"password": password, "current_password": PASSWORD});
        let request = server.request(Method::POST, &path(customer, "/password"));
        let request = request.header("authorization", &format!("Bearer {token}")).json(&body);
        match key {
            Some(key) => request.key(key).send(),
            None => request.send(),
        }
    };
    let first = set(&customer.token, Some("a"), new).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (204, ""));
    let token = login(&server, customer, new).await.text_at("/access_token");
    for token in [&customer.token, &token] {
        let again = set(token, Some("a"), new).await;
        assert_eq!((again.status, again.header("idempotency-replayed")), (204, "true"), "{}", again.text);
    }
    me(&server, &token).await.expect(200);
    for (key, password) in [(None, new), (Some("b"), new), (Some("a"), "another password of mine")] {
        set(&customer.token, key, password).await.problem(401, "token_revoked");
    }
    let others = format!("/v1/accounts/{}/password", server.courier.id);
    let body = json!({"password": new, "current_password": PASSWORD});
    server.post(&others, Some(customer), &body).key("a").send().await.problem(401, "token_revoked");
    me(&server, &customer.token).await.problem(401, "token_revoked");
    // Later changes of the account end the replay.
    patch(&server, customer, &server.admin, &json!({"name": "X"})).await.expect(200);
    set(&customer.token, Some("a"), new).await.problem(401, "token_revoked");
}

/// Proves that a revoked token cannot be used to guess passwords.
#[tokio::test]
async fn guesses_with_a_revoked_token_are_limited() {
    let rate = dabba_web::Rate { requests: 3.try_into().unwrap(), per: std::time::Duration::from_mins(1) };
    let server = crate::builder().web(|web| web.rate_limits.tokens_per_email = rate).start().await;
    let set = |password: &str| {
        let body = json!({"password": password, "current_password": PASSWORD});
        server.post(&path(&server.customer, "/password"), Some(&server.customer), &body).key("a").send()
    };
    set("a better password").await.expect(204);
    let others = format!("/v1/accounts/{}/password", server.courier.id);
    let body = json!({"password": "a guess of the password", "current_password": PASSWORD});
    for _ in 0..3 {
        set("a guess of the password").await.problem(401, "token_revoked");
        server
            .post(&others, Some(&server.customer), &body)
            .key("a")
            .send()
            .await
            .problem(401, "token_revoked");
    }
    set("a better password").await.problem(429, "too_many_requests");
    // Attempts at the account of another person reveal nothing, and do not count against that person.
    server.post(&others, Some(&server.courier), &body).send().await.expect(204);
}

/// Proves that retries of a change of a password during an outage of the database do not count as wrong passwords, also with the
/// token that the change has ended.
#[tokio::test]
async fn an_outage_does_not_count_as_a_wrong_password() {
    let rate = dabba_web::Rate { requests: 3.try_into().unwrap(), per: std::time::Duration::from_mins(1) };
    let server = crate::builder().web(|web| web.rate_limits.tokens_per_email = rate).start().await;
    let set = || {
        let body = json!({"password": "a better password", "current_password": PASSWORD});
        server.post(&path(&server.customer, "/password"), Some(&server.customer), &body).key("a").send()
    };
    set().await.expect(204);
    server.store().close().await;
    for _ in 0..5 {
        set().await.problem(503, "unavailable");
    }
}

/// Proves that a customer can delete their own account: nobody can log in to it, no personal data is left, its orders stay and go
/// on, and the address can be registered again. Staff cannot delete their own accounts.
#[tokio::test]
async fn a_customer_deletes_their_account() {
    let server = crate::start().await;
    let customer = &server.customer;
    let order = server.place("last", &TestServer::order()).await;
    let delete = async |whose: &TestAccount, by: &TestAccount| {
        server.request(Method::DELETE, &path(whose, "")).by(by).send().await
    };
    delete(&server.staff, &server.staff).await.problem(403, "forbidden");
    delete(customer, &server.other_customer).await.problem(404, "not_found");
    delete(customer, customer).await.expect(204);
    delete(customer, customer).await.problem(401, "token_revoked");
    delete(customer, &server.admin).await.problem(404, "not_found");
    login(&server, customer, PASSWORD).await.problem(401, "wrong_credentials");

    let left = server.get(&path(customer, ""), Some(&server.admin)).await;
    assert!(!left.text.contains(&customer.email), "{}", left.text);
    let left = left.expect(200);
    assert!(left.get("email").is_none() && left.get("name").is_none(), "{left}");
    assert!(left["deleted_at"].is_string() && left["disabled_at"].is_string(), "{left}");
    let order_path = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    let seen = server.get(&order_path, Some(&server.admin)).await.expect(200);
    assert_eq!(seen["customer_id"], json!(customer.id.to_string()));
    let accept = json!({"preparation_minutes": 10});
    server.command(&order, "accept", &server.staff, &accept).send().await.expect(200);

    let again = json!({"email": customer.email, "name": "Someone else", "password": PASSWORD});
    let again = server.post("/v1/accounts", None, &again).send().await.expect(201);
    assert_ne!(again["id"], left["id"]);
    login(&server, customer, PASSWORD).await.expect(200);
    server.get(&order_path, Some(customer)).await.problem(401, "token_revoked");
}

/// Proves that the last enabled admin cannot be disabled, demoted or deleted, and that a new admin can then replace the old one.
#[tokio::test]
async fn the_last_admin_cannot_be_removed() {
    let server = crate::start().await;
    let admin = &server.admin;
    for body in [json!({"disabled": true}), json!({"role": "courier"})] {
        patch(&server, admin, admin, &body).await.problem(409, "last_admin");
    }
    server.request(Method::DELETE, &path(admin, "")).by(admin).send().await.problem(409, "last_admin");
    patch(&server, &server.courier, admin, &json!({"role": "admin"})).await.expect(200);
    let token = login(&server, &server.courier, PASSWORD).await.text_at("/access_token");
    patch(&server, admin, admin, &json!({"disabled": true})).await.expect(200);
    me(&server, &admin.token).await.problem(401, "token_revoked");
    let list = server.request(Method::GET, "/v1/accounts?role=admin").token(&token).send().await.expect(200);
    assert_eq!(list["accounts"].as_array().unwrap().len(), 2);
}

/// Proves that a change depends on the version in `If-Match`, and that a retry with the same key changes nothing: the token of a
/// login between the two requests stays valid.
#[tokio::test]
async fn a_change_is_made_once_and_at_the_expected_version() {
    let server = crate::start().await;
    let (courier, admin) = (&server.courier, &server.admin);
    let rename = |tag: &str| {
        let request = server.request(Method::PATCH, &path(courier, "")).by(admin).header("if-match", tag);
        request.json(&json!({"name": "Bo"})).send()
    };
    let refused = rename("\"7\"").await.problem(412, "precondition_failed");
    assert_eq!(refused["current"], 1);
    assert_eq!(rename("\"7\", \"1\"").await.header("etag"), "\"2\"");

    let revoke =
        || server.request(Method::POST, &path(courier, "/revoke-tokens")).by(admin).key("once").send();
    let first = revoke().await;
    assert_eq!((first.status, first.headers.contains_key("idempotency-replayed")), (204, false));
    let token = login(&server, courier, PASSWORD).await.text_at("/access_token");
    assert_eq!(revoke().await.header("idempotency-replayed"), "true");
    me(&server, &token).await.expect(200);

    let set = |password: &str| {
        let body = json!({"password": password});
        server.post(&path(courier, "/password"), Some(admin), &body).key("password").send()
    };
    set("a better password").await.expect(204);
    assert_eq!(set("a better password").await.header("idempotency-replayed"), "true");
    set("yet another one").await.problem(422, "idempotency_key_reused");
    let patch = |body: Value| {
        let request = server.request(Method::PATCH, &path(courier, "")).by(admin).key("password");
        async move { request.json(&body).send().await }
    };
    patch(json!({"name": "X"})).await.problem(422, "idempotency_key_reused");
}

/// Proves that admins list accounts by address and role, in pages, and that others cannot.
#[tokio::test]
async fn admins_list_accounts() {
    let server = crate::start().await;
    let list = async |query: &str| server.get(&format!("/v1/accounts{query}"), Some(&server.admin)).await;
    let found = list("?email=Courier@Example.org").await.expect(200);
    assert_eq!(found["accounts"][0]["id"], json!(server.courier.id.to_string()));
    for query in ["?email=nobody@example.org", "?email=x", "?email=courier@example.org&role=admin"] {
        assert_eq!(list(query).await.expect(200)["accounts"], json!([]), "{query}");
    }
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = list(&format!("?limit=2{cursor}")).await.expect(200);
        ids.extend(page["accounts"].as_array().unwrap().iter().map(|account| account["id"].to_string()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(ids.len(), 7);
    assert!(ids.is_sorted());
    list("?role=king").await.problem(400, "bad_request");
    server.get("/v1/accounts", Some(&server.staff)).await.problem(403, "forbidden");
}

/// Proves that an admin can revoke the token of an operator, whose id has no account, and that others cannot.
#[tokio::test]
async fn a_token_without_an_account_is_revoked_by_its_id() {
    let server = crate::start().await;
    let operator: dabba_domain::AccountId = "019aaaaa-aaaa-7bbb-8ccc-dddddddddddd".parse().unwrap();
    let bearer = dabba_engine::Principal::new(operator, dabba_domain::Role::Admin);
    let config = &server.config;
    let token = dabba_web::issue_token(&config.signing_key, &bearer, server.now(), config.token_lifetime);
    let list = || server.request(Method::GET, "/v1/accounts").token(&token).send();
    let revoke = |by: &TestAccount| {
        server.request(Method::POST, &format!("/v1/accounts/{operator}/revoke-tokens")).by(by).send()
    };
    list().await.expect(200);
    revoke(&server.customer).await.problem(404, "not_found");
    revoke(&server.admin).await.expect(204);
    list().await.problem(401, "token_revoked");
}
