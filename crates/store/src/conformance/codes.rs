//! The search of orders by their display code.

use std::sync::Arc;

use dabba_domain::{AccountId, DisplayCode, OrderId, RestaurantId};

use super::builders::World;
use crate::{CodeMatches, CodeQuery, Commit, PageSize, Store};

/// A maximum that no test reaches.
const MANY: u32 = 1_000;

fn code(text: &str) -> DisplayCode {
    text.parse().unwrap()
}

fn query(text: &str, max_read: u32, limit: u32) -> CodeQuery {
    CodeQuery { code: code(text), max_read, limit: PageSize::new(limit).unwrap() }
}

impl World {
    /// Places an order with this display code.
    fn place_with_code(&mut self, restaurant: RestaurantId, customer: AccountId, text: &str) -> Commit {
        // An id does not contain the two lowest of its random bits.
        let random = (self.random() & !(0x1ff_ffff << 2)) | (u64::from(code(text).bits()) << 2);
        let details = self.details(restaurant, customer);
        let id = OrderId::generate(self.tick(), restaurant.bucket(), random);
        assert_eq!(id.display_code(), code(text));
        self.place_as(id, details)
    }
}

/// Commits orders of one customer with these codes, oldest first. Returns their ids.
async fn place_all(
    store: &Arc<dyn Store>,
    world: &mut World,
    restaurants: &[RestaurantId],
    codes: &[&str],
) -> Vec<OrderId> {
    let customer = world.account_id();
    let batch: Vec<Commit> = restaurants
        .iter()
        .cycle()
        .zip(codes)
        .map(|(restaurant, code)| world.place_with_code(*restaurant, customer, code))
        .collect();
    let ids = batch.iter().map(|commit| commit.order_id).collect();
    store.commit(batch).await.unwrap();
    ids
}

/// The search returns exactly the orders with the code, of all restaurants, newest first and up to the limit. It states
/// from when on the result is complete.
pub async fn orders_are_found_by_their_code(store: Arc<dyn Store>) {
    let mut world = World::new(50);
    let restaurants: Vec<_> = (0..3).map(|_| world.restaurant_id()).collect();
    // The codes differ in the highest bit, in the lowest bit, and in one in the middle.
    let codes = ["8ZQ3K", "RZQ3K", "8ZQ3M", "8ZQ3K", "8ZR3K", "8ZQ3K", "8ZQ3K", "8ZQ3M"];
    let ids = place_all(&store, &mut world, &restaurants, &codes).await;
    let found = async |query| store.orders_with_code(&query).await.unwrap();
    let whole = CodeMatches { ids: vec![ids[6], ids[5], ids[3], ids[0]], ..CodeMatches::default() };
    for limit in [4, 100] {
        assert_eq!(found(query("8ZQ3K", MANY, limit)).await, whole);
    }
    let since = Some(ids[5].created_at());
    let newest = CodeMatches { ids: vec![ids[6], ids[5]], searched_since: since, incomplete: false };
    assert_eq!(found(query("8ZQ3K", MANY, 2)).await, newest);
    assert_eq!(found(query("RZQ3K", MANY, 2)).await.ids, [ids[1]]);
    assert_eq!(found(query("00000", MANY, 2)).await, CodeMatches::default());
}

/// A shard reads at most the given number of ids, the newest ones, and the result states where it stopped.
pub async fn a_search_by_code_reads_a_bounded_number_of_ids(store: Arc<dyn Store>) {
    let mut world = World::new(51);
    // All orders of a restaurant are in one shard.
    let restaurant = world.restaurant_id();
    let codes = ["8ZQ3K", "00000", "8ZQ3K", "00000", "00000", "8ZQ3K"];
    let mut ids = place_all(&store, &mut world, &[restaurant], &codes).await;
    ids.reverse();
    for (max_read, found) in
        [(1, &[0][..]), (2, &[0]), (3, &[0]), (4, &[0, 3]), (5, &[0, 3]), (6, &[0, 3, 5]), (7, &[0, 3, 5])]
    {
        let last = ids.get(max_read as usize - 1);
        let expected = CodeMatches {
            ids: found.iter().map(|place: &usize| ids[*place]).collect(),
            searched_since: last.map(|id| id.created_at()),
            incomplete: false,
        };
        let matches = store.orders_with_code(&query("8ZQ3K", max_read, 100)).await.unwrap();
        assert_eq!(matches, expected, "{max_read}");
    }
}
