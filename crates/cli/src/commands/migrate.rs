//! `dabba migrate`

use serde::Serialize;

use crate::{
    commands::{DataArguments, block_on},
    databases::Databases,
    failure::Failure,
    output,
};

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Prints JSON, one object for each database.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: DataArguments,
}

/// The JSON output.
#[derive(Serialize)]
struct Json<'a> {
    database: &'a str,
    migrations: usize,
}

/// Migrates every database to the newest schema. Creates a missing embedded database, and adds a PostgreSQL database
/// without a shard map to the map.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.settings.load()?;
    let databases = Databases::from_settings(&settings)?;
    block_on(async {
        for migrated in databases.migrate(&settings).await? {
            let place = migrated.place;
            let text = match migrated.count {
                0 => format!("{place} needs no migration"),
                1 => format!("{place}: 1 migration done"),
                count => format!("{place}: {count} migrations done"),
            };
            output::either(arguments.json, &Json { database: &place, migrations: migrated.count }, text)?;
        }
        Ok(())
    })
}
