//! The feed of all shards, for the publisher.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use dabba_engine::{Engine, OutgoingEvent};
use dabba_store::FeedCursor;

use super::{BrokerFeed, BrokerFeedError, BrokerPage, BrokerStart};
use crate::{
    Filter,
    feed::{Budget, FeedError, FeedRead, Start},
    live::{Live, LiveConfig, LiveEvent},
    public::Audience,
};

/// Interval at which the publisher polls when it has published everything. Only the lease holder polls.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The events of all shards for partners.
#[derive(Debug)]
pub struct ShardsFeed {
    /// Only reads, and no followers run: a place needs the events of all shards in turns, from the place of the broker's last
    /// message on, and a follower begins at the end of one shard.
    live: Live,
}

impl ShardsFeed {
    /// Returns the feed of an engine's store.
    pub fn new(engine: &Arc<Engine>) -> Self {
        Self { live: Live::new(engine, LiveConfig::default()) }
    }

    /// Returns the event, with the place after it, and advances the cursor over it. The cursor must be resolved.
    fn outgoing(&self, event: &LiveEvent, cursor: &mut FeedCursor) -> OutgoingEvent {
        if let Some(source) = self.live.shared.sources.get(event.shard) {
            cursor.set(&source.name, event.incarnation, event.event.position);
        }
        OutgoingEvent {
            order_id: event.event.order_id,
            restaurant_id: event.event.restaurant_id,
            id: format!("{}-{}", event.event.order_id, event.event.version),
            place: cursor.to_string(),
            content: Bytes::copy_from_slice(event.json(Audience::Partner).as_bytes()),
        }
    }
}

#[async_trait]
impl BrokerFeed for ShardsFeed {
    async fn begin(&self, start: BrokerStart) -> Result<String, BrokerFeedError> {
        let start = match start {
            BrokerStart::Start => return Ok(FeedCursor::at_start(&self.live.shared.sources).to_string()),
            BrokerStart::Now => Start::Now,
        };
        let (cursor, _) = self.live.shared.lanes(start, &Filter::ALL).await?;
        Ok(cursor.to_string())
    }

    async fn read(&self, after: &str, limit: usize) -> Result<BrokerPage, BrokerFeedError> {
        let parsed =
            FeedCursor::parse(after).map_err(|error| BrokerFeedError::Unreadable(error.to_string()))?;
        // Resolves the cursor, so that a shard that was split off has a position of its own in the place of each event.
        let (mut cursor, _) = self.live.shared.lanes(Start::After(parsed), &Filter::ALL).await?;
        let start = Start::After(cursor.clone());
        let page = self.live.read(start, &Filter::ALL, limit, Budget::default()).await?;
        let events = page.events.iter().map(|event| self.outgoing(event, &mut cursor)).collect();
        let FeedRead { is_at_end, is_incomplete, .. } = page;
        Ok(BrokerPage { events, place: page.cursor.to_string(), is_at_end, is_incomplete })
    }

    fn is_behind(&self, place: &str, other: &str) -> bool {
        let (place, other) = (FeedCursor::parse(place), FeedCursor::parse(other));
        place.is_ok_and(|place| other.is_ok_and(|other| place.is_behind(&other)))
    }

    async fn wait(&self) {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

impl From<FeedError> for BrokerFeedError {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Expired(void) => Self::Void(void.to_string()),
            FeedError::Unavailable | FeedError::Store(_) => Self::Unavailable(error.to_string()),
        }
    }
}
