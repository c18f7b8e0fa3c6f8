//! `dabba shards`: what the databases are and hold, and how one of them is split.

mod purge;
mod show;
mod split;

use dabba_store_postgres::admin::{Administration, AdministrationLock};

use crate::{
    commands::{DataArguments, block_on},
    databases::Databases,
    failure::Failure,
};

/// What the command takes. Without a subcommand it shows the shards.
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
    /// Gives a part of a shard's buckets to a replica of it, which becomes a shard of its own.
    Split(Box<split::Arguments>),
    /// Removes from each database what belongs to another shard since a split.
    Purge(purge::Arguments),
}

/// Carries the command out.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        None => show::run(arguments.show),
        Some(Command::Split(arguments)) => split::run(*arguments),
        Some(Command::Purge(arguments)) => purge::run(arguments),
    }
}

/// Keeps other commands from changing a shard while this one does.
async fn lock(database: &Administration, shard: &str) -> Result<AdministrationLock, Failure> {
    let lock = database.lock().await.map_err(Failure::during(format!("locking the shard {shard:?}")))?;
    lock.ok_or_else(|| {
        Failure::new(format!(
            "another `dabba shards` command works on the shard {shard:?}: wait until it has ended"
        ))
    })
}

/// Loads the settings and the shards, and runs something with them.
fn with_shards<F: Future<Output = Result<(), Failure>>>(
    settings: DataArguments,
    work: impl FnOnce(crate::databases::ShardsFile) -> F,
) -> Result<(), Failure> {
    let settings = settings.load()?;
    let shards = Databases::from_settings(&settings)?.into_shards()?;
    // Within the runtime, which the connections need.
    block_on(async { work(shards).await })
}
