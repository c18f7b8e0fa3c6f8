//! Statistics: roll-ups that count exactly once, rows that are stated as a whole, and reads.

use std::sync::Arc;

use dabba_domain::{
    Timestamp,
    statistics::{Minute, Statistic, Tally},
};

use super::{
    builders::World,
    consumers::{LEASE, last_shard},
};
use crate::{
    ConsumerName, FeedLease, FeedPosition, LeaseRequest, LeaseTaken, MAX_STATISTICS_ROWS, RollUp, RolledUp,
    StatisticsKey, StatisticsProgress, StatisticsRange, StatisticsRow, Store, StoreError,
};

const BUSY: Minute = Minute(30_000_000);

async fn taken(store: &Arc<dyn Store>, holder: &str, now: Timestamp) -> FeedLease {
    let request =
        LeaseRequest { group: ConsumerName::statistics(), holder: ConsumerName::new(holder).unwrap() };
    match store.take_feed_lease(last_shard(store), &request, now, now + LEASE).await.unwrap() {
        LeaseTaken::Taken(lease) => lease,
        held @ LeaseTaken::Held { .. } => panic!("{held:?}"),
    }
}

const fn position(sequence: u64) -> FeedPosition {
    FeedPosition { transaction: 700, sequence }
}

fn row(minute: Minute, statistic: Statistic, tally: Tally) -> StatisticsRow {
    StatisticsRow { key: StatisticsKey::of_shard(minute, statistic), tally }
}

fn measured(minute: Minute, source: &str, tally: Tally) -> StatisticsRow {
    let key = StatisticsKey {
        source: source.to_owned(),
        ..StatisticsKey::of_shard(minute, Statistic::PlacingLatency)
    };
    StatisticsRow { key, tally }
}

fn everything() -> StatisticsRange {
    StatisticsRange { statistics: Statistic::ALL.to_vec(), from: Minute(0), to: Minute(i64::MAX) }
}

async fn all(store: &Arc<dyn Store>) -> Vec<StatisticsRow> {
    store.statistics(last_shard(store), &everything(), None, 100_000).await.unwrap()
}

async fn rolled_up(store: &Arc<dyn Store>, lease: &FeedLease, roll_up: &RollUp, now: Timestamp) -> RolledUp {
    store.roll_up_statistics(last_shard(store), lease, roll_up, now, now + LEASE).await.unwrap()
}

async fn progress(store: &Arc<dyn Store>) -> Option<StatisticsProgress> {
    store.statistics_progress(last_shard(store)).await.unwrap()
}

/// A roll-up adds its values to the stored ones, once, however often it is repeated, and stores its position with them.
pub async fn a_roll_up_counts_once(store: Arc<dyn Store>) {
    let world = World::new(700);
    let now = world.now();
    let lease = taken(&store, "first", now).await;
    assert_eq!(progress(&store).await, None);
    let first = RollUp {
        from: None,
        to: position(10),
        complete_until: world.in_seconds(20),
        rows: vec![
            row(BUSY, Statistic::OrdersPlaced, Tally { count: 3, ..Tally::default() }),
            row(BUSY, Statistic::Lateness, Tally::duration(90_000_000)),
        ],
    };
    assert_eq!(rolled_up(&store, &lease, &first, now).await, RolledUp::Added);
    assert_eq!(rolled_up(&store, &lease, &first, now).await, RolledUp::Moved);
    let second = RollUp {
        from: Some(position(10)),
        to: position(20),
        // The clock of this server is behind.
        complete_until: world.in_seconds(10),
        rows: vec![
            row(BUSY, Statistic::Lateness, Tally::duration(5)),
            row(Minute(BUSY.0 + 1), Statistic::OrdersPlaced, Tally::one()),
        ],
    };
    for expected in [RolledUp::Added, RolledUp::Moved] {
        assert_eq!(rolled_up(&store, &lease, &second, now).await, expected);
    }
    let mut late = Tally::duration(90_000_000);
    late.record(5);
    let expected = [
        row(BUSY, Statistic::Lateness, late),
        row(BUSY, Statistic::OrdersPlaced, Tally { count: 3, ..Tally::default() }),
        row(Minute(BUSY.0 + 1), Statistic::OrdersPlaced, Tally::one()),
    ];
    assert_eq!(all(&store).await, expected);
    let complete_until = world.in_seconds(20);
    assert_eq!(progress(&store).await, Some(StatisticsProgress { position: position(20), complete_until }));
    // A roll-up without events only states that everything is counted.
    let idle =
        RollUp { from: Some(position(20)), rows: Vec::new(), complete_until: world.in_seconds(30), ..second };
    for _ in 0..2 {
        assert_eq!(rolled_up(&store, &lease, &idle, now).await, RolledUp::Added);
    }
    assert_eq!(progress(&store).await.unwrap().complete_until, world.in_seconds(30));
    assert_eq!(all(&store).await, expected);
}

/// Only the lease holder rolls up: of two holders that continue at the same position, one counts.
pub async fn a_roll_up_of_a_stale_holder_is_refused(store: Arc<dyn Store>) {
    let world = World::new(701);
    let now = world.now();
    let stale = taken(&store, "first", now).await;
    assert!(store.release_feed_lease(last_shard(&store), &stale, now).await.unwrap());
    let lease = taken(&store, "second", now).await;
    let roll_up = RollUp {
        from: None,
        to: position(1),
        complete_until: now,
        rows: vec![row(BUSY, Statistic::OrdersPlaced, Tally::one())],
    };
    assert_eq!(rolled_up(&store, &stale, &roll_up, now).await, RolledUp::LeaseLost);
    assert_eq!(progress(&store).await, None);
    assert_eq!(all(&store).await, []);
    assert_eq!(rolled_up(&store, &lease, &roll_up, now).await, RolledUp::Added);
    assert_eq!(rolled_up(&store, &stale, &roll_up, now).await, RolledUp::LeaseLost);
    assert_eq!(all(&store).await, roll_up.rows);
}

/// A stated row replaces the row of the same source, and no other row. The largest values are stored as the largest
/// number of a database.
pub async fn stated_statistics_are_replaced(store: Arc<dyn Store>) {
    let shard = last_shard(&store);
    store.set_statistics(shard, &[]).await.unwrap();
    let mut grown = Tally::duration(2_000);
    let first = [measured(BUSY, "a", grown.clone()), measured(BUSY, "b", Tally::duration(7))];
    grown.record(3_000);
    let second = [measured(BUSY, "a", grown), measured(Minute(BUSY.0 + 1), "a", Tally::duration(1))];
    for rows in [&first, &second, &second] {
        store.set_statistics(shard, rows).await.unwrap();
    }
    let [a, later] = second;
    let [_, b] = first;
    assert_eq!(all(&store).await, [a.clone(), b.clone(), later.clone()]);
    let most = Tally { count: u64::MAX, sum: u64::MAX, max: u64::MAX, ..Tally::default() };
    store.set_statistics(shard, &[measured(BUSY, "b", most)]).await.unwrap();
    let stored = all(&store).await;
    let limit = u64::try_from(i64::MAX).unwrap();
    assert_eq!(stored[1].tally, Tally { count: limit, sum: limit, max: limit, ..Tally::default() });
    assert_eq!([&stored[0], &stored[2]], [&a, &later]);
}

/// Rows are read in pages, in the order of their keys: only those of the range and of the requested statistics.
pub async fn statistics_are_read_in_pages(store: Arc<dyn Store>) {
    let shard = last_shard(&store);
    let mut rows = Vec::new();
    for minute in 0..4 {
        for statistic in [Statistic::TaskAge, Statistic::TasksWaiting, Statistic::OrdersPlaced] {
            for (subject, source) in [("", ""), ("", "a"), ("deadlines", ""), ("payments", "b")] {
                let key = StatisticsKey {
                    minute: Minute(BUSY.0 + minute),
                    statistic,
                    subject: subject.to_owned(),
                    source: source.to_owned(),
                };
                rows.push(StatisticsRow { key, tally: Tally::state(rows.len() as u64) });
            }
        }
    }
    store.set_statistics(shard, &rows).await.unwrap();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(all(&store).await, rows);
    let range = StatisticsRange {
        statistics: vec![Statistic::TasksWaiting, Statistic::OrdersPlaced],
        from: Minute(BUSY.0 + 1),
        to: Minute(BUSY.0 + 3),
    };
    let is_wanted = |row: &StatisticsRow| {
        (range.from..range.to).contains(&row.key.minute) && row.key.statistic != Statistic::TaskAge
    };
    rows.retain(is_wanted);
    assert_eq!(rows.len(), 16);
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.statistics(shard, &range, after.as_ref(), 5).await.unwrap();
        assert!(page.len() <= 5);
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        found.extend(page);
    }
    assert_eq!(found, rows);
    let none = StatisticsRange { statistics: Vec::new(), ..range.clone() };
    assert_eq!(store.statistics(shard, &none, None, 5).await.unwrap(), []);
    let empty = StatisticsRange { to: range.from, ..range };
    assert_eq!(store.statistics(shard, &empty, None, 5).await.unwrap(), []);
}

/// Only rows of earlier minutes are deleted, at most the requested number.
pub async fn old_statistics_are_deleted_up_to_the_limit(store: Arc<dyn Store>) {
    let shard = last_shard(&store);
    let rows: Vec<_> = (0..7).map(|minute| measured(Minute(minute), "a", Tally::duration(1))).collect();
    store.set_statistics(shard, &rows).await.unwrap();
    let before = Minute(5);
    assert_eq!(store.delete_old_statistics(before, 3).await.unwrap(), 3);
    assert_eq!(all(&store).await.len(), 4);
    assert_eq!(store.delete_old_statistics(before, 3).await.unwrap(), 2);
    assert_eq!(store.delete_old_statistics(before, 3).await.unwrap(), 0);
    assert_eq!(all(&store).await, rows[5..]);
}

/// A write with two rows of the same key, or with too many rows, is refused as a whole.
pub async fn invalid_statistics_are_refused(store: Arc<dyn Store>) {
    let (world, shard) = (World::new(702), last_shard(&store));
    let now = world.now();
    let lease = taken(&store, "first", now).await;
    let twice = vec![measured(BUSY, "a", Tally::duration(1)), measured(BUSY, "a", Tally::duration(2))];
    let too_many = (0..=i64::try_from(MAX_STATISTICS_ROWS).unwrap())
        .map(|minute| measured(Minute(minute), "a", Tally::duration(1)));
    for rows in [twice, too_many.collect()] {
        let set = store.set_statistics(shard, &rows).await;
        assert!(matches!(set, Err(StoreError::Corrupt(_))), "{set:?}");
        let roll_up = RollUp { from: None, to: position(1), complete_until: now, rows };
        let added = store.roll_up_statistics(shard, &lease, &roll_up, now, now + LEASE).await;
        assert!(matches!(added, Err(StoreError::Corrupt(_))), "{added:?}");
    }
    assert_eq!(all(&store).await, []);
    assert_eq!(progress(&store).await, None);
}
