//! Orders in the stored form from before card payments, for the tests of migrations.
//!
//! Refunds then had no number and no lines, and only the restaurant could bear them. An expired order had waited for
//! the restaurant.

use std::sync::Arc;

use dabba_domain::{
    Actor, TaskId,
    menu::Availability,
    order::{
        CancelReason, Command, Fulfilment, Order, OrderDetails, OrderStatus, RefundReason, RefundRequest,
        Version, decide, fold,
    },
    task::{Task, TaskQueue},
    text::Note,
};
use serde_json::Value;

use super::builders::{World, amount, order_of, settings, staff};
use crate::{Commit, CommitOutcome, Store, encoding::EncodedCommit};

/// An order, and the stored texts of it.
#[derive(Clone, Debug)]
pub struct PastOrder {
    /// The order. Columns other than texts have not changed since.
    pub order: Order,
    /// Details of the order.
    pub details: String,
    /// How the order ended early.
    pub closure: Option<String>,
    /// Events of the order.
    pub events: Vec<PastEvent>,
}

/// An event, and the stored texts of it.
#[derive(Clone, Debug)]
pub struct PastEvent {
    /// Version of the order after the event.
    pub version: Version,
    /// Name of the event.
    pub name: &'static str,
    /// Content of the event.
    pub data: Option<String>,
    /// Actor of the event.
    pub actor: String,
    /// Time of the event, in nanoseconds since 1970.
    pub at_ns: i64,
}

impl PastOrder {
    fn new(commits: &[Commit]) -> Self {
        let mut events = Vec::new();
        let (mut details, mut closure) = (None, None);
        for commit in commits {
            let encoded = EncodedCommit::new(commit.clone()).unwrap();
            let change = encoded.change.unwrap();
            for (recorded, event) in
                commit.change.iter().flat_map(|change| &change.events).zip(&change.events)
            {
                events.push(PastEvent {
                    version: recorded.version,
                    name: event.name,
                    data: change.data_of(event).map(past_form_of),
                    actor: event.actor.clone(),
                    at_ns: event.at_ns,
                });
            }
            details = details.or(change.details);
            closure = change.closure.as_deref().map(past_form_of);
        }
        Self { order: order_of(commits.last().unwrap()), details: details.unwrap(), closure, events }
    }
}

/// Returns a text without the members that it did not have then.
fn past_form_of(json: &str) -> String {
    let mut value: Value = serde_json::from_str(json).unwrap();
    let members = value.as_object_mut().unwrap();
    if members.contains_key("restaurant_id") {
        return json.to_owned(); // The details have not changed since.
    }
    for since in ["number", "borne_by", "waited_for"] {
        members.remove(since);
    }
    value.to_string()
}

/// Returns cash orders: one that waits, one that expired, one that was cancelled, and several with one or two refunds,
/// partial and full.
pub fn past_orders(world: &mut World) -> Vec<PastOrder> {
    let restaurant = world.restaurant_id();
    let account = world.account_id();
    let mut lives = Vec::new();
    let waiting = world.place(restaurant, account);
    lives.push(vec![waiting]);

    let placed = world.place(restaurant, account);
    let order = order_of(&placed);
    let deadline = order.acceptance_deadline.unwrap();
    let expiry = decide(&order, &Command::Expire, &Actor::System, &settings(), deadline).unwrap();
    let expired = world.commit(expiry, order.version);
    lives.push(vec![placed, expired]);

    let placed = world.place(restaurant, account);
    let order = order_of(&placed);
    let cancel = Command::cancel(CancelReason::Other);
    let cancelled = world.act(&order, &cancel, &staff(&order));
    lives.push(vec![placed, cancelled]);

    for parts in [&[Some(1)][..], &[None], &[Some(250), Some(99)], &[Some(1_000), None]] {
        let details =
            OrderDetails { fulfilment: Fulfilment::Collection, ..world.details(restaurant, account) };
        let mut life = vec![world.place_with(details)];
        let staff = staff(&order_of(&life[0]));
        for command in [Command::Accept { preparation_minutes: 9 }, Command::MarkReady, Command::deliver()] {
            let commit = world.act(&order_of(life.last().unwrap()), &command, &staff);
            life.push(commit);
        }
        for part in parts {
            let note = Some(Note::new("\"cold\" \\ 🥶").unwrap());
            let request = RefundRequest { note, ..RefundRequest::new(part.map(amount), RefundReason::Late) };
            let commit = world.act(&order_of(life.last().unwrap()), &Command::Refund(request), &staff);
            life.push(commit);
        }
        lives.push(life);
    }
    lives.iter().map(|life| PastOrder::new(life)).collect()
}

/// Checks that a migrated store has these orders: each equals the fold of its events (I4), has the same amounts, and
/// accepts further commands.
pub async fn past_orders_are_whole(store: Arc<dyn Store>, world: &mut World, past: &[PastOrder]) {
    for PastOrder { order: then, .. } in past {
        let events = store.events(then.id, 0, 100).await.unwrap();
        let order = store.order(then.id).await.unwrap().unwrap();
        assert_eq!(fold(&events).unwrap().as_ref(), Some(&order));
        assert_eq!(order.version, then.version);
        assert_eq!((order.status, order.payment_status), (then.status, then.payment_status));
        assert_eq!((order.captured, order.refunded), (then.captured, then.refunded));
        assert_eq!((&order.closure, &order.details), (&then.closure, &then.details));
        assert_eq!(order.refundable(), then.refundable());
        assert_eq!(
            order.refunds,
            then.refunds[..usize::from(!then.refunds.is_empty())],
            "the list contains only the first refund"
        );
        let admin = Actor::Admin { account_id: order.details.customer_id };
        let refund = Command::Refund(RefundRequest::new(Some(amount(1)), RefundReason::Other));
        if order.status == OrderStatus::Delivered {
            let commit = world.act(&order, &refund, &admin);
            let after = order_of(&commit);
            assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
            assert_eq!(store.order(order.id).await.unwrap().as_ref(), Some(&after));
            assert_eq!(after.refunds.len(), 2);
        }
    }
}

/// Panics unless a migrated store leases the task that an older program stored for the expiry of an order. The task has
/// no queue, and is due.
pub async fn past_task_is_leased(store: Arc<dyn Store>, world: &World, task_id: TaskId) {
    let (now, until) = (world.now(), world.in_seconds(60));
    let tasks = store.claim_due_tasks(TaskQueue::Deadlines, now, until, 10).await.unwrap();
    assert_eq!(tasks.len(), 1);
    assert_eq!((tasks[0].task.id, &tasks[0].task.content), (task_id, &Ok(Task::ExpireUnaccepted)));
    assert_eq!(store.claim_due_tasks(TaskQueue::Payments, now, until, 10).await.unwrap(), []);
}

/// An earlier menu in the same form. Its unavailable item does not matter.
pub const OLD_MENU: &str = r#"{"categories":[{"name":"Old","items":[{"id":"old","name":"Old","price_minor":1,"tags":[],
    "availability":{"status":"unavailable"},"option_groups":[]}]}]}"#;

/// A menu in the stored form that contained the availability of its items: one item is unavailable without an end, one
/// is unavailable until [`BACK_AT`], and one is available.
pub const MENU_WITH_AVAILABILITY: &str = r#"{"categories":[{"name":"Breads","items":[
    {"id":"naan","name":"Naan","price_minor":250,"tags":[],"availability":{"status":"unavailable"},"option_groups":[]},
    {"id":"x-2","name":"\u30e9\u30fc\u30e1\u30f3","price_minor":900,"tags":[],
     "availability":{"status":"unavailable","until":"2300-06-01T13:00:00.000000001Z"},"option_groups":[]},
    {"id":"roti","name":"Roti","price_minor":200,"tags":[],"option_groups":[]}]},{"name":"Empty","items":[]}]}"#;

/// Time at which an item of [`MENU_WITH_AVAILABILITY`] becomes available again.
pub const BACK_AT: &str = "2300-06-01T13:00:00.000000001Z";

/// Panics unless a store returns the availability of [`MENU_WITH_AVAILABILITY`].
pub async fn past_availability_is_kept(store: Arc<dyn Store>, id: dabba_domain::RestaurantId) {
    let catalogue = store.catalogue(id).await.unwrap().unwrap();
    let away = |until| Availability::Unavailable { until };
    for (item, availability) in [
        ("naan", away(None)),
        ("x-2", away(Some(BACK_AT.parse().unwrap()))),
        ("roti", Availability::Available),
        ("old", Availability::Available),
    ] {
        assert_eq!(catalogue.unavailable.availability(item), availability, "{item}");
    }
    assert_eq!(catalogue.availability_revision, 1);
    assert_eq!(catalogue.menu.items().count(), 3);
}
