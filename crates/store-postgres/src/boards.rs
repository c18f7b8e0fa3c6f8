//! Boards of restaurants.

use std::collections::BTreeMap;

use async_trait::async_trait;
use dabba_domain::{
    RestaurantId, Timestamp,
    restaurant::{Restaurant, Revision},
};
use dabba_store::{
    Attendance, BOARD_KEPT_FOR, Board, BoardCheck, BoardKey, BoardPlan, BoardStore, CatalogueUpdate,
    CheckedBoards, ConnectedBoard, DeviceId, DueBoard, EndedBoard, MAX_BOARDS, StoreError, check_board_count,
    check_revision_count, checked_until,
    encoding::{clamped_nanoseconds, exact_nanoseconds},
    listed_boards, next_connected_check, plan_board_checks, restaurants_of, stale_boards, stale_until,
};
use dabba_store_sql::{
    StoredRow as _, board_columns,
    boards::{attendance_of, board_of, due_board_of},
    catalogue::{EncodedRestaurant, restaurant_of},
};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::{
    PostgresStore,
    catalogue::{self, FIND_RESTAURANTS},
    codec::{PgRow, collect, storable_text},
    failure::Failure,
    pool::Connection,
    shard,
};

/// First schema version with boards.
const SCHEMA: u32 = 18;

/// Condition on a row of a restaurant that this database holds. A split copies all rows, and the rows of the other database
/// exist until they are purged.
macro_rules! is_here {
    () => {
        "bucket_of(restaurant_id) BETWEEN (SELECT first_bucket FROM shard WHERE is_the_only_row) \
            AND (SELECT last_bucket FROM shard WHERE is_the_only_row)"
    };
}

/// Parameters: the boards as arrays, one per column; the time, the time of the next check, and the time until which a board
/// was seen that is stale, and the earliest time of the next check that a renewal keeps. PostgreSQL writes no new entry of
/// the index if a renewal keeps the time (HOT). Omits the boards of restaurants that another database holds by now.
const RECORD: &str = concat!(
    "\
    INSERT INTO boards (restaurant_id, device_id, device, account_id, connection, connected_at_ns, last_seen_at_ns, \
        check_at_ns, is_connected, is_handled) \
    SELECT restaurant_id, device_id, device, account_id, connection, connected_at_ns, $7::bigint, $8::bigint, true, false \
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::bigint[], $6::bigint[]) \
        AS seen (restaurant_id, device_id, device, account_id, connection, connected_at_ns) \
    WHERE ",
    is_here!(),
    " \
    ON CONFLICT (restaurant_id, device_id) DO UPDATE SET device = excluded.device, account_id = excluded.account_id, \
        connection = excluded.connection, connected_at_ns = excluded.connected_at_ns, \
        last_seen_at_ns = greatest(boards.last_seen_at_ns, excluded.last_seen_at_ns), \
        check_at_ns = CASE WHEN boards.is_connected AND boards.check_at_ns BETWEEN $10 AND excluded.check_at_ns \
            THEN boards.check_at_ns ELSE excluded.check_at_ns END, \
        is_connected = true, is_handled = false \
    WHERE boards.connection = excluded.connection OR NOT boards.is_connected \
        OR boards.connected_at_ns <= excluded.connected_at_ns OR boards.last_seen_at_ns <= $9"
);

/// Finds the boards that [`dabba_store::excess_boards`] returns, of several restaurants. Parameters: the restaurants, the maximum
/// number of boards, the time until which a board was seen that is stale.
const FIND_EXCESS: &str = "\
    SELECT wanted.id, beyond.device_id FROM unnest($1::uuid[]) AS wanted (id) CROSS JOIN LATERAL ( \
        SELECT device_id, is_connected AND last_seen_at_ns > $3::bigint AS is_present \
        FROM boards WHERE restaurant_id = wanted.id \
        ORDER BY is_present DESC, last_seen_at_ns DESC, device_id OFFSET $2::bigint) AS beyond \
    WHERE NOT beyond.is_present";

const DELETE: &str = "\
    DELETE FROM boards USING unnest($1::uuid[], $2::uuid[]) AS gone (restaurant, device) \
    WHERE restaurant_id = gone.restaurant AND device_id = gone.device";

const FIND_PAUSED: &str =
    "SELECT id FROM restaurants WHERE id = ANY ($1::uuid[]) AND pause ->> 'by' = 'dabba'";

const DISCONNECT: &str = "\
    UPDATE boards SET is_connected = false, last_seen_at_ns = greatest(last_seen_at_ns, ended.at_ns), \
        check_at_ns = ended.at_ns \
    FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) AS ended (restaurant, device, number, at_ns) \
    WHERE restaurant_id = ended.restaurant AND device_id = ended.device AND connection = ended.number";

const FIND: &str = concat!("SELECT ", board_columns!(), " FROM boards WHERE restaurant_id = $1");

/// Parameters: restaurants, the time until which a board was seen that is stale.
const FIND_ATTENDANCE: &str = "\
    SELECT restaurant_id, max(last_seen_at_ns), bool_or(is_connected AND last_seen_at_ns > $2)::int, \
        bool_or(is_connected)::int, bool_and(is_handled)::int \
    FROM boards WHERE restaurant_id = ANY ($1::uuid[]) GROUP BY restaurant_id";

/// Parameters: the present time, limit, the time until which a disconnected board was seen that is checked.
const FIND_DUE: &str = concat!(
    "SELECT restaurant_id, device_id, last_seen_at_ns, is_connected::int FROM boards \
        WHERE check_at_ns <= $1 AND (is_connected OR last_seen_at_ns <= $3) AND ",
    is_here!(),
    " ORDER BY check_at_ns LIMIT $2"
);

/// Marks boards as disconnected, and sets the time of their next check.
const CHECK: &str = "\
    UPDATE boards SET is_connected = false, check_at_ns = checked.at_ns \
    FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS checked (restaurant, device, at_ns) \
    WHERE restaurant_id = checked.restaurant AND device_id = checked.device";

const POSTPONE: &str = "UPDATE boards SET check_at_ns = $2 WHERE restaurant_id = $1 AND check_at_ns < $2";

/// Parameters: restaurant, time for which a row is kept.
const HANDLE: &str = "\
    UPDATE boards SET is_handled = true, check_at_ns = last_seen_at_ns + $2::bigint WHERE restaurant_id = $1";

/// Every statement of this module that searches for rows, for the test of query plans.
#[cfg(test)]
pub(crate) const STATEMENTS: &[(&str, &str)] = &[
    ("find_excess_boards", FIND_EXCESS),
    ("delete_boards", DELETE),
    ("find_paused_restaurants", FIND_PAUSED),
    ("disconnect_boards", DISCONNECT),
    ("find_boards", FIND),
    ("find_attendance", FIND_ATTENDANCE),
    ("find_due_boards", FIND_DUE),
    ("check_boards", CHECK),
    ("postpone_boards", POSTPONE),
    ("handle_boards", HANDLE),
];

/// Returns the columns of the keys of boards.
fn columns(keys: impl IntoIterator<Item = BoardKey>) -> (Vec<Uuid>, Vec<Uuid>) {
    keys.into_iter().map(|key| (key.restaurant_id.uuid(), key.device_id.0)).unzip()
}

fn uuids(ids: impl IntoIterator<Item = RestaurantId>) -> Vec<Uuid> {
    ids.into_iter().map(RestaurantId::uuid).collect()
}

async fn delete(connection: &Connection, keys: impl IntoIterator<Item = BoardKey>) -> Result<(), Failure> {
    let (restaurants, devices) = columns(keys);
    if !restaurants.is_empty() {
        connection.execute(DELETE, &[&restaurants, &devices]).await?;
    }
    Ok(())
}

async fn check(connection: &Connection, checked: &[(BoardKey, Timestamp)]) -> Result<(), Failure> {
    if checked.is_empty() {
        return Ok(());
    }
    let (restaurants, devices) = columns(checked.iter().map(|(key, _)| *key));
    let times: Vec<i64> = checked.iter().map(|(_, at)| clamped_nanoseconds(*at)).collect();
    connection.execute(CHECK, &[&restaurants, &devices, &times]).await?;
    Ok(())
}

async fn attendance(
    connection: &Connection,
    ids: impl IntoIterator<Item = RestaurantId>,
    now: Timestamp,
) -> Result<Vec<Attendance>, Failure> {
    let parameters: [&(dyn ToSql + Sync); 2] = [&uuids(ids), &clamped_nanoseconds(stale_until(now))];
    collect(&connection.query(FIND_ATTENDANCE, &parameters).await?, attendance_of)
}

/// Writes connected boards, and deletes the excess of the restaurants with new connections.
async fn record(connection: &Connection, boards: &[ConnectedBoard], now: Timestamp) -> Result<(), Failure> {
    let (restaurants, devices) = columns(boards.iter().map(|board| board.key));
    let names: Vec<_> = boards.iter().map(|board| board.device.as_deref().map(storable_text)).collect();
    let accounts: Vec<_> = boards.iter().map(|board| board.account_id.uuid()).collect();
    let connections: Vec<_> = boards.iter().map(|board| board.connection).collect();
    let begins = boards.iter().map(|board| exact_nanoseconds(board.connected_at));
    let begins = begins.collect::<Result<Vec<i64>, StoreError>>()?;
    let (kept_check, next_check) = next_connected_check(now);
    let parameters: [&(dyn ToSql + Sync); 10] = [
        &restaurants,
        &devices,
        &names,
        &accounts,
        &connections,
        &begins,
        &exact_nanoseconds(now)?,
        &clamped_nanoseconds(next_check),
        &clamped_nanoseconds(stale_until(now)),
        &clamped_nanoseconds(kept_check),
    ];
    connection.execute(RECORD, &parameters).await?;
    let new = restaurants_of(boards.iter().filter(|board| board.is_new).map(|board| board.key));
    if new.is_empty() {
        return Ok(());
    }
    let kept = i64::try_from(MAX_BOARDS).unwrap_or(i64::MAX);
    let stale_until_ns = clamped_nanoseconds(stale_until(now));
    let rows = connection.query(FIND_EXCESS, &[&uuids(new), &kept, &stale_until_ns]).await?;
    let excess: Vec<BoardKey> =
        collect(&rows, |row| Ok(BoardKey { restaurant_id: row.id(0)?, device_id: DeviceId(row.uuid(1)?) }))?;
    delete(connection, excess).await
}

/// Checks due boards. Reads the restaurants in the same transaction: after a later write of a restaurant, the pause finds
/// another revision and changes nothing.
async fn check_due(connection: &Connection, wanted: &BoardCheck) -> Result<CheckedBoards, Failure> {
    let parameters: [&(dyn ToSql + Sync); 3] = [
        &clamped_nanoseconds(wanted.now),
        &i64::from(wanted.limit),
        &clamped_nanoseconds(checked_until(wanted)),
    ];
    let due: Vec<DueBoard> = collect(&connection.query(FIND_DUE, &parameters).await?, due_board_of)?;
    check(connection, &stale_boards(&due, wanted.now)).await?;
    let restaurants = restaurants_of(due.iter().map(|board| board.key));
    let attendance = attendance(connection, restaurants, wanted.now).await?;
    let BoardPlan { forgotten, checked, unattended } = plan_board_checks(&due, &attendance, wanted);
    delete(connection, forgotten).await?;
    check(connection, &checked).await?;
    let checked = u32::try_from(due.len()).unwrap_or(wanted.limit);
    Ok(CheckedBoards { checked, unattended: find_restaurants(connection, &unattended).await? })
}

/// Returns the restaurants that this version can decode.
async fn find_restaurants(
    connection: &Connection,
    unattended: &BTreeMap<RestaurantId, Timestamp>,
) -> Result<Vec<(Restaurant, Timestamp)>, Failure> {
    if unattended.is_empty() {
        return Ok(Vec::new());
    }
    let rows = connection.query(FIND_RESTAURANTS, &[&uuids(unattended.keys().copied())]).await?;
    let restaurants = rows.iter().filter_map(|row| restaurant_of(PgRow(row)).ok());
    Ok(restaurants
        .filter_map(|restaurant| {
            let since = *unattended.get(&restaurant.id)?;
            Some((restaurant, since))
        })
        .collect())
}

#[async_trait]
impl BoardStore for PostgresStore {
    async fn record_boards(
        &self,
        boards: &[ConnectedBoard],
        now: Timestamp,
    ) -> Result<Vec<RestaurantId>, StoreError> {
        check_board_count(boards.len())?;
        if boards.is_empty() || self.known_schema < SCHEMA {
            return Ok(Vec::new());
        }
        self.in_transaction(|connection| async move { record(&connection, boards, now).await }).await?;
        // Read after the commit, so that a pause that the write did not prevent is found.
        let ids = uuids(restaurants_of(boards.iter().map(|board| board.key)));
        self.read(async |connection| collect(&connection.query(FIND_PAUSED, &[&ids]).await?, |row| row.id(0)))
            .await
    }

    async fn disconnect_boards(&self, ended: &[EndedBoard]) -> Result<(), StoreError> {
        check_board_count(ended.len())?;
        if ended.is_empty() || self.known_schema < SCHEMA {
            return Ok(());
        }
        let (restaurants, devices) = &columns(ended.iter().map(|board| board.key));
        let connections: &Vec<i64> = &ended.iter().map(|board| board.connection).collect();
        let times: &Vec<i64> = &ended.iter().map(|board| clamped_nanoseconds(board.at)).collect();
        self.in_transaction(|connection| async move {
            connection.execute(DISCONNECT, &[restaurants, devices, connections, times]).await?;
            Ok(())
        })
        .await
    }

    async fn boards(&self, restaurant_id: RestaurantId, now: Timestamp) -> Result<Vec<Board>, StoreError> {
        if self.known_schema < SCHEMA {
            return Ok(Vec::new());
        }
        self.held.check(restaurant_id.bucket())?;
        let boards = self
            .read(async |connection| {
                collect(&connection.query(FIND, &[&restaurant_id.uuid()]).await?, board_of)
            })
            .await?;
        Ok(listed_boards(boards, now))
    }

    async fn attendance(&self, ids: &[RestaurantId], now: Timestamp) -> Result<Vec<Attendance>, StoreError> {
        check_revision_count(ids)?;
        if self.known_schema < SCHEMA {
            return Ok(Vec::new());
        }
        let held = self.held.buckets();
        let ids = ids.iter().copied().filter(|id| held.contains(id.bucket()));
        self.read(async |connection| attendance(connection, ids, now).await).await
    }

    async fn check_boards(&self, wanted: &BoardCheck) -> Result<CheckedBoards, StoreError> {
        if self.known_schema < SCHEMA {
            return Ok(CheckedBoards::default());
        }
        self.in_transaction(|connection| async move { check_due(&connection, wanted).await }).await
    }

    async fn postpone_board_checks(
        &self,
        restaurant_id: RestaurantId,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        if self.known_schema < SCHEMA {
            return Ok(());
        }
        let (id, until_ns) = (&restaurant_id.uuid(), &clamped_nanoseconds(until));
        self.in_transaction(|connection| async move {
            connection.execute(POSTPONE, &[id, until_ns]).await?;
            Ok(())
        })
        .await
    }

    /// Runs as a SERIALIZABLE transaction: a board that connects at the same time, and whose row exists, makes one of the
    /// two transactions fail, and the repeated one sees the other.
    async fn pause_unattended(
        &self,
        restaurant: &Restaurant,
        expected: Revision,
        since: Timestamp,
    ) -> Result<Option<CatalogueUpdate>, StoreError> {
        if self.known_schema < SCHEMA {
            return Ok(None);
        }
        let columns = &EncodedRestaurant::new(restaurant)?;
        let id = restaurant.id;
        self.in_transaction(|connection| async move {
            shard::require(&connection, id.bucket()).await?;
            let attendance = attendance(&connection, [id], since).await?;
            if !attendance.iter().any(|attendance| attendance.may_be_paused(since)) {
                return Ok(None);
            }
            let update = catalogue::update(&connection, columns, expected).await?;
            if matches!(update, CatalogueUpdate::Done { .. }) {
                let kept_for_ns = i64::try_from(BOARD_KEPT_FOR.as_nanos()).unwrap_or(i64::MAX);
                connection.execute(HANDLE, &[&id.uuid(), &kept_for_ns]).await?;
            }
            Ok(Some(update))
        })
        .await
    }
}
