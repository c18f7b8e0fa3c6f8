//! The parts that send webhooks, one per shard.

use std::{sync::Arc, time::Duration};

use dabba_domain::{Timestamp, WebhookEndpointId};
use dabba_engine::{Clock, Egress, Random, sealing::SecretKeys};
use dabba_store::{
    AttemptOutcome, ConsumerName, FeedLease, LeaseRequest, LeaseTaken, Need, Part, Store, StoreError,
    Supervisor,
};
use futures::{
    FutureExt as _,
    future::{join, join_all},
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    endpoint::Endpoint,
    limits::{LEASE, LEASE_INTERVAL, MAX_IN_FLIGHT, MIN_IN_FLIGHT, STORE_TIMEOUT},
    message::test_request,
    metrics::WebhookMetrics,
    orders::OrderRenderer,
    purge::first_pause,
    schedule::after,
    session::{Ended, Place, Session, attempt},
};

/// Dependencies of the sender.
pub struct WebhookPorts {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The source of the current time.
    pub clock: Arc<dyn Clock>,
    /// The source of random bits.
    pub random: Arc<dyn Random>,
    /// The client for servers whose URLs users enter.
    pub egress: Arc<dyn Egress>,
    /// The keys that open the secrets of endpoints.
    pub keys: Arc<SecretKeys>,
    /// Represents the orders in deliveries with the payload `order`.
    pub orders: Arc<dyn OrderRenderer>,
    /// The supervisor of the process.
    pub supervisor: Arc<Supervisor>,
    /// Interval at which the feed is polled, by default [`POLL_INTERVAL`](super::limits::POLL_INTERVAL).
    pub poll_interval: Duration,
}

/// Sends webhooks. One per process; any number of processes may share a store.
pub struct WebhookSender {
    pub(super) ports: Arc<WebhookPorts>,
    metrics: Arc<WebhookMetrics>,
    holder: ConsumerName,
    /// One per shard. A signal ends the pause between two reads of the feed.
    signals: Vec<Arc<Notify>>,
    /// Time from the start to the first purge.
    pub(super) first_purge: Duration,
}

/// The result of a test event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestAttempt {
    /// Time at which the attempt ended.
    pub at: Timestamp,
    /// Duration of the attempt, in milliseconds.
    pub duration_ms: u32,
    /// Outcome.
    pub outcome: AttemptOutcome,
}

/// The reason why a test event was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TestError {
    /// The endpoint does not exist.
    #[error("the webhook endpoint does not exist")]
    NotFound,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl WebhookSender {
    /// Creates a sender. [`WebhookSender::run`] starts it.
    pub fn new(ports: WebhookPorts) -> Arc<Self> {
        let random = ports.random.next_u64();
        // A process without a name of its own could take over the lease of another one.
        let holder = ConsumerName::new(&format!("sender-{random:016x}"));
        let signals = (0..ports.store.shard_count()).map(|_| Arc::default()).collect();
        Arc::new(Self {
            ports: Arc::new(ports),
            metrics: Arc::default(),
            // The name has only letters, digits and a hyphen.
            holder: holder.unwrap_or_else(|_| ConsumerName::webhooks()),
            signals,
            first_purge: first_pause(random),
        })
    }

    /// Returns the metrics of the sender.
    pub fn metrics(&self) -> &Arc<WebhookMetrics> {
        &self.metrics
    }

    /// Notifies the sender that a shard, given by index, has new events.
    pub fn committed(&self, shard: usize) {
        if let Some(signal) = self.signals.get(shard) {
            signal.notify_one();
        }
    }

    /// Sends the events of all shards, and purges deleted endpoints, until `stop` is ready. Dropping the future ends
    /// everything at once; the events since the last checkpoint are then delivered again.
    pub async fn run(self: Arc<Self>, stop: impl Future<Output = ()> + Send) {
        let stop = stop.shared();
        let shards = self.ports.store.shard_names().into_iter().enumerate().map(|(shard, name)| {
            let (sender, stop) = (Arc::clone(&self), stop.clone());
            let part = self.ports.supervisor.part(format!("webhook_sender_{shard}"), Need::Helpful);
            async move {
                let run = || sender.run_shard(shard, &name, &part, stop.clone());
                sender.ports.supervisor.run(&part, run).await;
            }
        });
        let part = self.ports.supervisor.part("webhook_purge", Need::Helpful);
        let purge = || async {
            self.purge_repeatedly(&part, stop.clone()).await;
            Ok(())
        };
        join(join_all(shards), self.ports.supervisor.run(&part, purge)).await;
    }

    /// Takes the lease of a shard whenever it is free, and works while it has the lease.
    async fn run_shard(
        &self,
        shard: usize,
        name: &str,
        part: &Part,
        stop: impl Future<Output = ()> + Clone,
    ) -> Result<(), String> {
        loop {
            let mut ended = None;
            match self.take_lease(shard).await {
                Ok(LeaseTaken::Taken(lease)) => {
                    part.succeeded();
                    ended = self.hold(shard, name, lease, stop.clone()).await;
                }
                Ok(LeaseTaken::Held { .. }) => part.succeeded(),
                Err(error) => part.refused(&error.to_string()),
            }
            match ended {
                Some(Ended::Stopped) => return Ok(()),
                // The supervisor logs and counts the failure, and starts the part again.
                Some(Ended::Failed(text)) => return Err(text),
                Some(Ended::LeaseLost | Ended::Restored) | None => {}
            }
            tokio::select! {
                biased;
                () = stop.clone() => return Ok(()),
                () = sleep(LEASE_INTERVAL) => {}
            }
        }
    }

    async fn take_lease(&self, shard: usize) -> Result<LeaseTaken, StoreError> {
        let request = LeaseRequest { group: ConsumerName::webhooks(), holder: self.holder.clone() };
        let now = self.ports.clock.now();
        let taken = self.ports.store.take_feed_lease(shard, &request, now, after(now, LEASE));
        let late = || StoreError::Unavailable("it did not grant a lease in time".into());
        timeout(STORE_TIMEOUT, taken).await.unwrap_or_else(|_| Err(late()))
    }

    /// Works with a lease. Returns how the session ended; `None` if it could not begin.
    async fn hold(
        &self,
        shard: usize,
        name: &str,
        lease: FeedLease,
        stop: impl Future<Output = ()>,
    ) -> Option<Ended> {
        let max_in_flight = (MAX_IN_FLIGHT / self.signals.len().max(1)).max(MIN_IN_FLIGHT);
        let place = Place { shard, name: name.to_owned(), lease: lease.clone(), max_in_flight };
        let (ports, metrics) = (Arc::clone(&self.ports), Arc::clone(&self.metrics));
        let mut session = match Session::start(ports, metrics, place).await {
            Ok(session) => session,
            Err(error) => {
                tracing::warn!(shard = name, %error, "the state of the webhooks cannot be read");
                return None;
            }
        };
        tracing::debug!(shard = name, "this process sends the webhooks of the shard");
        let signal = self.signals.get(shard).map(Arc::clone).unwrap_or_default();
        let ended = session.run(&signal, stop).await;
        drop(session);
        if matches!(ended, Ended::Restored) {
            tracing::warn!(
                shard = name,
                "the database lacks events that were read for webhooks: deliveries go on at the stored positions"
            );
        }
        if matches!(ended, Ended::Stopped) {
            let release = self.ports.store.release_feed_lease(shard, &lease, self.ports.clock.now());
            // If the release fails, the lease expires.
            let _ = timeout(STORE_TIMEOUT, release).await;
        }
        Some(ended)
    }

    /// Sends one signed test event to an endpoint now, whether it is enabled or not, and returns the result. Nothing is
    /// stored.
    pub async fn send_test(&self, id: WebhookEndpointId) -> Result<TestAttempt, TestError> {
        let stored = self.ports.store.webhook_endpoint(id).await?.ok_or(TestError::NotFound)?;
        let endpoint = Endpoint::new(stored, &self.ports.keys, self.ports.clock.now());
        let build = || test_request(&endpoint, self.ports.clock.now(), self.ports.random.next_u64());
        let verdict = attempt(&self.ports, build).await;
        let status = verdict.status;
        let duration_ms = verdict.duration_ms();
        let outcome = match verdict.error {
            None => AttemptOutcome::Delivered { status: status.unwrap_or_default(), events: 1 },
            Some(error) => AttemptOutcome::Failed { status, error },
        };
        Ok(TestAttempt { at: self.ports.clock.now(), duration_ms, outcome })
    }
}
