//! Stopping the server with requests in flight.

use std::sync::Arc;

use dabba_testkit::TestServer;
use futures::{FutureExt as _, future::join_all};
use tokio::sync::Notify;

use crate::ids;

/// Proves I2 for a graceful stop: of the orders that are placed while the server stops, each acknowledged one (201)
/// exists afterwards, and a retry with its key returns it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_loses_no_acknowledged_order() {
    const CLIENTS: usize = 64;
    let mut server = crate::start().await;
    let order = TestServer::collection();
    let place = |server: &TestServer, client: usize| {
        server.post(&server.orders_path(), Some(&server.customer), &order).key(format!("client-{client}"))
    };
    let answered = Arc::new(Notify::new());
    let send = |client| {
        let (request, answered) = (place(&server, client).try_send(), Arc::clone(&answered));
        tokio::spawn(request.inspect(move |_| answered.notify_one()))
    };
    let in_flight: Vec<_> = (0..CLIENTS).map(send).collect();
    // Some requests are answered before the stop; the others are in flight during it.
    answered.notified().await;
    server.restart().await;

    let mut acknowledged = Vec::new();
    for (client, answer) in join_all(in_flight).await.into_iter().enumerate() {
        // A refused or closed connection says nothing about its order.
        if let Ok(answer) = answer.unwrap() {
            match answer.status {
                201 => acknowledged.push((client, answer.text_at("/id"))),
                503 => {}
                _ => panic!("{}", answer.text),
            }
        }
    }
    assert!(!acknowledged.is_empty());
    let listed = server.get("/v1/orders?limit=100", Some(&server.customer)).await.expect(200);
    let listed = ids(&listed);
    for (client, id) in &acknowledged {
        assert!(listed.contains(id), "the order of client {client} is lost");
        let again = place(&server, *client).send().await;
        assert_eq!((again.text_at("/id"), again.header("idempotency-replayed")), (id.clone(), "true"));
    }
    // Clients without an answer retry, and each has one order then.
    for client in 0..CLIENTS {
        place(&server, client).send().await.expect(201);
    }
    let listed = server.get("/v1/orders?limit=100", Some(&server.customer)).await.expect(200);
    assert_eq!(ids(&listed).len(), CLIENTS);
}
