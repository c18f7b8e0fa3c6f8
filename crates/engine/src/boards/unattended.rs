//! The pause of restaurants of which no board is connected.

use dabba_domain::{Timestamp, restaurant::Restaurant};
use dabba_store::{BoardCheck, CheckedBoards};

use super::Boards;
use crate::Error;

/// Maximum number of boards checked in one transaction.
const BOARDS_PER_STEP: u32 = 1_000;

impl Boards {
    /// Marks boards as disconnected that no server has renewed, deletes the rows of old boards, and pauses the restaurants that
    /// take orders and are unattended for too long. Returns the number of checked boards. Each process
    /// calls this; each due board is checked by one of them.
    pub async fn check_unattended(&self) -> Result<u64, Error> {
        let _no_advance = self.presence.checks.lock().await;
        // With a wrong clock, attended restaurants would be paused.
        self.clock.check()?;
        if self.clock.now() < self.presence.pauses_from {
            return Ok(0);
        }
        let mut checked = 0;
        loop {
            let now = self.clock.now();
            let check = BoardCheck { now, pause_after: self.pause_after, limit: BOARDS_PER_STEP };
            let step: CheckedBoards = self.store.check_boards(&check).await?;
            for (restaurant, since) in &step.unattended {
                self.pause(restaurant, *since, now).await;
            }
            checked += u64::from(step.checked);
            if step.checked < BOARDS_PER_STEP {
                return Ok(checked);
            }
        }
    }

    /// Pauses an unattended restaurant if it takes orders. After a failure, a later check retries.
    async fn pause(&self, restaurant: &Restaurant, since: Timestamp, now: Timestamp) {
        if !self.takes_orders(restaurant, now) {
            return;
        }
        match self.catalogue.pause_unattended(restaurant, since).await {
            Ok(true) => {
                self.metrics.unattended_pauses.inc();
                tracing::warn!(
                    restaurant = %restaurant.id, %since,
                    "no board of the restaurant is connected; it is paused until a board connects or a person resumes it"
                );
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(restaurant = %restaurant.id, %error, "an unattended restaurant cannot be paused");
            }
        }
    }

    /// Returns whether a restaurant takes orders now and took orders at the beginning of the time after which it is paused. So
    /// a restaurant that has just opened by its opening hours, or whose pause has just ended by itself, has this time to
    /// connect a board. After a change by a person, the postponed checks give this time.
    fn takes_orders(&self, restaurant: &Restaurant, now: Timestamp) -> bool {
        let Some(pause_after) = self.pause_after else { return false };
        let before = now.checked_sub(pause_after).unwrap_or(Timestamp::MIN);
        restaurant.check_accepting(now).is_ok() && restaurant.check_accepting(before).is_ok()
    }
}
