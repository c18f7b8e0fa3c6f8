//! The steps of a split, in both directions.

use std::time::{Duration, Instant};

use dabba_engine::{Random as _, SystemRandom};
use dabba_store::StoreError;
use dabba_store_postgres::admin::ShardState;

use super::{Split, Stage};
use crate::{failure::Failure, output};

/// Maximum time for the replica to catch up. After it, the shard takes the buckets back.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(10);

/// Interval at which the replica's position is polled.
const CATCH_UP_POLL: Duration = Duration::from_millis(5);

impl Split {
    /// Continues from a stage to the end. Returns for how long no shard held the buckets; `None` if an earlier run began the
    /// split.
    pub(super) async fn apply(&self, stage: Stage) -> Result<Option<Duration>, Failure> {
        let begun = Instant::now();
        let is_begun_here = stage == Stage::Ready;
        let (before, giving) = (ShardState::of(self.before.clone()), self.giving(None));
        if stage == Stage::Restored {
            let given = self.source.step(&before, &ShardState::of(self.kept.clone())).await;
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
        let (decided, given) = (self.giving(Some(id)), ShardState::of(self.given.clone()));
        if self.target.shard_state().await.map_err(Failure::during("the new shard"))?.as_ref() != Some(&given)
        {
            let taken_over = self.target.step(&decided, &given).await;
            taken_over.map_err(|error| {
                self.unserved(&Failure::during("taking the buckets over")(error).to_string())
            })?;
        }
        let done = self.source.step(&decided, &ShardState::of(self.kept.clone())).await;
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

    /// Takes the buckets back, whatever the state of the replica. After that, the replica cannot take the buckets over.
    pub(super) async fn take_back_or_refuse(&self) -> Result<(), Failure> {
        let found = self.source.shard_state().await.map_err(Failure::during("the shard"))?;
        let refusal = match &found {
            Some(found) if *found == self.giving(None) => None,
            Some(found) if *found == ShardState::of(self.before.clone()) => {
                Some("the shard gives no buckets away: there is nothing to take back")
            }
            Some(found) if *found == ShardState::of(self.kept.clone()) => {
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
        let taken_back = self.source.step(&self.giving(None), &ShardState::of(self.before.clone())).await;
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
        match self.source.step(&self.giving(None), &ShardState::of(self.before.clone())).await {
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
                    && self.target.shard_state().await? == Some(self.giving(None))
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
