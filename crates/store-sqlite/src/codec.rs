//! Encoding of values in columns.

use dabba_domain::{Timestamp, ids::Id};
use dabba_store::encoding::timestamp_of;
use rusqlite::{Row, types::ValueRef};
use uuid::Uuid;

use crate::failure::Failure;

/// An id in a column: its 16 bytes, which sort like the id.
pub(crate) type IdBytes = [u8; 16];

/// A value above every id. It is not a valid UUID of version 7.
pub(crate) const ABOVE_EVERY_ID: IdBytes = [0xff; 16];

/// A value below every id.
pub(crate) const BELOW_EVERY_ID: IdBytes = [0; 16];

pub(crate) fn id_bytes<K>(id: Id<K>) -> IdBytes {
    id.uuid().into_bytes()
}

pub(crate) fn read_id<K>(row: &Row<'_>, column: usize) -> Result<Id<K>, Failure> {
    id_of(row.get(column)?)
}

pub(crate) fn read_optional_id<K>(row: &Row<'_>, column: usize) -> Result<Option<Id<K>>, Failure> {
    row.get::<_, Option<IdBytes>>(column)?.map(id_of).transpose()
}

fn id_of<K>(bytes: IdBytes) -> Result<Id<K>, Failure> {
    Id::from_uuid(Uuid::from_bytes(bytes)).map_err(|error| Failure::corrupt(error.to_string()))
}

pub(crate) fn read_timestamp(row: &Row<'_>, column: usize) -> Result<Timestamp, Failure> {
    Ok(timestamp_of(row.get(column)?)?)
}

pub(crate) fn read_optional_timestamp(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>, Failure> {
    Ok(row.get::<_, Option<i64>>(column)?.map(timestamp_of).transpose()?)
}

/// Returns the text of a column, borrowed from the row.
pub(crate) fn read_text<'row>(row: &'row Row<'_>, column: usize) -> Result<&'row str, Failure> {
    Ok(row.get_ref(column)?.as_str()?)
}

/// Returns the text of a column that may be NULL.
pub(crate) fn read_optional_text<'row>(
    row: &'row Row<'_>,
    column: usize,
) -> Result<Option<&'row str>, Failure> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        value => Ok(Some(value.as_str()?)),
    }
}

/// Returns a value that a column stores by its name.
pub(crate) fn read_name<T>(
    row: &Row<'_>,
    column: usize,
    from_name: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Failure> {
    let name = read_text(row, column)?;
    from_name(name).ok_or_else(|| Failure::corrupt(format!("{name} is not a known name")))
}

/// Returns a row's `version`, `quantity` or another small number that is never negative.
pub(crate) fn read_number(row: &Row<'_>, column: usize) -> Result<u32, Failure> {
    Ok(row.get(column)?)
}
