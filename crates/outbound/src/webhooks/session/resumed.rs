//! Positions after the end of the feed: the database was replaced by one that lacks events that were delivered.

use dabba_store::{Checkpoint, FeedEnd, FeedPlace, StoreError};

use super::{Session, limited};
use crate::webhooks::{
    limits::{LEASE, ROWS_PER_READ},
    schedule::after,
};

/// The position at which a session resumes.
#[derive(Clone, Copy)]
pub(super) struct Resumed {
    pub(super) place: FeedPlace,
    /// Whether the stored position is after `place`. The next checkpoint then sets it back: the next session would
    /// otherwise skip the events up to the end that it finds.
    pub(super) is_rewound: bool,
}

/// Returns a stored position, or the end of the feed if the position is after it: then the database was replaced by one
/// without some events that were delivered, and nothing states which events replaced them.
pub(super) fn not_after_end(stored: FeedPlace, end: FeedEnd, shard: &str) -> Resumed {
    if !is_after(stored, end) {
        return Resumed { place: stored, is_rewound: false };
    }
    recommend_replay(shard);
    Resumed { place: end_of(end), is_rewound: true }
}

/// Nothing states which events were committed between the failover and the end of the feed that was found.
fn recommend_replay(shard: &str) {
    tracing::error!(
        shard,
        "a position of the webhooks is after the last event, so the database lacks events that were delivered; replay \
         the webhook endpoints since the time of the failover"
    );
}

fn is_after(place: FeedPlace, end: FeedEnd) -> bool {
    place.position > end.position
}

pub(super) const fn end_of(end: FeedEnd) -> FeedPlace {
    FeedPlace { incarnation: end.incarnation, position: end.position }
}

impl Session {
    /// Returns whether the positions in memory are valid. After the store has failed, compares them with the end of the feed:
    /// a server that has taken over may lack events that the session has read. Until that is known, nothing is read, and
    /// no position is stored.
    pub(super) async fn is_valid(&mut self) -> bool {
        if self.is_doubtful && !self.is_restored {
            match limited(self.ports.store.feed_end(self.place.shard)).await {
                Ok(end) => {
                    let own = self.targets.values().filter_map(|target| target.own.as_ref());
                    let read_to = own.map(|own| own.window.read_to()).chain([self.shared.read_to()]).max();
                    let is_shorter = read_to > Some(end.position);
                    self.is_restored = end.incarnation != self.end.incarnation || is_shorter;
                    self.is_doubtful = false;
                    if is_shorter && let Err(error) = self.set_back(end).await {
                        tracing::warn!(shard = self.place.name, %error, "the positions of the webhooks cannot be set back yet");
                        (self.is_doubtful, self.is_restored) = (true, false);
                    }
                }
                Err(error) => {
                    tracing::warn!(shard = self.place.name, %error, "the end of the feed cannot be read for webhooks");
                }
            }
        }
        !self.is_doubtful && !self.is_restored
    }

    /// Sets stored positions that are after the end of the feed back to the end, before the session ends: the next session
    /// finds a later end, and would take them for positions in the present feed.
    async fn set_back(&self, end: FeedEnd) -> Result<(), StoreError> {
        let (store, shard, lease) = (&self.ports.store, self.place.shard, &self.place.lease);
        let mut checkpoint = Checkpoint::default();
        let stored = limited(store.feed_position(shard, &lease.group, None)).await?;
        if let Some(stored) = stored.filter(|stored| is_after(stored.place, end)) {
            checkpoint.shared = Some((end_of(end), stored.known));
            checkpoint.is_shared_rewound = true;
        }
        let mut after_name = None;
        loop {
            let call = store.own_feed_positions(shard, &lease.group, after_name.as_ref(), ROWS_PER_READ);
            let page = limited(call).await?;
            let is_last = page.len() < ROWS_PER_READ as usize;
            after_name = page.last().map(|(name, _)| name.clone());
            let late = page.into_iter().filter(|(_, stored)| is_after(stored.place, end));
            checkpoint.rewound.extend(late.map(|(name, _)| (name, end_of(end))));
            if checkpoint.shared.is_some() || checkpoint.entries() > 0 {
                recommend_replay(&self.place.name);
                let now = self.now();
                // If the lease is lost, its next holder sets them back.
                limited(store.checkpoint_feed(shard, lease, &checkpoint, now, after(now, LEASE))).await?;
                checkpoint = Checkpoint::default();
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Returns whether the next checkpoint sets a position back.
    pub(super) fn is_rewound(&self) -> bool {
        let mut own = self.targets.values().filter_map(|target| target.own.as_ref());
        self.is_shared_rewound || own.any(|own| own.is_rewound)
    }
}
