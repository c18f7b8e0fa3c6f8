//! How a store is.

/// How much of a store that can be used answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The names of the shards that do not answer, in the order of the map. A store that is not made of
    /// several names none: it answers or it does not.
    pub silent_shards: Vec<String>,
    /// The names of the shards that do not hold all buckets that the map says, in the order of the map: the shard was split
    /// after this process read its map.
    pub outdated_shards: Vec<String>,
}

impl Health {
    /// Whether all of it answers, and for everything that the map says.
    pub const fn is_whole(&self) -> bool {
        self.silent_shards.is_empty() && self.outdated_shards.is_empty()
    }
}
