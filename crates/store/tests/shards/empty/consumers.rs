//! Consumers of the feed, and webhooks.

use async_trait::async_trait;
use dabba_domain::{OrderId, Timestamp, WebhookEndpointId};
use dabba_store::{
    Checkpoint, ClaimAt, ConsumerName, ConsumerStore, Credential, DueFailures, FailingEndpoint, FeedLease,
    LeaseRequest, LeaseTaken, PageSize, Revival, Revived, StoreError, StoredPosition, UnderKey,
    WebhookAttempt, WebhookChange, WebhookCreation, WebhookEndpoint, WebhookFailure, WebhookFailurePage,
    WebhookHealth, WebhookOwner, WebhookRevision, WebhookStore, WebhookUpdate, WebhookUpdated,
};

use super::EmptyStore;

#[async_trait]
impl ConsumerStore for EmptyStore {
    async fn take_feed_lease(
        &self,
        _: usize,
        request: &LeaseRequest,
        _: Timestamp,
        _: Timestamp,
    ) -> Result<LeaseTaken, StoreError> {
        Ok(LeaseTaken::Taken(FeedLease { group: request.group.clone(), token: 1 }))
    }
    async fn renew_feed_lease(
        &self,
        _: usize,
        _: &FeedLease,
        _: Timestamp,
        _: Timestamp,
    ) -> Result<bool, StoreError> {
        Ok(true)
    }
    async fn release_feed_lease(&self, _: usize, _: &FeedLease, _: Timestamp) -> Result<bool, StoreError> {
        Ok(true)
    }
    async fn feed_position(
        &self,
        _: usize,
        _: &ConsumerName,
        _: Option<&ConsumerName>,
    ) -> Result<Option<StoredPosition>, StoreError> {
        Ok(None)
    }
    async fn own_feed_positions(
        &self,
        _: usize,
        _: &ConsumerName,
        _: Option<&ConsumerName>,
        _: u32,
    ) -> Result<Vec<(ConsumerName, StoredPosition)>, StoreError> {
        Ok(Vec::new())
    }
    async fn checkpoint_feed(
        &self,
        _: usize,
        _: &FeedLease,
        _: &Checkpoint,
        _: Timestamp,
        _: Timestamp,
    ) -> Result<bool, StoreError> {
        Ok(true)
    }
}

#[async_trait]
impl WebhookStore for EmptyStore {
    async fn create_webhook_endpoint_under(
        &self,
        _: &WebhookEndpoint,
        _: u32,
        _: Option<Credential>,
        _: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<WebhookCreation>, StoreError> {
        Ok(UnderKey::Ended(WebhookCreation::Created))
    }
    async fn webhook_endpoint(&self, _: WebhookEndpointId) -> Result<Option<WebhookEndpoint>, StoreError> {
        Ok(None)
    }
    async fn webhook_endpoints(
        &self,
        _: Option<WebhookOwner>,
        _: Option<WebhookEndpointId>,
        _: PageSize,
    ) -> Result<Vec<WebhookEndpoint>, StoreError> {
        Ok(Vec::new())
    }
    async fn update_webhook_endpoint_under(
        &self,
        _: &WebhookUpdate,
        _: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<WebhookUpdated>, StoreError> {
        Ok(UnderKey::Ended(WebhookUpdated::NotFound))
    }
    async fn webhook_changes(&self, _: WebhookRevision, _: u32) -> Result<Vec<WebhookChange>, StoreError> {
        Ok(Vec::new())
    }
    async fn purge_webhook_endpoints(
        &self,
        _: WebhookRevision,
        _: Timestamp,
        _: u32,
    ) -> Result<u32, StoreError> {
        Ok(0)
    }
    async fn report_webhook_health(
        &self,
        _: &[(WebhookEndpointId, WebhookHealth)],
    ) -> Result<(), StoreError> {
        Ok(())
    }
    async fn webhook_failures_of(
        &self,
        _: usize,
        _: &[(WebhookEndpointId, OrderId)],
    ) -> Result<Vec<WebhookFailure>, StoreError> {
        Ok(Vec::new())
    }
    async fn due_webhook_failures(
        &self,
        _: usize,
        _: &FeedLease,
        _: &DueFailures,
        _: Timestamp,
    ) -> Result<Option<Vec<WebhookFailure>>, StoreError> {
        Ok(Some(Vec::new()))
    }
    async fn failing_webhook_endpoints(
        &self,
        _: usize,
        _: Option<WebhookEndpointId>,
        _: u32,
    ) -> Result<Vec<FailingEndpoint>, StoreError> {
        Ok(Vec::new())
    }
    async fn revive_webhook_failures(
        &self,
        _: usize,
        _: &FeedLease,
        _: &Revival,
        _: Timestamp,
    ) -> Result<Option<Revived>, StoreError> {
        Ok(Some(Revived::All))
    }
    async fn forget_webhook_endpoint(
        &self,
        _: usize,
        _: &FeedLease,
        _: WebhookEndpointId,
        _: u32,
        _: Timestamp,
    ) -> Result<Option<u32>, StoreError> {
        Ok(Some(0))
    }
    async fn webhook_failures(
        &self,
        _: WebhookEndpointId,
        _: bool,
        _: Option<OrderId>,
        _: PageSize,
    ) -> Result<WebhookFailurePage, StoreError> {
        Ok(WebhookFailurePage::default())
    }
    async fn webhook_attempts(
        &self,
        _: usize,
        _: WebhookEndpointId,
    ) -> Result<Vec<WebhookAttempt>, StoreError> {
        Ok(Vec::new())
    }
}
