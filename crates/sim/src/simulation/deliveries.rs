//! The check of deliveries: compares what the receivers of webhooks accepted with the histories of the orders.
//!
//! The first deliveries of each order must be exactly the matching events of its history, in their order (I10).
//! Repetitions are allowed. An event that no history contains was published although its commit was not durable (I11).

use std::collections::{BTreeMap, BTreeSet};

use dabba_domain::{
    OrderId, RestaurantId,
    order::{Order, RecordedEvent, Version},
};
use tokio::time::sleep;

use super::{
    Simulation,
    problem::Problem,
    receivers::Receipt,
    rest::{MAX_PROBLEMS, ROUND},
    world::Hook,
};

/// Maximum number of rounds until everything must be delivered, after all failures have stopped and all orders have
/// ended. All retries are due then, and receivers accept everything.
const MAX_ROUNDS: u32 = 20;

/// The history of an order.
struct History {
    restaurant: RestaurantId,
    events: BTreeMap<Version, RecordedEvent>,
}

impl History {
    /// Returns the event that a receipt states, if the history contains it.
    fn event(&self, receipt: &Receipt) -> Option<&RecordedEvent> {
        let event = self.events.get(&receipt.key.version)?;
        let is_it = self.restaurant == receipt.restaurant
            && event.event.name() == receipt.name
            && event.at == receipt.time;
        is_it.then_some(event)
    }
}

type Histories = BTreeMap<OrderId, History>;

impl Hook {
    fn matches(&self, restaurant: RestaurantId, name: &str) -> bool {
        self.owner.is_none_or(|owner| owner == restaurant)
            && (self.types.is_empty() || self.types.contains(&name))
    }

    /// Returns the versions that the endpoint must receive, for each order.
    fn expected(&self, histories: &Histories) -> BTreeMap<OrderId, Vec<Version>> {
        let of_order = |history: &History| {
            let matching = history.events.values();
            let matching = matching.filter(|event| self.matches(history.restaurant, event.event.name()));
            matching.map(|event| event.version).collect()
        };
        histories.iter().map(|(id, history)| (*id, of_order(history))).collect()
    }
}

/// The state of an order while the receipts of an endpoint are read.
#[derive(Default)]
struct Progress {
    arrived: BTreeSet<Version>,
    is_disordered: bool,
}

/// Returns what is wrong with the receipts of an endpoint.
fn compare(hook: &Hook, receipts: &[Receipt], histories: &Histories) -> Vec<Problem> {
    let expected = hook.expected(histories);
    let mut orders: BTreeMap<OrderId, Progress> = BTreeMap::new();
    let mut problems = Vec::new();
    for receipt in receipts {
        let (id, version) = (receipt.key.order, receipt.key.version);
        let of_receipt = |what: &str| {
            format!(
                "{} received event {version} of order {id}, {} at {}, {what}",
                hook.name(),
                receipt.name,
                receipt.time
            )
        };
        if histories.get(&id).and_then(|history| history.event(receipt)).is_none() {
            problems.push(Problem::violating("I11", of_receipt("which no history contains")));
            continue;
        }
        if !hook.matches(receipt.restaurant, &receipt.name) {
            let is_foreign = hook.owner.is_some_and(|owner| owner != receipt.restaurant);
            let invariant = if is_foreign { "I9" } else { "I10" };
            problems.push(Problem::violating(invariant, of_receipt("which does not match the endpoint")));
            continue;
        }
        let order = orders.entry(id).or_default();
        let next = expected.get(&id).and_then(|versions| versions.get(order.arrived.len()));
        if order.arrived.insert(version) && next != Some(&version) && !order.is_disordered {
            order.is_disordered = true;
            problems.push(Problem::violating("I10", of_receipt("before an earlier event of the order")));
        }
    }
    for (id, versions) in expected {
        let arrived = orders.remove(&id).unwrap_or_default().arrived;
        let missing: Vec<_> = versions.iter().filter(|version| !arrived.contains(version)).collect();
        if !missing.is_empty() {
            let text = format!("{} never received the events {missing:?} of order {id}", hook.name());
            problems.push(Problem::violating("I10", text));
        }
    }
    problems
}

impl Simulation {
    /// Returns what is wrong with the deliveries to all endpoints.
    pub(super) async fn check_deliveries(&self) -> Vec<Problem> {
        let histories = match self.histories().await {
            Ok(histories) => histories,
            Err(problem) => return vec![problem.into()],
        };
        let receivers = &self.world.site.receivers;
        let mut problems: Vec<Problem> = receivers.malformed().into_iter().map(Problem::from).collect();
        for hook in &self.world.hooks {
            let found = compare(hook, &receivers.receipts(&hook.url), &histories);
            problems.extend(found.into_iter().take(MAX_PROBLEMS));
        }
        problems
    }

    /// Waits until all deliveries are correct, for a limited time.
    pub(super) async fn await_deliveries(&self) {
        for _ in 0..MAX_ROUNDS {
            if self.check_deliveries().await.is_empty() {
                return;
            }
            sleep(ROUND).await;
        }
    }

    async fn histories(&self) -> Result<Histories, String> {
        let mut histories = BTreeMap::new();
        for Order { id, version, details, .. } in self.world.all_orders().await? {
            let events = self.world.store.events(id, 0, version).await.map_err(|error| error.to_string())?;
            let events = events.into_iter().map(|event| (event.version, event)).collect();
            histories.insert(id, History { restaurant: details.restaurant_id, events });
        }
        Ok(histories)
    }
}

#[cfg(test)]
mod tests {
    use dabba_domain::{AccountId, Actor, Bucket, WebhookEndpointId, order::Event};

    use super::*;
    use crate::{simulation::world::START, workload::events::EventKey};

    /// Returns an order with three events.
    fn histories(order: OrderId, restaurant: RestaurantId) -> Histories {
        let event = |(version, event): (Version, Event)| {
            let actor = Actor::customer(AccountId::generate(START, Bucket::from_random(0), 0));
            (version, RecordedEvent { order_id: order, version, at: START, actor, event })
        };
        let events = [(1, Event::MarkedReady), (2, Event::PickedUp), (3, Event::delivered())];
        let events = events.into_iter().map(event).collect();
        BTreeMap::from([(order, History { restaurant, events })])
    }

    /// Proves that each deviation is found as a violation of its invariant, and that repetitions are none.
    #[test]
    fn deviations_are_found() {
        let bucket = Bucket::from_random(0);
        let [order, other] = [1, 2].map(|number| OrderId::generate(START, bucket, number << 8));
        let [restaurant, stranger] = [3, 4].map(|number| RestaurantId::generate(START, bucket, number << 8));
        let histories = histories(order, restaurant);
        let receipt = |version: Version, name: &str| Receipt {
            key: EventKey { order, version },
            restaurant,
            name: name.to_owned(),
            time: START,
        };
        let [first, second, third] =
            [receipt(1, "marked_ready"), receipt(2, "picked_up"), receipt(3, "delivered")];
        let hook = |owner, types: &[&'static str]| Hook {
            id: WebhookEndpointId::generate(START, bucket, 0),
            url: "https://receiver.example/".into(),
            owner,
            types: types.to_vec(),
        };
        let found = |hook: &Hook, receipts: &[&Receipt]| {
            let receipts: Vec<_> = receipts.iter().map(|receipt| (*receipt).clone()).collect();
            let problems = compare(hook, &receipts, &histories);
            problems.into_iter().flat_map(|problem| problem.invariants).collect::<Vec<_>>()
        };
        let (all, none): (_, &[&str]) = (hook(None, &[]), &[]);
        assert_eq!(found(&all, &[&first, &second, &third]), none);
        assert_eq!(found(&all, &[&first, &first, &second, &first, &third, &third]), none);
        assert_eq!(found(&all, &[&first, &second]), ["I10"], "missing");
        assert_eq!(found(&all, &[&first, &third, &second]), ["I10"], "out of order");
        assert_eq!(found(&hook(None, &["marked_ready", "delivered"]), &[&first, &third]), none);
        assert_eq!(found(&hook(None, &["delivered"]), &[&first, &third]), ["I10"], "of another type");
        assert_eq!(found(&hook(Some(restaurant), &[]), &[&first, &second, &third]), none);
        assert_eq!(found(&hook(Some(stranger), &[]), &[&first]), ["I9"], "of another restaurant");
        let later = Receipt {
            time: START.saturating_add(std::time::Duration::from_secs(1)).unwrap(),
            ..first.clone()
        };
        let unknown = Receipt { key: EventKey { order: other, version: 1 }, ..first.clone() };
        for lost in [&later, &unknown, &receipt(1, "placed"), &receipt(4, "delivered")] {
            assert_eq!(found(&all, &[lost, &first, &second, &third]), ["I11"], "{lost:?}");
        }
    }
}
