//! Idempotency records.

use dabba_domain::{RestaurantId, ids::Id, order::Version};
use dabba_store::{
    ClaimOutcome, ClaimRecord, Fingerprint, IdempotencyKey, Resource, ScopedKey, StoreError, StoredClaim,
    UnderKey, encoding::decode_resource,
};
use uuid::Uuid;

use crate::{BELOW_EVERY_ID, StoredRow, corrupt};

/// What a write changed: the resource and version to which its idempotency key leads. `None` if nothing was written.
pub type Written = Option<(Resource, Version)>;

/// Returns the stored scope of a key: the restaurant's id, or a value below every id for the scope of an account alone.
pub fn scope_uuid(restaurant_id: Option<RestaurantId>) -> Uuid {
    restaurant_id.map_or(BELOW_EVERY_ID, Id::uuid)
}

/// Returns the scope in a column.
pub(crate) fn scope_of<'row>(
    row: impl StoredRow<'row>,
    column: usize,
) -> Result<Option<RestaurantId>, StoreError> {
    if row.uuid(column)? == BELOW_EVERY_ID { Ok(None) } else { row.id(column).map(Some) }
}

/// Returns the record of a row with these columns, the first of which is `first`: `fingerprint`, `order_id`, `version`,
/// `resource`, `fingerprint_version`.
pub fn claim_record_of<'row>(row: impl StoredRow<'row>, first: usize) -> Result<ClaimRecord, StoreError> {
    let fingerprint = row.bytes(first)?.try_into();
    Ok(ClaimRecord {
        fingerprint: Fingerprint(fingerprint.map_err(|_| corrupt("a fingerprint has the wrong length"))?),
        fingerprint_version: row.format(first + 4)?,
        resource: decode_resource(row.uuid(first + 1)?, row.optional_text(first + 3)?)?,
        version: row.number(first + 2)?,
    })
}

/// Returns the claimed key of a row with these columns: `account_id`, `restaurant_id`, `key`, and the columns of
/// [`claim_record_of`].
pub fn stored_claim_of<'row>(row: impl StoredRow<'row>) -> Result<StoredClaim, StoreError> {
    let key = IdempotencyKey::new(row.text(2)?).map_err(corrupt)?;
    Ok(StoredClaim {
        key: ScopedKey { account_id: row.id(0)?, restaurant_id: scope_of(row, 1)?, key },
        record: claim_record_of(row, 3)?,
    })
}

/// Returns the outcome of a claim that no write accompanies.
pub fn claim_outcome(claimed: UnderKey<()>) -> ClaimOutcome {
    match claimed {
        UnderKey::Ended(()) => ClaimOutcome::Claimed,
        UnderKey::Claimed(record) => ClaimOutcome::Found(record),
    }
}

/// Returns the number of keys that a store deleted because of their age.
pub fn deleted_keys(deleted: impl TryInto<u32>) -> Result<u32, StoreError> {
    deleted.try_into().map_err(|_| corrupt("more keys were deleted than requested"))
}
