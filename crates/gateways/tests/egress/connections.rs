//! Tests of the limit of the connections that the client keeps.

use std::{io, net::IpAddr, pin::pin, sync::Arc};

use async_trait::async_trait;
use dabba_gateways::egress::{EgressClient, EgressOptions, NameResolver};
use dabba_testkit::eventually;
use futures::poll;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};

use super::world::{Scripted, Server, Then, ample, client_with, demo, post, reply, response};

async fn server(head: &str) -> Server {
    Server::start(Then::Send(response(head, ""))).await
}

fn client(max_kept: usize, names: Arc<impl NameResolver>) -> EgressClient {
    client_with(demo(), &EgressOptions { max_kept, ..ample() }, names)
}

/// Returns whether the latest request to a server asked for the end of its connection.
fn is_last(server: &Server) -> bool {
    server.requests().last().unwrap().to_lowercase().contains("connection: close")
}

async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    eventually(what, async || if condition() { Ok(()) } else { Err(()) }).await;
}

/// Proves that the client keeps connections up to the limit of all hosts, uses them again, and closes further ones.
#[tokio::test]
async fn the_kept_connections_of_all_hosts_are_limited() {
    let client = client(2, Scripted::failing());
    let (first, second, mut third) = (server("200 OK").await, server("200 OK").await, server("200 OK").await);
    for _ in 0..3 {
        for server in [&first, &second, &third] {
            reply(&client, &server.url()).await;
        }
        third.closed.recv().await.unwrap();
        assert_eq!([is_last(&first), is_last(&second), is_last(&third)], [false, false, true]);
    }
    assert_eq!([first.connections(), second.connections(), third.connections()], [1, 1, 3]);
}

/// Proves that connections that a server closes, or that cannot be made, do not count.
#[tokio::test]
async fn connections_that_are_closed_do_not_count() {
    let client = client(1, Scripted::failing());
    let closing = server("200 OK\r\nconnection: close").await;
    reply(&client, &closing.url()).await;
    let reset = Server::start(Then::Reset).await;
    post(&client, &reset.url()).await.outcome.unwrap_err();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    post(&client, &format!("http://{gone}/")).await.outcome.unwrap_err();
    let kept = server("200 OK").await;
    reply(&client, &kept.url()).await;
    assert_eq!([is_last(&closing), is_last(&reset), is_last(&kept)], [false; 3]);
    reply(&client, &closing.url()).await;
    assert!(is_last(&closing));
}

/// A resolver whose lookups take a permit each, and which counts them.
struct Gate {
    permits: Semaphore,
    count: watch::Sender<usize>,
}

#[async_trait]
impl NameResolver for Gate {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        self.count.send_modify(|count| *count += 1);
        self.permits.acquire().await.unwrap().forget();
        Ok(vec!["127.0.0.1".parse().unwrap()])
    }
}

/// Proves that connections count that the client opens for a request and does not use for it, because another
/// connection became unused meanwhile.
#[tokio::test]
async fn connections_that_are_opened_in_the_background_count() {
    let responses = Arc::new(Semaphore::new(0));
    let busy = Server::start(Then::Hold(Arc::clone(&responses), response("200 OK", ""))).await;
    let names = Arc::new(Gate { permits: Semaphore::new(1), count: watch::Sender::default() });
    let client = client(3, Arc::clone(&names));
    let url = format!("http://localhost:{}/hook", busy.port());
    let spawn = || {
        let (client, url) = (client.clone(), url.clone());
        tokio::spawn(async move { reply(&client, &url).await })
    };
    let first = spawn();
    wait_until("the first request arrives", || busy.requests().len() == 1).await;
    let second = spawn();
    names.count.subscribe().wait_for(|count| *count == 2).await.unwrap();
    responses.add_permits(1);
    first.await.unwrap();
    wait_until("the second request uses the first connection", || busy.requests().len() == 2).await;
    let mut third = pin!(reply(&client, &url));
    assert!(poll!(third.as_mut()).is_pending());
    responses.add_permits(2);
    let (second, _) = tokio::join!(second, third);
    second.unwrap();
    assert_eq!(busy.connections(), 1);
    names.permits.add_permits(1);
    wait_until("the other connections are open", || busy.connections() == 3).await;

    let other = server("200 OK").await;
    reply(&client, &other.url()).await;
    assert!(is_last(&other));
}
