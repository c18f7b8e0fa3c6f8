//! The readers: a few connections, each used by one blocking task at a time.
//!
//! In WAL mode a read sees everything that was committed before it started. It neither waits for the writer
//! nor blocks it.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dabba_store::StoreError;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{SqliteOptions, connection::open_reader, damage::Damage, failure::Failure, file::DatabaseFiles};

/// The connections that read.
pub(crate) struct Readers {
    idle: Arc<Mutex<Idle>>,
    /// One permit for each connection.
    permits: Arc<Semaphore>,
    count: u32,
    /// Number of calls that wait for a connection.
    waiting: AtomicUsize,
    queue_timeout: Duration,
    damage: Arc<Damage>,
}

/// Counts a call as waiting until it is dropped, also if its caller stops waiting.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The unused connections. The files stay locked until every connection is closed.
struct Idle {
    // Dropped before the files.
    connections: Vec<Connection>,
    /// `None` once the readers are closed.
    files: Option<DatabaseFiles>,
}

/// A connection that returns to the unused ones when it is dropped, also after a panic and if the caller
/// stops waiting.
struct Lent {
    connection: Option<Connection>,
    idle: Arc<Mutex<Idle>>,
    /// Released after the connection is returned: fields are dropped after `drop` has run.
    _permit: OwnedSemaphorePermit,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).connections.push(connection);
        }
    }
}

impl Readers {
    /// Opens the connections.
    pub(crate) fn open(
        path: &Path,
        options: &SqliteOptions,
        files: DatabaseFiles,
        damage: Arc<Damage>,
    ) -> Result<Self, Failure> {
        let count = options.reader_connections.max(1);
        let connections = (0..count).map(|_| open_reader(path, options)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            permits: Arc::new(Semaphore::new(connections.len())),
            idle: Arc::new(Mutex::new(Idle { connections, files: Some(files) })),
            count,
            waiting: AtomicUsize::new(0),
            queue_timeout: options.queue_timeout,
            damage,
        })
    }

    /// Runs a closure on a connection. Reads within one transaction see the state of one moment; several
    /// statements without a transaction may see different states.
    pub(crate) async fn read<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    {
        let permit = self.permit().await?;
        let (connection, files) = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            (idle.connections.pop(), idle.files.clone())
        };
        let mut lent = Lent { connection, idle: Arc::clone(&self.idle), _permit: permit };
        let damage = Arc::clone(&self.damage);
        tokio::task::spawn_blocking(move || {
            files.as_ref().map_or(Ok(()), DatabaseFiles::check_if_lost)?;
            match lent.connection.as_mut() {
                Some(connection) => job(connection).map_err(|failure| {
                    let are_lost = || files.is_some_and(|files| files.check().is_err());
                    damage.record(failure, are_lost)
                }),
                None => Err(StoreError::Corrupt("a reading connection is missing".to_owned())),
            }
        })
        .await
        .unwrap_or_else(|_| Err(StoreError::Corrupt("a read panicked".to_owned())))
    }

    /// Waits for an unused connection.
    async fn permit(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        let _waiting = Waiting::new(&self.waiting);
        tokio::time::timeout(self.queue_timeout, Arc::clone(&self.permits).acquire_owned())
            .await
            .map_err(|_| StoreError::Unavailable("all reading connections are in use".to_owned()))?
            .map_err(|_| StoreError::Unavailable("the store is closed".to_owned()))
    }

    /// Returns the number of connections.
    pub(crate) const fn count(&self) -> usize {
        self.count as usize
    }

    /// Returns the number of unused connections.
    pub(crate) fn idle(&self) -> usize {
        self.permits.available_permits()
    }

    /// Returns the number of calls that wait for a connection.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Fails as unavailable if the files at the path are not the open files.
    pub(crate) fn check_files(&self) -> Result<(), StoreError> {
        let files = self.idle.lock().unwrap_or_else(PoisonError::into_inner).files.clone();
        files.map_or(Ok(()), |files| files.check())
    }

    /// Waits for running reads, refuses later ones, and closes the connections.
    pub(crate) async fn close(&self) {
        // An error means that the semaphore is closed: an earlier call has already closed the readers.
        let all = self.permits.acquire_many(self.count).await;
        self.permits.close();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.connections.clear();
        idle.files = None;
        drop(idle);
        drop(all);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::{lock::DatabaseLock, migrate::migrate};

    fn opened(options: &SqliteOptions) -> (tempfile::TempDir, Arc<Readers>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dabba.db");
        migrate(&path).unwrap();
        let lock = DatabaseLock::acquire_within(&path, Duration::ZERO).unwrap().unwrap();
        let connection = open_reader(&path, options).unwrap_or_else(|failure| panic!("{failure:?}"));
        read_schema(&connection);
        let files = DatabaseFiles::new(lock, vec![0]).unwrap();
        let readers = Readers::open(&path, options, files, Arc::default())
            .unwrap_or_else(|failure| panic!("{failure:?}"));
        (directory, Arc::new(readers))
    }

    /// Makes `SQLite` open the log.
    fn read_schema(connection: &Connection) {
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).unwrap();
    }

    fn read_one(connection: &mut Connection) -> Result<u32, Failure> {
        Ok(connection.query_row("SELECT 1", [], |row| row.get(0))?)
    }

    #[tokio::test]
    async fn a_read_that_panics_or_fails_returns_its_connection() {
        let options = SqliteOptions { reader_connections: 1, ..SqliteOptions::default() };
        let (_directory, readers) = opened(&options);
        let result: Result<(), StoreError> = readers
            .read(|connection| {
                let _transaction = connection.transaction()?;
                panic!("a defect");
            })
            .await;
        assert!(matches!(result, Err(StoreError::Corrupt(_))), "{result:?}");
        let result = readers.read(|_| Err::<(), _>(Failure::corrupt("odd"))).await;
        assert!(matches!(result, Err(StoreError::Corrupt(_))), "{result:?}");
        assert_eq!(readers.read(read_one).await, Ok(1));
    }

    #[tokio::test]
    async fn waiting_for_a_reader_times_out() {
        let queue_timeout = Duration::from_millis(20);
        let options = SqliteOptions { reader_connections: 1, queue_timeout, ..SqliteOptions::default() };
        let (_directory, readers) = opened(&options);
        let (release, released) = channel::<()>();
        let (begin, begun) = tokio::sync::oneshot::channel();
        let busy = tokio::spawn({
            let readers = Arc::clone(&readers);
            async move {
                readers
                    .read(move |connection| {
                        let _ = begin.send(());
                        let _ = released.recv();
                        read_one(connection)
                    })
                    .await
            }
        });
        begun.await.unwrap();
        let result = readers.read(read_one).await;
        assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
        drop(release);
        assert_eq!(busy.await.unwrap(), Ok(1));
        assert_eq!(readers.read(read_one).await, Ok(1));
    }

    #[tokio::test]
    async fn a_reader_cannot_write() {
        let (_directory, readers) = opened(&SqliteOptions::default());
        let result = readers.read(|connection| Ok(connection.execute("DELETE FROM tasks", [])?)).await;
        assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
    }
}
