//! The reading of a row, without its driver.

use dabba_domain::{Amount, Timestamp, ids::Id, text::Slug};
use dabba_store::{
    StoreError,
    encoding::{decode_json, timestamp_of},
};
use serde::Deserialize;
use uuid::Uuid;

use crate::corrupt;

/// A value above every id: no UUID of version 7 has this value.
pub const ABOVE_EVERY_ID: Uuid = Uuid::max();

/// A value below every id.
pub const BELOW_EVERY_ID: Uuid = Uuid::nil();

/// A row of a result. Columns are numbered from 0, in the order of the statement.
///
/// A store implements the methods without a body for its driver's rows. A column that is missing or has another type
/// is [`StoreError::Corrupt`]. The functions of this crate are generic over the row, so the compiler generates direct
/// calls of the driver.
pub trait StoredRow<'row>: Copy {
    /// Returns a number of 64 bits.
    fn integer(self, column: usize) -> Result<i64, StoreError>;

    /// Returns a number of 64 bits; `None` if the column is NULL.
    fn optional_integer(self, column: usize) -> Result<Option<i64>, StoreError>;

    /// Returns a number of 32 bits, which some databases store in a smaller column.
    fn small_integer(self, column: usize) -> Result<i32, StoreError>;

    /// Returns a text, borrowed from the row.
    fn text(self, column: usize) -> Result<&'row str, StoreError>;

    /// Returns a text, borrowed from the row; `None` if the column is NULL.
    fn optional_text(self, column: usize) -> Result<Option<&'row str>, StoreError>;

    /// Returns bytes, borrowed from the row.
    fn bytes(self, column: usize) -> Result<&'row [u8], StoreError>;

    /// Returns a UUID.
    fn uuid(self, column: usize) -> Result<Uuid, StoreError>;

    /// Returns a UUID; `None` if the column is NULL.
    fn optional_uuid(self, column: usize) -> Result<Option<Uuid>, StoreError>;

    /// Returns an id.
    fn id<K>(self, column: usize) -> Result<Id<K>, StoreError> {
        Id::from_uuid(self.uuid(column)?).map_err(corrupt)
    }

    /// Returns an id; `None` if the column is NULL.
    fn optional_id<K>(self, column: usize) -> Result<Option<Id<K>>, StoreError> {
        self.optional_uuid(column)?.map(Id::from_uuid).transpose().map_err(corrupt)
    }

    /// Returns a version, a quantity or another number that is never negative and fits 32 bits.
    fn number(self, column: usize) -> Result<u32, StoreError> {
        let number = self.integer(column)?;
        u32::try_from(number).map_err(|_| StoreError::Corrupt(format!("{number} is out of range")))
    }

    /// Like [`StoredRow::number`], but returns the nearest number of 32 bits for a number that does not fit.
    fn clamped_number(self, column: usize) -> Result<u32, StoreError> {
        let number = self.integer(column)?;
        Ok(u32::try_from(number.max(0)).unwrap_or(u32::MAX))
    }

    /// Returns the version of the format in which a program wrote the row.
    fn format(self, column: usize) -> Result<u32, StoreError> {
        let format = self.small_integer(column)?;
        u32::try_from(format)
            .map_err(|_| StoreError::Corrupt(format!("{format} is not a valid format version")))
    }

    /// Returns a time.
    fn timestamp(self, column: usize) -> Result<Timestamp, StoreError> {
        timestamp_of(self.integer(column)?)
    }

    /// Returns a time; `None` if the column is NULL.
    fn optional_timestamp(self, column: usize) -> Result<Option<Timestamp>, StoreError> {
        self.optional_integer(column)?.map(timestamp_of).transpose()
    }

    /// Returns a value that is stored by its name.
    fn name<T>(self, column: usize, from_name: impl FnOnce(&str) -> Option<T>) -> Result<T, StoreError> {
        let name = self.text(column)?;
        from_name(name).ok_or_else(|| StoreError::Corrupt(format!("{name} is not a known name")))
    }

    /// Returns a stored document.
    fn document<T: Deserialize<'row>>(self, column: usize) -> Result<T, StoreError> {
        decode_json(self.text(column)?).map_err(corrupt)
    }

    /// Returns a stored document; `None` if the column is NULL.
    fn optional_document<T: Deserialize<'row>>(self, column: usize) -> Result<Option<T>, StoreError> {
        self.optional_text(column)?.map(decode_json).transpose().map_err(corrupt)
    }

    /// Returns an amount of money.
    fn amount(self, column: usize) -> Result<Amount, StoreError> {
        Amount::from_minor(self.integer(column)?).map_err(corrupt)
    }

    /// Returns the id of an item.
    fn item(self, column: usize) -> Result<Slug, StoreError> {
        Slug::new(self.text(column)?).map_err(corrupt)
    }
}
