//! Tests of responses, of their limits, and of servers that misbehave.

use std::time::Duration;

use dabba_engine::{EgressFailureKind, EgressReply, RetryAfter};
use dabba_gateways::egress::{EgressOptions, MAX_BODY_LENGTH, MAX_EXCERPT_LENGTH};
use tokio::net::TcpListener;

use super::world::{
    BODY, SHORT, Scripted, Server, Then, ample, client, client_with, demo, failure, post, reply, response,
};

/// Proves the content of a request, the members of a reply, and that one connection serves several requests.
#[tokio::test]
async fn a_request_is_sent_and_its_connection_is_used_again() {
    let server = Server::start(Then::Send(response("503 Busy\r\nretry-after: 7", "later\r\n"))).await;
    let client = client(demo(), Scripted::failing());
    for _ in 0..3 {
        let expected = EgressReply {
            status: 503,
            retry_after: Some(RetryAfter::Delay(Duration::from_secs(7))),
            excerpt: "later".to_owned(),
            is_body_cut: false,
        };
        assert_eq!(reply(&client, &server.url()).await, expected);
    }
    assert_eq!((server.connections(), server.requests().len()), (1, 3));
    let request = server.requests().remove(0).to_lowercase();
    let host = format!("host: {}", server.address);
    for part in [
        "post /hook http/1.1",
        "content-type: application/json",
        "webhook-id: id-1",
        "user-agent: dabba/",
        &host,
        BODY,
    ] {
        assert!(request.contains(part), "{part}: {request}");
    }
}

/// Proves that a redirect is a reply, and that the client does not connect to its target.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Server::start(Then::Send(response("200 OK", ""))).await;
    let client = client(demo(), Scripted::failing());
    for status in [301, 302, 303, 307, 308] {
        let head = format!("{status} Moved\r\nlocation: {}", target.url());
        let server = Server::start(Then::Send(response(&head, ""))).await;
        assert_eq!(reply(&client, &server.url()).await.status, status);
    }
    assert_eq!(target.connections(), 0);
}

/// Proves that the client reads an endless body up to its limit only, and then closes the connection.
#[tokio::test]
async fn an_endless_body_is_cut() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000)).into_bytes();
    let mut server = Server::start(Then::Repeat(head, chunk)).await;
    let client = client(demo(), Scripted::failing());
    let found = reply(&client, &server.url()).await;
    assert!(found.is_body_cut && found.status == 200, "{found:?}");
    assert_eq!(found.excerpt, "x".repeat(MAX_EXCERPT_LENGTH));
    server.closed.recv().await.unwrap();
}

/// Proves the limit of a body of known length.
#[tokio::test]
async fn a_body_of_the_maximum_length_is_not_cut() {
    let client = client(demo(), Scripted::failing());
    for (length, is_cut) in [(MAX_BODY_LENGTH, false), (MAX_BODY_LENGTH + 1, true)] {
        let server = Server::start(Then::Send(response("200 OK", &"x".repeat(length)))).await;
        assert_eq!(reply(&client, &server.url()).await.is_body_cut, is_cut, "{length}");
    }
}

/// Proves the class of each server that does not respond in time, and that the client then closes the connection.
#[tokio::test]
async fn a_server_that_does_not_respond_in_time_is_classified() {
    let options = EgressOptions { total_timeout: SHORT, ..ample() };
    let client = client_with(demo(), &options, Scripted::failing());
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
    for (then, kind, status) in [
        (Then::Stop(String::new()), EgressFailureKind::Timeout, None),
        (Then::Stop("HTTP/1.1 200 OK\r\nx-".to_owned()), EgressFailureKind::Timeout, None),
        (Then::Stop(format!("{head}12345")), EgressFailureKind::SlowBody, Some(200)),
    ] {
        let mut server = Server::start(then).await;
        let found = post(&client, &server.url()).await;
        let failure = found.outcome.unwrap_err();
        assert_eq!((failure.kind, failure.status), (kind, status), "{failure:?}");
        assert!(failure.text.ends_with("within 0.2 s") && found.duration >= SHORT, "{failure:?}");
        server.closed.recv().await.unwrap();
    }
}

/// Proves that a server that accepts no connection from its queue cannot occupy the client.
#[tokio::test]
async fn a_server_that_never_reads_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = EgressOptions { total_timeout: SHORT, ..ample() };
    let client = client_with(demo(), &options, Scripted::failing());
    let url = format!("http://{}/", listener.local_addr().unwrap());
    failure(&client, &url, EgressFailureKind::Timeout).await;
}

/// Proves that the client limits the headers that it reads, by number and by size.
#[tokio::test]
async fn huge_headers_are_refused() {
    let client = client(demo(), Scripted::failing());
    let many = Then::Send(response(&format!("200 OK{}", "\r\nx: y".repeat(200)), ""));
    let endless = Then::Repeat("HTTP/1.1 200 OK\r\nx: ".to_owned(), vec![b'y'; 0x1000]);
    for then in [many, endless] {
        let mut server = Server::start(then).await;
        failure(&client, &server.url(), EgressFailureKind::Protocol).await;
        server.closed.recv().await.unwrap();
    }
}

/// Proves the class of connections that end early, and of responses that are not HTTP.
#[tokio::test]
async fn a_broken_response_is_classified() {
    let client = client(demo(), Scripted::failing());
    let failure_of = async |then, kind| {
        let server = Server::start(then).await;
        let found = failure(&client, &server.url(), kind).await;
        assert!(!found.text.contains("127.0.0.1") && !found.text.contains("hook"), "{found:?}");
        found.status
    };
    assert_eq!(failure_of(Then::Reset, EgressFailureKind::Protocol).await, None);
    assert_eq!(failure_of(Then::Send("220 smtp\r\n".to_owned()), EgressFailureKind::Protocol).await, None);
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnothing";
    assert_eq!(failure_of(Then::Send(format!("{head}\r\n")), EgressFailureKind::Protocol).await, Some(200));
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    failure(&client, &format!("http://{closed}/"), EgressFailureKind::Connect).await;
}
