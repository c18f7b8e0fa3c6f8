//! The writer: one thread that owns the only connection that writes.
//!
//! Callers send closures to a bounded queue, and each closure runs as a separate transaction. Transactions therefore run one
//! after the other, and nothing has to wait for a lock of `SQLite` or to be retried.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use dabba_store::{Need, Part, PartStatus, StoreError, panicked};
use rusqlite::{Connection, Transaction, TransactionBehavior, config::DbConfig};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    SqliteOptions,
    damage::Damage,
    failure::Failure,
    file::{DatabaseFiles, Generation},
};

type Job = Box<dyn FnOnce(&mut Connection, &DatabaseFiles) + Send>;

/// Handle of the writer thread.
pub(crate) struct Writer {
    /// `None` once the store is closed.
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    queue_timeout: Duration,
    /// Its sender is dropped when the thread has released everything.
    ended: watch::Receiver<()>,
    part: Arc<Part>,
    refusal: Arc<Refusal>,
    damage: Arc<Damage>,
}

/// Whether the disk refused the last write, for example because it is full.
#[derive(Default)]
struct Refusal(AtomicBool);

impl Refusal {
    /// Records the result of a write. Logs when the state changes.
    fn record<T>(&self, result: &Result<T, StoreError>) {
        match result {
            Ok(_) if self.0.swap(false, Ordering::AcqRel) => {
                tracing::info!("the embedded database accepts writes again");
            }
            Err(error @ (StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_)))
                if !self.0.swap(true, Ordering::AcqRel) =>
            {
                tracing::error!(%error, "the embedded database refuses writes; check that its disk has free space");
            }
            _ => {}
        }
    }
}

impl Writer {
    /// Starts the thread. The files stay locked as long as the thread holds the connection.
    pub(crate) fn start(
        connection: Connection,
        options: &SqliteOptions,
        files: DatabaseFiles,
        damage: Arc<Damage>,
    ) -> Result<Self, Failure> {
        let (sender, receiver) = mpsc::channel(options.write_queue_length.max(1));
        let (end, ended) = watch::channel(());
        let part = Arc::new(Part::new("sqlite_writer", Need::Essential));
        let thread_part = Arc::clone(&part);
        thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || {
                run(connection, receiver, &files, &thread_part);
                drop(files);
                drop(end);
            })
            .map_err(|error| StoreError::Unavailable(format!("cannot start the writer: {error}")))?;
        let queue = Mutex::new(Some(sender));
        Ok(Self { queue, queue_timeout: options.queue_timeout, ended, part, refusal: Arc::default(), damage })
    }

    /// Returns the status of the thread. The thread survives a panic, which costs only the current write.
    pub(crate) fn status(&self) -> PartStatus {
        self.part.status()
    }

    /// Fails while the disk refuses writes. Writes to the disk only if the last write was refused.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        if !self.refusal.0.load(Ordering::Acquire) {
            return Ok(());
        }
        self.write(|transaction| {
            // SQLite writes the header although its content does not change.
            let generation: Generation =
                transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            Ok(transaction.pragma_update(None, "user_version", generation)?)
        })
        .await
    }

    /// Runs a closure as one transaction, which is durable when this returns `Ok`.
    ///
    /// A queued closure runs even if the caller stops waiting.
    pub(crate) async fn write<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(closed)?;
        let (answer, answered) = oneshot::channel();
        let (refusal, damage) = (Arc::clone(&self.refusal), Arc::clone(&self.damage));
        let job: Job = Box::new(move |connection, files| {
            let result = in_transaction(connection, files, job)
                .map_err(|failure| damage.record(failure, || files.check().is_err()));
            if result.is_ok() || files.check().is_ok() {
                refusal.record(&result);
            }
            // Sending fails if the caller has stopped waiting; the write is made all the same.
            let _ = answer.send(result);
        });
        match tokio::time::timeout(self.queue_timeout, queue.send(job)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(StoreError::Unavailable("the writer has stopped".to_owned())),
            Err(_) => return Err(StoreError::Unavailable("the write queue is full".to_owned())),
        }
        drop(queue);
        // The answer is missing if the closure panicked: its transaction was rolled back.
        answered.await.unwrap_or_else(|_| Err(StoreError::Corrupt("a write panicked".to_owned())))
    }

    /// Refuses further writes, carries out the queued ones, and waits until the thread has ended.
    pub(crate) async fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let mut ended = self.ended.clone();
        // Nothing is ever sent; the error signals the end.
        while ended.changed().await.is_ok() {}
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

/// Body of the thread: runs jobs until the store is closed or dropped.
fn run(mut connection: Connection, mut queue: mpsc::Receiver<Job>, files: &DatabaseFiles, part: &Part) {
    while let Some(job) = queue.blocking_recv() {
        // A defect in one write must not affect the others. The transaction rolls back while the panic unwinds, so the connection
        // returns to its earlier state.
        match catch_unwind(AssertUnwindSafe(|| job(&mut connection, files))) {
            Ok(()) => part.succeeded(),
            Err(panic) => {
                part.failed(&format!("a write {}; it was rolled back", panicked(&*panic)));
            }
        }
    }
    // The log must not be written back into a database that is not the one at the path.
    if files.check().is_err() {
        if let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
            tracing::warn!(%error, "the log may be written back into the database");
        }
        return;
    }
    // Leaves a single file that contains everything. If that fails, the log stays beside it and is read at the next start.
    let checkpoint = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    if let Err(error) = checkpoint.and_then(|()| connection.close().map_err(|(_, error)| error)) {
        tracing::warn!(%error, "the database was not closed cleanly");
    }
}

fn in_transaction<T>(
    connection: &mut Connection,
    files: &DatabaseFiles,
    job: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let run = |connection: &mut Connection| {
        // A transaction that is dropped without a commit rolls back.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = job(&transaction)?;
        files.check_unless_recent()?;
        Ok::<_, Failure>((value, transaction.commit().map_err(Failure::of_commit)))
    };
    // If a file is lost, any error of SQLite is caused by the loss.
    let (value, committed) =
        run(connection).map_err(|failure| files.check().map_or_else(Failure::from, |()| failure))?;
    committed?;
    // The files may have been lost between the check and the commit.
    files.check().map_err(|error| StoreError::OutcomeUnknown(error.to_string()))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use dabba_store::FAILURES_UNTIL_DOWN;

    use std::sync::{Arc, mpsc::channel};

    use super::*;
    use crate::{connection::open_writer, lock::DatabaseLock, migrate::migrate};

    fn started(options: &SqliteOptions) -> (tempfile::TempDir, Arc<Writer>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dabba.db");
        migrate(&path).unwrap();
        let lock = DatabaseLock::acquire_within(&path, Duration::ZERO).unwrap().unwrap();
        let connection = open_writer(&path, options).unwrap_or_else(|failure| panic!("{failure:?}"));
        let files = DatabaseFiles::new(lock, vec![0]).unwrap();
        let writer = Writer::start(connection, options, files, Arc::default())
            .unwrap_or_else(|failure| panic!("{failure:?}"));
        (directory, Arc::new(writer))
    }

    async fn count_tasks(writer: &Writer) -> u32 {
        let count = |transaction: &Transaction<'_>| {
            Ok(transaction.query_row("SELECT count(*) FROM tasks", [], |row| row.get(0))?)
        };
        writer.write(count).await.unwrap()
    }

    fn insert_task(transaction: &Transaction<'_>) -> Result<(), Failure> {
        let sql = "INSERT INTO tasks (id, order_id, kind, run_at_ns) VALUES (randomblob(16), x'00', 'x', 0)";
        transaction.execute(sql, [])?;
        Ok(())
    }

    /// Waits until the status of a writer meets the condition. The thread of the writer changes its status without a
    /// notification.
    async fn until(writer: &Writer, what: &str, holds: impl Fn(&PartStatus) -> bool) {
        let wait = async {
            while !holds(&writer.status()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_mins(1), wait).await.is_ok(), "never: {what}");
    }

    #[tokio::test]
    async fn a_write_that_panics_is_rolled_back_and_affects_no_other() {
        let (_directory, writer) = started(&SqliteOptions::default());
        for failures in 1..=FAILURES_UNTIL_DOWN {
            assert!(!writer.status().is_down);
            let result: Result<(), StoreError> = writer
                .write(|transaction| {
                    insert_task(transaction)?;
                    panic!("a defect");
                })
                .await;
            assert!(matches!(result, Err(StoreError::Corrupt(_))), "{result:?}");
            // The caller receives the error a moment before the panic is counted.
            until(&writer, "the panic is counted", |status| status.failures >= u64::from(failures)).await;
        }
        assert!(writer.status().is_down, "a writer whose writes all panic is down");
        assert_eq!(count_tasks(&writer).await, 0);
        until(&writer, "the writer works again", |status| !status.is_down).await;
        writer.write(insert_task).await.unwrap();
        assert_eq!(count_tasks(&writer).await, 1);
        writer.close().await;
    }

    /// Proves that a writer whose disk refuses writes is unavailable until the disk accepts them again, and that a commit that
    /// fails for another reason does not change this.
    #[tokio::test]
    async fn a_disk_that_refuses_writes_is_reported() {
        let (_directory, writer) = started(&SqliteOptions::default());
        let set = async |sql: &'static str| {
            let (done, is_done) = oneshot::channel();
            let job: Job = Box::new(move |connection, _| {
                connection.execute_batch(sql).unwrap();
                done.send(()).unwrap();
            });
            let queue = writer.queue.lock().unwrap().clone().unwrap();
            assert!(queue.send(job).await.is_ok());
            is_done.await.unwrap();
        };
        let odd = |_: &Transaction<'_>| Err::<(), _>(Failure::corrupt("found something odd"));
        writer.write(odd).await.unwrap_err();
        writer.check().await.unwrap();
        // Simulates a disk that has become read-only.
        set("PRAGMA query_only = ON").await;
        writer.check().await.unwrap();
        assert!(matches!(writer.write(insert_task).await, Err(StoreError::Unavailable(_))));
        for _ in 0..2 {
            let refused = writer.check().await;
            assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        }
        set("PRAGMA query_only = OFF").await;
        writer.write(odd).await.unwrap_err();
        assert!(writer.refusal.0.load(Ordering::Acquire));
        writer.check().await.unwrap();
        assert!(!writer.refusal.0.load(Ordering::Acquire));
        writer.close().await;
    }

    /// Proves that a log that grew beyond its limit because of a reader, and that `SQLite` then shortens, is not reported as
    /// truncated.
    #[tokio::test]
    async fn a_log_that_sqlite_shortens_is_no_loss() {
        const ROW: u32 = 8 * 1_024 * 1_024;
        let limit = 64 * 1_024 * 1_024;
        let (directory, writer) = started(&SqliteOptions::default());
        let path = directory.path().join("dabba.db");
        let length = || std::fs::metadata(directory.path().join("dabba.db-wal")).unwrap().len();
        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM tasks").unwrap();
        for _ in 0..=limit / u64::from(ROW) {
            let insert = |transaction: &Transaction<'_>| {
                let sql = "INSERT INTO tasks (id, order_id, kind, run_at_ns) VALUES (randomblob(16), zeroblob(?1), 'x', 0)";
                transaction.execute(sql, [ROW])?;
                Ok(())
            };
            writer.write(insert).await.unwrap();
        }
        assert!(length() > limit);
        reader.execute_batch("COMMIT").unwrap();
        // The first write writes the log back, the second restarts it, and the next checkpoint truncates it.
        for _ in 0..3 {
            writer.write(insert_task).await.unwrap();
        }
        assert!(length() <= limit, "{}", length());
        writer.write(insert_task).await.unwrap();
        drop(reader);
        writer.close().await;
    }

    #[tokio::test]
    async fn a_write_that_fails_is_rolled_back() {
        let (_directory, writer) = started(&SqliteOptions::default());
        let result: Result<(), StoreError> = writer
            .write(|transaction| {
                insert_task(transaction)?;
                Err(Failure::corrupt("found something odd"))
            })
            .await;
        assert_eq!(result, Err(StoreError::Corrupt("found something odd".to_owned())));
        assert_eq!(count_tasks(&writer).await, 0);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_after_the_timeout() {
        let queue_timeout = Duration::from_millis(20);
        let options = SqliteOptions { write_queue_length: 1, queue_timeout, ..SqliteOptions::default() };
        let (_directory, writer) = started(&options);
        let (release, released) = channel::<()>();
        let (begin, begun) = oneshot::channel();
        let holding = tokio::spawn({
            let writer = Arc::clone(&writer);
            let hold = move |transaction: &Transaction<'_>| {
                let _ = begin.send(());
                // Receiving fails once the test drops the sender, which is the signal.
                let _ = released.recv();
                insert_task(transaction)
            };
            async move { writer.write(hold).await }
        });
        begun.await.unwrap();
        // The thread holds one write and the queue another: one of the next two writes has no place.
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..2 {
            let writer = Arc::clone(&writer);
            waiting.spawn(async move { writer.write(insert_task).await });
        }
        let refused = waiting.join_next().await.unwrap().unwrap();
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        drop(release);
        holding.await.unwrap().unwrap();
        assert_eq!(waiting.join_all().await, [Ok(())]);
        assert_eq!(count_tasks(&writer).await, 2);
    }
}
