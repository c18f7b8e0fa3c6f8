//! `dabba migrate`

use crate::{commands::DataArguments, data, failure::Failure, logging, output};

/// What the command takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: DataArguments,
}

/// Brings the database to the newest schema, and makes it when there is none.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;
    logging::start(&settings)?;
    data::make_directory(&settings)?;
    let path = settings.database();
    match data::migrate(&settings)? {
        0 => output::line(format_args!("{} has the newest schema already", path.display())),
        1 => output::line(format_args!("{}: 1 migration done", path.display())),
        count => output::line(format_args!("{}: {count} migrations done", path.display())),
    }
}
