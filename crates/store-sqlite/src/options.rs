//! Options of a store, with defaults for a small server.

use std::time::Duration;

/// Resources and timeouts of a [`crate::SqliteStore`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// Number of connections that read. Each uses a thread while it reads.
    pub reader_connections: u32,
    /// Maximum number of writes in the writer's queue. Further callers wait for a free place.
    pub write_queue_length: usize,
    /// Maximum time that a call waits for a reader or for a place in the writer's queue; then it fails as
    /// unavailable. A queued write has no timeout, because it will be carried out.
    pub queue_timeout: Duration,
    /// Page cache of the writing connection, in KiB.
    pub writer_cache_kib: u32,
    /// Page cache of each reading connection, in KiB.
    pub reader_cache_kib: u32,
    /// Maximum time that `SQLite` itself waits for a lock that another program holds on the file.
    pub busy_timeout: Duration,
}

impl SqliteOptions {
    /// See [`SqliteOptions::reader_connections`].
    pub const DEFAULT_READER_CONNECTIONS: u32 = 4;
    /// See [`SqliteOptions::write_queue_length`]. Each entry is a whole batch.
    pub const DEFAULT_WRITE_QUEUE_LENGTH: usize = 64;
    /// See [`SqliteOptions::queue_timeout`].
    pub const DEFAULT_QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
    /// See [`SqliteOptions::writer_cache_kib`]. Holds the ends of all indexes, where new rows are inserted.
    pub const DEFAULT_WRITER_CACHE_KIB: u32 = 65_536;
    /// See [`SqliteOptions::reader_cache_kib`].
    pub const DEFAULT_READER_CACHE_KIB: u32 = 8_192;
    /// See [`SqliteOptions::busy_timeout`].
    pub const DEFAULT_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            reader_connections: Self::DEFAULT_READER_CONNECTIONS,
            write_queue_length: Self::DEFAULT_WRITE_QUEUE_LENGTH,
            queue_timeout: Self::DEFAULT_QUEUE_TIMEOUT,
            writer_cache_kib: Self::DEFAULT_WRITER_CACHE_KIB,
            reader_cache_kib: Self::DEFAULT_READER_CACHE_KIB,
            busy_timeout: Self::DEFAULT_BUSY_TIMEOUT,
        }
    }
}
