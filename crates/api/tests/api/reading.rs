//! Reading orders: single orders, histories, and lists.

use std::collections::HashSet;

use dabba_testkit::TestServer;
use jiff::SignedDuration;
use serde_json::json;

use crate::{ids, walk_to};

/// Proves that the response does not repeat an order that the client already has.
#[tokio::test]
async fn an_unchanged_order_is_not_sent_again() {
    let server = crate::start().await;
    let order = server.place("1", &TestServer::order()).await;
    let path = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    let get = |tags: &str| {
        server.request(reqwest::Method::GET, &path).by(&server.customer).header("if-none-match", tags).send()
    };
    for (tags, status) in
        [("\"2\"", 304), ("W/\"2\"", 304), ("\"1\", \"2\"", 304), ("*", 304), ("\"1\"", 200)]
    {
        let answer = get(tags).await;
        assert_eq!((answer.status, answer.header("etag")), (status, "\"2\""), "{tags}");
        assert_eq!(answer.text.is_empty(), status == 304, "{tags}");
    }
    get("2").await.problem(400, "bad_request");
}

/// Proves that pages contain every order once, in order.
#[tokio::test]
async fn pages_contain_every_order_once() {
    let server = crate::start().await;
    for number in 0..7 {
        server.place(&format!("k{number}"), &TestServer::collection()).await;
        server.advance(SignedDuration::from_secs(1));
    }
    for (path, person) in [
        ("/v1/orders?limit=3", &server.customer),
        ("/v1/orders?limit=3", &server.admin),
        (&*format!("{}?limit=3", server.orders_path()), &server.staff),
    ] {
        let mut seen = Vec::new();
        let mut page = server.get(path, Some(person)).await.expect(200);
        loop {
            seen.extend(ids(&page));
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            let next = format!("{path}&cursor={cursor}");
            page = server.get(&next, Some(person)).await.expect(200);
        }
        let mut newest_first = seen.clone();
        newest_first.sort_by(|a, b| b.cmp(a));
        assert_eq!(seen, newest_first, "{path}");
        assert_eq!(seen.iter().collect::<HashSet<_>>().len(), 7, "{path}");
    }
}

/// Proves that a restaurant's list begins with the open orders, and that lists can be filtered.
#[tokio::test]
async fn a_restaurant_sees_open_orders_first() {
    let server = crate::start().await;
    let old = server.place("old", &TestServer::order()).await;
    server.advance(SignedDuration::from_secs(1));
    let done = server.place("done", &TestServer::order()).await;
    server.advance(SignedDuration::from_secs(1));
    walk_to(&server, &done, "deliver").await;
    let new = server.place("new", &TestServer::order()).await;
    let listed = |query: &str| {
        let path = format!("{}{query}", server.orders_path());
        async {
            let path = path;
            ids(&server.get(&path, Some(&server.staff)).await.expect(200))
        }
    };
    let id = |order: &serde_json::Value| order["id"].as_str().unwrap().to_owned();
    assert_eq!(listed("").await, [id(&new), id(&old), id(&done)]);
    assert_eq!(listed("?status=delivered").await, [id(&done)]);
    assert_eq!(listed("?status=confirmed,preparing").await, [id(&new), id(&old)]);
    let carried = server.get("/v1/orders", Some(&server.courier)).await.expect(200);
    assert_eq!(ids(&carried), [id(&done)], "a courier must see the orders that they carried");
}

/// Proves that a refusal names wrong parameters, including unknown and repeated ones.
#[tokio::test]
async fn wrong_parameters_are_named() {
    let server = crate::start().await;
    for (query, name) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("status=eaten", "status"),
        ("staus=created", "staus"),
        ("limit=1&limit=2", "limit"),
        ("limit=", "limit"),
        ("cursor=", "cursor"),
        ("status=", "status"),
        ("status=&status=created", "status"),
        ("status=created,", "status"),
        ("status=created,,delivered", "status"),
        ("status=created&status=eaten", "status"),
        ("after=1", "after"),
    ] {
        let answer = server.get(&format!("/v1/orders?{query}"), Some(&server.customer)).await;
        assert_eq!(answer.problem(400, "bad_request")["parameter"], name, "{query}");
    }
}

/// Proves that the pages of a history have no gap.
#[tokio::test]
async fn a_history_is_read_in_pages() {
    let server = crate::start().await;
    let order = server.place("1", &TestServer::order()).await;
    walk_to(&server, &order, "deliver").await;
    let mut versions = Vec::new();
    let mut cursor = json!("0");
    while let Some(place) = cursor.as_str() {
        let path = format!("/v1/orders/{}/events?limit=3&cursor={place}", order["id"].as_str().unwrap());
        let part = server.get(&path, Some(&server.customer)).await.expect(200);
        versions.extend(
            part["events"].as_array().unwrap().iter().map(|event| event["version"].as_u64().unwrap()),
        );
        cursor = part["next_cursor"].clone();
    }
    assert_eq!(versions, (1..=8).collect::<Vec<_>>());
}

/// Proves that orders, histories and keys survive a restart.
#[tokio::test]
async fn a_restart_keeps_everything() {
    let mut server = crate::start().await;
    let order = server.place("1", &TestServer::order()).await;
    let accepted = walk_to(&server, &order, "accept").await;
    let path = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    let before = server.get(&path, Some(&server.staff)).await.expect(200);
    assert_eq!(before, accepted);
    server.restart().await;
    assert_eq!(server.get(&path, Some(&server.staff)).await.expect(200), before);
    let again = server
        .post(&server.orders_path(), Some(&server.customer), &TestServer::order())
        .key("1")
        .send()
        .await;
    assert_eq!((again.header("idempotency-replayed"), &again.json), ("true", &order));
    let login = json!({"email": server.customer.email, "password": dabba_testkit::PASSWORD});
    server.post("/v1/tokens", None, &login).send().await.expect(200);
}
