//! Use cases of orders: quote, place, act, read, list.

mod act;
mod open;
mod place;
mod quote;
mod read;
mod recent;

use std::{sync::Arc, time::Duration};

use dabba_domain::{
    Actor, Amount, OrderId, RestaurantId, TaskId,
    order::{
        AllowedAction, Decision, Order, OrderStatus, TaskKind, TaskSpec, Version, allowed_actions, fold,
    },
};
use dabba_store::{
    CatalogueGuard, Change, Claim, ClaimRecord, Commit, CommitOutcome, Fingerprint, IdempotencyKey, NewTask,
    SameRequest, StockChange, TaskLease,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

pub use act::CommandRequest;
pub(crate) use open::{OpenChange, OpenOrders};
pub use quote::{Obstacle, Quote};
pub(crate) use recent::RecentOrders;

use crate::{
    Conflict, Engine, Error,
    post_commit::{CacheChange, ChangedCatalogue, PostCommit},
};

/// Maximum time that the answer to a command waits until the restaurant's catalogue is read again. The command is done,
/// so after this time it is answered anyway.
const MAX_FOLLOW_WAIT: Duration = Duration::from_secs(1);

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

/// Result of a submitted decision.
enum Conclusion {
    Answered(Box<Answer>),
    /// The order or the catalogue has changed: the engine has to decide again.
    Stale,
}

impl Engine {
    /// Writes a decision for a caller that waits for the answer.
    fn submit(
        &self,
        decision: Decision,
        conditions: Conditions,
        viewer: Viewer,
    ) -> impl Future<Output = Result<Conclusion, Error>> + Send + use<'_> {
        let order = Arc::new(decision.order.clone());
        let written = self.write(decision, conditions, CacheChange::Insert(Arc::clone(&order)));
        async move {
            match written.await? {
                CommitOutcome::Committed => {
                    let order = Arc::unwrap_or_clone(order);
                    Ok(Conclusion::Answered(Box::new(viewer.answer(order, false))))
                }
                CommitOutcome::Replayed { order_id, version } => {
                    let replay = Box::pin(self.replay(order_id, version, viewer));
                    replay.await.map(Box::new).map(Conclusion::Answered)
                }
                CommitOutcome::VersionConflict { .. } | CommitOutcome::CatalogueChanged => {
                    Ok(Conclusion::Stale)
                }
                CommitOutcome::KeyReused => Err(Error::KeyReused),
                CommitOutcome::NewerClaim => Err(Error::WrittenByNewer),
                CommitOutcome::OutOfStock(shortages) => {
                    Err(Conflict::NotOrderable(vec![Obstacle::OutOfStock(shortages)]).into())
                }
                // Another process, which knows the new map, accepts the retry.
                CommitOutcome::Moved => Err(Error::Unavailable),
                CommitOutcome::LeaseLost => Err(Error::Internal(
                    "a commit without a lease was refused because of a lost lease".into(),
                )),
            }
        }
    }

    /// Writes a decision of a caller or a worker. The decision is queued at once. It is written, and its post-commit
    /// actions run, even if the future is dropped.
    pub(crate) fn write(
        &self,
        decision: Decision,
        conditions: Conditions,
        cache_change: CacheChange,
    ) -> impl Future<Output = Result<CommitOutcome, Error>> + Send + use<> {
        let status = decision.order.status;
        let (catalogue, followed) = changed_catalogue(&decision).unzip();
        let post = PostCommit {
            bucket: decision.order.id.bucket(),
            due: self.due_queues(&decision.tasks),
            for_people: count_for_people(&decision),
            moved_to: (conditions.status_before != Some(status)).then_some(status),
            cache_change,
            open: self.open_orders.change(&decision.order, conditions.expected_version == 0),
            catalogue,
        };
        let outcome = self.committers.submit(self.commit_of(decision, conditions), post);
        async move {
            let outcome = outcome.await?;
            if let (CommitOutcome::Committed, Some(followed)) = (&outcome, followed) {
                // Wait, so that the caller's next read contains the marks. Nothing is sent on this channel; its closing
                // is the signal.
                let _ = tokio::time::timeout(MAX_FOLLOW_WAIT, followed).await;
            }
            Ok(outcome)
        }
    }

    /// Returns the commit for a decision.
    fn commit_of(&self, decision: Decision, conditions: Conditions) -> Commit {
        let Decision { order, events, tasks, stock_returned, unavailable } = decision;
        let at = self.now();
        let new_task = |spec: TaskSpec| NewTask {
            id: TaskId::generate(at, order.id.bucket(), self.random.next_u64()),
            order_id: order.id,
            task: spec.task,
            run_at: spec.run_at,
        };
        let tasks = tasks.into_iter().map(new_task).collect();
        let mut stock = conditions.stock;
        stock.extend(stock_returned.into_iter().map(StockChange::Return));
        Commit {
            order_id: order.id,
            restaurant_id: order.details.restaurant_id,
            at,
            expected_version: conditions.expected_version,
            change: (!events.is_empty()).then_some(Change { order, events }),
            claim: conditions.claim,
            catalogue: conditions.catalogue,
            stock,
            unavailable,
            tasks,
            completes: conditions.completes,
        }
    }

    /// Returns the answer of the request that first used the key, or `otherwise` if the key is not stored. A request
    /// that was executed gets the same answer again, even if it would be refused now. The key of a request that writes
    /// nothing is not stored.
    async fn replay_or(
        &self,
        otherwise: Result<Answer, Error>,
        viewer: Viewer,
        restaurant_id: RestaurantId,
        claim: Option<&Claim>,
    ) -> Result<Answer, Error> {
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
    async fn replay(&self, order_id: OrderId, version: Version, viewer: Viewer) -> Result<Answer, Error> {
        self.metrics.replays.inc();
        let present = self.store.order(order_id).await?;
        let is_newer = present.as_ref().is_some_and(|order| order.is_newer);
        if let Some(order) = present.filter(|order| order.version == version) {
            return Ok(viewer.answer(order, true));
        }
        let history = self.store.events(order_id, 0, version).await?;
        let order = fold(&history).map_err(|error| Error::Internal(error.to_string()))?;
        match order {
            Some(order) if order.version == version => {
                Ok(viewer.answer(Order { is_newer: order.is_newer || is_newer, ..order }, true))
            }
            _ => Err(Error::Internal(format!("order {order_id} has no version {version}"))),
        }
    }
}

/// Returns the catalogue that a decision changes, and the receiver that is closed when the catalogue is reloaded.
fn changed_catalogue(decision: &Decision) -> Option<(Box<ChangedCatalogue>, oneshot::Receiver<()>)> {
    if decision.unavailable.is_empty() {
        return None;
    }
    let (done, followed) = oneshot::channel();
    let (restaurant_id, unavailable) = (decision.order.details.restaurant_id, decision.unavailable.clone());
    Some((Box::new(ChangedCatalogue { restaurant_id, unavailable, done }), followed))
}

/// Returns the kind and number of a decision's tasks for people, which are parked when they are written.
fn count_for_people(decision: &Decision) -> Option<(TaskKind, u64)> {
    let kinds = decision.tasks.iter().map(|spec| spec.task.kind());
    let count = kinds.filter(|kind| kind.is_for_people()).count();
    u64::try_from(count).ok().filter(|count| *count > 0).map(|count| (TaskKind::Review, count))
}

/// Conditions under which a decision is written.
pub(crate) struct Conditions {
    expected_version: Version,
    /// The order's status before the decision, to count changes of the status.
    status_before: Option<OrderStatus>,
    claim: Option<Claim>,
    catalogue: Option<CatalogueGuard>,
    stock: Vec<StockChange>,
    completes: Option<TaskLease>,
}

impl Conditions {
    /// Requires that the order is still at the version on which the decision is based.
    pub(crate) fn on(order: &Order) -> Self {
        Self {
            expected_version: order.version,
            status_before: Some(order.status),
            claim: None,
            catalogue: None,
            stock: Vec::new(),
            completes: None,
        }
    }

    /// Also requires that the task is still leased. The write completes the task.
    pub(crate) fn completing(self, lease: TaskLease) -> Self {
        Self { completes: Some(lease), ..self }
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
