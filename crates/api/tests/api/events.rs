//! The feed of events, and the streams of events.

use std::time::{Duration, Instant};

use dabba_testkit::{EventStream, TestAccount, TestServer, equal, eventually};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

/// Interval between two heartbeats.
const HEARTBEAT: Duration = Duration::from_millis(200);

async fn start() -> TestServer {
    crate::builder().api(|api| api.live.heartbeat = HEARTBEAT).start().await
}

/// Returns the path of the restaurant's feed or stream.
fn of_restaurant(server: &TestServer, path: &str) -> String {
    format!("{path}?restaurant={}", server.restaurant)
}

async fn page(server: &TestServer, path: &str) -> Value {
    server.get(path, Some(&server.admin)).await.expect(200)
}

async fn stream(server: &TestServer, path: &str, account: &TestAccount) -> EventStream {
    server.request(Method::GET, path).by(account).stream().await
}

/// Returns the order and the version of each event.
fn ids(page: &Value) -> Vec<&str> {
    page["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap()).collect()
}

/// Proves that pages contain the events in order, that the cursor leads to the next page, that `types` and `restaurant`
/// select events, and that the feed begins now without `after`.
#[tokio::test]
async fn the_feed_is_read_in_pages() {
    let server = start().await;
    let now = page(&server, "/v1/events").await;
    assert_eq!((&now["events"], &now["at_end"]), (&json!([]), &json!(true)));
    let order = server.place("1", &TestServer::collection()).await;
    let id = order["id"].as_str().unwrap();
    // An event enters the feed when the older transactions of the cluster have ended, also those of other tests.
    let all = eventually("the feed contains both events of the order", async || {
        let all = page(&server, "/v1/events?after=start&limit=1000").await;
        equal(ids(&all).len(), &2).map(|()| all)
    })
    .await;
    assert_eq!(all["at_end"], true);
    assert_eq!(ids(&all)[0], format!("{id}-1"));
    let after_now =
        page(&server, &format!("/v1/events?after={}", now["next_cursor"].as_str().unwrap())).await;
    assert_eq!(ids(&after_now), ids(&all));
    let (mut found, mut cursor) = (Vec::new(), "start".to_owned());
    for _ in ids(&all) {
        let one = page(&server, &format!("/v1/events?after={cursor}&limit=1")).await;
        found.extend(ids(&one).into_iter().map(str::to_owned));
        one["next_cursor"].as_str().unwrap().clone_into(&mut cursor);
    }
    assert_eq!(found, ids(&all));
    let placed = page(&server, "/v1/events?after=start&types=placed,delivered").await;
    assert_eq!(ids(&placed), [format!("{id}-1")]);
    let event = &placed["events"][0];
    assert_eq!(event["type"], "app.dabba.order.placed.v1");
    assert_eq!(
        (&event["subject"], &event["partitionkey"]),
        (&json!(server.restaurant.to_string()), &json!(id))
    );
    let other =
        page(&server, &format!("/v1/events?after=start&restaurant={}", server.other_restaurant)).await;
    assert_eq!(other["events"], json!([]));
}

/// Proves that a request that waits is answered with the next event, long before its time is over, and that its waiting
/// does not count as the duration of a slow request.
#[tokio::test]
async fn a_waiting_request_is_answered_with_the_next_event() {
    let server = start().await;
    let now = page(&server, "/v1/events").await;
    let path = format!("/v1/events?after={}&wait=25", now["next_cursor"].as_str().unwrap());
    let began = Instant::now();
    let order = TestServer::collection();
    let (waited, placed) = tokio::join!(page(&server, &path), server.place("1", &order));
    assert_eq!(ids(&waited)[0], format!("{}-1", placed["id"].as_str().unwrap()));
    assert!(began.elapsed() < Duration::from_secs(20), "the request must not wait for its whole time");
}

/// Proves that a stream sends each event with an id, that it resumes after `Last-Event-ID`, which takes precedence over
/// `after`, and that heartbeats have the current id.
#[tokio::test]
async fn a_stream_resumes_after_its_last_id() {
    let server = start().await;
    let path = of_restaurant(&server, "/v1/events/stream");
    let mut first = stream(&server, &path, &server.staff).await;
    let begin = first.next().await.unwrap();
    assert_eq!(begin.event, "heartbeat");
    let order = server.place("1", &TestServer::collection()).await;
    let id = order["id"].as_str().unwrap();
    let placed = first.next_event().await;
    assert_eq!((&*placed.event, &placed.data["id"]), ("placed", &json!(format!("{id}-1"))));
    for after in [&begin.id, &placed.id] {
        let request = server.request(Method::GET, &format!("{path}&after=start")).by(&server.staff);
        let mut resumed = request.header("last-event-id", after).stream().await;
        assert_eq!(resumed.next().await.unwrap().id, *after);
        let expected = if *after == begin.id { 1 } else { 2 };
        assert_eq!(resumed.next_event().await.data["id"], format!("{id}-{expected}"));
    }
    let second = first.next_event().await;
    let heartbeat = first.next().await.unwrap();
    assert_eq!((&*heartbeat.event, &heartbeat.id), ("heartbeat", &second.id));
}

/// Proves that the stream of an order numbers its events by version, for everyone who may read the order, and shows
/// each caller the same order's events.
#[tokio::test]
async fn an_order_has_a_stream() {
    let server = start().await;
    let order = server.place("1", &TestServer::collection()).await;
    let path = format!("/v1/orders/{}/stream", order["id"].as_str().unwrap());
    for account in [&server.customer, &server.staff, &server.admin] {
        let mut stream = stream(&server, &path, account).await;
        assert_eq!(stream.next().await.unwrap().id, "0");
        let placed = stream.next_event().await;
        assert_eq!((&*placed.id, &*placed.event), ("1", "placed"));
    }
    let mut resumed = stream(&server, &format!("{path}?after=1"), &server.customer).await;
    assert_eq!(resumed.next_event().await.id, "2");
    for account in [&server.other_customer, &server.other_staff, &server.courier] {
        server.get(&path, Some(account)).await.problem(404, "not_found");
    }
    server.get(&format!("{path}?after=100"), Some(&server.customer)).await.problem(410, "cursor_expired");
}

/// Proves who may read the feed, and that a refusal says what to do.
#[tokio::test]
async fn the_feed_is_for_admins_and_staff() {
    let server = start().await;
    for path in ["/v1/events", "/v1/events/stream"] {
        let own = of_restaurant(&server, path);
        for (path, account, hint) in [
            (path, &server.staff, "restaurant"),
            (&*own, &server.other_staff, "member"),
            (&*own, &server.customer, "/v1/orders/{order_id}/stream"),
            (&*own, &server.courier, "/v1/orders/{order_id}/stream"),
        ] {
            let problem = server.get(path, Some(account)).await.problem(403, "forbidden");
            assert!(problem["detail"].as_str().unwrap().contains(hint), "{problem}");
        }
    }
}

/// Proves that an unknown restaurant is refused at once, also for a request that would wait: an admin learns that the
/// restaurant does not exist, and others, who are no members of its staff, are refused as for every restaurant.
#[tokio::test]
async fn an_unknown_restaurant_is_refused() {
    let server = start().await;
    for path in ["/v1/events?wait=25&", "/v1/events/stream?"] {
        let path = format!("{path}restaurant=0195c2d4-0000-7000-8000-000000000000");
        let problem = server.get(&path, Some(&server.admin)).await.problem(404, "not_found");
        assert!(problem["detail"].as_str().unwrap().contains("restaurant"), "{problem}");
        server.get(&path, Some(&server.staff)).await.problem(403, "forbidden");
    }
}

/// Proves that a stream ends when the token is revoked, when the membership ends, and when the token expires.
#[tokio::test]
async fn a_stream_ends_with_the_rights_of_its_caller() {
    let server = crate::builder()
        .api(|api| api.live.heartbeat = HEARTBEAT)
        .engine(|engine| engine.membership_max_age = Duration::from_millis(50))
        .start()
        .await;
    let path = of_restaurant(&server, "/v1/events/stream");
    let ended = async |mut stream: EventStream| {
        let bye = stream.next_event().await;
        assert_eq!((&*bye.event, &bye.data["reason"]), ("bye", &json!("session_ended")));
        assert!(bye.data["retry_after_ms"].is_u64());
        assert!(stream.next().await.is_none());
    };
    let member = stream(&server, &path, &server.staff).await;
    let membership = server.restaurant_path(&format!("/members/{}", server.staff.id));
    server.request(Method::DELETE, &membership).by(&server.admin).send().await.expect(204);
    ended(member).await;

    let order = server.place("1", &TestServer::collection()).await;
    let of_order = format!("/v1/orders/{}/stream?after=1000", order["id"].as_str().unwrap());
    let of_order = of_order.replace("1000", &order["version"].to_string());
    let revoked = stream(&server, &of_order, &server.customer).await;
    let revoke = format!("/v1/accounts/{}/revoke-tokens", server.customer.id);
    server.request(Method::POST, &revoke).by(&server.admin).send().await.expect(204);
    ended(revoked).await;

    let expired = stream(&server, "/v1/events/stream", &server.admin).await;
    server.advance(SignedDuration::from_hours(13));
    ended(expired).await;
}

/// Proves that a token has a maximum number of streams, that a refusal states when to retry, and that a client that
/// disconnects makes room.
#[tokio::test]
async fn the_streams_of_a_token_are_limited() {
    let server = crate::builder().api(|api| {
        api.live.heartbeat = HEARTBEAT;
        api.live.max_streams_per_credential = 1;
    });
    let server = server.start().await;
    let path = of_restaurant(&server, "/v1/events/stream");
    let first = stream(&server, &path, &server.staff).await;
    let refused = server.get(&path, Some(&server.staff)).await;
    assert_eq!(refused.header("retry-after"), "10");
    refused.problem(429, "too_many_requests");
    stream(&server, &path, &server.admin).await;
    drop(first);
    eventually("the stream of the disconnected client ends", async || {
        match server.get(&path, Some(&server.staff)).await.status {
            200 => Ok(()),
            status => Err(status),
        }
    })
    .await;
}

/// Proves that a wrong cursor is refused, and that a cursor of another database has expired.
#[tokio::test]
async fn wrong_cursors_are_refused() {
    let server = start().await;
    for path in ["/v1/events?after=nonsense", "/v1/events/stream?after=nonsense"] {
        let problem = server.get(path, Some(&server.admin)).await.problem(400, "bad_request");
        assert_eq!(problem["parameter"], "after");
    }
    let request = server.request(Method::GET, "/v1/events/stream").by(&server.admin);
    let problem = request.header("last-event-id", "nonsense").send().await.problem(400, "bad_request");
    assert_eq!(problem["parameter"], "Last-Event-ID");
    for path in ["/v1/events", "/v1/events/stream"] {
        let path = format!("{path}?after=r2~main.0123456789abcdef.0-1");
        server.get(&path, Some(&server.admin)).await.problem(410, "cursor_expired");
    }
    for query in ["limit=0", "limit=1001", "wait=26", "types=nonsense", "restaurant=1", "nonsense=1"] {
        server.get(&format!("/v1/events?{query}"), Some(&server.admin)).await.problem(400, "bad_request");
    }
}

/// Proves that streams and waiting requests end as soon as the server stops, and do not delay the stop.
#[tokio::test]
async fn streams_end_when_the_server_stops() {
    let mut server = start().await;
    let mut open = stream(&server, "/v1/events/stream", &server.admin).await;
    open.next().await.unwrap();
    let waiting = server.request(Method::GET, "/v1/events?wait=25").by(&server.admin);
    let waiting = tokio::spawn(waiting.try_send());
    eventually("the request waits", async || {
        let metrics = server.get("/metrics", None).await;
        match crate::metric(&metrics, "dabba_streams_open{kind=\"poll\"}") {
            1 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    let began = Instant::now();
    server.stop().await;
    assert!(began.elapsed() < Duration::from_secs(10), "streams must not use the grace period");
    let bye = open.next_event().await;
    assert_eq!((&*bye.event, &bye.data["reason"]), ("bye", &json!("shutdown")));
    waiting.await.unwrap().unwrap().expect(200);
}
