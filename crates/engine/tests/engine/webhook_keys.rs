//! Servers whose keys do not open the stored secrets of webhook endpoints.

use dabba_engine::{Clock as _, Conditional, Error, WebhookPatch};

use crate::{
    scopes::{hook, webhooks, webhooks_with},
    world::World,
};

/// Proves that a server with another key seals nothing while it opens no stored secret, except when an admin replaces a
/// secret at once, and that it may do everything afterwards, and without endpoints.
#[tokio::test]
async fn a_server_with_another_key_seals_nothing() {
    let world = World::new().await;
    let (right, wrong) = (webhooks(&world), webhooks_with(&world, "08"));
    let made = right.create(&world.staff, hook(&world), None).await.unwrap().endpoint;
    let created = wrong.create(&world.admin, hook(&world), None).await;
    assert!(matches!(created, Err(Error::SecretsKey)), "{created:?}");
    for (caller, overlap) in [(world.staff, 0), (world.staff, 60), (world.admin, 60)] {
        let rotated = wrong.rotate_secret(&caller, made.id, overlap, Conditional::default()).await;
        assert!(matches!(rotated, Err(Error::SecretsKey)), "{rotated:?}");
    }
    right.rotate_secret(&world.staff, made.id, 60, Conditional::default()).await.unwrap();
    right.create(&world.staff, hook(&world), None).await.unwrap();

    wrong.rotate_secret(&world.admin, made.id, 0, Conditional::default()).await.unwrap();
    wrong.create(&world.staff, hook(&world), None).await.unwrap();

    let empty = World::new().await;
    webhooks_with(&empty, "08").create(&empty.staff, hook(&empty), None).await.unwrap();
}

/// Proves that a repeated request to enable an endpoint is a change, which the senders follow, and does not move the time
/// from which failures count; and that enabling a disabled endpoint moves it.
#[tokio::test]
async fn enabling_an_enabled_endpoint_is_a_change() {
    let world = World::new().await;
    let manager = webhooks(&world);
    let made = manager.create(&world.staff, hook(&world), None).await.unwrap().endpoint;
    let made = manager.endpoint(&world.staff, made.id).await.unwrap();
    world.clock.advance(jiff::SignedDuration::from_mins(1));
    let enabled = manager.enable(&world.staff, made.id, Conditional::default()).await.unwrap().endpoint;
    assert!(enabled.revision > made.revision);
    assert_eq!(enabled.settings.enabled_at, made.settings.enabled_at);
    assert_eq!(enabled.settings.requested_attempts, made.settings.requested_attempts + 1);
    let off = WebhookPatch { enabled: Some(false), ..WebhookPatch::default() };
    manager.change(&world.staff, made.id, off, Conditional::default()).await.unwrap();
    let enabled = manager.enable(&world.staff, made.id, Conditional::default()).await.unwrap().endpoint;
    assert_eq!(enabled.settings.enabled_at, world.clock.now());
}
