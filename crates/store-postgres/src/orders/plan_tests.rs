//! Tests of the planner, without a database.

use dabba_domain::{Timestamp, menu::UnavailableItem, order::Command, task::TaskSubject};
use dabba_store::encoding::EncodedCommit;
use dabba_store::{
    CatalogueGuard, Commit, CommitOutcome, StockChange, StockShortage,
    conformance::builders::{World, draw, order_of, slug, staff},
};

use super::{
    plan::{Plan, StockEffect},
    view::View,
};

fn encoded(commits: impl IntoIterator<Item = Commit>) -> Vec<EncodedCommit> {
    commits.into_iter().map(|commit| EncodedCommit::new(commit).unwrap()).collect()
}

fn accept(world: &mut World, commit: &Commit) -> Commit {
    let order = order_of(commit);
    world.act(&order, &Command::Accept { preparation_minutes: 10 }, &staff(&order))
}

/// Several commits on one order become one write: from the version that the first expects to the order of the last.
#[test]
fn commits_on_one_order_become_one_write() {
    let mut world = World::new(1);
    let restaurant = world.restaurant_id();
    let placed = world.place_taking(restaurant, &[]);
    let accepted = accept(&mut world, &placed);
    let ready = world.act(&order_of(&accepted), &Command::MarkReady, &staff(&order_of(&accepted)));
    let id = placed.order_id;

    let batch = encoded([placed, accepted.clone(), ready.clone()]);
    let plan = Plan::new(&batch, None);
    assert!(plan.commits_all() && plan.updated.is_empty());
    assert_eq!(*plan.created[&id].commit, ready);

    let batch = encoded([accepted, ready.clone()]);
    let plan = Plan::new(&batch, None);
    assert!(plan.commits_all() && plan.created.is_empty());
    assert_eq!((plan.updated[&id].0, &*plan.updated[&id].1.commit), (2, &ready));
}

/// Without a view, the planner assumes that everything holds, except for two conditions that contradict each other.
#[test]
fn an_optimistic_plan_detects_contradictions() {
    let mut world = World::new(2);
    let restaurant = world.restaurant_id();
    let commit = world.place_taking(restaurant, &[]);
    let guard = |menu_revision| {
        Some(CatalogueGuard { restaurant_revision: 1, menu_revision, availability_revision: 1 })
    };
    let lease = Some(world.lease_of_nothing(TaskSubject::Order(commit.order_id)));
    let accepted = accept(&mut world, &commit);
    let mut other = || Commit { claim: None, ..world.place_taking(restaurant, &[]) };
    for (first, second) in [
        (commit.clone(), Commit { claim: commit.claim.clone(), ..other() }),
        (commit.clone(), Commit { claim: None, ..commit.clone() }),
        (Commit { catalogue: guard(1), ..other() }, Commit { catalogue: guard(2), ..other() }),
        (Commit { completes: lease, ..commit.clone() }, Commit { completes: lease, ..accepted }),
    ] {
        let batch = encoded([first, second]);
        let plan = Plan::new(&batch, None);
        assert_eq!((plan.committed.len(), plan.commits_all()), (1, false), "{:?}", plan.outcomes);
    }
}

/// A batch with a guarded commit after a mark of the same restaurant needs a view, which shows whether the mark
/// changes anything.
#[test]
fn a_guard_after_a_mark_needs_a_view() {
    let mut world = World::new(5);
    let restaurant = world.restaurant_id();
    let guard = CatalogueGuard { restaurant_revision: 1, menu_revision: 1, availability_revision: 1 };
    let naan = slug("naan");
    let mut marks = |until| {
        let unavailable = vec![UnavailableItem { item: naan.clone(), until }];
        Commit { unavailable, ..world.place_taking(restaurant, &[]) }
    };
    let (soon, later) = (Timestamp::from_second(1).unwrap(), Timestamp::from_second(2).unwrap());
    let (first, second) = (marks(Some(later)), marks(Some(soon)));
    let guarded = Commit { catalogue: Some(guard), ..world.place_taking(restaurant, &[]) };
    let elsewhere = world.restaurant_id();
    let other = Commit { catalogue: Some(guard), ..world.place_taking(elsewhere, &[]) };

    let batch = encoded([guarded.clone(), first.clone(), second.clone(), other.clone()]);
    let plan = Plan::new(&batch, None);
    assert!(plan.commits_all() && plan.remarked.is_none());
    assert_eq!(plan.marks[&(restaurant, &naan)], Some(later), "the later end");

    let batch = encoded([first, second, guarded, other]);
    assert!(!Plan::new(&batch, None).commits_all());
    let revisions = [(restaurant, guard), (elsewhere, guard)].into();
    let unmarked = View { revisions, ..View::default() };
    let plan = Plan::new(&batch, Some(&unmarked));
    assert_eq!(plan.outcomes[2], CommitOutcome::CatalogueChanged);
    assert_eq!((plan.committed.len(), plan.remarked), (3, Some([restaurant].into())));
    let marked = View { marks: [((restaurant, &naan), None)].into(), ..unmarked };
    let plan = Plan::new(&batch, Some(&marked));
    assert!(plan.commits_all(), "{:?}", plan.outcomes);
    assert_eq!(plan.remarked, Some([].into()));
}

/// The stock required at the start covers the lowest level in between, not only the final level.
#[test]
fn the_plan_covers_the_lowest_stock_in_between() {
    let mut world = World::new(3);
    let restaurant = world.restaurant_id();
    let taking =
        |world: &mut World, stock: Vec<StockChange>| Commit { stock, ..world.place_taking(restaurant, &[]) };
    let batch = encoded([
        taking(&mut world, vec![StockChange::Take(draw("dal", 3))]),
        taking(&mut world, vec![StockChange::Return(draw("dal", 5))]),
        taking(&mut world, vec![StockChange::Take(draw("dal", 6)), StockChange::Return(draw("naan", 1))]),
    ]);
    let plan = Plan::new(&batch, None);
    let (dal, naan) = (slug("dal"), slug("naan"));
    assert_eq!(plan.stock[&(restaurant, &dal)], StockEffect { delta: -4, needed: 4, takes: true });
    assert_eq!(plan.stock[&(restaurant, &naan)], StockEffect { delta: 1, needed: 0, takes: false });
}

/// A refusal for lack of stock names the stock that the earlier commits left, and the plan requires that the stock is
/// still as in the view.
#[test]
fn a_refusal_requires_the_stock_of_the_view() {
    let mut world = World::new(4);
    let restaurant = world.restaurant_id();
    let batch = encoded([
        world.place_taking(restaurant, &[("dal", 2)]),
        world.place_taking(restaurant, &[("dal", 2)]),
        world.place_taking(restaurant, &[("dal", 1)]),
    ]);
    let dal = slug("dal");
    let view = View { stock: [((restaurant, &dal), 3)].into(), ..View::default() };
    let plan = Plan::new(&batch, Some(&view));
    let shortage = StockShortage { item: dal.clone(), available: 1 };
    assert_eq!(
        plan.outcomes,
        [CommitOutcome::Committed, CommitOutcome::OutOfStock(vec![shortage]), CommitOutcome::Committed]
    );
    assert_eq!(plan.refused_stock[&(restaurant, &dal)], Some(3));
    assert_eq!(plan.stock[&(restaurant, &dal)], StockEffect { delta: -3, needed: 3, takes: true });
}
