//! Measurements of the feed and of the streams.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use super::mailbox::EndReason;

/// Label: a kind of consumer.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// Label: why a stream ended, or was refused.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// Label: a shard.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ShardLabel {
    shard: String,
}

/// A kind of consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A stream of the feed.
    Feed,
    /// A stream of an order.
    Order,
    /// The board of a restaurant.
    Board,
    /// A stream of a tracking link.
    Tracking,
    /// A request that waits for an event.
    Poll,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Feed, Self::Order, Self::Board, Self::Tracking, Self::Poll];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Feed => "feed",
            Self::Order => "order",
            Self::Board => "board",
            Self::Tracking => "tracking",
            Self::Poll => "poll",
        }
    }
}

/// Reason of a stream that its client ended.
const BY_CLIENT: &str = "client";
/// Reasons why a stream is refused.
pub(super) const FOR_CREDENTIAL: &str = "too_many_of_credential";
pub(super) const FOR_ALL: &str = "too_many";

/// Measurements of the feed and of the streams. Clones share them.
#[derive(Clone, Debug)]
pub struct LiveMetrics {
    published: Counter,
    age: Histogram,
    lag: Family<ShardLabel, Gauge<f64, AtomicU64>>,
    open: Family<KindLabel, Gauge>,
    ended: Family<ReasonLabel, Counter>,
    refused: Family<ReasonLabel, Counter>,
}

impl Default for LiveMetrics {
    /// Counters start at 0: an alert on an increase needs a value before the first event.
    fn default() -> Self {
        let metrics = Self {
            published: Counter::default(),
            age: Histogram::new(exponential_buckets(0.001, 2.0, 17)),
            lag: Family::default(),
            open: Family::default(),
            ended: Family::default(),
            refused: Family::default(),
        };
        for kind in Kind::ALL {
            metrics.open(kind);
        }
        for reason in EndReason::ALL.map(EndReason::as_str).into_iter().chain([BY_CLIENT]) {
            metrics.ended.get_or_create_owned(&ReasonLabel { reason });
        }
        for reason in [FOR_CREDENTIAL, FOR_ALL] {
            metrics.refused.get_or_create_owned(&ReasonLabel { reason });
        }
        metrics
    }
}

impl LiveMetrics {
    /// Registers the measurements.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "dabba_feed_events_published",
            "Events that this process published to its streams",
            metrics.published.clone(),
        );
        registry.register(
            "dabba_feed_age_seconds",
            "Time from an event to its publication by this process, in seconds",
            metrics.age.clone(),
        );
        registry.register(
            "dabba_feed_lag_seconds",
            "Age of the first event of the page that the follower of a shard read last, in seconds; 0 if the follower has \
             reached the end of the feed, or nobody consumes the feed",
            metrics.lag.clone(),
        );
        registry.register(
            "dabba_streams_open",
            "Open streams of the feed, of orders, of boards and of tracking links, and waiting polls, by kind: feed, order, board, tracking, poll",
            metrics.open.clone(),
        );
        registry.register("dabba_streams_ended", "Streams that ended by reason", metrics.ended.clone());
        registry.register(
            "dabba_streams_refused",
            "Streams and polls that were refused because of a limit, by reason",
            metrics.refused.clone(),
        );
        metrics
    }

    pub(super) fn open(&self, kind: Kind) -> Gauge {
        self.open.get_or_create_owned(&KindLabel { kind: kind.as_str() })
    }

    /// Counts the end of a stream; `None` if its client ended it.
    pub(super) fn ended(&self, reason: Option<EndReason>) {
        let reason = reason.map_or(BY_CLIENT, EndReason::as_str);
        self.ended.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(super) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(super) fn published(&self, age: Duration) {
        self.published.inc();
        self.age.observe(age.as_secs_f64());
    }

    pub(super) fn show_lag(&self, shard: &str, lag: Duration) {
        self.lag.get_or_create_owned(&ShardLabel { shard: shard.to_owned() }).set(lag.as_secs_f64());
    }
}
