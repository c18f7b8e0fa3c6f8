//! The conditions of a split, checked before the first step.

use dabba_store_postgres::admin::ReplicationStatus;

use super::{Arguments, Split, Stage};
use crate::failure::Failure;

/// Maximum lag of the replica at the start of the split. While the replica replays the rest, no shard serves the moving buckets.
const MAX_LAG_BYTES: u64 = 1024 * 1024;

impl Split {
    /// Fails with all reasons, unless the split can continue from this stage to its end.
    pub(super) async fn check(&self, stage: &Stage, arguments: &Arguments) -> Result<(), Failure> {
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
        let ReplicationStatus { is_streaming, is_paused, is_delayed } =
            self.target.replication_status().await.map_err(Failure::during("the new shard"))?;
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
}
