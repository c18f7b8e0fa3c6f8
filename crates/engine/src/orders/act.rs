//! Commands on an order that exists.

use dabba_domain::{
    Actor, OrderId, Problems, RestaurantId, Role,
    order::{Command, Order, Rejection, Version, allowed_actions, decide},
    restaurant::Settings,
};
use dabba_store::IdempotencyKey;

use super::{Answer, Conclusion, Conditions, claim};
use crate::{Conflict, Engine, Error, Principal};

/// A command with its conditions.
#[derive(Clone, Debug)]
pub struct CommandRequest {
    /// The order.
    pub order_id: OrderId,
    /// What to do.
    pub command: Command,
    /// The key under which to do it, if any.
    pub key: Option<IdempotencyKey>,
    /// The version at which the order has to be, if any.
    pub expected_version: Option<Version>,
}

impl Engine {
    /// Gives a command. When the order changes between deciding and writing, it is decided again.
    pub async fn act(&self, principal: &Principal, request: &CommandRequest) -> Result<Answer, Error> {
        let CommandRequest { order_id, command, key, expected_version } = request;
        let claim = match key {
            Some(key) => Some(claim(principal.account_id, key.clone(), &(order_id, command))?),
            None => None,
        };
        for _ in 0..self.config.max_decision_attempts {
            let order = self.store.order(*order_id).await?.ok_or(Error::NotFound("order"))?;
            let restaurant_id = order.details.restaurant_id;
            let actor = self.actor(principal, restaurant_id).await?.ok_or(Error::NotFound("order"))?;
            if expected_version.is_some_and(|expected| expected != order.version)
                && order.is_visible_to(&actor)
            {
                let refusal = Error::VersionMismatch { current: order.version };
                return Box::pin(self.replay_or(refusal, restaurant_id, claim.as_ref())).await;
            }
            let entry = self.catalogues.get(restaurant_id).await?;
            let settings = &entry.restaurant().settings;
            let decision = match decide(&order, command, &actor, settings, self.now()) {
                Ok(decision) => decision,
                Err(rejection) => {
                    let refusal = refusal(rejection, &order, &actor, settings);
                    return Box::pin(self.replay_or(refusal, restaurant_id, claim.as_ref())).await;
                }
            };
            if decision.events.is_empty() && claim.is_none() {
                return Ok(Answer { order, replayed: false });
            }
            if let Command::AssignCourier { courier_id } = command
                && !matches!(actor, Actor::Courier { .. })
            {
                Box::pin(self.check_courier(*courier_id)).await?;
            }
            let conditions = Conditions { claim: claim.clone(), ..Conditions::on(&order) };
            if let Conclusion::Answered(answer) = self.submit(decision, conditions).await? {
                return Ok(*answer);
            }
        }
        Err(Conflict::TooManyChanges.into())
    }

    /// The capacity in which a caller meets a restaurant's orders; `None` for staff of others.
    pub(super) async fn actor(
        &self,
        principal: &Principal,
        restaurant_id: RestaurantId,
    ) -> Result<Option<Actor>, Error> {
        let account_id = principal.account_id;
        Ok(match principal.role {
            Role::Customer => Some(Actor::Customer { account_id }),
            Role::Courier => Some(Actor::Courier { account_id }),
            Role::Admin => Some(Actor::Admin { account_id }),
            Role::Restaurant => self
                .works_for(account_id, restaurant_id)
                .await?
                .then_some(Actor::Restaurant { account_id, restaurant_id }),
        })
    }
}

/// What a caller is told of a rejection.
fn refusal(rejection: Rejection, order: &Order, actor: &Actor, settings: &Settings) -> Error {
    match &rejection {
        Rejection::NotTheirs => Error::NotFound("order"),
        Rejection::RoleNotAllowed { .. } => Error::Forbidden(rejection.to_string()),
        Rejection::PreparationTooLong => {
            Error::Invalid(Problems::one("/preparation_minutes", rejection.to_string()))
        }
        Rejection::AnotherCourier => Error::Invalid(Problems::one("/courier_id", rejection.to_string())),
        Rejection::BearerNotAllowed => Error::Invalid(Problems::one("/borne_by", rejection.to_string())),
        Rejection::RefundNotUnderstood(problems) => Error::Invalid(problems.clone()),
        Rejection::History(_) | Rejection::PaymentNotUnderstood => Error::Internal(rejection.to_string()),
        Rejection::IllegalMove { .. }
        | Rejection::AmountNotRefundable { .. }
        | Rejection::RefundLimit { .. }
        | Rejection::HistoryFull => Conflict::IllegalMove {
            status: order.status,
            allowed: allowed_actions(order, actor, settings.refund_limit),
            rejection,
        }
        .into(),
    }
}
