//! Tasks.

use dabba_domain::{TaskId, order::TaskKind};
use dabba_store::{
    ClaimedTask, NewTask, ParkedTask, StoreError, StoredTask, TaskLease,
    encoding::{decode_task, decode_task_failures, written_by_newer},
};

use crate::StoredRow;

/// Returns the names of the task kinds that this program knows. Tasks of other kinds are left to newer programs.
pub fn known_kinds() -> Vec<&'static str> {
    TaskKind::ALL.iter().map(|kind| kind.as_str()).collect()
}

/// Returns the kind of a parked task by its stored name. A kind that this program does not know is
/// [`StoreError::WrittenByNewer`]: a newer program must retry or resolve the task.
pub fn kind_of_parked(id: TaskId, name: &str) -> Result<TaskKind, StoreError> {
    TaskKind::from_name(name).ok_or_else(|| written_by_newer(format_args!("task {id}")))
}

/// Returns the task of a row that begins with these columns: `id`, `order_id`, `kind`, `payload`, `run_at_ns`.
fn task_of<'row>(row: impl StoredRow<'row>) -> Result<NewTask, StoreError> {
    Ok(NewTask {
        id: row.id(0)?,
        order_id: row.id(1)?,
        task: decode_task(row.text(2)?, row.optional_text(3)?)?,
        run_at: row.timestamp(4)?,
    })
}

/// Returns the parked task of a row with the columns of a task, `attempts`, `parked_at_ns` and `failures`.
pub fn parked_task_of<'row>(row: impl StoredRow<'row>) -> Result<ParkedTask, StoreError> {
    Ok(ParkedTask {
        task: task_of(row)?,
        attempts: row.number(5)?,
        parked_at: row.timestamp(6)?,
        failures: decode_task_failures(row.text(7)?)?,
    })
}

/// Returns the claimed task of a row with the columns of a task, `attempts`, the number of failures and `last_error`.
pub fn claimed_task_of<'row>(row: impl StoredRow<'row>) -> Result<ClaimedTask, StoreError> {
    let task = task_of(row)?;
    let (attempts, failures) = (row.number(5)?, row.number(6)?);
    let lease = TaskLease { task_id: task.id, token: attempts };
    let last_error = row.optional_text(7)?.map(str::to_owned);
    Ok(ClaimedTask { task, attempts, failures, last_error, lease })
}

/// Sorts claimed tasks by due time. A database does not guarantee the order of updated rows.
pub fn sort_claimed(claimed: &mut [ClaimedTask]) {
    claimed.sort_unstable_by_key(|claimed| (claimed.task.run_at, claimed.task.id));
}

/// Returns the task of a row with the columns of a task, `attempts`, `leased_until_ns`, `parked_at_ns` and
/// `resolved_at_ns`.
pub fn stored_task_of<'row>(row: impl StoredRow<'row>) -> Result<StoredTask, StoreError> {
    Ok(StoredTask {
        task: task_of(row)?,
        attempts: row.number(5)?,
        leased_until: row.optional_timestamp(6)?,
        parked_at: row.optional_timestamp(7)?,
        resolved_at: row.optional_timestamp(8)?,
    })
}
