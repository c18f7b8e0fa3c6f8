//! Creation of endpoints.

use dabba_domain::{Bucket, Problems, WebhookEndpointId};
use dabba_store::{
    ClaimAt, IdempotencyKey, SealedSecret, UnderKey, WebhookCreation, WebhookEndpoint, WebhookHealth,
    WebhookOwner, WebhookSettings, WebhookState,
};

use super::{
    MAX_PLATFORM_ENDPOINTS, MAX_RESTAURANT_ENDPOINTS, WebhookAnswer, WebhookRequest, Webhooks,
    requests::{check_batch, check_concurrency, check_types, check_url},
    require_write,
};
use crate::{Conflict, Error, Principal, claims::claim};

impl Webhooks {
    /// Creates an endpoint; with a key, exactly once. It receives every event that is committed after this answer, and
    /// possibly some that are committed during the creation. Without a restaurant, for admins; otherwise also for the
    /// restaurant's staff.
    ///
    /// Only this answer contains the secret. The answer to a retry does not.
    pub async fn create(
        &self,
        principal: &Principal,
        request: WebhookRequest,
        key: Option<IdempotencyKey>,
    ) -> Result<WebhookAnswer, Error> {
        require_write(principal)?;
        let owner = WebhookOwner::from(request.restaurant_id);
        self.check_owner(principal, owner).await?;
        let claim = key
            .map(|key| claim(principal.account_id, key, &("create_webhook_endpoint", &request)))
            .transpose()?;
        // The retry is checked first: a shard may not answer now, or the rules for URLs may have changed since.
        if let Some(record) = self.claimed(claim.as_ref()).await? {
            return self.replay_answer(None, &record, claim.as_ref()).await;
        }
        let mut problems = Problems::new();
        self.check_restaurant(&mut problems, owner).await?;
        let url = check_url(&mut problems, &*self.egress, &request.url);
        let types = check_types(&mut problems, request.types);
        check_concurrency(&mut problems, request.concurrency);
        check_batch(&mut problems, request.batch);
        problems.into_result().map_err(Error::Invalid)?;
        self.check_keys().await?;
        // Drawn before the endpoint is written, so that the endpoint misses no event after this answer.
        let start = self.cursor_at_end().await?.to_string();
        let at = self.clock.now();
        let bucket = Bucket::from_random(self.random.next_u64());
        let id = WebhookEndpointId::generate(at, bucket, self.random.next_u64());
        let (secret, sealed) = self.new_secret(id)?;
        let settings = WebhookSettings {
            url: url.unwrap_or_default(),
            types,
            payload: request.payload,
            content_type: request.content_type,
            concurrency: request.concurrency,
            batch: request.batch,
            state: WebhookState::Enabled,
            enabled_at: at,
            requested_attempts: 0,
            secrets: vec![SealedSecret { sealed, until: None }],
            start,
        };
        let endpoint = WebhookEndpoint {
            id,
            owner,
            settings,
            created_at: at,
            created_by: principal.account_id,
            deleted_at: None,
            version: 1,
            revision: 0,
            positioned: 0,
            health: WebhookHealth::default(),
        };
        let limit = match owner {
            WebhookOwner::Platform => MAX_PLATFORM_ENDPOINTS,
            WebhookOwner::Restaurant(_) => MAX_RESTAURANT_ENDPOINTS,
        };
        let (by, claim_at) =
            (Some(principal.credential(at)), claim.as_ref().map(|claim| ClaimAt { claim, at }));
        match self.store.create_webhook_endpoint_under(&endpoint, limit, by, claim_at).await? {
            UnderKey::Ended(WebhookCreation::Created) => {
                Ok(WebhookAnswer { endpoint, secret: Some(secret), replayed: false })
            }
            UnderKey::Ended(WebhookCreation::TooMany) => {
                Err(Conflict::TooManyWebhookEndpoints { limit }.into())
            }
            UnderKey::Ended(WebhookCreation::CallerRevoked) => Err(Error::TokenRevoked),
            UnderKey::Claimed(record) => self.replay_answer(None, &record, claim.as_ref()).await,
        }
    }

    /// Checks that a restaurant that owns an endpoint exists: an endpoint of an unknown restaurant would be silent for
    /// ever.
    async fn check_restaurant(&self, problems: &mut Problems, owner: WebhookOwner) -> Result<(), Error> {
        let Some(id) = owner.restaurant() else { return Ok(()) };
        match self.accounts.catalogue_cache.get(id).await {
            Ok(_) => Ok(()),
            Err(Error::NotFound(_)) => {
                problems.add("/restaurant_id", "must be the id of a restaurant");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
