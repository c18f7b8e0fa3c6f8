//! `dabba shards split`
//!
//! The command always reads the stage of the split from the databases, so it can be interrupted and repeated.
//! [`dabba_store_postgres::admin`] explains the steps and why they lose nothing.

mod checks;
mod stage;
mod steps;

use std::path::PathBuf;

use dabba_domain::Bucket;
use dabba_store_postgres::{
    Ownership,
    admin::{Administration, ShardState, WalPosition},
};

use self::stage::Stage;
use super::with_shards;
use crate::{
    commands::DataArguments, databases::ShardsFile, failure::Failure, output, settings::DatabaseUrl,
};

/// Arguments of the command.
#[derive(clap::Args)]
// The usage that clap generates is wider than 80 columns.
#[command(
    override_usage = "dabba shards split [OPTIONS] --shard <NAME> --at <BUCKET>\n                          --new-name <NAME> --new-url <URL>"
)]
pub(super) struct Arguments {
    /// Name of the shard to split.
    #[arg(long, value_name = "NAME")]
    shard: String,
    /// First bucket of the new shard. The new shard gets this bucket and all after it.
    #[arg(long, value_name = "BUCKET", value_parser = bucket)]
    at: Bucket,
    /// Name of the new shard.
    #[arg(long, value_name = "NAME")]
    new_name: String,
    /// URL of the new shard's database: a physical replica of the shard's database.
    #[arg(long, value_name = "URL")]
    new_url: DatabaseUrl,
    /// URL of a replica of the new shard, for the new map.
    #[arg(long, value_name = "URL")]
    new_replica_url: Option<DatabaseUrl>,
    /// File for the new map. It must not exist with other contents.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["dry_run", "take_back"])]
    write: Option<PathBuf>,
    /// Checks all conditions, prints the planned steps, and changes nothing.
    #[arg(long, conflicts_with_all = ["apply", "take_back"], required_unless_present_any = ["apply", "take_back"])]
    dry_run: bool,
    /// Splits the shard.
    #[arg(long)]
    apply: bool,
    /// Takes the buckets back from a split that cannot continue, for example because the new machine is lost. Refused once the
    /// shard has decided for the new shard.
    #[arg(long, conflicts_with = "apply")]
    take_back: bool,
    /// States that the databases have separate archives although their archive commands are equal.
    #[arg(long)]
    archives_are_separate: bool,
    /// States that no commit waits for the replica, if the user of the shard's URL cannot see that.
    #[arg(long)]
    replica_is_not_synchronous: bool,
    #[command(flatten)]
    settings: DataArguments,
}

fn bucket(text: &str) -> Result<Bucket, String> {
    let number = text.parse().ok().and_then(Bucket::new);
    number.ok_or_else(|| format!("must be a whole number from 0 to {}", Bucket::LAST.number()))
}

/// A split and its result, as known before it begins.
struct Split {
    source: Administration,
    target: Administration,
    /// Ownership of the shard before the split.
    before: Ownership,
    /// Ownership of the shard after the split.
    kept: Ownership,
    /// Ownership of the new shard.
    given: Ownership,
    /// Map after the split.
    map: ShardsFile,
}

/// Splits a shard, or checks whether a split is possible.
pub(super) fn run(mut arguments: Arguments) -> Result<(), Failure> {
    let settings = std::mem::take(&mut arguments.settings);
    with_shards(settings, |shards| async move { split(&arguments, &shards).await })
}

async fn split(arguments: &Arguments, shards: &ShardsFile) -> Result<(), Failure> {
    let split = Split::new(arguments, shards)?;
    // The lock precedes the first read, so that the databases do not change between the checks and the steps.
    let _lock = super::lock(&split.source, &split.before.name).await?;
    if arguments.take_back {
        return split.take_back_or_refuse().await;
    }
    let _target_lock = split.target.lock().await.map_err(Failure::during("the new shard"))?.ok_or_else(|| {
        Failure::new(
            "the new shard's database is the shard's own, or another `dabba shards` command is working on it: --new-url \
             must be the URL of the replica",
        )
    })?;
    let stage = split.stage().await?;
    split.check(&stage, arguments).await?;
    split.describe(&stage).await?;
    if arguments.dry_run {
        return output::line("Nothing was changed. To split the shard, give --apply instead of --dry-run.");
    }
    let is_served = matches!(stage, Stage::Restored | Stage::Done);
    let unserved = split.apply(stage).await?;
    if let Some(path) = &arguments.write {
        split.map.write(path)?;
        output::line(format_args!("The new map is in {}.", path.display()))?;
    }
    if let Some(unserved) = unserved {
        output::line(format_args!(
            "The databases were ready for the new map {:.3} s after the shard had given the buckets away.",
            unserved.as_secs_f64()
        ))?;
    }
    let buckets = split.given.buckets;
    let unserved = if is_served {
        format!(
            "The new shard held the buckets {buckets} before this command; servers with the new map serve them."
        )
    } else {
        format!(
            "Until the first server with the new map serves, requests for the buckets {buckets} are answered with 503."
        )
    };
    output::line(format_args!(
        "Restart every server that does not have the new map with the new map, one after the other. {unserved} When the \
         last server serves, run `dabba shards purge`."
    ))
}

impl Split {
    fn new(arguments: &Arguments, shards: &ShardsFile) -> Result<Self, Failure> {
        let shard = shards
            .shard(&arguments.shard)
            .ok_or_else(|| Failure::new(format!("there is no shard {:?} in the map", arguments.shard)))?;
        let before = shard.ownership();
        let (kept, given) = before.buckets.split_at(arguments.at).ok_or_else(|| {
            let (at, buckets) = (arguments.at.number(), before.buckets);
            Failure::new(format!(
                "the buckets {buckets} cannot be split at bucket {at}: one part would be empty"
            ))
        })?;
        let new = (arguments.new_name.as_str(), arguments.new_url.clone(), arguments.new_replica_url.clone());
        let map = shards
            .split(&arguments.shard, (kept, given), new)
            .map_err(|error| Failure::new(format!("the new map would be wrong: {error}")))?;
        let source = Administration::new(shard.url.as_str());
        let target = Administration::new(arguments.new_url.as_str());
        Ok(Self {
            source: source.map_err(Failure::during("the shard"))?,
            target: target.map_err(Failure::during("the new shard"))?,
            kept: Ownership { buckets: kept, ..before.clone() },
            given: Ownership { name: arguments.new_name.clone(), buckets: given, is_directory: false },
            before,
            map,
        })
    }

    /// Returns what a database states while the buckets are given away, and after the decision for a name.
    fn giving(&self, decided_for: Option<String>) -> ShardState {
        ShardState { ownership: self.kept.clone(), receiver: Some(self.given.name.clone()), decided_for }
    }

    async fn positions(&self) -> Result<(WalPosition, WalPosition), Failure> {
        let from = self.source.position().await.map_err(Failure::during("the shard"))?;
        let to = self.target.position().await.map_err(Failure::during("the new shard"))?;
        Ok((from, to))
    }

    async fn describe(&self, stage: &Stage) -> Result<(), Failure> {
        let Self { before, kept, given, .. } = self;
        output::line(format_args!(
            "{:?} keeps the buckets {}; {:?} gets {}.",
            before.name, kept.buckets, given.name, given.buckets
        ))?;
        let moving = self
            .source
            .row_counts(kept.buckets)
            .await
            .map_err(Failure::during("counting the restaurants that move"))?;
        output::line(format_args!(
            "{} of {} restaurants move.",
            moving.foreign_restaurants, moving.restaurants
        ))?;
        output::line(match stage {
            Stage::Ready => "The replica is up to date, or nearly. The split has not begun.",
            Stage::GivenAway => "The shard has given the buckets away; next, the replica is promoted.",
            Stage::Promoted(_) | Stage::Decided(_) => {
                "The replica is promoted; next, it takes the buckets over."
            }
            Stage::Restored => {
                "The new shard already holds the buckets; next, the shard, which was restored to a moment before the split, \
                 gives them to the new shard again."
            }
            Stage::TakenOver(_) => "The new shard holds the buckets; next, the shard records that.",
            Stage::Done => "The split is complete in all databases.",
        })
    }

    /// Returns a failure that tells the operator that no shard may serve the moving buckets.
    fn unserved(&self, failure: &str) -> Failure {
        Failure::new(format!(
            "{failure}. No shard may serve the buckets {} now: run this command again. If the new machine is lost for good, \
             run it with --take-back instead of --apply",
            self.given.buckets
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_no_bucket_is_refused() {
        assert_eq!(bucket("4095"), Ok(Bucket::LAST));
        for text in ["4096", "-1", "", "north"] {
            assert!(bucket(text).unwrap_err().contains("0 to 4095"), "{text}");
        }
    }
}
