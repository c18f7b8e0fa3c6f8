//! `dabba restore`

use std::path::PathBuf;

use dabba_engine::{Clock as _, SystemClock};
use dabba_store_sqlite::{Restored, SqliteStore};

use super::backup::{Json, embedded, in_words};
use crate::{
    commands::DataArguments,
    data,
    databases::{self, Databases},
    failure::Failure,
    named_file, output,
};

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Backup that `dabba backup` wrote.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replaces a database that is not empty. That database is kept under a name with the time.
    #[arg(long)]
    replace: bool,
    /// Prints one object of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: DataArguments,
}

/// Replaces the embedded database with a backup. No server may use the database.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    named_file::check_regular(&arguments.file).map_err(Failure::new)?;
    let settings = arguments.settings.load()?;
    let database = embedded(&Databases::from_settings(&settings)?)?;
    data::make_directory(&settings)?;
    let time = SystemClock.now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let Restored { contents, kept } =
        SqliteStore::restore(&database, &arguments.file, arguments.replace.then_some(time.as_str()))
            .map_err(Failure::during(format_args!("restoring {}", arguments.file.display())))?;
    databases::remove_copied_mark(&database)?;
    if arguments.json {
        return output::json(&Json::new(&database, kept.as_deref(), &contents));
    }
    output::line(format_args!("Restored {} to {}.", in_words(&contents), database.display()))?;
    if let Some(kept) = kept {
        output::line(format_args!("The previous database is kept as {}.", kept.display()))?;
    }
    output::line(
        "Next: `dabba migrate`, if the backup is from an earlier version; `dabba audit`; then `dabba serve`.",
    )
}
