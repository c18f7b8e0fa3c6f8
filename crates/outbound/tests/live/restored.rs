//! The feed and a stream of a database that is restored while the server runs.

use dabba_outbound::{
    Filter,
    feed::{Budget, Start},
    live::{EndReason, Live, LiveConfig, Session, board::BoardMessage},
};
use dabba_testkit::{PATIENCE, TestServer, equal, eventually, restorable_postgres};
use serde_json::json;

use crate::next_event;

/// Proves that after each restore, a cursor from before is void and the start is valid at once, for a server that knows the end of the
/// feed from before, and whichever of the two a client requests first.
#[tokio::test]
async fn the_feed_begins_again_after_a_restore() {
    let (store, restore) = restorable_postgres();
    let server = TestServer::builder().store(store).start().await;
    server.place("1", &TestServer::collection()).await;
    let read =
        async |after: &str| server.get(&format!("/v1/events?after={after}"), Some(&server.admin)).await;
    // An event enters the feed when the older transactions of the cluster have ended, also those of other tests.
    let first = eventually("the feed contains both events of the order", async || {
        let first = read("start").await.expect(200);
        equal(first["events"].as_array().unwrap().len(), &2).map(|()| first)
    })
    .await;
    let cursor = first["next_cursor"].as_str().unwrap();
    restore().await;
    let again = read("start").await.expect(200);
    assert_eq!(again["events"], first["events"]);
    read(cursor).await.problem(410, "cursor_expired");
    restore().await;
    read(again["next_cursor"].as_str().unwrap()).await.problem(410, "cursor_expired");
    let again = read("start").await.expect(200);
    assert_eq!(again["events"], first["events"]);
    assert_eq!(read(again["next_cursor"].as_str().unwrap()).await.expect(200)["events"], json!([]));
}

/// Proves that a stream from the start contains the first event, although the process knows the end of the feed from before the
/// restore.
#[tokio::test]
async fn a_stream_from_the_start_survives_a_restore_before_it() {
    let (store, restore) = restorable_postgres();
    let server = TestServer::builder().store(store).start().await;
    let order = server.place("1", &TestServer::collection()).await;
    let live = Live::new(server.engine(), LiveConfig::default());
    live.start();
    eventually("the feed contains an event", async || {
        let known = live.read(Start::Beginning, &Filter::ALL, 1_000, Budget::default()).await.unwrap();
        if known.events.is_empty() { Err(()) } else { Ok(()) }
    })
    .await;
    restore().await;
    let mut stream = live.feed_stream(session(&server), Start::Beginning, Filter::ALL).await.unwrap();
    let (event, _) = next_event(&mut stream).await;
    assert_eq!(event.event.order_id.to_string(), order["id"]);
}

/// Proves that a stream from the start contains the first event, although the process follows the feed and has not noticed the restore
/// yet.
#[tokio::test]
async fn a_stream_from_the_start_survives_a_restore_that_nobody_has_noticed() {
    /// Whether the follower notices a restore before the stream begins is a matter of chance.
    const RESTORES: usize = 5;
    let (store, restore) = restorable_postgres();
    let server = TestServer::builder().store(store).start().await;
    let first = server.place("1", &TestServer::collection()).await;
    let live = Live::new(server.engine(), LiveConfig::default());
    live.start();
    for number in 0..RESTORES {
        let mut watching = live.feed_stream(session(&server), Start::Now, Filter::ALL).await.unwrap();
        let placed = server.place(&format!("watched-{number}"), &TestServer::collection()).await;
        let (event, _) = next_event(&mut watching).await;
        assert_eq!(event.event.order_id.to_string(), placed["id"]);
        restore().await;
        let mut stream = live.feed_stream(session(&server), Start::Beginning, Filter::ALL).await.unwrap();
        let (event, _) = next_event(&mut stream).await;
        assert_eq!(event.event.order_id.to_string(), first["id"]);
    }
}

/// Proves that a board ends when its database is restored, and that the next one begins with the restored state.
#[tokio::test]
async fn a_board_begins_anew_after_a_restore() {
    let (store, restore) = restorable_postgres();
    let server = TestServer::builder().store(store).start().await;
    let order = server.place("1", &TestServer::collection()).await;
    let live = Live::new(server.engine(), LiveConfig::default());
    live.start();
    let open = async || live.board_stream(session(&server), server.restaurant).await.unwrap();
    let mut stream = open().await;
    assert!(matches!(stream.next().await, Some(BoardMessage::Snapshot(_))));
    restore().await;
    let end = async {
        loop {
            match stream.next().await.unwrap() {
                // The follower may not have noticed the restore yet.
                BoardMessage::Heartbeat(_) => {}
                message => return message,
            }
        }
    };
    let end = tokio::time::timeout(PATIENCE, end).await.unwrap();
    assert!(matches!(end, BoardMessage::End(EndReason::Lagging)), "{end:?}");
    let Some(BoardMessage::Snapshot(board)) = open().await.next().await else {
        panic!("a snapshot is first")
    };
    assert_eq!(board.orders[0].id.to_string(), order["id"]);
}

fn session(server: &TestServer) -> Session {
    let (principal, issued_at) = (server.admin.principal(), server.now());
    Session { principal, issued_at, expires_at: None, credential: 1 }
}
