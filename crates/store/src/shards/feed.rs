//! The feed of all shards: each in its own order, by turns.
//!
//! Shards commit without each other, so there is no order among them that a late event could not
//! break. What matters holds: a restaurant's events are all on one shard, and come in that shard's
//! order. Turns are taken event by event, and whose turn it is stands in the cursor, so a busy shard
//! never holds back another whatever the size of a page.

use std::collections::VecDeque;

use super::{cursor::Place, gather::gravest, router::ShardedStore, shard::Effect};
use crate::{FeedCursor, FeedEntry, StoreError};

/// What is known of one shard's feed during a call.
struct Lane {
    /// Read and not yet passed on.
    waiting: VecDeque<FeedEntry>,
    /// Behind all that was read.
    behind: FeedCursor,
    /// Nothing more is to be had of it in this call.
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
        let lane =
            |behind: &FeedCursor| Lane { waiting: VecDeque::new(), behind: behind.clone(), is_at_end: false };
        let mut lanes: Vec<Lane> = place.shards.iter().map(lane).collect();
        let (mut entries, mut failures) = (Vec::new(), Vec::new());
        while entries.len() < limit {
            match whose_turn(&lanes, place.turn) {
                Turn::Entry(index) => {
                    let Some(entry) = lanes[index].waiting.pop_front() else { break };
                    place.shards[index] = entry.cursor;
                    place.turn = (index + 1) % lanes.len();
                    entries.push(FeedEntry { cursor: place.write(self.digest), event: entry.event });
                }
                // Gets something of that shard, or finds that it is at its end.
                Turn::Unread => failures.extend(self.read_on(&mut lanes, limit - entries.len()).await?),
                Turn::AtEnd => break,
            }
        }
        if failures.len() == self.shards.len() && entries.is_empty() {
            return Err(gravest(failures));
        }
        Ok(entries)
    }

    /// Reads on where nothing is waiting: an equal part of what is still wanted. Answers which shards
    /// failed; they are at their end for now, and go on another time from where they were.
    async fn read_on(
        &self,
        lanes: &mut [Lane],
        wanted: usize,
    ) -> Result<Vec<(usize, StoreError)>, StoreError> {
        let open = lanes.iter().filter(|lane| !lane.is_at_end).count().max(1);
        let share = u32::try_from(wanted.div_ceil(open)).unwrap_or(u32::MAX);
        let is_wanted = |lane: &Lane| !lane.is_at_end && lane.waiting.is_empty();
        let asked: Vec<usize> = (0..lanes.len()).filter(|index| is_wanted(&lanes[*index])).collect();
        let behind: Vec<FeedCursor> = lanes.iter().map(|lane| lane.behind.clone()).collect();
        let gathered = self
            .ask(&asked, Effect::None, |index, store| {
                let behind = behind[index].clone();
                Box::pin(async move { store.feed(&behind, share).await })
            })
            .await;
        for (index, answer) in gathered.answers {
            let lane = &mut lanes[index];
            lane.is_at_end = answer.len() < share as usize;
            if let Some(last) = answer.last() {
                lane.behind = last.cursor.clone();
            }
            lane.waiting.extend(answer);
        }
        for (index, error) in &gathered.failures {
            // A follower whose cursor is damaged would wait for that shard for ever.
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
    /// It would be that of a shard of which nothing is read yet.
    Unread,
    /// There are no more.
    AtEnd,
}

fn whose_turn(lanes: &[Lane], first: usize) -> Turn {
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
