//! Lists of orders: complete, ordered, and in stable pages.

use std::sync::Arc;

use dabba_domain::{
    AccountId, Actor, OrderId, RestaurantId,
    order::{CancelReason, Command, Order, OrderStatus},
};

use super::builders::{World, customer, order_of, staff};
use crate::{Commit, CommitOutcome, OrderCursor, OrderQuery, OrderScope, PageSize, Store};

/// Some restaurants, customers and couriers, and their orders in many statuses.
struct Scene {
    world: World,
    restaurants: Vec<RestaurantId>,
    customers: Vec<AccountId>,
    couriers: Vec<AccountId>,
    /// The orders as stored, oldest first.
    orders: Vec<Order>,
}

impl Scene {
    const ORDERS: usize = 90;

    async fn set(store: &Arc<dyn Store>, seed: u64) -> Self {
        let mut world = World::new(seed);
        let restaurants: Vec<_> = (0..3).map(|_| world.restaurant_id()).collect();
        let customers: Vec<_> = (0..3).map(|_| world.account_id()).collect();
        let couriers: Vec<_> = (0..2).map(|_| world.account_id()).collect();
        let mut scene = Self { world, restaurants, customers, couriers, orders: Vec::new() };
        let mut batch = Vec::new();
        for _ in 0..Self::ORDERS {
            let life = scene.random_life();
            scene.orders.push(order_of(&life[life.len() - 1]));
            batch.extend(life);
        }
        let outcomes = store.commit(batch).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == CommitOutcome::Committed), "{outcomes:?}");
        scene
    }

    /// Returns the commits of a random order up to a random status.
    fn random_life(&mut self) -> Vec<Commit> {
        let restaurant = self.restaurants[self.world.below(self.restaurants.len())];
        let account = self.customers[self.world.below(self.customers.len())];
        let courier_id = self.couriers[self.world.below(self.couriers.len())];
        let courier = Actor::Courier { account_id: courier_id };
        let mut commits = vec![self.world.place(restaurant, account)];
        let placed = order_of(&commits[0]);
        let (staff, reason) = (staff(&placed), CancelReason::Other);
        let steps = match self.world.below(7) {
            0 => vec![(Command::cancel(reason), customer(&placed))],
            length => {
                let whole = [
                    (Command::Accept { preparation_minutes: 20 }, staff),
                    (Command::assign(courier_id), courier),
                    (Command::MarkReady, staff),
                    (Command::PickUp, courier),
                    (Command::deliver(), courier),
                ];
                whole[..length - 1].to_vec()
            }
        };
        for (command, actor) in steps {
            let order = order_of(&commits[commits.len() - 1]);
            commits.push(self.world.act(&order, &command, &actor));
        }
        commits
    }

    /// Returns the ids of the orders that a list should contain, newest first.
    fn newest_first(&self, is_in: impl Fn(&Order) -> bool) -> Vec<OrderId> {
        self.orders.iter().rev().filter(|order| is_in(order)).map(|order| order.id).collect()
    }
}

/// Reads a complete list in pages of this size, and checks that every page except the last is full.
async fn read_all(
    store: &Arc<dyn Store>,
    scope: OrderScope,
    statuses: &[OrderStatus],
    size: u32,
) -> Vec<Order> {
    let mut orders = Vec::new();
    let mut after = None;
    loop {
        let limit = PageSize::new(size).unwrap();
        let query = OrderQuery { scope, statuses: statuses.to_vec(), after, limit };
        let page = store.list_orders(&query).await.unwrap();
        orders.extend(page.orders.iter().cloned());
        let Some(next) = page.next else { return orders };
        assert_eq!(page.orders.len(), size as usize);
        assert_eq!(next, OrderCursor::after(page.orders.last().unwrap()));
        after = Some(next);
    }
}

async fn read_ids(store: &Arc<dyn Store>, scope: OrderScope, size: u32) -> Vec<OrderId> {
    read_all(store, scope, &[], size).await.iter().map(|order| order.id).collect()
}

/// A customer's list contains exactly their orders in the current state, newest first.
pub async fn a_customer_sees_their_orders_newest_first(store: Arc<dyn Store>) {
    let scene = Scene::set(&store, 41).await;
    for account in &scene.customers {
        let expected = scene.newest_first(|order| order.details.customer_id == *account);
        for size in [1, 7, 100] {
            assert_eq!(read_ids(&store, OrderScope::Customer(*account), size).await, expected);
        }
        for order in read_all(&store, OrderScope::Customer(*account), &[], 100).await {
            assert_eq!(store.order(order.id).await.unwrap(), Some(order));
        }
    }
}

/// The open orders of a restaurant are those in the requested statuses, the newest ones up to the limit, newest first. With a
/// position, the next older ones follow.
pub async fn open_orders_are_the_newest_in_these_statuses(store: Arc<dyn Store>) {
    let scene = Scene::set(&store, 48).await;
    let statuses = [OrderStatus::Confirmed, OrderStatus::Preparing, OrderStatus::OutForDelivery];
    for restaurant in &scene.restaurants {
        for statuses in [&statuses[..], &statuses[1..2], &[]] {
            let expected = scene.newest_first(|order| {
                order.details.restaurant_id == *restaurant && statuses.contains(&order.status)
            });
            for limit in [1, 3, 1_000] {
                let found = store.open_orders(*restaurant, statuses, None, limit).await.unwrap();
                let ids: Vec<_> = found.iter().map(|order| order.id).collect();
                assert_eq!(ids, expected[..expected.len().min(limit as usize)], "{statuses:?}");
                for order in found {
                    assert_eq!(store.order(order.id).await.unwrap(), Some(order));
                }
            }
            for (index, before) in expected.iter().enumerate() {
                let found = store.open_orders(*restaurant, statuses, Some(*before), 2).await.unwrap();
                let ids: Vec<_> = found.iter().map(|order| order.id).collect();
                assert_eq!(ids, expected[index + 1..(index + 3).min(expected.len())], "{statuses:?}");
            }
        }
        let all = scene.newest_first(|order| order.details.restaurant_id == *restaurant);
        assert!(!all.is_empty());
    }
}

/// A restaurant's list contains open orders before terminal orders, also across pages.
pub async fn a_restaurant_sees_open_orders_first(store: Arc<dyn Store>) {
    let scene = Scene::set(&store, 42).await;
    for restaurant in &scene.restaurants {
        let of_restaurant = |order: &Order| order.details.restaurant_id == *restaurant;
        let mut expected = scene.newest_first(|order| of_restaurant(order) && !order.status.is_terminal());
        let over = scene.newest_first(|order| of_restaurant(order) && order.status.is_terminal());
        assert!(!expected.is_empty() && !over.is_empty());
        expected.extend(over);
        for size in [1, 7, 100] {
            assert_eq!(read_ids(&store, OrderScope::Restaurant(*restaurant), size).await, expected);
        }
    }
}

/// A courier's list contains the orders that they carry or carried, without orders reassigned to another
/// courier.
pub async fn a_courier_sees_the_orders_that_they_carry(store: Arc<dyn Store>) {
    let mut scene = Scene::set(&store, 43).await;
    let other = scene.world.account_id();
    let index = scene
        .orders
        .iter()
        .position(|order| order.status == OrderStatus::ReadyForPickup && order.courier_id.is_some())
        .unwrap();
    let admin = Actor::Admin { account_id: other };
    let taken_over = scene.world.act(&scene.orders[index], &Command::assign(other), &admin);
    scene.orders[index] = order_of(&taken_over);
    store.commit(vec![taken_over]).await.unwrap();
    let mut couriers = scene.couriers.clone();
    couriers.push(other);
    for courier in couriers {
        let expected = scene.newest_first(|order| order.courier_id == Some(courier));
        assert!(!expected.is_empty());
        for size in [1, 7, 100] {
            assert_eq!(read_ids(&store, OrderScope::Courier(courier), size).await, expected);
        }
    }
}

/// The list of all orders contains every order, newest first.
pub async fn all_orders_are_listed_newest_first(store: Arc<dyn Store>) {
    let scene = Scene::set(&store, 44).await;
    let expected = scene.newest_first(|_| true);
    for size in [1, 7, 100] {
        assert_eq!(read_ids(&store, OrderScope::All, size).await, expected);
    }
}

/// A filter returns exactly the orders with the given statuses, in every scope; naming a status twice has no
/// effect.
pub async fn lists_are_filtered_by_status(store: Arc<dyn Store>) {
    let scene = Scene::set(&store, 45).await;
    let scopes = [
        OrderScope::All,
        OrderScope::Customer(scene.customers[0]),
        OrderScope::Restaurant(scene.restaurants[0]),
        OrderScope::Courier(scene.couriers[0]),
    ];
    let filters: Vec<Vec<OrderStatus>> = OrderStatus::ALL
        .iter()
        .map(|status| vec![*status])
        .chain([
            vec![OrderStatus::Delivered, OrderStatus::Confirmed],
            vec![OrderStatus::Confirmed, OrderStatus::Preparing, OrderStatus::Confirmed],
            vec![OrderStatus::Delivered, OrderStatus::Cancelled],
            OrderStatus::ALL.to_vec(),
        ])
        .collect();
    for scope in scopes {
        let unfiltered = read_all(&store, scope, &[], 100).await;
        for statuses in &filters {
            let expected: Vec<Order> =
                unfiltered.iter().filter(|order| statuses.contains(&order.status)).cloned().collect();
            let found = read_all(&store, scope, statuses, 100).await;
            assert_eq!(found, expected, "{scope:?} {statuses:?}");
        }
    }
}

/// Pages of a filtered list are full too, and together contain the whole list.
pub async fn filtered_lists_are_read_in_pages(store: Arc<dyn Store>) {
    let scene = Scene::set(&store, 46).await;
    let scopes = [
        OrderScope::All,
        OrderScope::Customer(scene.customers[1]),
        OrderScope::Restaurant(scene.restaurants[1]),
        OrderScope::Courier(scene.couriers[1]),
    ];
    let statuses = [OrderStatus::Preparing, OrderStatus::OutForDelivery, OrderStatus::Delivered];
    for scope in scopes {
        let whole = read_all(&store, scope, &statuses, 100).await;
        assert!(whole.len() > 3, "{scope:?}");
        for size in [1, 2, 3] {
            assert_eq!(read_all(&store, scope, &statuses, size).await, whole, "{scope:?}");
        }
    }
}

/// Orders that are placed during the reading of a list neither shift nor repeat later pages.
pub async fn pages_are_stable_while_orders_arrive(store: Arc<dyn Store>) {
    let mut scene = Scene::set(&store, 47).await;
    let (restaurant, account) = (scene.restaurants[0], scene.customers[0]);
    for scope in [OrderScope::All, OrderScope::Customer(account), OrderScope::Restaurant(restaurant)] {
        let expected = read_ids(&store, scope, 100).await;
        let limit = PageSize::new(5).unwrap();
        let mut query = OrderQuery { scope, statuses: Vec::new(), after: None, limit };
        let mut read = Vec::new();
        loop {
            let page = store.list_orders(&query).await.unwrap();
            read.extend(page.orders.iter().map(|order| order.id));
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
            let arrival = scene.world.place(restaurant, account);
            store.commit(vec![arrival]).await.unwrap();
        }
        assert_eq!(read, expected, "{scope:?}");
    }
}

/// The last page has no next position, also if it is full.
pub async fn the_last_page_has_no_next_position(store: Arc<dyn Store>) {
    let mut world = World::new(48);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let batch = (0..10).map(|_| world.place(restaurant, account)).collect();
    store.commit(batch).await.unwrap();
    for scope in [OrderScope::All, OrderScope::Customer(account), OrderScope::Restaurant(restaurant)] {
        let mut query =
            OrderQuery { scope, statuses: Vec::new(), after: None, limit: PageSize::new(5).unwrap() };
        let first = store.list_orders(&query).await.unwrap();
        assert!(first.next.is_some(), "{scope:?}");
        query.after = first.next;
        let second = store.list_orders(&query).await.unwrap();
        assert_eq!((second.orders.len(), second.next), (5, None), "{scope:?}");
        query.after = Some(OrderCursor::after(&second.orders[4]));
        let third = store.list_orders(&query).await.unwrap();
        assert_eq!((third.orders.len(), third.next), (0, None), "{scope:?}");
    }
}

/// The list of an owner without orders is empty, not an error.
pub async fn the_list_of_an_owner_without_orders_is_empty(store: Arc<dyn Store>) {
    let mut scene = Scene::set(&store, 49).await;
    let (account, restaurant) = (scene.world.account_id(), scene.world.restaurant_id());
    for scope in [
        OrderScope::Customer(account),
        OrderScope::Courier(account),
        OrderScope::Restaurant(restaurant),
        // A customer carries no orders, and a courier places none.
        OrderScope::Courier(scene.customers[0]),
        OrderScope::Customer(scene.couriers[0]),
    ] {
        assert_eq!(read_ids(&store, scope, 100).await, []);
    }
}
