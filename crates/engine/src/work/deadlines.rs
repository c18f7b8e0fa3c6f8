//! Deadline tasks: warn the restaurant about an order that it has not accepted, and expire an order whose acceptance or
//! payment did not come in time.

use dabba_domain::{
    Actor, Timestamp,
    order::{Command, Order, Rejection, decide},
    restaurant::RestaurantSettings,
    task::TaskKind,
};
use dabba_store::ClaimedTask;

use super::Work;
use crate::{
    Error,
    order_writer::{Outcome, Progress, Verdict, complete, complete_unchanged, order_of},
};

impl Work {
    /// Warns about or expires the task's order. Does nothing if the order no longer waits.
    pub(super) async fn enforce_deadline(&self, claimed: &ClaimedTask) -> Result<Outcome<Progress>, Error> {
        let kind = claimed.task.kind;
        let decide = |order: &Order, settings: &RestaurantSettings, now| verdict(kind, order, settings, now);
        self.unattended.conclude(order_of(claimed)?, Some(claimed.lease), decide).await
    }
}

fn verdict(
    kind: TaskKind,
    order: &Order,
    settings: &RestaurantSettings,
    now: Timestamp,
) -> Result<Verdict<Progress>, Error> {
    let is_about_payment = kind == TaskKind::ExpireUnpaid;
    let deadline = match order.deadline() {
        Some(deadline) if order.awaits_payment() == is_about_payment => deadline,
        _ => return Ok(complete_unchanged(order)),
    };
    // After the deadline, a warning is useless: the task expires the order instead.
    let (command, time) = match (kind, order.warning_time(settings)) {
        (TaskKind::WarnUnaccepted, Some(time)) if now < deadline => (Command::Warn, time),
        _ => (Command::Expire, deadline),
    };
    match decide(order, &command, &Actor::System, settings, now) {
        Ok(decision) => Ok(complete(order, decision)),
        Err(Rejection::IllegalMove { .. }) if now < time => Ok(Verdict::Conclude(Progress::NotBefore(time))),
        Err(Rejection::WrittenByNewer) => Err(Error::WrittenByNewer),
        Err(rejection) => Err(Error::Internal(rejection.to_string())),
    }
}
