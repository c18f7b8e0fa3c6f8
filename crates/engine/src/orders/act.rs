//! Commands on an order that exists.

use dabba_domain::{
    Actor, OrderId, Problems, RestaurantId, Role,
    order::{Command, Decision, Event, Order, Rejection, Version, allowed_actions, decide},
    restaurant::Settings,
};
use dabba_store::IdempotencyKey;

use super::{Answer, Conclusion, Conditions, claim};
use crate::{AmountNotAccepted, Conflict, Engine, Error, Principal};

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

/// What comes of a command on an order at one version.
enum Considered {
    Write(Box<Decision>),
    /// It is done already, and there is no key to be claimed.
    NothingToWrite,
    Refused(Error),
}

impl Engine {
    /// Gives a command. When the order changes between deciding and writing, it is decided again.
    pub async fn act(&self, principal: &Principal, request: &CommandRequest) -> Result<Answer, Error> {
        let CommandRequest { order_id, command, key, .. } = request;
        let claim = match key {
            Some(key) => Some(claim(principal.account_id, key.clone(), &(order_id, command))?),
            None => None,
        };
        let mut remembered = self.recent.recall(*order_id);
        let attempts = self.config.max_decision_attempts + u32::from(remembered.is_some());
        for _ in 0..attempts {
            let (order, is_fresh) = match remembered.take() {
                Some(order) => (order, false),
                None => (self.store.order(*order_id).await?.ok_or(Error::NotFound("order"))?, true),
            };
            let decision = match self.consider(principal, request, &order).await {
                Ok(Considered::Write(decision)) => *decision,
                // Only as it is now is an order refused to anybody, or shown as it is.
                _ if !is_fresh => continue,
                Ok(Considered::NothingToWrite) => return Ok(Answer { order, replayed: false }),
                Ok(Considered::Refused(refusal)) => {
                    let restaurant_id = order.details.restaurant_id;
                    return Box::pin(self.replay_or(refusal, restaurant_id, claim.as_ref())).await;
                }
                Err(error) => return Err(error),
            };
            let conditions = Conditions { claim: claim.clone(), ..Conditions::on(&order) };
            match self.submit(decision, conditions).await? {
                Conclusion::Answered(answer) => return Ok(*answer),
                Conclusion::Stale if !is_fresh => self.recent.was_stale(order.id, order.version),
                Conclusion::Stale => {}
            }
        }
        Err(Conflict::TooManyChanges.into())
    }

    /// Decides a command on an order at one version.
    async fn consider(
        &self,
        principal: &Principal,
        request: &CommandRequest,
        order: &Order,
    ) -> Result<Considered, Error> {
        let CommandRequest { command, key, expected_version, .. } = request;
        let restaurant_id = order.details.restaurant_id;
        let actor = self.actor(principal, restaurant_id).await?.ok_or(Error::NotFound("order"))?;
        if expected_version.is_some_and(|expected| expected != order.version) && order.is_visible_to(&actor) {
            return Ok(Considered::Refused(Error::VersionMismatch { current: order.version }));
        }
        let entry = self.catalogues.get(restaurant_id).await?;
        let settings = &entry.restaurant().settings;
        let decision = match decide(order, command, &actor, settings, self.now()) {
            Ok(decision) => decision,
            Err(rejection) => return Ok(Considered::Refused(refusal(rejection, order, &actor, settings))),
        };
        if let Command::Refund(_) = command
            && let Err(refusal) = self.check_refundable(&decision)
        {
            return Ok(Considered::Refused(refusal));
        }
        if decision.events.is_empty() && key.is_none() {
            return Ok(Considered::NothingToWrite);
        }
        if let Command::AssignCourier { courier_id } = command
            && !matches!(actor, Actor::Courier { .. })
        {
            Box::pin(self.check_courier(*courier_id)).await?;
        }
        Ok(Considered::Write(Box::new(decision)))
    }

    /// Checks that the payment provider can make the refund that a decision asks of it.
    fn check_refundable(&self, decision: &Decision) -> Result<(), Error> {
        let Some(gateway) = &self.gateway else { return Ok(()) };
        let currency = decision.order.details.currency;
        for recorded in &decision.events {
            let Event::RefundRequested(refund) = &recorded.event else { continue };
            let checked =
                AmountNotAccepted::check_refund(refund.amount, currency, gateway.port.rules(currency));
            let pointer = if refund.lines.is_empty() { "/amount" } else { "/lines" };
            checked.map_err(|refusal| Error::Invalid(Problems::one(pointer, refusal.to_string())))?;
        }
        Ok(())
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
        Rejection::BearerNotAllowed => Error::Invalid(Problems::one("/borne_by", rejection.to_string())),
        Rejection::Invalid(problems) | Rejection::RefundNotUnderstood(problems) => {
            Error::Invalid(problems.clone())
        }
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
