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

use crate::{
    SqliteStore,
    accounts::is_void,
    claims::{self, OwnedClaim},
    consumers::is_held,
};

#[async_trait]
impl WebhookStore for SqliteStore {
    async fn create_webhook_endpoint_under(
        &self,
        endpoint: &WebhookEndpoint,
        max: u32,
        by: Option<Credential>,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<WebhookCreation>, StoreError> {
        let (endpoint, claim) = (endpoint.clone(), claim.map(OwnedClaim::from));
        self.writer
            .write(move |transaction| {
                claims::under(transaction, claim.as_ref(), None, || {
                    if is_void(transaction, by)? {
                        return Ok((WebhookCreation::CallerRevoked, None));
                    }
                    endpoints::create(transaction, &endpoint, max)
                })
            })
            .await
    }

    async fn webhook_endpoint(&self, id: WebhookEndpointId) -> Result<Option<WebhookEndpoint>, StoreError> {
        let found = self.readers.read(move |connection| endpoints::find(connection, id)).await?;
        Ok(found.filter(|endpoint| endpoint.deleted_at.is_none()))
    }

    async fn webhook_endpoints(
        &self,
        owner: Option<WebhookOwner>,
        after: Option<WebhookEndpointId>,
        limit: PageSize,
    ) -> Result<Vec<WebhookEndpoint>, StoreError> {
        self.readers.read(move |connection| endpoints::list(connection, owner, after, limit)).await
    }

    async fn update_webhook_endpoint_under(
        &self,
        update: &WebhookUpdate,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<WebhookUpdated>, StoreError> {
        let (update, claim) = (update.clone(), claim.map(OwnedClaim::from));
        self.writer
            .write(move |transaction| {
                claims::under(transaction, claim.as_ref(), None, || {
                    if is_void(transaction, update.by)? {
                        return Ok((WebhookUpdated::CallerRevoked, None));
                    }
                    endpoints::update(transaction, &update)
                })
            })
            .await
    }

    async fn webhook_changes(
        &self,
        after: WebhookRevision,
        limit: u32,
    ) -> Result<Vec<WebhookChange>, StoreError> {
        self.readers.read(move |connection| endpoints::changes(connection, after, limit)).await
    }

    async fn purge_webhook_endpoints(
        &self,
        known: WebhookRevision,
        deleted_until: Timestamp,
        limit: u32,
    ) -> Result<u32, StoreError> {
        self.writer.write(move |transaction| endpoints::purge(transaction, known, deleted_until, limit)).await
    }

    async fn report_webhook_health(
        &self,
        reports: &[(WebhookEndpointId, WebhookHealth)],
    ) -> Result<(), StoreError> {
        let reports = reports.to_vec();
        self.writer.write(move |transaction| endpoints::report(transaction, &reports)).await
    }

    async fn webhook_failures_of(
        &self,
        _shard: usize,
        keys: &[(WebhookEndpointId, OrderId)],
    ) -> Result<Vec<WebhookFailure>, StoreError> {
        check_failure_keys(keys)?;
        let keys = keys.to_vec();
        self.readers.read(move |connection| deliveries::find(connection, &keys)).await
    }

    async fn due_webhook_failures(
        &self,
        _shard: usize,
        lease: &FeedLease,
        due: &DueFailures,
        now: Timestamp,
    ) -> Result<Option<Vec<WebhookFailure>>, StoreError> {
        due.check()?;
        let (lease, due) = (lease.clone(), due.clone());
        self.readers
            .read(move |connection| {
                if is_held(connection, &lease, now)? {
                    deliveries::due(connection, &due).map(Some)
                } else {
                    Ok(None)
                }
            })
            .await
    }

    async fn failing_webhook_endpoints(
        &self,
        _shard: usize,
        after: Option<WebhookEndpointId>,
        limit: u32,
    ) -> Result<Vec<FailingEndpoint>, StoreError> {
        self.readers.read(move |connection| deliveries::failing(connection, after, limit)).await
    }

    async fn revive_webhook_failures(
        &self,
        _shard: usize,
        lease: &FeedLease,
        revival: &Revival,
        now: Timestamp,
    ) -> Result<Option<Revived>, StoreError> {
        let (lease, revival) = (lease.clone(), *revival);
        self.writer
            .write(move |transaction| {
                if !is_held(transaction, &lease, now)? {
                    return Ok(None);
                }
                deliveries::revive(transaction, revival).map(Some)
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
        let lease = lease.clone();
        self.writer
            .write(move |transaction| {
                if !is_held(transaction, &lease, now)? {
                    return Ok(None);
                }
                deliveries::forget(transaction, &lease.group, endpoint, limit).map(Some)
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
        let failures = self
            .readers
            .read(move |connection| deliveries::list(connection, endpoint, only_dead, after, limit))
            .await?;
        Ok(WebhookFailurePage { failures, incomplete: false })
    }

    async fn webhook_attempts(
        &self,
        _shard: usize,
        endpoint: WebhookEndpointId,
    ) -> Result<Vec<WebhookAttempt>, StoreError> {
        self.readers.read(move |connection| deliveries::attempts(connection, endpoint)).await
    }
}
