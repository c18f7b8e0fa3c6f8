//! `dabba backup`

use std::path::PathBuf;

use dabba_store_sqlite::{Contents, SqliteStore};

use crate::{
    commands::DataArguments, databases::Databases, failure::Failure, logging, output, sandbox,
    settings::Settings,
};

/// What the command takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The file to write, which must not be there yet.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    settings: DataArguments,
}

/// Writes a backup of the embedded database, also while a server runs.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;
    logging::start(&settings)?;
    let database = embedded(&settings)?;
    if arguments.file.as_os_str() == "-" {
        return Err(Failure::new("a backup is written to a file, not to standard output: name a file"));
    }
    if sandbox::is_one(&settings, &Databases::Embedded(database.clone())) {
        return Err(Failure::new(format!(
            "{} is a sandbox: its times are ahead of the clock of every other server, so its data stays there",
            settings.data.display()
        )));
    }
    let contents = SqliteStore::back_up(&database, &arguments.file)
        .map_err(Failure::during(format_args!("backing up {}", database.display())))?;
    output::line(format_args!("Backed up {} to {}.", in_words(&contents), arguments.file.display()))?;
    output::line(format_args!(
        "The key that signs tokens is not in it: keep a copy of {} where passwords are kept.",
        settings.data.join("signing-key").display()
    ))
}

/// The file of the embedded database, if the settings use that one.
pub(super) fn embedded(settings: &Settings) -> Result<PathBuf, Failure> {
    match Databases::from_settings(settings)? {
        Databases::Embedded(file) => Ok(file),
        Databases::Postgres(_) => Err(Failure::new(
            "this command is for the embedded database; PostgreSQL is backed up with its own means, as \
             docs/operations/backup.md describes",
        )),
    }
}

/// What a database holds.
pub(super) fn in_words(contents: &Contents) -> String {
    let Contents { orders, events, restaurants, accounts, bytes } = contents;
    let mebibytes = bytes.div_ceil(1024 * 1024);
    format!(
        "{orders} orders with {events} events, {restaurants} restaurants and {accounts} accounts ({mebibytes} MiB)"
    )
}
