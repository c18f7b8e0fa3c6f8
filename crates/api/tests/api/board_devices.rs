//! The devices of a restaurant's board, and whether a restaurant is attended.

use std::time::Duration;

use dabba_store::{BOARD_STALE_AFTER, MAX_BOARDS};
use dabba_testkit::{EventStream, TestAccount, TestServer, eventually};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

/// Interval between two heartbeats.
const HEARTBEAT: Duration = Duration::from_millis(200);

const DEVICE: &str = "7f3c1f6e-2b4d-4c8a-9d3e-5a6b7c8d9e0f";

const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// Time after which an unattended restaurant is paused.
const LIMIT: SignedDuration = SignedDuration::from_mins(5);

async fn start() -> TestServer {
    let server = crate::builder()
        .api(|api| api.live.heartbeat = HEARTBEAT)
        .engine(|engine| engine.unattended_pause = Some(LIMIT))
        .start()
        .await;
    // The server has run for so long that it pauses restaurants.
    server.advance(BOARD_STALE_AFTER);
    server
}

/// Opens a board, and records it.
async fn open(server: &TestServer, account: &TestAccount, query: &str) -> EventStream {
    let path = server.restaurant_path(&format!("/board/stream{query}"));
    let mut stream = server.request(Method::GET, &path).by(account).stream().await;
    assert_eq!(stream.next().await.unwrap().event, "snapshot");
    record(server).await;
    stream
}

async fn record(server: &TestServer) {
    server.engine().boards.write_connections(false).await.unwrap();
}

async fn boards(server: &TestServer) -> Value {
    server.get(&server.restaurant_path("/boards"), Some(&server.staff)).await.expect(200)
}

/// Closes a board, and waits until its end is recorded.
async fn close(server: &TestServer, stream: EventStream) {
    drop(stream);
    eventually("the end of the connection is recorded", async || {
        record(server).await;
        let found = boards(server).await;
        if found["boards"][0]["connected"] == false { Ok(()) } else { Err(found) }
    })
    .await;
}

async fn restaurant(server: &TestServer, account: Option<&TestAccount>) -> Value {
    server.get(&server.restaurant_path(""), account).await.expect(200)
}

/// Returns a restaurant in the list of restaurants.
async fn listed(server: &TestServer, account: Option<&TestAccount>, id: &str) -> Value {
    let list = server.get("/v1/restaurants?limit=100", account).await.expect(200);
    list["restaurants"].as_array().unwrap().iter().find(|listed| listed["id"] == id).unwrap().clone()
}

/// Proves that a device that names itself is listed while it is connected and afterwards, that one that does not is not, and
/// that exactly the staff and admins learn since when the restaurant is unattended.
#[tokio::test]
async fn a_board_is_listed_with_its_device() {
    let server = start().await;
    let id = server.restaurant.to_string();
    assert_eq!(boards(&server).await, json!({"boards": []}));
    let unnamed = open(&server, &server.staff, "").await;
    assert_eq!(boards(&server).await, json!({"boards": []}), "the stream states no device");
    let query = format!("?device_id={DEVICE}&device=K%C3%BCche%201");
    let connected_at = server.now().to_string();
    let stream = open(&server, &server.staff, &query).await;
    server.advance(SECOND);
    let board = json!({
        "device_id": DEVICE, "device": "Küche 1", "account_id": server.staff.id.to_string(), "connected": true,
        "connected_at": connected_at, "last_seen_at": connected_at,
    });
    assert_eq!(boards(&server).await, json!({"boards": [board]}));
    for account in [Some(&server.staff), Some(&server.admin)] {
        assert_eq!(restaurant(&server, account).await.get("unattended_since"), None);
    }

    let since = server.now().to_string();
    close(&server, stream).await;
    drop(unnamed);
    let found = boards(&server).await;
    assert_eq!(
        (&found["boards"][0]["last_seen_at"], &found["unattended_since"]),
        (&json!(since), &json!(since))
    );
    let TestServer { staff, other_staff, customer, courier, admin, .. } = &server;
    for (account, reads, lists) in [
        (Some(staff), true, false),
        (Some(admin), true, true),
        (Some(other_staff), false, false),
        (Some(customer), false, false),
        (Some(courier), false, false),
        (None, false, false),
    ] {
        let visible = |shows: bool| shows.then(|| json!(since));
        assert_eq!(restaurant(&server, account).await.get("unattended_since").cloned(), visible(reads));
        assert_eq!(listed(&server, account, &id).await.get("unattended_since").cloned(), visible(lists));
    }
    let other = server.other_restaurant.to_string();
    assert_eq!(listed(&server, Some(admin), &other).await.get("unattended_since"), None, "it has no boards");
}

/// Proves that a server that is killed leaves boards that count as disconnected after 90 seconds, since they were seen last,
/// and that they are connected again once they have connected to the restarted server.
#[tokio::test]
async fn the_boards_of_a_killed_server_are_disconnected() {
    let server = start().await;
    let query = format!("?device_id={DEVICE}");
    let stream = open(&server, &server.staff, &query).await;
    let seen_at = server.now().to_string();
    server.advance(BOARD_STALE_AFTER - SECOND);
    assert_eq!(boards(&server).await["boards"][0]["connected"], true);
    // Nothing is recorded in the meantime, as if the server had been killed.
    server.advance(SECOND);
    let found = boards(&server).await;
    assert_eq!(
        (&found["boards"][0]["connected"], &found["unattended_since"]),
        (&json!(false), &json!(seen_at))
    );
    drop(stream);
    let _stream = open(&server, &server.staff, &query).await;
    let found = boards(&server).await;
    assert_eq!((&found["boards"][0]["connected"], found.get("unattended_since")), (&json!(true), None));
    assert_eq!(found["boards"].as_array().unwrap().len(), 1);
}

/// Proves that an unattended restaurant is paused, that staff and admins see who has paused it, and that it takes orders
/// again when a board connects.
#[tokio::test]
async fn an_unattended_restaurant_is_paused_until_a_board_connects() {
    let server = start().await;
    let id = server.restaurant.to_string();
    let query = format!("?device_id={DEVICE}");
    close(&server, open(&server, &server.staff, &query).await).await;
    server.advance(LIMIT);
    while server.engine().boards.check_unattended().await.unwrap() > 0 {}
    let TestServer { staff, admin, customer, .. } = &server;
    for (account, pause) in [
        (Some(staff), json!({"by": "dabba"})),
        (Some(admin), json!({"by": "dabba"})),
        (Some(customer), json!({})),
        (None, json!({})),
    ] {
        let shown = restaurant(&server, account).await;
        assert_eq!((&shown["pause"], &shown["accepting"]), (&pause, &json!(false)), "{account:?}");
    }
    assert_eq!(listed(&server, Some(admin), &id).await["pause"], json!({"by": "dabba"}));
    assert_eq!(listed(&server, Some(customer), &id).await["pause"], json!({}));
    let board = server.get(&server.restaurant_path("/board"), Some(staff)).await.expect(200);
    assert_eq!(board["restaurant"]["pause"], json!({"by": "dabba"}));
    let refused =
        server.post(&server.orders_path(), Some(customer), &TestServer::order()).key("paused").send();
    refused.await.problem(409, "restaurant_paused");

    // A client can send back what it has read.
    let read = restaurant(&server, Some(staff)).await;
    let put = server.put(&server.restaurant_path(""), Some(staff), &read).header("if-match", "*").send();
    assert_eq!(put.await.expect(200)["pause"], json!({"by": "dabba"}));

    let _stream = open(&server, &server.staff, &query).await;
    let shown = restaurant(&server, Some(staff)).await;
    assert_eq!((shown.get("pause"), &shown["accepting"]), (None, &json!(true)));
    server.place("resumed", &TestServer::order()).await;
}

/// Proves that an admin who opens a board attends no restaurant: the board shows the orders, but it is not listed, and Dabba's
/// pause stays.
#[tokio::test]
async fn an_admin_who_looks_at_a_board_attends_no_restaurant() {
    let server = start().await;
    let look = format!("?device_id={DEVICE}&device=Console");
    let _stream = open(&server, &server.admin, &look).await;
    assert_eq!(boards(&server).await, json!({"boards": []}));
    let kitchen = "?device_id=00000000-0000-4000-8000-000000000001";
    close(&server, open(&server, &server.staff, kitchen).await).await;
    server.advance(LIMIT);
    while server.engine().boards.check_unattended().await.unwrap() > 0 {}
    let _second = open(&server, &server.admin, &look).await;
    assert_eq!(restaurant(&server, Some(&server.staff)).await["pause"], json!({"by": "dabba"}));
    assert_eq!(boards(&server).await["boards"].as_array().unwrap().len(), 1);
}

/// Proves that a wrong device is refused, and that a restaurant's list has a limit.
#[tokio::test]
async fn the_parameters_of_a_board_are_checked() {
    let server = start().await;
    let stream = server.restaurant_path("/board/stream");
    for (query, parameter) in [
        ("device_id=kitchen", "device_id"),
        ("device_id=", "device_id"),
        (&format!("device_id={DEVICE}&device={}", "x".repeat(121)), "device"),
        (&format!("device_id={DEVICE}&device_id={DEVICE}"), "device_id"),
        ("devcie_id=1", "devcie_id"),
    ] {
        let refused = server.get(&format!("{stream}?{query}"), Some(&server.staff)).await;
        let problem = refused.problem(400, "bad_request");
        assert!(problem["detail"].as_str().unwrap().contains(parameter), "{query}: {problem}");
    }
    for number in 0..=MAX_BOARDS {
        server.advance(SECOND);
        let device = format!("{number:08x}-0000-4000-8000-000000000000");
        drop(open(&server, &server.staff, &format!("?device_id={device}")).await);
    }
    let found = boards(&server).await;
    let found = found["boards"].as_array().unwrap();
    assert_eq!(
        (found.len(), &found[0]["device_id"]),
        (MAX_BOARDS, &json!(format!("{MAX_BOARDS:08x}-0000-4000-8000-000000000000")))
    );
}
