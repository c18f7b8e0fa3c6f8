//! API keys.

use async_trait::async_trait;
use dabba_domain::{AccountId, ApiKeyId, Timestamp};
use dabba_store::{
    Account, ApiKey, ApiKeyCreation, ApiKeyStore, ClaimAt, Credential, NewApiKey, PageSize, SecretHash,
    StoreError, UnderKey,
    encoding::{clamped_nanoseconds, exact_nanoseconds},
    stored_scopes,
};
use dabba_store_sql::{
    accounts::{api_key_of, check_key_account, key_creation_of},
    api_key_columns,
    claims::Written,
};
use rusqlite::{Connection, Params, Transaction, params};

use super::{FIND_ACCOUNT, find_account, revocations, with_account};
use crate::{
    SqliteStore,
    claims::{self, OwnedClaim},
    codec::{BELOW_EVERY_ID, collect, first, id_bytes},
    failure::Failure,
};

const INSERT_KEY: &str = "\
    INSERT INTO api_keys (id, account_id, hash, name, scopes, as_of, created_at_ns, created_by, expires_at_ns) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

pub(crate) const COUNT_ACTIVE_KEYS: &str = "\
    SELECT count(*) FROM api_keys \
    WHERE account_id = ?1 AND revoked_at_ns IS NULL AND (expires_at_ns IS NULL OR expires_at_ns > ?2)";

pub(crate) const FIND_KEY: &str = concat!("SELECT ", api_key_columns!(), " FROM api_keys WHERE id = ?1");

pub(crate) const FIND_KEY_BY_HASH: &str =
    concat!("SELECT ", api_key_columns!(), " FROM api_keys WHERE hash = ?1");

pub(crate) const FIND_KEYS: &str = concat!(
    "SELECT ",
    api_key_columns!(),
    " FROM api_keys WHERE account_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
);

pub(crate) const REVOKE_KEY: &str =
    "UPDATE api_keys SET revoked_at_ns = ?2 WHERE id = ?1 AND revoked_at_ns IS NULL";

pub(crate) const REVOKE_KEYS_OF_ACCOUNT: &str =
    "UPDATE api_keys SET revoked_at_ns = ?2 WHERE account_id = ?1 AND revoked_at_ns IS NULL";

/// Finds a row if a key may be used. Parameters: the key, its account and the time of the use.
pub(crate) const IS_USABLE: &str = "\
    SELECT 1 FROM api_keys \
    WHERE id = ?1 AND account_id = ?2 AND revoked_at_ns IS NULL AND (expires_at_ns IS NULL OR expires_at_ns > ?3)";

pub(crate) const RECORD_USE: &str = "\
    UPDATE api_keys SET last_used_at_ns = max(coalesce(last_used_at_ns, ?2), ?2) WHERE id = ?1";

/// Returns whether a key of an account may be used at this time.
pub(super) fn is_usable(
    transaction: &Transaction<'_>,
    account_id: AccountId,
    id: ApiKeyId,
    at: Timestamp,
) -> Result<bool, Failure> {
    let parameters = params![id_bytes(id), id_bytes(account_id), clamped_nanoseconds(at)];
    Ok(transaction.prepare_cached(IS_USABLE)?.exists(parameters)?)
}

fn create(transaction: &Transaction<'_>, new: &NewApiKey) -> Result<(ApiKeyCreation, Written), Failure> {
    let account_id = new.key.account_id;
    let account = match check_key_account(find_account(transaction, FIND_ACCOUNT, [id_bytes(account_id)])?) {
        Ok(account) => account,
        Err(refusal) => return Ok((refusal, None)),
    };
    let created_at_ns = exact_nanoseconds(new.key.created_at)?;
    let active: i64 = transaction
        .prepare_cached(COUNT_ACTIVE_KEYS)?
        .query_row(params![id_bytes(account_id), created_at_ns], |row| row.get(0))?;
    if active >= i64::from(new.max_active) {
        return Ok((ApiKeyCreation::TooMany, None));
    }
    let key = ApiKey { as_of: account.revocation, ..new.key.clone() };
    transaction.prepare_cached(INSERT_KEY)?.execute(params![
        id_bytes(key.id),
        id_bytes(account_id),
        new.hash.0,
        key.name.as_str(),
        key.scopes.as_deref().map(stored_scopes),
        key.as_of,
        created_at_ns,
        id_bytes(key.created_by),
        key.expires_at.map(exact_nanoseconds).transpose()?,
    ])?;
    Ok(key_creation_of(key))
}

pub(super) fn find(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
) -> Result<Option<ApiKey>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    first(statement.query(parameters)?, |row| api_key_of(row))
}

#[async_trait]
impl ApiKeyStore for SqliteStore {
    async fn create_api_key_under(
        &self,
        new: &NewApiKey,
        by: Option<Credential>,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<ApiKeyCreation>, StoreError> {
        let (new, claim) = (new.clone(), claim.map(OwnedClaim::from));
        self.writer
            .write(move |transaction| {
                claims::under(transaction, claim.as_ref(), None, || {
                    if revocations::is_void(transaction, by)? {
                        return Ok((ApiKeyCreation::CallerRevoked, None));
                    }
                    create(transaction, &new)
                })
            })
            .await
    }

    async fn api_key(&self, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
        self.readers.read(move |connection| find(connection, FIND_KEY, [id_bytes(id)])).await
    }

    async fn api_key_by_hash(&self, hash: &SecretHash) -> Result<Option<(ApiKey, Account)>, StoreError> {
        let SecretHash(hash) = *hash;
        self.readers
            .read(move |connection| {
                let key = find(connection, FIND_KEY_BY_HASH, [hash])?;
                with_account(connection, key, |key| key.account_id)
            })
            .await
    }

    async fn api_keys(
        &self,
        account_id: AccountId,
        after: Option<ApiKeyId>,
        limit: PageSize,
    ) -> Result<Vec<ApiKey>, StoreError> {
        let after = after.map_or(BELOW_EVERY_ID, id_bytes);
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(FIND_KEYS)?;
                let rows = statement.query(params![id_bytes(account_id), after, limit.get()])?;
                collect(rows, |row| api_key_of(row))
            })
            .await
    }

    async fn record_key_uses(&self, uses: &[(ApiKeyId, Timestamp)]) -> Result<(), StoreError> {
        let uses = uses.to_vec();
        self.writer
            .write(move |transaction| {
                let mut statement = transaction.prepare_cached(RECORD_USE)?;
                for (id, at) in &uses {
                    statement.execute(params![id_bytes(*id), clamped_nanoseconds(*at)])?;
                }
                Ok(())
            })
            .await
    }
}
