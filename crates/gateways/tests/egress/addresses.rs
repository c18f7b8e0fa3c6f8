//! Tests of the addresses to which the client connects.

use std::sync::Arc;

use dabba_engine::{Egress as _, EgressFailureKind};

use super::world::{Scripted, Server, Then, allowing, client, demo, failure, post, reply, response};

/// Proves that a literal address is checked at each request, although no resolver sees it, and also if the URL was
/// stored under other rules.
#[tokio::test]
async fn a_literal_address_is_checked_at_each_request() {
    let server = Server::start(Then::Send(response("200 OK", ""))).await;
    let names = Scripted::failing();
    let stored =
        client(allowing(&[server.address.to_string()]), Arc::clone(&names)).check_url(&server.url()).unwrap();
    let strict = client(allowing(&[]), Arc::clone(&names));
    let port = server.port();
    for url in [
        stored.as_str(),
        &format!("https://127.0.0.1:{port}/"),
        &format!("https://2130706433:{port}/"),
        &format!("https://[::ffff:127.0.0.1]:{port}/"),
        "https://127.1/",
        "https://0/",
    ] {
        failure(&strict, url, EgressFailureKind::Refused).await;
    }
    assert_eq!((server.connections(), names.names().len()), (0, 0));
}

/// Proves that a name whose addresses changed after the URL was entered leads to no connection, and that neither the
/// text nor a second lookup reveals or uses the address.
#[tokio::test]
async fn a_name_that_leads_inside_is_refused() {
    for inside in [&["127.0.0.1"][..], &["::1", "10.0.0.1"], &["::ffff:127.0.0.1"], &["64:ff9b::7f00:1"]] {
        let names = Scripted::new(&[inside]);
        let client = client(allowing(&[]), Arc::clone(&names));
        let url = client.check_url("https://hooks.example.com:8443/x").unwrap();
        assert!(names.names().is_empty(), "the check of a URL needs no lookup");
        let found = failure(&client, url.as_str(), EgressFailureKind::Refused).await;
        let text = "the host's name leads only to addresses that are not public; an operator can allow the host in \
                    webhook_allowed_hosts";
        assert_eq!(found.text, text);
        assert_eq!(names.names(), ["hooks.example.com"]);
    }
}

/// Proves that a name that changes its addresses between two connections is checked for each connection, and that each
/// connection uses the addresses of the lookup that was checked: one lookup per connection.
#[tokio::test]
async fn a_name_is_checked_for_each_connection() {
    let head = "200 OK\r\nconnection: close";
    let server = Server::start(Then::Send(response(head, ""))).await;
    let names = Scripted::new(&[&["10.0.0.1", "127.0.0.1"], &["10.0.0.1"], &["127.0.0.1"]]);
    let client = client(demo(), Arc::clone(&names));
    let url = format!("http://localhost:{}/hook", server.port());
    assert_eq!(reply(&client, &url).await.status, 200);
    failure(&client, &url, EgressFailureKind::Refused).await;
    assert_eq!(reply(&client, &url).await.status, 200);
    assert_eq!((server.connections(), names.names().len()), (2, 3));
}

/// Proves that the permission for a host and port covers the addresses of its name, but no other port: the connections
/// and lookups of allowed hosts are separate.
#[tokio::test]
async fn an_allowed_host_opens_no_other_port() {
    let server = Server::start(Then::Send(response("200 OK", ""))).await;
    let names = Scripted::new(&[&["127.0.0.1"]]);
    let client = client(allowing(&[format!("hooks.example.com:{}", server.port())]), names);
    let url = format!("http://hooks.example.com:{}/hook", server.port());
    assert_eq!(reply(&client, &url).await.status, 200);
    failure(&client, "https://hooks.example.com/", EgressFailureKind::Refused).await;
    failure(&client, "https://hooks.example.com:8443/", EgressFailureKind::Refused).await;
    assert_eq!(server.connections(), 1);
}

/// Proves the class of a failed lookup and of a name without addresses.
#[tokio::test]
async fn a_failed_lookup_is_classified() {
    for names in [Scripted::failing(), Scripted::new(&[&[]])] {
        let client = client(allowing(&[]), names);
        let found = failure(&client, "https://hooks.example.com/", EgressFailureKind::Dns).await;
        assert!(found.text.starts_with("the host's name "), "{found:?}");
    }
}

/// Proves that a request with an invalid header is not sent.
#[tokio::test]
async fn a_header_cannot_be_injected() {
    let server = Server::start(Then::Send(response("200 OK", ""))).await;
    let client = client(demo(), Scripted::failing());
    let url = client.check_url(&server.url()).unwrap();
    let headers = vec![("webhook-id", "1\r\nx: y".to_owned())];
    let request = dabba_engine::EgressRequest { url, headers, body: "".into() };
    let attempt = client.post(request).await;
    assert_eq!(attempt.outcome.unwrap_err().kind, EgressFailureKind::Refused);
    assert_eq!(server.connections(), 0);
    assert_eq!(post(&client, &server.url()).await.outcome.unwrap().status, 200);
}
