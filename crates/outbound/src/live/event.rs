//! An event on its way to many consumers.

use std::sync::{Arc, OnceLock};

use dabba_store::{FeedEvent, Incarnation};

use crate::public::{Audience, public_event};

/// Number of audiences.
const AUDIENCES: usize = 5;

/// An event that many consumers share. Its JSON is made once per audience.
#[derive(Debug)]
pub struct LiveEvent {
    /// Index of the event's shard.
    pub shard: usize,
    /// Incarnation of the shard's database.
    pub incarnation: Incarnation,
    /// The event.
    pub event: FeedEvent,
    json: [OnceLock<Arc<str>>; AUDIENCES],
}

impl LiveEvent {
    /// Returns an event of a shard.
    pub(crate) fn new(shard: usize, incarnation: Incarnation, event: FeedEvent) -> Arc<Self> {
        Arc::new(Self { shard, incarnation, event, json: [const { OnceLock::new() }; AUDIENCES] })
    }

    /// Returns the public event for an audience as JSON in one line.
    pub fn json(&self, audience: Audience) -> &Arc<str> {
        let place = match audience {
            Audience::Customer => 0,
            Audience::Restaurant => 1,
            Audience::Courier => 2,
            Audience::Operations => 3,
            Audience::Partner => 4,
        };
        self.json[place].get_or_init(|| {
            serde_json::to_string(&public_event(&self.event, audience))
                .unwrap_or_else(|error| {
                    // A public event consists of texts and numbers, which can always be serialized.
                    let (order, version) = (self.event.order_id, self.event.version);
                    tracing::error!(%order, version, %error, "an event could not be represented");
                    "{}".to_owned()
                })
                .into()
        })
    }

    /// Returns the memory of the event in bytes, approximately, including the JSON for one audience.
    pub(crate) fn size(&self) -> usize {
        let data = self.event.data.as_ref().map_or(0, |data| data.len());
        size_of::<Self>() + 2 * (data + self.event.actor.len()) + self.event.name.len()
    }
}
