//! The boards of a shard that are connected to this process.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dabba_domain::Timestamp;
use dabba_store::{BoardKey, ConnectedBoard, EndedBoard, MAX_BOARDS_PER_WRITE};

use crate::Clock;

/// Maximum number of ended connections that wait to be written. Beyond it, the rows of the boards become stale.
const MAX_ENDED: usize = 50_000;

/// The register of a shard.
#[derive(Default)]
pub(super) struct Register {
    content: Mutex<Content>,
    /// Held by a write of the content.
    writes: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Content {
    connected: BTreeMap<BoardKey, Connected>,
    ended: BTreeMap<(BoardKey, i64), Timestamp>,
}

/// A connected board, with the number of its streams: the tabs of a browser are one device.
struct Connected {
    board: ConnectedBoard,
    streams: usize,
}

/// A board that is connected to this process, until this value is dropped.
pub struct BoardConnection {
    register: Arc<Register>,
    key: BoardKey,
    clock: Arc<dyn Clock>,
}

impl Drop for BoardConnection {
    fn drop(&mut self) {
        self.register.disconnect(self.key, self.clock.now());
    }
}

impl fmt::Debug for BoardConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("BoardConnection").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Register {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other write runs, and excludes others until the returned value is dropped: a slower write would record a
    /// board as connected whose end a faster one has written.
    pub(super) async fn start_writing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.writes.lock().await
    }

    /// Adds a board, or a stream to a board that is connected: the row then keeps its connection, and shows the account of the
    /// latest stream and the latest name of the device that a stream stated.
    pub(super) fn connect(
        register: &Arc<Self>,
        board: ConnectedBoard,
        clock: Arc<dyn Clock>,
    ) -> BoardConnection {
        let key = board.key;
        let mut content = register.lock();
        match content.connected.get_mut(&key) {
            Some(connected) => {
                connected.streams += 1;
                let device = board.device.or_else(|| connected.board.device.take());
                connected.board = ConnectedBoard { connection: connected.board.connection, device, ..board };
            }
            None => {
                content.connected.insert(key, Connected { board, streams: 1 });
            }
        }
        drop(content);
        BoardConnection { register: Arc::clone(register), key, clock }
    }

    fn disconnect(&self, key: BoardKey, now: Timestamp) {
        let mut content = self.lock();
        let Some(connected) = content.connected.get_mut(&key) else { return };
        connected.streams -= 1;
        if connected.streams > 0 {
            return;
        }
        let ended = (key, connected.board.connection);
        content.connected.remove(&key);
        if content.ended.len() < MAX_ENDED {
            content.ended.insert(ended, now);
        }
    }

    /// Returns ended connections to write. They stay in the register until they are written.
    pub(super) fn ended(&self) -> Vec<EndedBoard> {
        let content = self.lock();
        let ended = content.ended.iter().take(MAX_BOARDS_PER_WRITE);
        ended
            .map(|((key, connection), at)| EndedBoard { key: *key, connection: *connection, at: *at })
            .collect()
    }

    /// Removes ended connections that are written.
    pub(super) fn remove_ended(&self, written: &[EndedBoard]) {
        let mut content = self.lock();
        for EndedBoard { key, connection, .. } in written {
            content.ended.remove(&(*key, *connection));
        }
    }

    /// Returns the connected boards, or only those that are not recorded.
    pub(super) fn connected(&self, only_new: bool) -> Vec<ConnectedBoard> {
        let content = self.lock();
        let boards = content.connected.values().map(|connected| &connected.board);
        boards.filter(|board| board.is_new || !only_new).cloned().collect()
    }

    /// Marks boards as recorded, unless they have changed since they were read from the register.
    pub(super) fn recorded(&self, written: &[ConnectedBoard]) {
        let mut content = self.lock();
        for board in written {
            if let Some(connected) = content.connected.get_mut(&board.key)
                && connected.board == *board
            {
                connected.board.is_new = false;
            }
        }
    }
}
