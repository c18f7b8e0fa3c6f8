//! Service accounts and API keys.

use std::sync::Arc;

use dabba_domain::{ApiKeyId, Bucket, Role, Timestamp, text::Name};

use super::builders::{World, disabled, done, edit};
use crate::{
    Account, AccountChange, AccountCreation, AccountEditOutcome, AccountHolder, ApiKey, ApiKeyCreation,
    Claim, ClaimAt, Credential, CredentialId, CredentialRevocation, Fingerprint, KeptCredential, NewApiKey,
    PageSize, Resource, SecretHash, Store, Subject, UnderKey,
};

async fn service(store: &Arc<dyn Store>, world: &mut World, role: Role) -> Account {
    let account = Account::service(world.account_id(), Name::new("Till").unwrap(), role, world.now());
    assert_eq!(store.create_account(&account).await.unwrap(), AccountCreation::Created);
    account
}

/// Returns a new key of an account. Its hash consists of this byte.
fn new_key(world: &mut World, account: &Account, hash: u8) -> NewApiKey {
    let id = ApiKeyId::generate(world.now(), Bucket::from_random(world.random()), world.random());
    let key = ApiKey {
        id,
        account_id: account.id,
        name: Name::new("Front desk").unwrap(),
        scopes: None,
        as_of: account.revocation,
        created_at: world.now(),
        created_by: world.account_id(),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    };
    NewApiKey { key, hash: SecretHash([hash; 32]), max_active: 20 }
}

async fn create(store: &Arc<dyn Store>, new: &NewApiKey) -> ApiKeyCreation {
    match store.create_api_key_under(new, None, None).await.unwrap() {
        UnderKey::Ended(creation) => creation,
        UnderKey::Claimed(record) => panic!("{record:?}"),
    }
}

async fn created(store: &Arc<dyn Store>, new: &NewApiKey) -> ApiKey {
    match create(store, new).await {
        ApiKeyCreation::Created(key) => *key,
        other => panic!("{other:?}"),
    }
}

/// A service account is stored exactly, listed by its holder, and no enabled admin: the last person who is one stays.
pub async fn a_service_account_is_listed_by_its_holder(store: Arc<dyn Store>) {
    let mut world = World::new(271);
    let person = world.account(Role::Admin);
    assert_eq!(store.create_account(&person).await.unwrap(), AccountCreation::Created);
    let admin = service(&store, &mut world, Role::Admin).await;
    let till = service(&store, &mut world, Role::Restaurant).await;
    assert_eq!(store.account(till.id).await.unwrap().as_ref(), Some(&till));
    assert_eq!(till.address(), None);
    let limit = PageSize::DEFAULT;
    for (holder, role, after, expected) in [
        (Some(AccountHolder::Service), None, None, vec![&admin, &till]),
        (Some(AccountHolder::Service), None, Some(admin.id), vec![&till]),
        (Some(AccountHolder::Service), Some(Role::Admin), None, vec![&admin]),
        (Some(AccountHolder::Person), None, None, vec![&person]),
        (Some(AccountHolder::Person), Some(Role::Restaurant), None, vec![]),
        (None, Some(Role::Admin), None, vec![&person, &admin]),
    ] {
        let listed = store.accounts(holder, role, after, limit).await.unwrap();
        assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{holder:?} {role:?}");
    }
    let change = disabled(true);
    let refused = store.edit_account(&edit(&world, &person, change)).await.unwrap();
    assert_eq!(refused, AccountEditOutcome::LastAdmin);
    done(&store, &edit(&world, &admin, disabled(true))).await;
}

/// A key is stored exactly and found by its hash with its account; keys of an account are listed in pages by id.
pub async fn a_key_is_found_by_its_hash(store: Arc<dyn Store>) {
    let mut world = World::new(272);
    let account = service(&store, &mut world, Role::Restaurant).await;
    let other = service(&store, &mut world, Role::Restaurant).await;
    let mut keys = Vec::new();
    for hash in 1..=5 {
        let mut new = new_key(&mut world, &account, hash);
        if hash == 2 {
            new.key.scopes = Some(vec!["orders:read".to_owned(), "of:a:newer:version".to_owned()]);
            new.key.expires_at = Some(Timestamp::from_second(world.now().as_second() + 60).unwrap());
        }
        let key = created(&store, &new).await;
        assert_eq!(key, new.key);
        assert_eq!(store.api_key(key.id).await.unwrap().as_ref(), Some(&key));
        let found = store.api_key_by_hash(&new.hash).await.unwrap();
        assert_eq!(found, Some((key.clone(), account.clone())));
        keys.push(key);
        world.tick();
    }
    created(&store, &new_key(&mut world, &other, 9)).await;
    assert_eq!(store.api_key_by_hash(&SecretHash([8; 32])).await.unwrap(), None);
    keys.sort_by_key(|key| key.id);
    let limit = PageSize::new(3).unwrap();
    assert_eq!(store.api_keys(account.id, None, limit).await.unwrap(), keys[..3]);
    assert_eq!(store.api_keys(account.id, Some(keys[2].id), limit).await.unwrap(), keys[3..]);
    assert_eq!(store.api_keys(world.account_id(), None, limit).await.unwrap(), []);
}

/// Keys are created for enabled service accounts only, up to the limit of active keys, also concurrently; revoked and expired keys
/// do not count.
pub async fn active_keys_are_limited(store: Arc<dyn Store>) {
    let mut world = World::new(273);
    let person = world.account(Role::Restaurant);
    assert_eq!(store.create_account(&person).await.unwrap(), AccountCreation::Created);
    assert_eq!(create(&store, &new_key(&mut world, &person, 1)).await, ApiKeyCreation::NotFound);
    let unknown = Account { id: world.account_id(), ..person };
    assert_eq!(create(&store, &new_key(&mut world, &unknown, 1)).await, ApiKeyCreation::NotFound);
    let account = service(&store, &mut world, Role::Restaurant).await;
    let mut running = tokio::task::JoinSet::new();
    for hash in 1..=6 {
        let new = NewApiKey { max_active: 3, ..new_key(&mut world, &account, hash) };
        let store = Arc::clone(&store);
        running.spawn(async move { create(&store, &new).await });
    }
    let outcomes = running.join_all().await;
    let refused = outcomes.iter().filter(|outcome| **outcome == ApiKeyCreation::TooMany).count();
    assert_eq!(refused, 3, "{outcomes:?}");
    let one = store.api_keys(account.id, None, PageSize::DEFAULT).await.unwrap().remove(0);
    store.revoke_credential(account.id, CredentialId::ApiKey(one.id), None, world.now()).await.unwrap();
    let mut expired = NewApiKey { max_active: 3, ..new_key(&mut world, &account, 11) };
    expired.key.expires_at = Some(expired.key.created_at);
    created(&store, &expired).await;
    created(&store, &NewApiKey { max_active: 3, ..new_key(&mut world, &account, 12) }).await;
    let next = NewApiKey { max_active: 3, ..new_key(&mut world, &account, 13) };
    assert_eq!(create(&store, &next).await, ApiKeyCreation::TooMany);
    done(&store, &edit(&world, &account, disabled(true))).await;
    assert_eq!(create(&store, &next).await, ApiKeyCreation::Disabled);
    done(&store, &edit(&world, &account, AccountChange::Delete)).await;
    assert_eq!(create(&store, &next).await, ApiKeyCreation::NotFound);
}

/// Under an idempotency key, an API key is created once, and the record names it.
pub async fn a_key_is_created_once_under_an_idempotency_key(store: Arc<dyn Store>) {
    let mut world = World::new(274);
    let account = service(&store, &mut world, Role::Restaurant).await;
    let (owner, key) = (world.account_id(), world.key());
    let claim = Claim { account_id: owner, key, fingerprint: Fingerprint([3; 32]) };
    let at = world.now();
    let first = new_key(&mut world, &account, 1);
    let ended = store.create_api_key_under(&first, None, Some(ClaimAt { claim: &claim, at })).await.unwrap();
    assert!(matches!(ended, UnderKey::Ended(ApiKeyCreation::Created(_))), "{ended:?}");
    let second = new_key(&mut world, &account, 2);
    let again = store.create_api_key_under(&second, None, Some(ClaimAt { claim: &claim, at })).await.unwrap();
    let UnderKey::Claimed(record) = again else { panic!("{again:?}") };
    assert_eq!((record.resource, record.version), (Resource::ApiKey(first.key.id), 1));
    assert_eq!(store.api_key(second.key.id).await.unwrap(), None);
}

/// A revoked key has the time of its first revocation, and its subject has a revocation; another account's key is not found.
pub async fn a_key_is_revoked_once(store: Arc<dyn Store>) {
    let mut world = World::new(275);
    let account = service(&store, &mut world, Role::Restaurant).await;
    let key = created(&store, &new_key(&mut world, &account, 1)).await;
    let kept = created(&store, &new_key(&mut world, &account, 2)).await;
    let other = world.account_id();
    let at = world.now();
    let id = CredentialId::ApiKey(key.id);
    let revoke = async |account_id| store.revoke_credential(account_id, id, None, at).await.unwrap();
    assert_eq!(revoke(other).await, CredentialRevocation::NotFound);
    let CredentialRevocation::Done(revision) = revoke(account.id).await else { panic!("not revoked") };
    let subject = Subject::ApiKey(key.id);
    assert_eq!(store.revocation(subject).await.unwrap(), revision);
    let listed = store.revocations(revision - 1, 10).await.unwrap();
    assert_eq!(listed.iter().map(|revocation| revocation.subject).collect::<Vec<_>>(), [Some(subject)]);
    assert_eq!(revoke(account.id).await, CredentialRevocation::Unchanged);
    assert_eq!(store.revocation(subject).await.unwrap(), revision);
    let (found, of) = store.api_key_by_hash(&SecretHash([1; 32])).await.unwrap().unwrap();
    assert_eq!(found.revoked_at, Some(at));
    assert!(found.is_revoked(&of));
    assert_eq!(store.api_key(kept.id).await.unwrap(), Some(kept));
}

/// Each change that revokes an account's credentials ends its keys for good, and only a new key works afterwards.
pub async fn the_keys_of_an_account_end_with_it(store: Arc<dyn Store>) {
    let mut world = World::new(276);
    let role = AccountChange::Details { name: None, role: Some(Role::Courier), disabled: None };
    for (hash, change) in
        (1..).zip([disabled(true), role, AccountChange::RevokeTokens, AccountChange::Delete])
    {
        let account = service(&store, &mut world, Role::Restaurant).await;
        let hash = 10 * hash;
        created(&store, &new_key(&mut world, &account, hash)).await;
        let is_revoked = async |hash: u8| {
            let (key, account) = store.api_key_by_hash(&SecretHash([hash; 32])).await.unwrap().unwrap();
            key.is_revoked(&account)
        };
        let name =
            AccountChange::Details { name: Some(Name::new("Other").unwrap()), role: None, disabled: None };
        done(&store, &edit(&world, &account, name)).await;
        assert!(!is_revoked(hash).await, "a new name ends no key");
        world.tick();
        let ended = done(&store, &edit(&world, &account, change.clone())).await;
        assert!(is_revoked(hash).await, "{change:?}");
        if ended.deleted_at.is_some() {
            continue;
        }
        let enabled = done(&store, &edit(&world, &account, disabled(false))).await;
        assert!(is_revoked(hash).await, "{change:?}");
        let new = new_key(&mut world, &enabled, hash + 1);
        let key = created(&store, &new).await;
        assert_eq!(key.as_of, enabled.revocation);
        assert!(!is_revoked(hash + 1).await, "{change:?}");
    }
}

/// A write by a key is refused if the key is unknown, revoked or expired, or belongs to another account.
pub async fn a_void_key_writes_nothing(store: Arc<dyn Store>) {
    let mut world = World::new(277);
    let account = service(&store, &mut world, Role::Admin).await;
    let other = service(&store, &mut world, Role::Admin).await;
    let mut new = new_key(&mut world, &account, 1);
    let expires_at = Timestamp::from_second(world.now().as_second() + 60).unwrap();
    new.key.expires_at = Some(expires_at);
    let key = created(&store, &new).await;
    let unknown = new_key(&mut world, &account, 2).key.id;
    let now = world.now();
    let by = |account: &Account, id, at| {
        let Account { id: account_id, role, revocation: as_of, .. } = *account;
        Some(Credential {
            account_id,
            role,
            as_of,
            kept: Some(KeptCredential { id: CredentialId::ApiKey(id), at }),
        })
    };
    let written = async |by| store.revoke(Subject::Account(other.id), by, now).await.unwrap().is_some();
    assert!(written(by(&account, key.id, now)).await);
    assert!(!written(by(&account, unknown, now)).await, "unknown");
    assert!(!written(by(&other, key.id, now)).await, "another account");
    assert!(!written(by(&account, key.id, expires_at)).await, "expired");
    store.revoke_credential(account.id, CredentialId::ApiKey(key.id), None, now).await.unwrap();
    let credential = by(&account, key.id, now);
    assert!(!written(credential).await, "revoked");
    let refused =
        store.create_api_key_under(&new_key(&mut world, &account, 3), credential, None).await.unwrap();
    assert_eq!(refused, UnderKey::Ended(ApiKeyCreation::CallerRevoked));
    let id = CredentialId::ApiKey(key.id);
    let refused = store.revoke_credential(account.id, id, credential, now).await.unwrap();
    assert_eq!(refused, CredentialRevocation::CallerRevoked);
}

/// The latest use of a key is kept, in whatever order uses are recorded; unknown keys are ignored.
pub async fn the_latest_use_of_a_key_is_kept(store: Arc<dyn Store>) {
    let mut world = World::new(278);
    let account = service(&store, &mut world, Role::Restaurant).await;
    let (used, unused) = (new_key(&mut world, &account, 1), new_key(&mut world, &account, 2));
    let (used, unused) = (created(&store, &used).await, created(&store, &unused).await);
    let unknown = new_key(&mut world, &account, 3).key.id;
    let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap();
    store.record_key_uses(&[]).await.unwrap();
    for (seconds, latest) in [(10, 10), (5, 10), (20, 20)] {
        store.record_key_uses(&[(unknown, at(99)), (used.id, at(seconds))]).await.unwrap();
        assert_eq!(store.api_key(used.id).await.unwrap().unwrap().last_used_at, Some(at(latest)));
    }
    assert_eq!(store.api_key(unused.id).await.unwrap(), Some(unused));
}
