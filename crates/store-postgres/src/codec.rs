//! How values stand in columns.

use dabba_domain::{Timestamp, ids::Id};
use tokio_postgres::{Row, types::FromSql};
use uuid::Uuid;

use crate::failure::Failure;

/// Above every id, since no UUID of version 7 looks like this.
pub(crate) const ABOVE_EVERY_ID: Uuid = Uuid::max();

/// Below every id.
pub(crate) const BELOW_EVERY_ID: Uuid = Uuid::nil();

/// The value of a column. One of another type is a defect or damage, not a panic.
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

/// A time to be kept. It has to come out exactly as it went in, so a time outside the years 1677
/// to 2262, which 64 bits of nanoseconds cannot hold, is refused.
pub(crate) fn exact_nanoseconds(at: Timestamp) -> Result<i64, Failure> {
    i64::try_from(at.as_nanosecond())
        .map_err(|_| Failure::corrupt(format!("{at} is outside the years 1677 to 2262")))
}

/// A time to be compared with: far away is as good as the farthest that can be kept.
pub(crate) fn clamped_nanoseconds(at: Timestamp) -> i64 {
    let nanoseconds = at.as_nanosecond().clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    i64::try_from(nanoseconds).unwrap_or(i64::MAX)
}

pub(crate) fn read_timestamp(row: &Row, column: usize) -> Result<Timestamp, Failure> {
    timestamp_of(read(row, column)?)
}

pub(crate) fn read_optional_timestamp(row: &Row, column: usize) -> Result<Option<Timestamp>, Failure> {
    read::<Option<i64>>(row, column)?.map(timestamp_of).transpose()
}

fn timestamp_of(nanoseconds: i64) -> Result<Timestamp, Failure> {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).map_err(|error| Failure::corrupt(error.to_string()))
}

/// A value that stands in a column by its name.
pub(crate) fn read_name<T>(
    row: &Row,
    column: usize,
    from_name: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Failure> {
    let name: &str = read(row, column)?;
    from_name(name).ok_or_else(|| Failure::corrupt(format!("{name} is not the name of anything")))
}

/// A row's `version`, `remaining` or another number that is never negative and fits 32 bits.
pub(crate) fn read_number(row: &Row, column: usize) -> Result<u32, Failure> {
    let number: i64 = read(row, column)?;
    u32::try_from(number).map_err(|_| Failure::corrupt(format!("{number} is out of range")))
}

/// Text as PostgreSQL can keep it, which NUL is not.
pub(crate) fn storable_text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_kept_to_the_nanosecond() {
        for nanoseconds in [i64::MIN, -1, 0, 1, 1_790_000_000_123_456_789, i64::MAX] {
            let at = timestamp_of(nanoseconds).unwrap();
            assert_eq!(exact_nanoseconds(at).unwrap(), nanoseconds);
            assert_eq!(clamped_nanoseconds(at), nanoseconds);
        }
    }

    #[test]
    fn times_too_far_away_are_refused_where_they_would_be_kept() {
        assert!(exact_nanoseconds(Timestamp::MAX).is_err());
        assert!(exact_nanoseconds(Timestamp::MIN).is_err());
        assert_eq!(clamped_nanoseconds(Timestamp::MAX), i64::MAX);
        assert_eq!(clamped_nanoseconds(Timestamp::MIN), i64::MIN);
    }
}
