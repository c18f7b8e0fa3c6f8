//! Rejections because items are unavailable: the marks are part of the commit.

use std::sync::Arc;

use dabba_domain::{
    RestaurantId, Timestamp,
    menu::{Availability, UnavailableItem},
    order::{Command, Order, RejectReason},
    restaurant::Revision,
};

use super::builders::{World, draw, menu, menu_at, order_of, slug, staff};
use crate::{CatalogueGuard, Commit, CommitOutcome, StockChange, Store};

/// Creates a restaurant with a large limited stock of naan and onion bhaji, which every order of the world contains.
async fn restaurant(store: &Arc<dyn Store>, world: &mut World) -> RestaurantId {
    let restaurant = world.restaurant();
    assert!(
        store.create_restaurant(&restaurant, &menu(&["naan", "onion-bhaji"])).await.unwrap().is_created()
    );
    for item in ["naan", "onion-bhaji"] {
        store.set_stock(restaurant.id, &slug(item), Some(100)).await.unwrap();
    }
    restaurant.id
}

/// Stock that an order of the world draws.
const DRAWS: [(&str, u32); 2] = [("naan", 1), ("onion-bhaji", 2)];

async fn place(store: &Arc<dyn Store>, world: &mut World, restaurant: RestaurantId) -> Order {
    let placed = world.place_taking(restaurant, &DRAWS);
    let order = order_of(&placed);
    assert_eq!(store.commit(vec![placed]).await.unwrap(), [CommitOutcome::Committed]);
    order
}

fn until(item: &str, until: Option<Timestamp>) -> UnavailableItem {
    UnavailableItem { item: slug(item), until }
}

fn reject(world: &mut World, order: &Order, items: &[UnavailableItem]) -> Commit {
    let (reason, items) = (RejectReason::ItemUnavailable, items.to_vec());
    world.act(order, &Command::Reject { reason, note: None, items }, &staff(order))
}

async fn commit(store: &Arc<dyn Store>, commit: Commit) {
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
}

/// Returns the marks of naan and onion bhaji, and the availability's revision.
async fn marks(store: &Arc<dyn Store>, id: RestaurantId) -> ([Availability; 2], Revision) {
    let catalogue = store.catalogue(id).await.unwrap().unwrap();
    let revision = catalogue.availability_revision;
    assert_eq!(store.revisions(&[id]).await.unwrap()[0].1, catalogue.guard());
    (["naan", "onion-bhaji"].map(|item| catalogue.unavailable.availability(item)), revision)
}

/// Returns the remaining stock of naan and onion bhaji.
async fn left(store: &Arc<dyn Store>, id: RestaurantId) -> [u32; 2] {
    let levels = store.stock(id).await.unwrap();
    [levels[0].remaining, levels[1].remaining]
}

const AVAILABLE: Availability = Availability::Available;

fn away(until: Option<Timestamp>) -> Availability {
    Availability::Unavailable { until }
}

/// Proves that a rejection marks the named items, keeps their stock, and returns the stock of all other items; and that
/// a failed rejection does none of this.
pub async fn a_rejection_marks_the_named_items_or_nothing(store: Arc<dyn Store>) {
    let mut world = World::new(311);
    let id = restaurant(&store, &mut world).await;
    let (first, second) = (place(&store, &mut world, id).await, place(&store, &mut world, id).await);
    assert_eq!(left(&store, id).await, [98, 96]);
    let end = world.in_seconds(3_600);
    let rejected = reject(&mut world, &first, &[until("naan", Some(end))]);
    assert_eq!(rejected.stock, [StockChange::Return(draw("onion-bhaji", 2))]);
    // This rejection fails with a version conflict: it marks nothing and returns nothing.
    let stale = Commit { expected_version: 1, ..reject(&mut world, &second, &[until("naan", None)]) };
    let stale = Commit { change: None, ..stale };
    let outcomes = store.commit(vec![stale]).await.unwrap();
    assert_eq!(outcomes, [CommitOutcome::VersionConflict { current: 2 }]);
    assert_eq!(marks(&store, id).await, ([AVAILABLE; 2], 1));
    commit(&store, rejected.clone()).await;
    assert_eq!(marks(&store, id).await, ([away(Some(end)), AVAILABLE], 2));
    assert_eq!(left(&store, id).await, [98, 98]);
    // A retry of the first commit fails, because the order has a later version.
    let outcomes = store.commit(vec![rejected]).await.unwrap();
    assert_eq!(outcomes, [CommitOutcome::VersionConflict { current: 3 }]);
    assert_eq!(marks(&store, id).await, ([away(Some(end)), AVAILABLE], 2));
    assert_eq!(left(&store, id).await, [98, 98]);
}

/// Proves that a mark is never shortened, to the nanosecond, and that only a changed mark increases the revision.
pub async fn a_mark_is_never_shortened(store: Arc<dyn Store>) {
    let mut world = World::new(312);
    let id = restaurant(&store, &mut world).await;
    let base = world.in_seconds(3_600).as_second();
    // The ends have no, one, two and nine decimal digits.
    let at = |nanoseconds| Some(Timestamp::new(base, nanoseconds).unwrap());
    let mut revision = 1;
    for (end, kept) in [
        (at(500_000_000), at(500_000_000)),
        (at(0), at(500_000_000)),
        (at(250_000_000), at(500_000_000)),
        (at(500_000_000), at(500_000_000)),
        (at(500_000_001), at(500_000_001)),
        (at(990_000_000), at(990_000_000)),
        (Some(Timestamp::new(base + 1, 0).unwrap()), Some(Timestamp::new(base + 1, 0).unwrap())),
        (None, None),
        (at(999_999_999), None),
        (None, None),
    ] {
        let order = place(&store, &mut world, id).await;
        let (before, _) = marks(&store, id).await;
        let rejected = reject(&mut world, &order, &[until("naan", end)]);
        commit(&store, rejected).await;
        revision += u32::from(before[0] != away(kept));
        assert_eq!(marks(&store, id).await, ([away(kept), AVAILABLE], revision), "{end:?}");
    }
}

/// Proves that a later or unlimited manual mark outlasts a rejection, that an expired mark does not, and that a menu
/// without the item does not affect the mark.
pub async fn a_rejection_keeps_later_manual_marks(store: Arc<dyn Store>) {
    let mut world = World::new(313);
    let id = restaurant(&store, &mut world).await;
    let [past, soon, later] = [-60, 600, 7_200].map(|seconds| Some(world.in_seconds(seconds)));
    store.set_availability(id, &slug("naan"), away(later), None).await.unwrap();
    store.set_availability(id, &slug("onion-bhaji"), away(past), None).await.unwrap();
    let order = place(&store, &mut world, id).await;
    let rejected = reject(&mut world, &order, &[until("onion-bhaji", soon), until("naan", soon)]);
    commit(&store, rejected).await;
    assert_eq!(marks(&store, id).await, ([away(later), away(soon)], 4));
    // A manual change sets the mark as stated, also to an earlier end.
    store.set_availability(id, &slug("naan"), AVAILABLE, None).await.unwrap();
    let order = place(&store, &mut world, id).await;
    let expected = crate::MenuRevisions { availability: 5, ..menu_at(3) };
    store.replace_menu(id, &menu(&["dal"]), expected).await.unwrap();
    let rejected = reject(&mut world, &order, &[until("naan", None)]);
    commit(&store, rejected).await;
    assert_eq!(marks(&store, id).await, ([away(None), away(soon)], 6));
}

/// Proves that an order in the same batch that was priced before a rejection sees the mark: it is refused after a
/// rejection that changes a mark, and placed before that rejection or after a rejection that changes no mark.
pub async fn orders_after_a_rejection_in_a_batch_see_the_marks(store: Arc<dyn Store>) {
    let mut world = World::new(314);
    let id = restaurant(&store, &mut world).await;
    let orders = [place(&store, &mut world, id).await, place(&store, &mut world, id).await];
    let guard = store.catalogue(id).await.unwrap().unwrap().guard();
    let priced = |world: &mut World, catalogue: CatalogueGuard| Commit {
        catalogue: Some(catalogue),
        ..world.place_taking(id, &[])
    };
    let (committed, changed) = (CommitOutcome::Committed, CommitOutcome::CatalogueChanged);
    let batch = vec![
        priced(&mut world, guard),
        reject(&mut world, &orders[0], &[until("naan", None)]),
        priced(&mut world, guard),
    ];
    let outcomes = store.commit(batch).await.unwrap();
    assert_eq!(outcomes, [committed.clone(), committed.clone(), changed.clone()]);
    let newer = store.catalogue(id).await.unwrap().unwrap().guard();
    assert_eq!(newer.availability_revision, guard.availability_revision + 1);
    let soon = Some(world.in_seconds(60));
    let batch = vec![
        priced(&mut world, guard),
        reject(&mut world, &orders[1], &[until("naan", soon)]),
        priced(&mut world, newer),
    ];
    assert_eq!(store.commit(batch).await.unwrap(), [changed, committed.clone(), committed]);
    assert_eq!(marks(&store, id).await, ([away(None), AVAILABLE], newer.availability_revision));
}

/// Proves that the rejections of one batch add up, also for several restaurants.
pub async fn rejections_of_one_batch_add_up(store: Arc<dyn Store>) {
    let mut world = World::new(315);
    let ids = [restaurant(&store, &mut world).await, restaurant(&store, &mut world).await];
    let [soon, later] = [600, 7_200].map(|seconds| Some(world.in_seconds(seconds)));
    for id in ids {
        let orders = [
            place(&store, &mut world, id).await,
            place(&store, &mut world, id).await,
            place(&store, &mut world, id).await,
        ];
        let batch = vec![
            reject(&mut world, &orders[0], &[until("naan", later)]),
            reject(&mut world, &orders[1], &[until("onion-bhaji", None), until("naan", soon)]),
            reject(&mut world, &orders[2], &[until("onion-bhaji", soon)]),
        ];
        let outcomes = store.commit(batch).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == CommitOutcome::Committed), "{outcomes:?}");
        let (marks, revision) = marks(&store, id).await;
        assert_eq!(marks, [away(later), away(None)]);
        assert!(revision > 1);
        // The third order returned its naan, and the first its onion bhaji.
        assert_eq!(left(&store, id).await, [98, 96]);
    }
}

/// Proves that concurrent rejections, manual marks, adjustments of stock and orders all take effect, and that none
/// waits forever.
pub async fn concurrent_rejections_and_manual_changes_lose_nothing(store: Arc<dyn Store>) {
    const EACH: usize = 12;
    let mut world = World::new(316);
    let id = restaurant(&store, &mut world).await;
    let mut running = tokio::task::JoinSet::new();
    let mut last = None;
    for number in 0..EACH {
        let order = place(&store, &mut world, id).await;
        last = Some(world.in_seconds(3_600 + i64::try_from(number).unwrap()));
        let rejected = reject(&mut world, &order, &[until("naan", last)]);
        let (placed, store) = (world.place_taking(id, &DRAWS), Arc::clone(&store));
        running.spawn(async move {
            assert_eq!(store.commit(vec![rejected]).await.unwrap(), [CommitOutcome::Committed]);
            let away = Availability::Unavailable { until: None };
            store.set_availability(id, &slug("onion-bhaji"), away, None).await.unwrap();
            store.set_stock(id, &slug("dal"), Some(u32::try_from(number).unwrap())).await.unwrap();
            assert_eq!(store.commit(vec![placed]).await.unwrap(), [CommitOutcome::Committed]);
        });
    }
    running.join_all().await;
    let ([naan, bhaji], _) = marks(&store, id).await;
    assert_eq!((naan, bhaji), (away(last), away(None)));
    let levels = store.stock(id).await.unwrap();
    let left: Vec<(&str, u32)> = levels.iter().map(|level| (level.item.as_str(), level.remaining)).collect();
    let gone = u32::try_from(EACH).unwrap();
    // The remaining stock lacks the naan of every rejected order, and the draws of the other orders.
    assert_eq!(left[1..], [("naan", 100 - 2 * gone), ("onion-bhaji", 100 - 2 * gone)]);
}
