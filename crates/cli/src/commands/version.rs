//! `dabba version`

use serde::Serialize;

use crate::{build::BUILD, failure::Failure, output};

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Prints one object of JSON.
    #[arg(long)]
    json: bool,
}

/// The JSON output.
#[derive(Serialize)]
struct Json {
    version: &'static str,
    commit: &'static str,
    profile: &'static str,
    target: &'static str,
    rustc: &'static str,
    schemas: Schemas,
    /// Whether the binary contains the web pages.
    pages: bool,
}

/// The newest schema that the binary knows, per store.
#[derive(Serialize)]
struct Schemas {
    sqlite: u32,
    postgresql: u32,
}

/// Prints the facts about this binary.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let crate::build::Build { version, commit, profile, target, rustc } = BUILD;
    let schemas = Schemas {
        sqlite: dabba_store_sqlite::SqliteStore::NEWEST_SCHEMA,
        postgresql: dabba_store_postgres::PostgresOptions::NEWEST_SCHEMA,
    };
    let pages = dabba_pages::Content::EMBEDDED.is_built();
    let text = format!(
        "dabba {version} ({profile} build for {target})\n\
         commit   {commit}\n\
         rustc    {rustc}\n\
         schemas  SQLite {}, PostgreSQL {}\n\
         pages    {}",
        schemas.sqlite,
        schemas.postgresql,
        if pages { "contained" } else { "missing" }
    );
    output::either(arguments.json, &Json { version, commit, profile, target, rustc, schemas, pages }, text)
}
