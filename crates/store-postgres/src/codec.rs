//! Rows of PostgreSQL, and values for their columns.

use dabba_store::StoreError;
use dabba_store_sql::StoredRow;
use tokio_postgres::{Row, types::FromSql};
use uuid::Uuid;

use crate::failure::Failure;

/// Reads the value of a column. If the column has another type, returns an error instead of panicking.
pub(crate) fn read<'row, T: FromSql<'row>>(row: &'row Row, column: usize) -> Result<T, Failure> {
    Ok(row.try_get(column)?)
}

/// A row of a result, for the functions of [`dabba_store_sql`].
#[derive(Clone, Copy)]
pub(crate) struct PgRow<'row>(pub(crate) &'row Row);

impl<'row> PgRow<'row> {
    fn get<T: FromSql<'row>>(self, column: usize) -> Result<T, StoreError> {
        read(self.0, column).map_err(Failure::into_store_error)
    }
}

impl<'row> StoredRow<'row> for PgRow<'row> {
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
        self.get(column)
    }

    fn optional_text(self, column: usize) -> Result<Option<&'row str>, StoreError> {
        self.get(column)
    }

    fn bytes(self, column: usize) -> Result<&'row [u8], StoreError> {
        self.get(column)
    }

    fn uuid(self, column: usize) -> Result<Uuid, StoreError> {
        self.get(column)
    }

    fn optional_uuid(self, column: usize) -> Result<Option<Uuid>, StoreError> {
        self.get(column)
    }
}

/// Returns the values of all rows.
pub(crate) fn collect<'row, T, C: FromIterator<T>>(
    rows: &'row [Row],
    read: impl Fn(PgRow<'row>) -> Result<T, StoreError>,
) -> Result<C, Failure> {
    Ok(rows.iter().map(|row| read(PgRow(row))).collect::<Result<C, StoreError>>()?)
}

/// Returns the value of the first row, if there is a row.
pub(crate) fn first<'row, T>(
    rows: &'row [Row],
    read: impl FnOnce(PgRow<'row>) -> Result<T, StoreError>,
) -> Result<Option<T>, Failure> {
    Ok(rows.first().map(|row| read(PgRow(row))).transpose()?)
}

/// Returns the text with NUL replaced, which PostgreSQL cannot store.
pub(crate) fn storable_text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
