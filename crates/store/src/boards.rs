//! Boards of restaurants: the devices that show a restaurant's orders, and when each was connected last.
//!
//! The row of a board is in the shard of its restaurant. Each server renews the rows of the boards that are connected to
//! it, at intervals and in batches. A row that says that its board is connected, but that no server has renewed for
//! [`BOARD_STALE_AFTER`], counts as disconnected since its last renewal: its server died, or could not write.
//!
//! All times are times of servers, which the caller passes. The store reads no clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use async_trait::async_trait;
use dabba_domain::{
    AccountId, RestaurantId, Timestamp,
    restaurant::{Restaurant, Revision},
};
use jiff::SignedDuration;
use uuid::Uuid;

use crate::{CatalogueUpdate, StoreError};

/// Time after which a board that no server has renewed counts as disconnected: three renewals.
pub const BOARD_STALE_AFTER: SignedDuration = SignedDuration::from_secs(90);

/// Time for which the row of a board is kept after its board was connected.
pub const BOARD_KEPT_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Maximum number of boards of a restaurant in a list, and of rows that the store keeps for a restaurant. Beyond it, the store
/// deletes the rows of boards that are not connected, those seen longest ago first. The rows of connected boards stay, because a
/// restaurant whose only connected board has no row seems unattended: the limits of streams limit their number.
pub const MAX_BOARDS: usize = 50;

/// Maximum number of boards in one write.
pub const MAX_BOARDS_PER_WRITE: usize = 1_000;

/// Interval at which a restaurant that is unattended for longer than the limit is checked again: it may be closed now, and
/// take orders later.
pub const UNATTENDED_RECHECK: SignedDuration = SignedDuration::from_mins(5);

/// Time after which the next check of a connected board is due. A renewal postpones the check only if the check would be due
/// within [`BOARD_STALE_AFTER`], so that few renewals change the index of due checks. A check therefore finds the boards of
/// a server that died at most this time after the last renewal.
pub const CONNECTED_BOARD_CHECK: SignedDuration = SignedDuration::from_mins(5);

/// Stores boards.
#[async_trait]
pub trait BoardStore: Send + Sync {
    /// Records that these boards are connected at `now`, at most [`MAX_BOARDS_PER_WRITE`] different boards. Returns those of
    /// their restaurants that Dabba has paused and that are still paused after the write.
    ///
    /// If another connection of the same device is recorded, the later connection replaces the earlier one, and any
    /// connection replaces one that is disconnected or stale.
    async fn record_boards(
        &self,
        boards: &[ConnectedBoard],
        now: Timestamp,
    ) -> Result<Vec<RestaurantId>, StoreError>;

    /// Records the ends of connections, at most [`MAX_BOARDS_PER_WRITE`]. A board that another connection has taken over
    /// stays connected.
    async fn disconnect_boards(&self, ended: &[EndedBoard]) -> Result<(), StoreError>;

    /// Returns the boards of a restaurant, those that are connected at `now` first, newest connection first, at most
    /// [`MAX_BOARDS`].
    async fn boards(&self, restaurant_id: RestaurantId, now: Timestamp) -> Result<Vec<Board>, StoreError>;

    /// Returns whether restaurants are attended, for those that have boards, in any order. `now` determines which boards are
    /// stale. At most [`crate::MAX_REVISIONS`] restaurants; restaurants on a shard that does not answer are omitted, and the
    /// call fails only if none of the requested shards answers.
    async fn attendance(&self, ids: &[RestaurantId], now: Timestamp) -> Result<Vec<Attendance>, StoreError>;

    /// Checks at most `check.limit` boards whose check is due, those that are due longest first: marks stale boards as
    /// disconnected, deletes the rows of old boards, and returns the restaurants that are unattended for too long. Each
    /// checked row is due again later, so concurrent callers check different rows, and a caller that dies delays a check by
    /// [`UNATTENDED_RECHECK`]. Without `check.pause_after`, a check leaves all other due rows to the callers that pause
    /// restaurants.
    async fn check_boards(&self, check: &BoardCheck) -> Result<CheckedBoards, StoreError>;

    /// Postpones the checks of a restaurant's boards that are due before `until` to `until`. The caller calls this function
    /// before it writes a restaurant that takes orders from now on, so that boards have time to connect.
    async fn postpone_board_checks(
        &self,
        restaurant_id: RestaurantId,
        until: Timestamp,
    ) -> Result<(), StoreError>;

    /// Replaces an unattended restaurant that is at revision `expected`, like [`crate::CatalogueStore::update_restaurant`],
    /// and marks its boards as handled, so that Dabba pauses the restaurant only once. `None`, and nothing is written, if
    /// a board is recorded as connected, if a board was seen after `since`, or if the boards are handled.
    async fn pause_unattended(
        &self,
        restaurant: &Restaurant,
        expected: Revision,
        since: Timestamp,
    ) -> Result<Option<CatalogueUpdate>, StoreError>;
}

/// Id of a device: any UUID, which the device chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub Uuid);

impl FromStr for DeviceId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A board: a device that shows the orders of a restaurant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BoardKey {
    /// The restaurant.
    pub restaurant_id: RestaurantId,
    /// The device.
    pub device_id: DeviceId,
}

/// A connected board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectedBoard {
    /// The board.
    pub key: BoardKey,
    /// Random number of the connection.
    pub connection: i64,
    /// Name of the device, if it states one.
    pub device: Option<String>,
    /// The account that is signed in.
    pub account_id: AccountId,
    /// Time at which the connection began.
    pub connected_at: Timestamp,
    /// Whether the connection is not recorded yet. The store then limits the number of the restaurant's boards.
    pub is_new: bool,
}

/// The end of a board's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedBoard {
    /// The board.
    pub key: BoardKey,
    /// Random number of the connection.
    pub connection: i64,
    /// Time at which the connection ended.
    pub at: Timestamp,
}

/// A recorded board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    /// The device.
    pub device_id: DeviceId,
    /// Name of the device, if it states one.
    pub device: Option<String>,
    /// The account that was signed in last.
    pub account_id: AccountId,
    /// Time at which the last connection began.
    pub connected_at: Timestamp,
    /// Time at which a server last saw the board connected.
    pub last_seen_at: Timestamp,
    /// Whether the board is recorded as connected. It may be stale; see [`Board::is_connected_at`].
    pub is_recorded_connected: bool,
}

impl Board {
    /// Returns whether the board counts as connected at `now`.
    pub fn is_connected_at(&self, now: Timestamp) -> bool {
        self.is_recorded_connected && self.last_seen_at > stale_until(now)
    }

    /// Returns whether the board was not connected for [`BOARD_KEPT_FOR`] at `now`, so that its row is to be deleted.
    pub fn is_forgotten_at(&self, now: Timestamp) -> bool {
        self.last_seen_at <= forgotten_until(now)
    }
}

/// Sorts a restaurant's boards, those that are connected at `now` first, newest connection first, and limits their number. Every
/// store calls this function.
pub fn listed_boards(mut boards: Vec<Board>, now: Timestamp) -> Vec<Board> {
    let rank = |board: &Board| (board.is_connected_at(now), board.connected_at);
    boards.sort_unstable_by(|a, b| rank(b).cmp(&rank(a)).then_with(|| a.device_id.cmp(&b.device_id)));
    boards.truncate(MAX_BOARDS);
    boards
}

/// Returns the boards of a restaurant to delete, so that at most [`MAX_BOARDS`] are left: never one that is connected at `now`, and
/// those seen longest ago first.
pub fn excess_boards(mut boards: Vec<Board>, now: Timestamp) -> Vec<Board> {
    let rank = |board: &Board| (board.is_connected_at(now), board.last_seen_at);
    boards.sort_unstable_by(|a, b| rank(b).cmp(&rank(a)).then_with(|| a.device_id.cmp(&b.device_id)));
    let beyond = boards.into_iter().skip(MAX_BOARDS);
    beyond.filter(|board| !board.is_connected_at(now)).collect()
}

/// Returns the time such that a board seen at this time or earlier is stale at `now`.
pub fn stale_until(now: Timestamp) -> Timestamp {
    now.checked_sub(BOARD_STALE_AFTER).unwrap_or(Timestamp::MIN)
}

/// Whether a restaurant is attended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attendance {
    /// The restaurant.
    pub restaurant_id: RestaurantId,
    /// Latest time at which a server saw one of the boards connected.
    pub last_seen_at: Timestamp,
    /// Whether a board is connected. Stale boards do not count.
    pub is_attended: bool,
    /// Whether a board is recorded as connected. Stale boards count.
    pub is_recorded_attended: bool,
    /// Whether Dabba has paused the restaurant since a board was connected last.
    pub is_handled: bool,
}

impl Attendance {
    /// Returns the time since which the restaurant is unattended at `now`. `None` if a board is connected, or if none was
    /// connected within [`BOARD_KEPT_FOR`].
    pub fn unattended_since(&self, now: Timestamp) -> Option<Timestamp> {
        (!self.is_attended && self.last_seen_at > forgotten_until(now)).then_some(self.last_seen_at)
    }

    /// Returns whether [`BoardStore::pause_unattended`] may write.
    pub fn may_be_paused(&self, since: Timestamp) -> bool {
        !self.is_recorded_attended && !self.is_handled && self.last_seen_at <= since
    }
}

fn forgotten_until(now: Timestamp) -> Timestamp {
    now.checked_sub(BOARD_KEPT_FOR).unwrap_or(Timestamp::MIN)
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// What [`BoardStore::check_boards`] checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoardCheck {
    /// The present time.
    pub now: Timestamp,
    /// Time after which a restaurant is unattended for too long; `None`: never.
    pub pause_after: Option<SignedDuration>,
    /// Maximum number of rows to check.
    pub limit: u32,
}

/// Result of [`BoardStore::check_boards`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CheckedBoards {
    /// Number of checked rows.
    pub checked: u32,
    /// Restaurants that are unattended for too long, and not handled, each as it was when the check read the boards, with the
    /// time since which it is unattended.
    /// Restaurants that this version cannot decode are omitted.
    pub unattended: Vec<(Restaurant, Timestamp)>,
}

/// A row whose check is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueBoard {
    /// The board.
    pub key: BoardKey,
    /// Time at which a server last saw the board connected.
    pub last_seen_at: Timestamp,
    /// Whether the row says that the board is connected. The check is due, so the board is stale.
    pub is_connected: bool,
}

/// What a check changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BoardPlan {
    /// Rows to delete.
    pub forgotten: Vec<BoardKey>,
    /// Rows of boards that are disconnected, with the time of their next check.
    pub checked: Vec<(BoardKey, Timestamp)>,
    /// Restaurants that are unattended for too long, with the time since which.
    pub unattended: BTreeMap<RestaurantId, Timestamp>,
}

/// Returns the stale boards among the due ones: the store marks them as disconnected before it reads the attendance. Their
/// next check is due after the time in which a server that lives renews them. So no restaurant is paused because servers
/// could not write for a while.
pub fn stale_boards(due: &[DueBoard], now: Timestamp) -> Vec<(BoardKey, Timestamp)> {
    let next = later(now, BOARD_STALE_AFTER);
    due.iter().filter(|board| board.is_connected).map(|board| (board.key, next)).collect()
}

/// Returns the time such that a check takes the rows of disconnected boards seen at this time or earlier: all rows with
/// `pause_after`, otherwise only those to delete. Every store calls this function.
pub fn checked_until(check: &BoardCheck) -> Timestamp {
    if check.pause_after.is_some() { Timestamp::MAX } else { forgotten_until(check.now) }
}

/// Returns the times of the next check of a board that is connected at `now`: the earliest time that a renewal keeps, and the
/// time that a renewal sets otherwise. Every store calls this function.
pub fn next_connected_check(now: Timestamp) -> (Timestamp, Timestamp) {
    (later(now, BOARD_STALE_AFTER), later(now, CONNECTED_BOARD_CHECK))
}

/// Decides about the due boards that were disconnected already. `attendance` was read after the stale boards were marked.
/// Every store calls this function.
pub fn plan_board_checks(due: &[DueBoard], attendance: &[Attendance], check: &BoardCheck) -> BoardPlan {
    let of_restaurants: BTreeMap<_, _> =
        attendance.iter().map(|attendance| (attendance.restaurant_id, attendance)).collect();
    let BoardCheck { now, pause_after, .. } = *check;
    let mut plan = BoardPlan::default();
    for board in due.iter().filter(|board| !board.is_connected) {
        let DueBoard { key, last_seen_at, .. } = *board;
        if last_seen_at <= forgotten_until(now) {
            plan.forgotten.push(key);
            continue;
        }
        let Some(pause_after) = pause_after else { continue };
        let attendance = of_restaurants.get(&key.restaurant_id);
        let next = match attendance.filter(|attendance| attendance.may_be_paused(now)) {
            // While another board is connected, the row of that board has a check.
            None => later(last_seen_at, BOARD_KEPT_FOR),
            Some(attendance) => {
                let since = attendance.last_seen_at;
                let limit = later(since, pause_after);
                if limit > now {
                    limit
                } else {
                    plan.unattended.insert(key.restaurant_id, since);
                    later(now, UNATTENDED_RECHECK)
                }
            }
        };
        plan.checked.push((key, next));
    }
    plan
}

/// Returns the restaurants of boards, each once.
pub fn restaurants_of(keys: impl IntoIterator<Item = BoardKey>) -> BTreeSet<RestaurantId> {
    keys.into_iter().map(|key| key.restaurant_id).collect()
}

/// Refuses more than [`MAX_BOARDS_PER_WRITE`] boards. Every store calls this check.
pub fn check_board_count(count: usize) -> Result<(), StoreError> {
    if count <= MAX_BOARDS_PER_WRITE {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!(
        "{count} boards in one write, at most {MAX_BOARDS_PER_WRITE} are allowed"
    )))
}
