//! `dabba demo --live`: an evening at a running demo server.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

use dabba_testkit::{PATIENCE, eventually_blocking};
use serde_json::{Value, json};

use super::support::{Server, block_on, dabba, failure, free_address};

/// A running evening, which prints JSON. Killed when dropped.
struct Evening {
    process: Child,
    lines: Receiver<Value>,
}

impl Evening {
    /// Starts an evening at the server with this data directory, as fast as possible.
    fn start(data: &Path, more: &[&str]) -> Self {
        let fixed =
            ["demo", "--live", "--json", "--rate", "60", "--speed", "100", "--data", data.to_str().unwrap()];
        let mut command = dabba(Path::new("/"), &[&fixed[..], more].concat());
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.lines() {
                let line = line.unwrap();
                let line = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { process, lines }
    }

    /// Returns the next line of this event, of this order if there is one.
    fn next(&self, event: &str, order: Option<&str>) -> Value {
        let mut passed = Vec::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("{error} before {event}: {passed:#?}"));
            if line["event"] == event && order.is_none_or(|order| line["order_id"] == order) {
                return line;
            }
            passed.push(line);
        }
    }

    /// Sends a signal, and returns the last line of the command, which must end without an error.
    fn stop(mut self, signal: &str) -> Value {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        self.end()
    }

    /// Waits for the end of the command, which must be without an error, and returns its last line.
    fn end(&mut self) -> Value {
        let status =
            eventually_blocking("the evening ends", || self.process.try_wait().unwrap().ok_or("it runs"));
        assert!(status.success(), "{status}");
        self.lines.iter().last().unwrap()
    }
}

impl Drop for Evening {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value}"))
}

/// Returns all orders of the server.
fn orders(server: &Server) -> Vec<Value> {
    let admin = server.client("admin");
    block_on(async {
        let (mut orders, mut path) = (Vec::new(), "/v1/orders?limit=100".to_owned());
        loop {
            let page = admin.get(&path).send().await.unwrap().body;
            orders.extend(page["orders"].as_array().unwrap().iter().cloned());
            let Some(next) = page["next_cursor"].as_str() else { return orders };
            path = format!("/v1/orders?limit=100&cursor={next}");
        }
    })
}

/// Proves that orders of several customers are placed, prepared and delivered, that the evening continues after a crash
/// of the server, that it places each order once, and that it ends in order.
#[test]
fn an_evening_survives_a_crash_of_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let address = free_address();
    let server = Server::start_at(&address, &data, &[]);
    let evening = Evening::start(&data, &["--kitchen", "--seed", "5"]);
    let placed = evening.next("placed", None);
    let order = text(&placed, "order_id");
    assert!(text(&placed, "text").starts_with("orders "), "{placed}");
    evening.next("delivered", None);
    server.kill();
    let server = Server::start_at(&address, &data, &[]);
    // Each order is at its end sooner or later.
    let ended = eventually_blocking("the first order ends", || {
        let order = orders(&server).into_iter().find(|found| found["id"] == order).unwrap();
        let has_ended = ["delivered", "cancelled"].contains(&text(&order, "status"));
        if has_ended { Ok(order) } else { Err(order["status"].clone()) }
    });
    assert_eq!(ended["display_code"], placed["display_code"]);
    let known: BTreeSet<String> = orders(&server).iter().map(|order| text(order, "id").to_owned()).collect();
    let later = loop {
        let later = evening.next("placed", None);
        if !known.contains(text(&later, "order_id")) {
            break later;
        }
    };
    evening.next("delivered", None);
    let end = evening.stop("TERM");
    assert_eq!(end["event"], "end");
    let found = orders(&server);
    assert!(found.iter().any(|order| order["id"] == later["order_id"]));
    // The signal can arrive between the server's response and the line.
    let placed = usize::try_from(end["placed"].as_u64().unwrap()).unwrap();
    assert!((placed..=placed + 1).contains(&found.len()), "{placed} of {}", found.len());
    let customers: BTreeSet<&str> = found.iter().map(|order| text(order, "customer_id")).collect();
    let contacts: BTreeSet<&str> = found.iter().map(|order| text(&order["contact"], "name")).collect();
    let carts: BTreeSet<String> = found.iter().map(|order| order["lines"].to_string()).collect();
    assert!(customers.len() > 1 && customers.len() == contacts.len(), "{contacts:?}");
    assert!(carts.len() > found.len() / 2, "{carts:?}");
}

/// Proves that the command leaves the kitchen to a person, and brings what the person has prepared, also of orders that
/// others place. Without `--for`, because the machine may be slow.
#[test]
fn a_person_works_in_the_kitchen() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::start(&data, &[]);
    let evening = Evening::start(&data, &[]);
    evening.next("placed", None);
    let order = block_on(server.place_for_id("by-another-client"));
    evening.next("placed", Some(&order));
    let kitchen = server.client("restaurant");
    let send = |command: &str, body: Value| {
        let path = format!("/v1/orders/{order}/{command}");
        block_on(kitchen.post(&path).json(&body).send()).unwrap().body
    };
    send("accept", json!({"preparation_minutes": 10}));
    let accepted = evening.next("accepted", Some(&order));
    assert_eq!(text(&accepted, "text"), "accepts the order: ready in 10 minutes");
    evening.next("courier_assigned", Some(&order));
    send("ready", json!({}));
    let delivered = evening.next("delivered", Some(&order));
    assert_ne!(text(&delivered, "who"), "A courier");
    let end = evening.stop("INT");
    assert_eq!((&end["event"], &end["delivered"]), (&json!("end"), &json!(1)));
    for order in orders(&server).iter().filter(|found| found["id"] != order) {
        let status = text(order, "status");
        assert!(["confirmed", "cancelled"].contains(&status), "the command did the kitchen's work: {status}");
    }
}

/// Proves that the command ends by itself after the given time.
#[test]
fn an_evening_ends_after_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let _server = Server::start(&data, &[]);
    let mut evening = Evening::start(&data, &["--for", "0.05"]);
    assert_eq!(evening.end()["event"], "end");
}

/// Proves that the command refuses a server that is not the demo whose file it has read, with advice, and places nothing
/// there.
#[test]
fn another_server_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (demo, real) = (directory.path().join("demo"), directory.path().join("real"));
    let demo_of = |data: &Path| {
        let arguments = ["demo", "--live", "--data", data.to_str().unwrap()];
        failure(Path::new("/"), &arguments)
    };
    let missing = demo_of(&demo);
    assert!(missing.contains("demo.env does not exist: start `dabba serve --demo`"), "{missing}");
    let server = Server::start(&demo, &[]);
    let address = server.announced_text("/address");
    server.stop();
    let stopped = demo_of(&demo);
    assert!(stopped.contains("no response from") && stopped.contains("`dabba serve --demo`"), "{stopped}");

    let other = Server::serve(&real, &["--listen", "127.0.0.1:0", "--log", "warn"]);
    let variables = fs::read_to_string(demo.join("demo.env")).unwrap();
    fs::write(demo.join("demo.env"), variables.replace(&address, &other.announced_text("/address"))).unwrap();
    let refused = demo_of(&demo);
    assert!(refused.contains("is not the demo of") && refused.contains("refuses the tokens"), "{refused}");
    assert!(!refused.contains("eyJ"), "{refused}");
    other.stop();
}

/// Proves that wrong arguments are refused with what is allowed.
#[test]
fn wrong_arguments_are_refused() {
    for (arguments, expected) in [
        (&["demo", "--live", "--rate", "0"][..], "1..=60"),
        (&["demo", "--live", "--for", "1000"], "from 0.05 to 600"),
        (&["demo", "--live", "--for", "NaN"], "from 0.05 to 600"),
        (&["demo", "--live", "--speed", "1000"], "1..=100"),
        (&["demo", "--kitchen"], "--live"),
    ] {
        let refused = failure(Path::new("/"), arguments);
        assert!(refused.contains(expected), "{arguments:?}: {refused}");
    }
}
