//! Whether every task has its order, and every order that waits for something the task that will do it.
//!
//! A task is written with the version of its order that needs it, and goes with the version that does not
//! any more. So an order that was read at a version *before* the tasks were, and is still at it *after*,
//! had its task all the time; when it was not among them, there is none.

use std::collections::HashMap;

use dabba_domain::{
    OrderId,
    order::{Order, OrderStatus, PaymentMethod, PaymentStatus, RefundNumber, RefundStatus, Task, TaskKind},
};
use dabba_store::{AuditStore, OrderStore, PageSize, StoredTask};

use super::{Audit, AuditError, Code, Finding, MAX_REREADS, PAGE, is_full, orders_by_id, whole};

/// What an order waits for: one of these tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// A task of one of these kinds.
    Kind(&'static [TaskKind]),
    /// The one that pays this refund.
    Refund(RefundNumber),
    /// The review of this refund, which did not reach the customer. It stays there when it is resolved.
    Review(RefundNumber),
}

impl Wanted {
    fn is(&self, task: &Task) -> bool {
        match self {
            Self::Kind(kinds) => kinds.contains(&task.kind()),
            Self::Refund(wanted) => matches!(task, Task::RefundPayment { number } if number == wanted),
            Self::Review(wanted) => {
                matches!(task, Task::Review { reason } if reason.refund() == Some(*wanted))
            }
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

/// What an order waits for, by the auditor's own table.
fn wanted(order: &Order) -> Vec<Wanted> {
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
            _ if state.refund.external.is_some() => Some(Wanted::Review(number)),
            RefundStatus::Pending => Some(Wanted::Refund(number)),
            // Refusals that were recorded without a reason were recorded before there were reviews.
            _ => state.failure.map(|_| Wanted::Review(number)),
        }
    });
    (!kinds.is_empty()).then_some(Wanted::Kind(kinds)).into_iter().chain(refunds).collect()
}

/// Orders whose tasks are to be looked for, each with its version and what it waits for.
#[derive(Default)]
pub(super) struct Waiting {
    orders: HashMap<OrderId, (u32, Vec<Wanted>)>,
}

impl Waiting {
    /// Adds an order, if it waits for anything.
    pub(super) fn add(&mut self, order: &Order) {
        let wanted = wanted(order);
        if !wanted.is_empty() {
            self.orders.insert(order.id, (order.version, wanted));
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.orders.len()
    }

    /// Strikes out what a task does.
    fn strike_out(&mut self, task: &StoredTask) {
        let order_id = task.task.order_id;
        let Some((_, wanted)) = self.orders.get_mut(&order_id) else { return };
        wanted.retain(|wanted| !wanted.is(&task.task.task));
        if wanted.is_empty() {
            self.orders.remove(&order_id);
        }
    }
}

/// What tasks are read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// To find those that orders wait for, and nothing else.
    Only,
    /// To be judged, too.
    Judge,
}

impl<S: OrderStore + AuditStore + ?Sized> Audit<'_, S> {
    /// Looks for the tasks of orders, and reports those that wait in vain. An order that moves on
    /// meanwhile is looked at again, a bounded number of times: while it moves, something moves it.
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

    /// Strikes out what is there.
    async fn walk_tasks(&mut self, waiting: &mut Waiting, walk: Walk) -> Result<(), AuditError> {
        let mut after = None;
        loop {
            let page = whole("tasks", self.store.all_tasks(after, PAGE).await)?;
            for task in &page {
                waiting.strike_out(task);
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

    /// Reports the orders whose tasks were not found and that are still as they were. Answers those that
    /// are not, and wait again.
    async fn judge_waiting(&mut self, waiting: Waiting) -> Result<Waiting, AuditError> {
        let mut again = Waiting::default();
        let ids: Vec<OrderId> = waiting.orders.keys().copied().collect();
        for ids in ids.chunks(PageSize::MAX as usize) {
            for (order_id, order) in orders_by_id(self.store, ids.iter().copied()).await? {
                let Some((version, wanted)) = waiting.orders.get(&order_id) else { continue };
                if order.version != *version {
                    self.report.rereads += 1;
                    again.add(&order);
                    continue;
                }
                for wanted in wanted {
                    let text = format!(
                        "it is {}, its payment {}, and there is no task {}: nothing will move it",
                        order.status,
                        order.payment_status,
                        wanted.text()
                    );
                    self.report.add(Finding::new(Code::TaskMissing, order_id, text));
                }
            }
        }
        Ok(again)
    }

    async fn judge_tasks(&mut self, tasks: &[StoredTask]) -> Result<(), AuditError> {
        let orders = orders_by_id(self.store, tasks.iter().map(|task| task.task.order_id)).await?;
        for stored in tasks {
            self.report.tasks += 1;
            let order_id = stored.task.order_id;
            let name = format!("its task {} ({})", stored.task.id, stored.task.task.kind());
            let mut found = |code, text: String| {
                self.report.add(Finding::new(code, order_id, format!("{name} {text}")));
            };
            if !orders.contains_key(&order_id) {
                found(Code::TaskWithoutOrder, "is there, and the order is not".to_owned());
            }
            let (bucket, home) = (stored.task.id.bucket().number(), order_id.bucket().number());
            if bucket != home {
                found(Code::TaskBucket, format!("is in bucket {bucket}; the order is in {home}"));
            }
            let overdue = self.options.now.duration_since(stored.task.run_at);
            match (stored.resolved_at, stored.parked_at) {
                (None, Some(parked_at)) if stored.task.task.kind().is_for_people() => {
                    let text = format!("waits for a person since {parked_at}: see to it, and resolve it");
                    found(Code::ReviewOpen, text);
                }
                (None, Some(parked_at)) => {
                    let text = format!(
                        "was put aside at {parked_at}, after {} attempts; have it tried again or resolve it",
                        stored.attempts
                    );
                    found(Code::TaskParked, text);
                }
                (None, None) if overdue > self.options.overdue_after => {
                    let held = stored.leased_until.map_or_else(
                        || "nobody holds it".to_owned(),
                        |until| format!("it is or was held until {until}"),
                    );
                    let (minutes, attempts) = (overdue.as_mins(), stored.attempts);
                    let text = format!(
                        "has been due for {minutes} minutes, after {attempts} attempts; {held}; see whether \
                         tasks are carried out"
                    );
                    found(Code::TaskOverdue, text);
                }
                // It is in its time, or somebody has seen to it.
                (None, None) | (Some(_), _) => {}
            }
        }
        Ok(())
    }
}
