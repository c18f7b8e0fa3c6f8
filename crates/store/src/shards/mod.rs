//! Several stores as one: each holds a range of buckets, and ids say which.
//!
//! | module | what it holds |
//! |---|---|
//! | `map` | which shard holds which buckets |
//! | `shard` | one shard: asking it within a time, and leaving it alone for a while when it is mute |
//! | `gather` | asking many shards at once, and making do with those that answer |
//! | `router` | [`ShardedStore`], and what concerns it as a whole |
//! | `orders`, `feed`, `tasks`, `catalogue`, `accounts`, `audit` | the parts of the contract |
//! | `cursor` | a place in the feed of all shards, as text |
//!
//! **Targeted, never guessed.** Whatever concerns a restaurant, an order or a task goes to the one
//! shard that its id names, without a limit of time of its own: the store there has its own. An id
//! that leads to a shard where nothing is stored under it is unknown, and no other shard is asked.
//!
//! **Gathered.** Lists of a customer's or courier's orders, restaurants, the feed, due tasks and old
//! keys, and what an audit lists, are asked of all shards at once, each within a limit of time. What does
//! not answer is left out, and said to be; only when no shard answers is it an error. So a shard that is
//! slow or dead takes its own restaurants with it and nobody else's.
//!
//! Tried and rejected: one transaction over several shards. Nothing needs it, since everything about
//! a restaurant is in one place, and it would make every shard's health everybody's business.

mod accounts;
mod audit;
mod catalogue;
mod cursor;
mod feed;
mod gather;
mod map;
mod orders;
mod router;
mod shard;
mod tasks;

pub use self::{
    map::{
        BucketRange, BucketRangeError, BucketsInTwoShards, MAX_SHARDS, ShardMap, ShardMapError, ShardRange,
    },
    router::{ShardedStore, ShardedStoreError},
};
