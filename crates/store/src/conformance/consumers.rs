//! Consumers of the feed: leases, positions, and checkpoints.

use std::{sync::Arc, time::Duration};

use dabba_domain::Timestamp;

use super::builders::World;
use crate::{
    Checkpoint, ConsumerName, FeedLease, FeedPlace, FeedPosition, Incarnation, LeaseRequest, LeaseTaken,
    Store, StoreError, StoredPosition,
};

/// Length of a lease in these tests: far longer than a test takes.
pub(super) const LEASE: Duration = Duration::from_hours(1);

/// The shard of these tests, which is another one than the first where there are several.
pub(super) fn last_shard(store: &Arc<dyn Store>) -> usize {
    store.shard_count() - 1
}

fn name(name: &str) -> ConsumerName {
    ConsumerName::new(name).unwrap()
}

fn request(holder: &str) -> LeaseRequest {
    LeaseRequest { group: ConsumerName::webhooks(), holder: name(holder) }
}

async fn take(
    store: &Arc<dyn Store>,
    shard: usize,
    holder: &str,
    now: Timestamp,
    lease: Duration,
) -> LeaseTaken {
    store.take_feed_lease(shard, &request(holder), now, now + lease).await.unwrap()
}

/// Takes the lease of the webhooks on a shard.
pub(super) async fn taken(store: &Arc<dyn Store>, shard: usize, holder: &str, now: Timestamp) -> FeedLease {
    match take(store, shard, holder, now, LEASE).await {
        LeaseTaken::Taken(lease) => lease,
        held @ LeaseTaken::Held { .. } => panic!("{held:?}"),
    }
}

/// Takes the lease of the webhooks on a shard for another holder, after the current lease has expired.
pub(super) async fn taken_over(
    store: &Arc<dyn Store>,
    shard: usize,
    lease: &FeedLease,
    holder: &str,
    now: Timestamp,
) -> FeedLease {
    assert!(store.release_feed_lease(shard, lease, now).await.unwrap());
    taken(store, shard, holder, now).await
}

/// Returns the expiry of a lease that another process holds.
async fn held_until(store: &Arc<dyn Store>, shard: usize, now: Timestamp) -> Timestamp {
    match take(store, shard, "another", now, LEASE).await {
        LeaseTaken::Held { until, .. } => until,
        taken @ LeaseTaken::Taken(_) => panic!("{taken:?}"),
    }
}

pub(super) fn place(transaction: u64, sequence: u64) -> FeedPlace {
    FeedPlace { incarnation: Incarnation::new(u64::MAX), position: FeedPosition { transaction, sequence } }
}

async fn write(store: &Arc<dyn Store>, lease: &FeedLease, checkpoint: &Checkpoint, now: Timestamp) -> bool {
    let shard = last_shard(store);
    store.checkpoint_feed(shard, lease, checkpoint, now, now + LEASE).await.unwrap()
}

async fn shared(store: &Arc<dyn Store>) -> Option<StoredPosition> {
    store.feed_position(last_shard(store), &ConsumerName::webhooks(), None).await.unwrap()
}

async fn own(store: &Arc<dyn Store>) -> Vec<(String, FeedPlace)> {
    let shard = last_shard(store);
    let all = store.own_feed_positions(shard, &ConsumerName::webhooks(), None, 100).await.unwrap();
    all.into_iter().map(|(name, stored)| (name.as_str().to_owned(), stored.place)).collect()
}

/// A lease has one holder. The holder itself can take it again, with a higher token. A released lease is free.
pub async fn a_feed_lease_has_one_holder(store: Arc<dyn Store>) {
    let (world, shard) = (World::new(600), last_shard(&store));
    let now = world.now();
    let first = taken(&store, shard, "first", now).await;
    let LeaseTaken::Held { by, until } = take(&store, shard, "second", now, LEASE).await else {
        panic!("the lease is held")
    };
    assert_eq!(by, "first");
    assert!(until > Timestamp::UNIX_EPOCH);
    let again = taken(&store, shard, "first", now).await;
    assert!(again.token > first.token);
    assert!(!store.renew_feed_lease(shard, &first, now, now + LEASE).await.unwrap());
    assert!(store.renew_feed_lease(shard, &again, now, now + LEASE).await.unwrap());
    // Groups and shards have leases of their own.
    let of_broker = LeaseRequest { group: name("broker"), holder: name("second") };
    let broker = store.take_feed_lease(shard, &of_broker, now, now + LEASE).await.unwrap();
    assert!(matches!(broker, LeaseTaken::Taken(_)), "{broker:?}");
    for other in 0..shard {
        taken(&store, other, "second", now).await;
    }
    assert!(!store.release_feed_lease(shard, &first, now).await.unwrap());
    assert!(store.release_feed_lease(shard, &again, now).await.unwrap());
    assert!(!store.release_feed_lease(shard, &again, now).await.unwrap());
    assert!(taken(&store, shard, "second", now).await.token > again.token);
}

/// One of many processes that request a lease concurrently gets it.
pub async fn one_of_many_concurrent_requests_gets_the_feed_lease(store: Arc<dyn Store>) {
    let (world, shard) = (World::new(601), last_shard(&store));
    let now = world.now();
    let mut running = tokio::task::JoinSet::new();
    for number in 0..8 {
        let store = Arc::clone(&store);
        running.spawn(async move { take(&store, shard, &format!("holder-{number}"), now, LEASE).await });
    }
    let outcomes = running.join_all().await;
    let taken = outcomes.iter().filter(|outcome| matches!(outcome, LeaseTaken::Taken(_)));
    assert_eq!(taken.count(), 1, "{outcomes:?}");
}

/// An expired lease can be taken over, and its holder writes nothing more, also if no other process has taken it over.
pub async fn an_expired_feed_lease_writes_nothing(store: Arc<dyn Store>) {
    let (world, shard) = (World::new(602), last_shard(&store));
    let now = world.now();
    let LeaseTaken::Taken(expired) = take(&store, shard, "first", now, Duration::ZERO).await else {
        panic!("the lease is free")
    };
    let checkpoint = Checkpoint { shared: Some((place(1, 1), 1)), ..Checkpoint::default() };
    assert!(!write(&store, &expired, &checkpoint, now).await);
    assert!(!store.renew_feed_lease(shard, &expired, now, now + LEASE).await.unwrap());
    assert_eq!(shared(&store).await, None);
    let second = taken(&store, shard, "second", now).await;
    assert!(second.token > expired.token);
    assert!(write(&store, &second, &checkpoint, now).await);
}

/// A checkpoint of a process that lost its lease is refused completely. A checkpoint extends the lease.
pub async fn a_checkpoint_of_a_stale_holder_is_refused(store: Arc<dyn Store>) {
    let (world, shard) = (World::new(603), last_shard(&store));
    let now = world.now();
    let stale = taken(&store, shard, "first", now).await;
    let checkpoint = |number| Checkpoint {
        shared: Some((place(number, number), 7)),
        advanced: vec![(name("behind"), place(1, number))],
        ..Checkpoint::default()
    };
    assert!(write(&store, &stale, &checkpoint(5), now).await);
    let lease = taken_over(&store, shard, &stale, "second", now).await;
    assert!(!write(&store, &stale, &checkpoint(9), now).await);
    let stored = shared(&store).await.unwrap();
    assert_eq!((stored.place, stored.known, stored.updated_at), (place(5, 5), 7, now));
    assert_eq!(own(&store).await, [("behind".to_owned(), place(1, 5))]);
    assert!(write(&store, &lease, &checkpoint(6), now).await);
    assert_eq!(shared(&store).await.unwrap().place, place(6, 6));
    // The checkpoint extends a shorter lease.
    let LeaseTaken::Taken(short) = take(&store, shard, "second", now, Duration::from_mins(1)).await else {
        panic!("the holder takes its own lease")
    };
    let before = held_until(&store, shard, now).await;
    assert!(write(&store, &short, &checkpoint(7), now).await);
    assert!(held_until(&store, shard, now).await > before + LEASE / 2);
}

/// Neither the position of a group nor that of a consumer goes back, except by a rewind or under another incarnation.
/// The same checkpoint twice is the same as once.
pub async fn a_checkpoint_never_goes_back(store: Arc<dyn Store>) {
    let (mut world, shard) = (World::new(604), last_shard(&store));
    let now = world.now();
    let lease = taken(&store, shard, "holder", now).await;
    let at = |shared, known, own| Checkpoint {
        shared: Some((shared, known)),
        advanced: vec![(name("behind"), own)],
        ..Checkpoint::default()
    };
    let later = world.tick();
    for (checkpoint, expected) in [
        (at(place(20, 3), 5, place(10, 9)), (place(20, 3), 5, place(10, 9))),
        (at(place(20, 3), 5, place(10, 9)), (place(20, 3), 5, place(10, 9))),
        (at(place(20, 2), 9, place(9, 99)), (place(20, 3), 5, place(10, 9))),
        (at(place(20, 3), 4, place(10, 10)), (place(20, 3), 5, place(10, 10))),
        (at(place(19, 99), 6, place(10, 10)), (place(20, 3), 5, place(10, 10))),
        (at(place(21, 1), 6, place(11, 0)), (place(21, 1), 6, place(11, 0))),
    ] {
        assert!(write(&store, &lease, &checkpoint, later).await);
        let stored = shared(&store).await.unwrap();
        assert_eq!((stored.place, stored.known, own(&store).await[0].1), expected, "{checkpoint:?}");
    }
    let replay = Checkpoint { rewound: vec![(name("behind"), place(2, 2))], ..Checkpoint::default() };
    assert!(write(&store, &lease, &replay, later).await);
    assert_eq!(own(&store).await, [("behind".to_owned(), place(2, 2))]);
    let failed_over = Checkpoint { is_shared_rewound: true, ..at(place(3, 3), 5, place(2, 2)) };
    assert!(write(&store, &lease, &failed_over, later).await);
    let stored = shared(&store).await.unwrap();
    assert_eq!((stored.place, stored.known), (place(3, 3), 6));
    let restored = FeedPlace { incarnation: Incarnation::new(1), position: place(4, 4).position };
    assert!(write(&store, &lease, &at(restored, 6, restored), later).await);
    assert_eq!((shared(&store).await.unwrap().place, own(&store).await[0].1), (restored, restored));
}

/// A consumer that has caught up joins its group; one that is after its group keeps its position. Positions are listed
/// by name.
pub async fn consumers_join_their_group(store: Arc<dyn Store>) {
    let (world, shard) = (World::new(605), last_shard(&store));
    let now = world.now();
    let lease = taken(&store, shard, "holder", now).await;
    let names = ["a-1", "a", "b", "ab", "9"].map(name);
    let advanced = names.iter().zip(1..).map(|(name, number)| (name.clone(), place(1, number))).collect();
    let joined = Checkpoint { joined: names.to_vec(), ..Checkpoint::default() };
    assert!(write(&store, &lease, &Checkpoint { advanced, ..Checkpoint::default() }, now).await);
    assert!(write(&store, &lease, &joined, now).await);
    assert_eq!(own(&store).await.len(), 5, "the group has no position yet");
    let listed: Vec<_> = own(&store).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(listed, ["9", "a", "a-1", "ab", "b"]);
    let group = ConsumerName::webhooks();
    let page = store.own_feed_positions(shard, &group, Some(&names[1]), 2).await.unwrap();
    assert_eq!(page.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a-1", "ab"]);
    let shared = Some((place(1, 3), 1));
    assert!(write(&store, &lease, &Checkpoint { shared, ..joined }, now).await);
    assert_eq!(own(&store).await, [("9".to_owned(), place(1, 5)), ("ab".to_owned(), place(1, 4))]);
    let found = store.feed_position(shard, &group, Some(&names[3])).await.unwrap().unwrap();
    assert_eq!((found.place, found.known), (place(1, 4), 0));
    assert_eq!(store.feed_position(shard, &group, Some(&names[0])).await.unwrap(), None);
}

/// A checkpoint that names a consumer twice, or is too large, is refused completely.
pub async fn an_invalid_checkpoint_is_refused(store: Arc<dyn Store>) {
    let (world, shard) = (World::new(606), last_shard(&store));
    let now = world.now();
    let lease = taken(&store, shard, "holder", now).await;
    let twice = Checkpoint {
        shared: Some((place(1, 1), 1)),
        advanced: vec![(name("a"), place(1, 1))],
        joined: vec![name("a")],
        ..Checkpoint::default()
    };
    let joined = (0..=Checkpoint::MAX_ENTRIES).map(|number| name(&number.to_string())).collect();
    let large = Checkpoint { shared: Some((place(1, 1), 1)), joined, ..Checkpoint::default() };
    let outside = FeedPlace { position: FeedPosition { transaction: u64::MAX, sequence: 1 }, ..place(1, 1) };
    let outside = Checkpoint {
        shared: Some((place(1, 1), 1)),
        advanced: vec![(name("a"), outside)],
        ..Checkpoint::default()
    };
    for checkpoint in [twice, large, outside] {
        let refused = store.checkpoint_feed(shard, &lease, &checkpoint, now, now + LEASE).await;
        assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
    }
    assert_eq!((shared(&store).await, own(&store).await), (None, Vec::new()));
}
