//! Asking many shards at once, and making do with those that answer.

use futures::future::{BoxFuture, join_all};

use super::{
    router::ShardedStore,
    shard::{Effect, Shard},
};
use crate::{Store, StoreError};

/// What some shards answered, by index.
pub(super) struct Gathered<T> {
    pub(super) answers: Vec<(usize, T)>,
    pub(super) failures: Vec<(usize, StoreError)>,
}

impl<T> Gathered<T> {
    /// The answers, if there is one at all.
    pub(super) fn any(self) -> Result<Vec<T>, StoreError> {
        if self.answers.is_empty() && !self.failures.is_empty() {
            return Err(gravest(self.failures));
        }
        Ok(self.answers.into_iter().map(|(_, answer)| answer).collect())
    }
}

/// One error for those of several shards: the kind that promises least, and all texts.
pub(super) fn gravest(failures: Vec<(usize, StoreError)>) -> StoreError {
    type Kind = fn(String) -> StoreError;
    let ranked = |error: StoreError| -> (u8, Kind, String) {
        match error {
            StoreError::Contention(text) => (0, StoreError::Contention, text),
            StoreError::Unavailable(text) => (1, StoreError::Unavailable, text),
            StoreError::Unfit(text) => (2, StoreError::Unfit, text),
            StoreError::WrittenByNewer(text) => (3, StoreError::WrittenByNewer, text),
            StoreError::OutcomeUnknown(text) => (4, StoreError::OutcomeUnknown, text),
            StoreError::Corrupt(text) => (5, StoreError::Corrupt, text),
        }
    };
    let mut gravest: (u8, Kind) = (0, StoreError::Contention);
    let mut texts = Vec::with_capacity(failures.len());
    for (_, error) in failures {
        let (rank, kind, text) = ranked(error);
        if rank > gravest.0 {
            gravest = (rank, kind);
        }
        texts.push(text);
    }
    gravest.1(texts.join("; "))
}

impl ShardedStore {
    /// Asks these shards at once, each within the limit of time. Those that are resting after a
    /// silence are passed over, unless all shards are.
    pub(super) async fn ask<'a, T: Send>(
        &'a self,
        indices: &[usize],
        effect: Effect,
        call: impl Fn(usize, &'a dyn Store) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync,
    ) -> Gathered<T> {
        let all_rest = self.shards.iter().all(Shard::rests);
        let answers = join_all(indices.iter().map(|index| {
            let shard: &Shard = &self.shards[*index];
            let call = (all_rest || !shard.rests()).then(|| call(*index, shard.store()));
            async move {
                match call {
                    Some(call) => shard.answer_within(self.time_limit, effect, call).await,
                    None => Err(shard.resting_error()),
                }
            }
        }))
        .await;
        let mut gathered = Gathered { answers: Vec::new(), failures: Vec::new() };
        for (index, answer) in indices.iter().zip(answers) {
            match answer {
                Ok(answer) => gathered.answers.push((*index, answer)),
                Err(error) => gathered.failures.push((*index, error)),
            }
        }
        gathered
    }

    /// Asks every shard a question.
    pub(super) async fn ask_all<'a, T: Send>(
        &'a self,
        call: impl Fn(&'a dyn Store) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync,
    ) -> Gathered<T> {
        let indices: Vec<usize> = (0..self.shards.len()).collect();
        self.ask(&indices, Effect::None, |_, store| call(store)).await
    }

    /// Takes at most `limit` of something from all shards together, from each an equal share; what one
    /// has not is taken from the others. `call` takes so many from a shard, and `count` says how many
    /// they were.
    ///
    /// A share that may have been taken although the shard did not say so counts as taken: the limit
    /// is never exceeded. Fails only when every shard does.
    pub(super) async fn take<'a, T: Send>(
        &'a self,
        limit: u32,
        call: impl Fn(&'a dyn Store, u32) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync,
        count: impl Fn(&T) -> u32 + Send + Sync,
    ) -> Result<Vec<T>, StoreError> {
        // The shards that may have more. Each call begins with another one, to whom the remainder of
        // the division goes.
        let mut open = self.in_turn();
        let (mut left, mut taken, mut failures) = (limit, Vec::new(), Vec::new());
        // Each round takes all that is left, or finds a shard that has no more.
        while left > 0 && !open.is_empty() {
            let shares = shares(left, &open);
            let share_of =
                |index: usize| shares.iter().find(|(open, _)| *open == index).map_or(0, |(_, share)| *share);
            let asked: Vec<usize> = shares.iter().map(|(index, _)| *index).collect();
            let gathered =
                self.ask(&asked, Effect::Possible, |index, store| call(store, share_of(index))).await;
            for (index, answer) in gathered.answers {
                let found = count(&answer);
                left = left.saturating_sub(found);
                if found < share_of(index) {
                    open.retain(|other| *other != index);
                }
                taken.push(answer);
            }
            for (index, error) in gathered.failures {
                if matches!(error, StoreError::OutcomeUnknown(_)) {
                    left = left.saturating_sub(share_of(index));
                }
                open.retain(|other| *other != index);
                failures.push((index, error));
            }
        }
        if failures.len() == self.shards.len() { Err(gravest(failures)) } else { Ok(taken) }
    }
}

/// Divides an amount, those at the front getting one more. Who gets nothing is not there.
fn shares(amount: u32, indices: &[usize]) -> Vec<(usize, u32)> {
    let count = u32::try_from(indices.len()).unwrap_or(u32::MAX).max(1);
    let (share, remainder) = (amount / count, amount % count);
    let more = (0..).map(|place: u32| share + u32::from(place < remainder));
    indices.iter().copied().zip(more).filter(|(_, share)| *share > 0).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_are_even_and_add_up(amount in 0_u32..1_000, count in 1_usize..64) {
            let indices: Vec<usize> = (0..count).collect();
            let shares = shares(amount, &indices);
            prop_assert_eq!(shares.iter().map(|(_, share)| share).sum::<u32>(), amount);
            let sizes = || shares.iter().map(|(_, share)| *share);
            prop_assert!(sizes().max().unwrap_or(0) - sizes().min().unwrap_or(0) <= 1);
            prop_assert!(sizes().all(|share| share > 0));
        }
    }

    #[test]
    fn the_error_of_several_is_the_one_that_promises_least() {
        let error = |errors: Vec<StoreError>| gravest((0..).zip(errors).collect());
        let text = |text: &str| text.to_owned();
        assert_eq!(
            error(vec![StoreError::Unavailable(text("a")), StoreError::Contention(text("b"))]),
            StoreError::Unavailable(text("a; b"))
        );
        assert_eq!(
            error(vec![StoreError::OutcomeUnknown(text("a")), StoreError::Unavailable(text("b"))]),
            StoreError::OutcomeUnknown(text("a; b"))
        );
        assert_eq!(
            error(vec![StoreError::Unfit(text("a")), StoreError::Unavailable(text("b"))]),
            StoreError::Unfit(text("a; b"))
        );
        assert_eq!(error(vec![StoreError::Contention(text("a"))]), StoreError::Contention(text("a")));
        assert_eq!(
            error(vec![StoreError::Corrupt(text("a")), StoreError::OutcomeUnknown(text("b"))]),
            StoreError::Corrupt(text("a; b"))
        );
    }
}
