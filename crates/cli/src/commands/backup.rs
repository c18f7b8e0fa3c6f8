//! `dabba backup`

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};

use dabba_store_sqlite::{BackupContents, SqliteStore};
use serde::Serialize;

use crate::{
    commands::DataArguments, databases::Databases, failure::Failure, output, sandbox, secrets_key,
    signing_key,
};

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// File to write, which must not exist yet.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Prints one object of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: DataArguments,
}

/// Writes a backup of the embedded database. A server may be running.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let (settings, databases) = arguments.settings.load_existing()?;
    let database = embedded(&databases)?;
    if arguments.file.as_os_str() == "-" {
        return Err(Failure::new("a backup cannot be written to standard output: give a file"));
    }
    if sandbox::is_one(&settings, &databases) {
        return Err(Failure::new(format!(
            "{} is a sandbox: its times are ahead of the clocks of all other servers, so it cannot be backed up",
            settings.storage.data.display()
        )));
    }
    let contents = SqliteStore::back_up(&database, &arguments.file)
        .map_err(Failure::during(format_args!("backing up {}", database.display())))?;
    if arguments.json {
        return output::json(&Json::new(&arguments.file, None, &contents));
    }
    output::line(format_args!("Backed up {} to {}.", in_words(&contents), arguments.file.display()))?;
    output::line(format_args!(
        "The backup does not contain the key that signs tokens and the key of the secrets of webhook endpoints: keep copies \
         of {} and {} where you keep passwords.",
        signing_key::path(&settings).display(),
        secrets_key::path(&settings).display()
    ))
}

/// The JSON output of `dabba backup` and `dabba restore`.
#[derive(Serialize)]
pub(super) struct Json<'a> {
    file: Cow<'a, str>,
    /// Path of the database that a restore replaced and kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<Cow<'a, str>>,
    orders: u64,
    events: u64,
    restaurants: u64,
    accounts: u64,
    bytes: u64,
}

impl<'a> Json<'a> {
    pub(super) fn new(file: &'a Path, kept: Option<&'a Path>, contents: &BackupContents) -> Self {
        let BackupContents { orders, events, restaurants, accounts, bytes } = *contents;
        let kept = kept.map(Path::to_string_lossy);
        Self { file: file.to_string_lossy(), kept, orders, events, restaurants, accounts, bytes }
    }
}

/// Returns the file of the embedded database. Fails if PostgreSQL is selected.
pub(super) fn embedded(databases: &Databases) -> Result<PathBuf, Failure> {
    match databases {
        Databases::Embedded(file) => Ok(file.clone()),
        Databases::Postgres(_) => Err(Failure::new(
            "this command works only with the embedded database; back up PostgreSQL with its own tools \
             (docs/guides/operator/backup.md)",
        )),
    }
}

/// Describes the contents of a database.
pub(super) fn in_words(contents: &BackupContents) -> String {
    let BackupContents { orders, events, restaurants, accounts, bytes } = contents;
    let mebibytes = bytes.div_ceil(1024 * 1024);
    format!(
        "the database (orders: {orders}, events: {events}, restaurants: {restaurants}, accounts: {accounts}, {mebibytes} MiB)"
    )
}
