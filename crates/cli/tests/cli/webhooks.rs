//! `dabba webhooks`, and webhooks of servers and workers.

use std::fs;

use dabba_pg_cluster::Cluster;
use dabba_testkit::{eventually_blocking, http_client};
use serde_json::Value;

use super::{
    receiver::Receiver,
    support::{Server, Working, block_on, failure, run, stdout},
};

/// Runs `dabba webhooks` with the admin's token of a server.
fn webhooks(server: &Server, arguments: &[&str]) -> String {
    let through = through(server);
    let through: Vec<&str> = through.iter().map(String::as_str).collect();
    stdout(std::path::Path::new("/"), &[&["webhooks"], arguments, &through].concat())
}

fn through(server: &Server) -> [String; 4] {
    let (address, token) = (server.announced_text("/address"), server.announced_text("/tokens/admin"));
    ["--server".to_owned(), address, "--token".to_owned(), token]
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Waits until a receiver has the first event of an order.
fn wait_for_order(receiver: &Receiver, order: &str) {
    let id = format!("{order}-1");
    receiver.wait_for("the first event arrives", |received| received.body["id"] == id.as_str());
}

/// Proves that each subcommand does what it says, at a server whose demo allows receivers on this machine: the events
/// of an order arrive, failures are shown and repaired by a replay, a new secret is printed alone, and nothing shows a
/// secret again.
#[test]
fn endpoints_are_managed_at_the_command_line() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let receiver = Receiver::start();
    assert_eq!(webhooks(&server, &["list"]), "there is no endpoint\n");

    let url = receiver.url();
    let created = json(&webhooks(&server, &["create", &url, "--type", "placed", "--json"]));
    let (id, secret) = (created["id"].as_str().unwrap(), created["secret"].as_str().unwrap());
    assert!(secret.starts_with("whsec_"), "{secret}");
    let listed = webhooks(&server, &["list"]);
    assert!(listed.starts_with(&format!("{id}  {url}\n  platform  enabled  placed  ")), "{listed}");
    assert!(!listed.contains(secret), "{listed}");
    assert!(webhooks(&server, &["test", id]).contains("delivered, status 204"));
    wait_for_order(&receiver, &block_on(server.place_for_id("1")));

    receiver.respond_with(500);
    let order = block_on(server.place_for_id("2"));
    eventually_blocking("the failure is listed", || {
        let listed = webhooks(&server, &["failures", id]);
        if listed.contains(&order) { Ok(()) } else { Err(listed) }
    });
    eventually_blocking("the attempt is listed", || {
        let listed = webhooks(&server, &["attempts", id, "--failed"]);
        if listed.contains("failed: the endpoint responded with 500") { Ok(()) } else { Err(listed) }
    });
    let through = through(&server);
    let test: Vec<&str> =
        ["webhooks", "test", id].into_iter().chain(through.iter().map(String::as_str)).collect();
    assert!(failure(data.path(), &test).contains("the endpoint responded with 500"));
    receiver.respond_with(204);
    wait_for_order(&receiver, &order);

    let changed = webhooks(&server, &["change", id, "--all-types", "--batch", "20", "--concurrency", "2"]);
    assert!(changed.contains("  all types  ") && changed.contains("concurrency 2  batch 20\n"), "{changed}");
    assert_eq!(webhooks(&server, &["show", id]).lines().next(), changed.lines().next());
    let disabled = json(&webhooks(&server, &["change", id, "--type", "accepted", "--disable", "--json"]));
    assert_eq!(disabled["enabled"], false);
    assert_eq!(disabled["types"], serde_json::json!(["accepted"]));
    webhooks(&server, &["change", id, "--batch", "1"]);
    let waits = webhooks(&server, &["replay", id, "--since", "2026-01-01T00:00:00Z"]);
    assert!(waits.contains(&format!("as soon as `dabba webhooks enable {id}` enables it")), "{waits}");
    let enabled = webhooks(&server, &["enable", id]);
    let done = format!("{id} is enabled: it receives the events since it was disabled");
    assert!(enabled.starts_with(&done) && enabled.contains("  enabled  "), "{enabled}");

    let rotated = webhooks(&server, &["rotate-secret", id, "--overlap-seconds", "60"]);
    assert!(rotated.starts_with("whsec_") && rotated.trim() != secret, "{rotated}");
    let two = |header: &str| header.split(' ').count() == 2;
    webhooks(&server, &["test", id]);
    receiver.wait_for("both secrets sign", |received| two(&received.headers["webhook-signature"]));
    let replayed = webhooks(&server, &["replay", id, "--since", "2026-01-01T00:00:00Z"]);
    let done = format!("{id} receives the events since 2026-01-01T00:00:00Z again; ");
    assert!(replayed.starts_with(&done) && replayed.contains("  enabled  "), "{replayed}");
    assert!(webhooks(&server, &["enable", id]).contains("  enabled  "));
    assert_eq!(webhooks(&server, &["delete", id]), format!("{id} is deleted\n"));
    assert_eq!(webhooks(&server, &["list", "--json"]), "");
}

/// Proves that the problems of the API are shown with the command's options, and that a command without a token says
/// how to give one.
#[test]
fn refusals_are_shown_with_the_options() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let through = through(&server);
    let through: Vec<&str> = through.iter().map(String::as_str).collect();
    let refused = |arguments: &[&str]| failure(data.path(), &[&["webhooks"], arguments, &through].concat());
    let text = refused(&["create", "http://10.0.0.1/", "--type", "eaten", "--batch", "101"]);
    for place in ["URL: must begin with https://", "--type: must be", "--batch: must be"] {
        assert!(text.contains(place), "{text}");
    }
    assert!(text.contains("an operator can allow the host in webhook_allowed_hosts"), "{text}");
    let unknown = "0198b2f4-0000-7000-8000-000000000000";
    assert!(refused(&["test", unknown]).contains("404"), "an unknown endpoint");
    assert!(refused(&["replay", unknown]).contains("--since or --after is required"), "where to begin");
    assert!(refused(&["change", unknown]).contains("at least one option is required"), "what to change");
    let text = failure(data.path(), &["webhooks", "list"]);
    assert!(text.contains("DABBA_TOKEN"), "{text}");
}

/// Proves that a server creates the secrets key for its owner only and names a malformed one, that it sends webhooks to
/// a private address only if the settings name the address, and that an endpoint survives a restart.
#[test]
fn keys_and_allowed_hosts_come_from_the_settings() {
    let data = tempfile::tempdir().unwrap();
    let receiver = Receiver::start();
    let demo = Server::start(data.path(), &[]);
    let before = demo.announcement.clone();
    demo.stop();
    let key = data.path().join("secrets-key");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    let server = Server::start_without_demo(&before, data.path(), &[]);
    let through = through(&server);
    let create = ["webhooks", "create", &receiver.url()];
    let create: Vec<&str> = create.into_iter().chain(through.iter().map(String::as_str)).collect();
    assert!(failure(data.path(), &create).contains("URL: must begin with https://"));
    server.stop();
    let allowed = ["--webhook-allowed-hosts", receiver.address()];
    let server = Server::start_without_demo(&before, data.path(), &allowed);
    let id = json(&webhooks(&server, &["create", &receiver.url(), "--json"]))["id"].clone();
    server.stop();
    let server = Server::start_without_demo(&before, data.path(), &allowed);
    wait_for_order(&receiver, &block_on(server.place_for_id("1")));
    assert!(webhooks(&server, &["list"]).contains(id.as_str().unwrap()));
    server.stop();

    fs::write(&key, "00").unwrap();
    let path = data.path().to_str().unwrap();
    let text = failure(data.path(), &["serve", "--data", path]);
    assert!(text.contains("the secrets key in ") && text.contains("hexadecimal digits"), "{text}");
    let text = failure(data.path(), &["serve", "--webhook-allowed-hosts", "10.0.0.7"]);
    assert!(text.contains("\"10.0.0.7\" is not a host with a port"), "{text}");
}

/// Proves that a server with the key of another installation says so, warns that it has created this key, is degraded
/// and sends nothing, and that a worker with the right key sends the events of that server's orders at once; and that a
/// worker without a key says so.
#[test]
fn a_server_with_another_key_leaves_webhooks_to_others() {
    let cluster = Cluster::shared().unwrap();
    let url = cluster.url(&cluster.create_database().unwrap());
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let receiver = Receiver::start();
    let database = ["--database", &url, "--webhook-allowed-hosts", receiver.address()];
    let server = Server::start(first.path(), &database);
    webhooks(&server, &["create", &receiver.url()]);
    server.stop();

    // Another data directory: the signing key is shared, the secrets key is not.
    let signing_key = first.path().join("signing-key");
    let log = second.path().join("log");
    let more = [&database[..], &["--signing-key-file", signing_key.to_str().unwrap()]].concat();
    let server = Server::start_logging(&second.path().join("data"), &log, &more);
    eventually_blocking("the server says that its key is wrong", || {
        let log = fs::read_to_string(&log).unwrap();
        if log.contains("secrets_key_file do not open the secrets of 1 webhook endpoint,") {
            Ok(())
        } else {
            Err(log)
        }
    });
    let log = fs::read_to_string(&log).unwrap();
    assert!(log.contains("this server created a new secrets key, but the database already has"), "{log}");
    let ready = format!("{}/readyz", server.announced_text("/address"));
    eventually_blocking("the server is degraded", || {
        let body = block_on(async { http_client().get(&ready).send().await.unwrap().text().await.unwrap() });
        if body.contains("webhook_keys") { Ok(()) } else { Err(body) }
    });
    let worker = Working::start(first.path(), &database);
    wait_for_order(&receiver, &block_on(server.place_for_id("1")));
    worker.stop("TERM");

    let empty = tempfile::tempdir().unwrap();
    let malformed = empty.path().join("key");
    fs::write(&malformed, "xyz").unwrap();
    let path = empty.path().to_str().unwrap();
    let key = ["work", "--data", path, "--database", &url, "--secrets-key-file", malformed.to_str().unwrap()];
    let output = run(empty.path(), &key);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("the secrets key in "), "{text}");
}
