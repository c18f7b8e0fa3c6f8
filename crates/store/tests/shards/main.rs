//! Tests of the router over in-memory shards, one of which hangs or fails. The conformance suite tests the
//! router without faults over real stores.

#![expect(clippy::unwrap_used, reason = "a test ends with a panic")]

mod empty;
mod faults;
mod routing;
mod sharing;
mod stub;

use std::{sync::Arc, time::Duration};

use dabba_domain::{AccountId, RestaurantId, restaurant::Restaurant};
use dabba_store::{
    CatalogueStore as _, OrderQuery, OrderScope, PageSize, ShardMap, ShardRange, ShardedStore, Store,
    StoreError,
    conformance::builders::{World, menu},
};

use self::stub::Stub;

/// Time limit for a shard's answer.
const TIMEOUT: Duration = Duration::from_millis(300);

/// Three shards a, b and c with one restaurant each.
struct Fixture {
    router: ShardedStore,
    shards: Vec<Arc<Stub>>,
    restaurants: Vec<RestaurantId>,
    account: AccountId,
    world: World,
}

impl Fixture {
    fn new() -> Self {
        let shards: Vec<_> = (0..3).map(Stub::new).collect();
        let stores = shards.iter().map(|stub| Arc::clone(stub) as Arc<dyn Store>).collect();
        let router = ShardedStore::new(map(), stores).unwrap().with_timeout(TIMEOUT);
        let mut world = World::new(1);
        let restaurants: Vec<_> = (0..3).map(|_| world.restaurant_id()).collect();
        for (index, restaurant) in restaurants.iter().enumerate() {
            assert_eq!(router.shard_of(restaurant.bucket()), index);
        }
        let account = world.account_id();
        Self { router, shards, restaurants, account, world }
    }

    /// Creates `count` restaurants through the router. Consecutive restaurants are on different shards.
    async fn create_restaurants(&mut self, count: usize) -> Vec<Restaurant> {
        let mut created = Vec::new();
        for _ in 0..count {
            let restaurant = self.world.restaurant();
            self.router.create_restaurant(&restaurant, &menu(&["naan"])).await.unwrap();
            created.push(restaurant);
        }
        created
    }

    /// Returns the calls that each shard received since the last call of this function.
    fn calls(&self) -> [Vec<&'static str>; 3] {
        [0, 1, 2].map(|index: usize| self.shards[index].take_calls())
    }
}

fn map() -> ShardMap {
    let shard = |(name, buckets): (&str, &str)| ShardRange {
        name: name.to_owned(),
        buckets: buckets.parse().unwrap(),
        split_from: (name == "b").then(|| "a".to_owned()),
    };
    let shards = [("a", "0-1364"), ("b", "1365-2729"), ("c", "2730-4095")];
    ShardMap::new(shards.into_iter().map(shard).collect()).unwrap()
}

fn query(scope: OrderScope, limit: u32) -> OrderQuery {
    OrderQuery { scope, statuses: Vec::new(), after: None, limit: PageSize::new(limit).unwrap() }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("injected by the test".to_owned())
}
