//! A feed of invented events, a publisher that follows it, and a reader of the stream.

use std::collections::BTreeMap;

use bytes::Bytes;
use dabba_domain::{Bucket, OrderId, RestaurantId, Timestamp};
use dabba_engine::{EventSink as _, OutgoingEvent, SinkError, SinkSession};
use dabba_gateways::nats::{DEFAULT_STREAM, NatsConfig, NatsSink};
use dabba_testkit::{NatsMessage, NatsServer, nats_messages};
use serde_json::json;

/// Number of events of each order.
pub(crate) const EVENTS_PER_ORDER: usize = 5;

/// A client of the test's server.
pub(crate) fn sink(server: &NatsServer) -> NatsSink {
    NatsSink::new(NatsConfig::new(&server.url()).unwrap())
}

/// Returns the events of these orders, in turns: first the first event of each order. The place of an event is its number.
pub(crate) fn events(orders: usize) -> Vec<OutgoingEvent> {
    let id = |number: usize| OrderId::generate(Timestamp::UNIX_EPOCH, bucket(number), number as u64 * 4);
    let ids: Vec<OrderId> = (0..orders).map(id).collect();
    (0..orders * EVENTS_PER_ORDER)
        .map(|number| {
            let order_id = ids[number % orders];
            let version = number / orders + 1;
            OutgoingEvent {
                order_id,
                restaurant_id: RestaurantId::generate(Timestamp::UNIX_EPOCH, order_id.bucket(), 7),
                id: format!("{order_id}-{version}"),
                place: (number + 1).to_string(),
                content: content(order_id, version),
            }
        })
        .collect()
}

/// Returns another event of the same order, with the place after it.
pub(crate) fn event_of(event: &OutgoingEvent, version: usize) -> OutgoingEvent {
    let id = format!("{}-{version}", event.order_id);
    OutgoingEvent { id, content: content(event.order_id, version), ..event.clone() }
}

/// Returns the members of an envelope that a consumer needs.
fn content(order_id: OrderId, version: usize) -> Bytes {
    let event = json!({
        "specversion": "1.0",
        "id": format!("{order_id}-{version}"),
        "type": "app.dabba.order.accepted.v1",
        "sequence": format!("{version:010}"),
        "partitionkey": order_id,
    });
    Bytes::from(event.to_string())
}

fn bucket(number: usize) -> Bucket {
    Bucket::from_random(number as u64)
}

/// Returns the number of events before the place of a session: the index of the first event that the broker does not hold.
pub(crate) fn next_of(session: &dyn SinkSession) -> usize {
    session.place().map_or(0, |place| place.parse().unwrap())
}

/// Publishes all events from the place that the broker holds. Returns after the last, or at the first error.
pub(crate) async fn publish_rest(
    sink: &NatsSink,
    events: &[OutgoingEvent],
    batch: usize,
    mut after_batch: impl FnMut(usize),
) -> Result<(), SinkError> {
    let mut session = sink.connect().await?;
    let mut next = next_of(&*session);
    while next < events.len() {
        let end = events.len().min(next + batch);
        session.publish(events[next..end].to_vec()).await?;
        next = end;
        assert_eq!(next_of(&*session), next);
        after_batch(next);
    }
    Ok(())
}

/// Returns all messages of the stream, in order.
pub(crate) async fn stored(url: &str) -> Vec<NatsMessage> {
    nats_messages(url, DEFAULT_STREAM).await
}

/// Checks that the messages contain every event at least once, and that the first deliveries of each order ascend without a gap.
pub(crate) fn assert_complete(messages: &[NatsMessage], events: &[OutgoingEvent]) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for id in messages.iter().filter_map(|message| message.id.as_deref()) {
        let (order, version) = id.rsplit_once('-').unwrap();
        let version: usize = version.parse().unwrap();
        let last = seen.entry(order).or_default();
        assert!(version <= *last + 1, "order {order}: version {version} comes directly after {last}");
        *last = version.max(*last);
    }
    assert_eq!(seen.len(), events.len() / EVENTS_PER_ORDER);
    for (order, last) in seen {
        assert_eq!(last, EVENTS_PER_ORDER, "order {order} is complete");
    }
}
