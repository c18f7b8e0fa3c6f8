//! Tasks.

use std::sync::LazyLock;

use dabba_domain::{
    TaskId, Timestamp,
    task::{TaskKind, TaskSubjectKind},
};
use dabba_store::{
    ClaimedTask, ParkedTask, RecordedTaskFailure, StoreError, StoredTask, TaskFailure, TaskLease, TaskRecord,
    check_task_subject,
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
    /// Kind of the task's subject.
    pub subject_kind: TaskSubjectKind,
}

/// Returns the kind of a parked task and the kind of its subject, in a row with the columns `kind` and `subject_kind`.
/// If this program does not know them, the result is [`StoreError::WrittenByNewer`]: a newer program must retry or
/// resolve the task.
///
/// Needs no other column, so that an admin can retry and resolve a task whose other columns are damaged.
pub fn parked_kind_of<'row>(id: TaskId, row: impl StoredRow<'row>) -> Result<ParkedKind, StoreError> {
    let text = |column| row.text(column).map_err(|error| error.in_context(format_args!("task {id}")));
    let (kind, subject_kind) = (TaskKind::from_name(text(0)?), TaskSubjectKind::from_name(text(1)?));
    let (Some(kind), Some(subject_kind)) = (kind, subject_kind) else {
        return Err(written_by_newer(format_args!("task {id}")));
    };
    check_task_subject(id, kind, subject_kind)?;
    Ok(ParkedKind { kind, subject_kind })
}

/// Returns the result of reading a row whose first column is the id of a task. An error names the task.
fn naming_the_task<'row, T>(
    row: impl StoredRow<'row>,
    read: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let id = row.uuid(0)?;
    read().map_err(|error| error.in_context(format_args!("task {id}")))
}

/// Returns the task of a row that begins with these columns: `id`, `subject_kind`, `order_id` (the id of the subject),
/// `kind`, `payload`, `run_at_ns`. If this program cannot decode the payload, only [`TaskRecord::content`] is an error.
/// Does not check the id of the subject, nor whether the task fits the rules of its kind.
fn task_of<'row>(row: impl StoredRow<'row>) -> Result<TaskRecord, StoreError> {
    let id: TaskId = row.id(0)?;
    let kind = row.name(3, TaskKind::from_name)?;
    let content = row.optional_text(4).and_then(|payload| decode_task(kind.as_str(), payload));
    Ok(TaskRecord {
        id,
        subject: decode_task_subject(row.text(1)?, row.uuid(2)?)?,
        kind,
        run_at: row.timestamp(5)?,
        content: content.map_err(|error| error.in_context(format_args!("task {id}"))),
    })
}

/// Returns the parked task of a row with the columns of a task, `attempts`, `parked_at_ns` and `failures`.
pub fn parked_task_of<'row>(row: impl StoredRow<'row>) -> Result<ParkedTask, StoreError> {
    let parked = naming_the_task(row, || {
        let (attempts, parked_at) = (row.clamped_number(6)?, row.timestamp(7)?);
        let failures = row.text(8).and_then(decode_task_failures);
        let failures = failures.unwrap_or_else(|_| vec![damaged_history(attempts, parked_at)]);
        Ok(ParkedTask { task: task_of(row)?, attempts, parked_at, failures })
    })?;
    parked.task.check()?;
    Ok(parked)
}

/// Returns the failure that replaces a damaged list of failures, so that an admin still sees the parked task.
fn damaged_history(attempt: u32, at: Timestamp) -> RecordedTaskFailure {
    let error = "the recorded failures of this task are damaged and cannot be read".to_owned();
    RecordedTaskFailure { attempt, failure: TaskFailure { at, error } }
}

/// Returns the claimed task of a row with the columns of a task, `attempts`, the number of failures and `last_error`.
pub fn claimed_task_of<'row>(row: impl StoredRow<'row>) -> Result<ClaimedTask, StoreError> {
    let claimed = naming_the_task(row, || {
        let task = task_of(row)?;
        let (attempts, failures) = (row.clamped_number(6)?, row.clamped_number(7)?);
        let lease = TaskLease { task_id: task.id, subject: task.subject, token: attempts };
        let last_error = row.optional_text(8).unwrap_or(Some("the text of the latest failure is damaged"));
        let last_error = last_error.map(str::to_owned);
        Ok(ClaimedTask { task, attempts, failures, last_error, lease })
    })?;
    claimed.task.check()?;
    Ok(claimed)
}

/// Returns the claimed tasks, by due time. A database does not guarantee the order of updated rows.
///
/// Logs and omits a row that cannot be decoded at all, such as one whose id is not the id of a task: it must not stop its
/// queue. Its lease expires, so it is claimed and logged again. A list that contains such a row fails, and its error names
/// the task.
pub fn claimed_tasks(rows: impl IntoIterator<Item = Result<ClaimedTask, StoreError>>) -> Vec<ClaimedTask> {
    let decoded = |row: Result<ClaimedTask, StoreError>| {
        row.inspect_err(|error| {
            tracing::error!(%error, "a due task is damaged, and no worker can execute it: repair its row in the table tasks");
        })
        .ok()
    };
    let mut claimed: Vec<ClaimedTask> = rows.into_iter().filter_map(decoded).collect();
    claimed.sort_unstable_by_key(|claimed| (claimed.task.run_at, claimed.task.id));
    claimed
}

/// Returns the task of a row with the columns of a task, `attempts`, `leased_until_ns`, `parked_at_ns` and
/// `resolved_at_ns`. An audit reports a task that does not fit the rules of its kind, so it is returned too.
pub fn stored_task_of<'row>(row: impl StoredRow<'row>) -> Result<StoredTask, StoreError> {
    naming_the_task(row, || {
        Ok(StoredTask {
            task: task_of(row)?,
            attempts: row.clamped_number(6)?,
            leased_until: row.optional_timestamp(7)?,
            parked_at: row.optional_timestamp(8)?,
            resolved_at: row.optional_timestamp(9)?,
        })
    })
}
