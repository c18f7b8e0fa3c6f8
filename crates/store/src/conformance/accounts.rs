//! Accounts and memberships.

use std::sync::Arc;

use dabba_domain::Role;

use super::builders::World;
use crate::{Account, AccountCreation, PageSize, Store};

async fn create(store: &Arc<dyn Store>, account: &Account) {
    assert_eq!(store.create_account(account).await.unwrap(), AccountCreation::Created);
}

/// A created account is found by its id and by its address, in every role.
pub async fn a_created_account_is_stored_exactly(store: Arc<dyn Store>) {
    let mut world = World::new(71);
    for role in Role::ALL {
        let account = world.account(role);
        assert_eq!(store.account(account.id).await.unwrap(), None);
        assert_eq!(store.account_by_email(&account.email).await.unwrap(), None);
        create(&store, &account).await;
        assert_eq!(store.account(account.id).await.unwrap().as_ref(), Some(&account));
        assert_eq!(store.account_by_email(&account.email).await.unwrap(), Some(account));
    }
}

/// A registration with a taken address is refused, and the existing account does not change.
pub async fn an_address_has_one_account(store: Arc<dyn Store>) {
    let mut world = World::new(72);
    let first = world.account(Role::Customer);
    create(&store, &first).await;
    let second = Account { email: first.email.clone(), ..world.account(Role::Admin) };
    assert_eq!(store.create_account(&second).await.unwrap(), AccountCreation::EmailTaken);
    assert_eq!(store.account(second.id).await.unwrap(), None);
    assert_eq!(store.account_by_email(&first.email).await.unwrap(), Some(first));
}

/// One of several concurrent registrations of an address succeeds.
pub async fn one_of_many_concurrent_registrations_of_an_address_succeeds(store: Arc<dyn Store>) {
    let mut world = World::new(73);
    let email = world.account(Role::Customer).email;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let account = Account { email: email.clone(), ..world.account(Role::Customer) };
        let store = Arc::clone(&store);
        running.spawn(async move { (store.create_account(&account).await.unwrap(), account) });
    }
    let results = running.join_all().await;
    let created: Vec<_> =
        results.iter().filter(|(creation, _)| *creation == AccountCreation::Created).collect();
    assert_eq!(created.len(), 1);
    assert_eq!(store.account_by_email(&email).await.unwrap().as_ref(), Some(&created[0].1));
}

/// Adding a member twice has the effect of once; removing a member twice finds none the second time.
pub async fn a_membership_is_added_and_removed_once(store: Arc<dyn Store>) {
    let mut world = World::new(74);
    let restaurant = world.restaurant_id();
    let account = world.account(Role::Restaurant);
    create(&store, &account).await;
    assert!(!store.remove_member(restaurant, account.id).await.unwrap());
    store.add_member(restaurant, account.id).await.unwrap();
    store.add_member(restaurant, account.id).await.unwrap();
    let members = store.members(restaurant, None, PageSize::DEFAULT).await.unwrap();
    assert_eq!(members, std::slice::from_ref(&account));
    assert!(!store.remove_member(world.restaurant_id(), account.id).await.unwrap());
    assert!(store.remove_member(restaurant, account.id).await.unwrap());
    assert!(!store.remove_member(restaurant, account.id).await.unwrap());
    assert_eq!(store.members(restaurant, None, PageSize::DEFAULT).await.unwrap(), []);
    assert_eq!(store.account(account.id).await.unwrap(), Some(account), "the account still exists");
}

/// Members are listed once each, ordered by id, without the staff of other restaurants.
pub async fn members_are_read_in_pages(store: Arc<dyn Store>) {
    let mut world = World::new(75);
    let (restaurant, other) = (world.restaurant_id(), world.restaurant_id());
    let mut members = Vec::new();
    for index in 0..10 {
        let account = world.account(Role::Restaurant);
        create(&store, &account).await;
        if index % 3 == 2 {
            store.add_member(other, account.id).await.unwrap();
        } else {
            store.add_member(restaurant, account.id).await.unwrap();
            members.push(account);
        }
    }
    members.sort_by_key(|account| account.id);
    let limit = PageSize::new(3).unwrap();
    assert_eq!(store.members(restaurant, None, limit).await.unwrap(), members[..3]);
    assert_eq!(store.members(restaurant, Some(members[2].id), limit).await.unwrap(), members[3..6]);
    assert_eq!(store.members(restaurant, Some(members[5].id), limit).await.unwrap(), members[6..]);
    assert_eq!(store.members(restaurant, Some(members[6].id), limit).await.unwrap(), []);
}

/// An account's restaurants are listed by id; an unknown account has none.
pub async fn an_account_works_for_several_restaurants(store: Arc<dyn Store>) {
    let mut world = World::new(76);
    let account = world.account(Role::Restaurant);
    let other = world.account(Role::Restaurant);
    create(&store, &account).await;
    create(&store, &other).await;
    let mut restaurants: Vec<_> = (0..4).map(|_| world.restaurant_id()).collect();
    for restaurant in restaurants.iter().rev() {
        store.add_member(*restaurant, account.id).await.unwrap();
    }
    store.add_member(restaurants[0], other.id).await.unwrap();
    restaurants.sort();
    assert_eq!(store.memberships(account.id).await.unwrap(), restaurants);
    assert_eq!(store.memberships(world.account_id()).await.unwrap(), []);
    store.remove_member(restaurants[1], account.id).await.unwrap();
    restaurants.remove(1);
    assert_eq!(store.memberships(account.id).await.unwrap(), restaurants);
}
