//! What the owners of endpoints read: endpoints, the log of attempts, and failures.

use dabba_domain::{OrderId, RestaurantId, WebhookEndpointId};
use dabba_store::{PageSize, StoreError, WebhookAttempt, WebhookEndpoint, WebhookFailurePage, WebhookOwner};
use futures::future::join_all;

use super::Webhooks;
use crate::{Error, Principal, Scope};

/// The newest attempts of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookAttempts {
    /// The attempts, newest first.
    pub attempts: Vec<WebhookAttempt>,
    /// Whether attempts may be missing because a shard did not answer.
    pub incomplete: bool,
}

/// Filter and page of the list of failures.
#[derive(Clone, Copy, Debug)]
pub struct FailureFilter {
    /// Whether the list contains only dead letters.
    pub only_dead: bool,
    /// The order after which the page begins.
    pub after: Option<OrderId>,
    /// Maximum number of failures.
    pub limit: PageSize,
}

impl Webhooks {
    /// Returns an endpoint. For the staff of its restaurant and admins.
    pub async fn endpoint(
        &self,
        principal: &Principal,
        id: WebhookEndpointId,
    ) -> Result<WebhookEndpoint, Error> {
        principal.require(Scope::ReadWebhooks)?;
        self.visible(principal, id).await
    }

    /// Returns a page of endpoints with ids after `after`, ordered by id: those of a restaurant, for its staff and
    /// admins; without a restaurant, all endpoints, for admins.
    pub async fn endpoints(
        &self,
        principal: &Principal,
        restaurant_id: Option<RestaurantId>,
        after: Option<WebhookEndpointId>,
        limit: PageSize,
    ) -> Result<Vec<WebhookEndpoint>, Error> {
        principal.require(Scope::ReadWebhooks)?;
        self.check_owner(principal, restaurant_id.into()).await?;
        if let Some(id) = restaurant_id {
            self.accounts.catalogue_cache.get(id).await?;
        }
        let owner = restaurant_id.map(WebhookOwner::Restaurant);
        Ok(self.store.webhook_endpoints(owner, after, limit).await?)
    }

    /// Returns the newest entries of an endpoint's log, over all shards: all entries, or only those about failed
    /// (`Some(true)`) or successful attempts. For the staff of its restaurant and admins.
    pub async fn attempts(
        &self,
        principal: &Principal,
        id: WebhookEndpointId,
        failed: Option<bool>,
        limit: PageSize,
    ) -> Result<WebhookAttempts, Error> {
        principal.require(Scope::ReadWebhooks)?;
        self.visible(principal, id).await?;
        let reads = (0..self.store.shard_count()).map(|shard| self.store.webhook_attempts(shard, id));
        let mut attempts = Vec::new();
        let mut failure = None;
        let mut has_answer = false;
        for read in join_all(reads).await {
            match read {
                Ok(read) => {
                    has_answer = true;
                    attempts.extend(read);
                }
                Err(error @ StoreError::Corrupt(_)) => return Err(error.into()),
                Err(error) => failure = Some(error),
            }
        }
        let incomplete = failure.is_some();
        if let Some(failure) = failure.filter(|_| !has_answer) {
            return Err(failure.into());
        }
        attempts.retain(|attempt| failed.is_none_or(|failed| attempt.is_failed() == failed));
        attempts.sort_by(|one, other| {
            let key = |attempt: &WebhookAttempt| (attempt.at, attempt.order, attempt.version);
            key(other).cmp(&key(one))
        });
        attempts.truncate(usize::try_from(limit.get()).unwrap_or(usize::MAX));
        Ok(WebhookAttempts { attempts, incomplete })
    }

    /// Returns a page of the orders whose delivery to an endpoint failed, ordered by order. For the staff of its
    /// restaurant and admins.
    pub async fn failures(
        &self,
        principal: &Principal,
        id: WebhookEndpointId,
        filter: FailureFilter,
    ) -> Result<WebhookFailurePage, Error> {
        principal.require(Scope::ReadWebhooks)?;
        self.visible(principal, id).await?;
        let FailureFilter { only_dead, after, limit } = filter;
        Ok(self.store.webhook_failures(id, only_dead, after, limit).await?)
    }
}
