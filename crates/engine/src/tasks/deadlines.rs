//! The tasks that keep deadlines: to warn a restaurant, and to expire what was waited for in vain.

use dabba_domain::{
    Actor, Timestamp,
    order::{Command, Order, Rejection, TaskKind, decide},
    restaurant::Settings,
};
use dabba_store::ClaimedTask;

use super::{Progress, Verdict};
use crate::{Engine, Error};

impl Engine {
    /// Warns or expires the task's order. One that has moved on is left as it is.
    pub(super) async fn keep_deadline(&self, claimed: &ClaimedTask) -> Result<Progress, Error> {
        let kind = claimed.task.task.kind();
        let decide = |order: &Order, settings: &Settings, now| verdict(kind, order, settings, now);
        self.conclude(claimed.task.order_id, Some(claimed.lease), decide).await
    }
}

fn verdict(kind: TaskKind, order: &Order, settings: &Settings, now: Timestamp) -> Result<Verdict, Error> {
    let is_about_payment = kind == TaskKind::ExpireUnpaid;
    let deadline = match order.deadline() {
        Some(deadline) if order.awaits_payment() == is_about_payment => deadline,
        _ => return Ok(Verdict::unchanged(order)),
    };
    // A warning that comes too late is none.
    let (command, time) = match (kind, order.warning_time(settings)) {
        (TaskKind::WarnUnaccepted, Some(time)) if now < deadline => (Command::Warn, time),
        _ => (Command::Expire, deadline),
    };
    match decide(order, &command, &Actor::System, settings, now) {
        Ok(decision) => Ok(Verdict::Write(Box::new(decision))),
        Err(Rejection::IllegalMove { .. }) if now < time => Ok(Verdict::NotBefore(time)),
        Err(Rejection::Newer) => Err(Error::WrittenByNewer),
        Err(rejection) => Err(Error::Internal(rejection.to_string())),
    }
}
