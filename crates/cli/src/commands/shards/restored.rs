//! `dabba shards restored`

use dabba_store_postgres::admin::Administration;

use super::with_shards;
use crate::{
    commands::DataArguments,
    databases::{Shard, ShardsFile},
    failure::Failure,
    output,
};

/// Arguments of the command.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Name of the shard whose database was restored. Required if there are several shards.
    #[arg(long, value_name = "NAME")]
    shard: Option<String>,
    #[command(flatten)]
    settings: DataArguments,
}

/// Gives a restored database a new incarnation.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let name = arguments.shard;
    with_shards(arguments.settings, |shards| async move { renew(chosen(&shards, name.as_deref())?).await })
}

/// Returns the shard with this name, or the only shard.
fn chosen<'a>(shards: &'a ShardsFile, name: Option<&str>) -> Result<Shard<'a>, Failure> {
    let names = || shards.iter().map(|shard| shard.name.to_owned()).collect::<Vec<_>>().join(", ");
    if let Some(name) = name {
        return shards
            .shard(name)
            .ok_or_else(|| Failure::new(format!("there is no shard {name:?}; the shards are {}", names())));
    }
    let mut all = shards.iter();
    match (all.next(), all.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(Failure::new(format!("name the restored shard with --shard; the shards are {}", names()))),
    }
}

async fn renew(shard: Shard<'_>) -> Result<(), Failure> {
    let during = || Failure::during(format!("{shard}"));
    let database = Administration::new(shard.url.as_str()).map_err(during())?;
    let _lock = super::lock(&database, shard.name).await?;
    if database.position().await.map_err(during())?.is_replica {
        return Err(Failure::new(format!(
            "{shard} is a standby, or its recovery has not ended: repeat the command after the recovery"
        )));
    }
    database.renew_incarnation().await.map_err(during())?;
    output::line(format_args!(
        "{shard} has a new incarnation. Readers of the events whose cursors are from before the restore are told to begin again."
    ))
}
