//! The open streams: their limits, their heartbeats, and the checks of their callers' rights.
//!
//! The streams share two tickers. Neither an idle stream nor its heartbeat needs a timer or a query of its own.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use dabba_domain::{AccountId, RestaurantId, Role, Timestamp};
use dabba_engine::{Engine, Principal};
use futures::{StreamExt as _, stream};
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    LiveConfig, Shared,
    mailbox::{EndReason, Receiver},
    metrics::{FOR_ALL, FOR_CREDENTIAL, Kind, LiveMetrics},
};

/// Number of groups of streams. The groups have their heartbeats one after the other.
const GROUPS: usize = 10;

/// Groups whose rights are checked with the heartbeat of a group, counted from it. So the rights of a stream are checked every 3
/// to 4 s: with the second in which a server learns of a revocation, the stream ends within 5 s.
const CHECKED_AFTER: [usize; 2] = [3, 6];

/// Maximum number of memberships that are read concurrently for the checks of rights.
const CHECKS_AT_ONCE: usize = 16;

/// Streams of tracking links leave this part of the maximum number of streams to callers with credentials, such as kitchens:
/// one in four.
const TRACKING_LEAVES: usize = 4;

/// The caller of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// The caller.
    pub principal: Principal,
    /// Time at which the caller's credential was issued.
    pub issued_at: Timestamp,
    /// Time at which the credential expires; `None` if it does not, and for a session, whose expiry the engine knows.
    pub expires_at: Option<Timestamp>,
    /// Number that is equal for streams of the same token, key or session.
    pub credential: u64,
}

impl Session {
    /// Returns whether the credential is valid now, from memory.
    fn is_valid(&self, engine: &Engine) -> bool {
        self.expires_at.is_none_or(|expiry| engine.now() < expiry)
            && engine.accounts.is_still_admitted(&self.principal, self.issued_at).is_ok()
    }
}

/// A stream was refused because of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The token, key or session has too many streams.
    Credential {
        /// The maximum.
        limit: usize,
    },
    /// The process has too many streams.
    Process,
}

/// What the caller of a stream must be allowed to do while the stream is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Right {
    /// Receive the events of a restaurant.
    Events(RestaurantId),
    /// See the board of a restaurant.
    Board(RestaurantId),
}

impl Right {
    /// Returns whether a caller has the right. A check that is not possible for longer than a stale membership is used
    /// counts as a right that has ended.
    async fn is_held(self, engine: &Engine, principal: &Principal) -> bool {
        match self {
            Self::Events(restaurant) => {
                engine.accounts.authorize_feed(principal, Some(restaurant)).await.is_ok()
            }
            Self::Board(restaurant) => engine.orders.authorize_board(principal, restaurant).await.is_ok(),
        }
    }
}

/// The streams whose callers need a right that a membership gives, by account and right.
type StreamsOfMembers = HashMap<(AccountId, Right), Vec<(Principal, Arc<Open>)>>;

#[derive(Debug)]
struct Open {
    /// The caller; `None` for a stream that needs no credential, such as that of a tracking link.
    session: Option<Session>,
    /// The right that a membership gives to the caller; `None` if the caller needs no membership.
    right: Option<Right>,
    receiver: Arc<dyn Receiver>,
}

/// All open streams.
#[derive(Debug)]
pub(super) struct OpenStreams {
    groups: [Mutex<HashMap<u64, Arc<Open>>>; GROUPS],
    by_credential: Mutex<HashMap<u64, usize>>,
    count: AtomicUsize,
    next_id: AtomicU64,
    max_streams: usize,
    max_per_credential: usize,
    max_per_session: usize,
    metrics: LiveMetrics,
}

/// The place of an open stream. Dropping it closes the stream.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) id: u64,
    streams: Arc<OpenStreams>,
    credential: u64,
    gauge: Gauge,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OpenStreams {
    pub(super) fn new(config: &LiveConfig) -> Arc<Self> {
        Arc::new(Self {
            groups: std::array::from_fn(|_| Mutex::default()),
            by_credential: Mutex::default(),
            count: AtomicUsize::new(0),
            next_id: AtomicU64::new(0),
            max_streams: config.max_streams,
            max_per_credential: config.max_streams_per_credential,
            max_per_session: config.max_streams_per_session,
            metrics: config.metrics.clone(),
        })
    }

    /// Opens a stream within the limits.
    pub(super) fn open(
        self: &Arc<Self>,
        kind: Kind,
        session: Session,
        right: Option<Right>,
        receiver: Arc<dyn Receiver>,
    ) -> Result<Place, Full> {
        let right = right.filter(|_| session.principal.role == Role::Restaurant);
        self.open_for(kind, session.credential, Some(session), right, receiver)
    }

    /// Opens a stream that needs no credential. `credential` identifies what counts like one, such as a link.
    pub(super) fn open_without_session(
        self: &Arc<Self>,
        kind: Kind,
        credential: u64,
        receiver: Arc<dyn Receiver>,
    ) -> Result<Place, Full> {
        self.open_for(kind, credential, None, None, receiver)
    }

    fn open_for(
        self: &Arc<Self>,
        kind: Kind,
        credential: u64,
        session: Option<Session>,
        right: Option<Right>,
        receiver: Arc<dyn Receiver>,
    ) -> Result<Place, Full> {
        let is_session = session.is_some_and(|session| session.principal.is_session());
        let mut by_credential = lock(&self.by_credential);
        let max_streams = match kind {
            Kind::Tracking => self.max_streams - self.max_streams / TRACKING_LEAVES,
            _ => self.max_streams,
        };
        if self.count.load(Ordering::Relaxed) >= max_streams {
            self.metrics.refused(FOR_ALL);
            return Err(Full::Process);
        }
        let count = by_credential.entry(credential).or_insert(0);
        let limit = if is_session { self.max_per_session } else { self.max_per_credential };
        if *count >= limit {
            self.metrics.refused(FOR_CREDENTIAL);
            return Err(Full::Credential { limit });
        }
        *count += 1;
        self.count.fetch_add(1, Ordering::Relaxed);
        drop(by_credential);
        let gauge = self.metrics.open(kind);
        gauge.inc();
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let open = Arc::new(Open { session, right, receiver });
        lock(self.group(id)).insert(id, open);
        Ok(Place { id, streams: Arc::clone(self), credential, gauge })
    }

    fn group(&self, id: u64) -> &Mutex<HashMap<u64, Arc<Open>>> {
        &self.groups[usize::try_from(id % GROUPS as u64).unwrap_or(0)]
    }

    /// Returns the streams of a group.
    fn of_group(&self, group: usize) -> Vec<Arc<Open>> {
        lock(&self.groups[group % GROUPS]).values().map(Arc::clone).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let streams = &self.streams;
        lock(streams.group(self.id)).remove(&self.id);
        let mut by_credential = lock(&streams.by_credential);
        streams.count.fetch_sub(1, Ordering::Relaxed);
        if let Some(count) = by_credential.get_mut(&self.credential) {
            *count -= 1;
            if *count == 0 {
                by_credential.remove(&self.credential);
            }
        }
        drop(by_credential);
        self.gauge.dec();
    }
}

impl Shared {
    /// Returns a ticker that ticks once per group and heartbeat.
    fn ticker(&self) -> tokio::time::Interval {
        let period = self.config.heartbeat / u32::try_from(GROUPS).unwrap_or(1);
        let mut ticker = interval(period.max(std::time::Duration::from_millis(1)));
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticker
    }

    /// Sends heartbeats, and ends the streams whose credentials have expired or were revoked: at each heartbeat, and twice
    /// between two heartbeats ([`CHECKED_AFTER`]). Never returns.
    pub(super) async fn beat(&self) -> Result<(), String> {
        let mut ticker = self.ticker();
        for group in (0..GROUPS).cycle() {
            ticker.tick().await;
            for open in self.streams.of_group(group) {
                if self.end_if_invalid(&open) {
                    continue;
                }
                open.receiver.beat();
            }
            for open in CHECKED_AFTER.into_iter().flat_map(|after| self.streams.of_group(group + after)) {
                self.end_if_invalid(&open);
            }
        }
        Ok(())
    }

    fn end_if_invalid(&self, open: &Open) -> bool {
        let is_invalid = open.session.is_some_and(|session| !session.is_valid(&self.engine));
        if is_invalid {
            open.receiver.end(EndReason::SessionEnded);
        }
        is_invalid
    }

    /// Ends the streams whose callers are no longer members of the restaurant's staff, as often as [`Shared::beat`]
    /// checks credentials. Reads a membership at most once for all streams of an account. Never returns.
    pub(super) async fn check_memberships(&self) -> Result<(), String> {
        let mut ticker = self.ticker();
        for group in (0..GROUPS).cycle() {
            ticker.tick().await;
            let mut by_member = StreamsOfMembers::new();
            let checked = std::iter::once(0).chain(CHECKED_AFTER);
            for open in checked.flat_map(|after| self.streams.of_group(group + after)) {
                if let (Some(right), Some(session)) = (open.right, open.session) {
                    let member = (session.principal.account_id, right);
                    by_member.entry(member).or_default().push((session.principal, open));
                }
            }
            stream::iter(by_member)
                .for_each_concurrent(CHECKS_AT_ONCE, async |((_, right), streams)| {
                    for (principal, open) in streams {
                        if !right.is_held(&self.engine, &principal).await {
                            open.receiver.end(EndReason::SessionEnded);
                        }
                    }
                })
                .await;
        }
        Ok(())
    }
}
