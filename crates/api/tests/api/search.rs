//! The search for orders: by display code, and by customer.

use dabba_testkit::{HttpResponse, TestServer};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

use crate::ids;

async fn search(server: &TestServer, query: &str) -> HttpResponse {
    server.get(&format!("/v1/orders?{query}"), Some(&server.admin)).await
}

fn text<'a>(order: &'a Value, member: &str) -> &'a str {
    order[member].as_str().unwrap()
}

/// Proves that an admin finds an order by its code, in either case and in its status, and that the response has all
/// matches.
#[tokio::test]
async fn an_admin_finds_an_order_by_its_code() {
    let server = crate::start().await;
    let order = server.place("1", &TestServer::collection()).await;
    let other = server.place("2", &TestServer::collection()).await;
    let code = text(&order, "display_code");
    assert_ne!(code, text(&other, "display_code"));
    for code in [code.to_owned(), code.to_ascii_lowercase(), format!("{code}&status=confirmed,delivered")] {
        let found = search(&server, &format!("code={code}")).await.expect(200);
        assert_eq!(ids(&found), [text(&order, "id")], "{code}");
        assert_eq!((found.get("next_cursor"), found.get("searched_since")), (None, None));
        let admin = server.get(&format!("/v1/orders/{}", text(&order, "id")), Some(&server.admin)).await;
        assert_eq!(found["orders"][0], admin.expect(200));
    }
    let found = search(&server, &format!("code={code}&status=delivered")).await.expect(200);
    assert_eq!(found, json!({"orders": []}));
    // An order that does not exist cannot have this code by chance: the ids of this server follow from its seed.
    assert_eq!(search(&server, "code=00000").await.expect(200), json!({"orders": []}));
}

/// Proves that a search by code reads a bounded number of ids in each shard, and states from when on it is complete.
#[tokio::test]
async fn a_search_by_code_states_its_bound() {
    let server = crate::builder().engine(|config| config.max_searched_ids = 1).start().await;
    let first = server.place("1", &TestServer::collection()).await;
    let complete = search(&server, &format!("code={}", text(&first, "display_code"))).await.expect(200);
    assert_eq!(ids(&complete), [text(&first, "id")]);
    server.advance(SignedDuration::from_secs(60));
    let second = server.place("2", &TestServer::collection()).await;
    for (order, expected) in [(&first, None), (&second, Some(text(&second, "id")))] {
        let found = search(&server, &format!("code={}", text(order, "display_code"))).await.expect(200);
        assert_eq!(ids(&found), Vec::from_iter(expected));
        assert_eq!(found["searched_since"], second["placed_at"]);
    }
}

/// Proves that an admin finds the orders of a customer by e-mail address and by account, newest first and in pages.
#[tokio::test]
async fn an_admin_finds_the_orders_of_a_customer() {
    let server = crate::start().await;
    let mut placed = Vec::new();
    for key in ["1", "2", "3"] {
        placed.push(server.place(key, &TestServer::collection()).await);
        // Ids of the same millisecond have a random order.
        server.advance(SignedDuration::from_secs(1));
    }
    let others = server.post(&server.orders_path(), Some(&server.other_customer), &TestServer::collection());
    let others = others.key("4").send().await.expect(201);
    placed.reverse();
    let expected: Vec<&str> = placed.iter().map(|order| text(order, "id")).collect();
    let address = server.customer.email.clone();
    for customer in [address.clone(), address.to_ascii_uppercase(), server.customer.id.to_string()] {
        let found = search(&server, &format!("customer={customer}")).await.expect(200);
        assert_eq!(ids(&found), expected, "{customer}");
        let page = search(&server, &format!("customer={customer}&limit=2")).await.expect(200);
        assert_eq!(ids(&page), expected[..2]);
        let cursor = text(&page, "next_cursor");
        let rest = search(&server, &format!("customer={customer}&limit=2&cursor={cursor}")).await.expect(200);
        assert_eq!((ids(&rest), rest.get("next_cursor")), (vec![expected[2].to_owned()], None));
        let ended = search(&server, &format!("customer={customer}&status=delivered")).await.expect(200);
        assert_eq!(ended, json!({"orders": []}));
    }
    let found = search(&server, &format!("customer={}", server.other_customer.email)).await.expect(200);
    assert_eq!(ids(&found), [text(&others, "id")]);
    for nobody in ["nobody@example.org", "0198b2f4-0000-7000-8000-000000000000"] {
        assert_eq!(search(&server, &format!("customer={nobody}")).await.expect(200), json!({"orders": []}));
    }
}

/// Proves that a refusal names the parameter and what is allowed.
#[tokio::test]
async fn a_search_is_checked() {
    let server = crate::start().await;
    server.place("1", &TestServer::collection()).await;
    let page = search(&server, "limit=1").await.expect(200);
    assert_eq!(page.get("next_cursor"), None);
    server.place("2", &TestServer::collection()).await;
    let page = search(&server, "limit=1").await.expect(200);
    let cursor = text(&page, "next_cursor");
    for (query, parameter) in [
        ("code=PF2D".to_owned(), "code"),
        ("code=PF2DU".to_owned(), "code"),
        ("code=".to_owned(), "code"),
        ("code=PF2DB&code=PF2DB".to_owned(), "code"),
        ("customer=asha".to_owned(), "customer"),
        ("customer=".to_owned(), "customer"),
        (format!("code=PF2DB&cursor={cursor}"), "cursor"),
        ("code=PF2DB&customer=asha@example.org".to_owned(), "customer"),
    ] {
        let refused = search(&server, &query).await.problem(400, "bad_request");
        assert_eq!(refused["parameter"], parameter, "{query}: {refused}");
    }
    // The list of a restaurant has no search.
    let path = server.restaurant_path("/orders?code=PF2DB");
    server.get(&path, Some(&server.staff)).await.problem(400, "bad_request");
}

/// Proves that only admins search, and that an API key needs the scope for e-mail addresses.
#[tokio::test]
async fn only_admins_search() {
    let server = crate::start().await;
    let by_address = format!("/v1/orders?customer={}", server.customer.email);
    for path in ["/v1/orders?code=PF2DB", &by_address] {
        for caller in [&server.customer, &server.staff, &server.courier] {
            server.get(path, Some(caller)).await.problem(403, "forbidden");
        }
        server.get(path, None).await.problem(401, "unauthenticated");
    }
    let service = json!({"name": "Support", "role": "admin"});
    let service = server.post("/v1/service-accounts", Some(&server.admin), &service).send().await.expect(201);
    let keys = format!("/v1/accounts/{}/keys", text(&service, "id"));
    let by_account = format!("/v1/orders?customer={}", server.customer.id);
    for (scopes, status) in [(json!(["orders:read"]), 403), (json!(["orders:read", "accounts:read"]), 200)] {
        let key = json!({"name": "Search", "scopes": scopes});
        let key = server.post(&keys, Some(&server.admin), &key).send().await.expect(201);
        let get =
            async |path: &str| server.request(Method::GET, path).token(text(&key, "secret")).send().await;
        get("/v1/orders?code=PF2DB").await.expect(200);
        get(&by_account).await.expect(200);
        assert_eq!(get(&by_address).await.status, status);
    }
}
