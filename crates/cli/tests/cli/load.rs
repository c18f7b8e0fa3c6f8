//! Load on a real server, and `dabba bench`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dabba_pg_cluster::Cluster;
use dabba_sim::workload::{Dataset, Load, Mix, OperationCount, run_load};
use serde_json::Value;

use super::support::{Server, block_on, dabba, failure, stdout};

/// Proves that a load places as many orders as it reports, each under its own key.
#[test]
fn a_bounded_load_places_as_many_orders_as_it_reports() {
    const ORDERS: u64 = 250;
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let dataset = Arc::new(Dataset {
        restaurants: vec![server.announced_text("/restaurant_id")],
        staff: server.announced_text("/tokens/restaurant"),
        staff_account: None,
        customers: vec![server.announced_text("/tokens/customer")],
        courier: server.announced_text("/tokens/courier"),
        order: server.announcement["order"].to_string().into(),
        orders: Vec::new(),
        placed: None,
    });
    let load = Load {
        address: server.announced_text("/address").trim_start_matches("http://").parse().unwrap(),
        mix: Mix::Place,
        connections: 8,
        rate: None,
        duration: Duration::from_mins(1),
        max_operations: ORDERS,
        run: "bounded".into(),
    };
    block_on(async {
        let run = async |load| run_load(load, Arc::clone(&dataset), OperationCount::default()).await.unwrap();
        let report = run(load.clone()).await;
        assert_eq!((report.count(), &report.errors), (ORDERS, &BTreeMap::new()));
        assert!(report.latency_at(0.5) <= report.latency_at(1.0));

        let again = run(load).await;
        assert_eq!(again.count(), 0, "the same keys must not place further orders");
        assert_eq!(again.errors, BTreeMap::from([("replayed".to_owned(), ORDERS)]));

        let customer = server.client("customer");
        let (mut found, mut cursor) = (0, String::new());
        loop {
            let page = customer.get(&format!("/v1/orders?limit=100{cursor}")).send().await.unwrap().body;
            found += page["orders"].as_array().unwrap().len();
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(found, 250);
    });
}

/// Returns the lines of a bench, and its verification.
fn bench(arguments: &[&str]) -> (Vec<Value>, Value) {
    let directory = tempfile::tempdir().unwrap();
    let text = stdout(directory.path(), &[&["bench", "--json", "--seconds", "1"], arguments].concat());
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let verified = lines.pop().unwrap();
    (lines, verified)
}

/// Proves that every mix runs without errors and is drawn, and that all acknowledged orders exist after the server was killed: on
/// the embedded store, and on PostgreSQL at a rate.
#[test]
fn a_bench_verifies_what_it_measures() {
    let mixes = ["place", "life", "menu", "order", "kitchen", "replay"];
    let plots = tempfile::tempdir().unwrap();
    let plot = plots.path().join("plot.svg");
    let plot_name = plot.to_str().unwrap();
    let (lines, verified) = bench(&["--mix", &mixes.join(","), "--connections", "4", "--plot", plot_name]);
    assert_eq!(lines.iter().map(|line| &line["mix"]).collect::<Vec<_>>(), mixes);
    let mut placed = 1_000;
    for line in &lines {
        assert!(line["succeeded"].as_u64().unwrap() > 0 && line["errors"] == serde_json::json!({}), "{line}");
        if ["place", "life"].contains(&line["mix"].as_str().unwrap()) {
            placed += line["succeeded"].as_u64().unwrap();
        }
    }
    assert_eq!((&verified["acknowledged"], &verified["audited"]), (&placed.into(), &placed.into()));
    let picture = std::fs::read_to_string(plot).unwrap();
    for mix in mixes {
        assert!(
            picture.contains(&format!("{mix} p50")) && picture.contains(&format!("{mix} p99")),
            "{picture}"
        );
    }

    let cluster = Cluster::shared().unwrap();
    let url = cluster.url(&cluster.create_database().unwrap());
    let (lines, verified) = bench(&["--rate", "100", "--connections", "8", "--database", &url]);
    // A slow machine starts fewer requests than the rate demands.
    assert!(matches!(lines[0]["succeeded"].as_u64(), Some(1..=100)), "{}", lines[0]);
    assert_eq!(lines[0]["succeeded"], verified["acknowledged"]);
}

/// Proves that a bench of a running server leaves it running and verifies its orders: over the API on the embedded store, and
/// also by an audit on PostgreSQL.
#[test]
fn a_bench_of_a_running_server_leaves_it_running() {
    let cluster = Cluster::shared().unwrap();
    let url = cluster.url(&cluster.create_database().unwrap());
    for (place, is_audited) in [(&[][..], false), (&["--database", &url][..], true)] {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path(), place);
        let address = server.announced_text("/address");
        let directory = data.path().to_str().unwrap();
        let arguments = [&["--server", &address, "--data", directory, "--connections", "4"], place].concat();
        let (lines, verified) = bench(&arguments);
        assert!(lines[0]["succeeded"].as_u64().unwrap() > 0, "{lines:?}");
        assert_eq!(
            (&lines[0]["succeeded"], &lines[0]["errors"]),
            (&verified["acknowledged"], &serde_json::json!({}))
        );
        assert_eq!((verified["audited"].is_u64(), &verified["was_killed"]), (is_audited, &false.into()));
        let answer = block_on(async { server.client("customer").get("/v1/orders").send().await.unwrap() });
        assert_eq!(answer.status, 200, "the server must still run");
    }
}

/// Proves that a load runs on several threads over more than 1,024 connections, and that its orders exist.
#[test]
fn a_bench_uses_several_threads_and_many_connections() {
    let (lines, verified) = bench(&["--threads", "2", "--connections", "1100", "--rate", "50"]);
    assert!(matches!(lines[0]["succeeded"].as_u64(), Some(1..=50)), "{}", lines[0]);
    assert_eq!(
        (&lines[0]["succeeded"], &lines[0]["errors"]),
        (&verified["acknowledged"], &serde_json::json!({}))
    );
}

/// Returns the figures of a group of receivers: number, expected, received and differing events.
fn receiver(events: &Value, name: &str) -> [u64; 4] {
    let rows = events["receivers"].as_array().unwrap();
    let row = rows.iter().find(|row| row["receiver"] == name).unwrap();
    let of = |member: &str| row[member].as_u64().unwrap();
    let differing = ["missing", "disordered", "unwanted", "malformed"].map(of).iter().sum();
    [of("count"), of("expected"), of("received"), differing]
}

/// Arguments of a short run with endpoints of all classes, with streams and with boards.
const EVENTS: [&str; 28] = [
    "--mix",
    "events",
    "--rate",
    "20",
    "--warm-up-seconds",
    "1",
    "--connections",
    "4",
    "--restaurants",
    "4",
    "--restaurant-endpoints",
    "2",
    "--platform-endpoints",
    "2",
    "--hanging-endpoints",
    "1",
    "--dead-endpoints",
    "1",
    "--unmatched-endpoints",
    "3",
    "--streams",
    "2",
    "--boards",
    "3",
    "--idle-streams",
    "3",
    "--idle-seconds",
    "1",
];

/// Checks the result of a run with [`EVENTS`].
fn check_events(lines: &[Value], verified: &Value) {
    let [load, events] = lines else { panic!("{lines:?}") };
    let (measured, orders) = (&load["succeeded"], verified["acknowledged"].as_u64().unwrap());
    // The orders of the warm-up are verified, and not measured.
    assert!((1..orders).contains(&measured.as_u64().unwrap()), "{load} {verified}");
    assert_eq!(load["errors"], serde_json::json!({}), "{load}");
    assert_eq!(events["orders_incomplete"], 0, "{events}");
    let caused = events["events"].as_u64().unwrap();
    assert_eq!(caused, 8 * orders, "{events}");
    assert_eq!(receiver(events, "platform"), [2, 2 * caused, 2 * caused, 0]);
    assert_eq!(receiver(events, "stream"), [2, 2 * caused, 2 * caused, 0]);
    assert_eq!(receiver(events, "unmatched"), [3, 0, 0, 0]);
    // The boards of three restaurants of four show about three quarters of the orders, but not those that were delivered
    // before a board could show them.
    let [count, expected, received, differing] = receiver(events, "board");
    assert!(count == 3 && expected > 0 && received > expected && differing == 0, "{events}");
    assert!(4 * expected <= 3 * orders + 4 * 2, "{events}");
    let [count, expected, received, differing] = receiver(events, "restaurant");
    assert!(count == 2 && expected > 0 && expected == received && differing == 0, "{events}");
    // The endpoints of two restaurants of four match about half of the events: the warm-up and the measurement each begin
    // with the first restaurant.
    assert!(expected.abs_diff(caused / 2) <= 2 * 8, "{events}");
    let [count, _, received, _] = receiver(events, "dead");
    assert_eq!([count, received], [1, 0], "{events}");
    assert_eq!(receiver(events, "hanging")[0], 1, "{events}");
    assert!(events["catch_up_events"].as_u64().unwrap() >= caused, "{events}");
    assert_eq!((&events["idle_streams"]["count"], &events["idle_streams"]["ended"]), (&3.into(), &0.into()));
}

/// Proves that the mix events delivers every event to every healthy endpoint and stream, beside endpoints that hang and
/// refuse, on both stores.
#[test]
fn a_bench_receives_the_events_of_its_orders() {
    let cluster = Cluster::shared().unwrap();
    let url = cluster.url(&cluster.create_database().unwrap());
    for place in [&[][..], &["--database", &url]] {
        let (lines, verified) = bench(&[&EVENTS[..], place].concat());
        check_events(&lines, &verified);
    }
}

/// Proves that the mix events measures a running server, and deletes its endpoints there.
#[test]
fn a_bench_of_events_leaves_no_endpoint() {
    let data = tempfile::tempdir().unwrap();
    // Three ports in a row below those that the system assigns.
    let first = 20_000 + std::process::id() % 10_000;
    let hosts = [0, 1, 2].map(|offset| format!("127.0.0.1:{}", first + offset)).join(",");
    let server = Server::start(data.path(), &["--webhook-allowed-hosts", &hosts]);
    let (address, port) = (server.announced_text("/address"), first.to_string());
    let directory = data.path().to_str().unwrap();
    let running = ["--server", &address, "--data", directory, "--receiver-port", &port];
    let (lines, verified) = bench(&[&EVENTS[..], &running].concat());
    check_events(&lines, &verified);
    let answer =
        block_on(async { server.client("admin").get("/v1/webhook-endpoints").send().await.unwrap() });
    assert_eq!(answer.body["endpoints"], serde_json::json!([]));
}

/// Proves that a bench can prefill the database with valid orders, and that the audit can be skipped.
#[test]
fn a_bench_prefills_the_database() {
    let cluster = Cluster::shared().unwrap();
    let url = cluster.url(&cluster.create_database().unwrap());
    for place in [&[][..], &["--database", &url]] {
        let arguments = [&["--prefill", "1234", "--rate", "20", "--connections", "2"], place].concat();
        let (_, verified) = bench(&arguments);
        // At 20 orders per second, a slow machine places fewer.
        let placed = verified["acknowledged"].as_u64().unwrap();
        assert!((1..=20).contains(&placed), "{verified}");
        assert_eq!(verified["audited"], 1_234 + placed);
        let (_, verified) = bench(&[&arguments[..], &["--skip-audit", "--disposable"]].concat());
        assert_eq!(verified["audited"], Value::Null);
    }
}

/// Proves that a database with data is refused unless it is declared disposable, whether or not the data is Dabba's, and that
/// only the flags select the database.
#[test]
fn a_bench_refuses_a_database_with_data() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    let short = ["bench", "--json", "--seconds", "1", "--rate", "10", "--connections", "2", "--skip-audit"];

    cluster
        .execute(&database, "CREATE TABLE letters (text text); INSERT INTO letters VALUES ('dear')")
        .unwrap();
    let text = failure(directory.path(), &[&short[..], &["--database", &url]].concat());
    assert!(text.contains("its table letters has rows") && text.contains("--disposable"), "{text}");
    let tables = "SELECT string_agg(relname, ',') FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(
        cluster.execute(&database, tables).unwrap().trim(),
        "letters",
        "the refused command must write nothing"
    );
    cluster.execute(&database, "DROP TABLE letters").unwrap();

    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--database", &url]);
    block_on(server.place("one"));
    let data_path = data.path().to_str().unwrap();
    let running = ["--server", &server.announced_text("/address"), "--data", data_path];
    let text = failure(directory.path(), &[&short[..], &running].concat());
    assert!(text.contains("the server has orders") && text.contains("--disposable"), "{text}");
    server.stop();
    let text = failure(directory.path(), &[&short[..], &["--database", &url]].concat());
    assert!(text.contains("has rows") && !text.contains("password"), "{text}");

    let count = "SELECT (SELECT count(*) FROM orders) || ' ' || (SELECT count(*) FROM restaurants)";
    assert_eq!(cluster.execute(&database, count).unwrap().trim(), "1 3");
    std::fs::write(directory.path().join("dabba.toml"), format!("database = \"{url}\"\npool_size = 4\n"))
        .unwrap();
    for variable in [None, Some(&url)] {
        let mut command = dabba(directory.path(), &short);
        command.envs(variable.map(|url| ("DABBA_DATABASE", url)));
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.success() && text.contains("is ignored: select a database with --database"),
            "{text}"
        );
        assert_eq!(text.contains("the database from the environment"), variable.is_some(), "{text}");
    }
    assert_eq!(cluster.execute(&database, count).unwrap().trim(), "1 3", "another database was loaded");
    stdout(directory.path(), &[&short[..], &["--database", &url, "--disposable"]].concat());
}

/// Proves the messages for wrong arguments.
#[test]
fn a_bench_refuses_wrong_arguments() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, what) in [
        (&["--mix", "lunch"][..], "place, life, menu, order, kitchen, replay or events"),
        (&["--connections", "0"], "from 1 to 16384"),
        (&["--threads", "0"], "from 1 to 64"),
        (&["--mix", "place,events"], "runs alone"),
        (&["--mix", "events", "--rate", "10,20"], "runs alone"),
        (&["--mix", "events", "--rate", "5000", "--seconds", "600"], "24120000 events"),
        (&["--mix", "events", "--endpoint-types", "rejected"], "must be one of placed"),
        (&["--mix", "events", "--server", "http://127.0.0.1:1"], "--receiver-port"),
        (&["--streams", "2"], "need --mix events"),
        (&["--mix", "events", "--boards", "11", "--restaurants", "10"], "--restaurants is 10"),
        (&["--seconds", "601"], "600"),
        (&["--rate", "0"], "--rate"),
        (&["--prefill", "100000001"], "100000000"),
        (&["--prefill", "1", "--server", "http://127.0.0.1:1"], "--server"),
        (&["--data", "."], "--server"),
        (&["--server", "https://127.0.0.1"], "http://"),
        (&["--server", "http://127.0.0.1:1"], "signing key"),
        (&["--server", "http://192.0.2.1:8080"], "not on this machine"),
        (&["--plot", "absent/plot.svg"], "creating the plot absent/plot.svg"),
    ] {
        let text = failure(directory.path(), &[&["bench"], arguments].concat());
        assert!(text.contains(what), "{text}");
    }
}
