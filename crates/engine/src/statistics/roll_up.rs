//! The roll-up of one shard.

use std::time::Duration;

use dabba_domain::{
    Timestamp,
    statistics::{Minute, Statistic, Tally},
    task::TaskQueue,
};
use dabba_store::{
    ConsumerName, FeedLease, FeedPosition, LeaseRequest, LeaseTaken, Measurement, RollUp, RolledUp,
    StatisticsKey, StatisticsRow, StoreError,
};
use jiff::SignedDuration;

use super::{Statistics, derived::Derived, followed::FollowedOrders};
use crate::{Error, clock::after, feed_search::position_since};

/// Time for which the lease of a shard lasts without a roll-up: three intervals of the default.
const LEASE_TIME: Duration = Duration::from_secs(30);

/// Time after which a roll-up ends, even if more events follow. It is so much shorter than the lease that the write of
/// the roll-up, which extends the lease, succeeds while the store is slow: otherwise no roll-up would ever be written.
const MAX_READING_TIME: SignedDuration = SignedDuration::from_secs(10);

/// Time before the first roll-up of a database whose events are counted too.
const BACKFILL: SignedDuration = SignedDuration::from_hours(24);

/// Time after which an event is assumed to be in the feed. An event whose commit takes longer is counted later.
const SETTLING_TIME: SignedDuration = SignedDuration::from_secs(10);

/// Maximum number of events per read.
const PAGE: u32 = 500;

/// Maximum number of pages per roll-up.
const MAX_PAGES: u32 = 10;

/// What a process knows about a shard.
#[derive(Debug, Default)]
pub(super) struct RollingUp {
    /// The lease that was taken last, until it is known to be lost. It may have expired.
    lease: Option<FeedLease>,
    /// What the holder of the lease knows. Empty without the lease, and after a failure.
    held: Option<Held>,
    /// The position at which the first roll-up of the shard begins. It is kept, because the search may outlast the lease.
    beginning: Option<FeedPosition>,
    /// The last minute in which the tasks were measured.
    measured: Option<Minute>,
}

#[derive(Debug)]
struct Held {
    lease: FeedLease,
    /// The stored position.
    stored: Option<FeedPosition>,
    /// The position after which the next read begins.
    position: FeedPosition,
    orders: FollowedOrders,
}

impl Statistics {
    pub(super) async fn roll_up_shard(&self, shard: usize, state: &mut RollingUp) -> Result<(), Error> {
        if !self.try_roll_up(shard, state).await? {
            // The lease that has expired may be free.
            self.try_roll_up(shard, state).await?;
        }
        Ok(())
    }

    /// Returns `false` if this process held the lease and has lost it.
    async fn try_roll_up(&self, shard: usize, state: &mut RollingUp) -> Result<bool, Error> {
        // Whatever fails, the next attempt begins with the stored position: the write may have happened.
        let Some(mut held) = self.hold(shard, state).await? else { return Ok(true) };
        loop {
            let (roll_up, is_at_end) = self.next_roll_up(shard, &mut held).await?;
            let now = self.clock.now();
            let until = after(now, LEASE_TIME);
            match self.store.roll_up_statistics(shard, &held.lease, &roll_up, now, until).await? {
                RolledUp::Added => held.stored = Some(roll_up.to),
                RolledUp::LeaseLost => {
                    state.lease = None;
                    return Ok(false);
                }
                RolledUp::Moved => return Ok(false),
            }
            if is_at_end {
                break;
            }
        }
        state.held = Some(held);
        self.measure_tasks(shard, state).await?;
        Ok(true)
    }

    /// Takes the lease, unless it is held already. Returns `None` if another process holds it.
    async fn hold(&self, shard: usize, state: &mut RollingUp) -> Result<Option<Held>, Error> {
        if let Some(held) = state.held.take() {
            return Ok(Some(held));
        }
        let holder = ConsumerName::new(self.process()).map_err(|error| Error::Internal(error.to_string()))?;
        let request = LeaseRequest { group: ConsumerName::statistics(), holder };
        let now = self.clock.now();
        let taken = self.store.take_feed_lease(shard, &request, now, after(now, LEASE_TIME)).await?;
        let LeaseTaken::Taken(lease) = taken else {
            state.lease = None;
            return Ok(None);
        };
        state.lease = Some(lease.clone());
        let stored = self.store.statistics_progress(shard).await?.map(|progress| progress.position);
        let position = match stored.or(state.beginning) {
            Some(position) => position,
            None => *state.beginning.insert(self.beginning(shard).await?),
        };
        Ok(Some(Held { lease, stored, position, orders: FollowedOrders::default() }))
    }

    /// Returns the position in the feed at which the first roll-up begins.
    async fn beginning(&self, shard: usize) -> Result<FeedPosition, Error> {
        let since = self.clock.now().checked_sub(BACKFILL).unwrap_or(Timestamp::MIN);
        let end = self.store.feed_end(shard).await?;
        position_since(&*self.store, shard, end, since).await
    }

    /// Returns the values of the next events, and whether no more events followed. Ends after [`MAX_PAGES`] or
    /// [`MAX_READING_TIME`]: an event may need a read of its order's history, so the time does not follow from the number
    /// of events.
    async fn next_roll_up(&self, shard: usize, held: &mut Held) -> Result<(RollUp, bool), StoreError> {
        let (mut derived, mut complete_until) = (Derived::default(), Timestamp::MIN);
        let mut is_at_end = false;
        let began = self.clock.now();
        'reading: for _ in 0..MAX_PAGES {
            let now = self.clock.now();
            let page = self.store.feed(shard, held.position, PAGE).await?;
            for event in &page.events {
                derived.add(&*self.store, &mut held.orders, event).await?;
                (held.position, complete_until) = (event.position, event.at);
                if self.clock.now().duration_since(began) >= MAX_READING_TIME {
                    break 'reading;
                }
            }
            if page.is_at_end {
                (is_at_end, complete_until) = (true, now);
                break;
            }
        }
        let roll_up = RollUp {
            from: held.stored,
            to: held.position,
            complete_until: complete_until.checked_sub(SETTLING_TIME).unwrap_or(Timestamp::MIN),
            rows: derived.into_rows(),
        };
        Ok((roll_up, is_at_end))
    }

    /// Releases the lease of a shard, if this process holds it.
    pub(super) async fn release(&self, shard: usize) {
        let Some(state) = self.shards.get(shard) else { return };
        let mut state = state.lock().await;
        state.held = None;
        let Some(lease) = state.lease.take() else { return };
        // If the release fails, the lease expires.
        if let Err(error) = self.store.release_feed_lease(shard, &lease, self.clock.now()).await {
            tracing::debug!(%error, shard, "the lease of the statistics expires");
        }
    }

    /// Measures the waiting tasks of a shard, once per minute.
    async fn measure_tasks(&self, shard: usize, state: &mut RollingUp) -> Result<(), Error> {
        let now = self.clock.now();
        let minute = Minute::of(now);
        if state.measured == Some(minute) {
            return Ok(());
        }
        let measured = self.store.measure(shard, now).await?;
        self.set(shard, &rows_of(&measured, now)).await?;
        state.measured = Some(minute);
        Ok(())
    }
}

/// Returns the state of the queues as rows.
fn rows_of(measured: &Measurement, now: Timestamp) -> Vec<StatisticsRow> {
    let of_queue = |queue: TaskQueue| {
        let waiting = measured.due.iter().find(|(of, _)| *of == queue).map_or(0, |(_, count)| *count);
        let since = measured.overdue.iter().find(|(of, _)| *of == queue).map_or(now, |(_, due)| *due);
        let age = u64::try_from(now.duration_since(since).as_micros()).unwrap_or(0);
        [(Statistic::TasksWaiting, waiting), (Statistic::TaskAge, age)].map(|(statistic, value)| {
            let key = StatisticsKey {
                subject: queue.as_str().to_owned(),
                ..StatisticsKey::of_shard(Minute::of(now), statistic)
            };
            StatisticsRow { key, tally: Tally::state(value) }
        })
    };
    TaskQueue::ALL.iter().copied().flat_map(of_queue).collect()
}
