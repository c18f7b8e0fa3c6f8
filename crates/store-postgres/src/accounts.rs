//! Accounts, memberships, API keys and sessions. Each read is one statement, and each write one transaction.

mod edits;
mod keys;
mod revocations;
mod sessions;

use std::borrow::Cow;

use async_trait::async_trait;
use dabba_domain::{AccountId, RestaurantId, Role, Timestamp, ids::Id, order::Version};
use dabba_store::encoding::exact_nanoseconds;
use dabba_store::{
    Account, AccountCreation, AccountEdit, AccountEditOutcome, AccountHolder, AccountStore, ClaimAt,
    ClaimOutcome, ClaimRecord, Credential, CredentialId, CredentialRevocation, IdempotencyKey,
    MembershipChange, PageSize, Resource, Revocation, RevocationRevision, StoreError, Subject, UnderKey,
};
use dabba_store_sql::{
    BELOW_EVERY_ID, StoredRow as _,
    accounts::{account_of, creation_of},
    claims::claim_outcome,
};
use tokio_postgres::types::ToSql;

use crate::{
    PostgresStore, claims,
    codec::{collect, first, storable_text},
    failure::Failure,
    pool::Connection,
};

/// First schema version in which accounts have a version and can be disabled, and credentials can be revoked.
const SCHEMA: u32 = 11;

macro_rules! state_columns {
    () => {
        "accounts.version, disabled_at_ns, deleted_at_ns, coalesce(\
            (SELECT revision FROM revocations WHERE subject_kind = 'account' AND subject_id = accounts.id), 0)"
    };
}

/// Replaces the state of an account in an earlier schema.
const NO_STATE: &str = "1::bigint, NULL::bigint, NULL::bigint, 0::bigint";

macro_rules! holder_column {
    () => {
        ", accounts.holder"
    };
}

/// Replaces the holder of an account in an earlier schema.
const NO_HOLDER: &str = ", 'person'::text";

/// Condition on the holder. An earlier schema has only persons.
macro_rules! is_person {
    () => {
        " AND holder = 'person'"
    };
}

/// The columns that [`account_of`] reads, in its order.
macro_rules! account_columns {
    () => {
        concat!(
            "accounts.id, email, name, role, password_hash, created_at_ns, ",
            state_columns!(),
            holder_column!()
        )
    };
}

const FIND_ACCOUNT: &str = concat!("SELECT ", account_columns!(), " FROM accounts WHERE id = $1");

const FIND_ACCOUNT_BY_EMAIL: &str = concat!("SELECT ", account_columns!(), " FROM accounts WHERE email = $1");

const FIND_MEMBERS: &str = concat!(
    "SELECT ",
    account_columns!(),
    " FROM memberships JOIN accounts ON accounts.id = memberships.account_id \
     WHERE memberships.restaurant_id = $1 AND memberships.account_id > $2 \
     ORDER BY memberships.account_id LIMIT $3"
);

/// Returns the statement that lists the accounts that meet a condition. Parameters: the account before the page, its
/// size, and the role if the condition names it.
macro_rules! list_accounts {
    ($($condition:expr),*) => {
        concat!(
            "SELECT ",
            account_columns!(),
            " FROM accounts WHERE id > $1",
            $($condition,)*
            " ORDER BY id LIMIT $2"
        )
    };
}

const FIND_ACCOUNTS: &str = list_accounts!();
const FIND_ACCOUNTS_OF_ROLE: &str = list_accounts!(" AND role = $3");
const FIND_PERSONS: &str = list_accounts!(is_person!());
const FIND_PERSONS_OF_ROLE: &str = list_accounts!(is_person!(), " AND role = $3");
const FIND_SERVICES: &str = list_accounts!(" AND holder = 'service'");
const FIND_SERVICES_OF_ROLE: &str = list_accounts!(" AND holder = 'service'", " AND role = $3");

const FIND_MEMBERSHIPS: &str =
    "SELECT restaurant_id FROM memberships WHERE account_id = $1 ORDER BY restaurant_id";

/// Inserts an account. A taken e-mail address is an expected outcome, so it inserts nothing. A taken id is a defect,
/// so it fails.
const INSERT_ACCOUNT: &str = "\
    INSERT INTO accounts (id, email, name, role, password_hash, created_at_ns) \
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (email) DO NOTHING";

/// As [`INSERT_ACCOUNT`], for a service account. The statement for persons also works in earlier schemas.
const INSERT_SERVICE: &str = "\
    INSERT INTO accounts (id, email, name, role, password_hash, created_at_ns, holder) \
    VALUES ($1, $2, $3, $4, $5, $6, 'service') ON CONFLICT (email) DO NOTHING";

const INSERT_MEMBERSHIP: &str = "\
    INSERT INTO memberships (restaurant_id, account_id) VALUES ($1, $2) \
    ON CONFLICT (restaurant_id, account_id) DO NOTHING";

const DELETE_MEMBERSHIP: &str = "DELETE FROM memberships WHERE restaurant_id = $1 AND account_id = $2";

/// Every statement of this module that looks for rows, for the test of query plans.
#[cfg(test)]
pub(crate) const STATEMENTS: &[(&str, &str)] = &[
    ("find_account", FIND_ACCOUNT),
    ("find_account_by_email", FIND_ACCOUNT_BY_EMAIL),
    ("find_members", FIND_MEMBERS),
    ("find_memberships", FIND_MEMBERSHIPS),
    ("find_accounts", FIND_ACCOUNTS),
    ("find_accounts_of_role", FIND_ACCOUNTS_OF_ROLE),
    ("find_persons", FIND_PERSONS),
    ("find_persons_of_role", FIND_PERSONS_OF_ROLE),
    ("find_services", FIND_SERVICES),
    ("find_services_of_role", FIND_SERVICES_OF_ROLE),
    ("delete_membership", DELETE_MEMBERSHIP),
    ("update_account", edits::UPDATE_ACCOUNT),
    ("find_other_admin", edits::FIND_OTHER_ADMIN),
    ("delete_memberships", edits::DELETE_MEMBERSHIPS),
    ("is_void", revocations::IS_VOID),
    ("find_revocations", revocations::FIND_REVOCATIONS),
    ("find_revocation", revocations::FIND_REVOCATION),
    ("count_active_keys", keys::COUNT_ACTIVE_KEYS),
    ("find_key", keys::FIND_KEY),
    ("find_key_by_hash", keys::FIND_KEY_BY_HASH),
    ("find_keys", keys::FIND_KEYS),
    ("revoke_key", keys::REVOKE_KEY),
    ("revoke_keys_of_account", keys::REVOKE_KEYS_OF_ACCOUNT),
    ("is_usable", keys::IS_USABLE),
    ("record_uses", keys::RECORD_USES),
    ("find_active_sessions", sessions::FIND_ACTIVE_SESSIONS),
    ("find_session", sessions::FIND_SESSION),
    ("find_session_by_hash", sessions::FIND_SESSION_BY_HASH),
    ("find_sessions", sessions::FIND_SESSIONS),
    ("revoke_session", sessions::REVOKE_SESSION),
    ("revoke_sessions_of_account", sessions::REVOKE_SESSIONS_OF_ACCOUNT),
    ("is_session_usable", sessions::IS_SESSION_USABLE),
    ("record_session_uses", sessions::RECORD_SESSION_USES),
    ("delete_expired_sessions", sessions::DELETE_EXPIRED_SESSIONS),
    ("delete_revocations", sessions::DELETE_REVOCATIONS),
    ("delete_excess_links", sessions::DELETE_EXCESS_LINKS),
    ("find_link", sessions::FIND_LINK),
    ("consume_link", sessions::CONSUME_LINK),
    ("delete_expired_links", sessions::DELETE_EXPIRED_LINKS),
];

impl PostgresStore {
    /// Adapts a statement that reads accounts to the schema that this server knows. Only the test of upgrades has
    /// servers that know an earlier schema.
    fn of_known_schema(&self, sql: &'static str) -> Cow<'static, str> {
        if self.known_schema >= keys::SCHEMA {
            return sql.into();
        }
        let sql = sql.replace(holder_column!(), NO_HOLDER).replace(is_person!(), "");
        if self.known_schema >= SCHEMA { sql.into() } else { sql.replace(state_columns!(), NO_STATE).into() }
    }

    /// Returns whether the caller's credential is void, inside a transaction that writes.
    pub(crate) async fn is_void(
        &self,
        connection: &Connection,
        by: Option<Credential>,
    ) -> Result<bool, Failure> {
        match by {
            Some(credential) if self.known_schema >= SCHEMA => {
                revocations::is_void(connection, credential).await
            }
            _ => Ok(false),
        }
    }
}

#[async_trait]
impl AccountStore for PostgresStore {
    async fn create_account_under(
        &self,
        account: &Account,
        by: Option<Credential>,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<AccountCreation>, StoreError> {
        let created_at_ns = exact_nanoseconds(account.created_at)?;
        self.under_key(claim, None, |connection| async move {
            if self.is_void(&connection, by).await? {
                return Ok((AccountCreation::CallerRevoked, None));
            }
            let parameters: [&(dyn ToSql + Sync); 6] = [
                &account.id.uuid(),
                &account.email,
                &account.name.as_str(),
                &account.role.as_str(),
                &account.password_hash,
                &created_at_ns,
            ];
            let insert = match account.holder {
                AccountHolder::Person => INSERT_ACCOUNT,
                AccountHolder::Service => INSERT_SERVICE,
            };
            let inserted = connection.execute(insert, &parameters).await?;
            Ok(creation_of(account.id, inserted == 1))
        })
        .await
    }

    async fn claim_for_account(
        &self,
        claim: ClaimAt<'_>,
        resource: &Resource,
        version: Version,
    ) -> Result<ClaimOutcome, StoreError> {
        self.under_key(Some(claim), None, |_| async move { Ok(((), Some((resource.clone(), version)))) })
            .await
            .map(claim_outcome)
    }

    async fn find_account_claim(
        &self,
        account_id: AccountId,
        key: &IdempotencyKey,
    ) -> Result<Option<ClaimRecord>, StoreError> {
        self.read(async |connection| {
            let found = claims::find_in(connection, account_id, None, key).await?;
            if found.is_some() {
                // The caller treats the returned record as an acknowledgement.
                connection.confirm().await?;
            }
            Ok(found)
        })
        .await
    }

    async fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        self.read(async |connection| {
            let sql = self.of_known_schema(FIND_ACCOUNT);
            first(&connection.query(&sql, &[&id.uuid()]).await?, account_of)
        })
        .await
    }

    async fn account_by_email(&self, email: &str) -> Result<Option<Account>, StoreError> {
        let email = storable_text(email);
        self.read(async |connection| {
            let sql = self.of_known_schema(FIND_ACCOUNT_BY_EMAIL);
            first(&connection.query(&sql, &[&email]).await?, account_of)
        })
        .await
    }

    async fn accounts(
        &self,
        holder: Option<AccountHolder>,
        role: Option<Role>,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, StoreError> {
        if holder == Some(AccountHolder::Service) && self.known_schema < keys::SCHEMA {
            return Ok(Vec::new());
        }
        let (after, limit) = (after.map_or(BELOW_EVERY_ID, Id::uuid), i64::from(limit.get()));
        let [all, of_role] = match holder {
            None => [FIND_ACCOUNTS, FIND_ACCOUNTS_OF_ROLE],
            Some(AccountHolder::Person) => [FIND_PERSONS, FIND_PERSONS_OF_ROLE],
            Some(AccountHolder::Service) => [FIND_SERVICES, FIND_SERVICES_OF_ROLE],
        };
        self.read(async |connection| {
            let rows = match role {
                None => connection.query(&self.of_known_schema(all), &[&after, &limit]).await?,
                Some(role) => {
                    let sql = self.of_known_schema(of_role);
                    connection.query(&sql, &[&after, &limit, &role.as_str()]).await?
                }
            };
            collect(&rows, account_of)
        })
        .await
    }

    async fn edit_account_under(
        &self,
        edit: &AccountEdit,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<AccountEditOutcome>, StoreError> {
        let ended = self
            .under_key(claim, None, |connection| async move {
                let (outcome, written) = edits::edit(self, &connection, edit).await?;
                let is_unchanged = matches!(outcome, AccountEditOutcome::Done(_)) && written.is_none();
                Ok(((outcome, is_unchanged), written))
            })
            .await?;
        Ok(match ended {
            UnderKey::Claimed(record) => UnderKey::Claimed(record),
            UnderKey::Ended((outcome, is_unchanged)) => {
                if is_unchanged {
                    // The response acknowledges a commit of another transaction.
                    self.confirm().await?;
                }
                UnderKey::Ended(outcome)
            }
        })
    }

    async fn revoke(
        &self,
        subject: Subject,
        by: Option<Credential>,
        at: Timestamp,
    ) -> Result<Option<RevocationRevision>, StoreError> {
        self.in_transaction(|connection| async move {
            if self.is_void(&connection, by).await? {
                return Ok(None);
            }
            revocations::revoke(&connection, subject, at).await.map(Some)
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
        let revocation = self
            .in_transaction(|connection| async move {
                if self.is_void(&connection, by).await? {
                    return Ok(CredentialRevocation::CallerRevoked);
                }
                revocations::revoke_credential(&connection, account_id, id, at).await
            })
            .await?;
        if revocation == CredentialRevocation::Unchanged {
            // The response acknowledges a commit of another transaction.
            self.confirm().await?;
        }
        Ok(revocation)
    }

    async fn revocations(
        &self,
        after: RevocationRevision,
        limit: u32,
    ) -> Result<Vec<Revocation>, StoreError> {
        if self.known_schema < SCHEMA {
            return Ok(Vec::new());
        }
        self.read(async |connection| revocations::page(connection, after, limit).await).await
    }

    async fn revocation(&self, subject: Subject) -> Result<RevocationRevision, StoreError> {
        if self.known_schema < SCHEMA {
            return Ok(0);
        }
        self.read(async |connection| revocations::find(connection, subject).await).await
    }

    async fn set_membership(
        &self,
        restaurant_id: RestaurantId,
        account_id: AccountId,
        is_member: bool,
        by: Option<Credential>,
    ) -> Result<MembershipChange, StoreError> {
        let change = self
            .in_transaction(|connection| async move {
                if self.is_void(&connection, by).await? {
                    return Ok(MembershipChange::CallerRevoked);
                }
                let sql = if is_member { INSERT_MEMBERSHIP } else { DELETE_MEMBERSHIP };
                Ok(match connection.execute(sql, &[&restaurant_id.uuid(), &account_id.uuid()]).await? {
                    0 => MembershipChange::Unchanged,
                    _ => MembershipChange::Done,
                })
            })
            .await?;
        if change == MembershipChange::Unchanged {
            self.confirm().await?;
        }
        Ok(change)
    }

    async fn members(
        &self,
        restaurant_id: RestaurantId,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, StoreError> {
        let after = after.map_or(BELOW_EVERY_ID, Id::uuid);
        self.read(async |connection| {
            let limit = i64::from(limit.get());
            let sql = self.of_known_schema(FIND_MEMBERS);
            let rows = connection.query(&sql, &[&restaurant_id.uuid(), &after, &limit]).await?;
            collect(&rows, account_of)
        })
        .await
    }

    async fn memberships(&self, account_id: AccountId) -> Result<Vec<RestaurantId>, StoreError> {
        self.read(async |connection| {
            let rows = connection.query(FIND_MEMBERSHIPS, &[&account_id.uuid()]).await?;
            collect(&rows, |row| row.id(0))
        })
        .await
    }
}

/// Adds the account to a key, a session or a login link. The account is read second, so it has every revocation that the
/// credential has.
async fn with_account<T>(
    connection: &Connection,
    found: Option<T>,
    account_id: impl FnOnce(&T) -> AccountId,
) -> Result<Option<(T, Account)>, Failure> {
    let Some(found) = found else { return Ok(None) };
    let id = account_id(&found).uuid();
    let account = first(&connection.query(FIND_ACCOUNT, &[&id]).await?, account_of)?;
    Ok(account.map(|account| (found, account)))
}
