//! Accounts and revocations.

use std::ops::ControlFlow;

use dabba_domain::{AccountId, Role, SessionId, text::Name};
use dabba_store::{
    Account, AccountCreation, AccountEdit, AccountEditOutcome, AccountHolder, ApiKey, ApiKeyCreation,
    EditedAccount, LoginLink, LoginLinkCreation, Resource, Revocation, RevocationRevision, Session,
    StoreError, Subject, scopes_of,
};

use crate::{StoredRow, claims::Written};

/// Returns the account of a row with these columns: `id`, `email`, `name`, `role`, `password_hash`, `created_at_ns`,
/// `version`, `disabled_at_ns`, `deleted_at_ns`, the revision of the account's latest revocation or 0, and `holder`.
pub fn account_of<'row>(row: impl StoredRow<'row>) -> Result<Account, StoreError> {
    Ok(Account {
        id: row.id(0)?,
        email: row.text(1)?.to_owned(),
        name: Name::from_stored(row.text(2)?),
        role: row.name(3, Role::from_name)?,
        password_hash: row.text(4)?.to_owned(),
        created_at: row.timestamp(5)?,
        version: row.number(6)?,
        disabled_at: row.optional_timestamp(7)?,
        deleted_at: row.optional_timestamp(8)?,
        revocation: row.integer(9)?,
        holder: row.name(10, AccountHolder::from_name)?,
    })
}

/// Columns of [`api_key_of`](crate::accounts::api_key_of), in its order.
#[macro_export]
macro_rules! api_key_columns {
    () => {
        "id, account_id, name, scopes, as_of, created_at_ns, created_by, expires_at_ns, revoked_at_ns, last_used_at_ns"
    };
}

/// Returns the API key of a row with the columns of [`api_key_columns`].
pub fn api_key_of<'row>(row: impl StoredRow<'row>) -> Result<ApiKey, StoreError> {
    Ok(ApiKey {
        id: row.id(0)?,
        account_id: row.id(1)?,
        name: Name::from_stored(row.text(2)?),
        scopes: row.optional_text(3)?.map(scopes_of),
        as_of: row.integer(4)?,
        created_at: row.timestamp(5)?,
        created_by: row.id(6)?,
        expires_at: row.optional_timestamp(7)?,
        revoked_at: row.optional_timestamp(8)?,
        last_used_at: row.optional_timestamp(9)?,
    })
}

/// Returns the account for which a key is created, or the outcome that refuses the key.
pub fn check_key_account(found: Option<Account>) -> Result<Account, ApiKeyCreation> {
    let is_usable =
        |account: &Account| account.holder == AccountHolder::Service && account.deleted_at.is_none();
    match found.filter(is_usable) {
        None => Err(ApiKeyCreation::NotFound),
        Some(account) if account.disabled_at.is_some() => Err(ApiKeyCreation::Disabled),
        Some(account) => Ok(account),
    }
}

/// Returns the outcome of the insert of a key.
pub fn key_creation_of(key: ApiKey) -> (ApiKeyCreation, Written) {
    let written = (Resource::ApiKey(key.id), 1);
    (ApiKeyCreation::Created(Box::new(key)), Some(written))
}

/// Columns of [`session_of`](crate::accounts::session_of), in its order.
#[macro_export]
macro_rules! session_columns {
    () => {
        "id, account_id, as_of, created_at_ns, expires_at_ns, last_used_at_ns, revoked_at_ns, user_agent"
    };
}

/// Returns the session of a row with the columns of [`session_columns`].
pub fn session_of<'row>(row: impl StoredRow<'row>) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.id(0)?,
        account_id: row.id(1)?,
        as_of: row.integer(2)?,
        created_at: row.timestamp(3)?,
        expires_at: row.timestamp(4)?,
        last_used_at: row.optional_timestamp(5)?,
        revoked_at: row.optional_timestamp(6)?,
        user_agent: row.optional_text(7)?.map(str::to_owned),
    })
}

/// Returns whether a session may be created for an account that was authenticated as of a revision.
pub fn may_log_in(account: &Account, as_of: RevocationRevision) -> bool {
    account.holder == AccountHolder::Person && account.deleted_at.is_none() && account.accepts(as_of)
}

/// Returns the sessions that must end so that an account with a new session has at most `max_active`: those that have been unused
/// for the longest time. `active` contains, for each active session, the time since which it is unused, in nanoseconds.
pub fn excess_sessions(
    mut active: Vec<(i64, SessionId)>,
    max_active: u32,
) -> impl Iterator<Item = SessionId> {
    active.sort_unstable();
    let kept = usize::try_from(max_active.saturating_sub(1)).unwrap_or(usize::MAX);
    let count = active.len().saturating_sub(kept);
    active.into_iter().take(count).map(|(_, id)| id)
}

/// Columns of [`login_link_of`](crate::accounts::login_link_of), in its order.
#[macro_export]
macro_rules! login_link_columns {
    () => {
        "account_id, as_of, created_at_ns, created_by, expires_at_ns"
    };
}

/// Returns the login link of a row with the columns of [`login_link_columns`].
pub fn login_link_of<'row>(row: impl StoredRow<'row>) -> Result<LoginLink, StoreError> {
    Ok(LoginLink {
        account_id: row.id(0)?,
        as_of: row.integer(1)?,
        created_at: row.timestamp(2)?,
        created_by: row.id(3)?,
        expires_at: row.timestamp(4)?,
    })
}

/// Returns the account for which a login link is created, or the outcome that refuses the link.
pub fn check_link_account(found: Option<Account>) -> Result<Account, LoginLinkCreation> {
    match found.filter(|account| account.deleted_at.is_none()) {
        None => Err(LoginLinkCreation::NotFound),
        Some(account) if account.holder == AccountHolder::Service => Err(LoginLinkCreation::Service),
        Some(account) if account.disabled_at.is_some() => Err(LoginLinkCreation::Disabled),
        Some(account) => Ok(account),
    }
}

/// Returns the revocation of a row with these columns: `revision`, `subject_kind`, `subject_id`, `revoked_at_ns`.
pub fn revocation_of<'row>(row: impl StoredRow<'row>) -> Result<Revocation, StoreError> {
    Ok(Revocation {
        revision: row.integer(0)?,
        subject: Subject::from_stored(row.text(1)?, row.uuid(2)?),
        revoked_at: row.timestamp(3)?,
    })
}

/// Returns the outcome of the insert of an account whose address may be taken.
pub const fn creation_of(id: AccountId, is_inserted: bool) -> (AccountCreation, Written) {
    if is_inserted {
        (AccountCreation::Created, Some((Resource::Account(id), 1)))
    } else {
        (AccountCreation::EmailTaken, None)
    }
}

/// Applies an edit to the account as read, in the order of conditions of the contract. The caller has checked the
/// credential. If the edit [steps down](EditedAccount::steps_down), the caller must find another admin before it writes,
/// or end with [`AccountEditOutcome::LastAdmin`].
pub fn apply_edit(
    edit: &AccountEdit,
    before: Option<Account>,
) -> ControlFlow<AccountEditOutcome, EditedAccount> {
    let Some(before) = before.filter(|account| account.deleted_at.is_none()) else {
        return ControlFlow::Break(AccountEditOutcome::NotFound);
    };
    if edit.expected.as_ref().is_some_and(|versions| !versions.contains(&before.version)) {
        return ControlFlow::Break(AccountEditOutcome::Conflict { current: before.version });
    }
    match edit.applied_to(&before) {
        Some(edited) => ControlFlow::Continue(edited),
        None => ControlFlow::Break(AccountEditOutcome::Done(Box::new(before))),
    }
}

/// Returns the outcome of an edit that was written. The account has its new revocation.
pub fn edit_of(account: Account) -> (AccountEditOutcome, Written) {
    let written = (Resource::Account(account.id), account.version);
    (AccountEditOutcome::Done(Box::new(account)), Some(written))
}
