//! Commands whose server is no Dabba server, but a proxy or another program.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::Path,
};

use dabba_testkit::{CannedServer, eventually_blocking};
use serde_json::json;

use super::support::{dabba, failure};

const ID: &str = "0198b2f4-0000-7000-8000-000000000001";

/// Returns a use of each subcommand that calls a server, without server and token.
fn calls(menu: &str) -> Vec<Vec<&str>> {
    vec![
        vec!["watch"],
        vec!["watch", "--order", ID],
        vec!["webhooks", "list"],
        vec!["webhooks", "create", "https://hooks.example.com/"],
        vec!["webhooks", "show", ID],
        vec!["webhooks", "change", ID, "--batch", "2"],
        vec!["webhooks", "test", ID],
        vec!["webhooks", "attempts", ID],
        vec!["webhooks", "failures", ID],
        vec!["webhooks", "enable", ID],
        vec!["webhooks", "replay", ID, "--since", "2026-01-01T00:00:00Z"],
        vec!["webhooks", "rotate-secret", ID],
        vec!["webhooks", "delete", ID],
        vec!["keys", "create", "--name", "Till", "--role", "restaurant", "--restaurant", ID],
        vec!["keys", "create", "--name", "Till", "--account", ID],
        vec!["keys", "list", "--account", ID],
        vec!["keys", "revoke", ID, "--account", ID],
        vec!["accounts", "list"],
        vec!["accounts", "show", ID],
        vec!["accounts", "disable", ID],
        vec!["accounts", "revoke-tokens", ID],
        vec!["accounts", "delete", ID],
        vec!["tasks"],
        vec!["tasks", "retry", ID],
        vec!["tasks", "resolve", ID, "--reason", "done"],
        vec!["import-menu", menu],
        vec!["import-menu", menu, "--restaurant", ID],
    ]
}

/// Runs each call against a server that responds with the same response. Returns the texts of the failures.
fn failures(server: &CannedServer, directory: &Path) -> Vec<String> {
    let menu = directory.join("menu.json");
    let document = json!({
        "name": "Naan Stop", "currency": "GBP", "time_zone": "Europe/London",
        "categories": [{"name": "Breads", "items": [{"name": "Naan", "price_minor": 250}]}]
    });
    fs::write(&menu, document.to_string()).unwrap();
    let url = server.url();
    let through = ["--server", &url, "--token", "secret-token"];
    let calls = calls(menu.to_str().unwrap());
    calls.into_iter().map(|call| failure(directory, &[&call[..], &through].concat())).collect()
}

/// Proves that no command takes a page in HTML, or an object that is not the expected one, for a success, and that the
/// message states the URL, the status and the content type.
#[test]
fn a_response_of_another_program_is_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    for (content_type, body) in [("text/html", "<html>Sign in</html>"), ("application/json", "{}")] {
        let server = CannedServer::start("200 OK", &[("content-type", content_type)], body);
        for text in failures(&server, directory.path()) {
            let status = format!(
                " responded with status 200 and the content type {content_type}, which is no response of Dabba"
            );
            assert!(text.contains(&status) && text.contains(&server.url()), "{text}");
            assert!(!text.contains("secret-token"), "{text}");
        }
    }
}

/// Proves that commands state on standard error what they wait for, long before the request to a silent server fails.
#[test]
fn a_silent_server_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    // The system accepts the connections, and nothing reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let calls = [
        &["watch"][..],
        &["webhooks", "list"],
        &["keys", "list", "--account", ID],
        &["tasks"],
        &["accounts", "list"],
    ];
    let start = |(number, call): (usize, &&[&str])| {
        let notes = directory.path().join(number.to_string());
        let mut command = dabba(directory.path(), &[*call, &["--server", &url, "--token", "t"]].concat());
        (command.stderr(File::create(&notes).unwrap()).spawn().unwrap(), notes)
    };
    let started: Vec<_> = calls.iter().enumerate().map(start).collect();
    for (mut process, notes) in started {
        let note = format!("waiting for a response from {url}/v1/");
        let text = eventually_blocking("the command says what it waits for", || {
            let text = fs::read_to_string(&notes).unwrap();
            if text.contains(&note) && text.ends_with('\n') { Ok(text) } else { Err(text) }
        });
        assert!(text.ends_with("; the request fails after 60 s without one\n"), "{text}");
        process.kill().unwrap();
        process.wait().unwrap();
    }
}

/// Proves that no command follows a redirect, so no other address gets the token, and that the message states the
/// address and what to do.
#[test]
fn a_redirect_is_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = CannedServer::start("200 OK", &[("content-type", "application/json")], "{}");
    let server = CannedServer::start("307 Temporary Redirect", &[("location", &elsewhere.url())], "");
    for text in failures(&server, directory.path()) {
        let target = format!(" responded with status 307 and redirects to {}", elsewhere.url());
        assert!(
            text.contains(&target) && text.contains("give the URL at which Dabba itself responds"),
            "{text}"
        );
    }
    assert_eq!(elsewhere.requests(), Vec::<String>::new());
}
