//! Webhook endpoints: creation, changes, secrets, replay, and what their owners read about deliveries.
//!
//! A use case writes to the endpoint in the directory only. The senders follow the endpoints and carry the changes out:
//! see [`dabba_store::WebhookStore`]. An endpoint receives the events of its owner in the owner's representation, so
//! its owner determines who may manage it: admins manage every endpoint, and the staff of a restaurant manages those of
//! the restaurant. Other callers do not learn whether an endpoint exists.

mod changing;
mod creating;
mod keys;
mod reading;
mod replaying;
mod requests;
mod secret;
mod testing;

use std::sync::Arc;

use dabba_domain::{Role, Timestamp, WebhookEndpointId};
use dabba_store::{Claim, ClaimRecord, FeedCursor, FeedEnd, Resource, Store, WebhookEndpoint, WebhookOwner};
use futures::future::join_all;

use self::testing::Tests;
pub use self::{
    reading::{FailureFilter, WebhookAttempts},
    replaying::{ReplayFrom, SINCE_MARGIN, replay_start},
    requests::{WebhookPatch, WebhookRequest},
    secret::{
        MAX_WEBHOOK_SECRET_BYTES, MIN_WEBHOOK_SECRET_BYTES, WEBHOOK_SECRET_PREFIX, WEBHOOK_SECRET_PURPOSE,
        WebhookSecret, WebhookSecretError, webhook_secret_place,
    },
    testing::{MAX_CONCURRENT_TESTS, MAX_CONCURRENT_TESTS_PER_ACCOUNT, NotTested, TestPermit},
};
use crate::{
    Accounts, Clock, Egress, Engine, EngineMetrics, Error, Principal, Random, Scope, claims::is_same_request,
    sealing::SecretKeys,
};

/// Maximum number of endpoints of a restaurant.
pub const MAX_RESTAURANT_ENDPOINTS: u32 = 20;

/// Maximum number of endpoints of the platform.
pub const MAX_PLATFORM_ENDPOINTS: u32 = 100;

/// Maximum number of concurrent deliveries to an endpoint.
pub const MAX_WEBHOOK_CONCURRENCY: u32 = 64;

/// Maximum number of events in a delivery.
pub const MAX_WEBHOOK_BATCH: u32 = 100;

/// Maximum time for which a replaced secret still signs, in seconds: a week.
pub const MAX_OVERLAP_SECONDS: u32 = 7 * 24 * 60 * 60;

/// Time for which a replaced secret still signs if the request does not state it, in seconds: a day.
pub const DEFAULT_OVERLAP_SECONDS: u32 = 24 * 60 * 60;

const NOT_FOUND: Error = Error::NotFound("webhook endpoint");

/// Use cases of webhook endpoints.
pub struct Webhooks {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    metrics: Arc<EngineMetrics>,
    accounts: Arc<Accounts>,
    egress: Arc<dyn Egress>,
    keys: Arc<SecretKeys>,
    tests: Arc<Tests>,
    max_attempts: u32,
}

/// An endpoint after a write.
#[derive(Clone, Debug)]
pub struct WebhookAnswer {
    /// The endpoint; for a replay, as it is now.
    pub endpoint: WebhookEndpoint,
    /// The new secret, after a creation or rotation. `None` for a replay: only the first response contains the secret.
    pub secret: Option<WebhookSecret>,
    /// Whether this answer replays an earlier request with the same idempotency key.
    pub replayed: bool,
}

impl WebhookAnswer {
    const fn new(endpoint: WebhookEndpoint) -> Self {
        Self { endpoint, secret: None, replayed: false }
    }
}

impl Webhooks {
    /// Creates the use cases on the parts of an engine.
    pub fn new(engine: &Engine, egress: Arc<dyn Egress>, keys: Arc<SecretKeys>) -> Arc<Self> {
        Arc::new(Self {
            store: Arc::clone(&engine.store),
            clock: Arc::clone(&engine.clock),
            random: Arc::clone(&engine.random),
            metrics: Arc::clone(&engine.metrics),
            accounts: Arc::clone(&engine.accounts),
            egress,
            keys,
            tests: Arc::default(),
            max_attempts: engine.config.max_decision_attempts,
        })
    }

    /// Returns the current time as the use cases see it.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Allows the callers who manage the endpoints of an owner. Who works for a restaurant is no secret of the
    /// endpoint, so a refusal states the reason.
    async fn check_owner(&self, principal: &Principal, owner: WebhookOwner) -> Result<(), Error> {
        match (principal.role, owner) {
            (Role::Admin, _) => Ok(()),
            (_, WebhookOwner::Restaurant(id)) => self.accounts.check_staff(principal, id).await,
            (_, WebhookOwner::Platform) => Err(Error::Forbidden(
                "only an admin may manage the webhook endpoints of the platform; staff state restaurant_id, the id \
                 of a restaurant for which they work"
                    .into(),
            )),
        }
    }

    /// Returns an endpoint that the caller manages. For other callers it does not exist.
    async fn visible(&self, principal: &Principal, id: WebhookEndpointId) -> Result<WebhookEndpoint, Error> {
        if !matches!(principal.role, Role::Admin | Role::Restaurant) {
            return Err(Error::Forbidden("only a restaurant's staff and admins may do this".into()));
        }
        let endpoint = self.store.webhook_endpoint(id).await?.ok_or(NOT_FOUND)?;
        let is_visible = match endpoint.owner {
            _ if principal.role == Role::Admin => true,
            WebhookOwner::Restaurant(id) => self.accounts.works_for(principal, id).await?,
            WebhookOwner::Platform => false,
        };
        if is_visible { Ok(endpoint) } else { Err(NOT_FOUND) }
    }

    /// Returns the record of a key, if the key is claimed.
    async fn claimed(&self, claim: Option<&Claim>) -> Result<Option<ClaimRecord>, Error> {
        let Some(claim) = claim else { return Ok(None) };
        Ok(self.store.find_account_claim(claim.account_id, &claim.key).await?)
    }

    /// Returns the answer to a retry with the same key: the endpoint as it is now, without a secret. `id` is the
    /// endpoint that the request names, if it names one.
    async fn replay_answer(
        &self,
        id: Option<WebhookEndpointId>,
        record: &ClaimRecord,
        claim: Option<&Claim>,
    ) -> Result<WebhookAnswer, Error> {
        let Resource::WebhookEndpoint(claimed) = record.resource else { return Err(Error::KeyReused) };
        if id.is_some_and(|id| id != claimed) || !is_same_request(record, claim)? {
            return Err(Error::KeyReused);
        }
        let endpoint = self.store.webhook_endpoint(claimed).await?.ok_or(NOT_FOUND)?;
        self.metrics.replays.inc();
        Ok(WebhookAnswer { endpoint, secret: None, replayed: true })
    }

    /// Returns the ends of the feeds of all shards. Fails if a shard does not answer: an endpoint without a position in
    /// this shard would miss its events.
    async fn feed_ends(&self) -> Result<Vec<FeedEnd>, Error> {
        let ends = (0..self.store.shard_count()).map(|shard| self.store.feed_end(shard));
        let ends = join_all(ends).await.into_iter().collect::<Result<Vec<_>, _>>();
        Ok(ends?)
    }

    /// Returns the cursor after the present end of every shard.
    async fn cursor_at_end(&self) -> Result<FeedCursor, Error> {
        let ends: Vec<_> = self.feed_ends().await?.into_iter().map(Some).collect();
        FeedCursor::at_end(&self.store.feed_sources(), &ends).ok_or(Error::Unavailable)
    }

    /// Generates a secret, and seals it for an endpoint.
    fn new_secret(&self, id: WebhookEndpointId) -> Result<(WebhookSecret, Box<[u8]>), Error> {
        let secret = WebhookSecret::generate(&*self.random);
        let row = id.to_string();
        let sealed = self.keys.seal(webhook_secret_place(&row), secret.as_bytes(), &*self.random);
        let sealed = sealed.map_err(|error| Error::Internal(error.to_string()))?;
        Ok((secret, sealed.into()))
    }
}

/// Refuses a credential that may not manage endpoints. A credential for the events of partners may not, because an
/// endpoint receives the events with personal data.
fn require_write(principal: &Principal) -> Result<(), Error> {
    principal.require(Scope::WriteWebhooks)?;
    if principal.is_partner() {
        return Err(Error::Forbidden(
            "a credential for the events of partners cannot manage webhook endpoints, because these receive events \
             with personal data; use a credential without events:partner"
                .into(),
        ));
    }
    Ok(())
}
