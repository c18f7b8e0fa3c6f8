//! `dabba login-link`, in the database and through a server.

use std::fs;

use dabba_sim::Client;
use dabba_testkit::TlsIdentity;
use serde_json::{Value, json};

use super::{
    support::{Server, block_on, failure, stdout},
    tls::TlsFiles,
};

/// Proves that a link that the command creates in the database or through a server logs its person in once, for an account that
/// is named by its id or its address.
#[test]
fn a_link_logs_in_once() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let server = Server::start(data.path(), &[]);
    let (address, token) = (server.announced_text("/address"), server.announced_text("/tokens/admin"));
    let admin = Client::new(&address).unwrap().with_token(&token);
    let body = json!({
        "email": "cook@example.org", "name": "Cook", "password": "long enough to be one", "role": "restaurant",
    });
    let account: Value = block_on(admin.post("/v1/accounts").json(&body).send()).unwrap().read().unwrap();
    let account = account["id"].as_str().unwrap();
    let through = ["--server", &address, "--token", &token];
    let link = ["login-link", "--account", "Cook@Example.org", "--next", "/kitchen/1"];
    let printed = stdout(data.path(), &[&link[..], &through].concat());
    let (start, secret) = printed.trim().split_once('#').unwrap();
    assert_eq!(start, format!("{address}/login"));
    let (first, next) = secret.split_once('&').unwrap();
    assert_eq!((first.len(), next), (43, "next=/kitchen/1"));
    let unknown = ["login-link", "--account", "nobody@example.org"];
    assert!(failure(data.path(), &[&unknown[..], &through].concat()).contains("nobody@example.org"));
    server.stop();

    assert!(failure(data.path(), &[&unknown[..], &["--data", path]].concat()).contains("nobody@example.org"));
    let within = ["login-link", "--account", account, "--json", "--data", path];
    let printed: Value = serde_json::from_str(&stdout(data.path(), &within)).unwrap();
    assert_eq!(printed["account_id"], account);
    assert!(printed["expires_at"].is_string());
    let second = printed["link"].as_str().unwrap().strip_prefix("/login#").unwrap();

    let server = Server::start(data.path(), &[]);
    let client = Client::new(&server.announced_text("/address")).unwrap();
    for secret in [first, second] {
        let redeem = || block_on(client.post("/v1/session").json(&json!({"link_token": secret})).send());
        let session: Value = redeem().unwrap().read().unwrap();
        assert_eq!(session["account"]["id"], account);
        assert_eq!(redeem().unwrap_err().problem().unwrap().code, "wrong_credentials");
    }
}

/// Proves that links begin with the public URL: those of the demo, those that the command creates through a server, whatever
/// address names the server, and those that it creates in the database with the setting in a file.
#[test]
fn links_begin_with_the_public_url() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--public-url", "https://orders.example/dabba/"]);
    let (address, token) = (server.announced_text("/address"), server.announced_text("/tokens/admin"));
    let expected = |link: &str| link.starts_with("https://orders.example/dabba/login#");
    let announced = server.announced_text("/login_links/kitchen");
    assert!(expected(&announced), "{announced}");
    let link = ["login-link", "--account", "admin@dabba.example", "--next", "/console"];
    let printed = stdout(data.path(), &[&link[..], &["--server", &address, "--token", &token]].concat());
    assert!(expected(&printed) && printed.trim().ends_with("&next=/console"), "{printed}");
    server.stop();

    let directory = tempfile::tempdir().unwrap();
    let within = [&link[..], &["--data", data.path().to_str().unwrap()]].concat();
    let printed = stdout(directory.path(), &within);
    assert!(printed.starts_with("/login#"), "{printed}");
    fs::write(directory.path().join("dabba.toml"), "public_url = \"https://orders.example/dabba\"\n")
        .unwrap();
    let printed = stdout(directory.path(), &within);
    assert!(expected(&printed) && printed.trim().ends_with("&next=/console"), "{printed}");
}

/// Proves that the demo announces a link to each page that logs in the account for the page, also with TLS; that it announces
/// none if other machines can reach the server, or if the server has no pages; and that the file for the shell contains no
/// link.
#[test]
fn the_demo_announces_links_to_its_pages() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let (address, restaurant) = (server.announced_text("/address"), server.announced_text("/restaurant_id"));
    let client = Client::new(&address).unwrap();
    let environment = fs::read_to_string(data.path().join("demo.env")).unwrap();
    for (page, email, next) in [
        ("kitchen", "restaurant@dabba.example", format!("/kitchen/{restaurant}")),
        ("console", "admin@dabba.example", "/console".to_owned()),
        ("ordering", "customer@dabba.example", format!("/order/{restaurant}")),
    ] {
        let link = server.announced_text(&format!("/login_links/{page}"));
        let (start, rest) = link.split_once('#').unwrap();
        assert_eq!(start, format!("{address}/login"));
        let (secret, found) = rest.split_once("&next=").unwrap();
        assert_eq!(found, next);
        assert!(!environment.contains(secret));
        let redeemed = block_on(client.post("/v1/session").json(&json!({"link_token": secret})).send());
        let session: Value = redeemed.unwrap().read().unwrap();
        assert_eq!(session["account"]["email"], email);
    }
    server.stop();
    let files = TlsFiles::new(&TlsIdentity::until("127.0.0.1", 2040, 1, 1));
    let server = Server::start(data.path(), &files.arguments().each_ref().map(String::as_str));
    let address = server.announced_text("/address");
    for page in ["kitchen", "console", "ordering"] {
        let link = server.announced_text(&format!("/login_links/{page}"));
        assert!(address.starts_with("https://") && link.starts_with(&format!("{address}/login#")), "{link}");
    }
    server.stop();
    for (listen, arguments) in [("0.0.0.0:0", &[][..]), ("127.0.0.1:0", &["--pages", "false"])] {
        let server = Server::start_at(listen, data.path(), arguments);
        assert_eq!(server.announcement.get("login_links"), None, "{listen}");
        server.stop();
    }
}
