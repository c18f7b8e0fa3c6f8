//! Several stores combined into one: each store holds a range of buckets, and ids contain the bucket.
//!
//! | module | content |
//! |---|---|
//! | `map` | the assignment of buckets to shards |
//! | `shard` | one shard: calls with a timeout, and a pause after a call that timed out |
//! | `gather` | calls to many shards at once, tolerating shards that do not answer |
//! | `router` | [`ShardedStore`], and the calls that concern it as a whole |
//! | `orders`, `feed`, `consumers`, `statistics`, `webhooks`, `tasks`, `catalogue`, `accounts`, `audit` | the parts of the contract |
//!
//! **Targeted calls.** A call about a restaurant, an order or a task goes to the one shard that the id
//! determines. The router adds no timeout; the store of the shard has its own. An id that is not stored on
//! that shard is unknown, and no other shard is tried.
//!
//! **Gathered calls.** Lists of a customer's or courier's orders, restaurants, parked tasks, due tasks,
//! old keys, old statistics and the lists of an audit are requested from all shards at once, each with a timeout. Shards that do
//! not answer are omitted, and the result states so; the call fails only if no shard answers. A shard that
//! refuses connections therefore affects only its own restaurants. A shard that hangs also delays the gathered
//! calls: a call waits for the timeout (2 seconds), later calls omit the shard for 5 seconds, and the next call
//! waits again. Readers of all feeds wait in the same way. The lists of orders, restaurants and parked tasks, and the
//! lists of tasks, keys and stock for an audit, also fail if a shard cannot decode an entry, as on a single
//! database: the shard is not down, and the error names the entry.
//!
//! Rejected alternative: one transaction over several shards. No operation needs it, since everything about a
//! restaurant is on one shard, and it would make every write depend on the health of every shard.

mod accounts;
mod audit;
mod boards;
mod catalogue;
mod consumers;
mod feed;
mod gather;
mod map;
mod orders;
mod router;
mod shard;
mod statistics;
mod tasks;
mod tracking;
mod webhooks;

pub use self::{
    map::{
        BucketRange, BucketRangeError, BucketsInTwoShards, MAX_SHARDS, ShardMap, ShardMapError, ShardRange,
    },
    router::{ShardedStore, ShardedStoreError},
};
