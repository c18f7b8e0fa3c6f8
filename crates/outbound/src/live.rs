//! Live streams: each committed event reaches the streams that follow its order, its restaurant or the platform.
//!
//! A process has one follower per shard, which reads the shard's feed only while there are consumers. The streams of a
//! process share the follower's reads: an event is read once and represented once per audience, however many streams
//! receive it.
//!
//! | module | what it does |
//! |---|---|
//! | `follower` | reads the feed of a shard and publishes its events |
//! | `shard` | the position up to which events are published; streams join here without a gap |
//! | `ring` | the recent events, for streams that join and were caught up a moment ago |
//! | `index` | finds the streams of an event |
//! | `buffer` | what waits for a stream, its heartbeat and its end, and the wake-up of its reader |
//! | `mailbox` | the events that wait for a stream |
//! | `feed_stream`, `order_stream` | the streams of the feed and of an order |
//! | [`board`] | the boards of restaurants: the current orders, and their changes |
//! | `tracking_stream` | the states of an order, for the holder of a tracking link |
//! | `open` | limits of the number of streams, heartbeats, checks of rights |
//! | `metrics` | measurements |

pub mod board;
mod buffer;
mod event;
mod feed_stream;
pub(crate) mod follower;
mod index;
mod mailbox;
mod metrics;
mod open;
mod order_stream;
mod ring;
pub(crate) mod shard;
mod tracking_stream;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicUsize},
    time::Duration,
};

use dabba_domain::RestaurantId;
use dabba_engine::Engine;
use dabba_store::{FeedSource, Need, Store};
use tokio::task::JoinSet;

use self::{board::Rooms, follower::Follower, open::OpenStreams, shard::Shard};
pub use self::{
    event::LiveEvent,
    feed_stream::{FeedStream, OpenError},
    mailbox::{EndReason, MAX_WAITING},
    metrics::{Kind, LiveMetrics},
    open::{Full, Session},
    order_stream::OrderStream,
    ring::{MAX_RECENT, MAX_RECENT_BYTES},
    shard::MAX_READS,
    tracking_stream::{TrackingItem, TrackingStream},
};

/// Configuration of the streams.
#[derive(Clone, Debug)]
pub struct LiveConfig {
    /// Maximum number of streams and waiting polls of the process. Default 10,000.
    pub max_streams: usize,
    /// Maximum number of streams and waiting polls of a token or key. Default 64.
    pub max_streams_per_credential: usize,
    /// Maximum number of streams and waiting polls of a session. The tabs of a browser share one. Default 8.
    pub max_streams_per_session: usize,
    /// Interval between two heartbeats of a stream. Rights are checked three times per interval. Default 10 seconds.
    pub heartbeat: Duration,
    /// Time for which a board may lack changes before its heartbeats stop. Default 5 seconds.
    pub max_board_lag: Duration,
    /// Measurements.
    pub metrics: LiveMetrics,
}

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            max_streams: 10_000,
            max_streams_per_credential: 64,
            max_streams_per_session: 8,
            heartbeat: Duration::from_secs(10),
            max_board_lag: Duration::from_secs(5),
            metrics: LiveMetrics::default(),
        }
    }
}

/// The feed and the streams of a process. Everything ends when this value is dropped.
pub struct Live {
    pub(crate) shared: Arc<Shared>,
    running: Mutex<JoinSet<()>>,
}

/// What the followers and the streams share.
pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) shards: Vec<Arc<Shard>>,
    pub(crate) sources: Vec<FeedSource>,
    /// The boards of each shard, by the index of the shard.
    rooms: Vec<Arc<Rooms>>,
    streams: Arc<OpenStreams>,
    config: LiveConfig,
    metrics: LiveMetrics,
    /// Number of reads of the feed, which decides which shard's events come first.
    pub(crate) reads: AtomicUsize,
}

/// What a stream reports.
#[derive(Clone, Debug)]
pub enum Item {
    /// An event, and the id after which the stream resumes.
    Event {
        /// The id.
        id: String,
        /// The event.
        event: Arc<LiveEvent>,
    },
    /// A heartbeat with the current id.
    Heartbeat {
        /// The id.
        id: String,
    },
    /// The end of the stream.
    End(EndReason),
}

impl Live {
    /// Returns the feed and the streams of an engine. [`Live::start`] starts what runs in the background.
    pub fn new(engine: &Arc<Engine>, config: LiveConfig) -> Self {
        let store = Arc::clone(engine.store());
        let names = store.shard_names().into_iter().enumerate();
        let shards: Vec<_> = names.map(|(index, name)| Shard::new(index, name)).collect();
        for shard in &shards {
            config.metrics.show_lag(&shard.name, Duration::ZERO);
        }
        let shared = Shared {
            engine: Arc::clone(engine),
            rooms: shards.iter().map(|_| Arc::default()).collect(),
            shards,
            sources: store.feed_sources(),
            store,
            streams: OpenStreams::new(&config),
            metrics: config.metrics.clone(),
            config,
            reads: AtomicUsize::new(0),
        };
        Self { shared: Arc::new(shared), running: Mutex::default() }
    }

    /// Starts the followers and the tickers on the current Tokio runtime. They do nothing while nobody consumes the
    /// feed. Without them, no stream receives an event.
    pub fn start(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let supervisor = self.shared.engine.supervisor();
        for shard in &self.shared.shards {
            let part = supervisor.part(format!("feed_follower_{}", shard.index), Need::Helpful);
            let commits = self.shared.engine.commit_signals().listen(shard.index);
            let (shared, shard) = (Arc::clone(&self.shared), Arc::clone(shard));
            let follower = Follower { shared, shard, part, commits };
            let supervisor = Arc::clone(supervisor);
            running.spawn(async move {
                supervisor.run(&follower.part, || follower.run()).await;
            });
        }
        for (shard, rooms) in self.shared.shards.iter().zip(&self.shared.rooms) {
            let part = supervisor.part(format!("board_reader_{}", shard.index), Need::Helpful);
            let (shared, rooms, supervisor) =
                (Arc::clone(&self.shared), Arc::clone(rooms), Arc::clone(supervisor));
            running.spawn(async move {
                supervisor.run(&part, || shared.read_boards(&rooms)).await;
            });
        }
        macro_rules! run {
            ($name:literal, $run:ident) => {
                let (supervisor, shared) = (Arc::clone(supervisor), Arc::clone(&self.shared));
                running.spawn(async move {
                    let part = supervisor.part($name, Need::Helpful);
                    supervisor.run(&part, || shared.$run()).await;
                });
            };
        }
        run!("stream_heartbeats", beat);
        run!("stream_memberships", check_memberships);
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Live").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Shared {
    /// Returns the shards that hold the orders of a restaurant, or of all restaurants.
    pub(crate) fn shards_of(&self, restaurant: Option<RestaurantId>) -> Vec<Arc<Shard>> {
        match restaurant {
            None => self.shards.clone(),
            Some(id) => {
                let index = self.store.shard_of(id.bucket());
                self.shards.get(index).map(Arc::clone).into_iter().collect()
            }
        }
    }
}
