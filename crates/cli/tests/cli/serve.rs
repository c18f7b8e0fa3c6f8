//! `dabba serve`: an order's whole course, and its survival of the server's end.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    process::Stdio,
};

use dabba_testkit::{PATIENCE, eventually_blocking};
use serde_json::{Value, json};

use super::support::{Server, block_on, dabba, failure, stdout};

async fn read(server: &Server, id: &str) -> Value {
    server.client("customer").get(&format!("/v1/orders/{id}")).send().await.unwrap().body
}

#[test]
fn the_printed_order_is_delivered_and_survives_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let delivered = block_on(async {
        let order = server.place("walk").await;
        assert_eq!(order["status"], "confirmed");
        let path = |command: &str| format!("/v1/orders/{}/{command}", order["id"].as_str().unwrap());
        let (kitchen, courier) = (server.client("restaurant"), server.client("courier"));
        kitchen.post(&path("accept")).json(&json!({"preparation_minutes": 10})).send().await.unwrap();
        let assigned = courier.post(&path("assign")).send().await.unwrap();
        assert_eq!(assigned.body["courier_id"], server.announcement["courier_id"]);
        kitchen.post(&path("ready")).send().await.unwrap();
        courier.post(&path("pick-up")).send().await.unwrap();
        courier.post(&path("deliver")).send().await.unwrap();
        read(&server, order["id"].as_str().unwrap()).await
    });
    assert_eq!(delivered["status"], "delivered");
    assert_eq!(delivered["payment"]["captured"], delivered["amounts"]["total"]);
    let restaurant = server.announced_text("/restaurant_id");
    server.stop();

    let server = Server::start(data.path(), &[]);
    assert_eq!(server.announced_text("/restaurant_id"), restaurant, "the demo must be found again");
    block_on(async {
        let id = delivered["id"].as_str().unwrap();
        let found = read(&server, id).await;
        for member in ["status", "version", "amounts", "lines", "payment", "courier_id", "updated_at"] {
            assert_eq!(found[member], delivered[member], "{member}");
        }
        let restaurants = server.client("customer").get("/v1/restaurants").send().await.unwrap().body;
        assert_eq!(restaurants["restaurants"].as_array().unwrap().len(), 3, "{restaurants}");
    });
}

/// Proves that a server that stops in order records the durations that it measured since its last write. A server writes
/// them every 10 seconds.
#[test]
fn a_server_that_stops_records_its_statistics() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    block_on(server.place("measured"));
    server.stop();
    let server = Server::start(data.path(), &[]);
    let path = "/v1/statistics?names=placing_latency&step=3600";
    let read = block_on(async { server.client("admin").get(path).send().await.unwrap().body });
    assert_eq!(read["series"][0]["points"][0]["count"], 1, "{read}");
}

#[test]
fn a_killed_server_loses_no_acknowledged_order() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let placed = block_on(async {
        let mut placed = Vec::new();
        for number in 0..20 {
            placed.push(server.place(&format!("kill-{number}")).await);
        }
        placed
    });
    server.kill();

    let server = Server::start(data.path(), &[]);
    block_on(async {
        for (number, order) in placed.iter().enumerate() {
            assert_eq!(read(&server, order["id"].as_str().unwrap()).await, *order);
            let again = server.place(&format!("kill-{number}")).await;
            assert_eq!(again["id"], order["id"], "the key must still return the same order");
        }
    });
}

#[test]
fn a_second_server_on_the_same_data_is_refused_with_the_reason() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let path = data.path().to_str().unwrap();
    let text = failure(data.path(), &["serve", "--listen", "127.0.0.1:0", "--data", path]);
    assert!(text.contains("dabba.db") && text.contains("one process at a time"), "{text}");
    block_on(server.place("the-first-one-still-serves"));
}

#[test]
fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = tempfile::tempdir().unwrap();
    let text = failure(data.path(), &["serve", "--listen", &address]);
    assert!(text.contains(&address) && text.contains("setting listen"), "{text}");
    assert!(text.contains("another process uses") && text.contains("--listen"), "{text}");
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0, "a port in use must change nothing");
}

/// Proves that the configuration is read before anything is created.
#[test]
fn a_wrong_configuration_changes_nothing() {
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = files.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (no_key, missing) = (file("key", "no key"), files.path().join("missing").display().to_string());
    for (arguments, expected) in [
        (vec!["--signing-key-file", &no_key], "hexadecimal"),
        (vec!["--signing-key-file", &missing], "does not exist"),
        (vec!["--payment-gateway", "stripe", "--payment-key-file", &missing], "does not exist"),
        (vec!["--payment-gateway", "stripe"], "payment_key_file"),
        (vec!["--shards", &missing], "does not exist"),
    ] {
        let data = tempfile::tempdir().unwrap();
        let arguments = [vec!["serve", "--listen", "127.0.0.1:0"], arguments].concat();
        let text = failure(data.path(), &arguments);
        assert!(text.contains(expected), "{arguments:?}: {text}");
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0, "{arguments:?}");
    }
}

#[test]
fn a_server_without_migrations_refuses_an_old_database() {
    let data = tempfile::tempdir().unwrap();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--migrate", "false"];
    let text = failure(data.path(), &arguments);
    assert!(text.contains("dabba.db"), "{text}");
    let migrated = stdout(data.path(), &["migrate"]);
    assert!(migrated.contains("dabba.db"), "{migrated}");
    let again = stdout(data.path(), &["migrate"]);
    assert!(again.contains("needs no migration"), "{again}");
}

#[test]
fn without_a_demo_no_tokens_are_printed() {
    let data = tempfile::tempdir().unwrap();
    let mut child = dabba(data.path(), &["serve", "--json", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let announcement: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(announcement.as_object().unwrap().keys().collect::<Vec<_>>(), ["address"]);
}

#[test]
fn both_signals_end_the_server_in_order() {
    for signal in ["INT", "TERM"] {
        let data = tempfile::tempdir().unwrap();
        let mut server = Server::start(data.path(), &[]);
        block_on(server.place("before-the-end"));
        server.signal(signal);
        assert!(server.wait().success(), "{signal}");
    }
}

/// Begins a request that does not end, and waits until the server has begun to answer it.
fn begin_a_request(server: &Server) -> TcpStream {
    let address = server.announced_text("/address");
    let mut stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(
            b"POST /v1/tokens HTTP/1.1\r\nHost: dabba\r\nContent-Type: application/json\r\n\
              Expect: 100-continue\r\nContent-Length: 100\r\n\r\n",
        )
        .unwrap();
    let mut line = String::new();
    // "100 Continue" states that the server handles the request and waits for its body.
    BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("100"), "{line}");
    stream
}

/// Waits until the server accepts no connections: it has begun to stop.
fn wait_until_stopping(server: &Server) {
    let address = server.announced_text("/address");
    eventually_blocking("the server accepts no connections", || {
        TcpStream::connect(address.trim_start_matches("http://")).err().ok_or("it accepts one")
    });
}

#[test]
fn an_endless_request_delays_the_stop_by_at_most_the_grace() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start(data.path(), &["--shutdown-grace-seconds", "1"]);
    let _request = begin_a_request(&server);
    server.signal("TERM");
    assert!(server.wait().success());
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start(data.path(), &["--shutdown-grace-seconds", "600"]);
    let _request = begin_a_request(&server);
    server.signal("TERM");
    wait_until_stopping(&server);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(130));
}
