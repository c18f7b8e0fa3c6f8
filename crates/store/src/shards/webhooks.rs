//! Webhooks: endpoints are in the directory, and each call about deliveries names its shard. The list of an endpoint's
//! failures comes from all shards.

use async_trait::async_trait;
use dabba_domain::{OrderId, Timestamp, WebhookEndpointId};

use super::{orders::merge, router::ShardedStore};
use crate::{
    ClaimAt, Credential, DueFailures, FailingEndpoint, FeedLease, PageSize, Revival, Revived, StoreError,
    UnderKey, WebhookAttempt, WebhookChange, WebhookCreation, WebhookEndpoint, WebhookFailure,
    WebhookFailurePage, WebhookHealth, WebhookOwner, WebhookRevision, WebhookStore, WebhookUpdate,
    WebhookUpdated,
};

#[async_trait]
impl WebhookStore for ShardedStore {
    async fn create_webhook_endpoint_under(
        &self,
        endpoint: &WebhookEndpoint,
        max: u32,
        by: Option<Credential>,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<WebhookCreation>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().create_webhook_endpoint_under(endpoint, max, by, claim)).await
    }

    async fn webhook_endpoint(&self, id: WebhookEndpointId) -> Result<Option<WebhookEndpoint>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().webhook_endpoint(id)).await
    }

    async fn webhook_endpoints(
        &self,
        owner: Option<WebhookOwner>,
        after: Option<WebhookEndpointId>,
        limit: PageSize,
    ) -> Result<Vec<WebhookEndpoint>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().webhook_endpoints(owner, after, limit)).await
    }

    async fn update_webhook_endpoint_under(
        &self,
        update: &WebhookUpdate,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<WebhookUpdated>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().update_webhook_endpoint_under(update, claim)).await
    }

    async fn webhook_changes(
        &self,
        after: WebhookRevision,
        limit: u32,
    ) -> Result<Vec<WebhookChange>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().webhook_changes(after, limit)).await
    }

    async fn purge_webhook_endpoints(
        &self,
        known: WebhookRevision,
        deleted_until: Timestamp,
        limit: u32,
    ) -> Result<u32, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().purge_webhook_endpoints(known, deleted_until, limit)).await
    }

    async fn report_webhook_health(
        &self,
        reports: &[(WebhookEndpointId, WebhookHealth)],
    ) -> Result<(), StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().report_webhook_health(reports)).await
    }

    async fn webhook_failures_of(
        &self,
        shard: usize,
        keys: &[(WebhookEndpointId, OrderId)],
    ) -> Result<Vec<WebhookFailure>, StoreError> {
        let shard = self.shard_at(shard)?;
        shard.answer(shard.store().webhook_failures_of(0, keys)).await
    }

    async fn due_webhook_failures(
        &self,
        shard: usize,
        lease: &FeedLease,
        due: &DueFailures,
        now: Timestamp,
    ) -> Result<Option<Vec<WebhookFailure>>, StoreError> {
        let shard = self.shard_at(shard)?;
        shard.answer(shard.store().due_webhook_failures(0, lease, due, now)).await
    }

    async fn failing_webhook_endpoints(
        &self,
        shard: usize,
        after: Option<WebhookEndpointId>,
        limit: u32,
    ) -> Result<Vec<FailingEndpoint>, StoreError> {
        let shard = self.shard_at(shard)?;
        shard.answer(shard.store().failing_webhook_endpoints(0, after, limit)).await
    }

    async fn revive_webhook_failures(
        &self,
        shard: usize,
        lease: &FeedLease,
        revival: &Revival,
        now: Timestamp,
    ) -> Result<Option<Revived>, StoreError> {
        let shard = self.shard_at(shard)?;
        shard.answer(shard.store().revive_webhook_failures(0, lease, revival, now)).await
    }

    async fn forget_webhook_endpoint(
        &self,
        shard: usize,
        lease: &FeedLease,
        endpoint: WebhookEndpointId,
        limit: u32,
        now: Timestamp,
    ) -> Result<Option<u32>, StoreError> {
        let shard = self.shard_at(shard)?;
        shard.answer(shard.store().forget_webhook_endpoint(0, lease, endpoint, limit, now)).await
    }

    async fn webhook_failures(
        &self,
        endpoint: WebhookEndpointId,
        only_dead: bool,
        after: Option<OrderId>,
        limit: PageSize,
    ) -> Result<WebhookFailurePage, StoreError> {
        let list = |store| WebhookStore::webhook_failures(store, endpoint, only_dead, after, limit);
        let (pages, is_any_missing) = self.ask_all(list).await.pages()?;
        let incomplete = is_any_missing || pages.iter().any(|page| page.incomplete);
        let lists = pages.into_iter().map(|page| page.failures).collect();
        let (failures, _) = merge(lists, limit.get() as usize, |failure| failure.order);
        Ok(WebhookFailurePage { failures, incomplete })
    }

    async fn webhook_attempts(
        &self,
        shard: usize,
        endpoint: WebhookEndpointId,
    ) -> Result<Vec<WebhookAttempt>, StoreError> {
        let shard = self.shard_at(shard)?;
        shard.answer(shard.store().webhook_attempts(0, endpoint)).await
    }
}
