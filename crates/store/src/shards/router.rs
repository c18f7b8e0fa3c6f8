//! The store that combines several shards.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use dabba_domain::{Bucket, Timestamp, task::TaskQueue};
use futures::{
    future::join_all,
    stream::{BoxStream, StreamExt as _, select_all},
};

use super::{
    gather::most_severe,
    map::{ShardMap, ShardRange},
    shard::Shard,
};
use crate::{FeedSource, Health, Hint, Measurement, PartStatus, PoolStatus, ShardInfo, Store, StoreError};

/// One store that combines several stores, each of which holds a range of buckets. The module documentation
/// states which shards a call reaches.
///
/// Accounts and memberships are on one of the shards, the directory. The calls need a Tokio runtime with time
/// enabled.
pub struct ShardedStore {
    pub(super) map: ShardMap,
    /// The shards, by index in the map.
    pub(super) shards: Vec<Shard>,
    pub(super) timeout: Duration,
    directory: usize,
    /// Counter that determines which shard comes first when a limit is distributed.
    turn: AtomicUsize,
}

/// Reason why a [`ShardedStore`] cannot be created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardedStoreError {
    /// The number of stores differs from the number of shards.
    #[error("the map has {shards} shards, but {stores} stores were given")]
    StoreCount {
        /// Number of shards in the map.
        shards: usize,
        /// Number of stores.
        stores: usize,
    },
    /// The directory is not in the map.
    #[error("the directory must be a shard of the map, and {0:?} is not a shard")]
    UnknownDirectory(String),
}

impl ShardedStore {
    /// Default timeout for a shard's answer to a call that goes to all shards.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

    /// Time limit for a shard's answer to a ping. Readiness probes rarely wait longer than one second.
    pub const PING_TIMEOUT: Duration = Duration::from_millis(500);

    /// Combines the stores of a map's shards, given in the map's order.
    pub fn new(map: ShardMap, stores: Vec<Arc<dyn Store>>) -> Result<Self, ShardedStoreError> {
        if stores.len() != map.shards().len() {
            return Err(ShardedStoreError::StoreCount { shards: map.shards().len(), stores: stores.len() });
        }
        let names = map.shards().iter().map(|shard| shard.name.clone());
        let shards = names.zip(stores).map(|(name, store)| Shard::new(name, store)).collect();
        Ok(Self { map, shards, timeout: Self::DEFAULT_TIMEOUT, directory: 0, turn: AtomicUsize::new(0) })
    }

    /// Keeps accounts and memberships on the shard with this name instead of the first shard.
    pub fn with_directory(mut self, name: &str) -> Result<Self, ShardedStoreError> {
        let place = self.map.shards().iter().position(|shard| shard.name == name);
        self.directory = place.ok_or_else(|| ShardedStoreError::UnknownDirectory(name.to_owned()))?;
        Ok(self)
    }

    /// Sets the timeout for a shard's answer to a call that goes to all shards.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Returns the shard map.
    pub const fn map(&self) -> &ShardMap {
        &self.map
    }

    pub(super) fn shard(&self, bucket: Bucket) -> &Shard {
        &self.shards[self.map.shard_of(bucket)]
    }

    /// Returns the shard with an index.
    pub(super) fn shard_at(&self, index: usize) -> Result<&Shard, StoreError> {
        self.shards
            .get(index)
            .ok_or_else(|| StoreError::Unfit(format!("there is no shard with index {index}")))
    }

    pub(super) fn directory_shard(&self) -> &Shard {
        &self.shards[self.directory]
    }

    /// Returns the indices of all shards, starting with the next shard on each call.
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
    /// Pings every shard, also a paused one. Fails only if no shard answers, because the server works without
    /// any single shard. Without the directory, logins fail, but clients with a token continue.
    async fn ping(&self) -> Result<Health, StoreError> {
        let timeout = self.timeout.min(Self::PING_TIMEOUT);
        let answers = join_all(self.shards.iter().map(|shard| shard.ping_within(timeout))).await;
        let (mut failures, mut outdated_shards) = (Vec::new(), Vec::new());
        for (index, answer) in (0..).zip(answers) {
            match answer {
                Ok(health) => outdated_shards.extend(health.outdated_shards),
                Err(error) => failures.push((index, error)),
            }
        }
        if failures.len() == self.shards.len() {
            return Err(most_severe(failures));
        }
        let name = |(index, _): (usize, StoreError)| self.shards[index].name().to_owned();
        Ok(Health { silent_shards: failures.into_iter().map(name).collect(), outdated_shards })
    }

    /// Returns the time on the directory's clock.
    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().time()).await
    }

    /// Closes all shards concurrently. A slow shard delays the return but not the other shards.
    async fn close(&self) {
        join_all(self.shards.iter().map(|shard| shard.store().close())).await;
    }

    /// Merges the hints of all shards. A shard that is a single store names itself by the index 0.
    fn hints(&self) -> BoxStream<'static, Hint> {
        let hints = self.shards.iter().enumerate().map(|(index, shard)| {
            shard.store().hints().map(move |hint| match hint {
                Hint::Events { .. } => Hint::Events { shard: index },
                Hint::Catalogue(_) | Hint::Tasks(_) => hint,
            })
        });
        select_all(hints).boxed()
    }

    /// Returns the parts of all shards, each prefixed with its shard's name.
    fn parts(&self) -> Vec<PartStatus> {
        let named = |shard: &Shard| {
            let shard_name = shard.name().to_owned();
            let parts = shard.store().parts().into_iter();
            parts.map(move |part| PartStatus { name: format!("{shard_name}/{}", part.name), ..part })
        };
        self.shards.iter().flat_map(named).collect()
    }

    /// Notifies on the bucket's shard. Workers of all shards listen to every shard.
    async fn announce_tasks(&self, bucket: Bucket, queue: TaskQueue) {
        self.shard(bucket).store().announce_tasks(bucket, queue).await;
    }

    async fn announce_events(&self, shard: usize) {
        if let Some(shard) = self.shards.get(shard) {
            shard.store().announce_events(0).await;
        }
    }

    async fn warm_up(&self, batches: usize) {
        join_all(self.shards.iter().map(|shard| shard.store().warm_up(batches))).await;
    }

    /// The caller limits the time. A shard that takes longer is not paused for it.
    async fn measure(&self, shard: usize, now: Timestamp) -> Result<Measurement, StoreError> {
        let shard = self.shard_at(shard)?;
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

    /// Takes the kind of the database from each shard's store, which is a single database.
    fn shards(&self) -> Vec<ShardInfo> {
        let info = |(shard, range): (&Shard, &ShardRange)| {
            let of_store = shard.store().shards().into_iter();
            of_store
                .map(|info| ShardInfo { name: range.name.clone(), buckets: range.buckets, ..info })
                .collect()
        };
        self.shards.iter().zip(self.map.shards()).flat_map(|shard| -> Vec<_> { info(shard) }).collect()
    }

    fn feed_sources(&self) -> Vec<FeedSource> {
        let source = |shard: &ShardRange| FeedSource {
            name: shard.name.clone(),
            split_from: shard.split_from.clone(),
        };
        self.map.shards().iter().map(source).collect()
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
