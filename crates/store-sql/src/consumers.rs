//! Positions of consumers of the feed.

use dabba_store::{ConsumerName, FeedPlace, FeedPosition, StoreError, StoredPosition};

use crate::{StoredRow, corrupt};

/// Name under which the position of a group itself is stored. No consumer has this name.
pub const SHARED: &str = "";

/// Columns of [`position_of`](crate::consumers::position_of), in its order.
#[macro_export]
macro_rules! position_columns {
    () => {
        "incarnation, transaction_number, sequence, known, updated_at_ns"
    };
}

/// Returns the position of a row with the columns of [`position_columns`], the first of which
/// is `first`.
pub fn position_of<'row>(row: impl StoredRow<'row>, first: usize) -> Result<StoredPosition, StoreError> {
    let incarnation = row.text(first)?.parse().map_err(corrupt)?;
    let position =
        FeedPosition { transaction: unsigned(row, first + 1)?, sequence: unsigned(row, first + 2)? };
    Ok(StoredPosition {
        place: FeedPlace { incarnation, position },
        known: row.integer(first + 3)?,
        updated_at: row.timestamp(first + 4)?,
    })
}

/// Returns the consumer of a row with the column `consumer` and the columns of [`position_of`].
pub fn own_position_of<'row>(
    row: impl StoredRow<'row>,
) -> Result<(ConsumerName, StoredPosition), StoreError> {
    let name = ConsumerName::new(row.text(0)?).map_err(corrupt)?;
    let position = position_of(row, 1).map_err(|error| error.in_context(format_args!("{name:?}")))?;
    Ok((name, position))
}

fn unsigned<'row>(row: impl StoredRow<'row>, column: usize) -> Result<u64, StoreError> {
    let number = row.integer(column)?;
    u64::try_from(number).map_err(|_| StoreError::Corrupt(format!("{number} is not part of a position")))
}

/// Columns of a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedPlace {
    /// Column `incarnation`.
    pub incarnation: String,
    /// Column `transaction_number`.
    pub transaction: i64,
    /// Column `sequence`.
    pub sequence: i64,
}

impl EncodedPlace {
    /// Encodes a position. A position beyond the range of the columns is a defect in the caller.
    pub fn new(place: FeedPlace) -> Result<Self, StoreError> {
        let FeedPlace { incarnation, position } = place;
        let number = |number: u64| {
            i64::try_from(number)
                .map_err(|_| StoreError::Corrupt(format!("the position {position} is invalid")))
        };
        Ok(Self {
            incarnation: incarnation.to_string(),
            transaction: number(position.transaction)?,
            sequence: number(position.sequence)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use dabba_store::Incarnation;

    use super::*;

    /// Proves that a position that the columns cannot hold is refused and not stored as another position.
    #[test]
    fn a_position_out_of_range_is_refused() {
        let place = |transaction, sequence| FeedPlace {
            incarnation: Incarnation::new(7),
            position: FeedPosition { transaction, sequence },
        };
        let encoded = EncodedPlace::new(place(740, 17)).unwrap();
        assert_eq!((encoded.transaction, encoded.sequence), (740, 17));
        assert_eq!(encoded.incarnation, "0000000000000007");
        for place in [place(u64::MAX, 1), place(1, u64::MAX)] {
            assert!(matches!(EncodedPlace::new(place), Err(StoreError::Corrupt(_))));
        }
    }
}
