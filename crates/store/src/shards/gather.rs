//! Calls to many shards at once, tolerating shards that do not answer.

use futures::future::{BoxFuture, join_all};

use super::{
    router::ShardedStore,
    shard::{Effect, Shard},
};
use crate::{Store, StoreError};

/// Answers and failures of some shards, by index.
pub(super) struct Gathered<T> {
    pub(super) answers: Vec<(usize, T)>,
    pub(super) failures: Vec<(usize, StoreError)>,
}

impl<T> Gathered<T> {
    /// Returns the answers. Fails if every shard failed.
    pub(super) fn any(self) -> Result<Vec<T>, StoreError> {
        if self.answers.is_empty() && !self.failures.is_empty() {
            return Err(most_severe(self.failures));
        }
        Ok(self.answers.into_iter().map(|(_, answer)| answer).collect())
    }

    /// Returns the pages of a list, and whether entries may be missing because a shard did not answer. Fails if every
    /// shard failed.
    ///
    /// A record that a shard cannot decode is an error, as on a single database: the shard answers, and this server would
    /// not decode the record in a repeated request either. The error names the record.
    pub(super) fn pages(self) -> Result<(Vec<T>, bool), StoreError> {
        let is_undecodable =
            |error: &StoreError| matches!(error, StoreError::Corrupt(_) | StoreError::WrittenByNewer(_));
        if self.failures.iter().any(|(_, error)| is_undecodable(error)) {
            return Err(most_severe(self.failures));
        }
        let is_any_missing = !self.failures.is_empty();
        Ok((self.any()?, is_any_missing))
    }
}

/// Combines the errors of several shards into one: the kind with the weakest guarantee, and all texts.
pub(super) fn most_severe(failures: Vec<(usize, StoreError)>) -> StoreError {
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
    let mut most_severe: (u8, Kind) = (0, StoreError::Contention);
    let mut texts = Vec::with_capacity(failures.len());
    for (_, error) in failures {
        let (rank, kind, text) = ranked(error);
        if rank > most_severe.0 {
            most_severe = (rank, kind);
        }
        texts.push(text);
    }
    most_severe.1(texts.join("; "))
}

impl ShardedStore {
    /// Calls these shards concurrently, each with the timeout. Skips shards that are paused after a
    /// timeout, unless all shards are paused.
    pub(super) async fn ask<'a, T: Send>(
        &'a self,
        indices: &[usize],
        effect: Effect,
        call: impl Fn(usize, &'a dyn Store) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync,
    ) -> Gathered<T> {
        let all_paused = self.shards.iter().all(Shard::is_paused);
        let answers = join_all(indices.iter().map(|index| {
            let shard: &Shard = &self.shards[*index];
            let call = (all_paused || !shard.is_paused()).then(|| call(*index, shard.store()));
            async move {
                match call {
                    Some(call) => shard.answer_within(self.timeout, effect, call).await,
                    None => Err(shard.paused_error()),
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

    /// Sends a read to every shard.
    pub(super) async fn ask_all<'a, T: Send>(
        &'a self,
        call: impl Fn(&'a dyn Store) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync,
    ) -> Gathered<T> {
        let indices: Vec<usize> = (0..self.shards.len()).collect();
        self.ask(&indices, Effect::None, |_, store| call(store)).await
    }

    /// Distributes `limit` equally over all shards; the unused part of a shard's share goes to the other
    /// shards. `call` processes at most the given number in a shard, and `count` returns the number that it
    /// processed.
    ///
    /// The share of a shard counts as processed if its outcome is unknown, so that the limit is never
    /// exceeded. Fails only if every shard fails.
    pub(super) async fn distribute<'a, T: Send>(
        &'a self,
        limit: u32,
        call: impl Fn(&'a dyn Store, u32) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync,
        count: impl Fn(&T) -> u32 + Send + Sync,
    ) -> Result<Vec<T>, StoreError> {
        // The shards that may have more. Each call begins with the next shard, so that the remainder of the
        // division alternates.
        let mut open = self.in_turn();
        let (mut left, mut taken, mut failures) = (limit, Vec::new(), Vec::new());
        // Each round uses up the rest of the limit, or finds a shard that has no more.
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
        if failures.len() == self.shards.len() { Err(most_severe(failures)) } else { Ok(taken) }
    }
}

/// Divides an amount into equal shares; the first shards get the remainder, one each. Omits shards without a
/// share.
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
    fn the_combined_error_has_the_weakest_guarantee() {
        let error = |errors: Vec<StoreError>| most_severe((0..).zip(errors).collect());
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
