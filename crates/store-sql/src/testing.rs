//! Checks of a store's migrations. Each store runs them in its tests.

#![expect(
    clippy::missing_panics_doc,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a property that does not hold ends its test with a panic"
)]

use std::{collections::BTreeMap, fs, path::Path};

use crate::schema::Migrations;

/// Panics unless the migrations are the files of a directory, numbered from 1 without a gap. Returns a line with name
/// and checksum for each migration.
///
/// A store compares the lines with a snapshot: a database refuses a published migration whose checksum differs from the
/// recorded one. Only the line of an unpublished file may change.
pub fn published_migrations(migrations: Migrations, directory: &str) -> String {
    let files: BTreeMap<String, String> = fs::read_dir(Path::new(directory))
        .unwrap()
        .map(|file| file.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    let listed = migrations.0.iter().map(|(name, sql)| ((*name).to_owned(), (*sql).to_owned()));
    assert_eq!(listed.collect::<BTreeMap<_, _>>(), files, "every file of {directory} is in the list");
    let unapplied = migrations.up_to(migrations.newest()).unwrap();
    let lines = migrations.0.iter().zip(&unapplied).zip(1..).map(|(((name, _), migration), version)| {
        assert_eq!(i64::from(migration.version()), version, "{name} has the next number");
        format!("{name} {:016x}", migration.checksum())
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Panics unless every migration from `first` to `newest` states its compatible version. `stated` contains the rows of
/// `schema_versions`, version and `compatible_from`.
///
/// A migration that states none would exclude every older program.
pub fn every_migration_is_compatible_from(newest: u32, first: u32, stated: &[(u32, u32)]) {
    let stated: BTreeMap<u32, u32> = stated.iter().copied().collect();
    for version in first..=newest {
        let compatible_from = stated.get(&version).copied();
        let compatible_from = compatible_from.expect("every migration states its compatible version");
        assert!((1..=version).contains(&compatible_from), "{version}: {compatible_from}");
    }
}
