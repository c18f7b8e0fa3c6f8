//! Tasks: writing, claiming and returning them. Each claim, postponement and failure is one statement. The column `order_id`
//! contains the id of the task's subject, whatever its kind.

use std::borrow::Cow;

use async_trait::async_trait;
use dabba_domain::{
    TaskId, Timestamp,
    ids::Id,
    task::{TaskQueue, TaskSubjectKind},
};
use dabba_store::{
    ClaimedTask, MAX_COUNTED_TASKS, MAX_TASK_FAILURES, Measurement, NewTask, PageSize, StoreError,
    TaskFailure, TaskLease, TaskPage, TaskResolution, TaskRetry, TaskStore,
    encoding::{EncodedTask, clamped_nanoseconds, encode_task_failure, exact_nanoseconds},
};
use dabba_store_sql::{
    BELOW_EVERY_ID, StoredRow as _,
    tasks::{KNOWN_TASKS, ParkedKind, claimed_task_of, claimed_tasks, parked_kind_of, parked_task_of},
};
use tokio_postgres::types::ToSql;

use crate::{
    LeaseClock, PostgresStore,
    codec::{PgRow, collect, first, read, storable_text},
    failure::Failure,
    pool::Connection,
    shard,
};

/// First schema version in which tasks have subjects other than orders.
const SCHEMA: u32 = 12;

/// Condition on a task that belongs to this database: the task of an order whose bucket the database holds, or any other task in
/// the directory. A split copies all rows, and a row that belongs to the other database exists until it is purged.
macro_rules! is_here {
    () => {
        "CASE WHEN subject_kind = 'order' \
            THEN bucket_of(id) BETWEEN (SELECT first_bucket FROM shard WHERE is_the_only_row) \
                AND (SELECT last_bucket FROM shard WHERE is_the_only_row) \
            ELSE (SELECT is_directory FROM shard WHERE is_the_only_row) END"
    };
}
pub(crate) use is_here;

const ENQUEUE: &str = "\
    INSERT INTO tasks (id, order_id, subject_kind, queue, kind, payload, run_at_ns, parked_at_ns) \
    VALUES ($1, $2, $3, $4, $5, $6::text::json, $7, $8) ON CONFLICT (id) DO NOTHING";

/// Completes a task that no commit completes. An expired lease is still valid if no other worker has taken over the task.
const COMPLETE: &str = "\
    DELETE FROM tasks \
    WHERE id = $1 AND attempts = $2 AND leased_until_ns IS NOT NULL AND subject_kind <> 'order'";

/// Claims due tasks. Several workers may run this at the same time: each skips the rows that another worker has
/// locked. READ COMMITTED is required, because at a higher level the slower worker would fail. Tasks that
/// belong to another database are processed there. Newer servers process the kinds that only they know.
///
/// A lease is compared with the clock that wrote it: this database's clock, unless a time is given (`$5`). A lease
/// beyond the last storable time ends at that time. A damaged number of attempts begins again at 1, so that it fits 32 bits
/// and increases with each claim.
const CLAIM_DUE: &str = concat!(
    "\
    WITH moment AS MATERIALIZED ( \
        SELECT coalesce($5::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000) AS ns), \
    due AS ( \
        SELECT id FROM tasks \
        WHERE parked_at_ns IS NULL AND queue = $4 AND kind || '/' || subject_kind = ANY ($6) AND run_at_ns <= $1 \
            AND (leased_until_ns IS NULL OR leased_until_ns <= (SELECT ns FROM moment)) \
            AND ",
    is_here!(),
    " \
        ORDER BY run_at_ns, id LIMIT $3 FOR UPDATE SKIP LOCKED) \
    UPDATE tasks SET \
        leased_until_ns = least((SELECT ns FROM moment)::numeric + $2::bigint, 9223372036854775807)::bigint, \
        attempts = CASE WHEN tasks.attempts BETWEEN 0 AND 4294967294 THEN tasks.attempts + 1 ELSE 1 END \
    FROM due WHERE tasks.id = due.id \
    RETURNING tasks.id, subject_kind, order_id, kind, payload::text, run_at_ns, attempts, \
        CASE WHEN jsonb_typeof(failures) = 'array' THEN jsonb_array_length(failures)::bigint ELSE 0 END, last_error"
);

/// Returns a task without a failure, so the failure history stays unchanged.
const POSTPONE: &str = "\
    UPDATE tasks SET run_at_ns = $3, leased_until_ns = NULL \
    WHERE id = $1 AND attempts = $2 AND leased_until_ns IS NOT NULL";

/// Records a failure. If a time to park is given, also parks the task; if no due time is given, keeps the due time. A
/// damaged list of failures is replaced, because it must not keep the task in its queue.
const FAIL: &str = "\
    UPDATE tasks SET run_at_ns = coalesce($3, run_at_ns), parked_at_ns = $4, last_error = $5, \
        failures = CASE WHEN jsonb_typeof(failures) <> 'array' THEN '[]'::jsonb \
                WHEN jsonb_array_length(failures) >= $7 THEN failures - 0 ELSE failures END \
            || jsonb_build_array($6::text::jsonb), \
        leased_until_ns = NULL \
    WHERE id = $1 AND attempts = $2 AND leased_until_ns IS NOT NULL";

/// Lists parked tasks. Tasks that belong to another database are listed there. Kinds that only newer
/// servers know are listed by those servers.
const PARKED: &str = concat!(
    "\
    SELECT id, subject_kind, order_id, kind, payload::text, run_at_ns, attempts, parked_at_ns, failures::text FROM tasks \
    WHERE parked_at_ns IS NOT NULL AND resolved_at_ns IS NULL AND id > $1 AND kind || '/' || subject_kind = ANY ($3) \
        AND ",
    is_here!(),
    " \
    ORDER BY id LIMIT $2"
);

/// Counts parked tasks by kind, including kinds of newer programs.
const COUNT_PARKED: &str = concat!(
    "\
    SELECT kind, count(*) FROM tasks \
    WHERE parked_at_ns IS NOT NULL AND resolved_at_ns IS NULL \
        AND ",
    is_here!(),
    " \
    GROUP BY kind"
);

/// Finds the oldest overdue task, including kinds that only a newer program knows: such a task is overdue too if no
/// server processes it. The clock of leases is that of [`CLAIM_DUE`].
const OLDEST_OVERDUE: &str = concat!(
    "\
    WITH moment AS MATERIALIZED ( \
        SELECT coalesce($3::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000) AS ns) \
    SELECT run_at_ns FROM tasks \
    WHERE parked_at_ns IS NULL AND queue = $1 AND run_at_ns <= $2 \
        AND (leased_until_ns IS NULL OR leased_until_ns <= (SELECT ns FROM moment)) \
        AND ",
    is_here!(),
    " \
    ORDER BY run_at_ns, id LIMIT 1"
);

/// Counts the due tasks of a queue, like [`OLDEST_OVERDUE`], up to a limit.
const COUNT_DUE: &str = concat!(
    "\
    WITH moment AS MATERIALIZED ( \
        SELECT coalesce($3::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000) AS ns) \
    SELECT count(*) FROM (SELECT FROM tasks \
    WHERE parked_at_ns IS NULL AND queue = $1 AND run_at_ns <= $2 \
        AND (leased_until_ns IS NULL OR leased_until_ns <= (SELECT ns FROM moment)) \
        AND ",
    is_here!(),
    " \
    LIMIT $4) AS due"
);

const RETRY: &str = "\
    UPDATE tasks SET parked_at_ns = NULL, run_at_ns = $2 \
    WHERE id = $1 AND parked_at_ns IS NOT NULL AND resolved_at_ns IS NULL";

const KIND_OF_PARKED: &str = "\
    SELECT kind, subject_kind FROM tasks \
    WHERE id = $1 AND parked_at_ns IS NOT NULL AND resolved_at_ns IS NULL";

const RESOLVE: &str = "\
    UPDATE tasks SET resolved_at_ns = $2, resolved_by = $3, resolution = $4 \
    WHERE id = $1 AND parked_at_ns IS NOT NULL AND resolved_at_ns IS NULL";

/// Every statement of this module, for the test of query plans.
#[cfg(test)]
pub(crate) const STATEMENTS: &[(&str, &str)] = &[
    ("enqueue", ENQUEUE),
    ("complete", COMPLETE),
    ("claim_due", CLAIM_DUE),
    ("postpone", POSTPONE),
    ("fail", FAIL),
    ("parked", PARKED),
    ("count_parked", COUNT_PARKED),
    ("oldest_overdue", OLDEST_OVERDUE),
    ("count_due", COUNT_DUE),
    ("retry", RETRY),
    ("kind_of_parked", KIND_OF_PARKED),
    ("resolve", RESOLVE),
];

#[async_trait]
impl TaskStore for PostgresStore {
    async fn enqueue_task(&self, task: &NewTask) -> Result<bool, StoreError> {
        let encoded = EncodedTask::outside_order(task)?;
        let (run_at_ns, kind) = (encoded.run_at_ns, task.task.kind());
        let payload = encoded.payload.as_deref();
        let written = self
            .in_transaction(|connection| async move {
                self.require_subjects()?;
                shard::require_directory(&connection).await?;
                let parameters: [&(dyn ToSql + Sync); 8] = [
                    &task.id.uuid(),
                    &task.subject.uuid(),
                    &task.subject.kind().as_str(),
                    &kind.queue().as_str(),
                    &kind.as_str(),
                    &payload,
                    &run_at_ns,
                    &kind.needs_admin().then_some(run_at_ns),
                ];
                Ok(connection.execute(ENQUEUE, &parameters).await? == 1)
            })
            .await?;
        if !written {
            // The caller may rely on the task, which another call has written.
            self.confirm().await?;
        }
        Ok(written)
    }

    async fn complete_task(&self, lease: TaskLease) -> Result<bool, StoreError> {
        lease.check_outside_order()?;
        self.in_transaction(|connection| async move {
            self.require_subjects()?;
            shard::require_directory(&connection).await?;
            let parameters: [&(dyn ToSql + Sync); 2] = [&lease.task_id.uuid(), &i64::from(lease.token)];
            Ok(connection.execute(COMPLETE, &parameters).await? == 1)
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
        let lease = lease_until.saturating_sub(now);
        let lease_time = self.lease_time(now);
        self.read(async |connection| {
            let sql = self.of_known_tasks(CLAIM_DUE);
            let parameters: [&(dyn ToSql + Sync); 6] =
                [&now, &lease, &i64::from(limit), &queue.as_str(), &lease_time, &*KNOWN_TASKS];
            let rows = connection.write_returning(&sql, &parameters).await?;
            Ok(claimed_tasks(rows.iter().map(|row| claimed_task_of(PgRow(row)))))
        })
        .await
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
        self.read(async |connection| {
            let token = i64::from(lease.token);
            Ok(connection.write(POSTPONE, &[&lease.task_id.uuid(), &token, &run_at_ns]).await? == 1)
        })
        .await
    }

    async fn park_task(&self, lease: TaskLease, failure: &TaskFailure) -> Result<bool, StoreError> {
        self.fail(lease, None, Some(exact_nanoseconds(failure.at)?), failure).await
    }

    async fn parked_tasks(&self, after: Option<TaskId>, limit: PageSize) -> Result<TaskPage, StoreError> {
        let after = after.map_or(BELOW_EVERY_ID, Id::uuid);
        self.read(async |connection| {
            let sql = self.of_known_tasks(PARKED);
            let rows = connection.query(&sql, &[&after, &i64::from(limit.get()), &*KNOWN_TASKS]).await?;
            let tasks = collect(&rows, parked_task_of)?;
            Ok(TaskPage { tasks, incomplete: !self.held.is_as_expected() })
        })
        .await
    }

    async fn retry_task(&self, id: TaskId, run_at: Timestamp) -> Result<TaskRetry, StoreError> {
        let run_at_ns = exact_nanoseconds(run_at)?;
        // The caller gets an acknowledgement, so the database must hold the task.
        self.in_transaction(|connection| async move {
            match self.find_parked(&connection, id).await? {
                None => return Ok(TaskRetry::NotParked),
                Some(parked) if parked.kind.needs_admin() => return Ok(TaskRetry::NeedsAdmin),
                Some(_) => {}
            }
            let queued = connection.execute(RETRY, &[&id.uuid(), &run_at_ns]).await? == 1;
            Ok(if queued { TaskRetry::Queued } else { TaskRetry::NotParked })
        })
        .await
    }

    async fn resolve_task(&self, id: TaskId, resolution: &TaskResolution) -> Result<bool, StoreError> {
        let at_ns = exact_nanoseconds(resolution.at)?;
        let (by, reason) = (resolution.by.uuid(), storable_text(&resolution.reason));
        self.in_transaction(|connection| {
            let reason = reason.clone();
            async move {
                if self.find_parked(&connection, id).await?.is_none() {
                    return Ok(false);
                }
                Ok(connection.execute(RESOLVE, &[&id.uuid(), &at_ns, &by, &reason]).await? == 1)
            }
        })
        .await
    }
}

impl PostgresStore {
    /// Adapts a statement that reads tasks to the schema that this server knows. Only the test of upgrades has servers that know
    /// an earlier schema.
    pub(crate) fn of_known_tasks(&self, sql: &'static str) -> Cow<'static, str> {
        if self.known_schema < SCHEMA {
            sql.replace("subject_kind", "'order'::text").into()
        } else {
            sql.into()
        }
    }

    /// Refuses a task about something other than an order if this server knows only an earlier schema.
    fn require_subjects(&self) -> Result<(), Failure> {
        if self.known_schema >= SCHEMA {
            return Ok(());
        }
        Err(Failure::Store(StoreError::Unfit(format!(
            "only a server that knows schema version {SCHEMA} writes tasks about restaurants and accounts"
        ))))
    }

    /// Returns the kind of a parked task, if the task belongs to this database, is parked and is not resolved.
    /// Refuses the task of an order whose bucket was moved to another shard after this server read the shard map. Runs within
    /// a transaction that writes.
    async fn find_parked(&self, connection: &Connection, id: TaskId) -> Result<Option<ParkedKind>, Failure> {
        let rows = connection.query(&self.of_known_tasks(KIND_OF_PARKED), &[&id.uuid()]).await?;
        let found = first(&rows, |row| parked_kind_of(id, row))?;
        if found.as_ref().is_some_and(|parked| parked.subject_kind != TaskSubjectKind::Order) {
            let is_here = shard::is_directory(connection).await?;
            return Ok(found.filter(|_| is_here));
        }
        // The directory is also asked for tasks whose ids have the buckets of other shards. The task of such an order, if its row
        // is still here after a move, is answered for by the order's shard.
        let expected = self.held.expected();
        if expected.is_directory && !expected.buckets.contains(id.bucket()) {
            return Ok(None);
        }
        shard::require(connection, id.bucket()).await?;
        Ok(found)
    }

    /// Returns the time with which leases are compared; `None` for the database's clock.
    pub(crate) fn lease_time(&self, now_ns: i64) -> Option<i64> {
        match self.lease_clock {
            LeaseClock::Database => None,
            LeaseClock::Caller => Some(now_ns),
        }
    }

    /// Counts the parked tasks by kind, and counts the due tasks and finds the oldest one of each queue.
    pub(crate) async fn measure_tasks(
        &self,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<Measurement, Failure> {
        let mut parked = Vec::new();
        for row in &connection.query(&self.of_known_tasks(COUNT_PARKED), &[]).await? {
            parked.push((read(row, 0)?, u64::try_from(read::<i64>(row, 1)?).unwrap_or(0)));
        }
        let now_ns = clamped_nanoseconds(now);
        let lease_time = self.lease_time(now_ns);
        let (mut overdue, mut due) = (Vec::new(), Vec::new());
        for queue in TaskQueue::ALL.iter().copied() {
            let parameters: [&(dyn ToSql + Sync); 3] = [&queue.as_str(), &now_ns, &lease_time];
            let rows = connection.query(&self.of_known_tasks(OLDEST_OVERDUE), &parameters).await?;
            overdue.extend(first(&rows, |row| row.timestamp(0))?.map(|due| (queue, due)));
            let parameters: [&(dyn ToSql + Sync); 4] =
                [&queue.as_str(), &now_ns, &lease_time, &i64::from(MAX_COUNTED_TASKS)];
            let count: i64 = connection.query_number(&self.of_known_tasks(COUNT_DUE), &parameters).await?;
            due.push((queue, u64::try_from(count).unwrap_or(0)));
        }
        Ok(Measurement { parked, overdue, due, ..Measurement::default() })
    }

    /// Returns a leased task with its failure: with a new due time, or parked.
    async fn fail(
        &self,
        lease: TaskLease,
        run_at_ns: Option<i64>,
        parked_at_ns: Option<i64>,
        failure: &TaskFailure,
    ) -> Result<bool, StoreError> {
        let failure = TaskFailure { at: failure.at, error: storable_text(&failure.error) };
        let entry = encode_task_failure(lease.token, &failure)?;
        self.read(async |connection| {
            let (token, max_failures) =
                (i64::from(lease.token), i32::try_from(MAX_TASK_FAILURES).unwrap_or(i32::MAX));
            let parameters: [&(dyn ToSql + Sync); 7] = [
                &lease.task_id.uuid(),
                &token,
                &run_at_ns,
                &parked_at_ns,
                &failure.error,
                &entry,
                &max_failures,
            ];
            Ok(connection.write(FAIL, &parameters).await? == 1)
        })
        .await
    }
}
