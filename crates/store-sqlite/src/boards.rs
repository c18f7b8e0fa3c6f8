//! Boards of restaurants.

use std::collections::BTreeMap;

use async_trait::async_trait;
use dabba_domain::{
    RestaurantId, Timestamp,
    restaurant::{Restaurant, Revision},
};
use dabba_store::{
    Attendance, BOARD_KEPT_FOR, Board, BoardCheck, BoardKey, BoardPlan, BoardStore, CatalogueUpdate,
    CheckedBoards, ConnectedBoard, EndedBoard, StoreError, check_board_count, check_revision_count,
    checked_until,
    encoding::{clamped_nanoseconds, exact_nanoseconds},
    excess_boards, listed_boards, next_connected_check, plan_board_checks, restaurants_of, stale_boards,
    stale_until,
};
use dabba_store_sql::{
    board_columns,
    boards::{attendance_of, board_of, due_board_of},
    catalogue::{EncodedRestaurant, restaurant_of},
};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use crate::{
    SqliteStore,
    catalogue::{self, FIND_RESTAURANT},
    codec::{IdBytes, SqliteRow, collect, first, id_bytes},
    failure::Failure,
};

/// A later connection, and any connection after one that is disconnected or stale (seen until ?9), replaces the earlier one.
/// ?8 and ?10 are the time of the next check and the earliest time that a renewal keeps.
const RECORD: &str = "\
    INSERT INTO boards (restaurant_id, device_id, device, account_id, connection, connected_at_ns, last_seen_at_ns, \
        check_at_ns, is_connected, is_handled) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, 0) \
    ON CONFLICT (restaurant_id, device_id) DO UPDATE SET device = excluded.device, account_id = excluded.account_id, \
        connection = excluded.connection, connected_at_ns = excluded.connected_at_ns, \
        last_seen_at_ns = max(boards.last_seen_at_ns, excluded.last_seen_at_ns), \
        check_at_ns = CASE WHEN boards.is_connected AND boards.check_at_ns BETWEEN ?10 AND excluded.check_at_ns \
            THEN boards.check_at_ns ELSE excluded.check_at_ns END, \
        is_connected = 1, is_handled = 0 \
    WHERE boards.connection = excluded.connection OR NOT boards.is_connected \
        OR boards.connected_at_ns <= excluded.connected_at_ns OR boards.last_seen_at_ns <= ?9";

pub(crate) const DELETE: &str = "DELETE FROM boards WHERE restaurant_id = ?1 AND device_id = ?2";

pub(crate) const IS_PAUSED: &str = "SELECT 1 FROM restaurants WHERE id = ?1 AND pause ->> 'by' = 'dabba'";

pub(crate) const DISCONNECT: &str = "\
    UPDATE boards SET is_connected = 0, last_seen_at_ns = max(last_seen_at_ns, ?4), check_at_ns = ?4 \
    WHERE restaurant_id = ?1 AND device_id = ?2 AND connection = ?3";

pub(crate) const FIND: &str = concat!("SELECT ", board_columns!(), " FROM boards WHERE restaurant_id = ?1");

/// Parameters: restaurant, the time until which a board was seen that is stale. Returns no row for a restaurant without boards.
pub(crate) const FIND_ATTENDANCE: &str = "\
    SELECT restaurant_id, max(last_seen_at_ns), max(is_connected AND last_seen_at_ns > ?2), max(is_connected), \
        min(is_handled) \
    FROM boards WHERE restaurant_id = ?1 HAVING count(*) > 0";

/// Parameters: the present time, limit, the time until which a disconnected board was seen that is checked.
pub(crate) const FIND_DUE: &str = "\
    SELECT restaurant_id, device_id, last_seen_at_ns, is_connected FROM boards \
    WHERE check_at_ns <= ?1 AND (is_connected OR last_seen_at_ns <= ?3) \
    ORDER BY check_at_ns LIMIT ?2";

/// Marks a board as disconnected, and sets the time of its next check.
pub(crate) const CHECK: &str =
    "UPDATE boards SET is_connected = 0, check_at_ns = ?3 WHERE restaurant_id = ?1 AND device_id = ?2";

/// Parameters: restaurant, time for which a row is kept.
pub(crate) const HANDLE: &str =
    "UPDATE boards SET is_handled = 1, check_at_ns = last_seen_at_ns + ?2 WHERE restaurant_id = ?1";

pub(crate) const POSTPONE: &str =
    "UPDATE boards SET check_at_ns = ?2 WHERE restaurant_id = ?1 AND check_at_ns < ?2";

const fn device_bytes(key: BoardKey) -> IdBytes {
    key.device_id.0.into_bytes()
}

fn delete(transaction: &Transaction<'_>, key: BoardKey) -> Result<(), Failure> {
    let mut statement = transaction.prepare_cached(DELETE)?;
    statement.execute(params![id_bytes(key.restaurant_id), device_bytes(key)])?;
    Ok(())
}

fn check(transaction: &Transaction<'_>, checked: &[(BoardKey, Timestamp)]) -> Result<(), Failure> {
    let mut statement = transaction.prepare_cached(CHECK)?;
    for (key, at) in checked {
        let at_ns = clamped_nanoseconds(*at);
        statement.execute(params![id_bytes(key.restaurant_id), device_bytes(*key), at_ns])?;
    }
    Ok(())
}

fn attendance(
    connection: &Connection,
    ids: impl IntoIterator<Item = RestaurantId>,
    now: Timestamp,
) -> Result<Vec<Attendance>, Failure> {
    let mut statement = connection.prepare_cached(FIND_ATTENDANCE)?;
    let stale_until_ns = clamped_nanoseconds(stale_until(now));
    let mut found = Vec::new();
    for id in ids {
        found.extend(first(statement.query(params![id_bytes(id), stale_until_ns])?, |row| {
            attendance_of(row)
        })?);
    }
    Ok(found)
}

fn find(connection: &Connection, id: RestaurantId) -> Result<Vec<Board>, Failure> {
    let mut statement = connection.prepare_cached(FIND)?;
    collect(statement.query([id_bytes(id)])?, |row| board_of(row))
}

/// Deletes the boards of a restaurant that are too many; see [`dabba_store::MAX_BOARDS`].
fn delete_excess(
    transaction: &Transaction<'_>,
    restaurant_id: RestaurantId,
    now: Timestamp,
) -> Result<(), Failure> {
    for board in excess_boards(find(transaction, restaurant_id)?, now) {
        delete(transaction, BoardKey { restaurant_id, device_id: board.device_id })?;
    }
    Ok(())
}

fn record(
    transaction: &Transaction<'_>,
    boards: &[ConnectedBoard],
    now: Timestamp,
) -> Result<Vec<RestaurantId>, Failure> {
    let (kept_check, next_check) = next_connected_check(now);
    for board in boards {
        transaction.prepare_cached(RECORD)?.execute(params![
            id_bytes(board.key.restaurant_id),
            device_bytes(board.key),
            board.device,
            id_bytes(board.account_id),
            board.connection,
            exact_nanoseconds(board.connected_at)?,
            exact_nanoseconds(now)?,
            clamped_nanoseconds(next_check),
            clamped_nanoseconds(stale_until(now)),
            clamped_nanoseconds(kept_check),
        ])?;
    }
    for id in restaurants_of(boards.iter().filter(|board| board.is_new).map(|board| board.key)) {
        delete_excess(transaction, id, now)?;
    }
    let mut statement = transaction.prepare_cached(IS_PAUSED)?;
    let mut paused = Vec::new();
    for id in restaurants_of(boards.iter().map(|board| board.key)) {
        if statement.query_row([id_bytes(id)], |_| Ok(())).optional()?.is_some() {
            paused.push(id);
        }
    }
    Ok(paused)
}

fn check_due(transaction: &Transaction<'_>, wanted: &BoardCheck) -> Result<CheckedBoards, Failure> {
    let mut statement = transaction.prepare_cached(FIND_DUE)?;
    let (now_ns, checked_until_ns) =
        (clamped_nanoseconds(wanted.now), clamped_nanoseconds(checked_until(wanted)));
    let rows = statement.query(params![now_ns, wanted.limit, checked_until_ns])?;
    let due = collect(rows, |row| due_board_of(row))?;
    check(transaction, &stale_boards(&due, wanted.now))?;
    let restaurants = restaurants_of(due.iter().map(|board| board.key));
    let attendance = attendance(transaction, restaurants, wanted.now)?;
    let BoardPlan { forgotten, checked, unattended } = plan_board_checks(&due, &attendance, wanted);
    for key in forgotten {
        delete(transaction, key)?;
    }
    check(transaction, &checked)?;
    let checked = u32::try_from(due.len()).unwrap_or(wanted.limit);
    Ok(CheckedBoards { checked, unattended: find_restaurants(transaction, unattended)? })
}

/// Returns the restaurants that this version can decode.
fn find_restaurants(
    connection: &Connection,
    unattended: BTreeMap<RestaurantId, Timestamp>,
) -> Result<Vec<(Restaurant, Timestamp)>, Failure> {
    let mut statement = connection.prepare_cached(FIND_RESTAURANT)?;
    let mut found = Vec::new();
    for (id, since) in unattended {
        let mut rows = statement.query([id_bytes(id)])?;
        let restaurant = rows.next()?.and_then(|row| restaurant_of(SqliteRow(row)).ok());
        found.extend(restaurant.map(|restaurant| (restaurant, since)));
    }
    Ok(found)
}

fn pause(
    transaction: &Transaction<'_>,
    columns: &EncodedRestaurant,
    expected: Revision,
    since: Timestamp,
) -> Result<Option<CatalogueUpdate>, Failure> {
    let attendance = attendance(transaction, [columns.id], since)?;
    if !attendance.iter().any(|attendance| attendance.may_be_paused(since)) {
        return Ok(None);
    }
    let update = catalogue::update(transaction, columns, expected)?;
    if matches!(update, CatalogueUpdate::Done { .. }) {
        let kept_for_ns = i64::try_from(BOARD_KEPT_FOR.as_nanos()).unwrap_or(i64::MAX);
        transaction.prepare_cached(HANDLE)?.execute(params![id_bytes(columns.id), kept_for_ns])?;
    }
    Ok(Some(update))
}

#[async_trait]
impl BoardStore for SqliteStore {
    async fn record_boards(
        &self,
        boards: &[ConnectedBoard],
        now: Timestamp,
    ) -> Result<Vec<RestaurantId>, StoreError> {
        check_board_count(boards.len())?;
        if boards.is_empty() {
            return Ok(Vec::new());
        }
        let boards = boards.to_vec();
        self.writer.write(move |transaction| record(transaction, &boards, now)).await
    }

    async fn disconnect_boards(&self, ended: &[EndedBoard]) -> Result<(), StoreError> {
        check_board_count(ended.len())?;
        if ended.is_empty() {
            return Ok(());
        }
        let ended = ended.to_vec();
        self.writer
            .write(move |transaction| {
                let mut statement = transaction.prepare_cached(DISCONNECT)?;
                for EndedBoard { key, connection, at } in ended {
                    let restaurant_id = id_bytes(key.restaurant_id);
                    let at_ns = clamped_nanoseconds(at);
                    statement.execute(params![restaurant_id, device_bytes(key), connection, at_ns])?;
                }
                Ok(())
            })
            .await
    }

    async fn boards(&self, restaurant_id: RestaurantId, now: Timestamp) -> Result<Vec<Board>, StoreError> {
        let boards = self.readers.read(move |connection| find(connection, restaurant_id)).await?;
        Ok(listed_boards(boards, now))
    }

    async fn attendance(&self, ids: &[RestaurantId], now: Timestamp) -> Result<Vec<Attendance>, StoreError> {
        check_revision_count(ids)?;
        let ids = ids.to_vec();
        self.readers.read(move |connection| attendance(connection, ids, now)).await
    }

    async fn check_boards(&self, wanted: &BoardCheck) -> Result<CheckedBoards, StoreError> {
        let wanted = *wanted;
        self.writer.write(move |transaction| check_due(transaction, &wanted)).await
    }

    async fn postpone_board_checks(
        &self,
        restaurant_id: RestaurantId,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let until_ns = clamped_nanoseconds(until);
        self.writer
            .write(move |transaction| {
                let mut statement = transaction.prepare_cached(POSTPONE)?;
                statement.execute(params![id_bytes(restaurant_id), until_ns])?;
                Ok(())
            })
            .await
    }

    async fn pause_unattended(
        &self,
        restaurant: &Restaurant,
        expected: Revision,
        since: Timestamp,
    ) -> Result<Option<CatalogueUpdate>, StoreError> {
        let columns = EncodedRestaurant::new(restaurant)?;
        self.writer.write(move |transaction| pause(transaction, &columns, expected, since)).await
    }
}
