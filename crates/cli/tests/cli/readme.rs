//! Commands in the README and in the output of servers. `pages.rs` runs the commands of the pages.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::Command,
};

fn document(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_printed_curl_command_places_an_order() {
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
