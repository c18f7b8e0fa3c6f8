//! The pause of an unattended restaurant, by Dabba.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use dabba_domain::{
    RestaurantId, Timestamp,
    restaurant::{Pause, Restaurant},
};
use dabba_store::CatalogueUpdate;

use super::{Catalogues, restaurants::UpdateConditions};
use crate::{Error, writing::run_to_completion};

impl Catalogues {
    /// Pauses a restaurant that is unattended since a time. Returns `false`, and changes nothing, if a board has connected,
    /// if the restaurant has changed, or if Dabba has paused the restaurant since a board was connected last.
    pub(crate) async fn pause_unattended(
        &self,
        restaurant: &Restaurant,
        since: Timestamp,
    ) -> Result<bool, Error> {
        let (id, expected) = (restaurant.id, restaurant.revision);
        let paused = Restaurant { pause: Some(Pause::UNATTENDED), ..restaurant.clone() };
        let (store, catalogue_cache) = (Arc::clone(&self.store), Arc::clone(&self.catalogue_cache));
        run_to_completion(async move {
            let update = store.pause_unattended(&paused, expected, since).await?;
            let Some(CatalogueUpdate::Done { revision }) = update else { return Ok(false) };
            if catalogue_cache.contains(id) {
                let contains = |entry: &super::CatalogueEntry| entry.restaurant().revision >= revision;
                catalogue_cache.refresh_unless(id, contains).await;
            }
            Ok(true)
        })
        .await
    }

    /// Returns the earliest time at which boards are checked after a change of what decides whether a restaurant takes orders.
    /// A check knows only the present settings, which may say that the restaurant took orders in the past. `None` if nothing
    /// of it changes, or if Dabba had paused the restaurant: its boards are handled, or one of them is connected.
    pub(super) fn boards_checked_at(
        &self,
        before: &Restaurant,
        after: &Restaurant,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let pause_after = self.unattended_pause?;
        let is_same = before.pause == after.pause
            && before.closed == after.closed
            && before.settings.opening_hours == after.settings.opening_hours
            && before.settings.time_zone == after.settings.time_zone;
        if is_same || before.is_paused_by_dabba() {
            return None;
        }
        Some(now.checked_add(pause_after).unwrap_or(Timestamp::MAX))
    }

    /// Ends the pause of a restaurant of which a board is connected, if Dabba has paused it. Returns whether it did.
    pub(crate) async fn resume_attended(&self, id: RestaurantId) -> Result<bool, Error> {
        let ends = AtomicBool::new(false);
        let update = self.update_restaurant_under(id, UpdateConditions::default(), |restaurant, _| {
            let is_paused = restaurant.is_paused_by_dabba();
            if is_paused {
                restaurant.pause = None;
            }
            ends.store(is_paused, Ordering::Relaxed);
            Ok(())
        });
        update.await?;
        Ok(ends.load(Ordering::Relaxed))
    }
}
