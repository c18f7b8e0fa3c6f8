//! A session: the work of one sender on one shard while it holds the lease.

mod catch_up;
mod directory;
mod follow;
mod read;
mod resumed;
mod retry;
mod revive;
mod save;
mod send;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use dabba_domain::{Timestamp, WebhookEndpointId, order::Version};
use dabba_store::{DisabledReason, FeedEnd, FeedLease, FeedPlace, StoreError, WebhookRevision};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

pub(super) use self::send::attempt;
use self::{
    catch_up::PageRead,
    directory::Visit,
    resumed::{Resumed, end_of, not_after_end},
    retry::HistoryRead,
    revive::Reviving,
    send::{Flight, Tried},
};
use super::{
    endpoint::Index,
    journal::{Journal, Key},
    limits::{CHECKPOINT_INTERVAL, DRAIN, FOLLOW_INTERVAL, GIVE_UP_AFTER, READ_GAP, STORE_TIMEOUT},
    metrics::WebhookMetrics,
    orders::OrderStates,
    sender::WebhookPorts,
    target::{Source, Target},
    window::Window,
};

/// What a session is about.
pub(super) struct Place {
    pub(super) shard: usize,
    pub(super) name: String,
    pub(super) lease: FeedLease,
    /// Maximum number of requests in flight.
    pub(super) max_in_flight: usize,
}

/// The state of a session. One task owns it.
pub(super) struct Session {
    ports: Arc<WebhookPorts>,
    metrics: Arc<WebhookMetrics>,
    order_states: Arc<OrderStates>,
    place: Place,
    /// The time of the latest extension of the lease.
    extended_at: Instant,
    /// End of the feed at the start of the session.
    end: FeedEnd,
    /// Whether the store has failed since the positions were last compared with the end of the feed.
    is_doubtful: bool,
    /// Whether the database lacks events that the session has read.
    is_restored: bool,
    shared: Window,
    /// Whether the next checkpoint sets the shared position, whatever it was.
    is_shared_rewound: bool,
    saved_shared: Option<(FeedPlace, WebhookRevision)>,
    /// Work on the directory that is under way: at most one task.
    visits: JoinSet<Visit>,
    /// The end of the latest visit.
    visited_at: Instant,
    /// Revision up to which changes of endpoints are read. After it, more pages may follow.
    read_to: WebhookRevision,
    /// Whether the latest read of changes was full.
    is_more_changed: bool,
    /// Whether changes were carried out since the latest steps of deletions and revivals.
    has_changed: bool,
    /// Revision up to which changes of endpoints are carried out, except for `forgetting`, `reviving` and `unknown`.
    applied: WebhookRevision,
    targets: HashMap<WebhookEndpointId, Target>,
    /// Endpoints that are enrolled.
    index: Index,
    /// Endpoints that may receive events now and are not enrolled.
    behind: BTreeSet<WebhookEndpointId>,
    /// Endpoints that are not enrolled, and to which nothing is sent until a time. They are in no other list until then, so
    /// they cost nothing. An entry whose endpoint no longer rests has no effect.
    resting: BTreeSet<(Timestamp, WebhookEndpointId)>,
    /// Endpoints with lanes that are ready.
    ready: BTreeSet<WebhookEndpointId>,
    /// The endpoints whose turn was last.
    turns: Turns,
    /// Reads of the store that are under way in tasks of their own.
    reads: JoinSet<Done>,
    /// Whether endpoints that are behind may have events to read.
    wants_page: bool,
    /// Whether a page for endpoints that are behind is being read.
    is_reading_page: bool,
    /// Number of histories that are being read.
    histories: usize,
    next_history: u64,
    journal: Journal,
    flights: HashMap<u64, Flight>,
    tasks: JoinSet<Tried>,
    next_flight: u64,
    /// Failures whose next events must be read.
    refills: BTreeSet<Key>,
    /// Versions up to which an order was delivered from its history.
    handed_over: HashMap<Key, Version>,
    /// Deleted endpoints whose rows must be deleted, with the revision of the deletion.
    forgetting: BTreeMap<WebhookEndpointId, WebhookRevision>,
    /// Endpoints whose failures are revived.
    reviving: BTreeMap<WebhookEndpointId, Reviving>,
    /// New endpoints that this version cannot decode.
    unknown: BTreeMap<WebhookEndpointId, WebhookRevision>,
    /// Endpoints to disable.
    disabling: BTreeMap<WebhookEndpointId, Disabling>,
    /// Whether the latest read of due failures was full.
    is_more_due: bool,
    /// Whether due failures must be read again at once.
    claim_again: bool,
    /// Number of endpoints with failures that have not had their turn in this round of reads. A round begins in each
    /// [`FOLLOW_INTERVAL`].
    unclaimed: usize,
    age_checks: BTreeSet<WebhookEndpointId>,
    health_written_at: Instant,
}

/// A read of the store in a task of its own. The session goes on with its deliveries during the read, so it compares the
/// result with its present state.
enum Done {
    Page(PageRead),
    History(HistoryRead),
}

/// An endpoint to disable.
#[derive(Clone, Copy)]
struct Disabling {
    reason: DisabledReason,
    /// Revision of the endpoint that failed.
    of: WebhookRevision,
    /// Revision of the change whose start does not apply. Until the endpoint is disabled, a crash repeats the change.
    revision: Option<WebhookRevision>,
}

#[derive(Default)]
struct Turns {
    send: Option<WebhookEndpointId>,
    read: Option<WebhookEndpointId>,
    retry: Option<WebhookEndpointId>,
    recount: Option<WebhookEndpointId>,
    refill: Option<Key>,
    forget: Option<WebhookEndpointId>,
    revive: Option<WebhookEndpointId>,
    disable: Option<WebhookEndpointId>,
    age: Option<WebhookEndpointId>,
}

/// When the feed is read next.
struct NextRead {
    /// Whether there may be further events.
    is_wanted: bool,
    /// Time before which no read begins, although one is wanted: one read serves many commits.
    not_before: Instant,
    /// Time of the next read if none is wanted before.
    at_latest: Instant,
}

impl NextRead {
    fn after(gap: Duration, poll_interval: Duration) -> Self {
        let now = Instant::now();
        Self { is_wanted: false, not_before: now + gap, at_latest: now + poll_interval }
    }

    const fn at(&self) -> Instant {
        if self.is_wanted { self.not_before } else { self.at_latest }
    }
}

/// Why a session ended.
pub(super) enum Ended {
    /// The sender stops.
    Stopped,
    /// Another sender has the lease, or the lease could not be extended in time.
    LeaseLost,
    /// The database was replaced by one without the latest events, so positions in memory are void.
    Restored,
    /// A defect: the text states it.
    Failed(String),
}

/// Runs a call of the store for a limited time.
pub(super) async fn limited<T>(
    call: Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + '_>>,
) -> Result<T, StoreError> {
    let unavailable = || StoreError::Unavailable("it did not answer the sender of webhooks in time".into());
    timeout(STORE_TIMEOUT, call).await.unwrap_or_else(|_| Err(unavailable()))
}

/// A session that has ended reports nothing: the gauges of the shard are those of the next session, which may belong to
/// another process.
impl Drop for Session {
    fn drop(&mut self) {
        self.metrics.clear(&self.place.name);
    }
}

impl Session {
    /// Reads positions, failing endpoints and endpoints.
    pub(super) async fn start(
        ports: Arc<WebhookPorts>,
        metrics: Arc<WebhookMetrics>,
        place: Place,
    ) -> Result<Self, StoreError> {
        let extended_at = Instant::now();
        let group = &place.lease.group;
        let stored = limited(ports.store.feed_position(place.shard, group, None)).await?;
        let end = limited(ports.store.feed_end(place.shard)).await?;
        let (shared, known) = stored.as_ref().map_or_else(
            || (Resumed { place: end_of(end), is_rewound: false }, 0),
            |stored| (not_after_end(stored.place, end, &place.name), stored.known),
        );
        let mut session = Self {
            order_states: Arc::new(OrderStates::new(Arc::clone(&ports.store))),
            ports,
            metrics,
            place,
            extended_at,
            end,
            is_doubtful: false,
            is_restored: false,
            shared: Window::new(shared.place),
            is_shared_rewound: shared.is_rewound,
            saved_shared: stored.map(|stored| (stored.place, stored.known)),
            visits: JoinSet::new(),
            visited_at: Instant::now(),
            read_to: known,
            is_more_changed: false,
            has_changed: false,
            applied: known,
            targets: HashMap::new(),
            index: Index::default(),
            behind: BTreeSet::new(),
            resting: BTreeSet::new(),
            ready: BTreeSet::new(),
            turns: Turns::default(),
            reads: JoinSet::new(),
            wants_page: false,
            is_reading_page: false,
            histories: 0,
            next_history: 0,
            journal: Journal::default(),
            flights: HashMap::new(),
            tasks: JoinSet::new(),
            next_flight: 0,
            refills: BTreeSet::new(),
            handed_over: HashMap::new(),
            forgetting: BTreeMap::new(),
            reviving: BTreeMap::new(),
            unknown: BTreeMap::new(),
            disabling: BTreeMap::new(),
            is_more_due: false,
            claim_again: false,
            unclaimed: 0,
            age_checks: BTreeSet::new(),
            health_written_at: Instant::now(),
        };
        session.load().await?;
        // A crash before the first checkpoint would lose that a position is after the end of the feed.
        if session.is_rewound() && !session.save().await {
            return Err(StoreError::Unavailable(
                "the lease ended before the first checkpoint of the webhooks".into(),
            ));
        }
        Ok(session)
    }

    /// Works until `stop` is ready or the lease is lost. Requests in flight end with the session.
    pub(super) async fn run(&mut self, signal: &Notify, stop: impl Future<Output = ()>) -> Ended {
        let mut stop = std::pin::pin!(stop);
        let (mut saved_at, mut followed_at) = (Instant::now(), Instant::now());
        let mut next_read = NextRead::after(Duration::ZERO, Duration::ZERO);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return self.finish().await,
                Some(visited) = self.visits.join_next() => {
                    if let Err(error) = self.end_visit(visited).await {
                        return Ended::Failed(format!("work on the directory of webhooks failed: {error}"));
                    }
                }
                Some(tried) = self.tasks.join_next() => {
                    if let Err(error) = self.complete_all(tried) {
                        return Ended::Failed(format!("a request to a webhook endpoint was lost: {error}"));
                    }
                }
                Some(read) = self.reads.join_next() => match read {
                    Ok(Done::Page(page)) => self.end_page(page).await,
                    Ok(Done::History(history)) => self.end_history(history),
                    Err(error) => return Ended::Failed(format!("a read for webhooks failed: {error}")),
                },
                () = sleep_until(next_read.at()) => {}
                () = signal.notified(), if !next_read.is_wanted => next_read.is_wanted = true,
                () = std::future::ready(()), if self.may_claim() => {}
            }
            if self.extended_at.elapsed() >= GIVE_UP_AFTER {
                return Ended::LeaseLost;
            }
            self.begin_visit();
            if std::mem::take(&mut self.has_changed) || followed_at.elapsed() >= FOLLOW_INTERVAL {
                if !self.forget().await || !self.revive().await {
                    return Ended::LeaseLost;
                }
                self.recount().await;
                followed_at = Instant::now();
                self.begin_claims();
            }
            self.refill();
            if self.may_claim() && !self.claim_due().await {
                return Ended::LeaseLost;
            }
            // Whatever ended the wait: requests that end all the time must not prevent reads.
            if Instant::now() >= next_read.at() {
                // If more events follow, the next turn begins at once, after the requests that have ended.
                let is_more = self.read().await;
                next_read = NextRead::after(
                    if is_more { Duration::ZERO } else { READ_GAP },
                    self.ports.poll_interval,
                );
                next_read.is_wanted = is_more;
                self.wants_page = true;
            }
            self.wake();
            self.catch_up().await;
            if self.is_restored {
                return Ended::Restored;
            }
            // Reads of the store may have taken long.
            if self.extended_at.elapsed() < GIVE_UP_AFTER {
                self.send();
            }
            if saved_at.elapsed() >= CHECKPOINT_INTERVAL {
                saved_at = Instant::now();
                if !self.save().await {
                    return if self.is_restored { Ended::Restored } else { Ended::LeaseLost };
                }
            }
        }
    }

    /// Waits for requests in flight for a limited time, and writes the last checkpoint.
    async fn finish(&mut self) -> Ended {
        let drained = async {
            while let Some(tried) = self.tasks.join_next().await {
                if let Err(error) = self.complete_all(tried) {
                    tracing::error!(%error, "a request to a webhook endpoint was lost");
                }
            }
            while let Some(visited) = self.visits.join_next().await {
                if let Err(error) = self.end_visit(visited).await {
                    tracing::error!(%error, "work on the directory of webhooks failed");
                }
            }
        };
        let _ = timeout(DRAIN, drained).await;
        self.tasks.abort_all();
        self.log_successes(true);
        let is_saved = self.save().await;
        self.write_last_health().await;
        if is_saved { Ended::Stopped } else { Ended::LeaseLost }
    }

    fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    fn random(&self) -> u64 {
        self.ports.random.next_u64()
    }

    /// Counts the delivery of a queued event as decided.
    fn decide(&mut self, id: WebhookEndpointId, source: Source) {
        match source {
            Source::Shared(number) => self.shared.decide(number),
            Source::Own(number) => {
                if let Some(own) = self.targets.get_mut(&id).and_then(|target| target.own.as_mut()) {
                    own.window.decide(number);
                }
            }
            Source::History | Source::Gone => {}
        }
    }

    /// Updates in which lists an endpoint is.
    fn classify(&mut self, id: WebhookEndpointId) {
        self.classify_at(id, self.now());
    }

    fn classify_at(&mut self, id: WebhookEndpointId, now: Timestamp) {
        let target = self.targets.get(&id);
        let detached = target.filter(|target| target.is_behind());
        let rests_until = detached.and_then(|target| target.rests_until(now));
        let is_behind = detached.is_some() && rests_until.is_none();
        let is_ready = target.is_some_and(|target| target.is_ready() && target.receiving().is_some());
        for (is_in, list) in [(is_behind, &mut self.behind), (is_ready, &mut self.ready)] {
            if is_in {
                list.insert(id)
            } else {
                list.remove(&id)
            };
        }
        self.resting.extend(rests_until.map(|until| (until, id)));
    }

    /// Puts the endpoints whose rest is over into the lists again.
    fn wake(&mut self) {
        let now = self.now();
        while let Some((_, id)) = self.resting.first().copied().filter(|(until, _)| *until <= now) {
            self.resting.pop_first();
            self.classify_at(id, now);
        }
    }

    /// Lets an endpoint receive the events of the shared reader, after its own reader has reached it.
    fn enroll(&mut self, id: WebhookEndpointId) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        let Some(endpoint) = target.receiving().cloned() else { return };
        let from = target.own.as_ref().map_or(self.shared.read_to(), |own| own.window.read_to());
        target.enrolled_from = Some(from);
        self.index.insert(&endpoint);
        self.classify(id);
    }

    /// Drops the undecided deliveries of an endpoint from memory, and gives it a position before the oldest of them.
    fn detach(&mut self, id: WebhookEndpointId) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        if let Some(endpoint) = &target.endpoint {
            self.index.remove(endpoint);
        }
        let was_enrolled = target.enrolled_from.take();
        let mut sources: Vec<Source> = target.clear().iter().map(|queued| queued.source).collect();
        target.stale = 0;
        for flight in self.flights.values_mut().filter(|flight| flight.endpoint == id) {
            target.stale += 1;
            flight.is_stale = true;
            for queued in &mut flight.events {
                if queued.source != Source::History {
                    sources.push(std::mem::replace(&mut queued.source, Source::Gone));
                }
            }
        }
        let oldest = sources.iter().filter_map(|source| match source {
            Source::Shared(number) => Some(*number),
            _ => None,
        });
        let oldest = oldest.min().map_or(self.shared.read_to(), |number| self.shared.before(number));
        let shared = FeedPlace {
            incarnation: self.shared.incarnation(),
            position: oldest.max(was_enrolled.unwrap_or_default()),
        };
        let place = match &target.own {
            // Its own reader has undecided events, which precede all events of the shared reader.
            Some(own) if was_enrolled.is_none() || own.window.len() > 0 => own.window.decided(),
            _ => shared,
        };
        let is_rewound = target.own.as_ref().is_some_and(|own| own.is_rewound);
        let saved = target.own.take().and_then(|own| own.saved);
        let own = super::target::Own { is_rewound, ..super::target::Own::new(place, saved) };
        target.own = Some(own);
        for source in sources {
            if let Source::Shared(number) = source {
                self.shared.decide(number);
            }
        }
        self.classify(id);
    }

    /// Returns the time for which the oldest undecided event has waited.
    fn lag(&self) -> Duration {
        self.shared.oldest().map_or(Duration::ZERO, |at| super::schedule::elapsed(at, self.now()))
    }
}

/// Returns the entries of a list, beginning after the one whose turn was last.
fn rotated<T: Copy + Ord>(list: &BTreeSet<T>, last: Option<T>) -> Vec<T> {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let Some(last) = last else { return list.iter().copied().collect() };
    list.range((Excluded(last), Unbounded)).chain(list.range((Unbounded, Included(last)))).copied().collect()
}
