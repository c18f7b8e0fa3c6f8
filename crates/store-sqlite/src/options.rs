//! What can be chosen about a store, with the values that suit a small server.

use std::time::Duration;

/// How a [`crate::SqliteStore`] uses its machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// Connections that read, each on a thread of its own while it does.
    pub reader_connections: u32,
    /// Writes that may wait for the writer before callers wait for room.
    pub write_queue_length: usize,
    /// How long a call waits for a reader, or for room in the writer's queue, before it fails as
    /// unavailable. A write that is in the queue is waited for without limit: it will happen.
    pub queue_timeout: Duration,
    /// Pages that the writing connection keeps in memory, in KiB.
    pub writer_cache_kib: u32,
    /// Pages that each reading connection keeps in memory, in KiB.
    pub reader_cache_kib: u32,
    /// How long `SQLite` itself waits for a lock that another program holds on the file.
    pub busy_timeout: Duration,
}

impl SqliteOptions {
    /// See [`SqliteOptions::reader_connections`].
    pub const DEFAULT_READER_CONNECTIONS: u32 = 4;
    /// See [`SqliteOptions::write_queue_length`]. Each entry is a whole batch.
    pub const DEFAULT_WRITE_QUEUE_LENGTH: usize = 64;
    /// See [`SqliteOptions::queue_timeout`].
    pub const DEFAULT_QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
    /// See [`SqliteOptions::writer_cache_kib`]. Holds the ends of all indexes, where new rows go.
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
