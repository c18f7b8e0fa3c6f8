//! The loop of the publisher.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dabba_engine::{EventSink, OutgoingEvent, Random, SinkError, SinkSession};
use dabba_store::{Backoff, Need, Part, Supervisor};
use tokio::time::Instant;

use super::{
    BrokerFeed, BrokerFeedError, BrokerLease, BrokerMetrics, BrokerStart, BrokerState, PART, metrics::REASONS,
};

/// Settings of the publisher.
#[derive(Clone, Copy, Debug)]
pub struct BrokerConfig {
    /// Where to begin if the broker holds no event.
    pub start: BrokerStart,
    /// Maximum number of events that are read and published at once.
    pub batch: usize,
    /// Pauses after failures.
    pub backoff: Backoff,
    /// Interval at which the lease is renewed, and at which a process without the lease tries to take it.
    pub lease_interval: Duration,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            start: BrokerStart::default(),
            batch: 500,
            backoff: Backoff { base: Duration::from_millis(100), max: Duration::from_secs(10) },
            lease_interval: Duration::from_secs(5),
        }
    }
}

/// Publishes the events of all shards to a broker, while this process holds the lease.
pub struct BrokerPublisher {
    sink: Arc<dyn EventSink>,
    feed: Arc<dyn BrokerFeed>,
    lease: Arc<dyn BrokerLease>,
    random: Arc<dyn Random>,
    metrics: BrokerMetrics,
    config: BrokerConfig,
    progress: Mutex<Progress>,
}

/// What outlives a session and a restart of the part.
#[derive(Debug, Default)]
struct Progress {
    /// The place of the last event that the broker holds, as far as this process knows.
    confirmed: Option<String>,
    /// Whether the loss of the event at `confirmed` is counted.
    is_loss_counted: bool,
    /// Time since when the broker may lack events; `None` while it holds all, or while another process publishes.
    behind_since: Option<Instant>,
    /// Number of failures in a row, and the reason of the last one.
    failures: u32,
    reason: Option<&'static str>,
}

/// Reason why a session ended.
enum End {
    LeaseLost,
    Failed { reason: &'static str, text: String },
}

impl From<SinkError> for End {
    fn from(error: SinkError) -> Self {
        let reason = match error {
            SinkError::Unavailable(_) => REASONS[0],
            SinkError::Conflict(_) => REASONS[1],
            SinkError::Refused(_) => REASONS[2],
        };
        Self::Failed { reason, text: error.to_string() }
    }
}

impl From<BrokerFeedError> for End {
    fn from(error: BrokerFeedError) -> Self {
        Self::Failed { reason: REASONS[3], text: error.to_string() }
    }
}

impl BrokerPublisher {
    /// Creates the publisher. [`BrokerPublisher::run`] runs it.
    pub fn new(
        sink: Arc<dyn EventSink>,
        feed: Arc<dyn BrokerFeed>,
        lease: Arc<dyn BrokerLease>,
        random: Arc<dyn Random>,
        metrics: BrokerMetrics,
        config: BrokerConfig,
    ) -> Self {
        Self { sink, feed, lease, random, metrics, config, progress: Mutex::default() }
    }

    /// Publishes under supervision until the future is dropped. Dropping the future at any moment loses no event.
    pub async fn run(&self, supervisor: &Supervisor) {
        let part = supervisor.part(PART, Need::Helpful);
        supervisor.run(&part, || self.publish_forever(&part)).await;
    }

    /// Ends the lease, so that another process continues at once. Call it after the future of [`BrokerPublisher::run`] is dropped.
    pub async fn release(&self) {
        self.lease.release().await;
    }

    async fn publish_forever(&self, part: &Part) -> Result<(), String> {
        loop {
            let end = match self.lease.hold().await {
                Ok(true) => self.lead(part).await,
                Ok(false) => End::LeaseLost,
                Err(text) => {
                    End::Failed { reason: REASONS[4], text: format!("the lease cannot be taken: {text}") }
                }
            };
            match end {
                End::LeaseLost => {
                    self.stand_by(part);
                    tokio::time::sleep(self.config.lease_interval).await;
                }
                End::Failed { reason, text } => self.pause(part, reason, &text).await,
            }
        }
    }

    fn stand_by(&self, part: &Part) {
        // Another process publishes from here on, and this process does not know what the broker confirms to it.
        *self.progress() = Progress::default();
        self.metrics.show_lag(0.0);
        self.metrics.show_state(BrokerState::Standby);
        part.succeeded();
    }

    async fn pause(&self, part: &Part, reason: &'static str, text: &str) {
        let (failures, is_new) = {
            let mut progress = self.progress();
            progress.failures = progress.failures.saturating_add(1);
            progress.behind_since.get_or_insert_with(Instant::now);
            (progress.failures, progress.reason.replace(reason) != Some(reason))
        };
        self.metrics.count_failure(reason);
        self.metrics.show_state(BrokerState::Connecting);
        self.show_lag();
        let broker = self.sink.name();
        if is_new {
            tracing::warn!(
                broker,
                reason,
                error = text,
                "publishing to the broker failed; retrying with back-off"
            );
        } else {
            tracing::debug!(broker, reason, error = text, failures, "publishing to the broker failed again");
        }
        part.refused(text);
        // Another process may reach the broker.
        self.lease.release().await;
        tokio::time::sleep(self.config.backoff.pause(failures, self.random.next_u64())).await;
        self.show_lag();
    }

    /// Publishes until something fails or the lease is lost.
    async fn lead(&self, part: &Part) -> End {
        match self.lead_until_end(part).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn lead_until_end(&self, part: &Part) -> Result<std::convert::Infallible, End> {
        self.metrics.show_state(BrokerState::Connecting);
        let mut session = self.sink.connect().await?;
        let mut place = self.beginning(&mut *session).await?;
        self.metrics.show_state(BrokerState::Publishing);
        let mut renewed = Instant::now();
        // Why the place was void, until the events are read from the start.
        let mut void = None;
        loop {
            if renewed.elapsed() >= self.config.lease_interval {
                // While the store does not answer, the publisher continues: the broker refuses one of two publishers.
                if matches!(self.lease.hold().await, Ok(false)) {
                    return Err(End::LeaseLost);
                }
                session.check().await?;
                renewed = Instant::now();
            }
            let page = match self.feed.read(&place, self.config.batch).await {
                Ok(page) => page,
                // A second time in a row, the session ends, and the next one begins after a pause.
                Err(BrokerFeedError::Void(why)) if void.is_none() => {
                    place = self.begin_again().await?;
                    void = Some(why);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if let Some(why) = void.take() {
                self.metrics.count_restart();
                tracing::warn!(
                    why,
                    "publishing all events to the broker again: a database was restored or replaced"
                );
            }
            // Without events, a shard may be silent although the page is not at the end.
            let waits = page.is_at_end || page.events.is_empty();
            if page.events.is_empty() {
                if !session.is_connected() {
                    return Err(SinkError::Unavailable("the connection was lost".to_owned()).into());
                }
            } else {
                self.publish(&mut *session, page.events).await?;
            }
            place = page.place;
            self.succeeded(part, page.is_at_end && !page.is_incomplete);
            if waits {
                self.feed.wait().await;
            }
        }
    }

    async fn publish(&self, session: &mut dyn SinkSession, events: Vec<OutgoingEvent>) -> Result<(), End> {
        let (count, last) = (events.len(), events.last().map(|event| event.place.clone()));
        session.publish(events).await?;
        self.metrics.count_published(count);
        if last.is_some() {
            self.progress().confirmed = last;
        }
        Ok(())
    }

    /// Returns the place at which a new session begins.
    async fn beginning(&self, session: &mut dyn SinkSession) -> Result<String, End> {
        let held = session.place().map(str::to_owned);
        let confirmed = self.learn(held.as_ref());
        if let Some(place) = held {
            return Ok(place);
        }
        let place = match (self.config.start, confirmed) {
            (BrokerStart::Now, Some(confirmed)) => confirmed,
            (start, _) => self.feed.begin(start).await?,
        };
        tracing::info!(
            place,
            broker_start = self.config.start.name(),
            "the broker holds no events: beginning to publish"
        );
        if self.config.start == BrokerStart::Now {
            // Without the mark, the next session would begin at the end of that time, and skip the events before it.
            session.mark(&place).await?;
            let mut progress = self.progress();
            progress.confirmed = Some(place.clone());
            progress.is_loss_counted = false;
        }
        Ok(place)
    }

    /// Records the place of the last event that the broker holds. Returns the place of the last event that it had confirmed before.
    fn learn(&self, held: Option<&String>) -> Option<String> {
        let before = self.progress().confirmed.clone();
        // The broker may hold more: its last acknowledgements may have been lost, and another process may have published meanwhile.
        let lacks = |before: &String| held.is_none_or(|held| self.feed.is_behind(held, before));
        let is_lost = before.as_ref().is_some_and(lacks);
        // A publisher that begins now still needs the place if marking it fails. The next session must not count the loss again.
        let is_kept = held.is_none() && self.config.start == BrokerStart::Now;
        let mut progress = self.progress();
        if !is_kept {
            progress.confirmed = held.cloned();
        }
        let was_counted = std::mem::replace(&mut progress.is_loss_counted, is_lost && is_kept);
        drop(progress);
        if is_lost && !was_counted {
            self.metrics.count_rewind();
            tracing::warn!(
                place = held,
                "the broker lost events that it had confirmed: publishing them again"
            );
        }
        before
    }

    /// Returns the place before the first event, after a database was restored.
    async fn begin_again(&self) -> Result<String, End> {
        let place = self.feed.begin(BrokerStart::Start).await?;
        // The places before the restore cannot be compared with the next ones.
        self.progress().confirmed = Some(place.clone());
        Ok(place)
    }

    /// Records a success. `is_complete`: the broker holds all events.
    fn succeeded(&self, part: &Part, is_complete: bool) {
        let mut progress = self.progress();
        let failures = std::mem::take(&mut progress.failures);
        progress.reason = None;
        if is_complete {
            progress.behind_since = None;
        } else {
            progress.behind_since.get_or_insert_with(Instant::now);
        }
        drop(progress);
        self.show_lag();
        part.succeeded();
        if failures > 0 {
            tracing::info!(broker = self.sink.name(), failures, "publishing to the broker works again");
        }
    }

    fn show_lag(&self) {
        let behind_since = self.progress().behind_since;
        self.metrics.show_lag(behind_since.map_or(0.0, |since| since.elapsed().as_secs_f64()));
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for BrokerPublisher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("BrokerPublisher").field("config", &self.config).finish_non_exhaustive()
    }
}
