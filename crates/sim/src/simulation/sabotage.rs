//! What the planted defects do to commits, lists, feeds and checkpoints.

use std::sync::Arc;

use dabba_domain::{
    AccountId, Actor, Amount, Bucket,
    order::{Event, OrderStatus, RecordedEvent, evolve},
};
use dabba_outbound::RecordedOrder;
use dabba_store::{Change, Checkpoint, Commit, FeedEvent, FeedPage, OrderQuery, OrderScope, StockChange};

use super::{chaos::Chaos, plant::Plant, world::START};

/// Per mille of commits that lose their tasks, with the defect `lost-tasks`.
const LOSES_TASKS: u32 = 40;
/// Per mille of commits that are acknowledged and not written, with the defect `lost-commits`.
const DROPS_COMMITS: u32 = 40;
/// Per mille of batches whose events are published and that are lost, with the defect `unacknowledged-event`.
const PUBLISHES_AND_LOSES: u32 = 20;

/// Returns the batch as the defect changes it.
pub(super) fn damage(chaos: &Chaos, mut batch: Vec<Arc<Commit>>) -> Vec<Arc<Commit>> {
    if let Some(plant) = chaos.plant {
        for commit in &mut batch {
            damage_commit(chaos, plant, Arc::make_mut(commit));
        }
    }
    batch
}

fn damage_commit(chaos: &Chaos, plant: Plant, commit: &mut Commit) {
    match plant {
        Plant::LostKeys if commit.expected_version == 0 => commit.claim = None,
        Plant::LostMarks => commit.unavailable.clear(),
        Plant::LostTasks if chaos.happens(LOSES_TASKS) => commit.tasks.clear(),
        Plant::Oversold => commit.stock.retain(|change| matches!(change, StockChange::Return(_))),
        Plant::LostStock => commit.stock.retain(|change| matches!(change, StockChange::Take(_))),
        _ => {
            if let Some(change) = &mut commit.change {
                damage_change(plant, change);
            }
        }
    }
}

fn damage_change(plant: Plant, change: &mut Change) {
    let Change { order, events } = change;
    let Some(last) = events.last_mut() else { return };
    match (plant, &mut last.event) {
        (Plant::ForgedStates, Event::Accepted { .. }) => order.ready_by = None,
        (Plant::WrongTotals, Event::Placed(details)) => {
            let details = Arc::make_mut(details);
            if let Ok(total) = Amount::from_minor(details.amounts.total.minor() + 1) {
                details.amounts.total = total;
            }
            order.details = Arc::new(details.clone());
        }
        (Plant::ForeignCancellations, Event::Cancelled { .. }) => {
            if let Actor::Customer { account_id, .. } = &mut last.actor {
                *account_id = other_than(*account_id, order.id.bucket());
            }
        }
        (Plant::SkippedSteps, Event::CourierAssigned { courier_id, .. })
            if order.status == OrderStatus::Preparing =>
        {
            let actor = Actor::Courier { account_id: *courier_id };
            let version = last.version + 1;
            let event = Event::PickedUp;
            let picked_up = RecordedEvent { order_id: order.id, version, at: last.at, actor, event };
            if let Ok(after) = evolve(Some(order.clone()), &picked_up) {
                *order = after;
                events.push(picked_up);
            }
        }
        _ => {}
    }
}

/// Returns another account.
fn other_than(account_id: AccountId, bucket: Bucket) -> AccountId {
    let other = AccountId::generate(START, bucket, u64::MAX);
    if other == account_id { AccountId::generate(START, bucket, 0) } else { other }
}

/// Removes the commits that the defect `lost-commits` does not write. Returns the others, and the places of the
/// removed commits in the batch.
pub(super) fn drop_some(chaos: &Chaos, batch: Vec<Arc<Commit>>) -> (Vec<Arc<Commit>>, Vec<usize>) {
    if chaos.plant != Some(Plant::LostCommits) {
        return (batch, Vec::new());
    }
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    for (place, commit) in batch.into_iter().enumerate() {
        if chaos.happens(DROPS_COMMITS) { dropped.push(place) } else { kept.push(commit) }
    }
    (kept, dropped)
}

/// Returns what the defect `unacknowledged-event` publishes of a batch although the batch is lost; `None` if the batch is
/// to be written.
pub(super) fn publish_and_lose(chaos: &Chaos, batch: &[Arc<Commit>]) -> Option<Vec<FeedEvent>> {
    if chaos.plant != Some(Plant::UnacknowledgedEvent) || !chaos.happens(PUBLISHES_AND_LOSES) {
        return None;
    }
    let changes = batch.iter().filter_map(|commit| commit.change.as_ref());
    let events = changes.flat_map(|Change { order, events }| {
        let order = RecordedOrder::of(order);
        events.iter().filter_map(move |event| order.feed_event(event).ok())
    });
    Some(events.collect())
}

/// Adds the events to a page of the feed that were published although they were lost. They come with the next event, and
/// take no position of their own, so that no reader skips another event.
pub(super) fn add_lost(page: &mut FeedPage, lost: &mut Vec<FeedEvent>) {
    if let Some(position) = page.events.last().map(|event| event.position) {
        page.events.extend(lost.drain(..).map(|event| FeedEvent { position, ..event }));
    }
}

/// Returns the checkpoint as the defect changes it.
pub(super) fn forget_failures(chaos: &Chaos, checkpoint: &Checkpoint) -> Checkpoint {
    let mut checkpoint = checkpoint.clone();
    if chaos.plant == Some(Plant::SkippedEvent) {
        checkpoint.failures.retain(|failure| failure.attempts > 1);
    }
    checkpoint
}

/// Returns the query as the defect changes it.
pub(super) fn widen(chaos: &Chaos, query: &OrderQuery) -> OrderQuery {
    let mut query = query.clone();
    if chaos.plant == Some(Plant::LeakedLists) && matches!(query.scope, OrderScope::Customer(_)) {
        query.scope = OrderScope::All;
    }
    query
}
