//! The runs of the pages, with checks of their results.

use std::fs;

use dabba_pg_cluster::{Cluster, ClusterOptions};

use super::{
    Marker, Place, blocks,
    examples::{assert_at_least_shown, assert_shown},
};
use crate::{
    receiver::Receiver,
    support::{Server, Working, block_on, stdout},
};

/// A restaurant that no demo registers.
const KITCHEN: &str = r#"{"name": "Chai Corner", "external_id": "chai-1", "currency": "GBP", "time_zone": "Europe/London",
    "categories": [{"name": "Tea", "items": [{"name": "Masala chai", "price_minor": 250}]}]}"#;

/// Runs blocks beside a server with a demo, whose address replaces the default address.
fn beside_a_demo(page: &str, name: &str, more: &str) -> String {
    let mut place = Place::new();
    fs::create_dir(place.data()).unwrap();
    let server = Server::start(&place.data(), &[]);
    place.replaced.push(("http://127.0.0.1:8080".to_owned(), server.announced_text("/address")));
    fs::write(place.directory.path().join("kitchen.json"), KITCHEN).unwrap();
    let text = place.run(page, name);
    if more.is_empty() { text } else { text + &place.run_script(more) }
}

#[test]
fn the_walk_in_the_readme_delivers_an_order() {
    let text = beside_a_demo("README.md", "walk", "");
    assert!(!text.contains("urn:dabba:problem"), "{text}");
    for status in ["preparing", "ready_for_pickup", "out_for_delivery", "delivered"] {
        assert!(text.contains(&format!("\"status\":\"{status}\"")), "{status} is missing in\n{text}");
    }
}

#[test]
fn the_order_by_card_in_the_readme_is_confirmed() {
    let mut read =
        blocks("README.md").into_iter().filter(|block| block.marker == Marker::Run("card".to_owned()));
    let read = read.next_back().unwrap().text;
    let look = format!(
        ". dabba-data/demo.env\nfor _ in $(seq 1000); do if ({read}) | grep '\"confirmed\"'; then break; fi; done"
    );
    let text = beside_a_demo("README.md", "card", &look);
    assert!(text.contains("\"status\":\"created\"") && text.contains("\"status\":\"authorized\""), "{text}");
    assert!(!text.contains("urn:dabba:problem"), "{text}");
}

#[test]
fn the_demo_of_the_readme_succeeds() {
    let text = Place::new().run("README.md", "demo");
    assert!(text.contains("delivered"), "{text}");
}

#[test]
fn the_import_in_the_readme_registers_a_restaurant() {
    let text = beside_a_demo("README.md", "import", "");
    assert!(text.contains("created") && text.contains("Chai Corner"), "{text}");
}

#[test]
fn the_servers_on_postgresql_start() {
    for page in ["README.md", "docs/guides/operator/postgresql.md"] {
        let text = Place::new().with_databases(&["db"]).run(page, "postgres");
        assert!(text.contains("http://127.0.0.1:"), "{page}: {text}");
    }
}

#[test]
fn the_description_of_the_api_is_regenerated() {
    let place = Place::new();
    place.run("CONTRIBUTING.md", "openapi");
    let written = fs::read_to_string(place.directory.path().join("docs/reference/openapi.json")).unwrap();
    assert!(written.starts_with('{') && written.contains("\"openapi\""), "{written}");
}

#[test]
fn the_api_guide_works() {
    let text = beside_a_demo("docs/reference/api.md", "guide", "");
    let (wrong, cursor) = ("must be a whole number from 1 to 99, not 0", "\"next_cursor\":\"r2~");
    for part in
        ["access_token", "304", "\"orderable\":false", "dempotency-", "precondition_failed", wrong, cursor]
    {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(text.ends_with("200\n"), "the server is ready at the end:\n{text}");
    assert_eq!(text.matches("urn:dabba:problem").count(), 2, "only two refusals are meant:\n{text}");
}

/// Follows the tutorial. The server of its first step makes the data; the order is delivered on a second server and is still
/// there on a third.
#[test]
fn the_tutorial_delivers_an_order() {
    let page = "docs/tutorial/first-order.md";
    let place = Place::new();
    let text = place.run(page, "serve");
    assert!(text.contains("http://127.0.0.1:") && place.data().join("demo.env").exists(), "{text}");

    let server = Server::start(&place.data(), &[]);
    let text = place.run(page, "order");
    assert_shown(page, &text);
    assert!(text.contains("idempotency-replayed: true"), "{text}");
    assert_eq!(text.matches("urn:dabba:problem").count(), 1, "only one refusal is meant:\n{text}");
    server.stop();

    let text = place.run(page, "audit");
    assert!(text.contains("orders: 1,") && text.contains("breaches: 0,"), "{text}");
    let _server = Server::start(&place.data(), &[]);
    let text = place.run(page, "again");
    assert!(text.contains("\"status\":\"delivered\""), "{text}");
}

#[test]
fn the_guide_for_client_developers_works() {
    let page = "docs/guides/client.md";
    let text = beside_a_demo(page, "client", "");
    assert_shown(page, &text);
    assert!(text.contains("\n304\n"), "the menu is unchanged:\n{text}");
    assert_eq!(text.matches("urn:dabba:problem").count(), 2, "only two refusals are meant:\n{text}");
}

#[test]
fn the_guide_for_point_of_sale_integrators_works() {
    let page = "docs/guides/point-of-sale.md";
    let text = beside_a_demo(page, "point-of-sale", "");
    assert_shown(page, &text);
    assert!(text.contains(": created, items: 3") && text.contains(": unchanged, items: 3"), "{text}");
    assert_eq!(text.matches("urn:dabba:problem").count(), 1, "only one refusal is meant:\n{text}");
}

/// Runs the blocks about webhooks beside a server with a demo and a receiver. Returns the output, the receiver, the server,
/// which sends until it is dropped, and the place.
fn beside_a_receiver(page: &str) -> (String, Receiver, Server, Place) {
    let (mut place, receiver) = (Place::new(), Receiver::start());
    fs::create_dir(place.data()).unwrap();
    let server = Server::start(&place.data(), &[]);
    place.replaced.push(("127.0.0.1:9000".to_owned(), receiver.address().to_owned()));
    place.kept = "KEY ENDPOINT";
    (place.run(page, "webhooks"), receiver, server, place)
}

#[test]
fn the_guide_for_receivers_works() {
    let page = "docs/guides/webhooks.md";
    let (text, receiver, server, place) = beside_a_receiver(page);
    assert_at_least_shown(page, &text, 2);
    assert!(!text.contains("urn:dabba:problem"), "{text}");
    receiver.wait_for("the event of the order arrives", |received| received.body["sequence"] == "0000000001");
    let text = place.run(page, "webhooks-end");
    assert!(text.contains("\"batch\":20") && !text.contains("urn:dabba:problem"), "{text}");
    let left = block_on(server.client("admin").get("/v1/webhook-endpoints").send()).unwrap().body;
    assert_eq!(left, serde_json::json!({"endpoints": []}));
}

#[test]
fn the_operators_commands_for_webhooks_work() {
    let (text, ..) = beside_a_receiver("docs/guides/operator/webhooks.md");
    for part in ["delivered, status 204", "no order waits for a retry", "whsec_", " is deleted"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

/// Returns a place whose data directory contains an embedded database with a demo.
fn with_embedded_database() -> Place {
    let place = Place::new();
    fs::create_dir(place.data()).unwrap();
    Server::start(&place.data(), &[]).stop();
    place
}

#[test]
fn the_audits_find_nothing() {
    let place = Place {
        hosts: Place::new().with_databases(&["db", "north", "south"]).hosts,
        ..with_embedded_database()
    };
    let shards = blocks("docs/guides/operator/sharding.md");
    let shards = shards.iter().find(|block| block.marker == Marker::File("shards.toml".to_owned())).unwrap();
    fs::write(place.directory.path().join("shards.toml"), place.localized(&shards.text)).unwrap();
    for arguments in [["--database", &place.hosts["db"]], ["--shards", "shards.toml"]] {
        stdout(place.directory.path(), &["migrate", arguments[0], arguments[1]]);
    }
    assert!(!place.run("docs/guides/operator/audit.md", "audit").is_empty());
}

#[test]
fn backups_restores_and_moves_of_the_embedded_database_work() {
    let place = Place { hosts: Place::new().with_databases(&["db"]).hosts, ..with_embedded_database() };
    let text = place.run("docs/guides/operator/embedded.md", "embedded");
    assert!(text.contains("http://127.0.0.1:"), "{text}");
    assert!(place.data().join("dabba.db.copied").exists(), "it was moved to PostgreSQL");
}

#[test]
fn the_measurements_of_server_and_worker_are_shown() {
    let mut place = Place::new().with_databases(&["db"]);
    fs::create_dir(place.data()).unwrap();
    let database = ["--database", &place.hosts["db"]];
    let server = Server::start(&place.data(), &database);
    let worker = Working::start(&place.data(), &[&database[..], &["--admin-listen", "127.0.0.1:0"]].concat());
    place.replaced.push(("http://127.0.0.1:8080".to_owned(), server.announced_text("/address")));
    place.replaced.push(("http://127.0.0.1:9090".to_owned(), worker.address().to_owned()));
    let text = place.run("docs/reference/metrics.md", "metrics");
    assert!(text.contains("dabba_http_requests_total") && text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn a_server_with_a_simulated_provider_starts() {
    let place = Place::new();
    fs::write(place.directory.path().join("webhook-secret"), "a secret of more than thirty-two characters")
        .unwrap();
    let text = place.run("docs/guides/operator/payments.md", "payments");
    assert_eq!(text.matches(" serves at http://127.0.0.1:").count(), 2, "provider and server: {text}");
}

/// Proves that the settings of the page are valid with the secrets of the page, that a server accepts the signing key, and that
/// only its owner can read the secrets.
#[test]
fn the_signing_key_of_the_page_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let text = place.run("docs/guides/operator/production.md", "embedded");
    assert!(text.contains("The settings are valid."), "{text}");
    let path = place.directory.path().join("etc/signing-key");
    for file in [&path, &place.directory.path().join("etc/database-url")] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    let token = ["token", "--role", "admin", "--signing-key-file", path.to_str().unwrap()];
    assert!(!stdout(place.directory.path(), &token).is_empty());
}

/// Proves that the database users of the page have exactly the needed rights: the owner migrates, servers and workers run as a
/// user who cannot drop or change a table, and the audit as a user who cannot write.
#[test]
fn each_database_user_has_only_the_needed_rights() {
    let cluster = Cluster::start(&ClusterOptions::default()).unwrap();
    let mut place = Place { keeps_users: true, ..Place::new() };
    place.hosts.insert("db", cluster.url("dabba"));
    let text = place.run("docs/guides/operator/production.md", "roles");
    assert!(text.contains("http://127.0.0.1:"), "{text}");
    for (user, statement, may) in [
        ("dabba_server", "DROP TABLE orders", false),
        ("dabba_server", "ALTER TABLE order_events DISABLE TRIGGER ALL", false),
        ("dabba_server", "DELETE FROM orders", false),
        ("dabba_server", "UPDATE order_events SET version = 2", false),
        ("dabba_server", "UPDATE shard SET last_bucket = 1", false),
        ("dabba_server", "CREATE TABLE other (id int)", false),
        ("dabba_server", "SELECT sync_state FROM pg_stat_replication", true),
        ("dabba_audit", "SELECT count(*) FROM orders", true),
        ("dabba_audit", "SELECT settings FROM webhook_endpoints", false),
        ("dabba_audit", "INSERT INTO tasks SELECT * FROM tasks", false),
        ("dabba_owner", "CREATE TABLE later (id int)", true),
    ] {
        let executed = cluster.execute("dabba", &format!("SET ROLE {user}; {statement}"));
        assert_eq!(executed.is_ok(), may, "{user}: {statement}: {executed:?}");
    }
}

/// Proves that the commands of the page register an admin, staff and a courier at a server without a demo, and that the links log
/// in.
#[test]
fn the_first_admin_is_registered() {
    let mut place = Place::new();
    fs::create_dir(place.data()).unwrap();
    let server = Server::serve(&place.data(), &["--listen", "127.0.0.1:0", "--log", "warn"]);
    let address = server.announced_text("/address");
    place.replaced.push(("http://127.0.0.1:8080".to_owned(), address.clone()));
    fs::write(place.directory.path().join("kitchen.json"), KITCHEN).unwrap();
    let text = place.run("docs/guides/operator/accounts.md", "first-admin");
    assert!(!text.contains("urn:dabba:problem"), "{text}");
    let links: Vec<&str> =
        text.lines().filter(|line| line.starts_with(&format!("{address}/login#"))).collect();
    let [console, kitchen] = links[..] else { panic!("two links are printed:\n{text}") };
    assert!(console.ends_with("&next=/console") && kitchen.contains("&next=/kitchen/"), "{text}");
    let client = dabba_sim::Client::new(&address).unwrap();
    let log_in =
        |body: serde_json::Value| block_on(client.post("/v1/session").json(&body).send()).unwrap().body;
    let (_, secret) = kitchen.split_once('#').unwrap();
    let session = log_in(serde_json::json!({"link_token": secret.split_once('&').unwrap().0}));
    assert_eq!(session["restaurants"][0]["name"], "Chai Corner");
    let password = fs::read_to_string(place.directory.path().join("password")).unwrap();
    let session = log_in(serde_json::json!({"email": "ada@example.org", "password": password}));
    assert_eq!(session["account"]["role"], "admin");
}

/// Proves that the certificate of the page serves the demo over TLS, and that the commands of the page reach that demo.
#[test]
fn a_private_authority_can_be_tried() {
    let page = "docs/guides/operator/production.md";
    let mut place = Place::new();
    let text = place.run(page, "tls");
    assert!(text.contains(" serves at https://127.0.0.1:") && text.contains("add --ca-file FILE"), "{text}");
    let path = |name: &str| place.directory.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("tls.pem"), path("tls.key"));
    let server =
        Server::start(&place.data(), &["--tls-certificate-file", &certificate, "--tls-key-file", &key]);
    place.replaced.push(("demo --live".to_owned(), "demo --live --for 0.05".to_owned()));
    let text = place.run(page, "tls-commands");
    let link = format!("{}/login#", server.announced_text("/address"));
    for part in ["{\"status\":\"ok\"}", &link, "The evening took"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn several_databases_are_migrated_shown_and_served() {
    let place = Place::new().with_databases(&["north", "south", "north-replica"]);
    let text = place.run("docs/guides/operator/sharding.md", "shards");
    assert!(text.contains("south") && text.contains("http://127.0.0.1:"), "{text}");
}

#[test]
fn the_upgrade_can_be_prepared() {
    let mut place = Place::new().with_databases(&["db"]);
    stdout(place.directory.path(), &["migrate", "--database", &place.hosts["db"]]);
    place.variables.push(("DABBA_DATABASE", place.hosts["db"].clone()));
    let text = place.run("docs/guides/operator/upgrade.md", "upgrade");
    assert!(text.contains("compatible_from"), "{text}");
}
