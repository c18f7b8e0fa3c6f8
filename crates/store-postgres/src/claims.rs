//! Idempotency records: their columns, and the records of writes that do not change an order.

use dabba_domain::{AccountId, RestaurantId, ids::Id, order::Version};
use dabba_store::{
    ClaimAt, ClaimRecord, Fingerprint, IdempotencyKey, Resource,
    encoding::{decode_resource, encode_resource, exact_nanoseconds},
};
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use crate::{
    codec::{BELOW_EVERY_ID, read, read_format, read_id, read_number},
    failure::{Conflict, Failure},
    orders::read::FIND_CLAIM,
    pool::Connection,
};

pub(crate) const INSERT_CLAIM: &str = "\
    INSERT INTO idempotency_keys \
        (account_id, restaurant_id, key, fingerprint, order_id, version, claimed_at_ns, resource) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::json) \
    ON CONFLICT (account_id, restaurant_id, key) DO NOTHING";

/// Returns the scope of a key: the restaurant's id, or for no restaurant a value below every id.
pub(crate) fn scope_uuid(restaurant_id: Option<RestaurantId>) -> Uuid {
    restaurant_id.map_or(BELOW_EVERY_ID, Id::uuid)
}

/// Reads the scope of a key from a column.
pub(crate) fn read_scope(row: &Row, column: usize) -> Result<Option<RestaurantId>, Failure> {
    if read::<Uuid>(row, column)? == BELOW_EVERY_ID { Ok(None) } else { read_id(row, column).map(Some) }
}

/// Reads a record from consecutive columns, the first of which is `column`: fingerprint, id, version, resource,
/// version of the fingerprint.
pub(crate) fn claim_record_of(row: &Row, column: usize) -> Result<ClaimRecord, Failure> {
    let fingerprint: &[u8] = read(row, column)?;
    let fingerprint =
        fingerprint.try_into().map_err(|_| Failure::corrupt("a fingerprint has the wrong length"))?;
    Ok(ClaimRecord {
        fingerprint: Fingerprint(fingerprint),
        fingerprint_version: read_format(row, column + 4)?,
        resource: decode_resource(read(row, column + 1)?, read(row, column + 3)?)?,
        version: read_number(row, column + 2)?,
    })
}

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
    let rows = connection.query(FIND_CLAIM, &parameters).await?;
    rows.first().map(|row| claim_record_of(row, 0)).transpose()
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
    let parameters: [&(dyn ToSql + Sync); 8] = [
        &claim.account_id.uuid(),
        &scope_uuid(scope),
        &claim.key.as_str(),
        &&claim.fingerprint.0[..],
        &id,
        &i64::from(version),
        &exact_nanoseconds(at)?,
        &resource,
    ];
    match connection.execute(INSERT_CLAIM, &parameters).await? {
        1 => Ok(()),
        _ => Err(Failure::Conflict(Conflict::Serialization)),
    }
}
