//! Orders that are rejected because items are unavailable, under faults and races.

use dabba_domain::{
    OrderId, Timestamp,
    menu::{Availability, UnavailableItem},
    order::{Command, OrderRequest, OrderStatus, RejectReason},
    text::Slug,
};
use dabba_engine::{CommandRequest, Conflict, Engine, Error, Obstacle, OrderAnswer};
use dabba_store::CatalogueStore as _;
use jiff::SignedDuration;
use serde_json::json;

use crate::{
    faulty::Fault,
    world::{World, dal, key, start_of_time},
};

fn slug(item: &str) -> Slug {
    Slug::new(item).unwrap()
}

fn in_minutes(minutes: i64) -> Timestamp {
    start_of_time() + SignedDuration::from_mins(minutes)
}

/// Returns an order of one dal and one naan.
pub(crate) fn dal_and_naan() -> OrderRequest {
    serde_json::from_value(json!({
        "lines": [{"item": "dal", "quantity": 1}, {"item": "naan", "quantity": 1}],
        "fulfilment": {"type": "collection"}, "payment_method": "cash",
    }))
    .unwrap()
}

/// Returns a rejection because naan is unavailable.
pub(crate) fn no_naan(until: Option<Timestamp>) -> Command {
    let items = vec![UnavailableItem { item: slug("naan"), until }];
    Command::Reject { reason: RejectReason::ItemUnavailable, note: None, items }
}

/// Creates a world with ten dal and ten naan in stock.
async fn world() -> World {
    let world = World::new().await;
    for item in ["dal", "naan"] {
        world.limit_stock(item, 10).await;
    }
    world
}

impl World {
    async fn reject(
        &self,
        engine: &Engine,
        order_id: OrderId,
        command: Command,
    ) -> Result<OrderAnswer, Error> {
        let key = Some(key(&format!("reject {order_id}")));
        let request = CommandRequest { order_id, command, key, expected_versions: None };
        engine.orders.act(&self.staff, &request).await
    }

    /// Returns the stored availability of naan, and the remaining stock of dal and naan.
    async fn stored(&self) -> (Availability, Vec<u32>) {
        let catalogue = self.store.catalogue(self.restaurant_id).await.unwrap().unwrap();
        let levels = self.store.stock(self.restaurant_id).await.unwrap();
        (catalogue.unavailable.availability("naan"), levels.iter().map(|level| level.remaining).collect())
    }

    /// Returns whether naan is available in an engine's cached catalogue.
    async fn is_on_sale(&self, engine: &Engine) -> bool {
        let entry = engine.catalogue.entry(self.restaurant_id).await.unwrap();
        entry.catalogue.unavailable.availability_at("naan", self.engine.now()) == Availability::Available
    }
}

/// Proves that a rejection that is not written has no effect, and that a rejection whose answer is lost takes effect
/// once.
#[tokio::test]
async fn a_rejection_marks_and_returns_together_or_not_at_all() {
    let world = world().await;
    let away = Availability::Unavailable { until: Some(in_minutes(30)) };
    let command = no_naan(Some(in_minutes(30)));
    let id = world.place(&dal_and_naan(), "a").await.unwrap().order.id;
    world.store.commits.fail_once(Fault::Before);
    assert!(matches!(world.reject(&world.engine, id, command.clone()).await, Err(Error::Unavailable)));
    assert_eq!(world.stored().await, (Availability::Available, vec![9, 9]));
    assert!(world.is_on_sale(&world.engine).await);

    world.store.commits.fail_once(Fault::After);
    let lost = world.reject(&world.engine, id, command.clone()).await;
    assert!(matches!(lost, Err(Error::OutcomeUnknown)), "{lost:?}");
    assert_eq!(world.stored().await, (away, vec![10, 9]));
    let again = world.reject(&world.engine, id, command).await.unwrap();
    assert_eq!((again.replayed, again.order.status), (true, OrderStatus::Cancelled));
    assert_eq!(world.stored().await, (away, vec![10, 9]));
    world.check_histories().await;
}

/// Proves that the server that wrote a rejection sees the marks at once, and that a server that does not see them yet
/// still refuses an order of the item.
#[tokio::test]
async fn a_marked_item_is_not_sold_by_any_server() {
    let world = world().await;
    let other = world.second_engine();
    let id = world.place(&dal_and_naan(), "a").await.unwrap().order.id;
    assert!(world.is_on_sale(&world.engine).await && world.is_on_sale(&other).await);
    world.reject(&world.engine, id, no_naan(None)).await.unwrap();
    assert!(!world.is_on_sale(&world.engine).await);
    assert!(world.is_on_sale(&other).await, "the cached catalogue is stale");
    let refused = other.orders.place(&world.customer, world.restaurant_id, &dal_and_naan(), key("b")).await;
    let Err(Error::Conflict(Conflict::NotOrderable(obstacles))) = refused else { panic!("{refused:?}") };
    let unavailable = vec![UnavailableItem { item: slug("naan"), until: None }];
    assert_eq!(obstacles, [Obstacle::ItemsUnavailable(unavailable)]);
    assert!(other.orders.place(&world.customer, world.restaurant_id, &dal(1), key("c")).await.is_ok());
    assert_eq!(world.stored().await.1, [9, 9]);
}

/// Proves that a rejection that loses the race for an order has no effect.
#[tokio::test]
async fn a_rejection_that_loses_the_race_marks_nothing() {
    let world = world().await;
    let other = world.second_engine();
    let id = world.place(&dal_and_naan(), "a").await.unwrap().order.id;
    // The other server accepts between the decision and the write.
    world.store.batch_gate.shut();
    let rejecting = world.reject(&world.engine, id, no_naan(None));
    let accepting = async {
        world.store.batch_gate.until_blocked().await;
        let accept = crate::world::accept();
        let request = CommandRequest { order_id: id, command: accept, key: None, expected_versions: None };
        let accepted = other.orders.act(&world.staff, &request);
        let opening = async {
            world.store.batch_gate.until_blocked().await;
            world.store.batch_gate.open();
        };
        tokio::join!(accepted, opening).0
    };
    let (rejected, accepted) = tokio::join!(rejecting, accepting);
    assert_ne!(rejected.is_ok(), accepted.is_ok(), "{rejected:?} {accepted:?}");
    let expected = if rejected.is_ok() {
        (Availability::Unavailable { until: None }, vec![10, 9])
    } else {
        (Availability::Available, vec![9, 9])
    };
    assert_eq!(world.stored().await, expected);
}

/// Proves that of concurrent rejections by two servers the longest mark is kept, and that the stock is correct.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejections_of_two_servers_leave_the_longest_mark() {
    let world = world().await;
    let other = world.second_engine();
    let mut rejections = Vec::new();
    for number in 0..8 {
        let id = world.place(&dal_and_naan(), &number.to_string()).await.unwrap().order.id;
        rejections.push((id, no_naan(Some(in_minutes(60 - number)))));
    }
    let servers = [&world.engine, &other];
    let rejected = rejections.into_iter().zip(servers.into_iter().cycle());
    let rejected = rejected.map(|((id, command), server)| world.reject(server, id, command));
    for answer in futures::future::join_all(rejected).await {
        assert_eq!(answer.unwrap().order.status, OrderStatus::Cancelled);
    }
    let away = Availability::Unavailable { until: Some(in_minutes(60)) };
    assert_eq!(world.stored().await, (away, vec![10, 2]));
}

/// Proves that setting the availability directly also refuses an end in the past.
#[tokio::test]
async fn a_mark_must_end_in_the_future() {
    let world = world().await;
    let set = async |until| {
        let availability = Availability::Unavailable { until };
        let catalogue = &world.engine.catalogue;
        catalogue.set_availability(&world.staff, world.restaurant_id, &slug("naan"), availability, None).await
    };
    for until in [in_minutes(0), in_minutes(-5)] {
        let Err(Error::Invalid(problems)) = set(Some(until)).await else { panic!("{until}") };
        assert_eq!(problems.as_slice()[0].pointer, "/until");
    }
    assert!(set(Some(in_minutes(1))).await.is_ok() && set(None).await.is_ok());
}
