//! The exposed surface of a server: its listeners, its hosts, and its default limits.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use dabba_pg_cluster::{Cluster, ClusterOptions};
use dabba_testkit::{equal, eventually, http_client};

use super::support::{Server, block_on, failure};

/// Maximum time of a probe of a server whose database hangs, and of the time until the server is not ready. The
/// documented limits are a third of a second, and a second more; the tolerance is for a busy machine. A probe that waits
/// for the database takes ten seconds, the network timeout.
const PROMPT: Duration = Duration::from_secs(5);

async fn status(address: &str, path: &str) -> u16 {
    http_client().get(format!("{address}{path}")).send().await.unwrap().status().as_u16()
}

/// Proves that with a listener for operators, only that listener serves metrics and documents, only the public listener serves
/// the API, and both serve the probes.
#[test]
fn the_listener_for_operators_is_separate() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--admin-listen", "127.0.0.1:0"]);
    let (public, admin) = (server.announced_text("/address"), server.announced_text("/admin_address"));
    block_on(async {
        let descriptions = ["/openapi.json", "/asyncapi.json", "/events.schema.json"];
        for path in ["/metrics", "/docs/", "/docs/swagger-ui.css"].into_iter().chain(descriptions) {
            assert_eq!((status(&public, path).await, status(&admin, path).await), (404, 200), "{path}");
        }
        for path in ["/healthz", "/readyz"] {
            assert_eq!((status(&public, path).await, status(&admin, path).await), (200, 200), "{path}");
        }
        assert_eq!(
            (status(&public, "/v1/restaurants").await, status(&admin, "/v1/restaurants").await),
            (200, 404)
        );
        let metrics =
            http_client().get(format!("{admin}/metrics")).send().await.unwrap().text().await.unwrap();
        assert!(metrics.contains("route=\"/v1/restaurants\""), "what the public listener serves is measured");
    });
    server.stop();
    // Both listeners cannot share a port.
    let path = data.path().to_str().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let both = ["serve", "--listen", &taken, "--admin-listen", &taken, "--data", path];
    let text = failure(data.path(), &both);
    assert!(text.contains(&taken) && text.contains("admin_listen"), "{text}");
}

/// Proves that the settings of hosts, origins and HTTPS take effect, and that a wrong value is refused with the allowed values.
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
    let address = server.announced_text("/address");
    block_on(async {
        assert_eq!(status(&address, "/v1/restaurants").await, 421);
        assert_eq!(
            status(&server.announced_text("/admin_address"), "/metrics").await,
            200,
            "operators are served under any host"
        );
        let by_name = address.replace("127.0.0.1", "localhost");
        let client = http_client();
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

/// Proves that a server limits a customer by default: open orders first, then writes. The responses name the limit.
#[test]
fn a_customer_is_limited_by_default() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with_limits(data.path());
    let path = server.orders_path();
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
    // The budget refills during the test.
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
        // A process may have ended in the meantime.
        Command::new("kill").args(["-s", name, process]).stderr(Stdio::null()).status().unwrap();
    }
}

/// Proves that a server whose only database hangs answers probes at once, is not ready after a second, and is ready again when
/// the database continues.
#[test]
fn a_hanging_database_delays_no_probe() {
    let cluster = Cluster::start(&ClusterOptions::default()).unwrap();
    let url = cluster.url(&cluster.create_database().unwrap());
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--database", &url]);
    let address = server.announced_text("/address");
    let wait_for_status = async |expected: u16| {
        let begun = Instant::now();
        let mut longest = Duration::ZERO;
        eventually("the server has the expected status", async || {
            let asked = Instant::now();
            let status = status(&address, "/readyz").await;
            longest = longest.max(asked.elapsed());
            equal(status, &expected)
        })
        .await;
        (longest, begun.elapsed())
    };
    block_on(async {
        wait_for_status(200).await;
        signal_cluster(&cluster, "STOP");
        let (longest, took) = wait_for_status(503).await;
        signal_cluster(&cluster, "CONT");
        assert!(longest < PROMPT, "{longest:?}");
        assert!(took < PROMPT, "{took:?}");
        wait_for_status(200).await;
    });
    server.stop();
}
