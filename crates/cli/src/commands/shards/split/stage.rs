//! The stage of a split, read from what the two databases state.

use dabba_store_postgres::admin::ShardState;

use super::Split;
use crate::failure::Failure;

/// Stage of a split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
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

impl Split {
    /// Reads the stage of the split from the databases. Fails if their statements do not match.
    pub(super) async fn stage(&self) -> Result<Stage, Failure> {
        let (from, to) = self.positions().await?;
        if from.system_identifier != to.system_identifier || from.database != to.database {
            return Err(Failure::new("the new shard's database is not a physical replica of the shard's"));
        }
        if from.is_replica {
            return Err(Failure::new("the shard's database is a replica itself"));
        }
        let source = self.source.shard_state().await.map_err(Failure::during("the shard"))?;
        let target = self.target.shard_state().await.map_err(Failure::during("the new shard"))?;
        let (before, giving) = (ShardState::of(self.before.clone()), self.giving(None));
        let (done, given) = (ShardState::of(self.kept.clone()), ShardState::of(self.given.clone()));
        // A replica states what the shard stated at the replica's position.
        let follows = |states: &[&ShardState]| match &target {
            Some(found) if states.contains(&found) => Ok(()),
            found => Err(disagreement("the new shard's database", states[0], found.as_ref())),
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
            Some(ShardState { ownership, receiver: Some(name), decided_for: Some(id) })
                if *ownership == self.kept && *name == self.given.name =>
            {
                match &target {
                    Some(found) if !to.is_replica && *found == self.giving(Some(id.clone())) => {
                        Ok(Stage::Decided(id.clone()))
                    }
                    Some(found) if !to.is_replica && *found == given => Ok(Stage::TakenOver(id.clone())),
                    found => Err(Failure::new(format!(
                        "the shard has decided for another database; the database of --new-url says that it is {}",
                        in_words(found.as_ref())
                    ))),
                }
            }
            Some(found) if *found == done => match &target {
                Some(found) if !to.is_replica && *found == given => Ok(Stage::Done),
                _ => Err(Failure::new(format!(
                    "the shard has already given the buckets {} to a new shard, which is not the database of --new-url: use \
                     the new map",
                    self.given.buckets
                ))),
            },
            Some(ShardState { ownership, receiver: Some(name), .. }) if *ownership == self.kept => {
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
}

fn disagreement(what: &str, expected: &ShardState, found: Option<&ShardState>) -> Failure {
    Failure::new(format!("{what} says that it is {}, not {expected}", in_words(found)))
}

fn in_words(found: Option<&ShardState>) -> String {
    found.map_or_else(|| "in no map".to_owned(), ToString::to_string)
}
