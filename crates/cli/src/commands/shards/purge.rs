//! `dabba shards purge`

use std::collections::BTreeMap;

use dabba_store_postgres::admin::{Administration, Purged};
use serde::Serialize;

use super::with_shards;
use crate::{commands::DataArguments, databases::ShardsFile, failure::Failure, output};

/// Arguments of the command.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Prints JSON, one object for each shard.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: DataArguments,
}

/// The JSON output: the rows removed from a shard.
#[derive(Serialize)]
struct Json<'a> {
    name: &'a str,
    database: String,
    /// Number of rows by table.
    removed: BTreeMap<&'static str, u64>,
}

/// Purges every database of the map, after all databases have confirmed the map and a schema that this program knows.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let json = arguments.json;
    with_shards(arguments.settings, |shards| purge(shards, json))
}

async fn purge(shards: ShardsFile, json: bool) -> Result<(), Failure> {
    let mut databases = Vec::new();
    for shard in shards.iter() {
        let during = || Failure::during(format!("{shard}"));
        let database = Administration::new(shard.url.as_str()).map_err(during())?;
        let lock = super::lock(&database, shard.name).await?;
        let (expected, claimed) = (shard.ownership(), database.ownership().await.map_err(during())?);
        if claimed.as_ref() != Some(&expected) {
            return Err(Failure::new(format!(
                "{shard} does not match the map; nothing was removed from any shard (see `dabba shards`)"
            )));
        }
        database.require_known_schema().await.map_err(during())?;
        databases.push((shard, database, lock));
    }
    for (shard, database, _lock) in databases {
        let log = |purged: Purged| {
            tracing::debug!(shard = shard.name, table = purged.table, rows = purged.rows, "purging");
        };
        let purged = database.purge(log).await.map_err(Failure::during(format!("purging {shard}")))?;
        let rows: u64 = purged.iter().map(|purged| purged.rows).sum();
        let tables: Vec<String> = purged
            .iter()
            .filter(|purged| purged.rows > 0)
            .map(|purged| format!("{} of {}", purged.rows, purged.table))
            .collect();
        let of = if tables.is_empty() { String::new() } else { format!(": {}", tables.join(", ")) };
        let removed = purged.iter().map(|purged| (purged.table, purged.rows)).collect();
        let value = Json { name: shard.name, database: shard.url.to_string(), removed };
        output::either(json, &value, format_args!("{shard}: {rows} rows removed{of}"))?;
    }
    Ok(())
}
