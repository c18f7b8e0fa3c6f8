//! `dabba shards split`
//!
//! The command always reads the stage of the split from the databases, so it can be interrupted and repeated.
//! [`dabba_store_postgres::admin`] explains the steps and why they lose nothing.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use dabba_domain::Bucket;
use dabba_engine::{Random as _, SystemRandom};
use dabba_store::StoreError;
use dabba_store_postgres::{
    Ownership,
    admin::{Administration, Following, Position, Standing},
};

use super::with_shards;
use crate::{
    commands::DataArguments, databases::ShardsFile, failure::Failure, output, settings::DatabaseUrl,
};

/// Maximum lag of the replica at the start of the split. While the replica replays the rest, no shard serves the moving buckets.
const MAX_LAG_BYTES: u64 = 1024 * 1024;

/// Maximum time for the replica to catch up. After it, the shard takes the buckets back.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(10);

/// Interval at which the replica's position is polled.
const CATCH_UP_POLL: Duration = Duration::from_millis(5);

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

/// Stage of a split.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// The split has not begun.
    Ready,
    /// The shard has given the buckets away; the replica still follows the shard.
    GivenAway,
    /// The replica is promoted. It has this random name, if it has been named.
    Promoted(Option<String>),
    /// The shard has decided for the database with this name.
    Decided(String),
    /// The new shard holds the buckets, but the shard does not state yet that the split is complete.
    TakenOver(String),
    /// Both shards state that they hold the buckets: the shard was restored to a moment before the split.
    Restored,
    /// The split is complete.
    Done,
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
    fn giving(&self, decided_for: Option<String>) -> Standing {
        Standing { ownership: self.kept.clone(), giving_to: Some(self.given.name.clone()), decided_for }
    }

    /// Reads the stage of the split from the databases. Fails if their statements do not match.
    async fn stage(&self) -> Result<Stage, Failure> {
        let (from, to) = self.positions().await?;
        if from.system_identifier != to.system_identifier || from.database != to.database {
            return Err(Failure::new("the new shard's database is not a physical replica of the shard's"));
        }
        if from.is_replica {
            return Err(Failure::new("the shard's database is a replica itself"));
        }
        let source = self.source.standing().await.map_err(Failure::during("the shard"))?;
        let target = self.target.standing().await.map_err(Failure::during("the new shard"))?;
        let (before, giving) = (Standing::of(self.before.clone()), self.giving(None));
        let (done, given) = (Standing::of(self.kept.clone()), Standing::of(self.given.clone()));
        // A replica states what the shard stated at the replica's position.
        let follows = |standings: &[&Standing]| match &target {
            Some(found) if standings.contains(&found) => Ok(()),
            found => Err(disagreement("the new shard's database", standings[0], found.as_ref())),
        };
        match &source {
            Some(found) if *found == before && to.is_replica => follows(&[&before]).map(|()| Stage::Ready),
            Some(found) if *found == before && target.as_ref() == Some(&given) => Ok(Stage::Restored),
            Some(found) if *found == before => Err(Failure::new(
                "the new shard's database is no replica any more: it was promoted outside of the split, or in a split that was \
                 taken back. Create a new replica",
            )),
            Some(found) if *found == giving && to.is_replica => {
                follows(&[&giving, &before]).map(|()| Stage::GivenAway)
            }
            Some(found) if *found == giving => match &target {
                Some(found) if *found == self.giving(found.decided_for.clone()) => {
                    Ok(Stage::Promoted(found.decided_for.clone()))
                }
                found => Err(disagreement("the new shard's database", &giving, found.as_ref())),
            },
            Some(Standing { ownership, giving_to: Some(name), decided_for: Some(id) })
                if *ownership == self.kept && *name == self.given.name =>
            {
                match &target {
                    Some(found) if !to.is_replica && *found == self.giving(Some(id.clone())) => {
                        Ok(Stage::Decided(id.clone()))
                    }
                    Some(found) if !to.is_replica && *found == given => Ok(Stage::TakenOver(id.clone())),
                    found => Err(Failure::new(format!(
                        "the shard has decided for another database than this database, which says that it is {}",
                        in_words(found.as_ref())
                    ))),
                }
            }
            Some(found) if *found == done => match &target {
                Some(found) if !to.is_replica && *found == given => Ok(Stage::Done),
                _ => Err(Failure::new(format!(
                    "the shard has already given the buckets {} to a new shard, which is not this database: use the new \
                     map",
                    self.given.buckets
                ))),
            },
            Some(Standing { ownership, giving_to: Some(name), .. }) if *ownership == self.kept => {
                Err(Failure::new(format!(
                    "the shard is giving the buckets {} to {name:?}: repeat the command for that shard, or take the buckets \
                 back with --take-back",
                    self.given.buckets
                )))
            }
            found if to.is_replica => Err(disagreement("the shard's database", &before, found.as_ref())),
            _ => Err(disagreement(
                "the new shard's database, which is no replica any more,",
                &giving,
                target.as_ref(),
            )),
        }
    }

    async fn positions(&self) -> Result<(Position, Position), Failure> {
        let from = self.source.position().await.map_err(Failure::during("the shard"))?;
        let to = self.target.position().await.map_err(Failure::during("the new shard"))?;
        Ok((from, to))
    }

    /// Fails with all reasons, unless the split can continue from this stage to its end.
    async fn check(&self, stage: &Stage, arguments: &Arguments) -> Result<(), Failure> {
        let promotes = matches!(stage, Stage::Ready | Stage::GivenAway);
        let is_unserved = matches!(stage, Stage::GivenAway | Stage::Promoted(_) | Stage::Decided(_));
        let looked = async {
            let mut problems = Vec::new();
            if promotes {
                problems.extend(self.problems_of_promotion(arguments.archives_are_separate).await?);
            }
            if *stage == Stage::Ready {
                problems.extend(self.problems_of_replica().await?);
                problems.extend(self.problem_of_synchrony(arguments.replica_is_not_synchronous).await?);
            }
            if let Some(path) = &arguments.write {
                problems.extend(self.map.problem_of_writing(path)?);
            }
            Ok::<_, Failure>(problems)
        };
        let problems = match looked.await {
            Err(failure) if is_unserved => return Err(self.unserved(&failure.to_string())),
            looked => looked?,
        };
        if problems.is_empty() {
            return Ok(());
        }
        let problems = problems.join("\n");
        Err(if is_unserved { self.unserved(&problems) } else { Failure::new(problems) })
    }

    /// Returns the problems that prevent the replica from following the shard closely, or the shard's user from giving buckets
    /// away.
    async fn problems_of_replica(&self) -> Result<Vec<String>, Failure> {
        let mut problems = Vec::new();
        if !self.source.may_change_buckets().await.map_err(Failure::during("the shard"))? {
            problems.push(
                "the user of the shard's URL may not change the table shard, which says what the database holds: \
                 split with the user who owns the database"
                    .to_owned(),
            );
        }
        let (from, to) = self.positions().await?;
        let lag = from.log_bytes.saturating_sub(to.log_bytes);
        if lag > MAX_LAG_BYTES {
            problems.push(format!(
                "the replica lags by {lag} bytes; the maximum is {MAX_LAG_BYTES}, so that it catches up at once: try again later"
            ));
        }
        let Following { is_streaming, is_paused, is_delayed } =
            self.target.following().await.map_err(Failure::during("the new shard"))?;
        let hindrances = [
            (!is_streaming, "does not stream from the shard: connect it (primary_conninfo)"),
            (is_paused, "does not replay what it receives: SELECT pg_wal_replay_resume()"),
            (is_delayed, "replays with a delay: set recovery_min_apply_delay to 0"),
        ];
        let hindrances = hindrances.into_iter().filter(|(is_so, _)| *is_so);
        problems.extend(hindrances.map(|(_, hindrance)| format!("the replica {hindrance}")));
        Ok(problems)
    }

    /// Returns a problem if commits wait for the replica: a promoted replica confirms no commit, so the shard's commits would
    /// hang.
    async fn problem_of_synchrony(&self, is_not: bool) -> Result<Option<String>, Failure> {
        let standbys = self.source.synchronous_standbys().await.map_err(Failure::during("the shard"))?;
        let Some(standbys) = standbys else { return Ok(None) };
        let slot = self.target.slot().await.map_err(Failure::during("the new shard"))?;
        let waits = match &slot {
            Some(slot) => self.source.waits_for_slot(slot).await.map_err(Failure::during("the shard"))?,
            None => None,
        };
        Ok(match waits {
            Some(false) => None,
            Some(true) => Some(format!(
                "commits wait for the replica: synchronous_standby_names is {standbys:?}. Once promoted, the replica \
                 confirms no commit, and all commits would hang. Remove it from synchronous_standby_names first"
            )),
            None if is_not => None,
            None => Some(format!(
                "commits wait for standbys ({standbys:?} in synchronous_standby_names), and the command cannot see whether \
                 the replica is one of them. Let the replica use a replication slot and grant the role pg_monitor to the \
                 user of the shard's URL, or give --replica-is-not-synchronous"
            )),
        })
    }

    /// Returns the problems that make a promotion of the replica impossible or harmful.
    async fn problems_of_promotion(&self, archives_are_separate: bool) -> Result<Vec<String>, Failure> {
        let during = || Failure::during("the new shard");
        let mut problems = Vec::new();
        if !self.target.may_change_buckets().await.map_err(during())? {
            problems.push(
                "the user of the new shard's URL may not change the table shard, which says what the database holds: use \
                 the user who owns the database"
                    .to_owned(),
            );
        }
        if !self.target.may_promote().await.map_err(during())? {
            problems.push(
                "the user of the new shard's URL may not promote it. On the shard's database, as a superuser: GRANT \
                 EXECUTE ON FUNCTION pg_promote(boolean, integer) TO that user"
                    .to_owned(),
            );
        }
        let theirs = self.target.archive().await.map_err(during())?;
        let own = self.source.archive().await.map_err(Failure::during("the shard"))?;
        if let Some(archive) = theirs
            && own.as_ref() == Some(&archive)
            && !archives_are_separate
        {
            problems.push(format!(
                "the new shard would archive its log where the shard does ({:?}), and the shard could not be restored \
                 any more. Give the replica an archive_command with a directory of its own, or archive_mode = off, and \
                 restart it. If the same command leads to another archive there, give --archives-are-separate",
                archive.command
            ));
        }
        Ok(problems)
    }

    async fn describe(&self, stage: &Stage) -> Result<(), Failure> {
        let Self { before, kept, given, .. } = self;
        output::line(format_args!(
            "{:?} keeps the buckets {}; {:?} gets {}.",
            before.name, kept.buckets, given.name, given.buckets
        ))?;
        let moving = self
            .source
            .holdings(kept.buckets)
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

    /// Continues from a stage to the end. Returns for how long no shard held the buckets; `None` if an earlier run began the
    /// split.
    async fn apply(&self, stage: Stage) -> Result<Option<Duration>, Failure> {
        let begun = Instant::now();
        let is_begun_here = stage == Stage::Ready;
        let (before, giving) = (Standing::of(self.before.clone()), self.giving(None));
        if stage == Stage::Restored {
            let given = self.source.step(&before, &Standing::of(self.kept.clone())).await;
            return given.map(|()| None).map_err(Failure::during("giving the buckets away again"));
        }
        if is_begun_here {
            let given_away = self.source.step(&before, &giving).await;
            given_away.map_err(|error| match error {
                StoreError::OutcomeUnknown(_) => {
                    self.unserved(&Failure::during("giving the buckets away")(error).to_string())
                }
                error => Failure::during("giving the buckets away")(error),
            })?;
        }
        if matches!(stage, Stage::Ready | Stage::GivenAway) {
            self.wait_for_replica_or_undo().await?;
            let promoted = self.promote().await;
            promoted.map_err(|failure| self.unserved(&format!("promoting the replica: {failure}")))?;
        }
        let id = match stage {
            Stage::Ready | Stage::GivenAway => self.decide(None).await?,
            Stage::Promoted(name) => self.decide(name).await?,
            Stage::Decided(id) | Stage::TakenOver(id) => id,
            Stage::Restored | Stage::Done => return Ok(None),
        };
        let (decided, given) = (self.giving(Some(id)), Standing::of(self.given.clone()));
        if self.target.standing().await.map_err(Failure::during("the new shard"))?.as_ref() != Some(&given) {
            let taken_over = self.target.step(&decided, &given).await;
            taken_over.map_err(|error| {
                self.unserved(&Failure::during("taking the buckets over")(error).to_string())
            })?;
        }
        let done = self.source.step(&decided, &Standing::of(self.kept.clone())).await;
        done.map_err(Failure::during(
            "recording that the new shard has the buckets (run the command again)",
        ))?;
        Ok(is_begun_here.then(|| begun.elapsed()))
    }

    async fn promote(&self) -> Result<(), StoreError> {
        if self.target.position().await?.is_replica { self.target.promote().await } else { Ok(()) }
    }

    /// Gives the promoted database a random name, and records the shard's decision for this name. After the decision, the buckets
    /// cannot be taken back, and no other database can take them over.
    async fn decide(&self, name: Option<String>) -> Result<String, Failure> {
        let id = if let Some(id) = name {
            id
        } else {
            let id = format!("{:016x}{:016x}", SystemRandom.next_u64(), SystemRandom.next_u64());
            let named = self.target.step(&self.giving(None), &self.giving(Some(id.clone()))).await;
            named.map_err(|error| {
                self.unserved(&Failure::during("naming the new shard")(error).to_string())
            })?;
            id
        };
        let decided = self.source.step(&self.giving(None), &self.giving(Some(id.clone()))).await;
        decided.map_err(|error| {
            self.unserved(&Failure::during("deciding for the new shard")(error).to_string())
        })?;
        Ok(id)
    }

    /// Returns a failure that tells the operator that no shard may serve the moving buckets.
    fn unserved(&self, failure: &str) -> Failure {
        Failure::new(format!(
            "{failure}. No shard may serve the buckets {} now: run this command again. If the new machine is lost for good, \
             run it with --take-back instead of --apply",
            self.given.buckets
        ))
    }

    /// Takes the buckets back, whatever the state of the replica. After that, the replica cannot take the buckets over.
    async fn take_back_or_refuse(&self) -> Result<(), Failure> {
        let found = self.source.standing().await.map_err(Failure::during("the shard"))?;
        let refusal = match &found {
            Some(found) if *found == self.giving(None) => None,
            Some(found) if *found == Standing::of(self.before.clone()) => {
                Some("the shard gives no buckets away: there is nothing to take back")
            }
            Some(found) if *found == Standing::of(self.kept.clone()) => {
                Some("the split is complete: the new shard holds the buckets")
            }
            Some(found) if *found == self.giving(found.decided_for.clone()) => Some(
                "the shard has decided for the new shard, which may hold the buckets: run the command with --apply",
            ),
            _ => None,
        };
        if let Some(refusal) = refusal {
            return Err(Failure::new(refusal));
        }
        let taken_back = self.source.step(&self.giving(None), &Standing::of(self.before.clone())).await;
        taken_back.map_err(Failure::during("taking the buckets back"))?;
        output::line(format_args!(
            "{:?} holds the buckets {} again. Do not use the replica any more: create a new replica for another split.",
            self.before.name, self.before.buckets
        ))
    }

    /// Waits until the replica, too, states that the buckets are given away, which is the last write for them. If the replica
    /// fails to catch up, the shard takes the buckets back.
    async fn wait_for_replica_or_undo(&self) -> Result<(), Failure> {
        let end = self
            .source
            .position()
            .await
            .map_err(|error| self.unserved(&Failure::during("the shard")(error).to_string()))?;
        let Err(failure) = self.wait_for_replica(end.log_bytes).await else { return Ok(()) };
        match self.source.step(&self.giving(None), &Standing::of(self.before.clone())).await {
            Ok(()) => Err(Failure::new(format!("{failure}. The shard has taken the buckets back"))),
            Err(error) => {
                Err(self.unserved(&format!("{failure}. The shard could not take the buckets back ({error})")))
            }
        }
    }

    async fn wait_for_replica(&self, end: u64) -> Result<(), Failure> {
        let follow = async {
            loop {
                let position = self.target.position().await?;
                // A replica that an earlier run promoted must state it, too.
                if (position.log_bytes >= end || !position.is_replica)
                    && self.target.standing().await? == Some(self.giving(None))
                {
                    return Ok(());
                }
                if !position.is_replica {
                    return Err(StoreError::Unfit("it does not follow the shard any more".to_owned()));
                }
                tokio::time::sleep(CATCH_UP_POLL).await;
            }
        };
        match tokio::time::timeout(CATCH_UP_LIMIT, follow).await {
            Ok(followed) => followed.map_err(Failure::during("waiting for the replica")),
            Err(_) => Err(Failure::new(format!("the replica did not catch up within {CATCH_UP_LIMIT:?}"))),
        }
    }
}

fn disagreement(what: &str, expected: &Standing, found: Option<&Standing>) -> Failure {
    Failure::new(format!("{what} says that it is {}, not {expected}", in_words(found)))
}

fn in_words(found: Option<&Standing>) -> String {
    found.map_or_else(|| "in no map".to_owned(), ToString::to_string)
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
