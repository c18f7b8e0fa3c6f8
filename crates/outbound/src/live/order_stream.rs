//! A stream of the events of one order, numbered by version without a gap.

use std::{collections::VecDeque, future::poll_fn, sync::Arc};

use dabba_domain::{
    Role,
    order::{Order, Version},
};
use dabba_engine::{Error, Principal};
use dabba_store::{FeedPosition, Incarnation, StoreError};
use tokio::time::timeout;

use super::{
    EndReason, Item, Kind, Live, LiveEvent, OpenError, Session, Shared,
    follower::READ_TIMEOUT,
    index::{Entry, Topic},
    mailbox::{Delivery, Mailbox},
    open::{Place, Right},
    shard::{Consumer, Shard},
};
use crate::{TypeSet, feed::FeedError, recorded::RecordedOrder};

/// Maximum number of events of an order that are read at once.
const HISTORY_PAGE: u32 = 100;

/// A stream of the events of an order. Dropping it ends it.
pub struct OrderStream {
    shared: Arc<Shared>,
    shard: Arc<Shard>,
    /// The caller; `None` for a stream that needs no credential.
    session: Option<Session>,
    topic: Topic,
    order: RecordedOrder,
    /// Version of the last event that was delivered.
    version: Version,
    /// Whether events after `version` may be missing in the mailbox.
    must_read: bool,
    pending: VecDeque<Arc<LiveEvent>>,
    mailbox: Arc<Mailbox>,
    end: Option<EndReason>,
    place: Place,
    _consumer: Consumer,
}

impl Live {
    /// Opens a stream of the events of an order after a version. The caller may read the order.
    pub async fn order_stream(
        &self,
        session: Session,
        order: &Order,
        after: Version,
    ) -> Result<OrderStream, OpenError> {
        let mailbox = Arc::<Mailbox>::default();
        let restaurant_id = order.details.restaurant_id;
        let right = Some(Right::Events(restaurant_id));
        let place = self.shared.streams.open(Kind::Order, session, right, mailbox.clone());
        let place = place.map_err(OpenError::Full)?;
        self.join_order(place, mailbox, Some(session), order, after).await
    }

    /// Opens a stream of the events of an order after a version, for a caller without a credential. `credential`
    /// identifies what counts like one.
    pub(super) async fn order_stream_without_session(
        &self,
        kind: Kind,
        credential: u64,
        order: &Order,
        after: Version,
    ) -> Result<OrderStream, OpenError> {
        let mailbox = Arc::<Mailbox>::default();
        let place = self.shared.streams.open_without_session(kind, credential, mailbox.clone());
        let place = place.map_err(OpenError::Full)?;
        self.join_order(place, mailbox, None, order, after).await
    }

    async fn join_order(
        &self,
        place: Place,
        mailbox: Arc<Mailbox>,
        session: Option<Session>,
        order: &Order,
        after: Version,
    ) -> Result<OrderStream, OpenError> {
        let shared = Arc::clone(&self.shared);
        let index = shared.store.shard_of(order.id.bucket());
        let shard = shared.shards.get(index).map(Arc::clone).ok_or(FeedError::Unavailable)?;
        let consumer = shard.consume();
        let topic = Topic::Order(order.id);
        let join = async {
            loop {
                shard.until_followed().await;
                let (after, types) = (FeedPosition::START, TypeSet::ALL);
                let receiver = Arc::<Mailbox>::clone(&mailbox);
                if shard.join_now(topic, Entry { id: place.id, after, types, receiver }) {
                    return;
                }
            }
        };
        timeout(READ_TIMEOUT, join).await.map_err(|_| FeedError::Unavailable)?;
        let order = RecordedOrder::of(order);
        Ok(OrderStream {
            shared,
            shard,
            session,
            topic,
            order,
            version: after,
            // The events until now are read from the order's history.
            must_read: true,
            pending: VecDeque::new(),
            mailbox,
            end: None,
            place,
            _consumer: consumer,
        })
    }
}

impl OrderStream {
    /// Returns the version after which the stream resumes.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Returns the next item; `None` after the end. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Item> {
        loop {
            if self.end.is_some() {
                return None;
            }
            // First of all, so that a stream with a backlog does not outlive the caller's rights.
            if let Some(reason) = self.mailbox.end_reason() {
                return self.finish(reason);
            }
            if let Some(event) = self.pending.pop_front() {
                if let Some(item) = self.deliver(event) {
                    return Some(item);
                }
                continue;
            }
            if self.must_read {
                // Boxed, because an idle stream must not contain the future of a read.
                if let Err(reason) = Box::pin(self.read_history()).await {
                    return self.finish(reason);
                }
                continue;
            }
            let mailbox = &self.mailbox;
            match poll_fn(|context| mailbox.poll(context)).await {
                Delivery::Event(event) => {
                    self.pending.push_back(event);
                    if let Err(reason) = self.check_rights().await {
                        return self.finish(reason);
                    }
                }
                Delivery::Beat => return Some(Item::Heartbeat { id: self.version.to_string() }),
                Delivery::End(reason) => return self.finish(reason),
            }
        }
    }

    /// Returns whether the stream has ended.
    pub(super) const fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Returns the next event if it has arrived; reads nothing. Only for a stream without a session, because it checks no
    /// rights.
    pub(super) fn arrived(&mut self) -> Option<Arc<LiveEvent>> {
        while self.end.is_none() && self.mailbox.end_reason().is_none() {
            let event = match self.pending.pop_front() {
                Some(event) => event,
                None if self.must_read => return None,
                None => self.mailbox.take()?,
            };
            if let Some(Item::Event { event, .. }) = self.deliver(event) {
                return Some(event);
            }
        }
        None
    }

    /// Ends the stream. Returns its last item; `None` if it has ended before.
    pub fn finish(&mut self, reason: EndReason) -> Option<Item> {
        self.mailbox.end_stream(&mut self.end, reason)
    }

    fn deliver(&mut self, event: Arc<LiveEvent>) -> Option<Item> {
        let version = event.event.version;
        if version <= self.version {
            return None;
        }
        if version > self.version + 1 {
            self.must_read = true;
            self.pending.clear();
            return None;
        }
        self.version = version;
        Some(Item::Event { id: version.to_string(), event })
    }

    /// Checks whether the caller may still receive the events that are pending. Only an event of the order changes the
    /// rights of a courier: the assignment of another one.
    async fn check_rights(&self) -> Result<(), EndReason> {
        if let Some(Session { principal, .. }) = &self.session
            && principal.role == Role::Courier
            && !self.pending.is_empty()
        {
            Box::pin(self.check_courier(principal)).await?;
        }
        Ok(())
    }

    async fn check_courier(&self, principal: &Principal) -> Result<(), EndReason> {
        let orders = &self.shared.engine.orders;
        match orders.order_for_events(principal, self.order.id).await {
            Ok(_) => Ok(()),
            Err(Error::NotFound(_) | Error::Forbidden(_)) => Err(EndReason::SessionEnded),
            // It is not known whether the caller may read the event. The client resumes.
            Err(_) => Err(EndReason::Lagging),
        }
    }

    /// Reads the next events from the order's history.
    async fn read_history(&mut self) -> Result<(), EndReason> {
        let read = self.shared.store.public_events(self.order.id, self.version, HISTORY_PAGE);
        let events = timeout(READ_TIMEOUT, read).await.map_err(|_| EndReason::Lagging)?;
        let events = events.map_err(|error| self.unreadable(&error))?;
        self.must_read = events.len() >= HISTORY_PAGE as usize;
        for recorded in &events {
            let event = self.order.feed_event(recorded).map_err(|error| self.unreadable(&error))?;
            // No stream of a position uses this event, so its incarnation has no meaning.
            self.pending.push_back(LiveEvent::new(self.shard.index, Incarnation::new(0), event));
        }
        // After the read: rights that ended before an event that was read have ended by now.
        self.check_rights().await
    }

    fn unreadable(&self, error: &StoreError) -> EndReason {
        tracing::warn!(order = %self.order.id, %error, "the history of an order cannot be read for a stream");
        EndReason::Lagging
    }
}

impl Drop for OrderStream {
    fn drop(&mut self) {
        self.shard.leave(self.topic, self.place.id);
        self.shared.metrics.ended(self.end);
    }
}
