//! The recent events of a shard.

use std::{collections::VecDeque, sync::Arc};

use dabba_store::FeedPosition;

use super::event::LiveEvent;

/// Maximum number of recent events per shard.
pub const MAX_RECENT: usize = 4_096;

/// Maximum size of a shard's recent events, in bytes.
pub const MAX_RECENT_BYTES: usize = 4 * 1024 * 1024;

/// All events of a shard after a position.
#[derive(Debug)]
pub(super) struct Ring {
    /// The ring contains every event after this position.
    after: FeedPosition,
    events: VecDeque<Arc<LiveEvent>>,
    bytes: usize,
}

impl Ring {
    pub(super) const fn new(after: FeedPosition) -> Self {
        Self { after, events: VecDeque::new(), bytes: 0 }
    }

    /// Adds the next event, and removes the oldest events beyond the limits.
    pub(super) fn push(&mut self, event: &Arc<LiveEvent>) {
        self.bytes += event.size();
        self.events.push_back(Arc::clone(event));
        while self.events.len() > MAX_RECENT || self.bytes > MAX_RECENT_BYTES {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.size());
            self.after = oldest.event.position;
        }
    }

    /// Returns the events after a position; `None` if the ring may lack some of them.
    pub(super) fn after(&self, position: FeedPosition) -> Option<impl Iterator<Item = &Arc<LiveEvent>>> {
        if position < self.after {
            return None;
        }
        let first = self.events.partition_point(|event| event.event.position <= position);
        Some(self.events.range(first..))
    }
}
