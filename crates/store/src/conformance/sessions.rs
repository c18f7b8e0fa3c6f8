//! Sessions and login links.

use std::sync::Arc;

use dabba_domain::{Bucket, Role, SessionId, Timestamp, text::Name};

use super::builders::{World, disabled, done, edit};
use crate::{
    Account, AccountChange, AccountCreation, Credential, CredentialId, CredentialRevocation, KeptCredential,
    LoginLink, LoginLinkCreation, NewLoginLink, NewSession, PageSize, SecretHash, Session, SessionCreation,
    SessionUse, Store, Subject,
};

async fn person(store: &Arc<dyn Store>, world: &mut World, role: Role) -> Account {
    let account = world.account(role);
    assert_eq!(store.create_account(&account).await.unwrap(), AccountCreation::Created);
    account
}

/// Returns a new session of an account, which lasts an hour. Its hash consists of this byte.
fn new_session(world: &mut World, account: &Account, hash: u8) -> NewSession {
    let id = SessionId::generate(world.tick(), Bucket::from_random(world.random()), world.random());
    let session = Session {
        id,
        account_id: account.id,
        as_of: account.revocation,
        created_at: world.now(),
        expires_at: world.in_seconds(3_600),
        last_used_at: None,
        revoked_at: None,
        user_agent: None,
    };
    NewSession { session, hash: SecretHash([hash; 32]), link: None, max_active: 20 }
}

async fn create(store: &Arc<dyn Store>, new: &NewSession) -> SessionCreation {
    store.create_session(new).await.unwrap()
}

async fn created(store: &Arc<dyn Store>, new: &NewSession) -> Session {
    match create(store, new).await {
        SessionCreation::Created { session, .. } => *session,
        other => panic!("{other:?}"),
    }
}

fn hash(byte: u8) -> SecretHash {
    SecretHash([byte; 32])
}

/// A session is stored exactly and found by its hash with its account; sessions of an account are listed in pages by id.
pub async fn a_session_is_found_by_its_hash(store: Arc<dyn Store>) {
    let mut world = World::new(301);
    let account = person(&store, &mut world, Role::Restaurant).await;
    let other = person(&store, &mut world, Role::Restaurant).await;
    let mut sessions = Vec::new();
    for byte in 1..=5 {
        let mut new = new_session(&mut world, &account, byte);
        new.session.user_agent = (byte == 2).then(|| "Mozilla/5.0 (X11; Linux) 'quoted' é".to_owned());
        let session = created(&store, &new).await;
        assert_eq!(session, new.session);
        assert_eq!(store.session(session.id).await.unwrap().as_ref(), Some(&session));
        let found = store.session_by_hash(&new.hash).await.unwrap();
        assert_eq!(found, Some((session.clone(), account.clone())));
        sessions.push(session);
    }
    created(&store, &new_session(&mut world, &other, 9)).await;
    assert_eq!(store.session_by_hash(&hash(8)).await.unwrap(), None);
    let limit = PageSize::new(3).unwrap();
    assert_eq!(store.sessions(account.id, None, limit).await.unwrap(), sessions[..3]);
    assert_eq!(store.sessions(account.id, Some(sessions[2].id), limit).await.unwrap(), sessions[3..]);
    assert_eq!(store.sessions(world.account_id(), None, limit).await.unwrap(), []);
}

/// Beyond the limit of active sessions, the one that has been unused for the longest time ends, and its subject has a revocation.
/// Revoked and expired sessions do not count.
pub async fn active_sessions_are_limited(store: Arc<dyn Store>) {
    let mut world = World::new(302);
    let account = person(&store, &mut world, Role::Customer).await;
    let limited = |new: NewSession| NewSession { max_active: 3, ..new };
    let mut sessions = Vec::new();
    for byte in 1..=3 {
        sessions.push(created(&store, &limited(new_session(&mut world, &account, byte))).await);
    }
    let used_at = world.in_seconds(10);
    let used = SessionUse { id: sessions[0].id, at: used_at, expires_at: sessions[0].expires_at };
    store.record_session_uses(&[used]).await.unwrap();
    let fourth = limited(new_session(&mut world, &account, 4));
    let SessionCreation::Created { ended, .. } = create(&store, &fourth).await else { panic!("refused") };
    let [(id, revision)] = ended[..] else { panic!("{ended:?}") };
    assert_eq!(id, sessions[1].id);
    assert_eq!(store.revocation(Subject::Session(id)).await.unwrap(), revision);
    let oldest = store.session(id).await.unwrap().unwrap();
    assert_eq!(
        (oldest.revoked_at, oldest.expires_at),
        (Some(fourth.session.created_at), fourth.session.created_at)
    );
    // Two are active besides the expired one.
    store
        .revoke_credential(account.id, CredentialId::Session(sessions[2].id), None, world.now())
        .await
        .unwrap();
    let mut expired = limited(new_session(&mut world, &account, 5));
    expired.session.expires_at = expired.session.created_at;
    created(&store, &expired).await;
    let next = limited(new_session(&mut world, &account, 6));
    let SessionCreation::Created { ended, .. } = create(&store, &next).await else { panic!("refused") };
    assert_eq!(ended, []);
    // Concurrent logins keep the limit, too.
    let mut running = tokio::task::JoinSet::new();
    for byte in 11..=16 {
        let (new, store) = (limited(new_session(&mut world, &account, byte)), Arc::clone(&store));
        running.spawn(async move { created(&store, &new).await });
    }
    running.join_all().await;
    let listed = store.sessions(account.id, None, PageSize::DEFAULT).await.unwrap();
    let active = listed.iter().filter(|session| session.expires_at > world.now()).count();
    assert_eq!(active, 3, "{listed:?}");
}

/// No session is created for an account whose credentials were revoked after its password was verified, for a service account, and
/// for a disabled, a deleted and an unknown account.
pub async fn a_session_is_created_for_the_account_that_was_authenticated(store: Arc<dyn Store>) {
    let mut world = World::new(303);
    let account = person(&store, &mut world, Role::Customer).await;
    let before = new_session(&mut world, &account, 1);
    let revoked = done(&store, &edit(&world, &account, AccountChange::RevokeTokens)).await;
    assert_eq!(create(&store, &before).await, SessionCreation::Void);
    created(&store, &new_session(&mut world, &revoked, 1)).await;
    let off = done(&store, &edit(&world, &account, disabled(true))).await;
    assert_eq!(create(&store, &new_session(&mut world, &off, 2)).await, SessionCreation::Void);
    let gone = done(&store, &edit(&world, &account, AccountChange::Delete)).await;
    assert_eq!(create(&store, &new_session(&mut world, &gone, 2)).await, SessionCreation::Void);
    let name = Name::new("Till").unwrap();
    let service = Account::service(world.account_id(), name, Role::Restaurant, world.now());
    store.create_account(&service).await.unwrap();
    assert_eq!(create(&store, &new_session(&mut world, &service, 2)).await, SessionCreation::Void);
    let unknown = Account { id: world.account_id(), ..account };
    assert_eq!(create(&store, &new_session(&mut world, &unknown, 2)).await, SessionCreation::Void);
    assert_eq!(store.session_by_hash(&hash(2)).await.unwrap(), None);
}

/// A revoked session has the time of its first revocation and expires then, and its subject has a revocation; another account's
/// session is not found.
pub async fn a_session_is_revoked_once(store: Arc<dyn Store>) {
    let mut world = World::new(304);
    let account = person(&store, &mut world, Role::Courier).await;
    let session = created(&store, &new_session(&mut world, &account, 1)).await;
    let kept = created(&store, &new_session(&mut world, &account, 2)).await;
    let (other, at) = (world.account_id(), world.in_seconds(5));
    let id = CredentialId::Session(session.id);
    let revoke = async |account_id, at| store.revoke_credential(account_id, id, None, at).await.unwrap();
    assert_eq!(revoke(other, at).await, CredentialRevocation::NotFound);
    let CredentialRevocation::Done(revision) = revoke(account.id, at).await else { panic!("not revoked") };
    let subject = Subject::Session(session.id);
    assert_eq!(store.revocation(subject).await.unwrap(), revision);
    let listed = store.revocations(revision - 1, 10).await.unwrap();
    assert_eq!(listed.iter().map(|revocation| revocation.subject).collect::<Vec<_>>(), [Some(subject)]);
    assert_eq!(revoke(account.id, world.in_seconds(9)).await, CredentialRevocation::Unchanged);
    let (found, of) = store.session_by_hash(&hash(1)).await.unwrap().unwrap();
    assert_eq!((found.revoked_at, found.expires_at), (Some(at), at));
    assert!(found.is_revoked(&of));
    assert_eq!(store.session(kept.id).await.unwrap(), Some(kept));
}

/// Each change that revokes an account's credentials ends its sessions for good, and only a new session works afterwards.
pub async fn the_sessions_of_an_account_end_with_it(store: Arc<dyn Store>) {
    let mut world = World::new(305);
    let role = AccountChange::Details { name: None, role: Some(Role::Courier), disabled: None };
    let password = AccountChange::Password { hash: "another".to_owned() };
    let changes = [disabled(true), role, password, AccountChange::RevokeTokens, AccountChange::Delete];
    for (byte, change) in (1..).zip(changes) {
        let account = person(&store, &mut world, Role::Restaurant).await;
        let byte = 10 * byte;
        created(&store, &new_session(&mut world, &account, byte)).await;
        let found = async |byte: u8| {
            let (session, account) = store.session_by_hash(&hash(byte)).await.unwrap().unwrap();
            (session.is_revoked(&account), session.revoked_at)
        };
        let name =
            AccountChange::Details { name: Some(Name::new("Other").unwrap()), role: None, disabled: None };
        done(&store, &edit(&world, &account, name)).await;
        assert_eq!(found(byte).await, (false, None), "a new name ends no session");
        let at = world.tick();
        let ended = done(&store, &edit(&world, &account, change.clone())).await;
        assert_eq!(found(byte).await, (true, Some(at)), "{change:?}");
        if ended.deleted_at.is_some() {
            continue;
        }
        let enabled = done(&store, &edit(&world, &account, disabled(false))).await;
        assert!(found(byte).await.0, "{change:?}");
        created(&store, &new_session(&mut world, &enabled, byte + 1)).await;
        assert_eq!(found(byte + 1).await, (false, None), "{change:?}");
    }
}

/// A write by a session is refused if the session is unknown or revoked, or belongs to another account. The caller judges the
/// expiry.
pub async fn a_void_session_writes_nothing(store: Arc<dyn Store>) {
    let mut world = World::new(306);
    let account = person(&store, &mut world, Role::Admin).await;
    let other = person(&store, &mut world, Role::Admin).await;
    let session = created(&store, &new_session(&mut world, &account, 1)).await;
    let unknown = new_session(&mut world, &account, 2).session.id;
    let now = world.now();
    let by = |account: &Account, id, at| {
        let Account { id: account_id, role, revocation: as_of, .. } = *account;
        let kept = Some(KeptCredential { id: CredentialId::Session(id), at });
        Some(Credential { account_id, role, as_of, kept })
    };
    let written = async |by| store.revoke(Subject::Account(other.id), by, now).await.unwrap().is_some();
    assert!(written(by(&account, session.id, now)).await);
    assert!(written(by(&account, session.id, world.in_seconds(4_000))).await, "extended since");
    assert!(!written(by(&account, unknown, now)).await, "unknown");
    assert!(!written(by(&other, session.id, now)).await, "another account");
    store.revoke_credential(account.id, CredentialId::Session(session.id), None, now).await.unwrap();
    let credential = by(&account, session.id, now);
    assert!(!written(credential).await, "revoked");
    let id = CredentialId::Session(session.id);
    let refused = store.revoke_credential(account.id, id, credential, now).await.unwrap();
    assert_eq!(refused, CredentialRevocation::CallerRevoked);
    let link = new_link(&world, &other, &account, 7);
    let refused = store.create_login_link(&link, credential).await.unwrap();
    assert_eq!(refused, LoginLinkCreation::CallerRevoked);
}

/// The latest use of a session and the latest expiry are kept, in whatever order uses are recorded. Unknown and revoked sessions are
/// ignored.
pub async fn uses_extend_a_session(store: Arc<dyn Store>) {
    let mut world = World::new(307);
    let account = person(&store, &mut world, Role::Restaurant).await;
    let used = created(&store, &new_session(&mut world, &account, 1)).await;
    let unused = created(&store, &new_session(&mut world, &account, 2)).await;
    let revoked = created(&store, &new_session(&mut world, &account, 3)).await;
    store.revoke_credential(account.id, CredentialId::Session(revoked.id), None, world.now()).await.unwrap();
    let before = store.session(revoked.id).await.unwrap();
    let unknown = new_session(&mut world, &account, 4).session.id;
    let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap();
    let of = |id, seconds| SessionUse { id, at: at(seconds), expires_at: at(seconds + 100) };
    store.record_session_uses(&[]).await.unwrap();
    for (seconds, latest) in [(10, 10), (5, 10), (20, 20)] {
        let uses = [of(unknown, 99), of(used.id, seconds), of(revoked.id, 99)];
        store.record_session_uses(&uses).await.unwrap();
        let session = store.session(used.id).await.unwrap().unwrap();
        assert_eq!((session.last_used_at, session.expires_at), (Some(at(latest)), at(latest + 100)));
    }
    assert_eq!(store.session(unused.id).await.unwrap(), Some(unused));
    assert_eq!(store.session(revoked.id).await.unwrap(), before);
}

/// Sessions that expired before a time are deleted with their revocations, the first to expire first; others stay.
pub async fn expired_sessions_are_deleted_up_to_the_limit(store: Arc<dyn Store>) {
    let mut world = World::new(308);
    let account = person(&store, &mut world, Role::Customer).await;
    let start = world.now();
    let mut sessions = Vec::new();
    for byte in 1..=5 {
        let mut new = new_session(&mut world, &account, byte);
        new.session.expires_at = start + jiff::SignedDuration::from_secs(100 * i64::from(byte));
        sessions.push(created(&store, &new).await);
    }
    // Revoked, so it expires first.
    store.revoke_credential(account.id, CredentialId::Session(sessions[3].id), None, start).await.unwrap();
    let account_revocation = store.revoke(Subject::Account(world.account_id()), None, start).await.unwrap();
    let subject = Subject::Session(sessions[3].id);
    assert!(store.revocation(subject).await.unwrap() > 0);
    let before = sessions[2].expires_at;
    assert_eq!(store.delete_expired_sessions(start, 10).await.unwrap(), 0);
    assert_eq!(store.delete_expired_sessions(before, 2).await.unwrap(), 2);
    assert_eq!(store.revocation(subject).await.unwrap(), 0);
    let left = async || {
        let listed = store.sessions(account.id, None, PageSize::DEFAULT).await.unwrap();
        listed.into_iter().map(|session| session.id).collect::<Vec<_>>()
    };
    assert_eq!(left().await, [sessions[1].id, sessions[2].id, sessions[4].id]);
    assert_eq!(store.delete_expired_sessions(before, 2).await.unwrap(), 1);
    assert_eq!(store.delete_expired_sessions(before, 2).await.unwrap(), 0);
    assert_eq!(left().await, [sessions[2].id, sessions[4].id]);
    let revocations = store.revocations(0, 10).await.unwrap();
    assert_eq!(
        revocations.iter().map(|revocation| Some(revocation.revision)).collect::<Vec<_>>(),
        [account_revocation]
    );
}

/// Returns a new link that lasts ten minutes. Its hash consists of this byte.
fn new_link(world: &World, account: &Account, by: &Account, byte: u8) -> NewLoginLink {
    let link = LoginLink {
        account_id: account.id,
        as_of: 0,
        created_at: world.now(),
        created_by: by.id,
        expires_at: world.in_seconds(600),
    };
    NewLoginLink { link, hash: hash(byte), max_open: 3 }
}

async fn linked(store: &Arc<dyn Store>, new: &NewLoginLink) -> LoginLink {
    match store.create_login_link(new, None).await.unwrap() {
        LoginLinkCreation::Created(link) => link,
        other => panic!("{other:?}"),
    }
}

/// A link is stored exactly and creates one of several concurrent sessions, of its account only, until it expires. Beyond the limit,
/// the oldest link of the account ends.
pub async fn a_login_link_creates_one_session(store: Arc<dyn Store>) {
    let mut world = World::new(309);
    let admin = person(&store, &mut world, Role::Admin).await;
    let account = person(&store, &mut world, Role::Restaurant).await;
    let new = new_link(&world, &account, &admin, 50);
    let link = linked(&store, &new).await;
    assert_eq!(link, new.link);
    assert_eq!(store.login_link(&new.hash).await.unwrap(), Some((link, account.clone())));
    assert_eq!(store.login_link(&hash(51)).await.unwrap(), None);
    let by_link = |new: NewSession, byte| NewSession { link: Some(hash(byte)), ..new };
    let unknown = by_link(new_session(&mut world, &account, 1), 51);
    assert_eq!(create(&store, &unknown).await, SessionCreation::NoLink);
    let of_another = by_link(new_session(&mut world, &admin, 1), 50);
    assert_eq!(create(&store, &of_another).await, SessionCreation::NoLink);
    let mut running = tokio::task::JoinSet::new();
    for byte in 11..=16 {
        let (new, store) = (by_link(new_session(&mut world, &account, byte), 50), Arc::clone(&store));
        running.spawn(async move { create(&store, &new).await });
    }
    let outcomes = running.join_all().await;
    let refused = outcomes.iter().filter(|outcome| **outcome == SessionCreation::NoLink).count();
    assert_eq!(refused, 5, "{outcomes:?}");
    assert_eq!(store.sessions(account.id, None, PageSize::DEFAULT).await.unwrap().len(), 1);
    assert_eq!(store.login_link(&new.hash).await.unwrap(), None);
    // An expired link.
    let new = new_link(&world, &account, &admin, 52);
    linked(&store, &new).await;
    let mut late = by_link(new_session(&mut world, &account, 2), 52);
    late.session.created_at = new.link.expires_at;
    assert_eq!(create(&store, &late).await, SessionCreation::NoLink);
    for byte in 53..=55 {
        world.tick();
        linked(&store, &new_link(&world, &account, &admin, byte)).await;
    }
    for (byte, exists) in [(52, false), (53, true), (54, true), (55, true)] {
        assert_eq!(store.login_link(&hash(byte)).await.unwrap().is_some(), exists, "{byte}");
    }
}

/// A link that was created before a revocation of its account's credentials creates no session.
pub async fn a_login_link_ends_with_the_credentials_of_its_account(store: Arc<dyn Store>) {
    let mut world = World::new(310);
    let admin = person(&store, &mut world, Role::Admin).await;
    let account = person(&store, &mut world, Role::Courier).await;
    done(&store, &edit(&world, &account, AccountChange::RevokeTokens)).await;
    let link = linked(&store, &new_link(&world, &account, &admin, 60)).await;
    assert!(link.as_of > 0);
    let (found, of) = store.login_link(&hash(60)).await.unwrap().unwrap();
    assert_eq!(found.as_of, of.revocation);
    let mut new = NewSession { link: Some(hash(60)), ..new_session(&mut world, &account, 1) };
    new.session.as_of = link.as_of;
    let at = AccountChange::Password { hash: "another".to_owned() };
    done(&store, &edit(&world, &account, at)).await;
    assert_eq!(create(&store, &new).await, SessionCreation::Void);
}

/// Links are created only for persons whose account is enabled.
pub async fn login_links_are_for_enabled_persons(store: Arc<dyn Store>) {
    let mut world = World::new(311);
    let admin = person(&store, &mut world, Role::Admin).await;
    let account = person(&store, &mut world, Role::Customer).await;
    let create = async |link: NewLoginLink| store.create_login_link(&link, None).await.unwrap();
    done(&store, &edit(&world, &account, disabled(true))).await;
    assert_eq!(create(new_link(&world, &account, &admin, 70)).await, LoginLinkCreation::Disabled);
    done(&store, &edit(&world, &account, AccountChange::Delete)).await;
    assert_eq!(create(new_link(&world, &account, &admin, 70)).await, LoginLinkCreation::NotFound);
    let unknown = Account { id: world.account_id(), ..account };
    assert_eq!(create(new_link(&world, &unknown, &admin, 70)).await, LoginLinkCreation::NotFound);
    let name = Name::new("Till").unwrap();
    let service = Account::service(world.account_id(), name, Role::Restaurant, world.now());
    store.create_account(&service).await.unwrap();
    assert_eq!(create(new_link(&world, &service, &admin, 70)).await, LoginLinkCreation::Service);
}

/// Links that expired before a time are deleted, at most as many as requested.
pub async fn expired_login_links_are_deleted_up_to_the_limit(store: Arc<dyn Store>) {
    let mut world = World::new(312);
    let admin = person(&store, &mut world, Role::Admin).await;
    for byte in 80..83 {
        world.tick();
        linked(&store, &new_link(&world, &admin, &admin, byte)).await;
    }
    let last = store.login_link(&hash(82)).await.unwrap().unwrap().0.expires_at;
    assert_eq!(store.delete_expired_login_links(world.now(), 10).await.unwrap(), 0);
    for (limit, deleted) in [(1, 1), (10, 1), (10, 0)] {
        assert_eq!(store.delete_expired_login_links(last, limit).await.unwrap(), deleted);
    }
    assert!(store.login_link(&hash(82)).await.unwrap().is_some());
}
