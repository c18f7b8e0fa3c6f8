//! Rows of a newer version of Dabba, for the tests of stores. Each store's test writes the rows of [`NewerRows`] with
//! its own SQL, and then checks the store with [`newer_rows_are_left_alone`].

use std::sync::Arc;

use dabba_domain::{OrderId, RestaurantId, TaskId, menu::Availability, order::Event, task::TaskQueue};

use super::builders::{World, menu, order_of, slug, whole_feed};
use crate::{
    Commit, CommitOutcome, MenuRevisions, OrderQuery, OrderScope, PageSize, Store, StoreError,
    TaskResolution,
    encoding::{FINGERPRINT_VERSION, ORDER_FORMAT, RESTAURANT_FORMAT},
};

/// A restaurant with orders that a newer version has changed.
pub struct NewerRows {
    /// Restaurant whose settings or menu the newer version replaced: `format` is one higher than this program knows.
    pub restaurant_id: RestaurantId,
    /// Order to which the newer version added the event [`NewerRows::EVENT`] with [`NewerRows::DATA`], and the event
    /// [`NewerRows::KNOWN_EVENT`] with [`NewerRows::NEW_DATA`]: `format` is one higher than this program knows.
    pub order_id: OrderId,
    /// Version of the second of these events.
    pub version: u32,
    /// Order whose status the newer version set to [`NewerRows::STATUS`], which this program cannot read.
    pub unreadable_id: OrderId,
    /// Commit whose key the newer version claimed, with another version of fingerprints.
    pub claimed: Commit,
    /// Id of a parked task of the kind [`NewerRows::KIND`], due in the queue of deadlines.
    pub task_id: TaskId,
    /// Id of a parked review of the order, with a subject of the kind [`NewerRows::SUBJECT_KIND`].
    pub subject_task_id: TaskId,
}

impl NewerRows {
    /// Type of an event that this program does not know.
    pub const EVENT: &str = "held_back";
    /// Content of that event.
    pub const DATA: &str = r#"{"minutes":5}"#;
    /// Type of an event that this program knows; its content is one that it does not understand.
    pub const KNOWN_EVENT: &str = "cancelled";
    /// Content of that event.
    pub const NEW_DATA: &str = r#"{"reason":"novel"}"#;
    /// Kind of a task that this program does not know.
    pub const KIND: &str = "release_order";
    /// Kind of a task's subject that this program does not know.
    pub const SUBJECT_KIND: &str = "voucher";
    /// Status of an order that this program does not know.
    pub const STATUS: &str = "scheduled";
    /// Format of the newer version's orders.
    pub const ORDER_FORMAT: u32 = ORDER_FORMAT + 1;
    /// Format of the newer version's restaurants.
    pub const RESTAURANT_FORMAT: u32 = RESTAURANT_FORMAT + 1;
    /// The newer version's version of fingerprints.
    pub const FINGERPRINT_VERSION: u32 = FINGERPRINT_VERSION + 1;

    /// Places the orders, before the newer version changes them.
    pub async fn placed(store: &dyn Store, world: &mut World) -> Self {
        let restaurant = world.restaurant();
        store.create_restaurant(&restaurant, &menu(&["naan"])).await.unwrap();
        let customer_id = world.account_id();
        let [placed, unreadable, claimed] = [(); 3].map(|()| world.place(restaurant.id, customer_id));
        let outcomes = store.commit(vec![placed.clone(), unreadable.clone(), claimed.clone()]).await.unwrap();
        assert_eq!(outcomes, [CommitOutcome::Committed, CommitOutcome::Committed, CommitOutcome::Committed]);
        let order = order_of(&placed);
        Self {
            restaurant_id: restaurant.id,
            order_id: order.id,
            version: order.version + 2,
            unreadable_id: unreadable.order_id,
            task_id: world.task_id(order.id),
            subject_task_id: world.task_id(order.id),
            claimed,
        }
    }
}

/// Rows of a newer version are returned as far as this version understands them. Nothing is decided on them, priced
/// from them or compared with them. An unreadable row does not prevent reading the readable rows beside it.
pub async fn newer_rows_are_left_alone(store: Arc<dyn Store>, world: &mut World, rows: &NewerRows) {
    let order = store.order(rows.order_id).await.unwrap().unwrap();
    assert!(order.is_written_by_newer);
    assert_eq!(order.version, rows.version);
    let own = store.order(rows.claimed.order_id).await.unwrap().unwrap();
    assert!(!own.is_written_by_newer);
    let events = store.events(rows.order_id, rows.version - 2, 10).await.unwrap();
    let [Event::Unknown(event), Event::Unknown(known)] = [&events[0].event, &events[1].event] else {
        panic!("{events:?}")
    };
    assert_eq!((&*event.name, event.data.clone().unwrap()["minutes"].as_i64()), (NewerRows::EVENT, Some(5)));
    assert_eq!(
        (&*known.name, known.data.clone().unwrap()["reason"].as_str()),
        (NewerRows::KNOWN_EVENT, Some("novel"))
    );
    let feed = whole_feed(&*store).await;
    assert_eq!(
        feed.iter().filter(|event| matches!(event.decode().unwrap().event, Event::Unknown(_))).count(),
        2
    );
    assert!(feed.iter().all(|event| event.is_newer == (event.order_id != rows.claimed.order_id)), "{feed:?}");

    let error = store.order(rows.unreadable_id).await.unwrap_err();
    assert!(matches!(&error, StoreError::WrittenByNewer(_)), "{error}");
    let query = OrderQuery {
        scope: OrderScope::Restaurant(rows.restaurant_id),
        statuses: vec![own.status, order.status],
        after: None,
        limit: PageSize::DEFAULT,
    };
    let mut listed: Vec<_> =
        store.list_orders(&query).await.unwrap().orders.iter().map(|order| order.id).collect();
    listed.sort_unstable();
    let mut expected = vec![order.id, own.id];
    expected.sort_unstable();
    assert_eq!(listed, expected);

    assert_eq!(store.commit(vec![rows.claimed.clone()]).await.unwrap(), [CommitOutcome::NewerClaim]);
    let customer_id = world.account_id();
    let mut neighbour = world.place(rows.restaurant_id, customer_id);
    neighbour.catalogue = None;
    let outcomes = store.commit(vec![rows.claimed.clone(), neighbour]).await.unwrap();
    assert_eq!(outcomes, [CommitOutcome::NewerClaim, CommitOutcome::Committed]);

    let error = store.catalogue(rows.restaurant_id).await.unwrap_err();
    assert!(matches!(&error, StoreError::WrittenByNewer(_)), "{error}");
    let (naan, unmarked) = (slug("naan"), MenuRevisions { menu: 1, availability: 0 });
    for update in [
        store.replace_menu(rows.restaurant_id, &menu(&["naan"]), unmarked).await,
        store
            .set_availability(rows.restaurant_id, &naan, Availability::Unavailable { until: None }, None)
            .await,
    ] {
        assert!(matches!(&update, Err(StoreError::WrittenByNewer(_))), "{update:?}");
    }

    let resolution = TaskResolution { at: world.now(), by: customer_id, reason: "x".into() };
    for id in [rows.task_id, rows.subject_task_id] {
        for answer in [
            store.retry_task(id, world.now()).await.map(drop),
            store.resolve_task(id, &resolution).await.map(drop),
        ] {
            assert!(matches!(&answer, Err(StoreError::WrittenByNewer(_))), "{answer:?}");
        }
    }
    assert_eq!(store.parked_tasks(None, PageSize::DEFAULT).await.unwrap().tasks, []);
    let (now, until) = (world.in_seconds(100_000), world.in_seconds(200_000));
    let claimed = store.claim_due_tasks(TaskQueue::Deadlines, now, until, 100).await.unwrap();
    assert!(claimed.iter().all(|claimed| ![rows.task_id, rows.subject_task_id].contains(&claimed.task.id)));
    let all = store.all_tasks(None, PageSize::DEFAULT).await.unwrap().entries;
    assert!(all.iter().all(|stored| ![rows.task_id, rows.subject_task_id].contains(&stored.task.id)));
}
