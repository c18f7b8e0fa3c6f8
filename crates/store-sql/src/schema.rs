//! The schema of a database: its migrations and its version.

use std::fmt::Display;

use dabba_store::StoreError;
use refinery::Migration;

/// Migrations of a database, by name and SQL, in order. Versions are numbered from 1 without a gap.
///
/// A released file never changes, because each database contains its checksum.
#[derive(Clone, Copy, Debug)]
pub struct Migrations(pub &'static [(&'static str, &'static str)]);

impl Migrations {
    /// Returns the version of the newest migration.
    #[expect(clippy::cast_possible_truncation, reason = "there are few migrations")]
    pub const fn newest(self) -> u32 {
        self.0.len() as u32
    }

    /// Returns the migrations up to a version, for the runner.
    pub fn up_to(self, version: u32) -> Result<Vec<Migration>, StoreError> {
        let migrations = self.0.iter().take(usize::try_from(version).unwrap_or(usize::MAX));
        migrations
            .map(|(name, sql)| Migration::unapplied(name, sql))
            .collect::<Result<_, _>>()
            .map_err(|error| StoreError::Corrupt(format!("a migration has an invalid name: {error}")))
    }
}

/// The schema of a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// Version of the schema; 0 if there is none.
    pub version: u32,
    /// Lowest schema version that a program must know to run with it.
    pub compatible_from: u32,
}

impl Schema {
    /// Returns the schema of a database. `stated` is the lowest version that a program must know, as the newest
    /// migration of the database states it; without a statement, a program must know the whole schema.
    pub fn new(version: u32, stated: Option<u32>) -> Self {
        Self { version, compatible_from: stated.unwrap_or(version) }
    }

    /// Checks that a program that knows the schema version `known` can serve the database. The error is a text for the
    /// operator that begins with the name of the `database`.
    pub fn check(self, known: u32, database: impl Display) -> Result<(), String> {
        let version = self.version;
        if version < known {
            return Err(format!(
                "{database} has schema version {version}, but version {known} is required: run `dabba migrate`"
            ));
        }
        self.check_not_newer(known, database)
    }

    /// Checks that a program that knows the schema version `known` can serve the database, possibly after a migration.
    pub fn check_not_newer(self, known: u32, database: impl Display) -> Result<(), String> {
        let Self { version, compatible_from } = self;
        if known >= compatible_from {
            return Ok(());
        }
        Err(format!(
            "{database} has schema version {version}, which requires a program that knows version {compatible_from} or \
             newer; this program knows {known}: upgrade it, or use a newer one"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves which schemas a program serves: its own, and a newer one that declares itself compatible.
    #[test]
    fn a_program_serves_its_own_schema_and_compatible_newer_ones() {
        for (version, stated, advice) in [
            (0, None, Some("run `dabba migrate`")),
            (6, Some(1), Some("run `dabba migrate`")),
            (7, None, None),
            (7, Some(3), None),
            (9, Some(7), None),
            (9, Some(8), Some("upgrade it")),
            (9, None, Some("upgrade it")),
        ] {
            let schema = Schema::new(version, stated);
            match (schema.check(7, "x.db"), advice) {
                (Ok(()), None) => {}
                (Err(error), Some(advice)) => {
                    assert!(error.starts_with("x.db has schema version"), "{error}");
                    assert!(error.contains(advice), "{error}");
                }
                (result, _) => panic!("{schema:?}: {result:?}"),
            }
            let needs_newer = advice.is_some_and(|advice| advice.contains("upgrade"));
            assert_eq!(schema.check_not_newer(7, "x.db").is_err(), needs_newer, "{schema:?}");
        }
    }

    #[test]
    fn a_migration_with_an_invalid_name_is_refused() {
        let migrations = Migrations(&[("V1__first", "SELECT 1"), ("second", "SELECT 2")]);
        assert_eq!(migrations.newest(), 2);
        assert_eq!(migrations.up_to(1).unwrap().len(), 1);
        assert!(matches!(migrations.up_to(2), Err(StoreError::Corrupt(_))));
    }
}
