//! Boards of restaurants.

use dabba_store::{Attendance, Board, BoardKey, DeviceId, DueBoard, StoreError};

use crate::StoredRow;

/// Columns of [`board_of`].
#[macro_export]
macro_rules! board_columns {
    () => {
        "device_id, device, account_id, connected_at_ns, last_seen_at_ns, CAST(is_connected AS integer)"
    };
}

/// Returns a board from its columns.
pub fn board_of<'row>(row: impl StoredRow<'row>) -> Result<Board, StoreError> {
    Ok(Board {
        device_id: DeviceId(row.uuid(0)?),
        device: row.optional_text(1)?.map(str::to_owned),
        account_id: row.id(2)?,
        connected_at: row.timestamp(3)?,
        last_seen_at: row.timestamp(4)?,
        is_recorded_connected: is_set(row, 5)?,
    })
}

/// Returns a due board from a row of these columns: `restaurant_id`, `device_id`, `last_seen_at_ns`, and whether it is
/// connected.
pub fn due_board_of<'row>(row: impl StoredRow<'row>) -> Result<DueBoard, StoreError> {
    Ok(DueBoard {
        key: BoardKey { restaurant_id: row.id(0)?, device_id: DeviceId(row.uuid(1)?) },
        last_seen_at: row.timestamp(2)?,
        is_connected: is_set(row, 3)?,
    })
}

/// Returns the attendance of a restaurant from a row of its id, the latest time at which a board was seen, and whether a board
/// is connected, recorded as connected, and whether all boards are handled.
pub fn attendance_of<'row>(row: impl StoredRow<'row>) -> Result<Attendance, StoreError> {
    Ok(Attendance {
        restaurant_id: row.id(0)?,
        last_seen_at: row.timestamp(1)?,
        is_attended: is_set(row, 2)?,
        is_recorded_attended: is_set(row, 3)?,
        is_handled: is_set(row, 4)?,
    })
}

fn is_set<'row>(row: impl StoredRow<'row>, column: usize) -> Result<bool, StoreError> {
    row.small_integer(column).map(|flag| flag != 0)
}
