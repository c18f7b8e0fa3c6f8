//! The tasks that keep deadlines: to warn a restaurant, and to expire what was waited for in vain.

use dabba_domain::{
    Actor, Timestamp,
    order::{Command, Decision, Order, Rejection, TaskKind, decide},
    restaurant::Settings,
};
use dabba_store::ClaimedTask;

use super::{Progress, Verdict};
use crate::{Engine, Error};

impl Engine {
    /// Warns or expires the task's order. One that has moved on is left as it is.
    pub(super) async fn keep_deadline(&self, claimed: &ClaimedTask) -> Result<Progress, Error> {
        let kind = claimed.task.task.kind();
        self.conclude(claimed, |order, settings, now| verdict(kind, order, settings, now)).await
    }
}

fn verdict(kind: TaskKind, order: &Order, settings: &Settings, now: Timestamp) -> Result<Verdict, Error> {
    let is_about_payment = kind == TaskKind::ExpireUnpaid;
    let deadline = match order.deadline() {
        Some(deadline) if order.awaits_payment() == is_about_payment => deadline,
        _ => return Ok(Verdict::Write(Decision::unchanged(order))),
    };
    // A warning that comes too late is none.
    let command = match kind {
        TaskKind::WarnUnaccepted if now < deadline => Command::Warn,
        _ => Command::Expire,
    };
    match decide(order, &command, &Actor::System, settings, now) {
        Ok(decision) => Ok(Verdict::Write(decision)),
        Err(Rejection::IllegalMove { .. }) if now < deadline => Ok(Verdict::NotBefore(deadline)),
        Err(rejection) => Err(Error::Internal(rejection.to_string())),
    }
}
