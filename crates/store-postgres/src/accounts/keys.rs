//! API keys.

use async_trait::async_trait;
use dabba_domain::{AccountId, ApiKeyId, Timestamp, ids::Id};
use dabba_store::{
    Account, ApiKey, ApiKeyCreation, ApiKeyStore, ClaimAt, Credential, NewApiKey, PageSize, SecretHash,
    StoreError, UnderKey,
    encoding::{clamped_nanoseconds, exact_nanoseconds},
    stored_scopes,
};
use dabba_store_sql::{
    BELOW_EVERY_ID,
    accounts::{account_of, api_key_of, check_key_account, key_creation_of},
    api_key_columns,
    claims::Written,
};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{FIND_ACCOUNT, with_account};
use crate::{
    PostgresStore,
    codec::{collect, first},
    failure::Failure,
    pool::Connection,
};

/// First schema version with service accounts and API keys.
pub(super) const SCHEMA: u32 = 14;

const INSERT_KEY: &str = "\
    INSERT INTO api_keys (id, account_id, hash, name, scopes, as_of, created_at_ns, created_by, expires_at_ns) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

pub(super) const COUNT_ACTIVE_KEYS: &str = "\
    SELECT count(*) FROM api_keys \
    WHERE account_id = $1 AND revoked_at_ns IS NULL AND (expires_at_ns IS NULL OR expires_at_ns > $2)";

pub(super) const FIND_KEY: &str = concat!("SELECT ", api_key_columns!(), " FROM api_keys WHERE id = $1");

pub(super) const FIND_KEY_BY_HASH: &str =
    concat!("SELECT ", api_key_columns!(), " FROM api_keys WHERE hash = $1");

pub(super) const FIND_KEYS: &str = concat!(
    "SELECT ",
    api_key_columns!(),
    " FROM api_keys WHERE account_id = $1 AND id > $2 ORDER BY id LIMIT $3"
);

pub(super) const REVOKE_KEY: &str =
    "UPDATE api_keys SET revoked_at_ns = $2 WHERE id = $1 AND revoked_at_ns IS NULL";

pub(super) const REVOKE_KEYS_OF_ACCOUNT: &str =
    "UPDATE api_keys SET revoked_at_ns = $2 WHERE account_id = $1 AND revoked_at_ns IS NULL";

/// Returns a row if a key may be used. Parameters: the key, its account and the time of the use.
pub(super) const IS_USABLE: &str = "\
    SELECT 1 FROM api_keys \
    WHERE id = $1 AND account_id = $2 AND revoked_at_ns IS NULL AND (expires_at_ns IS NULL OR expires_at_ns > $3)";

/// Records uses. Parameters: the keys and the times, as arrays.
pub(super) const RECORD_USES: &str = "\
    UPDATE api_keys SET last_used_at_ns = greatest(last_used_at_ns, used.at_ns) \
    FROM unnest($1::uuid[], $2::bigint[]) AS used (id, at_ns) WHERE api_keys.id = used.id";

/// Returns whether a key of an account may be used at this time.
pub(super) async fn is_usable(
    connection: &Connection,
    account_id: AccountId,
    id: ApiKeyId,
    at: Timestamp,
) -> Result<bool, Failure> {
    let parameters: [&(dyn ToSql + Sync); 3] = [&id.uuid(), &account_id.uuid(), &clamped_nanoseconds(at)];
    Ok(!connection.query(IS_USABLE, &parameters).await?.is_empty())
}

/// Creates a key in a SERIALIZABLE transaction: two transactions that both count the active keys cannot both commit.
async fn create(connection: &Connection, new: &NewApiKey) -> Result<(ApiKeyCreation, Written), Failure> {
    let account_id = new.key.account_id.uuid();
    let found = first(&connection.query(FIND_ACCOUNT, &[&account_id]).await?, account_of)?;
    let account = match check_key_account(found) {
        Ok(account) => account,
        Err(refusal) => return Ok((refusal, None)),
    };
    let created_at_ns = exact_nanoseconds(new.key.created_at)?;
    let active: i64 = connection.query_number(COUNT_ACTIVE_KEYS, &[&account_id, &created_at_ns]).await?;
    if active >= i64::from(new.max_active) {
        return Ok((ApiKeyCreation::TooMany, None));
    }
    let key = ApiKey { as_of: account.revocation, ..new.key.clone() };
    let parameters: [&(dyn ToSql + Sync); 9] = [
        &key.id.uuid(),
        &account_id,
        &&new.hash.0[..],
        &key.name.as_str(),
        &key.scopes.as_deref().map(stored_scopes),
        &key.as_of,
        &created_at_ns,
        &key.created_by.uuid(),
        &key.expires_at.map(exact_nanoseconds).transpose()?,
    ];
    connection.execute(INSERT_KEY, &parameters).await?;
    Ok(key_creation_of(key))
}

pub(super) async fn find(connection: &Connection, id: ApiKeyId) -> Result<Option<ApiKey>, Failure> {
    first(&connection.query(FIND_KEY, &[&id.uuid()]).await?, api_key_of)
}

#[async_trait]
impl ApiKeyStore for PostgresStore {
    async fn create_api_key_under(
        &self,
        new: &NewApiKey,
        by: Option<Credential>,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<ApiKeyCreation>, StoreError> {
        self.under_key(claim, None, |connection| async move {
            if self.is_void(&connection, by).await? {
                return Ok((ApiKeyCreation::CallerRevoked, None));
            }
            create(&connection, new).await
        })
        .await
    }

    async fn api_key(&self, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
        self.read(async |connection| find(connection, id).await).await
    }

    async fn api_key_by_hash(&self, hash: &SecretHash) -> Result<Option<(ApiKey, Account)>, StoreError> {
        if self.known_schema < SCHEMA {
            return Ok(None);
        }
        self.read(async |connection| {
            let key = first(&connection.query(FIND_KEY_BY_HASH, &[&&hash.0[..]]).await?, api_key_of)?;
            with_account(connection, key, |key| key.account_id).await
        })
        .await
    }

    async fn api_keys(
        &self,
        account_id: AccountId,
        after: Option<ApiKeyId>,
        limit: PageSize,
    ) -> Result<Vec<ApiKey>, StoreError> {
        let after = after.map_or(BELOW_EVERY_ID, Id::uuid);
        self.read(async |connection| {
            let limit = i64::from(limit.get());
            let rows = connection.query(FIND_KEYS, &[&account_id.uuid(), &after, &limit]).await?;
            collect(&rows, api_key_of)
        })
        .await
    }

    async fn record_key_uses(&self, uses: &[(ApiKeyId, Timestamp)]) -> Result<(), StoreError> {
        if uses.is_empty() || self.known_schema < SCHEMA {
            return Ok(());
        }
        let (ids, times): (Vec<Uuid>, Vec<i64>) =
            uses.iter().map(|(id, at)| (id.uuid(), clamped_nanoseconds(*at))).unzip();
        let (ids, times) = (&ids, &times);
        self.in_transaction(|connection| async move {
            connection.execute(RECORD_USES, &[ids, times]).await?;
            Ok(())
        })
        .await
    }
}
