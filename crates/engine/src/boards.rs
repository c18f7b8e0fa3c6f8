//! Presence of boards: which boards of a restaurant are connected, since when a restaurant is unattended, and the pause of an
//! unattended restaurant.
//!
//! A server registers the boards that are connected to it in memory, which never waits, and records them in batches: new and
//! ended connections about once per second, all connected boards at each [`BOARD_RENEWAL`]. The part `unattended_checker` pauses
//! restaurants that are unattended for too long. A server that records a board of such a restaurant ends the pause.
//!
//! | module | what it does |
//! |---|---|
//! | `register` | the boards that are connected to this process, and the connections that have ended |
//! | `record` | writes the register to the store |
//! | `unattended` | pauses unattended restaurants |

mod record;
mod register;
mod unattended;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dabba_domain::{RestaurantId, Role, Timestamp, text::Name};
use dabba_store::{
    Attendance, BOARD_STALE_AFTER, Board, BoardKey, ConnectedBoard, DeviceId, MAX_REVISIONS, Store,
    Supervisor,
};
use futures::future::join_all;
use jiff::SignedDuration;
use tokio::{sync::Mutex, time::timeout};

use self::register::Register;
pub use self::{record::BOARD_RENEWAL, register::BoardConnection};
use crate::{Catalogues, Clock, EngineMetrics, Error, Principal, Random, Scope, accounts::Accounts};

/// Maximum time for which the response to a read of restaurants waits for each of the caller's memberships and the attendance.
pub const ATTENDANCE_TIMEOUT: Duration = Duration::from_millis(500);

/// Use cases of the presence of boards.
pub struct Boards {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) metrics: Arc<EngineMetrics>,
    pub(crate) supervisor: Arc<Supervisor>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) catalogue: Arc<Catalogues>,
    pub(crate) presence: Presence,
    /// Interval at which new and ended connections are written.
    pub(crate) write_interval: Duration,
    /// Time after which an unattended restaurant is paused; `None`: never.
    pub(crate) pause_after: Option<SignedDuration>,
}

/// The presence of boards at this process.
pub(crate) struct Presence {
    /// The boards that are connected to this process, by the index of their shard.
    registers: Vec<Arc<Register>>,
    /// Held by a check of unattended restaurants, and during an advance of the clock.
    checks: Mutex<()>,
    /// Time before which this process pauses no restaurant: after an outage, boards need some time to connect.
    pauses_from: Timestamp,
}

impl Presence {
    /// Returns the presence at a process that starts now.
    pub(crate) fn new(store: &dyn Store, clock: &dyn Clock) -> Self {
        Self {
            registers: (0..store.shard_count()).map(|_| Arc::default()).collect(),
            checks: Mutex::default(),
            pauses_from: clock.now().checked_add(BOARD_STALE_AFTER).unwrap_or(Timestamp::MAX),
        }
    }
}

/// A device that opens a restaurant's board.
#[derive(Clone, Debug)]
pub struct NewBoard {
    /// The restaurant.
    pub restaurant_id: RestaurantId,
    /// The device, as it names itself.
    pub device_id: DeviceId,
    /// Name of the device, if it states one.
    pub device: Option<Name>,
}

/// The boards of a restaurant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestaurantBoards {
    /// The boards, connected ones first, newest connection first.
    pub boards: Vec<Board>,
    /// Time at which they were read.
    pub now: Timestamp,
    /// Time since which no board is connected; `None` if a board is connected, or if the restaurant has no boards.
    pub unattended_since: Option<Timestamp>,
}

impl Boards {
    /// Registers a board that is connected to this process, until the returned value is dropped. Waits for nothing. The
    /// caller was authorized to see the board. `None` for an admin, who looks at the board and does not work in the kitchen:
    /// such a board attends no restaurant. A service account of the restaurant works there like a person.
    pub fn connect(&self, caller: &Principal, board: NewBoard) -> Option<BoardConnection> {
        if caller.role != Role::Restaurant {
            return None;
        }
        let NewBoard { restaurant_id, device_id, device } = board;
        let register = self.presence.registers.get(self.store.shard_of(restaurant_id.bucket()))?;
        let board = ConnectedBoard {
            key: BoardKey { restaurant_id, device_id },
            connection: i64::from_ne_bytes(self.random.next_u64().to_ne_bytes()),
            device: device.map(|name| name.as_str().to_owned()),
            account_id: caller.account_id,
            connected_at: self.clock.now(),
            is_new: true,
        };
        Some(Register::connect(register, board, Arc::clone(&self.clock)))
    }

    /// Returns the boards of a restaurant. For the restaurant's staff and admins.
    pub async fn of_restaurant(
        &self,
        principal: &Principal,
        id: RestaurantId,
    ) -> Result<RestaurantBoards, Error> {
        principal.require(Scope::ReadCatalogue)?;
        self.accounts.check_staff(principal, id).await?;
        self.catalogue.entry(id).await?;
        let now = self.clock.now();
        let mut boards = self.store.boards(id, now).await?;
        // The maintenance deletes older ones.
        boards.retain(|board| !board.is_forgotten_at(now));
        let attendance = self.store.attendance(&[id], now).await?;
        let unattended_since = attendance.iter().find_map(|attendance| attendance.unattended_since(now));
        Ok(RestaurantBoards { boards, now, unattended_since })
    }

    /// Returns whether a caller may know whether a restaurant is attended: its staff and admins. A caller whose memberships
    /// cannot be read within [`ATTENDANCE_TIMEOUT`] may not.
    pub async fn may_know(&self, caller: Option<&Principal>, id: RestaurantId) -> bool {
        let Some(principal) = caller.filter(|principal| principal.require(Scope::ReadCatalogue).is_ok())
        else {
            return false;
        };
        let checked = timeout(ATTENDANCE_TIMEOUT, self.accounts.check_staff(principal, id)).await;
        checked.is_ok_and(|checked| checked.is_ok())
    }

    /// Returns whether a caller may know of all restaurants whether they are attended.
    pub fn may_know_all(caller: Option<&Principal>) -> bool {
        caller.is_some_and(|principal| {
            principal.role == Role::Admin && principal.require(Scope::ReadCatalogue).is_ok()
        })
    }

    /// Returns the unattended ones of these restaurants, each with the time since which it is unattended. Omits restaurants
    /// whose shard does not answer within [`ATTENDANCE_TIMEOUT`], so that the responses do not depend on the attendance. The
    /// caller must be permitted to know the attendance.
    pub async fn unattended_since(&self, ids: &[RestaurantId]) -> BTreeMap<RestaurantId, Timestamp> {
        let now = self.clock.now();
        let reads = ids.chunks(MAX_REVISIONS).map(|ids| async move {
            match timeout(ATTENDANCE_TIMEOUT, self.store.attendance(ids, now)).await {
                Ok(Ok(found)) => found,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "cannot read the attendance of restaurants");
                    Vec::new()
                }
                Err(_) => {
                    tracing::warn!(timeout = ?ATTENDANCE_TIMEOUT, "the attendance of restaurants is not read in time");
                    Vec::new()
                }
            }
        });
        let found = join_all(reads).await.concat();
        let since =
            |attendance: &Attendance| Some((attendance.restaurant_id, attendance.unattended_since(now)?));
        found.iter().filter_map(since).collect()
    }
}
