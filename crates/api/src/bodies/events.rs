//! Public events in the API description, and the pages of the feed.

use dabba_domain::{OrderId, RestaurantId, Timestamp};
use dabba_outbound::{feed::FeedRead, public::Audience};
use utoipa::ToSchema;

/// An event of an order, as `CloudEvents` 1.0. `/events.schema.json` on the server describes each type and its `data`.
#[derive(ToSchema)]
#[schema(as = PublicEvent)]
#[expect(dead_code, reason = "it describes what dabba_outbound::public writes")]
pub(crate) struct PublicEventDocument {
    /// `1.0`.
    specversion: String,
    /// The order's id, a hyphen, and the version.
    id: String,
    /// Path of the order.
    source: String,
    /// `app.dabba.order.`, the short name of the event, and `.v1`.
    r#type: String,
    /// The restaurant.
    subject: RestaurantId,
    /// Time of the event.
    time: Timestamp,
    /// The order's version after the event, with ten digits: the texts of an order's events ascend.
    sequence: String,
    /// The order.
    partitionkey: OrderId,
    /// `application/json`.
    datacontenttype: String,
    /// Content of the event for the caller. `/events.schema.json` describes it: the definition has the name of the
    /// audience and of the type, such as `RestaurantPlaced`.
    #[schema(value_type = Object)]
    data: serde_json::Value,
}

/// A page of the feed.
#[derive(ToSchema)]
#[schema(as = Feed)]
#[expect(dead_code, reason = "it describes what page writes")]
pub(crate) struct FeedDocument {
    /// The events. Those of an order, and of a restaurant, are in the order in which they happened.
    #[schema(max_items = 1000)]
    events: Vec<PublicEventDocument>,
    /// The position after these events, for `after`. It also advances over events that the parameters exclude.
    next_cursor: String,
    /// Whether no more events followed, in the shards that answered. If `false`, read the next page at once.
    at_end: bool,
    /// `true` if a shard did not answer. Its events follow when the shard answers again.
    incomplete: Option<bool>,
}

/// Returns a page of the feed as JSON.
pub(crate) fn page(read: &FeedRead, audience: Audience) -> String {
    let events: Vec<_> = read.events.iter().map(|event| &**event.json(audience)).collect();
    let (events, cursor, at_end) = (events.join(","), &read.cursor, read.is_at_end);
    let incomplete = if read.is_incomplete { ",\"incomplete\":true" } else { "" };
    // A cursor consists of characters that JSON does not escape.
    format!("{{\"events\":[{events}],\"next_cursor\":\"{cursor}\",\"at_end\":{at_end}{incomplete}}}")
}

/// A message of a stream (server-sent events), by its fields.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `sse` writes")]
pub(crate) struct StreamMessage {
    /// The position after the message, from which the stream resumes. `bye` has none.
    id: Option<String>,
    /// The short type of an event, `heartbeat` or `bye`.
    event: String,
    /// JSON in one line: a public event, or the content of `heartbeat` or `bye`.
    data: String,
    /// Time after which a client reconnects, in milliseconds. Only in the first message.
    retry: Option<u32>,
}
