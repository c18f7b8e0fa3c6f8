//! Webhook endpoints, and following them by revision.

use std::sync::Arc;

use dabba_domain::{Bucket, Role, Timestamp, WebhookEndpointId};

use super::builders::World;
use crate::{
    Claim, ClaimAt, Credential, Fingerprint, PageSize, Resource, SealedSecret, Store, StoreError, UnderKey,
    WebhookContentType, WebhookCreation, WebhookEndpoint, WebhookFault, WebhookHealth, WebhookOwner,
    WebhookPayload, WebhookSettings, WebhookState, WebhookUpdate, WebhookUpdated, least_revision,
};

/// Returns a new endpoint of an owner.
pub(super) fn endpoint(world: &mut World, owner: WebhookOwner) -> WebhookEndpoint {
    let created_by = world.account_id();
    let (at, random) = (world.tick(), world.random());
    WebhookEndpoint {
        id: WebhookEndpointId::generate(at, Bucket::from_random(random), random),
        owner,
        settings: WebhookSettings {
            url: "https://example.org/hook?q=\"ä\"".to_owned(),
            types: vec!["placed".to_owned(), "accepted".to_owned()],
            payload: WebhookPayload::Order,
            content_type: WebhookContentType::CloudEvents,
            concurrency: 8,
            batch: 100,
            state: WebhookState::Enabled,
            enabled_at: at,
            requested_attempts: 0,
            secrets: vec![
                SealedSecret { sealed: Box::from([0, 255, 1]), until: None },
                SealedSecret { sealed: Box::default(), until: Some(at) },
            ],
            start: "r2~main.0123456789abcdef.740-17".to_owned(),
        },
        created_at: at,
        created_by,
        deleted_at: None,
        version: 1,
        revision: 0,
        positioned: 0,
        health: WebhookHealth::default(),
    }
}

/// Returns the result of a write, which is repeated while other writers prevail: many write at once.
async fn persistently<T, F>(write: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, StoreError>>,
{
    loop {
        match write().await {
            Err(StoreError::Contention(_)) => {}
            result => return result.unwrap(),
        }
    }
}

/// Writes an endpoint, and returns it as stored.
pub(super) async fn created(store: &Arc<dyn Store>, endpoint: WebhookEndpoint) -> WebhookEndpoint {
    let creation = persistently(|| store.create_webhook_endpoint_under(&endpoint, 1_000, None, None)).await;
    assert_eq!(creation, UnderKey::Ended(WebhookCreation::Created));
    store.webhook_endpoint(endpoint.id).await.unwrap().unwrap()
}

fn update_of(endpoint: &WebhookEndpoint, at: Timestamp) -> WebhookUpdate {
    let expected = endpoint.version;
    WebhookUpdate { endpoint: endpoint.clone(), expected, repositions: false, by: None, at }
}

async fn updated(store: &Arc<dyn Store>, update: &WebhookUpdate) -> WebhookEndpoint {
    match persistently(|| store.update_webhook_endpoint_under(update, None)).await {
        UnderKey::Ended(WebhookUpdated::Done(endpoint)) => *endpoint,
        other => panic!("{other:?}"),
    }
}

/// An endpoint is returned as it was written, and listed by owner in pages.
pub async fn a_webhook_endpoint_is_stored_exactly(store: Arc<dyn Store>) {
    let mut world = World::new(620);
    let owners = [WebhookOwner::Platform, WebhookOwner::Restaurant(world.restaurant_id())];
    let mut all = Vec::new();
    for number in 0..6 {
        let written = endpoint(&mut world, owners[number % 2]);
        let stored = created(&store, written.clone()).await;
        assert!(stored.revision >= least_revision(written.created_at));
        assert_eq!(stored.positioned, stored.revision);
        let WebhookEndpoint { revision, positioned, .. } = stored;
        assert_eq!(stored, WebhookEndpoint { revision, positioned, ..written });
        all.push(stored);
    }
    all.sort_by_key(|endpoint| endpoint.id);
    let limit = PageSize::new(2).unwrap();
    for owner in [None, Some(owners[0]), Some(owners[1])] {
        let expected: Vec<_> = all
            .iter()
            .filter(|endpoint| owner.is_none_or(|owner| endpoint.owner == owner))
            .cloned()
            .collect();
        let (mut after, mut listed) = (None, Vec::new());
        loop {
            let page = store.webhook_endpoints(owner, after, limit).await.unwrap();
            assert!(page.len() <= 2);
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            listed.extend(page);
        }
        assert_eq!(listed, expected, "{owner:?}");
    }
}

/// An endpoint is changed only at its version, gets a new version and revision, and begins anew only by a replay.
pub async fn a_webhook_endpoint_is_changed_only_at_its_version(store: Arc<dyn Store>) {
    let mut world = World::new(621);
    let fresh = endpoint(&mut world, WebhookOwner::Platform);
    let mut first = created(&store, fresh).await;
    "https://example.org/other".clone_into(&mut first.settings.url);
    let second = updated(&store, &update_of(&first, world.now())).await;
    assert_eq!((second.version, second.positioned, &second.settings), (2, first.revision, &first.settings));
    assert!(second.revision > first.revision);
    assert_eq!(store.webhook_endpoint(first.id).await.unwrap().as_ref(), Some(&second));
    let stale = store.update_webhook_endpoint_under(&update_of(&first, world.now()), None).await.unwrap();
    assert_eq!(stale, UnderKey::Ended(WebhookUpdated::Conflict { current: 2 }));
    let replay = WebhookUpdate { repositions: true, ..update_of(&second, world.now()) };
    let mut third = updated(&store, &replay).await;
    assert_eq!((third.version, third.positioned), (3, third.revision));
    third.delete(world.now());
    let deleted = updated(&store, &update_of(&third, world.now())).await;
    assert!(deleted.settings.secrets.is_empty() && deleted.deleted_at.is_some());
    assert_eq!(store.webhook_endpoint(third.id).await.unwrap(), None);
    assert_eq!(store.webhook_endpoints(None, None, PageSize::DEFAULT).await.unwrap(), []);
    let gone = store.update_webhook_endpoint_under(&update_of(&deleted, world.now()), None).await.unwrap();
    assert_eq!(gone, UnderKey::Ended(WebhookUpdated::NotFound));
    let changes = store.webhook_changes(0, 10).await.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].endpoint.as_ref(), Ok(&deleted), "senders learn of the deletion");
}

/// One of many concurrent changes of a version succeeds.
pub async fn one_of_many_concurrent_changes_of_a_webhook_endpoint_succeeds(store: Arc<dyn Store>) {
    let mut world = World::new(622);
    let fresh = endpoint(&mut world, WebhookOwner::Platform);
    let before = created(&store, fresh).await;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (store, update) = (Arc::clone(&store), update_of(&before, world.tick()));
        running.spawn(async move { store.update_webhook_endpoint_under(&update, None).await.unwrap() });
    }
    let outcomes = running.join_all().await;
    let done = outcomes.iter().filter(|outcome| matches!(outcome, UnderKey::Ended(WebhookUpdated::Done(_))));
    assert_eq!(done.count(), 1, "{outcomes:?}");
    assert_eq!(store.webhook_endpoint(before.id).await.unwrap().unwrap().version, 2);
}

/// A key creates one endpoint and makes one change. Its record leads to the endpoint.
pub async fn a_webhook_endpoint_is_written_once_under_a_key(store: Arc<dyn Store>) {
    let mut world = World::new(623);
    let fresh = endpoint(&mut world, WebhookOwner::Platform);
    let claim = |world: &mut World| Claim {
        account_id: fresh.created_by,
        key: world.key(),
        fingerprint: Fingerprint([3; 32]),
    };
    let (create, change) = (claim(&mut world), claim(&mut world));
    let at = |claim| Some(ClaimAt { claim, at: fresh.created_at });
    let created = store.create_webhook_endpoint_under(&fresh, 10, None, at(&create)).await.unwrap();
    assert_eq!(created, UnderKey::Ended(WebhookCreation::Created));
    let other = endpoint(&mut world, WebhookOwner::Platform);
    let replayed = store.create_webhook_endpoint_under(&other, 10, None, at(&create)).await.unwrap();
    let UnderKey::Claimed(record) = replayed else { panic!("the key was already claimed") };
    assert_eq!((record.resource, record.version), (Resource::WebhookEndpoint(fresh.id), 1));
    assert_eq!(store.webhook_endpoint(other.id).await.unwrap(), None);
    let update = update_of(&fresh, world.now());
    let done = store.update_webhook_endpoint_under(&update, at(&change)).await.unwrap();
    assert!(matches!(done, UnderKey::Ended(WebhookUpdated::Done(_))), "{done:?}");
    let replayed = store.update_webhook_endpoint_under(&update, at(&change)).await.unwrap();
    let UnderKey::Claimed(record) = replayed else { panic!("the key was already claimed") };
    assert_eq!((record.resource, record.version), (Resource::WebhookEndpoint(fresh.id), 2));
}

/// An owner has at most the maximum number of endpoints, also under concurrent creations; deleted endpoints do not
/// count.
pub async fn the_webhook_endpoints_of_an_owner_are_limited(store: Arc<dyn Store>) {
    let mut world = World::new(624);
    let owner = WebhookOwner::Restaurant(world.restaurant_id());
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (store, fresh) = (Arc::clone(&store), endpoint(&mut world, owner));
        running
            .spawn(async move { store.create_webhook_endpoint_under(&fresh, 3, None, None).await.unwrap() });
    }
    let outcomes = running.join_all().await;
    let done = outcomes.iter().filter(|outcome| **outcome == UnderKey::Ended(WebhookCreation::Created));
    assert_eq!(done.count(), 3, "{outcomes:?}");
    let mut first = store.webhook_endpoints(Some(owner), None, PageSize::DEFAULT).await.unwrap().remove(0);
    first.delete(world.now());
    updated(&store, &update_of(&first, world.now())).await;
    for expected in [WebhookCreation::Created, WebhookCreation::TooMany] {
        let fresh = endpoint(&mut world, owner);
        let creation = store.create_webhook_endpoint_under(&fresh, 3, None, None).await.unwrap();
        assert_eq!(creation, UnderKey::Ended(expected));
    }
    let fresh = endpoint(&mut world, WebhookOwner::Platform);
    let creation = store.create_webhook_endpoint_under(&fresh, 0, None, None).await.unwrap();
    assert_eq!(creation, UnderKey::Ended(WebhookCreation::TooMany));
}

/// A caller whose token is void neither creates nor changes an endpoint.
pub async fn a_revoked_caller_writes_no_webhook_endpoint(store: Arc<dyn Store>) {
    let mut world = World::new(625);
    let fresh = endpoint(&mut world, WebhookOwner::Platform);
    let stored = created(&store, fresh).await;
    let account = world.account_id();
    let by = Some(Credential { account_id: account, role: Role::Admin, as_of: 0, kept: None });
    store.revoke(crate::Subject::Account(account), None, world.now()).await.unwrap();
    let other = endpoint(&mut world, WebhookOwner::Platform);
    let creation = store.create_webhook_endpoint_under(&other, 10, by, None).await.unwrap();
    assert_eq!(creation, UnderKey::Ended(WebhookCreation::CallerRevoked));
    let update = WebhookUpdate { by, ..update_of(&stored, world.now()) };
    let outcome = store.update_webhook_endpoint_under(&update, None).await.unwrap();
    assert_eq!(outcome, UnderKey::Ended(WebhookUpdated::CallerRevoked));
    assert_eq!(store.webhook_changes(0, 10).await.unwrap().len(), 1);
    assert_eq!(store.webhook_endpoint(stored.id).await.unwrap(), Some(stored));
}

/// A follower that reads changes while others write misses none: it never finds a revision below one that it has read.
pub async fn no_change_of_a_webhook_endpoint_is_missed(store: Arc<dyn Store>) {
    let mut world = World::new(626);
    let fresh: Vec<_> = (0..24).map(|_| endpoint(&mut world, WebhookOwner::Platform)).collect();
    let mut running = tokio::task::JoinSet::new();
    for endpoint in fresh.clone() {
        let (store, at) = (Arc::clone(&store), world.now());
        running.spawn(async move {
            let created = created(&store, endpoint).await;
            updated(&store, &update_of(&created, at)).await;
        });
    }
    let (mut cursor, mut latest) = (0, std::collections::BTreeMap::new());
    while !fresh.iter().all(|endpoint| latest.get(&endpoint.id) == Some(&2)) {
        let page = store.webhook_changes(cursor, 5).await.unwrap();
        if page.is_empty() {
            // If all writers had ended before this read, the follower has missed a change.
            running.join_next().await.expect("a change is missed").unwrap();
        }
        for change in page {
            assert!(change.revision > cursor);
            cursor = change.revision;
            latest.insert(change.id, change.endpoint.unwrap().version);
        }
    }
    running.join_all().await;
    assert_eq!(store.webhook_changes(cursor, 5).await.unwrap(), []);
}

/// The health of an endpoint keeps the latest success and failure, and changes neither version nor revision.
pub async fn the_health_of_a_webhook_endpoint_is_the_latest(store: Arc<dyn Store>) {
    let mut world = World::new(627);
    let fresh = endpoint(&mut world, WebhookOwner::Platform);
    let before = created(&store, fresh).await;
    let fault = |at, error: &str| Some(WebhookFault { at, status: Some(500), error: error.to_owned() });
    let (early, late) = (world.tick(), world.tick());
    let unknown = endpoint(&mut world, WebhookOwner::Platform).id;
    let report = |last_success, last_failure| WebhookHealth { last_success, last_failure };
    for (given, expected) in [
        (report(Some(early), None), report(Some(early), None)),
        (report(None, fault(late, "late\0")), report(Some(early), fault(late, "late\u{fffd}"))),
        (report(Some(late), fault(early, "early")), report(Some(late), fault(late, "late\u{fffd}"))),
        (report(Some(early), None), report(Some(late), fault(late, "late\u{fffd}"))),
    ] {
        store
            .report_webhook_health(&[(before.id, given), (unknown, report(Some(late), None))])
            .await
            .unwrap();
        let after = store.webhook_endpoint(before.id).await.unwrap().unwrap();
        assert_eq!(after, WebhookEndpoint { health: expected, ..before.clone() });
    }
    store.report_webhook_health(&[]).await.unwrap();
    assert_eq!(store.webhook_changes(before.revision, 10).await.unwrap(), []);
}

/// Number of endpoints in concurrent reports about health. A report that locks them one after the other, in an order of
/// its own, takes long enough to meet another one.
const REPORTED: usize = 200;

/// Processes that report the health of the same endpoints at the same time, in different orders, wait for each other.
pub async fn concurrent_reports_of_the_same_health_succeed(store: Arc<dyn Store>) {
    let mut world = World::new(628);
    let (mut reports, at) = (Vec::new(), world.tick());
    for _ in 0..REPORTED {
        let fresh = endpoint(&mut world, WebhookOwner::Platform);
        let id = created(&store, fresh).await.id;
        reports.push((id, WebhookHealth { last_success: Some(at), last_failure: None }));
    }
    for _ in 0..10 {
        let mut running = tokio::task::JoinSet::new();
        for number in 0..6 {
            let (store, mut reports) = (Arc::clone(&store), reports.clone());
            if number % 2 == 0 {
                reports.reverse();
            }
            running.spawn(async move { store.report_webhook_health(&reports).await });
        }
        while let Some(reported) = running.join_next().await {
            reported.unwrap().unwrap();
        }
    }
    let page = store.webhook_endpoints(None, None, PageSize::DEFAULT).await.unwrap();
    assert!(page.iter().all(|endpoint| endpoint.health.last_success == Some(at)));
}

/// A purge removes endpoints that were deleted up to a revision and a time, and no others.
pub async fn only_forgotten_webhook_endpoints_are_purged(store: Arc<dyn Store>) {
    let mut world = World::new(629);
    let fresh = endpoint(&mut world, WebhookOwner::Platform);
    let kept = created(&store, fresh).await;
    let mut deleted = Vec::new();
    for _ in 0..4 {
        let fresh = endpoint(&mut world, WebhookOwner::Platform);
        let mut endpoint = created(&store, fresh).await;
        let at = world.tick();
        endpoint.delete(at);
        deleted.push(updated(&store, &update_of(&endpoint, at)).await);
    }
    let left = async || {
        let changes = store.webhook_changes(0, 10).await.unwrap();
        changes.into_iter().map(|change| change.id).collect::<Vec<_>>()
    };
    let ids = |endpoints: &[WebhookEndpoint]| {
        [kept.id].into_iter().chain(endpoints.iter().map(|endpoint| endpoint.id)).collect::<Vec<_>>()
    };
    let (last, now) = (deleted[3].revision, world.tick());
    let second_at = deleted[1].deleted_at.unwrap();
    for (known, until, limit, purged, rest) in [
        // Deleted, but not known by every shard.
        (deleted[0].revision - 1, now, 10, 0, 0),
        // Known, but deleted too late.
        (last, kept.created_at, 10, 0, 0),
        (deleted[0].revision, now, 10, 1, 1),
        (last, second_at, 10, 1, 2),
        (last, now, 1, 1, 3),
        (last, now, 10, 1, 4),
        (last, now, 10, 0, 4),
    ] {
        assert_eq!(store.purge_webhook_endpoints(known, until, limit).await, Ok(purged));
        assert_eq!(left().await, ids(&deleted[rest..]));
    }
    let again = store.update_webhook_endpoint_under(&update_of(&deleted[0], now), None).await.unwrap();
    assert_eq!(again, UnderKey::Ended(WebhookUpdated::NotFound));
    assert_eq!(store.webhook_endpoint(kept.id).await.unwrap(), Some(kept));
}
