//! Sessions and login links.

use std::{num::NonZeroU32, time::Duration};

use dabba_testkit::{HttpResponse, PASSWORD, TestAccount, TestServer, eventually};
use futures::future::join_all;
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

/// A well-formed secret of nobody.
const UNKNOWN: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn credentials(account: &TestAccount) -> Value {
    json!({"email": account.email, "password": PASSWORD})
}

async fn get(server: &TestServer, path: &str, cookie: &str) -> HttpResponse {
    server.request(Method::GET, path).header("cookie", cookie).send().await
}

async fn session(server: &TestServer, cookie: &str) -> HttpResponse {
    get(server, "/v1/session", cookie).await
}

async fn log_out(server: &TestServer, cookie: &str) -> HttpResponse {
    server.request(Method::DELETE, "/v1/session").session(cookie).send().await
}

/// Creates a login link, and returns its token.
async fn link(server: &TestServer, account: &TestAccount) -> String {
    let path = format!("/v1/accounts/{}/login-links", account.id);
    let created = server.request(Method::POST, &path).by(&server.admin).send().await;
    assert_eq!(created.header("cache-control"), "no-store");
    let created = created.expect(201);
    let token = created["link_token"].as_str().unwrap();
    assert_eq!(created["path"], format!("/login#{token}"));
    assert_eq!(created["account_id"], account.id.to_string());
    token.to_owned()
}

/// Proves that a server with a public URL creates login links with that URL, and that a server without one does not.
#[tokio::test]
async fn a_public_url_makes_absolute_login_links() {
    for public_url in [None, Some("https://orders.example.org/dabba")] {
        let server = crate::builder().api(|api| api.public_url = public_url.map(str::to_owned)).start().await;
        let path = format!("/v1/accounts/{}/login-links", server.staff.id);
        let created = server.request(Method::POST, &path).by(&server.admin).send().await.expect(201);
        let token = created["link_token"].as_str().unwrap();
        let url = public_url.map(|public_url| json!(format!("{public_url}/login#{token}")));
        assert_eq!(created.get("url"), url.as_ref());
        assert_eq!(created["path"], format!("/login#{token}"));
    }
}

async fn redeem(server: &TestServer, token: &str) -> HttpResponse {
    server.post("/v1/session", None, &json!({"link_token": token})).send().await
}

/// Proves that a session begins with a password, identifies its account with all rights of the role, and ends with the logout.
#[tokio::test]
async fn a_session_begins_and_ends() {
    let server = crate::builder()
        .api(|api| (api.build, api.has_simulated_payments) = ("0123abcd", true))
        .start()
        .await;
    let request =
        server.post("/v1/session", None, &credentials(&server.staff)).header("user-agent", "Tablet/1");
    let logged_in = request.send().await;
    assert_eq!(logged_in.header("cache-control"), "no-store");
    let set = logged_in.header("set-cookie").to_owned();
    let (cookie, flags) = set.split_once("; ").unwrap();
    assert_eq!(flags, "Path=/; Max-Age=34560000; HttpOnly; SameSite=Strict");
    assert_eq!(cookie.strip_prefix("dabba=").unwrap().len(), 43);
    let body = logged_in.expect(200);
    let me = server.get("/v1/accounts/me", Some(&server.staff)).await.expect(200);
    assert_eq!((&body["account"]["id"], &body["account"]["email"]), (&me["id"], &me["email"]));
    assert_eq!(
        body["restaurants"],
        json!([{"id": server.restaurant.to_string(), "name": "Curry Mile Kitchen"}])
    );
    assert_eq!(body["expires_at"], (server.now() + SignedDuration::from_hours(30 * 24)).to_string());
    let version = body["server"]["version"].as_str().unwrap();
    assert_eq!(
        body["server"],
        json!({"version": version, "build": "0123abcd", "now": server.now().to_string(), "simulated_payments": true})
    );

    let read = session(&server, cookie).await;
    assert_eq!(read.header("set-cookie"), set, "the browser keeps the cookie for longer");
    assert_eq!(read.expect(200), body);
    get(&server, &server.orders_path(), cookie).await.expect(200);
    let pause = server.request(Method::POST, &server.restaurant_path("/pause")).session(cookie);
    pause.send().await.expect(200);

    for _ in 0..2 {
        let logged_out = log_out(&server, cookie).await;
        assert_eq!(logged_out.status, 204, "{}", logged_out.text);
        let cleared = "dabba=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict";
        assert_eq!(logged_out.header("set-cookie"), cleared);
        let refused = session(&server, cookie).await;
        assert!(refused.header("www-authenticate").contains("invalid_token"));
        refused.problem(401, "token_revoked");
    }
    server.request(Method::DELETE, "/v1/session").send().await.expect(204);
}

/// Proves that a login ends the session whose cookie it replaces, whether with a password or with a link, also of another account;
/// that a refused login ends nothing; and that a cookie of no session does not keep anybody from logging in.
#[tokio::test]
async fn a_login_ends_the_session_that_it_replaces() {
    let server = crate::start().await;
    let log_in = async |body: &Value, cookie: &str| {
        server.post("/v1/session", None, body).header("cookie", cookie).send().await
    };
    let cookie_of = |response: &HttpResponse| {
        assert_eq!(response.status, 200, "{}", response.text);
        response.header("set-cookie").split(';').next().unwrap().to_owned()
    };
    let elsewhere = server.log_in(&server.staff).await;
    let first = server.log_in(&server.staff).await;
    let wrong = json!({"email": server.staff.email, "password": "not the password"});
    log_in(&wrong, &first).await.problem(401, "wrong_credentials");
    log_in(&json!({"link_token": UNKNOWN}), &first).await.problem(401, "wrong_credentials");
    session(&server, &first).await.expect(200);

    let second = cookie_of(&log_in(&credentials(&server.staff), &first).await);
    session(&server, &first).await.problem(401, "token_revoked");
    session(&server, &second).await.expect(200);
    let used = json!({"link_token": link(&server, &server.customer).await});
    let third = cookie_of(&log_in(&used, &second).await);
    session(&server, &second).await.problem(401, "token_revoked");
    let refused = log_in(&used, &third).await;
    assert_eq!(refused.status, 401, "{}", refused.text);
    let shown = session(&server, &third).await.expect(200);
    assert_eq!(shown["account"]["id"], server.customer.id.to_string());

    for cookie in [format!("dabba={UNKNOWN}"), "dabba=x".to_owned(), first] {
        cookie_of(&log_in(&credentials(&server.customer), &cookie).await);
    }
    session(&server, &third).await.expect(200);
    session(&server, &elsewhere).await.expect(200);
}

/// Proves that no response and no list shows the secret of a session, and that the store has only its hash.
#[tokio::test]
async fn only_the_cookie_contains_the_secret() {
    let server = crate::start().await;
    let cookie = server.log_in(&server.customer).await;
    let secret = cookie.split_once('=').unwrap().1;
    let body = session(&server, &cookie).await;
    assert!(!body.text.contains(secret));
    let path = format!("/v1/accounts/{}/sessions", server.customer.id);
    let listed = get(&server, &path, &cookie).await;
    assert!(!listed.text.contains(secret));
    let id = listed.expect(200)["sessions"][0]["id"].as_str().unwrap().parse().unwrap();
    let stored = server.store().session(id).await.unwrap();
    assert!(!format!("{stored:?}").contains(secret));
}

/// Proves that a wrong password, an incomplete request and a mixed one are refused, and that wrong passwords are limited together with
/// those of tokens.
#[tokio::test]
async fn a_login_is_checked() {
    let three = dabba_web::Rate { requests: NonZeroU32::new(3).unwrap(), per: Duration::from_mins(5) };
    let server = crate::builder().web(|web| web.rate_limits.tokens_per_email = three).start().await;
    let post = async |path: &str, body: Value| server.post(path, None, &body).send().await;
    let email = &server.customer.email;
    for body in [
        json!({}),
        json!({"email": email}),
        json!({"password": PASSWORD}),
        json!({"email": email, "password": PASSWORD, "link_token": UNKNOWN}),
        json!({"email": email, "link_token": UNKNOWN}),
    ] {
        assert_eq!(post("/v1/session", body).await.pointers(), [""]);
    }
    let wrong = json!({"email": email, "password": "a wrong password"});
    post("/v1/session", wrong.clone()).await.problem(401, "wrong_credentials");
    post("/v1/tokens", wrong.clone()).await.problem(401, "wrong_credentials");
    post("/v1/session", wrong.clone()).await.problem(401, "wrong_credentials");
    post("/v1/session", wrong).await.problem(429, "too_many_requests");
}

/// Proves that a link logs in once, also if two clients redeem it at once, and not after ten minutes.
#[tokio::test]
async fn a_link_logs_in_once() {
    let server = crate::start().await;
    let token = link(&server, &server.staff).await;
    let both = join_all([redeem(&server, &token), redeem(&server, &token)]).await;
    let mut statuses: Vec<_> = both.iter().map(|response| response.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401]);
    let winner = both.into_iter().find(|response| response.status == 200).unwrap();
    let cookie = winner.header("set-cookie").split(';').next().unwrap().to_owned();
    assert_eq!(winner.expect(200)["account"]["id"], server.staff.id.to_string());
    get(&server, &server.orders_path(), &cookie).await.expect(200);
    let refused = redeem(&server, &token).await.problem(401, "wrong_credentials");
    assert!(refused["detail"].as_str().unwrap().contains("login link"), "{refused}");

    let late = link(&server, &server.staff).await;
    server.advance(SignedDuration::from_mins(10));
    redeem(&server, &late).await.problem(401, "wrong_credentials");
    for token in ["", "short", UNKNOWN] {
        redeem(&server, token).await.problem(401, "wrong_credentials");
    }
}

/// Proves the cookie and the refusal of each way on which a login arrives.
#[tokio::test]
async fn the_cookie_fits_the_connection() {
    let server = crate::start().await;
    let behind_proxy = crate::builder().web(|web| web.trusted_proxies = vec!["127.0.0.1".parse().unwrap()]);
    let behind_proxy = behind_proxy.start().await;
    let insecure = crate::builder().web(|web| web.insecure_sessions = true).start().await;
    let log_in = async |server: &TestServer, headers: &[(&str, &str)]| {
        let mut request = server.post("/v1/session", None, &credentials(&server.customer));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.send().await
    };
    let host = ("host", "dabba.example.org");
    let https = ("x-forwarded-proto", "https");

    let refused = log_in(&server, &[host]).await;
    assert!(!refused.headers.contains_key("set-cookie"));
    assert_eq!(refused.header("www-authenticate"), "Bearer");
    let refused = refused.problem(403, "insecure_login");
    assert!(refused["detail"].as_str().unwrap().contains("insecure_sessions"), "{refused}");
    // Only a trusted proxy states that its client uses HTTPS.
    log_in(&server, &[host, https]).await.problem(403, "insecure_login");
    log_in(&server, &[("host", "localhost"), https]).await.problem(403, "insecure_login");
    log_in(&behind_proxy, &[host]).await.problem(403, "insecure_login");
    // A proxy on the server's machine that states nothing is no browser on that machine.
    log_in(&behind_proxy, &[("host", "localhost")]).await.problem(403, "insecure_login");
    let page =
        [("host", "localhost"), ("origin", "https://dabba.example.org"), ("sec-fetch-site", "same-origin")];
    log_in(&server, &page).await.problem(403, "insecure_login");
    log_in(&server, &[("host", "localhost"), ("origin", "http://localhost")]).await.expect(200);

    let secure = log_in(&behind_proxy, &[host, https]).await;
    let set = secure.header("set-cookie").to_owned();
    secure.expect(200);
    assert!(
        set.starts_with("__Host-dabba=") && set.ends_with("; Secure") && set.contains("; HttpOnly; "),
        "{set}"
    );
    let cookie = set.split(';').next().unwrap();
    let over_https = |server: &TestServer| {
        server.request(Method::GET, "/v1/session").header("cookie", cookie).header(host.0, host.1)
    };
    over_https(&behind_proxy).header(https.0, https.1).send().await.expect(200);
    over_https(&behind_proxy).send().await.problem(401, "unauthenticated");
    // A cookie that another host of the domain could have planted does not count.
    let planted = server.request(Method::GET, "/v1/session").header("cookie", &cookie.replace("__Host-", ""));
    planted.header(host.0, host.1).send().await.problem(401, "unauthenticated");

    let plain = log_in(&insecure, &[host]).await;
    let set = plain.header("set-cookie").to_owned();
    plain.expect(200);
    assert!(set.starts_with("dabba=") && !set.contains("Secure"), "{set}");
    let read = insecure.request(Method::GET, "/v1/session").header("cookie", set.split(';').next().unwrap());
    read.header(host.0, host.1).send().await.expect(200);
}

/// Proves that unsafe methods by cookie need the proof that a page of the server sent them, that streams by cookie are refused to
/// other sites, and that tokens need no proof.
#[tokio::test]
async fn requests_of_other_sites_are_refused() {
    let server = crate::start().await;
    let cookie = server.log_in(&server.staff).await;
    let own = format!("http://{}", server.address());
    let pause = server.restaurant_path("/pause");
    let stream = format!("/v1/events/stream?restaurant={}", server.restaurant);
    let feed = format!("/v1/events?restaurant={}", server.restaurant);
    for (headers, allowed) in [
        (&[][..], false),
        (&[("sec-fetch-site", "same-origin")], true),
        (&[("sec-fetch-site", "same-site")], false),
        (&[("sec-fetch-site", "cross-site"), ("origin", &own)], false),
        (&[("sec-fetch-site", "none")], false),
        (&[("origin", &own)], true),
        (&[("origin", "https://evil.example")], false),
        (&[("origin", "null")], false),
    ] {
        for (method, path) in [(Method::POST, &pause), (Method::GET, &stream), (Method::GET, &feed)] {
            let mut request = server.request(method.clone(), path).header("cookie", &cookie);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let answer = request.send().await;
            // Browsers state nothing about a stream over plain HTTP from another host.
            if allowed || method == Method::GET && headers.is_empty() {
                assert_eq!(answer.status, 200, "{method} {path} {headers:?} {}", answer.text);
            } else {
                assert_eq!(answer.header("www-authenticate"), "Bearer");
                answer.problem(403, "cross_site_request");
            }
        }
        let mut read = server.request(Method::GET, &server.orders_path()).header("cookie", &cookie);
        for (name, value) in headers {
            read = read.header(name, value);
        }
        read.send().await.expect(200);
    }
    // A request with a token does not use the cookie.
    let by_token = server.request(Method::POST, &pause).by(&server.staff).header("cookie", &cookie);
    by_token.header("sec-fetch-site", "cross-site").send().await.expect(200);
    let forged = server.request(Method::GET, &server.orders_path()).header("cookie", &cookie).token("forged");
    forged.send().await.problem(401, "unauthenticated");

    let cross = ("sec-fetch-site", "cross-site");
    let login = server.post("/v1/session", None, &credentials(&server.staff)).header(cross.0, cross.1);
    login.send().await.problem(403, "cross_site_request");
    let logout = server.request(Method::DELETE, "/v1/session").header("cookie", &cookie);
    logout.send().await.problem(403, "cross_site_request");
    session(&server, &cookie).await.expect(200);
}

/// Proves that a session that has ended does not prevent reads that need no caller, and that other operations refuse it.
#[tokio::test]
async fn an_ended_session_prevents_no_public_read() {
    let server = crate::start().await;
    let cookie = server.log_in(&server.customer).await;
    log_out(&server, &cookie).await.expect(204);
    for cookie in [&*cookie, "dabba=nonsense", &format!("dabba={UNKNOWN}")] {
        for path in
            ["/v1/restaurants".to_owned(), server.restaurant_path(""), server.restaurant_path("/menu")]
        {
            get(&server, &path, cookie).await.expect(200);
        }
        let order = server.request(Method::POST, &server.orders_path()).session(cookie).key("a");
        assert_eq!(order.json(&TestServer::collection()).send().await.status, 401);
        assert_eq!(session(&server, cookie).await.status, 401);
    }
}

/// Proves that a session and a token of an account share their idempotency keys.
#[tokio::test]
async fn a_session_shares_the_keys_of_its_account() {
    let server = crate::start().await;
    let cookie = server.log_in(&server.customer).await;
    let order = server.request(Method::POST, &server.orders_path()).session(&cookie).key("same");
    let placed = order.json(&TestServer::collection()).send().await.expect(201);
    let again = server.post(&server.orders_path(), Some(&server.customer), &TestServer::collection());
    let again = again.key("same").send().await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.expect(201)["id"], placed["id"]);
}

/// Proves that uses extend a session by the server's clock, and that it ends without them: an admin's after 12 hours.
#[tokio::test]
async fn a_session_ends_without_uses() {
    let server = crate::start().await;
    let (staff, admin) = (server.log_in(&server.staff).await, server.log_in(&server.admin).await);
    for _ in 0..2 {
        server.advance(SignedDuration::from_hours(12) - SignedDuration::from_secs(1));
        session(&server, &admin).await.expect(200);
    }
    server.advance(SignedDuration::from_hours(12));
    session(&server, &admin).await.problem(401, "unauthenticated");
    let read = session(&server, &staff).await.expect(200);
    assert_eq!(read["expires_at"], (server.now() + SignedDuration::from_hours(30 * 24)).to_string());
    server.advance(SignedDuration::from_hours(30 * 24));
    session(&server, &staff).await.problem(401, "unauthenticated");
    let metrics = server.get("/metrics", None).await;
    for (outcome, count) in [("accepted", 3), ("expired", 2)] {
        let line = format!("dabba_session_uses_total{{outcome=\"{outcome}\"}}");
        assert_eq!(crate::metric(&metrics, &line), count, "{outcome}");
    }
}

/// Proves that a stream ends with its session: when it is revoked, and when it expires; and that a session has fewer streams than a
/// token.
#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let server = crate::builder().api(|api| {
        api.live.heartbeat = Duration::from_millis(200);
        api.live.max_streams_per_session = 2;
    });
    let server = server.start().await;
    let path = format!("/v1/events/stream?restaurant={}", server.restaurant);
    let open = |cookie: &str| server.request(Method::GET, &path).session(cookie);
    let ended = async |mut stream: dabba_testkit::EventStream| {
        let bye = stream.next_event().await;
        assert_eq!((&*bye.event, &bye.data["reason"]), ("bye", &json!("session_ended")));
        assert!(stream.next().await.is_none());
    };
    let cookie = server.log_in(&server.staff).await;
    let (first, second) = (open(&cookie).stream().await, open(&cookie).stream().await);
    let refused = open(&cookie).send().await.problem(429, "too_many_requests");
    assert!(refused["detail"].as_str().unwrap().contains("2 streams"), "{refused}");
    let other = server.log_in(&server.staff).await;
    let of_other = open(&other).stream().await;
    log_out(&server, &cookie).await.expect(204);
    ended(first).await;
    ended(second).await;
    server.advance(SignedDuration::from_hours(30 * 24));
    ended(of_other).await;
}

/// Proves that only the owner and admins list the sessions of an account in pages, and end them.
#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let server = crate::start().await;
    let TestServer { customer, admin, .. } = &server;
    let request =
        server.post("/v1/session", None, &credentials(customer)).header("user-agent", "Mozilla/5.0");
    let first = request.send().await;
    let cookie = first.header("set-cookie").split(';').next().unwrap().to_owned();
    let first = first.expect(200);
    // Ids of the same millisecond have no order.
    server.advance(SignedDuration::from_secs(1));
    let other = server.log_in(customer).await;
    let path = format!("/v1/accounts/{}/sessions", customer.id);
    let page = get(&server, &format!("{path}?limit=1"), &cookie).await.expect(200);
    let one = &page["sessions"][0];
    assert_eq!((&one["id"], &one["current"]), (&first["id"], &json!(true)));
    assert_eq!(
        (&one["user_agent"], &one["last_used_at"]),
        (&json!("Mozilla/5.0"), &json!(server.now().to_string()))
    );
    let next = format!("{path}?cursor={}", page["next_cursor"].as_str().unwrap());
    let page = server.get(&next, Some(admin)).await.expect(200);
    let two = &page["sessions"][0];
    assert_eq!((page.get("next_cursor"), &two["current"]), (None, &json!(false)));
    let of_second = format!("{path}/{}", two["id"].as_str().unwrap());
    for person in [&server.other_customer, &server.staff, &server.courier] {
        server.get(&path, Some(person)).await.problem(404, "not_found");
        let end = server.request(Method::DELETE, &of_second).by(person);
        end.send().await.problem(404, "not_found");
    }
    session(&server, &other).await.expect(200);
    server.request(Method::DELETE, &of_second).session(&cookie).send().await.expect(204);
    session(&server, &other).await.problem(401, "token_revoked");
    let of_first = format!("{path}/{}", first["id"].as_str().unwrap());
    server.request(Method::DELETE, &of_first).by(admin).send().await.expect(204);
    session(&server, &cookie).await.problem(401, "token_revoked");
    let listed = server.get(&path, Some(customer)).await.expect(200);
    for session in listed["sessions"].as_array().unwrap() {
        assert_eq!(session["revoked_at"], session["expires_at"]);
    }
}

/// Proves that a new password, and the end of all tokens, end sessions, too.
#[tokio::test]
async fn a_session_ends_with_the_credentials_of_its_account() {
    let server = crate::start().await;
    let cookie = server.log_in(&server.customer).await;
    let account = format!("/v1/accounts/{}", server.customer.id);
    let password = json!({"password": "another long password", "current_password": PASSWORD});
    let set = server.request(Method::POST, &format!("{account}/password")).session(&cookie).json(&password);
    set.key("once").send().await.expect(204);
    session(&server, &cookie).await.problem(401, "token_revoked");
    // The retry of the request that ended its own session.
    let again = server.request(Method::POST, &format!("{account}/password")).session(&cookie).json(&password);
    again.key("once").send().await.expect(204);
    let admin = server.log_in(&server.admin).await;
    let courier = server.log_in(&server.courier).await;
    let revoke = format!("/v1/accounts/{}/revoke-tokens", server.courier.id);
    server.request(Method::POST, &revoke).session(&admin).send().await.expect(204);
    session(&server, &courier).await.problem(401, "token_revoked");
    session(&server, &admin).await.expect(200);
}

/// Proves that guesses of cookies and of tokens of links are limited per network, and that a known session still works.
#[tokio::test]
async fn guesses_are_limited() {
    let four = dabba_web::Rate { requests: NonZeroU32::new(4).unwrap(), per: Duration::from_mins(5) };
    let server = crate::builder().web(|web| web.rate_limits.tokens_per_address = four).start().await;
    let cookie = server.log_in(&server.courier).await;
    session(&server, &cookie).await.expect(200);
    let guess = |number: u8| format!("{}{}", char::from(b'A' + number), &UNKNOWN[1..]);
    for number in 0..2 {
        session(&server, &format!("dabba={}", guess(number))).await.problem(401, "unauthenticated");
        redeem(&server, &guess(number)).await.problem(401, "wrong_credentials");
    }
    session(&server, &format!("dabba={}", guess(9))).await.problem(429, "too_many_requests");
    redeem(&server, &guess(9)).await.problem(429, "too_many_requests");
    session(&server, &cookie).await.expect(200);
}

/// Proves that logins count as writes of the account, because sessions are stored.
#[tokio::test]
async fn logins_are_limited() {
    let two = dabba_web::Rate { requests: NonZeroU32::new(2).unwrap(), per: Duration::from_mins(1) };
    let server = crate::builder().web(|web| web.rate_limits.customers.writes = Some(two)).start().await;
    for status in [200, 200, 429] {
        let login = server.post("/v1/session", None, &credentials(&server.customer)).send().await;
        assert_eq!(login.status, status, "{}", login.text);
    }
    server.log_in(&server.admin).await;
}

/// Proves that the time of a use is stored in the background.
#[tokio::test]
async fn the_time_of_a_use_is_stored() {
    let often = Duration::from_millis(20);
    let server = crate::builder().engine(|engine| engine.key_use_write_interval = often).start().await;
    let cookie = server.log_in(&server.courier).await;
    let body = session(&server, &cookie).await.expect(200);
    let id = body["id"].as_str().unwrap().parse().unwrap();
    eventually("the use is stored", async || {
        let stored = server.store().session(id).await.unwrap().unwrap();
        if stored.last_used_at.is_some() { Ok(()) } else { Err(stored) }
    })
    .await;
}
