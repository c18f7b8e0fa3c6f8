//! Tasks: writing, leasing, postponing, completing, parking, retrying and resolving. The column `order_id` contains the id of
//! the task's subject, whatever its kind.

use std::{collections::BTreeMap, sync::LazyLock};

use async_trait::async_trait;
use dabba_domain::{TaskId, Timestamp, task::TaskQueue};
use dabba_store::{
    ClaimedTask, MAX_COUNTED_TASKS, MAX_TASK_FAILURES, Measurement, NewTask, PageSize, StoreError,
    TaskFailure, TaskLease, TaskPage, TaskResolution, TaskRetry, TaskStore,
    encoding::{EncodedTask, clamped_nanoseconds, encode_task_failure, exact_nanoseconds},
};
use dabba_store_sql::{
    StoredRow as _,
    tasks::{
        KNOWN_TASKS, ParkedKind, claimed_task_of, claimed_tasks, known_kinds, known_subject_kinds,
        parked_kind_of, parked_task_of,
    },
};
use rusqlite::{Connection, Transaction, params};

use crate::{
    SqliteStore,
    codec::{BELOW_EVERY_ID, SqliteRow, collect, first, id_bytes},
    failure::Failure,
    migrate::SCHEMA_VERSION,
};

/// The known combinations of kind and subject, separated and enclosed by commas, so that a statement can search for
/// one. The statement excludes names with a comma, which could match several combinations.
static KNOWN: LazyLock<String> = LazyLock::new(|| format!(",{},", KNOWN_TASKS.join(",")));

/// The known kinds, for a search like that in [`KNOWN`].
pub(crate) static KNOWN_KINDS: LazyLock<String> = LazyLock::new(|| format!(",{},", known_kinds().join(",")));

/// The known kinds of subjects, for a search like that in [`KNOWN`].
pub(crate) static KNOWN_SUBJECT_KINDS: LazyLock<String> =
    LazyLock::new(|| format!(",{},", known_subject_kinds().join(",")));

const ENQUEUE: &str = "\
    INSERT INTO tasks (id, order_id, subject_kind, queue, kind, payload, run_at_ns, parked_at_ns) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING";

/// Completes a task that no commit completes. An expired lease is still valid if no other worker has taken over the task.
pub(crate) const COMPLETE: &str = "\
    DELETE FROM tasks \
    WHERE id = ?1 AND attempts = ?2 AND leased_until_ns IS NOT NULL AND subject_kind <> 'order'";

/// A damaged number of attempts begins again at 1, so that it fits 32 bits and increases with each claim.
pub(crate) const CLAIM_DUE: &str = "\
    UPDATE tasks SET leased_until_ns = ?2, \
        attempts = CASE WHEN attempts BETWEEN 0 AND 4294967294 THEN attempts + 1 ELSE 1 END \
    WHERE id IN ( \
        SELECT id FROM tasks \
        WHERE parked_at_ns IS NULL AND queue = ?4 AND run_at_ns <= ?1 \
            AND NOT instr(kind || subject_kind, ',') AND instr(?5, ',' || kind || '/' || subject_kind || ',') \
            AND (leased_until_ns IS NULL OR leased_until_ns <= ?1) \
        ORDER BY run_at_ns, id LIMIT ?3) \
    RETURNING id, subject_kind, order_id, kind, payload, run_at_ns, attempts, \
        iif(json_valid(failures), json_array_length(failures), 0), last_error";

/// Postpones without a failure, so `last_error` and `failures` stay.
pub(crate) const POSTPONE: &str = "\
    UPDATE tasks SET run_at_ns = ?3, leased_until_ns = NULL \
    WHERE id = ?1 AND attempts = ?2 AND leased_until_ns IS NOT NULL";

/// Parks the task if a parking time is given; keeps the due time if no new one is given. A damaged list of failures is
/// replaced, because it must not keep the task in its queue.
pub(crate) const FAIL: &str = "\
    UPDATE tasks SET run_at_ns = coalesce(?3, run_at_ns), parked_at_ns = ?4, last_error = ?5, \
        failures = json_insert( \
            CASE WHEN NOT json_valid(failures) THEN '[]' \
                WHEN json_type(failures) <> 'array' THEN '[]' \
                WHEN json_array_length(failures) >= ?7 THEN json_remove(failures, '$[0]') \
                ELSE failures END, \
            '$[#]', json(?6)), \
        leased_until_ns = NULL \
    WHERE id = ?1 AND attempts = ?2 AND leased_until_ns IS NOT NULL";

pub(crate) const PARKED: &str = "\
    SELECT id, subject_kind, order_id, kind, payload, run_at_ns, attempts, parked_at_ns, failures FROM tasks \
    WHERE parked_at_ns IS NOT NULL AND resolved_at_ns IS NULL AND id > ?1 \
        AND NOT instr(kind || subject_kind, ',') AND instr(?3, ',' || kind || '/' || subject_kind || ',') \
    ORDER BY id LIMIT ?2";

pub(crate) const RETRY: &str = "\
    UPDATE tasks SET parked_at_ns = NULL, run_at_ns = ?2 \
    WHERE id = ?1 AND parked_at_ns IS NOT NULL AND resolved_at_ns IS NULL";

pub(crate) const KIND_OF_PARKED: &str = "\
    SELECT kind, subject_kind FROM tasks \
    WHERE id = ?1 AND parked_at_ns IS NOT NULL AND resolved_at_ns IS NULL";

pub(crate) const RESOLVE: &str = "\
    UPDATE tasks SET resolved_at_ns = ?2, resolved_by = ?3, resolution = ?4 \
    WHERE id = ?1 AND parked_at_ns IS NOT NULL AND resolved_at_ns IS NULL";

/// Maximum number of parked tasks that are counted. Each costs a read of its row, every few seconds.
const MAX_COUNTED: u32 = 10_000;

/// Counts the kinds of newer programs too.
pub(crate) const COUNT_PARKED: &str = "\
    SELECT kind FROM tasks WHERE parked_at_ns IS NOT NULL AND resolved_at_ns IS NULL AND id > x'' LIMIT ?1";

/// Includes tasks of a kind that only a newer program knows: no worker of this program processes them.
pub(crate) const OLDEST_OVERDUE: &str = "\
    SELECT run_at_ns FROM tasks \
    WHERE parked_at_ns IS NULL AND queue = ?1 AND run_at_ns <= ?2 \
        AND (leased_until_ns IS NULL OR leased_until_ns <= ?2) \
    ORDER BY run_at_ns, id LIMIT 1";

/// Finds a row for each due task of a queue, like [`OLDEST_OVERDUE`], up to a limit.
pub(crate) const FIND_DUE: &str = "\
    SELECT 1 FROM tasks \
    WHERE parked_at_ns IS NULL AND queue = ?1 AND run_at_ns <= ?2 \
        AND (leased_until_ns IS NULL OR leased_until_ns <= ?2) \
    LIMIT ?3";

#[async_trait]
impl TaskStore for SqliteStore {
    async fn enqueue_task(&self, task: &NewTask) -> Result<bool, StoreError> {
        let EncodedTask { run_at_ns, payload } = EncodedTask::outside_order(task)?;
        let (id, subject, kind) = (task.id, task.subject, task.task.kind());
        self.writer
            .write(move |transaction| {
                let parameters = params![
                    id_bytes(id),
                    subject.uuid().into_bytes(),
                    subject.kind().as_str(),
                    kind.queue().as_str(),
                    kind.as_str(),
                    payload,
                    run_at_ns,
                    kind.needs_admin().then_some(run_at_ns),
                ];
                Ok(transaction.prepare_cached(ENQUEUE)?.execute(parameters)? == 1)
            })
            .await
    }

    async fn complete_task(&self, lease: TaskLease) -> Result<bool, StoreError> {
        lease.check_outside_order()?;
        self.writer
            .write(move |transaction| {
                let parameters = params![id_bytes(lease.task_id), lease.token];
                Ok(transaction.prepare_cached(COMPLETE)?.execute(parameters)? == 1)
            })
            .await
    }

    async fn claim_due_tasks(
        &self,
        queue: TaskQueue,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<ClaimedTask>, StoreError> {
        let (now, lease_until) = (clamped_nanoseconds(now), clamped_nanoseconds(lease_until));
        self.writer.write(move |transaction| claim_due(transaction, queue, now, lease_until, limit)).await
    }

    async fn postpone_task(
        &self,
        lease: TaskLease,
        run_at: Timestamp,
        failure: Option<&TaskFailure>,
    ) -> Result<bool, StoreError> {
        let run_at_ns = exact_nanoseconds(run_at)?;
        if let Some(failure) = failure {
            return self.fail(lease, Some(run_at_ns), None, failure).await;
        }
        self.writer
            .write(move |transaction| {
                let parameters = params![id_bytes(lease.task_id), lease.token, run_at_ns];
                Ok(transaction.prepare_cached(POSTPONE)?.execute(parameters)? == 1)
            })
            .await
    }

    async fn park_task(&self, lease: TaskLease, failure: &TaskFailure) -> Result<bool, StoreError> {
        self.fail(lease, None, Some(exact_nanoseconds(failure.at)?), failure).await
    }

    async fn parked_tasks(&self, after: Option<TaskId>, limit: PageSize) -> Result<TaskPage, StoreError> {
        let after = after.map_or(BELOW_EVERY_ID, id_bytes);
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(PARKED)?;
                let rows = statement.query(params![after, limit.get(), KNOWN.as_str()])?;
                Ok(TaskPage { tasks: collect(rows, |row| parked_task_of(row))?, incomplete: false })
            })
            .await
    }

    async fn retry_task(&self, id: TaskId, run_at: Timestamp) -> Result<TaskRetry, StoreError> {
        let run_at_ns = exact_nanoseconds(run_at)?;
        self.writer
            .write(move |transaction| {
                match find_parked(transaction, id)? {
                    None => return Ok(TaskRetry::NotParked),
                    Some(parked) if parked.kind.needs_admin() => return Ok(TaskRetry::NeedsAdmin),
                    Some(_) => {}
                }
                transaction.prepare_cached(RETRY)?.execute(params![id_bytes(id), run_at_ns])?;
                Ok(TaskRetry::Queued)
            })
            .await
    }

    async fn resolve_task(&self, id: TaskId, resolution: &TaskResolution) -> Result<bool, StoreError> {
        let TaskResolution { at, by, reason } = resolution.clone();
        let at_ns = exact_nanoseconds(at)?;
        self.writer
            .write(move |transaction| {
                if find_parked(transaction, id)?.is_none() {
                    return Ok(false);
                }
                let parameters = params![id_bytes(id), at_ns, id_bytes(by), reason];
                Ok(transaction.prepare_cached(RESOLVE)?.execute(parameters)? == 1)
            })
            .await
    }
}

/// Measures the waiting and parked tasks, and reads the version of the schema.
pub(crate) fn measure(connection: &mut Connection, now: Timestamp) -> Result<Measurement, Failure> {
    // One transaction, so that both measurements show the same moment.
    let transaction = connection.transaction()?;
    let mut parked = BTreeMap::<String, u64>::new();
    {
        let mut statement = transaction.prepare_cached(COUNT_PARKED)?;
        let mut rows = statement.query([MAX_COUNTED])?;
        while let Some(row) = rows.next()? {
            *parked.entry(SqliteRow(row).text(0)?.to_owned()).or_default() += 1;
        }
    }
    let (mut overdue, mut due) = (Vec::new(), Vec::new());
    for queue in TaskQueue::ALL.iter().copied() {
        let mut statement = transaction.prepare_cached(OLDEST_OVERDUE)?;
        let rows = statement.query(params![queue.as_str(), clamped_nanoseconds(now)])?;
        overdue.extend(first(rows, |row| row.timestamp(0))?.map(|due| (queue, due)));
        let parameters = params![queue.as_str(), clamped_nanoseconds(now), MAX_COUNTED_TASKS];
        let mut statement = transaction.prepare_cached(FIND_DUE)?;
        let (mut rows, mut count) = (statement.query(parameters)?, 0);
        while rows.next()?.is_some() {
            count += 1;
        }
        due.push((queue, count));
    }
    let version = transaction.query_row(SCHEMA_VERSION, [], |row| row.get(0))?;
    let parked = parked.into_iter().collect();
    Ok(Measurement { parked, overdue, due, schema_version: Some(version), ..Measurement::default() })
}

impl SqliteStore {
    /// Records a failure of a leased task and returns the task to the queue, due at `run_at_ns`, or parks it.
    async fn fail(
        &self,
        lease: TaskLease,
        run_at_ns: Option<i64>,
        parked_at_ns: Option<i64>,
        failure: &TaskFailure,
    ) -> Result<bool, StoreError> {
        let entry = encode_task_failure(lease.token, failure)?;
        let error = failure.error.clone();
        self.writer
            .write(move |transaction| {
                let id = id_bytes(lease.task_id);
                let parameters =
                    params![id, lease.token, run_at_ns, parked_at_ns, error, entry, MAX_TASK_FAILURES];
                Ok(transaction.prepare_cached(FAIL)?.execute(parameters)? == 1)
            })
            .await
    }
}

/// Returns the kind of a parked task, if the task is parked and not resolved.
fn find_parked(transaction: &Transaction<'_>, id: TaskId) -> Result<Option<ParkedKind>, Failure> {
    let mut statement = transaction.prepare_cached(KIND_OF_PARKED)?;
    first(statement.query([id_bytes(id)])?, |row| parked_kind_of(id, row))
}

fn claim_due(
    transaction: &Transaction<'_>,
    queue: TaskQueue,
    now_ns: i64,
    lease_until_ns: i64,
    limit: u32,
) -> Result<Vec<ClaimedTask>, Failure> {
    let mut statement = transaction.prepare_cached(CLAIM_DUE)?;
    let rows = statement.query(params![now_ns, lease_until_ns, limit, queue.as_str(), KNOWN.as_str()])?;
    Ok(claimed_tasks(collect(rows, |row| Ok(claimed_task_of(row)))?))
}
