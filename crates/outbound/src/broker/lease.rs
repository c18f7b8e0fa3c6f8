//! The lease of the publisher, in a database.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use dabba_engine::Engine;
use dabba_store::{ConsumerName, ConsumerNameError, FeedLease, LeaseRequest, LeaseTaken, Store};
use tokio::sync::Mutex;

use super::BrokerLease;

/// Name of the group that publishes to the broker.
const GROUP: &str = "broker";

/// Index of the shard that keeps the lease for the publication of all shards.
const LEASE_SHARD: usize = 0;

/// Time for which the lease lasts without a renewal: three intervals of renewals.
pub const LEASE_TIME: Duration = Duration::from_secs(15);

/// Timeout of a request for the lease.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The lease of the publisher, in the first shard. The lease covers the publication of all shards.
pub struct StoreLease {
    engine: Arc<Engine>,
    store: Arc<dyn Store>,
    request: LeaseRequest,
    /// Only the publisher waits for this lock, which is held during a request.
    held: Mutex<Option<FeedLease>>,
}

impl StoreLease {
    /// Returns the access of this process to the lease.
    pub fn new(engine: &Arc<Engine>) -> Result<Self, ConsumerNameError> {
        // Random, so that a restarted process does not take the place of the one before.
        let holder = ConsumerName::new(&format!("{:016x}", engine.random_u64()))?;
        let request = LeaseRequest { group: ConsumerName::new(GROUP)?, holder };
        let store = Arc::clone(engine.store());
        Ok(Self { engine: Arc::clone(engine), store, request, held: Mutex::default() })
    }

    async fn try_hold(&self) -> Result<bool, String> {
        let mut held = self.held.lock().await;
        let now = self.engine.now();
        let until = now.checked_add(LEASE_TIME).map_err(|error| error.to_string())?;
        if let Some(lease) = &*held {
            let renewed = self.store.renew_feed_lease(LEASE_SHARD, lease, now, until).await;
            if renewed.map_err(|error| error.to_string())? {
                return Ok(true);
            }
            *held = None;
        }
        let taken = self.store.take_feed_lease(LEASE_SHARD, &self.request, now, until).await;
        match taken.map_err(|error| error.to_string())? {
            LeaseTaken::Taken(lease) => *held = Some(lease),
            LeaseTaken::Held { .. } => return Ok(false),
        }
        Ok(true)
    }
}

#[async_trait]
impl BrokerLease for StoreLease {
    async fn hold(&self) -> Result<bool, String> {
        let held = tokio::time::timeout(TIMEOUT, self.try_hold()).await;
        held.unwrap_or_else(|_| Err(format!("the database does not answer within {} s", TIMEOUT.as_secs())))
    }

    async fn release(&self) {
        let Some(lease) = self.held.lock().await.take() else { return };
        let now = self.engine.now();
        // If the request fails, the lease expires.
        let released = tokio::time::timeout(TIMEOUT, self.store.release_feed_lease(LEASE_SHARD, &lease, now));
        if !matches!(released.await, Ok(Ok(_))) {
            tracing::debug!("the lease of the publisher to the broker expires");
        }
    }
}

impl std::fmt::Debug for StoreLease {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("StoreLease").field("request", &self.request).finish_non_exhaustive()
    }
}
