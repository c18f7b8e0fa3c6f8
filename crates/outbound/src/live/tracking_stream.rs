//! A stream of what a tracking link shows: the state of one order, whole, after each change.
//!
//! It follows the stream of the order's events and computes the states itself, so a change reads nothing from the store.
//! A client that reads slowly gets the latest state instead of each state: the events that have arrived are applied
//! together.

use std::sync::Arc;

use dabba_domain::order::OrderWithSteps;
use dabba_engine::{Engine, Tracked, link_valid_until};

use super::{EndReason, Item, Kind, Live, LiveEvent, OpenError, OrderStream};

/// What a stream of a tracking link reports.
#[derive(Debug)]
pub enum TrackingItem {
    /// What the link shows now.
    Tracked(Box<Tracked>),
    /// A heartbeat.
    Heartbeat,
    /// The end of the stream.
    End(EndReason),
}

/// A stream of a tracking link. Dropping it ends it.
pub struct TrackingStream {
    engine: Arc<Engine>,
    events: OrderStream,
    followed: OrderWithSteps,
    /// Whether the present state was not reported yet.
    is_due: bool,
}

impl Live {
    /// Opens a stream of a link to an order. `credential` identifies the link, for the limit of the streams of a
    /// credential.
    pub async fn tracking_stream(
        &self,
        credential: u64,
        followed: OrderWithSteps,
    ) -> Result<TrackingStream, OpenError> {
        let order = &followed.order;
        let events =
            self.order_stream_without_session(Kind::Tracking, credential, order, order.version).await?;
        let engine = Arc::clone(&self.shared.engine);
        Ok(TrackingStream { engine, events, followed, is_due: true })
    }
}

impl TrackingStream {
    /// Returns the next item, the first of which is the present state; `None` after the end. Dropping the future loses
    /// nothing.
    pub async fn next(&mut self) -> Option<TrackingItem> {
        if self.events.has_ended() {
            return None;
        }
        if !self.is_due {
            match self.events.next().await? {
                Item::Event { event, .. } => {
                    if let Err(reason) = self.apply(&event) {
                        return self.finish(reason);
                    }
                }
                Item::Heartbeat { .. } if self.is_over() => return self.finish(EndReason::SessionEnded),
                Item::Heartbeat { .. } => return Some(TrackingItem::Heartbeat),
                Item::End(reason) => return Some(TrackingItem::End(reason)),
            }
        }
        while let Some(event) = self.events.arrived() {
            if let Err(reason) = self.apply(&event) {
                return self.finish(reason);
            }
        }
        // Boxed, because an idle stream must not contain the future of a read.
        match Box::pin(self.engine.orders.tracked(self.followed.clone())).await {
            Ok(tracked) => {
                self.is_due = false;
                Some(TrackingItem::Tracked(Box::new(tracked)))
            }
            Err(error) => {
                let order = self.followed.order.id;
                tracing::warn!(%order, %error, "the restaurant of an order cannot be read for a stream");
                self.finish(EndReason::Lagging)
            }
        }
    }

    /// Ends the stream. Returns its last item; `None` if it has ended before.
    pub fn finish(&mut self, reason: EndReason) -> Option<TrackingItem> {
        self.events.finish(reason).map(|_| TrackingItem::End(reason))
    }

    /// Applies the next event. A client whose event cannot be applied reconnects, and reads the order anew.
    fn apply(&mut self, event: &LiveEvent) -> Result<(), EndReason> {
        let recorded = event.event.decode().map_err(|_| EndReason::Lagging)?;
        self.followed.apply(&recorded).map_err(|_| EndReason::Lagging)?;
        self.is_due = true;
        Ok(())
    }

    /// Returns whether the links of the order are no longer valid.
    fn is_over(&self) -> bool {
        link_valid_until(&self.followed).is_some_and(|until| until <= self.engine.now())
    }
}
