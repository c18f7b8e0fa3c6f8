//! Accounts and memberships.

mod edits;
mod keys;
mod revocations;
mod sessions;

use std::path::Path;

use async_trait::async_trait;
use dabba_domain::{AccountId, RestaurantId, Role, Timestamp, order::Version};
use dabba_store::encoding::exact_nanoseconds;
use dabba_store::{
    Account, AccountCreation, AccountEdit, AccountEditOutcome, AccountHolder, AccountStore, ClaimAt,
    ClaimOutcome, ClaimRecord, Credential, CredentialId, CredentialRevocation, IdempotencyKey,
    MembershipChange, PageSize, Resource, Revocation, RevocationRevision, StoreError, Subject, UnderKey,
};
use dabba_store_sql::{
    StoredRow as _,
    accounts::{account_of, creation_of},
    claims::{Written, claim_outcome},
};
use rusqlite::{Connection, OpenFlags, Params, Transaction, params};

use crate::{
    SqliteStore,
    claims::{self, OwnedClaim},
    codec::{BELOW_EVERY_ID, collect, first, id_bytes},
    failure::Failure,
    migrate,
};

pub(crate) use self::revocations::is_void;
#[cfg(test)]
pub(crate) use self::{
    edits::{DELETE_MEMBERSHIPS, FIND_OTHER_ADMIN, UPDATE_ACCOUNT},
    keys::{
        COUNT_ACTIVE_KEYS, FIND_KEY, FIND_KEY_BY_HASH, FIND_KEYS, IS_USABLE, RECORD_USE, REVOKE_KEY,
        REVOKE_KEYS_OF_ACCOUNT,
    },
    revocations::{FIND_REVOCATION, FIND_REVOCATIONS, IS_VOID},
    sessions::{
        CONSUME_LINK, DELETE_EXCESS_LINKS, DELETE_EXPIRED_LINKS, DELETE_EXPIRED_SESSIONS, DELETE_REVOCATION,
        FIND_ACTIVE_SESSIONS, FIND_LINK, FIND_SESSION, FIND_SESSION_BY_HASH, FIND_SESSIONS,
        IS_SESSION_USABLE, RECORD_SESSION_USE, REVOKE_SESSION, REVOKE_SESSIONS_OF_ACCOUNT,
    },
};

/// Columns that [`account_of`] reads, in its order.
macro_rules! account_columns {
    () => {
        "accounts.id, email, name, role, password_hash, created_at_ns, accounts.version, disabled_at_ns, deleted_at_ns, \
         coalesce((SELECT revision FROM revocations WHERE subject_kind = 'account' AND subject_id = accounts.id), 0), \
         holder"
    };
}

pub(crate) const FIND_ACCOUNT: &str = concat!("SELECT ", account_columns!(), " FROM accounts WHERE id = ?1");

pub(crate) const FIND_ACCOUNT_BY_EMAIL: &str =
    concat!("SELECT ", account_columns!(), " FROM accounts WHERE email = ?1");

/// The cross join keeps `SQLite` from starting with the accounts, which have many more rows.
pub(crate) const FIND_MEMBERS: &str = concat!(
    "SELECT ",
    account_columns!(),
    " FROM memberships CROSS JOIN accounts ON accounts.id = memberships.account_id \
     WHERE memberships.restaurant_id = ?1 AND memberships.account_id > ?2 \
     ORDER BY memberships.account_id LIMIT ?3"
);

pub(crate) const FIND_MEMBERSHIPS: &str =
    "SELECT restaurant_id FROM memberships WHERE account_id = ?1 ORDER BY restaurant_id";

/// A taken address is ignored and reported by the row count; a taken id is a defect and fails.
const INSERT_ACCOUNT: &str = "\
    INSERT INTO accounts (id, email, name, role, password_hash, created_at_ns, holder) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (email) DO NOTHING";

/// Returns the statement that lists the accounts that meet a condition. Parameters: the account before the page, its size, and the
/// role if the condition names it.
macro_rules! list_accounts {
    ($condition:literal) => {
        concat!(
            "SELECT ",
            account_columns!(),
            " FROM accounts WHERE ",
            $condition,
            "id > ?1 ORDER BY id LIMIT ?2"
        )
    };
}

pub(crate) const FIND_ACCOUNTS: &str = list_accounts!("");
pub(crate) const FIND_ACCOUNTS_OF_ROLE: &str = list_accounts!("role = ?3 AND ");
pub(crate) const FIND_PERSONS: &str = list_accounts!("holder = 'person' AND ");
pub(crate) const FIND_PERSONS_OF_ROLE: &str = list_accounts!("holder = 'person' AND role = ?3 AND ");
pub(crate) const FIND_SERVICES: &str = list_accounts!("holder = 'service' AND ");
pub(crate) const FIND_SERVICES_OF_ROLE: &str = list_accounts!("holder = 'service' AND +role = ?3 AND ");

const INSERT_MEMBERSHIP: &str = "\
    INSERT INTO memberships (restaurant_id, account_id) VALUES (?1, ?2) \
    ON CONFLICT (restaurant_id, account_id) DO NOTHING";

pub(crate) const DELETE_MEMBERSHIP: &str =
    "DELETE FROM memberships WHERE restaurant_id = ?1 AND account_id = ?2";

impl SqliteStore {
    /// Returns an account of the database at `path`, and the revision of the latest revocation of the id, which may have no
    /// account. Does not lock the database, so another process may serve it. Blocks the thread.
    pub fn account_at(
        path: &Path,
        id: AccountId,
    ) -> Result<(Option<Account>, RevocationRevision), StoreError> {
        migrate::check_schema(path)?;
        let read = || -> Result<_, Failure> {
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            let revision = revocations::find(&connection, Subject::Account(id))?;
            Ok((find_account(&connection, FIND_ACCOUNT, [id_bytes(id)])?, revision))
        };
        read().map_err(StoreError::from)
    }
}

#[async_trait]
impl AccountStore for SqliteStore {
    async fn create_account_under(
        &self,
        account: &Account,
        by: Option<Credential>,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<AccountCreation>, StoreError> {
        let (account, claim) = (account.clone(), claim.map(OwnedClaim::from));
        self.writer
            .write(move |transaction| {
                claims::under(transaction, claim.as_ref(), None, || {
                    if is_void(transaction, by)? {
                        return Ok((AccountCreation::CallerRevoked, None));
                    }
                    create(transaction, &account)
                })
            })
            .await
    }

    async fn claim_for_account(
        &self,
        claim: ClaimAt<'_>,
        resource: &Resource,
        version: Version,
    ) -> Result<ClaimOutcome, StoreError> {
        let (claim, resource) = (OwnedClaim::from(claim), resource.clone());
        self.writer
            .write(move |transaction| {
                claims::under(transaction, Some(&claim), None, || Ok(((), Some((resource, version)))))
                    .map(claim_outcome)
            })
            .await
    }

    async fn find_account_claim(
        &self,
        account_id: AccountId,
        key: &IdempotencyKey,
    ) -> Result<Option<ClaimRecord>, StoreError> {
        let key = key.clone();
        self.readers.read(move |connection| claims::find_in(connection, account_id, None, &key)).await
    }

    async fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        self.readers.read(move |connection| find_account(connection, FIND_ACCOUNT, [id_bytes(id)])).await
    }

    async fn account_by_email(&self, email: &str) -> Result<Option<Account>, StoreError> {
        let email = email.to_owned();
        self.readers.read(move |connection| find_account(connection, FIND_ACCOUNT_BY_EMAIL, [email])).await
    }

    async fn accounts(
        &self,
        holder: Option<AccountHolder>,
        role: Option<Role>,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, StoreError> {
        let after = after.map_or(BELOW_EVERY_ID, id_bytes);
        let [all, of_role] = match holder {
            None => [FIND_ACCOUNTS, FIND_ACCOUNTS_OF_ROLE],
            Some(AccountHolder::Person) => [FIND_PERSONS, FIND_PERSONS_OF_ROLE],
            Some(AccountHolder::Service) => [FIND_SERVICES, FIND_SERVICES_OF_ROLE],
        };
        self.readers
            .read(move |connection| match role {
                None => accounts(connection, all, params![after, limit.get()]),
                Some(role) => accounts(connection, of_role, params![after, limit.get(), role.as_str()]),
            })
            .await
    }

    async fn edit_account_under(
        &self,
        edit: &AccountEdit,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<AccountEditOutcome>, StoreError> {
        let (edit, claim) = (edit.clone(), claim.map(OwnedClaim::from));
        self.writer
            .write(move |transaction| {
                claims::under(transaction, claim.as_ref(), None, || edits::edit(transaction, &edit))
            })
            .await
    }

    async fn revoke(
        &self,
        subject: Subject,
        by: Option<Credential>,
        at: Timestamp,
    ) -> Result<Option<RevocationRevision>, StoreError> {
        self.writer
            .write(move |transaction| {
                if is_void(transaction, by)? {
                    return Ok(None);
                }
                revocations::revoke(transaction, subject, at).map(Some)
            })
            .await
    }

    async fn revoke_credential(
        &self,
        account_id: AccountId,
        id: CredentialId,
        by: Option<Credential>,
        at: Timestamp,
    ) -> Result<CredentialRevocation, StoreError> {
        self.writer
            .write(move |transaction| {
                if is_void(transaction, by)? {
                    return Ok(CredentialRevocation::CallerRevoked);
                }
                revocations::revoke_credential(transaction, account_id, id, at)
            })
            .await
    }

    async fn revocations(
        &self,
        after: RevocationRevision,
        limit: u32,
    ) -> Result<Vec<Revocation>, StoreError> {
        self.readers.read(move |connection| revocations::page(connection, after, limit)).await
    }

    async fn revocation(&self, subject: Subject) -> Result<RevocationRevision, StoreError> {
        self.readers.read(move |connection| revocations::find(connection, subject)).await
    }

    async fn set_membership(
        &self,
        restaurant_id: RestaurantId,
        account_id: AccountId,
        is_member: bool,
        by: Option<Credential>,
    ) -> Result<MembershipChange, StoreError> {
        self.writer
            .write(move |transaction| {
                if is_void(transaction, by)? {
                    return Ok(MembershipChange::CallerRevoked);
                }
                let sql = if is_member { INSERT_MEMBERSHIP } else { DELETE_MEMBERSHIP };
                let parameters = [id_bytes(restaurant_id), id_bytes(account_id)];
                Ok(match transaction.prepare_cached(sql)?.execute(parameters)? {
                    0 => MembershipChange::Unchanged,
                    _ => MembershipChange::Done,
                })
            })
            .await
    }

    async fn members(
        &self,
        restaurant_id: RestaurantId,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, StoreError> {
        let after = after.map_or(BELOW_EVERY_ID, id_bytes);
        self.readers
            .read(move |connection| {
                accounts(connection, FIND_MEMBERS, params![id_bytes(restaurant_id), after, limit.get()])
            })
            .await
    }

    async fn memberships(&self, account_id: AccountId) -> Result<Vec<RestaurantId>, StoreError> {
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(FIND_MEMBERSHIPS)?;
                collect(statement.query([id_bytes(account_id)])?, |row| row.id(0))
            })
            .await
    }
}

fn create(transaction: &Transaction<'_>, account: &Account) -> Result<(AccountCreation, Written), Failure> {
    let inserted = transaction.prepare_cached(INSERT_ACCOUNT)?.execute(params![
        id_bytes(account.id),
        account.email,
        account.name.as_str(),
        account.role.as_str(),
        account.password_hash,
        exact_nanoseconds(account.created_at)?,
        account.holder.as_str(),
    ])?;
    Ok(creation_of(account.id, inserted == 1))
}

fn accounts(connection: &Connection, sql: &str, parameters: impl Params) -> Result<Vec<Account>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    collect(statement.query(parameters)?, |row| account_of(row))
}

fn find_account(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
) -> Result<Option<Account>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    first(statement.query(parameters)?, |row| account_of(row))
}

/// Adds the account to a key, a session or a login link. The account is read second, so it has every revocation that the
/// credential has.
fn with_account<T>(
    connection: &Connection,
    found: Option<T>,
    account_id: impl FnOnce(&T) -> AccountId,
) -> Result<Option<(T, Account)>, Failure> {
    let Some(found) = found else { return Ok(None) };
    let account = find_account(connection, FIND_ACCOUNT, [id_bytes(account_id(&found))])?;
    Ok(account.map(|account| (found, account)))
}
