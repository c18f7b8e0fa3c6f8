//! `dabba demo`, and commands that only print.

use super::support::{failure, stdout};

#[test]
fn the_demo_delivers_an_order() {
    let directory = tempfile::tempdir().unwrap();
    let text = stdout(directory.path(), &["demo"]);
    for part in ["Saffron Lane", "£", "only one", "refused", "kill -9", "nothing is lost", "Delivered."] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "colours without a terminal");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "the demo leaves files behind");
}

#[test]
fn the_api_description_is_printed() {
    let directory = tempfile::tempdir().unwrap();
    let printed: serde_json::Value = serde_json::from_str(&stdout(directory.path(), &["openapi"])).unwrap();
    assert!(printed["openapi"].as_str().unwrap().starts_with("3.1"));
}

#[test]
fn the_version_is_printed() {
    let directory = tempfile::tempdir().unwrap();
    let text = stdout(directory.path(), &["version"]);
    assert!(text.starts_with(concat!("dabba ", env!("CARGO_PKG_VERSION"))), "{text}");
}

#[test]
fn an_unknown_command_is_refused_with_a_usage() {
    let directory = tempfile::tempdir().unwrap();
    assert!(failure(directory.path(), &["srve"]).contains("Usage"));
}
