//! Tasks: handing them out and taking them back. Each call is one statement.

use async_trait::async_trait;
use dabba_domain::{Timestamp, order::TaskKind};
use dabba_store::encoding::{clamped_nanoseconds, exact_nanoseconds};
use dabba_store::{ClaimedTask, NewTask, StoreError, TaskLease, TaskStore};
use tokio_postgres::Row;

use crate::{
    PostgresStore,
    codec::{read, read_id, read_name, read_number, read_timestamp, storable_text},
    failure::Failure,
};

/// Several workers may ask at once: each passes over what another is taking just now. At READ
/// COMMITTED, since at a higher level the slower one would fail instead. Tasks of orders that have been
/// given to another database are worked there.
const CLAIM_DUE: &str = "\
    WITH due AS ( \
        SELECT id FROM tasks \
        WHERE run_at_ns <= $1 AND (leased_until_ns IS NULL OR leased_until_ns <= $1) \
            AND bucket_of(id) BETWEEN (SELECT first_bucket FROM shard WHERE is_the_only_row) \
                AND (SELECT last_bucket FROM shard WHERE is_the_only_row) \
        ORDER BY run_at_ns, id LIMIT $3 FOR UPDATE SKIP LOCKED) \
    UPDATE tasks SET leased_until_ns = $2, attempts = tasks.attempts + 1 \
    FROM due WHERE tasks.id = due.id \
    RETURNING tasks.id, order_id, kind, run_at_ns, attempts, last_error";

const POSTPONE: &str = "\
    UPDATE tasks SET run_at_ns = $3, last_error = $4, leased_until_ns = NULL \
    WHERE id = $1 AND attempts = $2 AND leased_until_ns IS NOT NULL";

/// Every statement of this part, for the test that looks at their plans.
#[cfg(test)]
pub(crate) const STATEMENTS: &[(&str, &str)] = &[("claim_due", CLAIM_DUE), ("postpone", POSTPONE)];

#[async_trait]
impl TaskStore for PostgresStore {
    async fn claim_due_tasks(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<ClaimedTask>, StoreError> {
        let (now, lease_until) = (clamped_nanoseconds(now), clamped_nanoseconds(lease_until));
        self.read(async |connection| {
            let rows = connection.query(CLAIM_DUE, &[&now, &lease_until, &i64::from(limit)]).await?;
            let mut claimed = rows.iter().map(claimed_task_of).collect::<Result<Vec<_>, _>>()?;
            // Updated rows come in no order that is promised.
            claimed.sort_unstable_by_key(|claimed| (claimed.task.run_at, claimed.task.id));
            Ok(claimed)
        })
        .await
    }

    async fn postpone_task(
        &self,
        lease: TaskLease,
        run_at: Timestamp,
        error: &str,
    ) -> Result<bool, StoreError> {
        let run_at_ns = exact_nanoseconds(run_at)?;
        let error = storable_text(error);
        self.read(async |connection| {
            let token = i64::from(lease.token);
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&lease.task_id.uuid(), &token, &run_at_ns, &error];
            Ok(connection.execute(POSTPONE, &parameters).await? == 1)
        })
        .await
    }
}

fn claimed_task_of(row: &Row) -> Result<ClaimedTask, Failure> {
    let task = NewTask {
        id: read_id(row, 0)?,
        order_id: read_id(row, 1)?,
        kind: read_name(row, 2, TaskKind::from_name)?,
        run_at: read_timestamp(row, 3)?,
    };
    let attempts = read_number(row, 4)?;
    let lease = TaskLease { task_id: task.id, token: attempts };
    Ok(ClaimedTask { task, attempts, last_error: read(row, 5)?, lease })
}
