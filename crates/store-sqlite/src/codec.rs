//! Rows of `SQLite`, and values for their columns.

use dabba_domain::ids::Id;
use dabba_store::StoreError;
use dabba_store_sql::StoredRow;
use rusqlite::{Row, Rows, types::FromSql};
use uuid::Uuid;

use crate::failure::Failure;

/// An id in a column: its 16 bytes, which sort like the id.
pub(crate) type IdBytes = [u8; 16];

/// A value below every id.
pub(crate) const BELOW_EVERY_ID: IdBytes = dabba_store_sql::BELOW_EVERY_ID.into_bytes();

pub(crate) fn id_bytes<K>(id: Id<K>) -> IdBytes {
    id.uuid().into_bytes()
}

/// A row of a result, for the functions of [`dabba_store_sql`].
#[derive(Clone, Copy)]
pub(crate) struct SqliteRow<'row>(pub(crate) &'row Row<'row>);

impl SqliteRow<'_> {
    fn get<T: FromSql>(self, column: usize) -> Result<T, StoreError> {
        self.0.get(column).map_err(|error| Failure::from(error).into())
    }
}

impl<'row> StoredRow<'row> for SqliteRow<'row> {
    fn integer(self, column: usize) -> Result<i64, StoreError> {
        self.get(column)
    }

    fn optional_integer(self, column: usize) -> Result<Option<i64>, StoreError> {
        self.get(column)
    }

    fn small_integer(self, column: usize) -> Result<i32, StoreError> {
        self.get(column)
    }

    fn text(self, column: usize) -> Result<&'row str, StoreError> {
        let value = self.0.get_ref(column).map_err(Failure::from)?;
        value.as_str().map_err(|error| Failure::from(error).into())
    }

    fn optional_text(self, column: usize) -> Result<Option<&'row str>, StoreError> {
        let value = self.0.get_ref(column).map_err(Failure::from)?;
        value.as_str_or_null().map_err(|error| Failure::from(error).into())
    }

    fn bytes(self, column: usize) -> Result<&'row [u8], StoreError> {
        let value = self.0.get_ref(column).map_err(Failure::from)?;
        value.as_blob().map_err(|error| Failure::from(error).into())
    }

    fn uuid(self, column: usize) -> Result<Uuid, StoreError> {
        self.get::<IdBytes>(column).map(Uuid::from_bytes)
    }

    fn optional_uuid(self, column: usize) -> Result<Option<Uuid>, StoreError> {
        Ok(self.get::<Option<IdBytes>>(column)?.map(Uuid::from_bytes))
    }
}

/// Returns the values of all rows.
pub(crate) fn collect<T>(
    mut rows: Rows<'_>,
    read: impl for<'row> Fn(SqliteRow<'row>) -> Result<T, StoreError>,
) -> Result<Vec<T>, Failure> {
    let mut values = Vec::new();
    while let Some(row) = rows.next()? {
        values.push(read(SqliteRow(row))?);
    }
    Ok(values)
}

/// Returns the value of the first row, if there is a row.
pub(crate) fn first<T>(
    mut rows: Rows<'_>,
    read: impl for<'row> Fn(SqliteRow<'row>) -> Result<T, StoreError>,
) -> Result<Option<T>, Failure> {
    Ok(rows.next()?.map(|row| read(SqliteRow(row))).transpose()?)
}
