//! The feed of all shards: each shard in its own order, in turns.
//!
//! Shards commit independently of each other, so an event that commits late would break any common order. The
//! feed guarantees only what callers need: a restaurant's events are all on one shard, and appear in that
//! shard's order. The turn changes with each event, and the cursor holds the next turn, so that a busy shard
//! never delays another, whatever the page size.

use std::collections::VecDeque;

use super::{cursor::Place, gather::most_severe, router::ShardedStore, shard::Effect};
use crate::{FeedCursor, FeedEntry, StoreError};

/// State of one shard's feed during a call.
struct Lane {
    /// Entries that were read and not yet returned.
    waiting: VecDeque<FeedEntry>,
    /// Position after all entries that were read.
    position: FeedCursor,
    /// Whether the shard has no more entries for this call.
    is_at_end: bool,
}

impl ShardedStore {
    pub(super) async fn merged_feed(
        &self,
        after: &FeedCursor,
        limit: u32,
    ) -> Result<Vec<FeedEntry>, StoreError> {
        let limit = limit as usize;
        let mut place = Place::read(after, self.digest, self.shards.len())?;
        let lane = |position: &FeedCursor| Lane {
            waiting: VecDeque::new(),
            position: position.clone(),
            is_at_end: false,
        };
        let mut lanes: Vec<Lane> = place.shards.iter().map(lane).collect();
        let (mut entries, mut failures) = (Vec::new(), Vec::new());
        while entries.len() < limit {
            match next_turn(&lanes, place.turn) {
                Turn::Entry(index) => {
                    let Some(entry) = lanes[index].waiting.pop_front() else { break };
                    place.shards[index] = entry.cursor;
                    place.turn = (index + 1) % lanes.len();
                    entries.push(FeedEntry { cursor: place.write(self.digest), event: entry.event });
                }
                // Reads entries of that shard, or finds that it is at its end.
                Turn::Unread => failures.extend(self.read_more(&mut lanes, limit - entries.len()).await?),
                Turn::AtEnd => break,
            }
        }
        if failures.len() == self.shards.len() && entries.is_empty() {
            return Err(most_severe(failures));
        }
        Ok(entries)
    }

    /// Reads more entries from each shard that has none waiting: an equal share of the entries that are still
    /// needed. Returns the shards that failed. They count as at their end for this call; a later call
    /// continues from their positions.
    async fn read_more(
        &self,
        lanes: &mut [Lane],
        wanted: usize,
    ) -> Result<Vec<(usize, StoreError)>, StoreError> {
        let open = lanes.iter().filter(|lane| !lane.is_at_end).count().max(1);
        let share = u32::try_from(wanted.div_ceil(open)).unwrap_or(u32::MAX);
        let is_wanted = |lane: &Lane| !lane.is_at_end && lane.waiting.is_empty();
        let asked: Vec<usize> = (0..lanes.len()).filter(|index| is_wanted(&lanes[*index])).collect();
        let positions: Vec<FeedCursor> = lanes.iter().map(|lane| lane.position.clone()).collect();
        let gathered = self
            .ask(&asked, Effect::None, |index, store| {
                let position = positions[index].clone();
                Box::pin(async move { store.feed(&position, share).await })
            })
            .await;
        for (index, answer) in gathered.answers {
            let lane = &mut lanes[index];
            lane.is_at_end = answer.len() < share as usize;
            if let Some(last) = answer.last() {
                lane.position = last.cursor.clone();
            }
            lane.waiting.extend(answer);
        }
        for (index, error) in &gathered.failures {
            // Retrying cannot repair a damaged cursor, so the caller must see the error.
            if matches!(error, StoreError::Corrupt(_)) {
                return Err(error.clone());
            }
            lanes[*index].is_at_end = true;
        }
        Ok(gathered.failures)
    }
}

enum Turn {
    /// An event of this shard is next.
    Entry(usize),
    /// The shard whose turn is next has not been read yet.
    Unread,
    /// No shard has more events.
    AtEnd,
}

fn next_turn(lanes: &[Lane], first: usize) -> Turn {
    for index in (first..lanes.len()).chain(0..first) {
        if !lanes[index].waiting.is_empty() {
            return Turn::Entry(index);
        }
        if !lanes[index].is_at_end {
            return Turn::Unread;
        }
    }
    Turn::AtEnd
}
