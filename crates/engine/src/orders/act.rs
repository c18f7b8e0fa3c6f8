//! Commands on an existing order.

use std::sync::Arc;

use dabba_domain::{
    AccountId, Actor, OrderId, RestaurantId,
    order::{Command, Decision, Order, Rejection, Version, decide, is_repeat},
};
use dabba_store::{Claim, IdempotencyKey};

use super::{OrderAnswer, Orders, Reply, Viewer};
use crate::{
    Conflict, Error, Principal, Scope,
    claims::claim,
    order_writer::{Conditions, Decide, Proposal, Verdict},
    post_commit::CacheChange,
};

/// A command with its conditions.
#[derive(Clone, Debug)]
pub struct CommandRequest {
    /// The order.
    pub order_id: OrderId,
    /// The command to execute.
    pub command: Command,
    /// The idempotency key, if any.
    pub key: Option<IdempotencyKey>,
    /// The allowed versions of the order; an empty list allows none. `None`: any version.
    pub expected_versions: Option<Vec<Version>>,
}

/// Result of deciding a command on one version of an order.
pub(super) enum Considered {
    Write(Box<Decision>, Viewer),
    /// The order already has the requested state.
    NothingToWrite(Viewer),
    Refused(Error, Viewer),
}

/// The caller of a command.
#[derive(Clone, Copy)]
pub(super) enum By<'a> {
    /// A caller with a credential.
    Caller(&'a Principal),
    /// The holder of a link to the order, as this actor.
    Link(Actor),
}

impl By<'_> {
    /// Returns the account to which the idempotency keys of the caller belong.
    fn account_id(&self, order_id: OrderId) -> Result<AccountId, Error> {
        match self {
            Self::Caller(principal) => Ok(principal.account_id),
            Self::Link(actor) => actor
                .account_id()
                .ok_or_else(|| Error::Internal(format!("a link to the order {order_id} has no account"))),
        }
    }

    /// Returns the role in which the caller acts on a restaurant's orders; `None` for staff of another restaurant.
    async fn actor(&self, orders: &Orders, restaurant_id: RestaurantId) -> Result<Option<Actor>, Error> {
        match self {
            Self::Caller(principal) => orders.accounts.actor(principal, restaurant_id).await,
            Self::Link(actor) => Ok(Some(*actor)),
        }
    }
}

/// A command that is being decided.
struct Acting<'a> {
    orders: &'a Orders,
    by: By<'a>,
    request: &'a CommandRequest,
    claim: Option<Claim>,
    /// The cached order, for the first decision.
    cached: Option<Arc<Order>>,
    /// The version of the cached order, if the last decision was based on it.
    cached_version: Option<Version>,
}

impl Decide for Acting<'_> {
    type Result = Reply;

    async fn decide(&mut self) -> Result<Verdict<Reply>, Error> {
        let orders = self.orders;
        let order = self.cached.take();
        self.cached_version = order.as_ref().map(|order| order.version);
        let is_fresh = order.is_none();
        let order = if let Some(cached) = order {
            cached
        } else {
            let stored = orders.store.order(self.request.order_id).await?;
            Arc::new(stored.ok_or(Error::NotFound("order"))?)
        };
        let (unwritten, viewer) = match orders.consider(self.by, self.request, &order, is_fresh).await {
            Ok(Considered::Write(decision, viewer)) => return Ok(self.propose(&order, *decision, viewer)),
            // A refusal, or an answer without a write, must be based on the stored order instead of the cached one.
            _ if !is_fresh => return Ok(Verdict::Again),
            Ok(Considered::NothingToWrite(viewer)) => (Ok(Reply::new(Arc::clone(&order), viewer)), viewer),
            Ok(Considered::Refused(refusal, viewer)) => (Err(refusal), viewer),
            Err(error) => return Err(error),
        };
        let restaurant_id = order.details.restaurant_id;
        let replayed = orders.replay_or(unwritten, viewer, restaurant_id, self.claim.as_ref());
        Box::pin(replayed).await.map(Verdict::Conclude)
    }

    async fn data_changed(&mut self) -> Result<(), Error> {
        if let Some(version) = self.cached_version.take() {
            self.orders.recent.mark_stale(self.request.order_id, version);
        }
        Ok(())
    }
}

impl Acting<'_> {
    fn propose(&self, order: &Order, decision: Decision, viewer: Viewer) -> Verdict<Reply> {
        let written = Arc::new(decision.order.clone());
        let conditions = Conditions { claim: self.claim.clone(), ..Conditions::on(order) };
        let cache_change = CacheChange::Insert(Arc::clone(&written));
        let proposal = Box::new(Proposal { decision, conditions, cache_change });
        Verdict::Write(proposal, Reply::new(written, viewer))
    }
}

impl Orders {
    /// Executes a command. When the order changes between the decision and the write, the engine decides again.
    pub async fn act(&self, principal: &Principal, request: &CommandRequest) -> Result<OrderAnswer, Error> {
        principal.require(Scope::WriteOrders)?;
        self.act_by(By::Caller(principal), request).await
    }

    pub(super) async fn act_by(&self, by: By<'_>, request: &CommandRequest) -> Result<OrderAnswer, Error> {
        let CommandRequest { order_id, command, key, .. } = request;
        let claim = match key {
            Some(key) => Some(claim(by.account_id(*order_id)?, key.clone(), &(order_id, command))?),
            None => None,
        };
        let cached = self.recent.get(*order_id);
        // A decision on a cached order does not count as an attempt.
        let attempts = self.writer.max_attempts + u32::from(cached.is_some());
        let acting = Acting { orders: self, by, request, claim, cached, cached_version: None };
        let outcome = self.writer.decide_and_write_within(attempts, acting).await?;
        self.answer(outcome).await
    }

    /// Decides a command on one version of an order. Writes nothing.
    pub(super) async fn consider(
        &self,
        by: By<'_>,
        request: &CommandRequest,
        order: &Arc<Order>,
        is_fresh: bool,
    ) -> Result<Considered, Error> {
        let CommandRequest { command, expected_versions, .. } = request;
        let restaurant_id = order.details.restaurant_id;
        let actor = by.actor(self, restaurant_id).await?.ok_or(Error::NotFound("order"))?;
        let entry = self.catalogue_cache.get(restaurant_id).await?;
        let settings = &entry.restaurant().settings;
        let viewer = Viewer { actor, refund_limit: settings.refund_limit };
        let decided = decide(order, command, &actor, settings, self.clock.now());
        let is_unexpected =
            expected_versions.as_ref().is_some_and(|expected| !expected.contains(&order.version));
        // A courier may take an order that was not visible to that courier before.
        if is_unexpected && (order.is_visible_to(&actor) || decided.is_ok()) {
            return Ok(Considered::Refused(Error::VersionMismatch { current: order.version }, viewer));
        }
        let decision = match decided {
            Ok(decision) => decision,
            Err(Rejection::Already { .. }) if is_fresh && self.is_repeat(order, command).await? => {
                return Ok(Considered::NothingToWrite(viewer));
            }
            Err(rejection) => {
                return Ok(Considered::Refused(refusal(rejection, order, &viewer), viewer));
            }
        };
        if let Command::Refund(_) = command
            && let Err(refusal) = self.payments.check_refundable(&decision)
        {
            return Ok(Considered::Refused(refusal, viewer));
        }
        if decision.events.is_empty() {
            return Ok(Considered::NothingToWrite(viewer));
        }
        if let Command::AssignCourier { courier_id, .. } = command
            && !matches!(actor, Actor::Courier { .. })
        {
            Box::pin(self.accounts.check_courier(*courier_id)).await?;
        }
        Ok(Considered::Write(Box::new(decision), viewer))
    }

    /// Returns whether the order's history contains the same command with the same content. Called only if the order
    /// itself does not answer this.
    async fn is_repeat(&self, order: &Order, command: &Command) -> Result<bool, Error> {
        let history = self.store.events(order.id, 0, order.version).await?;
        Ok(is_repeat(command, &history))
    }
}

/// Maps a rejection to the error for the caller.
fn refusal(rejection: Rejection, order: &Order, viewer: &Viewer) -> Error {
    match &rejection {
        Rejection::NotAParty => Error::NotFound("order"),
        Rejection::WrittenByNewer => Error::WrittenByNewer,
        Rejection::RoleNotAllowed { .. } => Error::Forbidden(rejection.to_string()),
        Rejection::Invalid(problems) => Error::Invalid(problems.clone()),
        Rejection::History(_) | Rejection::PaymentTokenMismatch => Error::Internal(rejection.to_string()),
        Rejection::Already { .. }
        | Rejection::IllegalMove { .. }
        | Rejection::AmountNotRefundable { .. }
        | Rejection::RefundLimit { .. }
        | Rejection::HistoryFull => {
            Conflict::IllegalMove { status: order.status, allowed: viewer.allowed_actions(order), rejection }
                .into()
        }
    }
}
