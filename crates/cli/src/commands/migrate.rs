//! `dabba migrate`

use crate::{
    commands::{DataArguments, block_on},
    databases::Databases,
    failure::Failure,
    logging, output,
};

/// What the command takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: DataArguments,
}

/// Brings every database to the newest schema. The embedded one is made when it is not there; a
/// PostgreSQL database is taken into the shard map when it is in none.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;
    logging::start(&settings)?;
    let databases = Databases::from_settings(&settings)?;
    block_on(async {
        for migrated in databases.migrate(&settings).await? {
            let place = migrated.place;
            match migrated.count {
                0 => output::line(format_args!("{place} needs no migration"))?,
                1 => output::line(format_args!("{place}: 1 migration done"))?,
                count => output::line(format_args!("{place}: {count} migrations done"))?,
            }
        }
        Ok(())
    })
}
