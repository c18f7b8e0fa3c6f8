//! Endpoints as the sender keeps them in memory.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use dabba_domain::{Actor, RestaurantId, Timestamp, WebhookEndpointId};
use dabba_engine::{
    MAX_WEBHOOK_BATCH, MAX_WEBHOOK_CONCURRENCY, TargetUrl, sealing::SecretKeys,
    webhook_secret_place as secret_place,
};
use dabba_store::{FeedEvent, SealedSecret, WebhookEndpoint, WebhookOwner};

use super::signature::{MAX_SIGNING_SECRETS, WebhookSecret};
use crate::public::Audience;

/// An endpoint, prepared for deliveries.
pub(super) struct Endpoint {
    pub(super) stored: WebhookEndpoint,
    pub(super) audience: Audience,
    /// The reader for whom orders are represented: a member of the restaurant's staff, or an admin.
    pub(super) viewer: Actor,
    pub(super) url: TargetUrl,
    pub(super) batch: usize,
    pub(super) concurrency: usize,
    /// Names of the types; empty for all types. May contain names that only a newer version knows, unlike a `TypeSet`.
    types: BTreeSet<String>,
    /// The secrets, newest first, with the time until which each signs; or why they cannot be used.
    secrets: Result<Vec<(WebhookSecret, Option<Timestamp>)>, String>,
}

impl Endpoint {
    /// Prepares an endpoint for deliveries at a time or later.
    pub(super) fn new(stored: WebhookEndpoint, keys: &SecretKeys, at: Timestamp) -> Self {
        let settings = &stored.settings;
        Self {
            audience: match stored.owner {
                WebhookOwner::Platform => Audience::Operations,
                WebhookOwner::Restaurant(_) => Audience::Restaurant,
            },
            viewer: match stored.owner {
                WebhookOwner::Platform => Actor::Admin { account_id: stored.created_by },
                WebhookOwner::Restaurant(restaurant_id) => {
                    Actor::Restaurant { account_id: stored.created_by, restaurant_id }
                }
            },
            url: TargetUrl::from_checked(settings.url.clone()),
            batch: settings.batch.clamp(1, MAX_WEBHOOK_BATCH) as usize,
            concurrency: settings.concurrency.clamp(1, MAX_WEBHOOK_CONCURRENCY) as usize,
            types: settings.types.iter().cloned().collect(),
            secrets: opened(&stored, keys, at),
            stored,
        }
    }

    /// Returns whether the endpoint receives events of this type.
    pub(super) fn has_type(&self, name: &str) -> bool {
        self.types.is_empty() || self.types.contains(name)
    }

    /// Returns whether an event is for the endpoint.
    pub(super) fn matches(&self, event: &FeedEvent) -> bool {
        let owner = self.stored.owner.restaurant();
        owner.is_none_or(|restaurant| restaurant == event.restaurant_id) && self.has_type(&event.name)
    }

    /// Returns the secrets that sign at a time, newest first, or why there are none.
    pub(super) fn signing(&self, at: Timestamp) -> Result<Vec<WebhookSecret>, String> {
        let secrets = self.secrets.as_ref().map_err(Clone::clone)?;
        let valid = secrets.iter().filter(|(_, until)| until.is_none_or(|until| at < until));
        Ok(valid.map(|(secret, _)| secret.clone()).take(MAX_SIGNING_SECRETS).collect())
    }
}

/// Returns the secrets that sign at a time or later and that open, newest first. Fails if the newest one does not open:
/// receivers may know only that one. An older one that does not open is logged and skipped.
fn opened(
    stored: &WebhookEndpoint,
    keys: &SecretKeys,
    at: Timestamp,
) -> Result<Vec<(WebhookSecret, Option<Timestamp>)>, String> {
    let row = stored.id.to_string();
    let open = |sealed: &SealedSecret| {
        let bytes = keys.open(secret_place(&row), &sealed.sealed).map_err(|error| error.to_string())?;
        WebhookSecret::from_bytes(bytes.as_bytes()).map_err(|error| error.to_string())
    };
    let valid = stored.settings.secrets.iter().filter(|sealed| sealed.until.is_none_or(|until| at < until));
    let mut secrets = Vec::new();
    for (index, sealed) in valid.enumerate() {
        match open(sealed) {
            Ok(secret) => secrets.push((secret, sealed.until)),
            Err(error) if index == 0 => return Err(error),
            Err(error) => {
                tracing::warn!(
                    endpoint = row,
                    error,
                    "an earlier secret of a webhook endpoint does not open"
                );
            }
        }
    }
    Ok(secrets)
}

/// The endpoints that receive the events of the shared reader, by restaurant. An event costs one lookup, and work only
/// for the endpoints that it may match.
#[derive(Default)]
pub(super) struct Index {
    all: HashSet<WebhookEndpointId>,
    platform: BTreeSet<WebhookEndpointId>,
    restaurants: HashMap<RestaurantId, BTreeSet<WebhookEndpointId>>,
}

impl Index {
    pub(super) fn insert(&mut self, endpoint: &Arc<Endpoint>) {
        let id = endpoint.stored.id;
        self.all.insert(id);
        match endpoint.stored.owner {
            WebhookOwner::Platform => self.platform.insert(id),
            WebhookOwner::Restaurant(restaurant) => {
                self.restaurants.entry(restaurant).or_default().insert(id)
            }
        };
    }

    pub(super) fn remove(&mut self, endpoint: &Arc<Endpoint>) {
        let id = endpoint.stored.id;
        self.all.remove(&id);
        self.platform.remove(&id);
        if let WebhookOwner::Restaurant(restaurant) = endpoint.stored.owner
            && let Some(ids) = self.restaurants.get_mut(&restaurant)
        {
            ids.remove(&id);
            if ids.is_empty() {
                self.restaurants.remove(&restaurant);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns the endpoints that may match an event of a restaurant.
    pub(super) fn candidates(&self, restaurant: RestaurantId) -> impl Iterator<Item = WebhookEndpointId> {
        let own = self.restaurants.get(&restaurant).into_iter().flatten();
        self.platform.iter().chain(own).copied()
    }
}
