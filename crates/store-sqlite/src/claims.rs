//! Idempotency records: their columns, and the records of writes that are not about an order.

use dabba_domain::{AccountId, RestaurantId, Timestamp, order::Version};
use dabba_store::{
    Claim, ClaimAt, ClaimRecord, IdempotencyKey, Resource, UnderKey,
    encoding::{FINGERPRINT_VERSION, encode_resource, exact_nanoseconds, stored_version},
};
use dabba_store_sql::claims::{Written, claim_record_of, scope_uuid};
use rusqlite::{Connection, Transaction, params};

use crate::{
    codec::{IdBytes, first, id_bytes},
    failure::Failure,
    orders::commit::FIND_CLAIM,
};

const INSERT_CLAIM: &str = "\
    INSERT INTO idempotency_keys \
        (account_id, restaurant_id, key, fingerprint, order_id, version, claimed_at_ns, resource, \
            fingerprint_version) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

/// Returns the stored scope of a key.
pub(crate) fn scope_bytes(restaurant_id: Option<RestaurantId>) -> IdBytes {
    scope_uuid(restaurant_id).into_bytes()
}

/// Returns the record of a key in a scope, if the key is claimed.
pub(crate) fn find(
    transaction: &Transaction<'_>,
    claim: ClaimAt<'_>,
    scope: Option<RestaurantId>,
) -> Result<Option<ClaimRecord>, Failure> {
    find_in(transaction, claim.claim.account_id, scope, &claim.claim.key)
}

/// Returns the record of an account's key in a scope, if the key is claimed.
pub(crate) fn find_in(
    connection: &Connection,
    account_id: AccountId,
    scope: Option<RestaurantId>,
    key: &IdempotencyKey,
) -> Result<Option<ClaimRecord>, Failure> {
    let mut statement = connection.prepare_cached(FIND_CLAIM)?;
    let rows = statement.query(params![id_bytes(account_id), scope_bytes(scope), key.as_str()])?;
    first(rows, |row| claim_record_of(row, 0))
}

/// An owned claim, which can be sent to the writer thread.
#[derive(Clone)]
pub(crate) struct OwnedClaim {
    claim: Claim,
    at: Timestamp,
}

impl From<ClaimAt<'_>> for OwnedClaim {
    fn from(ClaimAt { claim, at }: ClaimAt<'_>) -> Self {
        Self { claim: claim.clone(), at }
    }
}

impl OwnedClaim {
    /// Returns the claim, borrowed.
    pub(crate) const fn get(&self) -> ClaimAt<'_> {
        ClaimAt { claim: &self.claim, at: self.at }
    }
}

/// Makes a write under a key unless the key is claimed. `write` returns its outcome, and the resource and version for
/// the claim if the write was made.
pub(crate) fn under<T>(
    transaction: &Transaction<'_>,
    claim: Option<&OwnedClaim>,
    scope: Option<RestaurantId>,
    write: impl FnOnce() -> Result<(T, Written), Failure>,
) -> Result<UnderKey<T>, Failure> {
    let claim = claim.map(OwnedClaim::get);
    if let Some(claim) = claim
        && let Some(record) = find(transaction, claim, scope)?
    {
        return Ok(UnderKey::Claimed(record));
    }
    let (ended, written) = write()?;
    if let (Some(claim), Some((resource, version))) = (claim, written) {
        insert(transaction, claim, scope, &resource, version)?;
    }
    Ok(UnderKey::Ended(ended))
}

/// Claims a free key.
pub(crate) fn insert(
    transaction: &Transaction<'_>,
    claim: ClaimAt<'_>,
    scope: Option<RestaurantId>,
    resource: &Resource,
    version: Version,
) -> Result<(), Failure> {
    let ClaimAt { claim, at } = claim;
    let (id, resource) = encode_resource(resource)?;
    transaction.prepare_cached(INSERT_CLAIM)?.execute(params![
        id_bytes(claim.account_id),
        scope_bytes(scope),
        claim.key.as_str(),
        claim.fingerprint.0,
        id.into_bytes(),
        version,
        exact_nanoseconds(at)?,
        resource,
        stored_version(FINGERPRINT_VERSION),
    ])?;
    Ok(())
}
