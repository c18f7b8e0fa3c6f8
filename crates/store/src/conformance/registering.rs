//! Restaurants with external ids, closed restaurants, and keys whose scope is an account alone.

use std::sync::Arc;

use dabba_domain::{
    ExternalId, Role,
    order::Version,
    restaurant::{Pause, PermanentClosure, Restaurant},
    text::Note,
};

use super::builders::{World, menu};
use crate::{
    Account, AccountCreation, CatalogueUpdate, Claim, ClaimAt, ClaimOutcome, ClaimRecord, Fingerprint,
    PageSize, Resource, RestaurantCreation, Store, UnderKey, encoding::FINGERPRINT_VERSION,
};

/// Returns the record of a claim for this resource.
fn record_of(claim: &Claim, resource: Resource, version: Version) -> ClaimRecord {
    let fingerprint_version = FINGERPRINT_VERSION;
    ClaimRecord { fingerprint: claim.fingerprint, fingerprint_version, resource, version }
}

/// Returns a restaurant with an external id, in the bucket of the external id.
fn restaurant(world: &mut World, external_id: &str) -> Restaurant {
    let external_id = ExternalId::new(external_id).unwrap();
    let mut restaurant = world.restaurant();
    restaurant.id = dabba_domain::RestaurantId::generate(world.now(), external_id.bucket(), world.random());
    restaurant.settings.external_id = Some(external_id);
    restaurant
}

/// A second restaurant with the same external id is refused. The outcome names the first restaurant, which does not
/// change.
pub async fn an_external_id_has_one_restaurant(store: Arc<dyn Store>) {
    let mut world = World::new(191);
    let external_id = ExternalId::new("POS-1").unwrap();
    assert_eq!(store.restaurant_by_external_id(&external_id).await.unwrap(), None);
    let first = restaurant(&mut world, "POS-1");
    assert!(store.create_restaurant(&first, &menu(&["naan"])).await.unwrap().is_created());
    let before = store.catalogue(first.id).await.unwrap().unwrap();
    assert_eq!(before.restaurant, first);
    assert_eq!(store.restaurant_by_external_id(&external_id).await.unwrap(), Some(first.id));
    let second = restaurant(&mut world, "POS-1");
    let refused = store.create_restaurant(&second, &menu(&["dal"])).await.unwrap();
    assert_eq!(refused, RestaurantCreation::ExternalIdTaken { by: first.id });
    assert_eq!(store.catalogue(second.id).await.unwrap(), None);
    let again = store.create_restaurant(&first, &menu(&["dal"])).await.unwrap();
    assert_eq!(again, RestaurantCreation::IdTaken);
    assert_eq!(store.catalogue(first.id).await.unwrap().unwrap(), before);
    // External ids are case-sensitive, and restaurants without an external id do not conflict.
    for other in [restaurant(&mut world, "pos-1"), world.restaurant(), world.restaurant()] {
        assert!(store.create_restaurant(&other, &menu(&["naan"])).await.unwrap().is_created());
    }
    // Updates do not change the external id.
    assert_eq!(store.update_restaurant(&first, 1).await.unwrap(), CatalogueUpdate::Done { revision: 2 });
    assert_eq!(store.restaurant_by_external_id(&external_id).await.unwrap(), Some(first.id));
}

/// One of several concurrent registrations of an external id succeeds.
pub async fn one_of_many_concurrent_registrations_of_an_external_id_succeeds(store: Arc<dyn Store>) {
    let mut world = World::new(192);
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, restaurant) = (Arc::clone(&store), restaurant(&mut world, "POS-2"));
        running.spawn(async move {
            (restaurant.id, store.create_restaurant(&restaurant, &menu(&["naan"])).await.unwrap())
        });
    }
    let results = running.join_all().await;
    let created: Vec<_> = results.iter().filter(|(_, creation)| creation.is_created()).collect();
    let [(winner, _)] = created[..] else { panic!("{results:?}") };
    for (id, creation) in &results {
        if id != winner {
            assert_eq!(*creation, RestaurantCreation::ExternalIdTaken { by: *winner });
        }
    }
}

/// The closure is stored, can be reverted, and determines the lists that contain the restaurant.
pub async fn a_closed_restaurant_is_stored_exactly(store: Arc<dyn Store>) {
    let mut world = World::new(193);
    let mut restaurant = world.restaurant();
    let other = world.restaurant();
    for restaurant in [&restaurant, &other] {
        store.create_restaurant(restaurant, &menu(&["naan"])).await.unwrap();
    }
    let reason = Note::new("The lease has ended.").unwrap();
    restaurant.closed = Some(PermanentClosure { at: world.in_seconds(5), reason });
    restaurant.pause = Some(Pause::by_person(None));
    store.update_restaurant(&restaurant, 1).await.unwrap();
    restaurant.revision = 2;
    assert_eq!(store.catalogue(restaurant.id).await.unwrap().unwrap().restaurant, restaurant);
    let listed = async |is_closed| {
        let page = store.restaurants(None, is_closed, PageSize::DEFAULT).await.unwrap();
        page.restaurants.into_iter().map(|restaurant| restaurant.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(None).await.len(), 2);
    assert_eq!(listed(Some(true)).await, [restaurant.id]);
    assert_eq!(listed(Some(false)).await, [other.id]);
    let one = PageSize::new(1).unwrap();
    let behind = store.restaurants(Some(restaurant.id.min(other.id)), Some(false), one).await.unwrap();
    assert!(behind.restaurants.iter().all(|restaurant| restaurant.id == other.id));
    restaurant.closed = None;
    store.update_restaurant(&restaurant, 2).await.unwrap();
    assert_eq!(listed(Some(true)).await, []);
}

/// A change that is retried under its key is not made again, whatever has happened since.
pub async fn a_restaurant_is_changed_once_under_a_key(store: Arc<dyn Store>) {
    let mut world = World::new(194);
    let mut restaurant = world.restaurant();
    let id = restaurant.id;
    store.create_restaurant(&restaurant, &menu(&["naan"])).await.unwrap();
    let account = world.account_id();
    let claim = world.claim(account);
    let at = ClaimAt { claim: &claim, at: world.now() };
    restaurant.pause = Some(Pause::by_person(None));
    // A refused change claims no key.
    let refused = store.update_restaurant_under(&restaurant, 7, Some(at)).await.unwrap();
    assert_eq!(refused, UnderKey::Ended(CatalogueUpdate::Conflict { current: 1 }));
    let paused = store.update_restaurant_under(&restaurant, 1, Some(at)).await.unwrap();
    assert_eq!(paused, UnderKey::Ended(CatalogueUpdate::Done { revision: 2 }));
    let record = record_of(&claim, Resource::Restaurant(id), 2);
    restaurant.pause = None;
    store.update_restaurant(&restaurant, 2).await.unwrap();
    restaurant.pause = Some(Pause::by_person(None));
    for expected in [1, 3] {
        let again = store.update_restaurant_under(&restaurant, expected, Some(at)).await.unwrap();
        assert_eq!(again, UnderKey::Claimed(record.clone()));
    }
    assert_eq!(store.catalogue(id).await.unwrap().unwrap().restaurant.pause, None);
    assert_eq!(store.find_claim(account, id, &claim.key).await.unwrap(), Some(record));
}

/// A registration that is retried under its key is answered as a retry, before its address is checked.
pub async fn an_account_is_registered_once_under_a_key(store: Arc<dyn Store>) {
    let mut world = World::new(195);
    let admin = world.account_id();
    let claim = world.claim(admin);
    let at = ClaimAt { claim: &claim, at: world.now() };
    let taken = world.account(Role::Customer);
    store.create_account(&taken).await.unwrap();
    // A refused registration claims no key.
    let second = Account { email: taken.email, ..world.account(Role::Customer) };
    let refused = store.create_account_under(&second, None, Some(at)).await.unwrap();
    assert_eq!(refused, UnderKey::Ended(AccountCreation::EmailTaken));
    assert_eq!(store.find_account_claim(admin, &claim.key).await.unwrap(), None);
    let account = world.account(Role::Courier);
    let created = store.create_account_under(&account, None, Some(at)).await.unwrap();
    assert_eq!(created, UnderKey::Ended(AccountCreation::Created));
    let record = record_of(&claim, Resource::Account(account.id), 1);
    let again = Account { email: account.email, ..world.account(Role::Courier) };
    let replayed = store.create_account_under(&again, None, Some(at)).await.unwrap();
    assert_eq!(replayed, UnderKey::Claimed(record.clone()));
    assert_eq!(store.account(again.id).await.unwrap(), None);
    assert_eq!(store.find_account_claim(admin, &claim.key).await.unwrap(), Some(record));
    assert_eq!(store.find_account_claim(world.account_id(), &claim.key).await.unwrap(), None);
}

/// Of many concurrent claims of a key, one succeeds, and all others find its record. The same key in the scope of a
/// restaurant is another key.
pub async fn a_key_of_an_account_is_claimed_once(store: Arc<dyn Store>) {
    let mut world = World::new(196);
    let account = world.account_id();
    let (claim, at) = (world.claim(account), world.now());
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, claim) = (Arc::clone(&store), claim.clone());
        let resource = Resource::Restaurant(world.restaurant_id());
        running.spawn(async move {
            let at = ClaimAt { claim: &claim, at };
            (resource.clone(), store.claim_for_account(at, &resource, 1).await.unwrap())
        });
    }
    let results = running.join_all().await;
    let claimed: Vec<_> = results.iter().filter(|(_, outcome)| *outcome == ClaimOutcome::Claimed).collect();
    let [(resource, _)] = &claimed[..] else { panic!("{results:?}") };
    let record = record_of(&claim, resource.clone(), 1);
    let found = results.iter().filter(|(_, outcome)| *outcome == ClaimOutcome::Found(record.clone()));
    assert_eq!(found.count(), 7, "{results:?}");
    let id = world.restaurant_id();
    assert_eq!(store.find_claim(account, id, &claim.key).await.unwrap(), None);
    let mut placed = world.place(id, account);
    placed.claim = Some(Claim { fingerprint: Fingerprint([3; 32]), ..claim.clone() });
    assert_eq!(store.commit(vec![placed]).await.unwrap(), [crate::CommitOutcome::Committed]);
    assert_eq!(store.find_account_claim(account, &claim.key).await.unwrap(), Some(record));
}

/// Keys of an account alone are listed before the account's keys for restaurants, and are deleted like them.
pub async fn keys_of_accounts_are_listed_and_deleted(store: Arc<dyn Store>) {
    let mut world = World::new(197);
    let account = world.account_id();
    let (claim, at) = (world.claim(account), world.now());
    let resource = Resource::Account(account);
    store.claim_for_account(ClaimAt { claim: &claim, at }, &resource, 1).await.unwrap();
    let placed = {
        let restaurant = world.restaurant_id();
        world.place(restaurant, account)
    };
    let restaurant_id = placed.restaurant_id;
    store.commit(vec![placed]).await.unwrap();
    for limit in [1, 10] {
        let limit = PageSize::new(limit).unwrap();
        let first = store.all_claims(None, limit).await.unwrap().entries;
        assert_eq!((first[0].key.restaurant_id, &first[0].record.resource), (None, &resource));
        let behind = store.all_claims(Some(&first[0].key), limit).await.unwrap().entries;
        assert_eq!(behind.len(), 1);
        assert_eq!(behind[0].key.restaurant_id, Some(restaurant_id));
    }
    assert_eq!(store.delete_expired_keys(world.in_seconds(60), 10).await.unwrap(), 2);
    assert_eq!(store.find_account_claim(account, &claim.key).await.unwrap(), None);
}
