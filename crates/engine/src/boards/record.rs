//! Writing of the registered boards to the store, in batches.

use std::{convert::Infallible, sync::Arc, time::Duration};

use dabba_domain::RestaurantId;
use dabba_store::{MAX_BOARDS_PER_WRITE, Need, StoreError};
use futures::{
    future::join_all,
    stream::{self, StreamExt as _},
};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Boards, register::Register};
use crate::condition::{Condition, Transition};

/// Interval at which each server renews its connected boards.
pub const BOARD_RENEWAL: Duration = Duration::from_secs(30);

/// Maximum number of pauses of a shard that end concurrently.
const RESUMES_AT_ONCE: usize = 8;

/// Minimum interval at which new and ended connections are written.
const MIN_WRITE_INTERVAL: Duration = Duration::from_millis(1);

impl Boards {
    /// Records the boards that are connected to this process. Each shard has a part of its own, so that no shard waits for
    /// another. Runs until the future is dropped.
    pub async fn record(self: Arc<Self>) {
        let recorders = self.presence.registers.iter().enumerate().map(|(shard, register)| {
            let part = self.supervisor.part(format!("board_recorder_{shard}"), Need::Helpful);
            let (boards, register) = (Arc::clone(&self), Arc::clone(register));
            async move { boards.supervisor.run(&part, || boards.record_repeatedly(&register)).await }
        });
        join_all(recorders).await;
    }

    async fn record_repeatedly(&self, register: &Register) -> Result<(), String> {
        let never = self.record_until_dropped(register).await;
        match never {}
    }

    async fn record_until_dropped(&self, register: &Register) -> Infallible {
        let mut ticks = interval(self.write_interval.max(MIN_WRITE_INTERVAL));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut condition, mut renewed_at) = (Condition::default(), Instant::now());
        loop {
            ticks.tick().await;
            let begun_at = Instant::now();
            let is_renewal = begun_at.duration_since(renewed_at) >= BOARD_RENEWAL;
            let written = self.write(register, is_renewal).await;
            if is_renewal && written.is_ok() {
                renewed_at = begun_at;
            }
            match condition.record(written) {
                Some(Transition::Failed(error)) => {
                    tracing::warn!(%error, "connected boards cannot be recorded; restaurants may seem unattended");
                }
                Some(Transition::Recovered) => tracing::info!("connected boards are recorded again"),
                None => {}
            }
        }
    }

    /// Writes new and ended connections now, and with `renew` all connected boards. Fails if a shard fails; what is not written
    /// stays registered.
    pub async fn write_connections(&self, renew: bool) -> Result<(), StoreError> {
        let writes = self.presence.registers.iter().map(|register| self.write(register, renew));
        join_all(writes).await.into_iter().collect()
    }

    /// Runs an advance of this process's clock, and then renews all connected boards: a board that is connected before and after
    /// the advance was connected all the time. No restaurant is checked in between, when the boards seem stale.
    pub(crate) async fn during_advance<T, E>(&self, advance: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let _no_checks = self.presence.checks.lock().await;
        let advanced = advance()?;
        if let Err(error) = self.write_connections(true).await {
            tracing::warn!(%error, "connected boards are not renewed after an advance of the clock; the next renewal retries");
        }
        Ok(advanced)
    }

    async fn write(&self, register: &Register, renew: bool) -> Result<(), StoreError> {
        let _writing = register.start_writing().await;
        // With a wrong clock, boards would seem connected for too long, or stale.
        self.clock.check().map_err(|skew| StoreError::Unavailable(skew.to_string()))?;
        loop {
            let ended = register.ended();
            if ended.is_empty() {
                break;
            }
            self.store.disconnect_boards(&ended).await?;
            register.remove_ended(&ended);
        }
        for boards in register.connected(!renew).chunks(MAX_BOARDS_PER_WRITE) {
            let paused = self.store.record_boards(boards, self.clock.now()).await?;
            register.recorded(boards);
            stream::iter(paused).for_each_concurrent(RESUMES_AT_ONCE, |id| self.resume(id)).await;
        }
        Ok(())
    }

    /// Ends Dabba's pause of a restaurant that is attended. After a failure, the next renewal retries.
    async fn resume(&self, id: RestaurantId) {
        match self.catalogue.resume_attended(id).await {
            Ok(true) => {
                self.metrics.attended_resumes.inc();
                tracing::info!(restaurant = %id, "a board has connected, so the pause of the unattended restaurant ends");
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(restaurant = %id, %error, "the pause of a restaurant whose board is connected does not end");
            }
        }
    }
}
