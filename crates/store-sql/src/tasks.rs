//! Tasks.

use std::sync::LazyLock;

use dabba_domain::{
    TaskId,
    task::{TaskKind, TaskSubject, TaskSubjectKind},
};
use dabba_store::{
    ClaimedTask, NewTask, ParkedTask, StoreError, StoredTask, TaskLease, check_task_subject,
    encoding::{decode_task, decode_task_failures, decode_task_subject, written_by_newer},
};

use crate::StoredRow;

/// The combinations of a task's kind and its subject's kind that this program works on, each as `kind/subject_kind`: those that
/// the rules of the kinds allow. Other tasks are left to newer programs.
pub static KNOWN_TASKS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let of_kind = |kind: &TaskKind| {
        let kind = *kind;
        kind.rules().subjects.iter().map(move |subject| format!("{kind}/{subject}"))
    };
    TaskKind::ALL.iter().flat_map(of_kind).collect()
});

/// Returns the names of the task kinds that this program knows. An audit leaves tasks of other kinds to newer programs.
pub fn known_kinds() -> Vec<&'static str> {
    TaskKind::ALL.iter().map(|kind| kind.as_str()).collect()
}

/// Returns the names of the kinds of subjects that this program knows. An audit leaves tasks with other subjects to newer programs.
pub fn known_subject_kinds() -> Vec<&'static str> {
    TaskSubjectKind::ALL.iter().map(|kind| kind.as_str()).collect()
}

/// A parked task that an admin retries or resolves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkedKind {
    /// Kind of the task.
    pub kind: TaskKind,
    /// Subject of the task.
    pub subject: TaskSubject,
}

/// Returns the kind and the subject of a parked task in a row with the columns `kind`, `subject_kind` and `order_id`. If this
/// program does not know them, the result is [`StoreError::WrittenByNewer`]: a newer program must retry or resolve the task.
pub fn parked_kind_of<'row>(id: TaskId, row: impl StoredRow<'row>) -> Result<ParkedKind, StoreError> {
    let kind = TaskKind::from_name(row.text(0)?);
    let kind = kind.ok_or_else(|| written_by_newer(format_args!("task {id}")))?;
    let subject = decode_task_subject(row.text(1)?, row.uuid(2)?)?;
    check_task_subject(id, kind, subject)?;
    Ok(ParkedKind { kind, subject })
}

/// Returns the task of a row that begins with these columns: `id`, `subject_kind`, `order_id` (the id of the subject), `kind`,
/// `payload`, `run_at_ns`. Does not check whether the task fits the rules of its kind.
fn unchecked_task_of<'row>(row: impl StoredRow<'row>) -> Result<NewTask, StoreError> {
    Ok(NewTask {
        id: row.id(0)?,
        subject: decode_task_subject(row.text(1)?, row.uuid(2)?)?,
        task: decode_task(row.text(3)?, row.optional_text(4)?)?,
        run_at: row.timestamp(5)?,
    })
}

/// Like [`unchecked_task_of`], but refuses a task that does not fit the rules of its kind.
fn task_of<'row>(row: impl StoredRow<'row>) -> Result<NewTask, StoreError> {
    let task = unchecked_task_of(row)?;
    task.check()?;
    Ok(task)
}

/// Returns the parked task of a row with the columns of a task, `attempts`, `parked_at_ns` and `failures`.
pub fn parked_task_of<'row>(row: impl StoredRow<'row>) -> Result<ParkedTask, StoreError> {
    Ok(ParkedTask {
        task: task_of(row)?,
        attempts: row.number(6)?,
        parked_at: row.timestamp(7)?,
        failures: decode_task_failures(row.text(8)?)?,
    })
}

/// Returns the claimed task of a row with the columns of a task, `attempts`, the number of failures and `last_error`.
pub fn claimed_task_of<'row>(row: impl StoredRow<'row>) -> Result<ClaimedTask, StoreError> {
    let task = task_of(row)?;
    let (attempts, failures) = (row.number(6)?, row.number(7)?);
    let lease = TaskLease { task_id: task.id, subject: task.subject, token: attempts };
    let last_error = row.optional_text(8)?.map(str::to_owned);
    Ok(ClaimedTask { task, attempts, failures, last_error, lease })
}

/// Sorts claimed tasks by due time. A database does not guarantee the order of updated rows.
pub fn sort_claimed(claimed: &mut [ClaimedTask]) {
    claimed.sort_unstable_by_key(|claimed| (claimed.task.run_at, claimed.task.id));
}

/// Returns the task of a row with the columns of a task, `attempts`, `leased_until_ns`, `parked_at_ns` and
/// `resolved_at_ns`. An audit reports a task that does not fit the rules of its kind, so it is returned too.
pub fn stored_task_of<'row>(row: impl StoredRow<'row>) -> Result<StoredTask, StoreError> {
    Ok(StoredTask {
        task: unchecked_task_of(row)?,
        attempts: row.number(6)?,
        leased_until: row.optional_timestamp(7)?,
        parked_at: row.optional_timestamp(8)?,
        resolved_at: row.optional_timestamp(9)?,
    })
}
