//! The clock of a sandbox.

use std::sync::Arc;

use dabba_domain::{Problems, Timestamp};
use jiff::SignedDuration;

use crate::{AdjustableClock, Engine, Error, writing::run_to_completion};

impl Engine {
    /// Advances the clock of this process, and returns the new time. Connected boards stay connected, and workers poll at once.
    /// Refuses an advance that the clock refuses.
    pub async fn advance_clock(
        &self,
        clock: &Arc<dyn AdjustableClock>,
        by: SignedDuration,
    ) -> Result<Timestamp, Error> {
        let (clock, boards, work) = (Arc::clone(clock), Arc::clone(&self.boards), Arc::clone(&self.work));
        run_to_completion(async move {
            let advanced = boards.during_advance(|| clock.try_advance(by)).await;
            let now = advanced.map_err(|text| Error::Invalid(Problems::one("/seconds", text)))?;
            work.wake_workers();
            Ok(now)
        })
        .await
    }
}
