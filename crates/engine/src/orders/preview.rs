//! Previews of commands: what a command would do, without doing it.

use std::sync::Arc;

use dabba_domain::order::{AllowedAction, Decision, Effect, Order};

use super::{
    CommandRequest, Orders,
    act::{By, Considered},
};
use crate::{Error, Principal, Scope};

/// A command that was decided and not executed.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// The order as it would be after the command. `None` if the caller may not see the order before the command: a
    /// courier sees a free order only after taking it.
    pub order: Option<Order>,
    /// The actions that the caller could then take on the order.
    pub allowed_actions: Vec<AllowedAction>,
    /// Effect of the command on the order's status and money.
    pub effect: Effect,
}

impl Orders {
    /// Decides a command and writes nothing: neither the order, nor tasks, nor the idempotency key of the request, which
    /// the preview ignores. Refuses what [`Orders::act`] would refuse now.
    ///
    /// The decision is based on the stored order and never on a cached one, because no write would detect that the
    /// cached one is stale.
    pub async fn preview(&self, principal: &Principal, request: &CommandRequest) -> Result<Preview, Error> {
        principal.require(Scope::WriteOrders)?;
        let stored = self.store.order(request.order_id).await?;
        let before = Arc::new(stored.ok_or(Error::NotFound("order"))?);
        match self.consider(By::Caller(principal), request, &before, true).await? {
            Considered::Write(decision, viewer) => {
                let effect = decision.effect(&before);
                let allowed_actions = viewer.allowed_actions(&decision.order);
                let order = before.is_visible_to(&viewer.actor).then_some(decision.order);
                Ok(Preview { order, allowed_actions, effect })
            }
            Considered::NothingToWrite(viewer) => {
                let effect = Decision::unchanged(&before).effect(&before);
                let allowed_actions = viewer.allowed_actions(&before);
                let order = before.is_visible_to(&viewer.actor).then(|| Arc::unwrap_or_clone(before));
                Ok(Preview { order, allowed_actions, effect })
            }
            Considered::Refused(refusal, _) => Err(refusal),
        }
    }
}
