//! Batches: each commit is written completely or not at all, independently of the others (I3).

use std::sync::Arc;

use dabba_domain::{
    Bucket, OrderId, RestaurantId, TaskId, Timestamp,
    menu::Availability,
    order::{CancelReason, Command, Event, ReviewReason, place},
    task::{Task, TaskQueue, TaskSubject},
};

use super::builders::{
    World, amount, changed, customer, menu, menu_at, order_of, settings, slug, staff, whole_feed,
};
use crate::{
    CatalogueGuard, CatalogueUpdate, Commit, CommitOutcome, StockShortage, Store, StoreError, TaskLease,
};

/// An empty batch has no outcomes and no effect.
pub async fn an_empty_batch_has_no_effect(store: Arc<dyn Store>) {
    assert_eq!(store.commit(Vec::new()).await.unwrap(), []);
    assert_eq!(whole_feed(&*store).await, []);
}

/// A failed commit keeps its position among the outcomes and does not affect the others, on the same or on other
/// shards.
pub async fn outcomes_have_the_order_of_the_commits(store: Arc<dyn Store>) {
    let mut world = World::new(11);
    let restaurants: Vec<_> = (0..3).map(|_| world.restaurant_id()).collect();
    let mut batch: Vec<Commit> = (0..9)
        .map(|index| {
            let account = world.account_id();
            world.place(restaurants[index % 3], account)
        })
        .collect();
    for index in [0, 4, 8] {
        batch[index].completes = Some(world.lease_of_nothing(TaskSubject::Order(batch[index].order_id)));
    }
    let ids: Vec<OrderId> = batch.iter().map(|commit| commit.order_id).collect();
    let outcomes = store.commit(batch).await.unwrap();
    assert_eq!(outcomes.len(), 9);
    for (index, (id, outcome)) in ids.into_iter().zip(outcomes).enumerate() {
        let fails = index % 4 == 0;
        let expected = if fails { CommitOutcome::LeaseLost } else { CommitOutcome::Committed };
        assert_eq!(outcome, expected, "commit {index}");
        assert_eq!(store.order(id).await.unwrap().is_none(), fails, "commit {index}");
    }
}

/// An order can be placed, accepted and made ready in one batch; each event still has its place in the history.
pub async fn a_commit_sees_the_earlier_commits_of_its_batch(store: Arc<dyn Store>) {
    let mut world = World::new(12);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let placed = world.place(restaurant, account);
    let order = order_of(&placed);
    let accepted = world.act(&order, &Command::Accept { preparation_minutes: 20 }, &staff(&order));
    let order = order_of(&accepted);
    let stale = accepted.clone();
    let ready = world.act(&order, &Command::MarkReady, &staff(&order));
    let outcomes = store.commit(vec![placed, accepted, stale, ready.clone()]).await.unwrap();
    let conflict = CommitOutcome::VersionConflict { current: 3 };
    let committed = CommitOutcome::Committed;
    assert_eq!(outcomes, [committed.clone(), committed.clone(), conflict, committed]);
    assert_eq!(store.order(order.id).await.unwrap(), Some(order_of(&ready)));
    let versions: Vec<_> =
        store.events(order.id, 0, 10).await.unwrap().iter().map(|event| event.version).collect();
    assert_eq!(versions, [1, 2, 3, 4]);
}

/// A decision based on another version is refused with the current version, beside commits that succeed. The rule also
/// covers orders that already exist, and orders that do not exist.
pub async fn a_version_conflict_names_the_current_version(store: Arc<dyn Store>) {
    let mut world = World::new(13);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let placed = world.place(restaurant, account);
    let order = order_of(&placed);
    store.commit(vec![placed.clone()]).await.unwrap();

    let twice = Commit { claim: None, tasks: Vec::new(), ..placed };
    let unknown = {
        let placed = order_of(&world.place(restaurant, account));
        world.act(&placed, &Command::Accept { preparation_minutes: 5 }, &staff(&placed))
    };
    let beside = world.place(restaurant, account);
    let mut repeated = world.repeat(&order, account);
    repeated.expected_version = 1;
    let outcomes = store.commit(vec![twice, unknown, beside, repeated]).await.unwrap();
    assert_eq!(
        outcomes,
        [
            CommitOutcome::VersionConflict { current: 2 },
            CommitOutcome::VersionConflict { current: 0 },
            CommitOutcome::Committed,
            CommitOutcome::VersionConflict { current: 2 },
        ]
    );
    assert_eq!(store.order(order.id).await.unwrap(), Some(order));
}

/// Two decisions on the same version are never both written, even with concurrent attempts.
pub async fn one_of_many_concurrent_changes_of_a_version_succeeds(store: Arc<dyn Store>) {
    let mut world = World::new(14);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let placed = world.place(restaurant, account);
    let order = order_of(&placed);
    store.commit(vec![placed]).await.unwrap();
    let mut running = tokio::task::JoinSet::new();
    for attempt in 0..16 {
        let commit = if attempt % 2 == 0 {
            world.act(&order, &Command::Accept { preparation_minutes: attempt }, &staff(&order))
        } else {
            let reason = CancelReason::Other;
            world.act(&order, &Command::cancel(reason), &customer(&order))
        };
        let store = Arc::clone(&store);
        running.spawn(async move { (order_of(&commit), store.commit(vec![commit]).await.unwrap()) });
    }
    let results = running.join_all().await;
    let winners: Vec<_> =
        results.iter().filter(|(_, outcomes)| outcomes[0] == CommitOutcome::Committed).collect();
    assert_eq!(winners.len(), 1);
    for (_, outcomes) in &results {
        if outcomes[0] != CommitOutcome::Committed {
            assert_eq!(*outcomes, [CommitOutcome::VersionConflict { current: 3 }]);
        }
    }
    assert_eq!(store.order(order.id).await.unwrap().as_ref(), Some(&winners[0].0));
}

const UNAVAILABLE: Availability = Availability::Unavailable { until: None };

/// An order is refused if it was priced from settings, a menu or an availability that have changed since, or from an
/// unknown restaurant.
pub async fn an_order_priced_from_an_old_catalogue_is_refused(store: Arc<dyn Store>) {
    let mut world = World::new(15);
    let restaurant = world.restaurant();
    store.create_restaurant(&restaurant, &menu(&["naan"])).await.unwrap();
    let guard = |restaurant_revision, menu_revision, availability_revision| CatalogueGuard {
        restaurant_revision,
        menu_revision,
        availability_revision,
    };
    let mut outcome = async |restaurant_id: RestaurantId, guard| {
        let account = world.account_id();
        let placed = world.place(restaurant_id, account);
        let commit = Commit { catalogue: Some(guard), ..placed };
        store.commit(vec![commit]).await.unwrap().remove(0)
    };
    let (committed, changed) = (CommitOutcome::Committed, CommitOutcome::CatalogueChanged);
    assert_eq!(outcome(restaurant.id, guard(1, 1, 1)).await, committed);

    let updated = store.update_restaurant(&restaurant, 1).await.unwrap();
    assert_eq!(updated, CatalogueUpdate::Done { revision: 2 });
    assert_eq!(outcome(restaurant.id, guard(1, 1, 1)).await, changed);
    assert_eq!(outcome(restaurant.id, guard(2, 1, 1)).await, committed);

    let replaced = store.replace_menu(restaurant.id, &menu(&["naan", "roti"]), menu_at(1)).await.unwrap();
    assert_eq!(replaced, CatalogueUpdate::Done { revision: 2 });
    assert_eq!(outcome(restaurant.id, guard(2, 1, 1)).await, changed);
    assert_eq!(outcome(restaurant.id, guard(2, 2, 1)).await, committed);

    // Orders must now draw from stock, so orders priced without the draw are stale.
    store.set_stock(restaurant.id, &slug("naan"), Some(5)).await.unwrap();
    assert_eq!(outcome(restaurant.id, guard(2, 2, 1)).await, changed);
    assert_eq!(outcome(restaurant.id, guard(2, 3, 1)).await, committed);

    // The order may contain the item that was just marked.
    store.set_availability(restaurant.id, &slug("naan"), UNAVAILABLE, None).await.unwrap();
    assert_eq!(outcome(restaurant.id, guard(2, 3, 1)).await, changed);
    assert_eq!(outcome(restaurant.id, guard(2, 3, 2)).await, committed);

    let catalogue = store.catalogue(restaurant.id).await.unwrap().unwrap();
    assert_eq!(outcome(restaurant.id, catalogue.guard()).await, committed);
    let unknown = RestaurantId::generate(restaurant.created_at, restaurant.id.bucket(), 0);
    assert_eq!(outcome(unknown, guard(1, 1, 1)).await, changed);
}

/// A commit that fails any condition writes no order, no event, no claim and no task, draws no stock, and leaves the
/// task that it would have completed leased.
pub async fn a_failed_commit_writes_nothing(store: Arc<dyn Store>) {
    let mut world = World::new(16);
    let restaurant = world.restaurant();
    store.create_restaurant(&restaurant, &menu(&["naan", "roti"])).await.unwrap();
    store.set_stock(restaurant.id, &slug("naan"), Some(9)).await.unwrap();
    store.set_stock(restaurant.id, &slug("roti"), Some(1)).await.unwrap();
    let account = world.account_id();
    let held = world.place(restaurant.id, account);
    store.commit(vec![held.clone()]).await.unwrap();
    let far = world.in_seconds(100_000);
    let lease = store.claim_due_tasks(TaskQueue::Deadlines, far, far, 10).await.unwrap().remove(0).lease;
    let before = whole_feed(&*store).await;

    // The lease states the order of the commit, so that the store does not refuse the whole batch.
    let lease_for = |commit: &Commit| TaskLease { subject: TaskSubject::Order(commit.order_id), ..lease };

    let mut failing = Vec::new();
    let mut stale_lease = world.place_taking(restaurant.id, &[("naan", 2)]);
    stale_lease.completes = Some(TaskLease { token: lease.token + 1, ..lease_for(&stale_lease) });
    failing.push((stale_lease, CommitOutcome::LeaseLost));
    let mut exists = world.place_taking(restaurant.id, &[("naan", 2)]);
    exists.completes = Some(lease_for(&exists));
    exists = Commit { change: None, expected_version: 7, ..exists };
    failing.push((exists, CommitOutcome::VersionConflict { current: 0 }));
    let mut old = world.place_taking(restaurant.id, &[("naan", 2)]);
    old.completes = Some(lease_for(&old));
    old.catalogue =
        Some(CatalogueGuard { restaurant_revision: 1, menu_revision: 1, availability_revision: 1 });
    failing.push((old, CommitOutcome::CatalogueChanged));
    let mut sold_out = world.place_taking(restaurant.id, &[("naan", 2), ("roti", 2)]);
    sold_out.completes = Some(lease_for(&sold_out));
    let shortage = StockShortage { item: slug("roti"), available: 1 };
    failing.push((sold_out, CommitOutcome::OutOfStock(vec![shortage])));

    for (commit, expected) in failing {
        // A successful commit in the same batch provides a transaction that could wrongly include the failing commit.
        let beside = world.repeat(&order_of(&held), account);
        let outcomes = store.commit(vec![beside.clone(), commit.clone()]).await.unwrap();
        assert_eq!(outcomes, [CommitOutcome::Committed, expected.clone()]);
        assert_eq!(store.order(commit.order_id).await.unwrap(), None, "{expected:?}");
        assert_eq!(store.events(commit.order_id, 0, 10).await.unwrap(), [], "{expected:?}");
        let claim = commit.claim.unwrap();
        let found = store.find_claim(claim.account_id, restaurant.id, &claim.key).await.unwrap();
        assert_eq!(found, None, "{expected:?}");
        assert_eq!(
            store
                .claim_due_tasks(TaskQueue::Deadlines, far - std::time::Duration::from_nanos(1), far, 10)
                .await
                .unwrap(),
            []
        );
        let levels: Vec<u32> =
            store.stock(restaurant.id).await.unwrap().iter().map(|level| level.remaining).collect();
        assert_eq!(levels, [9, 1], "{expected:?}");
    }
    assert_eq!(whole_feed(&*store).await, before);
    assert!(store.postpone_task(lease, far, None).await.unwrap());
}

/// If several conditions fail, the outcome is the first of claim, lease, version, catalogue, stock.
pub async fn conditions_are_checked_in_the_order_of_the_contract(store: Arc<dyn Store>) {
    let mut world = World::new(17);
    let restaurant = world.restaurant();
    store.create_restaurant(&restaurant, &menu(&["naan"])).await.unwrap();
    let mut commit = world.place_taking(restaurant.id, &[("naan", 1)]);
    let mut claimed = world.place(restaurant.id, commit.claim.as_ref().unwrap().account_id);
    claimed.claim.clone_from(&commit.claim);
    claimed.claim.as_mut().unwrap().fingerprint.0[31] ^= 1;
    store.commit(vec![claimed]).await.unwrap();

    commit.expected_version = 5;
    commit.change = None;
    commit.catalogue =
        Some(CatalogueGuard { restaurant_revision: 1, menu_revision: 2, availability_revision: 1 });
    commit.completes = Some(world.lease_of_nothing(TaskSubject::Order(commit.order_id)));
    let expect = async |commit: &Commit, expected: CommitOutcome| {
        assert_eq!(store.commit(vec![commit.clone()]).await.unwrap(), [expected]);
    };
    expect(&commit, CommitOutcome::KeyReused).await;
    commit.claim = None;
    expect(&commit, CommitOutcome::LeaseLost).await;
    commit.completes = None;
    expect(&commit, CommitOutcome::VersionConflict { current: 0 }).await;
    commit.expected_version = 0;
    expect(&commit, CommitOutcome::CatalogueChanged).await;
    commit.catalogue = None;
    let shortage = StockShortage { item: slug("naan"), available: 0 };
    expect(&commit, CommitOutcome::OutOfStock(vec![shortage])).await;
}

/// A history with a gap, a wrong beginning, or events of another order is refused together with its batch, because a
/// caller with such a defect cannot be trusted about the other commits.
pub async fn a_commit_that_breaks_the_history_is_refused_with_its_batch(store: Arc<dyn Store>) {
    let mut world = World::new(18);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let placed = world.place(restaurant, account);
    store.commit(vec![placed.clone()]).await.unwrap();
    let order = order_of(&placed);
    let accepted = world.act(&order, &Command::Accept { preparation_minutes: 20 }, &staff(&order));

    let mut broken: Vec<(&str, Commit)> = Vec::new();
    let mut add = |what, break_it: &dyn Fn(&mut Commit)| {
        let mut commit = accepted.clone();
        break_it(&mut commit);
        broken.push((what, commit));
    };
    let change = |commit: &mut Commit| commit.change.clone().unwrap();
    add("no events", &|commit| commit.change.as_mut().unwrap().events.clear());
    add("a gap before", &|commit| commit.change.as_mut().unwrap().events[0].version = 4);
    add("the same number twice", &|commit| {
        let event = change(commit).events[0].clone();
        commit.change.as_mut().unwrap().events.push(event);
    });
    add("a state before the last event", &|commit| commit.change.as_mut().unwrap().order.version = 2);
    add("a state after the last event", &|commit| commit.change.as_mut().unwrap().order.version = 4);
    add("another order's state", &|commit| commit.order_id = placed.order_id_beside());
    add("placed for a second time", &|commit| {
        let details = Arc::clone(&change(commit).order.details);
        commit.change.as_mut().unwrap().events[0].event = Event::Placed(details);
    });
    add("another order's task", &|commit| {
        let mut task = placed.tasks[0].clone();
        task.subject = TaskSubject::Order(placed.order_id_beside());
        commit.tasks.push(task);
    });
    add("a task out of the order's bucket", &|commit| {
        let mut task = placed.tasks[0].clone();
        task.id = TaskId::generate(placed.at, bucket_beside(restaurant), 42);
        commit.tasks.push(task);
    });
    add("the lease of a task out of the order's bucket", &|commit| {
        let task_id = TaskId::generate(placed.at, bucket_beside(restaurant), 42);
        commit.completes =
            Some(TaskLease { task_id, subject: TaskSubject::Order(commit.order_id), token: 1 });
    });
    add("the lease of another order's task", &|commit| {
        let subject = TaskSubject::Order(placed.order_id_beside());
        commit.completes = Some(TaskLease { task_id: placed.tasks[0].id, subject, token: 1 });
    });
    add("a review of the order's restaurant", &|commit| {
        let mut task = placed.tasks[0].clone();
        (task.subject, task.task) =
            (TaskSubject::Restaurant(restaurant), Task::Review { reason: ReviewReason::PaymentVoided });
        commit.tasks.push(task);
    });
    let mut fresh = world.place(restaurant, account);
    fresh.change.as_mut().unwrap().events.remove(0);
    broken.push(("not placed", fresh));
    let mut fresh = world.place(restaurant, account);
    let change = fresh.change.as_mut().unwrap();
    change.order.details =
        Arc::new(changed(&change.order.details, |details| details.amounts.total = amount(1)));
    broken.push(("placed with other details", fresh));

    let id = OrderId::generate(placed.at, bucket_beside(restaurant), 42);
    let details = world.details(restaurant, account);
    let decision = place(id, details, None, &settings(), placed.at).unwrap();
    broken.push(("out of the restaurant's bucket", world.commit(decision, 0)));

    for (what, commit) in broken {
        // The other commit is of another restaurant, possibly on another shard: nothing is written there either.
        let elsewhere = world.restaurant_id();
        let beside = world.place(elsewhere, account);
        let result = store.commit(vec![beside.clone(), commit]).await;
        assert!(matches!(result, Err(StoreError::Corrupt(_))), "{what}: {result:?}");
        assert_eq!(store.order(beside.order_id).await.unwrap(), None, "{what}");
        assert_eq!(store.order(order.id).await.unwrap().as_ref(), Some(&order), "{what}");
    }
    assert_eq!(store.commit(vec![accepted]).await.unwrap(), [CommitOutcome::Committed]);
}

fn bucket_beside(restaurant: RestaurantId) -> Bucket {
    Bucket::from_random(u64::from(restaurant.bucket().number()) + 1)
}

impl Commit {
    /// Returns the id of an order of the same restaurant that does not exist.
    fn order_id_beside(&self) -> OrderId {
        OrderId::generate(Timestamp::UNIX_EPOCH, self.restaurant_id.bucket(), 42)
    }
}
