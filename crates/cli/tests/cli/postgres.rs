//! `dabba` on one or several PostgreSQL databases.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use dabba_pg_cluster::{Cluster, ClusterOptions, StopMode};
use dabba_testkit::{equal, eventually, eventually_blocking, http_client};
use serde_json::{Value, json};

use super::support::{Server, block_on, dabba, failure, run, stdout};

/// Maximum time of a fast refusal: several times the documented timeout of a connection, because the machine may be busy.
const FAST: Duration = Duration::from_secs(10);

/// Writes a file with three shards, each with a third of the buckets.
pub(crate) fn write_shards(path: &Path, urls: [&str; 3]) {
    let ranges = ["0-1364", "1365-2729", "2730-4095"];
    let shards = ["north", "south", "west"].iter().zip(ranges).zip(urls);
    let shards = shards.map(|((name, range), url)| {
        format!("[[shard]]\nname = \"{name}\"\nbuckets = \"{range}\"\nurl = \"{url}\"\n")
    });
    fs::write(path, shards.collect::<String>()).unwrap();
}

/// Registers restaurants until each of these ranges contains the bucket of one. Returns their ids.
pub(crate) async fn a_restaurant_in_each(server: &Server, ranges: &[(u16, u16)]) -> Vec<String> {
    let admin = server.client("admin");
    let settings = json!({"name": "Naan Stop", "currency": "GBP", "time_zone": "Europe/London"});
    let menu = json!({"categories": [{"name": "Breads", "items": [{"id": "naan", "name": "Naan", "price_minor": 250}]}]});
    let mut found = vec![None; ranges.len()];
    while found.iter().any(Option::is_none) {
        let made = admin.post("/v1/restaurants").json(&settings).send().await.unwrap().body;
        let id = made["id"].as_str().unwrap().to_owned();
        // The twelve bits after the version are three hexadecimal digits.
        let bucket = u16::from_str_radix(&id[15..18], 16).unwrap();
        let place = ranges.iter().position(|(first, last)| (*first..=*last).contains(&bucket)).unwrap();
        if found[place].is_none() {
            let path = format!("/v1/restaurants/{id}/menu");
            admin.put(&path).if_match("*").json(&menu).send().await.unwrap();
            found[place] = Some(id);
        }
    }
    found.into_iter().flatten().collect()
}

/// Returns an order that these restaurants accept.
pub(crate) fn order() -> Value {
    json!({
        "lines": [{"item": "naan", "quantity": 1}],
        "fulfilment": {"type": "collection"},
        "payment_method": "cash",
    })
}

async fn place_at(server: &Server, restaurant: &str, key: &str, order: &Value) -> Result<Value, u16> {
    let path = format!("/v1/restaurants/{restaurant}/orders");
    let placed = server.client("customer").post(&path).idempotency_key(key).json(order).send().await;
    placed.map(|answer| answer.body).map_err(|error| error.problem().unwrap().status)
}

/// Proves that a server on one PostgreSQL database has the functions of a server on the embedded database: an order's
/// whole course, which survives a restart; and that `dabba shards` and `/metrics` show the database.
#[test]
fn a_server_on_one_database_delivers_an_order() {
    let cluster = Cluster::shared().unwrap();
    let url = cluster.url(&cluster.create_database().unwrap());
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--database", &url]);
    let restaurant = server.announced_text("/restaurant_id");
    let delivered = block_on(async {
        let order = place_at(&server, &restaurant, "walk", &server.announcement["order"]).await.unwrap();
        let path = |command: &str| format!("/v1/orders/{}/{command}", order["id"].as_str().unwrap());
        let (kitchen, courier) = (server.client("restaurant"), server.client("courier"));
        kitchen.post(&path("accept")).json(&json!({"preparation_minutes": 10})).send().await.unwrap();
        courier.post(&path("assign")).send().await.unwrap();
        kitchen.post(&path("ready")).send().await.unwrap();
        courier.post(&path("pick-up")).send().await.unwrap();
        courier.post(&path("deliver")).send().await.unwrap().body
    });
    assert_eq!(delivered["status"], "delivered");
    let metrics = block_on(async {
        http_client()
            .get(format!("{}/metrics", server.announced_text("/address")))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    });
    assert!(metrics.contains("dabba_postgres_transaction_attempts_total{shard=\"main\"}"), "{metrics}");
    server.stop();

    let shown = stdout(data.path(), &["shards", "--json", "--database", &url]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["name"], &shown["state"], &shown["orders"], &shown["restaurants"]),
        (&json!("main"), &json!("ok"), &json!(1), &json!(3))
    );
    let shown = stdout(data.path(), &["shards", "--database", &url]);
    for part in ["main (directory)", "shard \"main\" with the buckets 0-4095, the directory", "healthy"] {
        assert!(shown.contains(part), "{shown}");
    }
    let text = failure(data.path(), &["shards"]);
    assert!(text.contains("the embedded database has no shards"), "{text}");

    let server = Server::start(data.path(), &["--database", &url]);
    block_on(async {
        let again = place_at(&server, &restaurant, "walk", &server.announcement["order"]).await.unwrap();
        assert_eq!(again["id"], delivered["id"], "the key must still return the same order");
    });
}

/// Proves that three databases act as one store: each restaurant's orders are in its shard, and a customer sees all own
/// orders; and that a map that contradicts the databases is refused by name.
#[test]
fn three_databases_are_one_store_and_a_wrong_map_is_refused() {
    let cluster = Cluster::shared().unwrap();
    let urls = [(); 3].map(|()| cluster.url(&cluster.create_database().unwrap()));
    let directory = tempfile::tempdir().unwrap();
    let (right, wrong) = (directory.path().join("right.toml"), directory.path().join("wrong.toml"));
    write_shards(&right, urls.each_ref().map(String::as_str));
    write_shards(&wrong, [&urls[1], &urls[0], &urls[2]]);
    let (right, wrong) = (right.to_str().unwrap(), wrong.to_str().unwrap());

    let text = failure(directory.path(), &["serve", "--shards", right, "--migrate", "false"]);
    assert!(text.contains("dabba migrate"), "{text}");
    let migrated = stdout(directory.path(), &["migrate", "--shards", right]);
    assert_eq!(migrated.matches("migrations done").count(), 3, "{migrated}");

    let data = directory.path().join("data");
    fs::create_dir(&data).unwrap();
    let server = Server::start(&data, &["--shards", right]);
    block_on(async {
        let ranges = [(0, 1_364), (1_365, 2_729), (2_730, 4_095)];
        let mut placed = Vec::new();
        for restaurant in a_restaurant_in_each(&server, &ranges).await {
            placed.push(place_at(&server, &restaurant, "one", &order()).await.unwrap()["id"].clone());
        }
        placed.reverse();
        let listed = server.client("customer").get("/v1/orders").send().await.unwrap().body;
        let listed: Vec<_> =
            listed["orders"].as_array().unwrap().iter().map(|order| order["id"].clone()).collect();
        assert_eq!(listed, placed, "newest first, from all shards");
    });
    server.stop();
    let shown = stdout(directory.path(), &["shards", "--json", "--shards", right]);
    for line in shown.lines() {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["orders"], 1, "{shown}");
    }

    for command in ["serve", "migrate", "shards"] {
        let text = failure(directory.path(), &[command, "--shards", wrong]);
        assert!(text.contains("south") && text.contains("0-1364"), "{command}: {text}");
    }
    assert_eq!(states(directory.path(), wrong), ["refused", "refused", "ok"]);
    let empty = cluster.url(&cluster.create_database().unwrap());
    let output = run(directory.path(), &["shards", "--json", "--database", &empty]);
    let row: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(row["state"], "refused", "a database without a schema answers: {row}");
    let text = failure(directory.path(), &["serve", "--database", &urls[0]]);
    assert!(text.contains("\"north\"") && text.contains("\"main\""), "{text}");
    let text = failure(directory.path(), &["serve", "--database", &urls[0], "--shards", right]);
    assert!(text.contains("exclude each other"), "{text}");
}

/// Returns the state of each shard as `dabba shards` shows it.
fn states(directory: &Path, shards: &str) -> Vec<String> {
    let output = run(directory, &["shards", "--json", "--shards", shards]);
    let lines = String::from_utf8(output.stdout).unwrap();
    let rows = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| row["state"].as_str().unwrap().to_owned()).collect()
}

/// Proves that a server starts while one of its databases is unreachable, serves the others, and serves this one as
/// soon as it is back.
#[test]
fn a_server_starts_without_one_of_its_databases() {
    let (shared, own) = (Cluster::shared().unwrap(), Cluster::start(&ClusterOptions::default()).unwrap());
    let urls = [
        shared.url(&shared.create_database().unwrap()),
        shared.url(&shared.create_database().unwrap()),
        own.url(&own.create_database().unwrap()),
    ];
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("shards.toml");
    write_shards(&file, urls.each_ref().map(String::as_str));
    let arguments = ["--shards", file.to_str().unwrap()];
    let server = Server::start(data.path(), &arguments);
    let ranges = [(0, 1_364), (1_365, 2_729), (2_730, 4_095)];
    let restaurants = block_on(a_restaurant_in_each(&server, &ranges));
    let announcement = server.announcement.clone();
    server.stop();
    own.stop(StopMode::Immediate).unwrap();

    let text = failure(data.path(), &["shards", arguments[0], arguments[1]]);
    assert!(text.contains("shard west"), "{text}");
    assert_eq!(states(data.path(), arguments[1]), ["ok", "ok", "unreachable"]);
    // The restaurants of the demo may be on the unreachable shard, so this server has no demo.
    let server = Server::start_without_demo(&announcement, data.path(), &arguments);
    block_on(async {
        assert!(place_at(&server, &restaurants[0], "while-away", &order()).await.is_ok());
        assert_eq!(place_at(&server, &restaurants[2], "while-away", &order()).await, Err(503));
        own.restart().unwrap();
        eventually("the shard is served again", async || {
            place_at(&server, &restaurants[2], "when-back", &order()).await
        })
        .await;
    });
}

/// Proves that a server whose database becomes unreachable reports that and refuses fast, and continues without
/// intervention when the database is back, with all acknowledged orders.
#[test]
fn a_server_survives_an_outage_of_its_database() {
    let cluster = Cluster::start(&ClusterOptions::default()).unwrap();
    let url = cluster.url(&cluster.create_database().unwrap());
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--database", &url]);
    let restaurant = server.announced_text("/restaurant_id");
    let place = async |key| place_at(&server, &restaurant, key, &server.announcement["order"]).await;
    block_on(async {
        let before = place("before").await.unwrap();
        assert_eq!(server.readiness().await, 200);
        cluster.stop(StopMode::Immediate).unwrap();
        let begun = Instant::now();
        assert_eq!(place("while-away").await, Err(503));
        assert_eq!(server.readiness().await, 503);
        assert!(begun.elapsed() < FAST, "{:?}", begun.elapsed());
        cluster.restart().unwrap();
        eventually("the server recovers", async || {
            place("while-away").await?;
            equal(server.readiness().await, &200)
        })
        .await;
        assert_eq!(place("before").await.unwrap()["id"], before["id"]);
    });
}

/// Returns the log of a server from its start until it serves.
fn log_of_a_start(data: &Path, arguments: &[&str]) -> String {
    let arguments = [&["serve", "--json", "--listen", "127.0.0.1:0"], arguments].concat();
    let mut child = dabba(data, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(line.contains("address"), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Proves that the first start logs a migration in Dabba's words, without source files of libraries, and that a start on an
/// up-to-date database logs neither a notice of the database nor a migration.
#[test]
fn a_start_logs_no_notices() {
    let cluster = Cluster::shared().unwrap();
    let url = cluster.url(&cluster.create_database().unwrap());
    let data = tempfile::tempdir().unwrap();
    for arguments in [vec!["--database", &url], vec![]] {
        let log = log_of_a_start(data.path(), &arguments);
        assert!(log.contains("migrated the database"), "{log}");
        for noise in ["refinery", "/registry/"] {
            assert!(!log.contains(noise), "{noise}: {log}");
        }
        let log = log_of_a_start(data.path(), &arguments);
        for noise in ["NOTICE", "already exists", "refinery", "migration"] {
            assert!(!log.contains(noise), "{noise}: {log}");
        }
    }
}

/// Proves that the message about a failed migration states the database's reason.
#[test]
fn a_failed_start_states_the_cause() {
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    cluster.execute(&database, "REVOKE CREATE ON SCHEMA public FROM PUBLIC").unwrap();
    cluster.execute(&database, "CREATE ROLE reader LOGIN").unwrap();
    let url = format!("{}&options=-c%20role%3Dreader", cluster.url(&database));
    let data = tempfile::tempdir().unwrap();
    let text = failure(data.path(), &["serve", "--listen", "127.0.0.1:0", "--database", &url]);
    assert!(text.contains("permission denied for schema public"), "{text}");
}

/// Proves that a server that waits for another server's migration ends in order after SIGTERM.
#[test]
fn a_server_that_waits_for_a_migration_can_be_stopped() {
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    let data = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        // Holds the lock of migrations for the time of the sleep, or until the statement is cancelled.
        let hold = "SELECT pg_advisory_lock(431130567265), pg_sleep(60)";
        let holder = scope.spawn(|| cluster.execute(&database, hold));
        let held = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database \
                    WHERE locktype = 'advisory' AND datname = current_database()";
        cluster.wait_for_result(&database, held, "1").unwrap();
        for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["work"]] {
            let arguments =
                [command, &["--database", &url, "--data", data.path().to_str().unwrap()]].concat();
            let mut child =
                dabba(data.path(), &arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
            let waits = log.find(|line| line.as_ref().unwrap().contains("another process migrates"));
            assert!(waits.is_some());
            let sent = Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status().unwrap();
            assert!(sent.success());
            assert!(child.wait().unwrap().success());
            assert_eq!(
                cluster.execute(&database, held).unwrap(),
                "1",
                "the process waited for the migration"
            );
        }
        cluster
            .execute(
                "postgres",
                &format!(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
                ),
            )
            .unwrap();
        holder.join().unwrap().unwrap_err();
    });
}

/// Proves that `dabba shards` shows the lag of a replica, and reports a database that is no replica.
#[test]
fn replicas_are_shown_with_their_lag() {
    let cluster = Cluster::start(&ClusterOptions::default()).unwrap();
    let other = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shards.toml");
    let shown = |replica: &str| -> Value {
        let url = cluster.url(&database);
        let text = format!(
            "[[shard]]\nname = \"main\"\nbuckets = \"0-4095\"\nurl = \"{url}\"\nreplica_url = \"{replica}\"\n"
        );
        fs::write(&file, text).unwrap();
        let arguments = ["--shards", file.to_str().unwrap()];
        stdout(directory.path(), &["migrate", arguments[0], arguments[1]]);
        let shown = stdout(directory.path(), &["shards", "--json", arguments[0], arguments[1]]);
        serde_json::from_str(&shown).unwrap()
    };
    let none = shown(&other.url("postgres"));
    // Both are copies of one fresh cluster, but this one is no standby.
    assert_eq!(none["replica"]["problem"], "does not follow any database any more", "{none}");
    let standby = cluster.start_standby("replica", &ClusterOptions::default()).unwrap();
    standby.execute("postgres", "SELECT pg_wal_replay_pause()").unwrap();
    cluster.execute(&database, "CREATE TABLE more AS SELECT generate_series(1, 1000)").unwrap();
    let behind = shown(&standby.url(&database));
    assert!(behind["replica"]["lag_bytes"].as_u64() > Some(0), "{behind}");
    standby.execute("postgres", "SELECT pg_wal_replay_resume()").unwrap();
    eventually_blocking("the replica follows", || {
        equal(shown(&standby.url(&database))["replica"]["lag_bytes"].clone(), &json!(0))
    });
}
