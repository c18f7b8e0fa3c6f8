//! Follows a shard's feed while it has consumers.

use std::{sync::Arc, time::Duration};

use dabba_engine::CommitListener;
use dabba_store::{Backoff, FeedEnd, FeedPage, Part, StoreError};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{Shared, event::LiveEvent, shard::Shard};

/// Maximum number of events per read of a follower: fewer than wait for a stream ([`super::MAX_WAITING`]), so that a page does not end
/// a stream that is about to read.
const PAGE: u32 = 128;

/// Interval at which a follower polls. A commit of this process and a notification by another process make it read at
/// once.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Minimum time between the ends of two reads, so that frequent commits share a read.
const MIN_READ_INTERVAL: Duration = Duration::from_millis(5);

/// Time for which a shard is followed after its last consumer, so that a client that repeats long polls finds it
/// followed.
const LINGER: Duration = Duration::from_secs(5);

/// Timeout of a read of the feed.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Pauses after reads that failed.
pub(crate) const PAUSES: Backoff = Backoff { base: Duration::from_millis(200), max: Duration::from_secs(2) };

/// A follower. What it knows is kept in the shard, so it survives a panic.
pub(super) struct Follower {
    pub(super) shared: Arc<Shared>,
    pub(super) shard: Arc<Shard>,
    pub(super) part: Arc<Part>,
    pub(super) commits: CommitListener,
}

impl Follower {
    /// Follows whenever there are consumers. Never returns.
    pub(super) async fn run(&self) -> Result<(), String> {
        loop {
            while !self.shard.has_consumers() {
                self.shard.wake.notified().await;
            }
            self.begin().await;
            self.follow().await;
        }
    }

    /// Begins at the end of the feed, unless the shard is already followed. Returns early if nobody consumes the feed.
    async fn begin(&self) {
        let mut failures = 0;
        while self.shard.followed().is_none() && self.shard.has_consumers() {
            match self.shared.feed_end(&self.shard).await {
                Ok(end) => {
                    self.part.succeeded();
                    self.shard.begin(end);
                }
                Err(error) => self.failed(&error, &mut failures).await,
            }
        }
    }

    /// Reads and publishes events until nobody has consumed the feed for a while, or the database has another
    /// incarnation.
    async fn follow(&self) {
        let (mut failures, mut used_at) = (0, Instant::now());
        while let Some(at) = self.shard.followed() {
            let is_at_end = match self.shared.feed(&self.shard, at, PAGE).await {
                Ok(page) => {
                    failures = 0;
                    self.part.succeeded();
                    let is_at_end = page.is_at_end;
                    if !self.publish(page) {
                        return;
                    }
                    is_at_end
                }
                Err(error) => {
                    self.failed(&error, &mut failures).await;
                    false
                }
            };
            if self.shard.has_consumers() {
                used_at = Instant::now();
            } else if used_at.elapsed() >= LINGER && self.shard.stop_if_unused() {
                self.shared.metrics.show_lag(&self.shard.name, Duration::ZERO);
                return;
            }
            if is_at_end {
                self.wait().await;
            }
        }
    }

    /// Waits until there may be events.
    async fn wait(&self) {
        let read_at = Instant::now();
        tokio::select! {
            () = self.commits.wait() => {}
            () = self.shard.wake.notified() => {}
            () = sleep(POLL_INTERVAL) => return,
        }
        sleep_until(read_at + MIN_READ_INTERVAL).await;
    }

    fn publish(&self, page: FeedPage) -> bool {
        let FeedPage { incarnation, events, is_at_end } = page;
        let now = self.shared.engine.now();
        let events: Vec<_> =
            events.into_iter().map(|event| LiveEvent::new(self.shard.index, incarnation, event)).collect();
        let age =
            |event: &LiveEvent| Duration::try_from(now.duration_since(event.event.at)).unwrap_or_default();
        let lag = events.first().filter(|_| !is_at_end).map_or(Duration::ZERO, |event| age(event));
        if !self.shard.publish(incarnation, &events) {
            tracing::warn!(
                shard = self.shard.name,
                "the database was restored or replaced while it was followed; every stream of it ends"
            );
            return false;
        }
        if is_at_end {
            self.shard.caught_up();
        }
        self.shared.metrics.show_lag(&self.shard.name, lag);
        for event in &events {
            self.shared.metrics.published(age(event));
        }
        true
    }

    async fn failed(&self, error: &StoreError, failures: &mut u32) {
        *failures = failures.saturating_add(1);
        tracing::debug!(shard = self.shard.name, %error, "the feed of a shard cannot be read");
        self.part.refused(&error.to_string());
        self.part.survived();
        sleep(PAUSES.pause(*failures, self.shared.engine.random_u64())).await;
    }
}

impl Shared {
    /// Reads the end of a shard's feed.
    pub(crate) async fn feed_end(&self, shard: &Shard) -> Result<FeedEnd, StoreError> {
        let end = in_time(self.store.feed_end(shard.index)).await?;
        shard.learn(end);
        Ok(end)
    }

    /// Reads the next page of a shard's feed: at most `limit` events, and fewer after a read that exceeded its timeout. So a
    /// page of large events does not stop the feed: a repetition with the same number of events would fail again.
    pub(crate) async fn feed(
        &self,
        shard: &Shard,
        after: FeedEnd,
        limit: u32,
    ) -> Result<FeedPage, StoreError> {
        let limit = limit.min(shard.max_page());
        let Ok(read) = timeout(READ_TIMEOUT, self.store.feed(shard.index, after.position, limit)).await
        else {
            shard.read_too_slowly(limit);
            return Err(late());
        };
        shard.read_in_time();
        read
    }
}

async fn in_time<T>(reading: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(READ_TIMEOUT, reading).await.unwrap_or_else(|_| Err(late()))
}

fn late() -> StoreError {
    StoreError::Unavailable("the feed was not read in time".to_owned())
}
