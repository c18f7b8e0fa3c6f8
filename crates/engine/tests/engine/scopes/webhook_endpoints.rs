//! Use cases of webhook endpoints.

use std::sync::Arc;

use dabba_domain::{Bucket, WebhookEndpointId};
use dabba_engine::{
    Conditional, Error, FailureFilter, NotTested, ReplayFrom, Scope, WebhookPatch, WebhookRequest, Webhooks,
    sealing::SecretKeys,
};
use dabba_gateways::egress::{EgressClient, EgressOptions, EgressPolicy, SystemResolver};
use dabba_store::{WebhookContentType, WebhookPayload};
use futures::future::FutureExt as _;

use super::{UseCase, page};
use crate::world::{World, start_of_time};

pub(crate) fn webhooks(world: &World) -> Arc<Webhooks> {
    webhooks_with(world, "07")
}

/// Returns the use cases with a key, given by its byte.
pub(crate) fn webhooks_with(world: &World, byte: &str) -> Arc<Webhooks> {
    let keys = SecretKeys::parse(&byte.repeat(32)).unwrap();
    let client =
        EgressClient::new(EgressPolicy::default(), &EgressOptions::default(), Arc::new(SystemResolver));
    Webhooks::new(&world.engine, Arc::new(client.unwrap()), Arc::new(keys))
}

fn endpoint() -> WebhookEndpointId {
    WebhookEndpointId::generate(start_of_time(), Bucket::from_random(0), 97 << 2)
}

pub(crate) fn hook(world: &World) -> WebhookRequest {
    WebhookRequest {
        restaurant_id: Some(world.restaurant_id),
        url: "https://hooks.example.com/dabba".into(),
        types: None,
        payload: WebhookPayload::Event,
        content_type: WebhookContentType::Json,
        concurrency: 8,
        batch: 1,
    }
}

pub(super) const WEBHOOKS: &[(Scope, UseCase)] = &[
    (Scope::WriteWebhooks, |world, caller| {
        async move { webhooks(world).create(caller, hook(world), None).await.map(drop) }.boxed()
    }),
    (Scope::ReadWebhooks, |world, caller| {
        async move { webhooks(world).endpoint(caller, endpoint()).await.map(drop) }.boxed()
    }),
    (Scope::ReadWebhooks, |world, caller| {
        async move {
            webhooks(world).endpoints(caller, Some(world.restaurant_id), None, page()).await.map(drop)
        }
        .boxed()
    }),
    (Scope::WriteWebhooks, |world, caller| {
        async move {
            let patch = WebhookPatch { batch: Some(2), ..WebhookPatch::default() };
            webhooks(world).change(caller, endpoint(), patch, Conditional::default()).await.map(drop)
        }
        .boxed()
    }),
    (Scope::WriteWebhooks, |world, caller| {
        async move { webhooks(world).delete(caller, endpoint(), None).await }.boxed()
    }),
    (Scope::WriteWebhooks, |world, caller| {
        async move {
            webhooks(world).rotate_secret(caller, endpoint(), 0, Conditional::default()).await.map(drop)
        }
        .boxed()
    }),
    (Scope::WriteWebhooks, |world, caller| {
        async move { webhooks(world).enable(caller, endpoint(), Conditional::default()).await.map(drop) }
            .boxed()
    }),
    (Scope::WriteWebhooks, |world, caller| {
        async move {
            let from = ReplayFrom::default();
            webhooks(world).replay(caller, endpoint(), from, Conditional::default()).await.map(drop)
        }
        .boxed()
    }),
    (Scope::WriteWebhooks, |world, caller| {
        async move {
            match webhooks(world).begin_test(caller, endpoint()).await {
                Ok(_) => Ok(()),
                Err(NotTested::Error(error)) => Err(error),
                Err(NotTested::Account) => Err(Error::Overloaded),
            }
        }
        .boxed()
    }),
    (Scope::ReadWebhooks, |world, caller| {
        async move { webhooks(world).attempts(caller, endpoint(), None, page()).await.map(drop) }.boxed()
    }),
    (Scope::ReadWebhooks, |world, caller| {
        async move {
            let filter = FailureFilter { only_dead: false, after: None, limit: page() };
            webhooks(world).failures(caller, endpoint(), filter).await.map(drop)
        }
        .boxed()
    }),
];
