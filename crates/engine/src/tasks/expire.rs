//! The task that expires an order which nobody has accepted.

use dabba_domain::{
    Actor, Amount, Timestamp,
    order::{Command, CommandKind, Decision, Order, Rejection, allowed_actions, decide},
};
use dabba_store::{ClaimedTask, CommitOutcome};

use super::Progress;
use crate::{Conflict, Engine, Error, orders::Conditions};

impl Engine {
    /// Expires the task's order. One that has moved on is left as it is. When the order changes between
    /// deciding and writing, it is decided again.
    pub(super) async fn expire(&self, claimed: &ClaimedTask) -> Result<Progress, Error> {
        for _ in 0..self.config.max_decision_attempts {
            let order = self.store.order(claimed.task.order_id).await?.ok_or(Error::NotFound("order"))?;
            let entry = self.catalogues.get(order.details.restaurant_id).await?;
            let now = self.now();
            let settings = &entry.restaurant().settings;
            let decision = match decide(&order, &Command::Expire, &Actor::System, settings, now) {
                Ok(decision) => decision,
                Err(Rejection::IllegalMove { .. }) => match deadline(&order) {
                    Some(deadline) if now < deadline => return Ok(Progress::NotBefore(deadline)),
                    _ => Decision::unchanged(&order),
                },
                Err(rejection) => return Err(Error::Internal(rejection.to_string())),
            };
            let conditions = Conditions::on(&order).completing(claimed.lease);
            match self.write(decision, conditions).await? {
                CommitOutcome::Committed => return Ok(Progress::Completed),
                CommitOutcome::LeaseLost => return Ok(Progress::LeaseLost),
                CommitOutcome::VersionConflict { .. } => {}
                // Another process that knows the new map will do it.
                CommitOutcome::Moved => return Err(Error::Unavailable),
                outcome => return Err(Error::Internal(format!("an expiry was answered with {outcome:?}"))),
            }
        }
        Err(Conflict::TooManyChanges.into())
    }
}

/// When the order is to expire, if the lifecycle still lets it.
fn deadline(order: &Order) -> Option<Timestamp> {
    let actions = allowed_actions(order, &Actor::System, Amount::ZERO);
    actions.into_iter().find(|action| action.command == CommandKind::Expire)?.deadline
}
