//! Tasks: handing them out and taking them back.

use async_trait::async_trait;
use dabba_domain::{Timestamp, order::TaskKind};
use dabba_store::encoding::{clamped_nanoseconds, exact_nanoseconds};
use dabba_store::{ClaimedTask, NewTask, StoreError, TaskLease, TaskStore};
use rusqlite::{Row, Transaction, params};

use crate::{
    SqliteStore,
    codec::{id_bytes, read_id, read_name, read_number, read_optional_text, read_timestamp},
    failure::Failure,
};

pub(crate) const CLAIM_DUE: &str = "\
    UPDATE tasks SET leased_until_ns = ?2, attempts = attempts + 1 \
    WHERE id IN ( \
        SELECT id FROM tasks \
        WHERE run_at_ns <= ?1 AND (leased_until_ns IS NULL OR leased_until_ns <= ?1) \
        ORDER BY run_at_ns, id LIMIT ?3) \
    RETURNING id, order_id, kind, run_at_ns, attempts, last_error";

pub(crate) const POSTPONE: &str = "\
    UPDATE tasks SET run_at_ns = ?3, last_error = ?4, leased_until_ns = NULL \
    WHERE id = ?1 AND attempts = ?2 AND leased_until_ns IS NOT NULL";

#[async_trait]
impl TaskStore for SqliteStore {
    async fn claim_due_tasks(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<ClaimedTask>, StoreError> {
        let (now, lease_until) = (clamped_nanoseconds(now), clamped_nanoseconds(lease_until));
        self.writer.write(move |transaction| claim_due(transaction, now, lease_until, limit)).await
    }

    async fn postpone_task(
        &self,
        lease: TaskLease,
        run_at: Timestamp,
        error: &str,
    ) -> Result<bool, StoreError> {
        let run_at_ns = exact_nanoseconds(run_at)?;
        let error = error.to_owned();
        self.writer
            .write(move |transaction| {
                let mut statement = transaction.prepare_cached(POSTPONE)?;
                let parameters = params![id_bytes(lease.task_id), lease.token, run_at_ns, error];
                Ok(statement.execute(parameters)? == 1)
            })
            .await
    }
}

fn claim_due(
    transaction: &Transaction<'_>,
    now_ns: i64,
    lease_until_ns: i64,
    limit: u32,
) -> Result<Vec<ClaimedTask>, Failure> {
    let mut statement = transaction.prepare_cached(CLAIM_DUE)?;
    let mut rows = statement.query(params![now_ns, lease_until_ns, limit])?;
    let mut claimed = Vec::new();
    while let Some(row) = rows.next()? {
        claimed.push(claimed_task_of(row)?);
    }
    // SQLite answers updated rows in no order that it would promise.
    claimed.sort_unstable_by_key(|claimed| (claimed.task.run_at, claimed.task.id));
    Ok(claimed)
}

fn claimed_task_of(row: &Row<'_>) -> Result<ClaimedTask, Failure> {
    let task = NewTask {
        id: read_id(row, 0)?,
        order_id: read_id(row, 1)?,
        kind: read_name(row, 2, TaskKind::from_name)?,
        run_at: read_timestamp(row, 3)?,
    };
    let attempts = read_number(row, 4)?;
    let lease = TaskLease { task_id: task.id, token: attempts };
    Ok(ClaimedTask { task, attempts, last_error: read_optional_text(row, 5)?.map(str::to_owned), lease })
}
