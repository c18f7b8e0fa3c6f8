//! Health of a store.

/// Which shards of a usable store do not answer or hold fewer buckets than the map states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Names of the shards that do not answer, in the order of the map. Always empty for a store without shards, which answers
    /// completely or not at all.
    pub silent_shards: Vec<String>,
    /// Names of the shards that do not hold all buckets that the map assigns to them, in the order of the map: the shard was
    /// split after this process read its map.
    pub outdated_shards: Vec<String>,
}

impl Health {
    /// Returns whether all shards answer and hold all buckets of the map.
    pub const fn is_healthy(&self) -> bool {
        self.silent_shards.is_empty() && self.outdated_shards.is_empty()
    }
}
