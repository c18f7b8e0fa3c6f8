//! The feed: the events of all shards, read with a cursor.
//!
//! Each shard has its own order, so the feed takes the events of the shards in turns. The events of one order, and of
//! one restaurant, are in one shard and appear in commit order.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use dabba_store::{CursorVoid, FeedCursor, FeedEnd, FeedPosition, StoreError};
use futures::future::join_all;
use tokio::time::Instant;

use crate::{
    Filter,
    live::{Live, LiveEvent, Shared, shard::Shard},
};

/// Maximum number of events per read of a shard.
const PAGE: u32 = 500;

/// Limits of one read of the feed. A read that reaches a limit returns what it has found; the next read continues.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Number of events to read from the store, including those that the filter removes, after which no further page is
    /// read.
    pub max_scanned: usize,
    /// Memory of the events of the page, in bytes, after which it contains no further event.
    pub max_bytes: usize,
    /// Time after which no further page is read.
    pub time: Duration,
}

impl Default for Budget {
    /// 10,000 events, 4 MiB and 10 seconds.
    fn default() -> Self {
        Self { max_scanned: 10_000, max_bytes: 4 * 1024 * 1024, time: Duration::from_secs(10) }
    }
}

/// Where a consumer begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// After the last event.
    Now,
    /// Before the first event.
    Beginning,
    /// After the events before this cursor.
    After(FeedCursor),
}

/// Reason why the feed cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FeedError {
    /// The cursor is void: the consumer must begin again.
    #[error("{0}; begin again with after=start, or without after for new events only")]
    Expired(#[from] CursorVoid),
    /// No shard that has the events answers, or the end of a shard is unknown.
    #[error("the databases with the events do not answer")]
    Unavailable,
    /// Stored data is damaged, or another error that a retry does not resolve.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for FeedError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt(_) => Self::Store(error),
            _ => Self::Unavailable,
        }
    }
}

/// A page of the feed.
#[derive(Clone, Debug)]
pub struct FeedRead {
    /// The events that pass the filter.
    pub events: Vec<Arc<LiveEvent>>,
    /// The position after these events, and after the events before and between them that the filter removed.
    pub cursor: FeedCursor,
    /// Whether no more events followed, in the shards that answered, when the page was read.
    pub is_at_end: bool,
    /// Whether a shard did not answer. Its position in the cursor is unchanged: its events follow when it answers.
    pub is_incomplete: bool,
}

/// A shard's part in a read or in a stream.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) shard: Arc<Shard>,
    /// The position of the consumer; `None` if the shard has not answered.
    pub(crate) at: Option<FeedEnd>,
}

impl Live {
    /// Reads at most `limit` events after a cursor.
    pub async fn read(
        &self,
        start: Start,
        filter: &Filter,
        limit: usize,
        budget: Budget,
    ) -> Result<FeedRead, FeedError> {
        let (cursor, lanes) = self.shared.lanes(start, filter).await?;
        Reading::new(&self.shared, filter, limit, budget, cursor, lanes).run().await
    }
}

impl Shared {
    /// Returns the cursor at which a consumer begins, and the shards that have its events. Queries only shards of whose
    /// feeds this process does not know enough.
    pub(crate) async fn lanes(
        &self,
        start: Start,
        filter: &Filter,
    ) -> Result<(FeedCursor, Vec<Lane>), FeedError> {
        let shards = self.shards_of(filter.restaurant);
        let mut cursor = match start {
            Start::Beginning => FeedCursor::at_start(&self.sources),
            Start::After(cursor) => cursor,
            Start::Now => {
                // Shards without events of the restaurant keep the start: nobody reads them with this cursor, and a
                // consumer that reads all restaurants with it receives too much rather than too little.
                let mut cursor = FeedCursor::at_start(&self.sources);
                let read = self.ends(&shards, false).await;
                for (shard, end) in shards.iter().zip(&read) {
                    let end = end.or_else(|| shard.known()).ok_or(FeedError::Unavailable)?;
                    cursor.set(&shard.name, end.incarnation, end.position);
                }
                cursor
            }
        };
        let known = self.ends(&shards, true).await;
        let resolved = if let Ok(resolved) = self.resolve(&mut cursor, &shards, &known) {
            resolved
        } else {
            // The feed may have grown beyond the known end, or the database was restored.
            let read = self.ends(&shards, false).await;
            self.resolve(&mut cursor, &shards, &read)?
        };
        let lanes = shards.into_iter().zip(resolved).map(|(shard, at)| Lane { shard, at }).collect();
        Ok((cursor, lanes))
    }

    /// Returns the ends of the feeds of shards: with `may_be_known` the known end of a shard if there is one, otherwise
    /// the present one; `None` for a shard that does not answer.
    async fn ends(&self, shards: &[Arc<Shard>], may_be_known: bool) -> Vec<Option<FeedEnd>> {
        let end = async |shard: &Arc<Shard>| match shard.known().filter(|_| may_be_known) {
            Some(known) => Some(known),
            None => self.feed_end(shard).await.ok(),
        };
        join_all(shards.iter().map(end)).await
    }

    /// Returns the position of a cursor in each of these shards, whose ends are given.
    pub(crate) fn resolve(
        &self,
        cursor: &mut FeedCursor,
        shards: &[Arc<Shard>],
        ends: &[Option<FeedEnd>],
    ) -> Result<Vec<Option<FeedEnd>>, CursorVoid> {
        let mut all = vec![None; self.sources.len()];
        for (shard, end) in shards.iter().zip(ends) {
            all[shard.index] = *end;
        }
        let positions = cursor.resolve(&self.sources, &all)?;
        let place = |shard: &Arc<Shard>| {
            let (end, position) = (all[shard.index]?, positions[shard.index]?);
            Some(FeedEnd { incarnation: end.incarnation, position })
        };
        Ok(shards.iter().map(place).collect())
    }
}

/// A read under way.
struct Reading<'a> {
    shared: &'a Shared,
    filter: &'a Filter,
    limit: usize,
    cursor: FeedCursor,
    lanes: Vec<ReadingLane>,
    events: Vec<Arc<LiveEvent>>,
    /// Memory of `events`, in bytes.
    bytes: usize,
    scanned: usize,
    budget: Budget,
}

struct ReadingLane {
    lane: Lane,
    /// Events that were read and are not yet part of the page.
    waiting: VecDeque<Arc<LiveEvent>>,
    is_at_end: bool,
    has_failed: bool,
}

impl<'a> Reading<'a> {
    fn new(
        shared: &'a Shared,
        filter: &'a Filter,
        limit: usize,
        budget: Budget,
        cursor: FeedCursor,
        mut lanes: Vec<Lane>,
    ) -> Self {
        // Another shard begins in each read, so that a busy shard does not delay the others, whatever the page size.
        let first = shared.reads.fetch_add(1, Ordering::Relaxed) % lanes.len().max(1);
        lanes.rotate_left(first);
        let lanes = lanes.into_iter().map(|lane| {
            let has_failed = lane.at.is_none();
            ReadingLane { lane, waiting: VecDeque::new(), is_at_end: false, has_failed }
        });
        let lanes = lanes.collect();
        Self { shared, filter, limit, cursor, lanes, events: Vec::new(), bytes: 0, scanned: 0, budget }
    }

    /// Returns whether the page contains as much as it may.
    const fn is_full(&self) -> bool {
        self.events.len() >= self.limit || self.bytes >= self.budget.max_bytes
    }

    async fn run(mut self) -> Result<FeedRead, FeedError> {
        let (began, budget) = (Instant::now(), self.budget);
        while !self.is_full() {
            if !self.take_turns() {
                let is_spent = self.scanned >= budget.max_scanned || began.elapsed() >= budget.time;
                if is_spent || !self.read_more().await? {
                    break;
                }
            }
        }
        let is_incomplete = self.lanes.iter().any(|lane| lane.has_failed);
        if self.events.is_empty() && self.scanned == 0 && self.lanes.iter().all(|lane| lane.has_failed) {
            return Err(FeedError::Unavailable);
        }
        // The events after the page's last one may all be filtered out, so that the page is at the end.
        for index in 0..self.lanes.len() {
            self.skip_filtered(index);
        }
        let is_at_end = |lane: &ReadingLane| lane.has_failed || lane.is_at_end && lane.waiting.is_empty();
        let is_at_end = self.lanes.iter().all(is_at_end);
        Ok(FeedRead { events: self.events, cursor: self.cursor, is_at_end, is_incomplete })
    }

    /// Takes one event of each shard. Returns false if no shard has an event waiting.
    fn take_turns(&mut self) -> bool {
        let before = self.events.len();
        for index in 0..self.lanes.len() {
            self.skip_filtered(index);
            if !self.is_full()
                && let Some(event) = self.lanes[index].waiting.pop_front()
            {
                self.advance(index, event.event.position);
                self.bytes += event.size();
                self.events.push(event);
            }
        }
        self.events.len() > before
    }

    /// Moves the cursor over the next events that the filter removes.
    fn skip_filtered(&mut self, index: usize) {
        while let Some(next) = self.lanes[index].waiting.front()
            && !self.filter.passes(&next.event)
        {
            let position = next.event.position;
            self.lanes[index].waiting.pop_front();
            self.advance(index, position);
        }
    }

    fn advance(&mut self, index: usize, position: FeedPosition) {
        let Lane { shard, at } = &self.lanes[index].lane;
        if let Some(at) = at {
            self.cursor.set(&shard.name, at.incarnation, position);
        }
    }

    /// Reads the next page of each shard that may have more events. Returns false if there is none.
    async fn read_more(&mut self) -> Result<bool, FeedError> {
        let shared = self.shared;
        let is_open = |lane: &&mut ReadingLane| !lane.is_at_end && !lane.has_failed;
        let open: Vec<_> = self.lanes.iter_mut().filter(is_open).collect();
        if open.is_empty() {
            return Ok(false);
        }
        let reads = open.into_iter().filter_map(|lane| {
            let at = lane.lane.at?;
            Some(async move { (shared.feed(&lane.lane.shard, at, PAGE).await, at, lane) })
        });
        let mut void = None;
        for (read, at, lane) in join_all(reads).await {
            let page = match read {
                Ok(page) => page,
                Err(error @ StoreError::Corrupt(_)) => return Err(FeedError::Store(error)),
                Err(_) => {
                    lane.has_failed = true;
                    continue;
                }
            };
            let shard = &lane.lane.shard;
            if page.incarnation != at.incarnation {
                // The database was restored after this process learned its end. Otherwise the next read would resolve its cursor
                // against the same end again.
                shard.forget(at.incarnation);
                // The start precedes every event, whatever became of the database.
                if at.position != FeedPosition::START {
                    void.get_or_insert_with(|| CursorVoid::OtherIncarnation(shard.name.clone()));
                    continue;
                }
            }
            self.scanned += page.events.len();
            lane.is_at_end = page.is_at_end;
            if let Some(last) = page.events.last() {
                let end = FeedEnd { incarnation: page.incarnation, position: last.position };
                shard.learn(end);
                lane.lane.at = Some(end);
            }
            let event = |event| LiveEvent::new(shard.index, page.incarnation, event);
            lane.waiting.extend(page.events.into_iter().map(event));
        }
        void.map_or(Ok(true), |void| Err(void.into()))
    }
}
