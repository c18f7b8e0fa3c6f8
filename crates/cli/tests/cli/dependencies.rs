//! Dependencies: the direction between crates, licences, sources, duplicates, and dependencies that nothing uses.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, Package, semver::Version};
use dabba_testkit::sources_below;
use spdx::{Expression, ParseMode};

/// Allowed dependencies of each crate of the workspace, except in tests.
const ALLOWED: [(&str, &[&str]); 15] = [
    ("dabba-domain", &[]),
    ("dabba-store", &["dabba-domain"]),
    ("dabba-store-sql", &["dabba-domain", "dabba-store"]),
    ("dabba-store-sqlite", &["dabba-domain", "dabba-store", "dabba-store-sql"]),
    ("dabba-store-postgres", &["dabba-domain", "dabba-store", "dabba-store-sql"]),
    ("dabba-engine", &["dabba-domain", "dabba-store"]),
    ("dabba-gateways", &["dabba-domain", "dabba-store", "dabba-engine"]),
    ("dabba-web", &["dabba-domain", "dabba-store", "dabba-engine"]),
    ("dabba-outbound", &["dabba-domain", "dabba-store", "dabba-engine"]),
    ("dabba-api", &["dabba-domain", "dabba-store", "dabba-engine", "dabba-web", "dabba-outbound"]),
    ("dabba-pages", &["dabba-web"]),
    // The simulation simulates a payment provider, and the receivers of webhooks.
    ("dabba-sim", &["dabba-domain", "dabba-store", "dabba-engine", "dabba-gateways", "dabba-outbound"]),
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
    "dabba-store-sql",
    "dabba-store-sqlite",
    "dabba-store-postgres",
    "dabba-engine",
    "dabba-gateways",
    "dabba-outbound",
    "dabba-web",
    "dabba-api",
    "dabba-pages",
    "dabba-sim",
    "dabba-pg-cluster",
];
/// Crates that are, or connect to, a database. Only the stores may name one.
const DATABASES: [&str; 7] =
    ["rusqlite", "libsqlite3-sys", "refinery", "tokio-postgres", "postgres", "deadpool-postgres", "sqlx"];
/// Crates that serve HTTP. Only `web`, `api`, `pages`, `gateways` and `testkit` may name one: the simulated payment
/// provider is a service, too.
const HTTP_SERVERS: [&str; 3] = ["axum", "tower-http", "utoipa-axum"];

/// Licences of dependencies that the project accepts: each allows use in closed products and requires no more than a notice.
const LICENCES: [&str; 7] = ["Apache-2.0", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "Unicode-3.0", "Zlib"];

/// Crates whose manifest names no licence but a file, each with the licence that the file contains.
const LICENCE_FILES: [(&str, &str); 1] = [("cloudevents-sdk", "Apache-2.0")];

/// Crates that the build contains in several incompatible versions, each with the crates that hold the older versions back. When
/// these crates are updated, the entry has to go.
const DUPLICATES: [(&str, &str); 23] = [
    ("base64", "jsonwebtoken, postgres-protocol and wiremock still use 0.22, standardwebhooks 0.21"),
    ("bit-set", "fancy-regex still uses 0.8"),
    ("bit-vec", "bit-set 0.8 and yasna still use older versions"),
    ("block-buffer", "digest 0.10 of ed25519-dalek still uses 0.10"),
    ("const-oid", "der and x509-cert, for channel binding in tokio-postgres-rustls, still use 0.9"),
    ("cpufeatures", "curve25519-dalek and sha2 0.10 still use 0.2"),
    ("crypto-common", "digest 0.10 of ed25519-dalek still uses 0.1"),
    ("deadpool", "wiremock still uses 0.12"),
    ("deadpool-runtime", "deadpool 0.12 of wiremock still uses 0.1"),
    ("digest", "curve25519-dalek, sha2 0.10 and signature still use 0.10"),
    ("fallible-iterator", "postgres-protocol still uses 0.2"),
    ("fancy-regex", "zxcvbn still uses 0.18"),
    ("getrandom", "ring, ahash and governor still use older versions"),
    ("hashbrown", "dashmap and governor still use older versions"),
    ("rand", "nkeys and governor still use older versions"),
    ("rand_chacha", "rand 0.8 of nkeys still uses 0.3"),
    ("rand_core", "signature, and rand of nkeys and governor, still use older versions"),
    ("sha2", "ed25519-dalek, for the credentials of async-nats, still uses 0.10"),
    ("syn", "derive macros move to version 3 one by one"),
    ("synstructure", "asn1-rs-derive still uses 0.13"),
    ("toml_datetime", "toml 0.9, which confique uses, needs 0.7"),
    ("untrusted", "aws-lc-rs still uses 0.7"),
    ("winnow", "toml 0.9, which confique uses, needs 0.7"),
];

/// Returns the packages of the workspace, without their dependencies.
fn metadata() -> Metadata {
    command().no_deps().other_options(["--offline".to_owned()]).exec().unwrap()
}

/// Returns the packages of the workspace and all their dependencies on this platform, with every feature.
fn metadata_with_dependencies() -> Metadata {
    // The registry's cache has no packages of other platforms.
    let options = ["--offline", "--locked", "--filter-platform", "host-tuple"].map(str::to_owned);
    command().features(CargoOpt::AllFeatures).other_options(options).exec().unwrap()
}

fn command() -> MetadataCommand {
    let mut command = MetadataCommand::new();
    command.manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    command
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
            let is_store = ["dabba-store-sqlite", "dabba-store-postgres"].contains(&name.as_str());
            // What both stores share includes their migrations, but no driver.
            let is_shared = name == "dabba-store-sql" && dependency == "refinery";
            let may_name = is_store || is_shared || !DATABASES.contains(&dependency);
            assert!(may_name, "{name} may not name {dependency}");
            let may_serve = ["dabba-web", "dabba-api", "dabba-pages", "dabba-gateways", "dabba-testkit"]
                .contains(&name.as_str());
            assert!(may_serve || !HTTP_SERVERS.contains(&dependency), "{name} may not name {dependency}");
        }
    }
}

#[test]
fn every_licence_is_accepted() {
    for Package { name, version, license, .. } in metadata_with_dependencies().packages {
        let in_file =
            LICENCE_FILES.iter().find(|(known, _)| **known == *name).map(|(_, of)| (*of).to_owned());
        assert!(
            license.is_none() || in_file.is_none(),
            "{name} names its licence: remove it from LICENCE_FILES"
        );
        let license = license.or(in_file).unwrap_or_else(|| panic!("{name} {version} states no licence"));
        let expression = Expression::parse_mode(&license, ParseMode::LAX);
        let expression = expression.unwrap_or_else(|error| panic!("{name} {version}: {error}"));
        let is_accepted = expression.evaluate(|requirement| {
            requirement.addition.is_none()
                && requirement.license.id().is_some_and(|id| LICENCES.contains(&id.name))
        });
        assert!(is_accepted, "{name} {version} has the licence {license}: replace it, or add the licence");
    }
}

#[test]
fn every_dependency_comes_from_the_registry() {
    let metadata = metadata_with_dependencies();
    for package in &metadata.packages {
        let is_own = metadata.workspace_members.contains(&package.id);
        let source = package.source.as_ref();
        let is_from_registry = source.is_some_and(cargo_metadata::Source::is_crates_io);
        assert!(is_own || is_from_registry, "{} comes from {source:?}, not from crates.io", package.name);
    }
}

/// Returns the part of a version that is equal in all compatible versions.
fn compatible(version: &Version) -> (u64, u64, u64) {
    match (version.major, version.minor) {
        (0, 0) => (0, 0, version.patch),
        (0, minor) => (0, minor, 0),
        (major, _) => (major, 0, 0),
    }
}

/// Proves that the build contains no crate twice beyond [`DUPLICATES`], and that each entry there is needed.
#[test]
fn no_crate_occurs_in_incompatible_versions() {
    let mut versions: BTreeMap<String, BTreeSet<(u64, u64, u64)>> = BTreeMap::new();
    for package in metadata_with_dependencies().packages {
        versions.entry(package.name.to_string()).or_default().insert(compatible(&package.version));
    }
    let found = versions.iter().filter(|(_, versions)| versions.len() > 1).map(|(name, _)| name.as_str());
    assert_eq!(found.collect::<BTreeSet<_>>(), BTreeSet::from(DUPLICATES.map(|(name, _)| name)));
}

/// Returns the words of all Rust files below a path, without comments. Returns none if the path does not exist.
fn words_below(path: &Path) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let sources = if path.exists() { sources_below(path) } else { Vec::new() };
    for (_, source) in sources {
        for line in source.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let in_line = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            words.extend(in_line.map(str::to_owned));
        }
    }
    words
}

/// Proves that the code of each crate names every dependency of its manifest: that of the library or binary for dependencies, that
/// of tests, benches and examples as well for dev-dependencies.
#[test]
fn every_named_dependency_is_used() {
    for package in metadata().packages {
        let directory = package.manifest_path.parent().unwrap().as_std_path();
        // The modules of a build script are in `build`.
        let mut build = words_below(&directory.join("build.rs"));
        build.extend(words_below(&directory.join("build")));
        let (own, all) = (words_below(&directory.join("src")), words_below(directory));
        for dependency in &package.dependencies {
            let name = dependency.rename.as_ref().unwrap_or(&dependency.name).replace('-', "_");
            let (words, place) = match dependency.kind {
                DependencyKind::Development => (&all, "its code"),
                DependencyKind::Build => (&build, "build.rs and build"),
                _ => (&own, "src"),
            };
            assert!(words.contains(&name), "{}: {place} does not use {name}", package.name);
        }
    }
}
