//! Changes of endpoints: settings, deletion, rotation of secrets, and enabling.

use dabba_domain::{Problems, Role, Timestamp, WebhookEndpointId, order::Version};
use dabba_store::{Claim, ClaimAt, DisabledReason, UnderKey, WebhookEndpoint, WebhookUpdate, WebhookUpdated};
use jiff::SignedDuration;
use serde::Serialize;

use super::{
    NOT_FOUND, WebhookAnswer, WebhookPatch, Webhooks,
    requests::{check_batch, check_concurrency, check_overlap, check_types, check_url},
    require_write,
};
use crate::{Conditional, Conflict, Error, Principal, claims::claim};

/// A request for a change, before its validation.
pub(super) enum Begun {
    /// The request is a retry.
    Replayed(WebhookAnswer),
    /// The request is to be executed.
    New(Change),
}

/// A change to write.
pub(super) struct Change {
    /// The endpoint as read.
    endpoint: WebhookEndpoint,
    /// Versions that the endpoint must have (any one of them), if the caller states some.
    expected: Option<Vec<Version>>,
    claim: Option<Claim>,
}

impl Change {
    /// Returns the endpoint as read.
    pub(super) const fn endpoint(&self) -> &WebhookEndpoint {
        &self.endpoint
    }
}

impl Webhooks {
    /// Changes the settings of an endpoint, or disables it. A change without effect is not written. For the staff of
    /// its restaurant and admins.
    pub async fn change(
        &self,
        principal: &Principal,
        id: WebhookEndpointId,
        patch: WebhookPatch,
        conditional: Conditional,
    ) -> Result<WebhookAnswer, Error> {
        let request = ("change_webhook_endpoint", id, &patch);
        let change = match self.begin_change(principal, id, conditional, &request).await? {
            Begun::Replayed(answer) => return Ok(answer),
            Begun::New(change) => change,
        };
        let patch = self.check_patch(patch)?;
        let apply = |endpoint: &mut WebhookEndpoint, at| {
            let settings = &mut endpoint.settings;
            let WebhookPatch { url, types, payload, content_type, concurrency, batch, enabled } =
                patch.clone();
            settings.url = url.unwrap_or_else(|| std::mem::take(&mut settings.url));
            if let Some(types) = types {
                settings.types = types.unwrap_or_default();
            }
            settings.payload = payload.unwrap_or(settings.payload);
            settings.content_type = content_type.unwrap_or(settings.content_type);
            settings.concurrency = concurrency.unwrap_or(settings.concurrency);
            settings.batch = batch.unwrap_or(settings.batch);
            if enabled == Some(false) {
                settings.disable(DisabledReason::Requested, at);
            }
        };
        self.write_change(principal, change, false, apply).await
    }

    /// Returns a patch with normalized values; the types are empty for all types.
    fn check_patch(&self, patch: WebhookPatch) -> Result<WebhookPatch, Error> {
        let mut problems = Problems::new();
        if patch == WebhookPatch::default() {
            let text = "must contain url, types, payload, content_type, concurrency, batch or enabled";
            problems.add("", text);
        }
        let url = patch.url.and_then(|url| check_url(&mut problems, &*self.egress, &url));
        let types = patch.types.map(|types| Some(check_types(&mut problems, types)));
        if let Some(concurrency) = patch.concurrency {
            check_concurrency(&mut problems, concurrency);
        }
        if let Some(batch) = patch.batch {
            check_batch(&mut problems, batch);
        }
        if patch.enabled == Some(true) {
            problems.add("/enabled", "must be false; POST to /enable below the endpoint to enable it");
        }
        problems.into_result().map_err(Error::Invalid)?;
        Ok(WebhookPatch { url, types, ..patch })
    }

    /// Deletes an endpoint permanently: its URL and its secrets are removed, and it receives nothing more. For the staff
    /// of its restaurant and admins.
    pub async fn delete(
        &self,
        principal: &Principal,
        id: WebhookEndpointId,
        expected: Option<Vec<Version>>,
    ) -> Result<(), Error> {
        let conditional = Conditional { expected, key: None };
        match self.begin_change(principal, id, conditional, &"delete_webhook_endpoint").await? {
            Begun::Replayed(_) => Ok(()),
            Begun::New(change) => {
                self.write_change(principal, change, false, WebhookEndpoint::delete).await.map(drop)
            }
        }
    }

    /// Replaces the secret that signs deliveries. The secrets before it sign too for some seconds more, at most until
    /// their own end. Only this answer contains the new secret. For the staff of its restaurant and admins.
    ///
    /// A server whose keys open no stored secret refuses. Without an overlap, an admin may rotate nevertheless: this
    /// repairs an installation whose key is lost.
    pub async fn rotate_secret(
        &self,
        principal: &Principal,
        id: WebhookEndpointId,
        overlap_seconds: u32,
        conditional: Conditional,
    ) -> Result<WebhookAnswer, Error> {
        let request = ("rotate_webhook_secret", id, overlap_seconds);
        let change = match self.begin_change(principal, id, conditional, &request).await? {
            Begun::Replayed(answer) => return Ok(answer),
            Begun::New(change) => change,
        };
        let mut problems = Problems::new();
        check_overlap(&mut problems, overlap_seconds);
        problems.into_result().map_err(Error::Invalid)?;
        if overlap_seconds > 0 || principal.role != Role::Admin {
            self.check_keys().await?;
        }
        let (secret, sealed) = self.new_secret(id)?;
        let overlap = SignedDuration::from_secs(overlap_seconds.into());
        let apply = |endpoint: &mut WebhookEndpoint, at: Timestamp| {
            let end = at.checked_add(overlap).unwrap_or(at);
            endpoint.settings.rotate(sealed.clone(), at, end);
        };
        let answer = self.write_change(principal, change, false, apply).await?;
        // A replay wrote another secret.
        let secret = (!answer.replayed).then_some(secret);
        Ok(WebhookAnswer { secret, ..answer })
    }

    /// Enables an endpoint: it receives the events since its position, and failures count anew. For an endpoint that is
    /// enabled, failures go on to count from the same time; the senders end its pause and retry its failures at once. For
    /// the staff of its restaurant and admins.
    pub async fn enable(
        &self,
        principal: &Principal,
        id: WebhookEndpointId,
        conditional: Conditional,
    ) -> Result<WebhookAnswer, Error> {
        let request = ("enable_webhook_endpoint", id);
        match self.begin_change(principal, id, conditional, &request).await? {
            Begun::Replayed(answer) => Ok(answer),
            Begun::New(change) => {
                let enable = |endpoint: &mut WebhookEndpoint, at| {
                    if !endpoint.settings.enable(at) {
                        endpoint.settings.requested_attempts =
                            endpoint.settings.requested_attempts.wrapping_add(1);
                    }
                };
                self.write_change(principal, change, false, enable).await
            }
        }
    }

    /// Reads the endpoint of a request, and finds out whether the request is a retry. This precedes every check of the
    /// request's content, because a retry gets its answer whatever has changed since.
    pub(super) async fn begin_change(
        &self,
        principal: &Principal,
        id: WebhookEndpointId,
        conditional: Conditional,
        request: &impl Serialize,
    ) -> Result<Begun, Error> {
        require_write(principal)?;
        let endpoint = self.visible(principal, id).await?;
        let Conditional { expected, key } = conditional;
        let claim = key.map(|key| claim(principal.account_id, key, request)).transpose()?;
        match self.claimed(claim.as_ref()).await? {
            Some(record) => self.replay_answer(Some(id), &record, claim.as_ref()).await.map(Begun::Replayed),
            None => Ok(Begun::New(Change { endpoint, expected, claim })),
        }
    }

    /// Writes a change. After a conflict the change is repeated on the new state, unless the caller expects a version.
    /// A change without effect is not written, unless it repositions the endpoint.
    pub(super) async fn write_change(
        &self,
        principal: &Principal,
        change: Change,
        repositions: bool,
        apply: impl Fn(&mut WebhookEndpoint, Timestamp),
    ) -> Result<WebhookAnswer, Error> {
        let Change { endpoint: mut present, expected, claim } = change;
        for _ in 0..self.max_attempts {
            let (id, current, at) = (present.id, present.version, self.clock.now());
            if expected.as_ref().is_some_and(|expected| !expected.contains(&current)) {
                return Err(Error::VersionMismatch { current });
            }
            let mut endpoint = present.clone();
            apply(&mut endpoint, at);
            if endpoint == present && !repositions {
                return Ok(WebhookAnswer::new(present));
            }
            let by = Some(principal.credential(at));
            let update = WebhookUpdate { endpoint, expected: current, repositions, by, at };
            let claim_at = claim.as_ref().map(|claim| ClaimAt { claim, at });
            match self.store.update_webhook_endpoint_under(&update, claim_at).await? {
                UnderKey::Ended(WebhookUpdated::Done(endpoint)) => return Ok(WebhookAnswer::new(*endpoint)),
                UnderKey::Ended(WebhookUpdated::NotFound) => return Err(NOT_FOUND),
                UnderKey::Ended(WebhookUpdated::CallerRevoked) => return Err(Error::TokenRevoked),
                UnderKey::Ended(WebhookUpdated::Conflict { .. }) => {
                    self.metrics.decision_retries.inc();
                }
                UnderKey::Claimed(record) => {
                    return self.replay_answer(Some(id), &record, claim.as_ref()).await;
                }
            }
            present = self.visible(principal, id).await?;
        }
        Err(Conflict::TooManyChanges.into())
    }
}
