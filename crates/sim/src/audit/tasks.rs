//! Checks that every task about an order has its order, and that every waiting order has the task that it waits for. Of
//! tasks about restaurants and accounts, the audit checks only whether they are overdue, parked or open, whether their
//! content can be decoded, and whether a task of their kind can be about them.
//!
//! The version of an order that needs a task is written together with that task, and the version that no
//! longer needs it removes it. So if an order had the same version before and after the tasks were read, its
//! task existed all the time. If the task was not among them, it is missing.

use std::collections::HashMap;

use dabba_domain::{
    OrderId,
    order::{Order, OrderStatus, PaymentMethod, PaymentStatus, RefundNumber, RefundStatus},
    task::{Task, TaskKind},
};
use dabba_store::{AuditStore, OrderStore, PageSize, StoreError, StoredTask, TaskRecord};

use super::{Audit, AuditError, Finding, FindingCode, MAX_REREADS, PAGE, is_full, orders_by_id, whole};

/// A task that an order needs: one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
enum RequiredTask {
    /// A task of one of these kinds.
    Kind(&'static [TaskKind]),
    /// The task that pays this refund.
    Refund(RefundNumber),
    /// The review of this refund, which did not reach the customer. A resolved review stays in the store.
    Review(RefundNumber),
}

impl RequiredTask {
    /// Returns whether a task is this task.
    fn is(&self, task: &TaskRecord) -> bool {
        match (self, &task.content) {
            (Self::Kind(kinds), _) => kinds.contains(&task.kind),
            (Self::Refund(required), Ok(Task::RefundPayment { number })) => number == required,
            (Self::Review(required), Ok(Task::Review { reason })) => reason.refund() == Some(*required),
            (Self::Refund(_) | Self::Review(_), _) => false,
        }
    }

    /// Returns whether a task of this kind whose content cannot be decoded may be this task, if the content matters.
    fn may_be(&self, kind: TaskKind) -> bool {
        match self {
            Self::Kind(_) => false,
            Self::Refund(_) => kind == TaskKind::RefundPayment,
            Self::Review(_) => kind == TaskKind::Review,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Kind(kinds) => kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" or "),
            Self::Refund(number) => format!("{} of refund {number}", TaskKind::RefundPayment),
            Self::Review(number) => format!("{} of refund {number}", TaskKind::Review),
        }
    }
}

/// Returns the tasks that an order needs, by the auditor's own table.
fn required(order: &Order) -> Vec<RequiredTask> {
    let by_card = order.details.payment_method == PaymentMethod::Card;
    let kinds: &[TaskKind] = match (order.status, order.payment_status) {
        (OrderStatus::Created, _) if by_card => &[TaskKind::AuthorizePayment, TaskKind::ExpireUnpaid],
        (OrderStatus::Confirmed, _) => &[TaskKind::WarnUnaccepted, TaskKind::ExpireUnaccepted],
        (OrderStatus::Cancelled, PaymentStatus::Authorized) => &[TaskKind::VoidPayment],
        (OrderStatus::Cancelled, PaymentStatus::Pending) if by_card => &[TaskKind::AuthorizePayment],
        (_, PaymentStatus::Authorized) => &[TaskKind::CapturePayment],
        _ => &[],
    };
    let refunds = order.refunds.iter().filter(|_| by_card).filter_map(|state| {
        let number = state.refund.number;
        match state.status {
            _ if state.refund.external.is_some() => Some(RequiredTask::Review(number)),
            RefundStatus::Pending => Some(RequiredTask::Refund(number)),
            // Refusals without a reason are older than reviews.
            _ => state.failure.map(|_| RequiredTask::Review(number)),
        }
    });
    (!kinds.is_empty()).then_some(RequiredTask::Kind(kinds)).into_iter().chain(refunds).collect()
}

/// Orders whose tasks are searched.
#[derive(Default)]
pub(super) struct Waiting {
    orders: HashMap<OrderId, Needs>,
}

/// The tasks that an order needs.
struct Needs {
    /// Version of the order.
    version: u32,
    /// The tasks that were not found yet.
    required: Vec<RequiredTask>,
    /// Kinds of the order's tasks whose contents cannot be decoded.
    undecodable: Vec<TaskKind>,
}

impl Needs {
    /// Returns the tasks that are missing. Each task whose content cannot be decoded may be one of them: the audit
    /// reports damaged content itself.
    fn missing(&self) -> Vec<&RequiredTask> {
        let mut missing: Vec<&RequiredTask> = self.required.iter().collect();
        for kind in &self.undecodable {
            if let Some(place) = missing.iter().position(|required| required.may_be(*kind)) {
                missing.remove(place);
            }
        }
        missing
    }
}

impl Waiting {
    /// Adds an order if it needs a task.
    pub(super) fn add(&mut self, order: &Order) {
        let required = required(order);
        if !required.is_empty() {
            self.orders.insert(order.id, Needs { version: order.version, required, undecodable: Vec::new() });
        }
    }

    /// Returns the number of orders.
    pub(super) fn count(&self) -> usize {
        self.orders.len()
    }

    /// Removes the need that a task fulfils.
    fn remove_found(&mut self, task: &StoredTask) {
        let Some(order_id) = task.task.subject.order_id() else { return };
        let Some(needs) = self.orders.get_mut(&order_id) else { return };
        needs.required.retain(|required| !required.is(&task.task));
        if task.task.content.is_err() {
            needs.undecodable.push(task.task.kind);
        }
        if needs.required.is_empty() {
            self.orders.remove(&order_id);
        }
    }
}

/// The purpose of reading the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// Only to find the tasks that orders need.
    Only,
    /// Also to check the tasks.
    Judge,
}

impl<S: OrderStore + AuditStore + ?Sized> Audit<'_, S> {
    /// Searches the tasks of orders, and reports orders whose task is missing. An order that changes during
    /// the search is checked again, at most a limited number of times: as long as it changes, something
    /// processes it.
    pub(super) async fn find_tasks(&mut self, mut waiting: Waiting, walk: Walk) -> Result<(), AuditError> {
        self.walk_tasks(&mut waiting, walk).await?;
        for _ in 0..MAX_REREADS {
            waiting = self.judge_waiting(waiting).await?;
            if waiting.orders.is_empty() {
                break;
            }
            self.walk_tasks(&mut waiting, Walk::Only).await?;
        }
        Ok(())
    }

    /// Reads all tasks and removes the needs that they fulfil.
    async fn walk_tasks(&mut self, waiting: &mut Waiting, walk: Walk) -> Result<(), AuditError> {
        let mut after = None;
        loop {
            let page = whole("tasks", self.store.all_tasks(after, PAGE).await)?;
            for task in &page {
                waiting.remove_found(task);
            }
            if walk == Walk::Judge {
                self.judge_tasks(&page).await?;
            }
            if !is_full(&page) {
                return Ok(());
            }
            after = page.last().map(|last| last.task.id);
        }
    }

    /// Reports the unchanged orders whose tasks were not found. Returns the orders that have changed and need
    /// a task again.
    async fn judge_waiting(&mut self, waiting: Waiting) -> Result<Waiting, AuditError> {
        let mut again = Waiting::default();
        let ids: Vec<OrderId> = waiting.orders.keys().copied().collect();
        for ids in ids.chunks(PageSize::MAX as usize) {
            for (order_id, order) in orders_by_id(self.store, ids.iter().copied()).await? {
                let Some(needs) = waiting.orders.get(&order_id) else { continue };
                if order.version != needs.version {
                    self.report.rereads += 1;
                    again.add(&order);
                    continue;
                }
                for required in needs.missing() {
                    let text = format!(
                        "it is {} and its payment {}, but there is no task {}, so nothing will process it",
                        order.status,
                        order.payment_status,
                        required.text()
                    );
                    self.report.add(Finding::new(FindingCode::TaskMissing, order_id, text));
                }
            }
        }
        Ok(again)
    }

    async fn judge_tasks(&mut self, tasks: &[StoredTask]) -> Result<(), AuditError> {
        let order_ids = tasks.iter().filter_map(|task| task.task.subject.order_id());
        let orders = orders_by_id(self.store, order_ids).await?;
        for stored in tasks {
            self.report.tasks += 1;
            let TaskRecord { id, subject, kind, .. } = stored.task;
            let order = subject.order_id().and_then(|order_id| orders.get(&order_id));
            let mut found = findings_of_place(stored, order.is_some());
            if kind.accepts(subject.kind()) {
                // Newer servers execute the tasks of newer orders.
                if !order.is_some_and(|order| order.is_written_by_newer) {
                    found.extend(finding_of_content(stored));
                }
                found.extend(self.finding_of_state(stored));
            } else {
                let text = format!(
                    "cannot be about the {subject}; no worker executes it, and no command changes it: delete it from the \
                     table `tasks`"
                );
                found.push((FindingCode::TaskSubject, text));
            }
            for (code, text) in found {
                self.report.add(match subject.order_id() {
                    Some(order_id) => Finding::new(code, order_id, format!("its task {id} ({kind}) {text}")),
                    None => Finding::of_no_order(code, format!("{subject}: its task {id} ({kind}) {text}")),
                });
            }
        }
        Ok(())
    }

    /// Returns the finding about a task that waits: for a worker for too long, or for an operator.
    fn finding_of_state(&self, stored: &StoredTask) -> Option<(FindingCode, String)> {
        let overdue = self.options.now.duration_since(stored.task.run_at);
        let attempts = stored.attempts;
        match (stored.resolved_at, stored.parked_at) {
            (None, Some(parked_at)) if stored.task.kind.needs_admin() => {
                let text =
                    format!("has been waiting for an operator since {parked_at}; handle it and resolve it");
                Some((FindingCode::ReviewOpen, text))
            }
            (None, Some(parked_at)) => {
                let text =
                    format!("was parked at {parked_at} after {attempts} attempts; retry it or resolve it");
                Some((FindingCode::TaskParked, text))
            }
            (None, None) if overdue > self.options.overdue_after => {
                let held = stored.leased_until.map_or_else(
                    || "no worker holds its lease".to_owned(),
                    |until| format!("its lease ends or ended at {until}"),
                );
                let minutes = overdue.as_mins();
                let text = format!(
                    "has been due for {minutes} minutes after {attempts} attempts; {held}; check whether workers are \
                     running"
                );
                Some((FindingCode::TaskOverdue, text))
            }
            // The task is not overdue, or an admin has resolved it.
            (None, None) | (Some(_), _) => None,
        }
    }
}

/// Returns the findings about the order of a task, and about the bucket in which the task is.
fn findings_of_place(stored: &StoredTask, order_exists: bool) -> Vec<(FindingCode, String)> {
    let Some(order_id) = stored.task.subject.order_id() else { return Vec::new() };
    let mut found = Vec::new();
    if !order_exists {
        found.push((FindingCode::TaskWithoutOrder, "exists, but the order does not".to_owned()));
    }
    let (bucket, home) = (stored.task.id.bucket().number(), order_id.bucket().number());
    if bucket != home {
        let text = format!("is in bucket {bucket}, the order in bucket {home}");
        found.push((FindingCode::TaskBucket, text));
    }
    found
}

/// Returns the finding about a task with damaged content. A task that a newer version of Dabba wrote is no finding, and
/// neither is a resolved task: an admin has dealt with it.
fn finding_of_content(stored: &StoredTask) -> Option<(FindingCode, String)> {
    let error = match &stored.task.content {
        Ok(_) | Err(StoreError::WrittenByNewer(_)) => return None,
        Err(_) if stored.resolved_at.is_some() => return None,
        Err(error) => error,
    };
    let text = format!(
        "cannot be decoded ({error}): if a newer version of Dabba wrote it, audit with that version; otherwise do its \
         work by hand, and resolve it when it is parked"
    );
    Some((FindingCode::TaskUnreadable, text))
}
