//! Webhook endpoints, and the state of their deliveries.
//!
//! Endpoints are in the directory. Senders follow them by revision and keep them in memory, so an event costs no query
//! about endpoints. The state of deliveries is in the shard of the order, and only the holder of the shard's lease
//! writes it: see [`crate::ConsumerStore`]. So a request that changes deliveries (delete, enable, replay) is a single
//! write to its endpoint in the directory; the lease holder of each shard carries it out when it reads the endpoint's
//! new revision, and repeats the work after a crash, because `known` is raised only afterwards.

mod delivery;
mod endpoint;
mod revival;

use async_trait::async_trait;
use dabba_domain::{OrderId, Timestamp, WebhookEndpointId, order::Version};

pub use self::{
    delivery::{
        AttemptOutcome, DueFailures, FailingEndpoint, WebhookAttempt, WebhookFailure, WebhookFailurePage,
        WebhookFault,
    },
    endpoint::{
        DisabledReason, SealedSecret, WebhookContentType, WebhookEndpoint, WebhookHealth, WebhookOwner,
        WebhookPayload, WebhookSettings, WebhookState,
    },
    revival::{Revival, RevivalCause, Revived},
};
use crate::{ClaimAt, ConsumerName, Credential, FeedLease, PageSize, StoreError, UnderKey};

/// Number of a change of an endpoint. Increases in commit order, over all endpoints; 0 precedes the first change.
pub type WebhookRevision = i64;

/// Maximum number of pairs in one call of [`WebhookStore::webhook_failures_of`].
pub const MAX_FAILURE_KEYS: usize = 1_000;

/// Stores webhook endpoints and the state of their deliveries.
#[async_trait]
pub trait WebhookStore: Send + Sync {
    /// Writes a new endpoint, at version 1, unless its owner already has `max` endpoints or the caller's credential
    /// `by` is void. The store determines the revisions; those of the given endpoint are ignored. The key's scope is
    /// the claim's account alone.
    async fn create_webhook_endpoint_under(
        &self,
        endpoint: &WebhookEndpoint,
        max: u32,
        by: Option<Credential>,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<WebhookCreation>, StoreError>;

    /// Returns the endpoint with this id, unless it is deleted.
    async fn webhook_endpoint(&self, id: WebhookEndpointId) -> Result<Option<WebhookEndpoint>, StoreError>;

    /// Returns a page of endpoints after the given endpoint, ordered by id: all endpoints, or those of an owner. Omits
    /// deleted endpoints.
    async fn webhook_endpoints(
        &self,
        owner: Option<WebhookOwner>,
        after: Option<WebhookEndpointId>,
        limit: PageSize,
    ) -> Result<Vec<WebhookEndpoint>, StoreError>;

    /// Replaces the settings and the deletion of an endpoint that is at version `expected`. The new version is
    /// `expected + 1`, and the endpoint gets a new revision. The store checks the conditions in this order and returns
    /// the first failure: the claim, the caller, the endpoint, its version. The key's scope is the claim's account
    /// alone.
    async fn update_webhook_endpoint_under(
        &self,
        update: &WebhookUpdate,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<WebhookUpdated>, StoreError>;

    /// Returns a page of the latest change of each endpoint after a revision, ordered by revision. Includes deleted
    /// endpoints until they are purged. An endpoint that changes again moves to its new revision.
    ///
    /// Revisions become visible in their order: a caller that has read a revision never finds a lower one later,
    /// whatever concurrent writers do.
    async fn webhook_changes(
        &self,
        after: WebhookRevision,
        limit: u32,
    ) -> Result<Vec<WebhookChange>, StoreError>;

    /// Removes at most `limit` endpoints that were deleted at a time up to `deleted_until`, by a change with a revision
    /// up to `known`. Returns the number of removed endpoints, which is below `limit` only if no more remain, or if
    /// another caller removes them now.
    ///
    /// The caller guarantees that every shard has carried out the changes up to `known`:
    /// [`crate::StoredPosition::known`] of the position that the group of all endpoints shares. A sender that does not
    /// know of the deletion would not learn of it.
    async fn purge_webhook_endpoints(
        &self,
        known: WebhookRevision,
        deleted_until: Timestamp,
        limit: u32,
    ) -> Result<u32, StoreError>;

    /// Adds to the health of endpoints: the later of two times stays. Changes neither versions nor revisions, so that
    /// no sender reads the endpoints again. Ignores unknown endpoints.
    async fn report_webhook_health(
        &self,
        reports: &[(WebhookEndpointId, WebhookHealth)],
    ) -> Result<(), StoreError>;

    /// Returns the failures of these endpoints and orders in a shard, in any order: a sender asks before it delivers an
    /// event of an order, because a later event must not overtake an earlier one. More than [`MAX_FAILURE_KEYS`] pairs
    /// are [`StoreError::Corrupt`].
    async fn webhook_failures_of(
        &self,
        shard: usize,
        keys: &[(WebhookEndpointId, OrderId)],
    ) -> Result<Vec<WebhookFailure>, StoreError>;

    /// Returns the failures that are due, ordered by the time of the next attempt: from each of the given endpoints the
    /// failures that are due longest, up to its limit, and from these the ones that are due longest, up to the limit of
    /// all. Dead letters are never due. Returns `None` if the lease is lost or has expired.
    ///
    /// Writes nothing: the lease of the shard is the lease of all its failures. The holder keeps in memory which
    /// failures it is working on, and the limits must include these. If the holder dies, the next holder finds all of
    /// them due.
    async fn due_webhook_failures(
        &self,
        shard: usize,
        lease: &FeedLease,
        due: &DueFailures,
        now: Timestamp,
    ) -> Result<Option<Vec<WebhookFailure>>, StoreError>;

    /// Returns at most `limit` endpoints that have failures or dead letters in a shard, after an id, ordered by id. A
    /// new lease holder reads them, and then knows from its own writes which endpoints have failures. It reads them again
    /// to learn that an endpoint has none any longer.
    async fn failing_webhook_endpoints(
        &self,
        shard: usize,
        after: Option<WebhookEndpointId>,
        limit: u32,
    ) -> Result<Vec<FailingEndpoint>, StoreError>;

    /// Makes a step of a revival: changes at most [`Revival::limit`] failures of an endpoint, in the order of their
    /// orders, as [`Revival::apply`] states. Returns the last order of the step, after which the next step begins, if
    /// the step was full: [`Revived`]. Returns `None` if the lease is lost or has expired.
    async fn revive_webhook_failures(
        &self,
        shard: usize,
        lease: &FeedLease,
        revival: &Revival,
        now: Timestamp,
    ) -> Result<Option<Revived>, StoreError>;

    /// Deletes at most `limit` failures of an endpoint in a shard. If no more remain, also deletes the log of attempts
    /// and the position of the endpoint. Returns the number of deleted failures, which is below `limit` only if nothing
    /// remains; `None` if the lease is lost or has expired.
    async fn forget_webhook_endpoint(
        &self,
        shard: usize,
        lease: &FeedLease,
        endpoint: WebhookEndpointId,
        limit: u32,
        now: Timestamp,
    ) -> Result<Option<u32>, StoreError>;

    /// Returns a page of the failures of an endpoint after an order, ordered by order: all failures, or only dead
    /// letters.
    async fn webhook_failures(
        &self,
        endpoint: WebhookEndpointId,
        only_dead: bool,
        after: Option<OrderId>,
        limit: PageSize,
    ) -> Result<WebhookFailurePage, StoreError>;

    /// Returns the log of an endpoint in a shard, newest first: at most [`WebhookAttempt::MAX_FAILED`] failed attempts
    /// and [`WebhookAttempt::MAX_DELIVERED`] successful ones.
    async fn webhook_attempts(
        &self,
        shard: usize,
        endpoint: WebhookEndpointId,
    ) -> Result<Vec<WebhookAttempt>, StoreError>;
}

/// Outcome of the creation of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookCreation {
    /// The endpoint is written.
    Created,
    /// The owner already has the maximum number of endpoints.
    TooMany,
    /// The caller's credential is void.
    CallerRevoked,
}

/// A change of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookUpdate {
    /// The endpoint after the change. The store ignores its version, its revisions, its health, its owner, and who
    /// created it.
    pub endpoint: WebhookEndpoint,
    /// The version that the endpoint must have.
    pub expected: Version,
    /// Whether the endpoint begins anew at [`WebhookSettings::start`], as for a replay.
    pub repositions: bool,
    /// The caller's credential. `None` for a sender and for an operator who works on the database itself.
    pub by: Option<Credential>,
    /// Time of the change.
    pub at: Timestamp,
}

/// Outcome of a change of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookUpdated {
    /// The endpoint after the change.
    Done(Box<WebhookEndpoint>),
    /// The endpoint does not exist, or it is deleted.
    NotFound,
    /// The endpoint has another version than expected.
    Conflict {
        /// The endpoint's current version.
        current: Version,
    },
    /// The caller's credential is void.
    CallerRevoked,
}

/// The latest change of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookChange {
    /// Revision of the change.
    pub revision: WebhookRevision,
    /// The endpoint.
    pub id: WebhookEndpointId,
    /// The endpoint after the change; an error that names the endpoint if this program cannot decode it. The error does
    /// not affect other endpoints. A sender delivers nothing to such an endpoint, and does not pass its position.
    pub endpoint: Result<WebhookEndpoint, StoreError>,
}

impl WebhookEndpoint {
    /// Returns the endpoint's name as a consumer of the feed.
    pub fn consumer(&self) -> ConsumerName {
        self.id.into()
    }
}

/// Checks the number of pairs in a call of [`WebhookStore::webhook_failures_of`]. Every store calls this check.
pub fn check_failure_keys(keys: &[(WebhookEndpointId, OrderId)]) -> Result<(), StoreError> {
    if keys.len() <= MAX_FAILURE_KEYS {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!(
        "{} failures were requested, and at most {MAX_FAILURE_KEYS} are allowed",
        keys.len()
    )))
}
