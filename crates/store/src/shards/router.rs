//! The store that is made of shards.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use dabba_domain::{Bucket, Timestamp, order::TaskQueue};
use futures::{
    future::join_all,
    stream::{BoxStream, StreamExt as _, select_all},
};

use super::{cursor::digest_of, gather::gravest, map::ShardMap, shard::Shard};
use crate::{Health, Hint, Measurement, PartStatus, PoolStatus, Store, StoreError};

/// One store made of several, each of which holds a range of buckets. See the module's description for
/// what is asked of whom.
///
/// Accounts and memberships are on one of them, the directory. Its calls need a Tokio runtime with time
/// enabled.
pub struct ShardedStore {
    pub(super) map: ShardMap,
    /// By index in the map.
    pub(super) shards: Vec<Shard>,
    pub(super) time_limit: Duration,
    /// The map's digest for cursors.
    pub(super) digest: u32,
    directory: usize,
    /// Who begins when something is shared out; counts up for ever.
    turn: AtomicUsize,
}

/// Why a [`ShardedStore`] cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardedStoreError {
    /// Not one store for each shard.
    #[error("there are {stores} stores for {shards} shards")]
    StoreCount {
        /// The shards in the map.
        shards: usize,
        /// The stores.
        stores: usize,
    },
    /// The directory is not in the map.
    #[error("the directory is to be on {0:?}, which is not a shard")]
    UnknownDirectory(String),
}

impl ShardedStore {
    /// How long a shard may take to answer what is asked of all shards, unless chosen otherwise.
    pub const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(2);

    /// How long a ping waits for a shard. Whoever asks whether a server is ready seldom waits for more than
    /// a second.
    pub const PING_TIME_LIMIT: Duration = Duration::from_millis(500);

    /// Makes one store of those of a map, which stand in the map's order.
    pub fn new(map: ShardMap, stores: Vec<Arc<dyn Store>>) -> Result<Self, ShardedStoreError> {
        if stores.len() != map.shards().len() {
            return Err(ShardedStoreError::StoreCount { shards: map.shards().len(), stores: stores.len() });
        }
        let names = map.shards().iter().map(|shard| shard.name.clone());
        let shards = names.zip(stores).map(|(name, store)| Shard::new(name, store)).collect();
        Ok(Self {
            digest: digest_of(&map),
            map,
            shards,
            time_limit: Self::DEFAULT_TIME_LIMIT,
            directory: 0,
            turn: AtomicUsize::new(0),
        })
    }

    /// Keeps accounts and memberships on the shard of this name instead of the first.
    pub fn with_directory(mut self, name: &str) -> Result<Self, ShardedStoreError> {
        let place = self.map.shards().iter().position(|shard| shard.name == name);
        self.directory = place.ok_or_else(|| ShardedStoreError::UnknownDirectory(name.to_owned()))?;
        Ok(self)
    }

    /// Gives each shard so long to answer what is asked of all shards.
    pub fn with_time_limit(mut self, time_limit: Duration) -> Self {
        self.time_limit = time_limit;
        self
    }

    /// Which shard holds which buckets.
    pub const fn map(&self) -> &ShardMap {
        &self.map
    }

    pub(super) fn shard(&self, bucket: Bucket) -> &Shard {
        &self.shards[self.map.shard_of(bucket)]
    }

    pub(super) fn directory_shard(&self) -> &Shard {
        &self.shards[self.directory]
    }

    /// The indices of all shards, beginning with another one each time.
    pub(super) fn in_turn(&self) -> Vec<usize> {
        let count = self.shards.len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % count;
        (first..count).chain(0..first).collect()
    }
}

impl std::fmt::Debug for ShardedStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ShardedStore").field("shards", &self.map.shards()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for ShardedStore {
    /// Asks every shard, also one that was mute a moment ago. Each can be done without, the directory too:
    /// without it nobody new can log in, and whoever has a token goes on. Hence it is an error only when
    /// no shard answers.
    async fn ping(&self) -> Result<Health, StoreError> {
        let time_limit = self.time_limit.min(Self::PING_TIME_LIMIT);
        let answers = join_all(self.shards.iter().map(|shard| shard.ping_within(time_limit))).await;
        let (mut failures, mut outdated_shards) = (Vec::new(), Vec::new());
        for (index, answer) in (0..).zip(answers) {
            match answer {
                Ok(health) => outdated_shards.extend(health.outdated_shards),
                Err(error) => failures.push((index, error)),
            }
        }
        if failures.len() == self.shards.len() {
            return Err(gravest(failures));
        }
        let name = |(index, _): (usize, StoreError)| self.shards[index].name().to_owned();
        Ok(Health { silent_shards: failures.into_iter().map(name).collect(), outdated_shards })
    }

    /// On the clock of the directory.
    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().time()).await
    }

    /// Closes all shards at once. One that takes its time holds up the return, not the others.
    async fn close(&self) {
        join_all(self.shards.iter().map(|shard| shard.store().close())).await;
    }

    /// Those of all shards.
    fn hints(&self) -> BoxStream<'static, Hint> {
        select_all(self.shards.iter().map(|shard| shard.store().hints())).boxed()
    }

    /// Those of all shards, each named after its shard.
    fn parts(&self) -> Vec<PartStatus> {
        let named = |shard: &Shard| {
            let shard_name = shard.name().to_owned();
            let parts = shard.store().parts().into_iter();
            parts.map(move |part| PartStatus { name: format!("{shard_name}/{}", part.name), ..part })
        };
        self.shards.iter().flat_map(named).collect()
    }

    /// On the bucket's shard. Whoever works on all shards listens to all of them.
    async fn announce_tasks(&self, bucket: Bucket, queue: TaskQueue) {
        self.shard(bucket).store().announce_tasks(bucket, queue).await;
    }

    async fn warm_up(&self, batches: usize) {
        join_all(self.shards.iter().map(|shard| shard.store().warm_up(batches))).await;
    }

    /// Whoever measures limits the time: a shard that takes longer is not left alone for that.
    async fn measure(&self, shard: usize, now: Timestamp) -> Result<Measurement, StoreError> {
        let Some(shard) = self.shards.get(shard) else {
            return Err(StoreError::Unfit(format!("there is no shard with index {shard}")));
        };
        shard.answer(shard.store().measure(0, now)).await
    }

    fn pools(&self) -> Vec<PoolStatus> {
        let named = |shard: &Shard| {
            let name = shard.name().to_owned();
            let pools = shard.store().pools().into_iter();
            pools.map(move |pool| PoolStatus { shard: name.clone(), ..pool })
        };
        self.shards.iter().flat_map(named).collect()
    }

    fn shard_names(&self) -> Vec<String> {
        self.shards.iter().map(|shard| shard.name().to_owned()).collect()
    }

    fn directory(&self) -> usize {
        self.directory
    }

    fn shard_count(&self) -> usize {
        self.shards.len()
    }

    fn shard_of(&self, bucket: Bucket) -> usize {
        self.map.shard_of(bucket)
    }
}
