//! The direction of dependencies between crates.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Allowed dependencies of each crate of the workspace, except in tests.
const ALLOWED: [(&str, &[&str]); 12] = [
    ("dabba-domain", &[]),
    ("dabba-store", &["dabba-domain"]),
    ("dabba-store-sqlite", &["dabba-domain", "dabba-store"]),
    ("dabba-store-postgres", &["dabba-domain", "dabba-store"]),
    ("dabba-engine", &["dabba-domain", "dabba-store"]),
    ("dabba-gateways", &["dabba-domain", "dabba-store", "dabba-engine"]),
    ("dabba-web", &["dabba-domain", "dabba-store", "dabba-engine"]),
    ("dabba-api", &["dabba-domain", "dabba-store", "dabba-engine", "dabba-web"]),
    // The simulation simulates a payment provider.
    ("dabba-sim", &["dabba-domain", "dabba-store", "dabba-engine", "dabba-gateways"]),
    ("dabba-cli", ALL_BUT_TESTS),
    ("dabba-testkit", ALL_AND_CLUSTERS),
    ("dabba-pg-cluster", &[]),
];
/// All crates below the binary.
const ALL_BUT_TESTS: &[&str] = match ALL_AND_CLUSTERS {
    [below @ .., _clusters] => below,
    [] => &[],
};
/// The same crates, followed by the crates for tests.
const ALL_AND_CLUSTERS: &[&str] = &[
    "dabba-domain",
    "dabba-store",
    "dabba-store-sqlite",
    "dabba-store-postgres",
    "dabba-engine",
    "dabba-gateways",
    "dabba-web",
    "dabba-api",
    "dabba-sim",
    "dabba-pg-cluster",
];
/// Crates that are, or connect to, a database. Only the stores may name one.
const DATABASES: [&str; 7] =
    ["rusqlite", "libsqlite3-sys", "refinery", "tokio-postgres", "postgres", "deadpool-postgres", "sqlx"];
/// Crates that serve HTTP. Only `web`, the faces above it, and `gateways` may name one: the simulated payment
/// provider is a service, too.
const HTTP_SERVERS: [&str; 3] = ["axum", "tower-http", "utoipa-axum"];

fn metadata() -> Metadata {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .other_options(vec!["--offline".into()])
        .exec()
        .unwrap()
}

/// Returns the dependencies in the manifest of each crate of the workspace, except in tests.
fn named() -> BTreeMap<String, BTreeSet<String>> {
    let packages = metadata().packages.into_iter();
    packages
        .map(|package| {
            let dependencies = package.dependencies.into_iter();
            let names = dependencies
                .filter(|dependency| dependency.kind != DependencyKind::Development)
                .map(|dependency| dependency.name)
                .collect();
            (package.name.to_string(), names)
        })
        .collect()
}

#[test]
fn crates_depend_only_on_those_below_them() {
    let named = named();
    let known: BTreeSet<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    for (name, dependencies) in &named {
        let (_, allowed) = ALLOWED
            .iter()
            .find(|(known, _)| known == name)
            .unwrap_or_else(|| panic!("{name} is new: add its allowed dependencies to ALLOWED"));
        for dependency in dependencies.iter().filter(|dependency| known.contains(dependency.as_str())) {
            assert!(allowed.contains(&dependency.as_str()), "{name} may not depend on {dependency}");
        }
    }
}

#[test]
fn only_stores_name_a_database_and_only_the_edges_name_a_server() {
    for (name, dependencies) in named() {
        for dependency in &dependencies {
            let dependency = dependency.as_str();
            let is_store = name.starts_with("dabba-store-");
            assert!(is_store || !DATABASES.contains(&dependency), "{name} may not name {dependency}");
            let may_serve =
                ["dabba-web", "dabba-api", "dabba-gateways", "dabba-testkit"].contains(&name.as_str());
            assert!(may_serve || !HTTP_SERVERS.contains(&dependency), "{name} may not name {dependency}");
        }
    }
}
