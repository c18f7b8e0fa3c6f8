//! `dabba shards restored`

use dabba_store_postgres::admin::Administration;
use serde::Serialize;

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
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: DataArguments,
}

/// The JSON output: the shard whose database was marked.
#[derive(Serialize)]
struct Json<'a> {
    name: &'a str,
    database: String,
}

/// Gives a restored database a new incarnation.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { shard, json, settings } = arguments;
    with_shards(settings, |shards| async move { renew(chosen(&shards, shard.as_deref())?, json).await })
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

async fn renew(shard: Shard<'_>, json: bool) -> Result<(), Failure> {
    let during = || Failure::during(format!("{shard}"));
    let database = Administration::new(shard.url.as_str()).map_err(during())?;
    let _lock = super::lock(&database, shard.name).await?;
    if database.position().await.map_err(during())?.is_replica {
        return Err(Failure::new(format!(
            "{shard} is a standby, or its recovery has not ended: repeat the command after the recovery"
        )));
    }
    database.renew_incarnation().await.map_err(during())?;
    let value = Json { name: shard.name, database: shard.url.to_string() };
    let text = format!(
        "{shard} has a new incarnation. Readers of the events whose cursors are from before the restore are told to begin again."
    );
    output::either(json, &value, text)
}
