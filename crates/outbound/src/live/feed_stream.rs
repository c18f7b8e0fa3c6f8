//! A stream of the feed: of a restaurant's orders, or of all orders.

use std::{collections::VecDeque, future::poll_fn, sync::Arc, task::Poll, time::Duration};

use dabba_store::{CursorVoid, FeedCursor, FeedEnd, FeedPosition};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Instant, sleep};

use super::{
    EndReason, Full, Item, Kind, Live, LiveEvent, Session, Shared,
    follower::PAUSES,
    index::{Entry, Topic},
    mailbox::{Delivery, Mailbox, Receiver as _},
    open::{Place, Right},
    shard::{Consumer, Join, Shard},
};
use crate::{
    Filter,
    feed::{Budget, FeedError, FeedRead, Lane, Start},
};

/// Maximum number of events that a stream reads at once while it is behind.
const BEHIND_PAGE: u32 = 100;

/// Memory of the events of a stream that is behind, in bytes, after which it reads no further event until the client has read them.
const MAX_BEHIND_BYTES: usize = 256 * 1024;

/// Reason why a stream cannot begin.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// A limit of the number of streams is reached.
    #[error("too many streams are open")]
    Full(Full),
    /// The events cannot be read.
    #[error(transparent)]
    Feed(#[from] FeedError),
}

/// A stream of the feed. Dropping it ends it.
pub struct FeedStream {
    shared: Arc<Shared>,
    kind: Kind,
    filter: Filter,
    cursor: FeedCursor,
    mailbox: Arc<Mailbox>,
    /// What was read before the stream joined, in order.
    pending: VecDeque<Pending>,
    /// The shards that the stream has not joined yet. Each future returns the next step.
    catching_up: FuturesUnordered<BoxFuture<'static, Step>>,
    joined: Vec<Joined>,
    end: Option<EndReason>,
    place: Place,
}

/// A shard that the stream has joined. Dropping it leaves the shard.
struct Joined {
    shard: Arc<Shard>,
    topic: Topic,
    id: u64,
    /// The position at which the stream joined, which may be beyond the events that were published until then.
    at: FeedPosition,
    _consumer: Consumer,
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.shard.leave(self.topic, self.id);
    }
}

enum Pending {
    Event(Arc<LiveEvent>),
    /// The filter has removed the events up to this position.
    Advance(Arc<Shard>, FeedEnd),
}

/// A shard that the stream has not joined yet.
struct Joining {
    lane: Lane,
    consumer: Consumer,
}

/// The next step towards joining a shard.
enum Step {
    /// The stream has joined the shard, and has missed these events.
    Joined(VecDeque<Arc<LiveEvent>>, Joined),
    /// The stream has read these events, which pass its filter, and more may follow.
    Read(Vec<Arc<LiveEvent>>, Joining),
    /// The cursor is void.
    Expired(CursorVoid),
}

impl Live {
    /// Opens a stream of the events that pass a filter.
    pub async fn feed_stream(
        &self,
        session: Session,
        start: Start,
        filter: Filter,
    ) -> Result<FeedStream, OpenError> {
        self.open(Kind::Feed, session, start, filter).await
    }

    async fn open(
        &self,
        kind: Kind,
        session: Session,
        start: Start,
        filter: Filter,
    ) -> Result<FeedStream, OpenError> {
        let mailbox = Arc::<Mailbox>::default();
        let right = filter.restaurant.map(Right::Events);
        let place = self.shared.streams.open(kind, session, right, mailbox.clone());
        let place = place.map_err(OpenError::Full)?;
        let (cursor, lanes) = self.shared.lanes(start, &filter).await?;
        let mut stream = FeedStream {
            shared: Arc::clone(&self.shared),
            kind,
            filter,
            cursor,
            mailbox,
            pending: VecDeque::new(),
            catching_up: FuturesUnordered::new(),
            joined: Vec::new(),
            end: None,
            place,
        };
        for lane in lanes {
            let consumer = lane.shard.consume();
            stream.join(Joining { lane, consumer });
        }
        Ok(stream)
    }

    /// Reads at most `limit` events, and waits for the first one at most for this time, or until `stopping` is ready.
    pub async fn wait(
        &self,
        session: Session,
        start: Start,
        filter: Filter,
        limit: usize,
        (time, stopping): (Duration, impl Future<Output = ()>),
    ) -> Result<FeedRead, OpenError> {
        let began = Instant::now();
        let (cursor, lanes) = self.shared.lanes(start, &filter).await?;
        let start = Start::After(cursor);
        // A consumer that is caught up with a followed shard needs no query.
        let is_caught_up = lanes.iter().all(|lane| lane.at.is_some_and(|at| lane.shard.is_recent(at)));
        let start = if is_caught_up {
            start
        } else {
            let read = self.read(start, &filter, limit, Budget::default()).await?;
            if !read.events.is_empty() || !read.is_at_end {
                return Ok(read);
            }
            Start::After(read.cursor)
        };
        let time = time.saturating_sub(began.elapsed());
        self.wait_for_events(session, start, filter, limit, (time, stopping)).await
    }

    async fn wait_for_events(
        &self,
        session: Session,
        start: Start,
        filter: Filter,
        limit: usize,
        (time, stopping): (Duration, impl Future<Output = ()>),
    ) -> Result<FeedRead, OpenError> {
        let mut stream = self.open(Kind::Poll, session, start, filter).await?;
        let mut events = Vec::new();
        let first = async {
            loop {
                match stream.advance().await {
                    Turn::Event(event) => return Some(event),
                    Turn::Beat => {}
                    Turn::End(_) => return None,
                }
            }
        };
        tokio::select! {
            biased;
            event = first => events.extend(event),
            () = stopping => {}
            () = sleep(time) => {}
        }
        while events.len() < limit
            && let Some(Turn::Event(event)) = stream.advance().now_or_never()
        {
            events.push(event);
        }
        if events.is_empty() {
            if stream.end == Some(EndReason::Lagging) {
                // More events arrived than the stream can hold. They are in the store.
                let cursor = stream.cursor.clone();
                drop(stream);
                return Ok(self.read(Start::After(cursor), &filter, limit, Budget::default()).await?);
            }
            stream.settle();
        }
        let (cursor, (is_at_end, is_incomplete)) = (stream.cursor.clone(), stream.progress());
        Ok(FeedRead { events, cursor, is_at_end, is_incomplete })
    }
}

/// What a stream does next.
enum Turn {
    Event(Arc<LiveEvent>),
    Beat,
    End(EndReason),
}

impl FeedStream {
    /// Returns the id after which the stream resumes.
    pub fn id(&self) -> String {
        self.cursor.to_string()
    }

    /// Returns the next item; `None` after the end. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Item> {
        if self.end.is_some() {
            return None;
        }
        Some(match self.advance().await {
            Turn::Event(event) => Item::Event { id: self.id(), event },
            Turn::Beat => {
                self.settle();
                Item::Heartbeat { id: self.id() }
            }
            Turn::End(reason) => Item::End(reason),
        })
    }

    /// Ends the stream. Returns its last item; `None` if it has ended before.
    pub fn finish(&mut self, reason: EndReason) -> Option<Item> {
        self.mailbox.end_stream(&mut self.end, reason)
    }

    async fn advance(&mut self) -> Turn {
        loop {
            // First of all, so that a stream with a backlog does not outlive the caller's rights.
            if let Some(reason) = self.mailbox.end_reason() {
                self.pending = VecDeque::new();
                self.end = Some(reason);
                return Turn::End(reason);
            }
            match self.pending.pop_front() {
                Some(Pending::Event(event)) => return self.deliver(event),
                Some(Pending::Advance(shard, end)) => {
                    self.cursor.set(&shard.name, end.incarnation, end.position);
                    continue;
                }
                None => {}
            }
            let (catching_up, mailbox) = (&mut self.catching_up, &self.mailbox);
            // The steps come first: events that a stream has missed precede those in its mailbox.
            let next = poll_fn(|context| match catching_up.poll_next_unpin(context) {
                Poll::Ready(Some(step)) => Poll::Ready(Ok(step)),
                _ => mailbox.poll(context).map(Err),
            });
            match next.await {
                Ok(step) => self.take(step),
                Err(Delivery::Event(event)) => return self.deliver(event),
                Err(Delivery::Beat) => return Turn::Beat,
                Err(Delivery::End(reason)) => {
                    self.end = Some(reason);
                    return Turn::End(reason);
                }
            }
        }
    }

    /// Returns whether the stream is at the end of the feed in the shards that answer, and whether a shard does not
    /// answer.
    fn progress(&self) -> (bool, bool) {
        let waits = self.end.is_some() || !self.pending.is_empty() || !self.mailbox.is_empty();
        let has_joined =
            |shard: &Arc<Shard>| self.joined.iter().any(|joined| joined.shard.index == shard.index);
        let mut others = self.shared.shards_of(self.filter.restaurant);
        others.retain(|shard| !has_joined(shard));
        let silent = others.iter().filter(|shard| shard.followed().is_none()).count();
        (!waits && silent == others.len(), silent > 0)
    }

    fn deliver(&mut self, event: Arc<LiveEvent>) -> Turn {
        let shard = &self.shared.shards[event.shard];
        self.cursor.set(&shard.name, event.incarnation, event.event.position);
        Turn::Event(event)
    }

    /// Moves the cursor to the position up to which events are published, if the stream has received all of them.
    fn settle(&mut self) {
        if !self.pending.is_empty() {
            return;
        }
        for Joined { shard, at, .. } in &self.joined {
            if let Some(end) = shard.position_of(&self.mailbox).filter(|end| end.position > *at) {
                self.cursor.set(&shard.name, end.incarnation, end.position);
            }
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Joined(missed, joined) => {
                self.pending.extend(missed.into_iter().map(Pending::Event));
                self.joined.push(joined);
            }
            Step::Read(events, joining) => {
                self.pending.extend(events.into_iter().map(Pending::Event));
                if let Some(at) = joining.lane.at {
                    self.pending.push_back(Pending::Advance(Arc::clone(&joining.lane.shard), at));
                }
                self.join(joining);
            }
            Step::Expired(error) => {
                let id = self.place.id;
                tracing::info!(stream = id, %error, "a stream ends because its position is void");
                self.mailbox.end(EndReason::Lagging);
            }
        }
    }

    fn join(&mut self, joining: Joining) {
        let (shared, mailbox) = (Arc::clone(&self.shared), Arc::clone(&self.mailbox));
        let (filter, id, cursor) = (self.filter, self.place.id, self.cursor.clone());
        self.catching_up.push(shared.step(joining, cursor, filter, id, mailbox).boxed());
    }
}

impl Drop for FeedStream {
    fn drop(&mut self) {
        if self.kind != Kind::Poll {
            self.shared.metrics.ended(self.end);
        }
    }
}

impl Shared {
    /// Joins a shard, or reads the next page of its events. Waits while the shard does not answer.
    async fn step(
        self: Arc<Self>,
        mut joining: Joining,
        cursor: FeedCursor,
        filter: Filter,
        id: u64,
        mailbox: Arc<Mailbox>,
    ) -> Step {
        let shard = Arc::clone(&joining.lane.shard);
        let topic = filter.restaurant.map_or(Topic::Platform, Topic::Restaurant);
        let mut failures = 0;
        loop {
            shard.until_followed().await;
            let at = match self.position(&mut joining.lane, &cursor) {
                Ok(Some(at)) => at,
                Ok(None) => continue,
                Err(error) => return Step::Expired(error),
            };
            let receiver = Arc::<Mailbox>::clone(&mailbox);
            let entry = Entry { id, after: at.position, types: filter.types, receiver };
            // Nothing waits between joining and returning, so that the missed events precede those in the mailbox.
            let published = match shard.join(at.incarnation, topic, entry) {
                Join::Joined(missed) => {
                    let Joining { consumer, .. } = joining;
                    return Step::Joined(
                        missed,
                        Joined { shard, topic, id, at: at.position, _consumer: consumer },
                    );
                }
                Join::NotFollowed => continue,
                // The follower has noticed a restore since.
                Join::Expired if at.position == FeedPosition::START => continue,
                Join::Expired => return Step::Expired(CursorVoid::OtherIncarnation(shard.name.clone())),
                Join::Behind(published) => published,
            };
            match self.read_behind(&shard, at, published, &filter).await {
                Ok((events, at)) => {
                    joining.lane.at = Some(at);
                    return Step::Read(events, joining);
                }
                Err(Some(error)) => return Step::Expired(error),
                Err(None) => {
                    failures += 1;
                    sleep(PAUSES.pause(failures, self.engine.random_u64())).await;
                }
            }
        }
    }

    /// Returns the position of a stream in a shard that is followed; `None` if it is no longer followed.
    fn position(&self, lane: &mut Lane, cursor: &FeedCursor) -> Result<Option<FeedEnd>, CursorVoid> {
        let Some(followed) = lane.shard.followed() else { return Ok(lane.at) };
        match &mut lane.at {
            None => {
                let (mut cursor, shards) = (cursor.clone(), [Arc::clone(&lane.shard)]);
                let end = lane.shard.known().unwrap_or(followed);
                lane.at = self.resolve(&mut cursor, &shards, &[Some(end)])?.pop().flatten();
            }
            // The start precedes every event, also if the database was restored after this process learned its end.
            Some(at) if at.position == FeedPosition::START => at.incarnation = followed.incarnation,
            Some(_) => {}
        }
        Ok(lane.at)
    }

    /// Reads the next page of a shard's events for a stream that is behind, and returns the position after them.
    /// `published` is the position up to which events were published before the read. The page ends early after
    /// [`MAX_BEHIND_BYTES`] of events that pass the filter, because it waits in memory until the client has read it. The error is
    /// `None` if the stream must retry: the shard does not answer, or its follower has not noticed a restore yet.
    async fn read_behind(
        &self,
        shard: &Shard,
        at: FeedEnd,
        published: FeedPosition,
        filter: &Filter,
    ) -> Result<(Vec<Arc<LiveEvent>>, FeedEnd), Option<CursorVoid>> {
        let _permit = shard.begin_read().await.ok_or(None)?;
        let page = self.feed(shard, at, BEHIND_PAGE).await.map_err(|error| {
            tracing::debug!(shard = shard.name, %error, "the earlier events of a stream cannot be read");
            None
        })?;
        if page.incarnation != at.incarnation {
            // The start precedes every event, whatever became of the database.
            let is_void = at.position != FeedPosition::START;
            return Err(is_void.then(|| CursorVoid::OtherIncarnation(shard.name.clone())));
        }
        let (mut events, mut position, mut bytes) = (Vec::new(), at.position, 0);
        let mut following = page.events.into_iter();
        for event in following.by_ref() {
            position = event.position;
            if filter.passes(&event) {
                let event = LiveEvent::new(shard.index, page.incarnation, event);
                bytes += event.size();
                events.push(event);
            }
            if bytes >= MAX_BEHIND_BYTES {
                break;
            }
        }
        if page.is_at_end && following.len() == 0 {
            // The page contains every event after `at` that was published before the read.
            position = position.max(published);
        }
        Ok((events, FeedEnd { incarnation: at.incarnation, position }))
    }
}
