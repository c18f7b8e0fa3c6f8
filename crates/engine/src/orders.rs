//! Use cases of orders: quote, place, act, read, list.

mod act;
mod open;
mod place;
mod quote;
mod read;
mod recent;

use std::sync::Arc;

use dabba_domain::{
    Actor, Amount, OrderId, RestaurantId,
    order::{AllowedAction, Order, Version, allowed_actions, fold},
};
use dabba_store::{Claim, ClaimRecord, CommitOutcome, Fingerprint, IdempotencyKey, SameRequest};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

pub use act::CommandRequest;
pub(crate) use open::{OpenChange, OpenOrders};
pub use quote::{Obstacle, Quote};
pub(crate) use recent::RecentOrders;

use crate::{Engine, Error, order_writer::Outcome};

/// The answer to a write.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The order after the write; for a replay, the order after the original request.
    pub order: Order,
    /// Whether this answer replays an earlier request with the same idempotency key.
    pub replayed: bool,
    /// The actions that the caller may take on the order at this version.
    pub allowed_actions: Vec<AllowedAction>,
}

/// The caller to whom an answer is shown. The viewer is known before the write, so that nothing has to be read after
/// it.
#[derive(Clone, Copy, Debug)]
struct Viewer {
    actor: Actor,
    /// The restaurant's refund limit. Used only for the restaurant's staff.
    refund_limit: Amount,
}

impl Viewer {
    fn allowed_actions(&self, order: &Order) -> Vec<AllowedAction> {
        allowed_actions(order, &self.actor, self.refund_limit)
    }

    fn answer(&self, order: Order, replayed: bool) -> Answer {
        let allowed_actions = self.allowed_actions(&order);
        Answer { order, replayed, allowed_actions }
    }
}

/// The order that answers a request.
struct Reply {
    order: Arc<Order>,
    viewer: Viewer,
    replayed: bool,
}

impl Reply {
    const fn new(order: Arc<Order>, viewer: Viewer) -> Self {
        Self { order, viewer, replayed: false }
    }

    fn into_answer(self) -> Answer {
        let Self { order, viewer, replayed } = self;
        viewer.answer(Arc::unwrap_or_clone(order), replayed)
    }
}

impl Engine {
    /// Returns the answer to a request that ended in this way.
    async fn answer(&self, outcome: Outcome<Reply>) -> Result<Answer, Error> {
        match outcome {
            Outcome::Concluded(reply) => Ok(reply.into_answer()),
            Outcome::Replayed { order_id, version, instead_of } => {
                Box::pin(self.replay(order_id, version, instead_of.viewer)).await.map(Reply::into_answer)
            }
            Outcome::LeaseLost => {
                Err(Error::Internal("a commit without a lease was refused because of a lost lease".into()))
            }
        }
    }

    /// Returns the answer of the request that first used the key, or `otherwise` if the key is not stored. A request
    /// that was executed gets the same answer again, even if it would be refused now. The key of a request that writes
    /// nothing is not stored.
    async fn replay_or(
        &self,
        otherwise: Result<Reply, Error>,
        viewer: Viewer,
        restaurant_id: RestaurantId,
        claim: Option<&Claim>,
    ) -> Result<Reply, Error> {
        let Some(claim) = claim else { return otherwise };
        match self.store.find_claim(claim.account_id, restaurant_id, &claim.key).await? {
            None => otherwise,
            Some(record) => match record.outcome(claim.fingerprint) {
                CommitOutcome::Replayed { order_id, version } => self.replay(order_id, version, viewer).await,
                // An actor who may not see the order gets the same answer for every key.
                _ if matches!(otherwise, Err(Error::NotFound(_))) => otherwise,
                CommitOutcome::NewerClaim => Err(Error::WrittenByNewer),
                _ => Err(Error::KeyReused),
            },
        }
    }

    /// Returns the order as it was at a version: the stored order if it is still at that version, otherwise the order
    /// folded from its events.
    async fn replay(&self, order_id: OrderId, version: Version, viewer: Viewer) -> Result<Reply, Error> {
        self.metrics.replays.inc();
        let present = self.store.order(order_id).await?;
        let is_newer = present.as_ref().is_some_and(|order| order.is_newer);
        if let Some(order) = present.filter(|order| order.version == version) {
            return Ok(Reply { order: Arc::new(order), viewer, replayed: true });
        }
        let history = self.store.events(order_id, 0, version).await?;
        let order = fold(&history).map_err(|error| Error::Internal(error.to_string()))?;
        match order {
            Some(order) if order.version == version => {
                let order = Arc::new(Order { is_newer: order.is_newer || is_newer, ..order });
                Ok(Reply { order, viewer, replayed: true })
            }
            _ => Err(Error::Internal(format!("order {order_id} has no version {version}"))),
        }
    }
}

/// Returns whether a stored record belongs to the same request as the claim.
pub(crate) fn is_same_request(record: &ClaimRecord, claim: Option<&Claim>) -> Result<bool, Error> {
    let Some(claim) = claim else { return Ok(false) };
    match record.is_of(claim.fingerprint) {
        SameRequest::Yes => Ok(true),
        SameRequest::No => Ok(false),
        SameRequest::Unknown => Err(Error::WrittenByNewer),
    }
}

/// Returns the claim of a request on its idempotency key. The fingerprint is computed from the parsed request, so white
/// space and the order of JSON members do not matter.
pub(crate) fn claim(
    account_id: dabba_domain::AccountId,
    key: IdempotencyKey,
    request: &impl Serialize,
) -> Result<Claim, Error> {
    let canonical = serde_json::to_vec(request).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Claim { account_id, key, fingerprint: Fingerprint(Sha256::digest(&canonical).into()) })
}

#[cfg(test)]
mod tests {
    use dabba_domain::{
        Role, Timestamp,
        menu::MenuDocument,
        order::{CancelReason, Command, OrderRequest, RefundReason, RefundRequest, RejectReason},
        restaurant::SettingsDocument,
        text::{Name, Note, Slug},
    };

    use super::*;

    /// Proves that the fingerprints of requests are stable. During a rolling upgrade, a retry may reach a server of a
    /// newer version, so a request must keep the fingerprint that it had before. A new member of a request is not
    /// serialized when it is absent; otherwise `dabba_store::encoding::FINGERPRINT_VERSION` must be increased, and the
    /// earlier rule kept for comparison.
    #[test]
    fn the_fingerprints_of_requests_do_not_change() {
        fn json(request: &impl Serialize) -> String {
            serde_json::to_string(request).unwrap()
        }
        let order: OrderRequest = serde_json::from_str(
            r#"{"lines":[{"item":"naan","quantity":1}],"fulfilment":{"type":"collection"},"payment_method":"cash"}"#,
        )
        .unwrap();
        let settings: SettingsDocument =
            serde_json::from_str(r#"{"name":"Naan Stop","currency":"GBP","time_zone":"Europe/London"}"#)
                .unwrap();
        let menu: MenuDocument = serde_json::from_str(r#"{"categories":[]}"#).unwrap();
        let commands = [
            Command::Accept { preparation_minutes: 5 },
            Command::reject(RejectReason::Other),
            Command::MarkReady,
            Command::assign(
                dabba_domain::ids::Id::from_uuid("019aaaaa-aaaa-7bbb-8ccc-dddddddddddd".parse().unwrap())
                    .unwrap(),
            ),
            Command::PickUp,
            Command::Deliver { reason: None, note: None },
            Command::cancel(CancelReason::Other),
            Command::Refund(RefundRequest::new(None, RefundReason::Other)),
        ];
        let until: Option<Timestamp> = Some("2026-11-28T12:00:00Z".parse().unwrap());
        let reason = Note::new("moved").unwrap();
        let others = [
            json(&("place", &order)),
            json(&("create_restaurant", &settings, &menu)),
            json(&("pause", &until)),
            json(&"resume"),
            json(&("close", &reason)),
            json(&"reopen"),
            json(&("adjust_stock", &Slug::new("naan").unwrap(), -1)),
            json(&("register", "ada@example.org", Name::new("Ada").unwrap(), Role::Customer)),
        ];
        insta::assert_snapshot!(
            others.into_iter().chain(commands.iter().map(json)).collect::<Vec<_>>().join("\n")
        );
    }
}
