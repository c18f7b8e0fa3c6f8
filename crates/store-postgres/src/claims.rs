//! Idempotency records: their columns, and the records of writes that do not change an order.

use dabba_domain::{AccountId, RestaurantId, order::Version};
use dabba_store::{
    ClaimAt, ClaimRecord, IdempotencyKey, Resource,
    encoding::{FINGERPRINT_VERSION, encode_resource, exact_nanoseconds, stored_version},
};
use dabba_store_sql::claims::{claim_record_of, scope_uuid};
use tokio_postgres::types::ToSql;

use crate::{
    codec::first,
    failure::{Conflict, Failure},
    orders::read::FIND_CLAIM,
    pool::Connection,
};

pub(crate) const INSERT_CLAIM: &str = "\
    INSERT INTO idempotency_keys \
        (account_id, restaurant_id, key, fingerprint, order_id, version, claimed_at_ns, resource, \
            fingerprint_version) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::json, $9) \
    ON CONFLICT (account_id, restaurant_id, key) DO NOTHING";

/// Returns the record of a key in a scope, if the key is claimed.
pub(crate) async fn find(
    connection: &Connection,
    claim: ClaimAt<'_>,
    scope: Option<RestaurantId>,
) -> Result<Option<ClaimRecord>, Failure> {
    find_in(connection, claim.claim.account_id, scope, &claim.claim.key).await
}

/// Returns the record of an account's key in a scope, if the key is claimed.
pub(crate) async fn find_in(
    connection: &Connection,
    account_id: AccountId,
    scope: Option<RestaurantId>,
    key: &IdempotencyKey,
) -> Result<Option<ClaimRecord>, Failure> {
    let parameters: [&(dyn ToSql + Sync); 3] = [&account_id.uuid(), &scope_uuid(scope), &key.as_str()];
    first(&connection.query(FIND_CLAIM, &parameters).await?, |row| claim_record_of(row, 0))
}

/// Claims a key that is free in this transaction's snapshot. If another transaction has claimed the key since, this
/// transaction fails with a conflict and is retried.
pub(crate) async fn insert(
    connection: &Connection,
    claim: ClaimAt<'_>,
    scope: Option<RestaurantId>,
    resource: &Resource,
    version: Version,
) -> Result<(), Failure> {
    let ClaimAt { claim, at } = claim;
    let (id, resource) = encode_resource(resource)?;
    let parameters: [&(dyn ToSql + Sync); 9] = [
        &claim.account_id.uuid(),
        &scope_uuid(scope),
        &claim.key.as_str(),
        &&claim.fingerprint.0[..],
        &id,
        &i64::from(version),
        &exact_nanoseconds(at)?,
        &resource,
        &stored_version(FINGERPRINT_VERSION),
    ];
    match connection.execute(INSERT_CLAIM, &parameters).await? {
        1 => Ok(()),
        _ => Err(Failure::Conflict(Conflict::Serialization)),
    }
}
