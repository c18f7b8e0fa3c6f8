//! The documentation's commands, run as they stand there.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::Command,
};

use super::support::Server;

fn document(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The shell blocks of a text, in order.
fn shell_blocks(text: &str) -> Vec<String> {
    let pieces = text.split("```sh\n").skip(1);
    pieces.map(|piece| piece.split("```").next().unwrap().to_owned()).collect()
}

/// Runs lines of a shell beside a demo server. Answers standard output.
fn run_beside_a_demo(directory: &Path, script: &str) -> String {
    let data = directory.join("dabba-data");
    fs::create_dir(&data).unwrap();
    let _server = Server::start(&data, &[]);
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(directory)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{script}\n{text}\n{errors}");
    text
}

#[test]
fn the_walk_in_the_readme_leads_to_the_door() {
    let readme = document("README.md");
    let (_, walk) = readme.split_once("<!-- walk -->").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let text = run_beside_a_demo(directory.path(), &shell_blocks(walk)[0]);
    assert!(!text.contains("urn:dabba:problem"), "{text}");
    for status in ["preparing", "ready_for_pickup", "out_for_delivery", "delivered"] {
        assert!(text.contains(&format!("\"status\":\"{status}\"")), "{status} is missing in\n{text}");
    }
}

#[test]
fn the_order_by_card_in_the_readme_is_confirmed() {
    let readme = document("README.md");
    let (_, card) = readme.split_once("<!-- card -->").unwrap();
    let [place, read] = [0, 1].map(|index| shell_blocks(card)[index].clone());
    let look = format!("for _ in $(seq 1000); do if ({read}) | grep '\"confirmed\"'; then break; fi; done");
    let directory = tempfile::tempdir().unwrap();
    let text = run_beside_a_demo(directory.path(), &format!("{place}\n{look}"));
    assert!(text.contains("\"status\":\"created\"") && text.contains("\"status\":\"authorized\""), "{text}");
    assert!(!text.contains("urn:dabba:problem"), "{text}");
}

#[test]
fn the_guide_to_the_api_does_what_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let script = shell_blocks(&document("docs/api.md")).join("\n");
    let text = run_beside_a_demo(directory.path(), &script);
    for part in ["access_token", "304", "\"orderable\":false", "dempotency-", "precondition_failed"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(text.ends_with("200\n"), "the server is ready at the end:\n{text}");
    assert_eq!(text.matches("urn:dabba:problem").count(), 1, "only one refusal is meant:\n{text}");
}

#[test]
fn the_line_that_serve_prints_places_an_order() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let arguments =
        ["serve", "--demo", "--listen", "127.0.0.1:0", "--log", "warn", "--data", data.to_str().unwrap()];
    let mut child = super::support::dabba(directory.path(), &arguments)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.starts_with("curl "));
    let placed = Command::new("bash").args(["-c", &line.unwrap()]).output().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let text = String::from_utf8(placed.stdout).unwrap();
    assert!(text.contains("\"status\":\"confirmed\""), "{text}");
}

#[test]
fn the_readme_names_every_command() {
    let directory = tempfile::tempdir().unwrap();
    let help = super::support::stdout(directory.path(), &["--help"]);
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let readme = document("README.md");
    for line in commands.lines().take_while(|line| !line.trim().is_empty()) {
        let name = line.split_whitespace().next().unwrap();
        if name != "help" && line.starts_with("  ") && !line.starts_with("   ") {
            assert!(readme.contains(&format!("`dabba {name}")), "the README does not name {name}");
        }
    }
}
