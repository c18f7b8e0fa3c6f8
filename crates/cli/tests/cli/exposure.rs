//! What a server shows to whom: its listeners, its hosts, and its limits as they are by default.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use dabba_pg_cluster::{Cluster, ClusterOptions};

use super::support::{PATIENCE, Server, block_on, failure, pause};

async fn status(address: &str, path: &str) -> u16 {
    reqwest::get(format!("{address}{path}")).await.unwrap().status().as_u16()
}

/// Proves that with a listener for operators, measurements and documents are served there alone, the API on the public one alone,
/// and the probes on both.
#[test]
fn operators_have_a_listener_of_their_own() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--admin-listen", "127.0.0.1:0"]);
    let (public, admin) = (server.said("/address"), server.said("/admin_address"));
    block_on(async {
        for path in ["/metrics", "/openapi.json", "/docs/", "/docs/swagger-ui.css"] {
            assert_eq!((status(&public, path).await, status(&admin, path).await), (404, 200), "{path}");
        }
        for path in ["/healthz", "/readyz"] {
            assert_eq!((status(&public, path).await, status(&admin, path).await), (200, 200), "{path}");
        }
        assert_eq!(
            (status(&public, "/v1/restaurants").await, status(&admin, "/v1/restaurants").await),
            (200, 404)
        );
        let metrics = reqwest::get(format!("{admin}/metrics")).await.unwrap().text().await.unwrap();
        assert!(metrics.contains("route=\"/v1/restaurants\""), "what the public listener serves is measured");
    });
    server.stop();
    // One port cannot be both.
    let path = data.path().to_str().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let both = ["serve", "--listen", &taken, "--admin-listen", &taken, "--data", path];
    let text = failure(data.path(), &both);
    assert!(text.contains(&taken) && text.contains("admin_listen"), "{text}");
}

/// Proves that the settings of hosts, origins and HTTPS reach the server, and that a wrong one is refused with what is allowed.
#[test]
fn hosts_and_origins_are_settings() {
    let data = tempfile::tempdir().unwrap();
    let more = [
        "--allowed-hosts",
        "localhost",
        "--cors-origins",
        "https://shop.example.org",
        "--hsts-seconds",
        "60",
        "--admin-listen",
        "127.0.0.1:0",
    ];
    let server = Server::start(data.path(), &more);
    let address = server.said("/address");
    block_on(async {
        assert_eq!(status(&address, "/v1/restaurants").await, 421);
        assert_eq!(
            status(&server.said("/admin_address"), "/metrics").await,
            200,
            "operators may use any host"
        );
        let by_name = address.replace("127.0.0.1", "localhost");
        let client = reqwest::Client::new();
        let request =
            client.get(format!("{by_name}/v1/restaurants")).header("origin", "https://shop.example.org");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["access-control-allow-origin"], "https://shop.example.org");
        assert_eq!(answer.headers()["strict-transport-security"], "max-age=60");
    });
    server.stop();
    let path = data.path().to_str().unwrap();
    for (flag, value) in [("--allowed-hosts", "https://a"), ("--cors-origins", "shop.example.org")] {
        let text = failure(data.path(), &["serve", "--data", path, flag, value]);
        assert!(text.contains(value) && text.contains("such as"), "{text}");
    }
}

/// Proves that a server limits a customer by its defaults: open orders first, then writes. The customer is told of both.
#[test]
fn a_customer_is_limited_by_default() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with_limits(data.path());
    let path = format!("/v1/restaurants/{}/orders", server.said("/restaurant_id"));
    let codes = block_on(async {
        let mut codes = Vec::new();
        for number in 0..125 {
            let request = server.client("customer").post(&path).idempotency_key(&format!("k{number}"));
            match request.json(&server.announcement["order"]).send().await {
                Ok(_) => codes.push("placed".to_owned()),
                Err(error) => codes.push(error.problem().unwrap().code.clone()),
            }
        }
        codes
    });
    let count = |code: &str| codes.iter().filter(|found| *found == code).count();
    assert_eq!(count("placed"), 20, "{codes:?}");
    // The budget fills up again meanwhile.
    assert!(count("too_many_open_orders") >= 98, "{codes:?}");
    assert_eq!(
        count("placed") + count("too_many_open_orders") + count("too_many_requests"),
        125,
        "{codes:?}"
    );
    server.stop();
}

/// Sends a signal to every process of a database server.
fn signal_cluster(cluster: &Cluster, name: &str) {
    let file = std::fs::read_to_string(cluster.data_directory().join("postmaster.pid")).unwrap();
    let postmaster = file.lines().next().unwrap();
    let children = Command::new("ps").args(["-o", "pid=", "--ppid", postmaster]).output().unwrap().stdout;
    let children = String::from_utf8(children).unwrap();
    for process in children.split_whitespace().chain([postmaster]) {
        // One that has just ended is not missed.
        Command::new("kill").args(["-s", name, process]).stderr(Stdio::null()).status().unwrap();
    }
}

/// Proves that a server whose only database is frozen answers probes at once, is not ready after a second, and is ready again when the
/// database goes on.
#[test]
fn a_frozen_database_holds_up_no_probe() {
    let cluster = Cluster::start(&ClusterOptions::default()).unwrap();
    let url = cluster.url(&cluster.create_database().unwrap());
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--database", &url]);
    let address = server.said("/address");
    let becomes = async |expected: u16| {
        let begun = Instant::now();
        let mut longest = std::time::Duration::ZERO;
        loop {
            let asked = Instant::now();
            let status = status(&address, "/readyz").await;
            longest = longest.max(asked.elapsed());
            if status == expected {
                return (longest, begun.elapsed());
            }
            assert!(begun.elapsed() < PATIENCE, "{status} stays");
            pause();
        }
    };
    block_on(async {
        becomes(200).await;
        signal_cluster(&cluster, "STOP");
        let (longest, took) = becomes(503).await;
        signal_cluster(&cluster, "CONT");
        // A third of a second, and what a busy machine adds.
        assert!(longest.as_secs_f64() < 2.0, "{longest:?}");
        // The state is a second old at most, and the answer takes its third.
        assert!(took.as_secs_f64() < 2.0, "{took:?}");
        becomes(200).await;
    });
    server.stop();
}
