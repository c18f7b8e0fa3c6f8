//! Accounts: registration, login, and their rate limits.

use std::{num::NonZeroU32, time::Duration};

use dabba_testkit::PASSWORD;
use dabba_web::Rate;
use jiff::SignedDuration;
use serde_json::json;

/// Proves that a customer registers, logs in, and reads their own account.
#[tokio::test]
async fn a_customer_registers_and_logs_in() {
    let server = crate::start().await;
    let registration = json!({"email": "Asha@Example.org", "name": "Asha", "password": PASSWORD});
    let registered = server.post("/v1/accounts", None, &registration).send().await.expect(201);
    assert_eq!((&registered["email"], &registered["role"]), (&json!("asha@example.org"), &json!("customer")));
    assert!(registered.get("password_hash").is_none());
    server.post("/v1/accounts", None, &registration).send().await.problem(409, "email_taken");

    let login = |email: &str, password: &str| {
        server.post("/v1/tokens", None, &json!({"email": email, "password": password})).send()
    };
    let token = login("asha@example.ORG", PASSWORD).await;
    assert_eq!(token.header("cache-control"), "no-store");
    assert_eq!(token.json["expires_in"], 43_200);
    let access = token.text_at("/access_token");
    let me = server.request(reqwest::Method::GET, "/v1/accounts/me").token(&access).send().await.expect(200);
    assert_eq!((&me["id"], &me["restaurants"]), (&registered["id"], &json!([])));
    for (email, password) in [("asha@example.org", "wrong"), ("nobody@example.org", PASSWORD), ("x", "y")] {
        login(email, password).await.problem(401, "wrong_credentials");
    }
    let staff = server.get("/v1/accounts/me", Some(&server.staff)).await.expect(200);
    assert_eq!(staff["restaurants"], json!([server.restaurant.to_string()]));
}

/// Proves that only an admin registers accounts with other roles, and that a token that is not valid is not ignored.
#[tokio::test]
async fn only_an_admin_registers_other_roles() {
    let server = crate::start().await;
    let body = json!({"email": "a@b.c", "name": "A", "password": PASSWORD, "role": "courier"});
    server.post("/v1/accounts", None, &body).send().await.problem(403, "forbidden");
    server.post("/v1/accounts", Some(&server.staff), &body).send().await.problem(403, "forbidden");
    server.post("/v1/accounts", None, &body).token("x").send().await.problem(401, "unauthenticated");
    server.post("/v1/accounts", Some(&server.admin), &body).send().await.expect(201);
}

/// Proves that a refusal lists every problem of a registration.
#[tokio::test]
async fn a_registration_is_checked() {
    let server = crate::start().await;
    let body = json!({"email": "nobody", "name": " ", "password": "short"});
    let answer = server.post("/v1/accounts", None, &body).send().await;
    assert_eq!(answer.pointers(), ["/email", "/name", "/password"]);
}

fn rate(requests: u32) -> Rate {
    Rate { requests: NonZeroU32::new(requests).unwrap(), per: Duration::from_mins(1) }
}

/// Proves that only a few wrong passwords for one address are accepted until the limit refills; that right passwords are not
/// limited; and that changing the password does not bypass the limit.
#[tokio::test]
async fn guesses_of_a_password_are_limited() {
    let server = crate::builder().web(|web| web.rate_limits.tokens_per_email = rate(3)).start().await;
    let login = |email: &str, password: &str| {
        server.post("/v1/tokens", None, &json!({"email": email, "password": password})).send()
    };
    for _ in 0..10 {
        login("customer@example.org", PASSWORD).await.expect(200);
    }
    for _ in 0..3 {
        login("customer@example.org", "wrong").await.problem(401, "wrong_credentials");
    }
    for password in ["wrong", PASSWORD] {
        let refused = login(" Customer@example.org", password).await;
        assert_eq!(refused.header("retry-after"), "20");
        let name = "\"wrong-passwords-of-email-and-network\"";
        assert_eq!(refused.header("ratelimit-policy"), format!("{name};q=3;w=60"));
        assert_eq!(refused.header("ratelimit"), format!("{name};r=0;t=20"));
        let problem = refused.problem(429, "too_many_requests");
        assert_eq!((&problem["quota"], &problem["window_seconds"]), (&json!(3), &json!(60)));
    }
    login("courier@example.org", "wrong").await.problem(401, "wrong_credentials");
    server.advance(SignedDuration::from_secs(20));
    login("customer@example.org", "wrong").await.problem(401, "wrong_credentials");
    login("customer@example.org", "wrong").await.problem(429, "too_many_requests");
    // A right password clears the failures before it.
    server.advance(SignedDuration::from_secs(20));
    login("customer@example.org", PASSWORD).await.expect(200);
    for _ in 0..3 {
        login("customer@example.org", "wrong").await.problem(401, "wrong_credentials");
    }
    login("nobody@example.org", "wrong").await.problem(401, "wrong_credentials");

    let path = format!("/v1/accounts/{}/password", server.staff.id);
    let set = |current: &str| {
        let body = json!({"password": "seven green kettles", "current_password": current});
        server.post(&path, Some(&server.staff), &body).send()
    };
    for _ in 0..3 {
        set("wrong").await.problem(422, "invalid");
    }
    set(PASSWORD).await.problem(429, "too_many_requests");
}

/// Proves that the owner can log in, from home and from other networks, while an attacker tries passwords from 16 addresses and
/// from a whole IPv6 site, which counts as one network; and that very many addresses share a limit.
#[tokio::test]
async fn an_attack_from_many_networks_does_not_lock_the_owner_out() {
    let server = crate::builder()
        .web(|web| {
            web.rate_limits.tokens_per_email = rate(2);
            web.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        })
        .start()
        .await;
    let login = |address: String, password: &str| {
        let body = json!({"email": "customer@example.org", "password": password});
        server.post("/v1/tokens", None, &body).header("x-forwarded-for", &address).send()
    };
    let home = || "198.51.100.7".to_owned();
    login(home(), PASSWORD).await.expect(200);
    let mut refused = 0;
    for number in 0..16 {
        // The same network, once as an IPv4 address and once as an IPv6 address.
        for address in [format!("203.0.113.{number}"), format!("::ffff:203.0.113.{number}")] {
            refused += u32::from(login(address, "wrong").await.status == 429);
        }
        refused += u32::from(login(format!("2001:db8:0:{number:x}::1"), "wrong").await.status == 429);
    }
    assert_eq!(refused, 14);
    login("192.0.2.1".to_owned(), PASSWORD).await.expect(200);
    for number in 0..60 {
        login(format!("203.0.112.{number}"), "wrong").await;
        login(format!("203.0.112.{number}"), "wrong").await;
    }
    let refused = login("192.0.2.2".to_owned(), PASSWORD).await;
    assert_eq!(refused.header("ratelimit-policy"), "\"wrong-passwords-of-email\";q=20;w=600");
    refused.problem(429, "too_many_requests");
    for known in [home(), "192.0.2.1".to_owned()] {
        login(known, PASSWORD).await.expect(200);
    }
    login(home(), "wrong").await.problem(401, "wrong_credentials");
}

/// Proves that admins register accounts without a limit, and other callers do not, with or without a token.
#[tokio::test]
async fn admins_register_without_a_limit() {
    let server = crate::builder().web(|web| web.rate_limits.accounts_per_address = rate(1)).start().await;
    let register = |number: u32, by: Option<&dabba_testkit::TestAccount>| {
        let body = json!({"email": format!("n{number}@example.org"), "name": "N", "password": PASSWORD});
        server.post("/v1/accounts", by, &body).send()
    };
    for number in 0..5 {
        register(number, Some(&server.admin)).await.expect(201);
    }
    register(5, None).await.expect(201);
    for by in [None, Some(&server.customer), Some(&server.staff)] {
        let refused = register(6, by).await;
        assert!(refused.header_values("ratelimit-policy").contains("\"registrations\";q=1;w=60"));
        assert!(refused.header_values("ratelimit").contains("\"registrations\";r=0;t="));
        refused.problem(429, "too_many_requests");
    }
    register(6, Some(&server.admin)).await.expect(201);
}

/// Proves that easy passwords are refused for new accounts and new passwords, including passwords made of the account's own name,
/// and that an account that already has an easy password can still log in.
#[tokio::test]
async fn easy_passwords_are_refused() {
    let server = crate::start().await;
    for password in ["password1", "asha1234", "iloveyou"] {
        let body = json!({"email": "asha@example.org", "name": "Asha", "password": password});
        let refused = server.post("/v1/accounts", None, &body).send().await;
        assert!(refused.text.contains("easy to guess"), "{}", refused.text);
        assert_eq!(refused.pointers(), ["/password"], "{password}");
    }
    let path = format!("/v1/accounts/{}/password", server.customer.id);
    for password in ["qwertyuiop", "customer1"] {
        let set = json!({"password": password, "current_password": PASSWORD});
        assert_eq!(server.post(&path, Some(&server.customer), &set).send().await.pointers(), ["/password"]);
    }
    // An account as an earlier version stored it.
    let account = server.store().account(server.customer.id).await.unwrap().unwrap();
    let cost = argon2::Params::new(8, 1, 1, None).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, cost);
    let hash = argon2::PasswordHasher::hash_password_with_salt(&argon2, b"password", b"0123456789abcdef");
    let edit = dabba_store::AccountEdit {
        id: account.id,
        change: dabba_store::AccountChange::Password { hash: hash.unwrap().to_string() },
        expected: None,
        by: None,
        at: server.now(),
    };
    server.store().edit_account(&edit).await.unwrap();
    let body = json!({"email": account.email, "password": "password"});
    server.post("/v1/tokens", None, &body).send().await.expect(200);
}

/// Proves that an address that no account can have is refused before the password is hashed.
#[tokio::test]
async fn an_oversized_address_is_refused() {
    let server = crate::start().await;
    let long = format!("{}@example.org", "a".repeat(60_000));
    let body = json!({"email": long, "password": PASSWORD});
    assert_eq!(server.post("/v1/tokens", None, &body).send().await.pointers(), ["/email"]);
    let body = json!({"email": long, "name": "N", "password": PASSWORD});
    assert_eq!(server.post("/v1/accounts", None, &body).send().await.pointers(), ["/email"]);
}

/// Proves that the logins and registrations of one client address are limited, whatever e-mail addresses they use.
#[tokio::test]
async fn the_requests_of_one_address_are_limited() {
    let server = crate::builder()
        .web(|web| {
            web.rate_limits.tokens_per_address = rate(2);
            web.rate_limits.accounts_per_address = rate(2);
            web.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        })
        .start()
        .await;
    let from = |path: &str, address: &str, number: u32| {
        let body = json!({"email": format!("n{number}@example.org"), "name": "N", "password": PASSWORD});
        let body =
            if path == "/v1/tokens" { json!({"email": body["email"], "password": PASSWORD}) } else { body };
        server.post(path, None, &body).header("x-forwarded-for", &format!("192.0.2.1, {address}")).send()
    };
    for (path, status) in [("/v1/tokens", 401), ("/v1/accounts", 201)] {
        for number in 0..2 {
            from(path, "198.51.100.7", number).await.expect(status);
        }
        from(path, "198.51.100.7", 3).await.problem(429, "too_many_requests");
        from(path, "198.51.100.8", 4).await.expect(status);
        // The limit of an IPv6 address applies to its network.
        for number in 5..7 {
            from(path, &format!("2001:db8::{number}"), number).await.expect(status);
        }
        from(path, "2001:db8::8", 8).await.problem(429, "too_many_requests");
        from(path, "2001:db8:1::1", 9).await.expect(status);
    }
}
