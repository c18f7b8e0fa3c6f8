//! The envelope of a public event: `CloudEvents` 1.0 in its JSON format.

use dabba_domain::{OrderId, RestaurantId, Timestamp, order::Event};
use dabba_store::FeedEvent;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{Audience, content, report};

/// Version of `CloudEvents` that the envelope follows.
pub const SPEC_VERSION: &str = "1.0";

/// Content type of `data`.
pub const CONTENT_TYPE: &str = "application/json";

/// Short names of the types that this version of Dabba publishes, such as `placed`.
pub const TYPES: &[&str] = Event::NAMES;

/// Text before the short name in a type.
pub(super) const TYPE_PREFIX: &str = "app.dabba.order.";

/// Text after the short name in a type: the version of the content.
pub(super) const TYPE_SUFFIX: &str = ".v1";

/// Number of digits of `sequence`: the digits of the largest version.
const SEQUENCE_DIGITS: usize = 10;

/// Returns the type of the event with a short name: `app.dabba.order.placed.v1` for `placed`.
pub fn type_of(name: &str) -> String {
    format!("{TYPE_PREFIX}{name}{TYPE_SUFFIX}")
}

/// Returns the short name in a type: `placed` for `app.dabba.order.placed.v1`. `None` for a text that is not the type of
/// an order's event.
pub fn short_type(event_type: &str) -> Option<&str> {
    event_type.strip_prefix(TYPE_PREFIX)?.strip_suffix(TYPE_SUFFIX).filter(|name| !name.is_empty())
}

/// An event for one audience, as a `CloudEvent`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PublicEvent {
    /// Version of `CloudEvents`: `1.0`.
    pub specversion: &'static str,
    /// Id of the event: the order's id, a hyphen, and the event's number. An event that is delivered twice has the same id.
    pub id: String,
    /// Path of the order in the API.
    pub source: String,
    /// Type of the event, such as `app.dabba.order.placed.v1`.
    pub r#type: String,
    /// Id of the restaurant.
    pub subject: RestaurantId,
    /// Time of the event, RFC 3339 in UTC.
    pub time: Timestamp,
    /// Number of the event in the order's history, from 1 without gaps, with leading zeros to ten digits. The texts of one
    /// order sort in the order of the events.
    pub sequence: String,
    /// Id of the order. Events with the same key are sent in the order of their `sequence`.
    pub partitionkey: OrderId,
    /// Content type of `data`: `application/json`.
    pub datacontenttype: &'static str,
    /// Content of the event for its audience.
    #[schema(value_type = Object)]
    pub data: Box<RawValue>,
}

/// Returns an event in its form for an audience.
///
/// Never fails. If this version of Dabba does not know the event, or cannot decode its content, `data` contains the members
/// that every event has and `"incomplete": true`, for every audience: only a version that knows the content can say who may
/// see it. Such an event is logged once.
pub fn public_event(event: &FeedEvent, audience: Audience) -> PublicEvent {
    published(event, audience, None)
}

/// Returns the same as [`public_event`] with the whole order after the event as the member `order` of `data`: the JSON
/// of the order as the reader sees it. Only for audiences that see this member.
pub fn public_event_with_order(event: &FeedEvent, audience: Audience, order: Box<RawValue>) -> PublicEvent {
    published(event, audience, Some(order))
}

fn published(event: &FeedEvent, audience: Audience, order: Option<Box<RawValue>>) -> PublicEvent {
    let decoded = event.decode();
    report::withheld(event, decoded.as_ref());
    PublicEvent {
        specversion: SPEC_VERSION,
        id: format!("{}-{}", event.order_id, event.version),
        source: format!("/v1/orders/{}", event.order_id),
        r#type: type_of(&event.name),
        subject: event.restaurant_id,
        time: event.at,
        sequence: format!("{:0SEQUENCE_DIGITS$}", event.version),
        partitionkey: event.order_id,
        datacontenttype: CONTENT_TYPE,
        data: content::data(event, decoded.ok().as_ref(), audience, order),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that the two functions are inverse, and that other texts are no types.
    #[test]
    fn a_type_contains_its_short_name() {
        for name in TYPES {
            assert_eq!(short_type(&type_of(name)), Some(*name));
        }
        assert_eq!(type_of("placed"), "app.dabba.order.placed.v1");
        for other in ["placed", "", "app.dabba.order..v1", "app.dabba.order.v1", "app.dabba.order.placed.v2"]
        {
            assert_eq!(short_type(other), None, "{other}");
        }
    }
}
