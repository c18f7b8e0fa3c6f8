//! Statistics of a shard that was split.

use std::time::Duration;

use dabba_domain::statistics::{Minute, Statistic, Tally};
use dabba_store::{
    ConsumerName, ConsumerStore as _, FeedPosition, LeaseRequest, LeaseTaken, RollUp, RolledUp,
    StatisticsKey, StatisticsRange, StatisticsRow, StatisticsStore as _, Store as _,
    conformance::builders::World,
};
use dabba_store_postgres::{LeaseClock, Ownership, PostgresOptions, PostgresStore};

use crate::common::{fresh_database, randomness, session};

/// Proves that a copy of a shard does not return the statistics that its original has too, that it continues at the
/// original's position, so that each event counts in one of the two, and that old rows of the original are deleted.
#[tokio::test]
async fn a_copy_of_a_shard_counts_only_its_own_events() {
    let url = fresh_database();
    let world = World::new(1);
    let (now, until) = (world.now(), world.now() + Duration::from_hours(1));
    let row = |minute| StatisticsRow {
        key: StatisticsKey::of_shard(Minute(minute), Statistic::OrdersPlaced),
        tally: Tally::one(),
    };
    let position = |sequence| FeedPosition { transaction: 740, sequence };
    let everything =
        StatisticsRange { statistics: Statistic::ALL.to_vec(), from: Minute(0), to: Minute(i64::MAX) };
    let mut from = None;
    for (name, sequence) in [("main", 1), ("south", 2)] {
        let rename = "UPDATE shard SET name = $1";
        session(&url).await.execute(rename, &[&name]).await.unwrap();
        let ownership = Ownership { name: name.to_owned(), ..Ownership::sole() };
        let options = PostgresOptions { lease_clock: LeaseClock::Caller, ..PostgresOptions::default() };
        let store = PostgresStore::open(&url, &ownership, &options, randomness()).await.unwrap();
        assert_eq!(store.statistics(0, &everything, None, 10).await.unwrap(), [], "{name}");
        let group = ConsumerName::statistics();
        let request = LeaseRequest { holder: ConsumerName::new("holder").unwrap(), group };
        let taken = store.take_feed_lease(0, &request, now, until).await.unwrap();
        let LeaseTaken::Taken(lease) = taken else { panic!("the lease is free") };
        assert_eq!(store.statistics_progress(0).await.unwrap().map(|progress| progress.position), from);
        let to = position(sequence);
        let rows = vec![row(1), row(2)];
        let roll_up = RollUp { from, to, complete_until: now, rows: rows.clone() };
        let added = store.roll_up_statistics(0, &lease, &roll_up, now, until).await.unwrap();
        assert_eq!(added, RolledUp::Added);
        assert_eq!(store.statistics(0, &everything, None, 10).await.unwrap(), rows);
        from = Some(to);
        store.close().await;
    }
    let ownership = Ownership { name: "south".to_owned(), ..Ownership::sole() };
    let store =
        PostgresStore::open(&url, &ownership, &PostgresOptions::default(), randomness()).await.unwrap();
    assert_eq!(store.delete_old_statistics(Minute(3), 10).await.unwrap(), 4, "two rows of each shard");
    store.close().await;
}
