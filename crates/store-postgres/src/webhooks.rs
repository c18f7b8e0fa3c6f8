//! Webhook endpoints, and the state of their deliveries.

pub(crate) mod deliveries;
pub(crate) mod endpoints;

use async_trait::async_trait;
use dabba_domain::{OrderId, Timestamp, WebhookEndpointId};
use dabba_store::{
    ClaimAt, Credential, DueFailures, FailingEndpoint, FeedLease, PageSize, Revival, Revived, StoreError,
    UnderKey, WebhookAttempt, WebhookChange, WebhookCreation, WebhookEndpoint, WebhookFailure,
    WebhookFailurePage, WebhookHealth, WebhookOwner, WebhookRevision, WebhookStore, WebhookUpdate,
    WebhookUpdated, check_failure_keys,
};

use crate::{PostgresStore, consumers::SCHEMA, shard};

#[async_trait]
impl WebhookStore for PostgresStore {
    async fn create_webhook_endpoint_under(
        &self,
        endpoint: &WebhookEndpoint,
        max: u32,
        by: Option<Credential>,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<WebhookCreation>, StoreError> {
        self.under_key(claim, None, |connection| async move {
            self.require_consumers()?;
            shard::require_directory(&connection).await?;
            if self.is_void(&connection, by).await? {
                return Ok((WebhookCreation::CallerRevoked, None));
            }
            endpoints::create(&connection, endpoint, max).await
        })
        .await
    }

    async fn webhook_endpoint(&self, id: WebhookEndpointId) -> Result<Option<WebhookEndpoint>, StoreError> {
        let found = self.read(async |connection| endpoints::find(connection, id).await).await?;
        Ok(found.filter(|endpoint| endpoint.deleted_at.is_none()))
    }

    async fn webhook_endpoints(
        &self,
        owner: Option<WebhookOwner>,
        after: Option<WebhookEndpointId>,
        limit: PageSize,
    ) -> Result<Vec<WebhookEndpoint>, StoreError> {
        self.read(async |connection| endpoints::list(connection, owner, after, limit).await).await
    }

    async fn update_webhook_endpoint_under(
        &self,
        update: &WebhookUpdate,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<WebhookUpdated>, StoreError> {
        self.under_key(claim, None, |connection| async move {
            self.require_consumers()?;
            shard::require_directory(&connection).await?;
            if self.is_void(&connection, update.by).await? {
                return Ok((WebhookUpdated::CallerRevoked, None));
            }
            endpoints::update(&connection, update).await
        })
        .await
    }

    async fn webhook_changes(
        &self,
        after: WebhookRevision,
        limit: u32,
    ) -> Result<Vec<WebhookChange>, StoreError> {
        if self.known_schema < SCHEMA {
            return Ok(Vec::new());
        }
        self.read(async |connection| endpoints::changes(connection, after, limit).await).await
    }

    async fn purge_webhook_endpoints(
        &self,
        known: WebhookRevision,
        deleted_until: Timestamp,
        limit: u32,
    ) -> Result<u32, StoreError> {
        self.in_transaction(|connection| async move {
            self.require_consumers()?;
            shard::require_directory(&connection).await?;
            endpoints::purge(&connection, known, deleted_until, limit).await
        })
        .await
    }

    async fn report_webhook_health(
        &self,
        reports: &[(WebhookEndpointId, WebhookHealth)],
    ) -> Result<(), StoreError> {
        self.in_transaction(|connection| async move { endpoints::report(&connection, reports).await }).await
    }

    async fn webhook_failures_of(
        &self,
        _shard: usize,
        keys: &[(WebhookEndpointId, OrderId)],
    ) -> Result<Vec<WebhookFailure>, StoreError> {
        check_failure_keys(keys)?;
        self.read(async |connection| deliveries::find(connection, keys).await).await
    }

    async fn due_webhook_failures(
        &self,
        _shard: usize,
        lease: &FeedLease,
        due: &DueFailures,
        now: Timestamp,
    ) -> Result<Option<Vec<WebhookFailure>>, StoreError> {
        due.check()?;
        let moment = self.lease_moment(now);
        self.read(async |connection| {
            let failures = deliveries::due(connection, due).await?;
            // Checked after the read: while the lease is held, no other process writes.
            Ok(deliveries::is_held(connection, lease, moment).await?.then_some(failures))
        })
        .await
    }

    async fn failing_webhook_endpoints(
        &self,
        _shard: usize,
        after: Option<WebhookEndpointId>,
        limit: u32,
    ) -> Result<Vec<FailingEndpoint>, StoreError> {
        self.read(async |connection| deliveries::failing(connection, after, limit).await).await
    }

    async fn revive_webhook_failures(
        &self,
        _shard: usize,
        lease: &FeedLease,
        revival: &Revival,
        now: Timestamp,
    ) -> Result<Option<Revived>, StoreError> {
        self.in_transaction(|connection| async move {
            if !self.lock_lease(&connection, lease, now).await? {
                return Ok(None);
            }
            deliveries::revive(&connection, *revival).await.map(Some)
        })
        .await
    }

    async fn forget_webhook_endpoint(
        &self,
        _shard: usize,
        lease: &FeedLease,
        endpoint: WebhookEndpointId,
        limit: u32,
        now: Timestamp,
    ) -> Result<Option<u32>, StoreError> {
        self.in_transaction(|connection| async move {
            if !self.lock_lease(&connection, lease, now).await? {
                return Ok(None);
            }
            deliveries::forget(&connection, &lease.group, endpoint, limit).await.map(Some)
        })
        .await
    }

    async fn webhook_failures(
        &self,
        endpoint: WebhookEndpointId,
        only_dead: bool,
        after: Option<OrderId>,
        limit: PageSize,
    ) -> Result<WebhookFailurePage, StoreError> {
        self.read(async |connection| {
            let failures = deliveries::list(connection, endpoint, only_dead, after, limit).await?;
            Ok(WebhookFailurePage { failures, incomplete: !self.held.is_as_expected() })
        })
        .await
    }

    async fn webhook_attempts(
        &self,
        _shard: usize,
        endpoint: WebhookEndpointId,
    ) -> Result<Vec<WebhookAttempt>, StoreError> {
        self.read(async |connection| deliveries::attempts(connection, endpoint).await).await
    }
}
