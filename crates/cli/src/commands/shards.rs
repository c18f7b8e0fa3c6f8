//! `dabba shards`: shows, splits and purges the databases of the shard map, and marks them as restored.

mod purge;
mod restored;
mod show;
mod split;

use dabba_store_postgres::admin::{Administration, AdministrationLock};

use crate::{
    commands::{DataArguments, block_on},
    databases::Databases,
    failure::Failure,
};

/// Arguments of the command. Without a subcommand, the command shows the shards.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    show: show::ShowArguments,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Moves a part of a shard's buckets to a replica of the shard, which becomes a new shard.
    Split(Box<split::Arguments>),
    /// Removes the data that belongs to another shard since a split from each database.
    Purge(purge::Arguments),
    /// Marks a database as restored from a backup, so that no reader of the events misses any.
    ///
    /// Run it after a restore to a moment and after the promotion of a standby that lacked commits, before the first
    /// server starts.
    Restored(restored::Arguments),
}

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        None => show::run(arguments.show),
        Some(Command::Split(arguments)) => split::run(*arguments),
        Some(Command::Purge(arguments)) => purge::run(arguments),
        Some(Command::Restored(arguments)) => restored::run(arguments),
    }
}

/// Locks a shard against other commands that change it.
async fn lock(database: &Administration, shard: &str) -> Result<AdministrationLock, Failure> {
    let lock = database.lock().await.map_err(Failure::during(format!("locking the shard {shard:?}")))?;
    lock.ok_or_else(|| {
        Failure::new(format!(
            "another `dabba shards` command is working on the shard {shard:?}: wait until that command has ended"
        ))
    })
}

/// Loads the settings and the shards, and runs `work` with them.
fn with_shards<F: Future<Output = Result<(), Failure>>>(
    settings: DataArguments,
    work: impl FnOnce(crate::databases::ShardsFile) -> F,
) -> Result<(), Failure> {
    let settings = settings.load()?;
    let shards = Databases::from_settings(&settings)?.into_shards()?;
    // The connections need the runtime.
    block_on(async { work(shards).await })
}
