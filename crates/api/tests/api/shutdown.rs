//! Stopping the server with requests in flight.

use dabba_testkit::TestServer;
use futures::future::join_all;
use tokio::task::yield_now;

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
    let in_flight: Vec<_> =
        (0..CLIENTS).map(|client| tokio::spawn(place(&server, client).try_send())).collect();
    // Some requests are answered before the stop; the others are in flight during it.
    while !in_flight.iter().any(tokio::task::JoinHandle::is_finished) {
        yield_now().await;
    }
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
