//! Removal of access: changes of accounts, and revocations.

use std::sync::Arc;

use dabba_domain::{Role, text::Name};

use super::builders::{World, disabled, done, edit};
use crate::{
    Account, AccountChange, AccountCreation, AccountEdit, AccountEditOutcome, Claim, ClaimAt, Credential,
    Fingerprint, MembershipChange, PageSize, Resource, Store, Subject, UnderKey, least_revision,
};

async fn create(store: &Arc<dyn Store>, world: &mut World, role: Role) -> Account {
    let account = world.account(role);
    assert_eq!(store.create_account(&account).await.unwrap(), AccountCreation::Created);
    account
}

fn demoted(role: Role) -> AccountChange {
    AccountChange::Details { name: None, role: Some(role), disabled: None }
}

fn credential(account: &Account) -> Credential {
    Credential { account_id: account.id, role: account.role, as_of: account.revocation, kept: None }
}

/// A change returns the stored account and increases the version by one; a change to the current values has no effect.
pub async fn an_account_is_changed(store: Arc<dyn Store>) {
    let mut world = World::new(171);
    let before = create(&store, &mut world, Role::Courier).await;
    let name = Name::new("Grace").unwrap();
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$b3RoZXI".to_owned();
    let mut version = 1;
    for change in [
        AccountChange::Details { name: Some(name.clone()), role: Some(Role::Admin), disabled: None },
        disabled(true),
        disabled(false),
        AccountChange::Password { hash: hash.clone() },
        AccountChange::RevokeTokens,
    ] {
        // Creates another admin, so that this one may be disabled.
        if version == 1 {
            create(&store, &mut world, Role::Admin).await;
        }
        world.tick();
        let account = done(&store, &edit(&world, &before, change)).await;
        version += 1;
        assert_eq!(account.version, version);
        assert_eq!(store.account(before.id).await.unwrap(), Some(account.clone()));
        assert_eq!(store.account_by_email(&before.email).await.unwrap(), Some(account));
    }
    let after = store.account(before.id).await.unwrap().unwrap();
    assert_eq!((&after.name, after.role, &after.password_hash), (&name, Role::Admin, &hash));
    let unchanged = done(&store, &edit(&world, &before, disabled(false))).await;
    assert_eq!(unchanged, after);
    let nobody = world.account(Role::Customer);
    let outcome = store.edit_account(&edit(&world, &nobody, disabled(true))).await.unwrap();
    assert_eq!(outcome, AccountEditOutcome::NotFound);
}

/// A change with other expected versions has no effect; it suffices that one of several expected versions matches.
pub async fn an_account_is_changed_only_at_an_expected_version(store: Arc<dyn Store>) {
    let mut world = World::new(172);
    let account = create(&store, &mut world, Role::Customer).await;
    let mut change = edit(&world, &account, disabled(true));
    for expected in [vec![], vec![2], vec![2, 3]] {
        change.expected = Some(expected);
        let outcome = store.edit_account(&change).await.unwrap();
        assert_eq!(outcome, AccountEditOutcome::Conflict { current: 1 });
    }
    assert_eq!(store.account(account.id).await.unwrap().as_ref(), Some(&account));
    change.expected = Some(vec![7, 1]);
    assert!(done(&store, &change).await.disabled_at.is_some());
}

/// A key makes one change, and its record leads to the account and the version after the change. A change without
/// effect claims no key.
pub async fn an_account_is_changed_once_under_a_key(store: Arc<dyn Store>) {
    let mut world = World::new(173);
    let account = create(&store, &mut world, Role::Customer).await;
    let admin = create(&store, &mut world, Role::Admin).await;
    let claim = Claim { account_id: admin.id, key: world.key(), fingerprint: Fingerprint([1; 32]) };
    let at = ClaimAt { claim: &claim, at: world.now() };
    let nothing = edit(&world, &account, disabled(false));
    let ended = store.edit_account_under(&nothing, Some(at)).await.unwrap();
    assert!(matches!(ended, UnderKey::Ended(AccountEditOutcome::Done(_))), "{ended:?}");
    assert_eq!(store.find_account_claim(admin.id, &claim.key).await.unwrap(), None);
    let revoke = edit(&world, &account, AccountChange::RevokeTokens);
    let ended = store.edit_account_under(&revoke, Some(at)).await.unwrap();
    assert!(matches!(ended, UnderKey::Ended(AccountEditOutcome::Done(_))), "{ended:?}");
    let UnderKey::Claimed(record) = store.edit_account_under(&revoke, Some(at)).await.unwrap() else {
        panic!("the key was already claimed")
    };
    assert_eq!((record.resource, record.version), (Resource::Account(account.id), 2));
    assert_eq!(store.account(account.id).await.unwrap().unwrap().version, 2);
    assert_eq!(store.revocations(0, 10).await.unwrap().len(), 1);
}

/// The last enabled admin cannot be disabled, demoted or deleted; a disabled admin does not count as another admin.
pub async fn the_last_enabled_admin_cannot_be_removed(store: Arc<dyn Store>) {
    let mut world = World::new(174);
    let last = create(&store, &mut world, Role::Admin).await;
    let other = create(&store, &mut world, Role::Admin).await;
    create(&store, &mut world, Role::Courier).await;
    done(&store, &edit(&world, &other, disabled(true))).await;
    for change in [disabled(true), demoted(Role::Customer), AccountChange::Delete] {
        let outcome = store.edit_account(&edit(&world, &last, change.clone())).await.unwrap();
        assert_eq!(outcome, AccountEditOutcome::LastAdmin, "{change:?}");
        assert_eq!(store.account(last.id).await.unwrap().as_ref(), Some(&last));
    }
    done(&store, &edit(&world, &last, AccountChange::RevokeTokens)).await;
    done(&store, &edit(&world, &other, disabled(false))).await;
    done(&store, &edit(&world, &last, AccountChange::Delete)).await;
    let outcome = store.edit_account(&edit(&world, &other, demoted(Role::Courier))).await.unwrap();
    assert_eq!(outcome, AccountEditOutcome::LastAdmin);
}

/// If all admins disable each other concurrently, one stays enabled, with and without the callers' credentials.
pub async fn one_of_the_admins_who_disable_each_other_stays_enabled(store: Arc<dyn Store>) {
    let mut world = World::new(175);
    let mut admins = Vec::new();
    for states_caller in [true, false] {
        while admins.len() < 4 {
            admins.push(create(&store, &mut world, Role::Admin).await);
        }
        let mut running = tokio::task::JoinSet::new();
        for (index, admin) in admins.iter().enumerate() {
            let by = states_caller.then(|| credential(admin));
            let neighbour = &admins[(index + 1) % admins.len()];
            let change = AccountEdit { by, ..edit(&world, neighbour, disabled(true)) };
            let store = Arc::clone(&store);
            running.spawn(async move { store.edit_account(&change).await.unwrap() });
        }
        let refused = running.join_all().await.into_iter().filter(|outcome| {
            matches!(outcome, AccountEditOutcome::LastAdmin | AccountEditOutcome::CallerRevoked)
        });
        assert!(refused.count() >= 1);
        let all = store.accounts(None, Some(Role::Admin), None, PageSize::DEFAULT).await.unwrap();
        admins = all.into_iter().filter(Account::is_enabled_admin).collect();
        assert!(!admins.is_empty());
    }
}

/// A deleted account has no personal data and cannot be changed, and its address can be registered again.
pub async fn a_deleted_account_is_anonymous_and_its_address_free(store: Arc<dyn Store>) {
    let mut world = World::new(176);
    let (first, second) =
        (create(&store, &mut world, Role::Customer).await, create(&store, &mut world, Role::Customer).await);
    for account in [&first, &second] {
        let deleted = done(&store, &edit(&world, account, AccountChange::Delete)).await;
        let stored = store.account(account.id).await.unwrap().unwrap();
        assert_eq!(stored, deleted);
        assert!(!stored.email.contains('@'), "{}", stored.email);
        assert_eq!((stored.name.as_str(), stored.password_hash.as_str()), ("", ""));
        assert!(stored.disabled_at.is_some() && stored.deleted_at.is_some());
        assert_eq!(store.account_by_email(&account.email).await.unwrap(), None);
    }
    let again = Account { email: first.email.clone(), ..world.account(Role::Customer) };
    assert_eq!(store.create_account(&again).await.unwrap(), AccountCreation::Created);
    assert_eq!(store.account_by_email(&first.email).await.unwrap(), Some(again));
    for change in [AccountChange::Delete, disabled(false), AccountChange::Password { hash: "x".into() }] {
        let outcome = store.edit_account(&edit(&world, &first, change)).await.unwrap();
        assert_eq!(outcome, AccountEditOutcome::NotFound);
    }
}

/// A new role and a deletion end an account's memberships. Disabling keeps them for a later enabling.
pub async fn memberships_end_with_the_role(store: Arc<dyn Store>) {
    let mut world = World::new(177);
    let restaurant = world.restaurant_id();
    for (change, left) in [(disabled(true), 1), (demoted(Role::Courier), 0), (AccountChange::Delete, 0)] {
        let account = create(&store, &mut world, Role::Restaurant).await;
        let colleague = create(&store, &mut world, Role::Restaurant).await;
        store.add_member(restaurant, account.id).await.unwrap();
        store.add_member(restaurant, colleague.id).await.unwrap();
        done(&store, &edit(&world, &account, change.clone())).await;
        assert_eq!(store.memberships(account.id).await.unwrap().len(), left, "{change:?}");
        assert_eq!(store.memberships(colleague.id).await.unwrap().len(), 1);
    }
}

/// Each revocation has a revision, which the account states too. Servers follow the revisions in pages. A subject that
/// is revoked again appears only with its latest revision.
pub async fn revocations_are_followed_by_revision(store: Arc<dyn Store>) {
    let mut world = World::new(178);
    assert_eq!(store.revocations(0, 10).await.unwrap(), []);
    let mut accounts = Vec::new();
    for _ in 0..5 {
        let account = create(&store, &mut world, Role::Customer).await;
        let name = Some(Name::new("Grace").unwrap());
        let renamed = AccountChange::Details { name, role: None, disabled: None };
        assert_eq!(done(&store, &edit(&world, &account, renamed)).await.revocation, 0);
        world.tick();
        accounts.push(done(&store, &edit(&world, &account, AccountChange::RevokeTokens)).await);
    }
    let all = store.revocations(0, 10).await.unwrap();
    assert_eq!(all.len(), 5);
    for (account, revocation) in accounts.iter().zip(&all) {
        assert_eq!(revocation.subject, Some(Subject::Account(account.id)));
        assert_eq!(revocation.revision, account.revocation);
    }
    assert_eq!(store.revocations(0, 2).await.unwrap(), all[..2]);
    assert_eq!(store.revocations(all[1].revision, 2).await.unwrap(), all[2..4]);
    assert_eq!(store.revocations(all[4].revision, 2).await.unwrap(), []);
    let again = done(&store, &edit(&world, &accounts[0], AccountChange::RevokeTokens)).await;
    // A subject that no store knows can be revoked too.
    let stranger = Subject::Account(world.account_id());
    let revision = store.revoke(stranger, None, world.now()).await.unwrap().unwrap();
    assert!(revision > again.revocation && again.revocation > all[4].revision);
    let new = store.revocations(all[4].revision, 10).await.unwrap();
    let subjects: Vec<_> = new.iter().map(|revocation| revocation.subject).collect();
    assert_eq!(subjects, [Some(Subject::Account(again.id)), Some(stranger)]);
    assert_eq!(store.revocations(0, 10).await.unwrap().len(), 6);
    assert_eq!(new[1].revoked_at, world.now());
    for (subject, revision) in [
        (Subject::Account(again.id), again.revocation),
        (stranger, revision),
        (Subject::Account(world.account_id()), 0),
    ] {
        assert_eq!(store.revocation(subject).await.unwrap(), revision);
    }
    // A restored database that lost its last revisions therefore never issues them again.
    assert!(
        all.iter().chain(&new).all(|revocation| revocation.revision >= least_revision(revocation.revoked_at))
    );
}

/// Concurrent revocations get different revisions, and a follower misses none.
pub async fn no_revocation_is_missed(store: Arc<dyn Store>) {
    let mut world = World::new(179);
    let subjects: Vec<_> = (0..40).map(|_| Subject::Account(world.account_id())).collect();
    let mut running = tokio::task::JoinSet::new();
    for subject in subjects.clone() {
        let (store, at) = (Arc::clone(&store), world.now());
        running.spawn(async move { store.revoke(subject, None, at).await.unwrap().unwrap() });
    }
    let (mut cursor, mut seen, mut revisions) = (0, Vec::new(), Vec::new());
    while seen.len() < subjects.len() {
        let page = store.revocations(cursor, 7).await.unwrap();
        if page.is_empty() {
            // The follower reads again when the next revocation is acknowledged. If all revocations were acknowledged
            // before this read, the follower has missed one.
            let revoked = running.join_next().await.expect("a revocation is missed");
            revisions.push(revoked.unwrap());
        }
        for revocation in page {
            assert!(revocation.revision > cursor);
            cursor = revocation.revision;
            seen.extend(revocation.subject);
        }
    }
    revisions.extend(running.join_all().await);
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), subjects.len());
    assert!(subjects.iter().all(|subject| seen.contains(subject)));
}

/// A caller whose token is void creates, changes and revokes nothing, whatever made the token void.
pub async fn a_revoked_caller_writes_nothing(store: Arc<dyn Store>) {
    let mut world = World::new(180);
    create(&store, &mut world, Role::Admin).await;
    let target = create(&store, &mut world, Role::Restaurant).await;
    let restaurant = world.restaurant_id();
    store.add_member(restaurant, target.id).await.unwrap();
    let password = AccountChange::Password { hash: "x".into() };
    for change in
        [disabled(true), demoted(Role::Courier), AccountChange::Delete, AccountChange::RevokeTokens, password]
    {
        let caller = create(&store, &mut world, Role::Admin).await;
        let by = Some(credential(&caller));
        // Before the change, the admin may do all of it.
        let fresh = world.account(Role::Admin);
        let created = store.create_account_under(&fresh, by, None).await.unwrap();
        assert_eq!(created, UnderKey::Ended(AccountCreation::Created));
        done(&store, &edit(&world, &caller, change.clone())).await;

        let fresh = world.account(Role::Admin);
        let created = store.create_account_under(&fresh, by, None).await.unwrap();
        assert_eq!(created, UnderKey::Ended(AccountCreation::CallerRevoked), "{change:?}");
        assert_eq!(store.account(fresh.id).await.unwrap(), None);
        let other = AccountEdit { by, ..edit(&world, &target, disabled(true)) };
        assert_eq!(store.edit_account(&other).await.unwrap(), AccountEditOutcome::CallerRevoked);
        for is_member in [true, false] {
            let set = store.set_membership(restaurant, target.id, is_member, by).await.unwrap();
            assert_eq!(set, MembershipChange::CallerRevoked);
        }
        assert_eq!(store.revoke(Subject::Account(target.id), by, world.now()).await.unwrap(), None);
    }
    assert_eq!(store.account(target.id).await.unwrap(), Some(target.clone()));
    assert_eq!(store.memberships(target.id).await.unwrap(), [restaurant]);
    // The operator may use an account that no store knows, until that account is revoked.
    let operator = credential(&world.account(Role::Admin));
    let set = async || store.set_membership(restaurant, target.id, true, Some(operator)).await.unwrap();
    assert_eq!(set().await, MembershipChange::Unchanged);
    store.revoke(Subject::Account(operator.account_id), None, world.now()).await.unwrap();
    assert_eq!(set().await, MembershipChange::CallerRevoked);
}

/// Accounts are listed once each, ordered by id, for all roles or for one role.
pub async fn accounts_are_read_in_pages(store: Arc<dyn Store>) {
    let mut world = World::new(181);
    let mut all = Vec::new();
    for index in 0..9 {
        let role = if index % 3 == 0 { Role::Admin } else { Role::Customer };
        all.push(create(&store, &mut world, role).await);
    }
    all.sort_by_key(|account| account.id);
    let limit = PageSize::new(2).unwrap();
    for role in [None, Some(Role::Admin), Some(Role::Customer), Some(Role::Courier)] {
        let expected: Vec<_> =
            all.iter().filter(|account| role.is_none_or(|role| account.role == role)).cloned().collect();
        let (mut after, mut listed) = (None, Vec::new());
        loop {
            let page = store.accounts(None, role, after, limit).await.unwrap();
            assert!(page.len() <= 2);
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            listed.extend(page);
        }
        assert_eq!(listed, expected, "{role:?}");
    }
}
