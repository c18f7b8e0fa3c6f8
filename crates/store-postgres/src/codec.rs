//! Conversion of values from columns.

use dabba_domain::{Timestamp, ids::Id};
use dabba_store::encoding::timestamp_of;
use tokio_postgres::{Row, types::FromSql};
use uuid::Uuid;

use crate::failure::Failure;

/// Greater than every id: no UUID of version 7 has this value.
pub(crate) const ABOVE_EVERY_ID: Uuid = Uuid::max();

/// Less than every id.
pub(crate) const BELOW_EVERY_ID: Uuid = Uuid::nil();

/// Reads the value of a column. If the column has another type, returns an error instead of panicking.
pub(crate) fn read<'row, T: FromSql<'row>>(row: &'row Row, column: usize) -> Result<T, Failure> {
    Ok(row.try_get(column)?)
}

pub(crate) fn read_id<K>(row: &Row, column: usize) -> Result<Id<K>, Failure> {
    id_of(read(row, column)?)
}

pub(crate) fn read_optional_id<K>(row: &Row, column: usize) -> Result<Option<Id<K>>, Failure> {
    read::<Option<Uuid>>(row, column)?.map(id_of).transpose()
}

fn id_of<K>(uuid: Uuid) -> Result<Id<K>, Failure> {
    Id::from_uuid(uuid).map_err(|error| Failure::corrupt(error.to_string()))
}

pub(crate) fn read_timestamp(row: &Row, column: usize) -> Result<Timestamp, Failure> {
    Ok(timestamp_of(read(row, column)?)?)
}

pub(crate) fn read_optional_timestamp(row: &Row, column: usize) -> Result<Option<Timestamp>, Failure> {
    Ok(read::<Option<i64>>(row, column)?.map(timestamp_of).transpose()?)
}

/// Reads a value that is stored by its name.
pub(crate) fn read_name<T>(
    row: &Row,
    column: usize,
    from_name: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Failure> {
    let name: &str = read(row, column)?;
    from_name(name).ok_or_else(|| Failure::corrupt(format!("{name} is not a known name")))
}

/// Reads a `version`, `remaining` or another number that is never negative and fits 32 bits.
pub(crate) fn read_number(row: &Row, column: usize) -> Result<u32, Failure> {
    let number: i64 = read(row, column)?;
    u32::try_from(number).map_err(|_| Failure::corrupt(format!("{number} is out of range")))
}

/// Reads the format version of the program that wrote the row.
pub(crate) fn read_format(row: &Row, column: usize) -> Result<u32, Failure> {
    let format: i32 = read(row, column)?;
    u32::try_from(format).map_err(|_| Failure::corrupt(format!("{format} is not a valid format version")))
}

/// Returns the text with NUL replaced, which PostgreSQL cannot store.
pub(crate) fn storable_text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
