//! `dabba demo --live`: an evening at a running demo server.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

use dabba_sim::Client;
use dabba_testkit::{PATIENCE, eventually_blocking};
use serde_json::{Value, json};

use super::support::{Server, block_on, dabba, failure, free_address, stdout};

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
        let (status, line) = self.ended();
        assert!(status.success(), "{status}");
        line
    }

    /// Waits for the end of the command, and returns its status and its last line.
    fn ended(&mut self) -> (ExitStatus, Value) {
        let status =
            eventually_blocking("the evening ends", || self.process.try_wait().unwrap().ok_or("it runs"));
        (status, self.lines.iter().last().unwrap())
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
    let number = |member: &str| end[member].as_u64().unwrap_or_else(|| panic!("no {member} in {end}"));
    assert!(number("accepted_by_simulated_kitchen") > 0, "{end}");
    assert!(number("delivered") + number("collected") > 1, "{end}");
    assert_eq!((number("placed_by_others"), number("accepted_by_others")), (0, 0), "{end}");
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
    assert_eq!(end["event"], "end");
    for (member, number) in [
        ("placed_by_others", 1),
        ("accepted_by_others", 1),
        ("accepted_by_simulated_kitchen", 0),
        ("delivered", 1),
        ("rejected", 0),
    ] {
        assert_eq!(end[member], number, "{member} in {end}");
    }
    // The customers' other orders wait for the kitchen, or were cancelled.
    let number = |member: &str| end[member].as_u64().unwrap();
    assert_eq!(end["open"], end["open_by_status"]["confirmed"], "{end}");
    assert_eq!(number("placed"), number("open") + number("cancelled"), "{end}");
    for order in orders(&server).iter().filter(|found| found["id"] != order) {
        let status = text(order, "status");
        assert!(["confirmed", "cancelled"].contains(&status), "the command did the kitchen's work: {status}");
    }
}

/// Registers a courier with this address. Returns a client with the courier's token.
fn courier(server: &Server, email: &str) -> Client {
    let (admin, password) = (server.client("admin"), "long enough to be one");
    let body = json!({"email": email, "name": "Ada Wolf", "password": password, "role": "courier"});
    block_on(async {
        admin.post("/v1/accounts").json(&body).send().await.unwrap();
        let credentials = json!({"email": email, "password": password});
        let token = admin.post("/v1/tokens").json(&credentials).send().await.unwrap().body;
        admin.with_token(text(&token, "access_token"))
    })
}

/// Proves that the couriers deliver what the couriers of an earlier evening have left, before and after the pick-up, and take
/// no order away from other couriers.
#[test]
fn orders_that_an_earlier_evening_left_are_delivered() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::start(&data, &[]);
    let send = |client: &Client, order: &str, command: &str, body: Value| {
        let path = format!("/v1/orders/{order}/{command}");
        block_on(client.post(&path).json(&body).send()).unwrap();
    };
    let (kitchen, left) = (server.client("restaurant"), courier(&server, "ada.1@guests.dabba.example"));
    let other = courier(&server, "ada@couriers.example");
    let [ready, picked_up, others] = ["ready", "picked-up", "others"].map(|key| {
        let order = block_on(server.place_for_id(key));
        send(&kitchen, &order, "accept", json!({"preparation_minutes": 10}));
        send(if key == "others" { &other } else { &left }, &order, "assign", json!({}));
        send(&kitchen, &order, "ready", json!({}));
        order
    });
    send(&left, &picked_up, "pick-up", json!({}));
    let evening = Evening::start(&data, &[]);
    let mut waiting = BTreeSet::from([ready.as_str(), picked_up.as_str()]);
    let mut taken_over = BTreeSet::new();
    while !waiting.is_empty() {
        let line = evening.lines.recv_timeout(PATIENCE).unwrap();
        let order = line["order_id"].as_str().unwrap_or_default().to_owned();
        match text(&line, "event") {
            "courier_assigned" => {
                assert_eq!(text(&line, "text"), "takes over the delivery");
                taken_over.insert(order);
            }
            "delivered" => assert!(waiting.remove(order.as_str()), "{line}"),
            _ => {}
        }
    }
    assert_eq!(taken_over, BTreeSet::from([ready, picked_up]));
    let found = orders(&server).into_iter().find(|order| order["id"] == others.as_str()).unwrap();
    let account = block_on(other.get("/v1/accounts/me").send()).unwrap().body;
    assert_eq!((&found["status"], &found["courier_id"]), (&json!("ready_for_pickup"), &account["id"]));
    let end = evening.stop("INT");
    let numbers = (&end["delivered"], &end["open_by_status"]["ready_for_pickup"]);
    assert_eq!(numbers, (&json!(2), &json!(1)), "{end}");
}

/// Proves that the command ends by itself after the given time, with a summary.
#[test]
fn an_evening_ends_after_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let _server = Server::start(&data, &[]);
    let mut evening = Evening::start(&data, &["--for", "0.05"]);
    assert_eq!(evening.end()["event"], "end");
    let arguments = ["demo", "--live", "--for", "0.05", "--data", data.to_str().unwrap()];
    let printed = stdout(directory.path(), &arguments);
    // A slow machine needs longer than the three seconds.
    let (_, summary) = printed.split_once("\nThe evening took ").unwrap_or_else(|| panic!("{printed}"));
    for name in
        ["placed", "accepted", "rejected", "delivered", "cancelled", "expired", "still open", "refused"]
    {
        assert!(summary.lines().any(|line| line.starts_with(&format!("  {name}"))), "{name} in {printed}");
    }
}

/// Proves that an evening whose server becomes another one fails, and prints its summary before.
#[test]
fn an_evening_that_fails_prints_its_summary() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let address = free_address();
    let server = Server::start_at(&address, &data, &[]);
    let mut evening = Evening::start(&data, &[]);
    evening.next("placed", None);
    server.kill();
    let _other = Server::start_at(&address, &directory.path().join("other"), &[]);
    let (status, end) = evening.ended();
    assert_eq!((status.code(), &end["event"]), (Some(1), &json!("end")), "{end}");
    assert!(end["placed"].as_u64() > Some(0), "{end}");
}

/// A running server that prints its announcement as text. Killed when dropped.
struct Announcing(Child);

impl Announcing {
    /// Starts a server with a demo in a directory. Returns its announcement, too.
    fn start(directory: &Path, arguments: &[&str]) -> (Self, String) {
        let mut command = dabba(directory, &[&["serve", "--demo", "--log", "warn"], arguments].concat());
        let mut server = Self(command.stdout(Stdio::piped()).spawn().unwrap());
        let mut announcement = String::new();
        for line in BufReader::new(server.0.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            announcement.push_str(&line);
            announcement.push('\n');
            if line.starts_with("Stop with") {
                break;
            }
        }
        (server, announcement)
    }
}

impl Drop for Announcing {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Proves that without `--data` both commands use the same directory, also with the setting in a file; and that the command that
/// the server prints works in any directory.
#[test]
fn both_commands_find_the_same_directory() {
    for (setting, arguments) in
        [("", &[][..]), ("data = \"of the file\"\n", &[]), ("", &["--data", "my data"])]
    {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("dabba.toml"), setting).unwrap();
        let (_server, announcement) = Announcing::start(directory.path(), arguments);
        let evening = [&["demo", "--live", "--for", "0.05"], arguments].concat();
        assert!(stdout(directory.path(), &evening).contains("The evening took"));
        let printed = announcement.lines().find_map(|line| line.split_once("board: "));
        let (_, printed) = printed.unwrap_or_else(|| panic!("{announcement}"));
        let binary = Path::new(env!("CARGO_BIN_EXE_dabba")).parent().unwrap();
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command.args(["-c", &format!("{printed} --for 0.05")]).current_dir("/").env("PATH", path);
        let output = command.output().unwrap();
        assert!(String::from_utf8(output.stdout).unwrap().contains("The evening took"), "{printed}");
    }
}

/// Proves that the command refuses a server that is not the demo whose file it has read, states where it has looked and what to
/// start, and places nothing there.
#[test]
fn another_server_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (demo, real) = (directory.path().join("demo"), directory.path().join("real"));
    let assert_advised = |data: &Path, failure: &str| {
        let (file, data) = (data.join("demo.env").display().to_string(), data.display());
        let advice = format!("Start `dabba serve --demo --data {data}` in another terminal, or name");
        assert!(failure.contains(&format!("found by {file}: ")) && failure.contains(&advice), "{failure}");
    };
    let demo_of = |data: &Path| {
        let arguments = ["demo", "--live", "--data", data.to_str().unwrap()];
        let failure = failure(Path::new("/"), &arguments);
        assert_advised(data, &failure);
        failure
    };
    let missing = demo_of(&demo);
    assert!(missing.contains("the file does not exist"), "{missing}");
    let missing = failure(directory.path(), &["demo", "--live"]);
    assert_advised(&directory.path().join("dabba-data"), &missing);
    let server = Server::start(&demo, &[]);
    let address = server.announced_text("/address");
    server.stop();
    let stopped = demo_of(&demo);
    assert!(stopped.contains(&format!("no response from {address}: ")), "{stopped}");

    let other = Server::serve(&real, &["--listen", "127.0.0.1:0", "--log", "warn"]);
    let variables = fs::read_to_string(demo.join("demo.env")).unwrap();
    fs::write(demo.join("demo.env"), variables.replace(&address, &other.announced_text("/address"))).unwrap();
    let refused = demo_of(&demo);
    assert!(refused.contains("is not this demo") && refused.contains("refuses the tokens"), "{refused}");
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
